"""What is said to be spent is spent: against published libraries' numbers, and integrals."""

import math
import sys

import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from sklearn_losses.private._accountant import (
    ORDERS,
    _real_orders,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_noise,
    objective_delta,
    objective_noise,
    renyi_divergence,
    sgd_epsilon,
    sgd_noise,
)

# (q, noise, n_steps, delta): epsilon by opacus 1.6.0 with the orders here
#   compute_rdp(q=q, noise_multiplier=noise, steps=n_steps, orders=ORDERS)
#   get_privacy_spent(orders=ORDERS, rdp=rdp, delta=delta)
# and by dp-accounting 0.6.0, from_gaussian_mechanism(noise, sampling_prob=q)
#   .self_compose(n_steps).get_epsilon_for_delta(delta)
PEERS = {
    (0.01, 1.1, 1000, 1e-5): (1.7117700912203435, 1.5153702481117373),
    (0.6, 2.0, 34, 1e-5): (10.028034772226134, 9.252335068742614),
    (0.001, 0.6, 10000, 1e-6): (3.9991305068321434, 3.1522270307968516),
    (0.05, 8.0, 500, 1e-5): (0.5471957116183486, 0.4974648614509019),
    (0.004, 0.3, 3, 1e-5): (12.310076705239561, 9.87118391460425),
}


@pytest.mark.parametrize("case", PEERS)
def test_epsilon_is_that_of_opacus(case):
    assert sgd_epsilon(*case) == pytest.approx(PEERS[case][0], rel=1e-8)


@pytest.mark.parametrize("case", PEERS)
def test_renyis_accountant_is_on_the_safe_side_of_the_privacy_losses(case):
    assert PEERS[case][1] < sgd_epsilon(*case) < 1.3 * PEERS[case][1]


def test_steps_on_all_samples_are_one_release():
    # dp-accounting 0.6.0, as above: its discretisation errs upwards or downwards by 1e-4.
    assert sgd_epsilon(1.0, 5.0, 10, 1e-5) == pytest.approx(2.5943834404711485, rel=1e-5)


@pytest.mark.parametrize(
    ("order", "divergence"),  # opacus 1.6.0: compute_rdp(q=0.01, noise_multiplier=1.1, steps=1)
    [
        (1.5, 9.554528557684942e-05),
        (2, 0.00012851008160514807),
        (3.7, 0.0002452877227407896),
        (8.4, 0.0006204941661737016),
        (32, 8.469416433675926),
    ],
)
def test_divergences_are_those_of_opacus(order, divergence):
    (ours,) = renyi_divergence(0.01, 1.1, np.array([order]))
    assert ours == pytest.approx(divergence, rel=1e-9)


@pytest.mark.parametrize(
    ("q", "noise", "order"), [(0.3, 0.4, 1.3), (0.02, 0.9, 5.5), (0.9, 3.0, 2.25), (1e-4, 0.2, 1.1)]
)
def test_divergences_are_the_integrals_of_the_definition_in_both_directions(q, noise, order):
    with mp.workdps(20):
        q, noise, order = mp.mpf(q), mp.mpf(noise), mp.mpf(order)

        def density(z):
            return mp.npdf(z, 0, noise)

        def mixed(z):
            return (1 - q) * density(z) + q * mp.npdf(z, 1, noise)

        # Where the integrands have their peaks, and 14 deviations around.
        points = sorted({at + k * noise for at in (0, 1, order) for k in (-14, -4, 0, 4, 14)})

        def divergence(p, r):
            return mp.log(mp.quad(lambda z: p(z) ** order * r(z) ** (1 - order), points))

        up = divergence(mixed, density) / (order - 1)
        down = divergence(density, mixed) / (order - 1)
    (ours,) = renyi_divergence(float(q), float(noise), np.array([float(order)]))
    assert ours == pytest.approx(float(up), rel=1e-8, abs=1e-13)
    assert ours >= float(down) - 1e-13


@pytest.mark.parametrize(("q", "noise"), [(0.01, 1.1), (0.5, 0.5), (1e-3, 8.0), (0.999, 2.0)])
def test_sum_and_integral_agree_at_whole_orders(q, noise):
    orders = np.arange(2.0, 12.0)
    integral = _real_orders(q, noise, orders) / (orders - 1)
    np.testing.assert_allclose(integral, renyi_divergence(q, noise, orders), rtol=1e-10, atol=1e-13)


def test_divergence_grows_with_the_order_across_sums_and_integrals():
    for q, noise in [(0.01, 1.0), (0.2, 3.0), (0.7, 0.6)]:
        assert (np.diff(renyi_divergence(q, noise, np.sort(ORDERS))) > -1e-13).all()


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("q", [0.003, 0.4, 1.0])
def test_the_noise_that_is_found_is_the_least(epsilon, q):
    noise = sgd_noise(epsilon, 1e-5, q, 50)
    assert sgd_epsilon(q, noise, 50, 1e-5) <= epsilon
    assert sgd_epsilon(q, 0.99999 * noise, 50, 1e-5) > epsilon


def test_hardly_any_noise_is_accounted_for_by_whole_orders():
    around = [sgd_epsilon(0.3, noise, 20, 1e-5) for noise in (0.21, 0.2, 0.1999, 0.19, 1e-3, 1e-8)]
    assert (np.diff(around) > 0).all() and np.isfinite(around).all()
    # A sample that is in a batch is seen there: about 1 / noise**2 a step at the order 2.
    assert around[4] == pytest.approx(20 * 1e6, rel=1e-3)
    for epsilon in (200.0, 1e5):
        assert sgd_epsilon(0.3, sgd_noise(epsilon, 1e-5, 0.3, 20), 20, 1e-5) <= epsilon


def test_an_epsilon_that_no_noise_can_reach_is_an_error():
    with pytest.raises(ValueError, match="the least that can be accounted for"):
        sgd_noise(1e-5, 1e-9, 0.1, 100)


# dp-accounting 0.6.0: GaussianPrivacyLoss.from_privacy_guarantee(...).standard_deviation
@pytest.mark.parametrize(
    ("epsilon", "delta", "noise"),
    [
        (1, 1e-5, 3.730631664679545),
        (0.1, 1e-6, 36.30469045643756),
        (8, 1e-9, 0.7922371296234099),
    ],
)
def test_the_noise_of_one_release_is_that_of_dp_accounting(epsilon, delta, noise):
    assert gaussian_noise(epsilon, delta) == pytest.approx(noise, rel=1e-4)
    spent = gaussian_epsilon(gaussian_noise(epsilon, delta), delta)
    assert spent == pytest.approx(epsilon, rel=1e-4) and spent <= epsilon


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 3.0, 30.0])
@pytest.mark.parametrize("noise", [0.1, 1.0, 20.0])
def test_delta_of_one_release_is_the_difference_of_two_tails(epsilon, noise):
    with mp.workdps(60):
        a, b = mp.mpf(1) / (2 * noise), mp.mpf(epsilon) * noise
        exact = mp.ncdf(a - b) - mp.exp(epsilon) * mp.ncdf(-a - b)
    assert gaussian_delta(epsilon, noise) == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize("epsilon", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("noise", [0.3, 2.0, 9.0])
@pytest.mark.parametrize("curvature", [0.0, 0.1])
def test_delta_of_objective_perturbation_is_the_mean_that_it_is_said_to_be(
    epsilon, noise, curvature
):
    s = 1 / noise

    def loss(z):
        ratio = epsilon - s * s / 2 - s * z - curvature
        return -math.expm1(min(ratio, 0.0)) * 2 * norm.pdf(z)

    kink = max(0.0, (epsilon - s * s / 2 - curvature) / s)
    exact = quad(loss, kink, kink + 40, epsabs=0, epsrel=1e-10, limit=200)[0]
    assert objective_delta(epsilon, noise, curvature) == pytest.approx(exact, rel=1e-7, abs=1e-300)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.5, 1e-5), (1.0, 1e-6), (2.0, 1e-4)])
def test_objective_perturbation_needs_less_noise_than_kifers_theorem(epsilon, delta):
    noise = objective_noise(epsilon, delta, epsilon / 2)
    assert objective_delta(epsilon, noise, epsilon / 2) <= delta
    assert objective_delta(epsilon, 0.9999 * noise, epsilon / 2) > delta
    kifer = math.sqrt(8 * math.log(2 / delta) + 4 * epsilon) / epsilon
    assert 0.3 * kifer < noise < kifer


@pytest.mark.slow
def test_the_other_accountant_is_a_little_tighter():
    pytest.importorskip("dp_accounting", reason="dp-accounting is not installed")
    case = (0.01, 1.1, 1000, 1e-5)
    assert sgd_epsilon(*case, "pld") == pytest.approx(PEERS[case][1], rel=1e-3)
    noise = sgd_noise(1.0, 1e-5, 0.01, 1000, "pld")
    assert noise < sgd_noise(1.0, 1e-5, 0.01, 1000)
    assert 0.98 < sgd_epsilon(0.01, noise, 1000, 1e-5, "pld") <= 1.0


def test_the_other_accountant_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    monkeypatch.setitem(sys.modules, "dp_accounting.pld", None)
    with pytest.raises(ImportError, match="pip install dp-accounting"):
        sgd_epsilon(0.1, 1.0, 10, 1e-5, "pld")
