"""The losses of rankings are what their papers say, to the last digits, for queries in any
order."""

import pickle
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

import sklearn_losses as sl
from sklearn_losses._kernels._threads import effective_n_threads
from sklearn_losses._kernels.losses import _pointwise
from sklearn_losses.losses import RANKING

EPS = np.finfo(float).eps
EVERY = [cls() for cls in RANKING]
PAIRS = [sl.PairwiseLogistic(), sl.PairwiseHinge(), sl.LambdaRank()]
SMOOTH = [sl.PairwiseLogistic(), sl.ListNet()]
every_loss = pytest.mark.parametrize("loss", EVERY, ids=lambda loss: loss.name)
every_smooth_loss = pytest.mark.parametrize("loss", SMOOTH, ids=lambda loss: loss.name)


def problem(n=60, n_queries=4, levels=4, scale=2.0, seed=0):
    """Documents whose queries are mixed up, in odd numbers, with weights and scores."""
    rng = np.random.RandomState(seed)
    query = rng.randint(n_queries, size=n)
    relevance = rng.randint(levels, size=n).astype(float)
    scores = scale * (relevance - 1.5 + rng.normal(size=n))
    weight = (0.5 + rng.randint(4, size=n_queries))[query]
    return sl.ranking_target(relevance, 10**17 - 7 * query), scores, weight


def pairs_of(y):
    """Pairs of one query, the first of more relevance: by the definition."""
    same = y["qid"][:, None] == y["qid"]
    return np.argwhere(same & (y["relevance"][:, None] > y["relevance"]))


# -------------------------------------------------------------------------------------------------
# Digits


def in_fifty_digits(y, scores, weight):
    """Value, gradient, diagonal and matrix of second derivatives of the pairwise logistic loss, and
    the sums of the sizes of their terms."""
    n = len(scores)
    value, gradient, matrix = mpf(0), [mpf(0)] * n, mp.matrix(n, n)
    size = [mpf(0)] * n
    for i, j in pairs_of(y):
        w = mpf(float(weight[i]))
        d = mpf(float(scores[i])) - mpf(float(scores[j]))
        p = 1 / (1 + mp.exp(d))
        value += w * mp.log1p(mp.exp(-d))
        gradient[i] -= w * p
        gradient[j] += w * p
        bend = w * p / (1 + mp.exp(-d))
        for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            matrix[a, b] += sign * bend
        size[i] += w * p
        size[j] += w * p
    return value, gradient, matrix, size


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("level", _pointwise.simd_levels())
def test_pairwise_logistic_has_the_digits_of_a_reference(scale, level):
    y, scores, weight = problem(n=40, n_queries=3, scale=scale)
    joint = sl.PairwiseLogistic().on(y, weight)
    before = _pointwise.simd_level()
    _pointwise.set_simd_level(level)
    try:
        value, gradient = joint.value_gradient(scores)
        again, diagonal = joint.gradient_hessian(scores)
        vector = np.random.RandomState(1).normal(size=40)
        product = joint.hessian_product(scores, vector)
    finally:
        _pointwise.set_simd_level(before)
    with mp.workdps(50):
        exact, slopes, matrix, sizes = in_fifty_digits(y, scores, weight)
        assert abs(value - exact) <= 8 * EPS * exact
        for k in range(40):
            assert abs(gradient[k] - slopes[k]) <= 16 * EPS * sizes[k] + mpf(10) ** -300
            assert abs(diagonal[k] - matrix[k, k]) <= 16 * EPS * matrix[k, k] + mpf(10) ** -300
            terms = [matrix[k, m] * mpf(vector[m]) for m in range(40)]
            size = sum(map(abs, terms)) + abs(matrix[k, k]) * abs(mpf(vector[k]))
            assert abs(product[k] - sum(terms)) <= 16 * EPS * size + mpf(10) ** -300
    np.testing.assert_allclose(again, gradient, rtol=1e-13, atol=1e-300)


def test_a_pair_far_in_the_tail_keeps_its_digits():
    # The difference itself needs more digits than a float has.
    high, low = 700.1, -1e-5
    value, gradient = sl.PairwiseLogistic().loss_gradient([1.0, 0.0], [high, low])
    with mp.workdps(50):
        exact = mp.exp(-(mpf(high) - mpf(low)))
        assert abs(value - exact) <= 8 * EPS * exact
        assert abs(gradient[1] - exact) <= 8 * EPS * exact
    hessian = sl.PairwiseLogistic().gradient_hessian([1.0, 0.0], [high, low])[1]
    assert abs(hessian[0] - exact) <= 8 * EPS * exact


def test_more_pairs_than_a_chunk_of_the_kernel_are_all_counted():
    rng = np.random.RandomState(0)
    relevance, scores = rng.normal(size=(2, 700))
    d = scores[:, None] - scores
    above = relevance[:, None] > relevance
    p = np.where(above, 1 / (1 + np.exp(d)), 0.0)
    joint = sl.PairwiseLogistic().on(relevance)
    value, gradient = joint.value_gradient(scores)
    assert joint.mass == 700 * 699 / 2
    np.testing.assert_allclose(value, np.logaddexp(0, -d)[above].sum(), rtol=1e-12)
    np.testing.assert_allclose(gradient, p.sum(axis=0) - p.sum(axis=1), rtol=1e-9, atol=1e-12)
    h = p * (1 - p)
    np.testing.assert_allclose(
        joint.gradient_hessian(scores)[1], h.sum(axis=0) + h.sum(axis=1), rtol=1e-12
    )


# Whole numbers of 1 / 8 lie on kinks often.
GRID = st.integers(-24, 24).map(lambda k: k / 8)
ANY = st.floats(-1e4, 1e4, allow_subnormal=False)


@settings(max_examples=120, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4), GRID | ANY), min_size=2, max_size=25
    ),
    margin=st.sampled_from([1.0, 0.125, 0.3, 1e3]),
)
def test_pairwise_hinge_is_exact(rows, margin):
    qid, relevance, scores = (np.array(column) for column in zip(*rows, strict=True))
    y = sl.ranking_target(relevance, qid)
    pairs = pairs_of(y)
    if len(pairs) == 0:
        with pytest.raises(ValueError, match="two documents of different relevance"):
            sl.PairwiseHinge(margin)(y, scores)
        return
    value, gradient, count = Fraction(0), np.zeros(len(rows)), np.zeros(len(rows))
    for i, j in pairs:
        lack = Fraction(margin) - (Fraction(scores[i]) - Fraction(scores[j]))
        count[[i, j]] += 1
        if lack >= 0:
            value += lack
            gradient[i] -= 1
            gradient[j] += 1
    joint = sl.PairwiseHinge(margin).on(y)
    found, slopes = joint.value_gradient(scores.astype(float))
    assert joint.mass == len(pairs)
    # The totals of at most four queries, each rounded to half of EPS, and three roundings of sums.
    assert abs(Fraction(found) - value) <= 2 * Fraction(EPS) * value
    assert np.array_equal(slopes, gradient)
    assert np.array_equal(joint.gradient_hessian(scores.astype(float))[1], count)


@pytest.mark.parametrize(("low", "pull"), [(0.0, 1), (1e-20, 1), (-1e-20, 0)])
def test_the_side_of_the_hinges_kink_is_exact(low, pull):
    # All three differences are 0.3 when rounded.
    value, gradient = sl.PairwiseHinge(0.3).loss_gradient([1, 0], [0.3, low])
    assert gradient.tolist() == [-pull, pull]
    assert value == max(low, 0.0)


def test_a_hinge_far_from_0_keeps_its_digits():
    rng = np.random.RandomState(0)
    relevance, scores = rng.randint(3, size=150), 1e6 + 0.7 * rng.rand(150)
    value = sum(
        1 - (Fraction(scores[i]) - Fraction(scores[j]))
        for i, j in pairs_of(sl.ranking_target(relevance, np.zeros(150, dtype=int)))
    )
    found = sl.PairwiseHinge().loss_gradient(relevance, scores)[0]
    assert abs(Fraction(found) - value) <= Fraction(EPS) * value


@pytest.mark.parametrize("margin", [1.0, 2.5])
@pytest.mark.parametrize("width", [3.0, 1e-2])
def test_the_smooth_neighbour_of_the_hinge_is_a_parabola_at_its_kink(margin, width):
    y, scores, weight = problem()
    smooth, factor = sl.PairwiseHinge(margin)._smoothed(width)
    assert factor(y) is None
    joint = smooth.on(y, weight)
    value, gradient, hessian = 0.0, np.zeros(60), np.zeros(60)
    for i, j in pairs_of(y):
        lack = margin - (scores[i] - scores[j])
        inside = 0 < lack < width
        value += weight[i] * (lack**2 / (2 * width) if inside else max(0, lack - width / 2))
        slope = weight[i] * np.clip(lack / width, 0, 1)
        gradient[[i, j]] += [-slope, slope]
        hessian[[i, j]] += weight[i] * inside / width
    found = joint.value_gradient(scores)
    assert found[0] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(joint.gradient_hessian(scores)[1], hessian, rtol=1e-12)
    assert joint.mass == sl.PairwiseHinge(margin).on(y, weight).mass


def test_pairwise_hinge_weighs_queries():
    y, scores, weight = problem()
    lack = np.array([weight[i] * max(0, 1 - (scores[i] - scores[j])) for i, j in pairs_of(y)])
    joint = sl.PairwiseHinge().on(y, weight)
    assert joint.mass == sum(weight[i] for i, _ in pairs_of(y))
    assert joint.value_gradient(scores)[0] == pytest.approx(lack.sum(), rel=1e-14)
    plain = {q: sl.PairwiseHinge().on(y[y["qid"] == q]) for q in np.unique(y["qid"])}
    for q, alone in plain.items():
        at = y["qid"] == q
        for all_parts, parts in zip(
            joint.gradient_hessian(scores), alone.gradient_hessian(scores[at]), strict=True
        ):
            np.testing.assert_allclose(all_parts[at], weight[at] * parts, rtol=1e-15)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_listnet_has_the_digits_of_a_reference(scale):
    y, scores, weight = problem(n=30, n_queries=6, scale=scale, seed=3)
    y["qid"][0] = 5  # alone in its query, which adds nothing but to the mass
    y["qid"][1:3], weight[1:3] = 6, 2.0
    joint = sl.ListNet().on(y, weight)
    value, gradient = joint.value_gradient(scores)
    again, hessian = joint.gradient_hessian(scores)
    assert np.array_equal(again, gradient)
    with mp.workdps(50):
        exact, mass = mpf(0), mpf(0)
        for q in np.unique(y["qid"]):
            at = np.flatnonzero(y["qid"] == q)
            w = mpf(float(weight[at[0]]))
            share = [mp.exp(mpf(r)) for r in y["relevance"][at]]
            odds = [mp.exp(mpf(float(s))) for s in scores[at]]
            mass += w
            for a, p, o in zip(at, share, odds, strict=True):
                p, o = p / sum(share), o / sum(odds)
                exact -= w * p * mp.log(o)
                assert abs(gradient[a] - w * (o - p)) <= 16 * EPS * w * (o + p)
                assert abs(hessian[a] - w * o * (1 - o)) <= 16 * EPS * w * o * (1 - o) + 1e-300
        assert abs(value - exact) <= 16 * EPS * exact
        assert joint.mass == float(mass)


@every_smooth_loss
def test_the_product_with_second_derivatives_is_the_gradients_slope(loss):
    y, scores, weight = problem()
    joint = loss.on(y, weight)
    vector, h = np.random.RandomState(1).normal(size=60), 1e-5
    ahead, behind = (joint.value_gradient(scores + s * h * vector)[1] for s in (1, -1))
    product = joint.hessian_product(scores, vector)
    np.testing.assert_allclose(product, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-8)
    columns = [joint.hessian_product(scores, unit)[k] for k, unit in enumerate(np.eye(60))]
    np.testing.assert_allclose(joint.gradient_hessian(scores)[1], columns, rtol=1e-13)


def test_losses_without_second_derivatives_have_no_product():
    y, scores, _ = problem()
    for loss in (sl.PairwiseHinge(), sl.LambdaRank()):
        with pytest.raises(NotImplementedError):
            loss.on(y).hessian_product(scores, scores)


# -------------------------------------------------------------------------------------------------
# LambdaRank


def slow_lambdarank(y, scores, weight, k, gain, normalize):
    """Burges (2010), pair by pair; the normalisation as LightGBM's code has it."""
    n = len(scores)
    gains = 2.0 ** y["relevance"] - 1 if gain == "exponential" else y["relevance"]
    value, gradient, hessian, mass = 0.0, np.zeros(n), np.zeros(n), 0.0
    for q in np.unique(y["qid"]):
        at = np.flatnonzero(y["qid"] == q)
        ranked = sorted(at, key=lambda a: -scores[a])
        k_here = len(at) if k is None else min(k, len(at))

        def dcg(order, k_here=k_here):
            return sum(gains[a] / np.log2(place + 2) for place, a in enumerate(order[:k_here]))

        best = dcg(sorted(at, key=lambda a: -gains[a]))
        v, g, h, total = 0.0, np.zeros(n), np.zeros(n), 0.0
        for i in at:
            for j in at:
                if y["relevance"][i] <= y["relevance"][j]:
                    continue
                swapped = [{i: j, j: i}.get(a, a) for a in ranked]
                w = abs(dcg(swapped) - dcg(ranked)) / best
                d = scores[i] - scores[j]
                if normalize and np.ptp(scores[at]) > 0:
                    w /= 0.01 + abs(d)
                p = 1 / (1 + np.exp(d))
                v += w * np.log1p(np.exp(-d))
                g[i] -= w * p
                g[j] += w * p
                h[[i, j]] += w * p * (1 - p)
                total += 2 * w * p
        factor = weight[at[0]] * (np.log2(1 + total) / total if normalize and total > 0 else 1.0)
        value, gradient, hessian = value + factor * v, gradient + factor * g, hessian + factor * h
        mass += weight[at[0]] if len(np.unique(y["relevance"][at])) > 1 else 0.0
    return value, gradient, hessian, mass


@pytest.mark.parametrize("k", [None, 1, 3, 100])
@pytest.mark.parametrize("gain", ["exponential", "linear"])
@pytest.mark.parametrize("normalize", [True, False])
def test_lambdarank_is_the_papers(k, gain, normalize):
    y, scores, weight = problem(n=45, seed=k or 0)
    scores = scores.round(1)  # some are equal
    first = y["qid"] == y["qid"][0]
    scores[first] = 0.25  # all are equal in a query
    joint = sl.LambdaRank(k, gain, normalize).on(y, weight)
    value, gradient, hessian, mass = slow_lambdarank(y, scores, weight, k, gain, normalize)
    found, slopes = joint.value_gradient(scores)
    assert found == pytest.approx(value, rel=1e-12)
    assert joint.mass == mass
    np.testing.assert_allclose(slopes, gradient, rtol=1e-11, atol=1e-14)
    again, diagonal = joint.gradient_hessian(scores)
    np.testing.assert_allclose(again, gradient, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(diagonal, hessian, rtol=1e-11, atol=1e-14)


def test_two_documents_of_different_scores_are_apart():
    y, scores = sl.ranking_target([0, 2], [7, 7]), np.array([0.5, -1.5])
    value, gradient, _, _ = slow_lambdarank(y, scores, np.ones(2), None, "exponential", True)
    found, slopes = sl.LambdaRank().on(y).value_gradient(scores)
    assert found == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(slopes, gradient, rtol=1e-12)


def test_lambdarank_says_that_it_has_no_minimum():
    assert [loss.name for loss in EVERY if not loss.has_minimum] == ["lambdarank"]
    assert [loss.name for loss in EVERY if not loss.convex] == ["lambdarank"]


# -------------------------------------------------------------------------------------------------
# Documents and queries


@every_loss
def test_the_order_of_documents_and_the_numbers_of_queries_do_not_count(loss):
    y, scores, weight = problem()
    total, gradient = loss.loss_gradient(y, scores, weight)
    order = np.argsort(y["qid"], kind="stable")
    names = np.unique(y["qid"], return_inverse=True)[1]
    ordered = sl.ranking_target(y["relevance"][order], names[order] * 3 - 5)
    value, slopes = loss.loss_gradient(ordered, scores[order], weight[order])
    assert value == pytest.approx(total, rel=1e-14)
    np.testing.assert_allclose(slopes, gradient[order], rtol=1e-13, atol=1e-15)


@every_loss
def test_a_target_may_be_given_in_several_ways(loss):
    y, scores, _ = problem()
    value = loss(y, scores)
    frame = pd.DataFrame({"qid": y["qid"], "relevance": y["relevance"]})
    names = np.unique(y["qid"], return_inverse=True)[1]
    columns = np.column_stack([y["relevance"], names])
    read = loss.read_target(y)
    for other in (frame, columns, columns.tolist(), read, y.view(np.recarray)):
        assert loss(other, scores) == value
    assert loss.read_target(read) is read
    assert loss(y, scores[:, None]) == value
    single = scores.astype(np.float32)
    assert loss(y, single) == loss(y, single.astype(float))


@every_loss
def test_plain_relevances_are_one_query(loss):
    relevance, scores = [0, 2, 1, 1], [0.1, 0.7, 0.9, -1.0]
    value = loss(sl.ranking_target(relevance, [4] * 4), scores)
    assert loss(relevance, scores) == value
    assert loss(np.array(relevance)[:, None], scores) == value


@every_loss
def test_a_query_of_weight_2_is_two_queries_and_one_of_weight_0_none(loss):
    y, scores, _ = problem()
    names = np.unique(y["qid"], return_inverse=True)[1]
    times = np.array([0, 1, 2, 1])[names]
    rows = np.concatenate([np.flatnonzero(times >= 1), np.flatnonzero(times == 2)])
    copies = sl.ranking_target(
        y["relevance"][rows], np.append(names[times >= 1], names[times == 2] + 10)
    )
    assert loss(y, scores, times) == pytest.approx(loss(copies, scores[rows]), rel=1e-14)
    total, gradient = loss.loss_gradient(copies, scores[rows])
    summed = np.bincount(rows, weights=gradient, minlength=60)
    weighed = loss.loss_gradient(y, scores, times)
    assert weighed[0] == pytest.approx(total, rel=1e-14)
    np.testing.assert_allclose(weighed[1], summed, rtol=1e-12, atol=1e-14)


@every_loss
def test_a_number_added_to_a_query_changes_nothing(loss):
    y, scores, _ = problem()
    scores = np.round(scores * 64) / 64  # so that sums are exact
    names = np.unique(y["qid"], return_inverse=True)[1]
    value, gradient = loss.loss_gradient(y, scores)
    moved, slopes = loss.loss_gradient(y, scores + np.array([0, 512.0, -3.0, 1e4])[names])
    assert loss.shift_is_nothing
    assert moved == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(slopes, gradient, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(np.bincount(names, weights=gradient), 0, atol=1e-12)


@every_loss
def test_the_bits_do_not_depend_on_the_number_of_threads(loss, monkeypatch):
    y, scores, weight = problem(n=6000, n_queries=40)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    with threadpoolctl.threadpool_limits(4, user_api="openmp"):
        results = []
        for n_threads in (1, 2, 3, 4):
            assert effective_n_threads(n_threads) in (1, n_threads)  # 1: no OpenMP
            joint = loss.on(y, weight)
            joint.n_threads = n_threads
            results.append((*joint.value_gradient(scores), *joint.gradient_hessian(scores)))
            assert loss(y, scores, weight, n_threads=n_threads) == results[0][0] / joint.mass
    for value, *arrays in results[1:]:
        assert value == results[0][0]
        assert all(map(np.array_equal, arrays, results[0][1:]))


@every_loss
def test_a_loss_is_an_object_like_any_other(loss):
    assert clone(loss) == loss and clone(loss) is not loss
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert getattr(sl, type(loss).__name__) is type(loss)
    assert loss.is_joint


# -------------------------------------------------------------------------------------------------
# Bad input


@every_loss
@pytest.mark.parametrize(
    ("y", "scores", "message"),
    [
        ([0, 1], [0.0, np.nan], "raw_prediction must be finite; got nan at index 1"),
        ([0, 1], [0.0, np.inf], "raw_prediction must be finite; got inf at index 1"),
        ([0, 1], [0.0], r"raw_prediction must have shape \(2,\); got \(1,\)"),
        ([0, np.nan], [0.0, 1.0], "relevance must be finite; got nan at index 1"),
        ([[0, 0], [1, 0.5]], [0.0, 1.0], "qid must hold whole numbers; got 0.5 at index 1"),
        ([[0, 0], [1, np.inf]], [0.0, 1.0], "qid must be finite; got inf at index 1"),
        ([[0, 0, 0], [1, 0, 0]], [0.0, 1.0], r"y_true must be what .* got shape \(2, 3\)"),
        (5.0, [0.0], r"y_true must be what .* got shape \(\)"),
        ([], [], "y_true must hold at least one document; got 0"),
        (
            np.zeros(2, dtype=[("relevance", float), ("query", int)]),
            [0.0, 1.0],
            "y_true must have the fields relevance and qid, .* got relevance, query",
        ),
    ],
)
def test_bad_targets_and_scores_are_named(loss, y, scores, message):
    with pytest.raises(ValueError, match=message):
        loss(y, scores)


@every_loss
def test_bad_weights_are_named(loss):
    y = sl.ranking_target([0, 1, 1, 0], [3, 3, 8, 8])
    scores = np.zeros(4)
    with pytest.raises(
        ValueError, match=r"one weight for all .* got 2.0 and 1.0 in the query of index 2"
    ):
        loss(y, scores, [1, 1, 1, 2])
    with pytest.raises(
        ValueError, match=r"sample_weight must not be negative; got -1.0 at index 2"
    ):
        loss(y, scores, [1, 1, -1, -1])
    with pytest.raises(ValueError, match="sample_weight must not be all zero"):
        loss(y, scores, np.zeros(4))
    with pytest.raises(ValueError, match="sample_weight must be finite; got nan"):
        loss(y, scores, [1, 1, np.nan, np.nan])


@pytest.mark.parametrize("loss", PAIRS, ids=lambda loss: loss.name)
def test_targets_without_a_pair_are_refused(loss):
    y = sl.ranking_target([1, 1, 0, 2], [0, 0, 1, 2])
    with pytest.raises(ValueError, match="got none in 3 queries"):
        loss(y, np.zeros(4))
    y = sl.ranking_target([1, 0, 2, 2], [0, 0, 1, 1])
    with pytest.raises(ValueError, match="in a query of positive weight"):
        loss(y, np.zeros(4), [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (sl.PairwiseHinge(margin=0), "PairwiseHinge: margin must be a number in"),
        (sl.PairwiseHinge(margin="1"), "PairwiseHinge: margin must be a number in"),
        (sl.LambdaRank(k=0), "LambdaRank: k must be an integer from 1"),
        (sl.LambdaRank(k=2.5), "LambdaRank: k must be an integer from 1"),
        (sl.LambdaRank(gain="log"), "LambdaRank: gain must be one of .* got 'log'"),
        (sl.LambdaRank(normalize=1), "LambdaRank: normalize must be True or False; got 1"),
    ],
)
def test_bad_parameters_are_named(loss, message):
    with pytest.raises(ValueError, match=message):
        loss([0, 1], [0.0, 1.0])


def test_relevances_without_a_gain_are_refused():
    with pytest.raises(ValueError, match=r"relevance must not be negative .* got -1.0 at index 1"):
        sl.LambdaRank()([0, -1], [0.0, 1.0])
    with pytest.raises(ValueError, match=r"finite gains with gain='exponential'; got .* 2000.0"):
        sl.LambdaRank()([0, 2000], [0.0, 1.0])
    assert np.isfinite(sl.LambdaRank(gain="linear")([0, 2000], [0.0, 1.0]))


@every_loss
def test_nan_inside_a_fit_is_seen_and_does_no_harm(loss):
    y, scores, _ = problem()
    scores[11] = np.nan
    value, gradient = loss.on(y).value_gradient(scores)
    assert np.isnan(value)
    assert np.isnan(gradient[11])
    # Of the other queries nothing is lost.
    others = y["qid"] != y["qid"][11]
    assert np.isfinite(gradient[others]).all()


# -------------------------------------------------------------------------------------------------
# Linear models


def linear_problem():
    rng = np.random.RandomState(5)
    query = rng.randint(12, size=150)
    X = rng.normal(size=(150, 3))
    signal = X @ [1.0, -2.0, 0.5] + 3 * rng.normal(size=12)[query] + rng.normal(size=150)
    return X, sl.ranking_target(np.digitize(signal, [-2, 0, 2]), query)


def fitted(loss, X, y, alpha):
    joint = loss.on(y)

    def objective(w):
        value, gradient = joint.value_gradient(X @ w)
        return value / joint.mass + alpha / 2 * w @ w, X.T @ gradient / joint.mass + alpha * w

    return minimize(objective, np.zeros(3), jac=True, tol=1e-12, options={"maxiter": 500}), joint


@pytest.mark.parametrize(
    ("loss", "cls", "options"),
    [
        (sl.PairwiseLogistic(), LogisticRegression, {"tol": 1e-10, "max_iter": 1000}),
        (sl.PairwiseHinge(), LinearSVC, {"loss": "hinge", "tol": 1e-6, "max_iter": 10**6}),
    ],
    ids=["logistic", "hinge"],
)
def test_a_linear_ranking_is_a_classification_of_differences(loss, cls, options):
    X, y = linear_problem()
    pairs = pairs_of(y)
    alpha = 0.01
    differences = X[pairs[:, 0]] - X[pairs[:, 1]]
    brute = cls(C=1 / (alpha * 2 * len(pairs)), fit_intercept=False, random_state=0, **options)
    brute.fit(np.vstack([differences, -differences]), np.repeat([1, 0], len(pairs)))
    model = sl.SGDRegressorX(loss, optimizer="auto", alpha=alpha).fit(X, y)
    assert model.stop_reason_ == "converged"
    assert model.intercept_ == 0
    np.testing.assert_allclose(model.coef_, brute.coef_[0], rtol=1e-3)
    if loss.differentiable:
        found, _ = fitted(loss, X, y, alpha)
        np.testing.assert_allclose(found.x, brute.coef_[0], rtol=1e-4)


def test_listnet_is_fitted_to_its_minimum():
    X, y = linear_problem()
    found, joint = fitted(sl.ListNet(), X, y, 0.01)
    model = sl.SGDRegressorX("listnet", optimizer="auto", alpha=0.01).fit(X, y)
    np.testing.assert_allclose(model.coef_, found.x, rtol=1e-3)
    assert joint.floor == pytest.approx(joint.value_gradient(y["relevance"])[0], rel=1e-13)
    assert 0.3 < model.score(X, y) < 1


def test_a_linear_fit_of_lambdarank_is_refused():
    X, y = linear_problem()
    model = sl.SGDRegressorX(sl.LambdaRank(), optimizer="lbfgs")
    with pytest.raises(ValueError, match="LambdaRank has no minimum to fit to"):
        model.fit(X, y)


@every_smooth_loss
def test_newtons_method_reaches_the_minimum_by_products(loss):
    X, y = linear_problem()
    found, joint = fitted(loss, X, y, 0.01)
    newton = minimize(
        lambda w: joint.value_gradient(X @ w)[0] / joint.mass + 0.005 * w @ w,
        np.zeros(3),
        jac=lambda w: X.T @ joint.value_gradient(X @ w)[1] / joint.mass + 0.01 * w,
        hessp=lambda w, v: X.T @ joint.hessian_product(X @ w, X @ v) / joint.mass + 0.01 * v,
        method="Newton-CG",
        options={"xtol": 1e-10},
    )
    assert newton.nit < 15
    np.testing.assert_allclose(newton.x, found.x, rtol=1e-4)
