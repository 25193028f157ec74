"""Every loss against its 50-digit reference, over the whole range of what a float can hold."""

from fractions import Fraction
from math import isnan
from zlib import crc32

import numpy as np
import pytest
from exact import HEADS, REFERENCES, ROW_WISE, reference, reference_row
from mpmath import mp, mpf
from references import BOUND, SETTINGS  # fills the registers of exact

from sklearn_losses.losses import POINTWISE, ROWWISE, HalfTweedieLoss, MulticlassFocal

# Row-wise losses whose targets may be rows of probabilities.
SOFT = {"HalfMultinomialLoss", "MulticlassKLDivergence", "LogitAdjusted"}
OUTPUTS = ("value", "gradient", "gradient", "hessian")


def cases(classes):
    found = []
    for cls in classes:
        for setting in SETTINGS.get(cls.__name__, [{}]):
            for dtype in (np.float32, np.float64):
                words = [f"{k}={v}" for k, v in setting.items()]
                name = "-".join([cls.__name__, *words, np.dtype(dtype).name])
                found.append(pytest.param(cls, setting, dtype, id=name.replace(" ", "")))
    return found


# Parameters that a kernel of float32 holds in more digits than its own.
KEPT = {"power"}


def rounded(setting, dtype):
    """The parameters as the kernel of that dtype holds them."""

    def one(v):
        return [one(x) for x in v] if isinstance(v, list) else float(dtype(v))

    return {
        k: v if v is None or isinstance(v, int | str) or k in KEPT else one(v)
        for k, v in setting.items()
    }


def make(cls, setting, dtype):
    """A loss, and its parameters as the reference takes them, defaults included."""
    params = {
        k: v.tolist() if hasattr(v, "tolist") else v for k, v in cls(**setting).get_params().items()
    }
    params = rounded(params, dtype)
    return cls(**params), params


def random_state(*key):
    return np.random.default_rng(crc32(repr(key).encode()))


# ---------------------------------------------------------------------------------------- inputs


def log_uniform(rng, n, dtype, low=None, high=None):
    """Magnitudes over the whole range of the dtype, subnormals included."""
    info = np.finfo(dtype)
    low = np.log10(float(info.smallest_subnormal)) if low is None else low
    high = np.log10(float(info.max)) if high is None else high
    return 10.0 ** rng.uniform(low, min(high, np.log10(float(info.max)) - 1e-3), n)


def signs(rng, n):
    return rng.choice([-1.0, 1.0], n)


def targets(loss, rng, n, dtype):
    """A third near one, a third log-uniform over the domain, a third at its ends."""
    info, domain = np.finfo(dtype), loss.interval_y_true
    low, high = float(domain.low), float(domain.high)
    near = rng.gamma(2.0, 1.0, n) if low >= 0 else rng.normal(0, 2, n)
    wide = log_uniform(rng, n, dtype)
    if low < 0:
        wide *= signs(rng, n)
    special = np.array([0.0, 1.0, -1.0, 0.5, 0.25, float(info.tiny), float(info.eps)])
    if high == 1 and low == 0:
        near, wide = rng.uniform(0, 1, n), log_uniform(rng, n, dtype, -12, 0)
        wide = np.where(rng.random(n) < 0.5, wide, 1 - wide)
        special = np.array([0.0, 1.0, 0.0, 1.0, 0.5])
    elif np.isfinite(low):
        special = np.append(special, low + float(info.eps) * np.array([0.0, 4.0, 1e3]))
    y = np.choose(rng.integers(0, 3, n), [near, wide, rng.choice(special, n)]).astype(dtype)
    inside = (y > low) | ((y == low) & domain.low_inclusive)
    inside &= (y < high) | ((y == high) & domain.high_inclusive)
    return np.where(inside & np.isfinite(y), y, dtype(0.5))


def neighbours(x, dtype):
    x = np.asarray(x, dtype)
    return np.concatenate([x, np.nextafter(x, dtype(np.inf)), np.nextafter(x, dtype(-np.inf))])


def points(loss, params, dtype, rng):
    """(y, raw) over the range of the dtype, and close to what a formula may branch on."""
    info = np.finfo(dtype)
    wide = np.log(float(info.max))
    # kinks stand at parameters, at one, and at what they add up to
    own = [v for v in params.values() if isinstance(v, float) and np.isfinite(v)]
    kinks = np.array([1.0, *own, *(1 - v for v in own)])
    kinks = neighbours(np.concatenate([kinks, -kinks]), dtype)
    raw = [
        rng.uniform(-4, 4, 20),
        rng.uniform(-40, 40, 20),
        rng.uniform(-wide, wide, 20),
        log_uniform(rng, 32, dtype) * signs(rng, 32),
        log_uniform(rng, 8, dtype, -9, 0) * signs(rng, 8),
        [0.0, -0.0, float(info.smallest_subnormal), -float(info.tiny)],
        [float(info.max) / 2, -float(info.max) / 2],
        rng.choice(kinks, 12),
    ]
    raw = np.concatenate(raw).astype(dtype)
    y = targets(loss, rng, len(raw), dtype)

    # raw next to y, next to its link, and at a kink's distance from it
    base = targets(loss, rng, 16, dtype)
    with np.errstate(all="ignore"):
        linked = np.log(np.abs(base.astype(float)) + float(info.smallest_subnormal))
        linked = np.concatenate([linked[:8], linked[8:] + log_uniform(rng, 8, dtype, -9, 1)])
    exact = rng.choice([0.0, 0.5, 1.0], 12)  # so that raw - y is a float
    distance = rng.choice(kinks, 12)
    pairs = [
        (y, raw),
        (np.repeat(base[:6], 3), neighbours(base[:6], dtype).reshape(3, 6).T.ravel()),
        (base, linked),
        (exact, exact + distance),
        (base[:8], base[:8] * (1 + log_uniform(rng, 8, dtype, -6, -0.3) * signs(rng, 8))),
        (base[:8], base[:8] + rng.choice(kinks, 8) * (1 + rng.normal(0, 1e-3, 8))),
    ]
    with np.errstate(all="ignore"):
        y = np.concatenate([p[0] for p in pairs]).astype(dtype)
        raw = np.concatenate([p[1] for p in pairs]).astype(dtype)
    keep = np.isfinite(y) & np.isfinite(raw) & ~on_rounded_kink(y, raw, kinks, dtype)
    return y[keep], raw[keep]


def on_rounded_kink(y, raw, kinks, dtype):
    """raw - y is no float and rounds to a kink, where a derivative jumps."""
    out = np.zeros(len(y), bool)
    with np.errstate(all="ignore"):
        for i in np.flatnonzero(np.isfinite(y) & np.isfinite(raw)):
            r = raw[i] - y[i]
            if np.isin(r, kinks):
                out[i] = Fraction(float(raw[i])) - Fraction(float(y[i])) != Fraction(float(r))
    return out


def rows(params, dtype, rng, n=40):
    k = params["n_classes"]
    wide = np.log(float(np.finfo(dtype).max))
    raw = np.concatenate(
        [
            rng.uniform(-4, 4, (n // 4, k)),
            rng.uniform(-40, 40, (n // 4, k)),
            rng.uniform(-wide, wide, (n // 8, k)),
            log_uniform(rng, n // 4 * k, dtype).reshape(-1, k)
            * signs(rng, n // 4 * k).reshape(-1, k),
            log_uniform(rng, n // 8 * k, dtype, -9, 0).reshape(-1, k),
            np.zeros((1, k)),
            np.eye(k)[:1],
            np.eye(k)[:1] * wide,
            -np.eye(k)[:1],
        ]
    ).astype(dtype)
    return rng.integers(0, k, len(raw)), raw


def soft_targets(n, k, rng):
    """Rows that add up to one exactly, so that there is one truth."""
    cuts = np.sort(rng.integers(0, 65, (n, k - 1)), axis=1)
    cuts[: n // 4] = 64 * (cuts[: n // 4] > 32)
    return np.diff(cuts, prepend=0, append=64, axis=1) / 64


# --------------------------------------------------------------------------------------- the check


def excess(got, true, scale, limit, dtype):
    """How many eps the error is, where that is above the limit; else None."""
    info = np.finfo(dtype)
    eps, tiny, largest = float(info.eps), float(info.tiny), float(info.max)
    got = float(got)
    if isnan(got):
        return "nan"
    if abs(true) > largest * (1 - limit * eps) and got == float("inf") * mp.sign(true):
        return None
    if scale > largest:  # a term of the difference has no float
        return None
    with mp.workdps(40):
        error = abs(mpf(got) - true)
        # Below the normal numbers digits run out: the error is held to a thousandth of their least.
        if scale < tiny and error <= tiny / 1000:
            return None
        error /= mpf(eps) * max(scale, tiny)
        return None if error <= limit else mp.nstr(error, 3)


def report(failures):
    lines = {
        f"  {out}: y={y!r} raw={raw!r} got={got!r} expected={mp.nstr(true, 17)} error={error} eps"
        for out, y, raw, got, true, error in failures
    }
    return "\n".join([f"{len(lines)} outputs beyond the bound", *sorted(lines)[:24]])


@pytest.mark.parametrize(("cls", "setting", "dtype"), cases(POINTWISE))
def test_value_gradient_and_hessian_hold_the_bound_against_fifty_digits(cls, setting, dtype):
    loss, params = make(cls, setting, dtype)
    rng = random_state(cls.__name__, sorted(setting.items()), dtype)
    check_points(cls.__name__, loss, params, dtype, *points(loss, params, dtype, rng))


# Where digits were once lost: small and large y times or over 1 - power, and what overflows on its
# way to a number.
FAR = [
    (1.5, np.float32, 1.7399778e38, 93.183136),
    (3.0, np.float32, 2.6699756e38, 23.62543),
    (1.1, np.float32, 6.3173673e37, 34.22007),
    (2.000000000000001, np.float32, 2.0953463e-22, -1.1950545e17),
    (2.000000000000001, np.float32, 1.0, -1.1950545e17),
    (2.001, np.float64, 2.9623974e-317, -728.6264112860518),
    (2.001, np.float64, 1e308, 300.0),
]


@pytest.mark.parametrize(("power", "dtype", "y", "raw"), FAR)
def test_tweedie_holds_the_bound_far_out(power, dtype, y, raw):
    cls = HalfTweedieLoss
    loss, params = make(cls, {"power": power}, dtype)
    check_points(cls.__name__, loss, params, dtype, np.array([y], dtype), np.array([raw], dtype))


def check_points(name, loss, params, dtype, y, raw):
    value = loss.loss(y, raw)
    gradient = loss.gradient(y, raw)
    again, hessian = loss.gradient_hessian(y, raw)
    assert value.dtype == gradient.dtype == hessian.dtype == dtype
    failures = []
    for i in range(len(y)):
        truth = reference(name, params, float(y[i]), float(raw[i]))
        for out, got in zip(OUTPUTS, (value[i], gradient[i], again[i], hessian[i]), strict=True):
            true, scale = getattr(truth, out), getattr(truth, out + "_scale")
            error = excess(got, true, scale, BOUND, dtype)
            if error:
                failures.append((out, y[i], raw[i], got, true, error))
    assert not failures, report(failures)


@pytest.mark.parametrize(("cls", "setting", "dtype"), cases(ROWWISE))
def test_rows_hold_the_bound_against_fifty_digits(cls, setting, dtype):
    loss, params = make(cls, setting, dtype)
    rng = random_state(cls.__name__, sorted(setting.items(), key=str), dtype)
    codes, raw = rows(params, dtype, rng)
    kinds = [codes.astype(dtype)]
    if cls.__name__ in SOFT:
        kinds.append(soft_targets(*raw.shape, rng).astype(dtype))
    check_rows(cls.__name__, loss, params, dtype, kinds, raw)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_holds_the_bound_where_classes_are_far_apart(gamma, dtype):
    cls = MulticlassFocal
    loss, params = make(cls, {"n_classes": 4, "gamma": gamma}, dtype)
    raw = np.array([[573, -257.5, 17.6, -393.3], [-33.6, 40.7, -64.6, 3], [32, -19, -32.8, -19]])
    codes = [np.full(3, k, dtype) for k in range(4)]
    check_rows(cls.__name__, loss, params, dtype, codes, raw.astype(dtype))


def check_rows(name, loss, params, dtype, kinds, raw):
    failures = []
    for y in kinds:
        value = loss.loss(y, raw)
        gradient = loss.gradient(y, raw)
        again, hessian = loss.gradient_hessian(y, raw)
        assert value.dtype == gradient.dtype == hessian.dtype == dtype
        for i in range(len(raw)):
            target = y[i].tolist()
            truth = reference_row(name, params, target, raw[i].tolist())
            checks = [("value", value[i], truth.value, truth.value_scale)]
            for out, got in (("gradient", gradient), ("gradient", again), ("hessian", hessian)):
                trues, scales = getattr(truth, out), getattr(truth, out + "_scale")
                names = [f"{out}_{k}" for k in range(len(trues))]
                checks += zip(names, got[i], trues, scales, strict=True)
            for out, got, true, scale in checks:
                error = excess(got, true, scale, BOUND, dtype)
                if error:
                    failures.append((out, target, raw[i].tolist(), got, true, error))
    assert not failures, report(failures)


@pytest.mark.parametrize("where", ["y", "raw", "weight"])
@pytest.mark.parametrize(("cls", "setting", "dtype"), cases([*POINTWISE, *ROWWISE]))
def test_nan_in_gives_nan_out_in_every_output(cls, setting, dtype, where):
    loss, params = make(cls, setting, dtype)
    n = 9
    rng = random_state(cls.__name__, dtype)
    if cls in ROWWISE:
        codes, raw = rows(params, dtype, rng)
        y, raw = codes[:n].astype(dtype), raw[:n].copy()
        kinds = [y]
        if cls.__name__ in SOFT:
            kinds.append(soft_targets(n, raw.shape[1], rng).astype(dtype))
    else:
        kinds = [rng.uniform(0.1, 0.9, n).astype(dtype)]  # inside every domain
        raw = rng.uniform(-4, 4, n).astype(dtype)
    weight = np.ones(n, dtype)
    bad = np.zeros(n, bool)
    bad[[0, 4, 8]] = True
    for y in kinds:
        broken = {"y": y.copy(), "raw": raw.copy(), "weight": weight.copy()}
        target = broken[where]
        target[bad, ...] = np.nan
        if target.ndim == 2:  # one NaN in a row is enough
            target[bad, 1:] = {"y": y, "raw": raw}[where][bad, 1:]
        args = broken["y"], broken["raw"], broken["weight"]
        gradient, hessian = loss.gradient_hessian(*args)
        for out in (loss.loss(*args), loss.gradient(*args), gradient, hessian):
            expected = bad[:, None] if out.ndim == 2 else bad
            np.testing.assert_array_equal(np.isnan(out), np.broadcast_to(expected, out.shape))


def test_every_listed_loss_has_a_reference_and_every_reference_a_loss():
    listed = {cls.__name__ for cls in [*POINTWISE, *ROWWISE]}
    assert listed == set(REFERENCES) - HEADS
    assert {cls.__name__ for cls in ROWWISE} == ROW_WISE
