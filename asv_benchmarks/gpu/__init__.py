"""Losses and fits on a GPU, beside PyTorch, CuPy and this package's path on the CPU: one run.

``python -m asv_benchmarks.gpu`` prints tables, and with ``--out docs/gpu_table.rst`` writes the
page of the documentation that holds them. ``--quick`` is for seeing that everything runs: its sizes
are too small for its numbers to mean anything.

Data are made on the device, several times as large as its L2 cache. Kernels are timed by CUDA
events around several calls, after a warm-up; what is compared is called in turn, and a table holds
medians. The yardstick is a copy within the device's memory, measured in the same run; a kernel's
bytes are those that it has to read and to write, each once. What a peer computes is compared with
ours before it is timed.
"""

from .data import dense_data, normal, scrambled, uniform
from .kernels import LOSSES
from .peers import formulas, multinomial_of_cupy, torch_peers
from .training import made, torch_training

# What the tests look at, of a package that is made to be run.
__all__ = [
    "LOSSES",
    "dense_data",
    "formulas",
    "made",
    "multinomial_of_cupy",
    "normal",
    "scrambled",
    "torch_peers",
    "torch_training",
    "uniform",
]
