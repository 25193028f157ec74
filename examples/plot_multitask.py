"""
Several targets: when sharing helps
===================================

A group penalty keeps or drops a feature for all targets at once. That helps where the same features
matter for all of them and samples are few, and costs where they do not. Made-up data of both kinds,
and two real sets.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_linnerud
from sklearn.model_selection import GridSearchCV, ShuffleSplit, cross_val_score

from sklearn_losses import MultiTaskModel

ALPHAS = {"alpha": [0.03, 0.1, 0.3]}
INNER = ShuffleSplit(1, test_size=0.4, random_state=1)
PENALTIES = {"l21": "together (l21)", "l1": "each alone (l1)", "l2": "each alone (l2)"}


def scores_of(X, y, loss, sizes, times):
    """Mean R² on the other samples, by penalty and training size; alpha by a
    split of the training samples."""
    found = {}
    for penalty in PENALTIES:
        search = GridSearchCV(MultiTaskModel(loss, penalty=penalty), ALPHAS, cv=INNER)
        splits = [ShuffleSplit(times, train_size=n, test_size=0.3, random_state=0) for n in sizes]
        found[penalty] = [cross_val_score(search, X, y, cv=split).mean() for split in splits]
    return found


# %%
# Made-up targets
# ---------------
# Four targets of thirty features: each depends on four of them. Once they are the same four, once
# each target has four of its own.

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 30))
effects = rng.normal(size=(4, 4))
shared, apart = np.zeros((4, 30)), np.zeros((4, 30))
for task in range(4):
    shared[task, :4] = effects[task]
    apart[task, 4 * task : 4 * task + 4] = effects[task]
noise = 2.0 * rng.normal(size=(300, 4))
SIZES = [40, 120]
results = {
    "the same four features": scores_of(X, X @ shared.T + noise, "squared_error", SIZES, 3),
    "four features each": scores_of(X, X @ apart.T + noise, "squared_error", SIZES, 3),
}

# %%
# Tumours: numbers and classes in one model
# -----------------------------------------
# From the mean size, texture and the like of a tumour's cells: how large the worst cells are, how
# concave, and whether it is malignant. Two losses, three targets; some of them are missing.

cancer = load_breast_cancer()
names = cancer.feature_names.tolist()
worst = [names.index(f"worst {what}") for what in ("radius", "concavity")]
y = np.column_stack([cancer.data[:, worst], cancer.target == 0])
y[rng.uniform(size=y.shape) < 0.2] = np.nan
tumours = cancer.data[:, :20]
losses = ["squared_error", "squared_error", "log_loss"]
results["tumours"] = scores_of(tumours, y, losses, SIZES, 3)

# %%
# The weights: fixed ones, or by uncertainty, where a target that is told well counts for more.

for task_weight in (None, "uncertainty"):
    model = MultiTaskModel(losses, alpha=0.1, task_weight=task_weight).fit(tumours, y)
    kept = int((model.coef_ != 0).any(axis=0).sum())
    print(f"task_weight={task_weight!r}: weights {model.task_weight_.round(2)}, {kept} features")

# %%
# Twenty men
# ----------
# Linnerud's exercises and body measures: three features are too few to share anything, and twenty
# men too few to learn from. No model is better than the mean (an R² of 0).

exercises, body = load_linnerud(return_X_y=True)
for penalty, name in PENALTIES.items():
    search = GridSearchCV(MultiTaskModel(penalty=penalty), ALPHAS, cv=INNER)
    split = ShuffleSplit(3, test_size=0.3, random_state=0)
    print(f"Linnerud, {name}: {cross_val_score(search, exercises, body, cv=split).mean():.2f}")

# %%
# The picture
# -----------

figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
colours = ("#0072B2", "#D55E00", "#777777")
for axis, (title, found) in zip(axes, results.items(), strict=True):
    print(f"\n{title:<24}" + "".join(f"{n:>8}" for n in SIZES))
    for (penalty, values), colour in zip(found.items(), colours, strict=True):
        print(f"{PENALTIES[penalty]:<24}" + "".join(f"{value:>8.2f}" for value in values))
        axis.plot(SIZES, values, marker="o", color=colour, label=PENALTIES[penalty])
    axis.set(title=title, xlabel="training samples", xticks=SIZES)
axes[0].set_ylabel("mean R² of the targets")
axes[0].legend(fontsize="small")
plt.show()

# %%
# Where targets share their features and samples are few, groups are well ahead; with three times
# the samples next to nothing is left of that. Where each target has features of its own they are
# behind with few samples and with many. On the tumours they are as good as ridge regression of each
# target with few samples, and no better than anything with many. And no penalty makes something of
# twenty men.
