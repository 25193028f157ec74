"""The parts of the estimators' docstrings that they share."""

import textwrap

from sklearn_losses.optimizers import OPTIMIZERS
from sklearn_losses.schedules import SCHEDULES


def _quoted(names):
    """The names in quotes, on lines that continue a parameter's description."""
    names = ", ".join(f'"{name}"' for name in names)
    return textwrap.fill(names, 90, subsequent_indent=" " * 10)


LISTS = {
    "steps": _quoted(n for n, cls in OPTIMIZERS.items() if not (cls.full_batch or cls.memory)),
    "finite_sums": _quoted(n for n, cls in OPTIMIZERS.items() if cls.memory),
    "full_batch": _quoted(n for n, cls in OPTIMIZERS.items() if cls.full_batch),
    "schedules": _quoted(SCHEDULES),
}

SHARED = {
    "penalties": """\
    penalty : {"l2", "l1", "elasticnet", "mcp", "scad", "smooth"}, Penalty or None, default="l2"
        ``alpha * ||w||^2 / 2``, ``alpha * ||w||_1``, or a mixture of the two; a concave penalty;
        differences of neighbours; or an object, such as ``GroupLasso(groups)``, ``MCP(gamma)``,
        ``L1(weights)`` or ``GaussianPrior(mean, precision)``, whose strength is `alpha`.
    alpha : float, default=0.0001
        Strength of the penalty, in [0, inf). The learning rate "optimal" may depend on it too.
    l1_ratio : float or None, default=0.15
        Share of the L1 penalty in "elasticnet", in [0, 1].
    fit_intercept : bool, default=True
        Whether there is an intercept; it is never penalised.
    max_iter : int, default=1000
        The most epochs (passes over the data) that `fit` makes, in [1, inf).
    tol : float or None, default=1e-3
        How exact the fit has to be, in [0, inf), without a unit: see the user guide, "When a fit
        ends". For optimizers that step an epoch must lower the objective (with a validation set:
        the loss on it) by this share of what there is to gain, or it counts as one without change;
        "saga", "svrg" and those on all samples at once end where the objective is estimated to be
        within ``0.02 * tol**2``, relatively, of its minimum. In scikit-learn's algorithm, and for
        the score of early stopping, it is the change itself, as there. None: `fit` makes `max_iter`
        epochs.
    shuffle : bool, default=True
        Whether the samples are shuffled before each epoch.
    verbose : int, default=0
        Prints a few lines an epoch if positive.
    epsilon : float or "auto", default=0.1
        The delta of `loss="huber"` and the epsilon of the two epsilon-insensitive losses, where
        `loss` is a name; a loss object has its own. In [0, inf), for "huber" (0, inf); in the units
        of y. "auto", for regression, estimates it with the fit.""",
    "schedules": """\
        The length eta of step t. In scikit-learn's algorithm (`optimizer="sgd"`, `batch_size=1`)
        as there. All else steps in coordinates in which columns of X, and y, have the size 1, so
        that eta has no unit; and where `learning_rate`, `eta0` and `power_t` are all at their
        defaults, it takes "optimal".

        - "constant": ``eta0``
        - "optimal": what is recommended for the optimizer, as its docstring says; in scikit-learn's
          algorithm ``1 / (alpha * (t0 + t - 1))``, t0 by Bottou's heuristic
        - "invscaling": ``eta0 / t**power_t``
        - "adaptive": eta0, divided by 5 each time that `n_iter_no_change` epochs in a row brought
          no change, until it is below 1e-6
        - "pa1", "pa2": passive-aggressive steps [2]_, with eta0 for their C; only with
          `optimizer="sgd"`, `batch_size=1` and
          `loss="{passive_aggressive_loss}"`
        - {schedules},
          or an object: see `sklearn_losses.schedules`; they give the multiple of eta0, by epoch""",
    "stopping": """\
    n_iter_no_change : int, default=5
        Epochs in a row without change that end the fit, in [1, inf).""",
    "beyond": """\
    warm_start : bool or "resume", default=False
        True: `fit` starts from the last solution; t starts from 1. "resume": `fit` goes on where
        the last one ended, for `max_iter` more epochs, and the result has the bits of a fit that
        never stopped: step count, order of the samples, schedule, moments and averages are kept,
        also by pickle. Data and parameters (but `n_jobs` and `verbose`) must be the same; a fit
        that had converged stays as it is.
    average : bool or int, default=False
        Whether the coefficients are averages over all steps (True), or over the steps from that
        number on (int) [1]_.
    batch_size : int, "full" or BatchGrowth, default=1
        How many samples make a step, which follows the mean of their gradients; "full": all.
    optimizer : str or Optimizer, default="sgd"
        A name in `sklearn_losses.OPTIMIZERS`, or an optimizer, whose parameters can be searched
        over as ``optimizer__momentum``.

        - by steps: {steps}
        - by steps, for finite data: {finite_sums}
        - on all samples at once: {full_batch}
    clip_norm : float or None, default=None
        The most that the norm of a step's gradient (of the loss, by `coef_` and `intercept_`, in
        X's own units) may be; longer ones are shortened. In (0, inf). Not for optimizers of finite
        data.
    positive : bool, default=False
        Whether coefficients are kept from being negative, by projection.
    bounds : tuple (low, high), dict or None, default=None
        Bounds of the coefficients: numbers, arrays of shape (n_features,), or None for none. A dict
        has a pair (low, high) of numbers or None for some features, by name or number: with
        ``{"age": (0, None)}`` predictions never fall with "age" (scikit-learn's
        ``monotonic_cst={"age": 1}``). Intercepts have none.""",
    "attributes": """\
    optimizer_ : Optimizer
        That of the last fit: what "auto" stood for.
    loss_curve_ : list of float
        The objective of each epoch: the mean over its samples, each before its step, and the
        penalty. `partial_fit` appends to this list and the other curves. Of a `LossSchedule` the
        curves hold all stages, each with its own loss; `n_iter_` and `t_` count them all.
    validation_curve_ : list of float
        The mean loss on the validation samples (of early stopping, or `X_val`) after each epoch.
    grad_norm_curve_ : list of float
        Root of the mean over the epoch's steps of the squared norm of their gradient (of the loss,
        by coefficients and intercept); that of the remembered mean gradient for "saga" and "svrg".
    learning_rate_curve_ : list of float
        The learning rate of each epoch's last step.
    stop_reason_ : str
        Why the last fit ended: "converged" (by `tol`), "validation" (the same, on the validation
        samples), "no_progress" (it stood still above the objective of the best constant),
        "max_iter", "line_search" (no step lowers the objective any more, short of `tol`),
        "callback" or "interrupted". A fit that is not to be trusted raises a ConvergenceWarning,
        which names cause and remedy.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has string names.""",
    "norm_departure": """\
    - The weights' norm, which enters the objective, is exact on sparse data; there scikit-learn
      sums over the last sample's features only. Fits may stop after another number of epochs.""",
    "notes": """\
    As in scikit-learn, the objective does not weigh the samples, the intercept moves by a hundredth
    of the step on sparse data, averages of L1-penalised weights leave the truncation of single
    steps out, and with early stopping `t_` counts the samples held out.

    On scikit-learn 1.9 and later ``set_callbacks(...)`` takes its callbacks; each epoch is a task.

    With the default `optimizer` and `batch_size`, and none of the parameters that scikit-learn does
    not have, this is scikit-learn's algorithm. Otherwise sample weights count relative to their
    mean over the training samples, so that weight 2 is as good as two copies (in `partial_fit`, as
    they are given), the intercept is one more coordinate of the optimizer and starts at the loss's
    best constant, and steps are taken in scaled and centred columns, which changes the way to the
    minimum and not the minimum: see the user guide, "Scales and units".

    Float32 and float64 arrays in C order, memory maps among them, and CSR matrices with int32 or
    int64 indices are not copied; Fortran-ordered arrays, other formats and other dtypes are
    converted, which takes a copy. Early stopping copies the rows that it holds out.

    Arrays of a CUDA device are CuPy's, dense or CSR, or whatever else shares its memory there, such
    as a tensor of PyTorch. All that comes by sample (X, y, sample_weight, offset and their ``_val``
    kind) must be on one device; only labels that are text stay on the host. The fit then runs
    there, `coef_` and `intercept_` are CuPy arrays on that device, and predictions are where their
    X is, whichever side the model was fitted on: what is small moves, by `to_numpy` for good, and
    pickles are always the host's. For the same `random_state` the samples come in the order of a
    fit on the host with the same `batch_size`; the coefficients agree to rounding after "gd" and
    "lbfgs" and, as rounding grows with steps, to several digits otherwise. Small batches are slow
    on a device: set `batch_size` to 1024 or more. One sample a step is then the step of a batch
    too, not scikit-learn's algorithm. Pipelines, cross-validation and searches work, but
    scikit-learn stratifies the folds of a classifier on the host alone: give them, as
    ``cv=KFold(5)`` or as a list.

    Weights and X are in X's type, float32 or float64; raw predictions, losses, gradients and
    intercepts are computed in float64. Ctrl-C ends a fit within a second with KeyboardInterrupt;
    the estimator is then fitted, as far as the last whole epoch.""",
    "references": """\
    References
    ----------
    .. [1] Bottou, L. (2012). Stochastic gradient descent tricks. Neural Networks: Tricks of the
       Trade, 421-436.
    .. [2] Crammer, K., Dekel, O., Keshet, J., Shalev-Shwartz, S. and Singer, Y. (2006). Online
       passive-aggressive algorithms. JMLR 7, 551-585.
    .. [3] Tsuruoka, Y., Tsujii, J. and Ananiadou, S. (2009). Stochastic gradient descent training
       for L1-regularized log-linear models with cumulative penalty. ACL, 477-485.""",
    "fit_arrays": """\
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Not negative. On the device of X, as all that comes by sample.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs) or None, default=None
            Added to the raw predictions: the logarithm of the exposure, with a log link.
        X_val : {array-like, sparse matrix} of shape (n_val_samples, n_features) or None
            A validation set: the fit stops on the mean loss on it, and the model with the least is
            kept.
        y_val : array-like of shape (n_val_samples,) or (n_val_samples, n_outputs) or None
            The validation set's y; needed with `X_val`.
        sample_weight_val : array-like of shape (n_val_samples,) or None, default=None
            Weights of the validation set.
        offset_val : array-like of the shape of `offset`, by validation sample, or None
            Offsets of the validation set.""",
}


def documented(shared=SHARED, **values):
    """A decorator that fills the ``<name>`` lines of a docstring, and ``{value}`` in them."""

    def fill(thing):
        text = thing.__doc__
        if text is None:  # python -OO
            return thing
        for name, part in shared.items():
            for key, value in {**LISTS, **values}.items():
                part = part.replace("{" + key + "}", value)
            text = text.replace(f"    <{name}>", part) if f"    <{name}>" in text else text
        thing.__doc__ = text
        return thing

    return fill
