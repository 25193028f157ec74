"""
Learning a map: contrastive embeddings beside PCA, LDA and NCA
==============================================================

Two pictures of a map that was learned from labels, and a case in which none is needed. Then two
tables of the same samples, whose rows are to find each other.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cross_decomposition import CCA
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_losses import ContrastiveEmbedding, CrossModalEmbedding

# %%
# Digits in two dimensions
# ------------------------
# Each map is fitted to 600 images; the points are others. The accuracy is that of five nearest
# neighbours in the plane.

X, y = load_digits(return_X_y=True)
parts = train_test_split(X, y, train_size=600, stratify=y, random_state=0)
X_train, X_test, y_train, y_test = parts


def scaled(step):
    return make_pipeline(StandardScaler(), step)


def accuracy(model, X_train, X_test, y_train, y_test):
    neighbours = KNeighborsClassifier().fit(model.transform(X_train), y_train)
    return neighbours.score(model.transform(X_test), y_test)


maps = {
    "PCA": scaled(PCA(2)),
    "LDA": scaled(LinearDiscriminantAnalysis(n_components=2, solver="eigen", shrinkage="auto")),
    "NCA": scaled(NeighborhoodComponentsAnalysis(2, random_state=0)),
    "ContrastiveEmbedding": ContrastiveEmbedding(2, batch_size=200, random_state=0),
}
figure, axes = plt.subplots(2, 2, figsize=(7, 6.4), layout="constrained")
for ax, (name, model) in zip(axes.flat, maps.items(), strict=True):
    model.fit(X_train, y_train)
    score = accuracy(model, *parts)
    print(f"digits, 2 components: {name:<22}{score:.3f}")
    points = ax.scatter(*model.transform(X_test).T, c=y_test, cmap="tab10", s=6)
    ax.set(title=f"{name}: {score:.3f}", xticks=[], yticks=[])
figure.legend(*points.legend_elements(), loc="outside right center", title="digit")
plt.show()

# %%
# Where it helps, and where not
# -----------------------------
# All standardised columns against maps of them. With few components the supervised maps keep most;
# in nine components of digits they are no better than the columns themselves.

print(f"\n{'':<26}{'columns':>9}{'PCA':>9}{'NCA':>9}{'ours':>9}")
for name, load, n_components in (
    ("wine", load_wine, 2),
    ("breast cancer", load_breast_cancer, 2),
    ("digits", load_digits, 9),
):
    X, y = load(return_X_y=True)
    parts = train_test_split(X, y, train_size=min(600, len(y) // 2), stratify=y, random_state=0)
    models = (
        StandardScaler(),
        scaled(PCA(n_components)),
        scaled(NeighborhoodComponentsAnalysis(n_components, random_state=0)),
        ContrastiveEmbedding(n_components, batch_size=200, random_state=0),
    )
    scores = [accuracy(model.fit(parts[0], parts[2]), *parts) for model in models]
    print(f"{f'{name}, {n_components} components':<26}" + "".join(f"{s:>9.3f}" for s in scores))

# %%
# Two tables
# ----------
# Of each tumour there are the mean of ten measurements of its cells, and those of the worst cells.
# Which row of the second table belongs to a row of the first? The curves say how often the right
# one is among the k that are most alike.

cells = load_breast_cancer().data
order = np.random.RandomState(0).permutation(len(cells))
train, test = order[:300], order[300:]
tables = cells[:, :10], cells[:, 20:]
ranks = {}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # CCA's own, of its last components
    models = {
        "CCA": CCA(10, max_iter=5000).fit(*(t[train] for t in tables)),
        "CrossModalEmbedding": CrossModalEmbedding(10).fit(*(t[train] for t in tables)),
    }
print()
for name, model in models.items():
    cosines = cosine_similarity(*model.transform(*(t[test] for t in tables)))
    ranks[name] = (cosines >= np.diag(cosines)[:, np.newaxis]).sum(axis=1)
    print(f"{name:<22}the right one first: {100 * (ranks[name] == 1).mean():.0f} %")

figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
k = np.arange(1, 21)
for (name, rank), colour in zip(ranks.items(), ("#0072B2", "#D55E00"), strict=True):
    ax.plot(k, (rank[:, np.newaxis] <= k).mean(axis=0), color=colour, label=name)
ax.plot(k, k / len(test), color="0.6", linestyle="--", label="chance")
ax.set(
    xlabel=f"k, of {len(test)}", ylabel="right one among the first k", ylim=(0, 1), xticks=k[::3]
)
ax.legend(loc="center right")
plt.show()
