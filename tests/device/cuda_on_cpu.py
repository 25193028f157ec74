"""Devices, streams and graphs of the stand-in for CuPy: what its `cupy.cuda` has.

There are two devices, which cannot reach each other's memory. A stream that captures takes launches
of kernels alone.
"""

import itertools
import threading
import types
import warnings
import weakref

import numpy as np

N_DEVICES = 2
SHARED_LIMIT = 48 << 10
SHARED_LIMIT_OPTIN = 227 << 10

# What tests read: waits of the host, launches of kernels and of graphs, copies to a device.
counts = {"sync": 0, "launch": 0, "graph": 0, "upload": 0}
# How the emulator runs; `reset` puts them back.
settings = {"reverse_blocks": False, "ended_threads_pass": False, "flush_to_zero": False}


def reset():
    counts.update(dict.fromkeys(counts, 0))
    settings.update(dict.fromkeys(settings, False))
    _pool.set_limit(0)
    _capturing.clear()
    _thread.__dict__.clear()


# ------------------------------------------------------------------------------------------- errors

_RUNTIME_ERRORS = {
    1: "cudaErrorInvalidValue: invalid argument",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    101: "cudaErrorInvalidDevice: invalid device ordinal",
    400: "cudaErrorInvalidResourceHandle: invalid resource handle",
    900: "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing",
    901: "cudaErrorStreamCaptureInvalidated: "
    "operation failed due to a previous error during capture",
}


class CUDARuntimeError(RuntimeError):
    def __init__(self, status):
        self.status = status
        super().__init__(_RUNTIME_ERRORS.get(status, f"cudaError {status}"))


class CUDADriverError(RuntimeError):
    def __init__(self, status):
        self.status = status
        names = {1: "CUDA_ERROR_INVALID_VALUE: invalid argument"}
        names[500] = "CUDA_ERROR_NOT_FOUND: named symbol not found"
        super().__init__(names.get(status, f"CUDA error {status}"))


class CompileException(Exception):
    def __init__(self, msg, source, name, options, backend="nvrtc"):
        self.source, self.name, self.options, self.backend = source, name, options, backend
        super().__init__(msg)

    def get_message(self):
        return str(self)


class OutOfMemoryError(MemoryError):
    def __init__(self, size, total, limit=0):
        more = f" (limit set to: {limit:,} bytes)" if limit else ""
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes){more}."
        )


# ------------------------------------------------------------------------------------------- memory


class Memory:
    """A piece of the memory of a device; views of an array share it."""

    def __init__(self, size, device_id):
        limit = _pool.get_limit()
        if limit and _pool._used + size > limit:
            raise OutOfMemoryError(size, _pool._used, limit)
        self.size, self.device_id = size, device_id
        _pool._used += size

        weakref.finalize(self, _pool._freed, size)

    @property
    def device(self):
        return Device(self.device_id)


class MemoryPointer:
    def __init__(self, mem, ptr):
        self.mem, self.ptr, self.device_id = mem, ptr, mem.device_id

    @property
    def device(self):
        return Device(self.device_id)


class MemoryPool:
    def __init__(self):
        self._used, self._limit = 0, 0

    def _freed(self, size):
        self._used -= size

    def used_bytes(self):
        return self._used

    total_bytes = used_bytes

    def free_bytes(self):
        return 0

    def n_free_blocks(self):
        return 0

    def free_all_blocks(self, stream=None):
        pass

    def get_limit(self):
        return self._limit

    def set_limit(self, size=None, fraction=None):
        self._limit = int(size or 0)


_pool = MemoryPool()

# ------------------------------------------------------------------------------ devices and streams

_thread = threading.local()


def _stacks():
    if not hasattr(_thread, "device"):
        _thread.device = 0
        _thread.streams = [[Stream.null] for _ in range(N_DEVICES)]
    return _thread


def get_device():
    return _stacks().device


def set_device(device):
    if not 0 <= device < N_DEVICES:
        raise CUDARuntimeError(101)
    _stacks().device = int(device)


class Device:
    def __init__(self, device=None):
        self.id = get_device() if device is None else int(device)
        self._entered = []

    def __int__(self):
        return self.id

    __index__ = __int__

    def __enter__(self):
        self._entered.append(get_device())
        set_device(self.id)
        return self

    def __exit__(self, *args):
        set_device(self._entered.pop())

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self):
        return hash(self.id)

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def use(self):
        set_device(self.id)

    def synchronize(self):
        synchronized()

    @property
    def compute_capability(self):
        return "90"

    @property
    def attributes(self):
        return {
            "MaxThreadsPerBlock": 1024,
            "MaxSharedMemoryPerBlock": SHARED_LIMIT,
            "MaxSharedMemoryPerBlockOptin": SHARED_LIMIT_OPTIN,
            "MultiProcessorCount": 4,
            "WarpSize": 32,
        }

    @property
    def mem_info(self):
        return (1 << 30) - _pool._used, 1 << 30


def check_device(device_id):
    """As CuPy does where the devices cannot reach each other's memory."""
    if device_id != get_device():
        raise ValueError(
            f"The device where the array resides ({device_id}) is different from the current "
            f"device ({get_device()}). Peer access is unavailable between these devices."
        )


_capturing = weakref.WeakSet()


def _invalidate(streams):
    for stream in streams:
        stream._invalid = True
    raise CUDARuntimeError(900)


def synchronized():
    """The host waits for a device, which no stream may while it captures."""
    if _capturing:
        _invalidate(_capturing)
    counts["sync"] += 1


def uploaded():
    if _capturing:
        _invalidate(_capturing)
    counts["upload"] += 1


def computed():
    """A function of CuPy runs: we do not record it, so it is not for a stream that captures."""
    if _capturing and get_current_stream() in _capturing:
        _invalidate([get_current_stream()])


class _BaseStream:
    def __init__(self, ptr, device_id):
        self.ptr, self.device_id = ptr, device_id
        self._recorded, self._invalid = None, False

    def __eq__(self, other):
        return isinstance(other, _BaseStream) and self.ptr == other.ptr

    def __hash__(self):
        return self.ptr

    def _check_device(self):
        if self.device_id not in (-1, get_device()):
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match with "
                f"the current device ({get_device()})"
            )

    def __enter__(self):
        self._check_device()
        _stacks().streams[get_device()].append(self)
        self._entered = [*getattr(self, "_entered", []), get_device()]
        return self

    def __exit__(self, *args):
        _stacks().streams[self._entered.pop()].pop()

    def use(self):
        self._check_device()
        _stacks().streams[get_device()][-1] = self
        return self

    @property
    def done(self):
        return True

    def synchronize(self):
        synchronized()

    def record(self, event=None):
        return Event() if event is None else event

    def wait_event(self, event):
        pass

    def begin_capture(self, mode=None):
        if self.ptr in (0, 1):
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self in _capturing:
            _invalidate([self])
        self._recorded, self._invalid = [], False
        _capturing.add(self)

    def end_capture(self):
        if self not in _capturing:
            raise CUDARuntimeError(1)
        _capturing.discard(self)
        if self._invalid:
            raise CUDARuntimeError(901)
        return Graph._of(self._recorded, self.device_id)

    def is_capturing(self):
        return self in _capturing


_handles = itertools.count(0x1000, 16)


class Stream(_BaseStream):
    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        if null or ptds:
            super().__init__(0 if null else 2, -1)
        else:
            super().__init__(next(_handles), get_device())

    @classmethod
    def from_external(cls, obj):
        stream = cls.__new__(cls)
        _BaseStream.__init__(stream, obj.__cuda_stream__()[1], get_device())
        return stream

    def __cuda_stream__(self):
        return 0, self.ptr


Stream.null = Stream(null=True)
Stream.ptds = Stream(ptds=True)


class ExternalStream(_BaseStream):
    def __init__(self, ptr, device_id=-1):
        warnings.warn(
            "ExternalStream is deprecated. Use Stream.from_external() instead to interoperate with "
            "external streams that implement the CUDA stream protocol.",
            DeprecationWarning,
            stacklevel=2,
        )
        super().__init__(ptr, device_id)


def get_current_stream(device_id=-1):
    return _stacks().streams[get_device() if device_id == -1 else device_id][-1]


class Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.ptr = next(_handles)

    done = True

    def record(self, stream=None):
        pass

    def synchronize(self):
        synchronized()


def get_elapsed_time(start_event, end_event):
    return 0.001


class Graph:
    def __init__(self, *args, **kwargs):
        raise NotImplementedError("created via stream capture")

    @classmethod
    def _of(cls, recorded, device_id):
        graph = cls.__new__(cls)
        graph._recorded, graph._device_id = recorded, device_id
        return graph

    def launch(self, stream=None):
        stream = get_current_stream() if stream is None else stream
        if stream in _capturing:
            _invalidate([stream])
        counts["graph"] += 1
        for launch in self._recorded:
            launch.run()

    def upload(self, stream=None):
        pass


# ------------------------------------------------------------------------------------ the namespace


def _module(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    return module


def _properties(device_id):
    return {
        "name": b"CUDA on CPU",
        "multiProcessorCount": 4,
        "sharedMemPerBlock": SHARED_LIMIT,
        "sharedMemPerBlockOptin": SHARED_LIMIT_OPTIN,
        "totalGlobalMem": 1 << 30,
        "major": 9,
        "minor": 0,
        "warpSize": 32,
    }


def alloc(size):
    buffer = np.empty(size, np.uint8)
    memory = Memory(size, get_device())
    memory.buffer = buffer
    return MemoryPointer(memory, buffer.ctypes.data)


runtime = _module(
    "cupy.cuda.runtime",
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: N_DEVICES,
    getDevice=get_device,
    setDevice=set_device,
    getDeviceProperties=_properties,
    deviceSynchronize=synchronized,
    runtimeGetVersion=lambda: 13000,
    driverGetVersion=lambda: 13000,
    memGetInfo=lambda: Device().mem_info,
    streamCaptureModeGlobal=0,
    streamCaptureModeThreadLocal=1,
    streamCaptureModeRelaxed=2,
    is_hip=False,
)
cuda = _module(
    "cupy.cuda",
    runtime=runtime,
    driver=_module("cupy.cuda.driver", CUDADriverError=CUDADriverError),
    compiler=_module("cupy.cuda.compiler", CompileException=CompileException),
    memory=_module(
        "cupy.cuda.memory",
        OutOfMemoryError=OutOfMemoryError,
        MemoryPool=MemoryPool,
        MemoryPointer=MemoryPointer,
        alloc=alloc,
    ),
    is_available=lambda: True,
    **{
        x.__name__: x
        for x in (Device, Stream, ExternalStream, Event, Graph, MemoryPool, MemoryPointer, alloc)
    },
    get_current_stream=get_current_stream,
    get_elapsed_time=get_elapsed_time,
)
