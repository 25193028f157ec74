# How many threads a parallel loop may use. `work` is the number of elements times their cost in
# nanoseconds, roughly; both functions return at least 1 and are called with the GIL held, before the loop.

# From what a Python caller passed as n_threads (None, or an integer other than 0); raises ValueError.
cpdef int threads_for(Py_ssize_t work, n_threads=*) except -1

# From an integer that was checked before; 0 means the default.
cdef int n_threads_for(Py_ssize_t work, int requested) noexcept
