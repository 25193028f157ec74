"""From which size on the GPU is the faster."""

from types import SimpleNamespace

import numpy as np

import sklearn_losses as sl

from .data import dense_data, normal, uniform
from .report import shown
from .timing import epoch_seconds, free, wall_seconds
from .training import made


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
