"""`predict_proba` is of the data: links are closed forms of the losses' population minimisers."""

import mpmath as mp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

import sklearn_losses as sl
from sklearn_losses import SGDClassifierX, SGDRegressorX, links
from sklearn_losses._array import to_host
from sklearn_losses.losses import LOSSES, REDUCED

NEVER_RARE = sl.AsymmetricLoss(gamma_pos=2, gamma_neg=0, margin=0.02)
BINARY = [
    sl.HalfBinomialLoss(),
    sl.ModifiedHuber(),
    sl.ExponentialLoss(),
    sl.BrierLoss(),
    sl.BinaryKLDivergence(),
    sl.FocalLoss(),
    sl.FocalLoss(gamma=0.5, alpha=0.25),
    sl.FocalLoss(gamma=5, alpha=0.9),
    sl.FocalLoss(gamma=0, alpha=0.1),
    sl.PolyLoss(),
    sl.PolyLoss(epsilon=-1),
    sl.PolyLoss(epsilon=-0.9),
    sl.PolyLoss(epsilon=8),
    sl.AsymmetricLoss(),
    sl.AsymmetricLoss(gamma_pos=1, gamma_neg=2, margin=0),
    sl.AsymmetricLoss(gamma_pos=3, gamma_neg=0.5, margin=0.3),
    NEVER_RARE,
    sl.AsymmetricLoss(gamma_pos=0, gamma_neg=0, margin=0),
]
SEVERAL = [
    sl.HalfMultinomialLoss(),
    sl.HalfMultinomialLoss(label_smoothing=0.2),
    sl.MulticlassKLDivergence(),
    sl.MulticlassFocal(),
    sl.MulticlassFocal(gamma=0.5, alpha=[1.0, 3.0, 0.2]),
    sl.MulticlassFocal(gamma=5),
    sl.MulticlassFocal(gamma=0, alpha=[1.0, 3.0, 0.2]),
    sl.LogitAdjusted(),
    sl.LogitAdjusted(priors=[90, 9, 1]),
    sl.LogitAdjusted(priors=[90, 9, 1], tau=0.5),
    sl.LogitAdjusted(priors=[90, 9, 1], tau=0),
    sl.LDAM(),
    sl.LDAM(class_counts=[90, 9, 1]),
    sl.LDAM(class_counts=[90, 9, 1], scale=2.0, max_margin=1.0),
    sl.LDAM(scale=3.0, max_margin=0.0),
]
binary = pytest.mark.parametrize("loss", BINARY, ids=repr)
several = pytest.mark.parametrize("loss", SEVERAL, ids=repr)
both = pytest.mark.parametrize("loss", BINARY + SEVERAL, ids=repr)
PROBABILITIES = [0.005, 0.103, 0.3, 0.5, 0.62, 0.9, 0.96]


def test_every_loss_that_gives_probabilities_is_here():
    given = {cls for cls in LOSSES.values() if cls().gives_probability and cls not in REDUCED}
    assert given == {type(loss) for loss in BINARY + SEVERAL}


# --------------------------------------------------------------------- the population minimiser


def population_minimiser(loss, p):
    """The best constant raw prediction for targets that are 1 with probability p, by the loss's
    values alone."""

    def risk(raw):
        one, zero = loss.loss(np.array([1.0, 0.0]), np.array([raw, raw]))
        return p * one + (1 - p) * zero

    grid = np.linspace(-12, 12, 2401)
    best = grid[np.argmin([risk(raw) for raw in grid])]
    low, high = best - 0.01, best + 0.01
    for _ in range(100):
        third = (high - low) / 3
        if risk(low + third) < risk(high - third):
            high -= third
        else:
            low += third
    return (low + high) / 2


@binary
@pytest.mark.parametrize("p", PROBABILITIES)
def test_the_probability_of_the_population_minimiser_is_the_populations(loss, p):
    raw = population_minimiser(loss, p)
    if loss == NEVER_RARE and p < 0.02 / 1.02:
        assert raw == pytest.approx(logit(0.02), abs=1e-6)  # a kink
        return
    # A minimum found by values has half the digits.
    assert loss.predict(np.array([raw]))[0] == pytest.approx(p, abs=1e-6)


@several
def test_the_probabilities_of_the_population_minimiser_are_the_populations(loss):
    codes = np.arange(3.0)
    for shares in ([0.103, 0.3, 0.597], [0.98, 0.015, 0.005], [0.49, 0.49, 0.02], [1 / 3] * 3):
        shares = np.array(shares)

        def risk(raw, shares=shares):
            value, gradient = loss.loss_gradient(codes, np.tile(raw, (3, 1)), sample_weight=shares)
            return value.sum(), gradient.sum(axis=0)

        raw = np.zeros(3)
        for _ in range(3):
            options = {"ftol": 0, "gtol": 1e-13, "maxiter": 5000, "maxfun": 10**5}
            raw = minimize(risk, raw, jac=True, method="L-BFGS-B", options=options).x
        np.testing.assert_allclose(loss.predict(raw[None])[0], shares, atol=2e-5)


@binary
def test_two_classes_have_the_closed_form_of_the_gradients(loss):
    """p g(1) + (1 - p) g(0) = 0, solved for p, with the kernels' own gradients."""
    far = 0.99 if loss.name == "modified_huber" else 30
    raw = np.linspace(-far, far, 600)
    one, zero = (loss.gradient(np.full(raw.shape, y), raw) for y in (1.0, 0.0))
    want = zero / (zero - one)
    np.testing.assert_allclose(loss.predict(raw), want, rtol=0, atol=5e-16)
    # And small probabilities keep their digits, as far as a sum of logarithms has them.
    small = (want > 0) & (want < 0.1)
    np.testing.assert_allclose(loss.predict(raw)[small], want[small], rtol=1e-13)


@several
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_several_classes_are_the_null_vector_of_the_gradients(loss, spread):
    if getattr(loss, "label_smoothing", 0):
        spread = min(spread, 0.2)  # no class is surer than the smoothing lets it be
    if isinstance(loss, sl.LDAM):
        spread /= loss.scale
    for row in np.random.RandomState(0).normal(size=(40, 3)) * spread:
        gradient = loss.gradient(np.arange(3.0), np.tile(row, (3, 1)))
        proba = loss.predict(row[None])[0]
        assert (proba >= 0).all() and proba.sum() == pytest.approx(1, abs=1e-15)
        # Each gradient is of the size of what its class misses.
        scale = np.abs(proba[:, None] * gradient).max() + 1e-300
        np.testing.assert_allclose(proba @ gradient / scale, 0, atol=1e-9)


def test_the_focal_link_is_the_papers():
    """Theorem 11 of Charoenphakdee et al. (2021), in exact arithmetic, far out as well."""
    with mp.workdps(200):
        for gamma in (0.5, 2, 7):

            def pull(p, gamma=gamma):
                return p / ((1 - p) ** gamma - gamma * (1 - p) ** (gamma - 1) * p * mp.log(p))

            for raw in (-200.0, -30.0, -3.0, -1e-8, 0.0, 0.7, 25.0):
                p = [1 / (1 + mp.exp(z)) for z in (-mp.mpf(raw), mp.mpf(raw))]
                want = pull(p[0]) / (pull(p[0]) + pull(p[1]))
                if mp.log(want) > -700:
                    got = sl.FocalLoss(gamma=gamma).predict(np.array([raw]))[0]
                    assert abs(got / want - 1) < 1e-15 * (20 + abs(mp.log(want)))
                rows = np.array([[0.0, raw]])
                got = sl.MulticlassFocal(gamma=gamma).predict(rows)[0, 1]
                assert abs(got - want) < 1e-15


def test_a_focal_loss_of_two_classes_is_the_binary_one():
    raw = np.linspace(-20, 20, 101)
    rows = np.stack([0 * raw, raw], axis=1)
    for gamma, alpha in ((2.0, 0.25), (0.5, 0.7), (0.0, 0.2)):
        one = sl.FocalLoss(gamma=gamma, alpha=alpha).predict(raw)
        two = sl.MulticlassFocal(gamma=gamma, alpha=[1 - alpha, alpha]).predict(rows)
        np.testing.assert_allclose(two[:, 1], one, rtol=1e-12, atol=1e-15)


def test_smoothing_is_taken_off_as_far_as_it_can_be():
    loss = sl.HalfMultinomialLoss(label_smoothing=0.3)
    smooth = np.array([[0.5, 0.3, 0.2], [0.85, 0.1, 0.05], [0.95, 0.03, 0.02]])
    want = np.array([[4 / 7, 2 / 7, 1 / 7], [1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(loss.predict(np.log(smooth)), want, atol=1e-15)


def test_what_no_correction_changes_has_the_plain_link():
    assert sl.FocalLoss(gamma=0).link == links.LogitLink() == sl.PolyLoss(epsilon=0).link
    assert sl.AsymmetricLoss(0, 0, 0).link == links.LogitLink()
    assert sl.HalfMultinomialLoss().link == links.SoftmaxLink() == sl.LogitAdjusted().link
    assert sl.MulticlassFocal(gamma=0).link == links.SoftmaxLink()
    # Links of unlike parameters differ.
    assert sl.FocalLoss(gamma=1).link != sl.FocalLoss(gamma=2).link
    assert sl.FocalLoss(gamma=1).link == sl.FocalLoss(gamma=1.0).link != links.LogitLink()


def test_a_class_that_counts_nothing_has_no_probability():
    """With a weight of 0 every raw prediction is as good for one class: no closed form exists."""
    for loss in (sl.FocalLoss(alpha=0), sl.FocalLoss(alpha=1), sl.MulticlassFocal(alpha=[1, 0])):
        assert not loss.gives_probability
        model = SGDClassifierX(loss, max_iter=2, tol=None).fit([[0.0], [1.0]], [0, 1])
        assert not hasattr(model, "predict_proba")
    with pytest.raises(ValueError, match="not predictions of y"):
        SGDRegressorX(sl.FocalLoss(alpha=1)).fit([[0.0], [1.0]], [0, 1])


def test_a_small_margin_keeps_the_digits_of_small_probabilities():
    loss, raw = sl.AsymmetricLoss(gamma_pos=0, gamma_neg=1, margin=1e-14), np.array([-20.0])
    one, zero = (loss.gradient(np.array([y]), raw) for y in (1.0, 0.0))
    np.testing.assert_allclose(loss.predict(raw), zero / (zero - one), rtol=1e-13)


def test_what_an_asymmetric_loss_cannot_tell_its_probability_cannot():
    loss = sl.AsymmetricLoss()
    low, high = loss.predict(np.array([logit(0.05) - 1e-9, 40.0]))
    assert low == 0 and high == pytest.approx(0.9637207805)
    # Beyond that bound the risk falls without end.
    for p, falls in ((0.96, False), (0.97, True)):
        gradient = loss.gradient(np.array([1.0, 0.0]), np.array([15.0, 15.0]))
        assert (p * gradient[0] + (1 - p) * gradient[1] < 0) == falls
    assert loss.link.link(np.array([0.0]))[0] == pytest.approx(logit(0.05))


# ------------------------------------------------------------------------------ calibration


def groups(n, n_classes):
    """X names one of eight groups, so that a linear model can have any probability in each: the
    columns of X, the classes, each sample's group."""
    rng = np.random.RandomState(0)
    group = rng.randint(8, size=n)
    if n_classes == 2:
        p = expit(np.linspace(-4, 0, 8))
        p *= 0.103 / p.mean()
        proba = np.stack([1 - p, p], axis=1)
    else:
        proba = rng.dirichlet([6.0, 2.0, 0.9], size=8)
    y = (rng.uniform(size=(n, 1)) > proba[group].cumsum(axis=1)[:, :-1]).sum(axis=1)
    return np.eye(8)[group], y, group


def shares(y, group, n_classes):
    """How often each class is in each group."""
    return (
        np.stack([np.bincount(y[group == g], minlength=n_classes) for g in range(8)])
        / (np.bincount(group)[:, None])
    )


CALIBRATED = [
    # Brier's is flat far out. One of the asymmetric losses tells no probability below .02.
    *(loss for loss in BINARY if loss.name != "brier" and loss != NEVER_RARE),
    sl.HalfMultinomialLoss(label_smoothing=0.1),
    sl.MulticlassFocal(),
    sl.MulticlassFocal(gamma=1, alpha=[1, 4]),
    sl.LogitAdjusted(),
    sl.LogitAdjusted(tau=0.5),
    sl.LDAM(),
    sl.LDAM(scale=3.0),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", CALIBRATED, ids=repr)
def test_probabilities_of_drawn_data_are_calibrated(loss, dtype):
    X, y, group = groups(40_000, 2)
    # A group's weight is its intercept.
    model = SGDClassifierX(
        loss, fit_intercept=False, optimizer="lbfgs", alpha=0.0, tol=1e-10, max_iter=5000
    )
    proba = model.fit(X.astype(dtype), y).predict_proba(X.astype(dtype))
    assert proba.dtype == dtype
    loose = 5e-3 if dtype == np.float32 else 1e-4
    assert proba[:, 1].mean() == pytest.approx(y.mean(), abs=loose)
    found = np.stack([proba[group == g][0] for g in range(8)])
    np.testing.assert_allclose(found, shares(y, group, 2), atol=loose)
    # The calibration slope: of a logistic regression of y on the logit of what was predicted.
    told = SGDClassifierX("log_loss", optimizer="lbfgs", alpha=0.0, tol=1e-9, max_iter=1000)
    told.fit(logit(np.clip(proba[:, 1:].astype(float), 1e-9, 1 - 1e-9)), y)
    assert told.coef_[0, 0] == pytest.approx(1, abs=0.03)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.slow
@pytest.mark.parametrize(
    "loss",
    [
        sl.HalfMultinomialLoss(label_smoothing=0.1),
        sl.MulticlassFocal(gamma=1, alpha=[1, 4, 2]),
        sl.LogitAdjusted(),
        sl.LDAM(),
        sl.LDAM(scale=3.0),
        sl.FocalLoss(alpha=0.25),  # one against the rest
    ],
    ids=repr,
)
def test_probabilities_of_several_classes_are_calibrated(loss):
    X, y, group = groups(40_000, 3)
    model = SGDClassifierX(
        loss, fit_intercept=False, optimizer="lbfgs", alpha=0.0, tol=1e-10, max_iter=5000
    )
    found = np.stack([model.fit(X, y).predict_proba(X)[group == g][0] for g in range(8)])
    np.testing.assert_allclose(found, shares(y, group, 3), atol=1e-3)


def test_labels_are_the_losses_own():
    """The largest raw prediction: for a logit-adjusted loss the decision of the balanced error."""
    X, y, group = groups(40_000, 2)
    params = {"fit_intercept": False, "optimizer": "lbfgs", "alpha": 0.0, "tol": 1e-8}
    model = SGDClassifierX(sl.LogitAdjusted(), **params).fit(X, y)
    share = shares(y, group, 2)[group, 1]
    np.testing.assert_array_equal(model.predict(X), (share > y.mean()).astype(int))
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], share, atol=1e-4)


def test_regressors_predict_the_mean_of_a_fraction():
    X, y, group = groups(20_000, 2)
    params = {"fit_intercept": False, "optimizer": "lbfgs", "alpha": 0.0, "tol": 1e-9}
    for loss in (sl.FocalLoss(), sl.PolyLoss(epsilon=3), sl.FocalLoss(alpha=0.7)):
        model = SGDRegressorX(loss, **params).fit(X, y)
        np.testing.assert_allclose(model.predict(X), shares(y, group, 2)[group, 1], atol=1e-4)


# ----------------------------------------------------------------------------- there and back


def raws(loss, n=200):
    rng = np.random.RandomState(0)
    if loss.is_multiclass:
        return rng.normal(size=(n, 3)) * (0.02 if getattr(loss, "label_smoothing", 0) else 1.5)
    if loss.name == "modified_huber":
        return rng.uniform(-1, 1, size=n)
    if loss.name == "asymmetric" and loss.margin:
        return rng.uniform(logit(loss.margin) + 0.01, 4, size=n)
    far = 8 / (1 + getattr(loss, "gamma", 0))  # where 1 - p has digits
    return rng.uniform(-far, far, size=n)


@both
def test_the_link_is_the_inverse_of_the_prediction(loss):
    raw = raws(loss)
    again = loss.link.link(loss.predict(raw))
    if loss.is_multiclass:
        raw = raw - raw.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(again, raw, atol=1e-9)


@both
def test_mean_loss_is_the_same_of_probabilities(loss):
    raw = raws(loss)
    y = np.random.RandomState(1).randint(3 if loss.is_multiclass else 2, size=len(raw))
    want = loss(y, raw)
    assert sl.mean_loss(y, loss.predict(raw), loss=loss) == pytest.approx(want, rel=1e-9)


@both
def test_predictions_are_finite_and_silent_far_out(loss):
    far = [1e300, 1e5, 800.0, 40.0, 0.0, -40.0, -800.0, -1e5, -1e300]
    with np.errstate(all="raise", under="ignore"):
        for dtype in (np.float64, np.float32):
            raw = np.clip(far, -1e37, 1e37) if dtype == np.float32 else np.array(far)
            raw = raw.astype(dtype)
            rows = np.stack([raw, 0 * raw, 0 * raw - 1], axis=1) if loss.is_multiclass else raw
            proba = loss.predict(rows)
            assert proba.dtype == dtype and np.isfinite(proba).all()
            assert ((proba >= 0) & (proba <= 1)).all()
    if not loss.is_multiclass:
        ends = loss.predict(np.array([-np.inf, np.inf, np.nan]))
        assert ends[0] == 0 and ends[1] > 0.96 and np.isnan(ends[2])
        assert (np.diff(loss.predict(np.linspace(-20, 20, 2001))) >= 0).all()
    else:
        assert np.isnan(loss.predict(np.array([[np.nan, 0.0, 1.0]]))).all()


@both
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_device_gives_the_same(device, loss, dtype):
    xp = device.xp
    raw = raws(loss).astype(dtype)
    proba = loss.predict(xp.asarray(raw))
    assert isinstance(proba, xp.ndarray) and proba.dtype == dtype
    np.testing.assert_allclose(to_host(proba), loss.predict(raw), atol=4 * np.finfo(dtype).eps)
    again = loss.link.link(proba)
    assert isinstance(again, xp.ndarray) and again.dtype == dtype
    np.testing.assert_allclose(
        to_host(again), loss.link.link(to_host(proba)), rtol=1e-4, atol=100 * np.finfo(dtype).eps
    )


@both
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_onnx_gives_the_same(loss, dtype):
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    sl.register_onnx_converters()
    X, y, _ = groups(300, 3 if loss.is_multiclass else 2)
    X = X.astype(dtype)
    model = SGDClassifierX(loss, max_iter=20, tol=None, random_state=0, eta0=0.01)
    model.set_params(learning_rate="constant").fit(X, y)
    graph = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    label, proba = session.run(None, {"X": X})
    np.testing.assert_array_equal(label, model.predict(X))
    np.testing.assert_allclose(proba, model.predict_proba(X), atol=16 * np.finfo(dtype).eps)
