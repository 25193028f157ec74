"""
Robust regression under outliers
================================

The same line fitted with six losses while a growing share of the targets is wrong. What an
outlier does is what the gradient of the loss says: grows with the residual, stays, or goes back
to zero.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_losses import (
    Cauchy,
    HuberLoss,
    LossDisplay,
    ParameterPathDisplay,
    SGDRegressorX,
    TukeyBiweight,
    Welsch,
)

# %%
# The losses
# ----------
# For the picture noise has the standard deviation 1, and the thresholds are in its units.

losses = {
    "squared_error": "squared_error",
    "absolute_error": "absolute_error",
    "huber": HuberLoss(delta=1.35),
    "cauchy": Cauchy(c=2.4),
    "welsch": Welsch(c=3.0),
    "tukey": TukeyBiweight(c=4.685),
}
LossDisplay.from_losses(losses, limits=(-8, 8))
plt.show()

# %%
# The share of outliers
# ---------------------
# Outliers lie on one side, 10 to 30 above the line, and more of them at the right.


def data(share, seed, n=300):
    rng = np.random.RandomState(seed)
    x = rng.uniform(-3, 3, n)
    y = 2 * x + 1 + rng.normal(size=n)
    wrong = rng.permutation(n)[: int(share * n)]
    y[wrong] += rng.uniform(10, 30, len(wrong)) * (x[wrong] > -1)
    return x[:, np.newaxis], y


def fitted(loss, X, y):
    # In real units nobody knows the noise: "auto" estimates it with the fit. Redescending losses,
    # which have several minima, then start from Huber's fit.
    if not isinstance(loss, str):
        loss = type(loss)("auto")
    return SGDRegressorX(loss, optimizer="lbfgs", alpha=0, max_iter=200).fit(X, y)


shares = np.array([0, 0.05, 0.1, 0.2, 0.3, 0.4])
grid = np.linspace(-3, 3, 61)[:, np.newaxis]
errors = {}
for name, loss in losses.items():
    errors[name] = [
        np.mean([np.sqrt(np.mean((fitted(loss, *data(share, seed)).predict(grid)
                                  - 2 * grid[:, 0] - 1) ** 2)) for seed in range(5)])
        for share in shares
    ]  # fmt: skip

print(f"{'outliers in %':<16}", *(f"{100 * share:>6.0f}" for share in shares))
for name, row in errors.items():
    print(f"{name:<16}", *(f"{error:>6.2f}" for error in row))

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.3), layout="constrained")
X, y = data(0.2, seed=0)
left.plot(X[:, 0], y, ".", color="0.6", markersize=3)
colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
for (name, loss), colour in zip(losses.items(), colours, strict=True):
    left.plot(grid[:, 0], fitted(loss, X, y).predict(grid), color=colour, label=name)
    right.plot(100 * shares, errors[name], "o-", color=colour, markersize=3)
left.set(xlabel="x", ylabel="y", title="20 % outliers")
left.legend(fontsize="x-small")
right.set(xlabel="outliers (%)", ylabel="error of the line (units of y)", yscale="log")
right.grid(alpha=0.3)
plt.show()

# %%
# Where to put the threshold
# --------------------------
# Scored by the median absolute error, which outliers do not enter while they are few.

ParameterPathDisplay.from_estimator(
    SGDRegressorX(HuberLoss(), optimizer="lbfgs", alpha=0, max_iter=200),
    X,
    y,
    param_name="loss__delta",
    param_range=np.geomspace(0.1, 30, 13),
    scoring="neg_median_absolute_error",
)
plt.show()
