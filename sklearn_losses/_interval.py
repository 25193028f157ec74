"""Intervals of real numbers: the ranges of targets, predictions and parameters."""

from dataclasses import dataclass

import numpy as np

from sklearn_losses._array import array_namespace, on_its_device


@dataclass(frozen=True)
class Interval:
    """An interval of real numbers.

    Parameters
    ----------
    low, high : float
        Its ends, low <= high; they may be infinite.
    low_inclusive, high_inclusive : bool, default=False
        Whether the ends belong to it.

    Examples
    --------
    >>> from sklearn_losses.links import Interval
    >>> print(Interval(0, 1, low_inclusive=True))
    [0, 1)
    >>> Interval(0, 1).includes([0.5, 1.0])
    False
    """

    low: float = -np.inf
    high: float = np.inf
    low_inclusive: bool = False
    high_inclusive: bool = False

    def __post_init__(self):
        if not self.low <= self.high:
            raise ValueError(f"low must be at most high; got low={self.low}, high={self.high}")

    @on_its_device
    def contains(self, x):
        """Which elements lie in the interval; NaN does not.

        Parameters
        ----------
        x : array-like

        Returns
        -------
        inside : array of bool, of the shape of x
        """
        xp = array_namespace(x)
        x = xp.asarray(x)
        above = x >= self.low if self.low_inclusive else x > self.low
        below = x <= self.high if self.high_inclusive else x < self.high
        return above & below

    @on_its_device
    def includes(self, x):
        """Whether every element lies in the interval.

        Parameters
        ----------
        x : array-like

        Returns
        -------
        all_inside : bool
        """
        return bool(self.contains(x).all())

    def __str__(self):
        left = "[" if self.low_inclusive else "("
        right = "]" if self.high_inclusive else ")"
        return f"{left}{self.low:g}, {self.high:g}{right}"


REALS = Interval()
POSITIVE = Interval(0, np.inf)
NON_NEGATIVE = Interval(0, np.inf, low_inclusive=True)
UNIT = Interval(0, 1, True, True)
UNIT_OPEN = Interval(0, 1)
UNIT_LEFT_OPEN = Interval(0, 1, high_inclusive=True)
UNIT_RIGHT_OPEN = Interval(0, 1, low_inclusive=True)
