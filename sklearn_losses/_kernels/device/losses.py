"""Losses over arrays of a GPU: the counterparts of `_pointwise.evaluate` and `_rowwise.evaluate`.

Kernels are compiled when they are first used, one for each loss, type and set of outputs. Nothing
here waits for the device.
"""

from functools import cache

import numpy as np

from sklearn_losses._array import (
    as_if_here,
    computing_on,
    cupy,
    device_array,
    kernel_array,
    share_memory,
)
from sklearn_losses._kernels.device.declarations import BLOCK, WARP
from sklearn_losses._kernels.device.kernels import NULL, blocks_for, compiled, constants
from sklearn_losses._kernels.losses import _pointwise, _rowwise

HEADER = "device/losses.h"
# What a kernel computes: a set of these, which the headers' names stand for in its text.
VALUE, GRADIENT, HESSIAN, PROBABILITY, SUMMED, CHECKED = 1, 2, 4, 8, 16, 32
NAMES = {
    VALUE: "sl::VALUE",
    GRADIENT: "sl::GRADIENT",
    HESSIAN: "sl::HESSIAN",
    PROBABILITY: "sl::PROBABILITY",
    SUMMED: "sl::SUMMED",
    CHECKED: "sl::CHECKED",
}
TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}

# More blocks than this go on with a second part of the samples. Sums depend on it.
MOST_BLOCKS = 1 << 14
# What every device has for a block without being asked, less what `block_sum` takes.
SHARED_BYTES = (48 << 10) - 256
# A pointwise loss's parameters travel by value.
MOST_PARAMS = 5

_POINTWISE_NAMES = tuple(_pointwise.KINDS)
_ROWWISE_NAMES = tuple(_rowwise.KINDS)


# ------------------------------------------------------------------------------------------ kernels


def _named(outputs):
    """A set of outputs in CUDA."""
    return " | ".join(name for output, name in NAMES.items() if outputs & output)


def _wrapper(name, arguments, call):
    return (
        f'extern "C" __global__ void __launch_bounds__(sl::BLOCK)\n{name}({", ".join(arguments)}) '
        f"{{\n    {call};\n}}\n"
    )


@cache
def pointwise_kernel(loss, real, outputs, vectors):
    """Name and CUDA text of a kernel.

    Parameters
    ----------
    loss : str
        Name of a struct of pointwise.h.
    real : {"float", "double"}
    outputs : int
        A sum of VALUE, GRADIENT, HESSIAN, SUMMED and CHECKED; the last comes with SUMMED only.
    vectors : bool
        Whether every array is contiguous and starts at a multiple of 16 bytes.

    Returns
    -------
    name : str
    text : str
    """
    name = f"{loss}_{real}_{outputs}_{'vectors' if vectors else 'strided'}"
    inputs, results = ("y", "raw", "weight"), ("value", "gradient", "hessian")
    steps = [] if vectors else [f"{array}_step" for array in inputs + results]
    arguments = [f"double a{i}" for i in range(MOST_PARAMS)] + ["long long n"]
    arguments += [f"const {real}* __restrict__ {array}" for array in inputs]
    arguments += [f"{real}* __restrict__ {array}" for array in results]
    arguments += [f"long long {step}" for step in steps]
    params = ", ".join(f"a{i}" for i in range(MOST_PARAMS))
    call = (
        f"const double a[] = {{{params}}};\n"
        f"    sl::evaluate_points<sl::{loss}<{real}>, {_named(outputs)}, {str(vectors).lower()}>(\n"
        f"        a, sl::Points<{real}>{{{', '.join(['n', *inputs, *results, *steps])}}}"
    )
    if outputs & SUMMED:
        arguments.append("double* partial")
        call += ", partial"
    if outputs & CHECKED:
        arguments += ["double low", "double high", "int inclusive"]
        call += ", sl::Domain{low, high, inclusive, 0, 0.0}"
    return name, _wrapper(name, arguments, call + ")")


@cache
def rowwise_kernel(loss, real, outputs, soft, staged):
    """Name and CUDA text of a kernel.

    Parameters
    ----------
    loss : str
        Name of a struct of rowwise.h.
    real : {"float", "double"}
    outputs : int
        As for `pointwise_kernel`, or PROBABILITY in place of HESSIAN.
    soft : bool
        Whether targets are rows: of probabilities, or the pairs of the structs that give none.
    staged : bool
        Whether rows go through shared memory.

    Returns
    -------
    name : str
    text : str
    """
    flags = ["soft" if soft else "codes", "staged" if staged else "direct"]
    name = "_".join([loss, real, str(outputs), *flags])
    inputs, results = ("raw", "y", "weight"), ("value", "gradient", "third")
    arguments = ["const double* __restrict__ params", "long long n", "int n_classes", "int rows"]
    # Not restricted: in place, `gradient` is read again after it was written.
    arguments += [f"const {real}* {array}" for array in inputs]
    arguments += [f"{real}* {array}" for array in results]
    arrays = []
    for array in inputs + results:
        steps = [f"{array}_step", f"{array}_class"]
        arguments += [f"long long {step}" for step in steps]
        arrays.append(f"{{{array}, {', '.join(steps)}}}")
    words = [f"sl::{loss}", _named(outputs), str(soft).lower(), str(staged).lower()]
    call = (
        f"sl::evaluate_rows<{', '.join(words)}>(\n"
        f"        params, sl::RowArrays<{real}>{{n, n_classes, {', '.join(arrays)}}}, rows"
    )
    if outputs & SUMMED:
        arguments.append("double* partial")
        call += ", partial"
    if outputs & CHECKED:
        arguments += ["double low", "double high", "int inclusive", "int whole"]
        arguments.append("double tolerance")
        call += ", sl::Domain{low, high, inclusive, whole, tolerance}"
    return name, _wrapper(name, arguments, call + ")")


@cache
def sum_kernel():
    """Name and CUDA text of the kernel that adds what blocks have left."""
    arguments = ["long long n", "const double* partial", "double* total"]
    return "add_up", _wrapper("add_up", arguments, "sl::sum_rows(n, partial, total)")


@cache
def class_kernel(real):
    """Name and CUDA text of the kernel that weighs classes."""
    name = f"class_weights_{real}"
    arguments = ["long long n", "int n_classes", f"const {real}* code", f"const {real}* weight"]
    call = "sl::class_weights(n, n_classes, code, weight, partial)"
    return name, _wrapper(name, [*arguments, "double* partial"], call)


def _launch(kernel, grid, args, shared_mem=0):
    name, text = kernel
    compiled(HEADER, text)(name)(grid, (BLOCK,), args, shared_mem=shared_mem)


def _add_up(cp, partial):
    """Sum of each row."""
    total = cp.empty(partial.shape[0], dtype=np.float64)
    _launch(sum_kernel(), (partial.shape[0],), (partial.shape[1], partial, total))
    return total


# ----------------------------------------------------------------------------------------- operands


def _attach(x, name, shape, output=False):
    """An operand as a CuPy array of that shape, checked as the CPU's kernels check theirs."""
    if x is None:
        return None
    array = device_array(x) if output else kernel_array(x, name)
    if output and array.dtype not in TYPES:
        raise TypeError(f"{name} must have dtype float32 or float64; got {array.dtype}")
    if output and array is not x and _read_only(x):
        raise ValueError(f"{name} is read-only and cannot take the result")
    if array.shape != shape and not (len(shape) == 1 and array.shape == (*shape, 1)):
        raise ValueError(f"{name} must have shape {shape}; got {array.shape}")
    size = array.itemsize
    if array.data.ptr % size or any(stride % size for stride in array.strides):
        raise ValueError(f"{name} must be aligned and in the machine's byte order")
    if array.ndim > len(shape):
        array = array[:, 0]
    broadcast = (step == 0 and n > 1 for step, n in zip(array.strides, array.shape, strict=True))
    if output and array.size and any(broadcast):
        raise ValueError(f"{name} must not be a broadcast array: its elements share memory")
    return array


def _read_only(x):
    # PyTorch has no such arrays, and its tensors that require a gradient refuse the question.
    interface = None if hasattr(x, "detach") else getattr(x, "__cuda_array_interface__", None)
    return interface is not None and bool(interface["data"][1])


def _refuse_overlap(outputs, inputs):
    """An output that shares memory with another operand would be read after it was written."""
    others = {name: as_if_here(x) for name, x in inputs.items() if x is not None and x.size}
    for name, array in outputs.items():
        if array is None or not array.size:
            continue
        array = as_if_here(array)
        for other, theirs in others.items():
            if share_memory(array, theirs):
                raise ValueError(f"{name} must not share memory with {other}")
        others[name] = array


def _scratch(cp, array, dtype):
    """Where a kernel of that type writes what is for `array`."""
    if array is None or array.dtype == dtype:
        return array
    return cp.empty(array.shape, dtype=dtype)


def _converted(array, dtype):
    return array if array is None or array.dtype == dtype else array.astype(dtype)


def _steps(array, n_dims):
    """Steps in elements; `array` may be None."""
    if array is None:
        return (0,) * n_dims
    steps = [stride // array.itemsize for stride in array.strides]
    return (*steps, *[0] * (n_dims - len(steps)))


def _pointer(array):
    return NULL if array is None else array


# --------------------------------------------------------------------------------------- evaluation


def _outputs(value, gradient, third, third_bit, want_sum, checked):
    outputs = VALUE * (value is not None) | GRADIENT * (gradient is not None)
    outputs |= third_bit * (third is not None)
    return outputs | SUMMED * bool(want_sum or checked) | CHECKED * bool(checked)


def evaluate_pointwise(
    kind,
    params,
    y_true,
    raw_prediction,
    sample_weight=None,
    value=None,
    gradient=None,
    hessian=None,
    want_sum=False,
    domain=None,
):
    """Evaluate a pointwise loss into the given arrays.

    Parameters
    ----------
    kind : int
        Position in the header's list: ``_pointwise.KINDS[name]``.
    params : ndarray of shape (n_params,), dtype float64
        On the host.
    y_true, raw_prediction : cupy.ndarray of shape (n_samples,), float32 or float64
        Or what `device_array` takes. The kernel computes in the type of `raw_prediction`, on its
        device and on the current stream.
    sample_weight : cupy.ndarray of shape (n_samples,) or None
    value, gradient, hessian : cupy.ndarray of shape (n_samples,) or None
        Where results go; None for those that are not wanted.
    want_sum : bool
        Whether to return the weighted sum of the values, accumulated in double.
    domain : Interval or None
        Where targets must lie; its presence asks for a report.

    Returns
    -------
    total : None, or cupy.ndarray of shape (), or of shape (3,), dtype float64
        A report holds the weighted sum, the sum of the weights, and a number that is not 0 where an
        input is not finite, a target lies outside the domain or a weight is negative.
    """
    with computing_on(
        y_true=y_true,
        raw_prediction=raw_prediction,
        sample_weight=sample_weight,
        loss_out=value,
        gradient_out=gradient,
        hessian_out=hessian,
    ) as cp:
        raw = kernel_array(raw_prediction, "raw_prediction")
        if raw.ndim == 0:
            raise TypeError(f"raw_prediction must be an array with samples; got {raw!r}")
        shape = raw.shape[:1]
        raw = _attach(raw, "raw_prediction", shape)
        y = _attach(kernel_array(y_true, "y_true"), "y_true", shape)
        weight = _attach(sample_weight, "sample_weight", shape)
        given = {
            "loss_out": _attach(value, "loss_out", shape, output=True),
            "gradient_out": _attach(gradient, "gradient_out", shape, output=True),
            "hessian_out": _attach(hessian, "hessian_out", shape, output=True),
        }
        _refuse_overlap(given, {"y_true": y, "raw_prediction": raw, "sample_weight": weight})
        inputs = [_converted(y, raw.dtype), raw, _converted(weight, raw.dtype)]
        results = [_scratch(cp, array, raw.dtype) for array in given.values()]
        outputs = _outputs(*results, HESSIAN, want_sum, domain is not None)
        total = _launch_pointwise(cp, kind, params, shape[0], inputs, results, outputs, domain)
        _hand_over(results, given.values())
    return total


def _hand_over(results, given):
    for result, array in zip(results, given, strict=True):
        if result is not array:
            array[...] = result


def _launch_pointwise(cp, kind, params, n, inputs, results, outputs, domain):
    if not outputs or (n == 0 and not outputs & SUMMED):
        return None
    operands = inputs + results
    dtype = inputs[1].dtype
    vectors = all(
        array is None or (array.flags.c_contiguous and array.data.ptr % 16 == 0)
        for array in operands
    )
    kernel = pointwise_kernel(_POINTWISE_NAMES[kind], TYPES[dtype], outputs, vectors)
    args = [*params.tolist(), *[0.0] * (MOST_PARAMS - len(params)), n, *map(_pointer, operands)]
    if not vectors:
        args += [_steps(array, 1)[0] for array in operands]
    grid = min(blocks_for(n, BLOCK * (16 // dtype.itemsize)), MOST_BLOCKS)
    check = () if domain is None else _domain_args(domain)
    return _run(cp, kernel, grid, args, outputs, check)


def _domain_args(interval):
    inclusive = interval.low_inclusive + 2 * interval.high_inclusive
    return float(interval.low), float(interval.high), np.int32(inclusive)


def _run(cp, kernel, grid, args, outputs, check, shared_mem=0):
    """Launch, and add up what the blocks leave."""
    if not outputs & SUMMED:
        _launch(kernel, (grid,), tuple(args), shared_mem)
        return None
    partial = cp.empty((3 if outputs & CHECKED else 1, grid), dtype=np.float64)
    _launch(kernel, (grid,), (*args, partial, *check), shared_mem)
    total = _add_up(cp, partial)
    return total if outputs & CHECKED else total[0]


def evaluate_rowwise(
    kind,
    params,
    y_true,
    raw_prediction,
    sample_weight=None,
    value=None,
    gradient=None,
    hessian=None,
    probability=None,
    want_sum=False,
    domain=None,
    whole=True,
    tolerance=0.0,
    takes_rows=False,
    gives_probabilities=False,
):
    """Evaluate a row-wise loss into the given arrays.

    Parameters
    ----------
    kind : int
        Position in the header's list: ``_rowwise.KINDS[name]``.
    params : ndarray of shape (n_params,), dtype float64
        On the host.
    y_true : cupy.ndarray of shape (n_samples,) or (n_samples, n_classes), float32 or float64
        Class codes or other numbers; or rows of probabilities, or pairs.
    raw_prediction : cupy.ndarray of shape (n_samples, n_classes), float32 or float64
        The kernel computes in its type, on its device and on the current stream.
    sample_weight, value : cupy.ndarray of shape (n_samples,) or None
    gradient, hessian, probability : cupy.ndarray of shape (n_samples, n_classes) or None
        Not both of `hessian` and `probability`.
    want_sum : bool
    domain : Interval or None
        Where targets that are one number must lie; its presence asks for a report.
    whole : bool
        Whether those must be whole numbers.
    tolerance : float
        How far from 1 a target's probabilities may add up.
    takes_rows, gives_probabilities : bool
        Whether the loss's struct is `soft`, and has `probabilities` too.

    Returns
    -------
    total : None, or cupy.ndarray of shape (), or of shape (3,), dtype float64
        As from `evaluate_pointwise`.
    """
    third, third_name = (
        (hessian, "hessian_out") if probability is None else (probability, "proba_out")
    )
    with computing_on(
        y_true=y_true,
        raw_prediction=raw_prediction,
        sample_weight=sample_weight,
        loss_out=value,
        gradient_out=gradient,
        **{third_name: third},
    ) as cp:
        raw = kernel_array(raw_prediction, "raw_prediction")
        if raw.ndim != 2:
            raise ValueError(
                f"raw_prediction must be an array of shape (n_samples, n_classes); got {raw.shape}"
            )
        n, n_classes = shape = raw.shape
        if not 1 <= n_classes < 1 << 24:
            raise ValueError(f"raw_prediction must have at least one class; got shape {shape}")
        raw = _attach(raw, "raw_prediction", shape)
        y = kernel_array(y_true, "y_true")
        soft = y.ndim == 2 and (n_classes > 1 or y.shape[1] != 1)
        y = _attach(y, "y_true", shape if soft else (n,))
        weight = _attach(sample_weight, "sample_weight", (n,))
        given = {
            "loss_out": _attach(value, "loss_out", (n,), output=True),
            "gradient_out": _attach(gradient, "gradient_out", shape, output=True),
            third_name: _attach(third, third_name, shape, output=True),
        }
        _refuse_overlap(given, {"y_true": y, "raw_prediction": raw, "sample_weight": weight})
        if soft and not takes_rows:
            raise ValueError(
                "y_true must hold class codes, of shape (n_samples,): this loss takes no "
                "probabilities"
            )
        if probability is not None and not gives_probabilities:
            raise ValueError("this loss gives no probabilities")
        inputs = [raw, _converted(y, raw.dtype), _converted(weight, raw.dtype)]
        results = [_scratch(cp, array, raw.dtype) for array in given.values()]
        third_bit = HESSIAN if probability is None else PROBABILITY
        outputs = _outputs(*results, third_bit, want_sum, domain is not None)
        check = ()
        if domain is not None:
            check = (*_domain_args(domain), np.int32(whole), float(tolerance))
        total = None
        if outputs and (n or outputs & SUMMED):
            loss = _ROWWISE_NAMES[kind]
            total, results = _launch_rowwise(
                cp, loss, params, soft, inputs, results, outputs, check
            )
        _hand_over(results, given.values())
    return total


def rows_of_block(n, n_classes, itemsize, tiles):
    """How many rows a block takes through shared memory: a multiple of a warp, or 0 where not even
    that many fit.

    Parameters
    ----------
    n, n_classes, itemsize : int
    tiles : int
        How many arrays of that shape a block holds.

    Returns
    -------
    rows : int
    """
    fit = SHARED_BYTES // (tiles * (n_classes | 1) * itemsize) // WARP * WARP
    # A few samples are spread over the whole device.
    wanted = WARP * -(-n // (256 * WARP))
    return min(fit, BLOCK, max(wanted, WARP))


def _launch_rowwise(cp, loss, params, soft, inputs, results, outputs, check):
    """The totals, and the arrays that hold the results."""
    raw, y, weight = inputs
    value, gradient, third = results
    n, n_classes = raw.shape
    tiles = 2 if soft or third is not None else 1
    rows = rows_of_block(n, n_classes, raw.itemsize, tiles)
    staged = rows > 0
    shared_mem = rows * tiles * (n_classes | 1) * raw.itemsize
    if not staged:
        rows = BLOCK
        if third is not None and gradient is None:
            gradient = cp.empty(raw.shape, dtype=raw.dtype)
        wide = [raw, y if soft else None, gradient, third]
        if len({array.strides for array in wide if array is not None}) > 1:
            raw, y = cp.ascontiguousarray(raw), cp.ascontiguousarray(y)
            gradient, third = (
                None if array is None else cp.empty(array.shape, dtype=array.dtype)
                for array in (gradient, third)
            )
    operands = [raw, y, weight, value, gradient, third]
    kernel = rowwise_kernel(loss, TYPES[raw.dtype], outputs, soft, staged)
    args = [constants(params), n, np.int32(n_classes), np.int32(rows)]
    args += map(_pointer, operands)
    for array in operands:
        args += _steps(array, 2)
    grid = min(blocks_for(n, rows), MOST_BLOCKS)
    total = _run(cp, kernel, grid, args, outputs, check, shared_mem)
    return total, [value, None if results[1] is None else gradient, third]


def class_weights(codes, sample_weight, n_classes):
    """Weight of the samples of each class, with the same bits on every run.

    Parameters
    ----------
    codes : cupy.ndarray of shape (n_samples,), float32 or float64
    sample_weight : cupy.ndarray of shape (n_samples,) or None
    n_classes : int

    Returns
    -------
    weights : cupy.ndarray of shape (n_classes,), float64
    """
    cp = cupy()
    dtype = codes.dtype if sample_weight is None else cp.result_type(codes, sample_weight)
    codes = cp.ascontiguousarray(codes, dtype=dtype)
    if sample_weight is not None:
        sample_weight = cp.ascontiguousarray(sample_weight, dtype=dtype)
    n = codes.shape[0]
    grid = min(blocks_for(n), 64), min(n_classes, 65535)
    partial = cp.empty((n_classes, grid[0]), dtype=np.float64)
    args = n, np.int32(n_classes), codes, _pointer(sample_weight), partial
    _launch(class_kernel(TYPES[codes.dtype]), grid, args)
    return _add_up(cp, partial)
