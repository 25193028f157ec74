# X as kernels read it: dense in C order or CSR, of float32 or float64, int32 or int64 indices. Never copied.
cimport numpy as cnp
from libc.stdint cimport int32_t

cdef extern from "fit/table.h" namespace "sl" nogil:
    cdef cppclass Table:
        Py_ssize_t n_rows, n_features, stride
        bint single, wide
        const void* values
        const void* indices
        const void* indptr
        bint sparse()
    cdef cppclass Counted:
        Table table
        const int32_t* at
        const double* weight
        Py_ssize_t n


cdef inline object plain(object array, str name, tuple types, int ndim):
    if not isinstance(array, cnp.ndarray):
        raise TypeError(f"{name} must be a NumPy array; got {type(array).__name__}")
    cdef cnp.ndarray a = <cnp.ndarray> array
    if a.ndim != ndim or cnp.PyArray_TYPE(a) not in types or not cnp.PyArray_ISCARRAY_RO(a):
        raise ValueError(
            f"{name}: dtype {a.dtype}, {a.ndim} dimensions, {a.flags} is no layout that rows are read from"
        )
    return array


cdef inline int describe(Table* table, object X, list keep) except -1:
    """Describe X; `keep` receives the arrays that must outlive the table."""
    cdef object data, indices, indptr  # not typed: Python's own indexing
    cdef tuple floats = (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64)
    cdef tuple integers = (cnp.NPY_INT32, cnp.NPY_INT64)
    table.n_rows, table.n_features = X.shape
    table.stride = table.n_features
    if hasattr(X, "indptr"):
        data = plain(X.data, "X.data", floats, 1)
        indices = plain(X.indices, "X.indices", integers, 1)
        # As it was given: a conversion to 32 bits could make the numbers seem right.
        indptr = X.indptr
        if len(indptr) != table.n_rows + 1 or indptr[0] != 0 or (indptr[1:] < indptr[:table.n_rows]).any():
            raise ValueError("X.indptr must start at 0, never decrease, and have one entry more than X has rows")
        if indptr[table.n_rows] > min(len(indices), len(data)):
            raise ValueError("X.indptr points past the end of X.data or X.indices")
        if len(indices) and (indices.min() < 0 or indices.max() >= table.n_features):
            raise ValueError(f"X.indices must be in the range [0, {table.n_features})")
        indptr = plain(indptr.astype(indices.dtype, copy=False), "X.indptr", integers, 1)
        table.wide = indices.itemsize == 8
        table.indices = cnp.PyArray_DATA(<cnp.ndarray> indices)
        table.indptr = cnp.PyArray_DATA(<cnp.ndarray> indptr)
        keep += [data, indices, indptr]
    else:
        data = plain(X, "X", floats, 2)
        keep.append(data)
    table.values = cnp.PyArray_DATA(<cnp.ndarray> data)
    table.single = data.itemsize == 4
    return 0


cdef inline double* doubles(cnp.ndarray array):
    return <double*> cnp.PyArray_DATA(array)


cdef inline cnp.ndarray checked(object array, int kind, tuple shape):
    """An array of a type in C order; an error where its shape is another."""
    cdef object made = cnp.PyArray_FROMANY(
        array, kind, 0, 0, cnp.NPY_ARRAY_CARRAY_RO | cnp.NPY_ARRAY_FORCECAST
    )
    if made.shape != shape:
        raise ValueError(f"expected an array of shape {shape}; got {made.shape}")
    return made


cdef inline int describe_rows(Counted* counted, object X, object rows, list keep) except -1:
    """Describe X and the numbers of its rows that count; None: all."""
    describe(&counted.table, X, keep)
    counted.n = counted.table.n_rows
    if rows is None:
        return 0
    rows = checked(rows, cnp.NPY_INT32, (len(rows),))
    if len(rows) and not 0 <= rows.min() <= rows.max() < counted.n:
        raise ValueError(f"rows must be in the range [0, {counted.n})")
    counted.at = <const int32_t*> cnp.PyArray_DATA(<cnp.ndarray> rows)
    counted.n = len(rows)
    keep.append(rows)
    return 0
