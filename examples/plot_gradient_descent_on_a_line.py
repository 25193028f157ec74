"""
Mini-batch gradient descent on a line
=====================================

A line has two numbers, a slope and an intercept, so that what gradient descent does can be seen:
the way of each optimizer over the surface of the loss, mini-batch by mini-batch.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_losses import OPTIMIZERS, SGDRegressorX, SquaredError

# %%
# The data
# --------
# Two hundred points around ``y = 1.5 x + 2``.

rng = np.random.RandomState(0)
x = rng.uniform(-2, 3, size=200)
y = 1.5 * x + 2 + rng.normal(scale=0.8, size=200)
X = x[:, np.newaxis]

# %%
# By hand, and by the library
# ---------------------------
# The loop of the textbooks: shuffle, take a mini-batch, step against the gradient of its mean
# squared error. `SGDRegressorX` does the same in one line; neither ends at the minimum, as a
# constant rate goes around it, and both near it.

BATCH = 20


def by_hand(x, y, rate=0.05, epochs=10):
    """Slope and intercept after mini-batch gradient descent."""
    slope, intercept = 0.0, 0.0
    order = np.random.RandomState(0)
    for _ in range(epochs):
        for batch in np.split(order.permutation(len(y)), len(y) // BATCH):
            residual = slope * x[batch] + intercept - y[batch]
            slope -= rate * 2 * np.mean(residual * x[batch])
            intercept -= rate * 2 * np.mean(residual)
    return slope, intercept


def by_library(x, y, rate=0.1, epochs=10):
    """The same with SGDRegressorX, whose rate counts the factor 2 of the gradient in."""
    model = SGDRegressorX(
        SquaredError(),
        batch_size=BATCH,
        learning_rate="constant",
        eta0=rate,
        alpha=0,
        max_iter=epochs,
        tol=None,
        random_state=0,
    ).fit(x[:, np.newaxis], y)
    return model.coef_[0], model.intercept_[0]


for name, way in (("by hand", by_hand), ("SGDRegressorX", by_library)):
    a, b = way(x, y)
    print(f"{name:<15} y = {a:.3f} x + {b:.3f}")

# %%
# The difference shows when x comes in another unit, here in hundredths. The loop's rate was right
# for the old one, and its steps grow without end; the library's has no unit.

for name, way in (("by hand", by_hand), ("SGDRegressorX", by_library)):
    with np.errstate(over="ignore", invalid="ignore"):
        a, b = way(100 * x, y)
    print(f"{name:<15} y = {100 * a:.3f} x + {b:.3f}")

# %%
# Step by step
# ------------
# Each call of `partial_fit` goes over what it is given; with ``batch_size="full"`` that is one
# step on the mean gradient of the 20 points of a mini-batch. The optimizer's state (velocity,
# moments) stays in the estimator from call to call. All start at slope 0 and the best constant of
# the first mini-batch, its mean. Rates have no unit: steps are taken in coordinates in which x,
# from its mean, and y have the size 1 (the guide's "Scales and units").

RATES = {
    "sgd": 0.1,
    "momentum": 0.05,
    "nesterov": 0.05,
    "adagrad": 0.2,
    "rmsprop": 0.03,
    "adam": 0.1,
}


def path(optimizer, eta0, epochs=8):
    """Slope and intercept after each step, of shape (n_steps + 1, 2)."""
    model = SGDRegressorX(
        SquaredError(),
        optimizer=optimizer,
        learning_rate="constant",
        eta0=eta0,
        alpha=0,
        batch_size="full",
    )
    order = np.random.RandomState(1)
    points = []
    for _ in range(epochs):
        for batch in np.split(order.permutation(len(y)), len(y) // BATCH):
            if not points:
                points.append((0.0, y[batch].mean()))
            model.partial_fit(X[batch], y[batch])
            points.append((model.coef_[0], model.intercept_[0]))
    return np.array(points)


paths = {name: path(name, rate) for name, rate in RATES.items()}

# %%
# The ways
# --------
# The rings are lines of equal mean squared error; the cross is its minimum, from a solver that
# takes all points at once. Momentum overshoots and comes back; AdaGrad, RMSProp and Adam take
# both coordinates at the same pace.

best = SGDRegressorX(SquaredError(), optimizer="lbfgs", alpha=0).fit(X, y)
slope, intercept = np.meshgrid(np.linspace(-0.5, 3, 80), np.linspace(0.5, 3.5, 80))
error = np.mean((slope[..., None] * x + intercept[..., None] - y) ** 2, axis=-1)

figure, axes = plt.subplots(2, 3, figsize=(8, 5.6), sharex=True, sharey=True, layout="constrained")
for ax, (name, points) in zip(axes.flat, paths.items(), strict=True):
    ax.contour(
        slope, intercept, error, levels=np.geomspace(0.7, 20, 9), colors="0.75", linewidths=0.8
    )
    ax.plot(*points.T, ".-", color="#0072B2", linewidth=1, markersize=3)
    ax.plot(best.coef_, best.intercept_, "x", color="#D55E00", markersize=9, markeredgewidth=2)
    ax.set_title(f"{name}, eta0={RATES[name]:g}", fontsize="medium")
figure.supxlabel("slope")
figure.supylabel("intercept")
plt.show()

# %%
# The fitted line
# ---------------

figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.plot(x, y, ".", color="0.6", markersize=4, label="data")
ends = np.array([x.min(), x.max()])
for colour, step in (("#56B4E9", 3), ("#009E73", 10), ("#D55E00", 80)):
    a, b = paths["adam"][step]
    ax.plot(ends, a * ends + b, color=colour, label=f"adam, after {step} steps")
ax.set(xlabel="x", ylabel="y")
ax.legend(fontsize="small")
plt.show()

for name, points in paths.items():
    a, b = points[-1]
    print(f"{name:<10} y = {a:.3f} x + {b:.3f} after {len(points) - 1} steps")
print(f"{'lbfgs':<10} y = {best.coef_[0]:.3f} x + {best.intercept_[0]:.3f}")

# %%
# `OPTIMIZERS` lists every optimizer by its name; those that go over the same samples again and
# again, as "lbfgs", have no `partial_fit`.

print(*OPTIMIZERS)
