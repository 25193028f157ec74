"""How much privacy is spent: the sampled Gaussian mechanism, in Renyi's divergence, and single
releases with Gaussian noise or by objective perturbation, exactly.

All of it is for data sets that differ in one sample which one of them lacks ("add or remove one"),
the relation that Poisson sampling supports.

References
----------
.. [1] Mironov, I., Talwar, K. and Zhang, L. (2019). Renyi differential privacy of the sampled
   Gaussian mechanism. arXiv:1908.10530.
.. [2] Canonne, C. L., Kamath, G. and Steinke, T. (2020). The discrete Gaussian for differential
   privacy. NeurIPS, proposition 12; Balle, B. et al. (2020). Hypothesis testing interpretations and
   Renyi differential privacy. AISTATS, theorem 21.
.. [3] Balle, B. and Wang, Y.-X. (2018). Improving the Gaussian mechanism for differential privacy:
   analytical calibration and optimal denoising. ICML, theorem 8.
.. [4] Redberg, R., Koskela, A. and Wang, Y.-X. (2023). Improving the privacy and practicality of
   objective perturbation for differentially private linear learners. NeurIPS.
"""

import math
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, log_ndtr

# Orders of Renyi's divergence: fractional ones for much noise in few steps, high ones for little
# privacy spent.
ORDERS = np.concatenate([1 + np.arange(1, 100) / 10, np.arange(11, 64), 2.0 ** np.arange(6, 13)])
# The integral of fractional orders: points in the shorter of the noise's standard deviation and
# variance (the integrand is analytic up to pi variances from the real line), and deviations beyond
# the outermost peaks.
POINTS, REACH = 10, 12
# Below this noise the points would be many, and whole orders must do: bounds as well, but looser.
LEAST_NOISE = 0.2
# Bisections end at this relative width, on the side with more noise.
PRECISION = 1e-6


def _log_sum(x):
    """``log(sum(exp(x)))`` along the last axis; SciPy's has many times the overhead."""
    top = x.max(axis=-1)
    return top + np.log(np.exp(x - top[..., None]).sum(axis=-1))


def _whole_order(q, noise, order):
    """Section 3.3 of [1]: the logarithm of the moment, of an integer order."""
    k = np.arange(order + 1.0)
    log_choose = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    powers = k * math.log(q) + (order - k) * math.log1p(-q)
    return _log_sum(log_choose + powers + (k * k - k) / (2 * noise**2))


def _real_orders(q, noise, orders):
    """Logarithms of the moments of any orders: the mean of the ratio of the densities to the power
    of the order, by the trapezoidal rule, which is exact to rounding for what is analytic and falls
    off so fast."""
    step = min(noise, noise**2) / POINTS
    z = np.arange(-REACH * noise, orders.max() + REACH * noise, step)
    log_ratio = np.logaddexp(math.log1p(-q), math.log(q) + (z - 0.5) / noise**2)
    log_density = -0.5 * (z / noise) ** 2 - math.log(noise * math.sqrt(2 * math.pi))
    return _log_sum(np.multiply.outer(orders, log_ratio) + log_density) + math.log(step)


def renyi_divergence(q, noise, orders=ORDERS):
    """Renyi's divergences of one step of the sampled Gaussian mechanism.

    Parameters
    ----------
    q : float
        The probability with which a sample is in a batch; in (0, 1].
    noise : float
        Standard deviation of the noise, for a sum in which a sample has norm 1.
    orders : ndarray of shape (n_orders,), default=ORDERS
        Above 1.

    Returns
    -------
    divergence : ndarray of shape (n_orders,)
    """
    if q == 1:
        return orders / (2 * noise**2)
    orders = np.asarray(orders, dtype=np.float64)
    whole = orders == np.rint(orders)
    moments = np.empty(len(orders))
    moments[whole] = [_whole_order(q, noise, order) for order in orders[whole]]
    if not whole.all():
        moments[~whole] = _real_orders(q, noise, orders[~whole])
    # Rounding may leave a divergence that is nearly 0 below it.
    return np.maximum(moments, 0.0) / (orders - 1)


def _rdp_epsilon(q, noise, n_steps, delta):
    if q == 1:  # the steps together are one release, whose noise is that much smaller
        return gaussian_epsilon(noise / math.sqrt(n_steps), delta)
    orders = ORDERS if noise >= LEAST_NOISE else ORDERS[np.rint(ORDERS) == ORDERS]
    divergence = n_steps * renyi_divergence(q, noise, orders)
    spare = np.log1p(-1 / orders) - (math.log(delta) + np.log(orders)) / (orders - 1)
    return max(0.0, float((divergence + spare).min()))


def _pld_epsilon(q, noise, n_steps, delta):
    try:
        from dp_accounting.pld import privacy_loss_distribution
    except ImportError as error:
        raise ImportError(
            "accountant='pld' needs dp-accounting: pip install dp-accounting"
        ) from error
    step = privacy_loss_distribution.from_gaussian_mechanism(noise, sampling_prob=q)
    return float(step.self_compose(n_steps).get_epsilon_for_delta(delta))


ACCOUNTANTS = {"rdp": _rdp_epsilon, "pld": _pld_epsilon}


@lru_cache(maxsize=256)
def sgd_epsilon(q, noise, n_steps, delta, accountant="rdp"):
    """Epsilon of steps of the sampled Gaussian mechanism.

    Parameters
    ----------
    q, noise : float
        As in `renyi_divergence`.
    n_steps : int
    delta : float
        In (0, 1).
    accountant : {"rdp", "pld"}, default="rdp"

    Returns
    -------
    epsilon : float
        An upper bound; inf where the noise is too small for it to be found.
    """
    return ACCOUNTANTS[accountant](q, noise, n_steps, delta)


@lru_cache(maxsize=256)
def sgd_noise(epsilon, delta, q, n_steps, accountant="rdp"):
    """The least noise with which steps of the sampled Gaussian mechanism spend at most `epsilon`.

    Parameters
    ----------
    epsilon : float
        In (0, inf).
    delta, q, n_steps, accountant
        As in `sgd_epsilon`.

    Returns
    -------
    noise : float
        Standard deviation, for a sum in which a sample has norm 1.

    Raises
    ------
    ValueError
        Where no noise is enough: an accountant has a least epsilon that it can tell from 0.
    """
    if accountant == "pld":
        # Its cost grows steeply where noise is small: start at what is known to be enough.
        start = sgd_noise(epsilon, delta, q, n_steps)
        return _least(lambda noise: _pld_epsilon(q, noise, n_steps, delta), epsilon, start, 1e-3)
    return _least(lambda noise: _rdp_epsilon(q, noise, n_steps, delta), epsilon, 1.0)


def _least(spent, epsilon, start, precision=PRECISION):
    """The least noise that spends at most `epsilon`, of a function that falls with the noise."""
    high = start
    while spent(high) > epsilon:
        high *= 2
        if high > 1e9:
            raise ValueError(
                f"no noise was found that keeps epsilon at {epsilon:g}; the least that can be "
                f"accounted for is about {spent(high):.3g}. Choose a larger epsilon or delta"
            )
    low = high / 2
    while spent(low) <= epsilon:
        high, low = low, low / 2
    while high - low > precision * high:
        middle = (low + high) / 2
        low, high = (low, middle) if spent(middle) <= epsilon else (middle, high)
    return high


# ------------------------------------------------------------------------------- single releases


def gaussian_delta(epsilon, noise):
    """Theorem 8 of [3]: delta of one release with Gaussian noise.

    Parameters
    ----------
    epsilon : float
        At least 0.
    noise : float
        Standard deviation, beside the sensitivity.

    Returns
    -------
    delta : float
    """
    half = 0.5 / noise
    above = log_ndtr(half - epsilon * noise)
    ratio = epsilon + log_ndtr(-half - epsilon * noise) - above
    return float(-np.exp(above) * np.expm1(min(ratio, 0.0)))


def gaussian_epsilon(noise, delta):
    """Epsilon of one release with Gaussian noise; parameters as in `gaussian_delta`."""
    if gaussian_delta(0.0, noise) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while gaussian_delta(high, noise) > delta:
        low, high = high, 2 * high
    while high - low > PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if gaussian_delta(middle, noise) <= delta else (middle, high)
    return high


def gaussian_noise(epsilon, delta):
    """The least noise of a release with Gaussian noise, beside its sensitivity."""
    return _least(lambda noise: gaussian_epsilon(noise, delta), epsilon, 1.0)


def objective_delta(epsilon, noise, curvature):
    """Delta of objective perturbation of a linear model with Gaussian noise.

    The logarithm of the ratio of the densities of the released minimum is at most ``s**2 / 2 + s *
    |Z| + curvature``, with s the sample's largest gradient over the noise's standard deviation and
    Z standard normal: the gradient of a sample is its derivative times its features, so that it
    meets the noise along a direction that does not depend on where the minimum is [4]_. Delta is
    the mean of ``max(0, 1 - exp(epsilon - that))``.

    Parameters
    ----------
    epsilon : float
        At least 0.
    noise : float
        Standard deviation, beside the largest norm of a sample's gradient.
    curvature : float
        The most by which a sample changes the logarithm of the determinant of the hessian.

    Returns
    -------
    delta : float
    """
    s, rest = 1 / noise, epsilon - curvature
    if rest >= s * s / 2:
        return 2 * gaussian_delta(rest, noise)
    return float(-np.expm1(math.log(2) + rest + log_ndtr(-s)))


def objective_noise(epsilon, delta, curvature):
    """The least noise of objective perturbation that spends (epsilon, delta), beside the largest
    norm of a sample's gradient; `curvature`, as in `objective_delta`, is below epsilon."""

    # `_least` asks for what falls with the noise and is at most `epsilon` where there is enough.
    def spent(noise):
        return epsilon if objective_delta(epsilon, noise, curvature) <= delta else math.inf

    return _least(spent, epsilon, 1.0)
