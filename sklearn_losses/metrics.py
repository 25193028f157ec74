"""Losses as metrics and as scikit-learn scorers, generic over every loss."""

import warnings

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.pipeline import Pipeline

from sklearn_losses._array import (
    array_namespace,
    computing_on,
    device_array,
    in_namespace,
    kernel_array,
    on_device,
    to_host,
)
from sklearn_losses._sklearn_compat import BaseScorer
from sklearn_losses.losses import get_loss
from sklearn_losses.losses._arrays import finite, relative_weight

__all__ = ["d2_loss_score", "make_loss_scorer", "mean_loss"]


def _one_to_one(link):
    """Whether a probability tells the raw prediction: not where the link clips."""
    return not (link.interval_y_pred.low_inclusive or link.interval_y_pred.high_inclusive)


def raw_from_prediction(loss, y_pred):
    """Raw predictions of predictions, checked.

    Parameters
    ----------
    loss : Loss
    y_pred : array-like of shape (n_samples,) or (n_samples, n_classes)
        Probabilities are clipped to ``[eps, 1 - eps]``, eps being that of their dtype.

    Returns
    -------
    raw_prediction : array of shape (n_samples,) or (n_samples, n_classes)

    Raises
    ------
    ValueError
        Where a prediction is not one that the link can give.
    """
    if loss.reads_target and not loss.is_joint:
        raise ValueError(
            f"{type(loss).__name__}: y_pred must be raw predictions, a column for each of "
            f"{', '.join(loss.heads)}, with raw=True: what predict_raw returns"
        )
    # Of the type that rounded the probabilities, which may be one that the kernels do not take.
    eps = _eps(y_pred)
    y_pred = _columns_for(loss, finite(kernel_array(y_pred, "y_pred"), "y_pred"), "y_pred")
    interval = loss.interval_y_pred
    if not loss.gives_probability:
        _check_inside(loss, y_pred, interval.contains(y_pred), f"lie in {interval}")
        return loss.link.link(y_pred)
    _check_inside(loss, y_pred, (y_pred >= 0) & (y_pred <= 1), "be probabilities, in [0, 1]")
    if loss.is_multiclass:
        total = y_pred.sum(axis=1, dtype=np.float64)
        _check_inside(loss, total, abs(total - 1) <= eps**0.5, "have rows that sum to 1")
    if _one_to_one(loss.link):
        y_pred = array_namespace(y_pred).clip(y_pred, eps, 1 - eps)
    return loss.link.link(y_pred)


def _eps(x):
    """The relative precision of an array's numbers."""
    x = device_array(x) if on_device(x) else np.asarray(x)
    coarse = x.dtype in (np.float16, np.float32)
    return float(np.finfo(x.dtype if coarse else np.float64).eps)


def _check_inside(loss, values, inside, allowed):
    if not inside.all():
        first = np.unravel_index(int(inside.argmin()), inside.shape)
        raise ValueError(
            f"{type(loss).__name__}: y_pred must {allowed}; got {to_host(values[first])} at index "
            f"{', '.join(map(str, first))}"
        )


def _columns_for(loss, prediction, name):
    """One column for a pointwise loss, the second of two for the probability of a positive
    class."""
    if loss.is_multiclass or prediction.ndim == 1:
        return prediction
    if prediction.ndim == 2 and (
        prediction.shape[1] == 1 or (prediction.shape[1] == 2 and loss.task == "binary")
    ):
        return prediction[:, -1]
    columns = " or (n_samples, 2)" if loss.task == "binary" else ""
    raise ValueError(
        f"{type(loss).__name__}: {name} must have shape (n_samples,){columns}; "
        f"got {prediction.shape}"
    )


def encode(y_true, labels, name="labels"):
    """Position of each label in `labels`, as float64.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
    labels : array-like of shape (n_classes,)
    name : str
        What an error calls `labels`.

    Returns
    -------
    codes : array of shape (n_samples,)
        Where `y_true` is.
    """
    y_true = device_array(y_true) if on_device(y_true) else np.asarray(y_true)
    labels = np.asarray(to_host(labels))
    if y_true.ndim != 1:
        raise ValueError(f"y_true must hold labels, of shape (n_samples,); got {y_true.shape}")
    if on_device(y_true):
        return _encode_on_device(y_true, labels, name)
    code_of = {label: code for code, label in enumerate(labels.tolist())}
    found, position = np.unique(y_true, return_inverse=True)
    unknown = [label for label in found.tolist() if label not in code_of]
    if unknown:
        raise ValueError(f"y_true must hold labels of {name}={list(code_of)}; got {unknown[0]!r}")
    return np.array([code_of[label] for label in found.tolist()], dtype=np.float64)[position]


def _encode_on_device(y_true, labels, name):
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            f"y_true must hold labels of {name}={labels.tolist()}, which no array of a GPU holds; "
            f"got dtype {y_true.dtype}. Pass the labels as a NumPy array"
        )
    with computing_on(y_true=y_true) as xp:
        # In one type that holds both; a search in booleans is none.
        dtype = np.result_type(labels.dtype, y_true.dtype, np.int8)
        order = np.argsort(labels, kind="stable")
        ordered = xp.asarray(labels[order].astype(dtype))
        y_true = y_true.astype(dtype)
        position = xp.clip(xp.searchsorted(ordered, y_true), 0, len(labels) - 1)
        unknown = ordered[position] != y_true
        if unknown.any():
            found = to_host(y_true[unknown].min()).item()
            raise ValueError(f"y_true must hold labels of {name}={labels.tolist()}; got {found!r}")
        return xp.asarray(order.astype(np.float64))[position]


def _computing_on(y_true, y_pred, sample_weight):
    """The context that a metric works in. Labels of a kind that no array of a GPU holds may stay on
    the host; every other `y_true` has to be where the predictions are."""
    if on_device(y_pred) and not on_device(y_true):
        if np.asarray(y_true).dtype.kind not in "biufc":
            y_true = None
    return computing_on(y_true=y_true, y_pred=y_pred, sample_weight=sample_weight)


def _inputs(loss, y_true, y_pred, raw, labels):
    """Targets and raw predictions that the loss takes."""
    if labels is not None:
        if loss.task == "regression":
            raise ValueError(f"{type(loss).__name__}: labels must be None for a regression loss")
        n_classes = len(labels)
        if loss.task == "binary" and n_classes != 2:
            raise ValueError(
                f"{type(loss).__name__}: labels must hold 2 classes; got {n_classes}. A row-wise "
                "loss, as 'multinomial', takes more"
            )
        if loss.is_joint:
            y_true = loss._encoded(y_true, lambda y: encode(y, labels))
        else:
            y_true = encode(y_true, labels)
        if on_device(y_pred):
            y_true = in_namespace(y_true, array_namespace(y_pred))
    if raw:
        raw_prediction = _columns_for(loss, kernel_array(y_pred, "y_pred"), "y_pred")
    else:
        raw_prediction = raw_from_prediction(loss, y_pred)
    if labels is not None and loss.is_multiclass and raw_prediction.shape[1:] != (n_classes,):
        raise ValueError(
            f"y_pred must have {n_classes} columns, one a label; got shape {raw_prediction.shape}"
        )
    return y_true, raw_prediction


def _outputs(loss, y_pred):
    """The losses of the columns of `y_pred`, and the columns: one of each, unless a parameter of
    the loss holds several values."""
    if loss.is_multiclass or loss.is_joint or not loss._holds_several():
        return [loss], [y_pred]
    members = loss._members()
    y_pred = kernel_array(y_pred, "y_pred")
    if y_pred.ndim == 1 and len(members) == 1:
        return members, [y_pred]
    if y_pred.shape[1:] != (len(members),):
        raise ValueError(
            f"{loss!r}: y_pred must have shape (n_samples, {len(members)}), a column for each "
            f"value; got {y_pred.shape}"
        )
    return members, [y_pred[:, k] for k in range(len(members))]


def mean_loss(y_true, y_pred, *, loss, sample_weight=None, raw=False, labels=None):
    """Weighted mean of a loss.

    By default `y_pred` is what an estimator's `predict` (regression), `predict_proba` (a loss whose
    link gives probabilities) or `decision_function` (any other classification loss) returns, and
    goes through the loss's link; with ``raw=True`` it is in link space already.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_classes)
        Targets as the loss takes them: numbers, probabilities of the positive class, class codes,
        rows of probabilities; or labels of any type, where `labels` is given.
    y_pred : array-like of shape (n_samples,) or (n_samples, n_classes)
        Predictions; of a loss whose parameter holds several values, as ``PinballLoss([0.1, 0.9])``,
        a column for each. They may be on a CUDA device; then the other arrays have to be there too,
        but for labels that are strings. A binary loss also takes both columns of `predict_proba`.
        Probabilities are clipped to ``[eps, 1 - eps]``, eps being that of their dtype, as
        scikit-learn's `log_loss` does; each row must sum to 1.
    loss : str or Loss
        A loss, or a name of `LOSSES`.
    sample_weight : array-like of shape (n_samples,) or None, default=None
    raw : bool, default=False
        Whether `y_pred` is in link space.
    labels : array-like of shape (n_classes,) or None, default=None
        The classes in the order of the columns of `y_pred`, as an estimator's `classes_`. None:
        `y_true` holds numbers.

    Returns
    -------
    loss : float
        Of several values, the mean over them. Terms in y_true alone are left out where the loss
        leaves them out, so that it can be negative; `d2_loss_score` accounts for them.

    Raises
    ------
    ValueError
        Where a target lies outside the loss's domain, or a prediction is not one that the link can
        give (as 0 with a log link).

    Examples
    --------
    >>> from sklearn_losses import PinballLoss, mean_loss
    >>> mean_loss([1.0, 2.0], [0.0, 2.0], loss=PinballLoss(quantile=0.75))
    0.375
    >>> proba = [[0.9, 0.1], [0.2, 0.8]]
    >>> round(mean_loss(["no", "yes"], proba, loss="log_loss", labels=["no", "yes"]), 6)
    0.164252
    """
    loss = get_loss(loss)
    with _computing_on(y_true, y_pred, sample_weight):
        means = [
            member(*_inputs(member, y_true, column, raw, labels), sample_weight)
            for member, column in zip(*_outputs(loss, y_pred), strict=True)
        ]
        return sum(means) / len(means)


def d2_loss_score(y_true, y_pred, *, loss, sample_weight=None, raw=False, labels=None, offset=None):
    """Skill of predictions: the fraction of the loss that they save beside the best constant.

    ``1 - L(y_true, y_pred) / L(y_true, constant)``, where the constant is that of
    `Loss.fit_intercept_only` on `y_true` itself, and both losses are counted from the loss of a
    perfect prediction. 1 is perfect, 0 as good as the constant, and there is no lower bound. With
    squared error it is R², with the loss of a generalised linear model 1 - deviance / null
    deviance.

    Parameters
    ----------
    y_true, y_pred, loss, sample_weight, raw, labels : see `mean_loss`
    offset : array-like of shape (n_samples,) or None, default=None
        What the model's raw predictions had added, in link space, as the logarithm of an exposure:
        the constant is compared with it added too, so that the offset alone is no skill. For
        several values or classes, also a column for each.

    Returns
    -------
    score : float
        Of several values, the mean over them. NaN, with a warning, for less than two samples. Where
        the constant is perfect: 1 if the predictions are, else 0.

    Raises
    ------
    ValueError
        As in `mean_loss`; where `offset` does not fit, or is not finite.

    Examples
    --------
    >>> from sklearn_losses import d2_loss_score
    >>> round(d2_loss_score([1.0, 2.0, 4.0], [1.0, 2.0, 3.0], loss="squared_error"), 6)
    0.785714
    >>> round(d2_loss_score([1.0, 2.0, 4.0], [1.0, 2.0, 3.0], loss="poisson"), 6)
    0.84933
    """
    loss = get_loss(loss)
    with _computing_on(y_true, y_pred, sample_weight):
        members, columns = _outputs(loss, y_pred)
        offsets = [offset] * len(members)
        if offset is not None and not loss.is_multiclass and len(np.shape(offset)) == 2:
            offset = kernel_array(offset, "offset")
            if offset.shape[1] != len(members):
                raise ValueError(
                    f"offset must have a column for each of {len(members)} values; "
                    f"got shape {offset.shape}"
                )
            offsets = [offset[:, k] for k in range(len(members))]
        skills = []
        for member, column, beside in zip(members, columns, offsets, strict=True):
            y, raw_prediction = _inputs(member, y_true, column, raw, labels)
            skills.append(_skill(member, y, raw_prediction, sample_weight, beside))
        if np.isnan(skills).any() and raw_prediction.shape[0] < 2:
            warnings.warn(
                "D^2 is not defined for less than two samples", UndefinedMetricWarning, stacklevel=2
            )
        return sum(skills) / len(skills)


def _skill(loss, y_true, raw_prediction, sample_weight, offset):
    """The fraction of a loss that raw predictions save, NaN for less than two samples."""
    xp = array_namespace(raw_prediction)
    y_true = kernel_array(y_true, "y_true")
    value = loss(y_true, raw_prediction, sample_weight)
    if raw_prediction.shape[0] < 2:
        return float("nan")
    if loss.is_multiclass:
        loss = loss._for_classes(raw_prediction.shape[1])
    constant = loss.fit_intercept_only(y_true, sample_weight, offset)
    if offset is None:
        constant = xp.full(raw_prediction.shape, constant)
    else:
        offset = kernel_array(offset, "offset")
        if offset.ndim < raw_prediction.ndim:
            offset = offset[:, None]
        constant = xp.ascontiguousarray(offset + constant)
    worst = loss(y_true, constant, sample_weight)
    best = loss.constant_to_optimal_zero(y_true)
    if sample_weight is not None:
        sample_weight = relative_weight(xp.asarray(sample_weight))
    best = float(xp.average(best, weights=sample_weight))
    if not np.isfinite(best):
        raise ValueError(
            f"{type(loss).__name__} has no least value for these targets, and so no share of it "
            "that predictions save"
        )
    # What is left of two equal sums after rounding is no skill.
    rounding = 8 * np.finfo(raw_prediction.dtype).eps * (abs(worst) + abs(best))
    if worst + best <= rounding or (offset is None and bool((y_true == y_true[0]).all())):
        return 1.0 if value <= worst + rounding else 0.0
    return 1 - (value + best) / (worst + best)


# ------------------------------------------------------------------------------------------ scorers


def fitted_with_offset(estimator):
    """Whether an estimator, or what a pipeline or a search has fitted in the end, had an offset.

    Parameters
    ----------
    estimator : object

    Returns
    -------
    with_offset : bool
    """
    return bool(getattr(final_estimator(estimator), "_fitted_with_offset", False))


def final_estimator(estimator):
    """What a pipeline or a search has fitted in the end."""
    return _before_the_last(estimator)[1]


def _before_the_last(estimator, X=None):
    """X as the last estimator of pipelines and searches takes it, and that estimator."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            if X is not None and len(estimator) > 1:
                X = estimator[:-1].transform(X)
            estimator = estimator[-1]
        else:
            return X, estimator


def _signature(y_true, y_pred, sample_weight=None, offset=None):
    """What scikit-learn reads which metadata a scorer takes from."""


class LossScorer(BaseScorer):
    """A scikit-learn scorer: minus the mean of a loss. `make_loss_scorer` makes one.

    Parameters
    ----------
    loss : Loss or None
        None: that which the estimator was fitted with.
    response_method : {"predict", "predict_proba", "decision_function"} or None
    """

    def __init__(self, loss, response_method=None):
        if response_method is not None:
            methods = [response_method]
        elif loss is None:
            methods = ["predict"]
        elif loss.reads_target and not loss.is_joint:
            methods = ["predict_raw"]
        elif loss.task == "regression":
            methods = ["predict"]
        elif not loss.gives_probability:
            methods = ["decision_function", "predict"]
        elif _one_to_one(loss.link):
            methods = ["predict_proba", "predict"]
        else:
            methods = ["decision_function", "predict_proba", "predict"]
        super().__init__(_signature, -1, {}, methods)
        self._loss = loss
        self._given = response_method

    def __repr__(self):
        given = f", response_method={self._given!r}" if self._given else ""
        return f"make_loss_scorer({self._loss!r}{given})"

    def __sklearn_clone__(self):
        # A loss may hold C functions, which have no copy.
        copy = type(self)(self._loss if self._loss is None else clone(self._loss), self._given)
        if hasattr(self, "_metadata_request"):
            copy._metadata_request = self._metadata_request
        return copy

    def __call__(self, estimator, X, y_true, sample_weight=None, *, offset=None, **kwargs):
        """Minus the mean loss of an estimator's predictions.

        Parameters
        ----------
        estimator : object
            A fitted estimator.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y_true : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None
        offset : array-like of shape (n_samples,) or None, default=None
            What `estimator` is given as `offset` where it predicts.
        **kwargs
            Anything else is refused.

        Returns
        -------
        score : float

        Raises
        ------
        ValueError
            Where the estimator was fitted with an offset and there is none to score it with, and
            where a prediction is not one that the link can give. Where the loss is of another
            distribution than the estimator's, whose raw predictions would mean something else.
        AttributeError
            Where the loss is None and the estimator has no `loss_`.
        """
        if self._loss is None:
            given = {"sample_weight": sample_weight, "offset": offset, **kwargs}
            scorer = LossScorer(final_estimator(estimator).loss_, self._given)
            return scorer(estimator, X, y_true, **given)
        if offset is not None:
            weight = {} if sample_weight is None else {"sample_weight": sample_weight}
            return self._score(None, estimator, X, y_true, offset=offset, **weight, **kwargs)
        return super().__call__(estimator, X, y_true, sample_weight=sample_weight, **kwargs)

    def _response(self, method_caller, estimator, method, X, offset):
        if method == "predict_raw":  # which pipelines do not hand on
            X, estimator = _before_the_last(estimator, X)
            self._check_means(estimator)
        if offset is not None:
            # Past the cache, which knows no offset.
            while hasattr(estimator, "best_estimator_"):
                estimator = estimator.best_estimator_
            return getattr(estimator, method)(X, offset=offset)
        if fitted_with_offset(estimator):
            raise ValueError(
                f"{type(estimator).__name__} was fitted with an offset, and would be scored "
                "without one. Pass it: scorer(estimator, X, y, offset=offset). A search passes it "
                "with sklearn.set_config(enable_metadata_routing=True), "
                "estimator.set_fit_request(offset=True) and scorer.set_score_request(offset=True)"
            )
        if method == "predict_raw":
            return estimator.predict_raw(X)
        return method_caller(estimator, method, X)

    def _check_means(self, estimator):
        """Raise where the estimator's raw predictions are parameters of another distribution."""
        own = getattr(estimator, "loss_", None)
        meaning = getattr(own, "_raw_meaning", lambda: None)()
        if own is not None and meaning != self._loss._raw_meaning():
            raise ValueError(
                f"{self._loss!r} cannot judge the raw predictions of a model of {own!r}: they mean "
                "something else. make_loss_scorer(None) judges each model by the loss that it was "
                "fitted with"
            )

    def _method(self, estimator):
        """Name of the method that is judged."""
        methods = self._response_method
        estimator = final_estimator(estimator) if methods == ["predict_raw"] else estimator
        if self._loss.task != "regression" and self._given is None:
            # What `predict` of a classifier returns are labels; of any other, what the link gives.
            judges_labels = is_classifier(estimator)
            methods = [name for name in methods if (name != "predict") == judges_labels]
        for method in methods:
            if hasattr(estimator, method):
                return method
        raise AttributeError(
            f"{type(estimator).__name__} has no {' or '.join(methods)}, which "
            f"{type(self._loss).__name__} judges"
        )

    def _score(self, method_caller, estimator, X, y_true, offset=None, **kwargs):
        loss = self._loss
        method = self._method(estimator)
        response = self._response(method_caller, estimator, method, X, offset)
        response = device_array(response) if on_device(response) else np.asarray(response)
        labels = None
        if loss.task != "regression" and is_classifier(estimator):
            labels = estimator.classes_
            # Of two classes scikit-learn gives the second one's alone.
            if loss.is_multiclass and len(labels) == 2 and response.ndim == 1:
                xp = array_namespace(response)
                first = 1 - response if method == "predict_proba" else xp.zeros_like(response)
                response = xp.stack([first, response], axis=1)
        return -mean_loss(
            y_true,
            response,
            loss=loss,
            raw=method in ("decision_function", "predict_raw"),
            labels=labels,
            **kwargs,
        )


def make_loss_scorer(loss, *, response_method=None):
    """A scikit-learn scorer from a loss: minus its weighted mean, so that greater is better.

    For `scoring=` in `GridSearchCV`, `cross_validate`, `permutation_importance`, `RidgeCV` and the
    like. It takes `sample_weight` and `offset` as metadata
    (``set_score_request(sample_weight=True, offset=True)`` where metadata routing is enabled), can
    be pickled and cloned, and encodes labels of any type through the estimator's `classes_`. Of a
    loss whose parameter holds several values it judges as many columns, by the mean over them.

    Parameters
    ----------
    loss : str, Loss or None
        A loss, or a name of `LOSSES`. None: the one that the estimator was fitted with, its
        `loss_`: to choose between losses that are likelihoods, constants included, such as
        `GaussianNLL`, `StudentTNLL` and `LaplaceNLL`. It says nothing of losses of other kinds.
    response_method : {"predict", "predict_proba", "decision_function"} or None, default=None
        What is judged. What `decision_function` returns is taken as raw predictions; all else goes
        through the loss's link. None chooses by the loss:

        - a regression loss, and any loss with an estimator that is no classifier: `predict`;
        - a loss whose link gives probabilities: `predict_proba`, clipped to ``[eps, 1 - eps]``, eps
          being that of its dtype, as scikit-learn's `log_loss` does;
        - any other loss: `decision_function`, as margins or as a score for each class;
        - a loss whose probabilities do not tell all raw predictions apart (`ModifiedHuber`,
          `FocalLoss`, `MulticlassFocal`, `AsymmetricLoss`, `LDAM`, `HalfMultinomialLoss` with
          smoothing): `decision_function`, or `predict_proba` where there is none.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y_true, sample_weight=None, offset=None)`` gives a float. It raises a
        ValueError where a prediction is not one that the link can give, such as 0 with a log link,
        and where an estimator of this package was fitted with an offset and is scored without one.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn_losses import PinballLoss, make_loss_scorer
    >>> scorer = make_loss_scorer(PinballLoss(quantile=0.9))
    >>> scorer
    make_loss_scorer(PinballLoss(quantile=0.9))
    >>> model = DummyRegressor(strategy="quantile", quantile=0.9)
    >>> cross_val_score(model, *load_diabetes(return_X_y=True), scoring=scorer, cv=3).round(2)
    array([-14.68, -14.37, -12.97])
    """
    loss = None if loss is None else get_loss(loss)
    allowed = ("predict", "predict_proba", "decision_function", None)
    if response_method not in allowed:
        raise ValueError(f"response_method must be one of {allowed}; got {response_method!r}")
    return LossScorer(loss, response_method)
