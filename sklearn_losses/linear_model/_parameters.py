"""The parameters that both estimators share: what they may be, and what they say to the solvers."""

import difflib
from numbers import Integral, Real

import numpy as np
from joblib import effective_n_jobs

from sklearn_losses._array import to_host
from sklearn_losses._parameters import from_name
from sklearn_losses._penalty import Held
from sklearn_losses._sklearn_compat import Interval, StrOptions
from sklearn_losses._solvers import PASSIVE_AGGRESSIVE
from sklearn_losses._solvers.fit import Settings
from sklearn_losses._solvers.rates import SKLEARN_SCHEDULES
from sklearn_losses.linear_model._heads import check_for_heads
from sklearn_losses.losses import LOSSES, Loss, get_loss
from sklearn_losses.optimizers import Optimizer, get_optimizer
from sklearn_losses.penalties import PENALTIES, Penalty, get_penalty
from sklearn_losses.schedules import SCHEDULES, BatchGrowth, LossSchedule, Schedule

# The losses, given by name, whose parameter scikit-learn calls epsilon.
TAKES_EPSILON = {
    "huber": "delta",
    "epsilon_insensitive": "epsilon",
    "squared_epsilon_insensitive": "epsilon",
}
# Penalties that solvers know by their names.
BUILT_IN = (None, "l1", "l2", "elasticnet")
# What None stands for in bounds.
FREE = {"low": -np.inf, "high": np.inf}
# The number of a step that no fit takes.
NEVER = 2**53
# Of the parameters, those that are real numbers without an upper end.
REALS = ("alpha", "tol", "epsilon", "eta0", "power_t", "clip_norm")


def goes_over_again(optimizer):
    """Whether an optimizer is one of finite data, whose samples it comes back to."""
    return bool(optimizer.full_batch or optimizer.memory)


# Parameters that are for optimizers of other kinds: what kind has no use for them.
HAS_NO = {"clip_norm": goes_over_again, "average": lambda optimizer: optimizer.full_batch}


def bounds_by_feature(given, names, n_features):
    """Bounds of all features, of those that a dict names: two arrays of shape (n_features,)."""
    both = [np.full(n_features, free) for free in FREE.values()]
    seen = {}
    for key, pair in given.items():
        at = feature_of(key, names, n_features)
        if at in seen:
            raise ValueError(f"bounds: {seen[at]!r} and {key!r} are the same feature")
        seen[at] = key
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"bounds of {key!r} must be a pair (low, high); got {pair!r}")
        for bound, value in zip(both, pair, strict=True):
            if value is None:
                continue
            if not isinstance(value, Real) or isinstance(value, bool | np.bool_) or value != value:
                raise ValueError(f"bounds of {key!r} must be numbers or None; got {value!r}")
            bound[at] = value
    return both


def feature_of(key, names, n_features):
    """The number of the feature that a name or a number stands for."""
    if isinstance(key, Integral) and not isinstance(key, bool | np.bool_):
        if 0 <= key < n_features:
            return int(key)
        raise ValueError(f"bounds: features are 0 to {n_features - 1}; got {key}")
    if not isinstance(key, str):
        raise ValueError(f"bounds must name features by str or int; got {key!r}")
    if names is None:
        raise ValueError(
            f"bounds: {key!r} is a name, and X has no feature names: fit to a DataFrame, or give "
            "the number of the column"
        )
    at = np.flatnonzero(names == key)
    if len(at):
        return int(at[0])
    near = difflib.get_close_matches(key, names, n=3)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(f"bounds: X has no feature {key!r}{hint}")


def takes_streams(estimator):
    """Whether `partial_fit` can use the estimator's optimizer; an AttributeError that says so where
    not."""
    try:
        optimizer = get_optimizer(estimator.optimizer)
    except ValueError:  # an unknown name: `partial_fit` says which there are
        return True
    if isinstance(estimator.loss, LossSchedule):
        raise AttributeError(
            "a LossSchedule has a last stage, and a stream no end, so that partial_fit cannot use "
            "it; call fit"
        )
    try:
        heads = estimator._resolve_loss()
    except ValueError:
        heads = None
    if heads is not None and not heads.takes_streams:
        raise AttributeError(
            f"{heads!r} is fitted to all samples at once, so that partial_fit cannot use it; call "
            "fit"
        )
    if not optimizer.takes_streams:
        raise AttributeError(
            f"optimizer={estimator.optimizer!r} goes over the same samples again and again, so "
            "that partial_fit cannot use it; call fit, or choose an optimizer that steps"
        )
    return True


def gives_probability(estimator):
    """Whether the estimator's loss gives probabilities; an AttributeError that says so where
    not."""
    try:
        given = estimator._resolve_loss().gives_probability
    except ValueError:  # an unknown name: `fit` says which there are
        given = False
    if not given:
        raise AttributeError(f"probability estimates are not available for loss={estimator.loss!r}")
    return True


def reads_target(estimator):
    """Whether the estimator's loss has targets of its own kind; an AttributeError that says so
    where not."""
    try:
        given = estimator._resolve_loss().reads_target
    except ValueError:  # an unknown name: `fit` says which there are
        given = False
    if not given:
        raise AttributeError(f"predict gives all that loss={estimator.loss!r} has")
    return True


def _loss_has(estimator, methods, what):
    try:
        loss = estimator._resolve_loss()
        given = any(hasattr(loss, method) for method in methods)
    except ValueError:
        given = False
    if not given:
        raise AttributeError(f"loss={estimator.loss!r} {what}")
    return True


def gives_distribution(estimator):
    """Whether the estimator's loss is that of a distribution; an AttributeError that says so where
    not."""
    what = "predicts no distribution; 'gaussian_nll' and others of losses.DISTRIBUTIONS do"
    return _loss_has(estimator, ["distribution_of"], what)


def gives_survival(estimator):
    """Whether the estimator's loss is one of times to an event; an AttributeError that says so
    where not."""
    what = "is none of times to an event; 'cox' and 'aft' are"
    return _loss_has(estimator, ["baseline", "survival_function"], what)


class Parameters:
    """Mixin: checks and readings of the parameters."""

    _parameter_constraints: dict = {
        "loss": [str, Loss, LossSchedule],
        "penalty": [StrOptions(set(PENALTIES)), Penalty, None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "shuffle": ["boolean"],
        "verbose": ["verbose"],
        "epsilon": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "learning_rate": [str, Schedule],
        "eta0": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, None, None, closed="neither")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean", StrOptions({"resume"})],
        "average": [Interval(Integral, 0, None, closed="neither"), "boolean"],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"full"}),
            BatchGrowth,
        ],
        "optimizer": [str, Optimizer],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "positive": ["boolean"],
        "bounds": [tuple, list, dict, None],
    }

    # The loss with which the passive-aggressive schedules are defined.
    _passive_aggressive_loss = None
    # The defaults of learning_rate, eta0 and power_t.
    _scikit_learns_rate = ()

    def _resolve_loss(self):
        """The loss object that `loss` stands for; of a schedule the loss itself."""
        if isinstance(self.loss, LossSchedule):
            return self.loss._last()
        if isinstance(self.loss, str) and self.loss in TAKES_EPSILON:
            return get_loss(self.loss, **{TAKES_EPSILON[self.loss]: self.epsilon})
        return get_loss(self.loss)

    def _check_parameters(self):
        """What the constraints on single parameters do not say; returns loss and optimizer."""
        for name in REALS:
            value = getattr(self, name)
            if isinstance(value, Integral) and abs(int(value)) >= 2**1023:
                raise ValueError(
                    f"{name} must be of a size that float64 holds; got an integer of "
                    f"{int(value).bit_length()} bits"
                )
        optimizer = get_optimizer(self.optimizer)
        optimizer._check()
        if self.penalty == "elasticnet" and self.l1_ratio is None:
            raise ValueError("l1_ratio must be set when penalty is 'elasticnet'")
        for name, has_no in HAS_NO.items():
            if getattr(self, name) and has_no(optimizer):
                raise ValueError(f"{name} has no meaning with optimizer={self.optimizer!r}")
        if not isinstance(self.batch_size, Integral | str):
            self.batch_size.size(0)  # checks its parameters
        loss = self._resolve_loss()
        needed = self._passive_aggressive_loss
        if self.learning_rate in PASSIVE_AGGRESSIVE:
            if not isinstance(loss, LOSSES[needed]):
                raise ValueError(
                    f"Learning rate {self.learning_rate!r} only works with loss {needed!r}."
                )
        elif self.learning_rate not in SKLEARN_SCHEDULES:
            known = {**dict.fromkeys([*SKLEARN_SCHEDULES, *PASSIVE_AGGRESSIVE]), **SCHEDULES}
            schedule = from_name("learning_rate", self.learning_rate, Schedule, known, {})
            schedule.factors(np.zeros(1))  # checks its parameters
        if isinstance(loss, LOSSES["root_mean_squared_error"]):
            raise ValueError(
                "RootMeanSquaredError is no mean over samples, so stochastic gradients cannot "
                "minimise it; loss='squared_error' has the same minimiser"
            )
        if loss.is_joint and not loss.has_minimum:
            raise ValueError(
                f"{type(loss).__name__} has no minimum to fit to: its weights follow the present "
                "order. Use PairwiseLogistic or ListNet, or boosting: as_objective"
            )
        loss = self._accept_loss(loss)
        if not loss.is_multiclass:
            # checks the loss's own parameters; a row-wise loss first needs its classes
            for member in loss._with_scale(1.0)._members():
                member._resolve()
        if isinstance(self.loss, LossSchedule):
            self._check_stages(loss)
        return loss, optimizer

    def _check_stages(self, loss):
        """What a schedule of losses can be checked for before the data are known."""
        if self.warm_start == "resume":
            raise ValueError(
                "warm_start='resume' goes on with one loss, and a LossSchedule has several; use "
                "warm_start=True, or its last loss alone"
            )
        loss = loss if loss.is_multiclass else loss._with_scale(1.0)
        before = self.loss._before(loss)
        if len(before) >= self.max_iter:
            raise ValueError(
                f"max_iter must be above {len(before)}, an epoch for each stage of the "
                f"LossSchedule; got {self.max_iter}"
            )
        for stage in before:
            if not stage.is_multiclass:
                for member in stage._members():
                    member._resolve()
            self._accept_loss(stage)

    def _bounds(self, n_features):
        """Bounds of the weights of each feature, or (None, None)."""
        if self.bounds is None and not self.positive:
            return None, None
        if isinstance(self.bounds, dict):
            names = getattr(self, "feature_names_in_", None)
            given = bounds_by_feature(self.bounds, names, n_features)
        else:
            given = (None, None) if self.bounds is None else self.bounds
        if len(given) != 2:
            raise ValueError(f"bounds must be a pair (low, high); got {self.bounds!r}")
        both = []
        for (name, free), bound in zip(FREE.items(), given, strict=True):
            bound = free if bound is None else bound
            bound = np.asarray(to_host(bound), dtype=np.float64)
            if bound.shape not in ((), (n_features,)) or np.isnan(bound).any():
                raise ValueError(
                    f"bounds: {name} must be a number, or {n_features} numbers, one a feature; "
                    f"got {bound!r}"
                )
            both.append(np.broadcast_to(bound, n_features).copy())
        low, high = both
        if self.positive:
            low = np.maximum(low, 0.0)
        if (low > high).any():
            first = int(np.argmax(low > high))
            raise ValueError(
                "bounds (with positive) must not be empty: low exceeds high for feature "
                f"{first}: {low[first]} > {high[first]}"
            )
        return low, high

    def _takes_recommended_rate(self):
        """Whether an optimizer beyond scikit-learn's algorithm takes the rate that is recommended
        for it: nobody has chosen another."""
        if not isinstance(self.learning_rate, str):
            return False
        given = (self.learning_rate, self.eta0, self.power_t)
        return self.learning_rate == "optimal" or given == self._scikit_learns_rate

    def _settings(self, max_iter, optimizer, n_features, loss):
        low, high = self._bounds(n_features)
        heads = loss._heads()
        of_heads = heads.reads_target and not heads.is_joint
        if of_heads:
            check_for_heads(self, heads, low, high)
        # What a loss does not see is free to make up for where columns are seen from.
        sees_no_shift = of_heads or (loss.is_joint and loss.shift_is_nothing)
        penalty, l1_ratio, own = self.penalty, self.l1_ratio, None
        if penalty not in BUILT_IN:
            penalty = get_penalty(penalty)
            penalty._check_for(n_features)
            penalty._check_loss(loss)
            own, (penalty, l1_ratio) = penalty, penalty._as_name()
            own = Held(own, float(self.alpha), n_features, low, high) if penalty is None else None
        return Settings(
            penalty=penalty,
            alpha=float(self.alpha),
            l1_ratio=0.0 if l1_ratio is None else float(l1_ratio),
            fit_intercept=bool(self.fit_intercept) or sees_no_shift,
            max_iter=max_iter,
            tol=self.tol,
            shuffle=bool(self.shuffle),
            learning_rate=self.learning_rate,
            eta0=float(self.eta0),
            power_t=float(self.power_t),
            n_iter_no_change=self.n_iter_no_change,
            average=min(int(self.average), NEVER),
            verbose=int(self.verbose),
            batch_size=self.batch_size,
            optimizer=optimizer,
            clip_norm=self.clip_norm,
            low=low,
            high=high,
            n_threads=effective_n_jobs(self.n_jobs),
            recommended=self._takes_recommended_rate(),
            smooth=all(member.differentiable for member in loss._members()),
            own=own,
        )
