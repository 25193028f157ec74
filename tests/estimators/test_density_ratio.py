"""Density ratios: of known densities, against the papers' own solutions, and as an estimator."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_losses import (
    DensityRatio,
    KLIEPLoss,
    LSIFLoss,
    SGDClassifierX,
    as_torch,
    d2_loss_score,
    effective_sample_size,
)
from sklearn_losses.testing import check_loss


def two_samples(n_source=3000, n_target=1500, shift=0.7, n_features=2, seed=0):
    """Normal samples, whose means differ in the first feature, and the true ratio."""
    rng = np.random.RandomState(seed)
    source = rng.normal(size=(n_source, n_features))
    target = rng.normal(size=(n_target, n_features))
    target[:, 0] += shift
    return source, target, lambda X: np.exp(shift * X[:, 0] - shift**2 / 2)


def sgd(loss, **params):
    return SGDClassifierX(loss, optimizer="auto", **{"alpha": 0, **params})


@parametrize_with_checks(
    [DensityRatio(), DensityRatio(LogisticRegression(), power=0.5, clip=5.0, normalize=False)]
)
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


# ----------------------------------------------------------------------------- the right weights


@pytest.mark.parametrize(
    "loss", ["log_loss", "exponential", "brier", "focal", "kl_divergence", KLIEPLoss()], ids=str
)
def test_any_loss_with_probabilities_finds_the_ratio_of_normal_densities(loss):
    source, target, truth = two_samples()
    model = DensityRatio(sgd(loss), normalize=False).fit_samples(source, target)
    grid = np.array([[-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [2.0, 0.5]])
    np.testing.assert_allclose(model.predict(grid), truth(grid), rtol=0.2)


def test_sizes_of_the_two_samples_do_not_count():
    for n_source, n_target in ((300, 6000), (6000, 300)):
        source, target, truth = two_samples(n_source, n_target)
        model = DensityRatio(normalize=False).fit_samples(source, target)
        assert model.odds_scale_ == n_source / n_target
        assert np.average(model.predict(source) / truth(source)) == pytest.approx(1, abs=0.15)


def test_it_is_the_odds_of_the_classifier_times_the_ratio_of_sizes():
    source, target, _ = two_samples(400, 100)
    X, y = np.vstack([source, target]), np.repeat([0, 1], [400, 100])
    classifier = LogisticRegression(C=3.0)
    odds = np.exp(clone(classifier).fit(X, y).decision_function(X))
    model = DensityRatio(classifier, normalize=False).fit(X, y)
    np.testing.assert_allclose(model.predict(X), 4 * odds, rtol=1e-9)
    normal = DensityRatio(classifier).fit(X, y)
    np.testing.assert_allclose(normal.predict(X), odds / odds[:400].mean(), rtol=1e-9)
    assert normal.mean_weight_ == pytest.approx(4 * odds[:400].mean())
    assert normal.predict(source).mean() == pytest.approx(1)
    size = odds[:400].sum() ** 2 / (odds[:400] ** 2).sum()
    assert normal.effective_sample_size_ == model.effective_sample_size_ == pytest.approx(size)
    assert not hasattr(classifier, "coef_")


def test_power_then_clip_then_the_mean():
    source, target, _ = two_samples(400, 100)
    plain = DensityRatio(normalize=False).fit_samples(source, target).predict(source)
    made = DensityRatio(power=0.5, clip=1.2).fit_samples(source, target)
    want = np.minimum(np.sqrt(plain), 1.2)
    assert (np.sqrt(plain) > 1.2).any()
    np.testing.assert_allclose(made.predict(source), want / want.mean())
    assert made.mean_weight_ == pytest.approx(want.mean())
    # What was fitted goes on, whatever the parameters become.
    before = made.predict(source)
    made.set_params(clip=0.1, power=1.0, normalize=False)
    np.testing.assert_array_equal(made.predict(source), before)


def test_kliep_is_the_papers_maximum():
    """Its log-linear model: mean(log w) over the target, subject to mean(w) = 1 over the source."""
    source, target, _ = two_samples(300, 200, n_features=3)
    model = DensityRatio(sgd(KLIEPLoss())).fit_samples(source, target)

    def objective(b):
        return np.log(np.mean(np.exp(source @ b))) - np.mean(target @ b)

    b = minimize(objective, np.zeros(3), method="BFGS", options={"gtol": 1e-9}).x
    want = np.exp(source @ b) / np.mean(np.exp(source @ b))
    np.testing.assert_allclose(model.predict(source), want, rtol=1e-5)
    assert model.mean_weight_ == pytest.approx(1, abs=1e-7)
    assert model.score(np.vstack([source, target]), np.repeat([0, 1], [300, 200])) == pytest.approx(
        -objective(b), abs=1e-7
    )


def test_lsif_is_the_papers_closed_form():
    """Kanamori's uLSIF: (H + lambda) a = h, with H of the source's and h of the target's features,
    here with an intercept that is not penalised."""
    source, target, _ = two_samples(300, 200)
    features = make_pipeline(MinMaxScaler(), PolynomialFeatures(3, include_bias=False))
    features.fit(np.vstack([source, target]))
    phi_source, phi_target = features.transform(source), features.transform(target)
    alpha = 1e-3
    model = sgd(LSIFLoss(), alpha=alpha).fit(
        np.vstack([phi_source, phi_target]), np.repeat([0, 1], [300, 200])
    )
    A, B = (np.hstack([phi, np.ones((len(phi), 1))]) for phi in (phi_source, phi_target))
    ridge = 500 * alpha * np.eye(A.shape[1])
    ridge[-1, -1] = 0
    a = np.linalg.solve(A.T @ A + ridge, B.sum(axis=0))
    np.testing.assert_allclose(model.decision_function(phi_source), A @ a, rtol=1e-5, atol=1e-7)
    made = DensityRatio(sgd(LSIFLoss(), alpha=alpha), normalize=False)
    made.fit_samples(phi_source, phi_target)
    want = np.maximum(A @ a, 0) * 300 / 200
    np.testing.assert_allclose(made.predict(phi_source), want, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", [KLIEPLoss(), LSIFLoss()], ids=str)
def test_the_losses_of_a_ratio_keep_what_losses_promise(loss):
    check_loss(loss)
    assert clone(loss) == loss == pickle.loads(pickle.dumps(loss))
    # The least loss is where the prediction is the share of target samples.
    for share in (0.1, 0.5, 0.8):
        y = np.repeat([0.0, 1.0], [int(10 - 10 * share), int(10 * share)])
        assert loss.predict(loss.fit_intercept_only(y)) == pytest.approx(share)
        best = loss.link.link(np.array([share]))
        assert loss.predict(best)[0] == pytest.approx(share)
        least = loss.loss(np.array([share]), best)
        np.testing.assert_allclose(least + loss.constant_to_optimal_zero([share]), 0, atol=1e-15)


def test_the_losses_of_a_ratio_are_their_formulas():
    rng = np.random.RandomState(0)
    y, raw = rng.randint(2, size=50).astype(float), 3 * rng.normal(size=50)
    formulas = {
        KLIEPLoss(): (np.exp(raw), -raw, np.exp(raw), -1.0, np.exp(raw), 0.0),
        LSIFLoss(): (raw**2 / 2, -raw, raw, -1.0, 1.0, 0.0),
    }
    for loss, (of_0, of_1, slope_0, slope_1, bend_0, bend_1) in formulas.items():
        value, gradient = loss.loss_gradient(y, raw)
        np.testing.assert_allclose(value, np.where(y == 1, of_1, of_0))
        np.testing.assert_allclose(gradient, np.where(y == 1, slope_1, slope_0))
        hessian = loss.gradient_hessian(y, raw)[1]
        np.testing.assert_allclose(hessian, np.where(y == 1, bend_1, bend_0))


def test_the_score_is_the_divergence_of_the_true_ratio_and_less_of_others():
    source, target, _ = two_samples(20000, 20000, shift=0.5)
    X, y = np.vstack([source, target]), np.repeat([0, 1], 20000)
    fitted = DensityRatio().fit(X, y)
    assert fitted.score(X, y) == pytest.approx(0.5**2 / 2, abs=0.01)  # of two normals
    shifted = X + 0.3  # where the weights of source samples have another mean than 1
    weights = fitted.predict(shifted)
    want = np.log(weights[y == 1]).mean() - (weights[y == 0] - 1).mean()
    assert fitted.score(shifted, y) == pytest.approx(want)
    assert abs((weights[y == 0] - 1).mean()) > 0.1
    blind = DensityRatio(sgd("log_loss", alpha=1e6)).fit(X, y)
    assert blind.score(X, y) == pytest.approx(0, abs=1e-4)
    weight = np.random.RandomState(0).randint(3, size=len(y))
    repeated = fitted.score(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert fitted.score(X, y, weight) == pytest.approx(repeated)


def test_weights_bring_the_mean_of_the_source_to_that_of_the_target():
    source, target, _ = two_samples()
    model = DensityRatio().fit_samples(source, target)
    before = np.abs(source.mean(axis=0) - target.mean(axis=0)).max()
    after = np.average(source, axis=0, weights=model.predict(source)) - target.mean(axis=0)
    assert before > 0.6 and np.abs(after).max() < 0.05


# ------------------------------------------------------------------------------- as an estimator


def test_the_unit_of_a_feature_counts_for_nothing():
    source, target, _ = two_samples(300, 300)
    want = DensityRatio().fit_samples(source, target).predict(source)
    for scale, origin in ((1e6, 0.0), (1e-6, 0.0), (1.0, 1e6)):
        model = DensityRatio().fit_samples(source * scale + origin, target * scale + origin)
        np.testing.assert_allclose(model.predict(source * scale + origin), want, rtol=1e-3)


def test_a_sample_weight_is_that_many_samples_of_the_default_and_of_others():
    source, target, _ = two_samples(60, 50)
    rng = np.random.RandomState(0)
    of_source, of_target = rng.randint(3, size=60), rng.randint(3, size=50)
    for estimator in (None, LogisticRegression(), sgd("log_loss", alpha=0.01)):
        model = DensityRatio(estimator)
        copied = clone(model).fit_samples(
            np.repeat(source, of_source, axis=0), np.repeat(target, of_target, axis=0)
        )
        model.fit_samples(source, target, source_weight=of_source, target_weight=of_target)
        np.testing.assert_allclose(model.predict(source), copied.predict(source), rtol=1e-4)
        size, other = model.odds_scale_, copied.odds_scale_
        assert size == pytest.approx(other) and size == of_source.sum() / of_target.sum()
        assert model.mean_weight_ == pytest.approx(copied.mean_weight_, rel=1e-4)
    one = clone(model).fit_samples(source, target, target_weight=of_target)
    assert one.odds_scale_ == 60 / of_target.sum()


def test_labels_may_be_words_and_frames_sparse_rows_and_lists_are_taken():
    source, target, _ = two_samples(200, 100)
    want = DensityRatio().fit_samples(source, target)
    X = np.vstack([source, target])
    words = np.repeat(["source", "target"], [200, 100])
    model = DensityRatio().fit(X, words)
    assert model.classes_.tolist() == ["source", "target"]
    np.testing.assert_array_equal(model.predict(X), want.predict(X))
    assert model.score(X, words) == want.score(X, np.repeat([0, 1], [200, 100]))
    frames = [pd.DataFrame(part, columns=["a", "b"]) for part in (source, target)]
    framed = DensityRatio().fit_samples(*frames)
    assert framed.feature_names_in_.tolist() == ["a", "b"] and framed.n_features_in_ == 2
    np.testing.assert_allclose(framed.predict(frames[0]), want.predict(source))
    for kind in (sparse.csr_matrix, sparse.csr_array):
        thin = DensityRatio().fit_samples(kind(source), kind(target))
        np.testing.assert_allclose(thin.predict(kind(source)), want.predict(source), rtol=1e-6)
    listed = DensityRatio().fit_samples(source.tolist(), target.tolist())
    np.testing.assert_array_equal(listed.predict(source), want.predict(source))


def test_float32_stays():
    source, target, _ = two_samples(200, 100)
    want = DensityRatio(power=0.7, clip=3.0).fit_samples(source, target).predict(source)
    model = DensityRatio(power=0.7, clip=3.0)
    model.fit_samples(source.astype(np.float32), target.astype(np.float32))
    got = model.predict(source.astype(np.float32))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:The ratios have the mean")
def test_it_is_searched_over_cross_fitted_cloned_and_pickled():
    source, target, _ = two_samples(400, 400)
    X, y = np.vstack([source, target]), np.repeat([0, 1], 400)
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    grid = {"sgdclassifierx__alpha": [1e-3, 1e3], "sgdclassifierx__loss": ["log_loss"]}
    grid = {f"densityratio__estimator__{key}": value for key, value in grid.items()}
    pipeline = make_pipeline(
        PolynomialFeatures(2, include_bias=False),
        DensityRatio(make_pipeline(StandardScaler(), sgd("log_loss"))),
    )
    search = GridSearchCV(pipeline, grid, cv=folds).fit(X, y)
    assert search.best_params_["densityratio__estimator__sgdclassifierx__alpha"] == 1e-3
    # A forest knows its own samples too well to weigh them; those of other folds it does weigh.
    forest = DensityRatio(RandomForestClassifier(50, random_state=0), clip=20.0)
    crossed = cross_val_predict(forest, X, y, cv=folds)[:400]
    own = clone(forest).fit(X, y).predict(source)
    short = [
        abs(np.average(source[:, 0], weights=weights) - target[:, 0].mean())
        for weights in (crossed, own, np.ones(400))
    ]
    assert short[0] < 0.2 < short[1] < short[2]
    made = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(made.predict(X), search.predict(X))


def test_weights_go_to_every_step_that_takes_them_under_metadata_routing_too():
    import sklearn

    source, target, _ = two_samples(60, 50)
    weight = np.random.RandomState(0).randint(1, 3, size=60)
    want = DensityRatio().fit_samples(source, target, source_weight=weight).predict(source)
    with sklearn.config_context(enable_metadata_routing=True):
        got = DensityRatio().fit_samples(source, target, source_weight=weight).predict(source)
    np.testing.assert_array_equal(got, want)


@pytest.mark.filterwarnings("ignore:The ratios have the mean")
def test_a_failed_fit_leaves_the_estimator_as_it_was():
    source, target, _ = two_samples(100, 100)
    model = DensityRatio().fit_samples(source, target)
    before, state = model.predict(source), dict(vars(model))
    with pytest.raises(ValueError):
        model.fit_samples(source, np.full((5, 2), np.nan))
    apart = RandomForestClassifier(10, bootstrap=False, random_state=0)  # all by heart
    with pytest.raises(ValueError, match="ratio is 0 at all source samples"):
        DensityRatio(apart).fit_samples(source, target)
    assert vars(model) == state
    np.testing.assert_array_equal(model.predict(source), before)


class Certain(ClassifierMixin, BaseEstimator):
    """Takes all above 2 for target samples, with certainty."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.hstack([X <= 2, X > 2]).astype(float)


@pytest.mark.filterwarnings("ignore:The ratios have the mean")
def test_infinite_ratios_are_refused_at_the_source_and_clipped_on_wish():
    source, target = np.array([[0.0], [1.0], [3.0]]), np.array([[3.0], [4.0]])
    with pytest.raises(ValueError, match=r"infinite at 1 source samples.*set clip"):
        DensityRatio(Certain()).fit_samples(source, target)
    model = DensityRatio(Certain(), clip=6.0).fit_samples(source, target)
    np.testing.assert_array_equal(model.predict(source), [0, 0, 3])
    with pytest.raises(ValueError, match="ratio is 0"):  # what has no weight counts for nothing
        DensityRatio(Certain()).fit_samples(source, target, source_weight=[1, 1, 0])
    elsewhere = DensityRatio(Certain(), normalize=False)
    with pytest.raises(ValueError, match="ratio is 0"):
        elsewhere.fit_samples(source[:2], target)


def test_a_mean_of_the_ratios_far_from_one_warns_whoever_called():
    source, target, _ = two_samples(300, 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DensityRatio().fit_samples(source, target)
        DensityRatio(clip=0.1).fit_samples(source, target)  # of ratios before clip
    apart = target + 30
    X, y = np.vstack([source, apart]), np.repeat([0, 1], 300)
    for power in (1.0, 0.1):
        model = DensityRatio(power=power)
        for fit in (lambda m: m.fit_samples(source, apart), lambda m: m.fit(X, y)):
            with pytest.warns(
                UserWarning, match=r"have the mean \S+ over the source.*hardly"
            ) as seen:
                fit(model)
            assert seen[0].filename == __file__
    with pytest.warns(UserWarning) as counted:
        of_source = np.where(source[:, 0] > 1, 9, 1)
        DensityRatio().fit_samples(source, apart, source_weight=of_source)
    with pytest.warns(UserWarning) as copied:
        DensityRatio().fit_samples(np.repeat(source, of_source, axis=0), apart)
    assert str(counted[0].message) == str(copied[0].message)
    with pytest.warns(UserWarning, match="by heart"):
        DensityRatio(RandomForestClassifier(20, random_state=0), clip=20).fit_samples(
            source, target
        )
    with pytest.warns(UserWarning, match="have the mean inf"):
        DensityRatio(Certain(), clip=6.0).fit_samples([[0.0], [3.0]], [[4.0]])


def test_a_share_of_a_loss_without_a_least_value_is_refused():
    with pytest.raises(ValueError, match="KLIEPLoss has no least value for these targets"):
        d2_loss_score([0, 1, 0], [0.2, 0.7, 0.3], loss=KLIEPLoss())


def test_bad_input_is_named():
    source, target, _ = two_samples(20, 10)
    X, y = np.vstack([source, target]), np.repeat([0, 1], [20, 10])
    cases = [
        (ValueError, r"power must be a number in \(0, 1\]; got 0", {"power": 0}, (X, y)),
        (ValueError, r"power must be a number in \(0, 1\]; got 1.5", {"power": 1.5}, (X, y)),
        (ValueError, r"clip must be a number in \(0, inf\) or None; got 0", {"clip": 0}, (X, y)),
        (ValueError, r"normalize must be a bool; got 'yes'", {"normalize": "yes"}, (X, y)),
        (
            TypeError,
            r"must be a classifier with predict_proba; got SGDC",
            {"estimator": sgd("hinge")},
            (X, y),
        ),
        (TypeError, r"with predict_proba; got Lin", {"estimator": LinearRegression()}, (X, y)),
        (ValueError, r"two labels.*got 3 classes: \[0, 1, 2\]", {}, (X, np.arange(30) % 3)),
        (ValueError, r"two labels.*got 1 class: \[0\]", {}, (X, 0 * y)),
        (
            ValueError,
            r"1d array, got an array of shape \(10, 2\).*fit_samples",
            {},
            (source, target),
        ),
        (ValueError, r"contains NaN", {}, (X, np.where(y == 1, np.nan, 0.0))),
        (TypeError, r"labels of one type", {}, (X, np.array([None, "a"] * 15, dtype=object))),
        (
            TypeError,
            r"must be a classifier with pred.*'log_loss'",
            {"estimator": "log_loss"},
            (X, y),
        ),
        (TypeError, r"must be a classifier", {"estimator": LogisticRegression}, (X, y)),
        (ValueError, r"requires y to be passed.*fit_samples", {}, (X, None)),
        (ValueError, r"must not be zero for all samples of the label 1", {}, (X, y, 1 - y)),
        (ValueError, r"[Nn]egative", {}, (X, y, -1.0 * y)),
        (
            TypeError,
            r"sample_weight was given, which KNeighborsClassifier\(\) does not take",
            {"estimator": KNeighborsClassifier()},
            (X, y, y + 1),
        ),
        (
            TypeError,
            r"does not take",
            {"estimator": make_pipeline(StandardScaler(), KNeighborsClassifier())},
            (X, y, y + 1),
        ),
    ]
    for error, message, params, arguments in cases:
        with pytest.raises(error, match=message):
            DensityRatio(**params).fit(*arguments)
    pairs = [
        (ValueError, r"X_target must hold at least one sample", (source, target[:0])),
        (ValueError, r"same features; got shapes \(20, 2\) and \(10, 1\)", (source, target[:, :1])),
        (TypeError, r"one kind; got an array and a sparse", (source, sparse.csr_matrix(target))),
        (
            ValueError,
            r"same columns in the same order; got \['a', 'b'\] and \['b', 'a'\]",
            (pd.DataFrame(source, columns=["a", "b"]), pd.DataFrame(target, columns=["b", "a"])),
        ),
    ]
    for error, message, arguments in pairs:
        with pytest.raises(error, match=message):
            DensityRatio().fit_samples(*arguments)
    with pytest.raises(ValueError, match=r"same features"):
        DensityRatio().fit_samples(sparse.csr_matrix(source), sparse.csr_matrix(target[:, :1]))
    with pytest.raises(NotFittedError):
        DensityRatio().predict(X)
    model = DensityRatio().fit(X, y)
    with pytest.raises(ValueError, match=r"both labels \[0, 1\] and no other; got \[0\].*Stratif"):
        model.score(source, y[:20])
    with pytest.raises(ValueError, match=r"no other; got \[0, 1, 2\]"):
        model.score(X, [2, *y[1:]])
    with pytest.raises(ValueError, match=r"must not be zero for all samples of a label"):
        model.score(X, y, y)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        model.score(X, y, -1.0 * y)


def test_the_effective_sample_size_is_kishs():
    rng = np.random.RandomState(0)
    weight = rng.gamma(1.0, size=100)
    want = weight.sum() ** 2 / (weight**2).sum()
    for scale in (1.0, 1e-300, 1e300):
        assert effective_sample_size(scale * weight) == pytest.approx(want)
    assert effective_sample_size(np.ones(7, dtype=np.float32)) == 7
    assert effective_sample_size([0, 5, 0]) == 1
    for bad in ([-1, 2], [0, 0], [np.nan, 1], []):
        with pytest.raises(ValueError, match="sample_weight"):
            effective_sample_size(bad)


def test_the_losses_of_a_ratio_go_to_pytorch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    y = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    raw = torch.tensor([0.3, -0.4, 2.0], dtype=torch.float64, requires_grad=True)
    for loss in (KLIEPLoss(), LSIFLoss()):
        module = as_torch(loss)
        assert torch.autograd.gradcheck(lambda r, m=module: m(r, y), (raw,))
        assert torch.autograd.gradgradcheck(lambda r, m=module: m(r, y), (raw,))
