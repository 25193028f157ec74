"""
How robust should a fit be?
===========================

`HuberLoss` and `StudentTNLL` are told how heavy the tails are: by a threshold, by degrees of
freedom. `GeneralRobustNLL` finds it: the shape of Barron's loss, from squared error (2) through
pseudo-Huber (1) to a Cauchy distribution (0), is one more number of the likelihood.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_losses import GeneralRobustNLL, HuberLoss, SGDRegressorX, StudentTNLL

# %%
# From no outliers to three in ten
# --------------------------------
# A plane in five features and normal errors; a share of the targets is moved up by about ten
# standard deviations. How far the fits are from the plane, over five draws:

losses = {
    "squared error": "squared_error",
    "Huber, auto": HuberLoss("auto"),
    "Student t, 4 degrees": StudentTNLL(scale="constant"),
    "adaptive": GeneralRobustNLL(scale="constant"),
}
DRAWS = 5
shares = [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
truth = np.array([1.0, -2.0, 0.5, 0.0, 3.0])
error = {name: np.empty((len(shares), DRAWS)) for name in losses}
alpha = np.empty((len(shares), DRAWS))
for i, share in enumerate(shares):
    for k in range(DRAWS):
        rng = np.random.RandomState(k)
        X = rng.normal(size=(300, 5))
        y = X @ truth + rng.normal(size=300)
        moved = rng.uniform(size=300) < share
        y[moved] += 10 + 5 * rng.normal(size=moved.sum())
        for name, loss in losses.items():
            model = SGDRegressorX(loss, optimizer="auto", alpha=0).fit(X, y)
            off = np.append(np.atleast_2d(model.coef_)[0] - truth, np.ravel(model.intercept_)[0])
            error[name][i, k] = np.sqrt((off**2).sum())
        alpha[i, k] = 2 / (1 + np.exp(-model.intercept_[2]))

print("share   alpha   " + "   ".join(losses))
for i, share in enumerate(shares):
    row = "   ".join(f"{np.median(error[name][i]):{len(name)}.2f}" for name in losses)
    print(f"{share:5.0%} {np.median(alpha[i]):7.2f}   {row}")

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for name in losses:
    left.plot(np.multiply(shares, 100), np.median(error[name], axis=1), ".-", label=name)
left.set(yscale="log", xlabel="outliers, percent", ylabel="distance from the plane, median")
left.set_ylim(top=9.0)
left.legend(loc="upper left", ncols=2)
right.plot(np.multiply(shares, 100), alpha, ".", color="0.7")
right.plot(np.multiply(shares, 100), np.median(alpha, axis=1), "o-", color="C3")
right.set(xlabel="outliers, percent", ylabel="fitted alpha", ylim=(-0.1, 2.1))

# %%
# Without outliers alpha is about 2, and the fit is that of least squares. With few of them the t
# distribution does as well, and needs no shape; with many it and Huber's loss let them pull, while
# the shape falls towards the Cauchy distribution, to which they hardly count.
#
# Tails of other kinds
# --------------------
# The shape is an estimate, with an error of its own; and errors that its family has no member for,
# as skewed ones, it can only come near to. Held-out likelihoods (nats a sample, lower is better):

draws = {
    "normal": lambda rng, n: rng.normal(size=n),
    "Laplace": lambda rng, n: rng.laplace(size=n),
    "Student t, 2": lambda rng, n: rng.standard_t(2, size=n),
    "Cauchy": lambda rng, n: rng.standard_cauchy(size=n),
    "skewed (exponential)": lambda rng, n: rng.exponential(size=n),
}
rivals = {
    "t, 4 degrees": StudentTNLL(scale="constant"),
    "alpha = 2": GeneralRobustNLL(2.0, "constant"),
    "alpha = 0": GeneralRobustNLL(0.0, "constant"),
    "adaptive": GeneralRobustNLL(scale="constant"),
}
print(f"{'errors':<22}" + "".join(f"{name:>14}" for name in rivals))
for name, draw in draws.items():
    rng = np.random.RandomState(0)
    X, X_new = rng.normal(size=(500, 2)), rng.normal(size=(10000, 2))
    y, y_new = (Z @ [1.0, -1.0] + draw(rng, len(Z)) for Z in (X, X_new))
    row = []
    for loss in rivals.values():
        model = SGDRegressorX(loss, optimizer="auto", alpha=0).fit(X, y)
        row.append(model.loss_(y_new, model.predict_raw(X_new)))
    print(f"{name:<22}" + "".join(f"{value:14.3f}" for value in row))

# %%
# The adaptive fit is never far behind the best shape, and the t distribution is as good where its
# degrees of freedom happen to be right. A fixed shape costs one thing less to estimate: who knows
# the tails should say so. Where the errors are skewed the location is no mean, whatever the tails.

plt.show()
