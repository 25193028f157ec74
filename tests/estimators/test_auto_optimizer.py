"""What `optimizer="auto"` stands for, and that the guide says it."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from sklearn_losses import GroupLasso, LaplaceNLL, PinballLoss, SGDClassifierX, SGDRegressorX
from sklearn_losses._solvers import auto

RNG = np.random.RandomState(0)
X = RNG.standard_normal((80, 4))
Y = X @ np.array([1.0, -1.0, 0.5, 0.0]) + 0.1 * RNG.standard_normal(80)
TWO, THREE = (Y > 0).astype(int), np.digitize(Y, [-0.5, 0.5])
WIDE = sparse.random(40, 3000, 0.01, format="csr", random_state=0)

CASES = [
    ("squared_error", {}, X, Y, "newton"),
    ("squared_error", {"penalty": "l1", "alpha": 0.1}, X, Y, "newton"),
    ("squared_error", {"penalty": "mcp", "alpha": 0.1}, X, Y, "newton"),
    ("squared_error", {"penalty": GroupLasso([[0, 1], [2, 3]]), "alpha": 0.1}, X, Y, "newton"),
    ("log_loss", {"positive": True}, X, TWO, "newton"),
    ("log_loss", {"positive": True}, WIDE, TWO[:40], "lbfgs"),
    ("log_loss", {}, WIDE, TWO[:40], "newton"),
    ("multinomial", {}, X, THREE, "newton"),
    ("multinomial", {}, WIDE, THREE[:40], "lbfgs"),
    ("multinomial", {"penalty": "l1", "alpha": 0.01}, WIDE, THREE[:40], "newton"),
    ("quantile", {}, X, Y, "interior-point"),
    (PinballLoss([0.1, 0.9]), {"penalty": "l1", "alpha": 0.01}, X, Y, "interior-point"),
    ("hinge", {}, X, TWO, "interior-point"),
    ("laplace_nll", {}, X, Y, "interior-point"),
    (LaplaceNLL("constant"), {"penalty": "l1", "alpha": 0.01}, X, Y, "interior-point"),
    ("hinge", {"penalty": "mcp"}, X, TWO, "gd"),
    ("multiclass_hinge", {}, X, THREE, "saga"),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss, params, x, y, name", CASES)
def test_what_it_stands_for(loss, params, x, y, name):
    kind = SGDRegressorX if y is Y else SGDClassifierX
    model = kind(loss, optimizer="auto", max_iter=50, random_state=0, **params).fit(x, y)
    assert model.optimizer_.name == name and model.optimizer == "auto"
    same = kind(loss, optimizer=name, max_iter=50, random_state=0, **params).fit(x, y)
    np.testing.assert_array_equal(model.coef_, same.coef_)


def test_lbfgs_takes_a_kink_in_very_many_columns(monkeypatch):
    monkeypatch.setattr(auto, "MOST_FEATURES", 3)
    model = SGDRegressorX("absolute_error", optimizer="auto").fit(X, Y)
    assert model.optimizer_.name == "lbfgs"


def test_streams():
    model = SGDClassifierX("log_loss", optimizer="auto")
    model.partial_fit(X, TWO, classes=[0, 1]).partial_fit(X, TWO)
    assert model.optimizer_.name == "implicit_adagrad" and model.t_ > 80
    assert SGDRegressorX(optimizer="adam").fit(X, Y).optimizer_.name == "adam"


def test_the_guide_has_the_rules():
    guide = Path(__file__).parents[2] / "docs" / "guide" / "optimizers.rst"
    text = guide.read_text(encoding="utf-8")
    rows = re.findall(r"   \* - \"([a-z_-]+)\"\n     - (.*)\n", text)
    assert rows == [(rule.optimizer.name, rule.when) for rule in auto.RULES]
