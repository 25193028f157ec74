"""Paths of alphas are the fits one by one, and the search finds what scikit-learn's find."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV, LinearRegression, LogisticRegressionCV, lasso_path
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_losses import (
    MCP,
    AlphaSearchCV,
    GroupLasso,
    SGDClassifierX,
    SGDRegressorX,
    alpha_path,
)

RNG = np.random.RandomState(0)
N, D = 120, 150
X = RNG.standard_normal((N, D)) * 10.0 ** RNG.uniform(-1, 1, D)
COEF = RNG.standard_normal(D) * (RNG.uniform(size=D) < 0.05) / X.std(axis=0)
Y = X @ COEF + 0.5 * RNG.standard_normal(N)
TWO, THREE = (Y > 0).astype(int), np.digitize(Y, [-1, 1])
LAYOUTS = {"dense": np.asarray, "csr": sparse.csr_matrix}
TIGHT = {"tol": 1e-6, "optimizer": "auto"}


def close(a, b, **tolerance):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), **tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lasso_path(layout):
    centered = X - X.mean(axis=0)
    alphas, coefs, _ = lasso_path(centered, Y - Y.mean(), n_alphas=20, tol=1e-10, max_iter=100_000)
    models = alpha_path(SGDRegressorX(penalty="l1", **TIGHT), LAYOUTS[layout](X), Y, n_alphas=20)
    close([m.alpha for m in models], alphas, rtol=1e-9)
    close([m.coef_ for m in models], coefs.T, atol=1e-5 * np.abs(coefs).max())
    assert not models[0].coef_.any() and models[1].coef_.any()
    assert all(m.stop_reason_ == "converged" for m in models)


GROUPS = GroupLasso(np.arange(D).reshape(-1, 5).tolist())
CASES = [
    (SGDRegressorX("huber", penalty="elasticnet", l1_ratio=0.5), Y),
    (SGDRegressorX("squared_error", penalty=GROUPS), Y),
    (SGDRegressorX("squared_error", penalty=MCP(3.0)), Y),
    (SGDRegressorX("quantile", penalty="l1"), Y),
    (SGDClassifierX("log_loss", penalty="l1"), TWO),
    (SGDClassifierX("log_loss", penalty="l1"), THREE),
    (SGDClassifierX("multinomial", penalty="l1"), THREE),
    (SGDClassifierX("log_loss", penalty="l2"), TWO),
    (SGDClassifierX("log_loss", penalty="l1", bounds=(-0.01, 0.02)), TWO),
    (SGDRegressorX("squared_error", penalty="l1", fit_intercept=False), Y),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("model, y", CASES, ids=lambda case: str(case)[:60])
def test_are_the_fits_one_by_one(model, y):
    model = clone(model).set_params(**TIGHT)
    weight = RNG.uniform(0.5, 2.0, N)
    models = alpha_path(model, X, y, n_alphas=6, eps=0.05, sample_weight=weight)
    for found in models:
        alone = clone(model).set_params(alpha=found.alpha).fit(X, y, sample_weight=weight)
        close(found.loss_curve_[-1], alone.loss_curve_[-1], rtol=1e-7)
        if not isinstance(model.penalty, MCP):
            size = np.abs(alone.coef_).max()
            close(found.coef_, alone.coef_, atol=1e-3 * size + 1e-12)
            close(found.predict(X[:5]), alone.predict(X[:5]), rtol=1e-3, atol=1e-2)
    none, some = models[0], models[-1]
    if model.penalty != "l2" and model.loss != "quantile":  # whose kinks have more than one slope
        assert np.abs(none.coef_).max() <= 1e-8 * np.abs(some.coef_).max()


def test_screening_alone_is_not_believed(monkeypatch):
    # Of the strong rule's mistakes: columns that it left out are found all the same.
    from sklearn_losses._solvers import parts

    def nothing(self, *arguments, follow=parts.Part.follow):
        follow(self, *arguments)
        self.strong = np.zeros(D, dtype=bool)

    model = SGDRegressorX(penalty="l1", **TIGHT)
    right = alpha_path(model, X, Y, n_alphas=8)
    monkeypatch.setattr(parts.Part, "follow", nothing)
    found = alpha_path(model, X, Y, n_alphas=8)
    close([m.coef_ for m in found], [m.coef_ for m in right], atol=1e-6)


def test_models_go_on_by_themselves():
    models = alpha_path(SGDClassifierX(loss="log_loss", penalty="l1", **TIGHT), X, TWO, n_alphas=3)
    model = models[1]
    assert model.get_params()["alpha"] == model.alpha
    assert list(model.classes_) == [0, 1] and model.n_features_in_ == D
    other = clone(model).fit(X, TWO)
    close(model.fit(X, TWO).coef_, other.coef_)
    model.set_params(optimizer="adam").partial_fit(X, TWO)


def test_alphas():
    model = SGDRegressorX(penalty="l1", **TIGHT)
    models = alpha_path(model, X, Y, alphas=[0.1, 1.0, 0.5])
    assert [m.alpha for m in models] == [1.0, 0.5, 0.1]
    for wrong in ([0.0, 1.0], [-1.0], [], [np.inf]):
        with pytest.raises(ValueError, match="alphas must be numbers in"):
            alpha_path(model, X, Y, alphas=wrong)
    with pytest.raises(ValueError, match="n_alphas"):
        alpha_path(model, X, Y, n_alphas=0)
    with pytest.raises(ValueError, match="eps must be in"):
        alpha_path(model, X, Y, eps=1.0)
    with pytest.raises(ValueError, match="no effect without a penalty"):
        alpha_path(SGDRegressorX(penalty=None), X, Y)
    with pytest.raises(ValueError, match="early_stopping should be False"):
        alpha_path(SGDRegressorX(early_stopping=True), X, Y)
    with pytest.raises(ValueError, match="alphas must be given"):
        alpha_path(model, X, np.ones(N))
    with pytest.raises(TypeError, match="got LinearRegression"):
        alpha_path(LinearRegression(), X, Y)
    with pytest.warns(ConvergenceWarning, match="2 of 3 fits along the path did not converge"):
        alpha_path(model.set_params(loss="log_cosh", max_iter=1), X, Y, n_alphas=3)


def test_search_is_lasso_cv():
    right = LassoCV(alphas=30, cv=4, tol=1e-8, max_iter=100_000).fit(X, Y)
    search = AlphaSearchCV(
        SGDRegressorX(penalty="l1", **TIGHT),
        n_alphas=30,
        cv=4,
        scoring="neg_mean_squared_error",
    ).fit(X, Y)
    close(search.alphas_, right.alphas_, rtol=1e-9)
    close(-search.scores_, right.mse_path_, rtol=1e-5)
    close(search.alpha_, right.alpha_)
    close(search.coef_, right.coef_, atol=1e-5 * np.abs(right.coef_).max())
    close(search.predict(X), right.predict(X), atol=1e-5)
    assert is_regressor(search) and search.n_features_in_ == D


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_search_is_logistic_regression_cv():
    alphas = np.logspace(-3, 0, 6)
    n = N - N // 4
    right = LogisticRegressionCV(
        Cs=1 / (alphas * n), cv=KFold(4), tol=1e-9, max_iter=10_000, scoring="neg_log_loss"
    ).fit(X, TWO)
    search = AlphaSearchCV(
        SGDClassifierX("log_loss", **TIGHT), alphas=alphas, cv=KFold(4), scoring="neg_log_loss"
    ).fit(X, TWO)
    scores = np.asarray(right.scores_[1] if isinstance(right.scores_, dict) else right.scores_)
    close(np.sort(search.scores_.ravel()), np.sort(scores.ravel()), rtol=1e-3)
    assert is_classifier(search) and search.predict_proba(X).shape == (N, 2)
    assert search.decision_function(X).shape == (N,) and list(search.classes_) == [0, 1]


def test_search_is_grid_search():
    weight, offset = RNG.uniform(0.5, 2.0, N), 0.1 * RNG.standard_normal(N)
    y = RNG.poisson(np.exp(np.clip(0.2 * Y, -2, 2))).astype(float)
    model = SGDRegressorX("poisson", penalty="l1", **TIGHT)
    alphas = [0.3, 0.1, 0.03]
    search = AlphaSearchCV(model, alphas=alphas, cv=3)
    search.fit(X, y, sample_weight=weight, offset=offset)
    for i, (train, test) in enumerate(KFold(3).split(X)):
        for alpha, scores in zip(search.alphas_, search.scores_, strict=True):
            alone = clone(model).set_params(alpha=alpha)
            alone.fit(X[train], y[train], sample_weight=weight[train], offset=offset[train])
            score = alone.score(X[test], y[test], weight[test], offset=offset[test])
            close(scores[i], score, rtol=1e-4)
    assert search.score(X, y, weight, offset=offset) > 0
    close(search.predict(X, offset), search.best_estimator_.predict(X, offset))
    grid = GridSearchCV(model, {"alpha": alphas}, cv=3).fit(X, y)
    plain = AlphaSearchCV(model, alphas=alphas, cv=3, n_jobs=2).fit(X, y)
    close(plain.alpha_, grid.best_params_["alpha"])
    close(plain.best_score_, grid.best_score_, rtol=1e-4)


def test_search_is_an_estimator():
    search = AlphaSearchCV(SGDRegressorX("huber", penalty="l1", **TIGHT), n_alphas=5, cv=2)
    assert not hasattr(search, "coef_") and not hasattr(search, "predict_proba")
    again = clone(search).set_params(estimator__loss="squared_error", n_alphas=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        assert again.fit(sparse.csr_matrix(X), Y).scores_.shape == (4, 2)
    assert again.score(X, Y) > 0.5
    with pytest.raises(AttributeError, match="no attribute 'nothing_'"):
        again.nothing_  # noqa: B018
