"""Epochs and whole fits, dense and sparse, and what it takes to move the data."""

import statistics

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

import sklearn_losses as sl

from .data import csr, dense_data, sparse_data
from .report import share_of, shown
from .timing import NOTHING, epoch_seconds, free, timed, wall_seconds
from .training import made, torch_training

EPOCH = 0.5  # of the bound: the target
EPOCHS = (
    "data and loss",
    "epoch, ms",
    "bound, ms",
    "of the bound",
    "target",
    "fit of two epochs, ms",
    "million samples a second",
    "same bits twice",
    "torch eager takes",
    "torch graph takes",
    "the CPU takes",
)


def cpu_name(sizes, n):
    return "" if sizes.cpu_rows >= n else f", {sizes.cpu_rows:,} rows scaled"


def fit_row(report, cp, torch, sizes, bandwidth, what, loss, X, y, X_cpu, y_cpu, must):
    """A row of the table of epochs; `must`: bytes that an epoch has to move."""
    n = X.shape[0]

    def fit(epochs, X=X, y=y):
        return made(loss, sizes.batch, epochs).fit(X, y)

    seconds, base = epoch_seconds(fit, sizes)
    bound = must / bandwidth
    twice = [fit(2).coef_.get() for _ in range(2)]
    same = "yes" if np.array_equal(*twice) else "NO"
    m = X_cpu.shape[0]
    cpu = apart = NOTHING
    if not report.late(f"the CPU, {what}"):
        cpu = epoch_seconds(lambda epochs: fit(epochs, X_cpu, y_cpu), sizes, most=8)[0] * n / m
        here = fit(2, X_cpu, y_cpu).coef_
        there = fit(2, X[:m], y[:m]).coef_.get()
        apart = np.abs(here - there).max() / np.abs(here).max()
    peers = {}
    if torch is not None and loss in ("log_loss", "squared_error") and not hasattr(X, "indptr"):
        tensors = torch.from_dlpack(X), torch.from_dlpack(y.astype(np.float32))
        for name, graph in (("eager", False), ("graph", True)):
            if not report.late(f"torch {name}, {what}"):
                run = torch_training(torch, *tensors, loss, sizes.batch, graph)
                found = report.attempt(f"torch {name}, {what}", epoch_seconds, run, sizes)
                peers[name] = NOTHING if found is None else found[0]
    report.row(
        what,
        shown(1e3 * seconds, 3),
        shown(1e3 * bound, 3),
        share_of(bound / seconds, EPOCH),
        f"{100 * EPOCH:.0f} %",
        shown(1e3 * base, 0),
        shown(n / seconds / 1e6, 0),
        same,
        shown(peers.get("eager", NOTHING) / seconds, 2, "x"),
        shown(peers.get("graph", NOTHING) / seconds, 2, "x"),
        shown(cpu / seconds, 1, "x"),
    )
    if np.isfinite(apart):
        report.note(
            f"{what}: after two epochs on {m:,} rows no coefficient is further from the CPU's than "
            f"{apart:.1e} of the largest"
        )


def fits(report, cp, torch, sizes, bandwidth):
    from cupyx.scipy import sparse as device_sparse

    n, d, m = sizes.rows, sizes.features, min(sizes.cpu_rows, sizes.rows)
    report.table(
        f"Epochs of Adam, float32, batch_size={sizes.batch:,}",
        EPOCHS,
        "The bound is the bytes of X and y, read once, at the bandwidth of the copy",
        "PyTorch's order of the samples is made beforehand; ours is made anew within each epoch",
        f"The CPU has {sl.effective_n_threads()} threads{cpu_name(sizes, n)}",
    )
    X, signal = dense_data(cp, n, d)
    X_cpu = X[:m].get()
    targets = {"log_loss": (signal > 0).astype(np.int32), "squared_error": signal}
    # Ten classes of about the same size.
    targets["multinomial"] = cp.clip((signal + 1.5) / 0.3, 0, 9).astype(np.int32)
    for loss, y in targets.items():
        what = f"{n:,} x {d}, {loss}"
        if not report.late(what):
            arguments = (what, loss, X, y, X_cpu, y[:m].get(), X.nbytes + 4 * n)
            report.attempt(what, fit_row, report, cp, torch, sizes, bandwidth, *arguments)
            del arguments
    free(cp, torch)
    report.attempt("transfers", transfers, report, cp, sizes, X_cpu, X.nbytes)
    report.attempt("lbfgs", lbfgs, report, cp, sizes, X, targets["log_loss"])
    del X, X_cpu, signal, targets, y
    free(cp, torch)
    sparse_fits(report, cp, device_sparse, sizes, bandwidth)
    free(cp, torch)


def sparse_fits(report, cp, device_sparse, sizes, bandwidth):
    n, d, nonzeros = sizes.rows, sizes.sparse_features, sizes.nonzeros
    m = min(sizes.cpu_rows, n)
    report.table(
        f"Epochs of Adam, CSR of float32, batch_size={sizes.batch:,}",
        EPOCHS,
        "The bound is the bytes of values, column numbers, row ends and y, read once",
        f"The CPU has {sl.effective_n_threads()} threads{cpu_name(sizes, n)}",
    )
    what = f"{n:,} rows, {nonzeros} of {d:,} features, log_loss"
    if report.late(what):
        return
    values, columns, signal = sparse_data(cp, n, d, nonzeros)
    y = (signal > 0).astype(np.int32)
    X_cpu = csr(sparse, values[:m].get(), columns[:m].get(), d)
    X = csr(device_sparse, values, columns, d)
    must = values.nbytes + columns.nbytes + 8 * n
    arguments = (what, "log_loss", X, y, X_cpu, y[:m].get(), must)
    report.attempt(what, fit_row, report, cp, None, sizes, bandwidth, *arguments)


def transfers(report, cp, sizes, X_cpu, bytes_of_X):
    """Copies between ordinary (pageable) memory of the host and the device."""
    report.table(
        "Transfers, which no other table has in it",
        ("what", "GB/s", f"{bytes_of_X / 1e9:,.1f} GB take, ms"),
        "By cupy.asarray and cupy.asnumpy, of ordinary memory",
    )
    there = cp.asarray(X_cpu)

    def wait():
        cp.cuda.get_current_stream().synchronize()

    def upload():
        there.set(X_cpu)
        wait()

    calls = {"to the device": upload, "to the host": lambda: cp.asnumpy(there)}
    for what, seconds in zip(calls, wall_seconds(list(calls.values()), 3), strict=True):
        rate = X_cpu.nbytes / seconds
        report.row(what, shown(rate / 1e9, 1), shown(1e3 * bytes_of_X / rate, 0))


def lbfgs(report, cp, sizes, X, y):
    """Fits to a minimum of the logistic objective, and how low each got."""
    n = min(sizes.lbfgs_rows, len(y))
    X, y = X[:n], y[:n]
    X_cpu, y_cpu = X.get(), y.get()
    alpha = 1e-4
    report.table(
        f"Fits by L-BFGS, {n:,} x {X.shape[1]}, float32",
        ("what", "ms", "iterations", "objective"),
        "Whole fits of log loss with the L2 penalty, tol=1e-5, data where they are fitted; the "
        "objective is computed in float64",
    )

    def ours(X, y):
        model = sl.SGDClassifierX("log_loss", optimizer="lbfgs", alpha=alpha, tol=1e-5, n_jobs=-1)
        return model.fit(X, y)

    def theirs():
        return LogisticRegression(C=1 / (alpha * n), tol=1e-5, max_iter=1000).fit(X_cpu, y_cpu)

    solvers = {
        "sklearn_losses, GPU": lambda: ours(X, y),
        "sklearn_losses, CPU": lambda: ours(X_cpu, y_cpu),
        "scikit-learn's LogisticRegression, CPU": theirs,
    }
    for what, solve in solvers.items():
        if report.late(what):
            continue
        model = solve()
        seconds = statistics.median(timed(solve) for _ in range(min(3, sizes.fit_repeats)))
        coef, intercept = (
            np.ravel(part.get() if hasattr(part, "get") else part).astype(np.float64)
            for part in (model.coef_, model.intercept_)
        )
        raw = X_cpu @ coef + intercept
        objective = sl.HalfBinomialLoss()(y_cpu, raw) + 0.5 * alpha * (coef @ coef)
        iterations = int(np.max(model.n_iter_))
        report.row(what, shown(1e3 * seconds, 1), iterations, f"{objective:.7f}")
