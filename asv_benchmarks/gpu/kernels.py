"""Losses alone: value and gradient of a hundred million samples."""

import time

import numpy as np

import sklearn_losses as sl

from .data import normal, scrambled, uniform
from .peers import check_peer, formulas, multinomial_of_cupy, torch_peers
from .report import share_of, shown
from .timing import device_seconds, free

CHEAP, COSTLY = 0.8, 0.7  # of the copy's bandwidth: the targets
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
