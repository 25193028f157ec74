"""Fits of locations and scales of Laplace distributions: the conditions of a minimum, and fits by
other hands."""

import pickle

import numpy as np
import pytest
from scipy import optimize, sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import sklearn_losses as sl
from sklearn_losses import LaplaceNLL, SGDRegressorX
from sklearn_losses._solvers.alternating import left_to_fall

N = 300
rng = np.random.default_rng(0)
# Columns of unlike units, far from 0.
Z = rng.normal(size=(N, 3))
UNITS = np.array([100.0, 1e-2, 1.0])
X = Z * UNITS + [500.0, 1.0, 0.0]
Y = 1e3 * (3.0 + Z @ [1.0, -0.5, 0.3] + np.exp(0.5 * Z[:, 0] - 1.0) * rng.laplace(size=N))
WEIGHT = rng.integers(0, 3, size=N)
OFFSET = np.column_stack([1e3 * rng.normal(size=N), 0.3 * rng.normal(size=N)])
EXACT = {"optimizer": "auto", "alpha": 0, "tol": 1e-10}
ways = pytest.mark.parametrize("way", ["linear", "constant"])


def spread_of(y, weight=None):
    """The unit of y, in which weights are penalised: the median absolute deviation of normal
    targets over that of a standard one."""
    y = y if weight is None else np.repeat(y, weight)
    return np.median(np.abs(y - np.median(y))) / 0.6744897501960817


def left_of_slopes(model, X, y, weight=None, offset=None, l1=0.0, l2=0.0):
    """The least norms of the subgradients by location and by scale: the multipliers of targets that
    are met, and of weights at 0, are those between -1 and 1 that leave least."""
    unit = spread_of(y, weight)
    weight = np.ones(len(y)) if weight is None else weight
    raw = model.predict_raw(X, offset=offset)
    r, coef = (raw[:, 0] - y) / unit, model.coef_ / [[unit], [1.0]]
    scale = np.exp(raw[:, 1]) / unit
    share, z = weight / weight.sum(), r / scale
    kinks = np.abs(z) < 1e-9
    A = np.column_stack([X, np.ones(len(y))])
    left, size = [], np.abs(A).mean(axis=0)
    for head, slope in enumerate((np.where(kinks, 0.0, np.sign(r)) / scale, 1.0 - np.abs(z))):
        rest = A.T @ (share * slope)
        rest[:-1] += l2 * coef[head] + l1 * np.sign(coef[head])
        free = [np.eye(A.shape[1])[:, j] * l1 for j in np.flatnonzero(coef[head] == 0)]
        if head == 0:
            free += [a * s for a, s in zip(A[kinks], (share / scale)[kinks], strict=True)]
        if model.loss_.scale == "constant" and head == 1:
            rest, free = rest[-1:], []
        of = size[-len(rest) :]
        if free and len(rest) > 1:
            found = optimize.lsq_linear(
                np.array(free).T / of[:, None], -rest / of, (-1, 1), tol=1e-14, max_iter=500
            )
            left.append(np.abs(found.fun).max())
        else:
            left.append(np.abs(rest / of).max())
    return left


GIVEN = {
    "plain": {},
    "weights": {"weight": WEIGHT},
    "offset": {"offset": OFFSET},
    "l2": {"l2": 0.05},
    "strong l2": {"l2": 2.0},
    "l1": {"l1": 0.1},
    "elastic net": {"l1": 0.02, "l2": 0.01, "weight": WEIGHT, "offset": OFFSET},
}


def settings_of(l1=0.0, l2=0.0):
    alpha = l1 + l2
    if not alpha:
        return {"alpha": 0}
    return {"alpha": alpha, "penalty": "elasticnet", "l1_ratio": l1 / alpha}


@ways
@pytest.mark.parametrize("case", GIVEN)
@pytest.mark.parametrize("design", [np.asarray, sparse.csr_matrix])
def test_no_direction_leads_down_from_where_a_fit_ends(case, way, design):
    given = dict(GIVEN[case])
    weight, offset = given.pop("weight", None), given.pop("offset", None)
    # A penalty has a meaning in the columns' own units alone.
    made = Z if given else X
    model = SGDRegressorX(LaplaceNLL(way), optimizer="auto", tol=1e-10, **settings_of(**given))
    model.fit(design(made), Y, sample_weight=weight, offset=offset)
    assert model.stop_reason_ == "converged" and model.optimizer_ == sl.InteriorPoint()
    assert max(left_of_slopes(model, made, Y, weight, offset, **given)) < 1e-7
    assert (model.coef_[1] == 0).all() or way == "linear"
    loss = model.loss_(Y, model.predict_raw(made, offset=offset), weight)
    coef = model.coef_ / [[spread_of(Y, weight)], [1.0]]
    penalty = given.get("l1", 0) * np.abs(coef).sum() + given.get("l2", 0) / 2 * (coef**2).sum()
    assert model.loss_curve_[-1] == pytest.approx(loss + penalty, rel=1e-10)
    if case == "l1" and way == "linear":
        assert (model.coef_ == 0).any() and (model.coef_ != 0).any()


@pytest.mark.parametrize("ratio", [0.5, 0.8, 0.95])
def test_what_is_left_to_fall_is_a_geometric_series(ratio):
    falls = 3.0 * ratio ** np.arange(2000)
    assert left_to_fall(falls[1], falls[0]) == pytest.approx(falls[2:].sum())
    # Near a saddle falls grow; there is no less left than the last was; and nothing after none.
    assert left_to_fall(2.0, 1.0) == pytest.approx(2.0 * 99)
    assert left_to_fall(0.1 * ratio, 1.0) == 0.1 * ratio
    assert left_to_fall(ratio, np.inf) == left_to_fall(ratio, 0.0) == ratio
    assert left_to_fall(0.0, 1.0) == 0.0


def test_penalties_with_weights_of_features_are_those_of_both_heads():
    given = {"optimizer": "auto", "tol": 1e-10, "alpha": 0.05}
    weights = np.array([1.0, 2.0, 0.5])
    penalty = sl.penalties.ElasticNet(0.4, weights=weights)
    a = SGDRegressorX("laplace_nll", penalty=penalty, **given).fit(Z, Y)
    # An L1 part by weights is that of columns over them; so is an L2 part but for its square.
    b = SGDRegressorX("laplace_nll", penalty=sl.penalties.L1(weights=weights), **given).fit(Z, Y)
    c = SGDRegressorX("laplace_nll", penalty="l1", **given).fit(Z / weights, Y)
    np.testing.assert_allclose(b.coef_, c.coef_ / weights, rtol=1e-6, atol=1e-7)
    for model, l2 in ((a, 0.6), (b, 0.0)):
        coef = np.abs(model.coef_ / [[spread_of(Y)], [1.0]])
        value = 0.05 * (weights * ((1 - l2) * coef + l2 / 2 * coef**2)).sum()
        loss = model.loss_(Y, model.predict_raw(Z))
        assert model.loss_curve_[-1] == pytest.approx(loss + value, rel=1e-9)


def test_more_features_than_a_matrix_is_made_for_are_refused_or_held_by_a_penalty():
    wide = sparse.random(60, 6000, 0.01, format="csr", random_state=0)
    model = SGDRegressorX(LaplaceNLL("constant"), optimizer="auto", alpha=0)
    with pytest.raises(ValueError, match=r"it takes at most 5000.*or one that steps"):
        model.fit(wide, Y[:60])
    model.set_params(alpha=0.1, penalty="l1").fit(wide, Y[:60])
    assert model.stop_reason_ == "converged"
    model = SGDRegressorX("laplace_nll", optimizer="auto", max_iter=2, tol=None)
    assert model.fit(wide, Y[:60]).optimizer_ == sl.SAGA()


def least_by_scale(A, r):
    """The least of mean(s + |r| exp(-s)) of s = A @ theta."""

    def value(theta):
        s = A @ theta
        e = r * np.exp(-s)
        return (s + e).mean(), A.T @ (1 - e) / len(r)

    def bend(theta):
        return (A.T * (r * np.exp(-A @ theta))) @ A / len(r)

    start = np.r_[np.zeros(A.shape[1] - 1), np.log(r.mean())]
    return optimize.minimize(value, start, jac=True, hess=bend, method="trust-exact").fun


@pytest.mark.parametrize("seed", [0, 2, *(pytest.param(s, marks=pytest.mark.slow) for s in (1, 3))])
def test_a_fit_is_the_least_of_all_lines_through_two_targets(seed):
    # At any scales the best location meets as many targets as it has weights.
    rng = np.random.default_rng(seed)
    x = rng.normal(size=25)
    y = x + np.exp(0.5 * x) * rng.laplace(size=25)
    A, found = np.column_stack([x, np.ones(25)]), []
    for i in range(25):
        for j in range(i):
            line = np.linalg.solve(A[[i, j]], y[[i, j]])
            found.append(least_by_scale(A, np.abs(y - A @ line)))
    model = SGDRegressorX("laplace_nll", **EXACT).fit(x[:, None], y)
    value = model.loss_curve_[-1] - np.log(2)
    # The loss is not convex: of so few samples one fit of the four ends at a line that none near it
    # is lower than, and another is.
    assert value == pytest.approx(min(found), abs=1e-7) or seed == 2
    assert np.abs(np.array(found) - value).min() < 1e-7


def test_a_fit_is_where_scipys_of_smooth_neighbours_ends():
    A = np.column_stack([Z, np.ones(N)])
    y = (Y - np.median(Y)) / 1e3

    def value(theta, width):
        s, r = A @ theta[4:], y - A @ theta[:4]
        root = np.sqrt(r * r + width * width)
        e = np.exp(-s)
        slope = np.r_[-A.T @ (r / root * e), A.T @ (1 - root * e)]
        return (s + root * e).mean(), slope / N

    theta = np.zeros(8)
    for width in 10.0 ** -np.arange(0, 7):
        theta = optimize.minimize(value, theta, (width,), jac=True, method="BFGS").x
    model = SGDRegressorX("laplace_nll", **EXACT).fit(X, Y)
    least = value(theta, 1e-12)[0] + np.log(2e3)
    assert least - 1e-6 < model.loss_curve_[-1] <= least + 1e-12


def least_absolute(A, y, weight):
    """Weights with the least absolute errors, by a linear program."""
    n, d = A.shape
    cost = np.r_[np.zeros(d), weight, weight]
    eye = sparse.eye(n)
    rows = sparse.hstack([sparse.csr_matrix(A), eye, -eye])
    bounds = [(None, None)] * d + [(0, None)] * 2 * n
    return optimize.linprog(cost, A_eq=rows, b_eq=y, bounds=bounds, method="highs-ds").x[:d]


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weights"])
def test_a_constant_scale_without_penalty_is_least_absolute_errors(weight):
    model = SGDRegressorX(LaplaceNLL("constant"), **EXACT).fit(X, Y, sample_weight=weight)
    mass = np.ones(N) if weight is None else weight
    A = np.column_stack([Z, np.ones(N)])
    want = least_absolute(A, Y / 1e3, mass)
    np.testing.assert_allclose(model.coef_[0] * UNITS / 1e3, want[:3], rtol=1e-8)
    np.testing.assert_allclose(model.predict(X), 1e3 * A @ want, rtol=1e-8)
    scale = 1e3 * np.average(np.abs(Y / 1e3 - A @ want), weights=mass)
    std = model.predict(X, return_std=True)[1]
    np.testing.assert_allclose(std, np.sqrt(2) * scale, rtol=1e-8)
    assert model.loss_curve_[-1] == pytest.approx(1 + np.log(2 * scale), rel=1e-10)


def test_a_constant_scale_without_penalty_is_statsmodels_quantile_regression():
    regression = pytest.importorskip("statsmodels.regression.quantile_regression")
    A = np.column_stack([Z, np.ones(N)])
    found = regression.QuantReg(Y / 1e3, A).fit(0.5, p_tol=1e-10, max_iter=5000)
    model = SGDRegressorX(LaplaceNLL("constant"), **EXACT).fit(X, Y)
    np.testing.assert_allclose(model.coef_[0] * UNITS / 1e3, found.params[:3], atol=1e-6)


@ways
def test_weights_are_copies_and_samples_without_weight_nothing(way):
    for alpha in (0, 0.01):
        given = EXACT | {"alpha": alpha}
        a = SGDRegressorX(LaplaceNLL(way), **given).fit(Z, Y, sample_weight=WEIGHT)
        copies = np.repeat(Z, WEIGHT, 0), np.repeat(Y, WEIGHT)
        b = SGDRegressorX(LaplaceNLL(way), **given).fit(*copies)
        np.testing.assert_allclose(a.coef_, b.coef_, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(a.intercept_, b.intercept_, rtol=1e-8)


@ways
@pytest.mark.parametrize("alpha", [0, 1e-4, 0.1])
def test_units_of_columns_and_targets_change_nothing_but_the_units(way, alpha):
    given = EXACT | {"alpha": alpha}
    first = SGDRegressorX(LaplaceNLL(way), **given).fit(Z, Y)
    for unit in (1e-9, 1e6):
        again = SGDRegressorX(LaplaceNLL(way), **given).fit(Z, unit * Y)
        np.testing.assert_allclose(again.predict(Z), unit * first.predict(Z), rtol=1e-7)
        assert again.loss_curve_[-1] == pytest.approx(first.loss_curve_[-1] + np.log(unit))
    if alpha == 0:
        np.testing.assert_allclose(
            SGDRegressorX(LaplaceNLL(way), **given).fit(X, Y).predict_raw(X),
            first.predict_raw(Z),
            rtol=1e-7,
        )


@ways
def test_offsets_are_added_to_heads(way):
    c = SGDRegressorX(LaplaceNLL(way), **EXACT).fit(Z, Y + 7e3, offset=np.full(N, 7e3))
    d = SGDRegressorX(LaplaceNLL(way), **EXACT).fit(Z, Y)
    np.testing.assert_allclose(c.predict_raw(Z), d.predict_raw(Z), rtol=1e-8)
    # A scale that is known up to a factor.
    known = np.column_stack([np.zeros(N), 0.5 * Z[:, 0]])
    e = SGDRegressorX(LaplaceNLL("linear"), **EXACT).fit(Z, Y, offset=known)
    f = SGDRegressorX(LaplaceNLL("linear"), **EXACT).fit(Z, Y)
    np.testing.assert_allclose(e.coef_[1], f.coef_[1] - [0.5, 0, 0], atol=1e-6)


@ways
@pytest.mark.parametrize("alpha", [0, 0.01])
def test_a_constant_offset_of_log_scales_is_taken_out_of_their_intercept(way, alpha):
    given = EXACT | {"alpha": alpha}
    plain = SGDRegressorX(LaplaceNLL(way), **given).fit(Z, Y)
    for far in (-400.0, 400.0, 800.0):
        offset = np.column_stack([np.zeros(N), np.full(N, far)])
        model = SGDRegressorX(LaplaceNLL(way), **given).fit(Z, Y, offset=offset)
        np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(model.intercept_, plain.intercept_ - [0, far], rtol=1e-6)


@ways
def test_the_default_tolerance_ends_at_the_minimum(way):
    exact = SGDRegressorX(LaplaceNLL(way), **EXACT).fit(X, Y)
    model = SGDRegressorX(LaplaceNLL(way), optimizer="auto", alpha=0).fit(X, Y)
    assert model.loss_curve_[-1] == pytest.approx(exact.loss_curve_[-1], abs=1e-8)
    named = SGDRegressorX(LaplaceNLL(way), **EXACT | {"optimizer": "interior-point"}).fit(X, Y)
    np.testing.assert_array_equal(named.coef_, exact.coef_)


@ways
def test_float32_is_kept_and_near_float64(way):
    model = SGDRegressorX(LaplaceNLL(way), **EXACT).fit(Z.astype(np.float32), Y)
    assert model.coef_.dtype == model.predict(Z.astype(np.float32)).dtype == np.float32
    wide = SGDRegressorX(LaplaceNLL(way), **EXACT).fit(Z.astype(np.float32).astype(float), Y)
    np.testing.assert_allclose(model.coef_, wide.coef_, rtol=1e-4, atol=1e-4)
    assert model.stop_reason_ == "converged"


def test_predictions_have_their_spread_and_go_through_pickle():
    model = SGDRegressorX("laplace_nll", **EXACT).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    mean, std = again.predict(X, return_std=True)
    raw = model.predict_raw(X)
    np.testing.assert_array_equal(mean, raw[:, 0])
    np.testing.assert_allclose(std, np.sqrt(2) * np.exp(raw[:, 1]))
    law = again.predict_distribution(X)
    np.testing.assert_allclose(law.std(), std)
    assert -law.logpdf(Y).mean() == pytest.approx(model.loss_curve_[-1])
    assert 0.74 < ((law.ppf(0.1) < Y) & (Y < law.ppf(0.9))).mean() < 0.86  # drawn from the model
    assert model.score(X, Y) > 0.5


@pytest.mark.parametrize("scorer", [LaplaceNLL().as_scorer(), sl.make_loss_scorer(None)], ids=str)
def test_it_goes_into_pipelines_and_searches_by_its_own_scorer(scorer):
    model = make_pipeline(StandardScaler(), SGDRegressorX(optimizer="auto"))
    grid = {"sgdregressorx__loss": [LaplaceNLL(), LaplaceNLL("constant")]}
    search = GridSearchCV(model, grid, scoring=scorer, error_score="raise", cv=3)
    assert search.fit(X, Y).best_params_["sgdregressorx__loss"] == LaplaceNLL()


@pytest.mark.parametrize("optimizer", ["newton", "lbfgs", "gd"])
@ways
def test_optimizers_of_smooth_losses_refuse_and_name_auto(optimizer, way):
    model = SGDRegressorX("laplace_nll", optimizer="auto").fit(X, Y)
    before = model.coef_.copy()
    model.set_params(optimizer=optimizer, loss=LaplaceNLL(way))
    with pytest.raises(ValueError, match=r"needs a loss with a derivative.*Use optimizer='auto'"):
        model.fit(X, Y)
    np.testing.assert_array_equal(model.coef_, before)


@pytest.mark.parametrize(("optimizer", "off"), [("sgd", 0.4), ("adam", 0.05), ("saga", 0.3)])
def test_steps_train_linear_heads_and_refuse_constant_ones(optimizer, off):
    least = SGDRegressorX("laplace_nll", **EXACT).fit(X, Y).loss_curve_[-1]
    model = SGDRegressorX(LaplaceNLL(), optimizer=optimizer, batch_size=16, random_state=0)
    model.set_params(alpha=0).fit(Z, Y)
    assert model.loss_(Y, model.predict_raw(Z)) < least + off
    with pytest.raises(ValueError, match=r"has constant ones\. Use optimizer='auto'"):
        clone(model).set_params(loss__scale="constant").fit(Z, Y)


def test_streams_take_linear_heads():
    model = SGDRegressorX("laplace_nll", optimizer="auto", alpha=0, random_state=0)
    for _ in range(10):
        model.partial_fit(X, Y)
    least = SGDRegressorX("laplace_nll", **EXACT).fit(X, Y).loss_curve_[-1]
    assert model.loss_(Y, model.predict_raw(X)) < least + 0.1
    assert not hasattr(SGDRegressorX(LaplaceNLL("constant"), optimizer="auto"), "partial_fit")


@ways
def test_fits_go_on_from_where_others_ended(way):
    model = SGDRegressorX(LaplaceNLL(way), **EXACT).fit(X, Y)
    again = SGDRegressorX(LaplaceNLL(way), **EXACT)
    again.fit(X, Y, coef_init=model.coef_, intercept_init=model.intercept_)
    np.testing.assert_allclose(again.coef_, model.coef_, rtol=1e-8)
    assert again.n_iter_ == 1
    # A fit that was cut short, taken up again.
    given = {"optimizer": "auto", "alpha": 1.0, "tol": 1e-10, "warm_start": "resume"}
    short = SGDRegressorX(LaplaceNLL(way), **given, max_iter=1)
    with pytest.warns(ConvergenceWarning, match="Maximum number of iteration"):
        short.fit(Z, Y)
    whole = SGDRegressorX(LaplaceNLL(way), **given).fit(Z, Y)
    resumed = pickle.loads(pickle.dumps(short)).set_params(max_iter=100).fit(Z, Y)
    np.testing.assert_allclose(resumed.coef_, whole.coef_, rtol=1e-6)
    assert resumed.loss_curve_ == pytest.approx(whole.loss_curve_, rel=1e-12)


def test_samples_that_are_held_out_do_not_count():
    model = SGDRegressorX("laplace_nll", **EXACT, early_stopping=True, random_state=0).fit(X, Y)
    assert model.score(X, Y) > 0.5
    model = SGDRegressorX("laplace_nll", **EXACT).fit(X, Y, X_val=X, y_val=Y)
    assert model.validation_curve_[-1] == pytest.approx(model.loss_(Y, model.predict_raw(X)))


@ways
@pytest.mark.parametrize("alpha", [0, 1e-4])
def test_where_a_model_meets_all_targets_a_fit_ends_with_a_warning(way, alpha):
    y = 5.0 + Z @ [1.0, 2.0, 3.0]
    model = SGDRegressorX(LaplaceNLL(way), optimizer="auto", alpha=alpha)
    with pytest.warns(ConvergenceWarning, match="stopped short"):
        model.fit(Z, y)
    np.testing.assert_allclose(model.predict(Z), y, rtol=1e-6)
    assert np.isfinite(model.coef_).all() and (model.predict(Z, return_std=True)[1] > 0).all()


def test_where_columns_tell_which_targets_are_met_there_is_no_largest_likelihood():
    flat = Z[:, 0] > 0.0
    y = np.where(flat, 0.0, Y)
    told = np.column_stack([flat, Z])
    with pytest.warns(ConvergenceWarning, match="stopped short"):
        model = SGDRegressorX("laplace_nll", optimizer="auto", alpha=0).fit(told, y)
    std = model.predict(told, return_std=True)[1]
    assert 0 < std[flat].max() < 1e-8 * std[~flat].min()


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.full(N, 5.0), "targets that differ.*got 5.0 alone, of 300 sample"),
        (np.where(np.arange(N) == 3, np.nan, Y), "y_true must be finite"),
        (np.column_stack([Y, Y]), "y_true must have shape"),
    ],
)
def test_targets_without_a_largest_likelihood_are_named(y, words):
    with pytest.raises(ValueError, match=words):
        SGDRegressorX("laplace_nll", optimizer="auto").fit(X, y)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"positive": True}, "bounds and positive are for the weights of one raw prediction"),
        ({"fit_intercept": False}, "fit_intercept must be True: location, log_scale"),
        ({"loss__scale": "wide"}, "scale must be 'linear' or 'constant'; got 'wide'"),
        ({"penalty": sl.penalties.MCP()}, "penalty that is a sum of L1 and L2"),
    ],
)
def test_what_has_no_meaning_is_refused(params, words):
    for given in ({"optimizer": "interior-point"}, {"loss": LaplaceNLL("constant")}):
        model = SGDRegressorX(LaplaceNLL(), optimizer="auto").set_params(**given)
        with pytest.raises(ValueError, match=words):
            model.set_params(**params).fit(X, Y)


def test_a_head_at_the_other_is_a_loss_of_one_raw_prediction():
    y, raw = rng.normal(size=20), rng.normal(size=(20, 2))
    loss, move = LaplaceNLL(), rng.normal(size=20)
    for head in (0, 1):
        of_head, target, log_factor = loss._of_head(head, y, raw)
        moved = raw.copy()
        moved[:, head] += move
        change = loss.loss(y, moved) - loss.loss(y, raw)
        want = of_head.loss(target, moved[:, head]) - of_head.loss(target, raw[:, head])
        np.testing.assert_allclose(change, np.exp(log_factor) * want, rtol=1e-10, atol=1e-12)


def test_the_slope_at_a_kink_is_0():
    gradient, hessian = LaplaceNLL().gradient_hessian([2.0, -0.5], [[2.0, 1.0], [-0.5, -3.0]])
    np.testing.assert_array_equal(gradient, [[0.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(hessian[:, 0], np.exp([-2.0, 6.0]))
    # A scale that is no number has no slope there.
    for lost in LaplaceNLL().gradient_hessian([2.0], [[2.0, np.nan]]):
        assert np.isnan(lost).all()


def test_modules_of_torch_have_the_derivatives():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    raw, y = rng.normal(size=(6, 2)), np.arange(6.0)
    tensor = torch.from_numpy(raw).requires_grad_()
    sl.as_torch("laplace_nll", reduction="sum")(tensor, torch.from_numpy(y)).backward()
    np.testing.assert_allclose(tensor.grad, LaplaceNLL().gradient(y, raw))


@pytest.mark.slow
@ways
def test_the_estimator_passes_the_checks_of_scikit_learn(way):
    check_estimator(SGDRegressorX(LaplaceNLL(way), optimizer="auto"))
