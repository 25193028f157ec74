"""Fitted estimators leave the package whole: as ONNX graphs, in files of skops, under SHAP."""

import importlib
import math
import re
import sys

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from slow_penalties import cases
from suited import loss_for

import sklearn_losses as sl
from sklearn_losses import SGDClassifierX, SGDRegressorX, links
from sklearn_losses._array import array_namespace
from sklearn_losses._kernels.losses._pointwise import KINDS
from sklearn_losses.losses import LOSSES, REDUCED
from sklearn_losses.optimizers import OPTIMIZERS
from sklearn_losses.schedules import SCHEDULES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.normal(size=(90, 4))
SIGNAL = X @ [0.5, -0.3, 0.2, 0.4] + 0.1 * RNG.normal(size=90)
POSITIVE = np.exp(SIGNAL)
TWO = (SIGNAL > 0).astype(int)
THREE = np.digitize(SIGNAL, [-0.3, 0.3])
SEVERAL = np.stack([TWO, SIGNAL > 0.3, X[:, 0] > 0], axis=1).astype(int)
# Far out, where links saturate and overflow; at zero; and near it.
ROWS = np.concatenate([X, 1000 * X[:20], 0 * X[:1], 1e-6 * X[:20]])

TRAINABLE = [name for name, cls in LOSSES.items() if cls not in REDUCED]
OF_CLASSES = [name for name in TRAINABLE if LOSSES[name].task != "regression"]
every_loss = pytest.mark.parametrize("name", TRAINABLE)


def peer(name):
    return pytest.importorskip(name, reason=f"{name} is not installed")


def fitted(loss, y=None, dtype=np.float64, **params):
    """A model of a loss, given by name or as an object."""
    loss = sl.get_loss(loss)
    of_classes = loss.task != "regression" and loss.name in OF_CLASSES
    model = SGDClassifierX if of_classes else SGDRegressorX
    defaults = {"learning_rate": "invscaling", "eta0": 0.01, "max_iter": 20, "tol": None}
    if y is None:
        y = THREE if of_classes else POSITIVE
    return model(loss, **{"random_state": 0, **defaults, **params}).fit(X.astype(dtype), y)


# --------------------------------------------------------------------------------------------- ONNX


@pytest.fixture
def convert():
    """Of a model, rows and options: what onnxruntime computes of the converted model, by output."""
    skl2onnx, onnxruntime = peer("skl2onnx"), peer("onnxruntime")
    sl.register_onnx_converters()

    def run(model, rows, target_opset=None, **options):
        graph = skl2onnx.to_onnx(
            model, rows[:1], options=options or None, target_opset=target_opset
        )
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, {"X": rows}), strict=True))

    return run


def scores_of(model, rows):
    """What the second output of a classifier must hold."""
    if hasattr(model, "predict_proba"):
        return model.predict_proba(rows)
    raw = model.decision_function(rows)
    return np.stack([-raw, raw], axis=1) if raw.ndim == 1 else raw


def check(outputs, model, rows, ulps=8):
    """The outputs are those of the model, in the rows' type, to `ulps` of what the dot products
    round off, in the type that the model computes in."""
    dense = model.coef_.toarray() if sparse.issparse(model.coef_) else np.atleast_2d(model.coef_)
    eps = np.finfo(np.result_type(rows, dense)).eps
    rounded = ulps * eps * (1 + (np.abs(rows) @ np.abs(dense).T + np.abs(model.intercept_)))
    with np.errstate(over="ignore"):
        if hasattr(model, "classes_"):
            want, got = scores_of(model, rows), outputs["probabilities"]
            np.testing.assert_array_equal(outputs["label"], model.predict(rows))
        else:
            want, got = model.predict(rows).reshape(len(rows), -1), outputs["variable"]
        want = want.astype(rows.dtype)
    assert got.dtype == rows.dtype and got.shape == want.shape
    infinite = np.isinf(want)
    np.testing.assert_array_equal(got[infinite], want[infinite])
    allowed = rounded.max(axis=1, keepdims=True) * (1 + np.abs(want))
    allowed = allowed + np.finfo(rows.dtype).eps * np.abs(want)
    got, want, allowed = (array[~infinite] for array in (got, want, allowed))
    assert (np.abs(got - want) <= allowed).all()


@pytest.mark.parametrize("weights, rows", [("f8", "f8"), ("f8", "f4"), ("f4", "f4"), ("f4", "f8")])
@every_loss
def test_every_loss_predicts_in_onnxruntime_as_it_does_here(convert, name, weights, rows):
    rows = ROWS.astype(rows)
    for y in (THREE, TWO) if name in OF_CLASSES else (POSITIVE,):
        model = fitted(name, y, weights)
        assert model.coef_.dtype == weights
        options = {"zipmap": False} if name in OF_CLASSES else {}
        check(convert(model, rows, **options), model, rows)


@pytest.mark.parametrize("dtype, ulps", [("f8", 16), ("f4", 16)])
@every_loss
def test_small_predictions_keep_their_relative_accuracy(convert, name, dtype, ulps):
    # The weights make the raw predictions those of the rows, without rounding.
    raw = np.concatenate([-np.logspace(-6, 1.9, 200), [0], np.logspace(-6, 1.9, 200)])
    rows = np.zeros((len(raw), 4), dtype)
    rows[:, 0] = raw
    model = fitted(name, TWO if name in OF_CLASSES else POSITIVE, dtype)
    model.intercept_[:] = 0
    model.coef_[...] = [1, 0, 0, 0]
    if name in OF_CLASSES:
        outputs, want = convert(model, rows, zipmap=False), scores_of(model, rows)[:, 1]
        got = outputs["probabilities"][:, 1]
    else:
        got, want = convert(model, rows)["variable"][:, 0], model.predict(rows)
    if name == "multiclass_focal":  # what its logits, sums of logarithms, round off
        ulps *= 16
    rtol = ulps * np.finfo(dtype).eps
    np.testing.assert_allclose(got, want, rtol=rtol, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("y", [SEVERAL, SEVERAL[:, :2]], ids=["three", "two"])
@pytest.mark.parametrize("name", [n for n in OF_CLASSES if not LOSSES[n].is_multiclass])
def test_several_labels_a_sample_are_converted(convert, name, y):
    model = fitted(name, y)
    check(convert(model, ROWS, zipmap=False), model, ROWS)


def test_several_outputs_are_converted(convert):
    for loss in ("squared_error", "poisson"):
        model = fitted(loss, np.stack([POSITIVE, POSITIVE**2, 1 / POSITIVE], axis=1))
        outputs = convert(model, ROWS)
        assert outputs["variable"].shape == (len(ROWS), 3)
        check(outputs, model, ROWS)


def test_quantiles_are_sorted_in_the_graph_where_the_model_sorts_them(convert):
    loss = sl.PinballLoss(quantile=[0.9, 0.1, 0.5])  # in an order of their own
    for non_crossing in (False, True):
        model = fitted(loss, non_crossing=non_crossing)
        low, middle, high = convert(model, ROWS)["variable"].T[[1, 2, 0]]
        in_order = (low <= middle) & (middle <= high)
        assert in_order.all() == non_crossing
        check(convert(model, ROWS), model, ROWS)


@pytest.mark.parametrize("dtype, rtol", [("f8", 1e-12), ("f4", 1e-5), ("i8", 1e-5)])
def test_a_pipeline_is_converted(convert, dtype, rtol):
    rows = (2 * X).astype(dtype)
    for name, y in (("gamma", POSITIVE), ("log_loss", THREE), ("multinomial", TWO)):
        model = make_pipeline(StandardScaler(), fitted(name, y)).fit(X, y)
        if y is POSITIVE:
            got, want = convert(model, rows)["variable"], model.predict(rows)[:, None]
        else:
            outputs = convert(model, rows, zipmap=False)
            np.testing.assert_array_equal(outputs["label"], model.predict(rows))
            got, want = outputs["probabilities"], model.predict_proba(rows)
        np.testing.assert_allclose(got, want, rtol=rtol)


def test_a_model_takes_integers_and_booleans(convert):
    model = fitted("multinomial")
    for rows in ((4 * X).astype(np.int64), X > 0):
        outputs = convert(model, rows, zipmap=False)
        np.testing.assert_array_equal(outputs["label"], model.predict(rows))
        np.testing.assert_allclose(outputs["probabilities"], model.predict_proba(rows), rtol=1e-6)


def test_a_search_is_converted(convert):
    search = GridSearchCV(SGDClassifierX(random_state=0), {"loss": ["log_loss", "multinomial"]})
    search.fit(X, THREE)
    check(convert(search, ROWS, zipmap=False), search.best_estimator_, ROWS)


@pytest.mark.parametrize("loss", ["log_loss", "multinomial", "hinge"])
@pytest.mark.parametrize(
    "labels",
    [
        np.array(["low", "middle", "hïgh"]),
        np.array(["low", "middle", "high"], dtype=object),
        np.array([-(2**40), 3, 2**40]),
        np.array([3, 4, 200], dtype=np.uint8),
        np.array([-1.0, 0.0, 1.0]),
        np.array([False, True]),
    ],
    ids=["text", "objects", "long", "bytes", "floats", "booleans"],
)
def test_labels_of_any_kind_come_back(convert, loss, labels):
    model = fitted(loss, labels[THREE % len(labels)])
    label = convert(model, ROWS, zipmap=False)["label"]
    assert label.shape == (len(ROWS),)
    np.testing.assert_array_equal(label, model.predict(ROWS))


def test_labels_between_integers_are_refused(convert):
    model = fitted("log_loss")
    model.classes_ = model.classes_ / 2  # `fit` refuses them too
    with pytest.raises(ValueError, match=r"classes must be integers or strings in ONNX; got array"):
        convert(model, ROWS, zipmap=False)


def test_ties_go_to_the_class_that_predict_chooses(convert):
    for y in (TWO, THREE):
        for loss in ("modified_huber", "multinomial"):
            model = fitted(loss, y)
            model.coef_[:], model.intercept_[:] = 0, 0
            check(convert(model, ROWS, zipmap=False), model, ROWS)


def test_probabilities_are_uniform_where_no_class_has_any(convert):
    model = fitted("modified_huber")
    model.intercept_[:] = -100
    outputs = convert(model, X, zipmap=False)
    np.testing.assert_array_equal(outputs["probabilities"], np.full((len(X), 3), 1 / 3))
    np.testing.assert_array_equal(outputs["label"], model.predict(X))


def test_the_options_of_classifiers_do_what_they_do_in_skl2onnx(convert):
    names = np.array(["a", "b", "c"])
    model = fitted("log_loss", names[THREE])
    proba = model.predict_proba(X)
    zipped = convert(model, X.astype("f4"))  # as dictionaries; ZipMap takes float32 alone
    assert [list(row) for row in zipped["output_probability"]] == [["a", "b", "c"]] * len(X)
    rows = [list(row.values()) for row in zipped["output_probability"]]
    np.testing.assert_allclose(rows, proba, rtol=1e-6)
    columns = convert(model, X, zipmap="columns")
    np.testing.assert_allclose(columns["sb"], proba[:, 1], rtol=1e-13)
    raw = convert(model, X, zipmap=False, raw_scores=True)["probabilities"]
    np.testing.assert_allclose(raw, model.decision_function(X), rtol=1e-13, atol=1e-14)
    coded = convert(model, X, zipmap=False, nocl=True)["label"]
    np.testing.assert_array_equal(names[coded], model.predict(X))
    listed = convert(model, X, zipmap=False, output_class_labels=True)["class_labels"]
    np.testing.assert_array_equal(listed, names)


@pytest.mark.parametrize("opset", [11, 12, 13, 15, 17, 18, 21])
def test_older_versions_of_onnx_can_be_asked_for(convert, opset):
    for loss in ("msle", "modified_huber", "multinomial", "log_loss"):
        model = fitted(loss)
        options = {"zipmap": False} if loss in OF_CLASSES else {}
        rows = ROWS.astype("f4") if opset < 13 else ROWS
        check(convert(model, rows, target_opset=opset, **options), model, rows)
    model = fitted(sl.PinballLoss(quantile=[0.9, 0.5]), non_crossing=True)
    check(convert(model, ROWS, target_opset=opset), model, ROWS)


def test_sparsified_weights_are_converted(convert):
    for loss, y in (("huber", None), ("log_loss", TWO), ("log_loss", THREE)):
        model = fitted(loss, y, penalty="l1", alpha=0.05).sparsify()
        options = {"zipmap": False} if loss in OF_CLASSES else {}
        check(convert(model, ROWS, **options), model, ROWS)


class LogLogLink(links.Link):
    """y_pred = 1 - exp(-exp(raw_prediction)), from functions and operators of every kind."""

    def inverse(self, raw_prediction):
        xp = array_namespace(raw_prediction)
        raw = xp.clip(xp.asarray(raw_prediction), None, 700.0)
        roots = (xp.sqrt(xp.exp(raw)) ** 2 - 1) + 1 * xp.ones_like(raw)
        return xp.where(raw > 700, 1.0, -xp.expm1(-roots)) / 1.0


def own(inverse):
    link = inverse if isinstance(inverse, links.Link) else type("OwnLink", (links.Link,), {})()
    if link is not inverse:
        link.inverse = inverse
    return sl.FunctionLoss(
        lambda y, raw: (raw - y) ** 2 / 2, lambda y, raw: raw - y, lambda y, raw: 0 * raw, link=link
    )


def test_a_link_of_your_own_is_converted(convert):
    model = fitted(own(LogLogLink()))
    check(convert(model, X), model, X)
    model = fitted(own(lambda raw: array_namespace(raw).tanh(array_namespace(raw).log(2 + raw**2))))
    check(convert(model, X), model, X)


@pytest.mark.parametrize(
    "inverse",
    [
        lambda raw: np.exp(raw),
        lambda raw: np.clip(raw, 0, 1),
        lambda raw: np.where(raw > 0, raw, 0),
        lambda raw: expit(raw),
        lambda raw: np.array([math.exp(x) for x in raw]),
        lambda raw: array_namespace(raw).arctan(raw),
        lambda raw: raw if raw.sum() > 0 else -raw,
        lambda raw: raw if array_namespace(raw).sum(raw, axis=0) > 0 else -raw,
        lambda raw: np.full(len(raw), 2.0),
        lambda raw: 2.0,
    ],
)
def test_a_link_that_a_graph_cannot_hold_is_refused(convert, inverse):
    model = fitted("squared_error")
    model.loss_ = own(inverse)
    with pytest.raises(NotImplementedError, match=r"FunctionLoss.* has no ONNX form: its link Own"):
        convert(model, X)


def test_registering_needs_skl2onnx_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"needs skl2onnx: pip install 'sklearn-losses\[integ"):
        sl.register_onnx_converters()


# -------------------------------------------------------------------------------------------- skops


def through_skops(model, more=()):
    """The model, saved and loaded, with nothing trusted but what is listed."""
    skops = peer("skops.io")
    data = skops.dumps(model)
    assert set(skops.get_untrusted_types(data=data)) <= {*sl.skops_trusted_types(), *more}
    return skops.loads(data, trusted=[*sl.skops_trusted_types(), *more])


def test_the_trusted_types_are_classes_of_this_package():
    for path in sl.skops_trusted_types():
        module, name = path.rsplit(".", 1)
        assert module.split(".")[0] == "sklearn_losses"
        assert isinstance(getattr(importlib.import_module(module), name), type)


@every_loss
def test_every_loss_comes_back_from_skops(name):
    model = fitted(name)
    loaded = through_skops(make_pipeline(StandardScaler(), model))[-1]
    assert loaded.loss_ == model.loss_ and loaded.get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    if hasattr(model, "predict_proba"):
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert loaded.loss_curve_ == model.loss_curve_


@pytest.mark.parametrize(
    "params",
    [
        *({"optimizer": cls(), "batch_size": 7} for cls in OPTIMIZERS.values()),
        *({"learning_rate": cls(), "batch_size": 7} for cls in SCHEDULES.values()),
        *({"penalty": penalty, "optimizer": "gd"} for penalty in cases(4).values()),
        {"batch_size": sl.BatchGrowth(start=2)},
        {"average": True, "batch_size": 7},
        {"average": True},
        {"early_stopping": True},
        {"random_state": np.random.RandomState(3)},
    ],
    ids=lambda params: re.sub(
        " at 0x.*", ")}", str(params)
    ),  # no address: the same names each time
)
@pytest.mark.parametrize("loss", ["huber", "log_loss", "multinomial"])
def test_a_fit_goes_on_from_a_file_of_skops_with_the_same_bits(loss, params):
    if params.get("optimizer") is not None:
        of = "classes" if loss in OF_CLASSES else "regression"
        loss = loss_for(params["optimizer"], loss, of)
    model = fitted(loss, max_iter=3, warm_start="resume", **params)
    loaded = through_skops(model)
    y = THREE if loss in OF_CLASSES else POSITIVE
    model.fit(X, y)
    loaded.fit(X, y)
    assert len(model.loss_curve_) == 6 and loaded.loss_curve_ == model.loss_curve_
    np.testing.assert_array_equal(loaded.coef_, model.coef_)
    np.testing.assert_array_equal(loaded.intercept_, model.intercept_)


def half_square(y, raw):
    return (raw - y) ** 2 / 2


def difference(y, raw):
    return raw - y


def test_skops_asks_for_the_functions_of_a_loss_by_name():
    skops = peer("skops.io")
    model = fitted(sl.FunctionLoss(half_square, difference))
    functions = {f"{__name__}.half_square", f"{__name__}.difference"}
    untrusted = set(skops.get_untrusted_types(data=skops.dumps(model)))
    assert untrusted - set(sl.skops_trusted_types()) == functions
    loaded = through_skops(model, functions)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.loss_([0.0], [2.0]) == 2.0


def test_skops_does_not_trust_addresses(monkeypatch):
    skops = peer("skops.io")
    # As a forged file would have it: our own refuses to be saved.
    monkeypatch.setattr(sl.CompiledLoss, "__getstate__", object.__getstate__)
    data = skops.dumps(sl.CompiledLoss(4096, 4096))
    with pytest.raises(skops.exceptions.UntrustedTypesFoundException, match=r"CompiledLoss"):
        skops.loads(data, trusted=sl.skops_trusted_types())


@pytest.mark.parametrize(
    "loss, forged",
    [
        (sl.HuberLoss(), {"_kernel": "CompiledLoss"}),
        (sl.HuberLoss(), {"_parameter_intervals": {}}),
        (sl.HalfMultinomialLoss(), {"_kernel": "LDAM"}),
        (sl.Adam(), {"name": "sgd"}),
    ],
)
def test_a_forged_file_cannot_replace_what_a_class_defines(loss, forged):
    skops = peer("skops.io")
    loss.__dict__.update(forged)
    data = skops.dumps(loss)
    [name] = forged
    with pytest.raises(ValueError, match=f"a saved state must not replace '{name}'"):
        skops.loads(data, trusted=sl.skops_trusted_types())


def test_a_forged_file_cannot_choose_the_kernel():
    forged = sl.HuberLoss.__new__(sl.HuberLoss)
    forged.__setstate__({"delta": 1.0, "_resolved": ([1.0], KINDS["SquaredError"], np.empty(0))})
    assert forged([0.0], [3.0]) == sl.HuberLoss(1.0)([0.0], [3.0]) == 2.5


# --------------------------------------------------------------------------------------------- SHAP


@every_loss
def test_shap_explains_the_raw_predictions_of_every_loss(name):
    shap = peer("shap")
    for y in (THREE, TWO) if name in OF_CLASSES else (POSITIVE, np.stack([POSITIVE] * 2, axis=1)):
        model = fitted(name, y)
        explainer = shap.LinearExplainer(model, X)
        values = np.asarray(explainer.shap_values(X[:10]))  # (n_samples, n_features, n_outputs)
        coef = np.atleast_2d(model.coef_)
        raw = X @ coef.T + model.intercept_
        want = (X[:10] - X.mean(axis=0))[:, :, None] * coef.T
        np.testing.assert_allclose(values.reshape(want.shape), want, rtol=1e-7, atol=1e-12)
        total = values.reshape(want.shape).sum(axis=1) + explainer.expected_value
        np.testing.assert_allclose(total, raw[:10], rtol=1e-7, atol=1e-12)
