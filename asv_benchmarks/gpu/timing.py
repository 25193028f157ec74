"""What a call, an epoch and a copy take."""

import statistics
import time

from .data import uniform

NOTHING = float("nan")


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
