"""Columns of sparse data that have entries: of the others, as of hashed words that are not there,
the minimum is known."""

from dataclasses import replace

import numpy as np

from sklearn_losses._array import on_device
from sklearn_losses._solvers.fit import Model

# Fewer columns are no burden.
LEAST_COLUMNS = 4096


class Occurring:
    """A fit on the columns that have entries alone, where they are at most half of all.

    The weights of the others are 0 at the minimum, or as near as bounds allow; where nothing
    penalises them they stay where they start.

    Parameters
    ----------
    data : Data
    settings : Settings
    model : Model
        Where the fit starts.

    Attributes
    ----------
    data, settings, model
        Those of the columns that have entries. X is a matrix with the same values and its own
        indices.
    """

    def __init__(self, data, settings, model):
        self.data, self.settings, self.model = data, settings, model
        self.columns = self.all = None
        X, d = data.X, data.X.shape[1]
        small = not hasattr(X, "indptr") or d < LEAST_COLUMNS
        if small or on_device(X) or settings.own is not None:
            return
        occurs = np.zeros(d, dtype=bool)
        occurs[X.indices] = True
        columns = np.flatnonzero(occurs)
        if 2 * len(columns) > d:
            return
        number = np.empty(d, dtype=X.indices.dtype)
        number[columns] = np.arange(len(columns), dtype=number.dtype)
        X = type(X)((X.data, number[X.indices], X.indptr), shape=(X.shape[0], len(columns)))
        rest = np.zeros_like(model.coef) if settings.penalised else model.coef.copy()
        if settings.low is not None:
            rest = np.clip(rest, settings.low, settings.high).astype(rest.dtype)
        self.columns, self.all = columns, rest
        self.settings = self.narrowed(settings)
        self.data = data.with_X(X)
        self.model = Model(np.ascontiguousarray(model.coef[:, columns]), model.intercept)

    def narrowed(self, settings):
        """Settings of all columns, for those that have entries."""
        if self.columns is None or settings.low is None:
            return settings
        low, high = settings.low[self.columns], settings.high[self.columns]
        return replace(settings, low=low, high=high)

    def widened(self, model):
        """A model of all columns, of one of those that have entries."""
        if self.columns is None:
            return model
        coef = self.all.copy()
        coef[:, self.columns] = model.coef
        return Model(coef, model.intercept)
