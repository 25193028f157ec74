"""What the estimators take beyond scikit-learn's: outputs, soft and several labels, offsets,
bounds, weights, metadata routing, searches; and what they refuse."""

import warnings

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from suited import ONLY, loss_for, takes

from sklearn_losses import LOSSES, OPTIMIZERS, SCHEDULES, HuberLoss, PinballLoss, get_loss
from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
N, D = 80, 4
X = RNG.randn(N, D)
Y = X @ [1.0, -1.0, 0.5, 0.0] + 0.3 * RNG.randn(N)
COUNTS = RNG.poisson(np.exp(0.5 * Y)).astype(float)
TWO, THREE = (Y > 0).astype(int), np.digitize(Y, [-0.5, 0.5])
LABELS = np.c_[Y > 0, X[:, 1] > 0.3, Y + X[:, 3] > 0.5].astype(int)
WEIGHT = RNG.randint(0, 4, N).astype(float)
LAYOUTS = {"dense": np.asarray, "csr": sparse.csr_matrix}

FULL_BATCH = [name for name, cls in OPTIMIZERS.items() if cls.full_batch]
MEMORY = [name for name, cls in OPTIMIZERS.items() if cls.memory]
STEPS = [name for name in OPTIMIZERS if name not in FULL_BATCH + MEMORY]
CLASSES = [name for name, cls in LOSSES.items() if cls.task != "regression"]
PROBABILITY = [name for name in CLASSES if LOSSES[name]().gives_probability]
# Optimizers that end at the minimiser of any loss, and what they need for it.
EXACT = {
    name: {"optimizer": name, "tol": 1e-9, "max_iter": 20_000}
    for name in FULL_BATCH
    if name not in ONLY
}
EXACT |= {
    name: {"optimizer": name, "tol": 1e-9, "max_iter": 20_000, "learning_rate": "optimal"}
    for name in MEMORY
}


def regressor(loss="huber", **params):
    if params.get("optimizer") in ONLY and not takes(params["optimizer"], get_loss(loss)):
        loss = loss_for(params["optimizer"], loss)
    defaults = {"epsilon": 1.0, "tol": None, "random_state": 3, "alpha": 0.01, "max_iter": 5}
    return SGDRegressorX(loss, **{**defaults, **params})


def classifier(loss="log_loss", **params):
    defaults = {"tol": None, "random_state": 3, "alpha": 0.01, "max_iter": 5}
    return SGDClassifierX(loss, **{**defaults, **params})


# ----------------------------------------------------------------------------- several outputs


# Their eps goes with the smallest gradient of an output.
ADAPTIVE = [name for name, c in OPTIMIZERS.items() if c.recommended_rate is not None]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_outputs_trained_in_one_pass_are_those_trained_by_themselves(optimizer, layout):
    targets = np.c_[Y, -2 * Y, Y**2]
    x = LAYOUTS[layout](X)
    params = {"optimizer": optimizer, "batch_size": 9, "learning_rate": "constant"}
    # Searches for one step's length, and one optimum, for all outputs.
    together = optimizer in FULL_BATCH
    params |= {"max_iter": 5000, "tol": 1e-9} if together else {}
    model = regressor(**params).fit(x, targets)
    assert model.coef_.shape == (3, D) and model.intercept_.shape == (3,)
    assert model.predict(x).shape == (N, 3)
    score = np.mean([r2_score(t, p) for t, p in zip(targets.T, model.predict(x).T, strict=True)])
    np.testing.assert_allclose(model.score(x, targets), score)
    parts = MultiOutputRegressor(regressor(**params)).fit(x, targets).estimators_
    tolerance = {"rtol": 1e-5, "atol": 1e-7} if together else {"rtol": 1e-10, "atol": 1e-13}
    if optimizer in ADAPTIVE:
        tolerance = {"rtol": 1e-6, "atol": 1e-8}
    for k, part in enumerate(parts):
        np.testing.assert_allclose(model.coef_[k], part.coef_, **tolerance)
        np.testing.assert_allclose(model.intercept_[k], part.intercept_[0], **tolerance)
        assert part.coef_.shape == (D,)


def test_a_column_of_targets_warns_and_is_one_output():
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = regressor().fit(X, Y[:, None])
    np.testing.assert_array_equal(model.coef_, regressor().fit(X, Y).coef_)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        classifier().fit(X, TWO[:, None])


@pytest.mark.parametrize("quantiles", [[0.9, 0.1, 0.5], [0.1, 0.5, 0.9], (0.5,)])
def test_several_quantiles_are_those_fitted_by_themselves(quantiles):
    params = {"batch_size": 9, "optimizer": "adagrad", "eta0": 0.1, "max_iter": 30}
    model = regressor(PinballLoss(quantile=quantiles), **params).fit(X, Y)
    for k, quantile in enumerate(quantiles):
        part = regressor(PinballLoss(quantile=quantile), **params).fit(X, Y)
        # All outputs have the eps that goes with the smallest gradient of one.
        np.testing.assert_allclose(np.atleast_2d(model.coef_)[k], part.coef_, rtol=1e-6)
    assert 0 < model.score(X, Y) < 1


@pytest.mark.parametrize("quantiles", [[0.9, 0.1, 0.5], [0.1, 0.4, 0.5, 0.6]])
def test_quantiles_need_not_cross(quantiles):
    order = np.argsort(quantiles)
    model = regressor(PinballLoss(quantile=quantiles), batch_size=9, max_iter=1).fit(X, Y)
    x = 100 * np.random.RandomState(5).randn(500, D)
    crossing = model.predict(x)
    assert (np.diff(crossing[:, order], axis=1) < 0).any()
    ordered = model.set_params(non_crossing=True).predict(x)
    assert (np.diff(ordered[:, order], axis=1) >= 0).all()
    np.testing.assert_array_equal(np.sort(ordered, axis=1), np.sort(crossing, axis=1))


def test_non_crossing_is_for_quantiles_of_one_target():
    with pytest.raises(ValueError, match=r"non_crossing=True orders the quantiles .*HuberLoss"):
        regressor(HuberLoss(delta=[1.0, 2.0]), non_crossing=True).fit(X, Y)
    model = regressor(PinballLoss(quantile=[0.1, 0.9]), non_crossing=True)
    with pytest.raises(ValueError, match=r"several quantiles of one target; y has 2"):
        model.fit(X, np.c_[Y, Y])
    with pytest.raises(ValueError, match=r"is for 2 outputs, but y has 3 columns"):
        regressor(PinballLoss(quantile=[0.1, 0.9])).fit(X, np.c_[Y, Y, Y])


# ---------------------------------------------------------------------- several and soft labels


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_indicator_matrix_trains_each_label(layout):
    x = LAYOUTS[layout](X)
    for loss in ("log_loss", "hinge", "squared_error"):
        # What is recommended is one rate for all.
        model = classifier(loss, batch_size=9, learning_rate="constant").fit(x, LABELS)
        again = clone(model).fit(x, sparse.csr_matrix(LABELS))
        np.testing.assert_array_equal(model.coef_, again.coef_)
        assert model.predict(x).shape == (N, 3) and set(np.unique(model.predict(x))) <= {0, 1}
        assert model.score(x, LABELS) == model.score(x, sparse.csr_matrix(LABELS)) > 0.2
        for k in range(3):
            one = clone(model).fit(x, LABELS[:, k])
            np.testing.assert_allclose(model.coef_[k], one.coef_[0], rtol=1e-10)
    two = classifier(batch_size=9).fit(x, LABELS[:, :2])
    assert two.coef_.shape == (2, D) and two.predict_proba(x).shape == (N, 2)
    assert not np.allclose(two.predict_proba(x).sum(axis=1), 1)
    stream = classifier(batch_size=9).partial_fit(x, LABELS.tolist())
    np.testing.assert_array_equal(stream.classes_, [0, 1, 2])


def test_balanced_labels_weigh_presence_and_absence_alike():
    model = classifier(batch_size="full", class_weight="balanced", max_iter=1, alpha=0)
    model.set_params(learning_rate="constant").fit(X, LABELS)
    # The first step's gradient of the intercept is mean(weight * (1/2 - y)): nothing is left, where
    # the columns have their means.
    np.testing.assert_allclose(model.intercept_ + model.coef_ @ X.mean(axis=0), 0, atol=1e-15)
    with pytest.raises(ValueError, match="class_weight must be 'balanced' or None"):
        classifier(class_weight={0: 2.0}).fit(X, LABELS)


@pytest.mark.parametrize("loss", ["multinomial", "log_loss"])
def test_one_hot_rows_are_class_codes(loss):
    for y, n_classes in ((THREE, 3), (TWO, 2)):
        codes = classifier(loss, batch_size=9).fit(X, y)
        rows = classifier(loss, batch_size=9).fit(X, np.eye(n_classes)[y])
        expected = codes.coef_
        if loss == "log_loss" and n_classes == 2:  # a column for each: two classifiers
            expected = np.r_[-expected, expected]
        np.testing.assert_allclose(rows.coef_, expected, rtol=1e-10)


@pytest.mark.parametrize("loss", ["multinomial", "log_loss"])
def test_probabilities_are_labels_in_these_shares(loss):
    """A soft label has the minimiser of the hard ones, weighted by it."""
    for n_classes in (2, 3):
        soft = np.random.RandomState(1).dirichlet(np.ones(n_classes), N)
        params = {"optimizer": "lbfgs", "tol": 1e-10, "max_iter": 1000}
        model = classifier(loss, **params).fit(X, soft)
        copies, codes = np.tile(X, (n_classes, 1)), np.repeat(np.arange(n_classes), N)
        hard = classifier(loss, **params).fit(copies, codes, sample_weight=soft.T.ravel())
        np.testing.assert_allclose(model.coef_, hard.coef_, atol=1e-7)
        np.testing.assert_array_equal(model.predict(X[:9]), hard.predict(X[:9]))
        assert model.score(X, soft) == np.mean(model.predict(X) == soft.argmax(axis=1))
        np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_smoothed_labels_may_be_followed_by_certain_ones():
    smooth = np.eye(3)[THREE] * 0.9 + 0.1 / 3
    for loss in ("multinomial", "log_loss"):
        model = classifier(loss, batch_size=9).partial_fit(X, smooth)
        model.partial_fit(X, np.eye(3)[THREE])
        assert model.predict(X).shape == (N,)
        given = {"X_val": X, "y_val": np.eye(3)[THREE]}
        assert len(classifier(loss).fit(X, smooth, **given).validation_curve_) == 5
        with pytest.raises(ValueError, match=r"must be of the kind .* 3 classes"):
            model.partial_fit(X, THREE)


@pytest.mark.parametrize("loss, y, message", [
    ("multinomial", np.full((N, 3), 0.2), "sum to 1"),
    ("multinomial", LABELS, "sum to 1"),
    ("multiclass_hinge", np.eye(3)[THREE], "takes one label a sample; y has 3 columns"),
    ("log_loss", np.full((N, 3), 1.5), "indicator matrix of 0 and 1, or hold probabilities"),
    ("log_loss", np.full((N, 3), -0.5), "indicator matrix of 0 and 1, or hold probabilities"),
    ("squared_error", np.full((N, 2), 0.5), "holds probabilities, which need a loss such as"),
])  # fmt: skip
def test_wrong_rows_of_labels_are_named(loss, y, message):
    with pytest.raises(ValueError, match=message):
        classifier(loss).fit(X, y)


@pytest.mark.parametrize("name", PROBABILITY)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_likelihoods_give_probabilities_of_any_number_of_classes(name, optimizer):
    for y, n_classes in ((TWO, 2), (THREE, 3)):
        model = classifier(name, optimizer=optimizer, eta0=0.01, learning_rate="constant")
        proba = model.fit(X, np.array(["a", "b", "c"])[y]).predict_proba(X)
        assert proba.shape == (N, n_classes) and ((proba >= 0) & (proba <= 1)).all()
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        with np.errstate(divide="ignore"):
            np.testing.assert_array_equal(model.predict_log_proba(X), np.log(proba))


# --------------------------------------------------------------------------------------- offset


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_offset_shifts_the_targets_of_an_identity_link(optimizer, layout):
    x, offset = LAYOUTS[layout](X), np.random.RandomState(2).randn(N)
    params = {"optimizer": optimizer, "batch_size": 9, "loss": "squared_error"}
    with_offset = regressor(**params).fit(x, Y, offset=offset)
    shifted = regressor(**params).fit(x, Y - offset)
    np.testing.assert_allclose(with_offset.coef_, shifted.coef_, rtol=1e-9)
    np.testing.assert_allclose(
        with_offset.predict(x, offset=offset), shifted.predict(x) + offset, rtol=1e-9
    )
    score = with_offset.score(x, Y, offset=offset)
    with pytest.warns(UserWarning, match="was fitted with an offset and is scored without one"):
        assert score != with_offset.score(x, Y)
    by_output = regressor(**params).fit(x, np.c_[Y, Y], offset=np.c_[offset, 0 * offset])
    plain = regressor(**params).fit(x, Y)
    if optimizer not in FULL_BATCH:  # their steps are those of all outputs together
        rtol = 1e-6 if optimizer in ADAPTIVE else 1e-9
        np.testing.assert_allclose(by_output.coef_, [with_offset.coef_, plain.coef_], rtol=rtol)
        column = regressor(**params).fit(x, Y, offset=offset[:, None])
        np.testing.assert_array_equal(column.coef_, with_offset.coef_)


@pytest.mark.parametrize("optimizer", EXACT)
def test_an_exposure_is_a_rate_weighted_by_it(optimizer):
    exposure = np.random.RandomState(2).uniform(0.5, 2, N)
    params = {**EXACT[optimizer], "loss": "poisson", "alpha": 0.1}
    offset = regressor(**params).fit(X, COUNTS, offset=np.log(exposure))
    # Weights count relative to their mean: so must the penalty.
    params["alpha"] = 0.1 / exposure.mean()
    rate = regressor(**params).fit(X, COUNTS / exposure, sample_weight=exposure)
    np.testing.assert_allclose(offset.coef_, rate.coef_, atol=1e-8)
    np.testing.assert_allclose(
        offset.predict(X, offset=np.log(exposure)), exposure * offset.predict(X), rtol=1e-12
    )


def test_offsets_of_classes():
    offset = np.random.RandomState(2).randn(N, 3)
    model = classifier("multinomial").fit(X, THREE, offset=offset)
    raw = model.decision_function(X) + offset
    np.testing.assert_allclose(model.decision_function(X, offset=offset), raw)
    np.testing.assert_array_equal(model.predict(X, offset=offset), raw.argmax(axis=1))
    two = classifier("multinomial").fit(X, TWO, offset=offset[:, :2])
    np.testing.assert_allclose(
        two.decision_function(X, offset=offset[:, :2]),
        two.decision_function(X) + offset[:, 1] - offset[:, 0],
    )
    same = two.predict_proba(X, offset=offset[:, 0])  # for both classes alike
    np.testing.assert_allclose(same, two.predict_proba(X))


@pytest.mark.parametrize("given", [
    {"offset": np.zeros(N - 1)},
    {"offset": np.zeros((N, 2))},
    {"offset": np.full(N, np.nan)},
    {"X_val": X, "y_val": Y, "offset_val": np.zeros(3)},
])  # fmt: skip
def test_wrong_offsets_are_named(given):
    name = next(key for key in given if "offset" in key)
    message = f"{name} must have shape" if np.isfinite(given[name]).all() else "NaN"
    with pytest.raises(ValueError, match=message):
        regressor().fit(X, Y, **given)
    with pytest.raises(ValueError, match=r"offset must have shape"):
        regressor().fit(X, Y).predict(X, offset=np.zeros(3))


# ---------------------------------------------------------------------------- bounds, clipping


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_bounds_are_kept_by_every_optimizer(optimizer, penalty, layout):
    x = X.copy()
    x[:, 2] = 0  # a feature that no sample has
    low, high = np.array([-np.inf, -0.25, 0.5, -1.0]), np.array([0.125, np.inf, 0.75, -0.5])
    params = {"optimizer": optimizer, "batch_size": 9, "penalty": penalty, "eta0": 0.1}
    params |= {"max_iter": 50} if optimizer in ONLY else {}
    for extra in ({}, {"average": 3}):
        if extra and optimizer in FULL_BATCH:
            continue
        model = regressor(bounds=(low, high), **params, **extra).fit(LAYOUTS[layout](x), Y)
        assert ((model.coef_ >= low) & (model.coef_ <= high)).all()
        # At its bound, to a rounding that differs between instruction sets.
        at_bound = np.isclose(model.coef_[0], 0.125, rtol=1e-12)
        assert at_bound or extra or optimizer in ("rmsprop", "adagrad", "implicit_adagrad", "saga")
        positive = regressor(positive=True, **params, **extra).fit(LAYOUTS[layout](X), Y)
        assert (positive.coef_ >= 0).all() and positive.coef_[0] > 0 and not positive.coef_[1]
    both = regressor(positive=True, bounds=(-1, 0.25), **params).fit(X, np.c_[Y, -Y])
    assert ((both.coef_ >= 0) & (both.coef_ <= 0.25)).all()


@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
@pytest.mark.parametrize("optimizer", EXACT)
def test_projection_ends_at_the_constrained_minimum(optimizer, penalty):
    low, high = -0.2, 0.6
    params = EXACT[optimizer]
    model = regressor("log_cosh", bounds=(low, high), penalty=penalty, alpha=0.05, **params)
    model.fit(X, Y)
    w, b = model.coef_, model.intercept_
    g = model.loss_.gradient(Y, X @ w + b) / N
    assert abs(g.sum()) < 1e-7
    share = {"l2": 0.0, "elasticnet": 0.15}[penalty]
    slope = X.T @ g + 0.05 * (1 - share) * w + 0.05 * share * np.sign(w)
    at_low, at_high = w == low, w == high
    assert at_low.any() and at_high.any()
    inside = ~(at_low | at_high) & (w != 0)
    assert (slope[at_low] > 0).all() and (slope[at_high] < 0).all()
    np.testing.assert_allclose(slope[inside], 0, atol=1e-7)
    assert (np.abs(slope[w == 0]) <= 0.05 * share + 1e-7).all()


@pytest.mark.parametrize("bounds, message", [
    ((0,), r"bounds must be a pair"),
    ((1, 0), r"low exceeds high for feature 0: 1.0 > 0.0"),
    (([0, 0], 1), r"low must be a number, or 4 numbers"),
    ((0, np.nan), r"high must be a number"),
    (3, "'bounds' parameter"),
])  # fmt: skip
def test_wrong_bounds_are_named(bounds, message):
    with pytest.raises(ValueError, match=message):
        regressor(bounds=bounds).fit(X, Y)


def test_bounds_of_two_classes_need_one_row_of_weights():
    with pytest.raises(ValueError, match=r"use loss='log_loss'"):
        classifier("multinomial", positive=True).fit(X, TWO)
    assert (classifier("multinomial", positive=True).fit(X, THREE).coef_ >= 0).all()
    assert (classifier(positive=True).fit(X, TWO).coef_ >= 0).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_clip_norm_shortens_the_gradient_of_a_step(layout):
    params = {"batch_size": "full", "max_iter": 1, "learning_rate": "constant", "eta0": 0.5}
    params["loss"] = "squared_error"
    X = StandardScaler().fit_transform(globals()["X"])  # whose coordinates are the weights
    start = {"intercept_init": [0.5]}
    free = regressor(alpha=0, **params).fit(LAYOUTS[layout](X), Y, **start)
    clipped = regressor(alpha=0, clip_norm=0.01, **params).fit(LAYOUTS[layout](X), Y, **start)
    step = np.r_[clipped.coef_, clipped.intercept_ - 0.5]
    np.testing.assert_allclose(np.linalg.norm(step), 0.5 * 0.01, rtol=1e-12)
    long = np.r_[free.coef_, free.intercept_ - 0.5]
    np.testing.assert_allclose(step / np.linalg.norm(step), long / np.linalg.norm(long))
    same = regressor(alpha=0, clip_norm=1e6, **params).fit(LAYOUTS[layout](X), Y, **start)
    np.testing.assert_allclose(same.coef_, free.coef_, rtol=1e-13)
    assert clipped.grad_norm_curve_ == free.grad_norm_curve_  # before it is shortened
    for optimizer in (*MEMORY, *FULL_BATCH):
        with pytest.raises(ValueError, match=f"clip_norm has no meaning .*'{optimizer}'"):
            regressor(clip_norm=1.0, optimizer=optimizer).fit(X, Y)


# -------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("loss", ["log_cosh", "poisson", "log_loss", "multinomial"])
@pytest.mark.parametrize("optimizer", EXACT)
def test_a_weight_of_k_is_k_copies_and_none_is_absence(optimizer, loss, layout):
    model, y = {
        "log_cosh": (regressor, Y),
        "poisson": (regressor, COUNTS),
        "log_loss": (classifier, TWO),
        "multinomial": (classifier, THREE),
    }[loss]
    rows = np.repeat(np.arange(N), WEIGHT.astype(int))
    model = model(loss, **{**EXACT[optimizer], "alpha": 0.1})
    weighted = clone(model).fit(LAYOUTS[layout](X), y, sample_weight=WEIGHT)
    copied = clone(model).fit(LAYOUTS[layout](X[rows]), y[rows])
    np.testing.assert_allclose(weighted.coef_, copied.coef_, atol=1e-9)
    np.testing.assert_allclose(weighted.intercept_, copied.intercept_, atol=1e-9)
    if optimizer in FULL_BATCH:
        last = (weighted.loss_curve_[-1], copied.loss_curve_[-1])
        np.testing.assert_allclose(*last, rtol=1e-12)


# ------------------------------------------------------------------------------ metadata routing


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_metadata_are_routed_through_pipelines(routing):
    offset = np.random.RandomState(2).randn(N)
    X_val, y_val = X[:20] * 2 + 1, Y[:20]
    step = regressor(batch_size=9, learning_rate="constant", eta0=0.1)
    step.set_fit_request(sample_weight=True, offset=True, X_val=True, y_val=True)
    step.set_predict_request(offset=True).set_score_request(offset=True, sample_weight=True)
    scale = StandardScaler().set_fit_request(sample_weight=False)
    pipeline = make_pipeline(scale, step, transform_input=["X_val"])
    given = {"sample_weight": WEIGHT, "offset": offset}
    pipeline.fit(X, Y, **given, X_val=X_val, y_val=y_val)
    scaler = StandardScaler().fit(X)
    direct = clone(step).fit(
        scaler.transform(X), Y, **given, X_val=scaler.transform(X_val), y_val=y_val
    )
    np.testing.assert_array_equal(pipeline[-1].coef_, direct.coef_)
    assert pipeline[-1].validation_curve_ == direct.validation_curve_
    np.testing.assert_array_equal(
        pipeline.predict(X, offset=offset), direct.predict(scaler.transform(X), offset=offset)
    )
    assert pipeline.score(X, Y, **given) == direct.score(scaler.transform(X), Y, **given)


def test_metadata_are_routed_through_searches(routing):
    exposure = np.random.RandomState(2).uniform(0.5, 2, N)
    model = regressor("poisson", optimizer="lbfgs")
    model.set_fit_request(sample_weight=True, offset=True)
    model.set_score_request(sample_weight=True, offset=True)
    search = GridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=[(np.arange(40), np.arange(40, N))])
    given = {"sample_weight": WEIGHT + 1, "offset": np.log(exposure)}
    search.fit(X, COUNTS, **given)
    first = clone(model).set_params(alpha=0.1)
    first.fit(X[:40], COUNTS[:40], **{k: v[:40] for k, v in given.items()})
    expected = first.score(X[40:], COUNTS[40:], **{k: v[40:] for k, v in given.items()})
    np.testing.assert_allclose(search.cv_results_["mean_test_score"][0], expected)
    labels = classifier(batch_size=9).set_fit_request(X_val=True, y_val=True)
    search = GridSearchCV(labels, {"alpha": [0.1, 1.0]}, cv=3)
    search.fit(X, THREE, X_val=X[:9], y_val=THREE[:9])
    assert len(search.best_estimator_.validation_curve_) == search.best_estimator_.n_iter_


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
@pytest.mark.parametrize("optimizer", STEPS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_divergence_names_the_epoch_and_what_to_try(optimizer, layout):
    model = regressor("poisson", optimizer=optimizer, batch_size=9).fit(LAYOUTS[layout](X), COUNTS)
    before, predictions = model.coef_, model.predict(X)
    model.set_params(learning_rate="constant", eta0=1e200, max_iter=1000)
    with pytest.raises(ValueError) as caught:
        model.fit(LAYOUTS[layout](1e150 * X), COUNTS)
    for part in ("epoch #", "HalfPoissonLoss", OPTIMIZERS[optimizer].__name__, "'constant'",
                 "eta0=1e+200", "StandardScaler", "clip_norm", "smaller eta0"):  # fmt: skip
        assert part in str(caught.value)
    assert model.coef_ is before and model.n_iter_ == 5
    np.testing.assert_array_equal(model.predict(X), predictions)


INFINITE = np.where(np.arange(N) == 7, np.inf, Y)


@pytest.mark.parametrize("model, x, y, given, message", [
    (classifier(), X, np.ones(N), {}, "greater than one; got 1 class"),
    (regressor(), X[:0], Y[:0], {}, "0 sample"),
    (classifier(), X[:0], TWO[:0], {}, "0 sample"),
    (regressor("poisson"), X, Y, {}, r"HalfPoissonLoss: y_true must lie in \[0, inf\)"),
    (regressor(), X, INFINITE, {}, "infinity"),
    (regressor(), np.where(X > 2, np.inf, X), Y, {}, "infinity"),
    (regressor(), X, Y[:-1], {}, "inconsistent numbers of samples"),
    (regressor(), X, Y, {"sample_weight": -WEIGHT}, "Negative values"),
    (regressor(), X, Y, {"sample_weight": 0 * WEIGHT}, "at least one non-zero"),
    (regressor(), X, Y, {"sample_weight": WEIGHT[1:]}, "sample_weight"),
    (regressor(), X, Y, {"X_val": X}, "X_val needs y_val"),
    (regressor(), X, Y, {"y_val": Y}, "need X_val"),
    (regressor(), X, Y, {"sample_weight_val": WEIGHT}, "need X_val"),
    (regressor(), X, Y, {"X_val": X[:, :2], "y_val": Y}, "features"),
    (regressor(), X, Y, {"X_val": X[:5], "y_val": Y}, "inconsistent numbers of samples"),
    (regressor(), X, Y, {"X_val": X, "y_val": np.c_[Y, Y]}, "y_val must have the columns of y"),
    (regressor(), X, Y, {"X_val": X, "y_val": Y, "sample_weight_val": -WEIGHT}, "Negative"),
    (regressor("poisson"), X, COUNTS, {"X_val": X, "y_val": Y}, "y_true must lie in"),
    (regressor(early_stopping=True), X, Y, {"X_val": X, "y_val": Y}, "with X_val set it to False"),
    (regressor(average=True, optimizer="gd"), X, Y, {}, "average has no meaning"),
    (regressor("huger"), X, Y, {}, "did you mean .*'huber'"),
    (regressor(optimizer="adan"), X, Y, {}, "optimizer must .* did you mean 'adam'"),
    (regressor(learning_rate="cosin"), X, Y, {}, "learning_rate must .* did you mean 'cosine'"),
    (regressor(optimizer=3), X, Y, {}, "'optimizer' parameter"),
    (regressor("tukey", optimizer="lbfgs").set_params(loss="huberx"), X, Y, {}, "huber"),
    (regressor("epsilon_insensitive", optimizer="lbfgs"), X, Y, {}, "no smooth counterpart"),
])  # fmt: skip
def test_what_cannot_be_fitted_is_named(model, x, y, given, message):
    with pytest.raises(ValueError, match=message):
        clone(model).fit(x, y, **given)


# -------------------------------------------------------------------------------------- searches


def test_searches_reach_into_optimizers_schedules_and_losses():
    step = regressor(
        HuberLoss(), optimizer=OPTIMIZERS["adam"](), learning_rate=SCHEDULES["exponential"]()
    )
    grid = {
        "optimizer__beta1": [0.5, 0.9],
        "learning_rate__decay": [0.5, 0.9],
        "loss__delta": [0.5, 2.0],
    }
    search = GridSearchCV(step, grid, cv=2, error_score="raise").fit(X, Y)
    assert len(set(search.cv_results_["mean_test_score"])) == 8
    best = search.best_estimator_
    assert best.loss_.delta == best.loss.delta == search.best_params_["loss__delta"]


def test_a_search_over_losses_and_optimizers_in_two_processes_warns_of_nothing():
    regression = [n for n, c in LOSSES.items() if c.task == "regression"]
    losses = [n for n in regression if LOSSES[n]().differentiable]
    losses = [n for n in losses if n != "root_mean_squared_error"][:12]
    optimizers = ["sgd", "nesterov", "adam", "saga", "lbfgs"]
    assert len(losses) == 12
    model = SGDRegressorX(batch_size=8, random_state=0, eta0=0.005)
    pipeline = make_pipeline(StandardScaler(), model)
    grid = {"sgdregressorx__loss": losses, "sgdregressorx__optimizer": optimizers}
    y = np.exp(0.3 * Y)  # positive, for every link
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
        # Processes have warnings of their own.
        for params in search.cv_results_["params"]:
            clone(pipeline).set_params(**params).fit(X, y)
    ours = [w for w in caught if "sklearn_losses" in w.filename or "SGD" in str(w.message)]
    assert not ours and not [w for w in caught if issubclass(w.category, RuntimeWarning)]
    assert len(search.cv_results_["params"]) == 60 and search.best_score_ > 0.5
