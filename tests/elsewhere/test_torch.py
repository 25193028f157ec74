"""Every loss as a PyTorch module: gradients that autograd checks, and the numbers of PyTorch's own
losses."""

import copy
import ctypes
import io
import warnings

import numpy as np
import pytest

import sklearn_losses as sl
from sklearn_losses.links import Interval, LogitLink
from sklearn_losses.losses import LOSSES, REDUCED

torch = pytest.importorskip("torch", reason="torch is not installed")
F = torch.nn.functional

SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double, ctypes.c_void_p)
COMPILED = [
    SIGNATURE(lambda y, raw, data: (raw - y) ** 4),
    SIGNATURE(lambda y, raw, data: 4 * (raw - y) ** 3),
    SIGNATURE(lambda y, raw, data: 12 * (raw - y) ** 2),
]
OWN = {
    "own": sl.FunctionLoss(
        lambda y, raw: (raw - y) ** 4,
        lambda y, raw: 4 * (raw - y) ** 3,
        lambda y, raw: 12 * (raw - y) ** 2,
    ),
    "own binary": sl.FunctionLoss(
        lambda y, raw: np.logaddexp(0, raw) - y * raw,
        lambda y, raw: 1 / (1 + np.exp(-raw)) - y,
        link=LogitLink(),
        interval_y_true=Interval(0, 1, True, True),
        task="binary",
    ),
    "own compiled": sl.CompiledLoss(*COMPILED),
    "own compiled, no hessian": sl.CompiledLoss(*COMPILED[:2]),
}
DIFFERENTIATED = {
    **{name: cls() for name, cls in LOSSES.items() if cls not in REDUCED},
    **OWN,
    "label smoothing": sl.HalfMultinomialLoss(label_smoothing=0.1),
    "priors": sl.LogitAdjusted(priors=[0.6, 0.3, 0.1]),
}
every_loss = pytest.mark.parametrize("loss", DIFFERENTIATED.values(), ids=DIFFERENTIATED)


def sample(loss, n=30, dtype=torch.float64, soft=False):
    """Raw predictions off the kinks, targets, weights."""
    rng = np.random.RandomState(0)
    if loss.is_multiclass:
        raw = rng.normal(size=(n, 3))
        y = rng.dirichlet([1, 1, 1], size=n) if soft else rng.randint(3, size=n)
    else:
        raw = rng.normal(size=n)
        y = rng.uniform(size=n) + (loss.task == "regression")
    weight = rng.uniform(0.5, 2, n)
    raw, weight = (torch.tensor(a, dtype=dtype) for a in (raw, weight))
    y = torch.tensor(y) if loss.is_multiclass and not soft else torch.tensor(y, dtype=dtype)
    return raw.requires_grad_(), y, weight


def targets(loss):
    return (False, True) if getattr(loss, "takes_probabilities", False) else (False,)


@every_loss
def test_autograd_finds_the_gradient_right(loss):
    for soft in targets(loss):
        raw, y, weight = sample(loss, soft=soft)
        for reduction in ("mean", "sum", "none"):
            module = sl.as_torch(loss, reduction)
            for w in (None, weight):
                assert torch.autograd.gradcheck(lambda r, m=module, y=y, w=w: m(r, y, w), (raw,))


@every_loss
def test_a_second_backward_pass_is_right_or_says_that_there_is_none(loss):
    module = sl.as_torch(loss)
    for soft in targets(loss):
        raw, y, weight = sample(loss, soft=soft)
        supported = getattr(loss, "takes_probabilities", False) or (
            loss.differentiable
            and not loss.is_multiclass
            and loss is not OWN["own compiled, no hessian"]
        )
        if supported:
            tolerance = {"atol": 1e-5, "rtol": 1e-3}
            for w in (None, weight):
                assert torch.autograd.gradgradcheck(
                    lambda r, y=y, w=w: module(r, y, w), (raw,), **tolerance
                )
            continue
        [gradient] = torch.autograd.grad(module(raw, y), raw, create_graph=True)
        with pytest.raises(NotImplementedError, match=r"has no second derivatives"):
            gradient.sum().backward()


def test_third_derivatives_are_refused():
    raw, y, _ = sample(DIFFERENTIATED["log_loss"])
    [first] = torch.autograd.grad(sl.as_torch("log_loss")(raw, y), raw, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"HalfBinomialLoss: no third derivatives"):
        torch.autograd.grad(first.sum(), raw, create_graph=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@every_loss
def test_values_and_gradients_are_those_of_the_loss(loss, dtype):
    for soft in targets(loss):
        raw, y, weight = sample(loss, dtype=dtype, soft=soft)
        arrays = y.numpy().astype(raw.detach().numpy().dtype), raw.detach().numpy()
        for w in (None, weight):
            total = len(raw) if w is None else w.sum()
            value, gradient = loss.loss_gradient(*arrays, None if w is None else w.numpy())
            want = {"none": value, "sum": value.sum(), "mean": value.sum() / float(total)}
            for reduction, number in want.items():
                raw.grad = None
                result = sl.as_torch(loss, reduction)(raw, y, w)
                assert result.dtype == dtype
                np.testing.assert_allclose(result.detach().numpy(), number, rtol=1e-5, atol=1e-6)
                result.sum().backward()
                scale = float(total) if reduction == "mean" else 1.0
                np.testing.assert_allclose(raw.grad.numpy(), gradient / scale, rtol=1e-5, atol=1e-7)
            plain = sl.as_torch(loss, "none")(raw.detach(), y, w)
            assert not plain.requires_grad
            np.testing.assert_allclose(plain.numpy(), value, rtol=1e-5, atol=1e-6)


def signs(y):
    return 2 * y - 1


# Ours, theirs as a function of raw prediction, target and reduction, and the kind of target.
PEERS = {
    "MSELoss": (sl.SquaredError(), F.mse_loss, "real"),
    "L1Loss": (sl.AbsoluteError(), F.l1_loss, "real"),
    "HuberLoss": (
        sl.HuberLoss(delta=0.7),
        lambda r, y, reduction: F.huber_loss(r, y, reduction=reduction, delta=0.7),
        "real",
    ),
    "SmoothL1Loss": (
        sl.SmoothL1(beta=0.7),
        lambda r, y, reduction: F.smooth_l1_loss(r, y, reduction=reduction, beta=0.7),
        "real",
    ),
    "PoissonNLLLoss": (
        sl.HalfPoissonLoss(),
        lambda r, y, reduction: F.poisson_nll_loss(r, y, log_input=True, reduction=reduction),
        "positive",
    ),
    "BCEWithLogitsLoss": (
        sl.HalfBinomialLoss(),
        F.binary_cross_entropy_with_logits,
        "probability",
    ),
    "SoftMarginLoss": (
        sl.HalfBinomialLoss(),
        lambda r, y, reduction: F.soft_margin_loss(r, signs(y), reduction=reduction),
        "binary",
    ),
    "CrossEntropyLoss": (sl.HalfMultinomialLoss(), F.cross_entropy, "class"),
    "CrossEntropyLoss, soft": (sl.HalfMultinomialLoss(), F.cross_entropy, "row"),
    "CrossEntropyLoss, smoothed": (
        sl.HalfMultinomialLoss(label_smoothing=0.2),
        lambda r, y, reduction: F.cross_entropy(r, y, reduction=reduction, label_smoothing=0.2),
        "class",
    ),
    "CrossEntropyLoss, soft and smoothed": (
        sl.HalfMultinomialLoss(label_smoothing=0.2),
        lambda r, y, reduction: F.cross_entropy(r, y, reduction=reduction, label_smoothing=0.2),
        "row",
    ),
    "KLDivLoss": (
        sl.MulticlassKLDivergence(),
        lambda r, y, reduction: REDUCE[reduction](
            F.kl_div(r.log_softmax(1), y, reduction="none").sum(1)
        ),
        "row",
    ),
}
REDUCE = {"none": lambda v: v, "sum": torch.sum, "mean": torch.mean}
TARGETS = {
    "real": lambda rng, n: rng.normal(size=n),
    "positive": lambda rng, n: rng.poisson(2, size=n).astype(float),
    "probability": lambda rng, n: rng.uniform(size=n),
    "binary": lambda rng, n: rng.randint(2, size=n).astype(float),
    "class": lambda rng, n: rng.randint(4, size=n),
    "row": lambda rng, n: rng.dirichlet([1] * 4, size=n),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", PEERS)
def test_values_and_gradients_are_those_of_torchs_own_loss(name, reduction):
    loss, theirs, kind = PEERS[name]
    rng = np.random.RandomState(0)
    y = torch.tensor(TARGETS[kind](rng, 500))
    raw = torch.tensor(rng.normal(scale=3, size=(500, 4) if kind in ("class", "row") else 500))
    raw.requires_grad_()
    results, gradients = [], []
    for function in (sl.as_torch(loss, reduction), lambda r, t: theirs(r, t, reduction=reduction)):
        raw.grad = None
        result = function(raw, y)
        (result * torch.linspace(1, 2, result.numel()).reshape(result.shape)).sum().backward()
        results.append(result.detach())
        gradients.append(raw.grad)
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-12)


def test_weights_are_those_of_torchs_own_losses():
    rng = np.random.RandomState(0)
    y = torch.tensor(rng.randint(4, size=50))
    raw, class_weight = torch.tensor(rng.normal(size=(50, 4))), torch.tensor(rng.uniform(size=4))
    ours = sl.as_torch("multinomial")(raw, y, class_weight[y])
    torch.testing.assert_close(ours, F.cross_entropy(raw, y, weight=class_weight))
    raw, y, weight = raw[:, 0], (y > 1).double(), class_weight[y]
    ours = sl.as_torch("log_loss", "sum")(raw, y, weight)
    theirs = F.binary_cross_entropy_with_logits(raw, y, weight=weight, reduction="sum")
    torch.testing.assert_close(ours, theirs)


def test_a_network_trains_as_with_torchs_own_loss():
    rng = np.random.RandomState(0)
    X = torch.tensor(rng.normal(size=(200, 5)), dtype=torch.float32)
    y = (X[:, :1] * X[:, 1:2] > 0).float()

    def train(criterion):
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Linear(5, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
        for _ in range(100):
            optimizer.zero_grad()
            loss = criterion(network(X), y)
            loss.backward()
            optimizer.step()
        return loss.item()

    ours, theirs = train(sl.as_torch("log_loss")), train(torch.nn.BCEWithLogitsLoss())
    assert ours == pytest.approx(theirs, rel=0.02)
    assert ours < 0.2


def test_the_kernels_work_on_the_tensors_own_memory():
    seen = []

    def value(y, raw):
        seen.append((y, raw))
        return raw - y

    raw, y = torch.randn(100, dtype=torch.float64), torch.randn(100, dtype=torch.float64)
    for name, tensor in (("raw", raw), ("raw, transposed", raw.reshape(10, 10).T[3])):
        target = y[: len(tensor)]
        sl.as_torch(sl.FunctionLoss(value, value))(tensor, target)
        assert np.shares_memory(seen[-1][1], raw.numpy()), name
        assert np.shares_memory(seen[-1][0], y.numpy())


def test_any_layout_gives_the_result_of_a_copy():
    rng = torch.Generator().manual_seed(0)
    block = torch.randn(6, 5, 4, generator=rng)
    target = torch.randn(6, 5, 4, generator=rng)
    module = sl.as_torch(sl.HuberLoss(delta=1.0), "none")
    for view in (
        lambda t: t,
        lambda t: t[::2, 1],
        lambda t: t.permute(2, 0, 1),
        lambda t: t[:, :1].expand(6, 5, 4),
        lambda t: t[0, 0, 0],
        lambda t: t[:0],
    ):
        raw = view(block).detach().requires_grad_()
        value = module(raw, view(target))
        assert value.shape == raw.shape
        torch.testing.assert_close(value, F.huber_loss(raw, view(target), reduction="none"))
    rows, codes = block[:, :, 0].T.requires_grad_(), torch.randint(6, (5,), generator=rng)
    ours = sl.as_torch("multinomial")(rows, codes)
    torch.testing.assert_close(ours, F.cross_entropy(rows, codes))
    torch.testing.assert_close(
        torch.autograd.grad(ours, rows), torch.autograd.grad(F.cross_entropy(rows, codes), rows)
    )


def test_targets_of_any_number_type_are_taken():
    raw = torch.randn(20)
    codes = torch.arange(20) % 2
    want = sl.as_torch("log_loss")(raw, codes.float())
    for dtype in (torch.int64, torch.int32, torch.uint8, torch.bool, torch.float16, torch.float64):
        assert sl.as_torch("log_loss")(raw, codes.to(dtype)) == want


def test_nan_in_a_raw_prediction_gives_nan():
    raw = torch.tensor([0.5, float("nan")], requires_grad=True)
    value = sl.as_torch("huber", "none")(raw, torch.zeros(2))
    value.sum().backward()
    assert torch.equal(value.isnan(), torch.tensor([False, True]))
    assert torch.equal(raw.grad.isnan(), torch.tensor([False, True]))


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan")])
@every_loss
def test_a_sample_of_weight_zero_counts_for_nothing_whatever_its_loss(loss, bad):
    raw, y, weight = sample(loss)
    weight[::3] = 0
    kept = weight > 0
    broken = raw.detach().clone()
    broken[~kept] = bad
    broken.requires_grad_()
    clean = raw.detach()[kept].requires_grad_()
    for reduction in ("mean", "sum", "none"):
        module = sl.as_torch(loss, reduction)
        value, want = module(broken, y, weight), module(clean, y[kept], weight[kept])
        if reduction == "none":
            assert not value[~kept].any()
            value, want = value.sum(), want.sum()
        torch.testing.assert_close(value, want)
        [gradient] = torch.autograd.grad(value, broken)
        torch.testing.assert_close(gradient[kept], torch.autograd.grad(want, clean)[0])
        assert not gradient[~kept].any()


def test_a_sample_of_weight_zero_counts_for_nothing_in_a_second_backward_pass():
    for name in ("log_loss", "poisson", "multinomial"):
        raw, y, weight = sample(DIFFERENTIATED[name])
        weight[::3] = 0
        broken = raw.detach().clone()
        broken[::3] = float("inf")
        broken.requires_grad_()
        [first] = torch.autograd.grad(
            sl.as_torch(name)(broken, y, weight), broken, create_graph=True
        )
        [second] = torch.autograd.grad((first * first.detach()).sum(), broken)
        assert second.isfinite().all() and not second[::3].any() and second.any()


def test_weights_that_are_all_zero_give_zero_as_in_torch():
    for reduction in ("mean", "sum", "none"):
        raw, y = torch.randn(5, requires_grad=True), torch.zeros(5)
        ours = sl.as_torch("log_loss", reduction)(raw, y, torch.zeros(5))
        theirs = F.binary_cross_entropy_with_logits(
            raw, y, weight=torch.zeros(5), reduction=reduction
        )
        assert torch.equal(ours, theirs)
        assert not torch.autograd.grad(ours.sum(), raw)[0].any()
        rows = torch.randn(5, 3, requires_grad=True)
        value = sl.as_torch("multinomial", reduction)(rows, torch.arange(5) % 3, torch.zeros(5))
        assert not value.any() and not torch.autograd.grad(value.sum(), rows)[0].any()


def test_a_module_is_copied_saved_and_shown():
    module = sl.as_torch(sl.HuberLoss(delta=2.0), "sum")
    assert repr(module) == "TorchLoss(HuberLoss(delta=2.0), reduction='sum')"
    assert not list(module.parameters()) and not module.state_dict()
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    raw, y = torch.tensor([1.0, 5.0]), torch.zeros(2)
    for other in (copy.deepcopy(module), torch.load(file, weights_only=False)):
        assert other(raw, y) == module(raw, y) == 8.5


def test_bad_input_is_named():
    module = sl.as_torch("log_loss")
    raw, y = torch.zeros(3), torch.ones(3)
    cases = [
        (TypeError, r"raw_prediction must be a tensor; got list", ([0.0], y)),
        (TypeError, r"float32 or float64; got torch.float16. Convert it", (raw.half(), y)),
        (ValueError, r"must be on the CPU.*got device meta. Move it", (raw.to("meta"), y)),
        (TypeError, r"y_true must be dense; got layout torch.sparse", (raw, y.to_sparse())),
        (ValueError, r"y_true must have the shape of raw_prediction, \(3, 1\)", (raw[:, None], y)),
        (ValueError, r"y_true must not require a gradient", (raw, y.clone().requires_grad_())),
        (ValueError, r"y_true must lie in \[0, 1\]; got 2.0 at index 0", (raw, 2 * y)),
        (ValueError, r"sample_weight must have shape \(3,\); got \(2,\)", (raw, y, y[:2])),
        (ValueError, r"sample_weight must not be negative; got -1.0 at index 0", (raw, y, -y)),
    ]
    for error, message, arguments in cases:
        with pytest.raises(error, match=message):
            module(*arguments)
    rows = sl.as_torch("multinomial")
    with pytest.raises(ValueError, match=r"class codes 0, ..., 2; got 3.0 at index 0"):
        rows(torch.zeros(2, 3), torch.tensor([3, 0]))
    with pytest.raises(ValueError, match=r"raw_prediction must have shape \(n_samples, n_clas"):
        rows(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match=r"reduction must be one of \['none', 'sum', 'mean'\]"):
        sl.as_torch("mse", "batchmean")
    with pytest.raises(ValueError, match=r"squared_error' has the same minimiser"):
        sl.as_torch("root_mean_squared_error")
    with pytest.raises(ValueError, match=r"delta must be a number in \(0, inf\)"):
        sl.as_torch(sl.HuberLoss(delta=-1))
    with pytest.raises(ValueError, match=r"as_torch takes a loss of one output; got PinballLoss"):
        sl.as_torch(sl.PinballLoss(quantile=[0.1, 0.9]))
    grid = torch.tensor([[1.0, 1.0], [1.0, -2.0]])
    with pytest.raises(ValueError, match=r"must not be negative; got -2.0 at index \(1, 1\)"):
        module(torch.zeros(2, 2), torch.ones(2, 2), grid)


def test_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw, y, weight = sample(DIFFERENTIATED["multinomial"])
        sl.as_torch("multinomial")(raw, y, weight).backward()
        frozen = torch.from_numpy(np.ones(3))
        sl.as_torch("mse")(frozen.requires_grad_(), torch.zeros(3)).backward()
