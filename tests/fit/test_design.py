"""Products of a design matrix are those of the matrix that it stands for."""

import numpy as np
import pytest
from scipy import sparse

from sklearn_losses._solvers.data import Data
from sklearn_losses._solvers.design import Design

# Rows and columns: fewer than a register, a block of rows and of columns, and more of each.
SIZES = [(1, 1), (5, 3), (300, 17), (3000, 70), (700, 600), (2500, 257)]
DENSITIES = {"dense": None, "half": 0.5, "few": 0.02}


def made(n, d, layout="dense", dtype=np.float64, intercept=True, held_out=False, center=True):
    """A design, and the matrix that it stands for."""
    rng = np.random.RandomState(n + d)
    X = rng.standard_normal((n, d)) + 3.0
    if layout != "dense":
        X *= rng.uniform(size=X.shape) < DENSITIES[layout]
    X = X.astype(dtype)
    center = X.mean(axis=0, dtype=np.float64) if center else None
    unit = rng.uniform(0.5, 1.5, d)
    held = rng.uniform(size=n) < 0.3 if held_out else None
    data = Data(
        X if layout == "dense" else sparse.csr_matrix(X), np.zeros(n), [None], held_out=held
    )
    A = (X.astype(np.float64) - (0.0 if center is None else center)) * unit
    A = np.column_stack([A, np.ones(n)]) if intercept else A
    return Design(data, center, unit, intercept, 2), A if held is None else A[~held]


def close(found, right):
    assert found.shape == right.shape
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-12 * (np.abs(right).max() + 1e-300))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("layout", DENSITIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products(size, layout, dtype):
    for intercept in (True, False):
        for held_out in (True, False):
            design, A = made(*size, layout, dtype, intercept, held_out)
            assert (design.n, design.width) == A.shape
            rng = np.random.RandomState(0)
            v, u = rng.standard_normal((2, design.width)), rng.standard_normal((2, design.n))
            close(design.products(v), v @ A.T)
            close(design.products(v[0]), A @ v[0])
            close(design.transposed(u), u @ A)
            close(design.transposed(u[0]), u[0] @ A)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("layout", DENSITIES)
@pytest.mark.parametrize("center", [True, False])
def test_gram(size, layout, center):
    design, A = made(*size, layout, center=center)
    rng = np.random.RandomState(0)
    h = rng.standard_normal(design.n) * (rng.uniform(size=design.n) < 0.7)
    close(design.gram(h), (A.T * h) @ A)
    close(design.gram(np.abs(h)), (A.T * np.abs(h)) @ A)
    close(design.squares(np.abs(h)), (A * A).T @ np.abs(h))
    close(design.squares(h), (A * A).T @ h)
    columns = np.sort(rng.permutation(size[1])[: size[1] // 2 + 1])
    with_last = np.append(columns, size[1])
    part, B = design.take(columns), A[:, with_last]
    close(part.gram(h), (B.T * h) @ B)
    close(part.products(np.ones(part.width)), B.sum(axis=1))


@pytest.mark.parametrize("layout", DENSITIES)
def test_threads_make_no_difference(layout):
    design, _ = made(3000, 300, layout)
    h = np.random.RandomState(0).standard_normal(design.n)
    found = []
    for n_threads in (1, 2, 3):
        same = Design(design.data, design.center, design.unit, True, n_threads)
        v = np.linspace(-1, 1, design.width)
        found.append([f.tobytes() for f in (same.gram(h), same.transposed(h), same.products(v))])
    assert found[0] == found[1] == found[2]


def test_the_last_matrix_is_that_of_its_weights():
    design, A = made(50, 6)
    design.keeps_gram = True
    rng = np.random.RandomState(0)
    h, other = rng.uniform(size=(2, design.n))
    for weights in (h, h, other, h, h):
        weights = weights.copy()
        found = design.gram(weights)
        close(found, (A.T * weights) @ A)
        found[:] = 0.0  # the caller's own, as are the weights
        weights[:] = 0.0


def test_columns_that_are_taken():
    for layout in DENSITIES:
        design, A = made(30, 8, layout)
        some = design.take(np.array([1, 4, 6]))
        close(some.products(np.eye(4)), A[:, [1, 4, 6, 8]].T)
        assert layout != "dense" or some.data.X.flags.c_contiguous


def test_entries_in_any_order_and_twice():
    X = sparse.csr_matrix(
        (np.array([1.0, 2.0, 4.0, 8.0]), np.array([5, 0, 5, 2]), np.array([0, 3, 4])), (2, 40)
    )
    for copies in (X, sparse.vstack([X] * 7, format="csr")):
        data = Data(copies, np.zeros(copies.shape[0]), [None])
        design = Design(data, None, np.ones(40), False, 1)
        A = copies.toarray()
        close(design.gram(np.ones(design.n)), A.T @ A)


def test_errors():
    design, _ = made(5, 3)
    with pytest.raises(ValueError, match="shape"):
        design.kernel.gram(np.ones(4))
    with pytest.raises(ValueError, match="rows must be in the range"):
        type(design.kernel)(design.data.X, np.array([7]), np.zeros(3), np.ones(3), 1)
