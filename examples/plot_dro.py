"""
Worst cases: when they help, and when not
=========================================

A mean forgets a small group. What a worst case does for it, with the groups known and unknown; and
what the same worst case does to data with outliers.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_losses import CVaRLoss, GroupRobustLoss, SGDRegressorX, group_target

# %%
# A small group
# -------------
# Of twenty samples one is of a group in which y rises half as steeply. One line has to serve both.


def sample(n, rng, outliers=0.0):
    small = rng.random(n) < 0.05
    x = rng.uniform(0, 4, size=n)
    y = np.where(small, 1.0, 2.0) * x + 0.3 * rng.normal(size=n)
    wrong = rng.random(n) < outliers
    y[wrong] = rng.uniform(-10, 18, size=wrong.sum())
    return x[:, None], y, np.where(small, "small", "large")


def fits(X, y, group):
    losses = {
        "mean": "squared_error",
        "CVaR": CVaRLoss("squared_error", level=0.95),
        "groups": GroupRobustLoss("squared_error"),
    }
    return {
        name: SGDRegressorX(loss, alpha=0, optimizer="auto", max_iter=5000).fit(
            X, group_target(y, group) if name == "groups" else y
        )
        for name, loss in losses.items()
    }


def errors(models, X, y, group):
    """Root mean squared errors of large group, small group, and all."""
    parts = [group == "large", group == "small", np.ones(len(y), dtype=bool)]
    return {
        name: [float(np.sqrt(np.mean((model.predict(X) - y)[part] ** 2))) for part in parts]
        for name, model in models.items()
    }


rng = np.random.default_rng(0)
train, test = sample(1000, rng), sample(20_000, rng)
clean = fits(*train)
told = errors(clean, *test)
for name, (large, small, both) in told.items():
    print(f"{name:7s} large {large:.2f}  small {small:.2f}  all {both:.2f}")

# %%
# The mean forgets the small group. With the groups given, the fit is as far off in one as in the
# other, and pays for it where most samples are. CVaR was not told the groups, and goes half the
# way: among the largest losses, a share of one in twenty, are samples of both.
#
# Outliers
# --------
# Now one of fifty targets to learn from is nonsense. The test samples are as before.

dirty_train = sample(1000, rng, outliers=0.02)
dirty = fits(*dirty_train)
told_dirty = errors(dirty, *test)
for name, (large, small, both) in told_dirty.items():
    print(f"{name:7s} large {large:.2f}  small {small:.2f}  all {both:.2f}")

# %%
# CVaR follows the outliers, which are the largest losses now, and serves either group worse than
# before. The means of known groups see fewer of them, and yet the line is no longer fair to both. A
# worst case cannot tell a group that matters from noise: robust to where the data come from is the
# opposite of robust to outliers.

figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
grid = np.array([[0.0], [4.0]])
places = zip(axes, (train, dirty_train), (clean, dirty), ("Clean", "Outliers"), strict=False)
for ax, (X, y, group), models, title in places:
    for name, color in (("large", "0.75"), ("small", "0.2")):
        ax.plot(X[group == name, 0], y[group == name], ".", color=color, ms=3, label=name)
    for name, model in models.items():
        ax.plot(grid[:, 0], model.predict(grid), label=name, lw=2)
    ax.set(title=title, xlabel="x", ylabel="y")
axes[0].legend(fontsize="small")
width = 0.2
for k, result in enumerate([told, told_dirty]):
    for i, name in enumerate(result):
        for j in range(2):
            axes[2].bar(
                3 * k + j + (i - 1) * width * 1.3,
                result[name][j],
                width,
                color=f"C{i}",
                label=name if k == j == 0 else None,
            )
axes[2].set_xticks(
    [0, 1, 3, 4], ["large\nclean", "small\nclean", "large\noutliers", "small\noutliers"]
)
axes[2].set(title="Error on clean test samples", ylabel="root mean squared error")
axes[2].set_ylim(0, 2.7)
axes[2].legend(fontsize="small", loc="upper center", ncols=3)
plt.show()
