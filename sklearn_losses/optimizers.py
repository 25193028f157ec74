"""Optimizers: one class each, named as published. No arithmetic: that is in
``_kernels/fit/optimizers.h``, and in the solvers of the finite-sum and full-batch methods."""

import numpy as np

from sklearn_losses._interval import POSITIVE, UNIT_RIGHT_OPEN
from sklearn_losses._parameters import Parametric, check_integer, from_name


class Optimizer(Parametric):
    """Base class of the optimizers: parameters, checked when a fit begins.

    Steps are compiled, so that a class in Python cannot bring its own. A subclass of an optimizer
    may have other defaults, fewer parameters, or parameters from which it computes those; a new
    step is added to the package in three places (``CONTRIBUTING.md`` in the source tree).

    Attributes
    ----------
    name : str
        What the estimators' `optimizer` and `get_optimizer` accept for it.
    recommended_rate : float or None
        The learning rate that ``learning_rate="optimal"`` begins with; None where it is
        `smooth_share` over the smoothness of the batches' gradients.
    smooth_share : float
        The share of that.
    decoupled : bool
        Whether the L2 penalty is a decay of the weights, and no part of what is minimised.
    full_batch : bool
        Whether each iteration takes all samples, and finds the length of its step itself.
    memory : {"saga", "svrg"} or None
        The variance-reduced method that steps as this optimizer does.
    takes_streams : bool
        Whether `partial_fit` can use it: not where it comes back to the same samples.

    Examples
    --------
    >>> from sklearn_losses import Momentum, SGDRegressorX
    >>> class Heavy(Momentum):
    ...     def __init__(self, window=100):
    ...         self.window = window
    ...
    ...     @property
    ...     def momentum(self):
    ...         return 1 - 1 / self.window
    >>> model = SGDRegressorX(optimizer=Heavy(), max_iter=5, tol=None)
    >>> model.set_params(optimizer__window=20).fit([[0.0], [1.0]], [1.0, 2.0]).n_iter_
    5
    """

    name = None
    # The struct of `_kernels/fit/optimizers.h` that steps; None where a solver does.
    _kernel = None
    recommended_rate = None
    full_batch = False
    memory = None
    smooth_share = 0.5
    decoupled = False

    @property
    def takes_streams(self):
        return not (self.full_batch or self.memory)

    # Factor of the rate that "optimal" gives to `SGD`, where `recommended_rate` is None.
    def _share_of_sgds_rate(self):
        return 1.0

    # Whether "optimal" falls with the steps; `smooth`: the loss has a derivative everywhere.
    def _rate_decays(self, smooth):
        return True

    def _kernel_params(self):
        """The kernel's name and its parameters, checked."""
        return self._kernel, np.array(self._numbers(), dtype=np.float64)

    def _check(self):
        """Raise the error of the first parameter that is outside its range."""
        self._kernel_params()

    @classmethod
    def _lacks(cls):
        own_step = [name for name in ("step", "update") if hasattr(cls, name)]
        if issubclass(cls, tuple(OPTIMIZERS.values())) and not own_step:
            return None
        return (
            "cannot step: steps are compiled, and a class in Python cannot bring its own"
            f"{f' ({own_step[0]} would never be called)' if own_step else ''}. Subclass one of "
            f"{', '.join(cls.__name__ for cls in OPTIMIZERS.values())} to change its parameters, "
            'or add the step to the package: CONTRIBUTING.md, "Add an optimizer: three places"'
        )


class SGD(Optimizer):
    """Stochastic gradient descent: ``w -= eta * g``.

    Like all optimizers here it steps in coordinates in which columns of X, and y, are of like size
    (see the user guide, "Scales and units"), so that rates have no unit.
    ``learning_rate="optimal"`` is ``1 / (2 * L)`` with L the expected smoothness of the gradients
    of batches [1]_, and falls as ``1 / sqrt(1 + (t - 1) / 1000)``.

    On sparse data a step moves the features that the batch has. The L2 and L1 penalties of the
    steps that left a feature alone are made up for, at the rate of the moment, before it is next
    used and at the end of the epoch: that is the lazy rule of all optimizers here but `SAGA` and
    `SVRG`.

    L1 is the cumulative penalty, as in scikit-learn: it leaves weights at zero in spite of the
    gradients' noise, which a proximal step on each batch hardly does.

    References
    ----------
    .. [1] Gower, R. M., Loizou, N., Qian, X., Sailanbayev, A., Shulgin, E. and Richtarik, P.
       (2019). SGD: general analysis and improved rates. ICML, proposition 3.8.

    Robbins, H. and Monro, S. (1951). A stochastic approximation method. Annals of Mathematical
    Statistics 22, 400-407. Tsuruoka, Y., Tsujii, J. and Ananiadou, S. (2009). Stochastic gradient
    descent training for L1-regularized log-linear models with cumulative penalty. ACL, 477-485.

    Examples
    --------
    >>> from sklearn_losses import SGD
    >>> SGD().name
    'sgd'
    """

    name = "sgd"
    _kernel = "SGD"


class _Velocity(Optimizer):
    """What the methods with a velocity share."""

    _parameter_intervals = {"momentum": UNIT_RIGHT_OPEN}

    def __init__(self, momentum=0.9):
        self.momentum = momentum

    def _share_of_sgds_rate(self):
        return 1.0 - self._numbers()[0]


class Momentum(_Velocity):
    """The heavy ball: ``v = momentum * v - eta * g; w += v``.

    With L1 or bounds, v is the change of w after the proximal step (inertial proximal descent, Ochs
    et al., 2014). On sparse data the velocity of a feature that the batch does not have stays as it
    is, and its weight moves by the penalty alone, as `SGD` says.
    ``learning_rate="optimal"`` is that of `SGD` times ``1 - momentum``.

    Parameters
    ----------
    momentum : float, default=0.9
        In [0, 1).

    References
    ----------
    Polyak, B. (1964). Some methods of speeding up the convergence of iteration methods. USSR
    Computational Mathematics 4, 1-17. Sutskever, I., Martens, J., Dahl, G. and Hinton, G. (2013).
    On the importance of initialization and momentum in deep learning. ICML, eq. 1 and 2.

    Examples
    --------
    >>> from sklearn_losses import Momentum, SGDClassifierX
    >>> SGDClassifierX(optimizer=Momentum(momentum=0.8)).get_params()["optimizer__momentum"]
    0.8
    """

    name = "momentum"
    _kernel = "Momentum"


class NAG(_Velocity):
    """Nesterov's accelerated gradient: ``v = momentum * v - eta * g; w += momentum * v - eta * g``.

    The weights are those at which the gradient is taken (Bengio et al., 2013). With L1 the
    proximal step acts on the iterate behind them, ``w - momentum * v``, as in FISTA; bounds hold
    for both, and v takes in what they cut off. On sparse data and for
    ``learning_rate="optimal"``: as `Momentum`.

    Parameters
    ----------
    momentum : float, default=0.9
        In [0, 1).

    References
    ----------
    Nesterov, Y. (1983). A method for solving a convex programming problem with convergence rate
    O(1/k^2). Bengio, Y., Boulanger-Lewandowski, N. and Pascanu, R. (2013). Advances in optimizing
    recurrent networks. ICASSP, eq. 6 and 7.

    Examples
    --------
    >>> from sklearn_losses import get_optimizer
    >>> get_optimizer("nesterov", momentum=0.95)
    NAG(momentum=0.95)
    """

    name = "nesterov"
    _kernel = "Nesterov"


class AdaGrad(Optimizer):
    """Adaptive subgradients: ``s += g**2; w -= eta * g / (sqrt(s) + eps)``.

    L1 is taken by the composite mirror step: soft thresholding by ``alpha`` times the coordinate's
    own length of step. A weight does not move before its first gradient, not by L1 either. On
    sparse data s of a feature that the batch does not have stays as it is; its weight moves by the
    penalty alone, as `SGD` says. ``learning_rate="optimal"`` is 0.1, in coordinates of like size:
    the sum of squares makes it fall.

    Parameters
    ----------
    eps : float, default=1e-10
        In (0, inf).

    References
    ----------
    Duchi, J., Hazan, E. and Singer, Y. (2011). Adaptive subgradient methods for online learning and
    stochastic optimization. JMLR 12, 2121-2159, section 5.

    Examples
    --------
    >>> from sklearn_losses import AdaGrad
    >>> AdaGrad().recommended_rate
    0.1
    """

    name = "adagrad"
    _kernel = "AdaGrad"
    recommended_rate = 0.1
    _parameter_intervals = {"eps": POSITIVE}

    def __init__(self, eps=1e-10):
        self.eps = eps

    def _rate_decays(self, smooth):
        return False


class RMSProp(Optimizer):
    """``v = rho * v + (1 - rho) * g**2; w -= eta * g / (sqrt(v) + eps)``.

    L1 and sparse data: as `AdaGrad`. ``learning_rate="optimal"``: as `Adam`.

    Parameters
    ----------
    rho : float, default=0.9
        In [0, 1).
    eps : float, default=1e-8
        In (0, inf).

    References
    ----------
    Tieleman, T. and Hinton, G. (2012). Lecture 6.5: RMSProp. COURSERA: Neural Networks for Machine
    Learning.

    Examples
    --------
    >>> from sklearn_losses import RMSProp
    >>> RMSProp(rho=0.99).get_params()
    {'eps': 1e-08, 'rho': 0.99}
    """

    name = "rmsprop"
    _kernel = "RMSProp"
    recommended_rate = 0.01
    _parameter_intervals = {"rho": UNIT_RIGHT_OPEN, "eps": POSITIVE}

    def __init__(self, rho=0.9, eps=1e-8):
        self.rho = rho
        self.eps = eps


class _Moments(Optimizer):
    """What the methods with moments of two orders share."""

    recommended_rate = 0.01
    _parameter_intervals = {"beta1": UNIT_RIGHT_OPEN, "beta2": UNIT_RIGHT_OPEN, "eps": POSITIVE}

    def __init__(self, beta1=0.9, beta2=0.999, eps=1e-8):
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps


class Adam(_Moments):
    """Adaptive moments.

    ::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        w -= eta * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps)

    The L2 penalty is part of g. L1 is taken by soft thresholding by ``alpha`` times
    ``eta / (sqrt(v / (1 - beta2**t)) + eps)`` (Yun, Lozano and Yang, 2021), and not at all before a
    weight's first gradient. On sparse data the moments of a feature that the batch does not have
    stay as they are, t counts all steps, and the weight moves by the penalty alone, as `SGD` says.
    ``learning_rate="optimal"`` is 0.01, in coordinates of like size, and falls as
    ``(1 + (t - 1) / 1000)**-0.75``.

    Parameters
    ----------
    beta1, beta2 : float, default=0.9, 0.999
        In [0, 1).
    eps : float, default=1e-8
        In (0, inf); relative to the size of a gradient at the start.
    amsgrad : bool, default=False
        Whether the largest v so far stands for v in the step.

    References
    ----------
    Kingma, D. and Ba, J. (2015). Adam: a method for stochastic optimization. ICLR, algorithm 1.
    Reddi, S., Kale, S. and Kumar, S. (2018). On the convergence of Adam and beyond. ICLR,
    algorithm 2 (here with Adam's bias corrections). Yun, J., Lozano, A. and Yang, E. (2021).
    Adaptive proximal gradient methods for structured neural networks. NeurIPS.

    Examples
    --------
    >>> from sklearn_losses import Adam
    >>> Adam(beta1=0.8) == Adam(beta1=0.8)
    True
    """

    name = "adam"

    def __init__(self, beta1=0.9, beta2=0.999, eps=1e-8, amsgrad=False):
        super().__init__(beta1, beta2, eps)
        self.amsgrad = amsgrad

    @property
    def _kernel(self):
        return "AMSGrad" if self.amsgrad else "Adam"

    def _numbers(self):
        if not isinstance(self.amsgrad, bool | np.bool_):
            raise ValueError(
                f"{type(self).__name__}: amsgrad must be True or False; got {self.amsgrad!r}"
            )
        return super()._numbers()


class AdamW(_Moments):
    """`Adam` with decoupled weight decay: ``w -= eta * alpha * w`` beside Adam's step.

    The L2 penalty is not part of g, so that its strength does not depend on the size of a feature's
    gradients; the limit is then not the minimiser of the L2-penalised objective. L1 is taken as by
    `Adam`. On sparse data as `Adam`; the decay of missed steps is made up for at the rate of the
    moment. ``learning_rate="optimal"``: as `Adam`.

    Parameters
    ----------
    beta1, beta2 : float, default=0.9, 0.999
        In [0, 1).
    eps : float, default=1e-8
        In (0, inf).

    References
    ----------
    Loshchilov, I. and Hutter, F. (2019). Decoupled weight decay regularization. ICLR, algorithm 2.

    Examples
    --------
    >>> from sklearn_losses import AdamW
    >>> AdamW()
    AdamW()
    """

    name = "adamw"
    _kernel = "AdamW"
    decoupled = True


class NAdam(_Moments):
    """`Adam` with Nesterov's momentum.

    In the step of `Adam`, ``m / (1 - beta1**t)`` becomes
    ``beta1 * m / (1 - beta1**(t + 1)) + (1 - beta1) * g / (1 - beta1**t)``. The L2 penalty is part
    of g; L1, sparse data and ``learning_rate="optimal"``: as `Adam`.

    Parameters
    ----------
    beta1, beta2 : float, default=0.9, 0.999
        In [0, 1).
    eps : float, default=1e-8
        In (0, inf).

    References
    ----------
    Dozat, T. (2016). Incorporating Nesterov momentum into Adam. ICLR workshop, algorithm 2, with a
    constant momentum.

    Examples
    --------
    >>> from sklearn_losses import NAdam
    >>> NAdam().recommended_rate
    0.01
    """

    name = "nadam"
    _kernel = "NAdam"


class _FiniteSum(Optimizer):
    """What the variance-reduced methods share: the step of `SGD` on a reduced gradient."""

    _kernel = "SGD"
    smooth_share = 1.0 / 3.0

    def _rate_decays(self, smooth):
        return not smooth


class SAGA(_FiniteSum):
    """Variance-reduced descent that remembers the last gradient of every sample.

    One number a sample and output is stored. The first pass fills the memory; a step moves by the
    change of the batch's gradients plus the mean of all remembered ones, so that a constant
    learning rate converges linearly on smooth and strongly convex objectives. On sparse data a step
    moves the features that the batch has, with the mean and the penalties of a feature taken as
    often as its samples over what is expected (Pedregosa, Leblond and Lacoste-Julien, 2017).

    ``learning_rate="optimal"`` is ``1 / (3 * L)``, with L the expected smoothness of the gradients
    of batches (see `SGD`) by the largest second derivative of the loss seen on up to 4096 samples,
    at the start and after each epoch; for a loss without derivative it falls as that of `SGD`. An
    epoch that ends above where the fit started is made again with a quarter of the rate. `tol`: see
    the user guide, "When a fit ends".

    References
    ----------
    Defazio, A., Bach, F. and Lacoste-Julien, S. (2014). SAGA: a fast incremental gradient method
    with support for non-strongly convex composite objectives. NeurIPS, algorithm 1.
    Pedregosa, F., Leblond, R. and Lacoste-Julien, S. (2017). Breaking the nonsmooth barrier: a
    scalable parallel method for composite optimization. NeurIPS, section 2.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_losses import SGDClassifierX
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SGDClassifierX(
    ...     "multinomial", optimizer="saga", learning_rate="optimal", random_state=0
    ... )
    >>> round(model.fit(X, y).score(X, y), 2)
    0.98
    """

    name = "saga"
    memory = "saga"


class SVRG(_FiniteSum):
    """Variance-reduced descent around a snapshot of the weights.

    Every so many epochs a pass over all samples takes their gradients at the present weights, of
    which one number a sample and output is stored. Sparse data, ``learning_rate="optimal"`` and
    `tol`: as `SAGA`.

    Parameters
    ----------
    every : int, default=2
        Epochs between two snapshots, at least 1.

    References
    ----------
    Johnson, R. and Zhang, T. (2013). Accelerating stochastic gradient descent using predictive
    variance reduction. NeurIPS, figure 1, option I.

    Examples
    --------
    >>> from sklearn_losses import SVRG
    >>> SVRG(every=1).memory
    'svrg'
    """

    name = "svrg"
    memory = "svrg"

    def __init__(self, every=2):
        self.every = every

    def _numbers(self):
        check_integer(type(self).__name__, "every", self.every)
        return super()._numbers()


class GD(Optimizer):
    """Full-batch proximal gradient descent with line search.

    Each iteration takes all samples. The first trial step has the Barzilai-Borwein length, and is
    halved until the quadratic model with that step bounds the loss (Beck and Teboulle, 2009); L1
    and bounds are taken by the proximal step. `learning_rate`, `eta0` and `batch_size` have no
    effect. `tol`: see the user guide, "When a fit ends".

    References
    ----------
    Beck, A. and Teboulle, M. (2009). A fast iterative shrinkage-thresholding algorithm for linear
    inverse problems. SIAM Journal on Imaging Sciences 2, 183-202, section 3. Barzilai, J. and
    Borwein, J. (1988). Two-point step size gradient methods. IMA Journal of Numerical Analysis 8.

    Examples
    --------
    >>> from sklearn_losses import GD
    >>> GD().full_batch
    True
    """

    name = "gd"
    full_batch = True


class LBFGS(Optimizer):
    """Limited-memory BFGS, SciPy's L-BFGS-B, on the objective over all samples.

    L1 is solved exactly, by splitting each weight into its positive and its negative part; bounds
    are L-BFGS-B's own. Losses without derivative are refused, but for those that have a smooth
    counterpart, which is followed to its limit: "quantile", "absolute_error" and "hinge"; at that
    limit `InteriorPoint` is sooner. `learning_rate`, `eta0`, `batch_size` and `shuffle` have no
    effect. `tol`: see the user guide, "When a fit ends".

    Parameters
    ----------
    corrections : int, default=10
        How many steps the approximation of the Hessian remembers, at least 1.

    References
    ----------
    Byrd, R., Lu, P., Nocedal, J. and Zhu, C. (1995). A limited memory algorithm for bound
    constrained optimization. SIAM Journal on Scientific Computing 16, 1190-1208.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_losses import SGDRegressorX
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SGDRegressorX("poisson", optimizer="lbfgs", alpha=1e-6, tol=1e-6)
    >>> round(model.fit(X, y).score(X, y), 2)
    0.51
    """

    name = "lbfgs"
    full_batch = True

    def __init__(self, corrections=10):
        self.corrections = corrections

    def _numbers(self):
        check_integer(type(self).__name__, "corrections", self.corrections)
        return super()._numbers()


class Newton(Optimizer):
    """Newton's method on the objective over all samples; proximal with L1, MCP, SCAD or bounds.

    A step goes to the minimum of the quadratic model of the loss plus the penalty, and is shortened
    until the objective falls. The model's matrix is summed up from the rows by threads and factored
    by Cholesky, and renewed where that saves steps; of very many features conjugate gradients
    multiply by it alone. Penalties with a kink at 0, and bounds, are followed by coordinate descent
    on the model, and by direct steps among the weights that are not 0. Where most weights are 0 the
    model is that of a working set of features, which grows by those that would leave 0. A row-wise
    loss has all pairs of its classes in one matrix. Where a loss is not convex, negative second
    derivatives are replaced so that steps descend.

    For losses with a derivative everywhere, penalties that are sums over the weights, and arrays on
    the host. `learning_rate`, `eta0`, `batch_size` and `shuffle` have no effect. `tol`: see the
    user guide, "When a fit ends".

    References
    ----------
    Lee, J., Sun, Y. and Saunders, M. (2014). Proximal Newton-type methods for minimizing composite
    functions. SIAM Journal on Optimization 24, 1420-1443. Friedman, J., Hastie, T. and Tibshirani,
    R. (2010). Regularization paths for generalized linear models via coordinate descent. Journal of
    Statistical Software 33. Bertrand, Q., Klopfenstein, Q., Bannier, P.-A., Gidel, G. and Massias,
    M. (2022). Beyond L1: faster and better sparse models with skglm. NeurIPS. Nocedal, J. and
    Wright, S. (2006). Numerical optimization. Springer, algorithm 7.1.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_losses import SGDClassifierX
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = SGDClassifierX("log_loss", optimizer="newton", alpha=1e-4)
    >>> model.fit(X, y).stop_reason_
    'converged'
    """

    name = "newton"
    full_batch = True


class InteriorPoint(Optimizer):
    """The interior point method of Frisch and Newton, for losses made of straight lines: quantiles,
    absolute errors and hinges.

    The minimum of such a loss, with L1, L2 or elastic net penalties and bounds, is that of a linear
    or quadratic program, which this solves to rounding in 10 to 30 steps: weights that are 0 there
    are 0 here. A step is one of Newton's (Mehrotra's predictor-corrector, with Gondzio's
    correctors), whose matrix has a row and a column a feature (a sample, where these are fewer and
    all weights are penalised or bounded): at most 5,000. Of many samples most are far from their
    kinks, and stand in the problem as two (Portnoy and Koenker, 1997); of several quantiles of one
    target each starts from the one before.

    For "quantile", "absolute_error", "mape", "epsilon_insensitive", "hinge", "perceptron" and
    others whose `_terms` say so; arrays on the host. Where a fit starts, `learning_rate`, `eta0`,
    `batch_size` and `shuffle` have no effect. `tol`: see the user guide, "When a fit ends".

    References
    ----------
    Portnoy, S. and Koenker, R. (1997). The Gaussian hare and the Laplacian tortoise: computability
    of squared-error versus absolute-error estimators. Statistical Science 12, 279-300. Mehrotra, S.
    (1992). On the implementation of a primal-dual interior point method. SIAM Journal on
    Optimization 2, 575-601. Wright, S. (1997). Primal-dual interior-point methods. SIAM.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_losses import SGDRegressorX
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SGDRegressorX("quantile", optimizer="interior-point", penalty="l1", alpha=0.005)
    >>> model.fit(X, y).stop_reason_
    'converged'
    >>> int((model.coef_ == 0).sum())
    6
    """

    name = "interior-point"
    full_batch = True


class Auto(Optimizer):
    """The optimizer that is likely the first at the minimum, by loss, penalty and data.

    `fit` takes one that ends at the minimum of the objective over all samples, wherever there is
    one; the table is in the user guide, "The optimizer that is chosen for you". The estimator's
    `optimizer_` is the one that was taken. `learning_rate`, `eta0`, `batch_size` and `shuffle` have
    no effect on it then, and nothing depends on the units of X and y.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_losses import SGDRegressorX
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SGDRegressorX("huber", epsilon="auto", optimizer="auto").fit(X, y)
    >>> model.optimizer_
    Newton()
    """

    name = "auto"
    full_batch = True
    takes_streams = True


OPTIMIZERS = {
    c.name: c
    for c in (
        SGD,
        Momentum,
        NAG,
        AdaGrad,
        RMSProp,
        Adam,
        AdamW,
        NAdam,
        SAGA,
        SVRG,
        GD,
        LBFGS,
        Newton,
        InteriorPoint,
        Auto,
    )
}

__all__ = [
    "OPTIMIZERS",
    "Optimizer",
    "get_optimizer",
    *(cls.__name__ for cls in OPTIMIZERS.values()),
]


def get_optimizer(optimizer, **params):
    """The optimizer that a name or an object stands for.

    Parameters
    ----------
    optimizer : str or Optimizer
        A name in `OPTIMIZERS`, or an optimizer.
    **params
        Parameters to set; an object that is given stays as it is.

    Returns
    -------
    optimizer : Optimizer

    Raises
    ------
    ValueError
        For a name that is not known; the message has the nearest ones.

    Examples
    --------
    >>> from sklearn_losses import get_optimizer
    >>> get_optimizer("adam", beta1=0.5)
    Adam(beta1=0.5)
    """
    return from_name("optimizer", optimizer, Optimizer, OPTIMIZERS, params)
