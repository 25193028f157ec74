"""Data, made where they are computed with and the same everywhere."""

import numpy as np
from scipy import sparse

from sklearn_losses._array import cupy

CHUNK = 1 << 26


def scrambled(xp, start, n, seed):
    """Uniform integers of 32 bits: MurmurHash3's finaliser of a running number. The same on every
    machine, and needs no generator of the library's."""
    x = xp.arange(start, start + n, dtype=np.uint32)
    x += np.uint32(seed * 0x9E3779B9 % 2**32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return x


def open_unit(xp, start, n, seed, dtype):
    """Uniform in (0, 1), never at an end in float32 either."""
    return ((scrambled(xp, start, n, seed) >> np.uint32(9)).astype(dtype) + 0.5) * 2.0**-23


def uniform(xp, n, seed, dtype=np.float32, low=0.0, high=1.0):
    out = xp.empty(n, dtype)
    for start in range(0, n, CHUNK):
        part = open_unit(xp, start, min(CHUNK, n - start), seed, dtype)
        out[start : start + len(part)] = low + (high - low) * part
    return out


def normal(xp, n, seed, dtype=np.float32):
    """Standard normal, by Box and Muller."""
    out = xp.empty(n, dtype)
    for start in range(0, n, CHUNK):
        m = min(CHUNK, n - start)
        u, v = (open_unit(xp, start, m, s, dtype) for s in (seed, seed + 1000))
        out[start : start + m] = xp.sqrt(-2.0 * xp.log(u)) * xp.cos(2 * np.pi * v)
    return out


def dense_data(xp, n, d):
    """X of float32, and a signal with noise."""
    X = normal(xp, n * d, 1).reshape(n, d)
    w = normal(xp, d, 2) / d**0.5
    return X, X @ w + 0.5 * normal(xp, n, 3)


def sparse_data(xp, n, d, nonzeros):
    """Values and column numbers, of shape (n, nonzeros), and a signal with noise. A row has one
    entry in each of `nonzeros` ranges of columns: sorted, and none twice."""
    width = d // nonzeros
    values = normal(xp, n * nonzeros, 4).reshape(n, nonzeros)
    columns = xp.empty((n, nonzeros), np.int32)
    w = normal(xp, d, 5)
    signal = 0.5 * normal(xp, n, 6)
    first = xp.arange(nonzeros, dtype=np.int32) * np.int32(width)
    rows = max(1, CHUNK // nonzeros)
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        within = scrambled(xp, start * nonzeros, (stop - start) * nonzeros, 7) % np.uint32(width)
        columns[start:stop] = within.astype(np.int32).reshape(-1, nonzeros) + first
        signal[start:stop] += (w[columns[start:stop]] * values[start:stop]).sum(axis=1)
    return values, columns, signal


def csr(module, values, columns, d):
    """The CSR matrix of `module` (SciPy's or CuPy's) of these entries."""
    n, nonzeros = values.shape
    xp = np if module is sparse else cupy()
    indptr = xp.arange(0, n * nonzeros + 1, nonzeros, dtype=np.int32)
    return module.csr_matrix((values.ravel(), columns.ravel(), indptr), shape=(n, d))
