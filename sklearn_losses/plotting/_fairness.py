"""A picture of what fairness costs."""

import numpy as np
from sklearn import get_config
from sklearn.base import clone, is_classifier

from sklearn_losses.constrained._sensitive import (
    demographic_parity_difference,
    equal_opportunity_difference,
    groups_of,
)
from sklearn_losses.plotting._axes import (
    COLOURS,
    finish,
    fitted_model,
    legend,
    line_look,
    make_axes,
)


def _of_labels(metric):
    def unlike(model, linear, X, y, groups):
        found = model.predict(X)
        positive = linear.classes_[1]
        return metric(
            np.asarray(y) == positive,
            found == positive,
            sensitive_features=groups,
        )

    return unlike


def _by_group(values, groups):
    codes = groups_of("FairnessDisplay", groups, len(values)).codes
    return np.bincount(codes, values) / np.bincount(codes)


def _of_means(model, linear, X, y, groups):
    return float(np.ptp(_by_group(np.asarray(model.predict(X), dtype=float), groups)))


def _of_losses(model, linear, X, y, groups):
    if is_classifier(model):
        raw, y = model.decision_function(X), np.asarray(y) == linear.classes_[1]
    else:
        raw = linear.loss_.link.link(np.asarray(model.predict(X), dtype=float))
    losses = linear.loss_.loss(np.ascontiguousarray(y, dtype=np.float64), raw)
    return float(_by_group(losses, groups).max())


# What is drawn for a constraint and a kind of model, and its name.
MEASURES = {
    ("demographic_parity", True): (
        _of_labels(demographic_parity_difference),
        "demographic parity difference",
    ),
    ("equal_opportunity", True): (
        _of_labels(equal_opportunity_difference),
        "equal opportunity difference",
    ),
    ("demographic_parity", False): (_of_means, "difference of groups' mean predictions"),
    ("bounded_group_loss", True): (_of_losses, "largest mean loss of a group"),
    ("bounded_group_loss", False): (_of_losses, "largest mean loss of a group"),
}


class FairnessDisplay:
    """What fairness costs: score and unfairness of a fair model for bounds from 0 to 1.

    Use `from_estimator` to make one.

    Parameters
    ----------
    bounds, scores, differences : ndarray of shape (n_bounds,)
    difference_name : str
    score_name : str, default="score"
    name : str or None, default=None
        What the legend calls the estimator.

    Attributes
    ----------
    figure_ : Figure
    axes_ : ndarray of shape (2,) of Axes

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import FairClassifier, FairnessDisplay
    >>> rng = np.random.RandomState(0)
    >>> group = rng.choice(["a", "b"], 400)
    >>> X = rng.standard_normal((400, 3)) + (group == "b")[:, None] * [1.0, 0.5, 0.0]
    >>> y = X @ [1, 1, 1] + rng.standard_normal(400) > 1
    >>> display = FairnessDisplay.from_estimator(
    ...     FairClassifier(), X, y, sensitive_features=group, bounds=[0.0, 0.5, 1.0]
    ... )
    >>> display.differences.round(2)
    array([0.05, 0.26, 0.3 ])
    """

    def __init__(self, bounds, scores, differences, difference_name, score_name="score", name=None):
        self.bounds = bounds
        self.scores = scores
        self.differences = differences
        self.difference_name = difference_name
        self.score_name = score_name
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        sensitive_features,
        X_val=None,
        y_val=None,
        sensitive_features_val=None,
        bounds=None,
        name=None,
        **plot_params,
    ):
        """Fit for each bound, score and draw.

        Parameters
        ----------
        estimator : estimator
            A `FairClassifier` or `FairRegressor`, or a pipeline that ends in one. It is cloned, and
            need not be fitted.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sensitive_features : array-like or DataFrame of shape (n_samples,) or (n_samples, n_columns)
            They must name groups: no floats.
        X_val, y_val, sensitive_features_val
            What scores and differences are of; None: what is fitted to.
        bounds : array-like of shape (n_bounds,) or None, default=None
            In [0, 1]; None: eleven from 0 to 1.
        name : str or None, default=None
            What the legend calls it.
        **plot_params
            Passed to `plot`.

        Returns
        -------
        display : FairnessDisplay
        """
        bounds = np.sort(np.linspace(0, 1, 11) if bounds is None else np.asarray(bounds, float))
        given = (X_val, y_val, sensitive_features_val)
        if any(part is None for part in given) and any(part is not None for part in given):
            raise ValueError("X_val, y_val and sensitive_features_val must be given together")
        X_val, y_val, groups = (X, y, sensitive_features) if X_val is None else given
        last = estimator[-1] if hasattr(estimator, "steps") else estimator
        if not (hasattr(last, "constraint") and hasattr(last, "bound")):
            raise ValueError(
                "estimator must be a FairClassifier or FairRegressor, or a pipeline that ends in "
                f"one; got {last!r}"
            )
        prefix = f"{estimator.steps[-1][0]}__" if last is not estimator else ""
        routed = get_config()["enable_metadata_routing"]
        if last is not estimator and routed:
            estimator = clone(estimator)
            estimator[-1].set_fit_request(sensitive_features=True)
        fit_name = "sensitive_features" if routed else f"{prefix}sensitive_features"
        scores, differences = [], []
        for bound in bounds.tolist():
            model = clone(estimator).set_params(**{f"{prefix}bound": bound})
            model.fit(X, y, **{fit_name: sensitive_features})
            linear = fitted_model(model)
            measure, label = MEASURES[linear.constraint, is_classifier(model)]
            scores.append(model.score(X_val, y_val))
            differences.append(measure(model, linear, X_val, y_val, groups))
        score_name = "accuracy" if is_classifier(estimator) else "R²"
        display = cls(bounds, np.array(scores), np.array(differences), label, score_name, name)
        return display.plot(**plot_params)

    def plot(self, ax=None, *, line_kw=None):
        """Draw. Several estimators on the same two axes are told apart by colour.

        Parameters
        ----------
        ax : array-like of 2 Axes or None, default=None
            For score against unfairness, and for unfairness against the bound; None makes a figure.
        line_kw : dict or None, default=None
            Passed to ``Axes.plot``.

        Returns
        -------
        self : FairnessDisplay
        """
        self.figure_, self.axes_ = make_axes(ax, 2)
        look = {"marker": "o", "markersize": 3}
        look |= line_look(len(self.axes_[0].lines) % len(COLOURS), line_kw)
        self.axes_[0].plot(self.differences, self.scores, label=self.name, **look)
        self.axes_[1].plot(self.bounds, self.differences, label=self.name, **look)
        finish(self.axes_[0], self.difference_name, self.score_name, "What fairness costs")
        finish(self.axes_[1], "bound", self.difference_name, "What a bound does")
        if self.name:
            legend(self.figure_, self.axes_, ax is None)
        return self
