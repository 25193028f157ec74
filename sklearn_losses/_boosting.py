"""Losses as objectives and metrics of XGBoost, LightGBM and CatBoost, generic over every loss.
Nothing of those libraries is imported, but CatBoost's pools where a start asks for them."""

import numpy as np
from scipy.special import expit
from sklearn.base import clone

from sklearn_losses._array import kernel_array
from sklearn_losses._curvature import (
    LARGEST_FACTOR,
    GivenCurvature,
    curvature,
    in_units_of_y,
)
from sklearn_losses._interval import NON_NEGATIVE
from sklearn_losses._parameters import check_number
from sklearn_losses.losses.rowwise import softmax_hessian_product
from sklearn_losses.metrics import mean_loss

ENDS = ("lower", "upper")


def one_output(loss, maker):
    """The loss, or the error that says to make one thing for each of several values."""
    for name in loss._parameter_intervals:
        value = getattr(loss, name)
        if isinstance(value, list | tuple | np.ndarray):
            values = np.asarray(value).tolist()
            raise ValueError(
                f"{maker} takes a loss of one output; got {type(loss).__name__} with "
                f"{name}={values}. Make one for each value: "
                f"[{maker}({type(loss).__name__}({name}=value), ...) for value in {values}]"
            )
    return loss


def _of_classes(loss):
    """Whether a column of raw predictions is a class, of which differences alone count."""
    return loss.is_multiclass and loss.shift_is_nothing


def _rows(loss, raw):
    """Raw predictions as the loss takes them: one column of two classes holds the second class's
    minus the first's."""
    raw = kernel_array(raw, "raw_prediction")
    one = raw.ndim == 1 or (raw.ndim == 2 and raw.shape[1] == 1)
    if _of_classes(loss) and one and loss.n_classes in (None, 2):
        half = raw.reshape(-1) / 2
        return np.stack([-half, half], axis=1)
    return loss._shaped(raw)


def _label_weight_raw(first, second, sample_weight):
    """Targets, raw predictions, weights, and whether the library's own API is calling: that passes
    the predictions, then its data set."""
    if not hasattr(second, "get_label"):
        return first, second, sample_weight, False
    label, weight = second.get_label(), second.get_weight()
    if np.size(label) == 0 and hasattr(second, "get_float_info"):
        # XGBoost's intervals, whose ends may be infinite, as no label of its may.
        label = np.column_stack([second.get_float_info(f"label_{end}_bound") for end in ENDS])
    return label, first, weight if np.size(weight) else None, True


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
        super().__init__(one_output(loss, self._maker), min_hessian=min_hessian)
        if loss.is_multiclass:
            loss._numbers()
        else:
            loss._resolve()
        if loss.heads:
            self._check_heads(loss)
        if isinstance(min_hessian, str):
            if min_hessian != "auto":
                raise ValueError(f"min_hessian must be 'auto' or a number; got {min_hessian!r}")
            self._curvature = curvature(loss)
        else:
            owner = type(self).__name__
            self._curvature = GivenCurvature(
                check_number(owner, "min_hessian", min_hessian, NON_NEGATIVE)
            )
        self.min_hessian_ = self._curvature.least

    def _check_heads(self, loss):
        """Raise where the library cannot have a loss of several heads."""

    def start_score(self, y_true, sample_weight=None, *, offset=None, classifier=False):
        """The constant raw prediction with the least loss, from which to start boosting.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Targets; class codes for a row-wise loss. Of `AFT` also its intervals.
        sample_weight : array-like of shape (n_samples,) or None, default=None
        offset : array-like of shape (n_samples,) or (n_samples, n_classes) or None, default=None
            Added to the raw predictions, as the logarithm of an exposure is to those of a count. Of
            a loss of several heads, one number a sample is added to the first.
        classifier : bool, default=False
            As in `start_params`.

        Returns
        -------
        start : float or ndarray of shape (n_classes,)
            Of a loss of several heads, a number for each.
        """
        loss = self.loss
        y_true = loss._grouped(y_true, None)
        if loss.is_multiclass and loss.n_classes is None:
            y_true = kernel_array(y_true, "y_true")
            loss = loss._for_classes(y_true.shape[1] if y_true.ndim == 2 else int(y_true.max()) + 1)
        offset = _heads_offset(loss, offset)
        if offset is not None and _of_classes(loss):
            offset = _rows(loss, offset)
        start = loss.fit_intercept_only(y_true, sample_weight, offset)
        if not loss.is_multiclass:
            return float(start)
        start = start.astype(np.float64)
        return float(start[1] - start[0]) if classifier and len(start) == 2 else start

    def start_params(
        self,
        y_true,
        sample_weight=None,
        *,
        offset=None,
        eval_set=None,
        eval_offset=None,
        classifier=False,
    ):
        """`start_score` as the keyword arguments that the library takes, for the samples trained on
        and for those that early stopping looks at.

        Parameters
        ----------
        y_true, sample_weight, offset
            As in `start_score`.
        eval_set : list of (X, y), one such pair, or None, default=None
            The evaluation sets that go to `fit`. CatBoost: `Pool` objects may stand among them,
            which bring their own weights and categories, and are given their baselines in place.
        eval_offset : list of array-like, one array-like, or None, default=None
            The offset of each evaluation set.
        classifier : bool, default=False
            Whether the model is the library's classifier, `XGBClassifier`, `LGBMClassifier` or
            `CatBoostClassifier`: of two classes these have one raw prediction a sample, for a
            row-wise loss too (the second class's minus the first's), and `XGBClassifier` takes it
            as a probability.

        Returns
        -------
        params : dict
            - XGBoost: ``{"base_score": float or list}``, a parameter of the model, which holds for
              every evaluation set. With `offset`: ``{"base_margin": array}`` and
              ``"base_margin_eval_set"``, a list, arguments of `fit` (`DMatrix` takes a
              `base_margin`).
            - LightGBM: ``{"init_score": array}`` and, with `eval_set`, ``"eval_init_score"``, a
              list: arguments of `fit` (`Dataset` takes an `init_score`).
            - CatBoost: ``{"baseline": array}`` and, with `eval_set`, ``"eval_set"``, a list of
              `Pool` objects with their baselines: arguments of `fit`.

            Arrays have the shape (n_samples,), (n_samples, n_classes) or (n_samples, n_heads), and
            hold the offset.

        Raises
        ------
        ValueError
            Where offsets do not belong to the samples, or `eval_offset` to `eval_set`.
        """
        offset = _heads_offset(self.loss, offset)
        start = self.start_score(y_true, sample_weight, offset=offset, classifier=classifier)
        params = self._start_params(start, len(y_true), offset, classifier)
        if eval_set is None:
            if eval_offset is not None:
                raise ValueError("eval_offset must be None where eval_set is None")
            return params
        if not isinstance(eval_set, list):
            eval_set = [eval_set]
            eval_offset = None if eval_offset is None else [eval_offset]
        if (offset is None) != (eval_offset is None):
            raise ValueError(
                "offset and eval_offset must be given together: the model adds to the start what "
                "was learned with it"
            )
        if eval_offset is None:
            eval_offset = [None] * len(eval_set)
        if len(eval_offset) != len(eval_set):
            raise ValueError(
                f"eval_offset must hold one array for each of the {len(eval_set)} sets of "
                f"eval_set; got {len(eval_offset)}"
            )
        eval_offset = [_heads_offset(self.loss, each) for each in eval_offset]
        return params | self._eval_params(start, eval_set, eval_offset)

    def _start_params(self, start, n_samples, offset, classifier):
        return {self._start_name: _starts(start, n_samples, offset)}

    def _eval_params(self, start, eval_set, eval_offset):
        return {
            self._eval_name: [
                _starts(start, len(pair[1]), offset, "eval_offset")
                for pair, offset in zip(map(_pair, eval_set), eval_offset, strict=True)
            ]
        }

    def _fill(self, y_true, raw, weight, gradient, hessian):
        """Derivatives with the library's convention, straight into its arrays.

        On one thread: CatBoost calls from threads of its own, and the threads of another OpenMP
        runtime wait in a busy loop, which can cost XGBoost more than a second thread saves.
        """
        loss, rows = self.loss, _rows(self.loss, raw)
        y_true = loss._checked_target(kernel_array(loss._grouped(y_true, None), "y_true"), rows)
        if gradient.ndim < rows.ndim:
            # Losses of rows depend on differences alone: the second class's derivatives are those
            # with respect to the difference.
            both = loss.gradient_hessian(y_true, rows, weight, n_threads=1)
            gradient[...], hessian[...] = both[0][:, 1], both[1][:, 1]
        else:
            loss.gradient_hessian(y_true, rows, weight, gradient, hessian, n_threads=1)
            if _of_classes(loss):
                hessian *= self._diagonal_factor(rows.shape[1])
        self._curvature(y_true, rows, weight, gradient, hessian)
        if not loss.heads:
            return
        # Equal derivatives of all samples, of which no split gains: a tree of one leaf.
        share = np.ones(len(rows)) if weight is None else np.asarray(weight, dtype=np.float64)
        share = share / share.sum()
        for head in np.flatnonzero(~loss._sees_features()):
            for part in (gradient[:, head], hessian[:, head]):
                part[:] = share * part.sum(dtype=np.float64)


def _heads_offset(loss, offset):
    """An offset of one number a sample, as one of all heads."""
    if offset is None or not loss.heads or np.ndim(offset) != 1:
        return offset
    made = np.zeros((len(offset), loss.n_heads))
    made[:, 0] = offset
    return made


def _starts(start, n_samples, offset, name="offset"):
    """A start for each sample, with its offset."""
    starts = np.tile(start, (n_samples, *[1] * np.ndim(start)))
    if offset is None:
        return starts
    offset = np.asarray(offset, dtype=np.float64)
    if offset.shape != starts.shape:
        raise ValueError(f"{name} must have shape {starts.shape}; got {offset.shape}")
    return starts + offset


def _pair(given):
    if isinstance(given, tuple) and len(given) == 2:
        return given
    raise ValueError(f"eval_set must be a list of (X, y); got {type(given).__name__} in it")


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
    # It makes no split that gains less than 1e-6, in squares of the unit of y.
    _least_square = 1e-4

    def _start_params(self, start, n_samples, offset, classifier):
        if offset is not None:
            return {"base_margin": _starts(start, n_samples, offset)}
        if np.ndim(start):
            return {"base_score": start.tolist()}
        return {"base_score": float(expit(start)) if classifier else start}

    def _eval_params(self, start, eval_set, eval_offset):
        pairs = [_pair(pair) for pair in eval_set]
        if all(offset is None for offset in eval_offset):
            return {}
        return {
            "base_margin_eval_set": [
                _starts(start, len(pair[1]), offset, "eval_offset")
                for pair, offset in zip(pairs, eval_offset, strict=True)
            ]
        }

    def _fill(self, y_true, raw, weight, gradient, hessian):
        super()._fill(y_true, raw, weight, gradient, hessian)
        if self._options["min_hessian"] != "auto" or not in_units_of_y(self.loss):
            return
        # The same leaves of a multiple of the loss, whose gains are large enough: each head has
        # trees of its own.
        mass = len(gradient) if weight is None else np.sum(weight, dtype=np.float64)
        wide = gradient.astype(np.float64)
        square = np.divide(wide * wide, hessian, out=wide, where=hessian > 0).sum(axis=0)
        least = self._least_square * mass
        lifts = (square > 0) & (square < least)
        factor = np.divide(least, square, out=np.ones_like(square), where=lifts)
        factor = np.minimum(factor, LARGEST_FACTOR)
        if lifts.any():
            gradient *= factor
            hessian *= factor


class LightGBMObjective(_CalledObjective):
    library = "lightgbm"
    _start_name = "init_score"
    _eval_name = "eval_init_score"
    _order = "F"  # class after class
    _diagonal_factor = staticmethod(lambda n_classes: n_classes / (n_classes - 1))

    def _check_heads(self, loss):
        for name, allowed in loss._constant_heads().items():
            raise ValueError(
                f"as_objective: {name} of {type(loss).__name__} must be {allowed} for LightGBM, "
                "which drops a tree without a split, which is what learns one number; got "
                "'constant'"
            )


class CatBoostObjective(_Objective):
    library = "catboost"
    _start_name = "baseline"
    no_jit = True  # CatBoost would try numba on the methods below, and warn

    def _check_heads(self, loss):
        raise ValueError(
            f"library must be one of ['xgboost', 'lightgbm'] for {type(loss).__name__}, which has "
            f"raw predictions for {', '.join(loss.heads)}; got 'catboost', which takes no start "
            "for several raw predictions of one target"
        )

    def _eval_params(self, start, eval_set, eval_offset):
        from catboost import Pool

        pools = []
        for given, offset in zip(eval_set, eval_offset, strict=True):
            if isinstance(given, Pool):
                given.set_baseline(_starts(start, given.num_row(), offset, "eval_offset"))
                pools.append(given)
            else:
                X, y = _pair(given)
                pools.append(Pool(X, y, baseline=_starts(start, len(y), offset, "eval_offset")))
        return {"eval_set": pools}

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
        super().__init__(one_output(loss, self._maker), raw=raw)
        self.raw = raw
        if loss.heads and not raw:
            raise ValueError(
                f"raw must be True for {type(loss).__name__}, which is a loss of "
                f"{', '.join(loss.heads)}; got {raw!r}"
            )
        self.__name__ = loss.name or type(loss).__name__

    def _mean(self, y_true, y_pred, sample_weight):
        if self.raw and self.loss.is_multiclass:
            y_pred = _rows(self.loss, y_pred)
        y_true = self.loss._grouped(y_true, None)
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
        raw = _rows(loss, approxes[0] if len(approxes) == 1 else np.stack(approxes, axis=1))
        target = loss._checked_target(kernel_array(loss._grouped(target, None), "y_true"), raw)
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
