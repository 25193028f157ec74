"""Losses in stages: each stage is the fit that it says, the last is of the loss itself, and it gets
past minima that a fit of that loss alone ends in."""

import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import sklearn_losses as sl
from sklearn_losses import LossSchedule, SGDClassifierX, SGDRegressorX

# Weights and intercept of the clean samples; the scale of their errors.
WEIGHTS, NOISE = np.array([1.0, -2.0, 0.5]), 0.1
EXACT = {"optimizer": "auto", "alpha": 0.0}


def contaminated(seed, share=0.4, n=200):
    """Samples of a line, and a share of gross outliers in X and y."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, len(WEIGHTS)))
    y = X @ WEIGHTS + NOISE * rng.normal(size=n)
    bad = int(share * n)
    X[:bad] = rng.normal(size=(bad, len(WEIGHTS))) + 1.0
    y[:bad] = 20.0 * rng.uniform(size=bad)
    return X, y


def welsch(residual, c):
    """Dennis and Welsch (1978): value and first derivative."""
    bell = np.exp(-((residual / c) ** 2))
    return c**2 / 2 * (1 - bell), residual * bell


def tukey(residual, c):
    """Beaton and Tukey (1974): value and first derivative."""
    left = np.clip(1 - (residual / c) ** 2, 0, None)
    return c**2 / 6 * (1 - left**3), residual * left**2


def barron(residual, c):
    """Barron (2019), equation 8, at alpha = -2."""
    bent = (residual / c) ** 2 / 4 + 1
    return 2 * (1 - 1 / bent), residual / c**2 / bent**2


LAST = {
    "welsch": (sl.Welsch(0.3), welsch, 0.3),
    "tukey": (sl.TukeyBiweight(0.5), tukey, 0.5),
    "general_robust": (sl.GeneralRobust(alpha=-2, c=0.2), barron, 0.2),
}
GRADUATED = ("c", [256, 64, 16, 4, 2])
each_loss = pytest.mark.parametrize("name", LAST)


def graduated(loss):
    return LossSchedule(loss, *GRADUATED, relative=True)


def mean_of(name, model, X, y):
    """Objective and gradient by coefficients and intercept, by the papers' formulas."""
    _, formula, c = LAST[name]
    value, slope = formula(X @ model.coef_ + model.intercept_[0] - y, c)
    return value.mean(), np.append(X.T @ slope, slope.sum()) / len(y)


# ---------------------------------------------------------------------------- what it is good for


@each_loss
def test_it_reaches_the_clean_line_where_the_loss_alone_ends_in_a_worse_minimum(name):
    loss, escaped = LAST[name][0], 0
    for seed in range(8):
        X, y = contaminated(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            plain = SGDRegressorX(loss, **EXACT).fit(X, y)
        model = SGDRegressorX(graduated(loss), **EXACT).fit(X, y)
        assert np.abs(model.coef_ - WEIGHTS).max() < 0.1
        found, stuck = (mean_of(name, each, X, y)[0] for each in (model, plain))
        assert found <= stuck * (1 + 1e-6)
        escaped += found < 0.95 * stuck
    assert escaped >= {"general_robust": 1}.get(name, 3)


@each_loss
@pytest.mark.parametrize("optimizer", ["newton", "lbfgs", "gd"])
def test_it_ends_at_a_stationary_point_of_the_loss_itself(name, optimizer):
    X, y = contaminated(1)
    model = SGDRegressorX(graduated(LAST[name][0]), optimizer=optimizer, alpha=0, tol=1e-7)
    model.fit(X, y)
    value, gradient = mean_of(name, model, X, y)
    assert model.stop_reason_ == "converged"
    assert model.loss_curve_[-1] == pytest.approx(value, rel=1e-9)
    assert np.abs(gradient).max() < 1e-6 * value
    assert model.loss_ == LAST[name][0]


# ------------------------------------------------------------------------------ it is its stages


def by_hand(losses, X, y, **params):
    """Fit after fit, each from the weights of the last; and all their curves."""
    model, start, curves = None, {}, []
    for loss in losses:
        model = SGDRegressorX(loss, **params).fit(X, y, **start)
        start = {"coef_init": model.coef_, "intercept_init": model.intercept_}
        curves += model.loss_curve_
    return model, curves


@pytest.mark.parametrize("params", [{}, {"optimizer": "adam", "batch_size": 16}, EXACT], ids=str)
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
def test_it_is_fit_after_fit_each_from_the_weights_of_the_last(params, make):
    X, y = contaminated(2, share=0.1)
    params = {"max_iter": 12, "tol": None, "random_state": 0, **params}
    values = [5.0, 2.0]
    schedule = LossSchedule(sl.HuberLoss(0.5), "delta", values)
    model = SGDRegressorX(schedule, **params).fit(make(X), y)
    losses = [sl.HuberLoss(delta) for delta in (*values, 0.5)]
    # Exact optimizers end where no step lowers the objective, and leave the rest to the next.
    shares = len(losses) if params.get("optimizer") != "auto" else 1
    params["max_iter"] = 12 // shares
    last, curves = by_hand(losses, make(X), y, **params)
    np.testing.assert_allclose(model.coef_, last.coef_, rtol=1e-9)
    np.testing.assert_allclose(model.intercept_, last.intercept_, rtol=1e-9)
    np.testing.assert_allclose(model.loss_curve_, curves, rtol=1e-9)
    assert model.n_iter_ == len(curves)
    assert len(model.grad_norm_curve_) == len(model.learning_rate_curve_) == len(curves)


def test_epochs_that_a_stage_leaves_go_to_those_that_follow_and_none_is_made_beyond_max_iter():
    X, y = contaminated(3)
    schedule = LossSchedule(sl.HuberLoss(0.5), "delta", [5.0, 2.0])
    model = SGDRegressorX(schedule, batch_size=8, max_iter=11, tol=None, random_state=0)
    model.fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 11
    assert model.t_ == 1 + 11 * len(y) / 8
    assert model.stop_reason_ == "max_iter"


def test_without_values_it_is_the_loss_itself():
    X, y = contaminated(4)
    plain = SGDRegressorX(sl.Welsch("auto"), **EXACT).fit(X, y)
    model = SGDRegressorX(LossSchedule(sl.Welsch("auto"), "c", []), **EXACT).fit(X, y)
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    assert model.loss_ == plain.loss_ and model.loss_curve_ == plain.loss_curve_


def test_multiples_are_of_the_scale_that_is_found_with_the_fit_in_any_unit_of_y():
    X, y = contaminated(5, share=0.2)
    schedule = LossSchedule(sl.TukeyBiweight("auto"), "c", [16, 4], relative=True)
    model = SGDRegressorX(schedule, **EXACT).fit(X, y)
    other = clone(model).fit(X, 1e6 * y)
    np.testing.assert_allclose(other.coef_, 1e6 * model.coef_, rtol=1e-5)
    assert other.loss_.c == pytest.approx(1e6 * model.loss_.c, rel=1e-5)
    losses = [sl.TukeyBiweight(c * model.loss_.c) for c in (16, 4, 1)]
    last, _ = by_hand(losses, X, y, **EXACT)
    np.testing.assert_allclose(model.coef_, last.coef_, rtol=1e-5)


def test_outputs_with_scales_of_their_own_have_multiples_of_their_own():
    X, y = contaminated(6, share=0.2)
    schedule = LossSchedule(sl.TukeyBiweight("auto"), "c", [16, 4], relative=True)
    both = SGDRegressorX(schedule, **EXACT).fit(X, np.column_stack([y, 100 * y]))
    np.testing.assert_allclose(both.coef_[1], 100 * both.coef_[0], rtol=1e-4)


# ------------------------------------------------------------------------------- kinds of loss


def test_classes_one_against_the_rest_go_through_all_stages():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    schedule = LossSchedule(sl.FocalLoss(gamma=3.0), "gamma", [0.0, 1.5])
    for params in ({}, {"batch_size": 16}, {"optimizer": "lbfgs"}):
        params = {"random_state": 0, "max_iter": 30, "tol": None, "alpha": 1e-2, **params}
        model = SGDClassifierX(schedule, **params).fit(X, y)
        assert model.loss_ == sl.FocalLoss(gamma=3.0)
        assert model.n_iter_ == len(model.loss_curve_)
        assert model.score(X, y) > 0.8
    alone = SGDClassifierX(sl.FocalLoss(gamma=3.0), optimizer="lbfgs", tol=1e-6, alpha=1e-2)
    staged = clone(alone).set_params(loss=schedule).fit(X, y)
    np.testing.assert_allclose(staged.coef_, alone.fit(X, y).coef_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loss", [sl.MulticlassFocal(gamma=2.0), sl.LogitAdjusted(tau=1.0)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_row_wise_losses_end_at_their_own_minimum(loss, n_classes):
    X, y = load_iris(return_X_y=True)
    X, y = X[y < n_classes], y[y < n_classes]
    name = "gamma" if hasattr(loss, "gamma") else "tau"
    plain = SGDClassifierX(loss, optimizer="auto", alpha=0.01, tol=1e-6)
    staged = clone(plain).set_params(loss=LossSchedule(loss, name, [0.0, 0.5]))
    plain.fit(X, y), staged.fit(X, y)
    assert staged.n_iter_ > plain.n_iter_
    np.testing.assert_allclose(staged.predict_proba(X), plain.predict_proba(X), atol=1e-4)


def test_losses_of_ordered_classes_of_distributions_and_of_rankings_end_at_their_own_minimum():
    X, y = contaminated(7, share=0.1)
    levels = np.digitize(y, [-2.0, 2.0])
    params = {"optimizer": "auto", "alpha": 1e-3, "tol": 1e-5}
    queries = sl.ranking_target(levels, np.arange(len(y)) // 20)
    for kind, loss, name, values, target in [
        (SGDClassifierX, sl.CumulativeLink("normal"), "distribution", ["logistic"], levels),
        (SGDRegressorX, sl.StudentTNLL(df=3.0), "df", [100.0, 10.0], y),
        (SGDRegressorX, sl.PairwiseHinge(margin=1.0), "margin", [3.0], queries),
    ]:
        alone = kind(loss, **params).fit(X, target)
        staged = kind(LossSchedule(loss, name, values), **params).fit(X, target)
        assert staged.n_iter_ > alone.n_iter_
        np.testing.assert_allclose(staged.coef_, alone.coef_, rtol=1e-2, atol=1e-2)


# --------------------------------------------------------------------------------- as an object


def test_it_is_searched_over_cloned_and_pickled_like_any_parameter():
    X, y = contaminated(0)
    schedule = LossSchedule(sl.GeneralRobust(alpha=-2, c=0.2), *GRADUATED, relative=True)
    model = SGDRegressorX(schedule, **EXACT)
    assert model.get_params()["loss__loss__c"] == 0.2
    assert clone(model).loss == schedule and clone(model).loss is not schedule
    model.set_params(loss__loss__c=0.3, loss__values=[4.0])
    assert (schedule.loss.c, schedule.values) == (0.3, [4.0])
    assert eval(repr(schedule), vars(sl)) == schedule
    grid = {"loss__values": [[], [16.0, 4.0]], "loss__loss__c": [0.2, 0.4]}
    search = GridSearchCV(model, grid, cv=3, scoring="neg_median_absolute_error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(X, y)
    assert search.best_params_["loss__values"] == [16.0, 4.0]
    assert search.best_estimator_.loss_.c == search.best_params_["loss__loss__c"]
    model.fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert again.loss == model.loss and again.loss_ == sl.GeneralRobust(alpha=-2, c=0.3)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert f"{LossSchedule.__module__}.LossSchedule" in sl.skops_trusted_types()


def test_values_may_be_an_array_and_the_loss_a_name():
    X, y = contaminated(0)
    values = np.geomspace(64, 2, 6)
    array = SGDRegressorX(LossSchedule("welsch", "c", values), **EXACT).fit(X, y)
    listed = SGDRegressorX(LossSchedule(sl.Welsch(), "c", values.tolist()), **EXACT).fit(X, y)
    np.testing.assert_array_equal(array.coef_, listed.coef_)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        SGDRegressorX(LossSchedule(sl.HuberLoss("auto"), "delta", [8], relative=True), **EXACT),
        SGDRegressorX(LossSchedule(sl.HuberLoss("auto"), "delta", [8], relative=True)),
        SGDClassifierX(
            LossSchedule(sl.SmoothHinge(gamma=0.5), "gamma", [2.0, 1.0]),
            optimizer="lbfgs",
            alpha=1.0,
            tol=1e-6,
        ),
    ],
    ids=["exact", "steps", "classes"],
)
def test_estimators_with_one_are_scikit_learns(model):
    steps = model.optimizer == "sgd"  # of which scikit-learn's algorithm counts as it does
    check = "check_sample_weight_equivalence_on_"
    known = {f"{check}{kind}_data": "steps differ" for kind in ("dense", "sparse")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(model, expected_failed_checks=known if steps else {})


def test_float32_stays_and_a_weight_of_two_is_two_copies():
    X, y = contaminated(1)
    schedule = graduated(sl.Welsch(0.3))
    assert SGDRegressorX(schedule, **EXACT).fit(X.astype(np.float32), y).coef_.dtype == np.float32
    weight = np.where(np.arange(len(y)) % 3 == 0, 2.0, 1.0)
    weighted = SGDRegressorX(schedule, **EXACT).fit(X, y, sample_weight=weight)
    twice = np.repeat(np.arange(len(y)), weight.astype(int))
    copies = SGDRegressorX(schedule, **EXACT).fit(X[twice], y[twice])
    np.testing.assert_allclose(weighted.coef_, copies.coef_, rtol=1e-3, atol=1e-5)


# ------------------------------------------------------------------------- warnings and endings


def test_only_the_last_stage_warns():
    X, y = contaminated(0)
    schedule = LossSchedule(sl.HuberLoss(0.5), "delta", [5.0, 2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Two of six iterations do not do for the first stage.
        model = SGDRegressorX(schedule, optimizer="lbfgs", max_iter=40).fit(X, y)
    early = SGDRegressorX(sl.HuberLoss(5.0), optimizer="lbfgs", max_iter=1)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        early.fit(X, y)
    assert model.stop_reason_ == "converged"
    model.set_params(max_iter=5, tol=1e-9)
    with pytest.warns(ConvergenceWarning, match="max_iter=50") as caught:
        model.fit(X, y)
    assert len([each for each in caught if each.category is ConvergenceWarning]) == 1
    assert model.n_iter_ == 5


def test_a_validation_set_keeps_the_best_model_of_the_last_stage():
    X, y = contaminated(1)
    schedule = LossSchedule(sl.Welsch(0.3), "c", [30.0, 3.0])
    model = SGDRegressorX(schedule, batch_size=16, max_iter=30, tol=None, random_state=0, alpha=0)
    model.fit(X, y, X_val=X[::2], y_val=y[::2])
    assert len(model.validation_curve_) == 30
    value = sl.Welsch(0.3)(y[::2], model.predict(X[::2]))
    assert value == pytest.approx(min(model.validation_curve_[-10:]), rel=1e-9)
    model.set_params(early_stopping=True).fit(X, y)
    assert len(model.validation_curve_) == 30


class Stop(Exception):
    pass


@pytest.mark.parametrize("at", [11, 14])
def test_ctrl_c_keeps_the_stage_that_it_comes_in(monkeypatch, at):
    from sklearn_losses._solvers.fit import Fit

    X, y = contaminated(1)
    schedule = LossSchedule(sl.Welsch(0.3), "c", [30.0, 3.0])
    model = SGDRegressorX(schedule, batch_size=16, max_iter=30, tol=None, random_state=0)
    begin, seen = Fit.begin, []

    def interrupted(fit):
        seen.append(fit.loss)
        if len(seen) == at:
            raise KeyboardInterrupt
        begin(fit)

    monkeypatch.setattr(Fit, "begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert seen[-1] == sl.Welsch(3.0)
    assert model.n_iter_ == len(model.loss_curve_) == at - 1
    assert model.stop_reason_ == "interrupted" and model.loss_ == sl.Welsch(0.3)
    assert np.isfinite(model.predict(X)).all()


def test_a_callback_that_stops_a_stage_stops_the_fit(monkeypatch):
    from sklearn_losses._solvers.fit import Fit

    X, y = contaminated(1)
    after = Fit.after

    def stopping(fit, epoch):
        ended = after(fit, epoch)
        if fit.n_iter == 3:
            fit.stop_reason = "callback"
        return ended or fit.n_iter == 3

    monkeypatch.setattr(Fit, "after", stopping)
    schedule = LossSchedule(sl.Welsch(0.3), "c", [30.0, 3.0])
    model = SGDRegressorX(schedule, batch_size=16, max_iter=30, tol=None, random_state=0)
    assert model.fit(X, y).n_iter_ == 3
    assert model.stop_reason_ == "callback" and model.loss_ == sl.Welsch(0.3)


def test_a_fit_that_fails_in_a_later_stage_leaves_the_estimator_as_it_was(monkeypatch):
    from sklearn_losses._solvers.fit import Fit

    X, y = contaminated(1)
    model = SGDRegressorX(LossSchedule(sl.Welsch(0.3), "c", [30.0, 3.0]), **EXACT).fit(X, y)
    before = dict(vars(model))
    begin = Fit.begin

    def failing(fit):
        if fit.loss == sl.Welsch(3.0):
            raise Stop
        begin(fit)

    monkeypatch.setattr(Fit, "begin", failing)
    with pytest.raises(Stop):
        model.fit(X[:, :2], y)
    assert vars(model) == before


def test_warm_start_begins_the_first_stage_with_the_last_weights():
    X, y = contaminated(1)
    values, params = [1e3], {"max_iter": 2, "tol": None, "optimizer": "gd", "alpha": 0.0}
    schedule = LossSchedule(sl.HuberLoss(0.5), "delta", values)
    model = SGDRegressorX(schedule, warm_start=True, **params).fit(X, y)
    start = {"coef_init": model.coef_, "intercept_init": model.intercept_}
    other = SGDRegressorX(schedule, **params).fit(X, y, **start)
    np.testing.assert_array_equal(model.fit(X, y).coef_, other.coef_)


# -------------------------------------------------------------------------------- what it refuses


def test_it_has_no_partial_fit_no_resumption_and_no_path():
    X, y = contaminated(0)
    schedule = LossSchedule(sl.Welsch(), "c", [8.0])
    with pytest.raises(AttributeError) as caught:
        SGDRegressorX(schedule).partial_fit(X, y)
    assert "a stream no end" in str(caught.value.__cause__ or caught.value)
    with pytest.raises(ValueError, match="warm_start='resume' goes on with one loss"):
        SGDRegressorX(schedule, warm_start="resume").fit(X, y)
    with pytest.raises(ValueError, match="LossSchedule through losses"):
        list(sl.alpha_path(SGDRegressorX(schedule), X, y))


def _objective(loss):
    return sl.as_objective(loss, library="sklearn")


@pytest.mark.parametrize("use", [sl.make_loss_scorer, sl.get_loss, _objective])
def test_what_has_no_stages_says_that_it_takes_a_loss(use):
    with pytest.raises((ValueError, TypeError), match="LossSchedule"):
        use(LossSchedule(sl.Welsch(), "c", [8.0]))


@pytest.mark.parametrize(
    "given, message",
    [
        ((sl.Welsch(), "k", [1.0]), r"parameter must be one of Welsch's, \['c'\]; got 'k'"),
        ((sl.Welsch(), 3, [1.0]), "parameter must be one of Welsch's"),
        ((sl.Welsch(), "c", 3.0), "values must be a sequence; got 3.0"),
        ((sl.Welsch(), "c", "auto"), "values must be a sequence; got 'auto'"),
        ((sl.Welsch(), "c", [-1.0]), "Welsch: c must be a number in"),
        ((sl.Welsch(), "c", ["auto"]), "c='auto' is estimated"),
        ((sl.Welsch(), "c", ["a"], True), "a factor of values must be a number"),
        ((sl.Welsch(), "c", [2.0], "yes"), "relative must be True or False; got 'yes'"),
        ((sl.CumulativeLink(), "distribution", [2.0], True), "needs a parameter whose multiples"),
        (("no loss", "c", [2.0]), "no loss"),
        ((sl.PinballLoss(0.5), "quantile", [[0.1, 0.9]]), "as many outputs as the last"),
        ((sl.HalfTweedieLoss(power=1.5), "power", [3.0]), "y_true must lie in"),
    ],
)
def test_what_it_cannot_use_it_names(given, message):
    kind = SGDClassifierX if isinstance(given[0], sl.CumulativeLink) else SGDRegressorX
    with pytest.raises(ValueError, match=message):
        kind(LossSchedule(*given), **EXACT).fit(np.arange(6.0)[:, None], [0, 1, 2, 0, 1, 2])


def test_max_iter_must_reach_the_last_stage():
    X, y = contaminated(0)
    model = SGDRegressorX(LossSchedule(sl.Welsch(), "c", [8.0, 4.0, 2.0]), max_iter=3)
    with pytest.raises(ValueError, match=r"max_iter must be above 3, .*; got 3"):
        model.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert model.set_params(max_iter=4).fit(X, y).n_iter_ == 4
