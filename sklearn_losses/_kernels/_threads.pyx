"""How many threads the kernels use, and what a forked child does.

The default number of threads is what OpenMP allows now (``omp_get_max_threads``, read again at every
call because threadpoolctl and joblib change it), and at most the number of CPUs that this process may
use: physical cores, affinity and cgroup quotas counted by joblib. A user who sets ``OMP_NUM_THREADS``
has decided, and the number of CPUs is not looked at. These are scikit-learn's rules.

A forked child always runs on one thread. GNU's OpenMP runtime keeps its thread pool over a fork although
the threads are gone, and the child's first parallel region then waits for them for ever. We cannot tell
whether another library woke the same runtime in the parent, and LLVM's runtime, which survives a
fork, is not worth a second rule. Processes that fork and then execute a program (joblib's loky workers,
``multiprocessing`` with spawn) are not forked children in this sense.
"""

import threading
import warnings
from numbers import Integral

from libc.stdlib cimport getenv

import joblib

cdef extern from *:
    """
    #ifdef _OPENMP
        #include <omp.h>
        #define SL_OPENMP _OPENMP
        static int sl_omp_max_threads(void) { return omp_get_max_threads(); }
    #else
        #define SL_OPENMP 0
        static int sl_omp_max_threads(void) { return 1; }
    #endif

    static int sl_forked = 0;

    #if defined(_OPENMP) && !defined(_WIN32)
        #include <dlfcn.h>
        #include <pthread.h>
        static void sl_after_fork_in_child(void) { sl_forked = 1; }
        static int sl_watch_forks(void) { return pthread_atfork(NULL, NULL, sl_after_fork_in_child); }
        static const char* sl_omp_library(void) {
            Dl_info info;
            void* address = reinterpret_cast<void*>(&omp_get_max_threads);
            return dladdr(address, &info) && info.dli_fname ? info.dli_fname : "";
        }
    #else
        static int sl_watch_forks(void) { return 0; }
        static const char* sl_omp_library(void) { return ""; }
    #endif
    """
    const int SL_OPENMP
    int sl_omp_max_threads() noexcept nogil
    int sl_forked
    int sl_watch_forks() noexcept nogil
    const char* sl_omp_library() noexcept nogil


# Least work (in nanoseconds, roughly) that is worth a thread. Measured with GNU libgomp: a parallel region
# costs 1 microsecond while its threads still spin and 75 microseconds once they sleep, so that a second
# thread pays in both cases from about 65 microseconds of work on.
cdef Py_ssize_t _MIN_WORK_PER_THREAD = 32768
MIN_WORK_PER_THREAD = _MIN_WORK_PER_THREAD
# The same while a fit goes on. The runtime's threads spin for about 6 milliseconds after a loop before they sleep, and
# take the cores from the fit's own (fit/pool.h): a second thread pays where it saves more than that.
cdef Py_ssize_t _MIN_WORK_IN_A_FIT = 4_000_000
cdef Py_ssize_t _fits = 0  # that go on now

cdef int _n_cpus = 0  # 0: not counted yet
_count_lock = threading.Lock()

# pthread_atfork and not os.register_at_fork: it also sees the forks of C code.
if sl_watch_forks() != 0:
    raise ImportError("pthread_atfork failed: out of memory")


def _count_cpus():
    global _n_cpus
    with _count_lock:
        if _n_cpus == 0:
            with warnings.catch_warnings():
                # joblib warns where physical cores cannot be told apart, and then counts logical ones.
                warnings.simplefilter("ignore")
                _n_cpus = max(1, joblib.cpu_count(only_physical_cores=True))


cdef int _limit() except -1:
    if SL_OPENMP == 0 or sl_forked:
        return 1
    cdef int limit = sl_omp_max_threads()
    cdef const char* setting = getenv("OMP_NUM_THREADS")
    if setting == NULL or setting[0] == 0:
        if _n_cpus == 0:
            _count_cpus()
        limit = min(limit, _n_cpus)
    return max(1, limit)


cdef int _of_limit(int requested, int limit) noexcept:
    if requested == 0:
        return limit
    if requested < 0:  # -1: all, -2: all but one
        return max(1, limit + requested + 1)
    return min(requested, limit)


cdef int _checked(n_threads) except? -2147483647:
    """n_threads as a C integer; None becomes 0."""
    if n_threads is None:
        return 0
    if not isinstance(n_threads, Integral) or isinstance(n_threads, bool) or n_threads == 0:
        raise ValueError(
            "n_threads must be None (the default), a positive integer, or a negative one "
            f"(-1: all threads, -2: all but one); got {n_threads!r}"
        )
    return max(-1_000_000, min(1_000_000, int(n_threads)))


class DuringAFit:
    """A context in which short loops take one thread, in all threads of the process."""

    def __enter__(self):
        global _fits
        _fits += 1

    def __exit__(self, *error):
        global _fits
        _fits -= 1


cdef int n_threads_for(Py_ssize_t work, int requested) noexcept:
    cdef Py_ssize_t least = _MIN_WORK_IN_A_FIT if _fits > 0 else _MIN_WORK_PER_THREAD
    if requested == 1 or work < 2 * least:
        return 1
    cdef int limit = 1
    try:
        limit = _limit()
    except Exception:  # counting CPUs failed: an answer that is always right
        pass
    cdef int n = _of_limit(requested, limit)
    cdef Py_ssize_t enough = work // least
    return <int> enough if enough < n else n


cpdef int threads_for(Py_ssize_t work, n_threads=None) except -1:
    """Number of threads for a loop of `work` nanoseconds, at most what `n_threads` asks for."""
    return n_threads_for(work, _checked(n_threads))


def effective_n_threads(n_threads=None):
    """Number of threads that the kernels use for a large array.

    Parameters
    ----------
    n_threads : int or None, default=None
        ``None``: all that OpenMP, the CPU quota, joblib and threadpoolctl allow. Positive: this many, and
        at most that. Negative: all but ``-n_threads - 1``, so that -1 means all.

    Returns
    -------
    n_threads : int
        At least 1, and exactly 1 in a build without OpenMP and in a forked child.
    """
    return _of_limit(_checked(n_threads), _limit())


def openmp_info():
    """What is known of the OpenMP runtime that the kernels are linked to.

    Returns
    -------
    info : dict
        ``enabled`` (bool), ``specification`` (the ``_OPENMP`` date, such as 201511, or None), ``runtime``
        (``"libgomp"``, ``"libomp"``, ..., or None), ``version`` (str or None), ``library`` (the file, or
        None), ``max_threads`` (int), ``forked`` (bool: a forked child, hence on one thread).
    """
    import os

    import threadpoolctl

    info = {
        "enabled": SL_OPENMP != 0,
        "specification": SL_OPENMP or None,
        "runtime": None,
        "version": None,
        "library": None,
        "max_threads": effective_n_threads(),
        "forked": bool(sl_forked),
    }
    library = sl_omp_library().decode(errors="replace")
    if library:
        info["library"] = library
        # Several runtimes may be loaded (a scikit-learn wheel brings its own): ours is the one of this file.
        for module in threadpoolctl.threadpool_info():
            if os.path.realpath(module["filepath"]) == os.path.realpath(library):
                info["runtime"] = module["prefix"]
                info["version"] = module["version"]
    return info
