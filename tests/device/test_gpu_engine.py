"""The engine of the GPU: each optimizer's steps against its paper, by the bodies of the CPU's
tests; the order of the rows; and what else it promises to the solvers."""

import ctypes
import threading
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import test_coordinates as coordinates
from test_optimizers import (
    CASES,
    HOST,
    LAYOUTS,
    SETUPS,
    STEPPERS,
    HundredTargets,
    Multinomial,
    OneOutput,
    OneVsRest,
    TwoTargets,
    arguments_of,
    check_steps,
    check_value_and_gradient,
    engine_of,
)

from sklearn_losses import CompiledLoss, get_loss, losses
from sklearn_losses._kernels.device import declarations, kernels
from sklearn_losses._kernels.device import problem as device_problem
from sklearn_losses._kernels.device import steps as device_steps
from sklearn_losses._kernels.fit.engines import Problem
from sklearn_losses._kernels.fit.optimizers import shuffled
from sklearn_losses._solvers.coordinates import largest_norm
from sklearn_losses._solvers.data import Data


class Device:
    """Data and engine on a device; see `test_optimizers.Host`."""

    def __init__(self, device):
        self.device = device
        self.Engine, self.Problem = device_steps.Engine, device_problem.Problem

    def take(self, array):
        xp = self.device.xp
        if not sp.issparse(array):
            return xp.asarray(array)
        parts = (array.data, array.indices, array.indptr)
        return self.device.sparse.csr_matrix(tuple(map(xp.asarray, parts)), shape=array.shape)

    def give(self, array):
        return self.device.xp.asnumpy(array)


@pytest.fixture
def side(device):
    return Device(device)


@pytest.mark.pairwise
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", STEPPERS)
def test_steps_are_the_papers(name, layout, case, side):
    check_steps(name, layout, OneOutput, side=side, **CASES[case])


@pytest.mark.slow
@pytest.mark.pairwise
@pytest.mark.parametrize("case", ["elastic net, averages", "clipped", "full batch"])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("setup", SETUPS[1:], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("name", ["momentum", "adamw", "saga", "implicit_adagrad"])
def test_steps_are_the_papers_for_all_kinds_of_losses(name, setup, layout, case, side):
    check_steps(name, layout, setup, side=side, **CASES[case])


@pytest.mark.slow
@pytest.mark.pairwise
@pytest.mark.parametrize("changes", [False, True], ids=["", "changing"])
@pytest.mark.parametrize("case", coordinates.CASES)
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", STEPPERS)
def test_steps_are_the_papers_on_the_transformed_problem(name, layout, case, changes, side):
    setup, settings = coordinates.CASES[case]
    # A first step is over the gradient before, of which the sum of a sparse column, in units
    # of the largest, may have few digits.
    settings = settings | {"tolerance": 1e-6 if name == "implicit_adagrad" else 1e-9}
    coordinates.check_coordinates(name, layout, setup, changes=changes, side=side, **settings)


@pytest.mark.parametrize("case", coordinates.MORE_CASES)
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", ["sgd", "adam", "saga"])
def test_steps_of_many_weights_are_the_papers_on_the_transformed_problem(name, layout, case, side):
    setup, settings = coordinates.MORE_CASES[case]
    coordinates.check_coordinates(name, layout, setup, changes=True, side=side, **settings)


@pytest.mark.parametrize(
    "name", ["adam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sgd", "saga"))]
)
def test_columns_far_from_0_are_fitted_in_float32(name, side):
    coordinates.check_far_columns(name, side)


@pytest.mark.parametrize("name", STEPPERS)
@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_new_coordinates_alone_move_no_weight(name, layout, side):
    coordinates.check_at_rest(name, layout, side)


@pytest.mark.parametrize("name", ["adam", "svrg"])
def test_what_was_saved_follows_to_other_coordinates(name, side):
    coordinates.check_what_was_saved(name, side)


@pytest.mark.parametrize("memory", [None, "svrg"])
def test_a_problem_s_gradient_has_no_centre(memory, side):
    coordinates.check_gradient_has_no_centre(memory, side)


@pytest.mark.parametrize("layout, fit_intercept", [("csr", True), ("dense", False)])
def test_a_centre_needs_dense_rows_and_an_intercept(layout, fit_intercept, side):
    coordinates.check_refusal(layout, fit_intercept, side)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("setup", SETUPS, ids=lambda cls: cls.__name__)
def test_value_and_gradient_are_numpys(setup, layout, dtype, side):
    check_value_and_gradient(setup, layout, dtype, side)


def make(
    side, setup, *, d=11, layout="dense", name="adam", batch_size=16, dtype=np.float64, **more
):
    """An engine on the device, and its arguments."""
    kernel, arguments = arguments_of(name, setup, d, **more)
    layout = LAYOUTS[layout](len(setup.y), d)
    return engine_of(layout, setup, kernel, arguments, batch_size, dtype=dtype, side=side)


def weights_after(side, engine, *, epochs=2, batch_size=16, rate=0.05, seed=None):
    steps = -(-engine.n_rows // batch_size)
    for epoch in range(epochs):
        if engine.memory is not None and epoch == 0:
            assert engine.remember()
        one = None if seed is None else seed + epoch
        assert engine.epoch(np.full(steps, rate), batch_size, one)[2] and engine.save()
    return side.give(engine.coef()), side.give(engine.intercepts())


# -------------------------------------------------------------------- every shape of every kernel


@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pieces", [1, 32])
@pytest.mark.parametrize("d", [1, 2, 4, 31, 32, 33, 100, 128, 250, 513, 1024, 1030])
def test_rows_of_every_length_give_the_papers_steps(d, pieces, dtype, side, monkeypatch):
    # Wide and narrow accesses, one strip and many, the kernel of one pass and those of several, and
    # few and many pieces of the gradient to add up.
    monkeypatch.setattr(device_problem, "PIECES_OF_PROCESSOR", pieces)
    monkeypatch.setattr(device_problem, "LEAST_ROWS", 2)
    case = {"penalty": "elasticnet", "average": 1, "batch_size": 32, "d": d}
    check_steps("nesterov", "dense", OneOutput, side=side, dtype=dtype, **case)


@pytest.mark.parametrize("d", [3, 40, 200])
@pytest.mark.parametrize("setup", [OneVsRest, TwoTargets, Multinomial], ids=lambda c: c.__name__)
def test_several_outputs_of_every_length_give_the_papers_steps(setup, d, side):
    case = {"penalty": "l2", "offset": 2, "batch_size": 9, "d": d, "weights": True}
    check_steps("adam", "dense", setup, side=side, **case)


def test_many_outputs_are_multiplied_by_the_library(side):
    engine = make(side, HundredTargets(50), d=6, penalty="l2")
    assert engine.by_products
    for layout in ("dense", "csr"):
        case = {"penalty": "elasticnet", "offset": 2, "n": 50, "d": 6, "average": 1}
        check_steps("sgd", layout, HundredTargets, side=side, **case)
        check_value_and_gradient(HundredTargets, layout, np.float64, side)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["dense", "csr", "csr, 64 bits, unsorted"])
@pytest.mark.parametrize("name", STEPPERS)
def test_steps_are_the_papers_in_float32(name, layout, side):
    case = {"penalty": "elasticnet", "bounds": True, "average": 1}
    # Scores and losses are float32's here, and double's on the CPU.
    check_steps(name, layout, OneVsRest, side=side, dtype=np.float32, tolerance=2e-3, **case)


@pytest.mark.slow
@pytest.mark.parametrize("name", losses.POINTWISE, ids=lambda cls: cls.__name__)
def test_every_pointwise_loss_has_the_cpus_objective(name, side):
    check_objective(name(), side)


@pytest.mark.parametrize("name", losses.ROWWISE, ids=lambda cls: cls.__name__)
def test_every_rowwise_loss_has_the_cpus_objective(name, side):
    check_objective(name(n_classes=4), side)


def check_objective(loss, side):
    rng = np.random.RandomState(0)
    n, d, K = 70, 5, loss.n_classes if loss.is_multiclass else 1
    X = rng.randn(n, d)
    y = rng.randint(K, size=n) if loss.is_multiclass else rng.randint(2, size=n) * 1.0
    y = y + 0.5 if not loss.in_y_true_range(y) else y
    coef, intercept = rng.randn(K, d), rng.randn(K)
    for layout in (X, sp.csr_matrix(X * (rng.rand(n, d) > 0.5))):
        here = Problem(layout, y.astype(float), [loss], K)
        there = side.Problem(side.take(layout), side.take(y.astype(float)), [loss], K)
        wanted = here.value_gradient(coef, intercept)
        got = there.value_gradient(coef, intercept)
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_a_sample_of_weight_0_has_no_say_although_its_loss_is_infinite(side):
    X, loss = np.array([[1.0], [800.0]]), get_loss("poisson")
    weight = side.take(np.array([1.0, 0.0]))
    problem = side.Problem(side.take(X), side.take(np.ones(2)), [loss], 1, sample_weight=weight)
    value, coef, intercept = problem.value_gradient(np.ones((1, 1)), np.zeros(1))
    expected, gradient = loss.loss_gradient(np.ones(1), np.ones(1))
    np.testing.assert_allclose([value, coef[0, 0]], [expected[0] / 2, gradient[0] / 2])
    np.testing.assert_allclose(intercept, gradient / 2)


def test_no_rows_have_no_gradient(side):
    rows = np.empty(0, dtype=np.int32)
    X, y = side.take(np.ones((5, 3))), side.take(np.ones(5))
    problem = side.Problem(X, y, [get_loss("squared_error")], 1, rows=rows)
    value, coef, intercept = problem.value_gradient(np.ones((1, 3)), np.ones(1))
    assert value == 0.0 and not coef.any() and not intercept.any()


# --------------------------------------------------------------------------------- order and bits


@pytest.mark.parametrize("n", [50, 2**16 + 5])
def test_order_is_the_cpus(n, side):
    setup = OneOutput(n)
    rows = np.random.RandomState(1).permutation(n)[: n - 3].astype(np.int32)
    for given in (None, rows):
        engine = make(side, setup, d=1, name="sgd", batch_size=n, rows=given)
        engine.epoch(np.full(1, 0.1), n, seed=2**64 - 5)
        numbers = np.arange(n, dtype=np.int32) if given is None else given
        order = side.give(engine.order)[: len(numbers)]
        np.testing.assert_array_equal(order, shuffled(numbers, 2**64 - 5))


@pytest.mark.parametrize(
    "setup", [OneOutput, Multinomial, HundredTargets], ids=lambda c: c.__name__
)
@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_bits_do_not_depend_on_the_order_of_the_blocks(setup, layout, side):
    if side.device.real:
        repeats = [None, None, None]
    else:
        repeats = [False, True]
    found = []
    for reverse in repeats:
        if reverse is not None:
            side.device.settings["reverse_blocks"] = reverse
        center = np.ones(11) if layout == "dense" else None
        options = {"layout": layout, "clip_norm": 1.0, "center": center, "batch_size": 300}
        engine = make(side, setup(600), **options)
        found.append(weights_after(side, engine, batch_size=300, seed=1))
    for coef, intercept in found[1:]:
        np.testing.assert_array_equal(coef, found[0][0])
        np.testing.assert_array_equal(intercept, found[0][1])


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize(
    "name", ["saga", *(pytest.param(n, marks=pytest.mark.slow) for n in ("adam", "cumulative sgd"))]
)
def test_a_replayed_graph_has_the_bits_of_launches_one_by_one(name, layout, side, monkeypatch):
    # 600 rows: 37 steps of 16, in a graph of 36, or of 8 again and again; and one that is shorter.
    found = []
    for steps in (64, 8, 0):
        monkeypatch.setattr(device_steps, "GRAPH_STEPS", steps)
        monkeypatch.setattr(device_steps, "LEAST_GRAPH", 16 if steps else 10**9)
        setup = OneVsRest(599)
        engine = make(side, setup, layout=layout, name=name, penalty="elasticnet", average=3)
        found.append(weights_after(side, engine, epochs=3, seed=5))
        assert bool(engine.graphs) == (steps > 0)
        # Of other coordinates, and with a centre of other launches.
        for center in (np.ones(11), np.full(11, 0.5), None) if layout == "dense" else (None,):
            engine.set_coordinates(np.full((3, 11), 0.5), np.full(3, 2.0), center)
            found[-1] += weights_after(side, engine, epochs=2, seed=6)
        assert bool(engine.graphs) == (steps > 0)
    for arrays in found[1:]:
        for got, wanted in zip(arrays, found[0], strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_a_growing_batch_makes_its_own_graphs(side):
    setup = OneOutput(700)
    here, there = make(HOST, setup), make(side, setup)
    for size in (10, 20, 10):
        rates = np.full(-(-700 // size), 0.02)
        for engine in (here, there):
            assert engine.epoch(rates, size, 3)[2] and engine.save()
    np.testing.assert_allclose(side.give(there.coef()), here.coef(), rtol=1e-9)


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", ["adam", "nesterov"])
def test_an_epoch_waits_for_the_device_once(name, layout, side):
    if side.device.real:
        pytest.skip("only the stand-in counts")
    engine = make(side, OneVsRest(400), layout=layout, name=name, clip_norm=1.0)
    rates = np.full(25, 0.01)
    engine.epoch(rates, 16, 1)  # compiles, and captures a graph
    counts = side.device.counts
    before = dict(counts)
    engine.epoch(rates, 16, 2)
    assert engine.save() and engine.square_norm() > 0 and engine.absolute_norm() > 0
    assert engine.change()[0] > 0
    assert counts["sync"] - before["sync"] == 1
    # One step by itself and 24 of a graph; rates and order go up.
    assert counts["graph"] - before["graph"] == 1
    assert counts["upload"] - before["upload"] == 2


# ------------------------------------------------------------------------------ state and failure


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", ["sgd", "adam", "amsgrad", "saga", "svrg"])
def test_state_goes_on_there_and_on_the_other_side(name, layout, side):
    setup = OneVsRest(120)
    options = {"layout": layout, "name": name, "penalty": "l2", "average": 3}
    whole, first = make(side, setup, **options), make(side, setup, **options)
    weights_after(side, whole, epochs=2, seed=1)
    weights_after(side, first, epochs=2, seed=1)
    rates = np.full(8, 0.03)

    def go_on(engine, give):
        for seed in (8, 9):
            assert engine.epoch(rates, 16, seed)[2] and engine.save()
        return [give(a) for a in (engine.coef(), engine.intercepts(), *engine.averages())]

    state = first.get_state()
    again = make(side, setup, **options)
    again.set_state(state)
    for a, b in zip(go_on(again, side.give), go_on(whole, side.give), strict=True):
        np.testing.assert_array_equal(a, b)
    host = make(HOST, setup, **options)
    host.set_state({k: v if np.isscalar(v) else side.give(v) for k, v in state.items()})
    back = make(side, setup, **options)
    back.set_state(host.get_state())
    for a, b in zip(go_on(host, np.asarray), go_on(back, side.give), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("setup", [OneOutput, HundredTargets], ids=lambda c: c.__name__)
def test_an_epoch_that_overflows_is_given_up_and_the_one_before_stays(setup, layout, side):
    engine = make(side, setup(100), layout=layout, name="sgd")
    before = weights_after(side, engine, rate=1e-3)
    assert not engine.epoch(np.full(7, 1e200), 16)[2] and not engine.save()
    np.testing.assert_array_equal(side.give(engine.coef()), before[0])
    np.testing.assert_array_equal(side.give(engine.intercepts()), before[1])
    engine.set_state(engine.get_state())
    assert engine.epoch(np.full(7, 1e-3), 16)[2] and engine.save()


def test_an_overflow_in_a_pass_over_all_rows_is_nan(side):
    X, y = side.take(np.array([[1.0], [900.0]])), side.take(np.ones(2))
    for layout in (X, side.device.sparse.csr_matrix(X)):
        problem = side.Problem(layout, y, [get_loss("poisson")], 1)
        assert np.isnan(problem.value_gradient(np.ones((1, 1)), np.zeros(1))[0])
        assert np.isfinite(problem.value_gradient(np.zeros((1, 1)), np.zeros(1))[0])


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix], ids=["dense", "csr"])
@pytest.mark.parametrize("scale", [1.0, 0.0, 1e-100, 1e200])
def test_the_longest_row_is_the_cpus(layout, scale, side):
    rng = np.random.RandomState(0)
    X = layout(rng.randn(60, 9) * (rng.rand(60, 9) > 0.6) * scale)
    held_out = np.arange(60) % 2 == 0
    center = np.zeros(9) if sp.issparse(X) else rng.randn(9) * scale
    unit = 10.0 ** rng.uniform(-2, 2, 9)
    for weight in (None, np.arange(60) % 3 * 1.0):
        data = Data(X, np.zeros(60), [], sample_weight=weight, held_out=held_out)
        there = replace(
            data, X=side.take(X), sample_weight=None if weight is None else side.take(weight)
        )
        with np.errstate(over="ignore"):
            expected = largest_norm(data, center, unit)
            found = largest_norm(there, center, unit)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_stop_that_is_asked_for_interrupts(side):
    engine, stop = make(side, OneOutput(100)), threading.Event()
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        engine.epoch(np.full(7, 0.1), 16, stop=stop)


def test_long_epochs_are_waited_for_now_and_then(side, monkeypatch):
    if side.device.real:
        pytest.skip("only the stand-in counts")
    monkeypatch.setattr(device_steps, "STEP_SECONDS", 0.06)
    engine = make(side, OneOutput(160), name="sgd")
    before = side.device.counts["sync"]
    monkeypatch.setattr(device_steps, "LEAST_GRAPH", 10**9)
    engine.epoch(np.full(10, 0.01), 16)
    assert side.device.counts["sync"] - before == 1 + 4  # after each second step but the last


def test_a_compiled_loss_of_the_cpu_is_refused(side):
    signature = ctypes.CFUNCTYPE(*[ctypes.c_double] * 3, ctypes.c_void_p)
    loss = CompiledLoss(signature(lambda y, r, d: (r - y) ** 2), signature(lambda y, r, d: r - y))
    with pytest.raises(TypeError, match="FunctionLoss"):
        side.Problem(side.take(np.ones((3, 2))), side.take(np.ones(3)), [loss], 1)


def test_lack_of_memory_says_what_helps(side):
    if side.device.real:
        pytest.skip("takes all of the device's memory")
    xp = side.device.xp
    X, y = side.take(np.ones((300, 50))), side.take(np.ones(300))
    pool = xp.get_default_memory_pool()
    pool.set_limit(size=pool.used_bytes() + 100)
    try:
        with pytest.raises(xp.cuda.memory.OutOfMemoryError) as error:
            side.Problem(X, y, [get_loss("squared_error")], 1)
    finally:
        pool.set_limit(size=0)
    assert any("batch_size" in note for note in error.value.__notes__)


def test_data_of_another_device_than_the_current_one(device):
    if device.xp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one device only")
    side = Device(device)
    found = []
    for number in (0, 1):
        with device.xp.cuda.Device(number):
            engine = make(side, OneVsRest(200))
        found.append(weights_after(side, engine, seed=1)[0])  # device 0 is current
        assert engine.coef().device.id == number
    np.testing.assert_array_equal(*found)


def values_of(device, expressions):
    """What C++ makes of each expression where the kernels of a fit are compiled."""
    stores = "".join(f"to[{i}] = {x};" for i, x in enumerate(expressions))
    text = f'extern "C" __global__ void values(long long* to) {{ using namespace sl; {stores} }}\n'
    to = device.xp.zeros(len(expressions), np.int64)
    kernels.compiled(device_problem.HEADER, text)("values")((1,), (1,), (to,))
    return to.get().tolist()


def test_the_hosts_names_are_the_headers(device):
    expected = {**declarations.SIZES, "Order::LEAST": declarations.LEAST_ORDER}
    expected |= {name.upper(): value for name, value in declarations.TARGETS.items()}
    expected |= {f"CLOCK_{position.name}": position.value for position in declarations.Clock}
    expected |= {kind.name: kind.value for kind in device_steps.REDUCTIONS.values()}
    for name in ("WARP", "BLOCK"):
        assert expected[name] == {"WARP": 32, "BLOCK": 256}[name]
    fit = "Fit<float, long long>"
    expected |= {f"sizeof({fit})": 8 * len(declarations.FIT)}
    expected |= {
        f"(char*)&(({fit}*)8)->{name} - (char*)8": 8 * i
        for i, (_, name) in enumerate(declarations.FIT)
    }
    assert dict(zip(expected, values_of(device, expected), strict=True)) == expected


def test_a_member_that_a_fit_has_not_is_refused():
    with pytest.raises(TypeError, match=r"not members of a fit: \['n_row'\]"):
        declarations.words_of({"n_row": 3})
    words = declarations.words_of({"n_rows": 3, "l1": 1, "y": None})
    at = [name for _, name in declarations.FIT]
    assert words[at.index("n_rows")] == 3 and words.view(float)[at.index("l1")] == 1.0
    assert np.count_nonzero(words) == 2
