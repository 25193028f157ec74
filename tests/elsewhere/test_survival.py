"""Targets of survival analysis, and measures of predictions: by their definitions, and as other
programs have them."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patients import patients
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_losses import (
    CoxLoss,
    brier_score,
    concordance_index,
    concordance_scorer,
    integrated_brier_score,
    survival_target,
)

# ------------------------------------------------------------------------------------------ targets

TIME, EVENT = [3.0, 1.0, 2.0], [True, False, True]
READ = [[3.0, 1, -np.inf, 0], [1.0, 0, -np.inf, 0], [2.0, 1, -np.inf, 0]]


@pytest.mark.parametrize(
    "y",
    [
        survival_target(TIME, EVENT),
        survival_target(TIME, [1, 0, 1]),
        survival_target(np.array(TIME)[:, None], EVENT)[:, None],
        np.array(list(zip(EVENT, TIME, strict=True)), dtype=[("dead", "?"), ("days", "f4")]),
        np.array(list(zip([3, 1, 2], EVENT, strict=True)), dtype=[("days", "i8"), ("dead", "?")]),
        np.array(list(zip(TIME, [1, 0, 1], strict=True)), dtype=[("time", "f8"), ("event", "i1")]),
        np.column_stack([TIME, EVENT]),
        np.column_stack([[3, 1, 2], [1, 0, 1]]),
        list(zip(TIME, EVENT, strict=True)),
        pd.DataFrame({"event": EVENT, "time": TIME}),
        pd.DataFrame({"days": TIME, "dead": EVENT}),
        np.array(READ),
    ],
    ids=range(12),
)
def test_each_form_of_a_target_is_read(y):
    read = CoxLoss().read_target(y)
    np.testing.assert_array_equal(read, READ)
    assert read.dtype == np.float64
    assert CoxLoss().read_target(read) is read


def test_a_target_holds_what_is_given():
    y = survival_target(TIME)
    assert y.dtype.names == ("event", "time") and y["event"].all()
    y = survival_target(TIME, EVENT, entry=[0, 0.5, -1], stratum=[2, 2, -7])
    assert y.dtype == [("event", "?"), ("time", "f8"), ("entry", "f8"), ("stratum", "i8")]
    expected = [[3, 1, 0, 2], [1, 0, 0.5, 2], [2, 1, -1, -7]]
    np.testing.assert_array_equal(CoxLoss().read_target(y), expected)
    np.testing.assert_array_equal(CoxLoss().read_target(pd.DataFrame(y)), expected)
    np.testing.assert_array_equal(CoxLoss().read_target(y[::2]), expected[::2])


@pytest.mark.parametrize(
    "mistake, match",
    [
        ({"time": [1.0, -2.0]}, r"time must not be negative; got -2\.0 at index 1"),
        ({"time": [1.0, np.nan]}, "time must be finite; got nan at index 1"),
        ({"time": [np.inf, 1.0]}, "time must be finite; got inf at index 0"),
        ({"time": []}, "at least one sample; got 0"),
        ({"time": [[1.0, 2.0]]}, r"time must have shape \(n_samples,\); got \(1, 2\)"),
        ({"event": [1, 2]}, r"event must be 1 \(True\) .* and 0 \(False\) .*; got 2\.0 at index 1"),
        ({"event": [-1, 1]}, r"event must be .* got -1\.0 at index 0"),
        ({"event": [1, np.nan]}, "event must be .* got nan at index 1"),
        ({"event": ["yes", "no"]}, "event must hold numbers; got dtype <U3"),
        ({"event": [True]}, "as many samples; got time: 2, event: 1|got event: 1, time: 2"),
        (
            {"entry": [0.0, 2.0]},
            r"entry must be before the time; got entry 2\.0 and time 2\.0",
        ),
        ({"entry": [np.nan, 0.0]}, "entry must not be NaN; got nan at index 0"),
        ({"entry": [np.inf, 0.0]}, "before the time; got entry inf and time 1.0"),
        ({"stratum": [0.5, 1]}, r"stratum must be an integer below 2\*\*53 in size; got 0\.5"),
        ({"stratum": [1, 2.0**53]}, r"stratum must be an integer .*; got 9007199254740992\.0"),
        (
            {"stratum": ["a", "b"]},
            r"stratum must hold numbers; .* numpy\.unique\(stratum, re",
        ),
        ({"stratum": np.array(["a", "b"], dtype=object)}, "stratum must hold numbers; got dtype o"),
    ],
)
def test_mistakes_in_a_target_are_named(mistake, match):
    with pytest.raises((ValueError, TypeError), match=match):
        survival_target(**({"time": [1.0, 2.0]} | mistake))
    if not isinstance(mistake.get("event", [0])[0], str) and len(mistake.get("event", [0, 0])) == 2:
        whole = {"time": [1.0, 2.0], "event": [True, True]} | mistake
        if np.shape(whole["time"]) == (2,):
            with pytest.raises((ValueError, TypeError), match=match):
                CoxLoss().read_target(pd.DataFrame(whole))


@pytest.mark.parametrize(
    "y, match",
    [
        ([1.0, 2.0], r"a time and an event for each sample.* of shape \(2,\)\. survival_target"),
        (np.ones((3, 3)), r"two columns; got an array of shape \(3, 3\)"),
        (
            [[1.0, 7.0]],
            r"event must be .* got 7\.0 at index 0; the first column is the time",
        ),
        (np.zeros(2, [("a", "f8"), ("b", "f8")]), "one field of booleans .* and one of numbers"),
        (np.zeros(2, [("a", "?"), ("b", "U3")]), "one field of booleans .* and one of numbers"),
        (np.zeros(2, [("time", "f8"), ("event", "?"), ("age", "f8")]), "or fields named time, ev"),
        (np.array([[1.0, 1, 5, 0]]), r"y_true: entry must be before the time; got entry 5\.0"),
        ([["a", "b"]], "y_true: time must hold numbers"),
    ],
)
def test_what_is_no_target_is_refused(y, match):
    with pytest.raises((ValueError, TypeError), match=match):
        CoxLoss().read_target(y)


# ------------------------------------------------------------------------------------- concordance


def pairs(y, risk, weight):
    """Harrell's index by its definition."""
    time, event = y["time"], y["event"]
    entry = y["entry"] if "entry" in y.dtype.names else np.full(len(y), -np.inf)
    stratum = y["stratum"] if "stratum" in y.dtype.names else np.zeros(len(y))
    right = total = 0.0
    for i in range(len(y)):
        for j in range(len(y)):
            later = time[i] < time[j] or (time[i] == time[j] and not event[j])
            if event[i] and later and i != j and stratum[i] == stratum[j] and entry[j] < time[i]:
                mass = weight[i] * weight[j]
                total += mass
                right += mass * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
    return right / total if total else np.nan


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 25), st.booleans(), st.booleans(), st.booleans())
def test_concordance_is_the_share_of_pairs_in_order(seed, n, late, strata, weighted):
    rng = np.random.RandomState(seed)
    time = rng.randint(1, 8, n).astype(float)
    more = {"entry": rng.randint(-1, time.astype(int))} if late else {}
    more |= {"stratum": rng.randint(0, 3, n)} if strata else {}
    y = survival_target(time, rng.rand(n) < 0.6, **more)
    risk = rng.randint(0, 5, n) / 2
    weight = rng.randint(0, 4, n) + (np.arange(n) == 0.0) if weighted else np.ones(n)
    true = pairs(y, risk, weight)
    weights = weight if weighted else None
    if np.isnan(true):
        with pytest.warns(UndefinedMetricWarning, match="no two samples can be compared"):
            assert np.isnan(concordance_index(y, risk, weights))
        return
    assert concordance_index(y, risk, weights) == pytest.approx(true, rel=1e-13)
    assert concordance_index(y, -risk, weights) == pytest.approx(1 - true, rel=1e-12, abs=1e-14)
    twice = np.repeat(np.arange(n), weight.astype(int))
    assert concordance_index(y[twice], risk[twice]) == pytest.approx(true, rel=1e-13)


def test_some_samples_may_enter_late_and_others_not():
    y = survival_target([1.0, 2.0, 3.0], entry=[-np.inf, 1.5, -np.inf])
    # The first two are not compared.
    assert concordance_index(y, [1.0, 2.0, 0.0]) == 1.0
    assert concordance_index(y, [1.0, 0.0, 2.0]) == 0.0
    assert concordance_index(y, [2.0, 0.0, 1.0]) == 0.5


def test_concordance_is_that_of_lifelines_and_scikit_survival():
    # lifelines 0.30.3, concordance_index(time, -risk, event); scikit-survival 0.28.0,
    # concordance_index_censored(event, time, risk), which gives the same to all digits.
    X, time, event, *_ = patients()
    risk = (X @ [0.8, -0.5]).round(1)
    found = concordance_index(survival_target(time, event), risk)
    assert found == pytest.approx(0.7070116861435726, rel=1e-15)
    X, time, event, *_ = patients(ties=False)  # lifelines; scikit-survival takes a near tie for one
    found = concordance_index(survival_target(time, event), X @ [0.8, -0.5])
    assert found == pytest.approx(0.7019920318725099, rel=1e-15)


def test_concordance_of_many_samples_and_strata():
    rng = np.random.RandomState(0)
    n = 50_000
    risk = rng.randn(n)
    y = survival_target(rng.exponential(np.exp(-risk)), rng.rand(n) < 0.7)
    # Of two exponential times of rates a and b the first is earlier with probability a / (a + b).
    true = np.mean(1 / (1 + np.exp(-np.abs(risk[: n // 2] - risk[n // 2 :]))))
    assert concordance_index(y, risk) == pytest.approx(true, abs=0.01)
    each = survival_target(y["time"], y["event"], stratum=np.arange(n) // 2)
    assert concordance_index(each, risk) == pytest.approx(true, abs=0.02)


@pytest.mark.parametrize(
    "risk, weight, match",
    [
        ([1.0], None, r"risk must have shape \(2,\); got \(1,\)"),
        ([1.0, np.nan], None, "risk must be finite; got nan at index 1"),
        ([1.0, 2.0], [1.0, -1.0], "sample_weight must not be negative"),
    ],
)
def test_mistakes_in_risks_are_named(risk, weight, match):
    with pytest.raises(ValueError, match=match):
        concordance_index(survival_target([1.0, 2.0]), risk, weight)


# ----------------------------------------------------------------------------------------- scorers


class Ridge(BaseEstimator):
    """A linear model of log hazard ratios."""

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def fit(self, X, y):
        joint = CoxLoss().on(y)

        def objective(coef):
            value, gradient = joint.value_gradient(X @ coef)
            total = value / joint.mass + self.alpha * coef @ coef / 2
            return total, X.T @ gradient / joint.mass + self.alpha * coef

        self.coef_ = minimize(objective, np.zeros(X.shape[1]), jac=True).x
        return self

    def predict(self, X):
        return X @ self.coef_


@pytest.mark.parametrize("with_strata", [False, True])
def test_a_search_goes_by_concordance(with_strata):
    X, time, event, *_ = patients()
    y = survival_target(time, event, stratum=np.arange(60) % 2 if with_strata else None)
    model = make_pipeline(StandardScaler(), Ridge())
    scorer = pickle.loads(pickle.dumps(clone(concordance_scorer(), safe=False)))
    search = GridSearchCV(
        model, {"ridge__alpha": [0.01, 1e6]}, scoring=scorer, cv=3, error_score="raise"
    ).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert (scores > 0.55).all()
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    model.fit(X_train, y_train)
    expected = concordance_index(y_test, model.predict(X_test))
    assert scorer(model, X_test, y_test) == expected
    weight = np.arange(len(y_test)) % 3 + 1.0
    weighted = scorer(model, X_test, y_test, sample_weight=weight)
    assert weighted == concordance_index(y_test, model.predict(X_test), weight) != expected
    importance = permutation_importance(model, X, y, scoring=scorer, random_state=0)
    assert (importance["importances_mean"] > 0).all()


def test_a_model_of_times_is_scored_by_them():
    X, time, event, *_ = patients()
    model, y = LinearRegression().fit(X, time), survival_target(time, event)
    of_times = concordance_scorer(of="time")(model, X, y)
    assert of_times == concordance_index(y, -model.predict(X)) > 0.6
    assert concordance_scorer()(model, X, y) == pytest.approx(1 - of_times)
    with pytest.raises(ValueError, match=r"of must be one of \('risk', 'time'\); got 'hazard'"):
        concordance_scorer("hazard")
    scores = cross_val_score(Ridge(), X, y, scoring=concordance_scorer(), cv=3)
    assert np.isfinite(scores).all()


# ------------------------------------------------------------------------------------------- Brier

AT = [2.0, 5.0, 9.0]


def predicted(X, times):
    return np.exp(-np.outer(np.exp(X @ [0.8, -0.5]), np.divide(times, 10)))


def test_brier_scores_are_those_of_scikit_survival():
    # scikit-survival 0.28.0, brier_score(y, y, S, times) and integrated_brier_score, where no event
    # and censoring are at one time.
    X, time, event, *_ = patients(ties=False)
    y = survival_target(time, event)
    scores = [0.12069666113298, 0.19872150863497, 0.1736113525262]
    np.testing.assert_allclose(brier_score(y, predicted(X, AT), AT), scores, rtol=1e-12)
    whole = integrated_brier_score(y, predicted(X, AT), AT)
    assert whole == pytest.approx(0.1748275681391795, rel=1e-13)
    scores = [0.11699015146617, 0.21118835034986, 0.15227340303329]
    test = predicted(X[30:], AT)
    np.testing.assert_allclose(brier_score(y[30:], test, AT, y_train=y[:30]), scores, rtol=1e-12)
    whole = integrated_brier_score(y[30:], test, AT, y_train=y[:30])
    assert whole == pytest.approx(0.17417017992719494, rel=1e-13)


@pytest.mark.parametrize("ties", [True, False])
def test_the_weights_for_censoring_add_up_to_all(ties):
    _, time, event, *_ = patients(ties=ties)
    y, times = survival_target(time, event), np.quantile(time, [0.05, 0.4, 0.8, 0.95])
    weight = np.arange(60) % 4 * 1.0
    for weights in (None, weight):
        mass = np.ones(60) if weights is None else weights
        gone = brier_score(y, np.ones((60, 4)), times, sample_weight=weights)
        here = brier_score(y, np.zeros((60, 4)), times, sample_weight=weights)
        np.testing.assert_allclose(gone + here, 1, rtol=1e-13)
        np.testing.assert_allclose(brier_score(y, np.full((60, 4), 0.5), times), 0.25, rtol=1e-13)
        # Who is gone counts by Kaplan and Meier's estimate.
        survival = np.ones(4)
        for t in np.unique(time[event]):
            share = mass[(time == t) & event].sum() / mass[time >= t].sum()
            survival *= np.where(t <= times, 1 - share, 1)
        np.testing.assert_allclose(here, survival, rtol=1e-13)
    twice = np.repeat(np.arange(60), weight.astype(int))
    some = np.linspace(0, 1, 240).reshape(60, 4)
    np.testing.assert_allclose(
        brier_score(y, some, times, sample_weight=weight),
        brier_score(y[twice], some[twice], times),
        rtol=1e-13,
    )


def test_without_censoring_it_is_the_mean_squared_error():
    time, some = np.array([1.0, 2.0, 3.0, 4.0]), np.linspace(0, 1, 8).reshape(4, 2)
    errors = (some - (time[:, None] > [2.0, 3.5])) ** 2
    found = brier_score(survival_target(time), some, [2.0, 3.5])
    np.testing.assert_allclose(found, errors.mean(axis=0), rtol=1e-15)
    assert integrated_brier_score(survival_target(time), some, [2.0, 3.5]) == pytest.approx(
        errors.mean()
    )
    one = brier_score(survival_target(time), some[:, 0], 2.0)
    np.testing.assert_allclose(one, found[:1], rtol=1e-15)


def test_the_true_survival_scores_best():
    rng = np.random.RandomState(0)
    X = rng.randn(4000, 2)
    time, limit = rng.exponential(np.exp(-X @ [0.8, -0.5])) * 10, rng.uniform(0, 20, 4000)
    y = survival_target(np.minimum(time, limit), time <= limit)
    best = integrated_brier_score(y, predicted(X, AT), AT)
    for wrong in (
        predicted(X, AT) ** 2,
        predicted(X, AT) ** 0.5,
        np.tile(predicted(X, AT).mean(0), (4000, 1)),
    ):
        assert integrated_brier_score(y, wrong, AT) > best
    full = np.mean((predicted(X, AT) - (time[:, None] > AT)) ** 2, axis=0)
    np.testing.assert_allclose(brier_score(y, predicted(X, AT), AT), full, rtol=0.1)


@pytest.mark.parametrize(
    "change, match",
    [
        (
            {"survival": np.ones((2, 3))},
            r"must have shape \(3, 2\), \(n_samples, n_times\); got",
        ),
        ({"survival": np.full((3, 2), 1.5)}, r"must lie in \[0, 1\]; got 1\.5 at index 0, 0"),
        ({"survival": np.full((3, 2), np.nan)}, "survival_probabilities must be finite"),
        ({"times": [1.0, np.nan]}, "times must be finite"),
        (
            {"y": survival_target([1.0, 2.0, 3.0], entry=[0, 1, 0])},
            "y must have no entries",
        ),
        ({"y_train": survival_target([1.0], entry=[0])}, "y_train must have no entries"),
        ({"y_train": survival_target([0.5], [False])}, r"got 1\.0, and all are by 0\.5"),
        ({"sample_weight": [1.0]}, r"sample_weight must have shape \(3,\)"),
    ],
)
def test_mistakes_in_survival_probabilities_are_named(change, match):
    right = {
        "y": survival_target([1.0, 2.0, 3.0]),
        "survival": np.ones((3, 2)),
        "times": [1.0, 2.5],
    }
    called = right | change
    with pytest.raises(ValueError, match=match):
        brier_score(called.pop("y"), called.pop("survival"), called.pop("times"), **called)


@pytest.mark.parametrize("times", [[1.0], [2.0, 1.0], [1.0, 1.0]])
def test_an_integral_needs_times_that_grow(times):
    with pytest.raises(ValueError, match="times must grow, and be at least two"):
        integrated_brier_score(survival_target([1.0, 2.0]), np.ones((2, len(times))), times)
