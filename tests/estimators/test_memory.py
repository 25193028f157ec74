"""A fit takes a few vectors of memory beside the data, whatever their layout."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FAMILIES = {
    "one_sample": {},
    "batches": {"batch_size": 64},
    "adam-average": {"batch_size": 64, "optimizer": "adam", "average": True},
    "saga": {"optimizer": "saga", "learning_rate": "optimal"},
    "svrg": {"optimizer": "svrg", "batch_size": 64, "learning_rate": "optimal"},
    "gd": {"optimizer": "gd"},
    "lbfgs": {"optimizer": "lbfgs"},
    "validation": {"early_stopping": True, "batch_size": 64},
}
ROWS, COLUMNS = 20_000, 120


def bytes_of(x):
    return x.data.nbytes + x.indices.nbytes if sparse.issparse(x) else x.nbytes


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Data in each layout that is taken without a copy."""
    rng = np.random.RandomState(0)
    dense = rng.randn(ROWS, COLUMNS)
    file = tmp_path_factory.mktemp("memory") / "X.dat"
    on_disk = np.memmap(file, np.float32, "w+", shape=dense.shape)
    on_disk[:] = dense
    on_disk.flush()
    csr = sparse.csr_matrix(dense)
    wide = csr.copy()
    wide.indices, wide.indptr = csr.indices.astype(np.int64), csr.indptr.astype(np.int64)
    layouts = {
        "float64": dense,
        "float32": dense.astype(np.float32),
        "memmap": np.memmap(file, np.float32, "r", shape=dense.shape),
        "csr-int32": csr,
        "csr-int64": wide,
        "csr-float32": csr.astype(np.float32),
    }
    return layouts, dense[:, 0] + rng.randn(ROWS)


@pytest.mark.parametrize("layout", [
    "float64", "float32", "memmap", "csr-int32", "csr-int64", "csr-float32",
])  # fmt: skip
@pytest.mark.parametrize("family", FAMILIES)
def test_a_fit_takes_a_few_vectors_of_memory_beside_x(large, family, layout):
    layouts, y = large
    x = layouts[layout]
    params = {"max_iter": 2, "tol": None, "random_state": 0, "eta0": 1e-4, **FAMILIES[family]}
    for model, targets, outputs in (
        (SGDRegressorX("huber", **params), y, 1),
        (SGDClassifierX("multinomial", **params), np.digitize(y, [-1, 1]), 3),
    ):
        model.fit(x[:50], targets[:50])  # imports
        tracemalloc.start()
        try:
            model.fit(x, targets)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        by_sample, by_weight = 8 * ROWS * outputs, 8 * COLUMNS * outputs
        # The last: scores, gradients and partial sums of a block of rows, whatever n is.
        held_out = model.validation_fraction * bytes_of(x) if model.early_stopping else 0
        assert peak < 10 * by_sample + 40 * by_weight + held_out + 1.5e6, peak
