"""Each optimizer's steps in the engine of batches, coefficient by coefficient against its paper, as
tests/slow_optimizers.py transcribes it; and what the engine promises to those that call it."""

import threading

import numpy as np
import pytest
import scipy.sparse as sp
import threadpoolctl
from slow_optimizers import KERNELS, Descent, Prox, shuffled

from sklearn_losses import FunctionLoss, get_loss
from sklearn_losses._kernels._threads import effective_n_threads, openmp_info
from sklearn_losses._kernels.fit.engines import Engine, Problem
from sklearn_losses._kernels.fit.optimizers import KINDS
from sklearn_losses._kernels.fit.optimizers import shuffled as in_order
from sklearn_losses.optimizers import OPTIMIZERS, Adam

STEPPERS = {name: cls() for name, cls in OPTIMIZERS.items() if not cls.full_batch}
STEPPERS["amsgrad"] = Adam(amsgrad=True)
STEPPERS["cumulative sgd"] = STEPPERS["sgd"]  # as the estimators step with L1
PLAIN = [name for name, optimizer in STEPPERS.items() if optimizer.memory is None]
REDUCED = [name for name in STEPPERS if name not in PLAIN]


def kernel_of(name):
    kernel, params = STEPPERS[name]._kernel_params()
    return ("CumulativeSGD" if name == "cumulative sgd" else kernel), params


def test_every_kernel_is_reached_by_an_optimizer():
    assert {kernel_of(name)[0] for name in STEPPERS} == set(KINDS)
    assert set(KERNELS) == set(KINDS)


# --------------------------------------------------------------------------------------------- data


def dense_rows(n, d, seed=0):
    """X as the engine takes it, and in full, and None: no lazy rule."""
    X = np.random.RandomState(seed).randn(n, d)
    X[:, -1] = 0.0  # a feature without a gradient
    return X, X, None


def sparse_rows(n, d, seed=0, *, mean=4, repeated=True, sorted_columns=True, wide=False):
    """The same for CSR, with empty rows, empty columns and entries that repeat a place."""
    rng = np.random.RandomState(seed)
    columns = [rng.randint(d - 2, size=rng.poisson(mean) * (i % 7 > 0)) for i in range(n)]
    if not repeated:
        columns = [rng.permutation(np.unique(row)) for row in columns]
    if sorted_columns:
        columns = [np.sort(row) for row in columns]
    index = np.int64 if wide else np.int32
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in columns])]).astype(index)
    indices = np.concatenate(columns).astype(index)
    X = sp.csr_matrix((rng.randn(len(indices)), indices, indptr), shape=(n, d))
    X.indices, X.indptr = indices, indptr  # SciPy may have narrowed them
    entries = sp.csr_matrix((np.ones(len(indices)), indices, indptr), shape=(n, d)).toarray()
    full = np.zeros((n, d))
    np.add.at(full, (np.repeat(np.arange(n), np.diff(indptr)), indices), X.data)
    return X, full, entries


def converted(X, dtype):
    """X in another dtype; SciPy's own conversion would add up repeated entries."""
    if not sp.issparse(X):
        return X.astype(dtype)
    indices, indptr = X.indices, X.indptr
    X = sp.csr_matrix((X.data.astype(dtype), indices, indptr), shape=X.shape)
    X.indices, X.indptr = indices, indptr
    return X


LAYOUTS = {
    "dense": dense_rows,
    "csr": sparse_rows,
    "csr, 64 bits, unsorted": lambda n, d: sparse_rows(n, d, sorted_columns=False, wide=True),
}


class Setup:
    """Targets and loss of one kind, for the engine and for NumPy.

    `arguments` are the engine's, after X and y; `y`, and the factors of the samples, are random.
    """

    def __init__(self, n, seed=1, *, weights=False, classes=False, offset=0):
        rng = np.random.RandomState(seed)
        self.make(rng, n)
        K = self.n_outputs
        self.arguments = {"target": self.target, "negative": self.negative}
        self.factor, self.offset = np.ones((n, K)), np.zeros((n, K))
        if weights:
            weight = rng.rand(n) * (rng.rand(n) > 0.1)
            self.arguments |= {"sample_weight": weight, "weight_factor": 1.7}
            self.factor *= 1.7 * weight[:, None]
        if classes and not self.rowwise:
            above, below = rng.rand(2, K)
            self.arguments |= {"weight_positive": above, "weight_negative": below}
            self.factor *= np.where(self.targets > 0, above, below)
        if offset:
            given = rng.randn(n) if offset == 1 else rng.randn(n, K)
            self.arguments["offset"] = given
            self.offset += given.reshape(n, -1)

    target, negative, rowwise = "shared", 0.0, False

    def losses_of(self, rows, raw):
        """Weighted values and gradients."""
        raw = raw + self.offset[rows]
        if self.rowwise:
            value, gradient = self.losses[0].loss_gradient(self.y[rows], raw)
            return self.factor[rows, 0] * value, self.factor[rows] * gradient
        value, gradient = np.empty((2, *raw.shape))
        for k in range(self.n_outputs):
            loss = self.losses[k % len(self.losses)]
            value[:, k], gradient[:, k] = loss.loss_gradient(self.targets[rows, k], raw[:, k])
        return (self.factor[rows] * value).sum(axis=1), self.factor[rows] * gradient


class OneOutput(Setup):
    n_outputs = 1

    def make(self, rng, n):
        self.losses = [get_loss("squared_error")]
        self.y = rng.randn(n)
        self.targets = self.y[:, None]


class OneVsRest(Setup):
    n_outputs, target, negative = 3, "codes", -1.0

    def make(self, rng, n):
        self.losses = [get_loss("squared_hinge")]
        self.y = rng.randint(3, size=n).astype(float)
        self.targets = np.where(self.y[:, None] == np.arange(3), 1.0, -1.0)


class TwoTargets(Setup):
    n_outputs, target = 2, "separate"

    def make(self, rng, n):
        self.losses = [get_loss("huber", delta=delta) for delta in (0.4, 2.0)]
        self.y = self.targets = rng.randn(n, 2)


class Multinomial(Setup):
    n_outputs, rowwise = 3, True

    def make(self, rng, n):
        self.losses = [get_loss("multinomial", n_classes=3)]
        self.y = rng.randint(3, size=n).astype(float)


class Distributions(Setup):
    n_outputs, rowwise, target = 3, True, "separate"

    def make(self, rng, n):
        self.losses = [get_loss("multiclass_kl_divergence", n_classes=3)]
        self.y = rng.dirichlet(np.ones(3), size=n)


class InPython(TwoTargets):
    def make(self, rng, n):
        super().make(rng, n)
        self.losses = [
            FunctionLoss(lambda y, r: np.log(np.cosh(r - y)), lambda y, r: np.tanh(r - y))
        ]


class HundredTargets(Setup):
    n_outputs, target = 100, "separate"

    def make(self, rng, n):
        self.losses = [get_loss("squared_error")]
        self.y = self.targets = rng.randn(n, 100)


SETUPS = [OneOutput, OneVsRest, TwoTargets, Multinomial, Distributions, InPython]


# ------------------------------------------------------------------------------- against the papers


def arguments_of(name, setup, d, *, penalty="none", bounds=False, start=True, **settings):
    """What `Engine` and `Descent` share."""
    rng = np.random.RandomState(5)
    kernel, params = kernel_of(name)
    K = setup.n_outputs
    arguments = {
        "coef": rng.randn(K, d) * 0.3 if start else np.zeros((K, d)),
        "intercept": rng.randn(K) * 0.1,
        "params": params,
        "memory": STEPPERS[name].memory,
        "l1": {"l1": 0.05, "elasticnet": 0.03}.get(penalty, 0.0),
        "l2": {"l2": 0.2, "elasticnet": 0.1}.get(penalty, 0.0),
    }
    if bounds:
        low, high = np.full(d, -0.15), np.full(d, 0.2)
        low[::3], high[1::3] = 0.0, np.inf
        arguments |= {"low": low, "high": high}
        arguments["coef"] = np.clip(arguments["coef"], low, high)
    return kernel, arguments | settings


class Host:
    """Where the engine runs, and how data get there and results back. tests/test_gpu_engine.py has
    another."""

    Engine, Problem = Engine, Problem

    def take(self, array):
        return array

    def give(self, array):
        return array


HOST = Host()
BY_SAMPLE = ("sample_weight", "offset")


def moved(side, setup):
    """The engine's arguments of a setup, on its side."""
    arguments = setup.arguments
    return {k: side.take(v) if k in BY_SAMPLE else v for k, v in arguments.items()}


def engine_of(
    layout, setup, kernel, arguments, batch_size, *, dtype=np.float64, n_threads=1, side=HOST
):
    X, _, entries = layout
    share = None
    if entries is not None and arguments["memory"]:
        share = entries[rows_of(setup, arguments)].mean(axis=0)
    return side.Engine(
        side.take(converted(X, dtype)),
        side.take(setup.y),
        setup.losses,
        setup.n_outputs,
        optimizer=kernel,
        share=share,
        batch_size=batch_size,
        n_threads=n_threads,
        **moved(side, setup),
        **arguments,
    )


def rows_of(setup, arguments):
    rows = arguments.get("rows")
    return np.arange(len(setup.y)) if rows is None else rows


def descent_of(layout, setup, kernel, arguments):
    _, X, entries = layout
    others = {name: value for name, value in arguments.items() if name not in ("rows", "params")}
    rows = rows_of(setup, arguments)
    params = arguments["params"]
    others["rowwise"] = setup.rowwise
    return Descent(X, entries, setup.losses_of, rows, kernel=kernel, params=params, **others)


def rates_of(name, n, batch_size, epoch=0):
    steps = -(-n // batch_size)
    rate = KERNELS[kernel_of(name)[0]].rate
    return rate / (1.0 + 0.01 * (np.arange(steps) + steps * epoch))


CASES = {
    "plain": {},
    "l1": {"penalty": "l1", "batch_size": 1},
    "l2": {"penalty": "l2", "weights": True, "fit_intercept": False},
    "elastic net, averages": {"penalty": "elasticnet", "average": 5, "offset": 1},
    "bounds": {"bounds": True, "classes": True, "batch_size": 33},
    "bounds, elastic net": {"bounds": True, "penalty": "elasticnet", "average": 1},
    "clipped": {"clip_norm": 0.3, "penalty": "l2", "offset": 2, "weights": True},
    "clipped, averages": {"clip_norm": 0.3, "penalty": "l1", "average": 2, "batch_size": 33},
    "full batch": {"penalty": "elasticnet", "batch_size": 71, "classes": True},
    "averages of later steps": {"penalty": "l2", "average": 3, "average_power": 2.0},
    "some rows": {"penalty": "l1", "rows": np.arange(0, 71, 2, dtype=np.int32)},
}


@pytest.mark.pairwise
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", STEPPERS)
def test_steps_are_the_papers(name, layout, case):
    check_steps(name, layout, OneOutput, **CASES[case])


@pytest.mark.pairwise
@pytest.mark.parametrize("case", ["elastic net, averages", "clipped", "full batch"])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("setup", SETUPS[1:], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("name", ["momentum", "adamw", "saga", "implicit_adagrad"])
def test_steps_are_the_papers_for_all_kinds_of_losses(name, setup, layout, case):
    check_steps(name, layout, setup, **CASES[case])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", STEPPERS)
def test_steps_are_the_papers_in_float32(name, layout):
    case = {"penalty": "elasticnet", "bounds": True, "average": 1}
    check_steps(name, layout, OneVsRest, dtype=np.float32, **case)


def check_steps(
    name, layout, setup, *, weights=False, classes=False, offset=0, batch_size=7, n=71, d=11,
    dtype=np.float64, side=HOST, tolerance=None, **settings,
):  # fmt: skip
    setup = setup(n, weights=weights, classes=classes, offset=offset)
    layout = LAYOUTS[layout](n, d)
    kernel, arguments = arguments_of(name, setup, d, **settings)
    engine = engine_of(layout, setup, kernel, arguments, batch_size, dtype=dtype, side=side)
    expected = descent_of(layout, setup, kernel, arguments)
    tolerance = tolerance or (1e-10 if dtype == np.float64 else 3e-4)
    n_rows = len(expected.rows)

    def check(got, wanted):
        scale = max(np.abs(wanted).max(initial=0.0), 1e-3)
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * scale)

    for epoch in range(3):
        if arguments["memory"] == "svrg" or (arguments["memory"] and epoch == 0):
            assert engine.remember()
            expected.remember()
        rates = rates_of(name, n_rows, batch_size, epoch)
        loss, norm, finite = engine.epoch(rates, batch_size)
        wanted_loss, wanted_norm = expected.epoch(rates, batch_size)
        assert finite and engine.save()
        check(side.give(engine.coef()), expected.w)
        check(side.give(engine.intercepts()), expected.b)
        check(loss, wanted_loss)
        check(norm, wanted_norm)
        assert engine.coef().dtype == dtype
        if arguments.get("average"):
            for got, wanted in zip(engine.averages(), expected.averages(), strict=True):
                check(side.give(got), wanted)
    # The comparison is not one of weights that never moved, or all 0.
    assert np.abs(expected.w - arguments["coef"]).max() > 1e-3 and expected.w.any()
    if settings.get("clip_norm"):
        assert norm > 0


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", ["sgd", "saga"])
def test_batches_of_several_chunks_are_one_gradient(name, layout):
    # 100 outputs are taken in chunks of 655 rows, of 11 pieces; the 512 rows that are left make 16.
    # Those 5 more once went on from the sums of the step before.
    n, d = 2 * 1167, 5
    setup = HundredTargets(n)
    layout = LAYOUTS[layout](n, d)
    kernel, arguments = arguments_of(name, setup, d)
    engine = engine_of(layout, setup, kernel, arguments, 1167)
    expected = descent_of(layout, setup, kernel, arguments)
    if arguments["memory"]:
        engine.remember()
        expected.remember()
    for _ in range(2):
        engine.epoch(np.full(2, 0.1), 1167)
        expected.epoch(np.full(2, 0.1), 1167)
    engine.save()
    np.testing.assert_allclose(engine.coef(), expected.w, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(engine.intercepts(), expected.b, rtol=1e-9, atol=1e-12)


def test_order_of_an_epoch_is_that_of_its_seed():
    n, d = 50, 4
    setup, layout = OneOutput(n), dense_rows(n, d)
    kernel, arguments = arguments_of("sgd", setup, d)
    for seed in (0, 7, 2**64 - 1):
        engine = engine_of(layout, setup, kernel, arguments, 1)
        # Once more: the order does not depend on the epoch before.
        for _ in range(2):
            engine.set_weights(arguments["coef"], arguments["intercept"])
            engine.epoch(np.full(n, 0.1), 1, seed)
        engine.save()
        rows = shuffled(np.arange(n), seed)
        assert sorted(rows) == list(range(n)) and list(rows) != list(range(n))
        expected = descent_of(layout, setup, kernel, arguments | {"rows": rows})
        expected.epoch(np.full(n, 0.1), 1)
        np.testing.assert_allclose(engine.coef(), expected.w, rtol=1e-10)


@pytest.mark.parametrize("n", [2, 3, 1000, 2**16 - 1, 2**16, 2**16 + 1, 70001])
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_order_is_a_permutation_that_seed_and_number_of_rows_determine(n, seed):
    rows = np.arange(n, dtype=np.int32)[::-1].copy()
    order = in_order(rows, seed)
    np.testing.assert_array_equal(order, shuffled(rows, seed))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


@pytest.mark.parametrize("n", [1000, 2**17 + 3])
def test_orders_mix_as_random_ones_do(n):
    # Over many seeds: where a row comes, where the row after it comes, and how far the two are
    # apart, in 20 classes each; four standard deviations of chi-squared.
    rows, seeds = np.arange(n, dtype=np.int32), 4000 if n == 1000 else 400
    some = np.linspace(0, n - 2, 50).astype(int)

    def count(values):
        return np.bincount(values * 20 // n, minlength=20)

    counts = np.zeros((3, 20))
    for seed in range(seeds):
        place = in_order(rows, seed * 0xD1B54A32D192ED03 % 2**64).astype(np.int64)
        first, second = place[some], place[some + 1]
        counts += [count(first), count(second), count((second - first) % n)]
    every = np.arange(n)
    shares = np.array([count(every) / n, count(every) / n, count(every[1:]) / (n - 1)])
    expected = 50 * seeds * shares
    chi = ((counts - expected) ** 2 / expected).sum(axis=1)
    assert (np.abs(chi - 19) < 4 * np.sqrt(2 * 19)).all(), chi


# ------------------------------------------------------------------------------------ the objective


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("setup", SETUPS, ids=lambda cls: cls.__name__)
def test_value_and_gradient_are_numpys(setup, layout, dtype):
    check_value_and_gradient(setup, layout, dtype)


def check_value_and_gradient(setup, layout, dtype, side=HOST):
    n, d = 101, 11
    setup = setup(n, weights=True, classes=True, offset=2)
    X, full, _ = LAYOUTS[layout](n, d)
    rng = np.random.RandomState(3)
    coef, intercept = rng.randn(setup.n_outputs, d), rng.randn(setup.n_outputs)
    rows = np.sort(rng.permutation(n)[:90]).astype(np.int32)
    problem = side.Problem(
        side.take(converted(X, dtype)),
        side.take(setup.y),
        setup.losses,
        setup.n_outputs,
        rows=rows,
        **moved(side, setup),
    )
    value, c = setup.losses_of(rows, full[rows] @ coef.T + intercept)
    rtol = 1e-12 if dtype == np.float64 else 1e-5
    for _ in range(2):  # a second call starts anew
        got, coef_gradient, intercept_gradient = problem.value_gradient(coef, intercept)
        assert got == pytest.approx(value.mean(), rel=rtol)
        wanted = c.T @ full[rows] / len(rows)
        np.testing.assert_allclose(coef_gradient, wanted, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(intercept_gradient, c.mean(axis=0), rtol=rtol, atol=rtol)


def test_value_and_gradient_of_no_rows_are_0():
    setup = OneOutput(5)
    rows = np.empty(0, dtype=np.int32)
    problem = Problem(np.ones((5, 3)), setup.y, setup.losses, 1, rows=rows)
    value, coef, intercept = problem.value_gradient(np.ones((1, 3)), np.ones(1))
    assert value == 0.0 and not coef.any() and not intercept.any()


def test_a_sample_of_weight_0_has_no_say_although_its_loss_is_infinite():
    X = np.array([[1.0], [800.0]])
    loss = get_loss("poisson")
    problem = Problem(X, np.ones(2), [loss], 1, sample_weight=np.array([1.0, 0.0]))
    value, coef, intercept = problem.value_gradient(np.ones((1, 1)), np.zeros(1))
    expected, gradient = loss.loss_gradient(np.ones(1), np.ones(1))
    np.testing.assert_allclose([value, coef[0, 0]], [expected[0] / 2, gradient[0] / 2])
    np.testing.assert_allclose(intercept, gradient / 2)


# ------------------------------------------------------------------------------------------ threads


@pytest.fixture
def three_threads(monkeypatch):
    """Three threads run although the machine may have fewer CPUs."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with threadpoolctl.threadpool_limits(3, user_api="openmp"):
        if openmp_info()["enabled"]:
            assert effective_n_threads(3) == 3
        yield


# Work enough for three threads in an epoch (LEAST_PASS nanoseconds each), in the rows of a batch
# and in the features of a row (LEAST_WORK each; two blocks of columns). Sparse rows have one.
SIZES = {
    "dense": lambda: dense_rows(800, 2500),
    "csr": lambda: sparse_rows(900, 1500, mean=30),
    "csr, 64 bits, unsorted": lambda: sparse_rows(
        900, 1500, mean=30, sorted_columns=False, wide=True
    ),
}


# Every optimizer, and every kind of loss.
FITS = [(name, OneOutput) for name in STEPPERS]
FITS += [(name, setup) for name in ("adam", "saga", "implicit_adagrad") for setup in SETUPS[1:]]


@pytest.mark.parametrize("layout", SIZES)
@pytest.mark.parametrize("name, setup", FITS, ids=lambda x: getattr(x, "__name__", x))
def test_threads_never_change_a_bit_of_a_fit(name, setup, layout, three_threads):
    layout = SIZES[layout]()
    helps = layout[2] is None and openmp_info()["enabled"]
    n, d = layout[1].shape
    setup = setup(n, weights=True, offset=1)
    kernel, arguments = arguments_of(
        name, setup, d, penalty="elasticnet", average=1, clip_norm=0.5 if name == "adam" else None
    )

    def bits(n_threads):
        engine = engine_of(layout, setup, kernel, arguments, 150, n_threads=n_threads)
        returned = []
        for epoch in range(2):
            if arguments["memory"]:
                engine.remember()
            returned.append(engine.epoch(np.full(-(-n // 150), 0.01), 150, seed=epoch))
        assert engine.save()
        assert (engine.jobs_shared() > 0) == (helps and n_threads > 1)
        return repr(returned), [np.asarray(kept).tobytes() for kept in engine.get_state().values()]

    expected = bits(1)
    assert bits(2) == expected
    assert bits(3) == expected


@pytest.mark.parametrize("sparse", [False, True])
def test_threads_never_change_a_bit_of_a_full_gradient(sparse, three_threads):
    # Of 1000 outputs and 300 features, 769 rows (197 sparse ones, hence a chunk of 256) are 50
    # milliseconds, the time between two looks for signals. These parts once grew with the threads.
    n, d, K = 1000, 300, 1000
    X = sparse_rows(n, d, mean=60)[0] if sparse else dense_rows(n, d)[0]
    y, coef = np.random.RandomState(0).randn(n, K), np.random.RandomState(1).randn(K, d)
    results = []
    for n_threads in (1, 2, 3):
        problem = Problem(
            X, y, [get_loss("squared_error")], K, target="separate", n_threads=n_threads
        )
        value, *gradients = problem.value_gradient(coef, np.zeros(K))
        helps = not sparse and openmp_info()["enabled"]
        assert (problem.jobs_shared() > 0) == (helps and n_threads > 1)
        results.append((value, [g.tobytes() for g in gradients]))
    assert results[0] == results[1] == results[2]
    raw = X @ coef.T
    wanted = (X.T @ (raw - y)).T / n
    np.testing.assert_allclose(
        np.frombuffer(results[0][1][0]), wanted.ravel(), rtol=1e-9, atol=1e-9
    )


# ---------------------------------------------------------------------------- properties, not steps


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", STEPPERS)
def test_a_fit_that_is_resumed_has_the_same_bits(name, layout):
    n, d, batch_size = 71, 11, 7
    setup, layout = OneVsRest(n), LAYOUTS[layout](n, d)
    kernel, arguments = arguments_of(name, setup, d, penalty="elasticnet", average=4)

    def run(engine, epochs):
        for epoch in epochs:
            if arguments["memory"] == "svrg" or (arguments["memory"] and epoch == 0):
                engine.remember()
            engine.epoch(rates_of(name, n, batch_size, epoch), batch_size, seed=epoch)
            assert engine.save()
        arrays = [engine.coef(), engine.intercepts(), *engine.averages()]
        state = engine.get_state()
        return [np.asarray(a).tobytes() for a in [*arrays, *state.values()]], state

    whole, _ = run(engine_of(layout, setup, kernel, arguments, batch_size), range(4))
    _, state = run(engine_of(layout, setup, kernel, arguments, batch_size), range(2))
    fresh = engine_of(layout, setup, kernel, arguments, batch_size)
    fresh.set_state(state)
    assert run(fresh, range(2, 4))[0] == whole


def violation(setup, X, w, b, l1, l2, low, high):
    """How far the weights are from a fixed point of the proximal gradient step of length 1."""
    _, c = setup.losses_of(np.arange(len(X)), X @ w.T + b)
    moved = Prox(l1, low, high)(w - (c.T @ X / len(X) + l2 * w), 1.0)
    return max(np.abs(moved - w).max(), np.abs(c.mean(axis=0)).max())


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", REDUCED)
def test_variance_reduced_methods_converge_at_a_constant_rate(name, layout):
    n, d = 71, 11
    setup, layout = OneOutput(n), LAYOUTS[layout](n, d)
    low, high = np.full(d, -0.05), np.full(d, 0.1)
    kernel, arguments = arguments_of(name, setup, d, penalty="elasticnet", start=False)
    arguments |= {"low": low, "high": high}
    engine = engine_of(layout, setup, kernel, arguments, 7)
    for epoch in range(400):
        if name == "svrg" or epoch == 0:
            engine.remember()
        engine.epoch(np.full(11, 0.03), 7, seed=epoch)
    assert engine.save()
    w = engine.coef()
    found = violation(
        setup, layout[1], w, engine.intercepts(), arguments["l1"], arguments["l2"], low, high
    )
    assert found < 1e-9
    assert (w == 0).any() and ((w == low) | (w == high)).any()


@pytest.mark.parametrize("name", [n for n in PLAIN if n not in ("nadam", "adamw")])
def test_minimiser_of_the_penalised_objective_is_a_fixed_point(name):
    # Not of AdamW, whose decay is no part of an objective, and of NAdam only after many steps: its
    # two bias corrections sum to more than 1 at first.
    n, d = 71, 11
    setup, layout = OneOutput(n), dense_rows(n, d)
    settings = {"penalty": "elasticnet", "start": False}
    kernel, arguments = arguments_of("saga", setup, d, **settings)
    saga = engine_of(layout, setup, kernel, arguments, 7)
    saga.remember()
    for epoch in range(400):
        saga.epoch(np.full(11, 0.03), 7, seed=epoch)
    saga.save()
    kernel, arguments = arguments_of(name, setup, d, **settings)
    arguments |= {"coef": saga.coef(), "intercept": saga.intercepts(), "fit_intercept": False}
    engine = engine_of(layout, setup, kernel, arguments, n)
    for _ in range(20):
        engine.epoch(np.full(1, 0.01), n)
    engine.save()
    np.testing.assert_allclose(engine.coef(), saga.coef(), rtol=1e-6, atol=1e-10)
    assert (saga.coef() == 0).any() and (saga.coef() != 0).any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", STEPPERS)
def test_a_strong_l1_penalty_gives_exact_zeros(name, layout):
    # Of Nesterov's momentum, too, which adds something to the iterate that the penalty made 0.
    n, d = 71, 11
    setup, layout = OneOutput(n), LAYOUTS[layout](n, d)
    kernel, arguments = arguments_of(name, setup, d)
    arguments["l1"] = 30.0
    engine = engine_of(layout, setup, kernel, arguments, 7)
    if arguments["memory"]:
        engine.remember()
    for epoch in range(20):
        engine.epoch(np.full(11, 0.02), 7, seed=epoch)
    engine.save()
    coef = engine.coef()
    if layout[2] is not None:
        seen = layout[2].any(axis=0)
        # A feature without entries moves only where the length of a step needs no gradient.
        assert (coef[:, ~seen] == 0).all() == (
            name in ("sgd", "cumulative sgd", "momentum", "nesterov")
        )
        coef = coef[:, seen]
    elif kernel not in ("SGD", "CumulativeSGD", "Momentum", "Nesterov"):
        coef = coef[:, :-1]  # the feature that is 0 everywhere
    assert (coef == 0).all()


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", STEPPERS)
def test_weights_start_and_stay_within_their_bounds(name, layout):
    n, d = 71, 11
    setup, layout = OneOutput(n), LAYOUTS[layout](n, d)
    kernel, arguments = arguments_of(name, setup, d, start=False)
    low = np.linspace(-0.2, 0.2, d)
    high = low + 0.1
    engine = engine_of(layout, setup, kernel, arguments | {"low": low, "high": high}, 7)
    for _ in range(3):
        if arguments["memory"]:
            engine.remember()
        engine.epoch(np.full(11, 0.05), 7)
        engine.save()
        assert (engine.coef() >= low).all() and (engine.coef() <= high).all()


def test_lazy_penalty_of_more_than_the_weight_leaves_0_and_no_other_sign():
    # 1 - eta * alpha is below 0: a weight that no row has ends at 0.
    X, full, entries = sparse_rows(71, 11)
    setup = OneOutput(71)
    kernel, arguments = arguments_of("sgd", setup, 11)
    arguments["l2"] = 30.0
    engine = engine_of((X, full, entries), setup, kernel, arguments, 7)
    engine.epoch(np.full(11, 0.05), 7)
    engine.save()
    assert (engine.coef()[:, ~entries.any(axis=0)] == 0).all()


# -------------------------------------------------------------------------------------- bad endings


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("setup", [OneOutput, OneVsRest, Multinomial, InPython])
@pytest.mark.parametrize("name", ["adam", "saga"])
def test_a_raw_prediction_that_is_not_finite_ends_the_epoch(name, setup, layout):
    n, d, batch_size = 71, 11, 33
    setup, layout = setup(n), LAYOUTS[layout](n, d)
    kernel, arguments = arguments_of(name, setup, d, penalty="elasticnet", average=1)

    def run(engine, epochs):
        for epoch in epochs:
            _, _, finite = engine.epoch(np.full(3, 0.05), batch_size, seed=epoch)
            assert finite and engine.save()
        return [np.asarray(kept).tobytes() for kept in engine.get_state().values()]

    engine, undisturbed = (
        engine_of(layout, setup, kernel, arguments, batch_size) for _ in range(2)
    )
    if arguments["memory"]:
        assert engine.remember() and undisturbed.remember()
    assert run(engine, range(2)) == run(undisturbed, range(2))
    state = engine.get_state()
    engine.set_weights(np.full((setup.n_outputs, d), 1e308), np.zeros(setup.n_outputs))
    _, _, finite = engine.epoch(np.full(3, 0.05), batch_size)
    assert finite is False
    if arguments["memory"]:
        assert engine.remember() is False
    # What the failure left behind has no say in a fit that goes on from before.
    engine.set_state(state)
    assert run(engine, range(2, 4)) == run(undisturbed, range(2, 4))


def test_a_python_loss_is_never_asked_about_infinite_predictions():
    seen = []

    def gradient(y, raw):
        seen.append(raw.copy())
        return raw - y

    loss = FunctionLoss(lambda y, raw: (raw - y) ** 2 / 2, gradient)
    X = np.array([[1.0], [10.0]])
    problem = Problem(X, np.zeros(2), [loss], 1)
    value, _, _ = problem.value_gradient(np.full((1, 1), 1e308), np.zeros(1))
    assert np.isnan(value) and not seen


def test_weights_that_are_not_finite_are_not_saved():
    setup, layout = OneOutput(5), dense_rows(5, 3)
    kernel, arguments = arguments_of("sgd", setup, 3)
    engine = engine_of(layout, setup, kernel, arguments, 5)
    engine.set_weights(np.full((1, 3), np.nan), np.zeros(1))
    assert engine.save() is False
    np.testing.assert_array_equal(engine.coef(), arguments["coef"])


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_an_error_in_a_python_loss_reaches_the_caller(layout):
    n, d = 71, 11
    fails = []

    def gradient(y, raw):
        if fails:
            raise ZeroDivisionError("mine")
        return raw - y

    setup, layout = OneOutput(n), LAYOUTS[layout](n, d)
    setup.losses = [FunctionLoss(lambda y, raw: (raw - y) ** 2 / 2, gradient)]
    kernel, arguments = arguments_of("sgd", setup, d, penalty="l1")
    engine, undisturbed = (engine_of(layout, setup, kernel, arguments, 33) for _ in range(2))
    state = engine.get_state()
    fails.append(True)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="mine"):
            engine.epoch(np.full(3, 0.05), 33)
    fails.clear()
    engine.set_state(state)
    for e in (engine, undisturbed):
        e.epoch(np.full(3, 0.05), 33)
        e.save()
    np.testing.assert_array_equal(engine.coef(), undisturbed.coef())


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_stop_interrupts_an_epoch(layout):
    n, d = 30_000, 11
    stop, calls = threading.Event(), []

    def gradient(y, raw):
        calls.append(len(y))
        if len(calls) == 10:
            stop.set()
        return raw - y

    setup, layout = OneOutput(n), LAYOUTS[layout](n, d)
    setup.losses = [FunctionLoss(lambda y, raw: (raw - y) ** 2 / 2, gradient)]
    kernel, arguments = arguments_of("sgd", setup, d, penalty="l2")
    engine, undisturbed = (engine_of(layout, setup, kernel, arguments, 100) for _ in range(2))
    state = engine.get_state()
    with pytest.raises(KeyboardInterrupt):
        engine.epoch(np.full(n, 0.001), 1, stop=stop)
    assert 10 <= len(calls) < n
    # The engine is as good as new.
    setup.losses = OneOutput(n).losses
    engine.set_state(state)
    for e in (engine, undisturbed):
        e.epoch(np.full(300, 0.05), 100)
        e.save()
    np.testing.assert_array_equal(engine.coef(), undisturbed.coef())


def test_too_few_rates_and_missing_shares_are_errors():
    setup = OneOutput(71)
    kernel, arguments = arguments_of("sgd", setup, 11)
    engine = engine_of(dense_rows(71, 11), setup, kernel, arguments, 7)
    with pytest.raises(ValueError, match="10 rates are too few for 71 rows"):
        engine.epoch(np.full(10, 0.1), 7)
    kernel, arguments = arguments_of("saga", setup, 11)
    X = sparse_rows(71, 11)[0]
    with pytest.raises(ValueError, match="share"):
        Engine(X, setup.y, setup.losses, 1, optimizer=kernel, **arguments)
