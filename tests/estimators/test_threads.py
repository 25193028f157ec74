"""The number of threads: what it follows, what it never changes, and what a forked child does."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import threadpoolctl

import sklearn_losses
from sklearn_losses._kernels._threads import (
    MIN_WORK_PER_THREAD,
    DuringAFit,
    effective_n_threads,
    openmp_info,
    threads_for,
)
from sklearn_losses.linear_model import SGDRegressorX
from sklearn_losses.losses import POINTWISE, ROWWISE
from sklearn_losses.optimizers import OPTIMIZERS

LARGE = 1 << 40  # work that is above any threshold

needs_openmp = pytest.mark.skipif(
    not openmp_info()["enabled"], reason="this build has no OpenMP: it always runs on one thread"
)


def run_python(code, timeout=60, **changes):
    """Standard output of `code` in a fresh interpreter; a hang fails the test instead of the run.

    `changes` are environment variables, None to unset one.
    """
    environment = {k: v for k, v in (os.environ | changes).items() if v is not None}
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("bad", [0, 0.5, 2.0, "2", True, False, np.bool_(True), [2]])
def test_invalid_n_threads_is_a_clear_error(bad):
    with pytest.raises(ValueError, match="n_threads must be None"):
        effective_n_threads(bad)
    with pytest.raises(ValueError, match="n_threads must be None"):
        threads_for(10, bad)
    y = np.zeros(3)
    with pytest.raises(ValueError, match="n_threads must be None"):
        sklearn_losses.get_loss("huber").loss_gradient(y, y, n_threads=bad)


def test_small_work_runs_on_one_thread():
    assert threads_for(0) == threads_for(2 * MIN_WORK_PER_THREAD - 1) == 1
    assert threads_for(2 * MIN_WORK_PER_THREAD, 7) <= 2
    assert threads_for(LARGE) == effective_n_threads()


def test_short_loops_take_one_thread_while_a_fit_goes_on():
    # The runtime's threads would spin where the fit's own are to work.
    work = 4 * MIN_WORK_PER_THREAD
    at_rest, seen = threads_for(work, 2), []

    def gradient(y, raw):
        seen.append(threads_for(work, 2))
        return 2.0 * (raw - y)

    loss = sklearn_losses.FunctionLoss(lambda y, raw: (raw - y) ** 2, gradient)
    X = np.linspace(0.0, 1.0, 20).reshape(-1, 1)
    for optimizer in ("newton", "sgd"):
        seen.clear()
        SGDRegressorX(loss, optimizer=optimizer).fit(X, X[:, 0])
        assert seen and set(seen) == {1}
    SGDRegressorX(loss, optimizer="sgd").partial_fit(X, X[:, 0])
    assert threads_for(work, 2) == at_rest
    with pytest.raises(ValueError, match="NaN"):
        SGDRegressorX().fit(X * np.nan, X[:, 0])
    assert threads_for(work, 2) == at_rest
    with DuringAFit():
        assert threads_for(work, 2) == 1 and threads_for(LARGE) == effective_n_threads()


def test_negative_n_threads_counts_from_all():
    most = effective_n_threads()
    assert effective_n_threads(-1) == most
    assert effective_n_threads(-2) == max(1, most - 1)
    assert effective_n_threads(-most - 5) == 1
    assert effective_n_threads(np.int64(1)) == 1


@needs_openmp
def test_threadpoolctl_limit_is_respected():
    with threadpoolctl.threadpool_limits(1, user_api="openmp"):
        assert effective_n_threads() == effective_n_threads(7) == threads_for(LARGE, 7) == 1


@needs_openmp
@pytest.mark.parametrize("n", [1, 2, 5])
def test_omp_num_threads_is_respected(n):
    # More threads than CPUs on purpose: who sets the variable has decided, as in scikit-learn.
    code = """
        from sklearn_losses._kernels._threads import effective_n_threads, threads_for
        print(effective_n_threads(), effective_n_threads(99), threads_for(1 << 40))
    """
    assert run_python(code, OMP_NUM_THREADS=str(n)).split() == [str(n)] * 3


@needs_openmp
def test_cpu_quota_is_respected():
    # LOKY_MAX_CPU_COUNT is joblib's own limit, and takes the same way as a cgroup's quota.
    code = """
        from sklearn_losses._kernels._threads import effective_n_threads
        print(effective_n_threads(), effective_n_threads(8))
    """
    assert run_python(code, LOKY_MAX_CPU_COUNT="1", OMP_NUM_THREADS=None).split() == ["1", "1"]


@needs_openmp
def test_joblib_inner_limit_is_respected():
    code = """
        import joblib
        from sklearn_losses._kernels._threads import effective_n_threads
        with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
            print(*joblib.Parallel()(joblib.delayed(effective_n_threads)() for _ in range(2)))
    """
    assert run_python(code, OMP_NUM_THREADS=None).split() == ["1", "1"]


FORK = """
    import os, sys
    import numpy as np
    import sklearn_losses
    from sklearn_losses._kernels._threads import effective_n_threads, openmp_info

    loss = sklearn_losses.get_loss("log_loss")
    rng = np.random.RandomState(0)
    y, raw = rng.rand(1_000_000), rng.randn(1_000_000)

    def run():
        out, gradient = loss.loss_gradient(y, raw, n_threads=2)
        return out.tobytes() + gradient.tobytes()

    expected = run()  # wakes the thread pool
    assert not openmp_info()["forked"]
    child = os.fork()
    if child == 0:
        ok = run() == expected and effective_n_threads() == 1
        os._exit(0 if ok else 3)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
    assert run() == expected  # the parent still has its threads
    print("same bits,", effective_n_threads(), "threads")
"""


@needs_openmp
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_forked_child_runs_serially_and_gives_the_same_bits():
    # Without the guard (an empty sl_after_fork_in_child in _threads.pyx) the child waits in GNU
    # libgomp for threads that the fork did not copy, and the timeout fails this test, as was tried.
    assert "same bits, 2 threads" in run_python(FORK, timeout=60, OMP_NUM_THREADS="2")


# Around the block length of 4096, where the pieces of a parallel loop begin and end.
SIZES = [0, 1, 7, 4095, 4096, 4097, 1_000_000]


def problem(cls, n, seed=0):
    """A loss and (y_true, raw_prediction, sample_weight) inside its domain."""
    rng = np.random.RandomState(seed)
    if cls in ROWWISE:
        k = 3
        n = min(n, 200_000)
        extra = {"priors": [0.5, 0.3, 0.2], "class_counts": [50, 30, 20]}
        names = cls(n_classes=k, **{p: v for p, v in extra.items() if p in signature(cls)})
        y = rng.randint(k, size=n).astype(float)
        if "kl_divergence" in names.name:
            y = rng.dirichlet(np.ones(k), size=n)
        return names, y, rng.randn(n, k), rng.rand(n)
    loss = cls()
    # (0, 1) lies in the domain of every pointwise loss.
    return loss, rng.uniform(0.05, 0.95, size=n), rng.randn(n), rng.rand(n)


def signature(cls):
    import inspect

    return inspect.signature(cls).parameters


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("cls", [*POINTWISE, *ROWWISE], ids=lambda cls: cls.__name__)
def test_threads_never_change_a_bit(cls, n, monkeypatch):
    loss, y, raw, weight = problem(cls, n)

    def bits(n_threads):
        out, gradient = loss.loss_gradient(y, raw, sample_weight=weight, n_threads=n_threads)
        mean = loss(y, raw, weight, n_threads=n_threads) if n else 0.0
        return out.tobytes(), gradient.tobytes(), np.float64(mean).tobytes()

    expected = bits(1)
    # So that 7 threads run although the machine has fewer CPUs.
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with threadpoolctl.threadpool_limits(7, user_api="openmp"):
        if openmp_info()["enabled"]:
            assert effective_n_threads(7) == 7
        for n_threads in (2, 3, 7):
            assert bits(n_threads) == expected


@pytest.mark.parametrize("name", [n for n, c in OPTIMIZERS.items() if not c.full_batch])
def test_a_fit_does_not_depend_on_where_its_arrays_lie(name):
    # Nesterov's steps were rounded otherwise where the arrays of few features lay side by side.
    rng = np.random.RandomState(0)
    X = rng.normal(size=(90, 4))
    y = np.exp(X @ [0.5, -0.3, 0.2, 0.4])
    seen = set()
    for _ in range(200):
        taken = [np.empty(4) for _ in range(64)]
        for i in rng.permutation(64)[:40]:
            taken[i] = None  # where the next arrays of this size go
        model = SGDRegressorX("huber", optimizer=name, batch_size=7, max_iter=2, tol=None)
        seen.add(model.set_params(random_state=0).fit(X, y).coef_.tobytes())
    assert len(seen) == 1
