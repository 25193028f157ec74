"""The stand-in for CuPy has arrays as CuPy's are, and refuses what CuPy refuses.

Every test that takes `device` runs with ``--gpu`` too, on the real CuPy: what the stand-in promises
is then checked against what it stands in for.
"""

import copy
import importlib
import inspect
import pickle

import numpy as np
import pytest
import scipy.sparse

HOST = np.ones(3)


def same(array, expected):
    np.testing.assert_array_equal(array.get(), expected)


# ----------------------------------------------------------------------- as strict as CuPy's arrays


@pytest.mark.parametrize(
    "act",
    [
        lambda xp, x: np.asarray(x),
        lambda xp, x: np.array(x, dtype=float),
        lambda xp, x: np.stack([np.ones(3), np.ones(3)]).__setitem__(0, x),
    ],
)
def test_nothing_becomes_numpy_unasked(xp, act):
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed"):
        act(xp, xp.ones(3))


@pytest.mark.parametrize(
    "act",
    [
        lambda xp, x: x + HOST,
        lambda xp, x: HOST + x,
        lambda xp, x: x + np.array(2.0),
        lambda xp, x: x < HOST,
        lambda xp, x: x.__iadd__(HOST),
        lambda xp, x: x**HOST,
        lambda xp, x: xp.exp(HOST),
        lambda xp, x: xp.exp([1.0]),
        lambda xp, x: xp.maximum(x, HOST),
        lambda xp, x: xp.where(x > 0, x, HOST),
        lambda xp, x: np.exp(x, out=np.empty(3)),
        lambda xp, x: xp.array_equal(x, HOST),
        lambda xp, x: xp.concatenate([x, HOST]),
        lambda xp, x: x @ HOST,
        lambda xp, x: HOST @ x,
        lambda xp, x: xp.dot(x, HOST),
        lambda xp, x: xp.cumsum(HOST),
        lambda xp, x: xp.broadcast_to(HOST, (2, 3)),
        lambda xp, x: xp.repeat(x, HOST.astype(int)),
        lambda xp, x: np.concatenate([x, HOST]),
        lambda xp, x: x == "x",
        lambda xp, x: x.set([1.0]),
        lambda xp, x: x.set(HOST.astype(np.float32)),
        lambda xp, x: x.get(out=[1]),
        lambda xp, x: len(x[0]),
        lambda xp, x: list(x[0]),
        lambda xp, x: hash(x),
        lambda xp, x: x.item(0),
        lambda xp, x: range(x[0].astype(int)),
    ],
)
def test_type_errors(xp, act):
    with pytest.raises(TypeError):
        act(xp, xp.ones(3))


@pytest.mark.parametrize(
    "act",
    [
        lambda xp, x: x.__setitem__(slice(None), HOST),
        lambda xp, x: x.__setitem__(slice(None), [1.0, 1.0, 1.0]),
        lambda xp, x: x.fill(HOST),
        lambda xp, x: xp.copyto(x, HOST),
        lambda xp, x: xp.empty(3, object),
        lambda xp, x: xp.asarray(np.array(["a"])),
        lambda xp, x: xp.asarray(np.array([None, 1])),
        lambda xp, x: x.astype(np.longdouble),
        lambda xp, x: bool(x),
        lambda xp, x: x.item(),
    ],
)
def test_value_errors(xp, act):
    with pytest.raises(ValueError):
        act(xp, xp.ones(3))


@pytest.mark.parametrize(
    "act",
    [
        lambda xp, x: xp.sum(x, initial=1.0),
        lambda xp, x: x.sum(where=x > 0),
        lambda xp, x: x.max(initial=0.0),
        lambda xp, x: xp.mean(x, where=x > 0),
        lambda xp, x: xp.clip(x, min=0),
        lambda xp, x: xp.take_along_axis(x),
        lambda xp, x: xp.argsort(x, stable=True),
        lambda xp, x: xp.count_nonzero(x, keepdims=True),
        lambda xp, x: xp.quantile(x, 0.5, weights=x),
        lambda xp, x: xp.unique(x, sorted=False),
        lambda xp, x: xp.zeros(3, like=x),
        lambda xp, x: xp.arange(3, device="cpu"),
        lambda xp, x: xp.broadcast_to(x, (2, 3), subok=True),
        lambda xp, x: xp.astype(x, float, device=1),
        lambda xp, x: xp.std(x, correction=1),
    ],
)
def test_keywords_that_cupy_lacks(xp, act):
    with pytest.raises((TypeError, AttributeError)):
        act(xp, xp.ones(3))


@pytest.mark.parametrize("name", ["nothing", "vectorize_all", "array_api", "errstate", "object_"])
def test_names_that_cupy_lacks(xp, name):
    assert not hasattr(xp, name)


@pytest.mark.parametrize(
    "name", ["__array_namespace__", "__array_interface__", "to_device", "__index__"]
)
def test_attributes_that_arrays_lack(xp, name):
    assert not hasattr(xp.ones(3), name)
    with pytest.raises(AttributeError):
        xp.ones(3).anything = 1


def test_numpys_functions_dispatch_to_cupy(xp):
    x = xp.asarray(np.array([3.0, 1.0, 2.0]))
    for got, expected in [
        (np.exp(x), np.exp([3.0, 1, 2])),
        (np.sum(x), 6),
        (np.sort(x), [1, 2, 3]),
        (np.where(x > 1, x, 0.0), [3, 0, 2]),
        (np.concatenate([x, x]), [3, 1, 2] * 2),
        (np.zeros_like(x), [0, 0, 0]),
        (np.float64(2) * x, [6, 2, 4]),
        (np.add(x, 1, out=xp.empty(3)), [4, 2, 3]),
    ]:
        assert isinstance(got, xp.ndarray)
        np.testing.assert_allclose(got.get(), expected, rtol=1e-15)
    assert np.shape(x) == (3,) and np.ndim(x) == 1
    assert np.result_type(x, np.float32) == np.float64


def test_arithmetic_and_reductions_give_arrays(xp):
    x = xp.arange(6.0).reshape(2, 3)
    host = np.arange(6.0).reshape(2, 3)
    for act in (
        lambda x: 1 - x,
        lambda x: x / 2,
        lambda x: 2**x,
        lambda x: -x % 4,
        lambda x: abs(-x),
        lambda x: x // 2,
        lambda x: (x > 2) & ~(x > 4),
        lambda x: x @ x.T,
        lambda x: x.sum(axis=1),
        lambda x: x.mean(),
        lambda x: x.max(axis=0, keepdims=True),
        lambda x: x.argmax(axis=1),
        lambda x: x.std(),
        lambda x: x.cumsum(),
        lambda x: x[1, 2],
        lambda x: x[:, ::-1],
        lambda x: x[..., None],
        lambda x: x[x > 2],
        lambda x: x[np.array([1, 0])],
        lambda x: x[[1, 0], 2],
        lambda x: x.ravel().take(np.array([4, 1])),
        lambda x: x.clip(1, 3),
        lambda x: x.astype(np.float32) * 0.1,
        lambda x: x.astype(np.float32) * np.float64(0.1),
        lambda x: (x == np.array(2.0)).any(),
        lambda x: x.transpose(1, 0).copy().ravel(),
    ):
        got, expected = act(x), act(host)
        assert isinstance(got, xp.ndarray) and got.shape == np.shape(expected)
        assert got.dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(got.get(), expected, rtol=1e-6)
    x += 1
    x[0] = 5
    x[:, 1] = xp.asarray(np.array([7.0, 8.0]))
    x[x > 7.5] = 0
    x[np.array([1])] = np.array([1.0, 2, 3])
    same(x, [[5, 7, 5], [1, 2, 3]])


def test_views_share_and_copies_do_not(xp):
    x = xp.zeros((2, 3))
    for view in (x[0], x.T, x.ravel(), x.reshape(3, 2), xp.asarray(x), x.view(np.int64)):
        assert xp.may_share_memory(x, view)
    for apart in (x.copy(), x + 0, x.T.copy(), xp.array(x), copy.deepcopy(x), x.astype(float)):
        assert not xp.may_share_memory(x, apart)
    x[0][1] = 2
    same(x, [[0, 2, 0], [0, 0, 0]])
    assert x[1].base is not None and x[1].data.ptr == x.data.ptr + 24
    assert x.T.flags.f_contiguous and not x.T.flags.c_contiguous


def test_arrays_are_exchanged(xp):
    x = xp.arange(3.0)
    interface = x.__cuda_array_interface__
    assert (
        interface["version"] == 3 and interface["shape"] == (3,) and interface["typestr"] == "<f8"
    )
    assert interface["data"] == (x.data.ptr, False)
    assert x.__dlpack_device__() == (2, 0)
    same(xp.from_dlpack(x), [0, 1, 2])
    same(pickle.loads(pickle.dumps(x)), [0, 1, 2])
    assert isinstance(xp.asnumpy(x), np.ndarray) and isinstance(xp.asnumpy([1, 2]), np.ndarray)
    assert xp.get_array_module(HOST, x) is xp and xp.get_array_module(HOST) is np
    host = np.empty(3)
    assert x.get(out=host) is host and host[2] == 2
    x.set(HOST)
    same(x, HOST)


@pytest.mark.parametrize(
    "act, syncs",
    [
        (lambda xp, x: x.get(), 1),
        (lambda xp, x: x[0].item(), 1),
        (lambda xp, x: float(x[0]) + int(x[1]), 2),
        (lambda xp, x: bool(x[0]), 1),
        (lambda xp, x: x.tolist(), 1),
        (lambda xp, x: xp.asnumpy(x), 1),
        (lambda xp, x: repr(x), 1),
        (lambda xp, x: x[x > 0], 1),
        (lambda xp, x: xp.flatnonzero(x), 1),
        (lambda xp, x: xp.unique(x), 1),
        (lambda xp, x: xp.where(x > 0), 1),
        (lambda xp, x: 1.0 in x, 2),
        (lambda xp, x: xp.average(x, weights=x), 1),
        (lambda xp, x: xp.cuda.Device().synchronize(), 1),
        (lambda xp, x: xp.cuda.Stream.null.synchronize(), 1),
        (lambda xp, x: xp.cuda.Event().synchronize(), 1),
        (lambda xp, x: xp.exp(x).sum() + x[1], 0),
        (lambda xp, x: x[xp.asarray([0, 1])], 0),
        (lambda xp, x: xp.average(x), 0),
        (lambda xp, x: xp.quantile(x, 0.5), 0),
    ],
)
def test_waits_of_the_host_are_counted(stand_in, act, syncs):
    x = stand_in.xp.arange(3.0)
    assert stand_in.counts["sync"] == 0
    act(stand_in.xp, x)
    assert stand_in.counts["sync"] == syncs


@pytest.mark.parametrize(
    "act, uploads",
    [
        (lambda xp, x: xp.asarray(HOST), 1),
        (lambda xp, x: xp.array([1, 2]), 1),
        (lambda xp, x: x.set(HOST), 1),
        (lambda xp, x: x[np.array([0])], 1),
        (lambda xp, x: x[[0]], 1),
        (lambda xp, x: xp.asarray(x) + xp.zeros(3) + 1.0, 0),
    ],
)
def test_uploads_are_counted(stand_in, act, uploads):
    x = stand_in.xp.arange(3.0)
    act(stand_in.xp, x)
    assert stand_in.counts["upload"] == uploads


def test_empty_arrays_hold_garbage(stand_in):
    assert np.isnan(stand_in.xp.empty(3).get()).all()
    assert (stand_in.xp.empty_like(HOST, dtype=int).get() != 0).all()


# ------------------------------------------------------------------------------------------- sparse


@pytest.fixture
def host_matrix():
    return scipy.sparse.random(20, 7, 0.3, format="csr", random_state=0)


def test_sparse_matrices(device, xp, host_matrix):
    x = device.sparse.csr_matrix(host_matrix)
    assert device.sparse.issparse(x) and not scipy.sparse.issparse(x)
    assert device.sparse.isspmatrix_csr(x) and x.format == "csr" and x.shape == (20, 7)
    assert isinstance(x.data, xp.ndarray) and x.nnz == host_matrix.nnz and x.dtype == np.float64
    same(x.toarray(), host_matrix.toarray())
    assert scipy.sparse.issparse(x.get()) and (x.get() != host_matrix).nnz == 0
    v = np.arange(7.0)
    np.testing.assert_allclose((x @ xp.asarray(v)).get(), host_matrix @ v)
    np.testing.assert_allclose(x.dot(xp.asarray(v)[:, None]).get(), (host_matrix @ v)[:, None])
    np.testing.assert_allclose((x.T @ xp.arange(20.0)).get(), host_matrix.T @ np.arange(20.0))
    np.testing.assert_allclose((xp.arange(20.0) @ x).get(), host_matrix.T @ np.arange(20.0))
    np.testing.assert_allclose(x.sum(axis=0).get(), np.asarray(host_matrix.sum(axis=0)))
    np.testing.assert_allclose(float(x.sum()), host_matrix.sum())
    np.testing.assert_allclose((2 * x).toarray().get(), 2 * host_matrix.toarray())
    np.testing.assert_allclose(x.multiply(x).toarray().get(), host_matrix.toarray() ** 2)
    rows = np.array([3, 3, 0])
    for index in (slice(2, 9), rows, np.arange(20) > 4):
        on_device = index if isinstance(index, slice) else xp.asarray(index)
        same(x[on_device].toarray(), host_matrix[index].toarray())
    assert x.astype(np.float32).dtype == np.float32 and x.astype(np.float64, copy=False) is x
    assert x.T.format == "csc" and x.T.tocsr().format == "csr"
    coo = x.tocoo()
    assert coo.format == "coo" and coo.row.dtype == np.int32 and device.sparse.issparse(coo)
    for made in (coo.tocsr(), coo.tocsc(), device.sparse.coo_matrix(host_matrix)):
        same(made.toarray(), host_matrix.toarray())
    again = device.sparse.csr_matrix((x.data, x.indices, x.indptr), shape=x.shape)
    assert again.data.data.ptr == x.data.data.ptr and again.indices.dtype == np.int32


def test_duplicates_are_summed_in_place(device, xp):
    parts = xp.ones(3), xp.asarray([1, 1, 0]), xp.asarray([0, 2, 3])
    x = device.sparse.csr_matrix(parts, shape=(2, 2))
    assert not x.has_canonical_format
    x.sum_duplicates()
    assert x.has_canonical_format and x.nnz == 2
    same(x.toarray(), [[0, 2], [1, 0]])


@pytest.mark.parametrize(
    "act, error",
    [
        (lambda s, x: s.csr_matrix((HOST, HOST.astype(int), HOST.astype(int))), ValueError),
        (lambda s, x: s.csr_matrix(HOST), ValueError),
        (lambda s, x: s.csr_matrix(scipy.sparse.eye(3, dtype=int)), ValueError),
        (lambda s, x: x @ np.ones(7), (TypeError, ValueError)),
        (lambda s, x: np.ones(20) @ x, (TypeError, ValueError)),
        (lambda s, x: x.multiply(np.ones(7)), TypeError),
        (lambda s, x: x @ 2, ValueError),
        (lambda s, x: len(x), TypeError),
        (lambda s, x: x.reorder(), AttributeError),
    ],
)
def test_sparse_matrices_are_strict(device, host_matrix, act, error):
    with pytest.raises(error):
        act(device.sparse, device.sparse.csr_matrix(host_matrix))


def test_special_functions(device, xp):
    x = xp.asarray(np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(device.special.xlogy(x, x).get(), [0, 0, 2 * np.log(2)])
    np.testing.assert_allclose(device.special.expit(x - 1).get()[1], 0.5)
    np.testing.assert_allclose(float(device.special.logsumexp(x)), np.log(1 + np.e + np.e**2))
    with pytest.raises(TypeError):
        device.special.expit(HOST)


# ----------------------------------------------------------------------------- against the real one


def public(module):
    return {n: v for n, v in vars(module).items() if not n.startswith("_") or n == "__version__"}


MODULES = ["cupy", "cupy.cuda", "cupy.cuda.runtime", "cupy.cuda.memory", "cupy.cuda.compiler"]
MODULES += ["cupy.cuda.driver", "cupyx.scipy.sparse", "cupyx.scipy.special"]


@pytest.mark.parametrize("name", MODULES)
def test_stand_in_has_nothing_that_cupy_lacks(name):
    pytest.importorskip("cupy", reason="CuPy is not installed")
    real = importlib.import_module(
        name.replace("cupy.cuda.driver", "cupy_backends.cuda.api.driver")
    )
    import cupy_on_cpu
    import cupyx_on_cpu

    ours = {"cupy": cupy_on_cpu.module, "cupyx": cupyx_on_cpu.cupyx}[name.split(".")[0]]
    for part in name.split(".")[1:]:
        ours = getattr(ours, part)
    for member, value in public(ours).items():
        assert hasattr(real, member), f"{name} has no {member}"
        theirs = getattr(real, member)
        if inspect.isclass(value) and not issubclass(value, (Exception, np.generic)):
            for attribute in public(value):
                if attribute not in SLOTS:
                    assert hasattr(theirs, attribute), f"{member} has no {attribute}"
        elif callable(value):
            check_parameters(f"{name}.{member}", value, theirs)


# Attributes of instances, which the real classes set when one is made.
SLOTS = {"format", "ndim", "name", "code"}


def check_parameters(name, ours, theirs):
    """Ours takes nothing that theirs does not, as far as the real one tells what it takes."""
    try:
        ours, theirs = inspect.signature(ours), inspect.signature(theirs)
    except (ValueError, TypeError):
        return
    kinds = [p.kind for p in theirs.parameters.values()]
    if inspect.Parameter.VAR_KEYWORD in kinds or inspect.Parameter.VAR_POSITIONAL in kinds:
        return
    extra = set(ours.parameters) - set(theirs.parameters)
    assert not extra, f"{name} takes no {sorted(extra)}"
    for parameter in set(theirs.parameters) & set(ours.parameters):
        needed = theirs.parameters[parameter].default is inspect.Parameter.empty
        free = ours.parameters[parameter].default is not inspect.Parameter.empty
        assert not (needed and free), f"{name} needs {parameter}"
