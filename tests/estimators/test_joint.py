"""Fits of losses of all samples together."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_losses as sl
from sklearn_losses import CoxLoss, HalfSquaredError, SGDRegressorX, survival_target
from sklearn_losses.losses.joint import Joint, JointLoss

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 4)) * [1.0, 10.0, 1e3, 1e-3] + [0.0, 5.0, 1e4, 0.0]
Y = X @ [1.0, 0.1, 0.01, 1e3] + 3.0 + rng.normal(size=300)
RISK = (X - X.mean(axis=0)) / X.std(axis=0) @ [1.0, -0.5, 0.3, 0.0]
TIME, LIMIT = rng.exponential(np.exp(-RISK)).round(2), rng.exponential(2.0, size=300).round(2)
TARGET = survival_target(np.minimum(TIME, LIMIT), TIME <= LIMIT)


class Sum(JointLoss):
    """Half the squared error, as if it were one of all samples together."""

    @classmethod
    def _lacks(cls):
        return None

    def read_target(self, y_true):
        return np.asarray(y_true, dtype=np.float64).reshape(len(y_true), 1)

    def _joint(self, target, weight):
        return Squares(target[:, 0], weight)


class Squares(Joint):
    def __init__(self, y, weight):
        self.y, self.weight, self.n = y, np.ones(len(y)) if weight is None else weight, len(y)
        self.mass = float(self.weight.sum())

    def value_gradient(self, raw):
        left = raw - self.y
        return 0.5 * float(self.weight @ left**2), self.weight * left

    def gradient_hessian(self, raw):
        return self.weight * (raw - self.y), self.weight


@pytest.mark.parametrize("design", [np.asarray, sparse.csr_matrix, np.float32])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet", "mcp", None])
def test_a_joint_loss_that_is_a_sum_fits_as_the_sum(penalty, design):
    given = {"penalty": penalty, "alpha": 0.01, "optimizer": "auto", "tol": 1e-9}
    offset, weight = 10.0 * RISK, rng.uniform(0.5, 2.0, size=300)
    a, b = (
        SGDRegressorX(loss, **given).fit(design(X), Y, sample_weight=weight, offset=offset)
        for loss in (Sum(), HalfSquaredError())
    )
    single = design is np.float32
    np.testing.assert_allclose(
        a.predict(design(X)), b.predict(design(X)), atol=0.05 if single else 1e-3
    )
    assert a.loss_curve_[-1] == pytest.approx(b.loss_curve_[-1], rel=1e-4 if single else 1e-8)


def test_bounds_validation_and_early_stopping_know_joint_losses():
    given = {"optimizer": "lbfgs", "alpha": 0.01, "tol": 1e-9}
    a, b = (
        SGDRegressorX(loss, positive=True, **given).fit(X, Y)
        for loss in (Sum(), HalfSquaredError())
    )
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=1e-4, atol=1e-6)
    a, b = (
        SGDRegressorX(loss, **given).fit(X, Y, X_val=X[:50], y_val=Y[:50])
        for loss in (Sum(), HalfSquaredError())
    )
    assert a.validation_curve_[-1] == pytest.approx(b.validation_curve_[-1], rel=1e-3)
    held = SGDRegressorX("cox", early_stopping=True, random_state=0, optimizer="lbfgs")
    assert held.fit(X, TARGET).score(X, TARGET) > 0.6


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "saga", "newton", "interior-point"])
def test_what_takes_some_samples_refuses_a_loss_of_all(optimizer):
    with pytest.raises(ValueError, match=r"one of all samples together\. Use optimizer='auto'"):
        SGDRegressorX("cox", optimizer=optimizer).fit(X, TARGET)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("design", [np.asarray, sparse.csr_matrix])
def test_coxs_model_is_statsmodels(ties, design):
    duration = pytest.importorskip("statsmodels.duration.hazard_regression")
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    peer = duration.PHReg(TARGET["time"], Z, TARGET["event"].astype(int), ties=ties)
    want = peer.fit(method="newton", maxiter=100).params / X.std(axis=0)
    model = SGDRegressorX(CoxLoss(ties), optimizer="auto", alpha=0, tol=1e-12)
    model.fit(design(X), TARGET)
    np.testing.assert_allclose(model.coef_, want, rtol=1e-5)
    assert (model.intercept_ == 0).all()
    assert model.score(X, TARGET) == sl.concordance_index(TARGET, model.predict(X))
    want = model.loss_.baseline(TARGET, model.predict(X)).survival_function(
        model.predict(X[:4]), [0.1, 1.0]
    )
    np.testing.assert_array_equal(model.predict_survival_function(X[:4], [0.1, 1.0]), want)


def test_coxs_lasso_is_at_its_minimum_and_goes_into_searches():
    model = SGDRegressorX("cox", penalty="l1", alpha=0.1, optimizer="auto", tol=1e-10)
    Z = StandardScaler().fit_transform(X)
    model.fit(Z, TARGET)
    slopes = Z.T @ CoxLoss().gradient(TARGET, model.predict(Z)) / 300
    held = model.coef_ == 0
    assert held.any() and not held.all()
    assert (np.abs(slopes[held]) <= 0.1).all()
    np.testing.assert_allclose(slopes[~held], -0.1 * np.sign(model.coef_[~held]), rtol=1e-4)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model),
        {"sgdregressorx__alpha": [1e-3, 0.5]},
        error_score="raise",
    )
    assert search.fit(X, TARGET).best_params_ == {"sgdregressorx__alpha": 1e-3}
    by_loss = GridSearchCV(search.estimator, {"sgdregressorx__alpha": [1e-3]}, scoring="r2")
    by_loss.set_params(scoring=CoxLoss().as_scorer(), error_score="raise").fit(X, TARGET)
    assert by_loss.best_score_ < 0


def test_a_failed_fit_leaves_the_model_as_it_was():
    model = SGDRegressorX("cox", optimizer="auto").fit(X, TARGET)
    before = model.coef_.copy()
    for y in (Y, TARGET[:10], survival_target(TIME, np.zeros(300))):
        with pytest.raises(ValueError):
            model.fit(X, y)
    np.testing.assert_array_equal(model.coef_, before)
    assert model.baseline_hazard_.cumulative_hazard.size


def test_an_interrupted_fit_has_the_baseline_of_its_own_model(monkeypatch):
    from sklearn_losses._solvers.fit import Fit

    model = SGDRegressorX("cox", optimizer="lbfgs", alpha=1.0).fit(X, TARGET)
    before, after = model.coef_.copy(), Fit.after

    def interrupted(fit, epoch):
        after(fit, epoch)
        if fit.n_iter == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Fit, "after", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(alpha=0).fit(X, TARGET)
    assert (model.coef_ != before).any()
    want = model.loss_.baseline(TARGET, model.predict(X)).cumulative_hazard
    np.testing.assert_array_equal(model.baseline_hazard_.cumulative_hazard, want)


@pytest.mark.parametrize("loss", ["pairwise_logistic", "pairwise_hinge", "listnet"])
def test_rankings_are_fitted_to_their_minimum(loss):
    Z = StandardScaler().fit_transform(X)
    y = sl.ranking_target(
        np.digitize(RISK + rng.normal(size=300), [-1, 0, 1]), np.arange(300) // 12
    )
    model = SGDRegressorX(loss, optimizer="auto", alpha=0.01, tol=1e-9).fit(Z, y)

    def objective(coef):
        return model.loss_(y, Z @ coef) + 0.005 * coef @ coef

    least = model.loss_(y, Z @ model.coef_) + 0.005 * model.coef_ @ model.coef_
    for direction in np.vstack([np.eye(4), rng.normal(size=(12, 4))]):
        for step in (1e-2, -1e-2, 1e-1, -1e-1):
            assert objective(model.coef_ + step * direction) > least - 1e-7
    assert (model.intercept_ == 0).all()
    assert sl.ndcg(y, model.predict(Z)) > sl.ndcg(y, rng.normal(size=300)) + 0.1


def test_what_has_no_minimum_is_refused():
    y = sl.ranking_target(np.arange(300) % 3, np.arange(300) // 12)
    with pytest.raises(ValueError, match="LambdaRank has no minimum to fit to"):
        SGDRegressorX("lambdarank", optimizer="auto").fit(X, y)
