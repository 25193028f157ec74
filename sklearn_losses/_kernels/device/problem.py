"""Linear models on batches of rows on a GPU: the mean loss over them, and its gradient.

The counterpart of `_batch.Problem`; the kernels are in rows.h.
"""

from contextlib import contextmanager

import numpy as np

from sklearn_losses._array import cupy, in_namespace
from sklearn_losses._kernels.device.declarations import (
    BLOCK,
    BY_EITHER,
    BY_OUTPUT,
    BY_SAMPLE,
    COLUMNS,
    DATA,
    OUTPUTS,
    TARGETS,
    WARP,
    WARPS,
    Clock,
    assertions,
    words_of,
)
from sklearn_losses._kernels.device.kernels import blocks_for, compiled, constants
from sklearn_losses._kernels.losses import _pointwise, _rowwise

# Of problems and engines, so that a kernel's text is found again.
HEADER = "device/steps.h"

# Most pieces of a gradient, by multiprocessor: the blocks that are there at once. And most blocks
# of a kernel that goes over rows.
PIECES_OF_PROCESSOR = 2
MOST_BLOCKS = 2048
MOST_LOSS_BLOCKS = 512
# Rows that are worth a piece, and sums of a gradient that are kept at once.
LEAST_ROWS = 4 * WARPS
SUMS = 1 << 22
# Numbers that a lane holds of a row, times outputs, in the kernel that does all in one pass.
FUSED_BYTES = 128
# With so many the kernel's registers leave room for another block.
SMALL_BYTES = 32
# Dense outputs from which on matrix products are cuBLAS's.
WIDE = 16
# Of an `ImplicitShare`, at least.
ROOT_BYTES = 64
# Scores that a pass over all rows holds at once.
CHUNK_SCORES = 1 << 22


# ----------------------------------------------------------------------------------- kernel texts

ROWS = "long long start, long long count"
LOSSES = f"{ROWS}, double inverse, long long record"


def wrapper(fit, name, arguments, call, blocks=None):
    """The text of a kernel that calls a function of the header on a `Fit`; with `blocks`, a
    multiprocessor has room for so many of its blocks."""
    bounds = BLOCK if blocks is None else f"{BLOCK}, {blocks}"
    names = ", ".join(["fit", *(a.split()[-1].lstrip("*") for a in arguments.split(", ") if a)])
    declared = ", ".join([f"const {fit}* fit", *filter(None, [arguments])])
    return (
        f'extern "C" __global__ void __launch_bounds__({bounds}) {name}({declared}) '
        f"{{ sl::{call}({names}); }}\n"
    )


def fit_type(single, wide):
    return f"sl::Fit<{'float' if single else 'double'}, {'long long' if wide else 'int'}>"


def rows_text(single, wide, sparse):
    """Kernels of scores and gradients, the same for every loss."""
    fit = fit_type(single, wide)
    real = "float" if single else "double"
    text = assertions() + wrapper(fit, "begin", "long long batch", "begin")
    text += wrapper(fit, "order_rows", "unsigned long long seed", "order_rows")
    text += wrapper(fit, "given_losses", LOSSES, "given_losses")
    text += wrapper(fit, "survey", f"const {real}* kept, double* part", "survey")
    for name, kind in (("keep_reals", real), ("keep_doubles", "double")):
        text += (
            f'extern "C" __global__ void {name}(const double* clock, long long n, '
            f"const {kind}* live, {kind}* kept) {{ sl::keep_if_finite(clock, n, live, kept); }}\n"
        )
    if sparse:
        text += wrapper(fit, "scores", ROWS, "sparse_scores")
        text += wrapper(fit, "gradient", ROWS, "scatter")
        return text + wrapper(fit, "combine_1", ROWS, "combine<true, 1>")
    text += wrapper(fit, "scores", ROWS, "dense_scores")
    text += wrapper(fit, "complete", ROWS, "complete_products")
    text += wrapper(fit, "gradient", ROWS, "dense_gradient")
    return text + "".join(
        wrapper(fit, f"combine_{rows}", ROWS, f"combine<false, {rows}>") for rows in (1, WARPS)
    )


def losses_text(loss, rowwise, single, wide):
    """The kernel of a loss."""
    real = "float" if single else "double"
    call = f"{'rowwise' if rowwise else 'pointwise'}_losses<sl::{loss}<{real}>>"
    return wrapper(fit_type(single, wide), "losses", LOSSES, call)


def shares_text(loss, rowwise, single, wide):
    """The kernel of the shares of implicit steps; of a loss in Python, for which `loss` is None,
    the one that its calls come between."""
    fit = fit_type(single, wide)
    if loss is None:
        real = "float" if single else "double"
        fits = f'static_assert(sizeof(sl::ImplicitShare<{real}>) <= {ROOT_BYTES}, "problem.py");\n'
        return fits + wrapper(fit, "shares", "long long begins, int* more", "given_shares")
    real = "float" if single else "double"
    call = f"{'rowwise' if rowwise else 'pointwise'}_shares<sl::{loss}<{real}>>"
    return wrapper(fit, "shares", "", call)


def fused_text(loss, single, n_outputs, strips, width):
    """The kernel that does all in one pass."""
    real = "float" if single else "double"
    call = f"fused<sl::{loss}<{real}>, {real}, {n_outputs}, {strips}, {width}>"
    small = n_outputs * strips * width * (4 if single else 8) <= SMALL_BYTES
    blocks = PIECES_OF_PROCESSOR if small else None
    return wrapper(fit_type(single, False), "fused", LOSSES, call, blocks)


def fused_shape(single, n_outputs, n_features, address):
    """Strips of a row and elements of a strip that a lane of `fused` holds, or None where they are
    too many. An access is as wide as the rows' addresses allow."""
    size = 4 if single else 8
    if n_features == 0:
        return None
    width = max(w for w in (1, 2, 4) if w * size <= 16 and n_features % w == 0)
    while address % (width * size):
        width //= 2
    strips = -(-n_features // (WARP * width))
    return (strips, width) if n_outputs * strips * width * size <= FUSED_BYTES else None


# ------------------------------------------------------------------------------------ the problem


@contextmanager
def working_on(device):
    """Allocations and launches on `device`; an error for lack of memory says what helps."""
    with device:
        try:
            yield
        except cupy().cuda.memory.OutOfMemoryError as error:
            error.add_note(
                "The GPU has no memory left: take float32, a smaller batch_size, or fit on parts "
                "of the data with partial_fit; cupy.get_default_memory_pool().free_all_blocks() "
                "gives back what CuPy holds in reserve."
            )
            raise


class Problem:
    """Data and loss of linear models that are fitted together: the mean loss over rows, and its
    gradient.

    Parameters
    ----------
    X : cupy.ndarray of shape (n_samples, n_features), C order, or cupyx CSR matrix
        float32 or float64; not copied. Weights, raw predictions and losses have its dtype; sums are
        double.
    y, sample_weight, offset : cupy.ndarray
        As `_batch.Problem` takes them, on X's device; converted to X's dtype.
    losses, n_outputs, target, negative, rows, weight_factor, weight_positive, weight_negative
        As `_batch.Problem` takes them.
    fit_intercept : bool
    batch_size, n_threads
        What the CPU's scratch and threads depend on, which callers give either side; a device makes
        its own plans.
    """

    implicit = False  # whether the steps are, so that scores must be kept

    def __init__(
        self,
        X,
        y,
        losses,
        n_outputs,
        *,
        target="shared",
        negative=0.0,
        rows=None,
        weight_factor=1.0,
        fit_intercept=True,
        batch_size=None,
        n_threads=None,
        **arrays,
    ):
        self.xp = cupy()
        self.X = X
        self.sparse = hasattr(X, "indptr")
        data = X.data if self.sparse else X
        self.device = data.device
        self.dtype = np.dtype(data.dtype)
        self.single = self.dtype == np.float32
        self.wide = self.sparse and X.indices.dtype == np.int64
        self.n_samples, self.n_features = X.shape
        self.n_outputs = n_outputs
        self.size = n_outputs * self.n_features
        self.losses = losses
        self.fit_intercept = fit_intercept
        if self.n_samples > np.iinfo(np.int32).max:
            raise ValueError(
                f"at most {np.iinfo(np.int32).max} samples can be shuffled; got {self.n_samples}"
            )
        if self.sparse and self.n_features > np.iinfo(np.int32).max:
            raise ValueError(
                f"at most {np.iinfo(np.int32).max} features can be counted; got {self.n_features}"
            )
        with working_on(self.device):
            self._attach(
                y,
                target=TARGETS[target],
                negative=float(negative),
                rows=rows,
                arrays=arrays,
                weight_factor=float(weight_factor),
            )
            self._allocate()

    # ---------------------------------------------------------------------------------------- data

    def _real(self, array, shape):
        """An array in X's dtype on X's device."""
        array = self.xp.ascontiguousarray(in_namespace(array, self.xp), dtype=self.dtype)
        if array.shape != shape:
            raise ValueError(f"expected an array of shape {shape}; got {array.shape}")
        return array

    def _attach(self, y, *, target, rows, arrays, **numbers):
        xp, n, K = self.xp, self.n_samples, self.n_outputs
        separate = target == TARGETS["separate"]
        self.rows_given = None if rows is None else np.ascontiguousarray(rows, dtype=np.int32)
        self.n_rows = n if rows is None else len(rows)
        unknown = set(arrays) - set(DATA)
        if unknown:
            raise TypeError(f"unknown arguments: {sorted(unknown)}")
        arrays = {name: arrays[name] for name in arrays if arrays[name] is not None}
        offset = arrays.get("offset")
        shapes = {BY_SAMPLE: (n,), BY_OUTPUT: (K,)}
        shapes[BY_EITHER] = (n, K) if offset is not None and offset.ndim == 2 else (n,)
        self.members = {
            "order": xp.zeros(1, np.int32),  # that of an epoch: `Engine` has epochs
            "given": None if rows is None else xp.asarray(self.rows_given),
            "n_rows": self.n_rows,
            "n_features": self.n_features,
            "n_outputs": K,
            "target": target,
            "y": self._real(y, (n, K) if separate else (n,)),
            "offset_separate": offset is not None and offset.ndim == 2,
            "fit_intercept": self.fit_intercept,
            **{DATA[k][0]: self._real(a, shapes[DATA[k][1]]) for k, a in arrays.items()},
            **numbers,
        }
        if self.sparse:
            index = np.int64 if self.wide else np.int32
            data = xp.ascontiguousarray(self.X.data)
            largest = float(xp.abs(data).max()) if data.size else 0.0
            self.members |= {
                "x": data,
                "indices": xp.ascontiguousarray(self.X.indices, dtype=index),
                "indptr": xp.ascontiguousarray(self.X.indptr, dtype=index),
                # Of a column's entries in a row: as many as the row has, at most.
                "largest_entry": largest * self._repeats(),
                "repeats": self._repeats(),
            }
        else:
            if not self.X.flags.c_contiguous:
                raise ValueError("X must be in C order")
            self.members["x"] = self.X
        self._set_losses()

    def _repeats(self):
        """How often a row may have an entry of the same column."""
        if self.X.has_canonical_format or self.n_samples == 0:
            return 1
        return int((self.X.indptr[1:] - self.X.indptr[:-1]).max())

    def _set_losses(self):
        single = self.dtype == np.float32
        resolved = [loss._resolve(single=single) for loss in self.losses]
        if len(resolved) not in (1, self.n_outputs) or len({kind for kind, _ in resolved}) != 1:
            raise ValueError("one loss is needed, or one of the same class for each output")
        kind, first = resolved[0]
        self.rowwise = self.losses[0].is_multiclass
        self.python = kind < 0
        if self.rowwise and "weight_positive" in self.members:
            raise ValueError("a row-wise loss takes the weights of classes as sample weights")
        if self.python and len(resolved) > 1:
            raise ValueError("a Python loss has no kernel that takes parameters by output")
        kinds = _rowwise.KINDS if self.rowwise else _pointwise.KINDS
        self.loss = None if self.python else list(kinds)[kind]
        if self.loss == "CompiledLoss":
            self.losses[0]._on_device()  # says that it cannot
        params = np.concatenate([np.asarray(params, dtype=np.float64) for _, params in resolved])
        self.members["params"] = constants(params)
        self.members["params_stride"] = len(first) if len(resolved) > 1 else 0

    # ------------------------------------------------------------------------------------- scratch

    def _allocate(self):
        xp, K, size = self.xp, self.n_outputs, self.size
        self.w = xp.zeros(size, self.dtype)
        self.intercept = xp.zeros(K)
        # One array, so that a pass over all rows ends with one copy to the host.
        self.result = xp.zeros(len(Clock) + K + size)
        self.clock = self.result[: len(Clock)]
        self.members |= {
            "w": self.w,
            "intercept": self.intercept,
            "clock": self.clock,
            "intercept_gradient": self.result[len(Clock) : len(Clock) + K],
            "total": self.result[len(Clock) + K :],
            "ticket": xp.zeros(1, np.uint32),
            "norms": xp.zeros(blocks_for(size, WARP)),
            "clip_norm": np.inf,
        }
        if self.sparse:
            self.members["fixed"] = xp.zeros(size, np.int64)
        self.fused = None
        if not (self.sparse or self.rowwise or self.python or self.implicit):
            self.fused = fused_shape(self.single, K, self.n_features, self.X.data.ptr)
        self.by_products = not self.sparse and self.fused is None and K >= WIDE
        self.full = None
        self.kernels = compiled(HEADER, rows_text(self.single, self.wide, self.sparse))
        if self.fused:
            text = fused_text(self.loss, self.single, K, *self.fused)
            self.loss_kernel = compiled(HEADER, text)("fused")
        elif self.python:
            self.loss_kernel = self.kernels("given_losses")
        else:
            text = losses_text(self.loss, self.rowwise, self.single, self.wide)
            self.loss_kernel = compiled(HEADER, text)("losses")

    # -------------------------------------------------------------------------------------- passes

    def add_rows(self, plan, start, n, inverse=0.0, record=False, first=None):
        """Sums of loss and gradient over rows [start, start + n); of the step, where start is -1:
        then `first` is where it starts, or None where only the device knows. With `record` the
        gradients of the rows go into the memory."""
        rows = (plan.fit, start, n)
        losses = (*rows, inverse, int(record))
        if self.fused:
            self.loss_kernel((plan.n_pieces,), (BLOCK,), losses)
            return
        by_rows = (min(MOST_BLOCKS, blocks_for(n, WARPS)),)
        part = None
        if self.by_products:
            part = self._rows_of(start, n) if start >= 0 else self._rows_of(first, n, stepping=True)
            products = plan.raw[: self.n_outputs * n].reshape(self.n_outputs, n)
            self.xp.matmul(self.weights(), part.T, out=products)
            self.kernels("complete")((min(MOST_BLOCKS, blocks_for(n)),), (BLOCK,), rows)
        else:
            self.kernels("scores")(by_rows, (BLOCK,), rows)
        if self.python:
            self._call_loss(plan, n)
        if self.implicit and start < 0:
            self._find_shares(plan, n)
        self.loss_kernel((plan.n_loss_blocks,), (BLOCK,), losses)
        if self.sparse:
            self.kernels("gradient")(by_rows, (BLOCK,), rows)
        elif self.by_products:
            coefficients = plan.raw[: self.n_outputs * n].reshape(self.n_outputs, n)
            plan.partial[: self.size] = self.xp.matmul(coefficients, part).ravel()
        else:
            self.kernels("gradient")(plan.gradient_grid, (BLOCK,), rows)

    def _find_shares(self, plan, n):
        """How far an implicit step goes: `Engine` has steps."""
        raise NotImplementedError

    def _rows_of(self, start, n, stepping=False):
        """Rows of X: as they stand, or gathered."""
        numbers = self.order if stepping else self.members["given"]
        if numbers is None:
            return self.X[start : start + n]
        return self.X.take(numbers[start : start + n], axis=0)

    def _call_loss(self, plan, n):
        size = self.n_outputs * n
        value, gradient = self.losses[0].loss_gradient(plan.targets[:size], plan.raw[:size])
        plan.value[:size] = value
        plan.gradient[:size] = gradient

    def full_gradient(self, record=False):
        """The gradient over all rows into `total` and `intercept_gradient`, and with `record` that
        of each row into the memory; nothing comes to the host."""
        if self.full is None:
            rows = self.n_rows if self.fused else min(self.n_rows, CHUNK_SCORES // self.n_outputs)
            self.full = Plan(self, max(1, rows))
        plan = self.full
        self.result[len(Clock) :].fill(0)
        if self.sparse:
            self.members["fixed"].fill(0)
        self.kernels("begin")((1,), (BLOCK,), (plan.fit, plan.n))
        inverse = 1.0 / max(self.n_rows, 1)
        for start in range(0, self.n_rows, plan.n):
            n = min(plan.n, self.n_rows - start)
            self.add_rows(plan, start, n, inverse, record)
            self.combine(plan, start, n)

    def combine(self, plan, start, n):
        """The pieces of the gradient into `total`."""
        kernel = self.kernels(f"combine_{plan.rows_a_column}")
        kernel((plan.column_blocks,), (BLOCK,), (plan.fit, start, n))

    # ------------------------------------------------------------------------------------- weights

    def by_output(self, array):
        """An array of the weights' layout, of shape (n_outputs, n_features)."""
        if self.sparse:
            return array.reshape(self.n_features, self.n_outputs).T
        return array.reshape(self.n_outputs, self.n_features)

    def weights(self):
        """The weights, of shape (n_outputs, n_features): a view."""
        return self.by_output(self.w)

    def set_weights(self, coef, intercept):
        """Take over weights of shape (n_outputs, n_features) and intercepts of shape (n_outputs,),
        of either side."""
        xp = self.xp
        self.weights()[...] = in_namespace(coef, xp).astype(self.dtype)
        self.intercept[...] = in_namespace(intercept, xp).astype(np.float64)

    def value_gradient(self, coef, intercept):
        """The mean loss over the rows, weighted, and its gradient, on the host.

        Parameters
        ----------
        coef : ndarray of shape (n_outputs, n_features)
            NumPy or CuPy; rounded to X's dtype.
        intercept : ndarray of shape (n_outputs,)

        Returns
        -------
        value : float
            NaN where a raw prediction is not finite.
        coef_gradient : numpy.ndarray of shape (n_outputs, n_features), float64
        intercept_gradient : numpy.ndarray of shape (n_outputs,), float64
        """
        with working_on(self.device):
            self.set_weights(coef, intercept)
            self.full_gradient()
            result = self.result.get()
        clock, gradients = result[: len(Clock)], result[len(Clock) :]
        value = np.nan if clock[Clock.BAD] else float(clock[Clock.LOSS]) / max(self.n_rows, 1)
        gradient = np.ascontiguousarray(self.by_output(gradients[self.n_outputs :]))
        return value, gradient, gradients[: self.n_outputs].copy()


class Plan:
    """Scratch of passes over at most `n` rows, and the `Fit` that the kernels get."""

    def __init__(self, problem, n):
        xp, K, size = problem.xp, problem.n_outputs, problem.size
        self.n = n
        scores = 0 if problem.fused else K * n
        pieces = PIECES_OF_PROCESSOR * problem.device.attributes["MultiProcessorCount"]
        pieces = min(pieces, blocks_for(n, LEAST_ROWS), max(1, SUMS // max(size, 1)))
        self.n_pieces = 1 if problem.sparse or problem.by_products else pieces
        self.n_loss_blocks = (
            self.n_pieces if problem.fused else min(MOST_LOSS_BLOCKS, blocks_for(n))
        )
        self.rows_a_column = WARPS if self.n_pieces > WARPS else 1
        self.column_blocks = blocks_for(size, BLOCK // self.rows_a_column)
        self.gradient_grid = (
            self.n_pieces,
            blocks_for(problem.n_features, COLUMNS),
            blocks_for(K, OUTPUTS),
        )
        self.raw = xp.empty(scores, problem.dtype)
        gathered = problem.python or (
            problem.rowwise and problem.members["target"] == TARGETS["separate"]
        )
        self.targets = xp.empty(scores, problem.dtype) if gathered else None
        self.value, self.gradient = (
            (xp.empty(scores, problem.dtype) for _ in range(2)) if problem.python else (None, None)
        )
        implicit = {}
        if problem.implicit:
            blocks = xp.zeros(self.n_loss_blocks * K * 2)
            implicit = {"reach": xp.empty(scores, problem.dtype), "share_sums": blocks}
            implicit |= {"trial": xp.empty(2 * scores, problem.dtype)}
        if problem.implicit and problem.python:
            self.trial = implicit["trial"]
            self.trial_gradient = xp.empty(scores, problem.dtype)
            implicit["trial_gradient"] = self.trial_gradient
            implicit["roots"] = xp.empty(scores * ROOT_BYTES, np.uint8)
        self.partial = None if problem.sparse else xp.zeros(self.n_pieces * size)
        members = {
            **problem.members,
            **implicit,
            "raw": self.raw,
            "targets": self.targets,
            "value": self.value,
            "gradient": self.gradient,
            "partial": self.partial,
            "n_pieces": self.n_pieces,
            "n_loss_blocks": self.n_loss_blocks,
            "loss_sums": xp.zeros(self.n_loss_blocks),
            "intercept_sums": xp.zeros(self.n_loss_blocks * K),
            "largest": xp.zeros(self.n_loss_blocks),
        }
        self.keep = members  # `fit` has no more than their addresses
        self.fit = xp.asarray(words_of(members))
