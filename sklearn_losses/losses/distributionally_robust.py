"""The worst mean of a pointwise loss over distributions near the data's, or over given groups."""

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length

from sklearn_losses._array import check_on_host
from sklearn_losses._interval import NON_NEGATIVE, UNIT_RIGHT_OPEN
from sklearn_losses.links import IdentityLink
from sklearn_losses.losses._worst_case import KL, ChiSquare, RobustJoint, Share, Tilted, Worst
from sklearn_losses.losses.constants import checked_offset
from sklearn_losses.losses.joint import JointLoss, _checked_weight, root_of

FIELDS = ("y", "group")
# As a share of a width, what the worst case is smoothed by at most.
SMOOTHING = 0.25
# Raw predictions behind a link are looked for up to here, about the best constant of the mean.
FURTHEST_BEHIND_LINK = 64.0


def group_target(y, group):
    """Target and group of each sample in one array, which is the `y` of `GroupRobustLoss`.

    It can be indexed by samples, so that pipelines, `train_test_split` and cross-validation pass it
    on. Stratify by ``y["group"]``, as a part without a group says nothing of it.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Numbers, or labels of any type.
    group : array-like of shape (n_samples,)
        Numbers or strings.

    Returns
    -------
    target : structured ndarray of shape (n_samples,)
        Fields ``y`` and ``group``, of the types given.

    Raises
    ------
    ValueError
        Where a shape does not fit, or a group is NaN.

    Examples
    --------
    >>> from sklearn_losses import group_target
    >>> target = group_target([1.5, 2.0, 0.5], ["a", "b", "a"])
    >>> target["group"].tolist()
    ['a', 'b', 'a']
    """
    check_on_host("group_target", y=y, group=group)
    y, group = np.asarray(y), np.asarray(group)
    if y.ndim != 1:
        raise ValueError(f"y must have shape (n_samples,); got {y.shape}")
    if group.shape != y.shape:
        raise ValueError(f"group must have the shape of y, {y.shape}; got {group.shape}")
    if group.dtype.kind == "f" and np.isnan(group).any():
        first = int(np.isnan(group).argmax())
        raise ValueError(f"group must not be NaN; got one at index {first}")
    target = np.empty(len(y), dtype=list(zip(FIELDS, (y.dtype, group.dtype), strict=True)))
    target["y"], target["group"] = y, group
    return target


class _RobustLoss(JointLoss):
    """What the worst means share: targets, link and units are those of the loss within.

    A loss within counts from the least that it can be for the sample's target: of counts it is the
    deviance, whose parts that no prediction changes would decide else which samples are the worst.
    """

    differentiable = False
    approx_hessian = True
    _one_column = True

    def _within(self):
        """The loss of a sample, checked."""
        from sklearn_losses.losses import ROWWISE, get_loss

        owner = type(self).__name__
        loss = get_loss(self.loss)
        if loss.is_multiclass or loss.reads_target or loss.name == "root_mean_squared_error":
            names = "; of several classes take one against the rest"
            raise ValueError(
                f"{owner}: loss must be pointwise, of one raw prediction a sample; got {loss!r}"
                f"{names if type(loss) in ROWWISE else ''}"
            )
        if loss._auto():
            name = loss._scale.parameter
            raise ValueError(
                f"{owner}: {name} of {type(loss).__name__} must be a number, as the scale of "
                f"residuals is that of plain fits; got 'auto'"
            )
        loss._resolve()
        return loss

    def _near(self):
        """What stands for the distributions: of `Share` and its like."""
        raise NotImplementedError

    # ----------------------------------------------------------------------- as the loss within is

    @property
    def task(self):
        return self._within().task

    @property
    def link(self):
        return self._within().link

    @property
    def interval_y_true(self):
        return self._within().interval_y_true

    @property
    def interval_y_pred(self):
        return self._within().interval_y_pred

    @property
    def n_classes(self):
        return self._within().n_classes

    @property
    def convex(self):
        return self._within().convex

    @property
    def gives_probability(self):
        return self._within().gives_probability

    @property
    def _natural(self):
        return self._within()._natural

    def predict(self, raw_prediction):
        return self._within().predict(raw_prediction)

    def _resolve(self):
        """Checks what fits need beside what calls need."""
        owner, loss = type(self).__name__, self._within()
        self._near()
        if not loss.convex:
            raise ValueError(
                f"{owner}: loss must be convex for a fit (`convex`); got {loss!r}, whose worst "
                "cases make minima of their own"
            )
        if not loss.differentiable and loss._smoothed(1.0) is None:
            raise ValueError(
                f"{owner}: loss must have a derivative (`differentiable`) or smooth neighbours for "
                f"a fit; got {loss!r}, which has neither"
            )

    # ---------------------------------------------------------------------------- targets and calls

    def _parts(self, y_true):
        if getattr(getattr(y_true, "dtype", None), "names", None) is not None:
            raise ValueError(
                f"{type(self).__name__}: y must be of one value a sample; got the fields "
                f"{', '.join(y_true.dtype.names)}"
            )
        return y_true, None

    def _encoded(self, y_true, encode):
        """Targets whose labels are encoded."""
        y, group = self._parts(y_true)
        return encode(y) if group is None else np.column_stack([encode(y), group])

    def read_target(self, y_true):
        """Targets, and groups where the loss is of groups, as numbers, checked.

        Parameters
        ----------
        y_true : array-like
            As the class says.

        Returns
        -------
        target : ndarray of shape (n_samples, 1) or (n_samples, 2), float64
            Target, and a number of the group.
        """
        check_on_host(type(self).__name__, y_true=y_true)
        y, group = self._parts(y_true)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim != 1:
            raise ValueError(f"y must have shape (n_samples,); got {y.shape}")
        loss = self._within()
        try:
            loss._check_y(y)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__} of {error}") from None
        return np.column_stack([y] if group is None else [y, group])

    def _joint(self, target, weight):
        return self._joint_of(self._within(), target, weight)

    def _joint_of(self, loss, target, weight, bend=0.0, factor=None):
        """`Joint` of the loss within, or of a smooth neighbour of it."""
        y = np.ascontiguousarray(target[:, 0])
        # What a sample cannot help says nothing of how well it is met.
        above = self._within().constant_to_optimal_zero(y)
        mass = float(len(y)) if weight is None else float(weight.sum())
        return RobustJoint(loss, y, above, self._worst(target, weight, bend), mass, factor)

    def _worst(self, target, weight, bend=0.0):
        weight = np.ones(len(target)) if weight is None else weight
        group = None
        if target.shape[1] == 2:
            group = np.unique(target[:, 1], return_inverse=True)[1].reshape(-1)
        return Worst(self._near(), weight, group, bend)

    def worst_weights(self, y_true, raw_prediction, sample_weight=None):
        """The weights of the samples in the worst case: the loss is the mean of the losses of the
        samples with these.

        Of several worst cases, as samples of one loss make them, the one that treats these alike.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        raw_prediction : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None
            A weight of 2 counts as two copies, and has what both have.

        Returns
        -------
        weights : ndarray of shape (n_samples,)
            Not negative, of sum 1.
        """
        joint = self.on(y_true, sample_weight)
        losses = joint.losses(self._checked_raw(raw_prediction, joint))
        if not np.isfinite(losses).all():
            raise ValueError(
                f"raw_prediction must lead to finite losses; got {losses[~np.isfinite(losses)][0]}"
            )
        return joint.worst.weights(losses)[0]

    def fit_intercept_only(self, y_true, sample_weight=None, offset=None):
        """The constant raw prediction with the least loss.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None
        offset : array-like of shape (n_samples,) or None, default=None
            Added to the constant.

        Returns
        -------
        raw_prediction : float
            One of the best, where there are several; behind a link one that is not far from that of
            the mean loss.
        """
        target = self.read_target(y_true)
        weight = _checked_weight(sample_weight, len(target))
        joint, y = self._joint(target, weight), np.ascontiguousarray(target[:, 0])
        beside = np.zeros(len(y))
        if offset is not None:
            shapes = [beside.shape, (len(y), 1)]
            beside = checked_offset(offset, shapes, {}).reshape(len(y))
        loss = self._within()
        start = float(loss.fit_intercept_only(y, weight, beside if beside.any() else None))
        unit, furthest = 1.0, {"furthest": FURTHEST_BEHIND_LINK}
        if loss.task == "regression" and loss.link == IdentityLink():
            unit, furthest = _unit(y - beside, start), {}

        def slope(u):
            return float(joint.value_gradient(beside + (start + unit * u))[1].sum())

        return start + unit * root_of(slope, **furthest)

    # ---------------------------------------------------------------------------- smooth neighbours

    def _smoothed(self, width):
        return _Smoothed(self, width), lambda y: None


def _unit(y, start):
    unit = float(np.mean(np.abs(y - start)))
    return unit or abs(start) or 1.0


class _Smoothed(JointLoss):
    """A worst mean whose weights move smoothly, of a loss without kinks.

    Parameters
    ----------
    robust : _RobustLoss
    width : float
        In the units of raw predictions.
    """

    def __init__(self, robust, width):
        self.robust = robust
        self.width = width

    @property
    def _natural(self):
        return self.robust._natural

    def read_target(self, y_true):
        return self.robust.read_target(y_true)

    def _steepness(self, target, weight):
        """How much of the loss a unit of raw predictions is, about the best constant."""
        loss, y = self.robust._within(), np.ascontiguousarray(target[:, 0])
        start = float(loss.fit_intercept_only(y, weight))
        steepness = np.average(np.abs(loss.gradient(y, np.full(len(y), start))), weights=weight)
        return float(steepness) if 0.0 < steepness < np.inf else 1.0

    def _slope_of(self, y, weight):
        steepness = self._steepness(self.read_target(y), weight)
        return steepness if self.robust._within().differentiable else 2.0 * steepness

    def _joint(self, target, weight):
        loss, factor = self.robust._within(), None
        if not loss.differentiable:
            loss, factor_of = loss._smoothed(self.width)
            factor = factor_of(np.ascontiguousarray(target[:, 0]))
        most = self.robust._worst(target, weight).most()
        bend = 0.0
        if most > 0:
            bend = SMOOTHING * self.width * self._steepness(target, weight) / most
        return self.robust._joint_of(loss, target, weight, bend, factor)


class CVaRLoss(_RobustLoss):
    """Conditional value at risk: the mean of the largest losses.

    - Domain, link: those of `loss`.
    - Formula: the least over t of ``t + mean(max(0, loss_i - t)) / (1 - level)``, which is the mean
      over the worst share ``1 - level`` of the samples, of which the last may count in part. It is
      the worst mean over all distributions that no sample has more than ``1 / (1 - level)`` times
      its share in.

    It is convex where `loss` is, and has kinks where samples enter the share. The gradient there is
    that of `worst_weights`. `hessian` holds the second derivatives of the losses times those.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        A pointwise loss, or its name; convex for a fit. Its parameters are searched over as
        ``loss__delta``.
    level : float, default=0.9
        In [0, 1): the share of the samples that are left out, those of the least losses. 0 is the
        mean.

    References
    ----------
    Rockafellar, R. T. and Uryasev, S. (2000). Optimization of conditional value-at-risk. Journal of
    Risk 2, 21-41.

    Examples
    --------
    >>> from sklearn_losses import CVaRLoss
    >>> loss = CVaRLoss("absolute_error", level=0.5)
    >>> loss([0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 6.0])
    4.5
    >>> loss.worst_weights([0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 6.0])
    array([0. , 0. , 0.5, 0.5])
    """

    name = "cvar"
    _parameter_intervals = {"level": UNIT_RIGHT_OPEN}

    def __init__(self, loss="squared_error", level=0.9):
        self.loss = loss
        self.level = level

    def _near(self):
        (level,) = self._numbers()
        return Share(1.0 / (1.0 - level))


class ChiSquareRobustLoss(_RobustLoss):
    """The worst mean of the loss over distributions within a chi-square distance of the data's.

    - Domain, link: those of `loss`.
    - Formula: the largest ``q @ losses`` over weights q of sum 1, not negative, with ``mean((n * q
      - 1)**2) / 2 <= radius``. As long as no weight is 0, it is ``mean(losses) + sqrt(2 * radius *
      var(losses))``: it prefers losses that vary little.

    It is convex where `loss` is. `hessian` holds the second derivatives of the losses times the
    worst weights.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        A pointwise loss, or its name; convex for a fit. Its parameters are searched over as
        ``loss__delta``.
    radius : float, default=0.5
        In [0, inf); 0 is the mean. A group that makes up a share s of the data may be all that
        counts where ``radius >= (1 / s - 1) / 2``. The confidence sets of Duchi and Namkoong have
        ``rho / n``.

    References
    ----------
    Namkoong, H. and Duchi, J. C. (2016). Stochastic gradient methods for distributionally robust
    optimization with f-divergences. NeurIPS.

    Duchi, J. and Namkoong, H. (2019). Variance-based regularization with convex objectives. Journal
    of Machine Learning Research 20(68), 1-55.

    Examples
    --------
    >>> from sklearn_losses import ChiSquareRobustLoss
    >>> loss = ChiSquareRobustLoss("absolute_error", radius=0.02)
    >>> y, raw = [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 6.0]  # mean 3, variance 3.5
    >>> round(loss(y, raw), 6)
    3.374166
    """

    name = "chi_square_robust"
    _parameter_intervals = {"radius": NON_NEGATIVE}

    def __init__(self, loss="squared_error", radius=0.5):
        self.loss = loss
        self.radius = radius

    def _near(self):
        (radius,) = self._numbers()
        return ChiSquare(radius)


class KLRobustLoss(_RobustLoss):
    """The worst mean of the loss over distributions within a Kullback-Leibler divergence of the
    data's.

    - Domain, link: those of `loss`.
    - Formula: the largest ``q @ losses`` over weights q of sum 1 with ``sum(q * log(n * q)) <=
      radius``; that is the least over s > 0 of ``s * log(mean(exp(losses / s))) + s * radius``.

    Its weights are exponential in the losses, and none is 0. It is convex where `loss` is.
    `hessian` holds the second derivatives of the losses times the worst weights.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        A pointwise loss, or its name; convex for a fit. Its parameters are searched over as
        ``loss__delta``.
    radius : float, default=0.5
        In [0, inf); 0 is the mean. A group that makes up a share s of the data may be all that
        counts where ``radius >= log(1 / s)``.

    References
    ----------
    Hu, Z. and Hong, L. J. (2013). Kullback-Leibler divergence constrained distributionally robust
    optimization. Optimization Online.

    Examples
    --------
    >>> from sklearn_losses import KLRobustLoss
    >>> y, raw = [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 6.0]
    >>> round(KLRobustLoss("absolute_error", radius=0.1)(y, raw), 6)
    3.868224
    """

    name = "kl_robust"
    _parameter_intervals = {"radius": NON_NEGATIVE}

    def __init__(self, loss="squared_error", radius=0.5):
        self.loss = loss
        self.radius = radius

    def _near(self):
        (radius,) = self._numbers()
        return KL(radius)


class TiltedLoss(_RobustLoss):
    """Tilted mean of the loss: the entropic risk.

    - Domain, link: those of `loss`.
    - Formula: ``log(mean(exp(tilt * losses))) / tilt``, which is the largest ``q @ losses - sum(q *
      log(n * q)) / tilt`` over weights q of sum 1: `KLRobustLoss` with a price for the divergence
      instead of a bound.

    It is convex where `loss` is. `hessian` holds the second derivatives of the losses times the
    worst weights.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        A pointwise loss, or its name; convex for a fit. Its parameters are searched over as
        ``loss__delta``.
    tilt : float, default=1.0
        In [0, inf), in one over the units of the loss; 0 is the mean, and large ones are near the
        largest loss.

    References
    ----------
    Li, T., Beirami, A., Sanjabi, M. and Smith, V. (2021). Tilted empirical risk minimization. ICLR.

    Examples
    --------
    >>> from sklearn_losses import TiltedLoss
    >>> y, raw = [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 6.0]
    >>> round(TiltedLoss("absolute_error", tilt=1.0)(y, raw), 6)
    4.685878
    """

    name = "tilted"
    _parameter_intervals = {"tilt": NON_NEGATIVE}

    def __init__(self, loss="squared_error", tilt=1.0):
        self.loss = loss
        self.tilt = tilt

    def _near(self):
        (tilt,) = self._numbers()
        return Tilted(tilt)


class GroupRobustLoss(_RobustLoss):
    """The largest of the mean losses of given groups: group DRO.

    - Domain: y_true as `group_target` makes it, or an array of shape (n_samples, 2) of target and
      number of the group.
    - Link: that of `loss`.
    - Formula: the largest, over the groups, of the mean of the losses in the group. `sample_weight`
      counts within groups, whose own weights make no difference.

    It is convex where `loss` is, and has kinks where two groups are the worst; the gradient there
    is that of `worst_weights`, which share alike. `hessian` holds the second derivatives of the
    losses times those.

    Predictions need no groups.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        A pointwise loss, or its name; convex for a fit. Its parameters are searched over as
        ``loss__delta``.

    References
    ----------
    Sagawa, S., Koh, P. W., Hashimoto, T. B. and Liang, P. (2020). Distributionally robust neural
    networks for group shifts. ICLR.

    Examples
    --------
    >>> from sklearn_losses import GroupRobustLoss, group_target
    >>> y = group_target([0.0, 0.0, 0.0, 0.0], ["a", "a", "a", "b"])
    >>> GroupRobustLoss("absolute_error")(y, [1.0, 2.0, 3.0, 2.5])
    2.5
    """

    name = "group_robust"
    _one_column = False

    def __init__(self, loss="squared_error"):
        self.loss = loss

    def _near(self):
        return ChiSquare(np.inf)

    def _grouped(self, y_true, group):
        if group is not None:
            return np.column_stack([y_true, np.repeat(np.arange(len(group)), group)])
        if np.ndim(y_true) == 1 and getattr(y_true, "dtype", np.dtype(float)).names is None:
            raise ValueError(
                f"{type(self).__name__}: the groups must be given: as sizes, of samples that stand "
                "group after group, in `group` of lightgbm.Dataset or xgboost.DMatrix; or in "
                "y_true by group_target(y, group)"
            )
        return y_true

    def _labels(self, y):
        plain = getattr(getattr(y, "dtype", None), "names", None) is None and np.ndim(y) == 1
        return y if plain else self._parts(y)[0]

    def _parts(self, y_true):
        if y_true is None:  # for scikit-learn's error
            return None, None
        names = getattr(getattr(y_true, "dtype", None), "names", None)
        if names is None and hasattr(y_true, "columns"):
            names = tuple(y_true.columns)
        if names is not None:
            if set(names) != set(FIELDS):
                raise ValueError(
                    "y must have the fields y and group, as group_target(y, group) makes them; got "
                    f"{', '.join(map(str, names))}"
                )
            y, group = (np.asarray(y_true[name]) for name in FIELDS)
        else:
            shape = np.shape(y_true)
            if len(shape) != 2 or shape[1] != 2:
                raise ValueError(
                    f"{type(self).__name__}: y must be what group_target(y, group) makes, or an "
                    f"array of shape (n_samples, 2) of target and group; got shape {shape}"
                )
            y, group = np.asarray(y_true).T
        check_consistent_length(y, group)
        codes = np.unique(group, return_inverse=True)[1].reshape(-1)
        return y, codes.astype(np.float64)
