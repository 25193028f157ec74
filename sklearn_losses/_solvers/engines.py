"""Which kernels a fit runs on, those of the host or of the device that its data are on, and what
they are told of the data."""

from dataclasses import fields

from sklearn_losses._array import on_device
from sklearn_losses._solvers.joint import JointProblem


def problem_class(X):
    """`Problem` of the host or of a device.

    Parameters
    ----------
    X : array or CSR matrix
    """
    if on_device(X):
        from sklearn_losses._kernels.device import Problem
    else:
        from sklearn_losses._kernels.fit.engines import Problem
    return Problem


def engine_class(X):
    """`Engine` of steps on batches, of the host or of a device.

    Parameters
    ----------
    X : array or CSR matrix
    """
    if on_device(X):
        from sklearn_losses._kernels.device import Engine
    else:
        from sklearn_losses._kernels.fit.engines import Engine
    return Engine


def problem_of(data, settings, *, batch_size, rows=None, weight_factor=None):
    """What `Problem` and `Engine` are told of data: their keyword arguments, which follow X.

    Parameters
    ----------
    data : Data
    settings : Settings
    batch_size : int
        Samples of the largest batch.
    rows : ndarray of int32 or None
        Numbers of the samples that count; None: those that are learned from.
    weight_factor : float or None
        Of the sample weights; None: what makes the mean weight of the training rows 1.
    """
    told = {f.name: getattr(data, f.name) for f in fields(data) if f.name not in ("X", "held_out")}
    return told | {
        "rows": data.training_rows() if rows is None else rows,
        "weight_factor": data.weight_factor() if weight_factor is None else weight_factor,
        "fit_intercept": settings.fit_intercept,
        "batch_size": batch_size,
        "n_threads": settings.n_threads,
    }


def make_problem(data, settings, *, rows=None, weight_factor=None):
    """`Problem` of all rows at a time; arguments as of `problem_of`."""
    if data.losses[0].is_joint:
        return JointProblem(data if rows is None else data.rows(rows), settings.n_threads)
    n_rows = data.n_training() if rows is None else len(rows)
    given = problem_of(data, settings, batch_size=n_rows, rows=rows, weight_factor=weight_factor)
    return problem_class(data.X)(data.X, **given)
