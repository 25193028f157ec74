"""Pictures of what fits went through, and of what a parameter does to them."""

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import validation_curve

from sklearn_losses._array import to_host
from sklearn_losses.plotting._axes import (
    COLOURS,
    finish,
    fitted_model,
    legend,
    line_look,
    make_axes,
)


class TrainingDisplay:
    """What a fit went through, epoch by epoch: objective and validation loss, the gradient's norm,
    the learning rate.

    Use `from_estimator` to make one.

    Parameters
    ----------
    loss_curve, validation_curve, grad_norm_curve, learning_rate_curve : array-like of float
        As the estimators' attributes of these names; an empty one is left out.
    name : str or None, default=None
        What the legend calls the estimator.

    Attributes
    ----------
    figure_ : Figure
    axes_ : ndarray of shape (3,) of Axes
    lines_ : list of Line2D

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_losses import SGDRegressorX, TrainingDisplay
    >>> model = SGDRegressorX("huber", epsilon=50.0, random_state=0)
    >>> display = TrainingDisplay.from_estimator(model.fit(*load_diabetes(return_X_y=True)))
    >>> len(display.lines_)
    3
    """

    def __init__(
        self, loss_curve, validation_curve, grad_norm_curve, learning_rate_curve, name=None
    ):
        self.loss_curve = loss_curve
        self.validation_curve = validation_curve
        self.grad_norm_curve = grad_norm_curve
        self.learning_rate_curve = learning_rate_curve
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, name=None, **plot_params):
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted `SGDRegressorX` or `SGDClassifierX`, or a pipeline or search that ends in one.
        name : str or None, default=None
            What the legend calls it.
        **plot_params
            Passed to `plot`.

        Returns
        -------
        display : TrainingDisplay
        """
        model = fitted_model(estimator)
        curves = ("loss_curve_", "validation_curve_", "grad_norm_curve_", "learning_rate_curve_")
        missing = [curve for curve in curves if not hasattr(model, curve)]
        if missing:
            raise ValueError(
                f"estimator must end in an SGDRegressorX or SGDClassifierX; "
                f"{type(model).__name__} has no {missing[0]}"
            )
        return cls(*(getattr(model, curve) for curve in curves), name).plot(**plot_params)

    def plot(self, ax=None, *, line_kw=None):
        """Draw. Several fits on the same three axes are told apart by colour.

        Parameters
        ----------
        ax : array-like of 3 Axes or None, default=None
            None makes a figure.
        line_kw : dict or None, default=None
            Passed to ``Axes.plot``.

        Returns
        -------
        self : TrainingDisplay
        """
        self.figure_, self.axes_ = make_axes(ax, 3)
        prefix = f"{self.name}, " if self.name else ""
        # A fit has one colour; its validation is dashed.
        look = line_look(sum(line.get_linestyle() == "-" for line in self.axes_[0].lines), line_kw)
        single = self.name or "training"
        drawn = (
            (0, self.loss_curve, f"{prefix}training" if len(self.validation_curve) else single, {}),
            (0, self.validation_curve, f"{prefix}validation", {"linestyle": "--"}),
            (1, self.grad_norm_curve, single, {}),
            (2, self.learning_rate_curve, single, {}),
        )
        self.lines_ = []
        for panel, curve, label, more in drawn:
            if len(curve):
                epochs = np.arange(1, len(curve) + 1)
                line = self.axes_[panel].plot(epochs, curve, label=label, **{**look, **more})
                self.lines_ += line
        titles = (
            ("Objective", "mean loss and penalty"),
            ("Gradient", "norm of a step's gradient"),
            ("Learning rate", "length of the last step"),
        )
        for axes, (title, y_label) in zip(self.axes_, titles, strict=True):
            values = np.concatenate([line.get_ydata() for line in axes.lines] or [[]])
            if len(values) and values.min() > 0 and values.max() > 10 * values.min():
                axes.set_yscale("log")
            axes.xaxis.get_major_locator().set_params(integer=True)
            finish(axes, "epoch", y_label, title)
        legend(self.figure_, self.axes_, ax is None)
        return self


class ParameterPathDisplay:
    """Coefficients and cross-validated score along a grid of one parameter, of the loss or other.

    Use `from_estimator` to make one.

    Parameters
    ----------
    param_name : str
    param_range : ndarray of shape (n_values,)
    coefs : ndarray of shape (n_values, n_features)
        For several outputs, the norm over them.
    scores : ndarray of shape (n_values, n_splits)
    feature_names : list of str
    score_name : str, default="score"

    Attributes
    ----------
    figure_ : Figure
    axes_ : ndarray of shape (2,) of Axes

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_losses import HuberLoss, ParameterPathDisplay, SGDRegressorX
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SGDRegressorX(HuberLoss(delta=50.0), eta0=1.0, random_state=0)
    >>> display = ParameterPathDisplay.from_estimator(
    ...     model, X, y, param_name="loss__delta", param_range=[5.0, 50.0, 500.0], cv=3
    ... )
    >>> display.coefs.shape, display.scores.shape
    ((3, 10), (3, 3))
    """

    def __init__(self, param_name, param_range, coefs, scores, feature_names, score_name="score"):
        self.param_name = param_name
        self.param_range = param_range
        self.coefs = coefs
        self.scores = scores
        self.feature_names = feature_names
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        param_name,
        param_range,
        cv=None,
        scoring=None,
        n_jobs=None,
        **plot_params,
    ):
        """Fit for each value, cross-validate and draw.

        Parameters
        ----------
        estimator : estimator
            A linear model, or a pipeline that ends in one. It is cloned, and need not be fitted.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        param_name : str
            As `set_params` takes it: ``"loss__delta"``, or ``"sgdregressorx__loss__delta"``.
        param_range : array-like of shape (n_values,)
            Numbers; at least two.
        cv, scoring, n_jobs
            As in `sklearn.model_selection.validation_curve`.
        **plot_params
            Passed to `plot`.

        Returns
        -------
        display : ParameterPathDisplay
        """
        values = np.sort(np.asarray(param_range, dtype=np.float64))
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
            raise ValueError(
                f"param_range must hold at least two finite numbers; got {param_range!r}"
            )
        scores = validation_curve(
            estimator,
            X,
            y,
            param_name=param_name,
            param_range=values.tolist(),
            cv=cv,
            scoring=scoring,
            n_jobs=n_jobs,
        )[1]
        coefs = []
        for value in values.tolist():
            # Nested, so that the loss is a copy too.
            model = fitted_model(clone(estimator).set_params(**{param_name: value}).fit(X, y))
            coef = np.asarray(to_host(model.coef_), dtype=np.float64)
            coefs.append(coef.ravel() if coef.ndim == 1 or len(coef) == 1 else _norms(coef))
        names = getattr(X, "columns", None) if len(coefs[0]) == np.shape(X)[1] else None
        names = [f"feature {j}" for j in range(len(coefs[0]))] if names is None else list(names)
        score_name = scoring if isinstance(scoring, str) else "score"
        display = cls(param_name, values, np.array(coefs), scores, names, score_name)
        return display.plot(**plot_params)

    def plot(self, ax=None, *, line_kw=None):
        """Draw.

        Parameters
        ----------
        ax : array-like of 2 Axes or None, default=None
            For the coefficients, and for the score; None makes a figure.
        line_kw : dict or None, default=None
            Passed to ``Axes.plot``.

        Returns
        -------
        self : ParameterPathDisplay
        """
        self.figure_, self.axes_ = make_axes(ax, 2)
        x, mean = self.param_range, self.scores.mean(axis=1)
        spread = self.scores.std(axis=1)
        for k, (name, coef) in enumerate(zip(self.feature_names, self.coefs.T, strict=True)):
            self.axes_[0].plot(x, coef, label=name, **line_look(k, line_kw))
        self.axes_[1].fill_between(
            x, mean - spread, mean + spread, color=COLOURS[0], alpha=0.2, linewidth=0
        )
        self.axes_[1].plot(x, mean, marker="o", markersize=3, **line_look(0, line_kw))
        best = x[int(np.argmax(mean))]
        short = self.param_name.rsplit("__", 1)[-1]
        for axes in self.axes_:
            axes.axvline(best, color="black", linestyle=":", linewidth=1)
            if x[0] > 0 and x[-1] >= 10 * x[0]:
                axes.set_xscale("log")
        finish(self.axes_[0], short, "coefficient", "Coefficients")
        finish(self.axes_[1], short, self.score_name, f"Score, best at {short} = {best:.3g}")
        legend(self.figure_, self.axes_, ax is None)
        return self


def _norms(coef):
    return np.sqrt((coef**2).sum(axis=0))
