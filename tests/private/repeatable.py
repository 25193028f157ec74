"""Random bits that come again, for tests alone."""

from contextlib import contextmanager

import numpy as np
import pytest

from sklearn_losses.private import _mechanisms, _noise


@contextmanager
def repeated_bits(seed=0):
    """Within it, all noise comes from a seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_noise, "urandom", np.random.default_rng(seed).bytes)
        yield


@contextmanager
def no_noise():
    """Within it, what is released is exact, and listed with its sensitivity and noise."""
    seen = []

    def exact(value, sensitivity, multiplier, draw=None):
        seen.append((value.copy(), sensitivity, multiplier))
        return value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_mechanisms, "release", exact)
        yield seen
