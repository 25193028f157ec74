"""Penalties of the coefficients: one class each, named as published. `PENALTIES` maps every name to
its class; `get_penalty` makes a penalty from a name. No arithmetic: that is in
``_kernels/fit/penalties.h``, and of quadratic penalties in ``_quadratic.py``."""

import numpy as np

from sklearn_losses._interval import UNIT, Interval
from sklearn_losses._parameters import from_name
from sklearn_losses._penalty import Compiled, Grouping, Penalty
from sklearn_losses._prior_penalties import GaussianPrior, SmoothPenalty


class Weighted(Compiled):
    """L1 and L2, each feature with its weight."""

    _struct = "ElasticNet"
    separable = True
    convex = True

    def _factors(self, n_features, groups):
        return self._checked_weights(n_features, "feature")

    def _as_name(self):
        plain = self.weights is None and type(self) in (L1, L2, ElasticNet)
        return (self.name, self._share()) if plain else (None, None)

    def _sums(self, alpha, n_features):
        if self._is_own():
            return None
        weights, share = self._factors(n_features, None), self._share()
        each = alpha if weights is None else alpha * weights
        return share * each, (1.0 - share) * each


class L1(Weighted):
    """The lasso: coefficients that do not help are exactly 0.

    - Formula: ``alpha * sum(weights * abs(coef))``.

    Parameters
    ----------
    weights : array-like of shape (n_features,) or None, default=None
        In [0, inf); a feature of weight 0 is not penalised. None: 1.

    References
    ----------
    Tibshirani, R. (1996). Regression shrinkage and selection via the lasso. JRSS B 58, 267-288.
    With weights: Zou, H. (2006). The adaptive lasso and its oracle properties. JASA 101, 1418-1429.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses.penalties import L1
    >>> L1().prox(np.array([-3.0, 0.5, 2.0]), length=1.0, alpha=1.0)
    array([-2.,  0.,  1.])
    """

    name = "l1"

    def __init__(self, weights=None):
        self.weights = weights


class L2(Weighted):
    """Ridge: all coefficients shrink.

    - Formula: ``alpha / 2 * sum(weights * coef**2)``.

    Parameters
    ----------
    weights : array-like of shape (n_features,) or None, default=None
        In [0, inf); a feature of weight 0 is not penalised. None: 1.

    References
    ----------
    Hoerl, A. and Kennard, R. (1970). Ridge regression: biased estimation for nonorthogonal
    problems. Technometrics 12, 55-67.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses.penalties import L2
    >>> L2(weights=[1.0, 0.0]).value(np.array([3.0, 4.0]), alpha=2.0)
    9.0
    """

    name = "l2"
    smooth = True

    def __init__(self, weights=None):
        self.weights = weights

    def _share(self):
        return 0.0


class ElasticNet(Weighted):
    """`L1` and `L2` in shares, as in scikit-learn's `SGDRegressor`.

    - Formula: ``alpha * sum(weights * (l1_ratio * abs(coef) + (1 - l1_ratio) / 2 * coef**2))``.

    Parameters
    ----------
    l1_ratio : float, default=0.15
        In [0, 1].
    weights : array-like of shape (n_features,) or None, default=None
        In [0, inf); a feature of weight 0 is not penalised. None: 1.

    References
    ----------
    Zou, H. and Hastie, T. (2005). Regularization and variable selection via the elastic net.
    JRSS B 67, 301-320.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses.penalties import ElasticNet
    >>> ElasticNet(l1_ratio=0.5).prox(np.array([-4.0, 0.5, 2.5]), length=2.0, alpha=1.0)
    array([-1.5 ,  0.  ,  0.75])
    """

    name = "elasticnet"
    _parameter_intervals = {"l1_ratio": UNIT}

    def __init__(self, l1_ratio=0.15, weights=None):
        self.l1_ratio = l1_ratio
        self.weights = weights

    def _share(self):
        return self._numbers()[0]


class _Grouped(Grouping, Compiled):
    """Norms of groups of features."""

    _struct = "SparseGroup"
    convex = True

    def _factors(self, n_features, groups):
        weights = self._checked_weights(len(groups), "group")
        return np.sqrt([float(len(group)) for group in groups]) if weights is None else weights


class SparseGroup(_Grouped):
    """The sparse group lasso: groups of features that do not help are 0, and features within the
    others.

    - Formula: ``alpha * (l1_ratio * sum(abs(coef)) + (1 - l1_ratio) * sum(weights[g] *
      norm(coef[g]) for each group g))``. Each output has its own groups.

    Parameters
    ----------
    groups : array-like of shape (n_features,), or list of lists of int
        A label for each feature, or the features of each group: each feature is in one.
    l1_ratio : float, default=0.5
        In [0, 1].
    weights : array-like of shape (n_groups,) or None, default=None
        In [0, inf), in the order of the groups, or of the sorted labels. None: the square root of
        the group's size.

    References
    ----------
    Simon, N., Friedman, J., Hastie, T. and Tibshirani, R. (2013). A sparse-group lasso. Journal of
    Computational and Graphical Statistics 22, 231-245.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses.penalties import SparseGroup
    >>> penalty = SparseGroup(groups=[0, 0, 1], weights=[1.0, 1.0])
    >>> penalty.prox(np.array([5.0, 0.5, 1.5]), length=1.0, alpha=2.0)
    array([3., 0., 0.])
    """

    name = "sparse_group"
    _parameter_intervals = {"l1_ratio": UNIT}

    def __init__(self, groups, l1_ratio=0.5, weights=None):
        self.groups = groups
        self.l1_ratio = l1_ratio
        self.weights = weights

    def _share(self):
        return self._numbers()[0]


class GroupLasso(_Grouped):
    """The group lasso: groups of features that do not help are 0 as a whole.

    - Formula: ``alpha * sum(weights[g] * norm(coef[g]) for each group g)``. Each output has its own
      groups.

    Parameters
    ----------
    groups : array-like of shape (n_features,), or list of lists of int
        A label for each feature, or the features of each group: each feature is in one.
    weights : array-like of shape (n_groups,) or None, default=None
        In [0, inf), in the order of the groups, or of the sorted labels. None: the square root of
        the group's size.

    References
    ----------
    Yuan, M. and Lin, Y. (2006). Model selection and estimation in regression with grouped
    variables. JRSS B 68, 49-67.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses.penalties import GroupLasso
    >>> penalty = GroupLasso(groups=[[0, 1], [2]], weights=[1.0, 1.0])
    >>> penalty.prox(np.array([3.0, 4.0, 0.5]), length=1.0, alpha=2.5)
    array([1.5, 2. , 0. ])
    """

    name = "group_lasso"

    def __init__(self, groups, weights=None):
        self.groups = groups
        self.weights = weights

    def _share(self):
        return 0.0


class _Concave(Compiled):
    """Penalties of large coefficients that do not grow with them."""

    separable = True


class MCP(_Concave):
    """The minimax concave penalty: as `L1` near 0, and without bias of large coefficients.

    - Formula: ``alpha * abs(coef) - coef**2 / (2 * gamma)`` up to ``gamma * alpha``, beyond
      ``gamma * alpha**2 / 2``; summed.

    Where a step is longer than the objective of `prox` is convex for, the proximal operator is the
    least of its minima.

    Parameters
    ----------
    gamma : float, default=3.0
        In (1, inf); the penalty tends to `L1` as it grows.

    References
    ----------
    Zhang, C.-H. (2010). Nearly unbiased variable selection under minimax concave penalty. Annals of
    Statistics 38, 894-942.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses.penalties import MCP
    >>> MCP(gamma=2.0).prox(np.array([0.5, 1.5, 4.0]), length=1.0, alpha=1.0)
    array([0., 1., 4.])
    """

    name = "mcp"
    _struct = "MCP"
    _parameter_intervals = {"gamma": Interval(1, np.inf)}

    def __init__(self, gamma=3.0):
        self.gamma = gamma


class SCAD(_Concave):
    """Smoothly clipped absolute deviation: `L1` up to `alpha`, and without bias of large
    coefficients.

    - Formula: ``alpha * abs(coef)`` up to ``alpha``; ``(gamma * alpha * abs(coef) - (coef**2 +
      alpha**2) / 2) / (gamma - 1)`` up to ``gamma * alpha``; ``alpha**2 * (gamma + 1) / 2`` beyond;
      summed.

    Where a step is longer than the objective of `prox` is convex for, the proximal operator is the
    least of its minima.

    Parameters
    ----------
    gamma : float, default=3.7
        In (2, inf); the penalty tends to `L1` as it grows.

    References
    ----------
    Fan, J. and Li, R. (2001). Variable selection via nonconcave penalized likelihood and its oracle
    properties. JASA 96, 1348-1360.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses.penalties import SCAD
    >>> SCAD(gamma=3.0).prox(np.array([1.5, 2.5, 4.0]), length=1.0, alpha=1.0)
    array([0.5, 2. , 4. ])
    """

    name = "scad"
    _struct = "SCAD"
    _parameter_intervals = {"gamma": Interval(2, np.inf)}

    def __init__(self, gamma=3.7):
        self.gamma = gamma


_CLASSES = (L1, L2, ElasticNet, GroupLasso, SparseGroup, MCP, SCAD, GaussianPrior, SmoothPenalty)
PENALTIES = {c.name: c for c in _CLASSES}

__all__ = ["PENALTIES", "Penalty", "get_penalty", *sorted(c.__name__ for c in PENALTIES.values())]


def get_penalty(penalty, **params):
    """The penalty that a name or an object stands for.

    Parameters
    ----------
    penalty : str, Penalty or None
        A name in `PENALTIES`, or a penalty. None: none.
    **params
        Parameters to set; an object that is given stays as it is.

    Returns
    -------
    penalty : Penalty or None

    Raises
    ------
    ValueError
        For a name that is not known; the message has the nearest ones.

    Examples
    --------
    >>> from sklearn_losses.penalties import get_penalty
    >>> get_penalty("elasticnet", l1_ratio=0.5)
    ElasticNet(l1_ratio=0.5)
    """
    if penalty is None and not params:
        return None
    if isinstance(penalty, str) and issubclass(PENALTIES.get(penalty, object), _Grouped):
        penalty = PENALTIES[penalty](groups=None)  # refused when used, if it stays so
    return from_name("penalty", penalty, Penalty, PENALTIES, params)
