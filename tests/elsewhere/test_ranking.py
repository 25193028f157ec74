"""Rankings from target to model: metrics by query, scorers in a search, and boosting."""

import itertools
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import average_precision_score, ndcg_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_losses as sl

GAINS = {"exponential": lambda r: 2.0**r - 1, "linear": lambda r: 1.0 * r}
LOSSES = [
    sl.PairwiseLogistic(),
    sl.PairwiseHinge(),
    sl.ListNet(),
    sl.LambdaRank(),
    sl.LambdaRank(k=5, normalize=False),
]


def problem(seed=0, n=200, n_queries=12, decimals=1):
    rng = np.random.RandomState(seed)
    query = rng.randint(n_queries, size=n)
    relevance = rng.randint(5, size=n)
    scores = (0.5 * relevance + rng.normal(size=n)).round(decimals)
    return sl.ranking_target(relevance, query), scores


def queries_of(y):
    return [np.flatnonzero(y["qid"] == q) for q in np.unique(y["qid"])]


# -------------------------------------------------------------------------------------------------
# Targets


def test_a_target_holds_both_and_can_be_indexed():
    y = sl.ranking_target([2, 0.5, 1], [2**60 + 1, -3, 2**60 + 1])
    assert y.shape == (3,)
    assert y["relevance"].tolist() == [2.0, 0.5, 1.0]
    assert y["qid"].tolist() == [2**60 + 1, -3, 2**60 + 1]
    assert y[[2, 0]]["relevance"].tolist() == [1.0, 2.0]
    assert sl.ranking_target([1.0], [5.0])["qid"].dtype == np.int64


def test_queries_that_differ_in_the_last_digit_are_two():
    y = sl.ranking_target([1, 0, 0, 1], [2**60, 2**60, 2**60 + 1, 2**60 + 1])
    assert sl.PairwiseLogistic().on(y).mass == 2


@pytest.mark.parametrize(
    ("relevance", "qid", "error", "message"),
    [
        ([1, np.nan], [0, 0], ValueError, "relevance must be finite; got nan at index 1"),
        ([[1, 0]], [0, 0], ValueError, r"relevance must have shape \(n_documents,\); got \(1, 2\)"),
        (["a"], [0], TypeError, "relevance must hold real numbers"),
        ([1, 0], [0], ValueError, r"qid must have the shape of relevance, \(2,\); got \(1,\)"),
        ([1, 0], [0, 0.5], ValueError, "qid must hold whole numbers .* got 0.5 at index 1"),
        ([1, 0], [0, np.nan], ValueError, "qid must hold whole numbers .* got nan at index 1"),
        ([1, 0], [0, 2.0**63], ValueError, "qid must hold whole numbers .* at index 1"),
        ([1], np.array([2**63], dtype=np.uint64), ValueError, "in the range of int64"),
        ([1, 0], ["a", "b"], TypeError, r"got dtype <U1. Number the queries with\s+numpy.unique"),
    ],
)
def test_bad_targets_are_named(relevance, qid, error, message):
    with pytest.raises(error, match=message):
        sl.ranking_target(relevance, qid)


# -------------------------------------------------------------------------------------------------
# Metrics


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("k", [None, 1, 3, 50])
def test_ndcg_is_scikit_learns_query_by_query(k, gain):
    y, scores = problem()  # some scores are equal
    parts = []
    for at in queries_of(y):
        expected = ndcg_score([GAINS[gain](y["relevance"][at])], [scores[at]], k=k)
        parts.append(expected)
        assert sl.ndcg(y[at], scores[at], k=k, gain=gain) == pytest.approx(expected, rel=1e-13)
    assert sl.ndcg(y, scores, k=k, gain=gain) == pytest.approx(np.mean(parts), rel=1e-13)
    weight = np.random.RandomState(1).rand(12)
    assert sl.ndcg(y, scores, k=k, gain=gain, sample_weight=weight[y["qid"]]) == pytest.approx(
        np.average(parts, weights=weight), rel=1e-13
    )


def test_map_is_scikit_learns_query_by_query():
    y, scores = problem(decimals=9)
    relevant = y["relevance"] > 0
    parts = [average_precision_score(relevant[at], scores[at]) for at in queries_of(y)]
    assert sl.mean_average_precision(y, scores) == pytest.approx(np.mean(parts), rel=1e-13)


# Three queries without equal scores but for one pair of equal relevance, and what XGBoost 3.2.0
# (eval_metric="ndcg", "ndcg@2", ... of a model of no trees with `base_margin`; for "map" of
# relevance > 0) and LightGBM 4.7.0 (metric=["ndcg", "map"], eval_at=[2, 3, 10], `init_score`)
# print of them.
QUOTED = (
    sl.ranking_target([3, 0, 2, 1, 0, 0, 1, 2, 2, 0, 0, 0, 4, 0, 1], [0] * 6 + [1] * 5 + [2] * 4),
    [0.9, 0.8, 0.1, 0.5, -0.2, 0.3, 0.1, 0.7, 0.2, 0.6, -1, 0.4, 0.35, 0.2, 0.6],
)
QUOTED_NDCG = {None: 0.7933820261241916, 2: 0.4880925055666021, 3: 0.7255753585836175}
QUOTED_MAP = {None: 0.7981481481481479, 2: 0.5, 3: 0.648148148148148}


@pytest.mark.parametrize("k", [None, 2, 3])
def test_metrics_are_xgboosts_and_lightgbms(k):
    assert sl.ndcg(*QUOTED, k=k) == pytest.approx(QUOTED_NDCG[k], rel=1e-14)
    assert sl.mean_average_precision(*QUOTED, k=k) == pytest.approx(QUOTED_MAP[k], rel=1e-14)


def slow_metric(relevance, order, k, metric):
    k = len(order) if k is None else k
    if metric == "ndcg":
        gains = 2.0**relevance - 1
        places = np.log2(np.arange(len(order)) + 2)
        best = np.sort(gains)[::-1]
        return (gains[order] / places)[:k].sum() / (best / places)[:k].sum()
    hits = relevance[order] > 0
    precision = np.cumsum(hits) / (np.arange(len(order)) + 1)
    return precision[:k][hits[:k]].sum() / min(hits.sum(), k)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6),
    k=st.sampled_from([None, 1, 2, 4]),
    metric=st.sampled_from(["ndcg", "map"]),
)
def test_equal_scores_count_as_the_mean_over_their_orders(rows, k, metric):
    relevance, scores = np.array(rows).T
    if not relevance.any():
        relevance[0] = 1
    orders = [
        order
        for order in map(list, itertools.permutations(range(len(rows))))
        if (np.diff(scores[order]) <= 0).all()
    ]
    mean = np.mean([slow_metric(relevance, order, k, metric) for order in orders])
    found = {"ndcg": sl.ndcg, "map": sl.mean_average_precision}[metric](relevance, scores, k=k)
    assert found == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("metric", [sl.ndcg, sl.mean_average_precision])
def test_equal_scores_of_two_queries_share_nothing(metric):
    y = sl.ranking_target([0, 2, 2, 0, 1], [0, 0, 1, 1, 1])
    scores = np.ones(5)
    parts = [metric(y[:2], scores[:2]), metric(y[2:], scores[2:])]
    assert metric(y, scores) == pytest.approx(np.mean(parts), rel=1e-13)


@pytest.mark.parametrize("metric", [sl.ndcg, sl.mean_average_precision])
def test_queries_without_a_relevant_document_are_left_out_or_count_as_asked(metric):
    y = sl.ranking_target([1, 0, 0, 0, 0], [0, 0, 1, 1, 2])
    scores = [1.0, 0.0, 1.0, 0.0, 0.0]
    assert metric(y, scores) == 1.0
    assert metric(y, scores, zero_division=0) == pytest.approx(1 / 3)
    assert metric(y, scores, zero_division=1.0) == 1.0
    weight = [1, 1, 2, 2, 0]
    assert metric(y, scores, zero_division=0, sample_weight=weight) == pytest.approx(1 / 3)
    with pytest.warns(UndefinedMetricWarning, match="no query has a relevant document"):
        assert np.isnan(metric([0, 0], [1.0, 0.0]))
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(metric(y, scores, sample_weight=[0, 0, 1, 1, 1]))
    for bad in ("warn", None, 0.5):
        with pytest.raises(ValueError, match=r"zero_division must be 0.0, 1.0 or numpy.nan"):
            metric(y, scores, zero_division=bad)


@pytest.mark.parametrize("metric", [sl.ndcg, sl.mean_average_precision])
def test_bad_input_of_a_metric_is_named(metric):
    y, scores = problem(n=20)
    for message, bad in {
        "scores must be finite; got nan at index 0": np.full(20, np.nan),
        r"scores must have shape \(20,\); got \(3,\)": np.zeros(3),
    }.items():
        with pytest.raises(ValueError, match=message):
            metric(y, bad)
    with pytest.raises(ValueError, match="k must be an integer from 1"):
        metric(y, scores, k=0)
    with pytest.raises(ValueError, match="relevance must not be negative"):
        metric([-1, 1], [0.0, 1.0])
    with pytest.raises(ValueError, match="sample_weight must be one weight for all documents"):
        metric(y, scores, sample_weight=np.arange(20))
    with pytest.raises(ValueError, match="gain must be one of"):
        sl.ndcg(y, scores, gain="square")


# -------------------------------------------------------------------------------------------------
# Scorers


class LinearRanker(RegressorMixin, BaseEstimator):
    """The least that a linear ranking needs."""

    def __init__(self, loss=None, alpha=1e-3):
        self.loss = loss
        self.alpha = alpha

    def fit(self, X, y):
        joint = self.loss.on(y)

        def objective(w):
            value, gradient = joint.value_gradient(X @ w)
            penalty = self.alpha / 2 * w @ w
            return value / joint.mass + penalty, X.T @ gradient / joint.mass + self.alpha * w

        self.coef_ = minimize(objective, np.zeros(X.shape[1]), jac=True).x
        return self

    def predict(self, X):
        return X @ self.coef_


def rows(n_queries=40, seed=0):
    """Columns that tell the relevance within a query, and one that only tells the query."""
    rng = np.random.RandomState(seed)
    query = np.repeat(np.arange(n_queries), rng.randint(5, 15, size=n_queries))
    X = rng.normal(size=(len(query), 4))
    level = 3 * rng.normal(size=n_queries)[query]
    u = X[:, 0] - X[:, 1] + 0.5 * rng.normal(size=len(query))
    X[:, 3] = level + u
    return X, sl.ranking_target(np.digitize(u, [-1, 0, 1.5]), query)


@pytest.mark.parametrize("loss", LOSSES[:3], ids=lambda loss: loss.name)
def test_a_search_over_a_pipeline_scores_rankings_by_query(loss):
    X, y = rows()
    model = make_pipeline(StandardScaler(), LinearRanker(loss))
    grid = {"linearranker__alpha": [1e-3, 1e3]}
    scorers = {"ndcg": sl.make_ranking_scorer(k=3), "map": sl.make_ranking_scorer("map")}
    search = GridSearchCV(model, grid, scoring=scorers, refit="ndcg", cv=GroupKFold(4))
    search.fit(X, y, groups=y["qid"])
    assert search.best_params_ == {"linearranker__alpha": 1e-3}
    scores = []
    for train, test in GroupKFold(4).split(X, y, y["qid"]):
        part = clone(search.best_estimator_).fit(X[train], y[train])
        scores.append(sl.ndcg(y[test], part.predict(X[test]), k=3))
    assert search.best_score_ == pytest.approx(np.mean(scores), rel=1e-12)
    assert search.best_score_ > 0.85
    assert search.cv_results_["mean_test_map"].max() > 0.85


def test_scorers_take_options_and_name_those_that_there_are_not():
    X, y = rows()
    scorer = sl.make_ranking_scorer("ndcg", k=2, gain="linear", zero_division=0.0)
    model = LinearRanker(sl.PairwiseLogistic()).fit(X, y)
    expected = sl.ndcg(y, model.predict(X), k=2, gain="linear", zero_division=0.0)
    assert scorer(model, X, y) == expected
    assert pickle.loads(pickle.dumps(scorer))(model, X, y) == expected
    folds = cross_val_score(model, X, y, scoring=scorer, cv=GroupKFold(3), groups=y["qid"])
    assert (folds > 0.7).all()
    with pytest.raises(ValueError, match=r"metric must be one of \['ndcg', 'map'\]; got 'mrr'"):
        sl.make_ranking_scorer("mrr")
    with pytest.raises(TypeError, match="map has no option 'gain'; it has k, zero_division"):
        sl.make_ranking_scorer("map", gain="linear")


def test_a_split_takes_relevance_and_query_along():
    X, y = rows()
    _, X_test, _, y_test = train_test_split(X, y, random_state=0)
    where = [np.flatnonzero((X == row).all(axis=1))[0] for row in X_test]
    assert np.array_equal(y_test, y[where])


# -------------------------------------------------------------------------------------------------
# Boosting


def boosting_problem():
    X, y = rows(n_queries=120, seed=1)
    train = y["qid"] < 80
    sizes = np.unique(y["qid"][train], return_counts=True)[1]
    return X[train], y[train], sizes, X[~train], y[~train]


def by_xgboost(objective, X, y, sizes, rounds=30, weight=None, **params):
    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
    params = {"max_depth": 3, "eta": 0.2, "tree_method": "exact", "nthread": 1} | params
    data = xgboost.DMatrix(X, y["relevance"], group=sizes, weight=weight)
    if isinstance(objective, str):
        return xgboost.train(params | {"objective": objective}, data, rounds)
    return xgboost.train(params | {"disable_default_eval_metric": 1}, data, rounds, obj=objective)


def xgboost_scores(model, X):
    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
    return model.predict(xgboost.DMatrix(X), output_margin=True)


def by_lightgbm(objective, X, y, sizes, n_estimators=30, weight=None, **params):
    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    model = lightgbm.LGBMRanker(
        objective=objective, n_estimators=n_estimators, num_leaves=8, verbose=-1, n_jobs=1, **params
    )
    return model.fit(X, y["relevance"].astype(int), group=sizes, sample_weight=weight)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_objectives_rank_as_well_as_the_libraries_own(loss):
    X, y, sizes, X_test, y_test = boosting_problem()
    objective = sl.as_objective(loss, "xgboost")
    ours = sl.ndcg(y_test, xgboost_scores(by_xgboost(objective, X, y, sizes), X_test))
    theirs = sl.ndcg(y_test, xgboost_scores(by_xgboost("rank:ndcg", X, y, sizes), X_test))
    assert ours > theirs - 0.03
    objective = sl.as_objective(loss, "lightgbm")
    ours = sl.ndcg(y_test, by_lightgbm(objective, X, y, sizes).predict(X_test))
    theirs = sl.ndcg(y_test, by_lightgbm("lambdarank", X, y, sizes).predict(X_test))
    assert ours > theirs - 0.03


@pytest.mark.parametrize("normalize", [True, False])
def test_lambdarank_grows_the_trees_of_lightgbms(normalize):
    X, y, sizes, *_ = boosting_problem()  # less than 30 documents a query: it looks at all pairs
    objective = sl.as_objective(sl.LambdaRank(normalize=normalize), "lightgbm", min_hessian=0)
    ours = by_lightgbm(objective, X, y, sizes, n_estimators=5).predict(X)
    own = by_lightgbm("lambdarank", X, y, sizes, 5, sigmoid=1.0, lambdarank_norm=normalize)
    # Its sigmoid is a table.
    np.testing.assert_allclose(ours, own.predict(X), atol=1e-4)
    assert ours.std() > 0.1


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (sl.LambdaRank(), "rank:ndcg"),
        (sl.LambdaRank(normalize=False), "rank:ndcg"),
        (sl.PairwiseLogistic(), "rank:pairwise"),
    ],
    ids=repr,
)
def test_objectives_grow_the_trees_of_xgboosts(loss, name):
    X, y, sizes, *_ = boosting_problem()
    weight = 0.5 + np.arange(len(sizes)) % 3
    weight /= weight.mean()  # what it does itself
    plain = {"reg_lambda": 0, "min_child_weight": 0, "base_score": 0}
    normalize = getattr(loss, "normalize", False)
    own = plain | {
        "eta": 0.5,
        "lambdarank_pair_method": "topk",
        "lambdarank_num_pair_per_sample": 1000,
        "lambdarank_normalization": normalize,
        "lambdarank_score_normalization": normalize,
    }
    theirs = by_xgboost(name, X, y, sizes, 5, weight, **own)
    # Its hessians are twice the second derivatives.
    objective = sl.as_objective(loss, "xgboost", min_hessian=0)
    ours = by_xgboost(objective, X, y, sizes, 5, weight, **plain, eta=0.25)
    ours, theirs = xgboost_scores(ours, X), xgboost_scores(theirs, X)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert ours.std() > 0.1


class DataSet:
    """What both libraries' data sets are asked for."""

    def __init__(self, relevance, group, weight):
        self.relevance, self.group, self.weight = relevance, group, weight

    def get_label(self):
        return self.relevance.astype(np.float32)

    def get_group(self):
        return self.group

    def get_weight(self):
        return self.weight


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_an_objective_gives_the_derivatives_of_the_total(loss, library):
    _, y, sizes, *_ = boosting_problem()
    raw = np.random.RandomState(0).normal(size=len(y)).astype(np.float32)
    weight = np.arange(1.0, len(sizes) + 1)
    by_document = np.repeat(weight, sizes)
    expected = loss.gradient_hessian(y, raw, by_document)
    own = sl.as_objective(loss, library, min_hessian=0)
    scaled = sl.as_objective(loss, library)
    level = loss.gradient_hessian(y, np.zeros(len(y)), by_document)[1]
    for objective, factor in ((own, 1.0), (scaled, by_document.sum() / level.sum())):
        for found in (
            objective(y["relevance"], raw, by_document, sizes),
            objective(y["relevance"], raw, by_document, sizes),  # the targets are known now
            objective(y, raw, by_document),
            objective(raw, DataSet(y["relevance"], sizes, weight)),
            objective(raw, DataSet(y["relevance"], sizes, by_document)),
            clone(objective)(y, raw, by_document),
            pickle.loads(pickle.dumps(objective))(y, raw, by_document),
        ):
            for part, exact in zip(found, expected, strict=True):
                assert part.dtype == np.float32
                np.testing.assert_allclose(part, factor * exact, rtol=1e-5, atol=1e-7)
        # Other targets after these.
        fresh = sl.as_objective(loss, library, **objective._options)
        for one, other in zip(
            objective(y[::-1].copy(), raw), fresh(y[::-1].copy(), raw), strict=True
        ):
            assert np.array_equal(one, other)
    floor = sl.as_objective(loss, library, min_hessian=1e3)(y, raw, by_document)[1]
    np.testing.assert_allclose(floor, np.maximum(expected[1], 1e3 * by_document), rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_metric_of_a_library_is_the_loss(loss):
    _, y, sizes, *_ = boosting_problem()
    raw = np.random.RandomState(0).normal(size=len(y))
    data = DataSet(y["relevance"], sizes, np.array([]))
    value = loss(y, raw)
    assert sl.as_metric(loss, "xgboost")(raw, data) == (loss.name, value)
    assert sl.as_metric(loss, "xgboost")(y, raw) == value
    assert sl.as_metric(loss, "lightgbm")(raw, data) == (loss.name, value, False)
    assert sl.as_metric(loss, "lightgbm")(y["relevance"], raw, None, sizes)[1] == value


def test_what_boosting_cannot_take_is_named():
    loss = sl.PairwiseLogistic()
    for maker in (sl.as_objective, sl.as_metric):
        with pytest.raises(ValueError, match=r"library must be one of \['xgboost', 'lightgbm'\]"):
            maker(loss, "catboost")
    objective = sl.as_objective(loss, "lightgbm")
    with pytest.raises(ValueError, match="the queries must be given: as `group`"):
        objective(np.array([1.0, 0.0]), np.zeros(2))
    with pytest.raises(ValueError, match="group must hold sizes that sum to 2; got 3"):
        objective(np.array([1.0, 0.0]), np.zeros(2), None, [3])
    with pytest.raises(ValueError, match="raw_prediction must be finite"):
        objective(np.array([1.0, 0.0]), np.array([np.nan, 0.0]), None, [2])
    with pytest.raises(ValueError, match="min_hessian must be 'auto' or a number; got 'least'"):
        sl.as_objective(loss, "xgboost", min_hessian="least")
    with pytest.raises(ValueError, match="min_hessian must be a number in"):
        sl.as_objective(loss, "xgboost", min_hessian=-1)
    with pytest.raises(ValueError, match="raw must be True for PairwiseLogistic"):
        sl.as_metric(loss, "xgboost", raw=False)
    with pytest.raises(ValueError, match="PairwiseHinge: margin must be"):
        sl.as_objective(sl.PairwiseHinge(margin=-1), "xgboost")


def test_nothing_warns_on_plain_use():
    X, y = rows()
    y["relevance"][y["qid"] == 3] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sl.ndcg(y, X[:, 0])
        sl.mean_average_precision(y, X[:, 0])
        for loss in LOSSES:
            loss(y, 1e4 * X[:, 0])
