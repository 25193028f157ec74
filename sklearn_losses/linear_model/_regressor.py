"""Linear regression by stochastic gradient descent."""

from dataclasses import replace

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted

from sklearn_losses._array import (
    array_namespace,
    check_on_host,
    computing_on,
    device_array,
    in_namespace,
    on_device,
)
from sklearn_losses._sklearn_compat import fit_context
from sklearn_losses._solvers import ONE_SAMPLE
from sklearn_losses._solvers.data import Data
from sklearn_losses._solvers.reference import in_range
from sklearn_losses.linear_model._base import MAX_INT, BaseSGD
from sklearn_losses.linear_model._docs import documented
from sklearn_losses.linear_model._heads import (
    moved,
    offset_of_heads,
    over_unit,
    read_data,
    target_unit,
    validated,
)
from sklearn_losses.linear_model._outcome import wait
from sklearn_losses.linear_model._parameters import (
    gives_distribution,
    gives_survival,
    reads_target,
    takes_streams,
)
from sklearn_losses.linear_model._request import Judged, Request, Samples
from sklearn_losses.linear_model._scores import d2, r2, summable
from sklearn_losses.linear_model._validation import one_column, shape_of, with_offset
from sklearn_losses.links import IdentityLink


@documented(passive_aggressive_loss="epsilon_insensitive")
class SGDRegressorX(RegressorMixin, BaseSGD):
    """Linear model of any regression loss, trained by stochastic gradient descent.

    It minimises ``mean(sample_weight * loss(y, X @ coef_ + intercept_ + offset)) + alpha *
    penalty(coef_)``; `predict` applies the loss's inverse link.

    Parameters
    ----------
    loss : str, Loss or LossSchedule, default="squared_error"
        A name in `sklearn_losses.LOSSES`, or a loss object, whose parameters can be searched over
        as ``loss__delta``. Losses of the probability of a class are accepted too: y is then in
        [0, 1]. A parameter that holds several values, ``PinballLoss(quantile=[0.1, 0.5, 0.9])``,
        gives an output for each.
    <penalties>
    n_jobs : int or None, default=None
        Threads that share a batch of dense rows, where that is faster; joblib's meaning. Results do
        not depend on it, and fits on a device do not use it.
    random_state : int, RandomState instance or None, default=None
        Seeds the shuffling and the choice of validation samples.
    learning_rate : str or Schedule, default="invscaling"
    <schedules>
    eta0 : float, default=0.01
        In (0, inf), in units of the scaled coordinates (of the coefficients in scikit-learn's
        algorithm). Not used by "optimal".
    power_t : float, default=0.25
        The exponent of "invscaling". Negative values are deprecated.
    early_stopping : bool, default=False
        Whether to hold out samples and to stop on their score (that of the method `score`) instead
        of the objective.
    validation_fraction : float, default=0.1
        Share of the samples that early stopping holds out; in (0, 1).
    <stopping>
    <beyond>
    non_crossing : bool, default=False
        Whether `predict` sorts the quantiles of a loss that holds several, so that none exceeds a
        higher one (Chernozhukov, Fernandez-Val and Galichon, 2010).

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,), or (n_outputs, n_features) for several outputs
        Weights, in X's dtype and on its device.
    intercept_ : ndarray of shape (1,) or (n_outputs,)
        Intercept, in X's dtype and on its device.
    loss_ : Loss
        The loss that was minimised.
    <attributes>
    n_iter_ : int
        Epochs of the last fit.
    t_ : float
        1 + the number of steps since `fit` began.

    See Also
    --------
    SGDClassifierX : The same for classes.
    sklearn.linear_model.SGDRegressor : Has the same parameters, and four losses.

    Notes
    -----
    With ``batch_size=1`` and ``optimizer="sgd"`` this is scikit-learn 1.9's SGDRegressor, step for
    step: the same data, parameters and random state give the same coefficients to rounding, on
    dense and on sparse data. (Each step agrees to rounding, but where steps are so long that the
    iteration is chaotic, rounding grows with the epochs: with "optimal" and a squared loss on
    unscaled data, for example.) The L1 penalty is then the cumulative one of [3]_. It differs where
    scikit-learn is wrong:

    <norm_departure>
    - Early stopping scores the model itself. scikit-learn leaves out the factor by which the L2
      penalty has shrunk the weights.
    - `warm_start` with `average` starts from the last averages and averages anew; scikit-learn
      mixes the old averages into the new ones.
    - `coef_init`, and the arrays of the last fit, are never written to; a fit that raises an error
      leaves the estimator as it was.
    - `coef_init` counts with `warm_start` too. Negative sample weights raise an error.

    <notes>

    <references>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_losses import HuberLoss
    >>> from sklearn_losses.linear_model import SGDRegressorX
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(),
    ...     SGDRegressorX(HuberLoss(delta=50.0), batch_size=8, random_state=0),
    ... )
    >>> round(model.fit(X, y).score(X, y), 2)
    0.51
    """

    _parameter_constraints: dict = {
        **BaseSGD._parameter_constraints,
        "non_crossing": ["boolean"],
    }

    _passive_aggressive_loss = "epsilon_insensitive"
    _target_unit = 1.0
    _scikit_learns_rate = ("invscaling", 0.01, 0.25)

    def __init__(
        self,
        loss="squared_error",
        *,
        penalty="l2",
        alpha=0.0001,
        l1_ratio=0.15,
        fit_intercept=True,
        max_iter=1000,
        tol=1e-3,
        shuffle=True,
        verbose=0,
        epsilon=0.1,
        n_jobs=None,
        random_state=None,
        learning_rate="invscaling",
        eta0=0.01,
        power_t=0.25,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        warm_start=False,
        average=False,
        batch_size=1,
        optimizer="sgd",
        clip_norm=None,
        positive=False,
        bounds=None,
        non_crossing=False,
    ):
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.average = average
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.positive = positive
        self.bounds = bounds
        self.non_crossing = non_crossing

    def _accept_loss(self, loss):
        name = type(loss).__name__
        if loss.task == "multiclass":
            raise ValueError(f"{name} is a loss for classes; use SGDClassifierX")
        if loss.task == "binary" and not loss.gives_probability:
            raise ValueError(f"{name} gives margins, not predictions of y; use SGDClassifierX")
        if self.non_crossing and (loss.reads_target or not hasattr(loss, "quantile")):
            raise ValueError(f"non_crossing=True orders the quantiles of a loss; {loss!r} has none")
        return loss

    def _data(self, samples, loss, suffix="", may_be_zero=False):
        """Checked y, weights and offset, as the solvers take them."""
        X = samples.X
        if loss.reads_target:
            return read_data(self, samples, loss, suffix, may_be_zero)
        y = array_namespace(X).ascontiguousarray(one_column(samples.y), dtype=np.float64)
        if self.non_crossing and y.ndim == 2:
            raise ValueError(
                f"non_crossing=True orders several quantiles of one target; y has {y.shape[1]}"
            )
        members = loss._members()
        n_outputs = y.shape[1] if y.ndim == 2 else len(members)
        if len(members) not in (1, n_outputs):
            raise ValueError(
                f"{loss!r} is for {len(members)} outputs, but y has {n_outputs} columns"
            )
        members[0]._check_y(y.ravel())
        return Data(
            X,
            y,
            members,
            n_outputs,
            target="separate" if y.ndim == 2 else "shared",
            sample_weight=self._check_weights(
                samples.sample_weight, X, f"sample_weight{suffix}", may_be_zero=may_be_zero
            ),
            offset=self._check_offset(samples.offset, X, n_outputs, f"offset{suffix}"),
        )

    def _shown_offset(self, offset, X, n_outputs):
        if self.loss_.reads_target:
            return offset_of_heads(self, offset, X, self.loss_)
        return super()._shown_offset(offset, X, n_outputs)

    def _request(self, call):
        """What a call asks for, checked; None where no sample counts."""
        loss = call.loss
        reset = not self._has_met(call)
        X, y = validated(self, call.samples, loss, reset, y_numeric=True)
        data = self._data(call.samples._replace(X=X, y=y), loss, may_be_zero=call.stream)
        waiting = call.stream and self._is_waiting()
        if waiting and data.n_outputs != np.size(self.intercept_):
            raise ValueError(
                f"y must have {np.size(self.intercept_)} columns, as in the first call to "
                f"partial_fit; got {data.n_outputs}"
            )
        if call.stream and data.sample_weight is not None and not data.sample_weight.any():
            return wait(self, X, data.n_outputs, loss)
        settings = self._settings(
            1 if call.stream else self.max_iter, call.optimizer, X.shape[1], loss
        )
        plain = data.n_outputs == 1 and data.offset is None
        settings, kind = self._choose(loss, settings, X, plain, call.stream)
        if kind is not ONE_SAMPLE and not call.stream:
            data = replace(data, sample_weight=in_range(data.sample_weight))
        validations = None
        if call.validation is None:
            data = replace(data, held_out=self._held_out(data.y, data.sample_weight))
        else:
            validations = (self._read_validation(call.validation, data, loss),)
        unit = self._target_unit = target_unit(self, data, call.going_on)
        if validations is not None:
            validations = tuple(over_unit(each, unit) for each in validations)
        return Request(
            datas=(over_unit(data, unit),),
            validations=validations,
            judged=(Judged(data.y, data.sample_weight),),
            loss=loss,
            settings=settings,
            kind=kind,
            seeds=(self._seed(),),
            n_rows=data.n_outputs,
            shown=Samples(X, y, call.samples.sample_weight),
            start=call.start,
            going_on=call.going_on,
            stream=call.stream,
        )

    def _read_validation(self, samples, data, loss):
        """Checked samples to validate on, with the outputs of those that are learned from."""
        X, y = validated(self, samples, loss, False)
        read = self._data(samples._replace(X=X, y=y), loss, "_val")
        if read.n_outputs != data.n_outputs or read.y.ndim != data.y.ndim:
            raise ValueError(
                f"y_val must have the columns of y, {data.y.shape[1:]}; got {read.y.shape[1:]}"
            )
        return replace(read, sample_weight=in_range(read.sample_weight))

    def _seed(self):
        # The draws, in this order, are scikit-learn's; the second seeds what it does not use.
        random_state = check_random_state(self.random_state)
        seed = random_state.randint(0, MAX_INT)
        random_state.randint(1, MAX_INT)
        return seed

    def _public_weights(self, coef, intercept):
        loss = self._resolve_loss()
        if loss.is_joint and loss.shift_is_nothing:
            intercept = 0.0 * intercept
        if not loss.is_joint and loss.reads_target:
            coef, intercept = moved(loss, coef, intercept, self._target_unit)
        return coef[0] if len(coef) == 1 else coef, intercept

    def _inner_weights(self, coef, intercept):
        loss = self._resolve_loss()
        if loss.is_joint or not loss.reads_target:
            return coef, intercept
        return moved(loss, coef, intercept, 1.0 / self._target_unit)

    def _dense_coef(self):
        dense = self.coef_.toarray()
        return dense[0] if len(dense) == 1 else dense

    @documented()
    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        coef_init=None,
        intercept_init=None,
        sample_weight=None,
        *,
        offset=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        offset_val=None,
    ):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, CuPy array} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Inside the loss's domain. The outputs are trained in one pass.
        coef_init : array-like of shape (n_features,) or (n_outputs, n_features) or None
            Weights to start from; zeros if None.
        intercept_init : array-like of shape (1,) or (n_outputs,) or None, default=None
            Intercept to start from. If None the loss's best constant, beside `coef_init`; in
            scikit-learn's algorithm zero.
        <fit_arrays>

        Returns
        -------
        self : SGDRegressorX
            Fitted estimator.

        Raises
        ------
        ValueError
            For a parameter, a target or a weight outside its range, and when the weights overflow.
            The estimator is then as it was before.
        """
        return self._fit(
            Samples(X, y, sample_weight, offset),
            Samples(X_val, y_val, sample_weight_val, offset_val),
            (coef_init, intercept_init),
        )

    @available_if(takes_streams)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, *, offset=None):
        """Go on for one epoch over the given samples.

        Not there for the optimizers of finite data: "saga", "svrg" and those that take all samples
        at once; "auto" stands for one that steps here.

        Parameters
        ----------
        X : {array-like, sparse matrix, CuPy array} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Where all are zero nothing is learned, as if there had been no call; the first call then
            makes a model of zeros.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs) or None, default=None

        Returns
        -------
        self : SGDRegressorX
            Fitted estimator.
        """
        return self._partial_fit(Samples(X, y, sample_weight, offset))

    def predict(self, X, offset=None, *, return_std=False):
        """Predictions of y: the inverse link of the linear model; of the losses of a distribution
        its mean.

        Parameters
        ----------
        X : {array-like, sparse matrix, CuPy array} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs) or None, default=None
            Added to the raw predictions; of several heads one number a sample is the first's.
        return_std : bool, default=False
            Whether to return the distributions' standard deviations too, of a loss that has them.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,), or (n_samples, n_outputs) for several outputs
        y_std : ndarray of shape (n_samples,)
            Only with `return_std`.
        """
        if return_std:
            raw = self.predict_raw(X, offset)
            std = self.predict_distribution(X, offset).std()
            with computing_on(X=X) as xp:
                return self._prediction_of(raw), in_namespace(std, xp)
        with computing_on(X=X):
            return self._prediction_of(self._one_raw(X, offset))

    @available_if(gives_distribution)
    def predict_distribution(self, X, offset=None):
        """The distributions that are predicted for y. Only for the losses of a distribution.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_heads) or None, default=None

        Returns
        -------
        distribution : scipy.stats frozen distribution
            Of n_samples distributions: its `mean`, `std`, `ppf`, `cdf`, `logpdf` and so on give
            arrays of shape (n_samples,). SciPy's distributions are the host's: where X is on a
            device, its raw predictions are copied.
        """
        check_is_fitted(self)
        return self.loss_.distribution_of(self._raw(X, offset))

    @available_if(gives_survival)
    def predict_survival_function(self, X, times, offset=None, *, stratum=None):
        """The probabilities of having had no event by given times. Only for losses of times:
        `CoxLoss`, `AFT`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        times : array-like of shape (n_times,)
        offset : array-like of shape (n_samples,) or None, default=None
        stratum : array-like of shape (n_samples,), integers, or None, default=None
            Of Cox's model, where it was fitted with strata.

        Returns
        -------
        survival : ndarray of shape (n_samples, n_times)
        """
        check_is_fitted(self)
        check_on_host("predict_survival_function", X=X, times=times, offset=offset)
        raw = self._one_raw(X, offset)
        if self.loss_.is_joint:
            return self.baseline_hazard_.survival_function(raw, times, stratum=stratum)
        if stratum is not None:
            raise ValueError(f"stratum must be None with {self.loss_!r}")
        times = check_array(times, ensure_2d=False, dtype=np.float64, input_name="times")
        return self.loss_.survival_function(raw, np.atleast_1d(times))

    def _note_fit(self, request):
        if hasattr(request.loss, "baseline"):
            shown = request.shown
            raw = self._one_raw(shown.X, request.datas[0].offset)
            self.baseline_hazard_ = request.loss.baseline(shown.y, raw, shown.sample_weight)

    @available_if(reads_target)
    def predict_raw(self, X, offset=None):
        """Raw predictions, in link space. Only for the losses that read their targets themselves:
        those of a distribution, and of all samples together.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_heads) or None, default=None

        Returns
        -------
        raw_prediction : ndarray of shape (n_samples,), or (n_samples, n_heads) of several heads
        """
        check_is_fitted(self)
        return self._one_raw(X, offset)

    def _one_raw(self, X, offset):
        """Raw predictions, of shape (n_samples,) where there is one a sample."""
        raw = self._raw(X, offset)
        return raw[:, 0] if raw.shape[1] == 1 else raw

    def _prediction_of(self, raw):
        """What `predict` returns, in the array namespace of the raw predictions."""
        return self._ordered(self.loss_.predict(raw))

    def _ordered(self, prediction):
        """Several quantiles, in their order if `non_crossing` says so."""
        if self.non_crossing and self._several():
            xp = array_namespace(prediction)
            rank = np.argsort(np.argsort(self.loss_.quantile))
            rank = in_namespace(rank, xp) if on_device(prediction) else rank
            prediction = xp.take(xp.sort(prediction, axis=1), rank, axis=1)
        return prediction

    def _several(self):
        """Whether the outputs are predictions of one target."""
        return len(self.loss_._members()) > 1

    # Not data that a router could hand on.
    __metadata_request__score = {"metric": UNUSED}

    def score(self, X, y, sample_weight=None, offset=None, *, metric=None):
        """How much better than the best constant the predictions are, averaged over the outputs: 1
        is perfect, 0 as good as the constant, and there is no lower bound.

        Parameters
        ----------
        X : {array-like, sparse matrix, CuPy array} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,) or None, default=None
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs) or None, default=None
            Added to the raw predictions; for "d2" to the constant too.
        metric : {"r2", "d2"} or None, default=None
            "r2" is the coefficient of determination, which compares squared errors of predictions.
            "d2" is `d2_loss_score` with the model's own loss: the share of the loss (of a
            generalised linear model, of the deviance) that the model saves. None: "d2" for a loss
            with a link, as "poisson", for quantiles, and where a loss holds several values for one
            target; else "r2", as scikit-learn.

        Returns
        -------
        score : float

        Warns
        -----
        UserWarning
            Where the model was fitted with an offset and is scored without one.
        """
        if metric not in ("r2", "d2", None):
            raise ValueError(f"metric must be 'r2', 'd2' or None; got {metric!r}")
        check_is_fitted(self)
        self._warn_without_offset(offset)
        if self.loss_.reads_target:
            if metric is not None:
                raise ValueError(f"metric must be None with {self.loss_!r}; got {metric!r}")
            with self._computing_on(Samples(X, y, sample_weight, offset)):
                return self.loss_._score(y, self._one_raw(X, offset), sample_weight)
        with self._computing_on(Samples(X, y, sample_weight, offset)) as xp:
            one_target = len(shape_of(y)) == 1
            if metric is None:
                has_link = not isinstance(self.loss_.link, IdentityLink)
                of_quantiles = hasattr(self.loss_, "quantile") or (one_target and self._several())
                metric = "d2" if has_link or of_quantiles else "r2"
            if metric == "d2":
                raw = self._ordered(self._raw(X, offset))
                return d2(self.loss_._members(), y, raw, sample_weight, offset)
            y_pred = with_offset(self.predict, X, offset)
            if one_target and self._several():
                # The outputs are predictions of one target.
                y = device_array(y) if on_device(y) else np.asarray(y)
                y = xp.broadcast_to(y[:, None], y_pred.shape)
            if xp is not np:
                return r2(y, y_pred, sample_weight)
            return float(r2_score(y, y_pred, sample_weight=summable(sample_weight)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        try:
            tags.target_tags.multi_output = not self._resolve_loss().reads_target
        except ValueError:  # an unknown name: `fit` says which there are
            tags.target_tags.multi_output = True
        return tags
