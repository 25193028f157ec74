"""From a request to fits: what they start from, and what of the last call they go on with."""

import math
from dataclasses import dataclass, replace
from numbers import Number

import numpy as np
from sklearn.base import clone

from sklearn_losses._array import array_namespace, in_namespace, on_device, to_host
from sklearn_losses._parameters import _same
from sklearn_losses._solvers import ONE_SAMPLE
from sklearn_losses._solvers.coordinates import LossUnits
from sklearn_losses._solvers.fit import Fit, Model
from sklearn_losses._solvers.reference import Reference, constants_of, reference_of, with_unseen
from sklearn_losses._states import array_like, kept_of, list_of, model_like, number, units_of
from sklearn_losses.linear_model._request import Request

# What may differ between a fit and one that goes on from it; the seed is kept with the state.
MAY_CHANGE = {"max_iter", "n_jobs", "random_state", "verbose", "warm_start"}
# What decides which arrays a descent has.
DECIDES_STATE = ("descent", "optimizer", "average", "l1", "outputs", "features")


def assemble(estimator, request):
    """The fits of a request, ended or about to be run, and what their states come from."""
    reference = reference_for(estimator, request)
    model, averages = weights_at_start(estimator, request, reference)
    origin = origin_of(estimator, request)
    states = kept_states(estimator, request, origin)
    t = estimator.t_ if request.going_on else 1.0
    start = Start(request, reference, model, averages, t, states)
    return [start.fit(i, estimator._validation_of(request, i)) for i in range(start.n)], origin


@dataclass(frozen=True)
class Start:
    """Where fits start. What descents name in `options` is a method, of the number of the fit."""

    request: Request
    reference: Reference | None
    model: Model
    averages_so_far: Model | None
    step: float
    states: list | None

    @property
    def n(self):
        return len(self.request.datas)

    def fit(self, i, validation):
        request, kind = self.request, self.request.kind
        options = {name: getattr(self, name)(i) for name in kind.options}
        part = self.part(self.model, i)
        descent = kind(request.datas[i], request.settings, part, self.reference, **options)
        return Fit(
            descent,
            request.settings,
            request.loss,
            reference=self.reference,
            state=self.state(i),
            **validation,
        )

    def part(self, model, i):
        """The rows of a model that are those of a fit."""
        rows = slice(None) if self.n == 1 else slice(i, i + 1)
        return Model(model.coef[rows], model.intercept[rows])

    def state(self, i):
        """What the fit goes on with, where its data are, or None."""
        state = None if self.states is None else self.states[i]
        if not on_device(self.request.X):
            state = to_host(state)
        if state is not None and self.request.going_on:
            # The stream goes on; what the last call waited for does not.
            state = {key: state[key] for key in ("engine", "epochs")}
        return state

    def seed(self, i):
        return int(self.request.seeds[i])

    def t(self, i):
        return self.step

    def averages(self, i):
        return self.averages_so_far and self.part(self.averages_so_far, i)

    def stream(self, i):
        return self.request.stream

    def units(self, i):
        """Those that a stream has begun with."""
        if self.states is None:
            return None
        units = self.states[i]["engine"]
        units = units.get("units") if isinstance(units, dict) else None
        kinds = units_of(self.request.datas[i].n_outputs)
        return LossUnits(**kinds(units, "descent['units']"))


# ----------------------------------------------------------------------------------- what is known


def reference_for(estimator, request):
    """What the fits are measured by, and start from; None for scikit-learn's algorithm."""
    if request.kind is ONE_SAMPLE:
        return None
    data, settings = request.datas[0], request.settings
    kept = getattr(estimator, "_kept", None) if request.going_on else None
    if isinstance(kept, dict) and kept.get("constants") is not None:
        constants = kept["constants"]
        if np.shape(constants) == (data.n_outputs,):  # of a stream: its parts end by themselves
            checked = array_like(np.empty(data.n_outputs))(constants, "_kept['constants']")
            return Reference(checked, math.nan, math.nan, data.n_training(), False)
    if request.stream and settings.fit_intercept:
        return reference_of(data, settings, constants_of(with_unseen(data)))
    return reference_of(data, settings)


def origin_of(estimator, request):
    """What the states of descents come from."""
    settings, X = request.settings, request.X
    params = estimator.get_params(deep=False) | {"optimizer": settings.optimizer}

    def copied(value):  # objects may be changed in place
        return value if isinstance(value, str | Number | None) else clone(value, safe=False)

    return {k: copied(v) for k, v in params.items() if k not in MAY_CHANGE} | {
        "average": settings.average,
        "descent": request.kind.__name__,
        "l1": settings.l1 > 0,
        "outputs": (len(request.datas), request.datas[0].n_outputs),
        "features": X.shape[1],
        "samples": X.shape[0],
        "sparse": hasattr(X, "indptr"),
    }


def kept_states(estimator, request, origin):
    """The states to go on from: None, or one for each fit."""
    going_on = request.going_on
    fitted = hasattr(estimator, "coef_") and not getattr(estimator, "_waiting", False)
    resume = estimator.warm_start == "resume" and not going_on and fitted
    # scikit-learn's algorithm goes on from the coefficients in `partial_fit`.
    if not resume and not (going_on and request.kind is not ONE_SAMPLE):
        return None
    kept = getattr(estimator, "_kept", None)
    if kept is None and not resume:
        return None
    if kept is None:
        raise ValueError(
            "warm_start='resume' has nothing to go on from: the state was dropped by sparsify()"
        )
    kept = kept_of(kept, len(request.datas))
    before = kept["of"]
    for name in DECIDES_STATE if going_on else origin:
        if name not in before or not _same(before[name], origin[name]):
            if going_on:
                return None  # another optimizer goes on from the coefficients alone
            raise ValueError(
                "warm_start='resume' goes on with the same data and parameters; the last fit "
                f"had {name}={before.get(name)!r}, this one has {origin[name]!r}"
            )
    return kept["fits"]


# ------------------------------------------------------------------------------------- the weights


def weights_at_start(estimator, request, reference):
    """The model that the fits start from, and the averages so far."""
    if request.going_on or (estimator.warm_start == "resume" and hasattr(estimator, "coef_")):
        estimator.t_ = number(1)(getattr(estimator, "t_", None), "t_")
    averaging = getattr(estimator, "_averaging", None) if request.going_on else None
    if averaging is not None and estimator.average:
        return averaged_so_far(averaging, request)
    start = (estimator.coef_, estimator.intercept_) if request.going_on else request.start
    model = given_model(estimator, request, start)
    if reference is not None and start[1] is None and request.settings.fit_intercept:
        constants = reference.constants
        if start[0] is not None:
            constants = constants_beside(request.datas[0], model.coef)
        constants = np.asarray(constants, dtype=np.float64).copy()
        model.intercept = in_namespace(constants, array_namespace(request.X))
    if not estimator.average:
        return model, None
    # Averaging switched on later: what there is counts for all the steps that it took.
    late = request.going_on and estimator.t_ > estimator.average
    zeros_like = array_namespace(request.X).zeros_like
    return model, Model(*(p.copy() if late else zeros_like(p) for p in vars(model).values()))


def averaged_so_far(averaging, request):
    """Where the last call stood, and its averages, checked."""
    X, n_rows, xp = request.X, request.n_rows, array_namespace(request.X)
    shapes = Model(xp.empty((n_rows, X.shape[1]), X.dtype), xp.empty(n_rows))
    parts = list_of([model_like(shapes)] * 2)(averaging, "_averaging")
    return tuple(
        Model(in_namespace(part.coef, xp), in_namespace(part.intercept, xp)) for part in parts
    )


def given_model(estimator, request, start):
    """The model of what a user, or the last call, gave to start from; zeros where nothing is."""
    X, n_rows = request.X, request.n_rows
    xp = array_namespace(X)
    coef = weights_from(start[0], (n_rows, X.shape[1]), "coef_init", xp)
    intercept = weights_from(start[1], (n_rows,), "intercept_init", xp)
    return Model(*estimator._inner_weights(coef.astype(X.dtype), intercept))


def weights_from(given, shape, name, xp):
    """A checked copy of the weights that a user may give to start from; zeros if None."""
    if given is None:
        return xp.zeros(shape)
    given = given.toarray() if hasattr(given, "toarray") else given
    given = xp.array(in_namespace(given, xp), dtype=np.float64)
    if shape[0] == 1 and given.size == np.prod(shape):
        given = given.reshape(shape)
    if given.shape != shape:
        raise ValueError(
            f"Provided {name} does not match dataset: expected shape {shape}, got {given.shape}."
        )
    return given


def constants_beside(data, coef):
    """The best constants beside the raw predictions of weights."""
    xp = array_namespace(data.X)
    raw = np.asarray(to_host(data.X @ coef.astype(np.float64).T))
    offset = in_namespace(raw, xp)
    if data.offset is not None:
        offset = offset + data.offset.reshape(len(raw), -1)
    return constants_of(replace(data, offset=xp.ascontiguousarray(offset)))
