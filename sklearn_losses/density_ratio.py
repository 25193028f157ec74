"""Density ratios by losses that tell two samples apart: weights for covariate shift."""

import warnings

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import ClassifierTags, check_consistent_length, column_or_1d, get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from sklearn_losses._array import array_namespace, check_on_host, on_its_device
from sklearn_losses._interval import POSITIVE, UNIT, UNIT_LEFT_OPEN, UNIT_RIGHT_OPEN
from sklearn_losses._parameters import check_number
from sklearn_losses._sklearn_compat import check_sample_weight
from sklearn_losses.linear_model import SGDClassifierX
from sklearn_losses.links import Link, LogitLink
from sklearn_losses.losses._arrays import finite, relative_weight, x_log_x
from sklearn_losses.losses.custom import CustomLoss

__all__ = ["DensityRatio", "KLIEPLoss", "LSIFLoss", "effective_sample_size"]


class _OddsLink(Link):
    """y_pred = raw / (1 + raw): the raw prediction is the odds; below 0 they are 0."""

    interval_y_pred = UNIT_RIGHT_OPEN
    gives_probability = True

    @on_its_device
    def link(self, y_pred):
        y_pred = array_namespace(y_pred).asarray(y_pred)
        return y_pred / (1 - y_pred)

    @on_its_device
    def inverse(self, raw_prediction):
        xp = array_namespace(raw_prediction)
        odds = xp.maximum(xp.asarray(raw_prediction), 0)
        return odds / (1 + odds)


class _RatioLoss(CustomLoss):
    """What the losses of a density ratio share."""

    task = "binary"
    interval_y_true = UNIT
    convex = True


class KLIEPLoss(_RatioLoss):
    """The Kullback-Leibler importance estimation procedure as a loss of two classes.

    - Domain: y_true in [0, 1].
    - Link: logit; the raw prediction is the logarithm of the odds, so that `predict` gives the
      probability of the positive class.
    - Formula: ``(1 - y_true) * exp(raw) - y_true * raw``.

    In a linear model with an intercept the odds are the weights of a log-linear KLIEP: those that
    bring the Kullback-Leibler divergence of the weighted source sample from the target one to its
    least. It is steeper than the log loss where the odds are large, and noisier where the two
    samples overlap little.

    References
    ----------
    Sugiyama, M. et al. (2008). Direct importance estimation for covariate shift adaptation. Annals
    of the Institute of Statistical Mathematics 60, 699-746.

    Menon, A. K. and Ong, C. S. (2016). Linking losses for density ratio and class-probability
    estimation. ICML, section 5.

    Examples
    --------
    >>> from sklearn_losses import KLIEPLoss
    >>> KLIEPLoss()([0, 1], [0.0, 2.0])
    -0.5
    """

    name = "kliep"
    link = LogitLink()

    def value(self, y_true, raw_prediction):
        return self.second_derivative(y_true, raw_prediction) - y_true * raw_prediction

    def derivative(self, y_true, raw_prediction):
        return self.second_derivative(y_true, raw_prediction) - y_true

    def second_derivative(self, y_true, raw_prediction):
        with np.errstate(over="ignore"):  # an optimizer's steps may go far
            return (1 - y_true) * array_namespace(raw_prediction).exp(raw_prediction)

    def _minus_best_value(self, y):
        with np.errstate(divide="ignore"):  # without bound at 1
            return x_log_x(y) - y * array_namespace(y).log1p(-y) - y


class LSIFLoss(_RatioLoss):
    """Least squares importance fitting as a loss of two classes.

    - Domain: y_true in [0, 1].
    - Link: the raw prediction is the odds; `predict` gives the probability of the positive class,
      ``odds / (1 + odds)``, and 0 where the raw prediction is below 0.
    - Formula: ``(1 - y_true) * raw**2 / 2 - y_true * raw``.

    With an L2 penalty it is unconstrained least squares importance fitting, uLSIF. A linear model
    of raw columns seldom suits a ratio: put kernels or splines before it.

    References
    ----------
    Kanamori, T., Hido, S. and Sugiyama, M. (2009). A least-squares approach to direct importance
    estimation. Journal of Machine Learning Research 10, 1391-1445.

    Menon, A. K. and Ong, C. S. (2016). Linking losses for density ratio and class-probability
    estimation. ICML, section 5.

    Examples
    --------
    >>> from sklearn_losses import LSIFLoss
    >>> LSIFLoss()([0, 1], [1.0, 2.0])
    -0.75
    """

    name = "lsif"
    link = _OddsLink()

    def value(self, y_true, raw_prediction):
        return (0.5 * (1 - y_true) * raw_prediction - y_true) * raw_prediction

    def derivative(self, y_true, raw_prediction):
        return (1 - y_true) * raw_prediction - y_true

    def second_derivative(self, y_true, raw_prediction):
        # NaN in, NaN out.
        return array_namespace(raw_prediction).where(
            raw_prediction == raw_prediction, 1 - y_true, raw_prediction
        )

    def _minus_best_value(self, y):
        with np.errstate(divide="ignore"):  # without bound at 1
            return y**2 / (2 * (1 - y))


def effective_sample_size(sample_weight):
    """How many samples of equal weight would give a weighted mean of the same variance.

    It is ``sum(w)**2 / sum(w**2)``: the number of samples where all weights are equal, and 1 where
    one sample has all the weight.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,)
        Finite, not negative, not all zero.

    Returns
    -------
    size : float

    Raises
    ------
    ValueError
        For other weights.

    References
    ----------
    Kish, L. (1965). Survey Sampling. Wiley, section 11.7.

    Examples
    --------
    >>> from sklearn_losses import effective_sample_size
    >>> effective_sample_size([1, 1, 1, 1]), effective_sample_size([1, 3])
    (4.0, 1.6)
    """
    check_on_host("effective_sample_size", sample_weight=sample_weight)
    weight = column_or_1d(np.asarray(sample_weight, dtype=np.float64))
    weight = finite(weight, "sample_weight")
    if (weight < 0).any() or not weight.any():
        raise ValueError("sample_weight must not be negative, nor all zero")
    weight = relative_weight(weight)  # neither the sum nor the squares overflow
    return float(weight.sum() ** 2 / (weight**2).sum())


class DensityRatio(MetaEstimatorMixin, BaseEstimator):
    """The ratio of two densities by a classifier: weights for covariate shift.

    ``ratio(x) = p_target(x) / p_source(x)``: source samples with these weights stand for target
    ones. A classifier that tells target from source samples knows it, as its odds, times the number
    of source samples over that of target ones [1]_. It is a linear model of the log loss unless
    another is given; any that has `predict_proba` can be, of any loss that gives probabilities:
    each of them is a Bregman divergence from the true ratio [2]_, and the losses differ in which
    ratios they take most care of.

    Parameters
    ----------
    estimator : classifier or None, default=None
        With `predict_proba`. None: ``make_pipeline(StandardScaler(with_mean=False),
        SGDClassifierX("log_loss", optimizer="auto"))``, whose logarithm of the ratio is linear.
    power : float, default=1.0
        The ratios are raised to it; in (0, 1]. Below 1 the weights have less variance and more bias
        [3]_.
    clip : float or None, default=None
        Ratios above it are set to it; in (0, inf). After `power`.
    normalize : bool, default=True
        Whether weights are divided by their mean over the source samples of `fit`, so that it is
        1. After `clip`.

    Attributes
    ----------
    estimator_ : classifier
        Fitted to 0 for source and 1 for target samples.
    classes_ : ndarray of shape (2,)
        The labels of source and target.
    odds_scale_ : float
        What odds are multiplied with: the source samples' total weight over the target samples'.
    mean_weight_ : float
        What weights are divided by; 1 without `normalize`.
    effective_sample_size_ : float
        That of the source samples of `fit` with their weights: `effective_sample_size`.
    n_features_in_ : int
        Where `estimator_` has it.
    feature_names_in_ : ndarray of shape (n_features,)
        Where `estimator_` has it.

    See Also
    --------
    KLIEPLoss, LSIFLoss : Losses that estimate the ratio directly.
    effective_sample_size : What weights leave of a sample.

    Notes
    -----
    A classifier that learns its samples by heart, such as a forest, takes source samples for what
    they are, and its weights there fall short. `cross_val_predict` gives weights of models that
    have not seen the sample, as `fit` takes both samples stacked. A search takes
    ``cv=StratifiedKFold(shuffle=True)``, as both samples have to be in every fold.

    References
    ----------
    .. [1] Bickel, S., Brückner, M. and Scheffer, T. (2009). Discriminative learning under covariate
       shift. Journal of Machine Learning Research 10, 2137-2155.
    .. [2] Menon, A. K. and Ong, C. S. (2016). Linking losses for density ratio and
       class-probability estimation. ICML.
    .. [3] Shimodaira, H. (2000). Improving predictive inference under covariate shift by weighting
       the log-likelihood function. Journal of Statistical Planning and Inference 90, 227-244.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import DensityRatio
    >>> rng = np.random.RandomState(0)
    >>> X_source, X_target = rng.normal(size=(500, 1)), rng.normal(0.5, size=(500, 1))
    >>> ratio = DensityRatio().fit_samples(X_source, X_target)
    >>> ratio.predict([[-1.0], [0.25], [1.0]]).round(2)
    array([0.56, 1.02, 1.45])
    >>> round(ratio.effective_sample_size_)
    402
    """

    def __init__(self, estimator=None, *, power=1.0, clip=None, normalize=True):
        self.estimator = estimator
        self.power = power
        self.clip = clip
        self.normalize = normalize

    def fit_samples(self, X_source, X_target, *, source_weight=None, target_weight=None):
        """Fit to two samples.

        Parameters
        ----------
        X_source, X_target : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Both of one kind; with any numbers of samples.
        source_weight, target_weight : array-like of shape (n_samples,) or None, default=None
            As `sample_weight` of `fit`.

        Returns
        -------
        self : DensityRatio

        Raises
        ------
        TypeError, ValueError
            As of `fit`, and where the two samples cannot be stacked.
        """
        check_on_host(
            "DensityRatio",
            X_source=X_source,
            X_target=X_target,
            source_weight=source_weight,
            target_weight=target_weight,
        )
        n_source, n_target = _rows("X_source", X_source), _rows("X_target", X_target)
        weight = None
        if source_weight is not None or target_weight is not None:
            weight = np.concatenate(
                [
                    np.ones(n) if part is None else check_sample_weight(part, X)
                    for part, n, X in (
                        (source_weight, n_source, X_source),
                        (target_weight, n_target, X_target),
                    )
                ]
            )
        y = np.repeat([0, 1], [n_source, n_target])
        return self._fit(_stacked(X_source, X_target), y, weight)

    def fit(self, X, y, sample_weight=None):
        """Fit to both samples stacked.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Two labels, the lesser of source and the greater of target samples: 0 and 1, or "source"
            and "target".
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Of the samples in their densities; not negative. Handed to the estimator; to all steps
            that take it where that is a Pipeline.

        Returns
        -------
        self : DensityRatio

        Raises
        ------
        TypeError
            Where the estimator has no `predict_proba`, or takes no `sample_weight`.
        ValueError
            For a parameter outside its range, labels that are not two, a sample without weight, and
            odds that are infinite at source samples, where there is no ratio.

        Warns
        -----
        UserWarning
            Where the mean of the ratios over the source samples, before `power` and `clip`, is far
            from the 1 that it is for densities, below 0.5 or above 2: the two samples hardly
            overlap, or the estimator knows its samples by heart or does not fit.
        """
        return self._fit(X, y, sample_weight)

    def _fit(self, X, y, sample_weight):
        """`fit`, whose caller's caller is warned."""
        check_on_host("DensityRatio", X=X, y=y, sample_weight=sample_weight)
        settings = self._settings()
        if y is None:
            raise ValueError(
                "DensityRatio requires y to be passed, but the target y is None: labels of source "
                "and target samples. For two samples there is fit_samples"
            )
        shape = np.asarray(y).shape
        if len(shape) == 2 and shape[1] > 1:
            raise ValueError(
                f"y should be a 1d array, got an array of shape {shape} instead: labels of the "
                "rows of X. For two samples there is fit_samples"
            )
        y = column_or_1d(y, warn=True)
        _rows("X", X)
        check_consistent_length(X, y)
        classes, codes = _two_labels(y)
        estimator = self._made()
        if isinstance(estimator, type) or not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"estimator must be a classifier with predict_proba; got {estimator!r}, which has "
                "none"
            )
        estimator = clone(estimator)
        weight = None
        if sample_weight is not None:
            weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
        masses = np.bincount(codes, weight, minlength=2)
        if not masses.all():
            raise ValueError(
                f"sample_weight must not be zero for all samples of the label "
                f"{classes[masses == 0].tolist()[0]!r}"
            )
        with config_context(enable_metadata_routing=False):
            estimator.fit(X, codes, **_fit_weights(estimator, weight))
        scale = float(masses[0] / masses[1])
        source = codes == 0 if weight is None else (codes == 0) & (weight > 0)
        plain = _odds(estimator, X, scale)[source].astype(np.float64)
        ratios = _tamed(plain, *settings)
        if not np.isfinite(ratios).all():
            raise ValueError(
                f"the ratio is infinite at {np.count_nonzero(np.isinf(ratios))} source samples, "
                "which the estimator takes for target ones with certainty. Regularise it more, or "
                "set clip"
            )
        own = np.ones(len(ratios)) if weight is None else weight[source].astype(np.float64)
        if not (own * ratios).any():
            raise ValueError(
                "the ratio is 0 at all source samples: the two samples do not overlap where the "
                "estimator looks"
            )
        total = float(np.average(plain, weights=own))
        if not 0.5 <= total <= 2:
            warnings.warn(
                f"The ratios have the mean {total:.3g} over the source samples, where those of two "
                "densities have 1: the samples hardly overlap, or the estimator knows them by "
                "heart or does not fit. Weights may mean little",
                UserWarning,
                stacklevel=3,
            )
        mean = float(np.average(ratios, weights=own)) if self.normalize else 1.0
        self.estimator_, self.classes_, self.odds_scale_ = estimator, classes, scale
        self.mean_weight_, self._fitted_settings = mean, settings
        self.effective_sample_size_ = effective_sample_size(own * ratios)
        return self

    def _made(self):
        """The estimator, or the one that None stands for."""
        if self.estimator is not None:
            return self.estimator
        classifier = SGDClassifierX("log_loss", optimizer="auto")
        return make_pipeline(StandardScaler(with_mean=False), classifier)

    def _settings(self):
        """Power and clip, checked."""
        if not isinstance(self.normalize, bool | np.bool_):
            raise ValueError(f"DensityRatio: normalize must be a bool; got {self.normalize!r}")
        power = check_number("DensityRatio", "power", self.power, UNIT_LEFT_OPEN)
        if self.clip is None:
            return power, None
        return power, check_number("DensityRatio", "clip", self.clip, POSITIVE, " or None")

    def predict(self, X):
        """Weights: the ratio of the densities, clipped and normalised.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)

        Returns
        -------
        weights : ndarray of shape (n_samples,)
            In the dtype of the estimator's probabilities; infinite where that of the source is 0,
            unless there is `clip`.
        """
        check_is_fitted(self)
        check_on_host("DensityRatio", X=X)
        ratio = _tamed(_odds(self.estimator_, X, self.odds_scale_), *self._fitted_settings)
        return ratio / ratio.dtype.type(self.mean_weight_)

    def score(self, X, y, sample_weight=None):
        """A lower bound of the Kullback-Leibler divergence of target from source, in nats.

        ``mean(log(weights))`` over target samples, less ``mean(weights) - 1`` over source samples:
        0 for weights of 1, and on average at its greatest, the divergence, for the true ratio.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of source and target samples, as in `fit`; there must be both.
        sample_weight : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        score : float
            Minus infinity where the weight of a target sample is 0, as `LSIFLoss` can make it.

        References
        ----------
        Nguyen, X., Wainwright, M. J. and Jordan, M. I. (2010). Estimating divergence functionals
        and the likelihood ratio by convex risk minimization. IEEE Transactions on Information
        Theory 56, 5847-5861.
        """
        weights = self.predict(X).astype(np.float64)
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        sides = [y == label for label in self.classes_]
        if not (sides[0] | sides[1]).all() or not all(side.any() for side in sides):
            raise ValueError(
                f"y must hold both labels {self.classes_.tolist()} and no other; got "
                f"{np.unique(y).tolist()}. In a search take cv=StratifiedKFold(shuffle=True)"
            )
        own = np.ones(len(y))
        if sample_weight is not None:
            own = check_sample_weight(sample_weight, X, ensure_non_negative=True)
            if not all(own[side].any() for side in sides):
                raise ValueError("sample_weight must not be zero for all samples of a label")
        with np.errstate(divide="ignore"):
            terms = weights[sides[0]] - 1, np.log(weights[sides[1]])
        of_source, of_target = (
            np.average(term, weights=own[side]) for term, side in zip(terms, sides, strict=True)
        )
        return float(of_target - of_source)

    @property
    def n_features_in_(self):
        check_is_fitted(self)
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self):
        check_is_fitted(self)
        return self.estimator_.feature_names_in_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self._made()).input_tags
        tags.target_tags.required = True
        tags.classifier_tags = ClassifierTags(multi_class=False)
        return tags


def _odds(estimator, X, scale):
    """Ratios of the densities."""
    proba = estimator.predict_proba(X)
    with np.errstate(divide="ignore", over="ignore"):
        return proba[:, 1] / proba[:, 0] * proba.dtype.type(scale)


def _tamed(ratio, power, clip):
    """Ratios after `power` and `clip`."""
    ratio = ratio**power
    return ratio if clip is None else np.minimum(ratio, ratio.dtype.type(clip))


def _fit_weights(estimator, weight):
    """The arguments of `fit` by which an estimator gets weights."""
    if weight is None:
        return {}
    steps = estimator.steps if isinstance(estimator, Pipeline) else [(None, estimator)]
    steps = [(name, step) for name, step in steps if has_fit_parameter(step, "sample_weight")]
    if not steps or (isinstance(estimator, Pipeline) and steps[-1][0] != estimator.steps[-1][0]):
        raise TypeError(f"sample_weight was given, which {estimator!r} does not take")
    return {
        "sample_weight" if name is None else f"{name}__sample_weight": weight for name, _ in steps
    }


def _rows(name, X):
    """The number of rows of X, or the error that says that it has none."""
    shape = getattr(X, "shape", None) or np.asarray(X).shape
    if len(shape) == 0 or shape[0] == 0:
        raise ValueError(f"{name} must hold at least one sample; got shape {tuple(shape)}")
    return shape[0]


def _two_labels(y):
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("y must hold two labels; Input y contains NaN or infinity")
    try:
        classes, codes = np.unique(y, return_inverse=True)
    except TypeError as error:
        raise TypeError("y must hold labels of one type, which can be sorted") from error
    if len(classes) != 2:
        raise ValueError(
            "y must hold two labels, those of source and target samples; "
            f"got {len(classes)} class{'es' * (len(classes) != 1)}: {classes[:5].tolist()}"
        )
    return classes, codes


def _stacked(source, target):
    """Both samples, one above the other."""
    kinds = [_kind(source), _kind(target)]
    if kinds[0] != kinds[1]:
        raise TypeError(f"X_source and X_target must be of one kind; got {kinds[0]} and {kinds[1]}")
    return _STACKS[kinds[0]](source, target)


def _kind(X):
    if hasattr(X, "iloc"):
        return "a DataFrame"
    return "a sparse matrix" if hasattr(X, "tocsr") else "an array"


def _stacked_frames(source, target):
    import pandas as pd

    if list(source.columns) != list(target.columns):
        raise ValueError(
            "X_source and X_target must have the same columns in the same order; got "
            f"{list(source.columns)} and {list(target.columns)}"
        )
    return pd.concat([source, target], ignore_index=True)


def _stacked_sparse(source, target):
    from scipy import sparse

    _check_columns(source, target)
    return sparse.vstack([source, target], format="csr")


def _stacked_arrays(source, target):
    source, target = np.asarray(source), np.asarray(target)
    _check_columns(source, target)
    return np.concatenate([source, target])


def _check_columns(source, target):
    if source.ndim != target.ndim or source.shape[1:] != target.shape[1:]:
        raise ValueError(
            f"X_source and X_target must have the same features; got shapes {source.shape} and "
            f"{target.shape}"
        )


_STACKS = {
    "a DataFrame": _stacked_frames,
    "a sparse matrix": _stacked_sparse,
    "an array": _stacked_arrays,
}
