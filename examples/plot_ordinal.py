"""
Classes with an order
=====================

Three ways to predict how far a disease has come on, in five grades: as numbers, as classes, and as
classes with an order. Where there are few samples, the order is worth most.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_losses import AllThreshold, CumulativeLink, SGDClassifierX, SGDRegressorX

X, y = load_diabetes(return_X_y=True)
grade = np.digitize(y, np.quantile(y, [0.2, 0.4, 0.6, 0.8]))

# %%
# From 40 samples to 300
# ----------------------
# How many grades the predictions are off, on average, on the other samples.


def model_of(estimator):
    return make_pipeline(StandardScaler(), estimator)


shared = {"optimizer": "auto", "alpha": 0.01}
models = {
    "numbers, rounded": model_of(SGDRegressorX("squared_error", **shared)),
    "classes: multinomial": model_of(SGDClassifierX("multinomial", **shared)),
    "ordered: cumulative link": model_of(SGDClassifierX(CumulativeLink(), **shared)),
    "ordered: all thresholds": model_of(SGDClassifierX(AllThreshold(), **shared)),
}
sizes = [40, 80, 150, 300]
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
print(f"{'':<26}" + "".join(f"{size:>8}" for size in sizes))
for name, model in models.items():
    errors = []
    for size in sizes:
        of_size = []
        splits = ShuffleSplit(15, train_size=size, test_size=140, random_state=0)
        for train, test in splits.split(X):
            predicted = model.fit(X[train], grade[train]).predict(X[test])
            predicted = np.clip(np.rint(predicted), 0, 4)
            of_size.append(mean_absolute_error(grade[test], predicted))
        errors.append(np.mean(of_size))
    print(f"{name:<26}" + "".join(f"{error:>8.3f}" for error in errors))
    ax.plot(sizes, errors, marker="o", label=name)
ax.set(xlabel="training samples", ylabel="mean distance in grades", xscale="log")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.legend()

# %%
# One direction and four thresholds take far fewer samples than five rows of weights. Rounded
# numbers do well, as the grades were cut from a number; they have no probabilities, though, and no
# thresholds of their own.

model = models["ordered: cumulative link"].fit(X, grade)
thresholds = -np.diff(model[-1].intercept_)
print("thresholds:", thresholds.round(2))
print("probabilities of the first sample's grades:", model.predict_proba(X[:1]).round(2)[0])
