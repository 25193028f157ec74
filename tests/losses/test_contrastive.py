"""Losses of pairs: the papers' formulas in 50 digits, their gradients, and what they refuse."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from sklearn.base import clone
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

import sklearn_losses as sl

mp.dps = 50
LABELS = [0, 0, 1, 1, 1, 2]
POSITIVES = [[1, 0, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 0, 0], *np.eye(4, 7, k=2).tolist()]
RNG = np.random.RandomState(0)
SQUARE, WIDE = RNG.normal(size=(6, 6)), RNG.normal(size=(6, 7))
DISTANCES = np.abs(SQUARE)


# ------------------------------------------------------------------------------------- the formulas
# Of a matrix of mpf, as published.


def log_share(row, at, among, temperature):
    return row[at] / temperature - mp.log(mp.fsum(mp.exp(row[k] / temperature) for k in among))


def mean(terms):
    terms = list(terms)
    return mp.fsum(terms) / len(terms)


def info_nce(s, temperature, positives):
    """van den Oord et al. (2018), equation 4, over all positives of a query."""
    return mean(
        -mp.fsum(
            mpf(w) / mp.fsum(weights) * log_share(row, j, range(len(row)), temperature)
            for j, w in enumerate(weights)
            if w
        )
        for row, weights in zip(s, positives, strict=True)
        if any(weights)
    )


def nt_xent(s, temperature):
    """Chen et al. (2020), equation 1 and algorithm 1."""
    n = len(s) // 2

    def part(i, j):
        return -log_share(s[i], j, [k for k in range(2 * n) if k != i], temperature)

    return mp.fsum(part(k, k + n) + part(k + n, k) for k in range(n)) / (2 * n)


def supcon(s, temperature, labels):
    """Khosla et al. (2020), equation 2, over the number of anchors with positives."""
    terms = []
    for i, row in enumerate(s):
        others = [a for a in range(len(s)) if a != i]
        own = [p for p in others if labels[p] == labels[i]]
        if own:
            shares = [log_share(row, p, others, temperature) for p in own]
            terms.append(-mp.fsum(shares) / len(own))
    return mean(terms)


def clip(s, temperature):
    """Radford et al. (2021), figure 3."""
    n = range(len(s))
    rows = mean(-log_share(s[i], i, n, temperature) for i in n)
    columns = mean(-log_share([s[j][i] for j in n], i, n, temperature) for i in n)
    return (rows + columns) / 2


def triplets(d, labels, mining):
    """(anchor, positive, negative) of Schroff et al. (2015) and Hermans et al. (2017)."""
    n = range(len(d))
    for a in n:
        near = [p for p in n if p != a and labels[p] == labels[a]]
        far = [q for q in n if labels[q] != labels[a]]
        if not (near and far):
            continue
        if mining == "hard":
            yield a, max(near, key=lambda p: d[a][p]), min(far, key=lambda q: d[a][q])
            continue
        for p in near:
            beyond = [q for q in far if d[a][q] > d[a][p]]
            if mining == "all":
                yield from ((a, p, q) for q in far)
            elif beyond:
                yield a, p, min(beyond, key=lambda q: d[a][q])
            else:
                yield a, p, max(far, key=lambda q: d[a][q])


def triplet(d, margin, labels, mining):
    return mean(
        max(mpf(0), d[a][p] - d[a][q] + mpf(margin)) for a, p, q in triplets(d, labels, mining)
    )


GIVEN = {"similarity": "precomputed"}
# Loss of a matrix, the matrix, the arguments behind it, and the formula.
CASES = {
    "info_nce": (sl.InfoNCE(0.3, **GIVEN), WIDE, (), lambda s: info_nce(s, mpf(0.3), np.eye(6, 7))),
    "several positives": (
        sl.InfoNCE(0.7, **GIVEN),
        WIDE,
        (None, POSITIVES),
        lambda s: info_nce(s, mpf(0.7), POSITIVES),
    ),
    "positives by number": (
        sl.InfoNCE(0.7, **GIVEN),
        WIDE,
        (None, [2, 0, 6, 1, 1, 3]),
        lambda s: info_nce(s, mpf(0.7), np.eye(7)[[2, 0, 6, 1, 1, 3]]),
    ),
    "nt_xent": (sl.NTXent(0.4, **GIVEN), SQUARE, (), lambda s: nt_xent(s, mpf(0.4))),
    "supcon": (
        sl.SupervisedContrastive(0.2, **GIVEN),
        SQUARE,
        (LABELS,),
        lambda s: supcon(s, mpf(0.2), LABELS),
    ),
    "clip": (sl.CLIPLoss(0.3, **GIVEN), SQUARE, (), lambda s: clip(s, mpf(0.3))),
    **{
        f"triplet, {mining}": (
            sl.TripletLoss(0.4, mining, "precomputed"),
            DISTANCES,
            (LABELS,),
            lambda d, mining=mining: triplet(d, 0.4, LABELS, mining),
        )
        for mining in ("all", "hard", "semi-hard")
    },
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
SOFTMAX = {name: case for name, case in CASES.items() if "triplet" not in name}
every_softmax = pytest.mark.parametrize("case", SOFTMAX.values(), ids=SOFTMAX)


def exact(matrix):
    return [[mpf(float(x)) for x in row] for row in matrix]


def exact_gradient(formula, matrix):
    """Central differences with 50 digits."""
    h = mpf(10) ** -18
    gradient = np.empty(np.shape(matrix))
    for at in np.ndindex(gradient.shape):
        ends = []
        for sign in (1, -1):
            moved = exact(matrix)
            moved[at[0]][at[1]] += sign * h
            ends.append(formula(moved))
        gradient[at] = float((ends[0] - ends[1]) / (2 * h))
    return gradient


@every_case
def test_value_and_gradient_of_a_matrix_are_the_papers(case):
    loss, matrix, arguments, formula = case
    value, gradient = loss.loss_gradient(matrix, *arguments)
    assert value == pytest.approx(float(formula(exact(matrix))), rel=4e-15)
    assert loss(matrix, *arguments) == value
    expected = exact_gradient(formula, matrix)
    np.testing.assert_allclose(gradient, expected, rtol=1e-13, atol=1e-14)


@every_softmax
@pytest.mark.parametrize("size", [1e4, 1e-4])
def test_extreme_scores_lose_nothing(case, size):
    loss, matrix, arguments, formula = case
    scores = size * np.where(matrix > 0.3, 1.0, np.where(matrix < -0.3, -1.0, matrix))
    value, gradient = loss.loss_gradient(scores, *arguments)
    assert value == pytest.approx(float(formula(exact(scores))), rel=1e-14)
    assert np.isfinite(gradient).all()
    assert abs(gradient.sum()) < 1e-12 * np.abs(gradient).max()


@every_softmax
def test_a_number_added_to_all_scores_changes_only_their_rounding(case):
    loss, matrix, arguments, formula = case
    scores = matrix + 2.0**20
    value, _ = loss.loss_gradient(scores, *arguments)
    assert value == pytest.approx(float(formula(exact(scores))), rel=4e-15)


@every_case
def test_float32_stays_and_other_numbers_become_float64(case):
    loss, matrix, arguments, formula = case
    single = matrix.astype(np.float32)
    value, gradient = loss.loss_gradient(single, *arguments)
    assert gradient.dtype == np.float32
    assert value == pytest.approx(float(formula(exact(single))), rel=1e-6)
    double = loss.loss_gradient(single.astype(np.float64), *arguments)[1]
    np.testing.assert_allclose(gradient, double, rtol=1e-4, atol=1e-6)
    assert loss.loss_gradient((4 * matrix).astype(int), *arguments)[1].dtype == np.float64


# --------------------------------------------------------------------------------------- embeddings

X, Y = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 3))
SIMILAR = {
    "cosine": cosine_similarity,
    "dot": lambda a, b: a @ b.T,
    "sqeuclidean": lambda a, b: -(euclidean_distances(a, b) ** 2),
}
DISTANT = {
    "euclidean": euclidean_distances,
    "sqeuclidean": lambda a, b: euclidean_distances(a, b) ** 2,
    "cosine": lambda a, b: 1 - cosine_similarity(a, b),
}


def differences(function, *arrays):
    """Central differences of a function of arrays, with respect to each."""
    h, gradients = 1e-6, []
    for k, array in enumerate(arrays):
        gradient = np.empty_like(array)
        for at in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                moved[k][at] += sign * h
                ends.append(function(*moved))
            gradient[at] = (ends[0] - ends[1]) / (2 * h)
        gradients.append(gradient)
    return gradients


@pytest.mark.parametrize("similarity", SIMILAR)
@pytest.mark.parametrize("cls", [sl.InfoNCE, sl.NTXent, sl.CLIPLoss])
def test_two_embeddings_have_the_loss_of_their_scores_and_its_gradients(cls, similarity):
    loss = cls(temperature=0.7, similarity=similarity)
    value, gradients = loss.loss_gradient(X, Y)
    rows = (np.concatenate([X, Y]),) * 2 if cls is sl.NTXent else (X, Y)
    scores = SIMILAR[similarity](*rows)
    assert value == pytest.approx(cls(0.7, "precomputed")(scores), rel=1e-13)
    for gradient, expected in zip(gradients, differences(loss, X, Y), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("similarity", SIMILAR)
def test_labelled_embeddings_have_the_loss_of_their_scores_and_its_gradient(similarity):
    loss = sl.SupervisedContrastive(0.7, similarity)
    value, gradient = loss.loss_gradient(X, LABELS)
    given = sl.SupervisedContrastive(0.7, "precomputed")
    assert value == pytest.approx(given(SIMILAR[similarity](X, X), LABELS), rel=1e-13)
    (expected,) = differences(lambda X: loss(X, LABELS), X)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("metric", DISTANT)
@pytest.mark.parametrize("mining", ["all", "hard", "semi-hard"])
def test_triplets_of_embeddings_have_the_loss_of_their_distances_and_its_gradient(metric, mining):
    loss = sl.TripletLoss(0.8, mining, metric)
    value, gradient = loss.loss_gradient(X, LABELS)
    given = sl.TripletLoss(0.8, mining, "precomputed")
    assert value == pytest.approx(given(DISTANT[metric](X, X), LABELS), rel=1e-12)
    (expected,) = differences(lambda X: loss(X, LABELS), X)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


def test_the_numbers_are_those_of_pytorch_metric_learning_and_torch():
    # pytorch-metric-learning 2.9.0 and torch 2.13.0 on this X and y, in float64:
    #   NTXentLoss(temperature=0.5)(X, arange(4).repeat(2)); SupConLoss(temperature=0.1)(X, y);
    #   TripletMarginLoss(margin=0.5, distance=LpDistance(normalize_embeddings=False, p=2, power=1),
    #   reducer=MeanReducer())(X, y), alone and with BatchHardMiner's triplets;
    #   the mean of cross_entropy(s, l) and cross_entropy(s.T, l),
    #   s = normalize(a) @ normalize(b).T / 0.2
    i = np.arange(24.0).reshape(8, 3)
    X = np.sin(1.7 * i) + 0.1 * i % 1
    y = [0, 0, 0, 1, 1, 2, 2, 3]
    assert sl.NTXent(0.5)(X[:4], X[4:]) == pytest.approx(2.476164707484973, rel=1e-14)
    assert sl.SupervisedContrastive(0.1)(X, y) == pytest.approx(2.448062733234902, rel=1e-14)
    assert sl.TripletLoss(0.5)(X, y) == pytest.approx(0.270969201950871, rel=1e-13)
    assert sl.TripletLoss(0.5, "hard")(X, y) == pytest.approx(0.805987900995163, rel=1e-14)
    assert sl.CLIPLoss(0.2)(X[:4], X[4:]) == pytest.approx(3.873445241702030, rel=1e-14)


def test_cosines_depend_on_directions_alone_whatever_the_lengths():
    lengths = np.array([1e-300, 1e-160, 1.0, 3.0, 1e160, 1e300])[:, np.newaxis]
    for loss in (sl.InfoNCE(), sl.NTXent(), sl.CLIPLoss()):
        value, (gradient, _) = loss.loss_gradient(X * lengths, Y)
        assert value == pytest.approx(loss(X, Y), rel=1e-13)
        expected = loss.loss_gradient(X, Y)[1][0]
        np.testing.assert_allclose(gradient * lengths, expected, rtol=1e-11, atol=1e-14)


def test_a_row_of_zeros_has_cosine_0_as_in_scikit_learn():
    A = X.copy()
    A[2] = 0
    value, (gradient, other) = sl.InfoNCE(0.5).loss_gradient(A, Y)
    assert value == pytest.approx(sl.InfoNCE(0.5, "precomputed")(cosine_similarity(A, Y)))
    assert not gradient[2].any() and np.isfinite(other).all()


def test_equal_rows_have_a_triplet_loss_and_finite_gradients():
    value, gradient = sl.TripletLoss(0.5).loss_gradient(np.ones((4, 2)), [0, 0, 1, 1])
    assert value == 0.5
    assert not gradient.any()


def test_embeddings_far_from_0_keep_the_digits_of_their_distances():
    far = X + 2.0**24  # exact in float64 but for the last digits of X
    near = far - 2.0**24
    loss = sl.TripletLoss()
    assert loss(far, LABELS) == pytest.approx(loss(near, LABELS), rel=1e-14)
    gradients = loss.loss_gradient(far, LABELS)[1], loss.loss_gradient(near, LABELS)[1]
    np.testing.assert_allclose(*gradients, rtol=1e-12, atol=1e-14)


def test_gradients_have_the_dtype_of_the_embeddings():
    single = X.astype(np.float32), Y.astype(np.float32)
    assert {g.dtype for g in sl.InfoNCE().loss_gradient(*single)[1]} == {np.dtype(np.float32)}
    assert {g.dtype for g in sl.NTXent().loss_gradient(single[0], Y)[1]} == {np.dtype(np.float64)}
    for metric in DISTANT:
        loss = sl.TripletLoss(metric=metric)
        assert loss.loss_gradient(single[0], LABELS)[1].dtype == np.float32
        assert loss(single[0], LABELS) == pytest.approx(loss(X, LABELS), rel=1e-5)


def test_arguments_stay_as_they_were():
    for loss, matrix, arguments, _ in CASES.values():
        before = matrix.copy()
        loss.loss_gradient(matrix, *arguments)
        np.testing.assert_array_equal(matrix, before)


# ---------------------------------------------------------------------------------- what counts


def test_rows_without_a_positive_count_nothing():
    loss = sl.SupervisedContrastive(0.5, "precomputed")
    assert loss.loss_gradient(SQUARE, range(6))[0] == 0
    assert not loss.loss_gradient(SQUARE, range(6))[1].any()
    alone = loss.loss_gradient(SQUARE, LABELS)[1][5]
    assert not alone.any()
    value, gradient = sl.InfoNCE(0.5, "precomputed").loss_gradient(SQUARE, None, np.zeros((6, 6)))
    assert value == 0 and not gradient.any()
    for mining in ("all", "hard", "semi-hard"):
        value, gradient = sl.TripletLoss(1.0, mining).loss_gradient(X, [0] * 6)
        assert value == 0 and not gradient.any()


def test_weights_of_positives_count_by_their_ratios():
    loss = sl.InfoNCE(0.5, "precomputed")
    few = np.array([[1, 3, 0], [0, 1, 1]])
    value = loss(SQUARE[:2, :3], None, few)
    for factor in (1e-300, 0.1, 1e300):
        assert loss(SQUARE[:2, :3], None, factor * few) == pytest.approx(value, rel=1e-14)
    assert loss(SQUARE[:2, :3], None, few > 0) != pytest.approx(value, rel=1e-3)


def test_a_sample_is_not_compared_with_itself():
    for loss, arguments in (
        (sl.NTXent(**GIVEN), ()),
        (sl.SupervisedContrastive(**GIVEN), (LABELS,)),
    ):
        scores = SQUARE.copy()
        value, gradient = loss.loss_gradient(scores, *arguments)
        np.fill_diagonal(scores, 1e3)
        assert loss(scores, *arguments) == value
        assert not np.diag(gradient).any()


def test_labels_may_be_of_any_kind():
    loss = sl.SupervisedContrastive()
    value = loss(X, LABELS)
    assert loss(X, ["a", "a", "b", "b", "b", "c"]) == value
    assert loss(X, [0.5, 0.5, 7, 7, 7, -1]) == value
    assert loss(X, np.array(LABELS) > 0) == loss(X, [0, 0, 1, 1, 1, 1]) != value


small = st.integers(0, 3)


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(small, min_size=2, max_size=8),
    seed=st.integers(0, 2**31 - 1),
    mining=st.sampled_from(["all", "hard", "semi-hard"]),
    margin=st.sampled_from([0.0, 0.3, 2.0]),
)
def test_triplets_are_those_of_the_definition(labels, seed, mining, margin):
    # Quarters, so that there are ties between distances.
    n = len(labels)
    distances = np.random.RandomState(seed).randint(0, 9, size=(n, n)) / 4
    chosen = list(triplets(distances.tolist(), labels, mining))
    hinges = [max(0.0, distances[a, p] - distances[a, q] + margin) for a, p, q in chosen]
    value, gradient = sl.TripletLoss(margin, mining, "precomputed").loss_gradient(distances, labels)
    assert value == pytest.approx(sum(hinges) / max(1, len(hinges)), abs=1e-14)
    if mining == "all":
        expected = np.zeros((n, n))
        for a, p, q in chosen:
            if distances[a, p] - distances[a, q] + margin >= 0:
                expected[a, p] += 1
                expected[a, q] -= 1
        np.testing.assert_allclose(gradient, expected / max(1, len(chosen)), atol=1e-14)


# ------------------------------------------------------------------------------------- as objects


@pytest.mark.parametrize(
    "cls", [sl.InfoNCE, sl.NTXent, sl.SupervisedContrastive, sl.CLIPLoss, sl.TripletLoss]
)
def test_a_loss_is_its_parameters(cls):
    loss = cls()
    name = next(iter(loss._parameter_intervals))
    other = clone(loss).set_params(**{name: 0.25})
    assert other.get_params()[name] == 0.25 and f"{name}=0.25" in repr(other)
    assert other != loss and clone(other) == other and pickle.loads(pickle.dumps(other)) == other
    assert isinstance(loss, sl.ContrastiveLoss)


NAN = X.copy()
NAN[1, 2] = np.nan
REFUSED = [
    (lambda: sl.InfoNCE(0)(X, Y), r"InfoNCE: temperature must be a number in \(0, inf\); got 0"),
    (lambda: sl.NTXent(np.nan)(X, Y), r"NTXent: temperature must be a number in \(0, inf\)"),
    (lambda: sl.TripletLoss(-1)(X, LABELS), r"TripletLoss: margin must be .* \[0, inf\); got -1"),
    (lambda: sl.TripletLoss(mining="easy")(X, LABELS), "mining must be one of .* got 'easy'"),
    (lambda: sl.TripletLoss(metric="dot")(X, LABELS), "metric must be one of .* got 'dot'"),
    (lambda: sl.CLIPLoss(similarity=None)(X, Y), "CLIPLoss: similarity must be one of .* got None"),
    (lambda: sl.InfoNCE()(NAN, Y), r"X must be finite; got nan at index \(1, 2\)"),
    (lambda: sl.InfoNCE()(X, NAN), r"Y must be finite; got nan at index \(1, 2\)"),
    (lambda: sl.NTXent()(NAN, Y), r"X must be finite; got nan"),
    (lambda: sl.CLIPLoss()(X, NAN), r"Y must be finite; got nan"),
    (lambda: sl.TripletLoss()(NAN, LABELS), r"X must be finite; got nan"),
    (lambda: sl.SupervisedContrastive()(NAN, LABELS), r"X must be finite; got nan"),
    (lambda: sl.InfoNCE(**GIVEN)(np.full((2, 2), np.inf)), r"X must be finite; got inf"),
    (lambda: sl.SupervisedContrastive()(X, [np.nan] * 6), r"y must be finite; got nan at index 0"),
    (lambda: sl.SupervisedContrastive()(X, [0, 1]), r"y must have shape \(6,\).* got \(2,\)"),
    (lambda: sl.InfoNCE()(X), "InfoNCE needs Y"),
    (lambda: sl.NTXent()(X), "NTXent needs Y"),
    (lambda: sl.CLIPLoss()(X), "CLIPLoss needs Y"),
    (lambda: sl.InfoNCE(**GIVEN)(SQUARE, Y), "Y must be None where the matrix"),
    (lambda: sl.NTXent(**GIVEN)(SQUARE, Y), "Y must be None where the matrix"),
    (lambda: sl.InfoNCE()(X, Y[:, :2]), "Y must have 3 columns, as X has; got 2"),
    (lambda: sl.NTXent()(X, Y[:4]), "Y must have 6 rows, as X has; got 4"),
    (lambda: sl.CLIPLoss()(X, Y[:4]), "Y must have 6 rows, as X has; got 4"),
    (lambda: sl.CLIPLoss(**GIVEN)(WIDE), r"square matrix of pairs; got shape \(6, 7\)"),
    (lambda: sl.TripletLoss(metric="precomputed")(WIDE, LABELS), r"square .* got shape \(6, 7\)"),
    (lambda: sl.NTXent(**GIVEN)(SQUARE[:3, :3]), "two views of each sample; got 3 rows"),
    (lambda: sl.InfoNCE()(X, Y[:4]), r"positives must be given .* \(4\) than queries \(6\)"),
    (lambda: sl.InfoNCE()(X, Y, [True] * 6), r"shape \(6, 6\) where they are bool; got \(6,\)"),
    (lambda: sl.InfoNCE()(X, Y, [0, 1]), r"positives must have shape \(6,\) or \(6, 6\)"),
    (lambda: sl.InfoNCE()(X, Y, [0, 1, 2, 3, 4, 6]), r"numbers of keys, 0, ..., 5; got 6"),
    (lambda: sl.InfoNCE()(X, Y, [0, 1, 2, 3, 4, 0.5]), r"numbers of keys, 0, ..., 5; got 0.5"),
    (lambda: sl.InfoNCE()(X, Y, -np.eye(6)), r"positives must be in \[0, inf\); got -1"),
    (lambda: sl.InfoNCE()(X[0], Y), r"X must have two dimensions, none of them empty; got \(3,\)"),
    (lambda: sl.InfoNCE()(X[:0], Y), r"X must have two dimensions, none .* got \(0, 3\)"),
    (lambda: sl.InfoNCE(similarity="dot")(1e200 * X, 1e200 * Y), "not be so large that their prod"),
    (lambda: sl.TripletLoss()(1e200 * X, LABELS), "not be so large that their products overflow"),
    (
        lambda: sl.InfoNCE(1e-300, **GIVEN)(1e10 * SQUARE),
        "temperature=1e-300 is too small for scores that differ by .* in float64",
    ),
    (
        lambda: sl.InfoNCE(1e-60, **GIVEN)(SQUARE.astype(np.float32)),
        "temperature=1e-60 is too small for scores that differ by .* in float32",
    ),
]


@pytest.mark.parametrize("call, message", REFUSED, ids=itertools.count())
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_holds_no_numbers_is_refused():
    with pytest.raises(TypeError, match="X must hold real numbers"):
        sl.InfoNCE()([["a"]], Y)
    with pytest.raises(TypeError, match="positives must hold real numbers"):
        sl.InfoNCE()(X, Y, ["a"] * 6)
    with pytest.raises(TypeError, match="y must hold labels of one kind"):
        sl.TripletLoss()(X, np.array([0, "a", 0, 0, 0, 0], dtype=object))
