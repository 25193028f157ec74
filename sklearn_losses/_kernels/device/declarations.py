"""What the kernels and the host both know by name: sizes, positions, and the members of a fit.

Each stands here once. `text` is the same in CUDA, and comes before every header that is compiled.
"""

from enum import IntEnum

import numpy as np

# A warp's threads, a block's, and warps of a block. Blocks are one-dimensional.
WARP, BLOCK = 32, 256
WARPS = BLOCK // WARP
# Outputs that a warp takes at a time, and columns that it takes of each.
OUTPUTS, STRIPS = 4, 4
COLUMNS = STRIPS * WARP
# Sums over the weights that an epoch ends with.
SURVEY_SUMS = 6

# What an array of the data has an element for, and the arrays beside y: the name that callers have
# for one, that of the member below, and what it goes by.
BY_SAMPLE, BY_OUTPUT, BY_EITHER = range(3)
DATA = {
    "sample_weight": ("weight", BY_SAMPLE),
    "weight_positive": ("weight_positive", BY_OUTPUT),
    "weight_negative": ("weight_negative", BY_OUTPUT),
    "offset": ("offset", BY_EITHER),  # by sample, or by sample and output
}

SIZES = {
    "WARP": WARP,
    "BLOCK": BLOCK,
    "WARPS": WARPS,
    "OUTPUTS": OUTPUTS,
    "STRIPS": STRIPS,
    "COLUMNS": COLUMNS,
    "SURVEY_SUMS": SURVEY_SUMS,
}


class Clock(IntEnum):
    """Positions in `clock`: what steps leave for each other, and for the host."""

    T = 0  # number of the next step, from 1
    L1 = 1  # sum of the L1 penalties so far
    A = 2  # the averages are (average + A * w) / B
    B = 3
    STEP = 4  # of the epoch, from 0
    BATCH = 5  # rows of a step
    SCALE = 6  # what clipping multiplies the gradient by
    A_BEFORE = 7  # A before the last step
    LOSS = 8  # sums of the epoch: of the loss, and of the square of the gradient's norm
    NORM = 9
    BAD = 10  # whether the epoch is given up
    FINITE = 11  # at the end of an epoch, of the weights
    SQUARE = 12
    ABSOLUTE = 13
    LARGEST = 14
    CHANGE = 15
    MEAN = 16  # square of the norm of the remembered gradients' mean


class Reduction(IntEnum):
    """Variance-reduced methods."""

    NOT_REDUCED = 0
    SAGA_MEMORY = 1
    SVRG_MEMORY = 2


# Kinds of targets as `Target` of samples.h has them, and `Order::LEAST`: from so many rows on a
# device makes the order of an epoch by itself. Every module of kernels of a fit asserts both.
TARGETS = {"shared": 0, "separate": 1, "codes": 2}
LEAST_ORDER = 1 << 16

# Members of a fit: C++ type and name, where T is the type of X and I that of its indices. Each has
# 8 bytes, and what a fit does not have is 0, or null.
FIT = [
    # Data.
    ("const T*", "x"),
    ("const I*", "indices"),
    ("const I*", "indptr"),
    ("const int*", "given"),  # numbers of the rows that count; null: all
    ("int*", "order"),  # those rows in the order of the epoch
    ("long long", "n_rows"),
    ("long long", "n_features"),
    ("long long", "n_outputs"),
    ("long long", "target"),  # of TARGETS
    ("const T*", "y"),
    ("double", "negative"),
    ("const T*", "weight"),
    ("double", "weight_factor"),
    ("const T*", "weight_positive"),
    ("const T*", "weight_negative"),
    ("const T*", "offset"),
    ("long long", "offset_separate"),
    # Loss and model.
    ("const double*", "params"),
    ("long long", "params_stride"),
    ("long long", "fit_intercept"),
    ("T*", "w"),
    ("T*", "s0"),
    ("T*", "s1"),
    ("T*", "s2"),
    ("double*", "intercept"),
    ("double*", "intercept_states"),  # (3, n_outputs)
    ("const T*", "unit"),  # of each weight: its coordinate is w / unit
    ("const double*", "intercept_unit"),
    ("const double*", "center"),  # of each feature: steps see X less these; null: CSR, no intercept
    # Of the intercepts, with the weights' changes, so that their values at the centre stay.
    ("double*", "shift"),
    ("const T*", "low"),  # of each feature; null: no bounds
    ("const T*", "high"),
    ("double*", "average"),
    ("double*", "intercept_average"),
    # Scratch of a batch.
    ("T*", "raw"),  # (n_outputs, rows): raw predictions, then coefficients of rows in the gradient
    ("T*", "targets"),  # (n_outputs, rows), or (rows,) for class codes; null: the loss reads y
    ("const T*", "value"),  # of a loss in Python
    ("const T*", "gradient"),
    ("double*", "partial"),  # (n_pieces, size of w)
    ("long long", "n_pieces"),
    ("double*", "total"),
    ("double*", "loss_sums"),  # by block of the losses
    ("double*", "intercept_sums"),  # the same, and by output
    ("double*", "largest"),  # coefficient, by block
    ("long long", "n_loss_blocks"),
    ("double*", "intercept_gradient"),
    ("double*", "norms"),
    ("double*", "clock"),
    ("unsigned*", "ticket"),
    # Steps.
    ("const double*", "rates"),
    ("const double*", "optimizer_params"),
    ("long long", "n_params"),
    ("double", "l1"),
    ("double", "l2"),
    ("double", "clip_norm"),
    ("long long", "average_from"),
    ("double", "average_power"),
    ("long long", "reduced"),  # of Reduction
    ("T*", "memory"),
    ("double*", "mean"),
    ("double*", "intercept_mean"),
    # Implicit steps; null where they are explicit.
    ("T*", "reach"),  # (n_outputs, rows): how far a derivative of 1 moves a raw prediction
    ("T*", "trial"),  # (2, n_outputs, rows)
    ("const T*", "trial_gradient"),  # of a loss in Python
    ("unsigned char*", "roots"),  # the same: of each score, an `ImplicitShare`
    ("double*", "share_sums"),  # (n_loss_blocks, n_outputs, 2)
    ("double*", "shares"),  # (n_outputs,): of the explicit step
    ("long long", "repeats"),  # most entries of a sparse row at the same place
    # Sparse columns.
    ("int*", "count"),  # two: of entries in this batch, and zeros for the next
    ("const double*", "share"),
    ("int*", "mark"),  # the last step that touched a feature
    ("long long*", "fixed"),
    ("double", "largest_entry"),
]


def _enum(name, values):
    return f"enum {name} {{ {', '.join(f'{key} = {value}' for key, value in values.items())} }};\n"


def text():
    """The declarations in CUDA."""
    members = "".join(f"    {kind} {name};\n" for kind, name in FIT)
    return (
        "namespace sl {\n"
        + _enum("Size", SIZES)
        + _enum("Clock", {f"CLOCK_{position.name}": position.value for position in Clock})
        + _enum("Reduction", {kind.name: kind.value for kind in Reduction})
        + f"template <class T, class I>\nstruct FitMembers {{\n{members}}};\n"
        + "}  // namespace sl\n"
    )


def assertions():
    """What has to hold of the headers of a fit, in CUDA."""
    claims = [f"sl::{name.upper()} == {value}" for name, value in TARGETS.items()]
    claims.append(f"sl::Order::LEAST == {LEAST_ORDER}")
    return "".join(f'static_assert({claim}, "declarations.py");\n' for claim in claims)


def words_of(members):
    """The 64 bit words of a fit.

    Parameters
    ----------
    members : dict
        Numbers and arrays of a device, by their names in `FIT`; what is missing or None is 0.

    Returns
    -------
    words : ndarray of shape (n_members,), int64
    """
    unknown = members.keys() - {name for _, name in FIT}
    if unknown:
        raise TypeError(f"not members of a fit: {sorted(unknown)}; allowed are those of FIT")
    words = np.zeros(len(FIT), np.int64)
    for i, (kind, name) in enumerate(FIT):
        value = members.get(name)
        if value is None:
            continue
        if kind == "double":
            words[i : i + 1].view(np.float64)[0] = value
        else:
            words[i] = value.data.ptr if kind.endswith("*") else value
    return words
