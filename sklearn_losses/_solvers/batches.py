"""Mini-batches of any optimizer that steps, on one output or many."""

import math

import numpy as np

from sklearn_losses._array import array_namespace, in_namespace
from sklearn_losses._solvers.engines import engine_class
from sklearn_losses._solvers.fit import Epoch, Model
from sklearn_losses._solvers.rates import LipschitzRate, Rates, size_of_batches
from sklearn_losses._states import SEED, anything, dict_of, number


def relative_weights(data):
    """Factor that makes the mean weight of the training samples 1, so that 2 is two copies."""
    if data.sample_weight is None:
        return 1.0
    weight, rows = data.sample_weight, data.training_rows()
    if rows is not None:
        weight = weight[in_namespace(rows, array_namespace(weight))]
    total = float(weight.sum())
    return len(weight) / total if total > 0 else 1.0


def problem_of(data, settings, *, batch_size, relative=True):
    """The keyword arguments that `Problem` and `Engine` share."""
    return {
        "target": data.target,
        "negative": data.negative,
        "rows": data.training_rows(),
        "sample_weight": data.sample_weight,
        "weight_factor": relative_weights(data) if relative else 1.0,
        "weight_positive": data.weight_positive,
        "weight_negative": data.weight_negative,
        "offset": data.offset,
        "fit_intercept": settings.fit_intercept,
        "batch_size": batch_size,
        "n_threads": settings.n_threads,
    }


def share_of_rows(data):
    """For each feature, the share of the training rows that have an entry of it."""
    X = data.X
    xp = array_namespace(X)
    counts = xp.zeros(X.shape[1])
    kept = None if data.held_out is None else xp.asarray(~data.held_out)
    entries = 1 << (16 if xp is np else 24)  # at a time: a mask of all takes memory
    rows = max(1, entries * X.shape[0] // max(X.nnz, 1))
    for start in range(0, X.shape[0], rows):
        stop = min(start + rows, X.shape[0])
        first, last = int(X.indptr[start]), int(X.indptr[stop])
        indices = X.indices[first:last]
        if kept is not None:
            places = xp.arange(first, last, dtype=X.indptr.dtype)
            row = xp.searchsorted(X.indptr[start:stop], places, side="right") - 1
            indices = indices[kept[start:stop][row]]
        counts += xp.bincount(indices, minlength=len(counts))
    return counts / max(data.n_training(), 1)


class Batches:
    """A descent by steps on batches.

    Parameters
    ----------
    data : Data
    settings : Settings
    loss : Loss
        That the estimator was given.
    model : Model
        Where to start.
    seed : int
        Of the order of the samples.
    relative : bool
        Whether sample weights count relative to their mean.
    """

    def __init__(self, data, settings, loss, model, *, seed, relative=True):
        optimizer = settings.optimizer
        kernel, params = optimizer._kernel_params()
        if optimizer.name == "sgd" and settings.l1:
            kernel = "CumulativeSGD"
        self.settings = settings
        self.seed = seed
        self.n_rows = data.n_training()
        self.rates = Rates(settings, loss)
        self.memory = optimizer.memory
        self.own_criterion = self.memory is not None
        self.snapshots = getattr(optimizer, "every", None)
        self.lipschitz = None
        sparse = hasattr(data.X, "indptr")
        if self.memory and settings.learning_rate == "optimal" and loss.differentiable:
            self.lipschitz = LipschitzRate(data, settings)
            self.lipschitz.see_constant()
        growing = hasattr(settings.batch_size, "size")
        largest = self.n_rows if growing else size_of_batches(settings.batch_size, 0, self.n_rows)
        self.engine = engine_class(data.X)(
            data.X,
            data.y,
            data.losses,
            data.n_outputs,
            coef=model.coef,
            intercept=model.intercept,
            optimizer=kernel,
            params=params,
            memory=self.memory,
            l1=settings.l1,
            l2=settings.l2,
            low=settings.low,
            high=settings.high,
            clip_norm=settings.clip_norm,
            average=settings.average,
            share=share_of_rows(data) if sparse and self.memory else None,
            **problem_of(data, settings, batch_size=largest, relative=relative),
        )
        self.t = 1.0

    @property
    def rate(self):
        return self.rates.eta

    @rate.setter
    def rate(self, value):
        self.rates.eta = value

    def epoch(self, number, stop):
        size = size_of_batches(self.settings.batch_size, number, self.n_rows)
        steps = math.ceil(self.n_rows / size)
        due = number == 0 if self.memory == "saga" else self.memory and number % self.snapshots == 0
        if due and not self.engine.remember():
            return Epoch(math.nan, math.nan, math.nan, self.rate, 0, finite=False)
        if self.lipschitz is not None:
            rate = self.lipschitz.see(self.engine.coef(), self.engine.intercepts())
            rates = np.full(steps, rate)
        else:
            rates = self.rates.of_epoch(number, self.t, steps)
        seed = None
        if self.settings.shuffle:
            # Odd multipliers: different epochs and seeds have different streams.
            seed = (self.seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 1) % 2**64
        loss, norm, finite = self.engine.epoch(rates, size, seed, stop)
        self.t += steps
        ended = None
        objective = math.nan
        change, largest = self.engine.change() if self.own_criterion else (math.inf, 0.0)
        if finite and self.engine.save():
            objective = loss + self.settings.penalty_of(self.engine)
            tol = self.settings.tol
            if tol is not None and (change <= tol * largest or largest == change == 0.0):
                ended = "converged"
        else:
            finite = False
        return Epoch(loss, objective, norm, float(rates[-1]), steps, finite, ended)

    def save(self):
        return True  # `epoch` does

    def model(self):
        return Model(self.engine.coef(), self.engine.intercepts())

    def public_model(self):
        coef, intercept = self.engine.averages()
        return self.model() if coef is None else Model(coef, intercept)

    def get_state(self):
        state = {"engine": self.engine.get_state(), "t": self.t, "eta": self.rates.eta}
        state["seed"] = self.seed
        if self.lipschitz is not None:
            state["curvature"] = self.lipschitz.curvature
        return state

    def set_state(self, state):
        kinds = {"engine": anything, "t": number(1), "eta": number(0), "seed": SEED}
        if self.lipschitz is not None:
            kinds["curvature"] = number(0)
        state = dict_of(kinds)(state, "descent")
        self.engine.set_state(state["engine"])
        self.t, self.rates.eta, self.seed = state["t"], state["eta"], state["seed"]
        if self.lipschitz is not None:
            self.lipschitz.curvature = state["curvature"]
