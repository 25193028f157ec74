"""Made-up patients for the tests of survival analysis, on whom other programs were run too."""

import numpy as np


def patients(n=60, ties=True):
    """X, times, events, weights, strata and entries."""
    rng = np.random.RandomState(7)
    X = rng.normal(size=(n, 2)).round(2)
    time = rng.exponential(np.exp(-X @ [0.8, -0.5])) * 10
    limit = rng.uniform(0, 20, n)
    event = time <= limit
    time = np.minimum(time, limit)
    time = np.ceil(time) if ties else time.round(3) + 0.001
    weight = rng.uniform(0.5, 2, n).round(2)
    stratum = rng.randint(0, 3, n)
    entry = (time * rng.uniform(0, 0.8, n)).round(2)
    return X, time, event, weight, stratum, entry
