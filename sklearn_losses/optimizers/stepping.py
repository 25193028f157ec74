"""Optimizers that step on batches. No arithmetic: that is in ``_kernels/fit/optimizers.h``, and in
the solver of the finite-sum methods."""

import numpy as np

from sklearn_losses._interval import NON_NEGATIVE, POSITIVE, UNIT_RIGHT_OPEN, Interval
from sklearn_losses._parameters import check_integer
from sklearn_losses.optimizers.base import Optimizer


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


class ImplicitAdaGrad(Optimizer):
    """`AdaGrad` with implicit steps and polynomial averaging: nothing is to be tuned.

    A step takes the derivative of the loss where it leads, instead of where it starts, and so is a
    share tau of the explicit one::

        h = tau * eta * min(max(1, growth * m), 10) / sqrt(s)
        w = (w - h * g) / (1 + h * l2)
        s += (tau * g)**2
        m = max(m, abs(w))

    For one sample tau is the root of ``tau * l'(raw) = l'(raw - tau * q * l'(raw))``, with q the
    sum of ``h / tau * x**2``: the step ends where the loss stops falling, however long it
    would have been, as at the target of a squared error or at the kink of a hinge. One learning
    rate then is right for data of any scale: 0.1, in coordinates of like size, and as the best rate
    is about the distance to the minimum, it grows with the largest weight m that the coordinate has
    had. (An intercept starts at the best constant; its m is the distance from where it started.) s
    begins with the square of `initial` times the size of a derivative at the best constant.

    The root is found by a safeguarded Newton iteration on the derivatives of the loss alone, of a
    loss in Python too (some more calls a batch): secants stand for second derivatives, which kinks
    do not have. A row-wise loss goes along its gradient, to the proximal point of that line. For
    each output a batch takes the mean of the shares that its samples would take alone, in
    proportion to ``q * l'**2``; it is one factor of the step, so that the minimum stays a fixed
    point. Where a loss is not convex there may be no root before the end of the explicit step,
    which is then made.

    The model is the mean of the weights after all steps, of which step t counts about as
    ``t**averaging``; with the estimator's `average` it is the plain mean from that step on, as with
    the other optimizers, so that one that is never reached leaves the weights as they are after the
    last step. L1, L2 and bounds are taken by the proximal step of the coordinate's own
    length h; `clip_norm` clips the explicit gradient. On sparse data s of a feature that the batch
    does not have stays as it is; its weight moves by the penalty alone, as `SGD` says.
    ``learning_rate="optimal"`` is 0.1: the sum of squares makes it fall.

    Parameters
    ----------
    initial : float, default=0.07
        In (0, inf).
    averaging : float, default=2.0
        In [0, 10]: 0 is the plain mean, and the larger it is the fewer, and later, steps count.
    growth : float, default=5.0
        In [0, inf), by which m lengthens steps, up to ten times: 0 leaves the rate as it is.

    References
    ----------
    Duchi, J., Hazan, E. and Singer, Y. (2011). Adaptive subgradient methods for online learning and
    stochastic optimization. JMLR 12, 2121-2159. Kulis, B. and Bartlett, P. (2010). Implicit online
    learning. ICML, eq. 3. Toulis, P. and Airoldi, E. (2017). Asymptotic and finite-sample
    properties of estimators based on stochastic gradients. Annals of Statistics 45, 1694-1727,
    algorithm 1. Ivgi, M., Hinder, O. and Carmon, Y. (2023). DoG is SGD's best friend: a
    parameter-free dynamic step size schedule. ICML, eq. 2 (of one coordinate). Shamir, O. and
    Zhang, T. (2013). Stochastic gradient descent for non-smooth optimization: convergence results
    and optimal averaging schemes. ICML, section 4.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_losses import SGDRegressorX
    >>> X, y = load_diabetes(return_X_y=True, scaled=False)
    >>> model = SGDRegressorX(optimizer="implicit_adagrad", alpha=0, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.51
    True
    """

    name = "implicit_adagrad"
    _kernel = "ImplicitAdaGrad"
    recommended_rate = 0.1
    # The averages' weights grow as t**averaging: a double holds them for as long as anyone steps.
    _parameter_intervals = {
        "initial": POSITIVE,
        "averaging": Interval(0, 10, True, True),
        "growth": NON_NEGATIVE,
    }

    def __init__(self, initial=0.07, averaging=2.0, growth=5.0):
        self.initial = initial
        self.averaging = averaging
        self.growth = growth

    def _kernel_params(self):
        return self._kernel, np.array([self._numbers()[2]])

    def _start(self):
        initial, averaging, _ = self._numbers()
        return initial**2, averaging

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
