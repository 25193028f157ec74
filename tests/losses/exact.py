"""Exact arithmetic for the references: a formula is written once, and differentiated to any digits.

`Jet` carries a value and two derivatives; the registers say what each loss's formula is, the terms
that its rounding is measured by, and what stands in for a second derivative that is 0.
"""

from dataclasses import dataclass, field
from math import isfinite, log10

from mpmath import mp, mpf

REFERENCES = {}  # class name -> value(y, raw, **params); raw is a list for a row-wise loss
TERMS = {}  # class name -> terms(y, raw, **params) of value, gradient, hessian
ROW_WISE = set()
HEADS = set()  # losses of a distribution
STAND_INS = {}  # class name -> hessian(y, **params), where the second derivative is 0
HEADS_STAND_INS = {}  # class name -> {head: hessian(y, raw)}, where that by this head is 0


# -------------------------------------------------------------------------------------------------
# Differentiation


class Jet:
    """A number with its first and second derivative along one direction."""

    __slots__ = ("d", "dd", "v")

    def __init__(self, v, d=0, dd=0):
        self.v, self.d, self.dd = mpf(v), mpf(d), mpf(dd)

    def chain(self, f, df, ddf):
        """f(self), from f and its derivatives at self.v."""
        return Jet(f, df * self.d, ddf * self.d**2 + df * self.dd)

    def __neg__(self):
        return Jet(-self.v, -self.d, -self.dd)

    def __add__(self, other):
        other = jet(other)
        return Jet(self.v + other.v, self.d + other.d, self.dd + other.dd)

    def __sub__(self, other):
        return self + -jet(other)

    def __rsub__(self, other):
        return jet(other) + -self

    def __mul__(self, other):
        a, b = self, jet(other)
        return Jet(a.v * b.v, a.d * b.v + a.v * b.d, a.dd * b.v + 2 * a.d * b.d + a.v * b.dd)

    def __truediv__(self, other):
        if isinstance(other, Jet):
            return self * other**-1
        return Jet(self.v / other, self.d / other, self.dd / other)  # c / c is 1 exactly

    def __rtruediv__(self, other):
        return jet(other) * self**-1

    def __pow__(self, n):
        """self to a constant power."""
        slope, bend = n, n * (n - 1)
        return self.chain(
            self.v**n,
            slope * self.v ** (n - 1) if slope else 0,
            bend * self.v ** (n - 2) if bend else 0,
        )

    __radd__, __rmul__ = __add__, __mul__

    def __lt__(self, other):
        return self.v < jet(other).v

    def __le__(self, other):
        return self.v <= jet(other).v

    def __gt__(self, other):
        return self.v > jet(other).v

    def __ge__(self, other):
        return self.v >= jet(other).v

    def __abs__(self):
        """The derivative of |x| at 0 is taken as 0."""
        sign = mp.sign(self.v)
        return Jet(abs(self.v), sign * self.d, sign * self.dd)


def jet(x):
    return x if isinstance(x, Jet) else Jet(x)


def _exp(x):
    # at some precisions mpmath takes 60 ms for the exponential of 1e300; reduced by hand, 50 us
    if not x or mp.mag(x) < 8:
        return mp.exp(x)
    with mp.extraprec(mp.mag(x) + 10):
        n = mp.floor(x / mp.ln2)
        remainder = x - n * mp.ln2
    return mp.ldexp(mp.exp(remainder), int(n))


def exp(x):
    if not isinstance(x, Jet):
        return _exp(x)
    e = _exp(x.v)
    return x.chain(e, e, e)


def log(x):
    return x.chain(mp.log(x.v), 1 / x.v, -1 / x.v**2) if isinstance(x, Jet) else mp.log(x)


def log1p(x):
    if not isinstance(x, Jet):
        return mp.log1p(x)
    return x.chain(mp.log1p(x.v), 1 / (1 + x.v), -1 / (1 + x.v) ** 2)


def expm1(x):
    if not isinstance(x, Jet):
        return mp.expm1(x)
    e = _exp(x.v)
    return x.chain(mp.expm1(x.v), e, e)


def sqrt(x):
    return x ** mpf("0.5")


def sigmoid(x):
    return 1 / (1 + exp(-x))


def softplus(x):
    return log1p(exp(x))


def magnitude(x):
    """|x| with the derivative from the right at 0, for functions of |x| that are smooth there."""
    return x if x >= 0 else -x


# -------------------------------------------------------------------------------------------------
# What a test asks for


@dataclass
class Ref:
    """value, gradient and hessian, and the scale that the error of each is measured in."""

    value: object
    gradient: object
    hessian: object
    value_scale: object = field(default=None)
    gradient_scale: object = field(default=None)
    hessian_scale: object = field(default=None)


def _digits(y, raw, params):
    """Enough digits that no cancellation in a textbook formula reaches the fiftieth."""
    ys = [float(v) for v in (y if isinstance(y, (list, tuple)) else [y])]
    raws = [float(v) for v in (raw if isinstance(raw, (list, tuple)) else [raw])]
    numbers = ys + raws + [a - b for a in raws for b in ys + raws]
    given = [float(v) for v in params.values() if isinstance(v, (int, float))]
    depth = sum(
        max([abs(log10(abs(v))) for v in part if v and isfinite(v)], default=0)
        for part in (numbers, given)
    )
    # 1 - sigmoid(raw) cancels |raw| / log(10) digits, until it is too small to be represented
    argument = max(abs(v) for v in raws) * max(1, params.get("scale", 1)) + max(map(abs, ys))
    return int(60 + 2 * depth + 0.87 * min(argument, 800))


def _exact(params):
    def exact(v):
        if v is None or isinstance(v, bool):
            return v
        return [mpf(float(x)) for x in v] if hasattr(v, "__len__") else mpf(float(v))

    return {k: exact(v) for k, v in params.items()}


def _scale(true, terms):
    """The largest of the terms, which must add up to what they are the terms of."""
    if terms is None:
        return abs(true)
    scale = max([abs(true), *map(abs, terms)])
    assert abs(mp.fsum(terms) - true) <= mpf("1e-45") * scale + mpf("1e-400"), (true, terms)
    return scale


def reference(name, params, y, raw):
    """The `Ref` of a pointwise loss; every float is taken exactly."""
    with mp.workdps(_digits(y, raw, params)):
        p = _exact(params)
        y, raw = mpf(float(y)), mpf(float(raw))
        out = REFERENCES[name](y, Jet(raw, 1), **p)
        if name in STAND_INS:
            assert out.dd == 0
            out.dd = mpf(STAND_INS[name](y, **p))
        terms = TERMS[name](y, raw, **p) if name in TERMS else {}
        result = []
        for key, true in zip(("value", "gradient", "hessian"), (out.v, out.d, out.dd), strict=True):
            scale = terms.get(key + "_scale")
            scale = _scale(true, terms.get(key)) if scale is None else max(scale, abs(true))
            result.append((true, scale))
    return _rounded(result)


def reference_row(name, params, y_row, raw_row):
    """The `Ref` of one row: gradient and hessian diagonal are lists, and so are their scales.

    ``y_row`` is a class code or a list of probabilities.
    """
    with mp.workdps(_digits(y_row, list(raw_row), params)):
        p = _exact({k: v for k, v in params.items() if k != "n_classes"})
        n = len(raw_row)
        raws = [mpf(float(v)) for v in raw_row]
        if isinstance(y_row, (list, tuple)):
            y = [mpf(float(v)) for v in y_row]
        else:
            y = mpf(float(y_row)) if name in HEADS else int(y_row)
        outs = [
            REFERENCES[name](y, [Jet(v, j == k) for j, v in enumerate(raws)], **p) for k in range(n)
        ]
        if name in STAND_INS:
            for out in outs:
                assert out.dd == 0
                out.dd = mpf(STAND_INS[name](y, **p))
        for head, stand_in in HEADS_STAND_INS.get(name, {}).items():
            assert outs[head].dd == 0
            outs[head].dd = stand_in(y, raws)
        terms = TERMS[name](y, raws, **p) if name in TERMS else {}

        def scales(key, trues):
            lists = terms.get(key) or [None] * len(trues)
            slack = terms.get("slack", 1)
            return [slack * _scale(t, part) for t, part in zip(trues, lists, strict=True)]

        result = []
        for key, trues in (
            ("value", [outs[0].v]),
            ("gradient", [o.d for o in outs]),
            ("hessian", [o.dd for o in outs]),
        ):
            result.append((trues, scales(key, trues)))
        result[0] = (result[0][0][0], result[0][1][0])
    return _rounded(result)


def _rounded(result):
    with mp.workdps(50):
        rounded = [
            [[+v for v in part] if isinstance(part, list) else +part for part in pair]
            for pair in result
        ]
    return Ref(*[true for true, _ in rounded], *[scale for _, scale in rounded])


def loss(name):
    def register(f):
        REFERENCES[name] = f
        return f

    return register


def row_loss(name):
    ROW_WISE.add(name)
    return loss(name)


def heads_loss(name):
    HEADS.add(name)
    return loss(name)


def terms(name):
    def register(f):
        TERMS[name] = f
        return f

    return register


def margin_loss(name):
    """phi(m, **params), as y phi(raw) + (1 - y) phi(-raw), whose two parts are the terms."""

    def register(phi):
        REFERENCES[name] = lambda y, raw, **p: y * phi(raw, **p) + (1 - y) * phi(-raw, **p)
        TERMS[name] = lambda y, raw, **p: margin_terms(y, raw, lambda m: phi(m, **p))
        return phi

    return register


def margin_terms(y, raw, phi):
    parts = [y * phi(Jet(raw, 1)), (1 - y) * phi(Jet(-raw, -1))]
    return {"value": [a.v for a in parts], "gradient": [a.d for a in parts]}
