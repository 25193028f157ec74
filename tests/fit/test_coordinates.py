"""Steps in coordinates, with a unit for each weight and a centre for each feature: they are the
papers' steps on the problem that is so transformed, coefficient by coefficient."""

import numpy as np
import pytest
from slow_optimizers import KERNELS, Descent
from test_optimizers import (
    HOST,
    LAYOUTS,
    STEPPERS,
    HundredTargets,
    Multinomial,
    OneOutput,
    OneVsRest,
    TwoTargets,
    arguments_of,
    engine_of,
    kernel_of,
    rates_of,
    rows_of,
)

from sklearn_losses._kernels.fit.optimizers import KINDS, state_powers


def test_every_optimizer_says_how_its_states_follow_a_unit():
    assert {name: state_powers(name) for name in KINDS} == {
        name: cls.powers for name, cls in KERNELS.items()
    }


class Transformed(Descent):
    """`Descent` on X seen from a centre and multiplied by units, with an intercept whose feature is
    a unit too, and with the penalty and the bounds that this makes of those of the weights.

    w and b are the coordinates ``w / unit`` and ``(b + center @ w) / intercept_unit``. Norms are of
    the gradient of the weights and the intercept, as is what is remembered of it.
    """

    def __init__(self, layout, setup, kernel, arguments, coordinates):
        given = {k: v for k, v in arguments.items() if k not in ("rows", "params")}
        _, self.original, entries = layout
        rows = rows_of(setup, arguments)
        params = arguments["params"]
        super().__init__(
            self.original, entries, setup.losses_of, rows, kernel=kernel, params=params,
            rowwise=setup.rowwise, **given,
        )  # fmt: skip
        self.penalty = self.prox.l1, self.l2, self.prox.low, self.prox.high
        self.powers = self.optimizer.powers
        self.unit, self.intercept_unit, self.center = np.ones_like(self.w), np.ones_like(self.b), 0
        self.see(*coordinates)

    def see(self, unit, intercept_unit, center):
        """Go to other coordinates, and take what is remembered along."""
        w, b = self.model()
        if self.memory == "svrg" and hasattr(self, "snapshot"):
            g, g_b = self.original_gradient(*self.snapshot)
            self.snapshot = (g - np.outer(g_b, center)) * unit, g_b * intercept_unit
        growth, of_intercepts = unit / self.unit, intercept_unit / self.intercept_unit
        self.s = [s * growth**power for s, power in zip(self.s, self.powers, strict=True)]
        self.s_b = [s * of_intercepts**p for s, p in zip(self.s_b, self.powers, strict=True)]
        l1, l2, low, high = self.penalty
        self.prox.l1, self.prox.low, self.prox.high = l1 * unit, low / unit, high / unit
        self.prox.so_far = self.prox.so_far * growth
        self.l2 = l2 if self.optimizer.decoupled else l2 * unit**2  # AdamW decays by the rate alone
        self.unit, self.intercept_unit, self.center = unit, intercept_unit, center
        self.X = self.original - center
        self.w, self.b = w / unit, (b + w @ center) / intercept_unit

    def model(self):
        w = self.w * self.unit
        return w, self.b * self.intercept_unit - w @ np.broadcast_to(self.center, w.shape[1])

    def raw(self, rows):
        w = self.w * self.unit
        return self.X[rows] @ w.T + self.b * self.intercept_unit

    def reach(self, rows, length, length_b):
        return super().reach(rows, length * self.unit**2, length_b * self.intercept_unit**2)

    def gradient_of(self, c, rows):
        g, g_b = super().gradient_of(c, rows)
        return g * self.unit, g_b * self.intercept_unit

    def original_gradient(self, g, g_b):
        g_b = g_b / self.intercept_unit
        return g / self.unit + np.outer(g_b, self.center), g_b

    def squared_norm(self, g, g_b):
        return super().squared_norm(*self.original_gradient(g, g_b))


def rescaled(layout, columns):
    """Columns multiplied by `columns`: of what the engine gets, and of what NumPy does."""
    X, full, entries = layout
    if entries is None:
        return X * columns, full * columns, None
    X = X.copy()
    X.data *= columns[X.indices]
    return X, full * columns, entries


def problem(name, layout, setup, *, n, d, seed=7, weights=False, classes=False, offset=0, **more):
    """Data, arguments of the engine, and coordinates in which columns of very unlike size are of
    like size; different ones in each call of `coordinates`."""
    setup = setup(n, weights=weights, classes=classes, offset=offset)
    layout = LAYOUTS[layout](n, d)
    kernel, arguments = arguments_of(name, setup, d, **more)
    rng = np.random.RandomState(seed)
    # The penalty is of the weights: beside large units it would be all that is left.
    columns = 10.0 ** rng.uniform(-0.5 if arguments["l1"] or arguments["l2"] else -3, 3, d)
    layout = rescaled(layout, columns)
    K = setup.n_outputs
    centered = layout[2] is None and arguments.get("fit_intercept", True)

    def coordinates():
        unit = 2.0 ** rng.uniform(-1, 1, (K, d)) / columns
        center = columns * rng.randn(d) if centered else np.zeros(d)
        return unit, 2.0 ** rng.uniform(-1, 1, K), center

    arguments["coef"] = arguments["coef"] / columns
    if "low" in arguments:
        arguments |= {bound: arguments[bound] / columns for bound in ("low", "high")}
    if arguments.get("clip_norm"):
        arguments["clip_norm"] *= columns.max()
    return layout, setup, kernel, arguments, coordinates


def named(unit, intercept_unit, center):
    """The engine's arguments."""
    return {
        "unit": unit,
        "intercept_unit": intercept_unit,
        "center": center if center.any() else None,
    }


def check_coordinates(
    name, layout, setup, *, changes=False, side=HOST, batch_size=7, n=71, d=11, tolerance=1e-9,
    **settings,
):  # fmt: skip
    layout, setup, kernel, arguments, coordinates = problem(
        name, layout, setup, n=n, d=d, **settings
    )
    first = coordinates()
    expected = Transformed(layout, setup, kernel, arguments, first)
    engine = engine_of(layout, setup, kernel, arguments | named(*first), batch_size, side=side)
    start = expected.w.copy()
    squares = []

    def check(got, wanted):
        scale = np.abs(wanted).max(initial=0.0)
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * scale)

    def check_model(got, wanted):
        (w, b), (wanted_w, wanted_b) = map(side.give, got), wanted
        # Each weight in its own unit, or the largest would hide the others.
        check(w / expected.unit, wanted_w / expected.unit)
        check(b + w @ expected.center, wanted_b + wanted_w @ expected.center)

    for epoch in range(3):
        if changes and epoch:
            other = coordinates()
            expected.see(*other)
            engine.set_coordinates(**named(*other))
            check_model((engine.coef(), engine.intercepts()), expected.model())
        # What is remembered goes along to other coordinates.
        due = {"svrg": not changes or epoch == 0, "saga": epoch == 0}
        if due.get(arguments["memory"]):
            assert engine.remember()
            expected.remember()
        rates = rates_of(name, len(expected.rows), batch_size, epoch)
        loss, norm, finite = engine.epoch(rates, batch_size)
        wanted_loss, wanted_norm = expected.epoch(rates, batch_size)
        assert finite and engine.save()
        check_model((engine.coef(), engine.intercepts()), expected.model())
        if "low" in arguments:  # to the last bit
            coef = side.give(engine.coef())
            assert ((arguments["low"] <= coef) & (coef <= arguments["high"])).all()
        check(loss, wanted_loss)
        check(norm, wanted_norm)
        squares.append(wanted_norm)
        if arguments.get("average"):
            check_model(engine.averages(), expected.averages())
    if not changes:
        assert np.abs(expected.w - start).max() > 1e-2 and expected.w.any()
    if arguments.get("clip_norm") and not arguments["memory"]:
        assert max(squares) > arguments["clip_norm"]


CASES = {
    "plain": (OneOutput, {}),
    "l1": (OneVsRest, {"penalty": "l1", "batch_size": 1, "average": 3}),
    "l2, no intercept": (TwoTargets, {"penalty": "l2", "weights": True, "fit_intercept": False}),
    "elastic net, averages": (OneVsRest, {"penalty": "elasticnet", "average": 5, "offset": 1}),
    "bounds": (OneOutput, {"bounds": True, "classes": True, "batch_size": 33}),
    "bounds, elastic net": (TwoTargets, {"bounds": True, "penalty": "elasticnet", "average": 1}),
    "clipped": (OneOutput, {"clip_norm": 0.1, "penalty": "l2", "offset": 2, "weights": True}),
    "clipped, averages": (Multinomial, {"clip_norm": 0.03, "average": 2, "batch_size": 33}),
    "some rows": (Multinomial, {"penalty": "l1", "rows": np.arange(0, 71, 2, dtype=np.int32)}),
}
MORE_CASES = {
    # Of the CPU two blocks of columns, of a device several blocks of threads: outputs share them.
    "many features": (TwoTargets, {"n": 30, "d": 1100, "penalty": "elasticnet", "average": 1}),
    "many outputs": (HundredTargets, {"n": 50, "d": 6, "average": 1, "batch_size": 20}),
}


@pytest.mark.pairwise
@pytest.mark.parametrize("changes", [False, True], ids=["", "changing"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", STEPPERS)
def test_steps_are_the_papers_on_the_transformed_problem(name, layout, case, changes):
    setup, settings = CASES[case]
    check_coordinates(name, layout, setup, changes=changes, **settings)


@pytest.mark.parametrize("case", MORE_CASES)
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", ["sgd", "adam", "saga"])
def test_steps_of_many_weights_are_the_papers_on_the_transformed_problem(name, layout, case):
    setup, settings = MORE_CASES[case]
    check_coordinates(name, layout, setup, changes=True, **settings)


@pytest.mark.parametrize("name", STEPPERS)
def test_columns_far_from_0_are_fitted_in_float32(name):
    check_far_columns(name, HOST)


def check_far_columns(name, side):
    # Without a centre the steps along the columns' mean are 300 ** 2 times as long as the others.
    n, d = 200, 4
    rng = np.random.RandomState(0)
    X = (rng.randn(n, d) + 300.0).astype(np.float32)
    truth = np.array([[1.0, -2.0, 0.5, 0.0]])
    setup = OneOutput(n)
    setup.y = (X - 300.0).astype(float) @ truth[0] + 3.0
    kernel, params = kernel_of(name)
    arguments = {"coef": np.zeros((1, d)), "intercept": np.zeros(1), "params": params}
    arguments |= {"memory": STEPPERS[name].memory, "center": X.astype(float).mean(axis=0)}
    engine = engine_of((X, X, None), setup, kernel, arguments, 20, dtype=np.float32, side=side)
    for epoch in range(150):
        if arguments["memory"] and epoch % 5 == 0:
            assert engine.remember()
        rate = 0.5 if name in ("adagrad", "implicit_adagrad") else 0.1 / (1 + 0.2 * epoch)
        if name in ("momentum", "nesterov"):
            rate *= 0.3
        engine.epoch(np.full(10, rate), 20, epoch)
    assert engine.save()
    coef, intercept = side.give(engine.coef()), side.give(engine.intercepts())
    np.testing.assert_allclose(coef, truth, atol=3e-3)
    at_center = intercept + coef.astype(float) @ arguments["center"]
    wanted = 3.0 + truth @ (arguments["center"] - 300.0)
    np.testing.assert_allclose(at_center, wanted, atol=3e-3)


@pytest.mark.parametrize("name", STEPPERS)
@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_new_coordinates_alone_move_no_weight(name, layout):
    check_at_rest(name, layout, HOST)


def check_at_rest(name, layout, side):
    # An epoch of steps of length 0. Momentum goes on, as it should.
    layout, setup, kernel, arguments, coordinates = problem(
        name, layout, OneVsRest, n=71, d=11, penalty="l1"
    )
    engine = engine_of(layout, setup, kernel, arguments | named(*coordinates()), 7, side=side)
    if arguments["memory"]:
        assert engine.remember()
    engine.epoch(rates_of(name, 71, 7), 7)
    assert engine.save()
    before = side.give(engine.coef())
    engine.set_coordinates(**named(*coordinates()))
    np.testing.assert_array_equal(side.give(engine.coef()), before)
    engine.epoch(np.zeros(11), 7)
    assert engine.save()
    if kernel not in ("Momentum", "Nesterov"):
        np.testing.assert_allclose(side.give(engine.coef()), before, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["adam", "svrg"])
def test_what_was_saved_follows_too(name):
    check_what_was_saved(name, HOST)


def check_what_was_saved(name, side):
    # A pass that was not saved is taken back in other coordinates than it began in.
    layout, setup, kernel, arguments, coordinates = problem(name, "dense", TwoTargets, n=71, d=11)
    first, other = coordinates(), coordinates()
    engines = [
        engine_of(layout, setup, kernel, arguments | named(*first), 7, side=side) for _ in range(2)
    ]
    found = []
    for engine, lost in zip(engines, (True, False), strict=True):
        if arguments["memory"]:
            assert engine.remember()
        engine.epoch(np.full(11, 0.05), 7)
        assert engine.save()
        if lost:
            assert not engine.epoch(np.full(11, np.nan), 7)[2]
        engine.set_coordinates(**named(*other))
        if lost:
            engine.set_state(engine.get_state())
        assert engine.epoch(np.full(11, 0.05), 7)[2] and engine.save()
        found.append([side.give(engine.get_state()[a]).tobytes() for a in ("w", "intercept")])
    assert found[0] == found[1]


@pytest.mark.parametrize("memory", [None, "svrg"])
def test_a_problem_s_gradient_has_no_centre(memory):
    check_gradient_has_no_centre(memory, HOST)


def check_gradient_has_no_centre(memory, side):
    name = memory or "sgd"
    layout, setup, kernel, arguments, coordinates = problem(name, "dense", TwoTargets, n=71, d=11)
    plain = engine_of(layout, setup, kernel, arguments, 7, side=side)
    seen = engine_of(layout, setup, kernel, arguments | named(*coordinates()), 7, side=side)
    for got, wanted in zip(
        *(e.value_gradient(arguments["coef"], arguments["intercept"]) for e in (seen, plain)),
        strict=True,
    ):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("layout, fit_intercept", [("csr", True), ("dense", False)])
def test_a_centre_needs_dense_rows_and_an_intercept(layout, fit_intercept):
    check_refusal(layout, fit_intercept, HOST)


def check_refusal(layout, fit_intercept, side):
    setup = OneOutput(20)
    kernel, arguments = arguments_of("adam", setup, 11, fit_intercept=fit_intercept)
    layout = LAYOUTS[layout](20, 11)
    with pytest.raises(ValueError, match="center needs dense rows and an intercept"):
        engine_of(layout, setup, kernel, arguments | {"center": np.ones(11)}, 7, side=side)
    engine = engine_of(layout, setup, kernel, arguments, 7, side=side)
    before = engine.get_state()
    with pytest.raises(ValueError, match="center needs dense rows and an intercept"):
        engine.set_coordinates(np.full((1, 11), 2.0), np.ones(1), np.ones(11))
    for name, got in engine.get_state().items():
        got, wanted = (a if np.isscalar(a) else side.give(a) for a in (got, before[name]))
        np.testing.assert_array_equal(got, wanted)
