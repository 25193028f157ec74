"""Running fits, and what an estimator takes over of them."""

from dataclasses import replace

import numpy as np
from joblib import effective_n_jobs

from sklearn_losses._array import array_namespace
from sklearn_losses._kernels._threads import effective_n_threads
from sklearn_losses._solvers import ONE_SAMPLE
from sklearn_losses._solvers.fit import Model
from sklearn_losses._solvers.run import Hooks, run_fits
from sklearn_losses.linear_model._assembly import assemble
from sklearn_losses.linear_model._convergence import diagnosis_of
from sklearn_losses.linear_model._stages import going_on_from, with_share
from sklearn_losses.optimizers import get_optimizer


def _root_of_squares(values):
    return np.sqrt(np.sum(np.square(values)))


# Attributes that are curves: the fits' series, and how those of several become one; None: that of
# the longest is taken.
CURVES = {
    "loss_curve_": ("loss", sum),
    "validation_curve_": ("validation", sum),
    "grad_norm_curve_": ("gradient_norm", _root_of_squares),
    "learning_rate_curve_": ("rate", None),
}


# Reasons to end that are somebody's wish: no stage follows.
WISHES = {"callback", "interrupted"}


def run(estimator, stages):
    """Make the epochs of the fits of a list of requests, each from where the one before ended, and
    take over the result; returns what is to be said of it."""
    request, loss = stages[0], stages[-1].loss
    xp = array_namespace(request.X)
    hooks, fits = None, []
    if not request.stream and getattr(estimator, "_skl_callbacks", None):

        def attributes():
            found = joined([fit.public_model() for fit in fits])
            return {"loss_": loss, **estimator._shown(found, xp)}

        hooks = Hooks(estimator, request.shown, attributes)
    n_jobs = effective_n_threads(effective_n_jobs(estimator.n_jobs))
    for left in range(len(stages), 0, -1):
        request, later = stages[-left], bool(fits)
        if later:
            enter_counts(estimator, request, fits, left + 1 < len(stages))
            found = joined([fit.public_model() for fit in fits])
            request = going_on_from(request, estimator._shown(found, xp), estimator.n_iter_)
        request = with_share(request, left)
        fits, origin = assemble(estimator, request)
        run_fits(fits, n_jobs, estimator.verbose, hooks)
        if any(fit.stop_reason in WISHES for fit in fits):
            break
    commit(estimator, replace(request, loss=loss), fits, origin, later)
    if hooks is not None:
        hooks.close()
    return None if request.stream else diagnosis_of(estimator, request, fits)


def commit(estimator, request, fits, origin, later=False):
    """Take over what the solver found: one Fit, or one for each output; `later`: of a stage that
    others came before."""
    interrupted = any(fit.interrupted for fit in fits)
    if interrupted and not later and not any(fit.n_iter for fit in fits):
        raise KeyboardInterrupt  # nothing to take over: the estimator stays as it was
    estimator._waiting = False
    estimator.loss_ = request.loss
    estimator.optimizer_ = request.settings.optimizer
    enter_counts(estimator, request, fits, later)
    estimator._averaging = None
    if estimator.average and request.kind is ONE_SAMPLE:
        estimator._averaging = (
            joined([fit.model() for fit in fits]),
            joined([fit.descent.averages() for fit in fits]),
        )
    enter_weights(estimator, request, joined([fit.public_model() for fit in fits]))
    estimator._note_fit(request)
    estimator._kept = {"of": origin, "fits": [fit.state() for fit in fits]}
    if fits[0].reference is not None:
        estimator._kept["constants"] = fits[0].reference.constants
    if interrupted:
        raise KeyboardInterrupt


def enter_counts(estimator, request, fits, later=False):
    """Epochs, steps and curves; `later`: beside those of the stages before."""
    if not later and not request.going_on and not any(fit.epochs_before for fit in fits):
        estimator.t_ = 1.0
        for name in CURVES:
            setattr(estimator, name, [])
    n_iter = max(fit.n_iter for fit in fits)
    longest = max(fits, key=lambda fit: fit.epochs_before + fit.n_iter)
    of_stages = estimator.n_iter_ if later else 0
    ended_at = n_iter if request.going_on else longest.epochs_before + longest.n_iter
    estimator.n_iter_ = of_stages + ended_at
    estimator.stop_reason_ = longest.stop_reason
    # scikit-learn's algorithm counts as scikit-learn does: rows held out take part.
    one_sample = request.kind is ONE_SAMPLE
    estimator.t_ += n_iter * request.X.shape[0] if one_sample else longest.steps
    unit = getattr(estimator, "_target_unit", 1.0)
    for name, (series, combine) in CURVES.items():
        new = longest.curves.rate if combine is None else by_epoch(fits, series, combine)
        if unit != 1.0 and series in ("loss", "validation"):
            new = [request.loss._in_units_of_y(value, unit) for value in new]
        setattr(estimator, name, getattr(estimator, name) + new)


def by_epoch(fits, series, combine):
    """A curve of several fits; one that has ended keeps its last value."""
    new = [getattr(fit.curves, series) for fit in fits]
    curves = [c or fit.last.get(series, []) for c, fit in zip(new, fits, strict=True)]
    return [
        float(combine([c[min(epoch, len(c) - 1)] for c in curves if c]))
        for epoch in range(max(map(len, new)))
    ]


def enter_weights(estimator, request, found):
    """The weights, which must be numbers in the dtype of X."""
    shown = estimator._shown(found, array_namespace(request.X))
    for name, part in shown.items():
        if not bool(array_namespace(part).isfinite(part).all()):
            raise ValueError(
                f"{name} is not finite, or overflows in the dtype of X, {request.X.dtype}; scaling "
                "input data with StandardScaler might help"
            )
    estimator.__dict__.update(shown)


def wait(estimator, X, n_outputs, loss):
    """What `partial_fit` makes of samples none of which counts: a model of zeros where there is
    none yet, of which the first sample that counts sees nothing."""
    if hasattr(estimator, "coef_"):
        return
    xp = array_namespace(X)
    zeros = Model(xp.zeros((n_outputs, X.shape[1]), dtype=X.dtype), xp.zeros(n_outputs))
    estimator.__dict__.update(estimator._shown(zeros, xp))
    estimator.loss_, estimator.t_, estimator.n_iter_ = loss, 1.0, 0
    estimator.optimizer_ = get_optimizer(estimator.optimizer)
    estimator.stop_reason_ = "max_iter"
    for name in CURVES:
        setattr(estimator, name, [])
    estimator._averaging = estimator._kept = None
    estimator._waiting = True


def joined(models):
    """One model of the outputs of several."""
    xp = array_namespace(models[0].coef)
    return Model(
        xp.concatenate([model.coef for model in models]),
        xp.concatenate([model.intercept for model in models]),
    )
