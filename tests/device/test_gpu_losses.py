"""Every loss on arrays of a GPU gives what it gives on NumPy's, whatever the arrays are like.

The fixture `device` is a stand-in for CuPy that runs the kernels on the CPU, or with --gpu a GPU.
"""

import numpy as np
import pytest
import test_accuracy as accuracy
from exact import TERMS
from on_device import (
    DTYPES,
    EVERY,
    Lender,
    OnDevice,
    every_dtype,
    every_loss,
    host,
    results,
    sample,
    soft,
    take_lenders,
    waits,
)
from references import BOUND

import sklearn_losses as sl
from sklearn_losses._kernels.device import losses as device_losses
from sklearn_losses._kernels.device.declarations import BLOCK
from sklearn_losses.losses import POINTWISE, ROWWISE

SIZES = [0, 1, 7, 4096, 4097]
# A device's own exponentials to large powers.
POWERS = ("HalfTweedieLoss", "GeneralRobust", "FocalLoss", "AsymmetricLoss", "MulticlassFocal")


# -------------------------------------------------------------------------------------- the numbers


@every_dtype
@every_loss
def test_every_output_is_the_cpus(together, cls, dtype):
    loss, eps, xp = cls(), np.finfo(dtype).eps, together.xp
    limit = 2 * BOUND * eps * (8 if cls.__name__ in POWERS else 1)
    for n in SIZES:
        y, raw, weight = sample(cls, n, dtype)
        for target in [y, soft(y)] if cls.__name__ in accuracy.SOFT else [y]:
            for w in (None, weight):
                want = results(loss, target, raw, w)
                arrays = [None if a is None else xp.asarray(a) for a in (target, raw, w)]
                waits(together, 0)
                got = results(loss, *arrays)
                assert waits(together, 0)
                for method in want:
                    for a, b in zip(want[method], got[method], strict=True):
                        assert isinstance(b, xp.ndarray) and b.dtype == dtype
                        # Differences of terms (exp(raw) - y) are as exact as their terms.
                        differs = cls.__name__ in TERMS or cls in ROWWISE
                        np.testing.assert_allclose(
                            b.get(), a, rtol=limit, atol=30 * limit if differs else 0
                        )


@every_loss
def test_a_call_gives_the_cpus_mean_and_waits_once(together, cls):
    for dtype in DTYPES:
        for n in (1, 7, 4097):
            y, raw, weight = sample(cls, n, dtype)
            for target in [y, soft(y)] if cls.__name__ in accuracy.SOFT else [y]:
                for w in (None, weight):
                    arrays = [
                        None if a is None else together.xp.asarray(a) for a in (target, raw, w)
                    ]
                    waits(together, 0)
                    got = cls()(*arrays)
                    assert waits(together, 1) and type(got) is float
                    rtol = 64 * np.finfo(dtype).eps
                    np.testing.assert_allclose(got, cls()(target, raw, w), rtol=rtol, atol=rtol)


@pytest.fixture
def accuracy_on_device(together, monkeypatch):
    make = accuracy.make

    def on_device(*args):
        loss, params = make(*args)
        return OnDevice(loss, together.xp), params

    monkeypatch.setattr(accuracy, "make", on_device)


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "setting", "dtype"), accuracy.cases(POINTWISE))
def test_points_hold_the_bound_against_fifty_digits(accuracy_on_device, cls, setting, dtype):
    accuracy.test_value_gradient_and_hessian_hold_the_bound_against_fifty_digits(
        cls, setting, dtype
    )


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "setting", "dtype"), accuracy.cases(ROWWISE))
def test_rows_hold_the_bound_against_fifty_digits(accuracy_on_device, cls, setting, dtype):
    accuracy.test_rows_hold_the_bound_against_fifty_digits(cls, setting, dtype)


# CuPy compiles with -ftz=true: float32 has no subnormal numbers there. Below this, where the least
# normal number is as much as the bound allows, terms of a result may be among them.
FLUSHED = 2e-32
FLOATS = [case for case in accuracy.cases(EVERY) if np.float32 in case.values]


@pytest.fixture
def flushed(device, monkeypatch):
    """Subnormal numbers are zero; inputs, differences and results are compared down to FLUSHED."""
    points, excess = accuracy.points, accuracy.excess

    def large_points(*args):
        y, raw = points(*args)
        sizes = np.abs([y, raw, raw.astype(np.float64) - y])
        kept = ((sizes == 0) | (sizes > FLUSHED)).all(axis=0)
        assert kept.sum() > len(kept) / 2
        return y[kept], raw[kept]

    def large_excess(got, true, scale, limit, dtype):
        if scale < FLUSHED and abs(float(got) - float(true)) <= FLUSHED:
            return None
        return excess(got, true, scale, limit, dtype)

    monkeypatch.setattr(accuracy, "points", large_points)
    monkeypatch.setattr(accuracy, "excess", large_excess)
    if not device.real:
        device.settings["flush_to_zero"] = True


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "setting", "dtype"), FLOATS)
def test_bounds_hold_where_subnormal_numbers_are_zero(
    accuracy_on_device, flushed, cls, setting, dtype
):
    if cls in ROWWISE:
        accuracy.test_rows_hold_the_bound_against_fifty_digits(cls, setting, dtype)
    else:
        accuracy.test_value_gradient_and_hessian_hold_the_bound_against_fifty_digits(
            cls, setting, dtype
        )


@pytest.mark.pairwise
@pytest.mark.parametrize("where", ["y", "raw", "weight"])
@pytest.mark.parametrize(("cls", "setting", "dtype"), accuracy.cases(EVERY))
def test_nan_in_gives_nan_out(accuracy_on_device, cls, setting, dtype, where):
    accuracy.test_nan_in_gives_nan_out_in_every_output(cls, setting, dtype, where)


@pytest.mark.parametrize("cls", ROWWISE, ids=lambda cls: cls.__name__)
def test_a_code_that_is_no_class_gives_nan(together, cls):
    _, raw, _ = sample(cls, 5, np.float64)
    codes = together.xp.asarray([-1.0, 4.0, 0.5, np.inf, 2.0])
    for parts in results(cls(), codes, together.xp.asarray(raw)).values():
        for part in parts:
            nan = np.isnan(part.get()).reshape(5, -1)
            # Probabilities do not depend on the target.
            assert not nan[4].any() and (nan[:4].any() == nan[:4].all())
    assert np.isnan(cls().gradient(codes, together.xp.asarray(raw)).get()[:4]).all()


@pytest.mark.parametrize("n_classes", [2, 3, 33, 100, 400])
@every_dtype
def test_any_number_of_classes(together, dtype, n_classes):
    # The last goes without shared memory.
    loss = sl.LogitAdjusted(priors=np.arange(1.0, n_classes + 1))
    y, raw, weight = sample(sl.LogitAdjusted, 70, dtype, n_classes=n_classes)
    for target in (y, soft(y, n_classes)):
        for order in ("C", "F"):
            want = results(loss, target, raw, weight)
            arrays = [together.xp.asarray(a, order=order) for a in (target, raw, weight)]
            got = results(loss, *arrays)
            for method in want:
                for a, b in zip(want[method], host(got[method]), strict=True):
                    tolerance = 64 * np.finfo(dtype).eps
                    np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)
            mean = loss(*arrays)
            assert mean == pytest.approx(loss(target, raw, weight), rel=1e-6)


def test_rows_of_a_block_fit_in_shared_memory():
    for n_classes in (1, 2, 10, 64, 100, 191, 192, 5000):
        for itemsize in (4, 8):
            for tiles in (1, 2):
                rows = device_losses.rows_of_block(10**9, n_classes, itemsize, tiles)
                size = tiles * (n_classes | 1) * itemsize
                assert rows % 32 == 0 and rows <= BLOCK
                assert rows * size <= device_losses.SHARED_BYTES
                if rows < BLOCK:
                    assert (rows + 32) * size > device_losses.SHARED_BYTES
    assert device_losses.rows_of_block(100, 3, 4, 1) == 32


def test_more_samples_than_the_largest_grid_takes_at_once(together, monkeypatch):
    monkeypatch.setattr(device_losses, "MOST_BLOCKS", 2)
    for cls in (sl.HuberLoss, sl.HalfMultinomialLoss):
        arrays = sample(cls, 9001, np.float32)
        want = results(cls(), *arrays)
        got = results(cls(), *map(together.xp.asarray, arrays))
        for method in want:
            for a, b in zip(want[method], host(got[method]), strict=True):
                np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-6)
        assert cls()(*map(together.xp.asarray, arrays)) == pytest.approx(cls()(*arrays), rel=1e-6)


# ------------------------------------------------------------------------------- arrays of any kind


def layouts(xp, x):
    """Views of other arrays with the elements of x."""
    yield "spaced", xp.asarray(np.repeat(x, 3, axis=0))[::3]
    yield "reversed", xp.asarray(x[::-1].copy())[::-1]
    yield "fortran", xp.asarray(np.asfortranarray(x), order="F")
    yield "off the pieces", xp.asarray(np.concatenate([x[:1], x]))[1:]
    wide = np.empty((*x.shape, 3), x.dtype)
    wide[..., 1] = x
    yield "column", xp.asarray(wide)[..., 1]
    if x.ndim == 1:
        yield "(n, 1)", xp.asarray(x[:, None])


@pytest.mark.parametrize("loss", [sl.HuberLoss(), sl.HalfBinomialLoss(), sl.HalfMultinomialLoss()])
@every_dtype
def test_the_bits_do_not_depend_on_the_layout(together, loss, dtype):
    xp = together.xp
    for n in (1, 7, 700):
        arrays = sample(type(loss), n, dtype)
        plain = [xp.asarray(a) for a in arrays]
        want, mean = results(loss, *plain), loss(*plain)
        for i, name in enumerate(("y_true", "raw_prediction", "sample_weight")):
            for kind, x in layouts(xp, arrays[i]):
                if kind == "(n, 1)" and (name != "y_true" or loss.is_multiclass):
                    continue
                given = [*plain[:i], x, *plain[i + 1 :]]
                got = results(loss, *given)
                for method in want:
                    for a, b in zip(want[method], got[method], strict=True):
                        np.testing.assert_array_equal(b.get(), a.get(), f"{name} {kind}")
                assert loss(*given) == mean
        for (kind, value), (_, gradient), (_, hessian) in zip(
            layouts(xp, arrays[0]), layouts(xp, arrays[1]), layouts(xp, arrays[1]), strict=False
        ):
            out = loss.loss_gradient(*plain, value, gradient)
            assert out[0] is value and out[1] is gradient
            loss.gradient_hessian(*plain, None, hessian)
            got = value.get().ravel(), gradient.get(), hessian.get()
            wanted = *host(want["loss_gradient"]), host(want["gradient_hessian"])[1]
            for a, b in zip(wanted, got, strict=True):
                np.testing.assert_array_equal(b.reshape(a.shape), a, kind)


@every_dtype
def test_other_types_are_converted(together, dtype):
    xp, other = together.xp, np.float64 if dtype == np.float32 else np.float32
    for loss in (sl.HuberLoss(), sl.HalfMultinomialLoss()):
        y, raw, weight = sample(type(loss), 50, dtype)
        codes = np.round(y).astype(int)
        value, gradient = (xp.empty(a.shape, other) for a in (y, raw))
        for target in (codes, codes.astype(other), codes.astype(np.float16), codes > 1):
            want = loss.loss_gradient(target, raw, weight.astype(other))
            arrays = xp.asarray(target), xp.asarray(raw), xp.asarray(weight.astype(other))
            loss.loss_gradient(*arrays, value, gradient)
            for a, b in zip(want, (value, gradient), strict=True):
                assert b.dtype == other
                np.testing.assert_allclose(b.get(), a, rtol=1e-5, atol=1e-6)
            assert loss(*arrays) == pytest.approx(loss(*map(host, arrays)), rel=1e-5)


def test_arrays_of_other_libraries_are_shared(device, monkeypatch):
    take_lenders(device, monkeypatch)
    xp, loss = device.xp, sl.HuberLoss()
    y, raw, weight = (xp.asarray(a) for a in sample(sl.HuberLoss, 9, np.float64))
    out = xp.empty(9)
    lent = Lender(out)
    assert loss.loss(Lender(y), Lender(raw), Lender(weight), lent) is lent
    np.testing.assert_array_equal(out.get(), loss.loss(y, raw, weight).get())
    assert loss(Lender(y), Lender(raw), Lender(weight)) == loss(y, raw, weight)
    with pytest.raises(ValueError, match="loss_out is read-only"):
        loss.loss(y, raw, None, Lender(out, read_only=True))
    np.testing.assert_array_equal(
        loss.loss(Lender(y, read_only=True), raw).get(), loss.loss(y, raw).get()
    )


def test_a_sum_has_the_same_bits_whichever_block_comes_first(together):
    arrays = {cls: sample(cls, 40_000, np.float32) for cls in (sl.LogCosh, sl.LDAM)}
    want = {cls: cls()(*map(together.xp.asarray, a)) for cls, a in arrays.items()}
    if not together.real:
        together.settings["reverse_blocks"] = True
    for cls, a in arrays.items():
        assert all(cls()(*map(together.xp.asarray, a)) == want[cls] for _ in range(3))
        total = cls()._evaluate(*map(together.xp.asarray, a), None, None, None, None, want_sum=True)
        assert total.shape == () and total.dtype == np.float64
