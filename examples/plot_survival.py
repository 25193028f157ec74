"""
Times of which some are not over
================================

Machines that still run say that they live longer than they have so far. Leaving them out, or taking
their times as they are, makes lives too short; `AFT` and `CoxLoss` take them for what they are.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_losses import AFT, CoxLoss, SGDRegressorX, concordance_index, survival_target

# %%
# The data
# --------
# Weibull lives in months that depend on load and heat; machines were set up at any time of the five
# years before the day on which all are looked at.

rng = np.random.RandomState(0)
n = 1000
X = np.column_stack([rng.uniform(20, 100, n), rng.normal(60, 15, n)])  # load in %, heat in degrees
life = np.exp(6.5 - 0.03 * X[:, 0] - 0.02 * X[:, 1]) * rng.weibull(1.5, size=n)
age = rng.uniform(0, 60, size=n)
y = survival_target(np.minimum(life, age), event=life <= age)
X_train, X_test, y_train, y_test, _, life_test = train_test_split(X, y, life, random_state=0)
print(f"{y['event'].mean():.0%} of the machines have failed")

# %%
# Four models of one set of data
# ------------------------------

seen = y_train["event"]
shared = {"optimizer": "auto", "alpha": 0}
models = {
    "failed ones alone": SGDRegressorX(AFT("extreme"), **shared).fit(
        X_train[seen], y_train["time"][seen]
    ),
    "times as they are": SGDRegressorX(AFT("extreme"), **shared).fit(X_train, y_train["time"]),
    "AFT, censored": SGDRegressorX(AFT("extreme"), **shared).fit(X_train, y_train),
    "Cox, censored": SGDRegressorX(CoxLoss(), **shared).fit(X_train, y_train),
}
months = np.linspace(0.5, 60, 120)
truth = (life_test[:, None] > months).mean(axis=0)
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.plot(months, truth, color="0.3", lw=3, alpha=0.5, label="true lives of the test set")
for name, model in models.items():
    survival = model.predict_survival_function(X_test, months)
    # Cox's raw predictions are risks, the others' times.
    risk = model.predict(X_test) * (1 if name.startswith("Cox") else -1)
    off = np.abs(survival.mean(axis=0) - truth).max()
    concordance = concordance_index(y_test, risk)
    print(f"{name:<20} concordance {concordance:.3f}, survival off by up to {off:.2f}")
    ax.plot(months, survival.mean(axis=0), ls="--", label=name)
ax.set(xlabel="months", ylabel="share that still runs", ylim=(0, 1))
ax.legend()

# %%
# The order of the machines is no harder to learn from the wrong data, which is why concordance
# alone does not tell; how long they live is.
