"""The proximal operators of quadratic penalties, at lengths from next to 0 to next to infinity, are
what exact arithmetic makes of their definition."""

import mpmath
import numpy as np
import pytest
from test_prior_penalties import differences, squares

from sklearn_losses import GaussianPrior, SmoothPenalty


def exactly(matrix, mean, c, length):
    """The minimum of ``sum((u - c)**2 / (2 * length)) + (u - mean)' matrix (u - mean) / 2`` in
    exact arithmetic: (I + L P) (u - c) = -L P (c - mean)."""
    with mpmath.workdps(1400):
        bent = mpmath.diag(length.tolist()) * mpmath.matrix(matrix.tolist())
        from_mean = mpmath.matrix(c.tolist()) - mpmath.matrix(mean.tolist())
        moved = mpmath.lu_solve(mpmath.eye(len(c)) + bent, -(bent * from_mean))
        return np.array([float(mpmath.mpf(a) + b) for a, b in zip(c.tolist(), moved, strict=True)])


WHOLE = np.random.RandomState(4).randint(-3, 4, (6, 6)).astype(float)
UNITS = 2.0 ** np.array([-20, 15, 0, 3, -7, 30])
EXTREMES = {
    "order 1": SmoothPenalty(1),
    "order 2": SmoothPenalty(2),
    "order 3": SmoothPenalty(3),
    "cyclic": SmoothPenalty(2, cyclic=True),
    "runs": SmoothPenalty(1, groups=[[0, 3], [1, 4, 5]]),
    "regular": GaussianPrior(np.arange(6.0), WHOLE.T @ WHOLE + np.eye(6)),
    "singular": GaussianPrior(1.0, WHOLE[:3].T @ WHOLE[:3]),
    "units": GaussianPrior(1.0 / UNITS, WHOLE[:3].T @ WHOLE[:3] * np.outer(UNITS, UNITS)),
}
RANDOM = {
    "mixed": lambda rng: 10.0 ** rng.uniform(-8, 8, 6),
    "far apart": lambda rng: 10.0 ** rng.uniform(-300, 300, 6),
    "some 0": lambda rng: 10.0 ** rng.uniform(-3, 300, 6) * (rng.uniform(size=6) < 0.6),
}


@pytest.mark.parametrize("penalty", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("kind", [1e-300, 1e-150, 1e-8, 1.0, 1e4, 1e8, 1e12, 1e150, 1e300, *RANDOM])
def test_prox_keeps_its_digits_at_any_length(penalty, kind):
    rng = np.random.RandomState(5)
    form = penalty._form(6)
    matrix = form._dense()
    mean = np.zeros(6) if form.center is None else form.center
    unit = UNITS if penalty is EXTREMES["units"] else np.ones(6)
    for _ in range(3):
        c = rng.randn(6) / unit
        length = RANDOM[kind](rng) if kind in RANDOM else np.full(6, kind)
        u = penalty.prox(c, length, 1.0)
        off = (u - exactly(matrix, mean, c, length)) * unit
        size = max(np.abs(unit * c).max(), np.abs(unit * mean).max())
        # Beside a singular matrix, lengths far apart leave few digits of what the longest share.
        assert np.abs(off).max() < (1e-5 if kind in RANDOM else 1e-9) * size


def test_prox_of_many_features_keeps_its_digits():
    # Large sparse matrices are factored as such, where that is well.
    n, c = 300, np.random.RandomState(6).randn(300)
    matrix = squares(differences(2, range(n), n))
    for length in (1e-2, 1.0, 1e3):
        expected = np.linalg.solve(np.eye(n) + length * matrix, c)
        np.testing.assert_allclose(SmoothPenalty(2).prox(c, length, 1.0), expected, atol=1e-10)
    line = np.polynomial.Polynomial.fit(np.arange(n), c, 1)(np.arange(n))
    np.testing.assert_allclose(SmoothPenalty(2).prox(c, 1e200, 1.0), line, atol=1e-7)


@pytest.mark.parametrize("penalty", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("kind", [1e-300, 1.0, 1e8, 1e300, *RANDOM])
def test_bounds_hold_and_are_left_downhill_alone(penalty, kind):
    rng = np.random.RandomState(7)
    form = penalty._form(6)
    matrix, mean = form._dense(), 0.0 if form.center is None else form.center
    unit = UNITS if penalty is EXTREMES["units"] else np.ones(6)
    for _ in range(3):
        c = rng.randn(6) / unit
        low, high = c - rng.uniform(size=6) / unit, c + 0.3 * rng.uniform(size=6) / unit
        length = RANDOM[kind](rng) if kind in RANDOM else np.full(6, kind)
        length = np.minimum(length, 1e280)  # whose products with the matrix are numbers
        u = penalty.prox(c, length, 1.0, low, high)
        assert ((low <= u) & (u <= high)).all()
        # The derivative over what a coefficient alone bends, so that it is a distance.
        share = 1.0 / (1.0 + length * matrix.diagonal())
        slope = unit * (share * (u - c) + share * length * (matrix @ (u - mean)))
        slope[(u == low) & (slope > 0) | (u == high) & (slope < 0)] = 0.0
        assert np.abs(slope).max() < 1e-12
