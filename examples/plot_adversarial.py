"""
Accuracy against the size of an attack
======================================

An adversary may move every feature of every sample by a little. How much accuracy is left, for a
plain model, for one with an L2 penalty that cross-validation chose, and for models that were
trained against such attacks? For linear models the worst case is closed, so that all curves are
exact.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LassoCV, LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_losses import AdversarialClassifier, AdversarialRegressor, adversarial_score

# %%
# Tumours
# -------
# Columns are scaled, so that sizes are in standard deviations.

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
scaler = StandardScaler().fit(X)
X, X_test = scaler.transform(X), scaler.transform(X_test)

models = {
    "plain": LogisticRegression(C=1e4, max_iter=10_000),
    "L2, cross-validated": GridSearchCV(
        LogisticRegression(max_iter=10_000), {"C": np.geomspace(1e-3, 1e3, 7)}
    ),
    "trained at 0.05": AdversarialClassifier(eps=0.05),
    "trained at 0.2": AdversarialClassifier(eps=0.2),
    "trained at 0.5": AdversarialClassifier(eps=0.5),
}
sizes = np.linspace(0, 0.8, 33)
curves = {}
for name, model in models.items():
    model.fit(X, y)
    models[name] = model = getattr(model, "best_estimator_", model)
    curves[name] = [adversarial_score(model, X_test, y_test, eps=size) for size in sizes]

shown = [0.0, 0.05, 0.1, 0.2, 0.4, 0.6]
print(f"{'accuracy at attack of size':<26}", *(f"{size:>6}" for size in shown))
for name, model in models.items():
    row = [adversarial_score(model, X_test, y_test, eps=size) for size in shown]
    print(f"{name:<26}", *(f"{score:>6.2f}" for score in row))

# %%
# Nothing is for free: a model for large attacks is worse where there is none.

colours = ("#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7")
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (name, curve), colour in zip(curves.items(), colours, strict=True):
    axes.plot(sizes, curve, color=colour, label=name)
axes.axhline(max(np.mean(y_test), 1 - np.mean(y_test)), color="0.6", linestyle=":", linewidth=1)
axes.set(xlabel="size of the attack (standard deviations)", ylabel="accuracy on other data")
axes.legend(fontsize="x-small")
axes.grid(alpha=0.3)
plt.show()

# %%
# More features than samples
# --------------------------
# Attacks in the maximum norm set coefficients to zero, as the lasso does. The radius "auto" comes
# from theory, and is the same for any noise; the lasso's penalty has to be searched for.


def data(noise, seed, n=80, d=300):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    coef = np.zeros(d)
    coef[:5] = 1.0
    return X, X @ coef + noise * rng.standard_normal(n), coef


print()
print(f"{'noise':<8}{'':<24}{'error':>8}{'features':>10}{'of them right':>15}")
for noise in (0.1, 1.0, 3.0):
    for name, model in (
        ("attacks, eps='auto'", AdversarialRegressor()),
        ("lasso, cross-validated", LassoCV(cv=5)),
    ):
        rows = []
        for seed in range(5):
            X, y, coef = data(noise, seed)
            found = model.fit(X, y).coef_
            some = found != 0
            rows.append([np.linalg.norm(found - coef), some.sum(), (some & (coef != 0)).sum()])
        error, features, right = np.mean(rows, axis=0)
        print(f"{noise:<8}{name:<24}{error:>8.2f}{features:>10.1f}{right:>15.1f}")
