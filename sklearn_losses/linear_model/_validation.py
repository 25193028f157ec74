"""The checks of data: by scikit-learn on the host; on a device, where its functions cannot go, by a
few reductions, with scikit-learn's words for what is wrong."""

import math
from numbers import Number

import numpy as np
from scipy import sparse
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from sklearn_losses._array import array_namespace, device_array, in_namespace, on_device, to_host
from sklearn_losses._sklearn_compat import check_sample_weight

REAL = "biuf"
FLOATS = (np.float64, np.float32)
TARGET = {"accept_sparse": "csr", "ensure_2d": False, "dtype": None, "input_name": "y"}


def shape_of(x):
    """The shape of an array of any place, or of nested lists."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


def one_column(y):
    """`y` with a column of its own taken out of it, with scikit-learn's warning."""
    if y.ndim == 2 and y.shape[1] == 1:
        column_or_1d(np.zeros((1, 1)), warn=True)
        return y[:, 0]
    return y


def with_offset(method, X, offset):
    """``method(X)``, with the offset where there is one: a method that a subclass overrides, with
    scikit-learn's signature, need not take it."""
    return method(X) if offset is None else method(X, offset=offset)


def _let_scikit_learn_refuse(x, **options):
    """The error that scikit-learn has for the kind and shape of `x`, from its first rows."""
    part = x[:9] if min(x.shape, default=0) else x
    check_array(to_host(part), **{"accept_sparse": True, "ensure_all_finite": False, **options})


def check_finite(x, **options):
    """The error that scikit-learn has for NaN and infinity in `x`, if there are any."""
    # A sum is finite only if every term is; it may overflow, and then the elements decide.
    if x.dtype.kind != "f" or math.isfinite(float(x.sum(dtype=np.float64))):
        return
    xp = array_namespace(x)
    for found, where in ((np.nan, xp.isnan), (np.inf, xp.isinf)):
        if bool(where(x).any()):
            check_array(np.full((1, 1), found, dtype=x.dtype), **options)


def _check_csr(X):
    """The errors that `_rows.pxd` has for rows that are not within X, of any place; a kernel, or
    SciPy, would read on. (X may be CSC: its columns are looked at as rows.)"""
    xp = array_namespace(X.data)
    n_rows, n_columns = X.shape if X.format == "csr" else X.shape[::-1]
    indptr, indices = X.indptr, X.indices
    if any(part.ndim != 1 or part.dtype.kind != "i" for part in (indptr, indices)):
        raise ValueError("X.indptr and X.indices must be one-dimensional, of signed integers")
    if len(indptr) != n_rows + 1:
        facts = [1]
    else:
        at = indices if len(indices) else xp.zeros(1, indptr.dtype)
        falls = (indptr[1:] < indptr[:-1]).any()
        facts = [indptr[0] != 0, falls, indptr[-1], at.min(), at.max()]
        facts = to_host(xp.stack([xp.asarray(fact).astype(np.int64) for fact in facts])).tolist()
    if facts[0] or facts[1]:
        raise ValueError(
            "X.indptr must start at 0, never decrease, and have one entry more than X has rows"
        )
    _, _, last, low, high = facts
    if last > min(len(indices), len(X.data)):
        raise ValueError("X.indptr points past the end of X.data or X.indices")
    if len(indices) and (low < 0 or high >= n_columns):
        raise ValueError(f"X.indices must be in the range [0, {n_columns})")


def _check_structure(X):
    """X of the host as it came; a sparse matrix must be one."""
    if getattr(X, "format", None) in ("csr", "csc") and sparse.issparse(X):
        _check_csr(X)
    return X


def _aligned(X):
    """X of the host, a copy where its elements, or a sparse matrix's arrays, are not at addresses
    that are multiples of their sizes. (scikit-learn copies them too, where it needs to.)"""
    if not sparse.issparse(X):
        return np.require(X, requirements="A")
    parts = (X.data, X.indices, X.indptr)
    if all(part.flags.aligned for part in parts):
        return X
    return type(X)(tuple(np.require(part, requirements="A") for part in parts), shape=X.shape)


def _merged(X):
    """X, or a copy where a sparse one has several entries at a place: products would add them up,
    but not squares."""
    if not hasattr(X, "indptr") or X.has_canonical_format:
        return X
    merged = X.copy()
    merged.sum_duplicates()
    return merged if merged.nnz < X.nnz else X  # unsorted alone may stay


def _samples(X, estimator):
    """X of a device: C order, or CSR; float32 or float64; finite."""
    X = device_array(X)
    is_sparse = hasattr(X, "tocsr")
    X = X.tocsr() if is_sparse else X
    if X.ndim != 2 or X.dtype.kind not in REAL or 0 in X.shape:
        _let_scikit_learn_refuse(X, estimator=estimator, input_name="X")
    if X.dtype not in FLOATS:
        X = X.astype(np.float64)
    if is_sparse:
        _check_csr(X)
    else:
        X = array_namespace(X).ascontiguousarray(X)
    check_finite(X.data if is_sparse else X, estimator=estimator, input_name="X")
    return X


def _targets(y, estimator):
    """y of a device, or labels of the host, which no device can hold."""
    if not on_device(y):
        return check_array(y, estimator=estimator, **TARGET)
    y = device_array(y)
    y = y.toarray() if hasattr(y, "toarray") else y
    if y.ndim not in (1, 2) or y.dtype.kind not in REAL:
        _let_scikit_learn_refuse(y, estimator=estimator, **TARGET)
    check_finite(y, **TARGET)
    return y


def _doubles(x, shapes, xp):
    """`x` as an array of the device in float64 and C order, with its sum and its least element; or
    None where it is not real, not finite or not of one of the shapes."""
    if not on_device(x):
        return None
    x = device_array(x)
    if x.dtype.kind not in REAL or x.shape not in shapes:
        return None
    x = xp.ascontiguousarray(x, dtype=np.float64)
    total, least = xp.stack([x.sum(), x.min()]).get().tolist()
    return (x, total, least) if math.isfinite(total) else None


class Validation:
    """Mixin: checked data, on the host or on a device."""

    def _check_samples(self, X, reset=False):
        """X as `predict` takes it."""
        if not on_device(X):
            return validate_data(self, _check_structure(X), accept_sparse="csr", reset=reset)
        return validate_data(self, _samples(X, self), skip_check_array=True, reset=reset)

    def _validate(self, X, y, reset, own_target=False, **options):
        """X as the solvers take it, and y, whose numbers of columns are not checked; with
        `own_target` nothing of it but its length."""
        if on_device(X):
            X, y = validate_data(self, _samples(X, self), y, skip_check_array=True, reset=reset)
            y = y if own_target else _targets(y, self)
            check_consistent_length(X, y)
            return _merged(X), y
        shared = {
            "accept_sparse": "csr",
            "dtype": list(FLOATS),
            "order": "C",
            "accept_large_sparse": True,
            "reset": reset,
        }
        if own_target:
            X = validate_data(self, _check_structure(X), **shared)
            check_consistent_length(X, y)
            return _merged(_aligned(X)), y
        X, y = validate_data(self, _check_structure(X), y, multi_output=True, **shared, **options)
        return _merged(_aligned(X)), y

    def _check_weights(self, sample_weight, X, name="sample_weight", may_be_zero=False):
        """`sample_weight` in float64, or None where all weights are 1; with `may_be_zero` all of
        them may be."""
        if sample_weight is None:
            return None
        xp = array_namespace(X)
        if xp is not np:
            if isinstance(sample_weight, Number):
                sample_weight = xp.full(X.shape[0], float(sample_weight))
            checked = _doubles(sample_weight, [X.shape[:1]], xp)
            if checked is not None and checked[2] >= 0 and (checked[1] > 0 or may_be_zero):
                return checked[0]
            sample_weight, X = to_host(sample_weight), np.broadcast_to(0.0, (X.shape[0], 1))
        if may_be_zero:
            given = np.asarray(sample_weight)
            if given.dtype.kind in REAL and given.size and not given.any():
                # scikit-learn before 1.9 cannot let them pass: the shape is checked with ones.
                return 0.0 * check_sample_weight(np.ones(given.shape), X, dtype=np.float64)
        checked = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not checked.any():
            raise ValueError(f"{name}: Sample weights must contain at least one non-zero number.")
        return in_namespace(checked, xp)

    def _check_offset(self, offset, X, n_outputs, name="offset"):
        """`offset` in float64, of shape (n_samples,) or (n_samples, n_outputs), or None."""
        if offset is None:
            return None
        n_samples, xp = X.shape[0], array_namespace(X)
        shapes = ((n_samples,), (n_samples, n_outputs))
        if xp is not np:
            checked = _doubles(offset, shapes, xp)
            if checked is not None:
                return checked[0]
            offset = to_host(offset)
        offset = check_array(offset, dtype=np.float64, ensure_2d=False, order="C", input_name=name)
        if offset.shape not in shapes:
            raise ValueError(
                f"{name} must have shape ({n_samples},) or ({n_samples}, {n_outputs}); "
                f"got {offset.shape}"
            )
        return in_namespace(offset, xp)
