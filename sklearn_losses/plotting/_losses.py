"""Pictures of losses."""

import numpy as np

from sklearn_losses._interval import POSITIVE
from sklearn_losses._parameters import check_integer, check_number
from sklearn_losses.links import IdentityLink
from sklearn_losses.losses import get_loss
from sklearn_losses.plotting._axes import finish, legend, line_look, make_axes

PANELS = ("loss", "gradient", "influence")


def _target(loss):
    """A target inside the domain: 1 wherever that is one."""
    interval = loss.interval_y_true
    for y in (1.0, 0.0, 0.5 * (interval.low + interval.high)):
        if interval.includes([y]):
            return y
    raise ValueError(f"{loss!r}: y_true must be given, as the domain is {interval}")


def _along(loss, x, y_true):
    """Value and gradient of the loss where the residual or the margin is x."""
    n = len(x)
    if loss.is_multiclass:
        # The raw prediction of the true class, beside zeros.
        loss = loss._for_classes(2 if loss.n_classes is None else loss.n_classes)
        raw = np.zeros((n, loss.n_classes))
        raw[:, 0] = x
        y = np.zeros(n)
        value, gradient = loss.loss_gradient(y, raw, n_threads=1)
        return value + loss.constant_to_optimal_zero(y), gradient[:, 0]
    y_true = _target(loss) if y_true is None else float(y_true)
    y = np.full(n, y_true)
    loss._check_y(y)
    if loss.task == "binary":
        if y_true not in (0.0, 1.0):
            raise ValueError(f"y_true must be 0 or 1 for a margin; got {y_true}")
        sign = 2 * y_true - 1
        value, gradient = loss.loss_gradient(y, sign * x, n_threads=1)
        return value + loss.constant_to_optimal_zero(y), sign * gradient
    value, gradient = loss.loss_gradient(y, np.asarray(loss.link.link(y)) + x, n_threads=1)
    return value + loss.constant_to_optimal_zero(y), gradient


def _label(loss):
    """The loss's name, and the parameters that are not as by default."""
    name = loss.name or getattr(getattr(loss, "_value", None), "__name__", type(loss).__name__)
    defaults = type(loss)().get_params() if loss.name else loss.get_params()
    own = {
        key: value
        for key, value in loss.get_params().items()
        if isinstance(value, int | float) and value != defaults.get(key)
    }
    return name + (f" ({', '.join(f'{k}={v:g}' for k, v in own.items())})" if own else "")


def _limits(curves):
    """Losses that explode would press the others flat: the picture ends at three times the median
    of the curves' largest values."""
    finite = [np.abs(curve).max() for curve in curves if np.isfinite(curve).all()]
    if not finite or max(finite) == 0:
        return None, None
    end = min(max(finite), 3 * np.median(finite)) or max(finite)
    low = max(min(0.0, *(curve.min() for curve in curves)), -end)
    high = min(max(0.0, *(curve.max() for curve in curves)), end)
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


class LossDisplay:
    """Losses, their gradients and the influence of a sample, side by side.

    Regression losses are drawn against the residual ``raw_prediction - link(y_true)``, losses for
    classes against the margin of the true class. Use `from_losses` to make one.

    Parameters
    ----------
    x : ndarray of shape (n_points,)
        Residuals or margins.
    losses : list of ndarray of shape (n_points,)
        Of each loss its values, counted from that of the best prediction.
    gradients : list of ndarray of shape (n_points,)
        Derivatives with respect to x.
    influences : list of ndarray of shape (n_points,)
        Length of the gradient beside that of ordinary samples; see `from_losses`.
    labels : list of str
    x_label : str, default="residual or margin"

    Attributes
    ----------
    figure_ : Figure
    axes_ : ndarray of Axes, one a panel
    lines_ : list of list of Line2D
        Of each panel its lines.

    Examples
    --------
    >>> from sklearn_losses import HuberLoss, LossDisplay
    >>> display = LossDisplay.from_losses(["squared_error", HuberLoss(delta=1.35), "tukey"])
    >>> [ax.get_title() for ax in display.axes_]
    ['Loss', 'Gradient', 'Influence']
    """

    def __init__(self, x, losses, gradients, influences, labels, x_label="residual or margin"):
        self.x = x
        self.losses = losses
        self.gradients = gradients
        self.influences = influences
        self.labels = labels
        self.x_label = x_label

    @classmethod
    def from_losses(
        cls, losses, *, limits=(-4.0, 4.0), n_points=801, scale=1.0, y_true=None, **plot_params
    ):
        """Compute and draw.

        Parameters
        ----------
        losses : str, Loss, list of them, or dict
            Losses or names of `LOSSES`; a dict's keys are the labels. All of them for regression,
            or all of them for classes.
        limits : tuple (low, high), default=(-4.0, 4.0)
            Of the residuals or margins.
        n_points : int, default=801
            At least 2.
        scale : float, default=1.0
            Standard deviation of ordinary residuals or margins, in (0, inf). Influence is the
            absolute gradient divided by its mean over a normal distribution of that width: 3 means
            that the sample pulls as hard as three ordinary ones.
        y_true : float or None, default=None
            The target, which matters to losses that are no functions of the residual or the margin
            alone. None: 1, or what the domain allows. Row-wise losses do not use it: their sample
            is of the first class, the raw predictions of the others are 0, and classes are equally
            frequent unless the loss says otherwise.
        **plot_params
            Passed to `plot`.

        Returns
        -------
        display : LossDisplay

        Raises
        ------
        ValueError
            For an unknown name, a target outside the domain, both kinds of losses at once, or a
            loss that has no value for each sample (`RootMeanSquaredError`).
        """
        named = isinstance(losses, dict)
        given = list(losses.values()) if named else losses
        given = list(given) if isinstance(given, list | tuple) else [given]
        if not given:
            raise ValueError("losses must hold at least one loss; got none")
        made = [get_loss(loss) for loss in given]
        labels = list(losses) if named else [_label(loss) for loss in made]
        margins = {loss.task != "regression" for loss in made}
        if len(margins) > 1:
            raise ValueError(
                "losses must all be for regression (against the residual) or all for classes "
                f"(against the margin); got {', '.join(f'{m.name} ({m.task})' for m in made)}"
            )
        low, high = (float(limit) for limit in limits)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"limits must be two finite numbers, low < high; got {limits}")
        x = np.linspace(low, high, check_integer(cls.__name__, "n_points", n_points, low=2))
        scale = check_number(cls.__name__, "scale", scale, POSITIVE)
        curves = [_along(loss, x, y_true) for loss in made]
        # The normal distribution by its density on a grid, out to six standard deviations.
        ordinary = np.linspace(-6, 6, 2001)
        density = np.exp(-0.5 * ordinary**2)
        density /= density.sum()
        influences = []
        for loss, (_, gradient) in zip(made, curves, strict=True):
            mean = density @ np.abs(_along(loss, scale * ordinary, y_true)[1])
            influences.append(np.abs(gradient) / (mean if mean > 0 else np.nan))
        if margins == {True}:
            x_label = "margin of the true class"
        elif all(loss.link == IdentityLink() for loss in made):
            x_label = "raw_prediction − y_true\n(units of y)"
        else:
            x_label = "raw_prediction − link(y_true)"
        values, gradients = (list(part) for part in zip(*curves, strict=True))
        display = cls(x, values, gradients, influences, labels, x_label)
        return display.plot(**plot_params)

    def plot(self, ax=None, *, panels=PANELS, line_kw=None):
        """Draw.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            One for each panel; None makes a figure.
        panels : str or list of {"loss", "gradient", "influence"}, default=all three
        line_kw : dict or None, default=None
            Passed to ``Axes.plot``.

        Returns
        -------
        self : LossDisplay
        """
        panels = [panels] if isinstance(panels, str) else list(panels)
        if not panels or not set(panels) <= set(PANELS):
            raise ValueError(f"panels must be among {PANELS}; got {panels}")
        self.figure_, self.axes_ = make_axes(ax, len(panels))
        drawn = {
            "loss": (self.losses, "loss of a sample"),
            "gradient": (self.gradients, "slope of the loss"),
            "influence": (self.influences, "pull (ordinary sample = 1)"),
        }
        self.lines_ = []
        for axes, panel in zip(self.axes_, panels, strict=True):
            curves, y_label = drawn[panel]
            self.lines_.append(
                [
                    axes.plot(self.x, curve, label=label, **line_look(k, line_kw))[0]
                    for k, (curve, label) in enumerate(zip(curves, self.labels, strict=True))
                ]
            )
            axes.set_ylim(*_limits(curves))
            finish(axes, self.x_label, y_label, panel.capitalize())
        legend(self.figure_, self.axes_, ax is None)
        return self
