"""Optimizers that take all samples at each iteration, and end at the minimum. No arithmetic: that
is in the solvers."""

from sklearn_losses._parameters import check_integer
from sklearn_losses.optimizers.base import Optimizer


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
    limit `InteriorPoint` is sooner.
    `learning_rate`, `eta0`, `batch_size` and `shuffle` have no effect. `tol`: see the user guide,
    "When a fit ends".

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
    correctors), whose matrix has a row and a column a feature: at most 5,000 features. Of many
    samples most are far from their kinks, and stand in the problem as two (Portnoy and Koenker,
    1997); of several quantiles of one target each starts from the one before.

    Beside a scale that is predicted too ("laplace_nll") the location is such a loss at any scales,
    and the scales have a smooth and convex one at any location, which is Newton's: both go to their
    minima in turn, until neither lowers the objective any more. No direction leads down from there.

    For "quantile", "absolute_error", "mape", "epsilon_insensitive", "hinge", "perceptron" and
    others whose `_terms` say so, and "laplace_nll"; arrays on the host. Where a fit starts,
    `learning_rate`, `eta0`, `batch_size` and `shuffle` have no effect. `tol`: see the user guide,
    "When a fit ends".

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
