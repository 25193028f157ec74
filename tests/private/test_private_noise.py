"""Noise is what it is said to be, cannot be repeated, and hides which numbers it was added to."""

import math

import numpy as np
import pytest
from scipy import stats

from sklearn_losses.private import _noise
from sklearn_losses.private._noise import normal, poisson_sample, release, spherical, uniform

# Samples are new each time: tests reject at this level, about one run in a million.
LEVEL = 1e-6


def test_uniform_numbers_are_uniform_and_never_0_or_1(monkeypatch):
    u = uniform(100_000)
    assert stats.kstest(u, "uniform").pvalue > LEVEL
    for byte in (b"\x00", b"\xff"):
        monkeypatch.setattr(_noise, "urandom", lambda n, byte=byte: byte * n)
        assert (uniform(3) > 0).all() and (uniform(3) < 1).all()


def test_normal_numbers_are_standard_normal_and_independent():
    x = normal(100_000)
    assert stats.kstest(x, "norm").pvalue > LEVEL
    assert stats.pearsonr(x[1:], x[:-1]).pvalue > LEVEL


def test_a_normal_number_is_a_sum_of_four(monkeypatch):
    asked = []
    real = _noise.urandom
    monkeypatch.setattr(_noise, "urandom", lambda n: asked.append(n) or real(n))
    normal(10)
    # Two uniform numbers of 8 bytes each.
    assert sum(asked) == 10 * 4 * 2 * 8


def test_a_spherical_vector_has_the_gamma_distribution_s_norm_and_no_direction():
    draws = np.array([spherical(5) for _ in range(4000)])
    norms = np.linalg.norm(draws, axis=1)
    assert stats.kstest(norms, stats.gamma(5).cdf).pvalue > LEVEL
    # One coordinate of a point on the sphere, over the radius: a beta distribution.
    square = (draws[:, 2] / norms) ** 2
    assert stats.kstest(square, stats.beta(0.5, 2).cdf).pvalue > LEVEL
    assert stats.binomtest(int((draws[:, 2] > 0).sum()), 4000).pvalue > LEVEL


@pytest.mark.parametrize("q", [0.002, 0.3, 0.97])
def test_each_sample_is_drawn_with_its_probability_by_itself(q):
    n, times = 50, 4000
    taken = np.zeros((times, n), dtype=bool)
    for row in taken:
        index = poisson_sample(n, q)
        assert (np.diff(index) > 0).all()
        row[index] = True
    each = [stats.binomtest(int(k), times, q).pvalue for k in taken.sum(axis=0)]
    assert min(each) > LEVEL / n
    # Sizes of batches are binomial, which they are only if samples are independent.
    sizes = taken.sum(axis=1)
    variance = n * q * (1 - q)
    assert abs(sizes.var() / variance - 1) < 6 * math.sqrt((2 + 1 / variance) / times)
    pairs = int((taken[:, 3] & taken[:, 4]).sum())
    assert stats.binomtest(pairs, times, q * q).pvalue > LEVEL


def test_all_samples_are_drawn_where_that_is_asked_and_hardly_any_where_that_is():
    np.testing.assert_array_equal(poisson_sample(7, 1.0), np.arange(7))
    assert len(poisson_sample(1000, 1e-15)) == 0


def test_seeding_numpy_does_not_repeat_the_noise():
    draws = []
    for _ in range(2):
        np.random.seed(0)
        draws.append((normal(4), uniform(4), poisson_sample(200, 0.5)))
    for one, other in zip(*draws, strict=True):
        assert not np.array_equal(one, other)


def test_released_numbers_have_the_noise_that_is_asked_for():
    value = np.full(50_000, 3.0)
    noisy = release(value, 0.5, 4.0)
    scale = 4.0 * (0.5 + math.sqrt(50_000) * 2.0 ** math.floor(math.log2(2.0 * 2.0**-20)))
    assert scale == pytest.approx(2.0, rel=1e-3) and scale > 2.0
    assert stats.kstest((noisy - 3.0) / scale, "norm").pvalue > LEVEL


def test_rounding_to_the_grid_is_added_to_the_sensitivity(monkeypatch):
    monkeypatch.setattr(_noise, "GRID", 0.25)
    # A grid of 1/4 in 9 numbers: up to 3/4 of the norm more, beside the sensitivity of 1.
    noisy = release(np.zeros(9), 1.0, 1.0, draw=lambda n: np.full(n, 4.0))
    np.testing.assert_array_equal(noisy, 7.0)


@pytest.mark.parametrize("shape", [(3,), (2, 5)])
def test_every_data_set_can_give_every_number_of_one_grid(shape):
    rng = np.random.default_rng(0)
    grid = 2.0 ** math.floor(math.log2(0.3 * 1.7 * 2.0**-20))
    for value in (np.zeros(shape), rng.normal(size=shape), 1e6 * rng.normal(size=shape)):
        noisy = release(value, 0.3, 1.7)
        assert noisy.shape == shape
        np.testing.assert_array_equal(noisy / grid, np.rint(noisy / grid))


def test_noise_on_the_grid_does_not_depend_on_what_it_is_added_to():
    fixed = np.array([0.1234567, -2.7654321, 0.5])
    zero = release(np.zeros(3), 1.0, 1.0, draw=lambda n: fixed)
    value = np.array([0.1, 1 / 3, 1e5 / 7])
    moved = release(value, 1.0, 1.0, draw=lambda n: fixed) - zero
    np.testing.assert_array_equal(moved, np.rint(value * 2**20) / 2**20)
