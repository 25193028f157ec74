"""Pictures of a regressor's predictions."""

import numpy as np

from sklearn_losses._array import to_host
from sklearn_losses._interval import UNIT_OPEN
from sklearn_losses._parameters import check_integer, check_number
from sklearn_losses.metrics import raw_from_prediction
from sklearn_losses.plotting._axes import (
    COLOURS,
    finish,
    legend,
    loss_of,
    make_axes,
    predictions,
)

BAND_ALPHAS = (0.18, 0.32, 0.46, 0.60)


class QuantileDisplay:
    """Predicted quantiles as a fan of bands around the middle one, with the observations.

    Use `from_estimator` to make one.

    Parameters
    ----------
    x : ndarray of shape (n_samples,)
        What the samples stand over, sorted.
    y_true : ndarray of shape (n_samples,)
    y_pred : ndarray of shape (n_samples, n_quantiles)
    quantiles : ndarray of shape (n_quantiles,)
        Rising, in (0, 1).
    coverage : ndarray of shape (n_quantiles,)
        The share of all observations at or below each predicted quantile.
    x_label : str, default=""

    Attributes
    ----------
    figure_ : Figure
    ax_ : Axes

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import PinballLoss, QuantileDisplay, SGDRegressorX
    >>> rng = np.random.RandomState(0)
    >>> X = rng.uniform(size=(300, 1))
    >>> y = X[:, 0] * (1 + rng.exponential(size=300))
    >>> model = SGDRegressorX(PinballLoss(quantile=[0.1, 0.5, 0.9]), eta0=0.1, random_state=0)
    >>> display = QuantileDisplay.from_estimator(model.fit(X, y), X, y, feature=0)
    >>> display.coverage.shape
    (3,)
    """

    def __init__(self, x, y_true, y_pred, quantiles, coverage, x_label=""):
        self.x = x
        self.y_true = y_true
        self.y_pred = y_pred
        self.quantiles = quantiles
        self.coverage = coverage
        self.x_label = x_label

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        quantiles=None,
        feature=None,
        offset=None,
        max_samples=300,
        **plot_params,
    ):
        """Predict and draw.

        Parameters
        ----------
        estimator : estimator
            Fitted; `predict` gives a column for each quantile.
        X : {array-like, DataFrame} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        quantiles : array-like of shape (n_quantiles,) or None, default=None
            What the columns are, each in (0, 1). None: the estimator's loss says it.
        feature : int, str or None, default=None
            The feature on the axis: a column's position, or its name in a frame. None: the samples
            stand in the order of the middle quantile.
        offset : array-like of shape (n_samples,) or None, default=None
            Passed to `predict`.
        max_samples : int, default=300
            More samples are thinned out for the picture, evenly along its axis; coverage is that of
            all of them.
        **plot_params
            Passed to `plot`.

        Returns
        -------
        display : QuantileDisplay
        """
        if quantiles is None:
            quantiles = getattr(loss_of(estimator, None, cls.__name__), "quantile", None)
            if quantiles is None:
                raise ValueError(f"{cls.__name__}: quantiles must be given; the loss has none")
        quantiles = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
        for quantile in quantiles.tolist():
            check_number(cls.__name__, "each of quantiles", quantile, UNIT_OPEN)
        max_samples = check_integer(cls.__name__, "max_samples", max_samples, low=2)
        y_true = np.asarray(to_host(y), dtype=np.float64)
        y_pred = predictions(estimator, X, offset).reshape(len(y_true), -1)
        if y_pred.shape[1] != len(quantiles):
            raise ValueError(
                f"quantiles must name the {y_pred.shape[1]} columns that predict gives; "
                f"got {len(quantiles)}"
            )
        order = np.argsort(quantiles)
        quantiles, y_pred = quantiles[order], y_pred[:, order]
        if feature is None:
            x = y_pred[:, len(quantiles) // 2]
            x_label = "samples, by the middle quantile"
        elif hasattr(X, "columns"):
            column = feature if isinstance(feature, str) else X.columns[feature]
            x, x_label = np.asarray(X[column], dtype=np.float64), str(column)
        else:
            x, x_label = np.asarray(to_host(X))[:, feature], f"feature {feature}"
        rank = np.argsort(x, kind="stable")
        coverage = (y_true[:, np.newaxis] <= y_pred).mean(axis=0)
        if len(rank) > max_samples:
            rank = rank[np.linspace(0, len(rank) - 1, max_samples).round().astype(np.intp)]
        x = np.arange(len(rank)) if feature is None else x[rank]
        display = cls(x, y_true[rank], y_pred[rank], quantiles, coverage, x_label)
        return display.plot(**plot_params)

    def plot(self, ax=None, *, y_label="y", scatter_kw=None):
        """Draw.

        Parameters
        ----------
        ax : Axes or None, default=None
            None makes a figure.
        y_label : str, default="y"
            What y is, with its unit.
        scatter_kw : dict or None, default=None
            Passed to ``Axes.scatter``.

        Returns
        -------
        self : QuantileDisplay
        """
        self.figure_, (self.ax_,) = make_axes(ax, 1)
        look = {"s": 9, "color": "#444444", "alpha": 0.6, "linewidths": 0, "label": "observed"}
        self.ax_.scatter(self.x, self.y_true, zorder=3, **{**look, **(scatter_kw or {})})
        n = len(self.quantiles)
        for k in range(n // 2):
            low, high = self.quantiles[[k, n - 1 - k]]
            inside = self.coverage[n - 1 - k] - self.coverage[k]
            self.ax_.fill_between(
                self.x,
                self.y_pred[:, k],
                self.y_pred[:, n - 1 - k],
                color=COLOURS[0],
                alpha=BAND_ALPHAS[min(k, len(BAND_ALPHAS) - 1)],
                linewidth=0,
                label=f"{100 * low:g} to {100 * high:g} %: holds {100 * inside:.0f} %",
            )
        if n % 2:
            middle = self.quantiles[n // 2]
            self.ax_.plot(
                self.x,
                self.y_pred[:, n // 2],
                color=COLOURS[1],
                label="median" if middle == 0.5 else f"{100 * middle:g} % quantile",
            )
        finish(self.ax_, self.x_label, y_label)
        legend(self.figure_, [self.ax_], ax is None)
        return self


class ResidualDisplay:
    """Residuals of a fitted regressor against its predictions, coloured by how hard each sample
    pulls under the loss, and their histogram.

    Use `from_estimator` to make one.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
    y_pred : ndarray of shape (n_samples,)
    influence : ndarray of shape (n_samples,)
        Absolute gradient of each sample's loss with respect to the raw prediction, over its mean.

    Attributes
    ----------
    figure_ : Figure
    axes_ : ndarray of shape (2,) of Axes

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_losses import ResidualDisplay, SGDRegressorX, TukeyBiweight
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SGDRegressorX(TukeyBiweight(c=200.0), eta0=0.1, random_state=0).fit(X, y)
    >>> ResidualDisplay.from_estimator(model, X, y).influence.shape
    (442,)
    """

    def __init__(self, y_true, y_pred, influence):
        self.y_true = y_true
        self.y_pred = y_pred
        self.influence = influence

    @classmethod
    def from_estimator(cls, estimator, X, y, *, loss=None, offset=None, **plot_params):
        """Predict and draw.

        Parameters
        ----------
        estimator : regressor
            Fitted, with one output.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        loss : str, Loss or None, default=None
            Of which the gradients are taken; None: the estimator's `loss_`.
        offset : array-like of shape (n_samples,) or None, default=None
            Passed to `predict`.
        **plot_params
            Passed to `plot`.

        Returns
        -------
        display : ResidualDisplay
        """
        loss = loss_of(estimator, loss, cls.__name__)
        y_true = np.asarray(to_host(y), dtype=np.float64)
        y_pred = predictions(estimator, X, offset)
        if y_true.ndim != 1 or y_pred.shape != y_true.shape:
            raise ValueError(
                f"{cls.__name__} shows one output; got y of shape {y_true.shape} and predictions "
                f"of shape {y_pred.shape}. QuantileDisplay shows several quantiles"
            )
        raw = raw_from_prediction(loss, y_pred.astype(np.float64))
        pull = np.abs(loss.gradient(y_true, raw))
        mean = pull.mean()
        return cls(y_true, y_pred, pull / (mean if mean > 0 else 1.0)).plot(**plot_params)

    def plot(self, ax=None, *, unit="units of y", scatter_kw=None):
        """Draw.

        Parameters
        ----------
        ax : array-like of 2 Axes or None, default=None
            For the residuals, and for the histogram; None makes a figure.
        unit : str, default="units of y"
            The unit of y, for the labels.
        scatter_kw : dict or None, default=None
            Passed to ``Axes.scatter``.

        Returns
        -------
        self : ResidualDisplay
        """
        self.figure_, self.axes_ = make_axes(ax, 2, width_ratios=[3, 1], sharey=True)
        points, counts = self.axes_
        residual = self.y_true - self.y_pred
        look = {"s": 12, "c": self.influence, "cmap": "cividis", "linewidths": 0}
        drawn = points.scatter(self.y_pred, residual, **{**look, **(scatter_kw or {})})
        points.axhline(0, color="black", linewidth=0.8)
        bar = self.figure_.colorbar(drawn, ax=points, fraction=0.05, pad=0.02)
        bar.solids.set_alpha(1)
        bar.set_label("pull (mean sample = 1)", fontsize=9)
        counts.hist(residual, bins=30, orientation="horizontal", color=COLOURS[0])
        finish(points, f"predicted ({unit})", f"observed − predicted ({unit})")
        finish(counts, "samples", "")
        return self
