"""Losses as objectives and metrics of XGBoost, LightGBM and CatBoost, and as PyTorch modules,
generic over every loss. Nothing of those libraries is imported until a PyTorch module is made."""

import numpy as np
from sklearn.base import clone

from sklearn_losses._array import kernel_array
from sklearn_losses._parameters import check_number
from sklearn_losses.links import IdentityLink
from sklearn_losses.losses import get_loss
from sklearn_losses.losses.base import NON_NEGATIVE
from sklearn_losses.metrics import mean_loss

__all__ = ["as_metric", "as_objective", "as_torch"]

# The least hessian where the true one is positive: XGBoost's own, for what underflows to 0.
TINY = 1e-16


def softmax_hessian_product(proba, vector):
    """The softmax cross-entropy's matrix of second derivatives, ``diag(p) - p p'``, times a vector.

    Parameters
    ----------
    proba, vector : ndarray of shape (..., n_classes)

    Returns
    -------
    product : ndarray of shape (..., n_classes)
    """
    product = proba * vector
    return product - proba * product.sum(axis=-1, keepdims=True)


def _probe(loss):
    """Hessians over targets of the domain and raw predictions far on both sides of them."""
    if loss.is_multiclass:
        bound = loss._for_classes(loss.n_classes or 3)
        raw = np.zeros((2 * 401, bound.n_classes))
        raw[:, 0] = np.tile(np.linspace(-20, 20, 401), 2)
        return bound.gradient_hessian(np.repeat([0.0, 1.0], 401), raw)[1]
    interval = loss.interval_y_true
    low = interval.low if np.isfinite(interval.low) else min(interval.high, 0) - 1
    high = interval.high if np.isfinite(interval.high) else max(interval.low, 0) + 1
    y = np.linspace(low, high, 5)
    y = y[interval.contains(y)]
    if isinstance(loss.link, IdentityLink) and loss.task == "regression":
        size = np.logspace(-6, 3, 91)
        y, raw = y.repeat(183), np.add.outer(y, np.r_[-size, 0, size]).ravel()
    else:
        y, raw = y.repeat(401), np.tile(np.linspace(-20, 20, 401), len(y))
    return loss.gradient_hessian(y, raw)[1]


def _least_hessian(loss):
    """What "auto" stands for; see `as_objective`."""
    hessian = _probe(loss)
    if (hessian > TINY).all():
        return TINY
    largest = float(hessian.max())
    return min(1.0, largest) if largest > 0 else 1.0


def _label_weight_raw(first, second, sample_weight):
    """Targets, raw predictions, weights, and whether the library's own API is calling: that passes
    the predictions, then its data set."""
    if not hasattr(second, "get_label"):
        return first, second, sample_weight, False
    weight = second.get_weight()
    return second.get_label(), first, weight if np.size(weight) else None, True


class _FromLoss:
    """What holds a loss and is handed to a library, which may copy, clone or pickle it."""

    def __init__(self, loss, **options):
        self.loss = loss
        self._options = options

    def __sklearn_clone__(self):
        # A loss may hold C functions, which have no copy.
        return type(self)(clone(self.loss), **self._options)

    def __deepcopy__(self, memo):
        return self.__sklearn_clone__()

    def __eq__(self, other):
        return type(self) is type(other) and (self.loss, self._options) == (
            other.loss,
            other._options,
        )

    def __hash__(self):
        return hash((type(self), self.loss))

    def __repr__(self):
        options = "".join(f", {name}={value!r}" for name, value in self._options.items())
        return f"{self._maker}({self.loss!r}, library={self.library!r}{options})"


class _Objective(_FromLoss):
    _maker = "as_objective"
    # Times the diagonal of a row-wise loss's second derivatives; a function of n_classes.
    _diagonal_factor = staticmethod(lambda n_classes: 2.0)

    def __init__(self, loss, min_hessian="auto"):
        super().__init__(loss, min_hessian=min_hessian)
        if loss.is_multiclass:
            loss._numbers()
        else:
            loss._resolve()
        if isinstance(min_hessian, str):
            if min_hessian != "auto":
                raise ValueError(f"min_hessian must be 'auto' or a number; got {min_hessian!r}")
            self.min_hessian_ = _least_hessian(loss)
        else:
            owner = type(self).__name__
            self.min_hessian_ = check_number(owner, "min_hessian", min_hessian, NON_NEGATIVE)

    def start_score(self, y_true, sample_weight=None):
        """The constant raw prediction with the least loss, from which to start boosting.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Targets; class codes for a row-wise loss.
        sample_weight : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        start : float or ndarray of shape (n_classes,)
        """
        loss = self.loss
        if loss.is_multiclass and loss.n_classes is None:
            y_true = kernel_array(y_true, "y_true")
            loss = loss._for_classes(y_true.shape[1] if y_true.ndim == 2 else int(y_true.max()) + 1)
        start = loss.fit_intercept_only(y_true, sample_weight)
        return start.astype(np.float64) if loss.is_multiclass else float(start)

    def start_params(self, y_true, sample_weight=None):
        """`start_score` as the keyword argument that the library takes.

        Parameters
        ----------
        y_true, sample_weight
            As in `start_score`.

        Returns
        -------
        params : dict
            XGBoost: ``{"base_score": float or list}``, a parameter of the model. LightGBM:
            ``{"init_score": array}``, an argument of `fit` or `Dataset`. CatBoost: ``{"baseline":
            array}``, of `fit` or `Pool`. Arrays have the shape (n_samples,) or (n_samples,
            n_classes).
        """
        return self._start_params(self.start_score(y_true, sample_weight), len(y_true))

    def _start_params(self, start, n_samples):
        """A start for each sample, under the library's name."""
        return {self._start_name: np.tile(start, (n_samples, *[1] * np.ndim(start)))}

    def _fill(self, y_true, raw, weight, gradient, hessian):
        """Derivatives with the library's convention, straight into its arrays.

        On one thread: CatBoost calls from threads of its own, and the threads of another OpenMP
        runtime wait in a busy loop, which can cost XGBoost more than a second thread saves.
        """
        loss = self.loss
        raw = loss._shaped(kernel_array(raw, "raw_prediction"))
        y_true = loss._checked_target(kernel_array(y_true, "y_true"), raw)
        loss.gradient_hessian(y_true, raw, weight, gradient, hessian, n_threads=1)
        if loss.is_multiclass:
            hessian *= self._diagonal_factor(raw.shape[1])
        least = self.min_hessian_
        if weight is not None:
            least = least * np.asarray(weight, dtype=hessian.dtype)
            least = least.reshape(-1, *[1] * (hessian.ndim - 1))
        np.maximum(hessian, least, out=hessian)


class _CalledObjective(_Objective):
    """An objective that is called with targets and raw predictions, or, by the library's own API,
    with raw predictions and a data set."""

    _order = "C"

    def __call__(self, y_true, y_pred, sample_weight=None):
        y_true, raw, weight, _ = _label_weight_raw(y_true, y_pred, sample_weight)
        # Both libraries take float32 and would copy anything else.
        gradient = np.empty(raw.shape, dtype=np.float32, order=self._order)
        hessian = np.empty(raw.shape, dtype=np.float32, order=self._order)
        self._fill(y_true, raw, weight, gradient, hessian)
        return gradient, hessian


class XGBoostObjective(_CalledObjective):
    library = "xgboost"

    def _start_params(self, start, n_samples):
        return {"base_score": start.tolist() if np.ndim(start) else start}


class LightGBMObjective(_CalledObjective):
    library = "lightgbm"
    _start_name = "init_score"
    _order = "F"  # class after class
    _diagonal_factor = staticmethod(lambda n_classes: n_classes / (n_classes - 1))


class CatBoostObjective(_Objective):
    library = "catboost"
    _start_name = "baseline"
    no_jit = True  # CatBoost would try numba on the methods below, and warn

    def calc_ders_range(self, approxes, targets, weights):
        """Derivatives of minus the loss, for a pointwise loss.

        Parameters
        ----------
        approxes : ndarray of shape (n_samples,)
        targets : ndarray of shape (n_samples,)
        weights : ndarray of shape (n_samples,) or None

        Returns
        -------
        derivatives : ndarray of shape (n_samples, 2)
        """
        derivatives = np.empty((2, len(approxes))).T
        self._fill(targets, approxes, weights, derivatives[:, 0], derivatives[:, 1])
        return np.negative(derivatives, out=derivatives)

    def calc_ders_multi(self, approxes, target, weight):
        """Derivatives of minus the loss at one sample, for a row-wise loss.

        Parameters
        ----------
        approxes : ndarray of shape (n_classes,)
        target : float
            The class code.
        weight : float

        Returns
        -------
        gradient : ndarray of shape (n_classes,)
        hessian : ndarray of shape (n_classes, n_classes)
            Exact for the losses that are a cross-entropy of a softmax, else diagonal.
        """
        loss, raw, y_true = self.loss, np.asarray(approxes)[np.newaxis], np.array([float(target)])
        if getattr(loss, "takes_probabilities", False):
            gradient, proba = loss.gradient_proba(y_true, raw, n_threads=1)
            matrix = softmax_hessian_product(proba, np.eye(raw.shape[1]))
        else:
            gradient, hessian = np.empty(raw.shape), np.empty(raw.shape)
            self._fill(y_true, raw, None, gradient, hessian)
            matrix = np.diag(hessian[0])
        return -weight * gradient[0], -weight * matrix


# ------------------------------------------------------------------------------------------ metrics


class _Metric(_FromLoss):
    _maker = "as_metric"

    def __init__(self, loss, raw=True):
        super().__init__(loss, raw=raw)
        self.raw = raw
        self.__name__ = loss.name or type(loss).__name__

    def _mean(self, y_true, y_pred, sample_weight):
        return mean_loss(y_true, y_pred, loss=self.loss, sample_weight=sample_weight, raw=self.raw)


class XGBoostMetric(_Metric):
    library = "xgboost"

    def __call__(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred, weight, native = _label_weight_raw(y_true, y_pred, sample_weight)
        value = self._mean(y_true, y_pred, weight)
        return (self.__name__, value) if native else value


class LightGBMMetric(_Metric):
    library = "lightgbm"

    def __call__(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred, weight, _ = _label_weight_raw(y_true, y_pred, sample_weight)
        return self.__name__, self._mean(y_true, y_pred, weight), False


class CatBoostMetric(_Metric):
    library = "catboost"
    no_jit = True

    def __init__(self, loss, raw=True):
        super().__init__(loss, raw)
        if not raw:
            raise ValueError(
                "raw must be True for CatBoost, which hands raw predictions to a metric; got False"
            )
        if not loss.is_multiclass:
            loss._resolve()  # the error of a loss that is not a mean over samples

    def is_max_optimal(self):
        """Whether greater is better.

        Returns
        -------
        greater_is_better : bool
        """
        return False

    def evaluate(self, approxes, target, weight):
        """Sum of the loss over a part of the samples, and of the weights.

        Parameters
        ----------
        approxes : sequence of n_classes arrays of shape (n_samples,); one for a pointwise loss
        target : ndarray of shape (n_samples,)
        weight : ndarray of shape (n_samples,) or None

        Returns
        -------
        error, weight_sum : float
        """
        loss = self.loss
        raw = np.stack(approxes, axis=1) if loss.is_multiclass else approxes[0]
        raw = loss._shaped(kernel_array(raw, "raw_prediction"))
        target = loss._checked_target(kernel_array(target, "y_true"), raw)
        total = loss._evaluate(target, raw, weight, 1, None, None, None, want_sum=True)
        return total, len(raw) if weight is None else float(np.sum(weight, dtype=np.float64))

    def get_final_error(self, error, weight):
        """The mean of the loss.

        Parameters
        ----------
        error, weight : float
            Sums over all parts.

        Returns
        -------
        mean : float
        """
        return error / weight


OBJECTIVES = {cls.library: cls for cls in (XGBoostObjective, LightGBMObjective, CatBoostObjective)}
METRICS = {cls.library: cls for cls in (XGBoostMetric, LightGBMMetric, CatBoostMetric)}


def _of(table, library):
    if library not in table:
        raise ValueError(f"library must be one of {list(table)}; got {library!r}")
    return table[library]


def as_objective(loss, library, *, min_hessian="auto"):
    """An objective for gradient boosting with XGBoost, LightGBM or CatBoost.

    It works with the scikit-learn API and with the native API of each library: weighted, any number
    of classes in the library's own layout, its float32 (CatBoost: float64) arrays written by the
    kernels without a copy between.

    Parameters
    ----------
    loss : str or Loss
        A loss, or a name of `LOSSES`. A row-wise loss has a tree for each class.
    library : {"xgboost", "lightgbm", "catboost"}
    min_hessian : "auto" or float, default="auto"
        No sample's hessian is smaller (times its weight): a leaf's value is minus the sum of its
        gradients over that of its hessians, and must not explode. "auto" is 1e-16 where `hessian`
        is positive wherever boosting goes; for absolute error, quantile, epsilon-insensitive and
        hinge losses the class already gives a positive stand-in, 1 as in the libraries' own, or
        that of the sample's scale. Where it is smaller, zero or negative (the tails of Huber's
        loss; losses that are not convex, as most robust ones, focal and Brier) "auto" is the
        largest second derivative, at most 1: a leaf then moves by at most its mean gradient over
        it. A float, at
        least 0, overrules, and is worth a try for `PseudoHuber`, whose tails are nearly flat.

    Returns
    -------
    objective : callable (CatBoost: an object with `calc_ders_range` and `calc_ders_multi`)
        It can be pickled and cloned. ``objective.start_score(y, sample_weight=None)`` is the best
        constant; ``objective.start_params(y, sample_weight=None)`` is the same as the keyword
        argument that the library takes.

    Notes
    -----
    All three libraries boost raw predictions, and know neither a start nor a link of an objective
    that they did not bring: ``loss.predict`` turns raw predictions into predictions. ``start`` is
    ``objective.start_params(y)``.

    - XGBoost: ``XGBRegressor(objective=objective, **start)``, or ``xgboost.train({**start}, data,
      obj=objective)``, with ``disable_default_eval_metric=1`` where its default metric cannot take
      several classes; the start is part of the model's predictions, which are raw. Ask
      ``predict(X, output_margin=True)`` of an `XGBClassifier`; for two classes it takes
      `base_score` as a probability, ``scipy.special.expit`` of ours. Several classes: the diagonal
      of the second derivatives is doubled, as in its own ``multi:softprob`` (an upper bound of the
      matrix).
    - LightGBM: ``LGBMRegressor(objective=objective).fit(X, y, **start)``, or ``Dataset(X, y,
      **start)`` and ``lightgbm.train({"objective": objective}, data)``. The start is no part of the
      model: add `start_score` to ``predict(X, raw_score=True)``. Several classes: the diagonal is
      multiplied by ``n_classes / (n_classes - 1)``, as in its own ``multiclass``.
    - CatBoost: ``CatBoostRegressor(loss_function=objective, eval_metric=as_metric(loss,
      "catboost")).fit(X, y, **start)``; it insists on a metric. The start is no part of the model:
      add it to ``predict(X, prediction_type="RawFormulaVal")``, or call
      ``model.set_scale_and_bias(1, start_score)``. Several classes: it needs `class_names`, and
      calls Python for each sample, which is slow; the matrix of second derivatives is exact for the
      losses that take rows of probabilities, and the doubled diagonal for others.

    The libraries' own absolute error, quantile and (LightGBM) absolute percentage error set each
    leaf to a quantile of its residuals after the tree is grown. A custom objective cannot: its
    trees have the same first splits, and leaves that move by the mean gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import as_objective
    >>> objective = as_objective("poisson", "lightgbm")
    >>> gradient, hessian = objective(np.array([1.0, 2.0]), np.array([0.0, 0.0]))
    >>> gradient, hessian
    (array([ 0., -1.], dtype=float32), array([1., 1.], dtype=float32))
    >>> objective.start_params([1.0, 3.0])
    {'init_score': array([0.69314718, 0.69314718])}
    """
    return _of(OBJECTIVES, library)(get_loss(loss), min_hessian)


def as_metric(loss, library, *, raw=True):
    """The mean of a loss as an evaluation metric of XGBoost, LightGBM or CatBoost.

    It works with the scikit-learn API and with the native API of each library. Smaller is better.

    Parameters
    ----------
    loss : str or Loss
        A loss, or a name of `LOSSES`.
    library : {"xgboost", "lightgbm", "catboost"}
    raw : bool, default=True
        Whether the library hands over raw predictions. It does beside an objective of
        `as_objective`; beside an objective of their own, XGBoost and LightGBM hand over
        predictions (``raw=False``), and CatBoost raw ones.

    Returns
    -------
    metric : callable (CatBoost: an object with `evaluate`, `get_final_error`, `is_max_optimal`)
        For ``eval_metric=`` of the scikit-learn API; ``custom_metric=`` of `xgboost.train`,
        ``feval=`` of `lightgbm.train`.

    Notes
    -----
    LightGBM measures its own metric too; ``metric="None"`` turns that off.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import as_metric
    >>> as_metric("mse", "lightgbm")(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    ('mse', 2.0, False)
    """
    return _of(METRICS, library)(get_loss(loss), raw)


# ------------------------------------------------------------------------------------------ PyTorch


def as_torch(loss, reduction="mean"):
    """A `torch.nn.Module` that runs the loss's compiled kernels on tensors of the CPU or of a CUDA
    device.

    The forward pass evaluates value and gradient at once, on the tensors' own memory; the backward
    pass returns that gradient.

    Parameters
    ----------
    loss : str or Loss
        A loss, or a name of `LOSSES`.
    reduction : {"mean", "sum", "none"}, default="mean"
        "mean" divides by the sum of the weights.

    Returns
    -------
    module : torch.nn.Module
        ``module(raw_prediction, y_true, sample_weight=None)``, in the order of torch's own losses.

        - `raw_prediction`, float32 or float64: any shape for a pointwise loss, (n_samples,
          n_classes) for a row-wise one.
        - `y_true`: the same shape; (n_samples,) class codes for a row-wise loss, or rows of
          probabilities where the loss takes them. There is no broadcasting.
        - `sample_weight`: the shape of the losses, that of `raw_prediction` or (n_samples,).

        A second backward pass (``create_graph=True``) works for pointwise losses by their hessian
        and for the cross-entropies of a softmax, and says so where there is none.

    Raises
    ------
    ImportError
        Where PyTorch is not installed.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from sklearn_losses import HuberLoss, as_torch
    >>> raw = torch.tensor([0.5, 3.0], requires_grad=True)  # doctest: +SKIP
    >>> as_torch(HuberLoss(delta=1.0))(raw, torch.zeros(2)).backward()  # doctest: +SKIP
    >>> raw.grad  # doctest: +SKIP
    tensor([0.2500, 0.5000])
    """
    from sklearn_losses._torch import TorchLoss

    return TorchLoss(get_loss(loss), reduction)
