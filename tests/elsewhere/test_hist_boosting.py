"""Our losses inside scikit-learn's HistGradientBoosting, through its `_get_loss`."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

import sklearn_losses as sl


def boosting(base, loss):
    """scikit-learn's estimator with a loss of ours."""

    class Boosting(base):
        def _get_loss(self, sample_weight):
            return loss

    return Boosting


PEERS = {
    "squared_error": (sl.HalfSquaredError(), {}),
    "absolute_error": (sl.AbsoluteError(), {}),
    "quantile": (sl.PinballLoss(quantile=0.8), {"quantile": 0.8}),
    "poisson": (sl.HalfPoissonLoss(), {}),
    "gamma": (sl.HalfGammaLoss(), {}),
    "log_loss": (sl.HalfBinomialLoss(), {}),
}


# Without weights scikit-learn's quantile of a leaf lies between two targets, elsewhere than ours.
CASES = [(name, True) for name in PEERS] + [(name, False) for name in PEERS if name != "quantile"]


@pytest.mark.parametrize("name, weighted", CASES)
def test_the_trees_are_scikit_learns_own_with_and_without_weights(name, weighted):
    loss, params = PEERS[name]
    base = HistGradientBoostingRegressor if name != "log_loss" else HistGradientBoostingClassifier
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 3))
    y = rng.gamma(2, np.exp(0.5 * X[:, 0] + 0.3 * np.sign(X[:, 1])))
    if name == "log_loss":
        y = (y > 2).astype(int)
    weight = rng.uniform(0.1, 4, 300) if weighted else None
    settings = {"loss": name, "max_iter": 15, "early_stopping": False, **params}
    models = [
        cls(**settings).fit(X, y, sample_weight=weight) for cls in (boosting(base, loss), base)
    ]
    got, want = (
        model.decision_function(X) if name == "log_loss" else model.predict(X) for model in models
    )
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8)
    assert np.ptp(want) > 0.5


def test_no_loss_claims_one_hessian_for_every_weight():
    for name, cls in sl.LOSSES.items():
        assert not cls().constant_hessian, name
