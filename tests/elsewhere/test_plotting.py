"""The displays draw what the losses and estimators say, for every loss."""

import sys

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_regression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_losses as sl
from sklearn_losses.links import LogLink
from sklearn_losses.plotting import (
    LossDisplay,
    ParameterPathDisplay,
    QuantileDisplay,
    ResidualDisplay,
    TrainingDisplay,
)

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
Figure = pytest.importorskip("matplotlib.figure").Figure
matplotlib.use("agg")

LOSSES = {name: cls() for name, cls in sl.LOSSES.items() if name != "root_mean_squared_error"}
every_loss = pytest.mark.parametrize("name", LOSSES)
REGRESSION = [name for name, loss in LOSSES.items() if loss.task == "regression"]
X, SIGNAL = make_regression(60, 4, noise=5, random_state=0)
SIGNAL = SIGNAL / SIGNAL.std()


def axes_of(n):
    """Axes of a figure that pyplot does not keep."""
    return Figure().subplots(1, n, squeeze=False)[0]


def target(loss):
    if loss.task == "regression":
        return SIGNAL if loss.interval_y_true.includes([-5.0]) else np.exp(SIGNAL / 2)
    return np.digitize(SIGNAL, [0.0] if loss.task == "binary" else [-0.5, 0.5])


def fitted(name, **params):
    cls = sl.SGDRegressorX if name in REGRESSION else sl.SGDClassifierX
    params = {"learning_rate": "constant", "eta0": 0.01, "random_state": 0, **params}
    model = cls(LOSSES[name], max_iter=4, tol=None, **params)
    return model.fit(X, target(LOSSES[name]))


@every_loss
def test_a_loss_is_drawn_with_its_own_values_slopes_and_relative_pull(name):
    loss = LOSSES[name]
    display = LossDisplay.from_losses(name, limits=(-2, 3), n_points=2001, ax=axes_of(3))
    value, slope, pull = (lines[0].get_ydata() for lines in display.lines_)
    x = display.lines_[0][0].get_xdata()
    assert (x[0], x[-1]) == (-2, 3)
    assert [ax.get_title() for ax in display.axes_] == ["Loss", "Gradient", "Influence"]
    assert [text.get_text() for text in display.axes_[0].get_legend().get_texts()] == [name]
    # Nothing is lost by a perfect prediction, and the slopes are those of the values that are drawn
    # (away from kinks and jumps, which a central difference steps over).
    assert value.min() >= -1e-12
    if loss.task == "regression":
        at = int(np.argmin(np.abs(x)))
        assert value[at] == pytest.approx(0, abs=1e-5)
    differences = np.gradient(value, x)
    near = np.isclose(differences[1:-1], slope[1:-1], rtol=1e-2, atol=1e-2)
    assert near.mean() > 0.98
    # One factor between pull and slope; an ordinary sample, of a standard normal, pulls 1.
    some = np.abs(slope) > 1e-6
    ratio = pull[some] / np.abs(slope[some])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    wide = LossDisplay.from_losses(name, limits=(-6, 6), n_points=4001, ax=axes_of(3))
    density = np.exp(-0.5 * wide.x**2)
    assert density @ wide.influences[0] / density.sum() == pytest.approx(1, rel=5e-3)


@pytest.mark.parametrize("y_true", [0.0, 1.0])
def test_margins_are_those_of_the_true_class(y_true):
    display = LossDisplay.from_losses(["hinge", "log_loss"], y_true=y_true, ax=axes_of(3))
    np.testing.assert_allclose(display.losses[0], np.maximum(0, 1 - display.x))
    np.testing.assert_allclose(display.losses[1], np.log1p(np.exp(-display.x)))
    assert display.axes_[0].get_xlabel() == "margin of the true class"


def test_a_loss_with_a_log_link_is_drawn_in_link_space():
    display = LossDisplay.from_losses("poisson", y_true=4.0, limits=(-1, 1), ax=axes_of(3))
    expected = 4 * (np.exp(display.x) - 1 - display.x)  # half the deviance of y = 4
    np.testing.assert_allclose(display.losses[0], expected, atol=1e-12)
    assert "link" in display.axes_[0].get_xlabel()


def test_labels_hold_the_parameters_that_were_set():
    own = sl.FunctionLoss(lambda y, raw: (raw - y) ** 4, lambda y, raw: 4 * (raw - y) ** 3)
    losses = [sl.HuberLoss(delta=1.35), sl.PinballLoss(), own]
    assert LossDisplay.from_losses(losses, ax=axes_of(3)).labels[:2] == [
        "huber (delta=1.35)",
        "quantile",
    ]
    named = LossDisplay.from_losses({"mine": own, "ours": "mse"}, ax=axes_of(3))
    assert named.labels == ["mine", "ours"]
    np.testing.assert_allclose(named.losses[0], named.x**4)


def test_lines_are_told_apart_by_colour_and_dashes():
    display = LossDisplay.from_losses(REGRESSION, ax=axes_of(3))
    looks = {(line.get_color(), line.get_linestyle()) for line in display.lines_[0]}
    assert len(looks) == len(REGRESSION)


@pytest.mark.parametrize("given, message", [
    ({"losses": ["huber", "hinge"]}, r"losses must all be for regression.*huber \(regression\)"),
    ({"losses": []}, "losses must hold at least one loss"),
    ({"losses": "hubber"}, "did you mean 'huber'"),
    ({"losses": "root_mean_squared_error"}, "not a mean over samples"),
    ({"losses": "gamma", "y_true": 0.0}, "y_true must lie in"),
    ({"losses": "hinge", "y_true": 0.5}, "y_true must be 0 or 1 for a margin; got 0.5"),
    ({"losses": "huber", "limits": (1, 1)}, "limits must be two finite numbers"),
    ({"losses": "huber", "n_points": 1}, "n_points must be an integer from 2"),
    ({"losses": "huber", "scale": 0}, "scale must be a number"),
    ({"losses": "huber", "panels": ["los"]}, "panels must be among"),
    ({"losses": "huber", "ax": "two"}, "ax must hold 3 axes, one a panel; got 2"),
])  # fmt: skip
def test_wrong_arguments_are_named(given, message):
    if given.get("ax") == "two":
        given = {**given, "ax": axes_of(2)}
    with pytest.raises(ValueError, match=message):
        LossDisplay.from_losses(**given)


@every_loss
def test_the_curves_of_a_fit_are_the_estimators(name):
    model = fitted(name)
    display = TrainingDisplay.from_estimator(model, ax=axes_of(3))
    curves = [model.loss_curve_, model.grad_norm_curve_, model.learning_rate_curve_]
    for line, curve in zip(display.lines_, curves, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), curve)
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 5))


def test_a_validation_curve_is_dashed_and_fits_on_the_same_axes_have_colours_of_their_own():
    axes = axes_of(3)
    for name, rate in (("slow", 0.001), ("fast", 0.02)):
        model = make_pipeline(
            StandardScaler(),
            sl.SGDRegressorX(eta0=rate, early_stopping=True, random_state=0, max_iter=9, tol=None),
        ).fit(X, SIGNAL)
        TrainingDisplay.from_estimator(model, name=name, ax=axes)
    lines = {line.get_label(): line for line in axes[0].lines}
    assert list(lines) == [
        "slow, training",
        "slow, validation",
        "fast, training",
        "fast, validation",
    ]
    np.testing.assert_array_equal(
        lines["fast, validation"].get_ydata(), model[-1].validation_curve_
    )
    assert lines["slow, validation"].get_linestyle() == "--"
    colours = [line.get_color() for line in lines.values()]
    assert colours[0] == colours[1] != colours[2] == colours[3]


def test_only_estimators_with_curves_have_them():
    from sklearn.linear_model import LinearRegression

    with pytest.raises(ValueError, match="LinearRegression has no loss_curve_"):
        TrainingDisplay.from_estimator(LinearRegression().fit(X, SIGNAL))


@pytest.mark.parametrize("name", REGRESSION)
def test_residuals_are_coloured_by_the_pull_of_their_sample(name):
    model = fitted(name)
    y = target(LOSSES[name])
    display = ResidualDisplay.from_estimator(model, X, y, ax=axes_of(2))
    drawn = display.axes_[0].collections[0]
    np.testing.assert_allclose(
        drawn.get_offsets(), np.c_[model.predict(X), y - model.predict(X)], atol=1e-12
    )
    pull = np.abs(LOSSES[name].gradient(y, X @ model.coef_ + model.intercept_))
    np.testing.assert_allclose(drawn.get_array(), pull / pull.mean(), rtol=1e-6, atol=1e-9)
    assert sum(bar.get_width() for bar in display.axes_[1].patches) == len(y)


def test_residuals_of_any_regressor_need_a_loss_and_one_output():
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(X, SIGNAL)
    display = ResidualDisplay.from_estimator(model, X, SIGNAL, loss="squared_error", ax=axes_of(2))
    residual = np.abs(SIGNAL - model.predict(X))
    np.testing.assert_allclose(display.influence, residual / residual.mean())
    with pytest.raises(ValueError, match="loss must be given, as LinearRegression has no loss_"):
        ResidualDisplay.from_estimator(model, X, SIGNAL)
    several = sl.SGDRegressorX(sl.PinballLoss(quantile=[0.1, 0.9]), max_iter=2, tol=None)
    with pytest.raises(ValueError, match=r"shows one output.*\(60, 2\)"):
        ResidualDisplay.from_estimator(several.fit(X, SIGNAL), X, SIGNAL)


def test_a_fan_holds_the_quantiles_in_their_order_and_counts_coverage():
    quantiles = [0.9, 0.1, 0.5]
    model = sl.SGDRegressorX(
        sl.PinballLoss(quantile=quantiles), eta0=0.05, random_state=0, max_iter=300, tol=None
    ).fit(X, SIGNAL)
    display = QuantileDisplay.from_estimator(model, X, SIGNAL, feature=2, ax=axes_of(1))
    order = np.argsort(X[:, 2])
    np.testing.assert_array_equal(display.quantiles, [0.1, 0.5, 0.9])
    np.testing.assert_array_equal(display.x, X[order, 2])
    np.testing.assert_allclose(display.y_pred, model.predict(X)[order][:, [1, 2, 0]])
    below = (SIGNAL[:, None] <= model.predict(X)[:, [1, 2, 0]]).mean(axis=0)
    np.testing.assert_array_equal(display.coverage, below)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    inside = 100 * (below[2] - below[0])
    assert labels == ["observed", f"10 to 90 %: holds {inside:.0f} %", "median"]
    assert display.ax_.get_xlabel() == "feature 2"


def test_a_fan_is_thinned_out_and_sorted_by_its_middle():
    import pandas as pd

    frame = pd.DataFrame(X, columns=list("abcd"))
    model = sl.SGDRegressorX(sl.PinballLoss(quantile=[0.2, 0.5, 0.8]), max_iter=5, tol=None)
    model.fit(frame, SIGNAL)
    display = QuantileDisplay.from_estimator(model, frame, SIGNAL, max_samples=10, ax=axes_of(1))
    assert display.y_pred.shape == (10, 3)
    assert (np.diff(display.y_pred[:, 1]) >= 0).all()
    by_name = QuantileDisplay.from_estimator(model, frame, SIGNAL, feature="b", ax=axes_of(1))
    np.testing.assert_array_equal(by_name.x, np.sort(X[:, 1]))
    assert by_name.ax_.get_xlabel() == "b"


@pytest.mark.parametrize("given, message", [
    ({}, "quantiles must be given; the loss has none"),
    ({"quantiles": [0.5, 0.9]}, "quantiles must name the 1 columns that predict gives; got 2"),
    ({"quantiles": [1.5]}, "each of quantiles must be a number in"),
])  # fmt: skip
def test_a_fan_says_which_quantiles_it_needs(given, message):
    model = fitted("squared_error")
    with pytest.raises(ValueError, match=message):
        QuantileDisplay.from_estimator(model, X, SIGNAL, **given)


@pytest.mark.parametrize(
    "name, parameter",
    [(name, p) for name, loss in LOSSES.items() for p in list(loss._parameter_intervals)[:1]],
)
def test_a_path_shows_the_coefficients_and_scores_of_each_value(name, parameter):
    loss = LOSSES[name]
    default = getattr(loss, parameter)
    values = [0.9 * default, default] if default else [0.0, 0.1]
    model = fitted(name)
    before = model.loss.get_params()
    display = ParameterPathDisplay.from_estimator(
        model,
        X,
        target(loss),
        param_name=f"loss__{parameter}",
        param_range=values[::-1],
        cv=2,
        ax=axes_of(2),
    )
    assert model.loss.get_params() == before
    np.testing.assert_array_equal(display.param_range, values)
    at = values.index(default) if default in values else 0
    coef = np.atleast_2d(model.coef_)
    expected = coef[0] if len(coef) == 1 else np.linalg.norm(coef, axis=0)
    np.testing.assert_allclose(display.coefs[at], expected, rtol=1e-12)
    search = GridSearchCV(model, {f"loss__{parameter}": values}, cv=2)
    search.fit(X, target(loss))
    np.testing.assert_allclose(
        display.scores.mean(axis=1), search.cv_results_["mean_test_score"], rtol=1e-12
    )
    assert parameter in display.axes_[0].get_xlabel()


def test_a_path_goes_through_pipelines_and_names_features():
    import pandas as pd

    frame = pd.DataFrame(X, columns=list("abcd"))
    model = make_pipeline(StandardScaler(), sl.SGDRegressorX("huber", random_state=0))
    display = ParameterPathDisplay.from_estimator(
        model.set_params(sgdregressorx__loss=sl.HuberLoss()),
        frame,
        SIGNAL,
        param_name="sgdregressorx__loss__delta",
        param_range=[0.1, 1.0, 10.0],
        scoring="neg_mean_absolute_error",
        ax=axes_of(2),
    )
    assert display.feature_names == list("abcd")
    assert display.axes_[0].get_xscale() == "log"
    assert display.axes_[1].get_ylabel() == "neg_mean_absolute_error"
    best = display.param_range[display.scores.mean(axis=1).argmax()]
    assert f"delta = {best:.3g}" in display.axes_[1].get_title()
    with pytest.raises(ValueError, match="param_range must hold at least two finite numbers"):
        ParameterPathDisplay.from_estimator(
            model, frame, SIGNAL, param_name="sgdregressorx__alpha", param_range=[1.0]
        )


def test_a_figure_of_its_own_holds_its_legend_below_the_panels():
    import matplotlib.pyplot as plt

    display = LossDisplay.from_losses(["poisson", "gamma"])
    figure = display.figure_
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert legend.y1 <= min(ax.get_tightbbox().y0 for ax in display.axes_)
    assert legend.x0 >= 0 and legend.x1 <= figure.bbox.x1
    plt.close(figure)
    assert LossDisplay.from_losses("poisson", panels="loss", ax=axes_of(1)[0]).axes_.shape == (1,)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"sklearn-losses\[plot\]"):
        LossDisplay.from_losses("huber")


def test_predictions_with_an_offset_are_drawn_with_it():
    rng = np.random.RandomState(0)
    exposure = np.log(rng.uniform(0.5, 2, len(X)))
    y = rng.poisson(np.exp(exposure)).astype(float)
    model = sl.SGDRegressorX("poisson", random_state=0).fit(X, y, offset=exposure)
    display = ResidualDisplay.from_estimator(model, X, y, offset=exposure, ax=axes_of(2))
    np.testing.assert_allclose(display.y_pred, model.predict(X, offset=exposure))
    assert model.loss_.link == LogLink()


def test_a_classifier_draws_its_curves_from_a_search():
    x, y = make_classification(80, 4, random_state=0)
    search = GridSearchCV(sl.SGDClassifierX("log_loss", random_state=0), {"alpha": [0.01, 0.1]})
    display = TrainingDisplay.from_estimator(search.fit(x, y), ax=axes_of(3))
    assert len(display.loss_curve) == search.best_estimator_.n_iter_
