"""
Counts with too many zeros
==========================

Counts spread more than Poisson's for two reasons: rates differ by what no feature tells, or some
samples could have had no count at all. `NegativeBinomialNLL` is for the first,
`ZeroInflatedPoissonNLL` and `HurdlePoissonNLL` are for the second.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from sklearn_losses import (
    HurdlePoissonNLL,
    NegativeBinomialNLL,
    SGDRegressorX,
    ZeroInflatedPoissonNLL,
)

# %%
# Two worlds with about as many zeros, each with 2000 samples to learn from and 2000 held out.

rng = np.random.RandomState(0)
X = rng.normal(size=(4000, 2))
rate = np.exp(1.0 + 0.5 * X[:, 0])
worlds = {
    "rates that differ": rng.poisson(rate * rng.gamma(1.0, 1.0, size=4000)),
    "some without any": rng.poisson(rate) * (rng.uniform(size=4000) > 0.25),
}
losses = {
    "Poisson": "poisson",
    "negative binomial": NegativeBinomialNLL(),
    "zero-inflated Poisson": ZeroInflatedPoissonNLL(),
    "hurdle Poisson": HurdlePoissonNLL("constant"),
}

# %%
# How often each count is seen among those held out, and how often the models expect it.

counts = np.arange(12)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for ax, (title, y) in zip(axes, worlds.items(), strict=True):
    seen = (y[2000:, None] == counts).mean(axis=0)
    ax.bar(counts, seen, color="0.8", label="seen")
    for k, (name, loss) in enumerate(losses.items()):
        model = SGDRegressorX(loss, optimizer="auto").fit(X[:2000], y[:2000])
        if loss == "poisson":
            law = stats.poisson(model.predict(X[2000:]))
        else:
            law = model.predict_distribution(X[2000:])
        nats = -law.logpmf(y[2000:]).mean()
        print(f"{title}: {name:<22} {nats:.3f} nats a sample")
        expected = law.pmf(counts[:, None]).mean(axis=1)
        ax.plot(counts, expected, ".-", color=f"C{k}", label=f"{name}: {nats:.3f}")
    ax.set(title=title, xlabel="count", ylabel="share of samples")
    ax.legend(title="nats a held-out sample")

# %%
# Each family is the best in its own world. The zeros alone do not tell the two apart: where rates
# differ, inflated zeros are met, and the counts that follow are not. A hurdle with one probability
# of 0 for all comes close, though the zeros of small rates depend on X, which
# ``HurdlePoissonNLL("linear")`` allows for.

plt.show()
