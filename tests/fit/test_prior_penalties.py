"""Quadratic penalties of prior knowledge: fits end at the closed form, or at the minimum that SciPy
finds; the penalty is of the weights in the user's units, whatever the optimizer."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.base import clone
from suited import ONLY

from sklearn_losses import (
    AlphaSearchCV,
    GaussianPrior,
    SGDClassifierX,
    SGDRegressorX,
    SmoothPenalty,
    alpha_path,
)
from sklearn_losses.optimizers import OPTIMIZERS
from sklearn_losses.penalties import get_penalty

RNG = np.random.RandomState(0)
N, D = 60, 8
X = RNG.randn(N, D) * np.exp(RNG.randn(D)) + 1.0
TRUE = np.r_[1.0, 1.2, 1.4, 1.3, -0.5, -0.6, 2.0, 0.0] / X.std(axis=0)
Y = X @ TRUE + 0.5 * RNG.randn(N) + 7.0
MEAN = TRUE * RNG.uniform(0.5, 1.5, D)
ROOT = RNG.randn(D, D) * X.std(axis=0)
MATRIX = ROOT.T @ ROOT / D
LAYOUTS = {"dense": np.asarray, "csr": sparse.csr_matrix}


def differences(order, run, n, cyclic=False):
    """Rows of D: Eilers and Marx (1996), eq. 5, by NumPy's own differences."""
    whole = np.eye(n)[run]
    if cyclic:
        for _ in range(order):
            whole = np.roll(whole, -1, axis=0) - whole
        return whole
    return np.diff(whole, order, axis=0)


def squares(*rows):
    whole = np.vstack(rows)
    return whole.T @ whole


RUN, REST = [0, 1, 2, 3], [6, 4, 5]
# Penalty, and its matrix and mean as plain NumPy has them.
CASES = {
    "number": (GaussianPrior(MEAN, 0.7), 0.7 * np.eye(D), MEAN),
    "vector": (GaussianPrior(MEAN, np.arange(D)), np.diag(np.arange(float(D))), MEAN),
    "one mean": (GaussianPrior(0.3, np.arange(D)), np.diag(np.arange(float(D))), np.full(D, 0.3)),
    "matrix": (GaussianPrior(MEAN, MATRIX), MATRIX, MEAN),
    "singular": (GaussianPrior(MEAN, ROOT[:3].T @ ROOT[:3]), ROOT[:3].T @ ROOT[:3], MEAN),
    "sparse": (
        GaussianPrior(MEAN, sparse.csr_matrix(np.tril(np.triu(MATRIX, -1), 1) + 9 * np.diag(MATRIX)
                                              * np.eye(D))),
        np.tril(np.triu(MATRIX, -1), 1) + 9 * np.diag(MATRIX) * np.eye(D),
        MEAN,
    ),
    "smooth 1": (SmoothPenalty(1), squares(differences(1, range(D), D)), 0.0),
    "smooth 2": (SmoothPenalty(), squares(differences(2, range(D), D)), 0.0),
    "smooth 3": (SmoothPenalty(3), squares(differences(3, range(D), D)), 0.0),
    "runs": (
        SmoothPenalty(2, groups=[RUN, REST]),
        squares(differences(2, RUN, D), differences(2, REST, D)),
        0.0,
    ),
    "labels": (
        SmoothPenalty(1, groups=[5, 5, 1, 1, 5, 2, 1, 1]),
        squares(differences(1, [0, 1, 4], D), differences(1, [2, 3, 6, 7], D)),
        0.0,
    ),
    "cyclic": (
        SmoothPenalty(2, groups=[RUN, [4, 5]], cyclic=True),
        squares(differences(2, RUN, D, True), differences(2, [4, 5], D, True)),
        0.0,
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES)
EXACT = [o for o, c in OPTIMIZERS.items() if c.full_batch and o not in ONLY]


def closed(X, y, matrix, mean, alpha, weight=None):
    """Weights and intercept where the gradient is 0: the normal equations."""
    weight = np.ones(len(y)) if weight is None else weight
    weight = weight / weight.sum()
    A = X - weight @ X
    left = A.T @ (weight[:, None] * A) + alpha * matrix
    right = A.T @ (weight * (y - weight @ y)) + alpha * matrix @ (mean * np.ones(X.shape[1]))
    coef = np.linalg.solve(left, right)
    return coef, weight @ y - weight @ X @ coef


def in_units(coef):
    return coef * X.std(axis=0)


def standardised(case):
    """A case of columns over their standard deviations."""
    penalty, matrix, mean = CASES[case]
    if isinstance(penalty, SmoothPenalty):
        return CASES[case]
    mean, matrix = in_units(mean), matrix / np.outer(X.std(axis=0), X.std(axis=0))
    return GaussianPrior(mean, matrix), matrix, mean


# ------------------------------------------------------------------------------------------- fits


@every_case
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("optimizer", ["auto", *EXACT])
@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_least_squares_are_the_closed_form(case, layout, optimizer):
    penalty, matrix, mean = CASES[case]
    weight = np.arange(1.0, N + 1)
    model = SGDRegressorX(penalty=penalty, alpha=0.5, optimizer=optimizer, tol=1e-6, max_iter=5000)
    model.fit(LAYOUTS[layout](X), Y, sample_weight=weight)
    coef, intercept = closed(X, Y, matrix, mean, 0.5, weight)
    exact = optimizer in ("auto", "newton")
    tolerance = 1e-9 if exact else 2e-4
    np.testing.assert_allclose(in_units(model.coef_), in_units(coef), atol=tolerance, rtol=0)
    if exact:
        np.testing.assert_allclose(model.intercept_, [intercept], rtol=1e-9)
    raw = X @ coef + intercept
    value = np.average((raw - Y) ** 2, weights=weight) / 2
    value += 0.25 * (coef - mean) @ matrix @ (coef - mean)
    assert model.loss_curve_[-1] == pytest.approx(value, rel=1e-6)


@every_case
@pytest.mark.parametrize("optimizer", ["auto", "lbfgs", "gd"])
def test_bounds_hold_beside_the_penalty(case, optimizer):
    penalty, matrix, mean = CASES[case]
    low, high = np.full(D, -np.inf), np.full(D, np.inf)
    coef, _ = closed(X, Y, matrix, mean, 0.5)
    low[1], high[2], high[6] = coef[1] + 0.2 / X[:, 1].std(), coef[2] - 0.1 / X[:, 2].std(), 0.0
    model = SGDRegressorX(penalty=penalty, alpha=0.5, optimizer=optimizer, bounds=(low, high))
    model.set_params(tol=1e-7, max_iter=20000).fit(X, Y)
    assert ((low <= model.coef_) & (model.coef_ <= high)).all()
    A, y = X - X.mean(axis=0), Y - Y.mean()
    slope = A.T @ (A @ model.coef_ - y) / N + 0.5 * matrix @ (model.coef_ - mean)
    slope /= X.std(axis=0)
    at_low, at_high = (np.isclose(model.coef_, x, rtol=1e-14, atol=0) for x in (low, high))
    assert (at_low | at_high).any()
    assert np.abs(slope[~(at_low | at_high)]).max() < 1e-4
    assert (slope[at_low] > -1e-6).all() and (slope[at_high] < 1e-6).all()


LIKELIHOODS = {
    "log_loss": lambda y, raw: np.logaddexp(0.0, raw) - y * raw,
    "poisson": lambda y, raw: np.exp(raw) - y * raw,
}


@every_case
@pytest.mark.parametrize("loss", LIKELIHOODS)
@pytest.mark.parametrize("optimizer", ["auto", "lbfgs"])
def test_likelihoods_end_at_the_minimum_that_scipy_finds(case, loss, optimizer):
    penalty, matrix, mean = standardised(case)
    x = (X - X.mean(axis=0)) / X.std(axis=0)
    raw = (Y - Y.mean()) / Y.std()
    y = (raw > 0).astype(float) if loss == "log_loss" else np.floor(np.exp(raw))

    def objective(z):
        coef = z[:D]
        value = np.mean(LIKELIHOODS[loss](y, x @ coef + z[D]))
        return value + 0.05 * (coef - mean) @ matrix @ (coef - mean)

    start = np.zeros(D + 1)
    options = {"gtol": 1e-9, "maxiter": 5000}
    best = minimize(objective, start, method="BFGS", options=options, jac="3-point")
    kind = SGDClassifierX if loss == "log_loss" else SGDRegressorX
    model = kind(loss, penalty=penalty, alpha=0.1, optimizer=optimizer, tol=1e-6, max_iter=5000)
    model.fit(x, y)
    at = np.append(np.ravel(model.coef_), model.intercept_)
    assert objective(at) <= best.fun + 1e-10
    np.testing.assert_allclose(at[:D], best.x[:D], atol=2e-4)


@pytest.mark.parametrize("optimizer", ["newton", "lbfgs", "gd"])
@pytest.mark.parametrize("case", ["matrix", "smooth 1", "means"])
def test_of_classes_each_has_the_penalty(case, optimizer):
    x, y = (X - X.mean(axis=0)) / X.std(axis=0), np.digitize(Y, np.quantile(Y, [0.3, 0.7]))
    means = RNG.randn(3, D)
    means[2] += 1.0  # so that they do not sum to 0
    known = GaussianPrior(means, MATRIX), MATRIX, means
    penalty, matrix, mean = known if case == "means" else standardised(case)

    def objective(coef, intercept):
        away = coef - mean
        value = -np.mean(log_softmax(x @ coef.T + intercept, axis=1)[np.arange(N), y])
        return value + 0.05 * np.sum(away @ matrix * away)

    def flat(z):
        return objective(z[: 3 * D].reshape(3, D), z[3 * D :])

    best = minimize(flat, np.zeros(3 * D + 3), method="BFGS", options={"gtol": 1e-8}).fun
    model = SGDClassifierX("multinomial", penalty=penalty, alpha=0.1, optimizer=optimizer)
    model.set_params(tol=1e-6, max_iter=5000).fit(x, y)
    assert objective(model.coef_, model.intercept_) <= best + 1e-9
    if optimizer != "gd":
        np.testing.assert_allclose(
            matrix @ (model.coef_ - mean).sum(axis=0), 0.0, atol=1e-8 * np.abs(matrix).max()
        )


def test_lines_are_followed_to_their_minimum():
    penalty, matrix, mean = CASES["matrix"]
    model = SGDRegressorX("absolute_error", penalty=penalty, alpha=0.05, optimizer="auto", tol=1e-5)
    model.fit(X, Y)
    assert model.optimizer_.name == "lbfgs"

    def smoothed(z, width=1e-7):
        r = X @ z[:D] + z[D] - Y
        value = np.mean(np.sqrt(r**2 + width**2))
        return value + 0.025 * (z[:D] - mean) @ matrix @ (z[:D] - mean)

    at = np.append(model.coef_, model.intercept_)
    for scale in (1e-3, 1e-2, 0.1):
        for step in np.random.RandomState(1).randn(200, D + 1):
            move = scale * step / np.append(X.std(axis=0), 1.0)
            assert smoothed(at + move) >= smoothed(at) - 1e-5


@pytest.mark.parametrize("case", ["vector", "matrix", "smooth 2"])
@pytest.mark.parametrize("optimizer", [o for o in OPTIMIZERS if o not in [*ONLY, *EXACT]])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_optimizers_that_step_come_near(case, optimizer):
    penalty, matrix, mean = CASES[case]
    model = SGDRegressorX(penalty=penalty, alpha=0.5, optimizer=optimizer, batch_size=20)
    model.set_params(random_state=0, max_iter=200).fit(X, Y)

    def objective(coef, intercept):
        value = np.mean((X @ coef + intercept - Y) ** 2) / 2
        return value + 0.25 * (coef - mean) @ matrix @ (coef - mean)

    best = objective(*closed(X, Y, matrix, mean, 0.5))
    assert objective(model.coef_, model.intercept_) - best < 0.05 * np.var(Y) / 2


@every_case
def test_units_of_columns_and_float32_change_nothing_but_digits(case):
    penalty, matrix, mean = CASES[case]
    coef, _ = closed(X, Y, matrix, mean, 0.5)
    model = SGDRegressorX(penalty=penalty, alpha=0.5, optimizer="auto")
    model.fit(X.astype(np.float32), Y)
    assert model.coef_.dtype == np.float32
    np.testing.assert_allclose(in_units(model.coef_), in_units(coef), atol=1e-4)
    # In other units the same knowledge has other numbers.
    unit = 10.0 ** np.arange(-4, D - 4)
    known = GaussianPrior(mean * np.ones(D) / unit, matrix * np.outer(unit, unit))
    other = SGDRegressorX(penalty=known, alpha=0.5, optimizer="auto").fit(X * unit, Y)
    np.testing.assert_allclose(in_units(other.coef_ * unit), in_units(coef), atol=1e-7)


def test_more_features_than_form_a_matrix_are_followed():
    rng = np.random.RandomState(1)
    d = 1500
    x, mean = rng.randn(40, d), rng.randn(d) / 30
    y = x @ (mean + 0.01 * rng.randn(d))
    coef, _ = closed(x, y, squares(differences(1, range(d), d)) + 0.1 * np.eye(d), mean, 0.1)
    precision = SmoothPenalty(1)._form(d).bend + 0.1 * sparse.eye_array(d)
    for bounds in (None, (-1e9, 1e9)):
        model = SGDRegressorX(
            penalty=GaussianPrior(mean, precision), alpha=0.1, optimizer="auto", bounds=bounds
        )
        model.set_params(tol=1e-6).fit(x, y)
        np.testing.assert_allclose(model.coef_, coef, atol=1e-4 * np.abs(coef).max())


def test_a_strong_prior_gives_its_mean_and_a_weak_one_the_least_squares():
    strong = SGDRegressorX(penalty=GaussianPrior(MEAN, MATRIX), alpha=1e9, optimizer="auto")
    np.testing.assert_allclose(in_units(strong.fit(X, Y).coef_), in_units(MEAN), atol=1e-6)
    weak = SGDRegressorX(penalty=GaussianPrior(MEAN, MATRIX), alpha=0.0, optimizer="auto")
    plain = SGDRegressorX(penalty=None, optimizer="auto").fit(X, Y)
    np.testing.assert_allclose(in_units(weak.fit(X, Y).coef_), in_units(plain.coef_), atol=1e-8)
    line = SGDRegressorX(penalty=SmoothPenalty(2), alpha=1e9, optimizer="auto")
    coef = line.fit(X / X.std(axis=0), Y).coef_
    assert np.abs(np.diff(coef, 2)).max() < 1e-6 and np.abs(np.diff(coef)).max() > 1e-3


@pytest.mark.parametrize("optimizer", ["auto", "saga", "sgd", "adagrad", "adam"])
@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_a_prior_that_contradicts_the_data_is_no_failed_fit(optimizer):
    # The objective is above that of the best constant, whose penalty of weights of 0 counts too.
    prior = GaussianPrior(-MEAN, X.var(axis=0))
    model = SGDRegressorX(penalty=prior, alpha=30.0, optimizer=optimizer, batch_size=N)
    model.set_params(random_state=0, max_iter=3000).fit(X, Y)
    assert model.loss_curve_[-1] > np.var(Y) / 2
    assert model.stop_reason_ == "converged"
    # It is far from 0 too, which the price of the prior there allows.
    best = closed(X, Y, np.diag(X.var(axis=0)), -MEAN, 30.0)[0]
    np.testing.assert_allclose(in_units(model.coef_), in_units(best), atol=0.01)


@pytest.mark.parametrize("penalty", [GaussianPrior(MEAN, MATRIX), SmoothPenalty(1)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("optimizer", ["auto", "lbfgs", "sgd", "adagrad", "adam"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_features_without_data_are_where_the_prior_has_them(optimizer, layout, penalty):
    x = X / X.std(axis=0)
    x[:, [2, 3, 7]] = 0.0
    model = SGDRegressorX(penalty=penalty, alpha=0.5, optimizer=optimizer, batch_size=N)
    tol = 1e-7 if OPTIMIZERS[optimizer].full_batch else None
    model.set_params(random_state=0, max_iter=400, tol=tol).fit(LAYOUTS[layout](x), Y)
    # Nothing but the penalty is about them: its derivatives are 0, given the other weights.
    form = penalty._form(D)
    slope = form.gradient(model.coef_)[[2, 3, 7]] / form.diagonal()[[2, 3, 7]]
    np.testing.assert_allclose(slope, 0.0, atol=0.02 * np.abs(model.coef_).max())


@pytest.mark.parametrize("optimizer", ["auto", "lbfgs", "sgd", "adagrad", "adam"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_targets_that_a_constant_meets_leave_the_prior_its_say(optimizer):
    # Where a fit starts the loss has no derivative, which lengths of steps might hang on.
    x = (X - X.mean(axis=0)) / X.std(axis=0)
    prior = GaussianPrior(0.5, 1.0)
    model = SGDRegressorX(penalty=prior, alpha=0.5, optimizer=optimizer, batch_size=N)
    tol = 1e-7 if OPTIMIZERS[optimizer].full_batch else None
    model.set_params(random_state=0, max_iter=400, tol=tol).fit(x, np.full(N, 3.0))
    coef = closed(x, np.full(N, 3.0), np.eye(D), 0.5, 0.5)[0]
    np.testing.assert_allclose(model.coef_, coef, atol=0.05)


def test_several_targets_share_a_mean():
    model = SGDRegressorX(penalty=GaussianPrior(MEAN, MATRIX), alpha=0.5, optimizer="auto")
    both = model.fit(X, np.column_stack([Y, 3.0 - 2.0 * Y])).coef_
    for row, y in zip(both, (Y, 3.0 - 2.0 * Y), strict=True):
        np.testing.assert_allclose(
            in_units(row), in_units(closed(X, y, MATRIX, MEAN, 0.5)[0]), atol=1e-8
        )


# ------------------------------------------------------------------------- the estimator's features


def test_paths_follow_given_strengths_and_say_that_there_is_no_largest():
    penalty, matrix, mean = CASES["matrix"]
    model = SGDRegressorX(penalty=penalty, optimizer="auto")
    alphas = [10.0, 1.0, 0.1]
    for alpha, made in zip(alphas, alpha_path(model, X, Y, alphas=alphas), strict=True):
        expected, _ = closed(X, Y, matrix, mean, alpha)
        np.testing.assert_allclose(in_units(made.coef_), in_units(expected), atol=1e-7)
    with pytest.raises(ValueError, match=r"alphas must be given: .*GaussianPrior"):
        alpha_path(model, X, Y)
    search = AlphaSearchCV(model, alphas=alphas).fit(X, Y)
    assert search.alpha_ in alphas


def test_a_fit_goes_on_from_where_it_was():
    penalty = CASES["matrix"][0]
    model = SGDRegressorX(penalty=penalty, alpha=0.5, optimizer="lbfgs", tol=1e-6, max_iter=5000)
    once = clone(model).fit(X, Y)
    again = clone(model).set_params(warm_start=True).fit(X, Y)
    again.fit(X, Y)
    assert again.n_iter_ < once.n_iter_
    np.testing.assert_allclose(in_units(again.coef_), in_units(once.coef_), atol=1e-4)
    part = clone(model).set_params(warm_start="resume", max_iter=3, tol=None).fit(X, Y)
    part = pickle.loads(pickle.dumps(part)).fit(X, Y)
    whole = clone(model).set_params(max_iter=6, tol=None).fit(X, Y)
    np.testing.assert_allclose(in_units(part.coef_), in_units(whole.coef_), rtol=1e-8)


def test_a_prior_of_a_matrix_is_an_object_like_others():
    for precision in (MATRIX, sparse.csr_array(MATRIX)):
        one = GaussianPrior(MEAN, precision)
        assert clone(one) == one == pickle.loads(pickle.dumps(one))
        assert one != GaussianPrior(MEAN, 2.0 * precision)
    assert GaussianPrior(MEAN, MATRIX) != GaussianPrior(MEAN, sparse.csr_array(MATRIX))
    assert get_penalty("smooth", order=1) == SmoothPenalty(1)
    model = SGDRegressorX(penalty="gaussian_prior", alpha=0.2, optimizer="auto").fit(X, Y)
    ridge = SGDRegressorX(penalty="l2", alpha=0.2, optimizer="auto").fit(X, Y)
    np.testing.assert_allclose(in_units(model.coef_), in_units(ridge.coef_), atol=1e-8)


def test_a_subclass_with_a_method_of_its_own_is_followed():
    class Nothing(SmoothPenalty):
        def prox(self, coef, length, alpha, low=None, high=None):
            return np.zeros_like(coef)

    assert not SGDRegressorX(penalty=Nothing(), optimizer="gd", max_iter=3).fit(X, Y).coef_.any()
    with pytest.raises(ValueError, match="'lbfgs' needs a penalty that is a sum"):
        SGDRegressorX(penalty=Nothing(), optimizer="lbfgs").fit(X, Y)


# ------------------------------------------------------------------------------------------ errors

ASYMMETRIC = np.eye(3) + np.eye(3, k=1)
INDEFINITE = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
BAD = [
    (GaussianPrior([0.0, 1.0]), r"GaussianPrior: mean must be .* 3 numbers.*; got shape \(2,\)"),
    (GaussianPrior([0.0, np.nan, 1]), r"GaussianPrior: mean .*; got nan"),
    (GaussianPrior("a"), r"GaussianPrior: mean .*; got dtype <U1"),
    (GaussianPrior(0.0, -1.0), r"precision must be a number in \[0, inf\), 3 of them.*got -1.0"),
    (GaussianPrior(0.0, [1.0, 2.0]), r"precision must .*got shape \(2,\)"),
    (GaussianPrior(0.0, [1.0, np.inf, 0.0]), r"precision must .*got inf"),
    (GaussianPrior(0.0, [[1, 2], [1]]), r"precision must .*got \[\[1, 2\], \[1\]\]"),
    (GaussianPrior(0.0, ASYMMETRIC), r"differs from its transpose by up to 1"),
    (GaussianPrior(0.0, sparse.csr_array(ASYMMETRIC)), r"differs from its transpose by up to 1"),
    (SmoothPenalty(0), r"SmoothPenalty: order must be an integer from 1"),
    (SmoothPenalty(4), r"SmoothPenalty: order must be 1, 2 or 3; got 4"),
    (SmoothPenalty(1, cyclic="yes"), r"SmoothPenalty: cyclic must be True or False; got 'yes'"),
    (SmoothPenalty(1, [[0, 1], [1, 2]]), r"SmoothPenalty: groups .* at most once; .*feature 1 2"),
    (SmoothPenalty(1, [0, 1]), r"SmoothPenalty: groups must have a label for each of 3"),
]


@pytest.mark.parametrize(("penalty", "message"), BAD, ids=lambda x: str(x)[:40])
def test_parameters_are_refused_by_name(penalty, message):
    coef = np.ones(3)
    for use in (
        lambda: penalty.value(coef, 1.0),
        lambda: penalty.prox(coef, 1.0, 1.0),
        lambda: penalty.violation(coef, coef, 1.0),
        lambda: SGDRegressorX(penalty=penalty, optimizer="auto").fit(X[:, :3], Y),
    ):
        with pytest.raises(ValueError, match=message):
            use()


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
def test_a_matrix_with_a_negative_eigenvalue_is_refused(layout):
    model = SGDRegressorX(optimizer="auto")
    for matrix in (INDEFINITE, np.diag([1.0, -1e-3, 1.0]), np.eye(3)[[1, 0, 2]]):
        model.set_params(penalty=GaussianPrior(0.0, layout(matrix)))
        with pytest.raises(ValueError, match="precision must be positive semidefinite"):
            model.fit(X[:, :3], Y)
    for matrix in (np.ones((3, 3)), np.zeros((3, 3)), 1e12 * np.eye(3), 1e-12 * np.ones((3, 3))):
        model.set_params(penalty=GaussianPrior(0.0, layout(matrix))).fit(X[:, :3], Y)


def test_means_that_have_no_meaning_are_refused():
    y = np.digitize(Y, [np.median(Y)])
    with pytest.raises(ValueError, match=r"mean must have 3 rows, one a class .* \(2, 8\)"):
        three = np.digitize(Y, np.quantile(Y, [0.3, 0.7]))
        SGDClassifierX("multinomial", penalty=GaussianPrior(np.ones((2, D)))).fit(X, three)
    with pytest.raises(ValueError, match="shows the difference alone; use loss='log_loss'"):
        SGDClassifierX("multinomial", penalty=GaussianPrior(MEAN)).fit(X, y)
    with pytest.raises(ValueError, match="mean must have one row with"):
        SGDRegressorX(penalty=GaussianPrior(np.ones((1, D)))).fit(X, Y)
    with pytest.raises(ValueError, match=r"mean must be 0 with .* weights are of several heads"):
        SGDRegressorX("gaussian_nll", penalty=GaussianPrior(MEAN), optimizer="auto").fit(X, Y)
    with pytest.raises(ValueError, match="'interior-point' needs a penalty"):
        SGDRegressorX("absolute_error", penalty="smooth", optimizer="interior-point").fit(X, Y)


# ---------------------------------------------------------------------- the operator, by definition


@every_case
@pytest.mark.parametrize("bounded", [False, True])
def test_prox_minimises_its_definition(case, bounded):
    penalty, matrix, mean = CASES[case]
    rng = np.random.RandomState(2)
    for length in (0.4, 10.0 ** rng.uniform(-3, 2, D)):
        c = 3.0 * rng.randn(D)
        low, high = (c - 1.0, c + rng.uniform(-0.5, 0.5, D)) if bounded else (None, None)
        u = penalty.prox(c, length, 0.7, low, high)
        slope = (u - c) / length + 0.7 * matrix @ (u - mean)
        if bounded:
            assert ((low <= u) & (u <= high)).all()
            assert (u == low).any() or (u == high).any()
            slope[(u == low) & (slope > 0) | (u == high) & (slope < 0)] = 0.0
        size = np.abs((u - c) / length).max() + np.abs(matrix).max()
        np.testing.assert_allclose(slope, 0.0, atol=1e-9 * size)


def test_smooth_curves_are_those_of_whittaker():
    # The identity design: z = (I + n alpha D'D)^-1 y, Whittaker's graduation.
    y = np.sin(np.linspace(0, 6, 40)) + 0.3 * np.random.RandomState(3).randn(40)
    model = SGDRegressorX(penalty=SmoothPenalty(2), alpha=0.25, optimizer="auto")
    z = model.set_params(fit_intercept=False).fit(np.eye(40), y).coef_
    expected = np.linalg.solve(np.eye(40) + 10.0 * squares(differences(2, range(40), 40)), y)
    np.testing.assert_allclose(z, expected, atol=1e-9)


# ------------------------------------------------------------------------------- bounds by feature

COLUMNS = ["age", "weight", "height", "dose", "sex", "smoker", "site", "year"]


class Frame:
    """What scikit-learn takes for a table with column names: an array, and `columns`."""

    def __new__(cls, X):
        pandas = pytest.importorskip("pandas")
        return pandas.DataFrame(X, columns=COLUMNS)


@pytest.mark.parametrize("optimizer", ["auto", "lbfgs", "adam"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_bounds_by_name_are_those_of_arrays(optimizer):
    low, high = np.full(D, -np.inf), np.full(D, np.inf)
    high[0], low[4], high[4], low[7] = 0.0, 0.1, 0.2, 0.0
    named = {"age": (None, 0), "sex": [0.1, 0.2], 7: (0.0, None), "dose": (None, None)}
    params = {"optimizer": optimizer, "alpha": 0.01, "random_state": 0, "max_iter": 20}
    one = SGDRegressorX(bounds=named, **params).fit(Frame(X), Y)
    other = SGDRegressorX(bounds=(low, high), **params).fit(X, Y)
    np.testing.assert_array_equal(one.coef_, other.coef_)
    assert one.coef_[0] == 0.0 and 0.1 <= one.coef_[4] <= 0.2 and one.coef_[7] >= 0.0
    again = pickle.loads(pickle.dumps(clone(one).set_params(positive=True)))
    assert again.bounds == named
    positive = SGDRegressorX(bounds={1: (None, 0.5)}, positive=True, **params).fit(X, Y)
    assert (positive.coef_ >= 0).all() and positive.coef_[1] <= 0.5


def test_none_is_no_bound():
    pair = SGDRegressorX(optimizer="auto", bounds=(0.0, None)).fit(X, Y)
    positive = SGDRegressorX(optimizer="auto", positive=True).fit(X, Y)
    np.testing.assert_array_equal(pair.coef_, positive.coef_)
    assert (pair.coef_ == 0).any()


def test_signs_by_name_are_monotone_predictions_of_a_classifier():
    y = np.where(Y > np.median(Y), "yes", "no")
    model = SGDClassifierX("log_loss", optimizer="auto", bounds={"sex": (0, None)})
    plain = SGDClassifierX("log_loss", optimizer="auto").fit(Frame(X), y)
    assert plain.coef_[0, 4] < 0.0
    assert model.fit(Frame(X), y).coef_[0, 4] == 0.0


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"agee": (0, 1)}, r"X has no feature 'agee'; did you mean 'age'\?"),
        ({"zzz": (0, 1)}, r"X has no feature 'zzz'$"),
        ({8: (0, 1)}, r"features are 0 to 7; got 8"),
        ({-1: (0, 1)}, r"features are 0 to 7; got -1"),
        ({1.5: (0, 1)}, r"bounds must name features by str or int; got 1.5"),
        ({True: (0, 1)}, r"bounds must name features by str or int; got True"),
        ({"age": (0, 1), 0: (0, 2)}, r"'age' and 0 are the same feature"),
        ({"age": 1}, r"bounds of 'age' must be a pair \(low, high\); got 1"),
        ({"age": (0, 1, 2)}, r"bounds of 'age' must be a pair"),
        ({"age": (0, "x")}, r"bounds of 'age' must be numbers or None; got 'x'"),
        ({"age": (np.nan, 1)}, r"bounds of 'age' must be numbers or None; got nan"),
        ({"age": (1, 0)}, r"low exceeds high for feature 0: 1.0 > 0.0"),
    ],
)
def test_bounds_that_cannot_be_are_refused(bounds, message):
    with pytest.raises(ValueError, match=message):
        SGDRegressorX(bounds=bounds, optimizer="auto").fit(Frame(X), Y)


def test_names_need_columns_that_have_some():
    with pytest.raises(ValueError, match=r"'age' is a name, and X has no feature names"):
        SGDRegressorX(bounds={"age": (0, None)}, optimizer="auto").fit(X, Y)
