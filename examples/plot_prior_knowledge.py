"""
What is known before the data
=============================

Few samples and many coefficients: an older study says about where the coefficients are, or their
order says that neighbours are alike. Both are penalties, `GaussianPrior` and `SmoothPenalty`. Both
help where what they say is true, and harm where it is not.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_losses import AlphaSearchCV, GaussianPrior, SGDRegressorX, SmoothPenalty

rng = np.random.RandomState(0)
alphas = np.logspace(-4, 4, 13)


def fitted(penalty, X, y):
    """The strength by cross-validation."""
    model = SGDRegressorX(penalty=penalty, optimizer="auto")
    return AlphaSearchCV(model, alphas=alphas, cv=5).fit(X, y)


# %%
# A curve of coefficients
# -----------------------
# Spectra of 100 wavelengths, 60 samples: what is measured is a smooth curve's product with each.
# A second target depends on every wavelength by its own, without order.

n, d = 60, 100
wavelength = np.linspace(0, 1, d)
X, X_test = rng.normal(size=(2, 500, d))
X = X[:n]
smooth = np.exp(-(((wavelength - 0.35) / 0.1) ** 2)) - 0.6 * np.exp(
    -(((wavelength - 0.7) / 0.15) ** 2)
)
truths = {"smooth": smooth, "rough": rng.permutation(smooth)}
noise = rng.normal(size=n)

print(f"R2 on new samples{'':<12}{'l2':>8}{'smooth':>8}")
models = {}
for name, coef in truths.items():
    y, y_test = X @ coef + noise, X_test @ coef
    models[name] = [fitted(penalty, X, y) for penalty in ("l2", SmoothPenalty(order=2))]
    scores = [model.score(X_test, y_test) for model in models[name]]
    print(f"{'true coefficients: ' + name:<29}" + "".join(f"{score:>8.2f}" for score in scores))

# %%
# The prior of an older study
# ---------------------------
# Ten coefficients, 15 samples of a new site, and an older study's estimates with their covariance.
# Where the new site is as the old one, the prior is worth most; where it is a little off, little;
# where all signs are turned it is worse than none, although the strength is cross-validated.

d = 10
A = rng.normal(size=(400, d)) @ rng.normal(size=(d, d)) / 3
coef = rng.normal(size=d)
old = np.linalg.lstsq(A, A @ coef + rng.normal(size=400), rcond=None)[0]
precision = A.T @ A / len(A)
prior = GaussianPrior(old, precision)

print(f"\nR2 on new samples{'':<12}{'l2':>8}{'prior':>8}")
for name, here in (
    ("the same", coef),
    ("a little off", coef + 0.3 * rng.normal(size=d)),
    ("signs turned", -coef),
):
    scores = np.zeros((5, 2))
    for trial in range(5):
        X_new, X_test_new = (A[rng.choice(400, size)] for size in (15, 400))
        y_new = X_new @ here + 2.0 * rng.normal(size=15)
        scores[trial] = [
            fitted(penalty, X_new, y_new).score(X_test_new, X_test_new @ here)
            for penalty in ("l2", prior)
        ]
    print(f"{name:<29}" + "".join(f"{score:>8.2f}" for score in np.median(scores, axis=0)))

# %%
# The picture
# -----------

fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for ax, (name, truth) in zip(axes, truths.items(), strict=True):
    for model, label, color in zip(
        models[name], ("l2", "SmoothPenalty(order=2)"), ("tab:orange", "tab:blue"), strict=True
    ):
        ax.plot(wavelength, model.coef_, label=label, color=color)
    ax.plot(wavelength, truth, "k--", lw=1, label="true")
    ax.set(title=f"{name} coefficients", xlabel="wavelength")
axes[0].set_ylabel("coefficient")
axes[0].legend(frameon=False)
plt.show()
