"""Arrays that are not what they seem: sparse matrices that point outside themselves, elements at
odd addresses; integers beyond every float. All are copied or refused, by fits and predictions.
"""

import numpy as np
import pytest
from scipy import sparse

from sklearn_losses import HalfMultinomialLoss, SGDClassifierX, SGDRegressorX, get_loss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.randn(30, 4) * (RNG.uniform(size=(30, 4)) < 0.6)
Y = X @ [1.0, -1.0, 0.5, 2.0]
STRUCTURE = "must start at 0, never decrease, and have one entry more"
PAST = "points past the end of X.data or X.indices"


def malformed():
    """Name -> (CSR that SciPy was not shown again after it was changed, the error's words)."""

    def made(**parts):
        matrix = sparse.csr_matrix(X)
        for name, change in parts.items():
            setattr(matrix, name, change(getattr(matrix, name)))
        return matrix

    def changed(at, value):
        def change(array):
            array = array.copy()
            array[at] = value
            return array

        return change

    def wide(array):
        return array.astype(np.int64)

    of_32_bits = {
        "indptr starts at 1": (made(indptr=changed(0, 1)), STRUCTURE),
        "indptr falls": (made(indptr=changed(3, 100)), STRUCTURE),
        "indptr ends past data": (made(indptr=changed(-1, 10**6)), PAST),
        "indptr is short": (made(indptr=lambda a: a[:-1]), STRUCTURE),
        "data are short": (made(data=lambda a: a[:-1]), PAST),
        "indices are short": (made(indices=lambda a: a[:-1]), PAST),
        "an index is negative": (made(indices=changed(0, -1)), r"X.indices must be in the range"),
        "an index is past the columns": (made(indices=changed(-1, 4)), r"in the range \[0, 4\)"),
    }
    cases = {
        # In 32 bits they would seem right.
        "indptr shifted": (made(indptr=lambda a: wide(a) + 2**32), STRUCTURE),
        "indptr shifted but for its start": (
            made(indptr=lambda a: np.r_[0, wide(a)[1:] + 2**32]),
            PAST,
        ),
        "indices of 64 bits": (
            made(indptr=wide, indices=lambda a: wide(a) + 2**32),
            "in the range",
        ),
        "indices are floats": (made(indices=lambda a: a * 1.0), "of signed integers"),
    }
    return of_32_bits | cases


MALFORMED = malformed()


@pytest.mark.parametrize("name", MALFORMED)
def test_sparse_matrices_that_point_outside_themselves_are_refused(name):
    bad, said = MALFORMED[name]
    for params in (
        {},
        {"early_stopping": True},
        {"batch_size": 8, "optimizer": "saga"},
        {"optimizer": "lbfgs"},
    ):
        model = SGDRegressorX(max_iter=3, **params).fit(X, Y)
        coef = model.coef_
        with pytest.raises(ValueError, match=said):
            model.fit(bad, Y)
        with pytest.raises(ValueError, match=said):
            model.predict(bad)
        assert model.coef_ is coef
    labels = Y > 0
    model = SGDClassifierX("log_loss", max_iter=3).fit(X, labels)
    for call in (model.predict, model.decision_function, model.predict_proba):
        with pytest.raises(ValueError, match=said):
            call(bad)
    with pytest.raises(ValueError, match=said):
        model.score(bad, labels)
    with pytest.raises(ValueError, match=said):
        model.partial_fit(bad, labels)
    with pytest.raises(ValueError, match=said):
        SGDRegressorX(max_iter=3).fit(X, Y, X_val=bad, y_val=Y)


def test_columns_that_point_outside_themselves_are_refused():
    bad = sparse.csc_matrix(X)
    bad.indices[0] = 30
    for model in (SGDRegressorX(max_iter=3), SGDRegressorX(max_iter=3).fit(X, Y)):
        with pytest.raises(ValueError, match=r"in the range \[0, 30\)"):
            model.fit(bad, Y)
    with pytest.raises(ValueError, match=r"in the range \[0, 30\)"):
        model.predict(bad)


def test_sound_sparse_matrices_of_any_format_and_index_are_taken():
    expected = SGDRegressorX(max_iter=3, random_state=0).fit(sparse.csr_matrix(X), Y)
    wide = sparse.csr_matrix(X)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    mixed = sparse.csr_matrix(X)
    mixed.indptr = mixed.indptr.astype(np.int64)
    longer = sparse.csr_matrix(X)  # arrays with room to grow
    longer.data = np.append(longer.data, np.zeros(3))
    longer.indices = np.append(longer.indices, np.zeros(3, np.int32))
    made = [kind(X) for kind in (sparse.csc_matrix, sparse.coo_matrix, sparse.csr_array)]
    for matrix in (wide, mixed, longer, *made):
        model = SGDRegressorX(max_iter=3, random_state=0).fit(matrix, Y)
        np.testing.assert_array_equal(model.coef_, expected.coef_)
        np.testing.assert_allclose(model.predict(matrix), expected.predict(X), rtol=1e-12)
    empty = sparse.csr_matrix(X.shape)
    assert (SGDRegressorX(max_iter=3).fit(empty, Y).coef_ == 0).all()


def unaligned(array):
    """The same elements, one byte past an address that is a multiple of their size."""
    room = np.empty(array.nbytes + 1, np.uint8)
    made = room[1:].view(array.dtype).reshape(array.shape)
    made[...] = array
    assert not made.flags.aligned
    return made


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("params", [{}, {"batch_size": 8}, {"optimizer": "lbfgs"}])
def test_unaligned_arrays_are_copied_by_fits(dtype, params):
    x, weight = X.astype(dtype), RNG.uniform(size=30)
    model = SGDRegressorX(max_iter=3, random_state=0, **params)
    expected = model.fit(x, Y, sample_weight=weight).coef_
    odd = unaligned(x), unaligned(Y)
    model.fit(*odd, sample_weight=unaligned(weight), coef_init=unaligned(np.zeros(4)))
    np.testing.assert_array_equal(model.coef_, expected)
    np.testing.assert_array_equal(model.predict(odd[0]), model.predict(x))
    csr = sparse.csr_matrix(x)
    expected = model.fit(csr, Y).coef_
    csr.data, csr.indices, csr.indptr = map(unaligned, (csr.data, csr.indices, csr.indptr))
    np.testing.assert_array_equal(model.fit(csr, unaligned(Y)).coef_, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unaligned_arrays_are_copied_by_losses(dtype):
    raw, y, weight = (RNG.uniform(size=20).astype(dtype) for _ in range(3))
    loss = get_loss("log_loss")
    for call in (loss.loss_gradient, loss.gradient_hessian, loss.loss, loss.gradient, loss):
        expected, got = call(y, raw, weight), call(*map(unaligned, (y, raw, weight)))
        np.testing.assert_array_equal(got, expected)
    codes, raw = RNG.randint(3, size=20).astype(dtype), RNG.randn(20, 3).astype(dtype)
    loss = HalfMultinomialLoss()
    expected = loss.gradient(codes, raw, weight)
    np.testing.assert_array_equal(loss.gradient(*map(unaligned, (codes, raw, weight))), expected)
    np.testing.assert_array_equal(loss.predict(unaligned(raw)), loss.predict(raw))


@pytest.mark.parametrize("params", [{}, {"batch_size": 8}, {"batch_size": 8, "optimizer": "adam"}])
def test_an_average_from_a_step_that_no_fit_takes_is_none(params):
    plain = SGDRegressorX(max_iter=3, random_state=0, **params).fit(X, Y)
    for average in (10**6, 2**63 - 1, 2**70, 10**400):
        never = SGDRegressorX(max_iter=3, random_state=0, average=average, **params).fit(X, Y)
        np.testing.assert_array_equal(never.coef_, plain.coef_)
        np.testing.assert_array_equal(never.partial_fit(X, Y).predict(X), never.predict(X))


@pytest.mark.parametrize("name", ["alpha", "tol", "epsilon", "eta0", "power_t", "clip_norm"])
def test_integers_beyond_every_float_are_refused_by_name(name):
    for estimator, y in ((SGDRegressorX, Y), (SGDClassifierX, Y > 0)):
        with pytest.raises(ValueError, match=f"{name} must be of a size that float64 holds"):
            estimator(**{name: 10**400}).fit(X, y)


@pytest.mark.parametrize("params", [
    {"max_iter": 2**70, "tol": 1e3}, {"n_iter_no_change": 2**70}, {"n_jobs": 2**70},
    {"batch_size": 2**70}, {"batch_size": 8, "n_jobs": -(2**70)},
])  # fmt: skip
def test_integers_may_be_of_any_size_where_that_has_a_meaning(params):
    model = SGDRegressorX(**{"max_iter": 3, "random_state": 0, **params}).fit(X, Y)
    assert np.isfinite(model.coef_).all()
