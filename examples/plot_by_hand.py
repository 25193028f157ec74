"""
Mean squared error and cross-entropy by hand
============================================

The two losses that textbooks begin with, on their small numbers: once in NumPy, once by the
library.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_losses import HalfMultinomialLoss, HalfSquaredError, SquaredError, mean_loss

# %%
# Mean squared error
# ------------------
# Five targets and five predictions. The differences are 0.2, 0, 0.2, 0.3 and 0.4, and the mean of
# their squares is ``(0.04 + 0 + 0.04 + 0.09 + 0.16) / 5 = 0.33 / 5 = 0.066``.

y_true = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
y_pred = np.array([0.8, 2.0, 2.8, 3.7, 4.6])

by_hand = np.mean((y_true - y_pred) ** 2)
by_library = SquaredError()(y_true, y_pred)
print(f"by hand {by_hand:.6f}, by the library {by_library:.6f}")
np.testing.assert_allclose(by_library, by_hand)

# %%
# The gradient with respect to each prediction is twice the difference. `HalfSquaredError`, which
# estimators call "squared_error" as scikit-learn does, halves both.

value, gradient = SquaredError().loss_gradient(y_true, y_pred)
np.testing.assert_allclose(gradient, 2 * (y_pred - y_true))
np.testing.assert_allclose(HalfSquaredError().gradient(y_true, y_pred), y_pred - y_true)
print("squared error of each sample:", value.round(2))
print("gradient:                    ", gradient.round(2))

# %%
# Cross-entropy
# -------------
# Three samples of three classes: one-hot rows against rows of predicted probabilities. Only the
# probability of the true class counts: ``-(log 0.7 + log 0.8 + log 0.4) / 3 = (0.357 + 0.223 +
# 0.916) / 3 = 0.499``.

one_hot = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
proba = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])

by_hand = -np.mean(np.sum(one_hot * np.log(proba), axis=1))
by_library = mean_loss(one_hot, proba, loss="multinomial")
print(f"by hand {by_hand:.6f}, by the library {by_library:.6f}")
np.testing.assert_allclose(by_library, by_hand)

# %%
# Codes in place of one-hot rows give the same ("sparse" cross-entropy).

np.testing.assert_allclose(mean_loss([0, 1, 2], proba, loss="multinomial"), by_hand)

# %%
# A model is trained on raw predictions, whose softmax are the probabilities. There the gradient
# is the probability less the target, the sum of which over a row is 0.

raw = np.log(proba)
gradient = HalfMultinomialLoss().gradient(one_hot, raw)
np.testing.assert_allclose(gradient, proba - one_hot, atol=1e-15)
print(gradient.round(2))

# %%
# What each sample adds
# ---------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
left.bar(np.arange(1, 6), value, color="#0072B2")
left.axhline(value.mean(), color="#D55E00", linestyle="--", label=f"mean {value.mean():.3f}")
left.set(xlabel="sample", ylabel="squared error (units of y, squared)")
losses = HalfMultinomialLoss().loss(one_hot, raw)
right.bar(["first", "second", "third"], losses, color="#009E73")
right.axhline(losses.mean(), color="#D55E00", linestyle="--", label=f"mean {losses.mean():.3f}")
right.set(xlabel="sample", ylabel="cross-entropy (nats)")
for ax in (left, right):
    ax.legend()
plt.show()
