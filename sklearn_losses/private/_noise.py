"""Random numbers that nobody can foretell or repeat, and noise that shows no trace of the data in
its last digits.

All bits are the operating system's (`os.urandom`), of which there is no seed to guess or to leak.

A sum of floating-point numbers can betray the data by which numbers it can and cannot be, whatever
the distribution of the noise [1]_. Against that,

- what is released is a whole multiple of one power of two, about `GRID` of the noise's standard
  deviation: data and noise are rounded to that grid before they are added, so that every data set
  can give every number of the grid. What rounding adds to the sensitivity is accounted for;
- a normal number is the sum of four, of which none can be found from the result [2]_.

What remains: the normal numbers are made in double precision, so that their distribution is exact
to about 1e-16 and ends at 17 standard deviations; sums over the data are rounded as floating-point
sums are; and the time that a fit takes is not hidden.

References
----------
.. [1] Mironov, I. (2012). On significance of the least significant bits for differential privacy.
   CCS.
.. [2] Holohan, N. and Braghin, S. (2021). Secure random sampling in differential privacy. ESORICS.
"""

import math
from os import urandom

import numpy as np

# The grid of what is released, beside the noise's standard deviation.
GRID = 2.0**-20


def uniform(n):
    """Numbers in (0, 1), the odd multiples of 2**-53, exactly: ndarray of shape (n,)."""
    bits = np.frombuffer(urandom(8 * n), dtype=np.uint64) >> np.uint64(12)
    return (bits + 0.5) * 2.0**-52


def normal(n):
    """Standard normal numbers, each the sum of four of Box and Muller's over 2: ndarray of shape
    (n,)."""
    radius, angle = np.sqrt(-2 * np.log(uniform(4 * n))), 2 * np.pi * uniform(4 * n)
    return (radius * np.cos(angle)).reshape(4, n).sum(axis=0) / 2


def spherical(n):
    """A vector of density proportional to ``exp(-norm)``, whose norm has the gamma distribution of
    shape n: ndarray of shape (n,)."""
    direction = normal(n)
    return direction / np.linalg.norm(direction) * -np.log(uniform(n)).sum()


def poisson_sample(n, q):
    """Which of n samples are in a batch, each with probability q by itself.

    Parameters
    ----------
    n : int
    q : float
        In (0, 1].

    Returns
    -------
    index : ndarray of shape (n_taken,), ascending
    """
    if q >= 1:
        return np.arange(n)
    taken, last = [], -1
    while last < n:
        # From one that is taken to the next are geometrically many; a few more than expected.
        much = math.ceil(q * (n - last) + 4 * math.sqrt(q * (n - last)) + 4)
        gaps = np.minimum(np.log(uniform(much)) / math.log1p(-q), n)
        places = last + np.cumsum(np.floor(gaps).astype(np.int64) + 1)
        taken.append(places)
        last = int(places[-1])
    index = np.concatenate(taken)
    return index[index < n]


def release(value, sensitivity, multiplier, draw=normal):
    """``value + noise``, both on one grid.

    Parameters
    ----------
    value : ndarray
    sensitivity : float
        The most by which one sample changes the value, in Euclidean norm.
    multiplier : float
        The noise beside the sensitivity. What rounding adds to the latter is added here.
    draw : callable, default=normal
        From a number n to noise of shape (n,).

    Returns
    -------
    noisy : ndarray of the shape of value
    """
    grid = 2.0 ** math.floor(math.log2(multiplier * sensitivity * GRID))
    scale = multiplier * (sensitivity + math.sqrt(value.size) * grid)
    noise = draw(value.size).reshape(value.shape)
    return grid * (np.rint(value / grid) + np.rint(scale / grid * noise))
