"""Kernels of the stand-in for CuPy: compiled by g++ against `cuda_on_cpu.h`, they run on the CPU.

What CUDA or CuPy refuses is refused, and so is what they let pass and what is a mistake all the
same: grids of no block (CuPy launches one), arguments of another type than the parameter, arrays of
another device, graphs that outlive their arrays.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path

import cuda_on_cpu
import numpy as np
from cuda_on_cpu import CompileException, CUDADriverError, CUDARuntimeError

HERE = Path(__file__).parent
USER = getattr(os, "getuid", lambda: 0)()
CACHE = Path(tempfile.gettempdir()) / f"sklearn-losses-cuda-on-cpu-{USER}"

_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?void\s+'
    r"(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\("
)
_libraries = {}


def compiler():
    """The command of the C++ compiler, or None."""
    if os.name != "posix":
        return None
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("g++")


def library(code, options, names):
    """The loaded library of a text, with a launcher for each name."""
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-fvisibility=hidden"]
    flags += ["-ffp-contract=off", f"-I{HERE}"]
    if "clang" not in Path(compiler()).name:
        # Else a function of the same name in another library would share its static variables.
        flags.append("-fno-gnu-unique")
    if os.environ.get("SKLEARN_LOSSES_SANITIZE") == "1":
        flags += ["-g", "-fsanitize=address,undefined"]
    flags += [o for o in options if o.startswith(("-I", "-D"))]
    launchers = "".join(
        f"CUDA_ON_CPU_EXPORT int cuda_on_cpu_launch_{i}(const cuda_on_cpu::Launch* launch) "
        f"{{ return cuda_on_cpu::launch_kernel(&{name}, *launch); }}\n"
        for i, name in enumerate(names)
    )
    text = f'#include "cuda_on_cpu.h"\n#line 1 "kernels.cu"\n{code}\n{launchers}'
    included = [
        p.read_text() for o in flags if o[:2] == "-I" for p in sorted(Path(o[2:]).glob("*.h"))
    ]
    key = hashlib.sha256("\0".join([compiler(), text, *flags, *included]).encode()).hexdigest()
    if key not in _libraries:
        path = CACHE / f"{key[:32]}.so"
        if not path.exists():
            CACHE.mkdir(mode=0o700, exist_ok=True)
            if CACHE.stat().st_uid != USER:
                raise PermissionError(f"{CACHE} belongs to another user")
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                made = Path(folder) / "kernels.so"
                command = [compiler(), *flags, "-x", "c++", "-", "-o", str(made)]
                done = subprocess.run(
                    command,
                    input=text,
                    capture_output=True,
                    text=True,
                    env={**os.environ, "LC_ALL": "C"},
                )
                if done.returncode:
                    raise CompileException(done.stderr, code, "kernels.cu", options)
                made.replace(path)
        # The interpreter's lock is kept: the fibers of one library share their stacks.
        _libraries[key] = ctypes.PyDLL(str(path))
    return _libraries[key]


class _LaunchArguments(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_int * 3),
        ("block", ctypes.c_int * 3),
        ("shared_bytes", ctypes.c_longlong),
        ("reverse", ctypes.c_int),
        ("ended_pass", ctypes.c_int),
        ("flush", ctypes.c_int),
        ("n_args", ctypes.c_int),
        ("args", ctypes.POINTER(ctypes.c_void_p)),
        ("types", ctypes.c_char_p),
    ]


def _argument(x):
    """A buffer that holds the argument as CuPy passes it, and the two letters that the header
    checks it by."""
    if x is None:
        return np.zeros(1, np.uintp), "p8"
    if isinstance(x, cuda_on_cpu.MemoryPointer):
        return np.array([x.ptr], np.uintp), "p8"
    if hasattr(x, "__cuda_array_interface__"):
        kind = {"f": "F", "i": "I", "u": "I", "b": "I"}.get(x.dtype.kind, "p")
        return np.array([x.data.ptr], np.uintp), f"{kind}{x.dtype.itemsize}"
    if isinstance(x, np.ndarray):
        if x.size != 1:
            raise TypeError(
                f"You are trying to pass a numpy.ndarray of shape {x.shape} as a kernel parameter. "
                "Only numpy.ndarrays of size one can be passed by value. If you meant to pass a "
                "pointer to __global__ memory, you need to pass a cupy.ndarray instead."
            )
        value = x.ravel()
    elif isinstance(x, np.generic):
        value = np.array([x])
    elif type(x) is int:
        value = np.array([x], np.uint64 if x >= 1 << 63 else np.int64)
    elif type(x) in (bool, float, complex):
        value = np.array([x])
    else:
        raise TypeError(f"Unsupported type {type(x)}")
    kind = {"f": "f", "i": "i", "u": "i", "b": "i"}.get(value.dtype.kind, "?")
    return value, f"{kind}{min(value.dtype.itemsize, 9)}"


class _Launch:
    """A launch with the values of its arguments; arrays are kept by their address alone."""

    def __init__(self, kernel, grid, block, args, shared_mem):
        self.kernel, self.device_id = kernel, cuda_on_cpu.get_device()
        packed = [_argument(x) for x in args]
        self.buffers = [buffer for buffer, _ in packed]
        self.memories = []
        for x in args:
            pointer = x.data if hasattr(x, "__cuda_array_interface__") else x
            if isinstance(pointer, cuda_on_cpu.MemoryPointer):
                cuda_on_cpu.check_device(pointer.device_id)
                self.memories.append(weakref.ref(pointer.mem))
        self.pointers = (ctypes.c_void_p * max(1, len(packed)))(
            *[buffer.ctypes.data for buffer in self.buffers]
        )
        self.shape = grid, block, shared_mem
        self.types = "".join(letters for _, letters in packed).encode()

    def run(self):
        if any(memory() is None for memory in self.memories):
            raise RuntimeError(f"{self.kernel.name}: an array of a captured launch was freed")
        grid, block, shared_mem = self.shape
        launch = _LaunchArguments(
            (ctypes.c_int * 3)(*grid),
            (ctypes.c_int * 3)(*block),
            shared_mem,
            cuda_on_cpu.settings["reverse_blocks"],
            cuda_on_cpu.settings["ended_threads_pass"],
            cuda_on_cpu.settings["flush_to_zero"],
            len(self.buffers),
            ctypes.cast(self.pointers, ctypes.POINTER(ctypes.c_void_p)),
            self.types,
        )
        if self.kernel._launcher(ctypes.byref(launch)):
            message = self.kernel._library.cuda_on_cpu_message
            message.restype = ctypes.c_char_p
            raise RuntimeError(f"{self.kernel.name}: {message().decode()}")


class RawKernel:
    def __init__(
        self,
        code,
        name,
        options=(),
        backend="nvrtc",
        *,
        translate_cucomplex=False,
        enable_cooperative_groups=False,
        jitify=False,
    ):
        self._setup(code, name, options, ())

    def _setup(self, code, name, options, name_expressions):
        if type(options) is not tuple:
            raise TypeError("Argument 'options' has incorrect type (expected tuple)")
        self.code, self.name, self.options = code, name, options
        self.__name__ = name
        self._expressions = name_expressions
        self._limits = {}
        self._loaded = None

    def _load(self):
        if self._loaded is None:
            names = list(dict.fromkeys([*_KERNEL.findall(self.code), *self._expressions]))
            if self.name not in names:
                names.append(self.name)  # perhaps a macro makes it
            try:
                loaded = library(self.code, self.options, names)
            except CompileException as error:
                missing = rf"'{self.name}' was not declared|undeclared identifier '{self.name}'"
                if re.search(missing, str(error)):
                    raise CUDADriverError(500) from error
                raise
            self._loaded = loaded, loaded[f"cuda_on_cpu_launch_{names.index(self.name)}"]
        return self._loaded

    @property
    def _library(self):
        return self._load()[0]

    @property
    def _launcher(self):
        return self._load()[1]

    def compile(self, log_stream=None):
        self._load()

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        for shape in (grid, block):
            if type(shape) is not tuple:
                raise TypeError(f"Argument has incorrect type (expected tuple, got {type(shape)})")
        self._load()
        grid, block = (tuple(int(n) for n in (*shape, 1, 1)[:3]) for shape in (grid, block))
        if min(*grid, *block) < 1:
            # CuPy makes it 1, so that a kernel runs over nothing.
            raise CUDADriverError(1)
        if np.prod(block) > 1024 or max(block[:2]) > 1024 or block[2] > 64:
            raise CUDADriverError(1)
        if grid[0] > 2**31 - 1 or max(grid[1:]) > 65535:
            raise CUDADriverError(1)
        if not 0 <= shared_mem <= self.max_dynamic_shared_size_bytes:
            raise CUDADriverError(1)
        launch = _Launch(self, grid, block, args, int(shared_mem))
        stream = cuda_on_cpu.get_current_stream() if stream is None else stream
        if stream.device_id not in (-1, cuda_on_cpu.get_device()):
            raise CUDARuntimeError(400)
        if stream in cuda_on_cpu._capturing:
            next(s for s in cuda_on_cpu._capturing if s == stream)._recorded.append(launch)
        else:
            cuda_on_cpu.counts["launch"] += 1
            launch.run()

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._limits.get(cuda_on_cpu.get_device(), cuda_on_cpu.SHARED_LIMIT)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        if not 0 <= size <= cuda_on_cpu.SHARED_LIMIT_OPTIN:
            raise CUDADriverError(1)
        self._limits[cuda_on_cpu.get_device()] = int(size)

    max_threads_per_block = 1024
    shared_size_bytes = const_size_bytes = local_size_bytes = 0
    num_regs = 32

    @property
    def attributes(self):
        names = ["max_threads_per_block", "shared_size_bytes", "const_size_bytes"]
        names += ["local_size_bytes", "num_regs", "max_dynamic_shared_size_bytes"]
        return {name: getattr(self, name) for name in names}


class RawModule:
    def __init__(
        self,
        *,
        code=None,
        path=None,
        options=(),
        backend="nvrtc",
        translate_cucomplex=False,
        enable_cooperative_groups=False,
        name_expressions=None,
        jitify=False,
    ):
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if type(options) is not tuple:
            raise TypeError("Argument 'options' has incorrect type (expected tuple)")
        self.code, self.options = code, options
        self.name_expressions = tuple(name_expressions or ())

    def compile(self, log_stream=None):
        library(self.code, self.options, [*_KERNEL.findall(self.code), *self.name_expressions])

    def get_function(self, name):
        kernel = RawKernel.__new__(RawKernel)
        kernel._setup(self.code, name, self.options, self.name_expressions)
        kernel.compile()
        return kernel
