"""One 50-digit reference per loss, written as its textbook value and differentiated exactly.

``REFERENCES`` maps a class name to its value as a function of ``(y, raw, **params)``. Gradient and
hessian follow by forward-mode differentiation (`Jet`), so that no derivative here can share a slip
with a kernel's. The parameters are the class's own, all of them given.

An output is held relative to its true magnitude, except where it is a difference of terms that no
rearrangement brings to one rounding (exp(raw) - y). There ``TERMS`` lists the terms, and the output
is held relative to the largest. The lists are checked: they must add up to the derivative. They are
as tight as can be: where a cancellation is avoidable (sigmoid(raw) - y at y = 1, |r| - epsilon,
1 - (1 - u²)³), the terms do not contain it.
"""

import math
from math import inf

import distribution_references
from exact import (
    STAND_INS,
    TERMS,
    Jet,
    exp,
    expm1,
    log,
    log1p,
    loss,
    magnitude,
    margin_loss,
    margin_terms,
    row_loss,
    sigmoid,
    softplus,
    sqrt,
    terms,
)
from mpmath import mpf

BOUND = 8  # in units of finfo(dtype).eps
# Parameters in the units of y, and convex losses whose unit is not among their parameters.
IN_UNITS_OF_Y = {"delta", "beta", "width", "c", "epsilon"}
OWN_UNIT = {"SquaredLogError", "SmoothL2", "LogCosh", "NegativeBinomial"}


# The second derivative of these is 0 wherever it exists. Their hessian is a stand-in that a Newton
# step can divide by: the weight of an absolute error, 1 as in scikit-learn.
STAND_INS.update(
    {
        "AbsoluteError": lambda y: 1,
        "PinballLoss": lambda y, quantile: 1,
        "EpsilonInsensitive": lambda y, epsilon: 1,
        "AbsolutePercentageError": lambda y, epsilon: 1 / max(abs(y), epsilon),
        "Hinge": lambda y, threshold: 1,
        "Perceptron": lambda y: 1,
        "MulticlassHinge": lambda y: 1,
    }
)


# -------------------------------------------------------------------------------------------------
# Regression

# Parameters to try besides the defaults; what a loss has no default for must stand here.
SETTINGS = {
    "HuberLoss": [{}, {"delta": 1.35}, {"delta": 1e-3}],
    "SmoothL1": [{}, {"beta": 0.1}],
    "PseudoHuber": [{}, {"delta": 0.3}],
    "PinballLoss": [{}, {"quantile": 0.9}],
    "SmoothPinball": [{}, {"quantile": 0.9, "width": 0.7}],
    "Expectile": [{}, {"expectile": 0.2}],
    "EpsilonInsensitive": [{}, {"epsilon": 0.0}],
    "SquaredEpsilonInsensitive": [{}, {"epsilon": 1.7}],
    "Fair": [{}, {"c": 1.3998}, {"c": 1e23}, {"c": 1e-20}],
    "Cauchy": [{}, {"c": 2.3849}, {"c": 1e23}, {"c": 1e-20}],
    "GemanMcClure": [{}, {"c": 0.7}, {"c": 1e23}, {"c": 1e-20}],
    "Welsch": [{}, {"c": 2.9846}, {"c": 1e23}, {"c": 1e-20}],
    "TukeyBiweight": [{}, {"c": 1.0}, {"c": 1e23}, {"c": 1e-20}],
    "GeneralRobust": [{"alpha": a, "c": 1.3} for a in (1.0, 0.5, 0.0, -2.0, -math.inf, 2.0, 3.5)]
    + [{"alpha": 1e-3}, {"alpha": 1.9}]
    + [{"alpha": a, "c": c} for a in (1.0, 0.5, 0.0, -2.0) for c in (1e23, 1e-20)],
    "AbsolutePercentageError": [{}, {"epsilon": 0.5}],
    "HalfTweedieLoss": [{"power": p} for p in (1.5, 0.0, 1.0, 2.0, 3.0, 1.1, 1.9)]
    + [{"power": p} for p in (1 - 1e-12, 1 + 1e-15, 1.0009, 2 - 1e-9, 2.000000000000001, 2.001)],
    "NegativeBinomial": [{}, *({"theta": t} for t in (0.3, 25.0, 1e8, 1e30, 1e-30))],
    "Hinge": [{}, {"threshold": 0.0}, {"threshold": 0.3}],
    "SquaredHinge": [{}, {"threshold": 0.3}],
    "SmoothHinge": [{}, {"gamma": 0.1}],
    "FocalLoss": [{}, {"gamma": 0.5, "alpha": 0.25}, {"gamma": 0.0}, {"gamma": 5.0}],
    "PolyLoss": [{}, *({"epsilon": e} for e in (2.5, 0.0, -0.7, -0.999, -1.0))],
    "AsymmetricLoss": [
        {},
        {"gamma_pos": 1.0, "gamma_neg": 2.0, "margin": 0.0},
        {"gamma_pos": 0.5, "gamma_neg": 2.0, "margin": 0.2},
        {"gamma_pos": 1e-30, "gamma_neg": 0.001, "margin": 0.2},
        {"gamma_pos": 0.0, "gamma_neg": 0.3, "margin": 0.9},
    ],
    "HalfMultinomialLoss": [{"n_classes": k} for k in (2, 3, 5)]
    + [{"n_classes": 3, "label_smoothing": 0.1}],
    "MulticlassHinge": [{"n_classes": 3}],
    "MulticlassFocal": [
        {"n_classes": 3},
        {"n_classes": 4, "gamma": 0.5},
        {"n_classes": 3, "gamma": 0.0, "alpha": [0.25, 0.5, 1.5]},
    ],
    "LogitAdjusted": [
        {"n_classes": 3, "priors": [0.7, 0.2, 0.1]},
        {"n_classes": 3, "priors": [0.98, 0.015, 0.005], "tau": 1.5},
    ],
    "LDAM": [
        {"n_classes": 3, "class_counts": [1000.0, 100.0, 10.0]},
        {"n_classes": 3, "class_counts": [5.0, 60.0, 7.0], "max_margin": 0.3, "scale": 1.0},
    ],
    "MulticlassKLDivergence": [{"n_classes": 3}],
    **distribution_references.SETTINGS,
}
# Other parameters than the defaults, one set a loss that has any.
OTHER_PARAMS = {
    "HuberLoss": {"delta": 0.3},
    "SmoothL1": {"beta": 2.5},
    "PseudoHuber": {"delta": 3.0},
    "PinballLoss": {"quantile": 0.9},
    "SmoothPinball": {"quantile": 0.2, "width": 0.7},
    "Expectile": {"expectile": 0.1},
    "EpsilonInsensitive": {"epsilon": 0.0},
    "SquaredEpsilonInsensitive": {"epsilon": 1.0},
    "Fair": {"c": 0.2},
    "Cauchy": {"c": 3.0},
    "GemanMcClure": {"c": 4.0},
    "Welsch": {"c": 5.0},
    "TukeyBiweight": {"c": 9.0},
    "GeneralRobust": {"alpha": 1.5, "c": 2.0},
    "AbsolutePercentageError": {"epsilon": 0.5},
    "HalfTweedieLoss": {"power": 1.2},
    "NegativeBinomial": {"theta": 3.5},
    "Hinge": {"threshold": 0.5},
    "SquaredHinge": {"threshold": 2.0},
    "SmoothHinge": {"gamma": 0.25},
    "FocalLoss": {"gamma": 1.0, "alpha": 0.3},
    "PolyLoss": {"epsilon": -0.5},
    "AsymmetricLoss": {"gamma_pos": 1.0, "gamma_neg": 2.0, "margin": 0.0},
    "HalfMultinomialLoss": {"n_classes": 4, "label_smoothing": 0.1},
    "MulticlassHinge": {"n_classes": 2},
    "MulticlassFocal": {"gamma": 0.5, "alpha": [1.0, 2.0, 0.5], "n_classes": 3},
    "LogitAdjusted": {"priors": [5, 3, 2], "tau": 0.5},
    "LDAM": {"class_counts": [100, 10, 1], "max_margin": 1.0, "scale": 2.0},
    "MulticlassKLDivergence": {"n_classes": 5},
    **distribution_references.OTHER_PARAMS,
}


@loss("HalfSquaredError")
def _(y, raw):
    return (raw - y) ** 2 / 2


@loss("SquaredError")
def _(y, raw):
    return (raw - y) ** 2


@loss("AbsoluteError")
def _(y, raw):
    return abs(raw - y)


@loss("HuberLoss")
def _(y, raw, delta):
    r = raw - y
    return r**2 / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)


@loss("SmoothL1")
def _(y, raw, beta):
    r = raw - y
    return r**2 / (2 * beta) if abs(r) < beta else abs(r) - beta / 2


@loss("SmoothL2")
def _(y, raw):
    r = raw - y
    return r**2 / 2 if abs(r) <= 1 else abs(r) - 1


@loss("PseudoHuber")
def _(y, raw, delta):
    r = raw - y
    return delta**2 * (sqrt(1 + (r / delta) ** 2) - 1)


@loss("LogCosh")
def _(y, raw):
    r = raw - y
    return log((exp(r) + exp(-r)) / 2)


@loss("PinballLoss")
def _(y, raw, quantile):
    u = y - raw
    return quantile * u if u >= 0 else (quantile - 1) * u


@loss("SmoothPinball")
def _(y, raw, quantile, width):
    # (1 / 2h) times the integral over [u - h, u + h] of max(tau t, (tau - 1) t)
    u, h = y - raw, width
    if abs(u) >= h:
        return quantile * u if u >= 0 else (quantile - 1) * u
    return (quantile * (u + h) ** 2 + (1 - quantile) * (u - h) ** 2) / (4 * h)


@terms("SmoothPinball")
def _(y, raw, quantile, width):
    u, h = y - raw, width
    if abs(u) >= h:
        return {}
    if 2 * abs(u) < h:
        return {"gradient": [-u / (2 * h), mpf("0.5") - quantile]}
    half = (h - abs(u)) / (2 * h)
    return {"gradient": [1 - quantile, -half] if u < 0 else [half, -quantile]}


@loss("Expectile")
def _(y, raw, expectile):
    return (1 - expectile if y < raw else expectile) * (raw - y) ** 2


@loss("EpsilonInsensitive")
def _(y, raw, epsilon):
    r = raw - y
    return abs(r) - epsilon if abs(r) > epsilon else 0 * r


@loss("SquaredEpsilonInsensitive")
def _(y, raw, epsilon):
    r = raw - y
    return (abs(r) - epsilon) ** 2 if abs(r) > epsilon else 0 * r


@loss("Fair")
def _(y, raw, c):
    u = magnitude(raw - y) / c
    return c**2 * (u - log1p(u))


@loss("Cauchy")
def _(y, raw, c):
    return c**2 / 2 * log1p(((raw - y) / c) ** 2)


@terms("Cauchy")
def _(y, raw, c):
    u = (raw - y) / c
    return {"hessian": [t / (1 + u**2) ** 2 for t in (mpf(1), -(u**2))]}


@loss("GemanMcClure")
def _(y, raw, c):
    r = raw - y
    return r**2 / 2 / (1 + (r / c) ** 2)


@terms("GemanMcClure")
def _(y, raw, c):
    u = (raw - y) / c
    return {"hessian": [t / (1 + u**2) ** 3 for t in (mpf(1), -3 * u**2)]}


@loss("Welsch")
def _(y, raw, c):
    return c**2 / 2 * (1 - exp(-(((raw - y) / c) ** 2)))


@terms("Welsch")
def _(y, raw, c):
    u = (raw - y) / c
    return {"hessian": [t * exp(-(u**2)) for t in (mpf(1), -2 * u**2)]}


@loss("TukeyBiweight")
def _(y, raw, c):
    u = (raw - y) / c
    return c**2 / 6 * (1 - (1 - u**2) ** 3) if abs(u) <= 1 else c**2 / 6 + 0 * u


@terms("TukeyBiweight")
def _(y, raw, c):
    u = (raw - y) / c
    return {"hessian": [(1 - u**2) * t for t in (mpf(1), -5 * u**2)]} if abs(u) <= 1 else {}


@loss("GeneralRobust")
def _(y, raw, alpha, c):
    squared = ((raw - y) / c) ** 2
    if alpha == 2:
        return squared / 2
    if alpha == 0:
        return log1p(squared / 2)
    if alpha == -inf:
        return 1 - exp(-squared / 2)
    b = abs(alpha - 2)
    return b / alpha * ((squared / b + 1) ** (alpha / 2) - 1)


@terms("GeneralRobust")
def _(y, raw, alpha, c):
    u = (raw - y) / c
    if alpha == -inf:
        return {"hessian": [t * exp(-(u**2) / 2) / c**2 for t in (mpf(1), -(u**2))]}
    if alpha >= 1:  # both terms are positive
        return {}
    b = 2 - alpha
    outer = (u**2 / b + 1) ** (alpha / 2 - 2) / c**2
    return {"hessian": [outer, outer * u**2 * (alpha - 1) / b]}


@loss("AbsolutePercentageError")
def _(y, raw, epsilon):
    return abs(raw - y) / max(abs(y), epsilon)


# -------------------------------------------------------------------------------------------------
# Regression with a log link


@loss("HalfPoissonLoss")
def _(y, raw):
    return exp(raw) - y * raw


@terms("HalfPoissonLoss")
def _(y, raw):
    return {"value": [exp(raw), -y * raw], "gradient": [exp(raw), -y]}


@loss("HalfGammaLoss")
def _(y, raw):
    return raw + y * exp(-raw)


@terms("HalfGammaLoss")
def _(y, raw):
    return {"value": [raw, y * exp(-raw)], "gradient": [mpf(1), -y * exp(-raw)]}


TWEEDIE_NEAR = mpf("0.001")


@loss("HalfTweedieLoss")
def _(y, raw, power):
    q = power
    if q == 1:
        return exp(raw) - y * raw
    if q == 2:
        return raw + y * exp(-raw)
    first, second = (2 - q) * raw, (1 - q) * raw
    # close to 1 and to 2 without the constant that grows without bound there
    a = (expm1 if abs(q - 2) < TWEEDIE_NEAR else exp)(first) / (2 - q)
    return a - y * (expm1 if abs(q - 1) < TWEEDIE_NEAR else exp)(second) / (1 - q)


@terms("HalfTweedieLoss")
def _(y, raw, power):
    q = power
    if q in (1, 2):
        return TERMS["HalfPoissonLoss" if q == 1 else "HalfGammaLoss"](y, raw)
    a, b = exp((2 - q) * raw), -y * exp((1 - q) * raw)
    value = [a / (2 - q), b / (1 - q)]
    if abs(q - 2) < TWEEDIE_NEAR:
        value[0] = expm1((2 - q) * raw) / (2 - q)
    elif abs(q - 1) < TWEEDIE_NEAR:
        value[1] = -y * expm1((1 - q) * raw) / (1 - q)
    return {
        "value": value,
        "gradient": [a, b],
        "hessian": [(2 - q) * a, (1 - q) * b],
    }


@loss("NegativeBinomial")
def _(y, raw, theta):
    return (y + theta) * log(exp(raw) + theta) - y * raw


@terms("NegativeBinomial")
def _(y, raw, theta):
    # y log(exp(raw) + theta) - y raw cancels for a large raw; y log1p(theta exp(-raw)) does not
    middle = log(theta)
    if raw > middle:
        value = [theta * raw, (theta + y) * log1p(theta * exp(-raw))]
    else:
        value = [theta * middle, y * (middle - raw), (theta + y) * log1p(exp(raw) / theta)]
    slope = theta / (exp(raw) + theta)
    return {"value": value, "gradient": [slope * exp(raw), -slope * y]}


@loss("SquaredLogError")
def _(y, raw):
    return (raw - log1p(y)) ** 2


@terms("SquaredLogError")
def _(y, raw):
    d = raw - log1p(y)
    return {"value": [d * raw, -d * log1p(y)], "gradient": [2 * raw, -2 * log1p(y)]}


# -------------------------------------------------------------------------------------------------
# Binary classification


@loss("HalfBinomialLoss")
def _(y, raw):
    return softplus(raw) - y * raw


@terms("HalfBinomialLoss")
def _(y, raw):
    return margin_terms(y, raw, lambda m: softplus(-m))


@margin_loss("Hinge")
def _(m, threshold):
    return threshold - m if m <= threshold else 0 * m


@margin_loss("Perceptron")
def _(m):
    return -m if m <= 0 else 0 * m


@margin_loss("SquaredHinge")
def _(m, threshold):
    return (threshold - m) ** 2 if m < threshold else 0 * m


@margin_loss("SmoothHinge")
def _(m, gamma):
    if m >= 1:
        return 0 * m
    return (1 - m) ** 2 / (2 * gamma) if m > 1 - gamma else 1 - m - gamma / 2


@margin_loss("ModifiedHuber")
def _(m):
    if m >= 1:
        return 0 * m
    return (1 - m) ** 2 if m >= -1 else -4 * m


@margin_loss("ExponentialLoss")
def _(m):
    return exp(-m)


def focal(m, gamma):
    """-(1 - p)^gamma log p, with p = sigmoid(m)."""
    return sigmoid(-m) ** gamma * softplus(-m)


def focal_hessian_terms(m, gamma):
    p, q, log_p = sigmoid(m), sigmoid(-m), -softplus(-m)
    inner = [(2 * gamma + 1) * q, gamma * q * log_p, -(gamma**2) * p * log_p]
    return [q**gamma * p * t for t in inner]


def _alphas(alpha):
    return (mpf(1), mpf(1)) if alpha is None else (alpha, 1 - alpha)


@loss("FocalLoss")
def _(y, raw, gamma, alpha=None):
    pos, neg = _alphas(alpha)
    return y * pos * focal(raw, gamma) + (1 - y) * neg * focal(-raw, gamma)


@terms("FocalLoss")
def _(y, raw, gamma, alpha=None):
    pos, neg = _alphas(alpha)
    parts = [y * pos * focal(Jet(raw, 1), gamma), (1 - y) * neg * focal(Jet(-raw, -1), gamma)]
    return {
        "gradient": [a.d for a in parts],
        "hessian": [y * pos * t for t in focal_hessian_terms(raw, gamma)]
        + [(1 - y) * neg * t for t in focal_hessian_terms(-raw, gamma)],
    }


@loss("PolyLoss")
def _(y, raw, epsilon):
    p, q = sigmoid(raw), sigmoid(-raw)
    return y * (softplus(-raw) + epsilon * q) + (1 - y) * (softplus(raw) + epsilon * p)


@terms("PolyLoss")
def _(y, raw, epsilon):
    p, q = sigmoid(raw), sigmoid(-raw)
    # p q (1 + s (1 - 2 p)), written so that s = -1 cancels in neither tail
    s = epsilon * (1 - 2 * y)
    inner = [1 + s, -2 * s * p] if raw < 0 else [1 - s, 2 * s * q]
    if y not in (0, 1):  # s itself is rounded
        inner = [mpf(1), s * q, -s * p]
    return {
        "gradient": [-y * q * (1 + epsilon * p), (1 - y) * p * (1 + epsilon * q)],
        "hessian": [p * q * t for t in inner],
    }


@loss("BrierLoss")
def _(y, raw):
    return (sigmoid(raw) - y) ** 2


@terms("BrierLoss")
def _(y, raw):
    p, q = sigmoid(raw), sigmoid(-raw)
    d, parts = (1 - y) * p - y * q, [(1 - y) * p, -y * q]
    return {
        "value": [d * t for t in parts],
        "gradient": [2 * p * q * t for t in parts],
        "hessian": [2 * p * q * t for t in (2 * p * q, -(1 - y) * p**2, -y * q**2)],
    }


def asymmetric_negative(raw, gamma, margin):
    """-(p_m)^gamma log(1 - p_m), p_m = max(p - margin, 0)."""
    p = sigmoid(raw)
    if p <= margin:
        return 0 * p
    # 1 - p_m as q + margin, so that margin = 0 needs no more digits
    return -((p - margin) ** gamma) * log(sigmoid(-raw) + margin)


@loss("AsymmetricLoss")
def _(y, raw, gamma_pos, gamma_neg, margin):
    return y * focal(raw, gamma_pos) + (1 - y) * asymmetric_negative(raw, gamma_neg, margin)


@terms("AsymmetricLoss")
def _(y, raw, gamma_pos, gamma_neg, margin):
    p, q = sigmoid(raw), sigmoid(-raw)
    pos = y * focal(Jet(raw, 1), gamma_pos)
    hessian = [y * t for t in focal_hessian_terms(raw, gamma_pos)]
    if margin == 0:
        neg = (1 - y) * focal(Jet(-raw, -1), gamma_neg)
        hessian += [(1 - y) * t for t in focal_hessian_terms(-raw, gamma_neg)]
        return {"gradient": [pos.d, neg.d], "hessian": hessian}

    if p <= margin:
        return {"gradient": [pos.d], "hessian": hessian}
    # s = p - margin, without a cancellation where it is small: the loss bends with a power of it
    s, kept, g = p - margin, q + margin, gamma_neg
    log_kept = -log(kept)
    slope = (g * s ** (g - 1) * log_kept if g else 0) + s**g / kept
    bend = [
        g * (g - 1) * s ** (g - 2) * log_kept if g else 0,
        2 * g * s ** (g - 1) / kept if g else 0,
        s**g / kept**2,
    ]
    bends = [t * (p * q) ** 2 for t in bend] + [slope * p * q * q, -slope * p * q * p]
    return {
        "gradient": [pos.d, (1 - y) * slope * p * q],
        "hessian": [*hessian, *((1 - y) * t for t in bends)],
    }


@loss("BinaryKLDivergence")
def _(y, raw):
    return y * softplus(-raw) + (1 - y) * softplus(raw) + x_log_x(y) + x_log_x(1 - y)


@terms("BinaryKLDivergence")
def _(y, raw):
    parts = margin_terms(y, raw, lambda m: softplus(-m))
    return parts | {"value": parts["value"] + [x_log_x(y), x_log_x(1 - y)]}


def x_log_x(x):
    return x * log(x) if x else mpf(0)


# -------------------------------------------------------------------------------------------------
# Row-wise


def logsumexp(z):
    return log(sum((exp(v) for v in z[1:]), exp(z[0])))


def one_hot(y, n):
    return [mpf(k == y) for k in range(n)] if isinstance(y, int) else y


def cross_entropy(y, z):
    """-sum of y_k log p_k."""
    normalizer = logsumexp(z)
    total = 0 * normalizer
    for t, v in zip(y, z, strict=True):
        total += t * (normalizer - v)
    return total


def cross_entropy_terms(y, z):
    n, p = len(z), softmax(z)
    others = [[j for j in range(n) if j != k] for k in range(n)]
    return {
        "gradient": [
            [p[k] * sum(y[j] for j in others[k]), -y[k] * sum(p[j] for j in others[k])]
            for k in range(n)
        ]
    }


def softmax(z):
    largest = max(z)
    e = [exp(v - largest) for v in z]
    return [v / sum(e) for v in e]


def smoothed(y, n, s):
    return [(1 - s) * t + s / n for t in one_hot(y, n)]


@row_loss("HalfMultinomialLoss")
def _(y, raw, label_smoothing):
    return cross_entropy(smoothed(y, len(raw), label_smoothing), raw)


@terms("HalfMultinomialLoss")
def _(y, raw, label_smoothing):
    return cross_entropy_terms(smoothed(y, len(raw), label_smoothing), raw)


@row_loss("MulticlassHinge")
def _(y, raw):
    rest = [v for k, v in enumerate(raw) if k != y]
    largest = max(v.v for v in rest)
    hinge = 1 + next(v for v in rest if v.v == largest) - raw[y]
    return hinge if hinge > 0 else 0 * hinge


def _class_alpha(alpha, y):
    if alpha is None:
        return mpf(1)
    return alpha[y] if isinstance(alpha, list) else alpha


@row_loss("MulticlassFocal")
def _(y, raw, gamma, alpha=None):
    minus_log_p = logsumexp(raw) - raw[y]
    rest = logsumexp([v for k, v in enumerate(raw) if k != y])
    return _class_alpha(alpha, y) * exp(gamma * (rest - logsumexp(raw))) * minus_log_p


@terms("MulticlassFocal")
def _(y, raw, gamma, alpha=None):
    g, all_p, n = gamma, softmax(raw), len(raw)
    p, q = all_p[y], sum(v for k, v in enumerate(all_p) if k != y)
    log_p = raw[y] - logsumexp(raw)
    bend = [
        2 * g * p * q ** (g - 1),
        g * p * q ** (g - 1) * log_p,
        -g * (g - 1) * p**2 * q ** (g - 2) * log_p,
    ]
    slope = [q**g, -g * p * q ** (g - 1) * log_p]
    hessian = []
    for k in range(n):
        others = sum(v for j, v in enumerate(all_p) if j != k)
        step = others if k == y else -all_p[k]
        hessian.append([step**2 * t for t in bend] + [all_p[k] * others * t for t in slope])
    alpha = _class_alpha(alpha, y)
    return {"hessian": [[alpha * t for t in part] for part in hessian]}


def constant_in_exponent(c):
    """A constant of size c is itself rounded, by c / 2 eps: c / 16 in units of a bound of 8."""
    return 1 + abs(c) / 16


def _prior_shifts(priors, tau):
    return [tau * log(v / sum(priors)) for v in priors]


@row_loss("LogitAdjusted")
def _(y, raw, priors, tau):
    z = [v + t for v, t in zip(raw, _prior_shifts(priors, tau), strict=True)]
    return cross_entropy(one_hot(y, len(raw)), z)


@terms("LogitAdjusted")
def _(y, raw, priors, tau):
    shifts = _prior_shifts(priors, tau)
    z = [v + t for v, t in zip(raw, shifts, strict=True)]
    slack = constant_in_exponent(max(map(abs, shifts)))
    return cross_entropy_terms(one_hot(y, len(raw)), z) | {"slack": slack}


def _label_margin(y, class_counts, max_margin):
    quarter = [v ** mpf("-0.25") for v in class_counts]
    return max_margin * quarter[y] / max(quarter)


@row_loss("LDAM")
def _(y, raw, class_counts, max_margin, scale):
    margin = _label_margin(y, class_counts, max_margin)
    z = [scale * (v - margin) if k == y else scale * v for k, v in enumerate(raw)]
    return cross_entropy(one_hot(y, len(raw)), z)


@terms("LDAM")
def _(y, raw, class_counts, max_margin, scale):
    return {"slack": constant_in_exponent(scale * _label_margin(y, class_counts, max_margin))}


@row_loss("MulticlassKLDivergence")
def _(y, raw):
    y = one_hot(y, len(raw))
    return cross_entropy(y, raw) + sum(x_log_x(t) for t in y)


@terms("MulticlassKLDivergence")
def _(y, raw):
    y = one_hot(y, len(raw))
    normalizer = logsumexp(raw)
    value = [t * (normalizer - v) for t, v in zip(y, raw, strict=True)] + [x_log_x(t) for t in y]
    return cross_entropy_terms(y, raw) | {"value": [value]}
