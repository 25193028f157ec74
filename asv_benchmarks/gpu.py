"""Losses and fits on a GPU, beside PyTorch, CuPy and this package's path on the CPU: one run.

``python -m asv_benchmarks.gpu`` prints tables, and with ``--out docs/gpu_table.rst`` writes the
page of the documentation that holds them. ``--quick`` is for seeing that everything runs: its sizes
are too small for its numbers to mean anything.

Data are made on the device, several times as large as its L2 cache. Kernels are timed by CUDA
events around several calls, after a warm-up; what is compared is called in turn, and a table holds
medians. The yardstick is a copy within the device's memory, measured in the same run; a kernel's
bytes are those that it has to read and to write, each once. What a peer computes is compared with
ours before it is timed.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import sklearn
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import sklearn_losses as sl
from sklearn_losses._kernels import _gpu

FULL = SimpleNamespace(
    copy=400_000_000,  # float32 numbers
    samples=100_000_000,
    classes=(3, 10, 100),
    all_losses=True,
    rows=10_000_000,
    features=100,
    batch=65_536,
    sparse_features=100_000,
    nonzeros=30,
    cpu_rows=2_000_000,
    lbfgs_rows=1_000_000,
    loss_sizes=(1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000),
    fits=(
        (10_000, (1, 256, 4_096)),
        (100_000, (256, 4_096, 65_536)),
        (1_000_000, (256, 4_096, 65_536, 1_000_000)),
    ),
    repeats=9,
    calls=5,
    fit_repeats=5,
    seconds=0.2,  # by which two fits must differ
)
QUICK = SimpleNamespace(
    copy=4_096,
    samples=3_000,
    classes=(3,),
    all_losses=False,
    rows=900,
    features=8,
    batch=256,
    sparse_features=120,
    nonzeros=4,
    cpu_rows=600,
    lbfgs_rows=300,
    loss_sizes=(100, 1_000),
    fits=((400, (16, 256)),),  # 25 steps: enough for a graph of launches
    repeats=2,
    calls=2,
    fit_repeats=1,
    seconds=0.0,
)

CHEAP, COSTLY = 0.8, 0.7  # of the copy's bandwidth: the targets
EPOCH = 0.5
# Loss, target and whether it is among the few of `--quick`.
LOSSES = {
    "squared_error": (sl.HalfSquaredError(), CHEAP, True),
    "huber": (sl.HuberLoss(1.0), CHEAP, False),
    "quantile": (sl.PinballLoss(0.8), CHEAP, False),
    "cauchy": (sl.Cauchy(), COSTLY, False),
    "log_loss": (sl.HalfBinomialLoss(), COSTLY, True),
    "poisson": (sl.HalfPoissonLoss(), COSTLY, False),
    "gamma": (sl.HalfGammaLoss(), COSTLY, False),
    "tweedie(1.5)": (sl.HalfTweedieLoss(1.5), COSTLY, False),
    "focal": (sl.FocalLoss(), COSTLY, False),
}
IN_FLOAT64 = ("squared_error", "huber", "log_loss", "poisson")
ALPHA = 1e-5
NOTHING = float("nan")


# ------------------------------------------------------------------------------------------- report


class Report:
    """Tables, printed line by line and written as a page of reStructuredText after each.

    Parameters
    ----------
    about : str
        The machine, and how it was measured.
    out : str, Path or None
        Where the page goes.
    seconds : float
        After which peers and larger sizes are left out.
    """

    def __init__(self, about, out, seconds):
        self.about = about
        self.out = out
        self.end = time.monotonic() + seconds
        self.sections = []
        self.failures = []
        print(about, flush=True)

    def table(self, title, header, *notes):
        print(f"\n### {title}\n", *(f"({note})" for note in notes), sep="\n")
        print(f"\n| {' | '.join(header)} |\n|{'---|' * len(header)}", flush=True)
        self.sections.append((title, header, [], list(notes)))

    def row(self, *cells):
        cells = [str(cell) for cell in cells]
        print(f"| {' | '.join(cells)} |", flush=True)
        self.sections[-1][2].append(cells)
        self.write()

    def note(self, text):
        print(f"({text})", flush=True)
        self.sections[-1][3].append(text)
        self.write()

    def attempt(self, what, function, *args):
        """What a function returns, or None where it fails: the other numbers are still wanted."""
        try:
            return function(*args)
        except Exception as error:
            traceback.print_exc()
            self.failures.append(f"{what}: {type(error).__name__}: {error}")
            print(f"({self.failures[-1]})", flush=True)
            return None

    def late(self, what):
        """Whether the time is up, so that `what` is left out."""
        if time.monotonic() < self.end:
            return False
        self.note(f"{what} left out: the time was up")
        return True

    def write(self):
        if self.out is None:
            return
        text = "Measured on a GPU\n=================\n\n"
        text += "Written by ``python -m asv_benchmarks.gpu --out docs/gpu_table.rst``; "
        text += f":doc:`guide/gpu` says what it is about.\n\n{self.about}\n\n"
        for title, header, rows, notes in self.sections:
            text += f"{title}\n{'-' * len(title)}\n\n"
            if rows:
                text += ".. list-table::\n   :header-rows: 1\n\n"
                for cells in [header, *rows]:
                    text += "".join(
                        f"   {'* -' if i == 0 else '  -'} {cell}\n" for i, cell in enumerate(cells)
                    )
                text += "\n"
            text += "".join(f"- {note}.\n" for note in notes) + "\n"
        if self.failures:
            text += "Failures\n--------\n\n"
            text += "".join(
                f"- ``{' '.join(f.replace('`', chr(39)).split())[:300]}``\n" for f in self.failures
            )
        Path(self.out).write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def shown(number, digits=2, unit=""):
    return f"{number:,.{digits}f}{unit}" if np.isfinite(number) else "n/a"


def share_of(share, target):
    short = " (short)" if np.isfinite(share) and share < target else ""
    return shown(100 * share, 0, " %") + short


def describe(cp):
    """The device and the software, in words."""
    device = cp.cuda.Device()
    properties = cp.cuda.runtime.getDeviceProperties(device.id)
    capability = str(device.compute_capability)
    driver = "of an unknown version"
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.split()
        driver = found[0] if found else driver
    versions = [cp.cuda.runtime.driverGetVersion(), cp.cuda.runtime.runtimeGetVersion()]
    cuda, runtime = (f"{v // 1000}.{v % 1000 // 10}" for v in versions)
    return (
        f"{properties['name'].decode()}: compute capability {capability[:-1]}.{capability[-1]}, "
        f"{properties['multiProcessorCount']} multiprocessors, "
        f"{properties['totalGlobalMem'] / 2**30:.0f} GiB, "
        f"{properties.get('l2CacheSize', 0) / 2**20:.0f} MiB of L2 cache; driver {driver} "
        f"(CUDA {cuda}), CUDA runtime {runtime}, CuPy {cp.__version__}; sklearn_losses "
        f"{sl.__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__}, "
        f"Python {platform.python_version()}; "
        f"{sl.effective_n_threads()} threads on {os.cpu_count()} CPUs; "
        f"{time.strftime('%Y-%m-%d')}."
    )


def torch_on_gpu():
    """PyTorch, or the words that say why it is left out."""
    try:
        import torch
    except ImportError:
        return None, "PyTorch is left out: it is not installed"
    if not torch.cuda.is_available():
        return None, f"PyTorch {torch.__version__} is left out: it finds no CUDA device"
    return torch, f"PyTorch {torch.__version__}"


# --------------------------------------------------------------------------------------------- data

CHUNK = 1 << 26


def scrambled(xp, start, n, seed):
    """Uniform integers of 32 bits: MurmurHash3's finaliser of a running number. The same on every
    machine, and needs no generator of the library's."""
    x = xp.arange(start, start + n, dtype=np.uint32)
    x += np.uint32(seed * 0x9E3779B9 % 2**32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return x


def open_unit(xp, start, n, seed, dtype):
    """Uniform in (0, 1), never at an end in float32 either."""
    return ((scrambled(xp, start, n, seed) >> np.uint32(9)).astype(dtype) + 0.5) * 2.0**-23


def uniform(xp, n, seed, dtype=np.float32, low=0.0, high=1.0):
    out = xp.empty(n, dtype)
    for start in range(0, n, CHUNK):
        part = open_unit(xp, start, min(CHUNK, n - start), seed, dtype)
        out[start : start + len(part)] = low + (high - low) * part
    return out


def normal(xp, n, seed, dtype=np.float32):
    """Standard normal, by Box and Muller."""
    out = xp.empty(n, dtype)
    for start in range(0, n, CHUNK):
        m = min(CHUNK, n - start)
        u, v = (open_unit(xp, start, m, s, dtype) for s in (seed, seed + 1000))
        out[start : start + m] = xp.sqrt(-2.0 * xp.log(u)) * xp.cos(2 * np.pi * v)
    return out


def dense_data(xp, n, d):
    """X of float32, and a signal with noise."""
    X = normal(xp, n * d, 1).reshape(n, d)
    w = normal(xp, d, 2) / d**0.5
    return X, X @ w + 0.5 * normal(xp, n, 3)


def sparse_data(xp, n, d, nonzeros):
    """Values and column numbers, of shape (n, nonzeros), and a signal with noise. A row has one
    entry in each of `nonzeros` ranges of columns: sorted, and none twice."""
    width = d // nonzeros
    values = normal(xp, n * nonzeros, 4).reshape(n, nonzeros)
    columns = xp.empty((n, nonzeros), np.int32)
    w = normal(xp, d, 5)
    signal = 0.5 * normal(xp, n, 6)
    first = xp.arange(nonzeros, dtype=np.int32) * np.int32(width)
    rows = max(1, CHUNK // nonzeros)
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        within = scrambled(xp, start * nonzeros, (stop - start) * nonzeros, 7) % np.uint32(width)
        columns[start:stop] = within.astype(np.int32).reshape(-1, nonzeros) + first
        signal[start:stop] += (w[columns[start:stop]] * values[start:stop]).sum(axis=1)
    return values, columns, signal


def csr(module, values, columns, d):
    """The CSR matrix of `module` (SciPy's or CuPy's) of these entries."""
    n, nonzeros = values.shape
    xp = np if module is sparse else _gpu.cupy()
    indptr = xp.arange(0, n * nonzeros + 1, nonzeros, dtype=np.int32)
    return module.csr_matrix((values.ravel(), columns.ravel(), indptr), shape=(n, d))


# ---------------------------------------------------------------------------------------- measuring


def device_seconds(cp, functions, sizes):
    """Median seconds of a call of each function, the functions in turn, by events around several
    calls. The host does not wait in between: a device that has work queued does not see what a
    launch takes."""
    for function in functions:
        function()
        function()
    cp.cuda.get_current_stream().synchronize()
    functions[0]()
    spans = [[] for _ in functions]
    for _ in range(sizes.repeats):
        for function, taken in zip(functions, spans, strict=True):
            start, end = cp.cuda.Event(), cp.cuda.Event()
            start.record()
            for _ in range(sizes.calls):
                function()
            end.record()
            taken.append((start, end))
    cp.cuda.get_current_stream().synchronize()
    elapsed = cp.cuda.get_elapsed_time  # in milliseconds
    return [
        statistics.median(elapsed(*span) for span in taken) / sizes.calls / 1e3 for taken in spans
    ]


def timed(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def wall_seconds(functions, repeats, seconds=0.2, most=1000):
    """Median seconds of each function, called in turn: for what ends on the host."""
    for function in functions:
        function()
    times = [[] for _ in functions]
    end = time.perf_counter() + seconds
    while len(times[0]) < repeats or (time.perf_counter() < end and len(times[0]) < most):
        for function, taken in zip(functions, times, strict=True):
            taken.append(timed(function))
    return [statistics.median(taken) for taken in times]


def epoch_seconds(fit, sizes, most=512):
    """Seconds of an epoch, and of a whole fit of two epochs.

    `fit(epochs)` is a fit from the start, which ends on the host. Two fits that differ in the
    number of epochs alone have everything else in common (checks of the data, set-up, what is read
    back at the end), so that their difference is epochs and nothing else. The first fit of all,
    which compiles, is not timed. The number of epochs grows until the difference is long enough to
    be measured.
    """
    few, more = 2, 2
    fit(few)
    while True:
        base, longer = timed(fit, few), timed(fit, few + more)
        if longer - base >= sizes.seconds or more >= most:
            break
        more *= 4
    times = {few: [base], few + more: [longer]}
    for _ in range(sizes.fit_repeats):
        for epochs, taken in times.items():
            taken.append(timed(fit, epochs))
    base, longer = (statistics.median(taken) for taken in times.values())
    return ((longer - base) / more if longer > base else NOTHING), base


def copy_bandwidth(cp, sizes):
    """Bytes a second of a copy within the device's memory, those read and those written."""
    source = uniform(cp, sizes.copy, 9)
    target = cp.empty_like(source)
    (seconds,) = device_seconds(cp, [lambda: cp.copyto(target, source)], sizes)
    return 2 * source.nbytes / seconds


def free(cp, torch):
    cp.get_default_memory_pool().free_all_blocks()
    if torch is not None:
        torch.cuda.empty_cache()


# ------------------------------------------------------------------------------------------ kernels


def formulas(m):
    """Value and gradient as a user writes them, with the functions of a module: CuPy or PyTorch."""

    def squared_error(y, raw):
        r = raw - y
        return 0.5 * r * r, r

    def huber(y, raw):
        r = raw - y
        size = m.abs(r)
        return m.where(size <= 1, 0.5 * r * r, size - 0.5), m.where(size <= 1, r, m.sign(r))

    def log_loss(y, raw):
        e = m.exp(-m.abs(raw))
        value = m.where(raw > 0, raw - y * raw, -y * raw) + m.log1p(e)
        return value, m.where(raw > 0, 1 / (1 + e), e / (1 + e)) - y

    def poisson(y, raw):
        e = m.exp(raw)
        return e - y * raw, e - y

    def gamma(y, raw):
        e = y * m.exp(-raw)
        return raw + e, 1 - e

    return {f.__name__: f for f in (squared_error, huber, log_loss, poisson, gamma)}


def multinomial_of_cupy(cp, y, raw):
    rows, codes = cp.arange(len(y)), y.astype(np.int32)
    largest = raw.max(axis=1, keepdims=True)
    e = cp.exp(raw - largest)
    total = e.sum(axis=1, keepdims=True)
    value = (cp.log(total) + largest)[:, 0] - raw[rows, codes]
    gradient = e / total
    gradient[rows, codes] -= 1
    return value, gradient


def by_autograd(torch, f, y, raw):
    """A function of nothing: value, and gradient by PyTorch's differentiation."""
    raw = raw.detach().requires_grad_()
    ones = torch.ones_like(y)

    def call():
        value = f(y, raw)
        return value.detach(), torch.autograd.grad(value, raw, ones)[0]

    return call


def torch_peers(torch, name, y, raw):
    """PyTorch's own loss with its gradient, and the formula compiled, as functions of nothing;
    tensors of any device."""
    F = torch.nn.functional
    if name == "multinomial":
        codes, classes = y.long(), torch.arange(raw.shape[1], device=raw.device)

        def formula(y, raw):
            logarithms = torch.log_softmax(raw, dim=1)
            hit = classes == y[:, None]
            value = -torch.where(hit, logarithms, 0.0).sum(dim=1)
            return value, torch.exp(logarithms) - hit.to(raw.dtype)

        def own(_, raw):
            return F.cross_entropy(raw, codes, reduction="none")

        compiled = torch.compile(formula, dynamic=False)
        return {
            "eager": by_autograd(torch, own, y, raw),
            "compile": lambda: compiled(codes, raw),
        }
    formula = formulas(torch)[name]
    own = {
        "squared_error": lambda y, raw: 0.5 * F.mse_loss(raw, y, reduction="none"),
        "huber": lambda y, raw: F.huber_loss(raw, y, reduction="none"),
        "log_loss": lambda y, raw: F.binary_cross_entropy_with_logits(raw, y, reduction="none"),
        "poisson": lambda y, raw: F.poisson_nll_loss(raw, y, reduction="none"),
    }.get(name, lambda y, raw: formula(y, raw)[0])
    compiled = torch.compile(formula, dynamic=False)
    return {"eager": by_autograd(torch, own, y, raw), "compile": lambda: compiled(y, raw)}


def check_peer(name, results, expected):
    """An error where a peer computes something else."""
    for result, ours in zip(results, expected, strict=True):
        part = result[:10_000]
        part = part.cpu().numpy() if hasattr(part, "cpu") else part.get()
        np.testing.assert_allclose(
            part, ours[:10_000].get(), rtol=1e-3, atol=1e-4, err_msg=f"{name} computes otherwise"
        )


def check_cpu(loss, y, raw, out):
    """An error where the device's numbers are not the CPU's."""
    m = min(len(y), 10_000)
    expected = loss.loss_gradient(y[:m].get(), raw[:m].get())
    for ours, theirs in zip(out, expected, strict=True):
        # The device flushes subnormal numbers of float32 to zero.
        np.testing.assert_allclose(ours[:m].get(), theirs, rtol=1e-5, atol=1e-6)


def kernel_row(report, cp, torch, sizes, bandwidth, name, dtype, y, raw):
    loss, target, _ = LOSSES.get(name, (None, COSTLY, True))
    rowwise = loss is None
    loss = sl.HalfMultinomialLoss() if rowwise else loss
    out = cp.empty_like(y), cp.empty_like(raw)

    def ours():
        loss.loss_gradient(y, raw, None, *out)

    ours()
    check_cpu(loss, y, raw, out)
    calls, columns = [ours], {}

    def add(column, call):
        check_peer(f"{column}, {name}", call(), out)
        columns[column] = len(calls)
        calls.append(call)

    label = f"{name}, {np.dtype(dtype).name}"
    if rowwise:
        report.attempt(f"CuPy, {label}", add, "cupy", lambda: multinomial_of_cupy(cp, y, raw))
    elif name in formulas(cp):
        report.attempt(f"CuPy, {label}", add, "cupy", lambda: formulas(cp)[name](y, raw))
    if torch is not None and (rowwise or name in formulas(cp)):
        if time.monotonic() < report.end:
            tensors = torch.from_dlpack(y), torch.from_dlpack(raw)
            for column, call in torch_peers(torch, name, *tensors).items():
                report.attempt(f"torch {column}, {label}", add, column, call)
    seconds = device_seconds(cp, calls, sizes)
    moved = 2 * y.nbytes + 2 * raw.nbytes
    rate = moved / seconds[0]
    if rowwise:
        name = f"{name} K={raw.shape[1]}"
    report.row(
        name,
        np.dtype(dtype).name,
        shown(1e3 * seconds[0], 3),
        shown(rate / 1e9, 0),
        share_of(rate / bandwidth, target),
        f"{100 * target:.0f} %",
        *(
            shown(seconds[columns[peer]] / seconds[0], 2, "x") if peer in columns else "n/a"
            for peer in ("eager", "compile", "cupy")
        ),
    )


def kernels(report, cp, torch, sizes, bandwidth):
    n = sizes.samples
    report.table(
        f"Losses: value and gradient into given arrays, {n:,} samples or scores",
        (
            "loss",
            "dtype",
            "ms",
            "GB/s",
            "of the copy",
            "target",
            "torch eager takes",
            "torch.compile takes",
            "CuPy takes",
        ),
        f"A copy within the device's memory moves {bandwidth / 1e9:,.0f} GB/s, read and written",
        "PyTorch eager is its own loss with autograd; torch.compile and CuPy get formulas of value "
        "and gradient",
    )
    for dtype in (np.float32, np.float64):
        y, raw = uniform(cp, n, 11, dtype, 0.05, 0.95), normal(cp, n, 12, dtype)
        for name, (_, _, quick) in LOSSES.items():
            chosen = sizes.all_losses or (quick and dtype is np.float32)
            if not chosen or (dtype is np.float64 and name not in IN_FLOAT64):
                continue
            if report.late(f"{name}, {np.dtype(dtype).name}"):
                continue
            report.attempt(
                name, kernel_row, report, cp, torch, sizes, bandwidth, name, dtype, y, raw
            )
        del y, raw
        free(cp, torch)
    for n_classes in sizes.classes:
        if report.late(f"multinomial of {n_classes} classes"):
            continue
        m = n // n_classes
        raw = normal(cp, m * n_classes, 13).reshape(m, n_classes)
        codes = scrambled(cp, 0, m, 14) % np.uint32(n_classes)
        arguments = ("multinomial", np.float32, codes.astype(np.float32), raw)
        report.attempt("multinomial", kernel_row, report, cp, torch, sizes, bandwidth, *arguments)
        del raw, codes, arguments
        free(cp, torch)


# --------------------------------------------------------------------------------------------- fits


def made(loss, batch, epochs):
    """An estimator that makes so many epochs of Adam, whatever happens."""
    estimator = sl.SGDRegressorX if loss == "squared_error" else sl.SGDClassifierX
    return estimator(
        loss,
        optimizer="adam",
        learning_rate="constant",
        eta0=1e-3,
        alpha=ALPHA,
        batch_size=batch,
        max_iter=epochs,
        tol=None,
        random_state=0,
        n_jobs=-1,
    )


def torch_training(torch, X, y, loss, batch, graph):
    """``run(epochs)`` of the same training in PyTorch, written to be fast: samples in an order that
    is made beforehand, a fused Adam, no wait for the device before the end, and with `graph` a
    whole step replayed from a CUDA graph. Tensors of any device."""
    n, d = X.shape
    functions = torch.nn.functional
    measure = {
        "log_loss": functions.binary_cross_entropy_with_logits,
        "squared_error": lambda raw, y: 0.5 * functions.mse_loss(raw, y),
    }[loss]
    order = torch.randperm(n, device=X.device)
    batch = min(batch, n)

    def run(epochs):
        w = torch.zeros(d, device=X.device, requires_grad=True)
        b = torch.zeros((), device=X.device, requires_grad=True)
        weights = [{"params": [w], "weight_decay": ALPHA}, {"params": [b]}]
        adam = torch.optim.Adam(weights, lr=1e-3, fused=True, capturable=graph)
        total = torch.zeros((), device=X.device)

        def step(rows):
            adam.zero_grad(set_to_none=True)
            value = measure(X[rows] @ w + b, y[rows])
            value.backward()
            adam.step()
            total.add_(value.detach() * len(rows))

        replay = None
        if graph:
            static = order[:batch].clone()
            # The warm-up that capture needs: on a stream of its own, before the first epoch.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    step(static)
            torch.cuda.current_stream().wait_stream(side)
            replay = torch.cuda.CUDAGraph()
            with torch.cuda.graph(replay):
                step(static)
        for _ in range(epochs):
            total.zero_()
            for start in range(0, n, batch):
                rows = order[start : start + batch]
                if replay is not None and len(rows) == batch:
                    static.copy_(rows)
                    replay.replay()
                else:
                    step(rows)
        return w.detach().cpu(), float(total) / n

    return run


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


# ---------------------------------------------------------------------------------------- crossover


def begins_to_win(sizes, ratios):
    """From which size on the GPU is the faster, in words."""
    won = None
    for size, ratio in zip(sizes, ratios, strict=True):
        won = (won or size) if ratio > 1 else None
    if won is None:
        return "The GPU was not the faster at the largest of these sizes"
    return f"The GPU was the faster from {won:,} samples on"


def crossover(report, cp, torch, sizes, bandwidth):
    report.table(
        "Where the GPU begins to win: log loss, value and gradient, float32",
        ("samples", "CPU, us", "GPU, us", "the CPU takes", "GPU with transfers, us"),
        "A call and the wait for it, data where it computes; with transfers: from and to the host",
        f"The CPU has {sl.effective_n_threads()} threads",
    )
    loss = sl.HalfBinomialLoss()
    done, ratios = [], []
    for n in sizes.loss_sizes:
        if report.late(f"{n:,} samples"):
            continue
        y, raw = uniform(cp, n, 21, np.float32, 0.05, 0.95), normal(cp, n, 22)
        here = y.get(), raw.get()
        out, out_here = [cp.empty_like(y) for _ in range(2)], [np.empty_like(here[0]) for _ in "ab"]

        def wait():
            cp.cuda.get_current_stream().synchronize()

        def there(y=y, raw=raw, out=out):
            loss.loss_gradient(y, raw, None, *out)
            wait()

        def moved(here=here, out=out, out_here=out_here):
            loss.loss_gradient(*map(cp.asarray, here), None, *out)
            for array, to in zip(out, out_here, strict=True):
                array.get(out=to)

        cpu, gpu, both = wall_seconds(
            [
                lambda here=here, out=out_here: loss.loss_gradient(*here, None, *out),
                there,
                moved,
            ],
            min(5, sizes.repeats),
            sizes.seconds,
        )
        done.append(n)
        ratios.append(cpu / gpu)
        report.row(
            f"{n:,}",
            shown(1e6 * cpu, 1),
            shown(1e6 * gpu, 1),
            shown(cpu / gpu, 2, "x"),
            shown(1e6 * both, 1),
        )
        del y, raw, out
        free(cp, torch)
    report.note(begins_to_win(done, ratios))
    crossover_of_fits(report, cp, torch, sizes)


def crossover_of_fits(report, cp, torch, sizes):
    d = sizes.features
    report.table(
        f"Where the GPU begins to win: epochs of Adam, log loss, {d} features, float32",
        ("rows", "batch_size", "CPU, ms", "GPU, ms", "the CPU takes", "GPU, us a step"),
        f"The CPU has {sl.effective_n_threads()} threads, data are where they are fitted",
    )
    shorter = SimpleNamespace(**{**vars(sizes), "seconds": sizes.seconds / 4})
    for n, batches in sizes.fits:
        X, signal = dense_data(cp, n, d)
        y = (signal > 0).astype(np.int32)
        X_cpu, y_cpu = X.get(), y.get()
        for batch in batches:
            what = f"{n:,} rows by {batch:,}"
            if report.late(what):
                continue

            def row(n=n, batch=batch, X=X, y=y, X_cpu=X_cpu, y_cpu=y_cpu):
                gpu, _ = epoch_seconds(lambda k: made("log_loss", batch, k).fit(X, y), shorter)
                cpu, _ = epoch_seconds(
                    lambda k: made("log_loss", batch, k).fit(X_cpu, y_cpu), shorter
                )
                report.row(
                    f"{n:,}",
                    f"{batch:,}",
                    shown(1e3 * cpu, 3),
                    shown(1e3 * gpu, 3),
                    shown(cpu / gpu, 2, "x"),
                    shown(1e6 * gpu / -(-n // batch), 2),
                )

            report.attempt(what, row)
    free(cp, torch)


# ------------------------------------------------------------------------------------------ running

SUITES = {"kernels": kernels, "fits": fits, "crossover": crossover}


def main(arguments=None):
    """Exit status: 0; 1 where something failed, which the output names; 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=[*SUITES, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--out", metavar="FILE.rst", help="where the page goes")
    parser.add_argument(
        "--seconds", type=float, default=240, help="what is not begun by then is left out"
    )
    given = parser.parse_args(arguments)
    try:
        cp = _gpu.cupy()
    except (ImportError, RuntimeError) as error:
        print(f"asv_benchmarks.gpu needs a GPU: {error}", file=sys.stderr)
        return 2
    sizes = QUICK if given.quick else FULL
    torch, about_torch = torch_on_gpu()
    about = f"{describe(cp)} {about_torch}."
    if given.quick:
        about += " Sizes are those of --quick: the numbers mean nothing."
    report = Report(about, given.out, given.seconds)
    warnings.simplefilter("ignore", ConvergenceWarning)
    begun = time.monotonic()
    bandwidth = copy_bandwidth(cp, sizes)
    free(cp, torch)
    for name, suite in SUITES.items():
        if given.suite in (name, "all"):
            report.attempt(name, suite, report, cp, torch, sizes, bandwidth)
            free(cp, torch)
    report.write()
    print(f"\n{time.monotonic() - begun:.0f} seconds; {len(report.failures)} failures")
    for failure in report.failures:
        print(f"FAILED {failure}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
