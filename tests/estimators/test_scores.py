"""Scores by a model's own loss: 1 - deviance / null deviance, the null model having the offset too;
lists of quantiles; offsets handed on by scorers and searches, and never silently left out."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import d2_pinball_score, d2_tweedie_score, mean_tweedie_deviance, r2_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_losses as sl
from sklearn_losses import SGDClassifierX, SGDRegressorX

N = 400
RNG = np.random.RandomState(0)
X = RNG.normal(size=(N, 3))
OFFSET = np.log(RNG.beta(0.7, 0.7, size=N) * 0.98 + 0.02)
COUNTS = RNG.poisson(np.exp(X @ [0.3, -0.2, 0.1] - 0.5 + OFFSET)).astype(float)
AMOUNTS = np.exp(X @ [0.3, -0.2, 0.1] + OFFSET) * RNG.gamma(2, size=N)
NUMBERS = X @ [1.0, 2.0, 0.0] + RNG.normal(size=N)
WEIGHT = RNG.choice([0.0, 1.0, 2.5], size=N)
POWERS = {"poisson": 1, "gamma": 2, "tweedie": 1.5}


def exact(loss, **params):
    return SGDRegressorX(loss, optimizer="lbfgs", alpha=0, tol=1e-8, **params)


def skill(y, mu, power, weight=None, offset=None):
    """1 - deviance / null deviance, by scikit-learn's deviance and the closed form of its least."""
    w = np.ones(N) if weight is None else weight
    off = np.zeros(N) if offset is None else offset
    above, below = (w * y * np.exp((1 - power) * off)), w * np.exp((2 - power) * off)
    null = np.exp(off) * above.sum() / below.sum()
    deviances = [mean_tweedie_deviance(y, m, power=power, sample_weight=weight) for m in (mu, null)]
    return 1 - deviances[0] / deviances[1]


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weighted"])
@pytest.mark.parametrize("name", POWERS)
def test_the_skill_beside_an_offset_is_1_less_deviance_over_null_deviance(name, weight):
    y = AMOUNTS if name == "gamma" else COUNTS
    model = exact(name).fit(X, y, sample_weight=weight, offset=OFFSET)
    mu = model.predict(X, offset=OFFSET)
    want = skill(y, mu, POWERS[name], weight, OFFSET)
    settings = {"loss": name, "sample_weight": weight}
    assert sl.d2_loss_score(y, mu, **settings, offset=OFFSET) == pytest.approx(want, rel=1e-10)
    raw = np.log(mu)
    got = sl.d2_loss_score(y, raw, **settings, offset=OFFSET, raw=True)
    assert got == pytest.approx(want, rel=1e-10)
    # The offset's share is not the model's.
    assert sl.d2_loss_score(y, mu, **settings) == pytest.approx(
        d2_tweedie_score(y, mu, power=POWERS[name], sample_weight=weight)
    )
    assert sl.d2_loss_score(y, mu, **settings) > want + 0.05
    assert model.score(X, y, weight, offset=OFFSET) == pytest.approx(want, rel=1e-10)
    null = np.exp(OFFSET + sl.get_loss(name).fit_intercept_only(y, weight, OFFSET))
    assert sl.d2_loss_score(y, null, **settings, offset=OFFSET) == pytest.approx(0, abs=1e-14)


def test_the_skill_beside_an_offset_of_classes_is_that_of_the_log_losses():
    rng = np.random.RandomState(1)
    codes, offset = rng.randint(3, size=N), rng.normal(size=(N, 3))
    row = sl.HalfMultinomialLoss(3).fit_intercept_only(codes, None, offset)
    raw = offset + rng.normal(size=(N, 3))

    def cross_entropy(raw):
        p = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
        return -np.log(p[np.arange(N), codes]).mean()

    got = sl.d2_loss_score(codes, raw, loss="multinomial", raw=True, offset=offset)
    assert got == pytest.approx(1 - cross_entropy(raw) / cross_entropy(offset + row))
    same = sl.d2_loss_score(codes, raw, loss="multinomial", raw=True, offset=offset[:, 0])
    assert same == pytest.approx(sl.d2_loss_score(codes, raw, loss="multinomial", raw=True))
    # Targets that are all the same leave something to an offset.
    ones = np.ones(N)
    got = sl.d2_loss_score(ones, ones * 1.0, loss="mse", offset=OFFSET)
    assert got == 1 and sl.d2_loss_score(ones, ones + OFFSET, loss="mse", offset=OFFSET) < 0.1


@pytest.mark.parametrize(
    "loss, y, own",
    [
        ("squared_error", NUMBERS, False),
        (sl.HuberLoss(2.0), NUMBERS, False),
        (sl.Expectile(0.6), NUMBERS, False),
        ("poisson", COUNTS, True),
        ("gamma", AMOUNTS, True),
        (sl.HalfTweedieLoss(1.2), COUNTS, True),
        (sl.NegativeBinomial(2.0), COUNTS, True),
        ("msle", COUNTS, True),
        ("log_loss", np.minimum(COUNTS, 1), True),
        (sl.PinballLoss(0.8), NUMBERS, True),
        (sl.SmoothPinball(0.8), NUMBERS, True),
    ],
    ids=repr,
)
def test_a_link_or_a_quantile_is_scored_by_its_own_loss(loss, y, own):
    model = exact(loss, max_iter=300).fit(X, y)
    y_pred = model.predict(X)
    d2 = sl.d2_loss_score(y, y_pred, loss=loss)
    r2 = r2_score(y, y_pred)
    assert model.score(X, y, metric="r2") == pytest.approx(r2)
    assert model.score(X, y, metric="d2") == pytest.approx(d2)
    assert model.score(X, y) == pytest.approx(d2 if own else r2)
    weighted = sl.d2_loss_score(y, y_pred, loss=loss, sample_weight=WEIGHT)
    assert model.score(X, y, WEIGHT, metric="d2") == pytest.approx(weighted)
    narrow = exact(loss, max_iter=300).fit(X.astype(np.float32), y)
    assert narrow.score(X.astype(np.float32), y) == pytest.approx(model.score(X, y), abs=1e-3)


def test_scores_are_scikit_learns_of_the_same_models():
    theirs = PoissonRegressor(alpha=0, tol=1e-10).fit(X, COUNTS)
    ours = exact("poisson").fit(X, COUNTS)
    assert ours.score(X, COUNTS) == pytest.approx(theirs.score(X, COUNTS), abs=1e-8)
    assert ours.score(X, COUNTS, WEIGHT) == pytest.approx(theirs.score(X, COUNTS, WEIGHT), abs=1e-6)
    quantile = exact("quantile").fit(X, NUMBERS)
    want = d2_pinball_score(NUMBERS, quantile.predict(X), alpha=0.5)
    assert quantile.score(X, NUMBERS) == pytest.approx(want)


def test_several_outputs_are_scored_as_those_fitted_by_themselves():
    Y = np.c_[COUNTS, COUNTS[::-1]]
    offset = np.c_[OFFSET, OFFSET[::-1]]
    params = {"optimizer": "adam", "batch_size": 32, "max_iter": 20, "tol": None}
    model = SGDRegressorX("poisson", random_state=0, **params).fit(X, Y, offset=offset)
    parts = [
        SGDRegressorX("poisson", random_state=0, **params).fit(X, Y[:, k], offset=offset[:, k])
        for k in range(2)
    ]
    want = [parts[k].score(X, Y[:, k], WEIGHT, offset=offset[:, k]) for k in range(2)]
    assert model.score(X, Y, WEIGHT, offset=offset) == pytest.approx(np.mean(want))
    shared = [parts[k].score(X, Y[:, k], offset=OFFSET) for k in range(2)]
    assert model.score(X, Y, offset=OFFSET) == pytest.approx(np.mean(shared))
    column = parts[0].score(X, COUNTS[:, None].tolist(), offset=OFFSET[:, None])
    assert column == parts[0].score(X, COUNTS, offset=OFFSET)


@pytest.mark.parametrize("levels", [[0.1, 0.5, 0.9], [0.9, 0.1], [0.3]], ids=repr)
def test_lists_of_quantiles_are_measured_and_scored(levels):
    loss = sl.PinballLoss(quantile=levels)
    model = exact(loss, max_iter=100).fit(X, NUMBERS)
    y_pred = model.predict(X)
    columns = y_pred.reshape(N, -1)
    for weight in (None, WEIGHT):
        parts = [
            (sl.PinballLoss(q)(NUMBERS, column, weight), column, q)
            for q, column in zip(levels, columns.T.copy(), strict=True)
        ]
        mean = np.mean([part[0] for part in parts])
        got = sl.mean_loss(NUMBERS, y_pred, loss=loss, sample_weight=weight)
        assert got == pytest.approx(mean, rel=1e-14)
        score = loss.as_scorer()(model, X, NUMBERS, sample_weight=weight)
        assert score == pytest.approx(-mean)
        want = np.mean(
            [
                sl.d2_loss_score(NUMBERS, c, loss=sl.PinballLoss(q), sample_weight=weight)
                for _, c, q in parts
            ]
        )
        got = sl.d2_loss_score(NUMBERS, y_pred, loss=loss, sample_weight=weight)
        assert got == pytest.approx(want) and model.score(X, NUMBERS, weight) == pytest.approx(want)
    beside = np.c_[tuple(OFFSET * k for k in range(len(levels)))]
    got = sl.d2_loss_score(NUMBERS, columns, loss=loss, offset=beside)
    want = [
        sl.d2_loss_score(NUMBERS, c, loss=sl.PinballLoss(q), offset=b)
        for c, q, b in zip(columns.T, levels, beside.T, strict=True)
    ]
    assert got == pytest.approx(np.mean(want))
    grid = {"alpha": [1e-4, 10.0]}
    search = GridSearchCV(model, grid, scoring=loss.as_scorer(), cv=3, error_score="raise")
    assert search.fit(X, NUMBERS).best_params_ == {"alpha": 1e-4}


def test_what_takes_no_list_says_where_lists_are_for():
    loss, y = sl.PinballLoss(quantile=[0.1, 0.9]), np.zeros(4)
    message = r"PinballLoss: here one value makes a loss; got the list quantile=\[0\.1, 0\.9\]"
    calls = [
        lambda: loss(y, y),
        lambda: loss(y, np.zeros((4, 2))),
        lambda: loss.gradient(y, y),
        lambda: sl.HuberLoss(delta=(1, 2)).loss(y, y),
    ]
    for call in calls[:-1]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match=r"quantile=\[0\.1, 0\.9\].*for each value"):
        sl.as_objective(loss, "xgboost")
    with pytest.raises(ValueError, match=r"got the list delta=\(1, 2\)"):
        calls[-1]()
    with pytest.raises(ValueError, match=r"y_pred must have shape \(n_samples, 2\).*got \(4,\)"):
        sl.mean_loss(y, y, loss=loss)
    with pytest.raises(ValueError, match=r"y_pred must have shape \(n_samples, 2\).*got \(4, 3\)"):
        sl.d2_loss_score(y, np.zeros((4, 3)), loss=loss)
    with pytest.raises(ValueError, match=r"a column for each of 2 values; got shape \(4, 3\)"):
        sl.d2_loss_score(y, np.zeros((4, 2)), loss=loss, offset=np.zeros((4, 3)))


def test_a_torch_module_of_a_list_is_refused():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(ValueError, match="takes a loss of one output; got PinballLoss with quant"):
        sl.as_torch(sl.PinballLoss(quantile=[0.1, 0.9]))


def test_a_score_that_is_not_defined_is_refused():
    model = exact("poisson").fit(X, COUNTS)
    with pytest.raises(ValueError, match="metric must be 'r2', 'd2' or None; got 'mse'"):
        model.score(X, COUNTS, metric="mse")
    with pytest.raises(ValueError, match=r"y_true must lie in \[0, inf\)"):
        model.score(X, -1 - COUNTS)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(X, COUNTS[1:])


@pytest.mark.parametrize("size", [1e307, 1e-300, 5e-324])
def test_weights_of_any_size_count_relatively_in_scores(size):
    weight = (WEIGHT > 0).astype(float)
    labels = np.minimum(COUNTS, 1)
    for model, y in (
        (exact("squared_error"), NUMBERS),
        (exact("poisson"), COUNTS),
        (SGDClassifierX("log_loss", random_state=0), labels),
    ):
        model.fit(X, y)
        want = model.score(X, y, weight)
        assert model.score(X, y, weight * size) == pytest.approx(want, rel=1e-12)
    model = exact("squared_error").fit(X, NUMBERS)
    for wrong in (0 * weight, weight * np.nan, weight[1:]):
        with pytest.raises(ValueError, match=r"[Ww]eight|inconsistent"):
            model.score(X, NUMBERS, wrong)


def test_a_model_that_is_not_fitted_has_no_score():
    for model in (SGDRegressorX(), SGDClassifierX()):
        with pytest.raises(NotFittedError):
            model.score(X, COUNTS)


def test_early_stopping_scores_the_models_own_loss_with_the_offset():
    class Watched(SGDRegressorX):
        def score(self, X, y, sample_weight=None, offset=None):
            score = super().score(X, y, sample_weight, offset=offset)
            off = offset + sl.HalfPoissonLoss().fit_intercept_only(y, sample_weight, offset)
            deviances = [
                mean_tweedie_deviance(y, m, power=1, sample_weight=sample_weight)
                for m in (self.predict(X, offset=offset), np.exp(off))
            ]
            seen.append((score, 1 - deviances[0] / deviances[1]))
            return score

    seen = []
    model = Watched("poisson", early_stopping=True, max_iter=8, random_state=0, tol=None)
    model.set_params(optimizer="adam", batch_size=16, learning_rate="constant", eta0=0.01)
    model.fit(X, COUNTS, sample_weight=WEIGHT + 0.5, offset=OFFSET)
    assert len(seen) == 8
    np.testing.assert_allclose(*zip(*seen, strict=True), rtol=1e-9)
    # A fit on its way to infinity has a score too, the least.
    far = exact("poisson").fit(X, COUNTS)
    far.coef_ = far.coef_ + 1e4
    assert far.score(X, COUNTS) == -np.inf


# ------------------------------------------------------------------------------ offsets in searches

LEFT_OUT = "was fitted with an offset"


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_a_scorer_gives_the_offset_to_the_model():
    model = exact("poisson").fit(X, COUNTS, offset=OFFSET)
    scorer = sl.HalfPoissonLoss().as_scorer()
    want = -sl.HalfPoissonLoss()(COUNTS, np.log(model.predict(X, offset=OFFSET)), WEIGHT)
    got = scorer(model, X, COUNTS, sample_weight=WEIGHT, offset=OFFSET)
    assert got == pytest.approx(want)
    labels = np.where(COUNTS > 0, "some", "none")
    for loss, y in (("log_loss", labels), ("hinge", labels), ("multinomial", labels)):
        classifier = SGDClassifierX(loss, batch_size=16, random_state=0).fit(X, y)
        scorer = sl.make_loss_scorer(loss)
        beside = np.c_[0 * OFFSET, OFFSET] if loss == "multinomial" else OFFSET
        raw = classifier.decision_function(X, offset=beside)
        codes = (y == "some").astype(float)
        if loss == "multinomial":
            raw = np.log(classifier.predict_proba(X, offset=beside))
        want = -sl.get_loss(loss)(codes, raw)
        assert scorer(classifier, X, y, offset=beside) == pytest.approx(want)
        assert scorer(classifier, X, y) != pytest.approx(want)


def test_an_offset_is_never_left_out_in_silence():
    scorer = sl.HalfPoissonLoss().as_scorer()
    plain = exact("poisson").fit(X, COUNTS)
    assert np.isfinite(scorer(plain, X, COUNTS))
    model = exact("poisson").fit(X, COUNTS, offset=OFFSET)
    labels = np.minimum(COUNTS, 1)
    classifier = SGDClassifierX("log_loss", batch_size=8, random_state=0)
    stream = SGDRegressorX("poisson", batch_size=8, random_state=0)
    stream.partial_fit(X, COUNTS, offset=OFFSET).partial_fit(X, COUNTS)
    search = GridSearchCV(exact("poisson"), {"alpha": [0.0, 1.0]}, scoring="r2")
    pipeline = make_pipeline(StandardScaler(), exact("poisson"))
    for fitted in (
        model,
        clone(stream).partial_fit(X, COUNTS, offset=OFFSET),
        stream,
        search.fit(X, COUNTS, offset=OFFSET),
        pipeline.fit(X, COUNTS, sgdregressorx__offset=OFFSET),
    ):
        with pytest.raises(ValueError, match=f"{type(fitted).__name__} {LEFT_OUT}"):
            scorer(fitted, X, COUNTS)
        assert np.isfinite(scorer(fitted, X, COUNTS, offset=OFFSET))
    for fitted, y in ((model, COUNTS), (classifier.fit(X, labels, offset=OFFSET), labels)):
        with pytest.warns(UserWarning, match=f"{type(fitted).__name__} {LEFT_OUT}"):
            fitted.score(X, y)
        # A new fit forgets.
        assert fitted.fit(X, y).score(X, y) > 0
    # A search without routing gives no scores that ignore the exposure.
    search = GridSearchCV(exact("poisson"), {"alpha": [0.0, 1.0]}, scoring=scorer, cv=3)
    with pytest.warns(UserWarning, match=rf"(?s){LEFT_OUT}.*enable_metadata_routing=True"):
        search.fit(X, COUNTS, offset=OFFSET)
    assert np.isnan(search.cv_results_["mean_test_score"]).all()


def test_searches_route_offsets_to_the_scorer(routing):
    scorer = sl.HalfPoissonLoss().as_scorer().set_score_request(offset=True, sample_weight=True)
    model = exact("poisson").set_fit_request(offset=True, sample_weight=True)
    folds = [(np.arange(200), np.arange(200, N))]
    given = {"offset": OFFSET, "sample_weight": WEIGHT + 1}
    train, test = ({k: v[rows] for k, v in given.items()} for rows in folds[0])
    want = []
    for alpha in (0.0, 1.0):
        fitted = clone(model).set_params(alpha=alpha).fit(X[:200], COUNTS[:200], **train)
        raw = np.log(fitted.predict(X[200:], offset=test["offset"]))
        want.append(-sl.HalfPoissonLoss()(COUNTS[200:], raw, test["sample_weight"]))
    grid = {"alpha": [0.0, 1.0]}
    for scoring in (scorer, clone(scorer, safe=False), {"a": scorer, "b": scorer}):
        refit = "a" if isinstance(scoring, dict) else True
        search = GridSearchCV(model, grid, scoring=scoring, cv=folds, refit=refit)
        search.set_params(error_score="raise").fit(X, COUNTS, **given)
        name = "mean_test_a" if isinstance(scoring, dict) else "mean_test_score"
        np.testing.assert_allclose(search.cv_results_[name], want)
        assert np.isfinite(search.score(X, COUNTS, **given))
    result = cross_validate(
        model, X, COUNTS, cv=folds, scoring=scorer, params=given, error_score="raise"
    )
    assert result["test_score"].shape == (1,)
    # Through a pipeline, whose step has to ask for it too.
    step = clone(model).set_predict_request(offset=True)
    pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), step)
    result = cross_validate(
        pipeline, X, COUNTS, cv=folds, scoring=scorer, params=given, error_score="raise"
    )
    assert np.isfinite(result["test_score"]).all()
    # Beside a scorer that asks for none, which gets none.
    plain = sl.HalfPoissonLoss().as_scorer().set_score_request(offset=False, sample_weight=False)
    result = cross_validate(
        exact("poisson").set_fit_request(offset=False, sample_weight=False),
        X,
        COUNTS,
        cv=folds,
        scoring={"plain": plain, "offset": scorer},
        params=given,
        error_score="raise",
    )
    assert result["test_plain"] != result["test_offset"]


def test_the_metric_of_score_is_no_metadata(routing):
    assert "metric" not in SGDRegressorX().get_metadata_routing().score.requests
    with pytest.raises(TypeError, match="metric"):
        SGDRegressorX().set_score_request(metric=True)


# ---------------------------------------------------------------------------------------- on device


@pytest.mark.parametrize("narrow", [False, True], ids=["float64", "float32"])
def test_scores_of_a_devices_arrays_are_the_cpus(device, narrow):
    xp = device.xp
    dtype = np.float32 if narrow else np.float64
    data = X.astype(dtype)
    for loss, y, offset in (
        ("poisson", COUNTS, OFFSET),
        ("poisson", np.c_[COUNTS, COUNTS[::-1]], np.c_[OFFSET, OFFSET]),
        (sl.PinballLoss(0.8), NUMBERS, None),
        (sl.PinballLoss([0.2, 0.8]), NUMBERS, OFFSET),
        ("huber", NUMBERS, OFFSET),
    ):
        model = SGDRegressorX(loss, optimizer="adam", batch_size=64, max_iter=3, tol=None)
        model.set_params(random_state=0).fit(data, y, offset=offset)
        there = {
            "sample_weight": xp.asarray(WEIGHT),
            "offset": None if offset is None else xp.asarray(offset),
        }
        for size, metric in ((1, None), (1, "d2"), (1, "r2"), (1e307, "r2"), (5e-324, "r2")):
            if size != 1:
                there["sample_weight"] = xp.asarray(np.sign(WEIGHT) * size)
                want = model.score(data, y, np.sign(WEIGHT), offset, metric=metric)
                got = model.score(xp.asarray(data), xp.asarray(y), **there, metric=metric)
                assert got == pytest.approx(want, rel=1e-4 if narrow else 1e-9)
                there["sample_weight"] = xp.asarray(WEIGHT)
                continue
            want = model.score(data, y, WEIGHT, offset, metric=metric)
            got = model.score(xp.asarray(data), xp.asarray(y), **there, metric=metric)
            assert type(got) is float and got == pytest.approx(want, rel=1e-4 if narrow else 1e-9)
        if y.ndim == 1:
            scorer = sl.make_loss_scorer(loss)
            got = scorer(model, xp.asarray(data), xp.asarray(y), **there)
            want = scorer(model, data, y, sample_weight=WEIGHT, offset=offset)
            assert got == pytest.approx(want, rel=1e-4 if narrow else 1e-9)


def test_float16_probabilities_are_clipped_at_their_own_digits():
    y, p = np.array([0, 1, 1, 0]), np.array([0.3, 0.0, 1.0, 1.0], dtype=np.float16)
    eps = float(np.finfo(np.float16).eps)
    q = np.clip(p.astype(float), eps, 1 - eps)
    want = -np.mean(np.log(np.where(y == 1, q, 1 - q)))
    assert sl.mean_loss(y, p, loss="log_loss") == pytest.approx(want)
