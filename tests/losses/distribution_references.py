"""The 50-digit references of the losses of a distribution: minus the logarithms of textbook
densities. Registered as those of `references`."""

from exact import exp, heads_loss, log, log1p, terms
from mpmath import mp, mpf

# Parameters to try besides the defaults.
SETTINGS = {"StudentTNLL": [{}, {"df": 0.3}, {"df": 3000.0}]}
# Other parameters than the defaults, one set a loss that has any but those of its heads.
OTHER_PARAMS = {"StudentTNLL": {"df": 2.5}}


@heads_loss("GaussianNLL")
def _(y, raw):
    location, log_scale = raw
    z = (location - y) * exp(-log_scale)
    return log_scale + z**2 / 2 + log(2 * mp.pi) / 2


@terms("GaussianNLL")
def _(y, raw):
    location, log_scale = raw
    z = (location - y) * exp(-log_scale)
    return {
        "value": [[log_scale, z**2 / 2, log(2 * mp.pi) / 2]],
        "gradient": [None, [mpf(1), -(z**2)]],
    }


def _t_constant(df):
    return mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - log(df * mp.pi) / 2


@heads_loss("StudentTNLL")
def _(y, raw, df):
    location, log_scale = raw
    z = (location - y) * exp(-log_scale)
    return log_scale + (df + 1) / 2 * log1p(z**2 / df) - _t_constant(df)


@terms("StudentTNLL")
def _(y, raw, df):
    location, log_scale = raw
    z = (location - y) * exp(-log_scale)
    share = z**2 / (df + z**2)
    outer = (df + 1) * exp(-2 * log_scale) / (df + z**2)
    # Far out the logarithm is a difference of those of the residual and of the scale.
    parts = [(df + 1) / 2 * log1p(z**2 / df)]
    if abs(z) > 1:
        parts = [(df + 1) * log(abs(location - y)), -(df + 1) * log_scale]
        parts.append((df + 1) / 2 * (log1p(z**2 / df) - 2 * log(abs(z))))
    return {
        "value": [[log_scale, *parts, -_t_constant(df)]],
        "gradient": [None, [mpf(1), -(df + 1) * share]],
        "hessian": [[outer, -2 * outer * share], None],
    }
