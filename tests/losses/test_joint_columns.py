"""Raw predictions of losses of all samples together may be a column, as estimators of several
outputs have them: values and derivatives are those of the same numbers in a row."""

import numpy as np
import pytest

import sklearn_losses as sl
from sklearn_losses.losses import JOINT, RANKING

RNG = np.random.RandomState(0)
N = 12
RAW, OFFSET = RNG.normal(size=N), RNG.normal(size=N)
WEIGHT = np.repeat([0.7, 1.6], N // 2)  # one a query
every_joint = pytest.mark.parametrize("loss", [cls() for cls in JOINT], ids=lambda x: x.name)


def targets(loss):
    numbers = RNG.uniform(1, 5, size=N)
    if isinstance(loss, sl.CoxLoss):
        return sl.survival_target(numbers, numbers < 4)
    if type(loss) in RANKING:
        return sl.ranking_target(np.arange(N) % 3, np.arange(N) // 6)
    if isinstance(loss, sl.GroupRobustLoss):
        return sl.group_target(numbers, np.arange(N) % 2)
    return numbers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@every_joint
def test_a_column_gives_the_numbers_of_the_row_in_the_shape_of_a_row(loss, weight, dtype):
    y, row = targets(loss), RAW.astype(dtype)
    # A column of a wider array is not contiguous.
    wide = np.full((N, 3), np.nan, dtype=dtype)
    wide[:, 1] = row
    value, gradient = loss.loss_gradient(y, row, weight)
    slope, bend = loss.gradient_hessian(y, row, weight)
    assert gradient.shape == slope.shape == bend.shape == (N,) and np.ptp(gradient) > 0
    for column in (row[:, np.newaxis], wide[:, 1:2]):
        assert loss(y, column, weight) == loss(y, row, weight)
        got = loss.loss_gradient(y, column, weight)
        assert got[0] == value and got[1].shape == (N,) and got[1].dtype == np.float64
        np.testing.assert_array_equal(got[1], gradient)
        np.testing.assert_array_equal(loss.gradient(y, column, weight), gradient)
        got = loss.gradient_hessian(y, column, weight)
        assert got[0].shape == got[1].shape == (N,)
        np.testing.assert_array_equal(got[0], slope)
        np.testing.assert_array_equal(got[1], bend)


@every_joint
def test_a_column_is_scored_as_the_row(loss):
    y = targets(loss)
    assert loss._score(y, RAW[:, np.newaxis]) == loss._score(y, RAW)


@every_joint
def test_an_offset_may_be_a_column(loss):
    y = targets(loss)
    best = loss.fit_intercept_only(y, WEIGHT, OFFSET)
    assert loss.fit_intercept_only(y, WEIGHT, OFFSET[:, np.newaxis]) == best
    assert (best == 0) == loss.shift_is_nothing


@pytest.mark.parametrize("shape", [(N, 2), (1, N), (N + 1, 1), (N + 1,), (N, 1, 1), ()], ids=str)
@every_joint
def test_other_shapes_are_refused_by_name(loss, shape):
    y, raw = targets(loss), np.zeros(shape)
    for method in (loss, loss.loss_gradient, loss.gradient, loss.gradient_hessian):
        with pytest.raises(ValueError, match=r"raw_prediction must have shape \(12,\); got"):
            method(y, raw)
