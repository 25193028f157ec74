"""
A plane, fitted to loss zero
============================

The first program of many courses: y is a linear function of x without noise, and a model with the
same form has to find its coefficients. The loss can then fall to zero, and how far it falls says
what an optimizer's stopping rule and its steps are worth.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_losses import SGDRegressorX, SquaredError

# %%
# The data
# --------
# A thousand points of a plane, ``y = 2 x1 - 3.4 x2 + 4.2``.

rng = np.random.RandomState(0)
X = rng.normal(size=(1000, 2))
true_coef, true_intercept = np.array([2.0, -3.4]), 4.2
y = X @ true_coef + true_intercept

# %%
# By hand
# -------
# Mini-batches of ten, and the gradient of the mean squared error written out.


def by_hand(X, y, epochs=20, rate=0.03):
    """Coefficients, intercept, and the mean squared error after each epoch."""
    w, b, curve = np.zeros(2), 0.0, []
    order = np.random.RandomState(1)
    for _ in range(epochs):
        for batch in np.split(order.permutation(len(y)), len(y) // 10):
            residual = X[batch] @ w + b - y[batch]
            w -= rate * 2 * X[batch].T @ residual / len(batch)
            b -= rate * 2 * residual.mean()
        curve.append(np.mean((X @ w + b - y) ** 2))
    return w, b, curve


w, b, curve = by_hand(X, y)
print(f"loss {curve[-1]:.1e}, w = {w}, b = {b:.15f}")

# %%
# By the library
# --------------
# Mini-batches with a constant rate, and ``optimizer="auto"``, which solves for the minimum. `eta0`
# has no unit: it is a share of Newton's step, in which the factor 2 of the gradient is counted, so
# that the 0.03 from above is 0.06 here. What is left in the end is rounding: the last digit of a y
# near 8 is 2e-15, and its square 3e-30.


def by_library(X, y, epochs=20):
    """A model, and the mean squared error after each epoch."""
    model = SGDRegressorX(
        SquaredError(),
        alpha=0,
        batch_size=10,
        learning_rate="constant",
        eta0=0.06,
        random_state=1,
    )
    curve = []
    for _ in range(epochs):
        model.partial_fit(X, y)  # one pass over the samples
        curve.append(SquaredError()(y, model.predict(X)))
    return model, curve


sgd, sgd_curve = by_library(X, y)
exact = SGDRegressorX(SquaredError(), alpha=0, optimizer="auto").fit(X, y)
exact_loss = SquaredError()(y, exact.predict(X))
for name, model, value in (
    ("mini-batches", sgd, sgd_curve[-1]),
    (f"auto: {exact.optimizer_!r}", exact, exact_loss),
):
    error = max(abs(model.coef_ - true_coef).max(), abs(model.intercept_[0] - true_intercept))
    print(f"{name:<15} loss {value:.1e}, coefficients off by at most {error:.0e}")

# %%
# With noise
# ----------
# Without noise all mini-batches have the same minimum, so that their steps lead there as those of
# all samples do: by about the same factor every epoch. With noise each has another; at a constant
# rate the steps go around the minimum at a distance that the rate sets, and another epoch changes
# nothing. The loss itself hardly tells, as it stands at the noise's variance. What tells is how far
# it is above the least.

noisy = y + rng.normal(scale=0.1, size=len(y))
least = SquaredError()(
    noisy, SGDRegressorX(SquaredError(), alpha=0, optimizer="auto").fit(X, noisy).predict(X)
)
noisy_sgd, noisy_curve = by_library(X, noisy)
excess = np.array(noisy_curve) - least
print(f"with noise: loss {noisy_curve[-1]:.6f}, of which {excess[-1]:.0e} is above the least")

# %%
# The curves
# ----------

epochs = np.arange(1, 21)
figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.semilogy(epochs, curve, "o-", color="0.6", label="by hand", markersize=7)
ax.semilogy(epochs, sgd_curve, ".-", color="#0072B2", label="SGDRegressorX, batch_size=10")
ax.axhline(exact_loss, color="#009E73", linestyle="--", label='optimizer="auto"')
ax.semilogy(epochs, excess, ".-", color="#D55E00", label="with noise: above the least")
ax.set(xlabel="epochs", ylabel="mean squared error", xticks=epochs[1::2])
ax.legend(fontsize="small")
plt.show()
