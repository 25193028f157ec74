"""What the benchmarks share: sizes, data, and the ratio of two interleaved timings."""

import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

# asv imports this folder alone. At the end of the path, so that what is installed comes first.
sys.path.append(str(Path(__file__).parents[2]))

# SKLEARN_LOSSES_BENCHMARKS=smoke runs everything once and small: that it runs, not how fast.
SMOKE = os.environ.get("SKLEARN_LOSSES_BENCHMARKS") == "smoke"


def ratio(ours, theirs, repeats=21):
    """Median time of `theirs` over that of `ours`: above 1, ours is faster.

    The two are timed in turn, so that a machine that slows down slows both.
    """
    ours(), theirs()  # caches, thread pools
    times = ([], [])
    for _ in range(2 if SMOKE else repeats):
        for function, seconds in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    return statistics.median(times[1]) / statistics.median(times[0])


def pointwise_data(n, dtype, seed=0):
    """y_true and raw_prediction; (0, 1) lies in the domain of every pointwise loss."""
    rng = np.random.RandomState(seed)
    return rng.uniform(0.05, 0.95, n).astype(dtype), rng.standard_normal(n).astype(dtype)
