"""Parameters of a loss that are "auto": their scale is estimated with the fit.

`fit` first finds residuals and their scale that belong together: L-BFGS at a fixed scale, the scale
of its residuals, and so on from there. The fit itself then has a loss of numbers, and is the fit
that the user's optimizer, seed and stopping rule make with that loss.

`partial_fit` sees no residuals of a finished fit. Its first chunk's scale is that about the best
constant; each later chunk's is that of its residuals before it is learned from, and counts by a
rate that forgets the residuals of a model that had learned little yet.
"""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_losses._array import array_namespace, in_namespace, to_host
from sklearn_losses._solvers import ONE_SAMPLE
from sklearn_losses._solvers.fit import Fit, Model
from sklearn_losses._solvers.full_batch import LimitedMemoryBFGS
from sklearn_losses._solvers.reference import reference_of
from sklearn_losses.losses._scales import (
    AUTO,
    JOINT,
    TARGETS,
    scale_about_constant,
    spread,
    weighted_median,
)
from sklearn_losses.losses.regression import HuberLoss
from sklearn_losses.optimizers import get_optimizer

# Fits at a fixed scale, at most, and the relative change of the scale that ends them.
MOST_ROUNDS = 60
# Of L-BFGS in the first round, in which the scale is far off, and at most in those that go on from
# it, each with twice as many.
FIRST_ITERATIONS, MOST_ITERATIONS, INNER_TOL = 25, 800, 1e-7
SETTLED = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 1e-5}
# No scale is smaller, beside the spread of the targets: a perfect fit leaves rounding alone.
LEAST = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-5}
# A chunk's scale counts by (what was seen by now / what it holds) to this power: between 1/2 and 1
# a running estimate forgets its beginning and still settles.
FORGETTING = -2 / 3


def with_numbers(estimator, request):
    """A request whose loss has numbers where "auto" stood, and where its fit starts.

    Parameters
    ----------
    estimator : BaseSGD
        What the next chunk needs is kept in its `_auto_scale`.
    request : Request
        Of one fit, where the loss has an "auto".

    Returns
    -------
    request : Request
        Its start is that of the preliminary fit, unless the user gave one, or the fit is
        scikit-learn's.
    """
    loss, start, data = request.loss, request.start, request.datas[0]
    if loss.is_multiclass or not loss._auto():  # of no joint loss
        return request
    members = loss._members()
    members = members * data.n_outputs if len(members) == 1 else members
    resumed = (
        estimator.warm_start == "resume" and not request.stream and hasattr(estimator, "coef_")
    )
    if resumed and type(estimator.loss_) is type(loss):
        return _with_loss(request, estimator.loss_, start)
    seen = _total_weight(data)
    if request.stream:
        scales, seen = _of_stream(estimator, members, data, seen, request.going_on)
    else:
        scales, model = _of_fit(members, data, request.settings, start)
        free = all(part is None for part in start)
        if model is not None and free and request.kind is not ONE_SAMPLE:
            start = model.coef, model.intercept
    estimator._auto_scale = {"scales": scales, "seen": seen}
    return _with_loss(request, loss._with_scale(scales, seen, data.X.shape[1]), start)


def _with_loss(request, loss, start):
    """The same request with another loss and start."""

    def told(datas):
        return datas and tuple(replace(data, losses=loss._members()) for data in datas)

    return replace(
        request,
        loss=loss,
        start=start,
        datas=told(request.datas),
        validations=told(request.validations),
    )


def _total_weight(data):
    weight = to_host(data.training_weights())
    return float(data.n_training()) if weight is None else float(weight.sum())


def _training(data, array):
    """An array's training rows, on the host."""
    array = to_host(array)
    if array is None or data.held_out is None:
        return array
    return array[~data.held_out]


def _column(array, output):
    """That of an output, of an array by sample that outputs may share."""
    if array is None or array.ndim == 1:
        return array
    return array_namespace(array).ascontiguousarray(array[:, output])


# -------------------------------------------------------------------------------------------- a fit


def _of_fit(members, data, settings, start):
    """The scale of each output, and the model that they belong to, or None where an output's needs
    none."""
    scales, models, made = [], [], {}
    weight = _training(data, data.sample_weight)
    for output, member in enumerate(members):
        if not member._auto():
            scales.append(1.0)
            continue
        if member._scale.kind == TARGETS:
            scales.append(_of_targets(member, _training(data, _column(data.y, output)), weight))
            continue
        joint = member._scale.kind == JOINT
        first = output if data.y.ndim == 2 or np.ndim(data.offset) == 2 else 0
        key = (first, repr(member) if joint else member._scale.degree)
        if key not in made:
            made[key] = _preliminary(member, data, output, settings, start)
        residuals, floor, model = made[key]
        scales.append(max(member._scale_of(residuals, weight), floor))
        models.append(model)
    if len(models) < len(members):
        return scales, None
    coef = np.concatenate([model.coef for model in models])
    return scales, Model(coef, np.concatenate([model.intercept for model in models]))


def _of_targets(loss, y, weight):
    return loss._scale_of(y, weight) or 1.0


def _preliminary(loss, data, output, settings, start):
    """Residuals, the least scale, and the model of the joint fit of one output: that of the loss
    where there is one, else of Huber's.

    It is made in units in which the targets have the spread 1, and the penalty is that of the loss.
    """
    joint = loss if loss._scale.kind == JOINT else HuberLoss(AUTO)
    y, offset = _column(data.y, output), _column(data.offset, output)
    weight = _training(data, data.sample_weight)
    shown = _training(data, y if offset is None else y - offset)
    middle = weighted_median(shown, weight)
    unit = spread(shown - middle, weight) or float(np.abs(shown).max()) or 1.0
    dtype = data.X.dtype
    work = replace(
        data,
        y=y / unit,
        offset=None if offset is None else offset / unit,
        n_outputs=1,
        target="shared",
    )
    settings = _settings_at(settings, unit, loss._scale.degree)
    model = _start_at(start, output, data, unit, settings, shown, middle)
    residuals = _residuals(work, model)
    at = np.log(max(joint._scale_of(residuals, weight), LEAST[dtype]))
    before = None
    for _ in range(MOST_ROUNDS):
        work = replace(work, losses=[joint._with_scale(np.exp(at))])
        reference = reference_of(work, settings)
        descent = LimitedMemoryBFGS(work, settings, model, reference)
        fit = Fit(descent, settings, joint, reference=reference).run()
        if fit.interrupted:
            raise KeyboardInterrupt
        model = fit.model()
        residuals = _residuals(work, model)
        reached = np.log(max(joint._scale_of(residuals, weight), LEAST[dtype]))
        limit = settings.max_iter
        ended = fit.stop_reason != "max_iter" or limit == MOST_ITERATIONS
        if ended and abs(reached - at) <= SETTLED[dtype]:
            break
        settings = replace(settings, max_iter=min(2 * limit, MOST_ITERATIONS))
        before, at = (at, reached), _ahead(before, at, reached)
    else:
        warnings.warn(
            f"{loss!r}: after {MOST_ROUNDS} rounds the scale of the residuals still changes by a "
            f"factor of {1 + abs(reached - before[0]):.6g}. Standardise the columns of X, or give "
            "a number",
            ConvergenceWarning,
            stacklevel=7,
        )
    model = Model(model.coef.astype(np.float64) * unit, np.asarray(model.intercept) * unit)
    return residuals * unit, LEAST[dtype] * unit, model


def _ahead(before, at, reached):
    """The scale's logarithm to try after `at`, whose fit has the residual scale `reached`: where
    the line through this pair and the one before would give back what it is given."""
    if before is None or at == before[0]:
        return reached
    slope = np.clip((reached - before[1]) / (at - before[0]), -1.0, 0.9)
    return at + (reached - at) / (1.0 - slope)


def _settings_at(settings, unit, degree):
    """Settings of L-BFGS for targets divided by `unit`, of a loss of that degree in them."""
    if settings.own is not None:
        raise ValueError(
            f"a scale of 'auto' is found with penalty 'l2', 'l1', 'elasticnet' or None; with "
            f"{settings.own.penalty!r} give the loss a number"
        )
    l1, l2 = settings.l1 * unit ** (1 - degree), settings.l2 * unit ** (2 - degree)
    return replace(
        settings.with_penalties(l1, l2),
        optimizer=get_optimizer("lbfgs"),
        max_iter=FIRST_ITERATIONS,
        tol=INNER_TOL,
        verbose=0,
        average=0,
        clip_norm=None,
        low=None if settings.low is None else settings.low / unit,
        high=None if settings.high is None else settings.high / unit,
    )


def _start_at(start, output, data, unit, settings, shown, middle):
    """Where the first of the preliminary fits starts: as the user said, or at a constant."""
    d, n_outputs = data.X.shape[1], data.n_outputs
    coef = np.zeros((1, d))
    intercept = np.array([middle / unit if settings.fit_intercept else 0.0])
    if start[0] is not None:
        given = start[0].toarray() if hasattr(start[0], "toarray") else to_host(start[0])
        given = np.asarray(given, dtype=np.float64)
        if given.size == n_outputs * d:  # else the fit says what is wrong
            coef = given.reshape(n_outputs, d)[[output]] / unit
            if start[1] is None:
                intercept = np.zeros(1)
    if start[1] is not None and np.size(to_host(start[1])) == n_outputs:
        intercept = np.ravel(np.asarray(to_host(start[1]), dtype=np.float64))[[output]] / unit
    return Model(coef.astype(data.X.dtype), intercept)


def _residuals(data, model):
    """Of the training rows, on the host, in float64; of all outputs where there are several."""
    X, xp = data.X, array_namespace(data.X)
    raw = X @ in_namespace(model.coef.T.astype(X.dtype), xp)
    raw = np.asarray(to_host(raw), dtype=np.float64) + to_host(model.intercept)
    y, offset = to_host(data.y), to_host(data.offset)
    if offset is not None:
        raw = raw + offset.reshape(len(offset), -1)
    residuals = y.reshape(len(y), -1) - raw
    return _training(data, residuals[:, 0] if residuals.shape[1] == 1 else residuals)


# ----------------------------------------------------------------------------------------- a stream


def _of_stream(estimator, members, data, weight_here, going_on):
    """The scale of each output after a chunk, and the weight that was seen by now."""
    kept = getattr(estimator, "_auto_scale", None) if going_on else None
    if kept is not None and len(kept["scales"]) != len(members):
        kept = None
    seen = weight_here + (0.0 if kept is None else kept["seen"])
    rate = min(1.0, (seen / weight_here) ** FORGETTING)
    weight = to_host(data.sample_weight)
    residuals = None
    if going_on:
        coef = estimator._dense_coef() if hasattr(estimator.coef_, "toarray") else estimator.coef_
        model = Model(np.atleast_2d(to_host(coef)), to_host(estimator.intercept_))
        residuals = _residuals(data, model).reshape(len(data.y), -1)
    scales = []
    for output, member in enumerate(members):
        if not member._auto():
            scales.append(1.0)
            continue
        y, offset = to_host(_column(data.y, output)), to_host(_column(data.offset, output))
        if member._scale.kind == TARGETS:
            here = _of_targets(member, y, weight)
        elif residuals is None:
            here = scale_about_constant(member, y if offset is None else y - offset, weight)[0]
        else:
            here = member._scale_of(residuals[:, output], weight)
        scales.append(_mixed(None if kept is None else kept["scales"][output], here, rate, y))
    return scales, seen


def _mixed(before, here, rate, y):
    """The running scale: geometric, within a factor of 100 of what it was, as a chunk may hold few
    samples. Residuals that are 0 say nothing of a scale that is to be positive."""
    if before is None:
        return here if here > 0 else float(np.abs(y).max()) or 1.0
    if not here > 0:
        return before
    return float(before * np.clip(here / before, 0.01, 100.0) ** rate)
