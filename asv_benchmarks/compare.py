"""Side by side with scikit-learn: one run, one table.

``python -m asv_benchmarks.compare`` prints Markdown. Each ratio is a median of interleaved timings
of scikit-learn's over ours, so that above 1 ours is faster; both run in this process, on the same
arrays, with the same threads.
"""

import argparse
import os
import platform
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
from scipy import sparse
from sklearn._loss import loss as sklearn_loss
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier

import sklearn_losses as sl
from asv_benchmarks.benchmarks import solvers
from sklearn_losses._kernels.losses._pointwise import simd_level

# Our loss, scikit-learn's, and the ratio that is the target for float32 and float64.
KERNELS = {
    "log_loss": (sl.HalfBinomialLoss(), sklearn_loss.HalfBinomialLoss(), (25, 9)),
    "poisson": (sl.HalfPoissonLoss(), sklearn_loss.HalfPoissonLoss(), (7, 4)),
    "gamma": (sl.HalfGammaLoss(), sklearn_loss.HalfGammaLoss(), (7, 4)),
    "tweedie(1.5)": (sl.HalfTweedieLoss(1.5), sklearn_loss.HalfTweedieLoss(power=1.5), (8, 4)),
    "huber": (sl.HuberLoss(1.0), sklearn_loss.HuberLoss(delta=1.0), (8, 4)),
    "quantile": (sl.PinballLoss(0.5), sklearn_loss.PinballLoss(quantile=0.5), (8, 4)),
    "squared_error": (sl.HalfSquaredError(), sklearn_loss.HalfSquaredError(), (1.3, 1.2)),
    "multinomial": (sl.HalfMultinomialLoss(), sklearn_loss.HalfMultinomialLoss, (8, 4)),
}


def interleaved(functions, seconds=1.0, least=5, most=101):
    """Median seconds of each function, called in turn for about `seconds` in all."""
    for function in functions:
        function()
    times = [[] for _ in functions]
    end = time.perf_counter() + seconds
    while len(times[0]) < least or (time.perf_counter() < end and len(times[0]) < most):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def table(title, header, rows):
    print(f"\n### {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)


def verdict(ratio, target):
    return f"{ratio:.2f}x" + ("" if ratio >= target else " (short)")


def ceiling(n, dtype, n_threads):
    """Million samples a second of the plain two-in two-out loop: the squared error's."""
    return kernel_rate(sl.HalfSquaredError(), n, dtype, n_threads)


def kernel_rate(loss, n, dtype, n_threads):
    rng = np.random.RandomState(0)
    y, raw = rng.uniform(0.05, 0.95, n).astype(dtype), rng.standard_normal(n).astype(dtype)
    out = np.empty_like(raw), np.empty_like(raw)
    (seconds,) = interleaved([lambda: loss.loss_gradient(y, raw, None, *out, n_threads)], 0.3)
    return n / seconds / 1e6


def kernels(n, thread_counts):
    rng = np.random.RandomState(0)
    for n_threads in thread_counts:
        rows = []
        for name, (ours, theirs, targets) in KERNELS.items():
            for dtype, target in zip((np.float32, np.float64), targets, strict=True):
                for n_classes in (3, 10, 100) if ours.is_multiclass else (0,):
                    if n_classes:
                        m = max(n // n_classes // 4, 16)
                        y = rng.randint(n_classes, size=m).astype(dtype)
                        raw = rng.standard_normal((m, n_classes)).astype(dtype)
                        other = theirs(n_classes=n_classes)
                    else:
                        m, other = n, theirs
                        y = rng.uniform(0.05, 0.95, m).astype(dtype)
                        raw = rng.standard_normal(m).astype(dtype)
                    out = np.empty_like(y), np.empty_like(raw)

                    def call(loss, y=y, raw=raw, out=out, n_threads=n_threads):
                        loss.loss_gradient(y, raw, None, *out, n_threads=n_threads)

                    mine, their = interleaved([lambda o=ours: call(o), lambda o=other: call(o)])
                    rows.append(
                        (
                            name + (f" K={n_classes}" if n_classes else ""),
                            np.dtype(dtype).name,
                            f"{raw.size / mine / 1e6:.0f}",
                            f"{raw.size / their / 1e6:.0f}",
                            verdict(their / mine, target),
                            f"{target}x",
                        )
                    )
        table(
            f"loss_gradient, n = {n:,}, {n_threads} thread{'s' * (n_threads > 1)}",
            ("loss", "dtype", "ours, M/s", "scikit-learn, M/s", "ratio", "target"),
            rows,
        )


def every_loss(n):
    rows = []
    for dtype in (np.float32, np.float64):
        plain = ceiling(n, dtype, 1)
        for cls in sl.losses.POINTWISE:
            rate = kernel_rate(cls(), n, dtype, 1)
            rows.append((cls.name, np.dtype(dtype).name, f"{rate:.0f}", f"{rate / plain:.2f}"))
    table(
        f"every loss's loss_gradient against the plain two-in two-out loop, n = {n:,}, 1 thread",
        ("loss", "dtype", "M samples/s", "of the plain loop"),
        rows,
    )


def overhead():
    rows = []
    for name in ("squared_error", "log_loss", "multinomial"):
        ours, theirs, _ = KERNELS[name]
        for n in (100, 16_000):
            y = np.ones(n)
            raw = np.zeros((n, 3)) if ours.is_multiclass else np.zeros(n)
            other = theirs(n_classes=3) if ours.is_multiclass else theirs
            out = np.empty_like(y), np.empty_like(raw)

            def call(loss, y=y, raw=raw, out=out):
                for _ in range(100):
                    loss.loss_gradient(y, raw, None, *out, n_threads=1)

            mine, their = interleaved([lambda o=ours: call(o), lambda o=other: call(o)], 0.5)
            rows.append(
                (name, n, f"{mine * 1e4:.2f}", f"{their * 1e4:.2f}", verdict(their / mine, 1))
            )
    table(
        "one call of loss_gradient, float64, 1 thread",
        ("loss", "n", "ours, us", "scikit-learn, us", "ratio"),
        rows,
    )


def epoch_data(n, d, nonzeros, dtype, n_classes, rng):
    if nonzeros:
        indices = np.sort(rng.randint(d, size=(n, nonzeros)), axis=1).astype(np.int32)
        indptr = np.arange(0, n * nonzeros + 1, nonzeros, dtype=np.int32)
        X = sparse.csr_matrix((rng.standard_normal(n * nonzeros), indices.ravel(), indptr), (n, d))
        X = X.astype(dtype)
        X.sum_duplicates()
    else:
        X = rng.standard_normal((n, d)).astype(dtype)
    w = rng.standard_normal((d, n_classes))
    scores = X @ w + rng.standard_normal((n, n_classes))
    return X, (scores[:, 0] > 0).astype(int) if n_classes == 1 else scores.argmax(axis=1)


def epochs():
    rng = np.random.RandomState(0)
    cases = [("dense", 50_000, d, 0, 5) for d in (10, 30, 100)] + [("dense", 10_000, 1000, 0, 3)]
    cases += [("CSR 20 of 100,000", 50_000, 100_000, 20, 2.5)]
    cases += [("CSR 75 of 50,000", 20_000, 50_000, 75, 2.5)]
    rows = []
    for layout, n, d, nonzeros, target in cases:
        for dtype in (np.float64, np.float32):
            X, y = epoch_data(n, d, nonzeros, dtype, 1, rng)
            for loss, penalty in (("log_loss", "l2"), ("hinge", "l2"), ("log_loss", "l1")):
                goal = 5 if d == 1000 and dtype is np.float32 else target
                rows.append(epoch_row(layout, d, dtype, X, y, loss, penalty, goal))
    X, y = epoch_data(20_000, 64, 0, np.float64, 10, rng)
    rows.append(epoch_row("10 classes, one-vs-rest", 64, np.float64, X, y, "log_loss", "l2", 5))
    rows.append(
        epoch_row("10 classes, softmax", 64, np.float64, X, y, "log_loss", "l2", 5, "multinomial")
    )
    table(
        "epochs of batch_size=1, 1 thread (a sample's share of one epoch)",
        (
            "data",
            "d",
            "dtype",
            "loss",
            "penalty",
            "ours, ns",
            "scikit-learn, ns",
            "ratio",
            "target",
        ),
        rows,
    )


def epoch_row(layout, d, dtype, X, y, loss, penalty, target, ours=None):
    def fit(cls, loss, max_iter):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            cls(loss=loss, penalty=penalty, max_iter=max_iter, tol=None, random_state=0).fit(X, y)

    # The difference of two fits is the epochs alone, without validation and setup.
    cases = [
        lambda c=c, name=name, k=k: fit(c, name, k)
        for c, name in ((sl.SGDClassifierX, ours or loss), (SGDClassifier, loss))
        for k in (1, 5)
    ]
    one, five, their_one, their_five = interleaved(cases, 1.5, least=5)
    scale = 1e9 / 4 / X.shape[0]
    mine, their = (five - one) * scale, (their_five - their_one) * scale
    return (
        layout,
        d,
        np.dtype(dtype).name,
        ours or loss,
        penalty,
        f"{mine:.0f}",
        f"{their:.0f}",
        verdict(their / mine, target),
        f"{target}x",
    )


def predictions():
    rng = np.random.RandomState(0)
    X, y = epoch_data(1_000_000, 30, 0, np.float64, 1, rng)
    mine = sl.SGDClassifierX(max_iter=1, tol=None, random_state=0).fit(X[:1000], y[:1000])
    theirs = SGDClassifier(max_iter=1, tol=None, random_state=0).fit(X[:1000], y[:1000])
    rows = []
    for method in ("decision_function", "predict"):
        a, b = interleaved(
            [lambda m=method: getattr(mine, m)(X), lambda m=method: getattr(theirs, m)(X)]
        )
        rows.append((method, f"{a * 1e3:.1f}", f"{b * 1e3:.1f}", verdict(b / a, 1)))
    table(
        "predictions, n = 1,000,000, d = 30, float64",
        ("method", "ours, ms", "scikit-learn, ms", "ratio"),
        rows,
    )


def batches():
    """Two threads against one, and that they give the same bits."""
    rows = []
    rng = np.random.RandomState(0)
    cases = [("dense", 40_000, d, 0, 1.7) for d in (30, 100, 1000)]
    cases += [("CSR 20 of 100,000", 40_000, 100_000, 20, 1.5)]
    cases += [("CSR 75 of 50,000", 20_000, 50_000, 75, 1.5)]
    for layout, n, d, nonzeros, target in cases:
        for dtype in (np.float64, np.float32):
            X, y = epoch_data(n if d < 1000 or nonzeros else n // 4, d, nonzeros, dtype, 1, rng)
            for optimizer in ("sgd", "adam"):
                one, five, both, both_five = interleaved(
                    [
                        lambda j=j, k=k, o=optimizer, X=X, y=y: solvers.epochs(
                            X, y, o, j, max_iter=k
                        )
                        for j in (1, 2)
                        for k in (1, 5)
                    ],
                    1.0,
                )
                same = [solvers.epochs(X, y, optimizer, j, max_iter=2).coef_ for j in (1, 2)]
                scale = 1e9 / 4 / X.shape[0]
                mine, shared = (five - one) * scale, (both_five - both) * scale
                rows.append(
                    (
                        layout,
                        d,
                        np.dtype(dtype).name,
                        optimizer,
                        f"{mine:.0f}",
                        f"{shared:.0f}",
                        verdict(mine / shared, target if d >= 100 else 0),
                        f"{target}x" if d >= 100 else "",
                        "yes" if (same[0] == same[1]).all() else "NO",
                    )
                )
    header = ("data", "d", "dtype", "optimizer", "1 thread, ns", "2 threads, ns", "ratio", "target")
    table("a sample's share of an epoch of batch_size=256", (*header, "same bits"), rows)


def full_objective():
    rows = []
    for layout in ("dense", "csr"):
        for n_classes in (2, 10):
            values = []
            for n_threads in (1, 2):
                ours, theirs = solvers.objectives(layout, n_classes, n_threads)
                a, b = interleaved([ours, theirs], 1.0)
                values.append(ours())
                same = "" if n_threads == 1 else "yes" if equal(*values) else "NO"
                rows.append(
                    (
                        layout,
                        n_classes,
                        n_threads,
                        f"{a * 1e3:.2f}",
                        f"{b * 1e3:.2f}",
                        verdict(b / a, 1),
                        same,
                    )
                )
    header = ("data", "classes", "threads", "ours, ms", "scikit-learn, ms", "ratio", "same bits")
    table("value and gradient of the full objective, 40,000 samples, float64", header, rows)


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def targets():
    rows = []
    for name in solvers.PROBLEMS:
        seconds = solvers.seconds_to_target(name, lambda f: interleaved([f], 0.0, least=3)[0])
        peers = [s for solver, s in seconds.items() if not solver.startswith("ours") and s]
        for solver, s in sorted(seconds.items(), key=lambda item: item[1] or np.inf):
            shown = (
                ("not reached", "") if s is None else (f"{s * 1e3:.1f}", f"{min(peers) / s:.2f}x")
            )
            rows.append((name, solver, *shown))
    table(
        "time to an objective within 0.1 % of the best, float64",
        ("problem", "solver", "ms", "against the best peer"),
        rows,
    )


def peers():
    """Losses and fits of libraries that may be installed."""
    rows = []
    n = 1_000_000
    rng = np.random.RandomState(0)
    y, raw = (rng.rand(n) > 0.5).astype(np.float32), rng.standard_normal(n).astype(np.float32)
    out = np.empty_like(raw), np.empty_like(raw)
    try:
        import torch
    except ImportError:
        rows.append(("torch", "not installed", "", "", ""))
    else:
        torch.set_num_threads(1)
        a, b = torch.from_numpy(raw.copy()).requires_grad_(), torch.from_numpy(y)
        functions = torch.nn.functional
        cases = {
            "log_loss": (sl.HalfBinomialLoss(), functions.binary_cross_entropy_with_logits),
            "huber": (sl.HuberLoss(1.0), functions.huber_loss),
            "poisson": (sl.HalfPoissonLoss(), functions.poisson_nll_loss),
        }
        for name, (loss, theirs) in cases.items():

            def by_torch(theirs=theirs):
                a.grad = None
                theirs(a, b).backward()

            mine, their = interleaved(
                [lambda loss=loss: loss.loss_gradient(y, raw, None, *out, n_threads=1), by_torch]
            )
            rows.append(
                (
                    "torch",
                    f"value and gradient of {name}, float32",
                    f"{mine * 1e3:.2f}",
                    f"{their * 1e3:.2f}",
                    f"{their / mine:.2f}x",
                )
            )
    X, signal = solvers.problem_data("least squares, L1")
    try:
        from skglm import Lasso
    except ImportError:
        rows.append(("skglm", "not installed", "", "", ""))
    else:
        ours = sl.SGDRegressorX(optimizer="lbfgs", penalty="l1", alpha=solvers.ALPHA, tol=1e-4)
        theirs = Lasso(alpha=solvers.ALPHA, tol=1e-4)
        mine, their = interleaved([lambda: ours.fit(X, signal), lambda: theirs.fit(X, signal)])
        rows.append(
            ("skglm", "Lasso", f"{mine * 1e3:.1f}", f"{their * 1e3:.1f}", f"{their / mine:.2f}x")
        )
    try:
        from vowpalwabbit.sklearn_vw import VWClassifier
    except ImportError:
        rows.append(("vowpalwabbit", "not installed", "", "", ""))
    else:
        X, labels = solvers.data("csr")
        theirs = VWClassifier(loss_function="logistic", passes=1)
        signs = 2 * labels - 1
        ours = sl.SGDClassifierX("log_loss", max_iter=1, tol=None, random_state=0)
        mine, their = interleaved([lambda: ours.fit(X, labels), lambda: theirs.fit(X, signs)])
        rows.append(
            (
                "vowpalwabbit",
                "one pass over CSR",
                f"{mine * 1e3:.1f}",
                f"{their * 1e3:.1f}",
                f"{their / mine:.2f}x",
            )
        )
    table("other libraries, 1 thread", ("library", "what", "ours, ms", "theirs, ms", "ratio"), rows)


def streams(folder=None):
    """Few passes over the data without tuning."""
    from asv_benchmarks.streams import run

    run(table, folder)


def paths():
    """Paths of alpha, and searches along them."""
    from asv_benchmarks.paths import run

    run(table)


SUITES = {
    "kernels": lambda: kernels(4_000_000, (1, 2)),
    "cached": lambda: kernels(16_000, (1,)),
    "losses": lambda: every_loss(4_000_000),
    "overhead": overhead,
    "epochs": epochs,
    "predictions": predictions,
    "batches": batches,
    "objective": full_objective,
    "targets": targets,
    "peers": peers,
    "streams": streams,
    "paths": paths,
}


def main(arguments=None):
    """Exit status; ``optimum ...`` is a command of its own, with its own options."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["optimum"]:
        from asv_benchmarks.optimum.__main__ import main as optimum

        return optimum(arguments[1:])
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="'optimum' races exact optimizers to the minimum: see 'optimum --help'",
    )
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help="all of them by default")
    parser.add_argument("--data", type=Path, help="folder of the data of streams' problems")
    arguments = parser.parse_args(arguments)
    print(
        f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}, Python "
        f"{platform.python_version()}, {os.cpu_count()} CPUs, kernels for {simd_level()}."
    )
    for name in arguments.suites or SUITES:
        SUITES[name](*([arguments.data] if name == "streams" else []))
    return 0


if __name__ == "__main__":
    sys.exit(main())
