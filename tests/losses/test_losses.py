"""What every loss object promises beyond its numbers, which test_accuracy.py holds to 50 digits."""

import pickle

import numpy as np
import pytest
from references import OTHER_PARAMS
from scipy import optimize
from sklearn._loss import loss as sklearn_loss
from sklearn.base import clone
from sklearn.linear_model._linear_loss import LinearModelLoss

import sklearn_losses as sl
from sklearn_losses._kernels.losses import _pointwise
from sklearn_losses.losses import (
    DISTRIBUTIONS,
    FAMILIES,
    JOINT,
    LOSSES,
    ORDINAL,
    POINTWISE,
    REDUCED,
    ROWWISE,
)
from sklearn_losses.testing import check_loss

EVERY = [*POINTWISE, *ROWWISE]


def both_settings(cls):
    return [cls(), *([cls(**OTHER_PARAMS[cls.__name__])] if cls.__name__ in OTHER_PARAMS else [])]


def sample(loss, n=25, dtype=np.float64, seed=0):
    rng = np.random.RandomState(seed)
    if loss.is_multiclass:
        n_classes = loss.n_classes or 3
        y = rng.randint(n_classes, size=n).astype(dtype)
        return y, rng.normal(size=(n, n_classes)).astype(dtype)
    y = rng.uniform(size=n)
    y[::3] = 1
    return y.astype(dtype), rng.normal(size=n).astype(dtype)


@pytest.mark.parametrize("loss", [x for cls in EVERY for x in both_settings(cls)], ids=repr)
def test_every_loss_keeps_the_promises_that_check_loss_holds_a_users_to(loss):
    check_loss(loss)


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_parameters_are_those_of_the_constructor_and_survive_clone_and_pickle(cls):
    for loss in both_settings(cls):
        for copy in (clone(loss), pickle.loads(pickle.dumps(loss)), eval(repr(loss), vars(sl))):
            assert copy == loss and copy is not loss
            assert hash(copy) == hash(loss)
    if cls.__name__ in OTHER_PARAMS:
        assert cls() != cls(**OTHER_PARAMS[cls.__name__])
        assert cls().set_params(**OTHER_PARAMS[cls.__name__]) == both_settings(cls)[1]
    assert cls() != object()


def test_every_loss_has_a_name_that_get_loss_knows_and_is_public():
    assert len(LOSSES) == len(EVERY) + len(REDUCED)
    assert len(FAMILIES) == len(DISTRIBUTIONS) + len(JOINT) + len(ORDINAL)
    for name, cls in (LOSSES | FAMILIES).items():
        assert sl.get_loss(name) == cls() and getattr(sl, cls.__name__) is cls


def test_get_loss_takes_a_loss_as_it_is_and_sets_parameters_on_a_copy():
    loss = sl.HuberLoss()
    assert sl.get_loss(loss) is loss
    assert sl.get_loss(loss, delta=3).delta == 3 and loss.delta == 0.1
    with pytest.raises(ValueError, match="did you mean 'huber'"):
        sl.get_loss("hubert")
    with pytest.raises(ValueError, match="Invalid parameter 'width'"):
        sl.get_loss("huber", width=3)


@pytest.mark.parametrize("cls", [c for c in EVERY if c._parameter_intervals], ids=lambda c: c.name)
def test_a_parameter_out_of_range_is_refused_when_used_and_named(cls):
    for name, interval in cls._parameter_intervals.items():
        wrong = ["wrong", np.nan, True]
        wrong += [interval.low] if not interval.low_inclusive else []
        wrong += [interval.high] if not interval.high_inclusive else []
        wrong += [interval.low - 1] if np.isfinite(interval.low) else []
        for value in wrong:
            loss = cls(**{name: value})  # nothing is checked here
            y, raw = sample(cls())
            with pytest.raises(ValueError, match=f"{cls.__name__}: {name} must be a number in"):
                loss.gradient(y, raw)
    # A loss that was used checks a parameter that changes afterwards.
    loss = cls()
    loss.gradient(y, raw)
    with pytest.raises(ValueError, match=name):
        loss.set_params(**{name: "wrong"}).gradient(y, raw)


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_subset_of_outputs_strides_and_types_gives_the_same_numbers(cls, dtype):
    for loss in both_settings(cls):
        y, raw = sample(loss, n=1100, dtype=dtype)
        weight = np.linspace(0, 2, len(y)).astype(dtype)
        value, gradient = loss.loss(y, raw, weight), loss.gradient(y, raw, weight)
        hessian = loss.gradient_hessian(y, raw, weight)[1]
        rtol = 1e-5 if dtype == np.float32 else 1e-13
        same = dict(rtol=rtol, atol=rtol)
        # Strided, reversed, Fortran-ordered, read-only inputs; strided outputs; other types.
        spaced_y = np.repeat(y, 2)[::2]
        backward = np.ascontiguousarray(raw[::-1])[::-1]
        layouts = [(spaced_y, backward), (y, np.asfortranarray(raw))]
        layouts += [(y.astype(np.float64), raw)]
        for y_, raw_ in layouts:
            y_.flags.writeable = raw_.flags.writeable = False
            value_out = np.empty(2 * len(y))[::2]
            gradient_out = np.empty(raw.shape[::-1], dtype=np.float32).T
            loss.loss_gradient(y_, raw_, weight, value_out, gradient_out)
            np.testing.assert_allclose(value_out, value, **same)
            np.testing.assert_allclose(gradient_out, gradient, rtol=1e-5, atol=1e-5)
            got = loss.gradient_hessian(y_, raw_, weight)
            np.testing.assert_allclose(got[0], gradient, **same)
            np.testing.assert_allclose(got[1], hessian, **same)
        all_three = [np.empty_like(value), np.empty_like(gradient), np.empty_like(hessian)]
        total = loss._evaluate(y, raw, weight, None, *all_three, want_sum=True)
        for got, want in zip(all_three, (value, gradient, hessian), strict=True):
            np.testing.assert_allclose(got, want, **same)
        np.testing.assert_allclose(total, value.sum(dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("level", _pointwise.simd_levels())
@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_every_instruction_set_of_this_machine_gives_the_same_numbers(cls, level):
    loss = cls()
    y, raw = sample(loss, n=333)
    want = [loss.loss(y, raw), *loss.gradient_hessian(y, raw)]
    try:
        _pointwise.set_simd_level(level)
        got = [loss.loss(y, raw), *loss.gradient_hessian(y, raw)]
    finally:
        _pointwise.set_simd_level(_pointwise.simd_levels()[-1])
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


PAIRS = [
    (sl.HalfSquaredError(), sklearn_loss.HalfSquaredError()),
    (sl.AbsoluteError(), sklearn_loss.AbsoluteError()),
    (sl.PinballLoss(0.3), sklearn_loss.PinballLoss(quantile=0.3)),
    (sl.HuberLoss(0.7), sklearn_loss.HuberLoss(delta=0.7)),
    (sl.HalfPoissonLoss(), sklearn_loss.HalfPoissonLoss()),
    (sl.HalfGammaLoss(), sklearn_loss.HalfGammaLoss()),
    *((sl.HalfTweedieLoss(p), sklearn_loss.HalfTweedieLoss(power=p)) for p in (-1, 1, 1.3, 2, 3)),
    (sl.HalfBinomialLoss(), sklearn_loss.HalfBinomialLoss()),
    (sl.ExponentialLoss(), sklearn_loss.ExponentialLoss()),
    (sl.HalfMultinomialLoss(3), sklearn_loss.HalfMultinomialLoss(n_classes=3)),
]


@pytest.mark.parametrize("ours, theirs", PAIRS, ids=lambda x: repr(x)[:40])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_loss_runs_in_scikit_learns_linear_model_loss(ours, theirs, weighted):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(60, 4))
    if ours.is_multiclass:
        y, coef = rng.randint(3, size=60) * 1.0, np.asfortranarray(rng.normal(size=(3, 5)))
    else:
        y, coef = rng.randint(2, size=60) * 1.0, rng.normal(size=5)
        y = y + 0.5 if ours.task == "regression" else y
    settings = {"sample_weight": rng.uniform(size=60) if weighted else None, "l2_reg_strength": 0.1}
    mine = LinearModelLoss(base_loss=ours, fit_intercept=True)
    other = LinearModelLoss(base_loss=theirs, fit_intercept=True)
    for method in ("loss", "loss_gradient", "gradient", "gradient_hessian"):
        got = getattr(mine, method)(coef, X, y, **settings)
        want = getattr(other, method)(coef, X, y, **settings)
        for a, b in zip(
            np.atleast_1d(got) if np.isscalar(got) else got,
            np.atleast_1d(want) if np.isscalar(want) else want,
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    direction = rng.normal(size=coef.size)
    for a, b in zip(
        mine.gradient_hessian_product(coef, X, y, **settings),
        other.gradient_hessian_product(coef, X, y, **settings),
        strict=True,
    ):
        a, b = (a(direction), b(direction)) if callable(a) else (a, b)
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("ours, theirs", PAIRS, ids=lambda x: repr(x)[:40])
def test_constants_are_scikit_learns(ours, theirs):
    y = np.array([1.0, 0.0, 1.0, 1.0]) + (0.5 if ours.task == "regression" else 0)
    weight = np.array([1.0, 2.0, 0.5, 0.1])
    for w in (None, weight):
        np.testing.assert_allclose(
            ours.constant_to_optimal_zero(y, w), theirs.constant_to_optimal_zero(y, w), atol=1e-14
        )
        # scikit-learn's Huber takes one step from the median, and its quantile without weights lies
        # between samples; ours are the minimisers.
        if not isinstance(ours, sl.HuberLoss | sl.PinballLoss):
            np.testing.assert_allclose(
                ours.fit_intercept_only(y, w), theirs.fit_intercept_only(y, w), rtol=1e-9, atol=1e-7
            )
    gradient, hessian = ours.init_gradient_and_hessian(5)
    theirs_gradient, theirs_hessian = theirs.init_gradient_and_hessian(5)
    assert gradient.shape == theirs_gradient.shape and gradient.dtype == theirs_gradient.dtype
    # One hessian for all, where scikit-learn's losses know that there are no weights; ours do not.
    assert hessian.shape == gradient.shape and hessian.dtype == theirs_hessian.dtype


@pytest.mark.parametrize("cls", POINTWISE, ids=lambda cls: cls.__name__)
def test_fit_intercept_only_finds_the_minimum_that_scipy_finds(cls):
    for loss in both_settings(cls):
        y, _ = sample(loss, n=40)
        weight = np.linspace(0.1, 1, 40)
        best = loss(y, np.full(40, loss.fit_intercept_only(y, weight)), weight)
        brute = optimize.minimize_scalar(
            lambda raw, loss=loss, y=y, weight=weight: loss(y, np.full(40, raw), weight),
            bounds=(-3, 3),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert best <= brute.fun + 1e-12


def test_tweedie_of_power_0_drops_the_constant_that_scikit_learn_keeps():
    y, raw = np.array([1.0, -2.0]), np.array([0.5, 0.1])
    ours, theirs = sl.HalfTweedieLoss(0), sklearn_loss.HalfTweedieLoss(power=0)
    want = theirs.loss(y, raw)
    np.testing.assert_allclose(ours.loss(y, raw) + ours.constant_to_optimal_zero(y), want)
    np.testing.assert_allclose(ours.gradient(y, raw), theirs.gradient(y, raw))


CALLS = [
    (([0.0, np.nan], [0.0, 0.0]), "y_true must be finite; got nan at index 1"),
    (([0.0, 1.0], [0.0, np.inf]), "raw_prediction must be finite; got inf at index 1"),
    (([0.0, 1.0], [0.0]), r"y_true must have the shape of raw_prediction, \(1,\); got \(2,\)"),
    (([], []), "at least one sample"),
    (([0.0], [0.0], [-1.0]), "sample_weight must not be negative; got -1.0 at index 0"),
    (([0.0], [0.0], [0.0]), "sample_weight must not be all zero"),
    (([0.0], [0.0], [1.0, 2.0]), r"sample_weight must have shape \(1,\); got \(2,\)"),
    (([0.0], [[0.0, 1.0]]), r"raw_prediction must have shape \(n_samples,\); got \(1, 2\)"),
]


@pytest.mark.parametrize(
    "arguments, message", CALLS, ids=lambda x: x[:30] if type(x) is str else ""
)
def test_a_call_says_what_is_wrong_with_its_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        sl.HalfSquaredError()(*arguments)


def test_a_call_says_which_target_is_outside_the_domain():
    with pytest.raises(ValueError, match=r"must lie in \[0, inf\); got -1\.0 at index 1"):
        sl.HalfPoissonLoss()([0, -1], [0, 0])
    for cls in (sl.Hinge, sl.HalfBinomialLoss, sl.FocalLoss):
        with pytest.raises(ValueError, match="use 0 and 1 for the two classes"):
            cls()([-1, 1], [0, 0])
    with pytest.raises(ValueError, match=r"class codes 0, \.\.\., 2; got 3\.0 at index 1"):
        sl.HalfMultinomialLoss()([0, 3], np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"each row of y_true must sum to 1; row 0 sums to 1\.1"):
        sl.HalfMultinomialLoss()([[0.5, 0.6]], np.zeros((1, 2)))
    with pytest.raises(ValueError, match="must hold class codes"):
        sl.MulticlassFocal()([[0.5, 0.5]], np.zeros((1, 2)))
    with pytest.raises(ValueError, match="must have 3 columns"):
        sl.HalfMultinomialLoss(3)([0, 1], np.zeros((2, 4)))
    with pytest.raises(ValueError, match="alpha must hold 3 numbers"):
        sl.MulticlassFocal(alpha=[1, 2])([0, 1], np.zeros((2, 3)))
    with pytest.raises(TypeError, match="y_true must hold real numbers; got dtype"):
        sl.HuberLoss()(["a"], [0.0])


@pytest.mark.parametrize("code", [-1.0, 3.0, 0.5, np.nan, 1e30])
@pytest.mark.parametrize("cls", ROWWISE, ids=lambda cls: cls.__name__)
def test_an_invalid_class_code_gives_nan_and_never_a_number(cls, code):
    y, raw = np.array([0.0, code]), np.zeros((2, 3))
    value, gradient = cls().loss_gradient(y, raw)
    assert np.isfinite(value[0]) and np.isfinite(gradient[0]).all()
    assert np.isnan(value[1]) and np.isnan(gradient[1]).all()
    assert np.isnan(cls().gradient_hessian(y, raw)[1][1]).all()


@pytest.mark.parametrize("loss", [sl.HuberLoss(), sl.HalfMultinomialLoss()], ids=repr)
def test_arrays_that_cannot_take_a_result_are_refused(loss):
    y, raw = sample(loss, n=10)
    read_only = np.empty_like(raw)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="gradient_out is read-only"):
        loss.gradient(y, raw, gradient_out=read_only)
    with pytest.raises(ValueError, match="gradient_out must not share memory with raw_prediction"):
        loss.gradient(y, raw, gradient_out=raw)
    both = np.empty_like(raw)
    with pytest.raises(ValueError, match="hessian_out must not share memory with gradient_out"):
        loss.gradient_hessian(y, raw, gradient_out=both, hessian_out=both)
    with pytest.raises(ValueError, match="gradient_out must have shape"):
        loss.gradient(y, raw, gradient_out=np.empty(3))
    with pytest.raises(TypeError, match="gradient_out must have dtype float32 or float64"):
        loss.gradient(y, raw, gradient_out=np.empty(raw.shape, dtype=int))
    with pytest.raises(TypeError, match="gradient_out must be a NumPy array"):
        loss.gradient(y, raw, gradient_out=raw.tolist())
    with pytest.raises(ValueError, match="broadcast"):
        loss.gradient(
            y,
            raw,
            gradient_out=np.lib.stride_tricks.as_strided(np.empty(3), raw.shape, (0,) * raw.ndim),
        )
    with pytest.raises(ValueError, match=r"y_true must have shape \(10,\)"):
        loss.gradient(y[:-1], raw)


def test_soft_targets_agree_with_codes_and_mix_linearly():
    rng = np.random.RandomState(0)
    raw, codes = rng.normal(size=(50, 4)), rng.randint(4, size=50)
    for loss in (
        sl.HalfMultinomialLoss(label_smoothing=0.2),
        sl.LogitAdjusted(priors=[4, 3, 2, 1]),
    ):
        hard = loss.loss_gradient(codes * 1.0, raw)
        soft = loss.loss_gradient(np.eye(4)[codes], raw)
        for a, b in zip(hard, soft, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    share = rng.dirichlet(np.ones(4), size=50)
    loss = sl.HalfMultinomialLoss()
    mixed = sum(share[:, k] * loss.loss(np.full(50, float(k)), raw) for k in range(4))
    np.testing.assert_allclose(loss.loss(share, raw), mixed, rtol=1e-12)
    # The divergence is the cross-entropy less the entropy of the target.
    entropy = -(share * np.log(share)).sum(axis=1)
    divergence = sl.MulticlassKLDivergence().loss(share, raw)
    np.testing.assert_allclose(divergence, mixed - entropy, rtol=1e-9, atol=1e-12)


def test_gradient_proba_is_the_gradient_and_the_softmax():
    rng = np.random.RandomState(0)
    y, raw = rng.randint(3, size=20) * 1.0, rng.normal(size=(20, 3))
    for loss in (sl.HalfMultinomialLoss(3), sl.MulticlassKLDivergence()):
        gradient, proba = loss.gradient_proba(y, raw)
        np.testing.assert_allclose(gradient, loss.gradient(y, raw), rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(proba, loss.predict(raw), rtol=1e-13)
    with pytest.raises(ValueError, match="this loss gives no probabilities"):
        sl.MulticlassFocal().gradient_proba(y, raw)


def test_root_mean_squared_error_measures_and_says_how_to_train():
    loss = sl.RootMeanSquaredError()
    assert loss([0.0, 0.0], [3.0, 4.0]) == pytest.approx(12.5**0.5)
    assert loss([0.0, 0.0], [3.0, 4.0], [1, 0]) == 3.0
    with pytest.raises(ValueError, match="loss='squared_error' has the same minimiser"):
        loss.gradient(np.zeros(2), np.ones(2))


def test_textbook_numbers():
    # Mean squared error and cross-entropy as worked by hand in introductions to the subject.
    y, y_pred = [1, 2, 3, 4, 5], [0.8, 1.9, 2.8, 3.7, 4.6]
    assert sl.SquaredError()(y, y_pred) == pytest.approx(0.068)
    proba = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    want = -(np.log(0.7) + np.log(0.8)) / 2
    assert sl.HalfMultinomialLoss()([0, 1], np.log(proba)) == pytest.approx(want)
    assert sl.HalfMultinomialLoss()([[1, 0, 0], [0, 1, 0]], np.log(proba)) == pytest.approx(want)
