"""Whatever the layout, type and size of the arrays, a loss gives what it gives sample by sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_losses import HalfMultinomialLoss
from sklearn_losses.losses import POINTWISE, ROWWISE
from sklearn_losses.losses.rowwise import RowwiseLoss

DTYPES = st.sampled_from([np.float32, np.float64])
# Around the edges of a chunk (512), a block (4096) and a row-wise block (256), and small.
SIZES = st.one_of(
    st.integers(0, 40), st.sampled_from([255, 256, 257, 511, 512, 513, 4095, 4096, 4097, 9000])
)


@st.composite
def layouts(draw):
    """A function that gives an array another memory layout, and leaves its elements alone."""
    kind = draw(st.sampled_from(["plain", "spaced", "reversed", "fortran", "read-only", "column"]))
    step = draw(st.integers(2, 5))

    def apply(array):
        if kind == "spaced":
            return np.repeat(array, step, axis=0)[::step]
        if kind == "reversed":
            return np.ascontiguousarray(array[::-1])[::-1]
        if kind == "fortran":
            return np.asfortranarray(array)
        if kind == "column":
            wide = np.empty((*array.shape, 3), array.dtype)
            wide[..., 1] = array
            return wide[..., 1]
        array = array.copy()
        array.flags.writeable = kind != "read-only"
        return array

    return apply


@settings(max_examples=300, deadline=None)
@given(
    cls=st.sampled_from([*POINTWISE, *ROWWISE]),
    n=SIZES,
    n_classes=st.integers(2, 7),
    types=st.tuples(DTYPES, DTYPES, DTYPES, DTYPES),
    layout=st.tuples(layouts(), layouts(), layouts()),
    weighted=st.booleans(),
    n_threads=st.sampled_from([None, 1, 2, 5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_layout_type_and_size_gives_the_sample_by_sample_result(
    cls, n, n_classes, types, layout, weighted, n_threads, seed
):
    rng = np.random.RandomState(seed)
    rowwise = issubclass(cls, RowwiseLoss)
    loss = cls()
    raw = rng.normal(scale=3, size=(n, n_classes) if rowwise else n).astype(types[0])
    y = rng.randint(n_classes, size=n) if rowwise else rng.uniform(0.01, 1, n)
    y = y.astype(types[1])
    weight = rng.uniform(size=n).astype(types[2]) if weighted else None
    gradient_out = np.empty(raw.shape, types[3])
    arguments = layout[0](y), layout[1](raw), None if weight is None else layout[2](weight)
    value, gradient = loss.loss_gradient(*arguments, gradient_out=gradient_out, n_threads=n_threads)
    second, hessian = loss.gradient_hessian(*arguments, n_threads=n_threads)
    assert gradient is gradient_out and value.dtype == hessian.dtype == types[0]

    # The same in one sample at a time, plain arrays and double precision.
    picked = rng.permutation(n)[:25]
    wide = [array.astype(np.float64) for array in (y, raw)]
    single = np.float32 in types
    tolerance = {"rtol": 2e-5 if single else 1e-11, "atol": 2e-5 if single else 1e-12}
    for i in picked:
        one = [array[i : i + 1] for array in wide]
        scale = 1.0 if weight is None else float(weight[i])
        want = [loss.loss(*one)[0], loss.gradient(*one)[0], loss.gradient_hessian(*one)[1][0]]
        for got, expected in zip((value[i], gradient[i], hessian[i]), want, strict=True):
            size = np.abs(expected).max()
            np.testing.assert_allclose(
                got, scale * expected, rtol=tolerance["rtol"], atol=tolerance["atol"] * (1 + size)
            )
        np.testing.assert_allclose(second[i], gradient[i], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 3, 4, 5, 10, 33, 150])
@pytest.mark.parametrize("n", [1, 2, 15, 16, 45, 300])
def test_rows_have_the_same_bits_in_any_layout_and_gaps_stay_as_they_were(n, n_classes, dtype):
    rng = np.random.RandomState(n * n_classes)
    loss = HalfMultinomialLoss(label_smoothing=0.1)
    y, raw = rng.randint(n_classes, size=n), rng.normal(scale=3, size=(n, n_classes)).astype(dtype)
    weight = rng.uniform(size=n)
    expected = *loss.loss_gradient(y, raw, weight), loss.gradient_hessian(y, raw, weight)[1]
    mean = loss(y, raw, weight)

    def gaps_between_rows():
        return np.full((n, n_classes + 3), 7, dtype)[:, 1:-2]

    def gaps_between_classes():
        return np.full((n, 2 * n_classes), 7, dtype)[:, ::2]

    def fortran():
        return np.empty((n, n_classes), dtype, order="F")

    for make in (gaps_between_rows, gaps_between_classes, fortran):
        x, gradient, again, hessian = make(), make(), make(), make()
        x[...] = raw
        value, _ = loss.loss_gradient(y, x, weight, gradient_out=gradient)
        loss.gradient_hessian(y, x, weight, gradient_out=again, hessian_out=hessian)
        got = value, gradient, hessian
        for one, other in zip(expected, got, strict=True):
            np.testing.assert_array_equal(one, other)
        assert loss(y, x, weight) == mean
        for array in (gradient, hessian):
            if array.base is not None:
                array[...] = np.nan
                assert (array.base == 7).sum() == array.base.size - array.size
