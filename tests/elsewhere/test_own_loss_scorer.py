"""A scorer without a loss judges models by their own; that of a distribution refuses another's."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_losses import (
    AFT,
    GammaNLL,
    GaussianCRPS,
    GaussianNLL,
    GeneralRobustNLL,
    LaplaceNLL,
    SGDClassifierX,
    SGDRegressorX,
    StudentTNLL,
    TweedieNLL,
    make_loss_scorer,
    mean_loss,
)

rng = np.random.RandomState(0)
X = rng.normal(size=(300, 2))
y = 5 + X[:, 0] + 0.2 * rng.standard_t(4, size=300)


def fitted(loss, **params):
    return SGDRegressorX(loss, optimizer="auto", **params).fit(X, y)


@pytest.mark.parametrize(
    "loss", [GaussianNLL(), StudentTNLL(), LaplaceNLL("constant"), GeneralRobustNLL()], ids=str
)
def test_a_model_is_judged_by_its_own_density(loss):
    model = fitted(loss)
    log_density = np.mean(model.predict_distribution(X).logpdf(y))
    assert make_loss_scorer(None)(model, X, y) == pytest.approx(log_density, rel=1e-10)


@pytest.mark.parametrize("loss", ["squared_error", "huber", "absolute_error"])
def test_other_losses_are_judged_by_themselves_too(loss):
    model, weight = fitted(loss), rng.uniform(0.5, 2, 300)
    got = make_loss_scorer(None)(model, X, y, sample_weight=weight)
    want = mean_loss(y, model.predict(X), loss=loss, sample_weight=weight)
    assert got == pytest.approx(-want, rel=1e-12)


def test_classifiers_are_judged_by_their_probabilities():
    labels = np.array(["no", "yes"])[(y > 5).astype(int)]
    model = SGDClassifierX("log_loss", optimizer="auto").fit(X, labels)
    got = make_loss_scorer(None)(model, X, labels)
    assert got == make_loss_scorer("log_loss")(model, X, labels)


def test_a_search_over_families_finds_the_one_of_the_data():
    model = make_pipeline(StandardScaler(), SGDRegressorX(optimizer="auto"))
    grid = {
        "sgdregressorx__loss": [GaussianNLL("constant"), StudentTNLL(scale="constant"), GammaNLL()]
    }
    search = GridSearchCV(model, grid, scoring=make_loss_scorer(None), error_score="raise")
    assert search.fit(X, y).best_params_ == {"sgdregressorx__loss": StudentTNLL(scale="constant")}
    assert search.score(X, y) == make_loss_scorer(None)(search, X, y)


def test_a_search_over_powers_compares_rows_of_two_and_three_columns():
    amounts = rng.gamma(1.5 * rng.poisson(np.exp(0.3 * X[:, 0])), 2.0)
    model = SGDRegressorX(TweedieNLL(), optimizer="auto")
    grid = {"loss__power": ["constant", 1.9]}
    search = GridSearchCV(model, grid, scoring=make_loss_scorer(None), error_score="raise")
    assert search.fit(X, amounts).best_params_ == {"loss__power": "constant"}


@pytest.mark.parametrize(
    "judge, own",
    [
        (GaussianNLL(), StudentTNLL()),
        (StudentTNLL(), LaplaceNLL()),
        (StudentTNLL(df=3), StudentTNLL(df=4)),
        (GaussianCRPS(), GammaNLL()),
        (TweedieNLL(power=1.2), TweedieNLL(power=1.5)),
        (TweedieNLL(), TweedieNLL(power=1.5)),
        (GeneralRobustNLL(alpha=1.0), GeneralRobustNLL(alpha=1.5)),
        (GaussianNLL(), AFT()),
    ],
    ids=str,
)
def test_raw_predictions_that_mean_something_else_are_refused(judge, own):
    model = fitted(own)
    with pytest.raises(ValueError, match=r"cannot judge.*make_loss_scorer\(None\)"):
        judge.as_scorer()(model, X, y)


@pytest.mark.parametrize(
    "judge, own",
    [
        (GaussianNLL(), GaussianNLL("constant")),
        (GaussianNLL(), GaussianCRPS()),
        (GaussianCRPS("constant"), GaussianNLL()),
        (StudentTNLL(df=4.0), StudentTNLL(df=4)),
        (GeneralRobustNLL("linear"), GeneralRobustNLL()),
    ],
    ids=str,
)
def test_scores_of_the_same_distribution_judge_each_others_models(judge, own):
    model = fitted(own)
    assert judge.as_scorer()(model, X, y) == pytest.approx(-judge(y, model.predict_raw(X)))


def test_offsets_come_to_the_own_loss():
    counts, exposure = rng.poisson(np.exp(0.3 * X[:, 0])), np.log(rng.uniform(0.5, 2, 300))
    model = SGDRegressorX("poisson", optimizer="auto").fit(X, counts, offset=exposure)
    own = make_loss_scorer(None)
    want = make_loss_scorer("poisson")(model, X, counts, offset=exposure)
    assert own(model, X, counts, offset=exposure) == want
    with pytest.raises(ValueError, match="fitted with an offset"):
        own(model, X, counts)


def test_it_is_copied_and_pickled_and_says_what_it_is():
    scorer, model = make_loss_scorer(None), fitted("huber")
    for copy in (clone(scorer), pickle.loads(pickle.dumps(scorer))):
        assert copy(model, X, y) == scorer(model, X, y)
        assert repr(copy) == "make_loss_scorer(None)"


def test_a_model_without_a_loss_is_refused():
    with pytest.raises(AttributeError, match="loss_"):
        make_loss_scorer(None)(Ridge().fit(X, y), X, y)
