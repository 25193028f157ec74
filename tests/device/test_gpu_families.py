"""Every listed loss, as an object and in an estimator, takes arrays of a GPU or says in the same
words, before any work, that it is for arrays on the host: there is nothing in between."""

import copy

import numpy as np
import pytest
from device_data import X
from heads_data import HEADS, ORDERED, head_sample, kinds_of_targets
from on_device import host, numpys, same_error
from sklearn.base import BaseEstimator

import sklearn_losses as sl
from sklearn_losses import SGDClassifierX, SGDRegressorX
from sklearn_losses._array import on_device, to_host
from sklearn_losses.losses import (
    DISTRIBUTIONS,
    FAMILIES,
    JOINT,
    LOSSES,
    ORDINAL,
    POINTWISE,
    RANKING,
    REDUCED,
    ROWWISE,
)

N = len(X)
REFUSED = r"is for arrays on the host; \w+ is on a device\. Move it: cupy\.asnumpy\(\w+\)"
every_joint = pytest.mark.parametrize("cls", JOINT, ids=lambda cls: cls.__name__)
by_heads = pytest.mark.parametrize("loss", HEADS, ids=repr)


def test_every_listed_loss_is_of_a_kind_that_a_test_goes_through():
    listed = {*LOSSES.values(), *FAMILIES.values()}
    assert listed == {*POINTWISE, *ROWWISE, *REDUCED, *DISTRIBUTIONS, *ORDINAL, *JOINT}
    assert {type(loss) for loss in HEADS} == {*DISTRIBUTIONS, *ORDINAL}


# ------------------------------------------------------------------------- losses of all samples


def joint_data(cls):
    """Targets, raw predictions and weights."""
    rng = np.random.default_rng(0)
    raw, weight = rng.normal(size=N), rng.uniform(0.5, 2.0, N)
    if cls is sl.CoxLoss:
        return np.stack([rng.exponential(size=N) + 0.1, rng.integers(0, 2, N)], 1), raw, weight
    if cls in RANKING:
        return np.stack([rng.integers(0, 3, N), np.arange(N) // 9], 1).astype(float), raw, weight
    y = X[:, 0] + rng.normal(size=N)
    return (np.stack([y, np.arange(N) % 3], 1) if cls is sl.GroupRobustLoss else y), raw, weight


@every_joint
def test_joint_losses_name_what_has_to_move(device, cls):
    loss = cls()
    y, raw, weight = joint_data(cls)
    y_there, raw_there, weight_there = map(device.xp.asarray, (y, raw, weight))
    methods = [loss, loss.gradient, loss.loss_gradient, loss.gradient_hessian]
    methods += [
        getattr(loss, name) for name in ("worst_weights", "baseline") if hasattr(loss, name)
    ]
    for call in methods:
        for arrays, named in (
            ((y_there, raw_there), "y_true"),
            ((y_there, raw), "y_true"),
            ((y, raw_there), "raw_prediction"),
            ((y, raw, weight_there), "sample_weight"),
        ):
            with pytest.raises(ValueError, match=REFUSED) as error:
                call(*arrays)
            assert f"; {named} is on" in str(error.value)
    for call in (loss.read_target, loss.on):
        with pytest.raises(ValueError, match=REFUSED):
            call(y_there)
    for metric in (sl.mean_loss, sl.d2_loss_score):
        with pytest.raises(ValueError, match=REFUSED):
            metric(y_there, raw_there, loss=loss, raw=True)
    # Predictions are of arrays alone.
    np.testing.assert_allclose(numpys(loss.predict(raw_there)), loss.predict(raw))


@every_joint
def test_fits_of_joint_losses_name_what_has_to_move(device, cls):
    y, _, weight = joint_data(cls)
    loss = cls()
    x_there, y_there, weight_there = map(device.xp.asarray, (X, y, weight))
    model = SGDRegressorX(loss, optimizer="auto", max_iter=5, tol=None)
    if not loss.has_minimum:
        same_error(device, model.fit, X, y)
        return
    model.fit(X, y)
    before = copy.deepcopy(model.__dict__)
    for call in (model.fit, model.score):
        for arrays in ((x_there, y_there), (x_there, y), (X, y_there), (X, y, weight_there)):
            names = {"X": x_there, "y": y_there, "sample_weight": weight_there}
            named = next(name for name, x in names.items() if any(x is a for a in arrays))
            with pytest.raises(ValueError, match=REFUSED) as error:
                call(**dict(zip(names, arrays, strict=False)))
            assert f"; {named} is on" in str(error.value)
    with pytest.raises(ValueError, match=REFUSED):
        model.fit(X, y, X_val=x_there, y_val=y_there)
    assert before.keys() == model.__dict__.keys()
    np.testing.assert_array_equal(model.coef_, before["coef_"])
    for method in ("predict", "predict_raw"):
        found = getattr(model, method)(x_there)
        assert on_device(found)
        np.testing.assert_allclose(host(found), getattr(model, method)(X), rtol=1e-12)
    if hasattr(model, "predict_survival_function"):
        with pytest.raises(ValueError, match=REFUSED):
            model.predict_survival_function(x_there, [1.0])


def test_joint_losses_of_classes_name_what_has_to_move(device):
    y = (X[:, 0] > 0).astype(int)
    model = SGDClassifierX(sl.CVaRLoss("log_loss"), optimizer="auto", max_iter=5, tol=None)
    there = [device.xp.asarray(a) for a in (X, y)]
    with pytest.raises(ValueError, match=REFUSED):
        model.fit(*there)
    assert not hasattr(model, "coef_")
    model.fit(X, y)
    for method in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_allclose(
            host(getattr(model, method)(there[0])), getattr(model, method)(X), rtol=1e-12
        )


# ------------------------------------------------------------------- heads, and ordered classes


def fits(loss, y):
    """Estimators and what they are given: all samples at once, and steps where heads allow them."""
    ordered = isinstance(loss, ORDERED)
    kind = SGDClassifierX if ordered else SGDRegressorX
    given = {"random_state": 0, "alpha": 1e-3}
    if not loss.in_turn:
        yield kind(loss, optimizer="lbfgs", max_iter=200, tol=1e-9, **given), {}
    if not ordered:
        linear = {name: "linear" for name in loss._head_choices()}
        loss = type(loss)(**{**loss.get_params(), **linear})
        if not loss.takes_streams:  # of a power that is fitted no step is taken
            return
        rates = {"learning_rate": "constant", "eta0": 0.02}
        steps = {"optimizer": "adam", "batch_size": 16, "max_iter": 3, "tol": None, **rates}
        yield kind(loss, **given, **steps), {"offset": np.full(len(y), 0.1)}


@pytest.mark.slow
@by_heads
def test_fits_of_heads_are_the_cpus(device, loss):
    y, _, weight = head_sample(loss, N, np.float64)
    for target in kinds_of_targets(loss, y):
        for model, more in fits(loss, target):
            given = {"sample_weight": weight, **more}
            there = {name: device.xp.asarray(x) for name, x in given.items()}
            expected = copy.deepcopy(model).fit(X, target, **given)
            found = copy.deepcopy(model).fit(
                device.xp.asarray(X), device.xp.asarray(target), **there
            )
            assert on_device(found.coef_) and on_device(found.intercept_)
            assert found.n_iter_ == expected.n_iter_ and found.stop_reason_ == expected.stop_reason_
            for name in ("coef_", "intercept_"):
                a, b = getattr(expected, name), to_host(getattr(found, name))
                assert a.shape == b.shape
                np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-7 * np.abs(a).max())
            np.testing.assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=1e-9)
            check_predictions(device, expected, target)
            check_predictions(device, found.to_numpy(), target)


def check_predictions(device, model, y):
    """Of a model on the host, of data on the device."""
    x_there, offset = device.xp.asarray(X), np.linspace(-1, 1, N)
    for more in ({}, {"offset": offset}):
        moved = {name: device.xp.asarray(x) for name, x in more.items()}
        for method in (
            "predict",
            "predict_raw",
            "predict_proba",
            "predict_log_proba",
            "decision_function",
        ):
            if not hasattr(model, method):
                continue
            found, want = (
                getattr(model, method)(*arrays)
                for arrays in ((x_there, *moved.values()), (X, *more.values()))
            )
            assert on_device(found) and found.dtype == want.dtype
            np.testing.assert_allclose(found.get(), want, rtol=1e-9, atol=1e-12)
    if hasattr(model, "predict_distribution"):
        mean, std = model.predict(x_there, return_std=True)
        assert on_device(mean) and on_device(std)
        np.testing.assert_allclose(std.get(), model.predict(X, return_std=True)[1], rtol=1e-9)
        law = model.predict_distribution(x_there)
        np.testing.assert_allclose(law.mean(), model.predict_distribution(X).mean(), rtol=1e-9)
    if hasattr(model, "predict_survival_function"):
        with pytest.raises(ValueError, match=REFUSED):
            model.predict_survival_function(x_there, [1.0])
    y_there = device.xp.asarray(y)
    if isinstance(model.loss_, sl.AFT):  # a concordance, which is made by sorting on the host
        with pytest.raises(ValueError, match=REFUSED):
            model.score(x_there, y_there)
        return
    assert model.score(x_there, y_there) == pytest.approx(model.score(X, y), rel=1e-9)
    with pytest.raises(ValueError, match="must be on the same device"):
        model.score(x_there, y)


@by_heads
def test_fits_of_heads_refuse_what_the_cpus_refuse(device, loss):
    y, _, _ = head_sample(loss, N, np.float64)
    model, _ = next(fits(loss, y))
    if not isinstance(loss, ORDERED):
        same_error(device, model.fit, X, np.where(np.arange(N) == 3, np.nan, y))
        same_error(device, model.fit, X, np.full(N, -1.5) if loss._whole else np.full(N, np.inf))
        same_error(device, model.fit, X, np.stack([y, y, y], axis=1))
    same_error(device, model.fit, X, y[:-1])
    for arrays in ((device.xp.asarray(X), y), (X, device.xp.asarray(y))):
        with pytest.raises(ValueError, match="must be on the same device"):
            model.fit(*arrays)
    there = [device.xp.asarray(a) for a in (X, y)]
    if loss.in_turn:
        check_refusals_of_heads_in_turn(device, loss, y)
    else:
        with pytest.raises(ValueError, match="'newton' is for arrays on the host; on a device use"):
            model.set_params(optimizer="newton").fit(*there)
    if not isinstance(loss, ORDERED) and not loss.takes_streams:
        same_error(device, model.set_params(optimizer="adam").fit, X, y)
    assert not hasattr(model, "coef_")


def check_refusals_of_heads_in_turn(device, loss, y):
    """What they are fitted by is the host's, and what is said names what is not."""
    there = [device.xp.asarray(a) for a in (X, y)]
    for scale in ("linear", "constant"):
        model = SGDRegressorX(type(loss)(scale), max_iter=3, tol=None)
        for optimizer in ("newton", "lbfgs", "gd"):
            same_error(device, model.set_params(optimizer=optimizer).fit, X, y)
        for optimizer in ("interior-point", "auto"):
            with pytest.raises(
                ValueError, match=r"is for arrays on the host; on a device .* optimizer='adam'"
            ):
                model.set_params(optimizer=optimizer).fit(*there)
        assert not hasattr(model, "coef_")
        if scale == "constant":
            same_error(device, model.set_params(optimizer="adam").fit, X, y)


def test_streams_of_heads_go_on_from_either_side(device):
    loss = sl.GaussianNLL()
    y = head_sample(loss, N, np.float64)[0]
    options = {"optimizer": "adam", "batch_size": 8, "learning_rate": "constant", "eta0": 0.02}
    models = [SGDRegressorX(loss, random_state=0, **options) for _ in range(2)]
    for part in (slice(0, 45), slice(45, 90)):
        models[0].partial_fit(X[part], y[part])
        models[1].partial_fit(*(device.xp.asarray(a[part]) for a in (X, y)))
    np.testing.assert_allclose(to_host(models[1].coef_), models[0].coef_, rtol=1e-9)
    models[1].partial_fit(X, y)
    models[0].partial_fit(X, y)
    np.testing.assert_allclose(models[1].coef_, models[0].coef_, rtol=1e-9)


def test_weighted_and_constant_targets_have_the_cpus_unit(device):
    loss = sl.GaussianNLL()
    rng = np.random.default_rng(0)
    y, weight = np.round(rng.normal(0, 30, N)), rng.integers(0, 3, N).astype(float)
    for target in (y, np.where(np.arange(N) < 60, 4.0, y)):
        for w in (None, weight):
            there = [None if a is None else device.xp.asarray(a) for a in (target, w)]
            assert loss._unit_of(*there) == pytest.approx(loss._unit_of(target, w), rel=1e-14)


def test_sparse_rows_of_heads_are_the_cpus(device):
    from scipy import sparse

    loss = sl.NegativeBinomialNLL()
    y = head_sample(loss, N, np.float64)[0]
    model, _ = next(fits(loss, y))
    expected = copy.deepcopy(model).fit(sparse.csr_matrix(X), y)
    found = model.fit(device.sparse.csr_matrix(sparse.csr_matrix(X)), device.xp.asarray(y))
    np.testing.assert_allclose(to_host(found.coef_), expected.coef_, rtol=1e-6, atol=1e-9)


def on_the_host():
    """Estimators that fit on the host alone."""
    yield sl.AdversarialRegressor()
    yield sl.AdversarialClassifier()
    yield sl.ConstrainedRegressor()
    yield sl.ConstrainedClassifier()
    yield sl.ContrastiveEmbedding(max_iter=3)
    yield sl.CrossModalEmbedding(max_iter=3)
    yield sl.DensityRatio()
    yield sl.FairClassifier()
    yield sl.FairRegressor()
    yield sl.MultiTaskModel("squared_error")
    yield sl.PrivateLinearClassifier(epsilon=5.0, feature_bounds=(-4, 4))
    yield sl.PrivateLinearRegressor(epsilon=5.0, feature_bounds=(-4, 4), target_bounds=(0, 1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", on_the_host(), ids=lambda model: type(model).__name__)
def test_other_estimators_name_what_has_to_move(device, model):
    x = np.column_stack([np.arange(N) % 2, X])
    y = (X[:, 0] + 0.3 * X[:, 1] > 0).astype(int)
    x_there, y_there = map(device.xp.asarray, (x, y))
    for arrays in ((x_there, y_there), (x_there, y), (x, y_there)):
        with pytest.raises(ValueError, match=REFUSED) as error:
            model.fit(*arrays)
        assert type(model).__name__ in str(error.value)
    model.fit(x, y, **({"sensitive_features": x[:, 0]} if "Fair" in type(model).__name__ else {}))
    for name in ("predict", "predict_proba", "predict_raw", "decision_function", "transform"):
        if hasattr(model, name):
            with pytest.raises(ValueError, match=REFUSED):
                getattr(model, name)(x_there)


def test_every_other_estimator_is_listed():
    both = {"SGDClassifierX", "SGDRegressorX", "AlphaSearchCV"}
    made = {type(model).__name__ for model in on_the_host()}
    public = (getattr(sl, name) for name in sl.__all__)
    fitted = {x.__name__ for x in public if isinstance(x, type) and issubclass(x, BaseEstimator)}
    assert {name for name in fitted if hasattr(getattr(sl, name), "fit")} == made | both


def test_losses_of_pairs_and_of_generators_name_what_has_to_move(device):
    x = device.xp.asarray(X)
    for call in (
        lambda: sl.GANLoss().generator(x[:, 0]),
        lambda: sl.GANLoss().discriminator(X[:, 0], x[:, 0]),
        lambda: sl.CLIPLoss()(x, x),
        lambda: sl.TripletLoss().loss_gradient(x, x),
    ):
        with pytest.raises(ValueError, match=REFUSED):
            call()


def test_targets_and_measures_of_the_host_name_what_has_to_move(device):
    v = np.arange(1.0, 7.0)
    x = device.xp.asarray(v)
    events = sl.survival_target(v)
    ranking = sl.ranking_target(v, v // 4)
    for call in (
        lambda: sl.survival_target(x),
        lambda: sl.survival_target(v, event=x > 2),
        lambda: sl.ranking_target(x, v // 4),
        lambda: sl.ranking_target(v, device.xp.asarray(v // 4)),
        lambda: sl.group_target(x, v),
        lambda: sl.group_target(v, x),
        lambda: sl.concordance_index(events, x),
        lambda: sl.concordance_index(x, v),
        lambda: sl.brier_score(events, x, times=[2.0]),
        lambda: sl.ndcg(ranking, x),
        lambda: sl.mean_average_precision(x, v),
        lambda: sl.effective_sample_size(x),
    ):
        with pytest.raises(ValueError, match=REFUSED):
            call()
