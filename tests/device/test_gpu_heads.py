"""The losses of several heads and of ordered classes on arrays of a GPU give what they give on
NumPy's: they are one text with the CPU's."""

import numpy as np
import pytest
import test_accuracy as accuracy
import test_distributions as distributions
from heads_data import HEADS, ORDERED, every_head, head_sample, kernel_of, kinds_of_targets
from on_device import (
    DTYPES,
    OnDevice,
    every_dtype,
    host,
    numpys,
    results,
    same_error,
    waits,
)
from references import BOUND

import sklearn_losses as sl
from sklearn_losses._kernels.device import losses as device_losses
from sklearn_losses._kernels.losses import _rowwise
from sklearn_losses.losses import ROWWISE

SIZES = [0, 1, 7, 4097]


def moved(device, *arrays):
    return [None if a is None else device.xp.asarray(a) for a in arrays]


# Where rounding the raw predictions, or what both are made of, costs digits on either side.
BOUNDS = {sl.AFT: 128 * BOUND, sl.BetaNLL: 4 * BOUND, sl.CumulativeLink: 8 * BOUND}
# A series, which near a power of 1 is in terms far apart: 12 digits are promised. It is summed in
# double, so that float32 loses none of its own.
IN_DOUBLE = {sl.TweedieNLL: 256 * BOUND}


def assert_near(loss, got, want, dtype):
    """Of a row the largest number, or 1, says what its rounding may be; of second derivatives the
    square of a first."""
    bounds = BOUNDS if dtype == np.float32 else BOUNDS | IN_DOUBLE
    bound = bounds.get(type(loss), 2 * BOUND)
    got = [part.get() for part in got]
    size = 1.0
    for part in (*want, *[want[0] ** 2] * (len(want) == 2 and want[0].ndim == 2)):
        part = np.abs(part if part.ndim == 2 else part[:, None])
        size = np.maximum(size, np.where(np.isfinite(part), part, 0).max(axis=1, initial=1.0))
    for a, b in zip(want, got, strict=True):
        assert a.dtype == b.dtype == dtype and a.shape == b.shape
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
        rows = size.reshape(-1, *[1] * (a.ndim - 1)) if np.ndim(size) else size
        same = np.isfinite(a)
        error = np.abs(np.where(same, b, 0) - np.where(same, a, 0)) / rows
        assert error.max(initial=0) <= bound * np.finfo(dtype).eps


def test_every_row_wise_kernel_is_of_a_listed_loss():
    kernels = {kernel_of(loss) for loss in HEADS} | {cls._kernel for cls in ROWWISE}
    assert kernels == set(_rowwise.KINDS)


@every_dtype
@every_head
def test_every_output_is_the_cpus(together, loss, dtype):
    for n in SIZES:
        y, raw, weight = head_sample(loss, n, dtype)
        for target in kinds_of_targets(loss, y):
            for w in (None, weight):
                want = results(loss, target, raw, w)
                arrays = moved(together, target, raw, w)
                waits(together, 0)
                got = results(loss, *arrays)
                assert waits(together, 0)
                for method in want:
                    assert all(isinstance(part, together.xp.ndarray) for part in got[method])
                    assert_near(loss, got[method], want[method], dtype)


@every_head
def test_a_call_gives_the_cpus_mean_and_waits_once(together, loss):
    for dtype in DTYPES:
        for n in (1, 7, 4097):
            y, raw, weight = head_sample(loss, n, dtype, seed=2)
            weight += 0.1
            for target in kinds_of_targets(loss, y):
                for w in (None, weight):
                    arrays = moved(together, target, raw, w)
                    waits(together, 0)
                    got = loss(*arrays)
                    assert waits(together, 1) and type(got) is float
                    rtol = 64 * float(np.finfo(dtype).eps)
                    assert got == pytest.approx(loss(target, raw, w), rel=rtol, abs=rtol)


@pytest.mark.slow
@distributions.dtypes
@pytest.mark.parametrize(("cls", "setting"), distributions.cases())
def test_rows_of_heads_hold_the_bound_against_fifty_digits(
    together, monkeypatch, cls, setting, dtype
):
    def make(*args):
        loss, params = accuracy.make(*args)
        return OnDevice(loss, together.xp), params

    monkeypatch.setattr(distributions, "make", make)
    distributions.test_rows_of_heads_hold_the_bound_against_fifty_digits(cls, setting, dtype)


@pytest.fixture
def references_on_device(together, monkeypatch):
    """The tests of the references take their losses from a device."""
    for cls in {type(loss) for loss in HEADS}:
        if hasattr(distributions, cls.__name__):
            monkeypatch.setattr(
                distributions,
                cls.__name__,
                lambda *args, cls=cls: OnDevice(cls(*args), together.xp),
            )


@pytest.mark.slow
@pytest.mark.parametrize("cls", distributions.cases_of_formulas(), ids=lambda cls: cls.__name__)
def test_heads_are_their_formulas(together, cls):
    def on_device():
        return OnDevice(cls(), together.xp)

    on_device.__name__ = cls.__name__
    distributions.test_heads_are_their_formulas(on_device)


@pytest.mark.slow
@pytest.mark.parametrize("kind", distributions.TIMES)
@pytest.mark.parametrize("distribution", distributions.references.VARIABLES)
def test_failure_times_keep_their_digits(references_on_device, distribution, kind):
    distributions.test_failure_times_keep_their_digits(distribution, kind)


@pytest.mark.slow
@pytest.mark.parametrize("link", distributions.references.VARIABLES)
def test_cumulative_links_keep_their_digits(references_on_device, link):
    distributions.test_cumulative_links_keep_their_digits(link)


@pytest.mark.parametrize("where", range(3), ids=["y", "raw", "weight"])
@every_head
def test_nan_in_gives_nan_out(together, loss, where):
    arrays = [a.copy() for a in head_sample(loss, 9, np.float64)]
    arrays[2] += 0.5
    arrays[where][4, ...] = np.nan
    for parts in results(loss, *moved(together, *arrays)).values():
        for part in parts:
            lost = np.isnan(part.get()).reshape(9, -1)
            assert lost[4].any() and not lost[[*range(4), *range(5, 9)]].any()


@every_head
def test_what_is_refused_is_refused_in_the_same_words(together, loss):
    y, raw, weight = head_sample(loss, 6, np.float64)
    weight += 0.5

    def put(x, index, value):
        x = x.copy()
        x[index] = value
        return x

    for call in (loss, loss.loss, loss.gradient_hessian):
        same_error(together, call, y[:3], raw)
        same_error(together, call, y, raw[:, 0])
        same_error(together, call, y, raw, weight[:2])
        same_error(together, call, y, raw, weight.astype(complex))
    if not isinstance(loss, sl.AFT):
        same_error(together, loss.loss, np.stack([y, y], axis=1), raw)
    if not isinstance(loss, ORDERED):
        same_error(together, loss.loss, y, np.ones((6, loss.n_heads + 1)))
    same_error(together, loss, put(y, 2, np.nan), raw)
    same_error(together, loss, y, put(raw, (1, 1), np.inf))
    same_error(together, loss, y, raw, put(weight, 3, -1))
    same_error(together, loss, y, raw, 0 * weight)
    same_error(together, loss, y[:0], raw[:0])
    ends = {"BetaNLL": 1.0, "GammaNLL": 0.0, "AFT": 0.0, "TweedieNLL": -1.0}
    outside = ends.get(type(loss).__name__)
    for wrong in [outside] if outside is not None else [-1.0, 0.5] if kind_is_whole(loss) else []:
        same_error(together, loss, put(y, 4, wrong), raw)
        same_error(together, loss, put(y, 4, wrong), raw.astype(np.float32))
    if isinstance(loss, ORDERED):
        same_error(together, loss, put(y, 4, 4.0), raw)
    if isinstance(loss, sl.AFT):
        pairs = kinds_of_targets(loss, y)[1]
        for wrong in ([-1, 2], [0, 0], [3, 2], [np.inf, np.inf], [1, np.nan]):
            same_error(together, loss, put(pairs, 4, wrong), raw)


def kind_is_whole(loss):
    return isinstance(loss, ORDERED) or loss._whole


@every_head
def test_arrays_of_two_places_are_named(together, loss):
    y, raw, weight = head_sample(loss, 5, np.float64)
    weight += 0.5
    y_there, raw_there, weight_there = moved(together, y, raw, weight)
    for call in (
        lambda: loss.loss(y, raw_there),
        lambda: loss.gradient(y_there, raw),
        lambda: loss(y_there, raw),
        lambda: loss(y, raw_there),
        lambda: loss.gradient_hessian(y_there, raw_there, weight),
        lambda: loss.gradient_hessian(y, raw, weight_there),
        lambda: loss.gradient(y_there, raw_there, None, np.empty_like(raw)),
        lambda: loss.gradient(y, raw, None, together.xp.empty(raw.shape)),
        lambda: loss.gradient_hessian(y, raw, None, None, together.xp.empty(raw.shape)),
    ):
        with pytest.raises(ValueError, match="must be on the same device"):
            call()


def test_counts_beyond_an_int_are_counts(together):
    loss = sl.NegativeBinomialNLL()
    y, raw = np.array([1.0, 3e9]), np.array([[0.0, 0.0], [20.0, 0.0]])
    assert loss(*moved(together, y, raw)) == pytest.approx(loss(y, raw), rel=1e-12)


@pytest.mark.parametrize("n_classes", [2, 33, 400])
@every_dtype
def test_any_number_of_ordered_classes(together, dtype, n_classes):
    # The last goes without shared memory.
    for loss in (sl.CumulativeLink("normal"), sl.AllThreshold(), sl.ImmediateThreshold()):
        arrays = head_sample(loss, 70, dtype, n_classes=n_classes)
        want, got = results(loss, *arrays), results(loss, *moved(together, *arrays))
        for method in want:
            assert_near(loss, got[method], want[method], dtype)


@every_head
def test_outputs_may_be_given(together, loss):
    y, raw, weight = head_sample(loss, 11, np.float32)
    arrays = moved(together, y, raw, weight)
    want = results(loss, *arrays)
    wide = together.xp.empty((11, raw.shape[1], 2), dtype=np.float32)
    gradient, hessian = wide[..., 0], wide[..., 1]
    found = loss.gradient_hessian(*arrays, gradient, hessian)
    assert found[0] is gradient and found[1] is hessian
    for a, b in zip(want["gradient_hessian"], found, strict=True):
        np.testing.assert_array_equal(b.get(), a.get())


@every_head
def test_constants_ranges_and_predictions_are_the_cpus(together, loss, monkeypatch):
    copied = []
    if not together.real:
        get = together.xp.ndarray.get
        monkeypatch.setattr(
            together.xp.ndarray,
            "get",
            lambda x, *a, **k: (copied.append(x.size), get(x, *a, **k))[1],
        )
    if isinstance(loss, ORDERED):
        loss = loss._for_classes(4)
    for dtype in DTYPES:
        y, raw, weight = head_sample(loss, 400, dtype)
        for target in kinds_of_targets(loss, y):
            for w in (None, weight):
                there, there_w = moved(together, target, w)
                copied.clear()
                best = loss.fit_intercept_only(there, there_w)
                assert not copied or max(copied) < 100  # of the samples nothing comes to the host
                want = loss.fit_intercept_only(target, w)
                tolerance = 1e-3 if dtype == np.float32 else 1e-6
                np.testing.assert_allclose(numpys(best), want, rtol=tolerance, atol=tolerance)
                copied.clear()
                with np.errstate(invalid="ignore"):
                    zero = loss.constant_to_optimal_zero(there, there_w)
                assert isinstance(zero, together.xp.ndarray) and not copied
                with np.errstate(invalid="ignore"):  # infinity times a weight of 0
                    want = loss.constant_to_optimal_zero(target, w)
                np.testing.assert_allclose(zero.get(), want, rtol=16 * np.finfo(dtype).eps)
            assert loss.in_y_true_range(there) == loss.in_y_true_range(target)
            if loss.reads_target:
                read = loss.read_target(there)
                np.testing.assert_array_equal(read.get(), loss.read_target(target))
        prediction = loss.predict(moved(together, raw)[0])
        tolerance = 64 * np.finfo(dtype).eps
        np.testing.assert_allclose(
            prediction.get(), loss.predict(raw), rtol=tolerance, atol=tolerance
        )
        assert prediction.dtype == loss.predict(raw).dtype


@every_head
def test_metrics_are_the_cpus(together, loss):
    y, raw, weight = head_sample(loss, 60, np.float64)
    for w in (None, weight):
        there = moved(together, y, raw, w)
        for metric in (sl.mean_loss, sl.d2_loss_score):
            options = {"loss": loss, "raw": True}
            try:
                want = metric(y, raw, sample_weight=w, **options)
            except ValueError as error:  # a likelihood has no best value
                with pytest.raises(ValueError) as refused:
                    metric(*there[:2], sample_weight=there[2], **options)
                assert str(refused.value) == str(error)
                continue
            got = metric(*there[:2], sample_weight=there[2], **options)
            assert type(got) is float and got == pytest.approx(want, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("distribution", ["logistic", "normal", "extreme"])
@every_dtype
def test_links_of_ordered_classes_are_the_cpus(together, distribution, dtype):
    loss = sl.CumulativeLink(distribution)
    raw = head_sample(loss, 30, dtype)[1]
    proba = loss.link.inverse(raw)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    for function, x in ((loss.link.inverse, raw), (loss.link.link, proba)):
        got = function(together.xp.asarray(x))
        assert got.dtype == dtype
        np.testing.assert_allclose(got.get(), function(x), rtol=tolerance, atol=tolerance)


def test_sums_have_the_same_bits_whichever_block_comes_first(together, monkeypatch):
    monkeypatch.setattr(device_losses, "MOST_BLOCKS", 2)
    for loss in (sl.GaussianNLL(), sl.AllThreshold()):
        arrays = moved(together, *head_sample(loss, 9001, np.float32))
        want = loss(*arrays)
        if not together.real:
            together.settings["reverse_blocks"] = True
        assert loss(*arrays) == want
        assert want == pytest.approx(loss(*map(host, arrays)), rel=1e-5)
        if not together.real:
            together.settings["reverse_blocks"] = False


@pytest.mark.parametrize("loss", [sl.GaussianNLL(), sl.AFT(), sl.AllThreshold()], ids=repr)
def test_tensors_are_evaluated_by_the_kernels(together, loss, monkeypatch):
    # Without a GPU: tensors of the CPU, in the stand-in's arrays.
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from sklearn_losses import _torch

    if together.real and not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    place = "cuda" if together.real else "cpu"
    for target in kinds_of_targets(loss, head_sample(loss, 12, np.float64)[0]):
        _, raw, weight = head_sample(loss, 12, np.float64)
        y, raw, weight = map(torch.from_numpy, (target, raw, weight))
        found = []
        for where in ("cpu", place):
            with monkeypatch.context() as patch:
                if found and not together.real:
                    from array_on_cpu import wrap

                    patch.setattr(
                        _torch, "_array", lambda t: None if t is None else wrap(t.detach().numpy())
                    )
                x = raw.to(where).clone().requires_grad_()
                value = sl.as_torch(loss)(x, y.to(where), weight.to(where))
                (gradient,) = torch.autograd.grad(value, x)
                assert value.device.type == gradient.device.type == where
                found.append([value.detach().cpu(), gradient.cpu()])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
