"""An attacker's view: from many fits with and without one sample, how much privacy was lost at the
least. What is lost is at most what is reported; and an implementation with less noise is caught.

The lower bound is that of Jagielski, Ullman and Oprea (2020): on one half of the runs the threshold
is chosen, on the other the attack's two rates of success are bounded (Clopper and Pearson, 1934).
"""

import math

import numpy as np
import pytest
from scipy.stats import beta, binom

from sklearn_losses import HuberLoss, get_loss
from sklearn_losses.private import PrivateLinearRegressor, _mechanisms
from sklearn_losses.private._accountant import sgd_epsilon, sgd_noise
from sklearn_losses.private._mechanisms import Steps, descend
from sklearn_losses.private._problem import Problem

# An honest mechanism is accused in one of so many tests at most.
LEVEL = 1e-5
# Some hundred runs cannot see what happens in one of a hundred thousand: a delta that they can see
# leaves little room between what is measured and what is reported.
EPSILON, DELTA = 1.5, 0.02


def clopper_pearson(k, n):
    """Bounds of a probability of which k of n were seen, each wrong with probability LEVEL / 4."""
    low = beta.ppf(LEVEL / 4, k, n - k + 1) if k else 0.0
    high = beta.isf(LEVEL / 4, k + 1, n - k) if k < n else 1.0
    return low, high


def rates_to_epsilon(hits, n, false_alarms, m):
    """The epsilon that is needed at least for these rates of an attack."""
    caught, alarms = clopper_pearson(hits, n)[0], clopper_pearson(false_alarms, m)[1]
    return math.log(max(caught - DELTA, 1e-12) / alarms)


def measured_epsilon(present, absent):
    """A lower bound of epsilon, from the statistic of runs with the sample and without it."""
    half = len(present) // 2
    choose = np.sort(np.concatenate([present[:half], absent[:half]]))

    def bound(threshold, rows):
        p, a = present[rows], absent[rows]
        above = rates_to_epsilon((p > threshold).sum(), len(p), (a > threshold).sum(), len(a))
        below = rates_to_epsilon((a <= threshold).sum(), len(a), (p <= threshold).sum(), len(p))
        return max(above, below)

    best = max(choose[:: max(1, len(choose) // 200)], key=lambda t: bound(t, slice(0, half)))
    return max(0.0, bound(best, slice(half, None)))


def less_noise(patch, factor):
    """Let all noise be so many times smaller."""
    for name in ("normal", "spherical"):
        draw = getattr(_mechanisms, name)
        patch.setattr(_mechanisms, name, lambda n, draw=draw: draw(n) / factor)
    release = _mechanisms.release

    def weaker(value, sensitivity, multiplier, *draw):
        return release(value, sensitivity, multiplier / factor, *draw)

    patch.setattr(_mechanisms, "release", weaker)


def test_the_bounds_of_rates_are_those_of_clopper_and_pearson():
    for k, n in [(0, 50), (3, 50), (50, 50)]:
        low, high = clopper_pearson(k, n)
        tail = LEVEL / 4
        assert (k == 0 and low == 0) or binom.sf(k - 1, n, low) == pytest.approx(tail, rel=1e-6)
        assert (k == n and high == 1) or binom.cdf(k, n, high) == pytest.approx(tail, rel=1e-6)


def test_the_attack_finds_most_of_a_gaussian_s_epsilon():
    rng = np.random.default_rng(0)
    present, absent = rng.normal(1.0, 1.0, 20000), rng.normal(0.0, 1.0, 20000)
    epsilon = sgd_epsilon(1.0, 1.0, 1, DELTA)
    assert 0.2 * epsilon < measured_epsilon(present, absent) < epsilon


# The sample that is most easily seen: the only one that pulls along its feature, as hard as it may,
# at every step again (the others are at the minimum, which is 0).
CANARY = 100.0


def steps_of(n_runs, present, q, n_steps):
    """Where `n_runs` of noisy descents end, along the canary's feature."""
    X, y = np.zeros((20, 2)), np.zeros(20)
    X[:, 1] = 0.5
    X[0], y[0] = [1.0, 0.0], CANARY
    rows = slice(0 if present else 1, 20)
    problem = Problem(X[rows], y[rows], get_loss("squared_error"), fit_intercept=False)
    noise = sgd_noise(EPSILON, DELTA, q, n_steps)
    steps = Steps(q, n_steps, noise, clip_norm=1.0, rate=0.1, decay=0.0, average=False)
    return np.array([descend(problem, steps, 20)[0, 0] for _ in range(n_runs)])


@pytest.mark.parametrize(
    ("q", "n_steps", "n_runs"),
    [(1.0, 1, 800), pytest.param(0.5, 2, 4000, marks=pytest.mark.slow)],
)
def test_steps_lose_no_more_than_is_reported_and_less_noise_is_caught(q, n_steps, n_runs):
    honest = [steps_of(n_runs, present, q, n_steps) for present in (True, False)]
    assert measured_epsilon(*honest) <= EPSILON
    with pytest.MonkeyPatch.context() as patch:
        less_noise(patch, 4)
        broken = [steps_of(n_runs, present, q, n_steps) for present in (True, False)]
    assert measured_epsilon(*broken) > EPSILON


def fits_of(n_runs, present, params):
    """Coefficients along the canary's feature, of the public estimators."""
    n = 30
    X, y = np.zeros((n, 2)), np.zeros(n)
    X[1:, 1] = np.linspace(-1, 1, n - 1)
    X[0], y[0] = [1.0, 0.0], CANARY
    rows = slice(0 if present else 1, n)
    model = PrivateLinearRegressor(
        HuberLoss(1.0),
        epsilon=EPSILON,
        n_samples=n,
        data_norm=1.0,
        fit_intercept=False,
        **{"delta": DELTA, **params},
    )
    return np.array([model.fit(X[rows], y[rows]).coef_[0] for _ in range(n_runs)])


ESTIMATORS = [
    {"mechanism": "sgd", "batch_size": 15, "max_iter": 4},
    {"mechanism": "sgd", "batch_size": 30, "max_iter": 2},
    {"mechanism": "output", "alpha": 0.5},
    {"mechanism": "output", "alpha": 0.5, "delta": 0},
    {"mechanism": "objective", "alpha": 0.5},
    {"mechanism": "objective", "alpha": 0.5, "delta": 0},
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:target_bounds|delta=:UserWarning")
@pytest.mark.parametrize("params", ESTIMATORS, ids=str)
def test_estimators_lose_no_more_than_they_report_and_less_noise_is_caught(params):
    n_runs = 1200
    honest = [fits_of(n_runs, present, params) for present in (True, False)]
    assert measured_epsilon(*honest) <= EPSILON
    with pytest.MonkeyPatch.context() as patch:
        less_noise(patch, 4)
        broken = [fits_of(n_runs, present, params) for present in (True, False)]
    assert measured_epsilon(*broken) > EPSILON
