"""What a loss object is besides its numbers, on arrays of a GPU: errors, constants, links, a user's
own functions, metrics, scorers and tensors."""

import ctypes
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import test_accuracy as accuracy
from on_device import (
    DTYPES,
    EVERY,
    Lender,
    every_dtype,
    every_loss,
    numpys,
    results,
    same_error,
    sample,
    soft,
    take_lenders,
    waits,
)
from sklearn.base import BaseEstimator, ClassifierMixin

import sklearn_losses as sl
from sklearn_losses.links import (
    ClippedLinearLink,
    HalfLogitLink,
    IdentityLink,
    Log1pLink,
    LogitLink,
    LogLink,
    SoftmaxLink,
    array_namespace,
)
from sklearn_losses.losses import REDUCED, ROWWISE

# ------------------------------------------------------------------------------------------- errors


def test_what_methods_refuse_is_refused_in_the_same_words(together):
    y, raw, weight = np.full(4, 0.5), np.ones(4), np.ones(4)
    loss, rows = sl.HuberLoss(), sl.HalfMultinomialLoss()
    same_error(together, loss.loss, y[:3], raw)
    same_error(together, loss.loss, y, np.ones((4, 2)))
    same_error(together, loss.loss, y, raw, weight[:2])
    same_error(together, loss.loss, y, raw, None, np.empty(3))
    same_error(together, loss.loss, y, raw, None, np.empty(4, int))
    same_error(together, loss.gradient, y, raw, None, np.empty(4, np.float16))
    same_error(together, loss.gradient, y, raw.astype(complex))
    same_error(together, loss.gradient, y.astype(complex), raw)
    same_error(together, loss.gradient, y, raw, weight.astype(complex))
    same_error(together, loss.loss, None, raw)
    same_error(together, loss, None, raw)
    same_error(together, loss, y, raw.astype(complex))
    same_error(together, loss, y.astype(complex), raw)
    same_error(together, loss, y, raw, weight.astype(complex))
    same_error(together, rows.loss, y, raw)
    same_error(together, rows.loss, np.ones((4, 2)), np.ones((4, 3)))
    same_error(together, rows.loss, y, np.ones((4, 0)))
    same_error(together, rows.gradient, y, np.ones((4, 3)), None, np.empty((4, 2)))
    same_error(together, sl.LDAM().loss, np.ones((4, 3)), np.ones((4, 3)))
    same_error(together, sl.LDAM().gradient_proba, y, np.ones((4, 3)))
    same_error(together, sl.HalfMultinomialLoss(n_classes=2).loss, y, np.ones((4, 3)))


def test_outputs_that_share_memory_are_refused_in_the_same_words(together):
    def shared(xp):
        y, raw, weight = (xp.ones(4) for _ in range(3))
        out = xp.empty(9)
        loss = sl.HuberLoss()
        yield lambda: loss.loss(y, raw, weight, y)
        yield lambda: loss.gradient(y, raw, weight, raw)
        yield lambda: loss.gradient(y, raw, weight, weight[::-1])
        yield lambda: loss.loss_gradient(y, raw, weight, out[:4], out[3:7])
        yield lambda: loss.gradient_hessian(y, raw, weight, out[:4], out[3::-1])
        yield lambda: loss.loss(y, raw, weight, xp.broadcast_to(out[:1], (4,)))
        wide = xp.ones((4, 6))
        rows = sl.HalfMultinomialLoss()
        yield lambda: rows.gradient(y, wide[:, :3], None, wide[:, 2:5])
        yield lambda: rows.gradient_proba(y, wide[:, :3], None, xp.empty((4, 3)), wide[:, 2:5])

    for on_host, there in zip(shared(np), shared(together.xp), strict=True):
        with pytest.raises(ValueError) as wanted:
            on_host()
        with pytest.raises(ValueError) as got:
            there()
        if "read-only" not in str(wanted.value):  # NumPy's broadcast arrays are
            assert str(got.value) == str(wanted.value)


def test_what_a_call_refuses_is_refused_in_the_same_words(together):
    y, raw, weight = np.full(4, 0.5), np.ones(4), np.ones(4)

    def put(x, index, value):
        x = x.copy()
        x[index] = value
        return x

    for loss in (sl.HalfBinomialLoss(), sl.FunctionLoss(lambda y, r: r - y, lambda y, r: r)):
        same_error(together, loss, put(y, 2, np.nan), raw)
        same_error(together, loss, y, put(raw, 1, np.inf))
        same_error(together, loss, y, put(raw, 1, np.inf)[:, None])
        same_error(together, loss, y, raw, put(weight, 3, -1))
        same_error(together, loss, y, raw, put(weight, 3, np.nan))
        same_error(together, loss, y, raw, 0 * weight)
        same_error(together, loss, y, raw, weight[:2])
        same_error(together, loss, y[:0], raw[:0])
        same_error(together, loss, y[:3], raw)
    same_error(together, sl.HalfBinomialLoss(), put(y, 1, 1.5), raw)
    same_error(together, sl.HalfBinomialLoss(), np.array([-1.0, 1, 1, -1]), raw)
    same_error(together, sl.HalfPoissonLoss(), put(y, 1, -1), raw.astype(np.float32))
    # Outside in its own type alone.
    same_error(together, sl.HalfBinomialLoss(), put(y, 1, 1 + 1e-12), raw.astype(np.float32))
    rows, matrix = sl.HalfMultinomialLoss(), np.ones((4, 3))
    same_error(together, rows, np.array([0.0, 1, 3, 2]), matrix)
    same_error(together, rows, np.array([0.0, 0.5, 0, 2]), matrix)
    same_error(together, rows, y * 0, put(matrix, (1, 2), np.nan))
    same_error(together, rows, y * 0, matrix, put(weight, 1, -2))
    same_error(together, rows, np.full((4, 3), 0.3), matrix)
    same_error(together, rows, put(np.full((4, 3), 1 / 3), (2, 1), -1), matrix)
    same_error(together, sl.LDAM(), np.full((4, 3), 1 / 3), matrix)


OWN = sl.FunctionLoss(lambda y, raw: (raw - y) ** 2, lambda y, raw: 2 * (raw - y))


@pytest.mark.parametrize("loss", [sl.HuberLoss(), OWN], ids=["huber", "own"])
def test_arrays_of_two_places_are_named(device, loss):
    y, raw, weight = (np.full(4, 0.5) for _ in range(3))
    there = device.xp.asarray
    out = np.empty(4)
    for call, names in (
        (lambda: loss.loss(y, there(raw)), {"y_true": False, "raw_prediction": True}),
        (lambda: loss.gradient(there(y), raw), {"y_true": True, "raw_prediction": False}),
        (lambda: loss.loss(y, raw, there(weight)), {"sample_weight": True, "y_true": False}),
        (lambda: loss.loss(there(y), there(raw), weight), {"sample_weight": False}),
        (lambda: loss.loss(there(y), there(raw), None, out), {"loss_out": False}),
        (lambda: loss.loss(y, raw, None, there(out)), {"loss_out": True, "y_true": False}),
        (lambda: loss(y, there(raw)), {"y_true": False, "raw_prediction": True}),
        (lambda: loss(there(y), raw), {"y_true": True, "raw_prediction": False}),
        (lambda: loss(y, raw, there(weight)), {"sample_weight": True}),
        (lambda: loss(there(y), there(raw), [1, 1, 1, 1]), {"sample_weight": False}),
        (lambda: loss.fit_intercept_only(there(y), weight), {"sample_weight": False}),
        (lambda: loss.fit_intercept_only(y, there(weight)), {"sample_weight": True}),
    ):
        with pytest.raises(ValueError, match="must be on the same device") as error:
            call()
        for name, on_device in names.items():
            place = "on cuda:0" if on_device else "on the host"
            assert f"{name} is {place}" in str(error.value)
    rows = sl.HalfMultinomialLoss()
    for call in (
        lambda: rows.gradient_proba(there(y), np.ones((4, 3))),
        lambda: rows.gradient(y, there(np.ones((4, 3)))),
        lambda: rows(there(y), np.ones((4, 3))),
    ):
        with pytest.raises(ValueError, match="must be on the same device"):
            call()


def test_a_device_that_is_not_the_current_one_is_used_where_arrays_are_there(together):
    xp = together.xp
    if together.real and xp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one together")
    for loss in (sl.HalfBinomialLoss(), sl.HalfMultinomialLoss(n_classes=4)):
        arrays = sample(type(loss), 20, np.float64)
        arrays = np.round(arrays[0]), *arrays[1:]
        with xp.cuda.Device(1):
            y, raw, weight = there = [xp.asarray(a) for a in arrays]
        for a, b in zip(
            results(loss, *there).values(), results(loss, *arrays).values(), strict=True
        ):
            for x, want in zip(a, b, strict=True):
                assert x.device.id == 1
                np.testing.assert_allclose(x.get(), want, rtol=1e-13)
        assert loss(*there) == pytest.approx(loss(*arrays))
        assert loss.predict(raw).device.id == 1
        assert loss.constant_to_optimal_zero(y, weight).device.id == 1
        np.testing.assert_allclose(
            np.asarray(loss.fit_intercept_only(arrays[0], arrays[2])),
            numpys(loss.fit_intercept_only(y, weight)),
        )
        assert loss.in_y_true_range(y)
        sl.mean_loss(y, raw, loss=loss, raw=True, sample_weight=weight)
        sl.d2_loss_score(y, raw, loss=loss, raw=True, sample_weight=weight)
        with pytest.raises(ValueError, match="y_true is on cuda:0, raw_prediction is on cuda:1"):
            loss.loss(xp.asarray(arrays[0]), raw)
    assert xp.cuda.runtime.getDevice() == 0


# ------------------------------------------------------------------------ the rest of a loss object


@every_loss
def test_constants_ranges_and_predictions_are_the_cpus(together, cls, monkeypatch):
    xp = together.xp
    copied = []
    if not together.real:
        get = xp.ndarray.get
        monkeypatch.setattr(
            xp.ndarray, "get", lambda x, *a, **k: (copied.append(x.size), get(x, *a, **k))[1]
        )
    for dtype in DTYPES:
        loss = cls(n_classes=4) if cls in ROWWISE else cls()
        y, raw, weight = sample(cls, 400, dtype)
        for target in [y, soft(y)] if cls.__name__ in accuracy.SOFT else [y]:
            there = xp.asarray(target)
            for w in (None, weight):
                there_w = None if w is None else xp.asarray(w)
                copied.clear()
                best = loss.fit_intercept_only(there, there_w)
                assert not copied or max(copied) < 100  # of the samples nothing comes to the host
                want = loss.fit_intercept_only(target, w)
                assert best.dtype == dtype and best.shape == want.shape
                tolerance = 1e-3 if dtype == np.float32 else 1e-6
                np.testing.assert_allclose(numpys(best), want, rtol=tolerance, atol=tolerance)
                zero, want = (
                    loss.constant_to_optimal_zero(t, v) for t, v in ((there, there_w), (target, w))
                )
                assert isinstance(zero, xp.ndarray) and zero.dtype == want.dtype
                tolerance = 16 * np.finfo(dtype).eps
                np.testing.assert_allclose(zero.get(), want, rtol=tolerance, atol=tolerance)
            assert loss.in_y_true_range(there) == loss.in_y_true_range(target)
            assert not loss.in_y_true_range(xp.asarray([np.nan]))
        prediction = loss.predict(xp.asarray(raw))
        np.testing.assert_allclose(prediction.get(), loss.predict(raw), rtol=1e-6)
        assert prediction.dtype == dtype and loss.in_y_pred_range(prediction)


LINKS = [IdentityLink, LogLink, Log1pLink, LogitLink, HalfLogitLink, ClippedLinearLink, SoftmaxLink]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
@every_dtype
def test_links_are_the_cpus(device, link, dtype, monkeypatch):
    take_lenders(device, monkeypatch)
    raw = np.linspace(-3, 3, 12, dtype=dtype).reshape(4, 3)
    y_pred = link().inverse(raw)
    for function, x in ((link().inverse, raw), (link().link, y_pred * 0.9 + 0.01)):
        got = function(device.xp.asarray(x))
        assert got.dtype == dtype
        np.testing.assert_allclose(
            got.get(), function(x), rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-6
        )
        np.testing.assert_array_equal(function(Lender(device.xp.asarray(x))).get(), got.get())


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
@every_dtype
def test_links_need_no_more_than_the_array_api_standard(link, dtype):
    import array_api_strict as xp

    raw = np.linspace(-3, 3, 12, dtype=dtype).reshape(4, 3)
    y_pred = (link().inverse(raw) * dtype(0.9) + dtype(0.01)).astype(dtype)
    for function, x in ((link().inverse, raw), (link().link, y_pred)):
        got = function(xp.asarray(x))
        assert got.__array_namespace__() is xp and got.dtype == xp.asarray(x).dtype
        np.testing.assert_allclose(np.asarray(got), function(x), rtol=1e-6, atol=1e-6)


def test_a_users_functions_get_the_devices_arrays(device):
    seen = []

    def value(y, raw):
        seen.append((type(y), type(raw)))
        xp = array_namespace(raw)
        return xp.logaddexp(raw, 0) - y * raw

    def gradient(y, raw):
        return 1 / (1 + array_namespace(raw).exp(-raw)) - y

    loss = sl.FunctionLoss(value, gradient)
    arrays = sample(sl.HuberLoss, 30, np.float64)
    there = [device.xp.asarray(a) for a in arrays]
    waits(device, 0)
    got = results(loss, *there)
    assert waits(device, 0)
    assert set(seen) == {(device.xp.ndarray, device.xp.ndarray)}
    for method, want in results(loss, *arrays).items():
        for a, b in zip(want, got[method], strict=True):
            np.testing.assert_allclose(b.get(), a, rtol=1e-7)
    waits(device, 0)
    mean = loss(*there)
    assert waits(device, 1) and mean == pytest.approx(loss(*arrays))
    best = loss.fit_intercept_only(*there[::2])
    assert best == pytest.approx(loss.fit_intercept_only(*arrays[::2]), abs=1e-8)
    out = [device.xp.empty(30, np.float32) for _ in range(2)]
    loss.loss_gradient(*there, *out)
    np.testing.assert_allclose(out[0].get(), loss.loss(*arrays), rtol=1e-6)
    numpys = sl.FunctionLoss(lambda y, raw: np.zeros(30), gradient)
    with pytest.raises(TypeError, match=r"value must return an array on the device.*got ndarray"):
        numpys.loss(*there)


def test_compiled_functions_say_what_to_do_instead(device):
    c = ctypes.c_double
    function = ctypes.CFUNCTYPE(c, c, c, ctypes.c_void_p)(lambda y, raw, data: 0.0)
    loss = sl.CompiledLoss(function, function)
    y = device.xp.zeros(3)
    for call in (loss.loss, loss, loss.gradient_hessian):
        with pytest.raises(TypeError, match=r"CompiledLoss: .* take FunctionLoss"):
            call(y, y)


# ------------------------------------------------------------------------------ metrics and scorers


@pytest.mark.slow
@pytest.mark.parametrize("cls", [*EVERY, *REDUCED], ids=lambda cls: cls.__name__)
def test_metrics_are_the_cpus(together, cls):
    loss, xp = cls(), together.xp
    y, raw, weight = sample(cls, 60, np.float64)
    y = np.round(y) if loss.task == "binary" else y
    raw = np.tanh(raw) * 0.9 + (0 if loss.task != "regression" else 1)
    for w in (None, weight):
        for pred, space in ((raw, {"raw": True}), (loss.predict(raw), {})):
            there = [None if a is None else xp.asarray(a) for a in (y, pred, w)]
            for metric in (sl.mean_loss, sl.d2_loss_score):
                got = metric(*there[:2], loss=loss, sample_weight=there[2], **space)
                want = metric(y, pred, loss=loss, sample_weight=w, **space)
                assert type(got) is float and got == pytest.approx(want, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("labels", [[0, 1], [3, -1, 7], [True, False], [0.5, 2.5, 1.5]])
def test_labels_are_encoded_where_they_are(device, labels):
    xp = device.xp
    rng = np.random.default_rng(0)
    labels = np.array(labels)
    y = labels[rng.integers(0, len(labels), 30)]
    raw = rng.normal(size=(30, len(labels)))
    want = sl.mean_loss(y, raw, loss="multinomial", raw=True, labels=labels)
    for classes in (labels, labels.tolist(), xp.asarray(labels)):
        got = sl.mean_loss(
            xp.asarray(y), xp.asarray(raw), loss="multinomial", raw=True, labels=classes
        )
        assert got == pytest.approx(want)
    # Strings stay on the host until they are numbers; numbers have to be moved.
    words = np.array(["a", "b", "c"])[: len(labels)]
    for targets in (y.astype(str), y.astype(str).astype(object), y.astype(str).tolist()):
        got = sl.mean_loss(
            targets, xp.asarray(raw), loss="multinomial", raw=True, labels=labels.astype(str)
        )
        assert got == pytest.approx(want)
    with pytest.raises(ValueError, match=r"y_true is on the host.*y_pred is on cuda:0"):
        sl.mean_loss(y, xp.asarray(raw), loss="multinomial", raw=True, labels=labels)
    with pytest.raises(ValueError, match=r"y_true must hold labels of labels=.* got 99"):
        sl.mean_loss(xp.full(30, 99), xp.asarray(raw), loss="multinomial", raw=True, labels=labels)
    with pytest.raises(ValueError, match="which no array of a GPU holds"):
        sl.mean_loss(xp.asarray(y), xp.asarray(raw), loss="multinomial", raw=True, labels=words)


@pytest.mark.parametrize("call", [sl.mean_loss, sl.d2_loss_score])
def test_predictions_that_no_link_gives_are_refused_in_the_same_words(device, call):
    y, proba = np.array([0.0, 1, 1]), np.array([[0.5, 0.5], [0.2, 0.8], [0.3, 0.6]])
    for loss, pred in (
        ("poisson", np.array([1.0, 0.0, 1.0])),
        ("log_loss", np.array([0.5, 1.5, 0.5])),
        ("multinomial", proba),
        ("log_loss", np.full(3, np.nan)),
        ("squared_error", proba),
    ):
        same_error(device, lambda y, p, loss=loss: call(y, p, loss=loss), y, pred)


class OnGpu(BaseEstimator):
    """An estimator whose predictions are on a device."""

    def __init__(self, xp=None):
        self.xp = xp

    def fit(self, X, y):
        return self

    def predict(self, X):
        return X[:, 0]


class ClassifierOnGpu(ClassifierMixin, OnGpu):
    classes_ = np.array([2, 5])

    def predict_proba(self, X):
        p = 1 / (1 + self.xp.exp(-X[:, 0]))
        return self.xp.stack([1 - p, p], axis=1)

    def decision_function(self, X):
        return X[:, 0]


def test_scorers_take_predictions_of_a_device(device):
    xp = device.xp
    X = np.random.default_rng(0).normal(size=(40, 2))
    y, labels = X[:, 0] + 0.1, np.where(X[:, 1] > 0, 5, 2)
    regression = sl.make_loss_scorer("huber")
    want = -sl.mean_loss(y, X[:, 0], loss="huber")
    assert regression(OnGpu(), xp.asarray(X), xp.asarray(y)) == pytest.approx(want)
    with pytest.raises(ValueError, match="y_true is on the host"):
        regression(OnGpu(), xp.asarray(X), y)
    for name in ("log_loss", "hinge", "multinomial"):
        scorer = sl.make_loss_scorer(name)
        want = scorer(ClassifierOnGpu(np), X, labels)
        got = scorer(ClassifierOnGpu(xp), xp.asarray(X), xp.asarray(labels))
        assert got == pytest.approx(want)


def test_tensors_are_evaluated_by_the_kernels(device, monkeypatch):
    # Without a GPU: tensors of the CPU, in the stand-in's arrays.
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from sklearn_losses import _torch

    if device.real:
        if not torch.cuda.is_available():
            pytest.skip("this torch has no CUDA")
        place = "cuda"
    else:
        place = "cpu"

        from array_on_cpu import wrap

        def array(tensor):
            return None if tensor is None else wrap(tensor.detach().numpy())

        monkeypatch.setattr(_torch, "_array", array)
    for loss, twice in (
        ("huber", True),
        ("log_loss", True),
        ("multinomial", True),
        ("ldam", False),
    ):
        cls = type(sl.get_loss(loss))
        y, raw, weight = (torch.from_numpy(a) for a in sample(cls, 12, np.float64))
        tensors = []
        for where in ("cpu", place):
            x = raw.to(where).clone().requires_grad_()
            with monkeypatch.context() as patch:
                if where is not place or (place == "cpu" and not tensors):
                    patch.setattr(
                        _torch, "_array", lambda t: None if t is None else t.detach().numpy()
                    )
                value = sl.as_torch(loss)(x, y.to(where), weight.to(where))
                (gradient,) = torch.autograd.grad(value, x, create_graph=twice)
                found = [value, gradient]
                if twice:
                    found += torch.autograd.grad((gradient**2).sum(), x)
            assert all(t.device.type == where for t in found)
            tensors.append([t.detach().cpu() for t in found])
        for a, b in zip(*tensors, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_nothing_imports_cupy_while_arrays_are_numpys():
    code = """
    import sys
    import numpy as np
    import sklearn_losses as sl
    from sklearn_losses.losses import LOSSES, REDUCED

    for cls in LOSSES.values():
        loss = cls()
        y = np.array([0.0, 1.0, 1.0])
        raw = np.zeros((3, 3)) if loss.is_multiclass else np.full(3, 0.5)
        loss = loss._for_classes(3) if loss.is_multiclass else loss
        loss(y + (loss.name == "gamma"), raw)
        if cls not in REDUCED:
            loss.gradient_hessian(y, raw)
        loss.fit_intercept_only(y + 1 * (loss.name == "gamma"))
        loss.predict(raw)
        loss.constant_to_optimal_zero(y + 1)
        sl.mean_loss(y + 1 * (loss.name == "gamma"), raw, loss=loss, raw=True)
    X, y = np.ones((9, 2)) * np.arange(9)[:, None], np.arange(9) % 2
    sl.SGDClassifierX(max_iter=5, tol=None).fit(X, y).predict(X)
    assert "cupy" not in sys.modules, "CuPy was imported"
    """
    subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(code)], check=True)
