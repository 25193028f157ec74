"""Cases of a product of parameters that cover each pair of values."""

import random
from itertools import combinations


def covering(cases, seed=0):
    """Positions of a few of `cases`, mappings of names to values, in which all pairs of values
    occur that occur together in any. The same each time."""
    wanted = [set(combinations(sorted(case.items()), 2)) or set(case.items()) for case in cases]
    order = list(range(len(cases)))
    random.Random(seed).shuffle(order)
    kept, seen = [], set()
    # The cases with most that is new come first, down to those with one new pair.
    most = max(map(len, wanted), default=0)
    for least in range(most, 0, -1):
        for k in order:
            if len(wanted[k] - seen) >= least:
                kept.append(k)
                seen |= wanted[k]
    return sorted(kept)
