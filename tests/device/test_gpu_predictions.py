"""Predictions, scores and errors of the estimators on arrays of a device, and scikit-learn's tools
around them."""

import copy
from importlib.util import find_spec

import numpy as np
import pytest
from device_data import (
    BINARY,
    KINDS,
    LABELS,
    LAYOUTS,
    OFFSET,
    SIGNAL,
    SOFT,
    THREE,
    WEIGHT,
    WORDS,
    D,
    N,
    X,
    assert_same_fit,
    model_of,
    there,
)
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import DataConversionWarning, UndefinedMetricWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_losses import (
    SGDClassifierX,
    SGDRegressorX,
)
from sklearn_losses._array import on_device

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# ------------------------------------------------------------------------------------ predictions


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_follow_their_data(device, kind, layout, dtype, offset):
    """Those of a model fitted on the host, on data of either side, and of the model moved."""
    x, y = LAYOUTS[layout](X.astype(dtype)), KINDS[kind][2]
    model = model_of(kind, non_crossing=True) if kind == "quantiles" else model_of(kind)
    model.fit(x, y)
    moved = on(device, model)
    given = {"offset": OFFSET} if offset else {}
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    for method in ("predict", "decision_function", "predict_proba", "predict_log_proba"):
        if not hasattr(model, method):
            continue
        expected = getattr(model, method)(x, **given)
        for fitted in (model, moved):
            found = getattr(fitted, method)(
                there(device, x), **{name: there(device, v) for name, v in given.items()}
            )
            if expected.dtype.kind == "U":
                np.testing.assert_array_equal(found, expected)
                continue
            assert on_device(found) and found.dtype == expected.dtype
            np.testing.assert_allclose(found.get(), expected, rtol=rtol, atol=rtol)
        np.testing.assert_array_equal(getattr(moved, method)(x, **given), expected)


def on(device, model):
    """A copy of a fitted model with its weights on the device."""
    moved = copy.deepcopy(model)
    moved.coef_, moved.intercept_ = there(device, model.coef_), there(device, model.intercept_)
    return moved


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_host_and_wait_twice(device, kind, weighted):
    y = KINDS[kind][2]
    model = model_of(kind).fit(X, y)
    weight = WEIGHT if weighted else None
    x_there, y_there, weight_there = there(device, X), there(device, y), there(device, weight)
    before = None if device.real else device.counts["sync"]
    found = model.score(x_there, y_there, weight_there)
    assert type(found) is float
    assert found == pytest.approx(model.score(X, y, weight), rel=1e-12)
    if not device.real and kind != "text":
        waits = device.counts["sync"] - before
        if kind in ("quantiles", "log link"):  # a D², whose constant is sought
            assert waits <= 20 * np.size(model.intercept_)
        else:  # for the finiteness of X, and for the score
            assert waits == 2


def test_scores_of_their_edges_are_scikit_learns(device):
    model = model_of("regression").fit(X, SIGNAL)
    x = there(device, X)
    constant = np.full(N, 2.0)
    assert model.score(x, there(device, constant)) == r2_score(constant, model.predict(X)) == 0.0
    model.coef_, model.intercept_ = np.zeros(D), np.array([2.0])
    assert model.score(x, there(device, constant)) == r2_score(constant, model.predict(X)) == 1.0
    assert model.score(x, there(device, SIGNAL[:, None])) == pytest.approx(model.score(X, SIGNAL))
    with pytest.warns(UndefinedMetricWarning, match="less than two samples"):
        assert np.isnan(model.score(x[:1], there(device, SIGNAL[:1])))
    hits = SGDClassifierX().fit(X, BINARY)
    expected = accuracy_score(BINARY, hits.predict(X))
    assert hits.score(x, there(device, BINARY[:, None])) == expected
    assert hits.score(x, there(device, BINARY.astype(float))) == expected


@pytest.mark.parametrize(
    "weight, message",
    [
        (np.zeros(N), "must contain at least one non-zero number"),
        (np.where(np.arange(N) == 3, np.nan, 1.0), "Input sample_weight contains NaN"),
        (WEIGHT[:-1], "inconsistent numbers of samples"),
    ],
    ids=["zero", "nan", "short"],
)
@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_scores_name_wrong_weights(device, kind, weight, message):
    y = KINDS[kind][2]
    model = model_of(kind).fit(X, y)
    places = [lambda x: there(device, x)]
    if find_spec("sklearn.callback"):  # scikit-learn before 1.9 had other words, or took them
        places.append(lambda x: x)
    for move in places:
        with pytest.raises(ValueError, match=message):
            model.score(move(X), move(y), move(weight))


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_scores_refuse_targets_that_are_not_numbers(device, kind):
    model = model_of(kind).fit(X, KINDS[kind][2])
    y = np.where(np.arange(N) == 3, np.nan, 1.0)
    for move in (lambda x: x, lambda x: there(device, x)):
        with pytest.raises(ValueError, match="contains NaN"):
            model.score(move(X), move(y))


# ----------------------------------------------------------------------------------------- errors

few = np.arange(5)
ROWS, COLUMN = X[few], SIGNAL[few]


def changed(x, index, value):
    x = x.copy()
    x[index] = value
    return x


WRONG = {
    "X of one dimension": (X[few, 0], COLUMN, {}),
    "X of three": (ROWS[None], COLUMN, {}),
    "a scalar": (np.array(1.0), COLUMN, {}),
    "X not a number": (changed(ROWS, (2, 1), np.nan), COLUMN, {}),
    "X infinite": (changed(ROWS, (2, 1), -np.inf), COLUMN, {}),
    "X infinite in float32": (changed(ROWS.astype(np.float32), (2, 1), np.inf), COLUMN, {}),
    "CSR not a number": (sparse.csr_matrix(changed(ROWS, (2, 1), np.nan)), COLUMN, {}),
    "CSR without samples": (sparse.csr_matrix((0, D)), COLUMN[:0], {}),
    "X complex": (ROWS * 1j, COLUMN, {}),
    "no samples": (X[:0], COLUMN[:0], {}),
    "no features": (X[few, :0], COLUMN, {}),
    "no y": (ROWS, None, {}),
    "y too short": (ROWS, COLUMN[:-1], {}),
    "y not a number": (ROWS, changed(COLUMN, 1, np.nan), {}),
    "y complex": (ROWS, COLUMN * 1j, {}),
    "y of three dimensions": (ROWS, COLUMN[:, None, None], {}),
    "y outside": (ROWS, -np.exp(COLUMN), {"loss": "poisson"}),
    "weights too short": (ROWS, COLUMN, {"sample_weight": WEIGHT[:4]}),
    "weights of two dimensions": (ROWS, COLUMN, {"sample_weight": WEIGHT[few, None]}),
    "negative weights": (ROWS, COLUMN, {"sample_weight": -WEIGHT[few]}),
    "a negative weight": (ROWS, COLUMN, {"sample_weight": changed(WEIGHT[few], 3, -1.0)}),
    "weights not numbers": (ROWS, COLUMN, {"sample_weight": changed(WEIGHT[few], 3, np.nan)}),
    "weights of zero": (ROWS, COLUMN, {"sample_weight": np.zeros(5)}),
    "offset too short": (ROWS, COLUMN, {"offset": OFFSET[:4]}),
    "offset infinite": (ROWS, COLUMN, {"offset": changed(OFFSET[few], 0, np.inf)}),
    "a start of another shape": (ROWS, COLUMN, {"coef_init": np.zeros(D + 1)}),
    "an intercept of another shape": (ROWS, COLUMN, {"intercept_init": np.zeros(2)}),
    "validation of other features": (ROWS, COLUMN, {"X_val": X[:, 1:], "y_val": SIGNAL}),
    "validation of other columns": (ROWS, COLUMN, {"X_val": X, "y_val": X[:, :2]}),
    "one class": (ROWS, few * 0, {"loss": "hinge"}),
    "classes not apart": (ROWS, COLUMN, {"loss": "hinge"}),
    "labels outside": (ROWS, 3 * LABELS[few], {"loss": "hinge"}),
    "rows that do not sum to one": (ROWS, 0.5 * SOFT[few], {"loss": "multinomial"}),
    "soft labels of margins": (ROWS, SOFT[few], {"loss": "squared_error", "classes": True}),
    "unknown labels": (X, THREE, {"loss": "hinge", "X_val": X, "y_val": THREE + 1}),
    "class weights of labels": (ROWS, LABELS[few], {"loss": "hinge", "class_weight": {0: 1.0}}),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_as_on_the_host(device, name):
    x, y, given = WRONG[name]
    given = dict(given)
    loss = given.pop("loss", "huber")
    classes = given.pop("classes", False) or loss in ("hinge", "multinomial")
    params = {"class_weight": given.pop("class_weight")} if "class_weight" in given else {}
    model = (SGDClassifierX if classes else SGDRegressorX)(loss, batch_size=8, **params)
    said = []
    for move in (lambda x: x, lambda x: there(device, x)):
        before = dict(vars(model))
        with pytest.raises((ValueError, TypeError)) as error:
            model.fit(move(x), move(y), **{name: move(value) for name, value in given.items()})
        said.append(str(error.value))
        assert vars(model) == before
    assert said[1] == said[0]


def test_wrong_calls_of_a_fitted_model_are_named_as_on_the_host(device):
    model = model_of("one-vs-rest").fit(X, THREE)
    for call in (
        lambda move: model.predict(move(X[:, 1:])),
        lambda move: model.predict(move(changed(X, (1, 1), np.nan))),
        lambda move: model.predict(move(X), offset=move(OFFSET[1:])),
        lambda move: model.partial_fit(move(X[:, 1:]), move(THREE)),
        lambda move: model.partial_fit(move(X), move(THREE + 1)),
        lambda move: model.partial_fit(move(X), move(THREE), classes=[0, 1]),
        lambda move: model.partial_fit(move(X), move(LABELS)),
        lambda move: SGDClassifierX().partial_fit(move(X), move(THREE)),
        lambda move: SGDClassifierX().predict(move(X)),
    ):
        said = []
        before = dict(vars(model))
        for move in (lambda x: x, lambda x: there(device, x)):
            with pytest.raises(ValueError) as error:
                call(move)
            said.append(str(error.value))
        assert said[1] == said[0] and vars(model) == before


def test_a_column_of_targets_warns_as_on_the_host(device):
    for kind in ("regression", "binary"):
        y = KINDS[kind][2]
        with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
            found = model_of(kind).fit(there(device, X), there(device, y[:, None]))
        assert_same_fit(found, model_of(kind).fit(X, y))


@pytest.mark.parametrize(
    "stays", ["X", "y", "sample_weight", "offset", "X_val", "y_val", "sample_weight_val"]
)
def test_data_of_two_places_are_refused_by_name(device, stays):
    data = {"X": X, "y": SIGNAL, "sample_weight": WEIGHT, "offset": OFFSET}
    data |= {f"{name}_val": value for name, value in data.items()}
    given = {k: v if k == stays else there(device, v) for k, v in data.items()}
    message = f"same device.*[; ]{stays} is on the host \\(numpy.ndarray\\)"
    with pytest.raises(ValueError, match=message):
        model_of("regression").fit(**given)
    model = model_of("regression").fit(X, SIGNAL)
    short = {k: v for k, v in given.items() if not k.endswith("_val")}
    if stays in short:
        with pytest.raises(ValueError, match=message):
            model.partial_fit(**short)
        with pytest.raises(ValueError, match=message):
            model.score(**short)
    if stays in ("X", "offset"):
        with pytest.raises(ValueError, match=message):
            model.predict(short["X"], short["offset"])


def test_numbers_as_lists_are_on_the_host(device):
    with pytest.raises(ValueError, match=r"y is on the host \(builtins.list\)"):
        model_of("binary").fit(there(device, X), BINARY.tolist())
    found = model_of("text").fit(there(device, X), WORDS.tolist())
    assert_same_fit(found, model_of("text").fit(X, WORDS))
    assert found.score(there(device, X), WORDS.tolist()) == found.score(X, WORDS)


def test_labels_of_text_and_numbers_do_not_mix(device):
    model = model_of("text").partial_fit(there(device, X), WORDS, classes=np.unique(WORDS))
    with pytest.raises(ValueError, match="labels that are not in classes"):
        model.partial_fit(there(device, X), there(device, THREE))


def test_two_devices_are_not_mixed_and_each_fits_on_its_own(device):
    xp = device.xp
    if xp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one device")
    x, y = there(device, X), there(device, BINARY)
    with xp.cuda.Device(1):
        x1, y1 = there(device, X), there(device, BINARY)
    with pytest.raises(ValueError, match="X is on cuda:0, y is on cuda:1"):
        model_of("binary").fit(x, y1)
    model = model_of("binary", optimizer="adam").fit(x1, y1)
    assert model.coef_.device.id == 1
    np.testing.assert_array_equal(model.predict(x).get(), model.predict(x1).get())
    assert model.predict_proba(x).device.id == 0 and model.predict_proba(x1).device.id == 1
    assert model.score(x, y) == model.score(x1, y1)
    model.partial_fit(x, y)
    assert model.coef_.device.id == 0
    assert xp.cuda.Device().id == 0


# ----------------------------------------------------------------------------- scikit-learn's tools


class Scaler(TransformerMixin, BaseEstimator):
    """Works on any array with methods."""

    def fit(self, X, y=None):
        self.mean_, self.scale_ = X.mean(axis=0), X.std(axis=0)
        return self

    def transform(self, X):
        return (X - self.mean_) / self.scale_


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["regression", "text", "soft"])
def test_cross_validation_takes_rows_on_the_device(device, kind, layout):
    x, y = LAYOUTS[layout](X), KINDS[kind][2]
    scores = cross_val_score(model_of(kind), there(device, x), there(device, y), cv=KFold(3))
    expected = cross_val_score(model_of(kind), x, y, cv=KFold(3))
    np.testing.assert_allclose(scores, expected, rtol=1e-8)


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_pipelines_and_searches_stay_on_the_device(device, kind):
    y = KINDS[kind][2]
    model = make_pipeline(Scaler(), model_of(kind))
    x_there, y_there = there(device, X), there(device, y)
    cv = KFold(3)
    grid = {f"{model.steps[-1][0]}__alpha": [0.001, 1.0]}
    found = GridSearchCV(model, grid, cv=cv).fit(x_there, y_there)
    expected = GridSearchCV(model, grid, cv=cv).fit(X, y)
    assert found.best_params_ == expected.best_params_
    assert on_device(found.best_estimator_[-1].coef_) and on_device(found.predict(x_there))


@pytest.mark.parametrize("dispatch", [False, True])
def test_array_api_dispatch_changes_nothing(device, dispatch, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    expected = model_of("binary").fit(X, BINARY)
    with config_context(array_api_dispatch=dispatch):
        found = model_of("binary").fit(there(device, X), there(device, BINARY))
        assert on_device(found.predict(there(device, X)))
        assert found.score(there(device, X), there(device, BINARY)) == expected.score(X, BINARY)
    assert_same_fit(found, expected)


def test_pictures_are_drawn_of_models_and_data_on_the_device(device):
    pytest.importorskip("matplotlib").use("agg")
    from sklearn_losses import (
        ParameterPathDisplay,
        QuantileDisplay,
        ResidualDisplay,
        TrainingDisplay,
    )

    x, y = there(device, X), there(device, SIGNAL)
    model = model_of("regression").fit(x, y)
    assert len(TrainingDisplay.from_estimator(model).lines_) == 3
    display = ResidualDisplay.from_estimator(model, x, y)
    np.testing.assert_allclose(display.y_pred, model.predict(X))
    given = {"param_name": "alpha", "param_range": [0.1, 1.0], "cv": KFold(3)}
    display = ParameterPathDisplay.from_estimator(model, x, y, **given)
    assert display.coefs.shape == (2, D) and type(display.coefs) is np.ndarray
    quantiles = model_of("quantiles").fit(x, y)
    display = QuantileDisplay.from_estimator(quantiles, x, y, feature=0)
    assert display.y_pred.shape == (N, 3)
