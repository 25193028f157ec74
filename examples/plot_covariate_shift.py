"""
Covariate shift: when weights help, and when they do not
========================================================

A model is trained where data were cheap (the source) and used elsewhere (the target): the relation
of y to x is the same in both, the distribution of x is not. `DensityRatio` estimates how much more
often the target has a sample than the source, from the features alone; with these weights source
samples stand for target ones. Whether that is of use depends on the model.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sklearn_losses import DensityRatio, SGDClassifierX, SGDRegressorX, effective_sample_size

# %%
# The data
# --------
# Shimodaira's (2000) example: the target lies where the curve falls, and half of the source where
# it rises again.


def curve(x):
    return x**3 - x


def samples(n_source, n_target, rng):
    """Features of both samples, and the source's targets."""
    source = rng.normal(0.5, 0.5, size=(n_source, 1))
    target = rng.normal(0.0, 0.3, size=(n_target, 1))
    return source, target, curve(source[:, 0]) + rng.normal(scale=0.3, size=n_source)


source, target, y = samples(200, 200, np.random.RandomState(0))

# %%
# The weights
# -----------
# Of two normal distributions the logarithm of the ratio is a parabola, so the classifier gets
# squares. The effective sample size says what the weights leave of 200 samples.


def density_ratio(**params):
    classifier = make_pipeline(
        PolynomialFeatures(2, include_bias=False),
        StandardScaler(),
        SGDClassifierX("log_loss", optimizer="auto"),
    )
    return DensityRatio(classifier, **params)


ratio = density_ratio().fit_samples(source, target)
weights = ratio.predict(source)
print(f"weights from {weights.min():.1e} to {weights.max():.2f}")
print(f"effective sample size {effective_sample_size(weights):.0f} of {len(source)}")

# %%
# Two models, with and without them
# ---------------------------------
# A line cannot follow the curve: it has to choose where to be right, and the weights say where. A
# polynomial of degree three can follow it, and is right everywhere.


def fit(degree, x, y, sample_weight=None):
    model = make_pipeline(
        PolynomialFeatures(degree, include_bias=False),
        SGDRegressorX("squared_error", optimizer="auto", alpha=0),
    )
    return model.fit(x, y, sgdregressorx__sample_weight=sample_weight)


grid = np.linspace(-1, 1.8, 100)[:, np.newaxis]
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
axes[0].hist(source[:, 0], bins=20, density=True, alpha=0.5, color="#0072B2", label="source")
axes[0].hist(target[:, 0], bins=20, density=True, alpha=0.5, color="#D55E00", label="target")
order = np.argsort(source[:, 0])
axes[0].plot(source[order, 0], weights[order], color="#009E73", label="estimated ratio")
truth = (0.5 / 0.3) * np.exp((source[order, 0] - 0.5) ** 2 / 0.5 - source[order, 0] ** 2 / 0.18)
axes[0].plot(source[order, 0], truth, ":", color="black", label="true ratio")
axes[0].set(xlabel="x", title="densities and their ratio")
for ax, degree, title in zip(axes[1:], (1, 3), ("a line", "a cubic"), strict=True):
    ax.scatter(source[:, 0], y, s=1 + 12 * weights, color="0.6", label="source, by weight")
    ax.plot(grid[:, 0], curve(grid[:, 0]), ":", color="black", label="truth")
    plain, weighted = fit(degree, source, y), fit(degree, source, y, weights)
    ax.plot(grid[:, 0], plain.predict(grid), color="#0072B2", label="without weights")
    ax.plot(grid[:, 0], weighted.predict(grid), color="#D55E00", label="with weights")
    ax.axvspan(-0.6, 0.6, color="#D55E00", alpha=0.08)
    ax.set(xlabel="x", ylim=(-1.5, 2), title=title)
for ax in axes[:2]:
    ax.legend(fontsize="x-small")
plt.show()

# %%
# Over and over
# -------------
# One draw proves nothing. Mean squared distance from the true curve, over the target's
# distribution, in the mean of 30 draws. ``power=0.5`` is half way
# to the weights, and ``clip=2`` lets none count for more than two.


def distance(model, x):
    return np.mean((model.predict(x) - curve(x[:, 0])) ** 2)


WAYS = {"no weights": None, "power=0.5": {"power": 0.5}, "weights": {}, "clip=2": {"clip": 2.0}}
x_test = np.random.RandomState(1).normal(0.0, 0.3, size=(2000, 1))
errors = {(degree, way): [] for degree in (1, 3) for way in WAYS}
sizes = {way: [] for way in WAYS}
for seed in range(30):
    source, target, y = samples(200, 200, np.random.RandomState(seed))
    for way, params in WAYS.items():
        weights = np.ones(200)
        if params is not None:
            weights = density_ratio(**params).fit_samples(source, target).predict(source)
        sizes[way].append(effective_sample_size(weights))
        for degree in (1, 3):
            errors[degree, way].append(distance(fit(degree, source, y, weights), x_test))

print(f"{'':<12}{'sample size':>12}{'line':>10}{'cubic':>10}   (1000 x squared distance)")
for way in WAYS:
    of_line, of_cubic = (1000 * np.mean(errors[degree, way]) for degree in (1, 3))
    print(f"{way:<12}{np.mean(sizes[way]):>12.0f}{of_line:>10.2f}{of_cubic:>10.2f}")

worse = np.mean(np.array(errors[3, "weights"]) > np.array(errors[3, "no weights"]))
better = np.mean(np.array(errors[1, "weights"]) < np.array(errors[1, "no weights"]))
print(f"weights made the line better in {better:.0%} of the draws, the cubic worse in {worse:.0%}")

# %%
# For the line the weights are the difference between a wrong slope and the right one, and half of
# them is most of it. The cubic was right without them: weights leave fewer samples, and it gets
# worse. Ask first whether the model is wrong; a better model is worth more than weights.
