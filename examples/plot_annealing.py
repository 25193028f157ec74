"""
Past a wrong minimum, in stages
===============================

A loss that stops counting outliers has minima of its own at them, and a fit ends in the one that
it comes to first. `LossSchedule` begins with a wide scale, at which the loss is next to squared
error and has one minimum, and narrows it: graduated non-convexity. Here it is measured where that
helps, where a good start does as well, and where nothing does.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_losses import GeneralRobust, HuberLoss, LossSchedule, SGDRegressorX, TukeyBiweight

# %%
# A line, and outliers in X and y
# -------------------------------
# The noise has the standard deviation 0.1, and Tukey's loss stops counting beyond 0.5.

TRUE = np.array([1.0, -2.0, 0.5])


def data(seed, share, shift, n=200):
    """`shift`: of the outliers' features; None: theirs are like all others, and their targets are
    wrong to both sides."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    y = X @ TRUE + 0.1 * rng.normal(size=n)
    wrong = int(share * n)
    if shift is None:
        y[:wrong] = 20 * rng.normal(size=wrong)
    else:
        X[:wrong] += shift
        y[:wrong] = 20 * rng.uniform(size=wrong)
    return X, y


def fitted(loss, X, y, **start):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # which some of these deserve
        return SGDRegressorX(loss, optimizer="auto", alpha=0).fit(X, y, **start)


def from_huber(loss, X, y):
    first = fitted(HuberLoss("auto"), X, y)
    return fitted(loss, X, y, coef_init=first.coef_, intercept_init=first.intercept_)


# %%
# How often the fit is that of the clean samples
# ----------------------------------------------

wide = [256, 64, 16, 4, 2]
tukey, auto, general = TukeyBiweight(0.5), TukeyBiweight("auto"), GeneralRobust(-2, c=0.2)
ways = {
    "tukey": (fitted, tukey),
    "tukey, from Huber's fit": (from_huber, tukey),
    "tukey, c in stages": (fitted, LossSchedule(tukey, "c", wide, relative=True)),
    "tukey, c='auto'": (fitted, auto),
    "tukey, c='auto' in stages": (fitted, LossSchedule(auto, "c", wide, relative=True)),
    "general": (fitted, general),
    "general, alpha in stages": (fitted, LossSchedule(general, "alpha", [2, 1, 0])),
    "general, c in stages": (fitted, LossSchedule(general, "c", wide, relative=True)),
}
settings = {
    "40 % in y": (0.4, None),
    "60 % in y": (0.6, None),
    "40 %, shift 1": (0.4, 1.0),
    "40 %, shift 5": (0.4, 5.0),
}
N_SEEDS = 4
found = {
    way: [
        sum(
            np.abs(fit(loss, *data(seed, *setting)).coef_ - TRUE).max() < 0.1
            for seed in range(N_SEEDS)
        )
        for setting in settings.values()
    ]
    for way, (fit, loss) in ways.items()
}
print(f"found, of {N_SEEDS}".ljust(26), *(f"{name:>14}" for name in settings))
for way, counts in found.items():
    print(f"{way:<26}", *(f"{count:>14}" for count in counts))

# %%
# What the stages do to the objective
# -----------------------------------
# Along the line from the minimum that the plain fit ends in to that of the stages: with the widest
# scales there is one minimum, and it moves over to the side of the clean samples before the other
# opens.

X, y = data(1, 0.4, 1.0)
staged = LossSchedule(tukey, "c", wide, relative=True)
plain, model = fitted(tukey, X, y), fitted(staged, X, y)

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
shares = np.linspace(-0.5, 1.5, 201)
a, b = plain.predict(X), model.predict(X)
for factor, colour in zip((64, 16, 4, 1), plt.cm.viridis(np.linspace(0.85, 0, 4)), strict=True):
    loss = TukeyBiweight(0.5 * factor)
    values = np.array([loss(y, a + share * (b - a)) for share in shares])
    values = (values - values.min()) / np.ptp(values)
    left.plot(shares, values, color=colour, label=f"c = {loss.c:g}")
left.axvline(0, color="0.7", linewidth=0.8)
left.axvline(1, color="0.7", linewidth=0.8)
left.set(xlabel="from the plain fit (0) to the stages (1)", ylabel="objective, from 0 to 1")
left.legend(fontsize="x-small")

for each, name, colour in ((plain, "tukey", "#D55E00"), (model, "c in stages", "#0072B2")):
    size = np.sort(np.abs(y - each.predict(X)))
    middle.plot(np.arange(1, len(y) + 1) / len(y), size, color=colour, label=name)
middle.axhline(0.5, color="0.5", linewidth=0.8, linestyle=":")
middle.set(xlabel="share of samples", ylabel="absolute residual, sorted", yscale="log")
middle.legend(fontsize="x-small")

right.plot(np.arange(1, model.n_iter_ + 1), model.loss_curve_, ".-", color="#0072B2")
right.axhline(plain.loss_curve_[-1], color="#D55E00", label="where the plain fit ended")
right.set(xlabel="epoch", ylabel="loss_curve_: each stage's own loss", yscale="log")
right.legend(fontsize="x-small")
plt.show()
