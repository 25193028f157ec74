"""
Counts with exposure
====================

Insurance claims: some policies were in force for a year, some for a week. A model of the rate
takes the logarithm of the time as an offset, which shifts the raw prediction and has no
coefficient.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_losses import NegativeBinomial, SGDRegressorX, d2_loss_score

# %%
# The data
# --------
# Ten thousand policies; the true rate of claims a year depends on three features, and differs
# between policies beyond them (a gamma mixture of Poissons: negative binomial counts).

rng = np.random.RandomState(0)
n = 10000
X = rng.normal(size=(n, 3))
coef, intercept = np.array([0.5, -0.3, 0.2]), -0.5
rate = np.exp(X @ coef + intercept)
exposure = rng.beta(0.7, 0.7, size=n) * 0.98 + 0.02  # years
y = rng.poisson(rate * exposure * rng.gamma(2.0, 1 / 2.0, size=n)).astype(float)
log_exposure = np.log(exposure)
X_train, X_test, y_train, y_test, offset_train, offset_test = train_test_split(
    X, y, log_exposure, random_state=0
)
print(
    f"{y.mean():.2f} claims a policy, {y.sum() / exposure.sum():.2f} a year; {y.max():.0f} at most"
)

# %%
# With and without
# ----------------
# With a log link, ``exp(X @ coef + intercept + log(exposure))`` is a rate times an exposure.

shared = {"optimizer": "lbfgs", "alpha": 0, "tol": 1e-8, "max_iter": 500}
without = SGDRegressorX("poisson", **shared).fit(X_train, y_train)
poisson = SGDRegressorX("poisson", **shared).fit(X_train, y_train, offset=offset_train)
binomial = SGDRegressorX(NegativeBinomial(theta=2.0), **shared)
binomial.fit(X_train, y_train, offset=offset_train)

print(f"{'':<34}{'coefficients':<26}{'intercept':>10}{'D2':>8}")
print(f"{'true rate':<34}{coef!s:<26}{intercept:>10.3f}")
for name, model, given in (
    ("poisson, exposure left out", without, None),
    ("poisson, offset", poisson, offset_test),
    ("negative binomial, offset", binomial, offset_test),
):
    y_pred = model.predict(X_test, offset=given)
    skill = d2_loss_score(y_test, y_pred, loss="poisson", offset=offset_test)
    print(f"{name:<34}{model.coef_.round(3)!s:<26}{model.intercept_[0]:>10.3f}{skill:>8.3f}")

# %%
# D2 is the share of the Poisson deviance that the model saves beside a constant rate, which has
# the exposures too: with ``offset``, knowing them is no skill, and not knowing them is worse than
# the constant. The intercept is the logarithm of a yearly rate only with the offset.
# ``poisson.score(X_test, y_test, offset=offset_test)`` is the same number.
#
# Calibration by exposure
# -----------------------

figure, ax = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
edges = np.quantile(np.exp(offset_test), np.linspace(0, 1, 11))
part = np.clip(np.searchsorted(edges, np.exp(offset_test)) - 1, 0, 9)
middle = [np.exp(offset_test[part == k]).mean() for k in range(10)]
for name, y_pred, look in (
    ("observed", y_test, {"color": "black", "marker": "o", "linestyle": ""}),
    ("with offset", poisson.predict(X_test, offset=offset_test), {"color": "#0072B2"}),
    ("exposure left out", without.predict(X_test), {"color": "#D55E00", "linestyle": "--"}),
):
    ax.plot(middle, [y_pred[part == k].mean() for k in range(10)], label=name, **look)
ax.set(xlabel="exposure (years)", ylabel="mean claims of a policy")
ax.legend()
plt.show()
