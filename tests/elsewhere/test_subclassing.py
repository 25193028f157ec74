"""Losses, schedules and optimizers of a user's own, as classes in plain Python: they do what the
built-in ones do, or an error says how to do it instead."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale
from suited import ONLY

import sklearn_losses as sl
from sklearn_losses.links import Interval, LogitLink
from sklearn_losses.optimizers import OPTIMIZERS
from sklearn_losses.testing import check_loss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

STEPPING = [name for name, cls in OPTIMIZERS.items() if not cls.full_batch]
X, Y = load_diabetes(return_X_y=True)
X, Y = scale(X[:120]), scale(Y[:120])
LABELS = np.where(Y > 0.1, "yes", "no")


class OwnHuber(sl.CustomLoss):
    convex = True

    def __init__(self, delta=1.0):
        self.delta = delta

    def value(self, y_true, raw_prediction):
        r = abs(raw_prediction - y_true)
        return np.where(r > self.delta, self.delta * (r - self.delta / 2), r**2 / 2)

    def derivative(self, y_true, raw_prediction):
        return np.clip(raw_prediction - y_true, -self.delta, self.delta)


class OwnLogLoss(sl.CustomLoss):
    task = "binary"
    link = LogitLink()
    interval_y_true = Interval(0, 1, True, True)
    convex = True

    def value(self, y_true, raw_prediction):
        with np.errstate(invalid="ignore"):  # NaN
            return np.logaddexp(0, raw_prediction) - y_true * raw_prediction

    def derivative(self, y_true, raw_prediction):
        return 1 / (1 + np.exp(-raw_prediction)) - y_true

    def second_derivative(self, y_true, raw_prediction):
        p = 1 / (1 + np.exp(-raw_prediction))
        return np.where(np.isnan(y_true), np.nan, p * (1 - p))


class PowerDecay(sl.Schedule):
    def __init__(self, power=0.5):
        self.power = power

    def factors(self, epochs):
        return [1 / (1 + epoch) ** self.power for epoch in epochs]


class Heavy(sl.Momentum):
    """Another default."""

    name = "heavy"

    def __init__(self, momentum=0.5):
        super().__init__(momentum)


class Windowed(sl.Adam):
    """One parameter, from which the others are computed."""

    def __init__(self, window=100):
        self.window = window
        self.eps, self.amsgrad = 1e-8, False

    @property
    def beta1(self):
        return 1 - 10 / self.window

    @property
    def beta2(self):
        return 1 - 1 / self.window


class Short(sl.LBFGS):
    name = "short"

    def __init__(self, corrections=3):
        super().__init__(corrections)


def fitted(model, y=Y):
    settings = {"max_iter": 5, "tol": None, "random_state": 0, "batch_size": 8}
    return model.set_params(**settings).fit(X, y)


def assert_same_coef(mine, theirs, rtol=1e-9):
    np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=rtol)
    np.testing.assert_allclose(mine.intercept_, theirs.intercept_, rtol=rtol)


# ------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_loss_trains_the_model_of_the_built_in_one(optimizer):
    if optimizer in ONLY:  # it asks for the terms of a loss, which these have not
        for loss in (OwnHuber(delta=0.5), sl.HuberLoss(delta=0.5)):
            with pytest.raises(ValueError, match=r"a sum of functions .* one kink each \(`_terms`"):
                fitted(sl.SGDRegressorX(loss, optimizer=optimizer))
        return
    rtol = 1e-5 if OPTIMIZERS[optimizer].full_batch else 1e-9  # searches along lines differ
    mine, theirs = (
        fitted(sl.SGDRegressorX(loss, optimizer=optimizer))
        for loss in (OwnHuber(delta=0.5), sl.HuberLoss(delta=0.5))
    )
    assert_same_coef(mine, theirs, rtol)
    mine, theirs = (
        fitted(sl.SGDClassifierX(loss, optimizer=optimizer), LABELS)
        for loss in (OwnLogLoss(), "log_loss")
    )
    assert_same_coef(mine, theirs, rtol)
    np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-4)


def test_a_loss_of_one_sample_a_step_and_of_weights():
    weight = np.linspace(0, 1, len(Y))
    mine, theirs = (
        sl.SGDRegressorX(loss, max_iter=3, tol=None, random_state=0).fit(X, Y, sample_weight=weight)
        for loss in (OwnHuber(0.5), sl.HuberLoss(0.5))
    )
    assert_same_coef(mine, theirs)


@pytest.mark.parametrize("loss", [OwnHuber(), OwnHuber(0.3), OwnLogLoss()], ids=repr)
def test_a_loss_keeps_what_built_in_ones_promise(loss):
    check_loss(loss)
    assert loss.approx_hessian == isinstance(loss, OwnHuber)


def test_a_loss_is_a_scorer_a_metric_and_an_objective():
    mine, theirs = OwnHuber(0.5), sl.HuberLoss(0.5)
    model = fitted(sl.SGDRegressorX("squared_error"))
    assert mine.as_scorer()(model, X, Y) == pytest.approx(theirs.as_scorer()(model, X, Y))
    raw = model.predict(X)
    assert sl.mean_loss(Y, raw, loss=mine) == pytest.approx(sl.mean_loss(Y, raw, loss=theirs))
    for library in ("xgboost", "lightgbm"):
        gradients = [
            sl.as_objective(loss, library)(Y, raw)[0].ravel()  # scikit-learn's signature
            for loss in (mine, theirs)
        ]
        np.testing.assert_allclose(*gradients, rtol=1e-6)


def test_a_loss_is_a_module_of_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    raw = torch.linspace(-2, 2, 9, dtype=torch.float64)
    values = [sl.as_torch(loss)(raw, 0 * raw) for loss in (OwnHuber(0.5), sl.HuberLoss(0.5))]
    assert float(values[0]) == pytest.approx(float(values[1]))


# -------------------------------------------------------------------------------- all, as objects

# An object with another value of its parameter, and where an estimator has it.
OBJECTS = {
    "loss": (OwnHuber(), {"delta": 0.25}),
    "learning_rate": (PowerDecay(), {"power": 2.0}),
    "optimizer": (Heavy(), {"momentum": 0.1}),
}


@pytest.mark.parametrize("place", OBJECTS)
def test_parameters_are_reached_copied_and_shown(place):
    thing, other = OBJECTS[place]
    ((name, value),) = other.items()
    cls = type(thing)
    for copy in (clone(thing), pickle.loads(pickle.dumps(thing)), eval(repr(thing), globals())):
        assert copy == thing and copy is not thing
    assert repr(cls(value)) == f"{cls.__name__}({name}={value})"
    assert cls.__name__ in thing._repr_html_()
    model = sl.SGDRegressorX(**{"optimizer": "adam", place: thing})
    key = f"{place}__{name}"
    assert model.get_params()[key] == getattr(thing, name)
    search = GridSearchCV(model, {key: [getattr(thing, name), value]}, cv=2, error_score="raise")
    search.set_params(estimator__max_iter=3, estimator__tol=None).fit(X, Y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] != scores[1]
    assert getattr(thing, name) != value  # the search has changed copies
    best = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(best.predict(X), search.best_estimator_.predict(X))
    assert cls.__name__ in best._repr_html_()


# ---------------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize("optimizer", STEPPING)
def test_a_schedule_gives_every_optimizer_that_steps_its_rates(optimizer):
    model = fitted(sl.SGDRegressorX(optimizer=optimizer, learning_rate=PowerDecay(), eta0=0.01))
    last = np.arange(1, 6) - 8 / len(X)  # of each epoch, the step before its end
    np.testing.assert_allclose(model.learning_rate_curve_, 0.01 / (1 + last) ** 0.5)


def test_a_schedule_follows_a_warmup():
    rates = sl.LinearWarmup(epochs=2, then=PowerDecay(power=1)).factors([0, 2, 5])
    np.testing.assert_allclose(rates, [0.01, 1, 0.25])


def test_a_schedule_without_rates_says_what_to_define_before_the_first_step():
    unfinished = type("Unfinished", (sl.Schedule,), {})()
    with pytest.raises(TypeError, match=r"Unfinished must define factors\(self, epochs\)"):
        sl.SGDRegressorX(optimizer="adam", learning_rate=unfinished).fit(X, Y)
    wrong = type("Wrong", (sl.Schedule,), {"factors": lambda self, epochs: -np.ones(len(epochs))})()
    with pytest.raises(ValueError, match=r"learning_rate=Wrong\(\) must give a finite factor"):
        sl.SGDRegressorX(optimizer="adam", learning_rate=wrong).fit(X, Y)


# --------------------------------------------------------------------------------------- optimizers


def test_no_public_optimizer_is_an_instance_of_another():
    for first in OPTIMIZERS.values():
        for second in OPTIMIZERS.values():
            assert isinstance(first(), second) == (first is second), (first, second)


@pytest.mark.parametrize(
    "mine, theirs",
    [
        (Heavy(), sl.Momentum(0.5)),
        (Windowed(50), sl.Adam(0.8, 0.98)),
        (Short(), sl.LBFGS(3)),
        (type("Renamed", (sl.SGD,), {"name": "renamed"})(), sl.SGD()),
        (type("Renamed", (sl.SVRG,), {"name": "renamed"})(every=1), sl.SVRG(1)),
    ],
    ids=lambda optimizer: type(optimizer).__mro__[1].__name__,
)
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_an_optimizer_with_other_parameters_makes_the_fit_of_the_one_it_is_made_of(
    mine, theirs, penalty
):
    models = [
        fitted(sl.SGDRegressorX(optimizer=optimizer, penalty=penalty, alpha=0.01))
        for optimizer in (mine, theirs)
    ]
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)
    assert models[0].stop_reason_ == models[1].stop_reason_


def test_scikit_learns_algorithm_takes_a_subclass_of_sgd():
    own = type("Own", (sl.SGD,), {"name": "own"})()
    for penalty in ("l2", "l1"):
        params = {"penalty": penalty, "random_state": 0, "max_iter": 3, "tol": None}
        models = [sl.SGDRegressorX(optimizer=o, **params).fit(X, Y) for o in (own, "sgd")]
        np.testing.assert_array_equal(models[0].coef_, models[1].coef_)


def test_a_parameter_of_a_subclass_is_checked_under_its_name():
    with pytest.raises(ValueError, match=r"Heavy: momentum must be a number in \[0, 1\); got 2"):
        sl.SGDRegressorX(optimizer=Heavy(2)).fit(X, Y)
    forgetful = type("Forgetful", (sl.RMSProp,), {"__init__": lambda self: None})()
    with pytest.raises(TypeError, match="Forgetful: its __init__ must set rho, eps, as super"):
        sl.SGDRegressorX(optimizer=forgetful).fit(X, Y)


# ------------------------------------------------------------------------------- what cannot work

OWN_STEP = {"step": lambda self, w, g: w - g}
GRADIENT = {"gradient": lambda self, y, raw: raw - y}
VALUE = {"value": lambda self, y, raw: (raw - y) ** 2}


@pytest.mark.parametrize("base", [sl.Optimizer, sl.SGD, sl.Adam])
def test_an_optimizer_with_a_step_of_its_own_is_told_where_steps_are_added(base):
    own = type("Own", (base,), OWN_STEP)()
    match = r"Own cannot step: .*step would never be called.*SGD, Momentum.*three places"
    with pytest.raises(TypeError, match=match):
        sl.SGDRegressorX(optimizer=own).fit(X, Y)
    with pytest.raises(TypeError, match=match):
        sl.get_optimizer(own)


@pytest.mark.parametrize(
    "base, body, match",
    [
        (sl.Loss, VALUE | GRADIENT, "Own defines gradient, which no fit .* subclasses CustomLoss"),
        (sl.Loss, VALUE, "Own has no kernel: .* subclasses CustomLoss"),
        (sl.HuberLoss.__mro__[1], VALUE, "Own has no kernel: .* subclasses CustomLoss"),
        (sl.HuberLoss, GRADIENT, "Own defines gradient, which no fit .* subclasses CustomLoss"),
        (sl.CustomLoss, VALUE, r"Own must define value\(.*\) and derivative\("),
        (sl.CustomLoss, VALUE | GRADIENT, r"Own must define value\(.*\) and derivative\("),
    ],
)
def test_a_loss_that_no_engine_can_call_is_told_what_to_define(base, body, match):
    own = type("Own", (base,), body)()
    model = fitted(sl.SGDRegressorX("squared_error"))
    for use in (
        lambda: sl.SGDRegressorX(own).fit(X, Y),
        lambda: sl.get_loss(own),
        lambda: own.as_scorer()(model, X, Y),
        lambda: sl.as_objective(own, "xgboost"),
    ):
        with pytest.raises(TypeError, match=match):
            use()


@pytest.mark.parametrize("base", [sl.Loss, sl.CustomLoss])
def test_calling_a_loss_without_formula_says_so_too(base):
    with pytest.raises((TypeError, NotImplementedError), match=r"CustomLoss|must define"):
        type("Own", (base,), {})()([0.0], [1.0])


def test_what_a_method_of_a_loss_returns_is_checked_under_its_name():
    class Scalar(OwnHuber):
        def derivative(self, y_true, raw_prediction):
            return 1.0

    class Untold(OwnHuber):
        task = "ranking"

    with pytest.raises(ValueError, match=r"Scalar: derivative must return an array of shape"):
        fitted(sl.SGDRegressorX(Scalar()))
    with pytest.raises(ValueError, match="Untold: task must be one of"):
        fitted(sl.SGDRegressorX(Untold()))
