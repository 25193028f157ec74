"""
Your own loss in ten lines
==========================

A loss is a value and a gradient. Written in NumPy it works wherever a built-in one does:
estimators, searches, scorers, boosting, PyTorch, pictures.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_losses import FunctionLoss, LossDisplay, SGDRegressorX, d2_loss_score
from sklearn_losses.testing import check_loss

# %%
# Ten lines
# ---------
# A shop orders stock for tomorrow. What is left over costs 1 apiece; what is missing costs 3
# apiece and, as customers do not come back, grows with the square.


def cost(y, raw):
    missing = np.maximum(y - raw, 0)
    return np.maximum(raw - y, 0) + 3 * missing + 0.5 * missing**2


def slope(y, raw):
    return np.where(raw > y, 1.0, -3.0 - np.maximum(y - raw, 0)) * (raw != y)


stock_cost = FunctionLoss(cost, slope, differentiable=False)

# %%
# `check_loss` holds it to the promises that the built-in losses keep: that the gradient is the
# value's, that weights multiply, that float32 stays float32, and so on.

check_loss(stock_cost)

# %%
# What it looks like
# ------------------

LossDisplay.from_losses({"stock_cost": stock_cost, "squared_error": "squared_error"})
plt.show()

# %%
# Training with it
# ----------------
# Demand varies more on busy days, so that the best stock is more than the mean demand, by more on
# busy days.

rng = np.random.RandomState(0)
busy = rng.uniform(0, 3, size=1500)
demand = 5 + 3 * busy + rng.normal(size=1500) * (0.5 + busy)
X = busy[:, np.newaxis]

shared = {"optimizer": "adam", "batch_size": 32, "alpha": 0, "random_state": 0}
models = {
    "stock_cost": SGDRegressorX(stock_cost, **shared).fit(X, demand),
    "squared_error": SGDRegressorX("squared_error", **shared).fit(X, demand),
}
for name, model in models.items():
    y_pred = model.predict(X)
    skill = d2_loss_score(demand, y_pred, loss=stock_cost)
    print(f"{name:<14} costs {stock_cost(demand, y_pred):.3f} a day, saves {100 * skill:.0f} %")

figure, ax = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
ax.plot(busy, demand, ".", color="0.7", markersize=3, label="demand")
grid = np.array([[0.0], [3.0]])
for (name, model), colour in zip(models.items(), ("#0072B2", "#D55E00"), strict=True):
    ax.plot(grid[:, 0], model.predict(grid), color=colour, label=name)
ax.set(xlabel="how busy the day is", ylabel="pieces")
ax.legend()
plt.show()

# %%
# Where speed matters, `CompiledLoss` takes C functions (numba, ctypes, SciPy's LowLevelCallable),
# which run inside the compiled loops.
