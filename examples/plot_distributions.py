"""
How sure is the model?
======================

A mean does not say how far off it may be. `GaussianNLL` and `StudentTNLL` predict the spread of
each sample beside its mean, each by a linear model of its own.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_losses import GaussianNLL, SGDRegressorX, StudentTNLL

# %%
# Where spreads differ
# --------------------
# Travel times: the longer the way, the less is known. One in fifty was held up.

rng = np.random.RandomState(0)
way = rng.uniform(0, 100, size=600)
time = 5 + 1.2 * way + np.exp(0.5 + 0.025 * way) * rng.normal(size=600)
held_up = rng.uniform(size=600) < 0.02
time[held_up] += rng.exponential(60, size=held_up.sum())
X = way[:, None]

losses = {
    "Gaussian, constant scale": GaussianNLL("constant"),
    "Gaussian, linear scale": GaussianNLL(),
    "Student t, linear scale": StudentTNLL(),
}
grid = np.linspace(0, 100, 101)[:, None]
fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
for ax, (name, loss) in zip(axes, losses.items(), strict=True):
    model = SGDRegressorX(loss, optimizer="auto").fit(X, time)
    low, middle, high = model.predict_distribution(grid).ppf([[0.05], [0.5], [0.95]])
    ends = model.predict_distribution(X).ppf([[0.05], [0.95]])
    inside = ((time > ends[0]) & (time < ends[1])).reshape(-1)
    short, long = inside[way < 50].mean(), inside[way >= 50].mean()
    print(f"{name:<26} in its 90 % interval: short ways {short:.0%}, long ways {long:.0%}")
    ax.scatter(way, time, s=4, color="0.6")
    ax.plot(grid, middle, color="C0")
    ax.fill_between(grid[:, 0], low, high, color="C0", alpha=0.25, lw=0)
    ax.set(title=name, xlabel="way", ylim=(-20, 200))
axes[0].set_ylabel("time")

# %%
# A constant scale promises too much on long ways and too little on short ones. The few that were
# held up widen the intervals of the Gaussian; the t distribution takes them for what they are.
#
# Where there is little to gain
# -----------------------------
# The diabetes data, by the likelihood of held-out samples (lower is better): their spread hardly
# depends on the features, and they have no heavy tails.

X, y = load_diabetes(return_X_y=True)
for name, loss in losses.items():
    model = make_pipeline(StandardScaler(), SGDRegressorX(loss, optimizer="auto"))
    scores = cross_validate(model, X, y, scoring=loss.as_scorer(), cv=10)["test_score"]
    print(f"{name:<26} {-scores.mean():.3f} nats a sample")
