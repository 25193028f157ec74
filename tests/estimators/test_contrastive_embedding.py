"""Linear embeddings trained with losses of pairs: what they minimise, in any unit, and what they
refuse."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import sklearn_losses as sl
from sklearn_losses.contrastive._embedding import batches_of_classes

WINE = load_wine(return_X_y=True)
X, Y = WINE[0], WINE[1]
COSINE, COLLAPSING = sl.SupervisedContrastive(0.5), sl.SupervisedContrastive(1.0, "sqeuclidean")
LOSSES = {
    "default": None,
    "cosine": COSINE,
    "triplet": sl.TripletLoss(),
    "cosine triplet": sl.TripletLoss(0.3, metric="cosine"),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def two_tables(n=150, p=7, q=5, hidden=3, noise=0.3, seed=0):
    """Tables with hidden causes in common, in unlike units."""
    rng = np.random.RandomState(seed)
    causes = rng.normal(size=(n, hidden))
    tables = []
    for width in (p, q):
        table = causes @ rng.normal(size=(hidden, width)) + noise * rng.normal(size=(n, width))
        tables.append(table * 10.0 ** rng.randint(-3, 4, size=width) + rng.normal(size=width))
    return tables


@pytest.mark.filterwarnings("ignore:.*map all samples to one point")  # labels are random there
@parametrize_with_checks([sl.ContrastiveEmbedding(), sl.CrossModalEmbedding()])
def test_it_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


# ------------------------------------------------------------------------------ what is minimised


def objective(loss, alpha, components, X, y):
    """The documented objective, of the columns themselves."""
    shown = (X - X.mean(axis=0)) @ components.T
    squares = np.sum((components * X.std(axis=0)) ** 2)
    if "cosine" in loss.get_params().values():
        squares /= np.mean(np.sum(shown**2, axis=1))
    return loss(shown, y) + alpha * squares


@every_loss
def test_the_objective_is_the_loss_and_the_penalty_and_no_map_near_it_is_better(loss):
    X, Y = WINE[0][::3], WINE[1][::3]
    model = sl.ContrastiveEmbedding(3, loss=loss, alpha=0.05).fit(X, Y)
    used = COLLAPSING if loss is None else loss
    assert model.loss_ == used
    found = objective(used, 0.05, model.components_, X, Y)
    assert model.objective_ == pytest.approx(found, rel=1e-10)
    np.testing.assert_allclose(model.mean_, X.mean(axis=0), rtol=1e-13)
    np.testing.assert_array_equal(model.transform(X), (X - model.mean_) @ model.components_.T)
    rng = np.random.RandomState(0)
    for size in (1e-3, 1e-2, 0.1, 1.0):
        moved = rng.normal(size=(20, *model.components_.shape)) / X.std(axis=0)
        size = size * np.linalg.norm(model.components_ * X.std(axis=0)) / 10
        least = min(objective(used, 0.05, model.components_ + size * m, X, Y) for m in moved)
        assert least > found * (1 - 1e-4)


@pytest.mark.parametrize("loss", [COLLAPSING, COSINE], ids=["default", "cosine"])
def test_a_generic_minimiser_finds_nothing_lower_from_there(loss):
    Z, y = load_iris(return_X_y=True)
    Z, y = Z[::3], y[::3]
    model = sl.ContrastiveEmbedding(2, loss=loss).fit(Z, y)
    scale = Z.std(axis=0)
    start = (model.components_ * scale).ravel()
    done = minimize(
        lambda w: objective(loss, 0.1, w.reshape(2, 4) / scale, Z, y), start, method="BFGS"
    )
    assert done.fun > model.objective_ * (1 - 1e-4)
    tight = sl.ContrastiveEmbedding(2, loss=loss, tol=1e-9, max_iter=5000).fit(Z, y)
    assert model.objective_ == pytest.approx(tight.objective_, rel=2e-4)


def test_neighbours_are_better_where_most_columns_are_noise():
    rng = np.random.RandomState(0)
    y = rng.randint(3, size=150)
    informative = np.column_stack([np.cos(2 * y), np.sin(2 * y)]) + 0.3 * rng.normal(size=(150, 2))
    Z = np.hstack([informative, rng.normal(size=(150, 20))])
    plain = make_pipeline(StandardScaler(), KNeighborsClassifier())
    for loss in (None, sl.TripletLoss()):
        model = make_pipeline(sl.ContrastiveEmbedding(2, loss=loss), KNeighborsClassifier())
        gain = cross_val_score(model, Z, y).mean() - cross_val_score(plain, Z, y).mean()
        assert gain > 0.1


@pytest.mark.parametrize("loss", [None, COSINE], ids=["default", "cosine"])
def test_units_of_columns_change_nothing(loss):
    units = 2.0 ** np.arange(-30, 35, 5)
    model = sl.ContrastiveEmbedding(2, loss=loss).fit(X, Y)
    other = sl.ContrastiveEmbedding(2, loss=loss).fit(X * units, Y)
    # Powers of two change no digit.
    np.testing.assert_array_equal(other.transform(X * units), model.transform(X))
    moved = sl.ContrastiveEmbedding(2, loss=loss).fit(1e3 * X + 1e4, Y)
    np.testing.assert_allclose(moved.objective_, model.objective_, rtol=1e-5)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_very_large_and_very_small_numbers_are_embedded(size):
    model = sl.ContrastiveEmbedding(2).fit(X * size, Y)
    plain = sl.ContrastiveEmbedding(2).fit(X, Y)
    assert model.objective_ == pytest.approx(plain.objective_, rel=1e-5)
    np.testing.assert_allclose(np.std(model.transform(X * size)), np.std(plain.transform(X)), 1e-2)
    for tiny in (X * 1e-312, (X * 1e-44).astype(np.float32)):
        with pytest.raises(ValueError, match=r"X has a column that varies by .* scale it up"):
            sl.ContrastiveEmbedding(2).fit(tiny, Y)


def test_a_constant_column_has_no_part_in_it():
    Z = np.column_stack([X, np.full(len(X), 0.1)])
    model = sl.ContrastiveEmbedding(2).fit(Z, Y)
    assert not model.components_[:, -1].any()
    np.testing.assert_allclose(
        model.objective_, sl.ContrastiveEmbedding(2).fit(X, Y).objective_, rtol=1e-6
    )


def test_float32_stays_and_is_that_of_float64_far_from_0():
    single = (X + 1000).astype(np.float32)
    model = sl.ContrastiveEmbedding(2).fit(single, Y)
    assert model.components_.dtype == model.transform(single).dtype == np.float32
    double = sl.ContrastiveEmbedding(2).fit(single.astype(np.float64), Y)
    shown = model.transform(single), double.transform(single.astype(np.float64))
    np.testing.assert_allclose(*shown, rtol=1e-3, atol=1e-4)


def test_starts_lead_to_like_minima_and_lda_needs_classes():
    found = [sl.ContrastiveEmbedding(2, init=init).fit(X, Y) for init in ("auto", "lda", "pca")]
    np.testing.assert_array_equal(found[0].components_, found[1].components_)
    assert not np.array_equal(found[0].components_, found[2].components_)
    assert found[2].objective_ == pytest.approx(found[0].objective_, rel=1e-3)
    assert sl.ContrastiveEmbedding(5).fit(X, Y).components_.shape == (5, 13)
    assert sl.ContrastiveEmbedding().fit(X[::20], Y[::20]).components_.shape == (9, 13)
    with pytest.raises(ValueError, match="init='lda' gives at most 2 components"):
        sl.ContrastiveEmbedding(3, init="lda").fit(X, Y)


# ------------------------------------------------------------------------------------------ batches


@pytest.mark.parametrize("size", [8, 30, 50])
def test_batches_hold_every_sample_once_and_classes_in_pairs(size):
    codes = np.repeat([0, 1, 2, 3, 4], [70, 21, 9, 2, 1])
    np.random.RandomState(1).shuffle(codes)
    batches = batches_of_classes(codes, size, np.random.RandomState(0))
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(len(codes)))
    assert len(batches) == -(-len(codes) // size)
    lengths = [len(batch) for batch in batches]
    assert max(lengths) - min(lengths) <= max(3, 0.3 * size)
    for batch in batches:
        held = np.bincount(codes[batch], minlength=5)
        assert all(held[c] != 1 for c in range(4))


def test_the_objective_of_batches_is_their_mean():
    model = sl.ContrastiveEmbedding(2, batch_size=40, random_state=0).fit(X, Y)
    batches = batches_of_classes(Y, 40, np.random.RandomState(0))
    assert len(batches) == 5
    shown = model.transform(X)
    # Every row has a positive, so rows weigh alike.
    mean = sum(len(b) * COLLAPSING(shown[b], Y[b]) for b in batches) / len(X)
    squares = np.sum((model.components_ * X.std(axis=0)) ** 2)
    assert model.objective_ == pytest.approx(mean + 0.1 * squares, rel=1e-10)


def test_batches_are_drawn_by_random_state_and_one_batch_is_all():
    all_pairs = sl.ContrastiveEmbedding(2, batch_size=None).fit(X, Y)
    one = sl.ContrastiveEmbedding(2, batch_size=len(X)).fit(X, Y)
    np.testing.assert_array_equal(all_pairs.components_, one.components_)
    few = [
        sl.ContrastiveEmbedding(2, batch_size=40, random_state=seed).fit(X, Y) for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(few[0].components_, few[1].components_)
    assert not np.array_equal(few[0].components_, few[2].components_)
    assert not np.array_equal(few[0].components_, all_pairs.components_)
    neighbours = KNeighborsClassifier().fit(few[0].transform(X[::2]), Y[::2])
    assert neighbours.score(few[0].transform(X[1::2]), Y[1::2]) > 0.95


# -------------------------------------------------------------------------------- as an estimator


def test_a_grid_search_reaches_into_the_loss():
    pipeline = Pipeline(
        [("embed", sl.ContrastiveEmbedding(2, loss=COSINE)), ("knn", KNeighborsClassifier())]
    )
    grid = {"embed__loss__temperature": [0.2, 1.0], "embed__alpha": [0.1]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    temperature = search.best_params_["embed__loss__temperature"]
    assert search.best_estimator_["embed"].loss_.temperature == temperature
    assert COSINE.temperature == 0.5  # the object given is not changed
    assert search.best_score_ > 0.9


def test_names_of_losses_columns_and_components():
    frame = pd.DataFrame(X, columns=[f"c{k}" for k in range(13)])
    model = sl.ContrastiveEmbedding(2, loss="triplet").fit(frame[::3], Y[::3].astype(str))
    assert model.loss_ == sl.TripletLoss()
    names = ["contrastiveembedding0", "contrastiveembedding1"]
    assert list(model.get_feature_names_out()) == names
    assert list(model.feature_names_in_) == list(frame.columns)
    assert (
        list(clone(model).set_output(transform="pandas").fit_transform(frame[::3], Y[::3])) == names
    )
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).transform(frame), model.transform(frame)
    )
    with pytest.raises(NotFittedError):
        clone(model).transform(X)


REFUSED = [
    ({"n_components": 0}, r"n_components must be an integer from 1"),
    ({"n_components": 14}, r"n_components must be at most 13, .* got 14"),
    ({"alpha": -1}, r"alpha must be a number in \[0, inf\); got -1"),
    ({"tol": 0}, r"tol must be a number in \(0, inf\); got 0"),
    ({"max_iter": 0}, r"max_iter must be an integer from 1"),
    ({"batch_size": 1}, r"batch_size must be an integer from 2"),
    ({"init": "random"}, r"init must be one of .* got 'random'"),
    ({"loss": "hinge"}, r"loss must be an instance of ContrastiveLoss or one of .* got 'hinge'"),
    ({"loss": sl.NTXent()}, r"loss must be a SupervisedContrastive or a TripletLoss; got NTXent"),
    ({"loss": sl.SupervisedContrastive(0)}, r"temperature must be a number in \(0, inf\)"),
    ({"loss": sl.TripletLoss(mining="semi-hard")}, r"jumps where its choice of triplets changes"),
    ({"loss": sl.TripletLoss(metric="precomputed")}, r"must make its matrix of pairs"),
]


@pytest.mark.parametrize("params, message", REFUSED, ids=[str(p) for p, _ in REFUSED])
def test_a_bad_parameter_is_named_and_the_fitted_estimator_stays(params, message):
    model = sl.ContrastiveEmbedding(2).fit(X, Y)
    before = model.components_.copy()
    with pytest.raises(ValueError, match=message):
        model.set_params(**params).fit(X, Y)
    np.testing.assert_array_equal(model.components_, before)


def test_labels_without_pairs_are_refused_and_leave_the_estimator():
    model = sl.ContrastiveEmbedding(2).fit(X, Y)
    with pytest.raises(ValueError, match=r"at least 2 classes.*got 1 class in 178 samples"):
        model.fit(X, np.zeros(178))
    with pytest.raises(ValueError, match=r"one of them with 2 samples; got 5 classes in 5 samples"):
        model.fit(X[:5, :3], np.arange(5))
    with pytest.raises(ValueError, match="Unknown label type"):
        model.fit(X[:, :5], X[:, 0])
    assert model.n_features_in_ == 13 and model.transform(X).shape == (178, 2)


def test_a_fit_that_ends_early_or_collapses_says_so():
    with pytest.warns(ConvergenceWarning, match="did not converge in max_iter=1 iterations"):
        model = sl.ContrastiveEmbedding(2, max_iter=1).fit(X, Y)
    assert model.n_iter_ == 1
    with pytest.warns(ConvergenceWarning, match="map all samples to one point"):
        sl.ContrastiveEmbedding(2, alpha=1e3).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for loss in LOSSES.values():
            sl.ContrastiveEmbedding(2, loss=loss).fit(X[::3], Y[::3])
        hard = sl.TripletLoss(mining="hard")
        model = sl.ContrastiveEmbedding(2, loss=hard, batch_size=12, random_state=0).fit(X, Y)
    assert model.objective_ < 0.6


def test_classes_that_no_triplet_violates_are_at_the_minimum_at_once():
    Z = np.array([[0.0], [0.0], [1e6], [1e6]])
    model = sl.ContrastiveEmbedding(loss=sl.TripletLoss(0.5), alpha=0).fit(Z, [0, 0, 1, 1])
    assert model.objective_ == 0 and model.n_iter_ == 0


# ----------------------------------------------------------------------------------- two modalities


def test_rows_of_two_tables_find_each_other():
    A, B = two_tables(300, noise=0.1)
    model = sl.CrossModalEmbedding(3).fit(A[:150], B[:150])
    shown = cosine_similarity(*model.transform(A[150:], B[150:]))
    assert (shown.argmax(axis=1) == np.arange(150)).mean() > 0.6  # by chance 0.007
    assert (shown.argmax(axis=0) == np.arange(150)).mean() > 0.6


@pytest.mark.parametrize("loss", [None, sl.CLIPLoss(0.5), sl.CLIPLoss(1.0, "sqeuclidean")], ids=str)
def test_the_objective_of_two_maps_is_the_loss_and_the_penalties(loss):
    A, B = two_tables()
    model = sl.CrossModalEmbedding(2, loss=loss, alpha=0.02).fit(A, B)
    used = loss or sl.CLIPLoss()

    def objective(*maps):
        tables = [(t - t.mean(axis=0)) / t.std(axis=0) for t in (A, B)]
        shown = [t @ m.T for t, m in zip(tables, maps, strict=True)]
        squares = [np.sum(m**2) for m in maps]
        if used.similarity == "cosine":
            squares = [
                s / np.mean(np.sum(z**2, axis=1)) for s, z in zip(squares, shown, strict=True)
            ]
        return used(*shown) + 0.02 * sum(squares)

    maps = model.x_components_ * A.std(axis=0), model.y_components_ * B.std(axis=0)
    assert model.objective_ == pytest.approx(objective(*maps), rel=1e-10)
    rng = np.random.RandomState(0)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(20):
            moved = [m + size * np.abs(m).mean() * rng.normal(size=m.shape) for m in maps]
            assert objective(*moved) > model.objective_ * (1 - 2e-4)


def test_units_of_both_tables_change_nothing():
    A, B = two_tables()
    units = 2.0 ** np.arange(-8, 6, 2)
    model = sl.CrossModalEmbedding(2).fit(A, B)
    other = sl.CrossModalEmbedding(2).fit(A * units, 1024 * B)
    for one, two in zip(model.transform(A, B), other.transform(A * units, 1024 * B), strict=True):
        np.testing.assert_array_equal(one, two)


def test_each_table_may_be_embedded_alone_and_keeps_its_type():
    A, B = two_tables()
    model = sl.CrossModalEmbedding(2).fit(A.astype(np.float32), B)
    first, second = model.transform(A[:20].astype(np.float32), B[:30])
    assert first.dtype == np.float32 and second.dtype == np.float64
    assert first.shape == (20, 2) and second.shape == (30, 2)
    np.testing.assert_array_equal(model.transform(A[:20].astype(np.float32)), first)
    shown = model.fit_transform(A, B)
    np.testing.assert_array_equal(shown, model.transform(A))
    assert sl.CrossModalEmbedding().fit(A, B[:, 0]).transform(A, B[:, 0])[1].shape == (150, 1)


def test_batches_of_two_tables_hold_every_row_once():
    A, B = two_tables(300, noise=0.1)
    model = sl.CrossModalEmbedding(3, batch_size=70, random_state=0).fit(A, B)
    again = sl.CrossModalEmbedding(3, batch_size=70, random_state=0).fit(A, B)
    np.testing.assert_array_equal(model.x_components_, again.x_components_)
    dealt = np.array_split(np.random.RandomState(0).permutation(300), 5)
    shown = model.transform(A, B)
    mean = np.mean([sl.CLIPLoss()(*(z[b] for z in shown)) for b in dealt])
    squares = [
        np.sum((m * t.std(axis=0)) ** 2) / np.mean(np.sum(z**2, axis=1))
        for m, t, z in zip((model.x_components_, model.y_components_), (A, B), shown, strict=True)
    ]
    assert model.objective_ == pytest.approx(mean + 0.01 * sum(squares), rel=1e-10)


def test_what_two_tables_cannot_be_is_refused():
    A, B = two_tables()
    model = sl.CrossModalEmbedding(2).fit(A, B)
    with pytest.raises(ValueError, match=r"n_components must be at most 5, .* got 6"):
        sl.CrossModalEmbedding(6).fit(A, B)
    with pytest.raises(ValueError, match="loss must be a CLIPLoss; got NTXent"):
        sl.CrossModalEmbedding(loss=sl.NTXent()).fit(A, B)
    with pytest.raises(ValueError, match="y must have 5 columns, as in fit; got 4"):
        model.transform(A, B[:, :4])
    with pytest.raises(ValueError, match="dim 3, while dim <= 2 is required"):
        model.fit(A, B[:, :, np.newaxis])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(A, B[:-1])
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(A, np.where(B == B[0, 0], np.nan, B))
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.fit(A, None)
    assert model.transform(A, B)[1].shape == (150, 2)
