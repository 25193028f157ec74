"""What both private estimators share: parameters and their checks, and the course of a fit."""

import warnings
from contextlib import contextmanager
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_losses._array import check_on_host
from sklearn_losses._sklearn_compat import Interval, StrOptions
from sklearn_losses.losses import LDAM, LOSSES, LogitAdjusted, Loss, get_loss
from sklearn_losses.losses._scales import AUTO
from sklearn_losses.private._accountant import ACCOUNTANTS
from sklearn_losses.private._mechanisms import MECHANISMS, Budget
from sklearn_losses.private._problem import Problem, feature_scaling

# Parameters of losses that other estimators fill with what the data say.
FROM_DATA = {LogitAdjusted: "priors", LDAM: "class_counts"}


class Settings(NamedTuple):
    """What a mechanism is told beside the problem and the budget."""

    noise_multiplier: float | None
    accountant: str
    alpha: float | str
    clip_norm: float
    batch_size: int
    max_iter: int
    learning_rate: float | str
    average: bool
    slope: float  # a typical derivative, of which the penalty is in units


class Targets(NamedTuple):
    """What is public of the targets, and the targets."""

    y: np.ndarray
    n_outputs: int
    start: float
    width: float
    slope: float | None  # the largest derivative at the start; None where y is without bounds
    facts: dict  # attributes of the fitted estimator


class BasePrivate(BaseEstimator):
    """Base class of the private estimators."""

    _parameter_constraints: dict = {
        "loss": [str, Loss],
        "mechanism": [StrOptions(set(MECHANISMS))],
        "epsilon": [Interval(Real, 0, None, closed="neither"), None],
        "delta": [Interval(Real, 0, 1, closed="left"), None],
        "noise_multiplier": [Interval(Real, 0, None, closed="neither"), None],
        "accountant": [StrOptions(set(ACCOUNTANTS))],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "fit_intercept": ["boolean"],
        "feature_bounds": ["array-like", None],
        "data_norm": [Interval(Real, 0, None, closed="neither"), None],
        "n_samples": [Interval(Integral, 1, None, closed="left"), None],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "average": ["boolean"],
    }

    def _resolve_loss(self):
        """The loss object that `loss` stands for."""
        return get_loss(self.loss)

    def _check_loss(self):
        """The loss; the error of one that cannot be fitted, or would learn from the data what no
        noise hides."""
        loss, name = self._resolve_loss(), type(self).__name__
        if loss.is_joint or isinstance(loss, LOSSES["root_mean_squared_error"]):
            raise ValueError(
                f"loss must be a mean over samples, whose gradients can be clipped one by one; "
                f"got {loss!r}"
            )
        # Losses of ordered classes are of a location and thresholds.
        if loss.reads_target or type(loss)._heads is not Loss._heads:
            raise ValueError(
                "loss must be of one raw prediction for a sample, or for each class; got "
                f"{loss!r}, whose raw predictions are of several kinds"
            )
        for parameter, value in loss.get_params(deep=False).items():
            if isinstance(value, str) and value == AUTO:
                raise ValueError(
                    f"{name}: {parameter} of {loss!r} would be estimated from the data, without "
                    "privacy; give a number that is chosen without them"
                )
        parameter = FROM_DATA.get(type(loss))
        if parameter is not None and getattr(loss, parameter) is None:
            raise ValueError(
                f"{name}: {parameter} of {loss!r} would be counted in the data, without privacy; "
                "give public numbers"
            )
        if not loss.is_multiclass:
            if len(loss._members()) > 1:
                raise ValueError(f"{name} is for one output; {loss!r} has several")
            loss._resolve()  # checks its parameters
        return loss

    def _budget(self, n):
        """What may be spent, on how many samples."""
        n = n if self.n_samples is None else int(self.n_samples)
        delta = (float(n) ** -1.1 if n > 1 else 0.5) if self.delta is None else float(self.delta)
        sgd = self.mechanism == "sgd"
        if sgd and delta == 0:
            raise ValueError(
                "delta must be above 0 with mechanism='sgd', as its noise is Gaussian; 'output' "
                "and 'objective' take delta=0"
            )
        if self.noise_multiplier is not None and not sgd:
            raise ValueError(
                f"noise_multiplier is for mechanism='sgd'; {self.mechanism!r} finds it from "
                f"epsilon and delta. Got noise_multiplier={self.noise_multiplier!r}"
            )
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise ValueError(
                "one of epsilon and noise_multiplier must be a number and the other None; got "
                f"epsilon={self.epsilon!r} and noise_multiplier={self.noise_multiplier!r}"
            )
        if self.delta is not None and delta >= 1 / n:
            warnings.warn(
                f"delta={delta:g} is not below 1 / n_samples = {1 / n:g}: it would allow to "
                "publish a sample of the data",
                stacklevel=5,
            )
        return Budget(None if self.epsilon is None else float(self.epsilon), delta, n)

    def _check_bounds(self):
        """What the mechanism needs to know of the features, and what it would be better to know."""
        if self.mechanism != "sgd":
            if self.alpha == 0:
                raise ValueError(
                    f"alpha must be above 0 with mechanism={self.mechanism!r}: without a penalty "
                    "one sample can move the minimum as far as it likes"
                )
            if self.feature_bounds is None and self.data_norm is None:
                raise ValueError(
                    f"mechanism={self.mechanism!r} needs data_norm or feature_bounds: its noise is "
                    "in proportion to the largest row there can be, which must not be read off X"
                )
        unknown = self._unknown_bounds()
        if unknown:
            warnings.warn(
                f"{' and '.join(unknown)} not set, so that the data are used in their own units, "
                "which no private fit may look at: unless they are about 1 in size, little will be "
                "learned. Set them from what is known without looking at the data",
                stacklevel=5,
            )

    def _unknown_bounds(self):
        if self.feature_bounds is None and self.data_norm is None:
            return ["feature_bounds (or data_norm)"]
        return []

    def _fit(self, X, y):
        check_on_host(type(self).__name__, X=X, y=y)
        loss = self._check_loss()
        self._check_bounds()
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], **self._how_to_check_y
        )
        budget = self._budget(X.shape[0])
        loss, targets = self._targets(loss, y)
        centred = self.fit_intercept and not sparse.issparse(X)
        scaling = feature_scaling(self.feature_bounds, self.data_norm, X.shape[1], centred)
        problem = Problem(
            scaling.scaled(X),
            targets.y,
            loss,
            targets.n_outputs,
            bool(self.fit_intercept),
            targets.start,
            targets.width,
        )
        slope = targets.slope or 1.0  # 0: the start is at a kink, or where nothing is to be gained
        released = MECHANISMS[self.mechanism](problem, budget, self._settings(slope))
        coef, intercept = scaling.model(released.coef, released.intercept, problem)
        if loss.is_multiclass and len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        self.__dict__.update(released.facts)
        self.__dict__.update(targets.facts)
        self.delta_, self.loss_ = budget.delta, loss
        self.coef_ = self._shown_coef(coef.astype(X.dtype))
        self.intercept_ = intercept.astype(X.dtype)
        return self

    def _settings(self, slope):
        return Settings(
            noise_multiplier=self.noise_multiplier,
            accountant=self.accountant,
            alpha=self.alpha if self.alpha == "auto" else float(self.alpha),
            clip_norm=slope if self.clip_norm is None else float(self.clip_norm),
            batch_size=int(self.batch_size),
            max_iter=int(self.max_iter),
            learning_rate=self.learning_rate,
            average=bool(self.average),
            slope=slope,
        )

    @contextmanager
    def _unchanged_on_error(self):
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _raw(self, X):
        """Raw predictions, of shape (n_samples, n_outputs)."""
        check_is_fitted(self)
        check_on_host(type(self).__name__, X=X)
        X = validate_data(self, X, accept_sparse="csr", reset=False)
        coef = np.atleast_2d(self.coef_)
        return safe_sparse_dot(X, coef.T, dense_output=True) + self.intercept_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.non_deterministic = True
        return tags
