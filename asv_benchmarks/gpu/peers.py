"""The same losses by PyTorch and by CuPy."""

import numpy as np


def torch_on_gpu():
    """PyTorch, or the words that say why it is left out."""
    try:
        import torch
    except ImportError:
        return None, "PyTorch is left out: it is not installed"
    if not torch.cuda.is_available():
        return None, f"PyTorch {torch.__version__} is left out: it finds no CUDA device"
    return torch, f"PyTorch {torch.__version__}"


def formulas(m):
    """Value and gradient as a user writes them, with the functions of a module: CuPy or PyTorch."""

    def squared_error(y, raw):
        r = raw - y
        return 0.5 * r * r, r

    def huber(y, raw):
        r = raw - y
        size = m.abs(r)
        return m.where(size <= 1, 0.5 * r * r, size - 0.5), m.where(size <= 1, r, m.sign(r))

    def log_loss(y, raw):
        e = m.exp(-m.abs(raw))
        value = m.where(raw > 0, raw - y * raw, -y * raw) + m.log1p(e)
        return value, m.where(raw > 0, 1 / (1 + e), e / (1 + e)) - y

    def poisson(y, raw):
        e = m.exp(raw)
        return e - y * raw, e - y

    def gamma(y, raw):
        e = y * m.exp(-raw)
        return raw + e, 1 - e

    return {f.__name__: f for f in (squared_error, huber, log_loss, poisson, gamma)}


def multinomial_of_cupy(cp, y, raw):
    rows, codes = cp.arange(len(y)), y.astype(np.int32)
    largest = raw.max(axis=1, keepdims=True)
    e = cp.exp(raw - largest)
    total = e.sum(axis=1, keepdims=True)
    value = (cp.log(total) + largest)[:, 0] - raw[rows, codes]
    gradient = e / total
    gradient[rows, codes] -= 1
    return value, gradient


def by_autograd(torch, f, y, raw):
    """A function of nothing: value, and gradient by PyTorch's differentiation."""
    raw = raw.detach().requires_grad_()
    ones = torch.ones_like(y)

    def call():
        value = f(y, raw)
        return value.detach(), torch.autograd.grad(value, raw, ones)[0]

    return call


def torch_peers(torch, name, y, raw):
    """PyTorch's own loss with its gradient, and the formula compiled, as functions of nothing;
    tensors of any device."""
    F = torch.nn.functional
    if name == "multinomial":
        codes, classes = y.long(), torch.arange(raw.shape[1], device=raw.device)

        def formula(y, raw):
            logarithms = torch.log_softmax(raw, dim=1)
            hit = classes == y[:, None]
            value = -torch.where(hit, logarithms, 0.0).sum(dim=1)
            return value, torch.exp(logarithms) - hit.to(raw.dtype)

        def own(_, raw):
            return F.cross_entropy(raw, codes, reduction="none")

        compiled = torch.compile(formula, dynamic=False)
        return {
            "eager": by_autograd(torch, own, y, raw),
            "compile": lambda: compiled(codes, raw),
        }
    formula = formulas(torch)[name]
    own = {
        "squared_error": lambda y, raw: 0.5 * F.mse_loss(raw, y, reduction="none"),
        "huber": lambda y, raw: F.huber_loss(raw, y, reduction="none"),
        "log_loss": lambda y, raw: F.binary_cross_entropy_with_logits(raw, y, reduction="none"),
        "poisson": lambda y, raw: F.poisson_nll_loss(raw, y, reduction="none"),
    }.get(name, lambda y, raw: formula(y, raw)[0])
    compiled = torch.compile(formula, dynamic=False)
    return {"eager": by_autograd(torch, own, y, raw), "compile": lambda: compiled(y, raw)}


def check_peer(name, results, expected):
    """An error where a peer computes something else."""
    for result, ours in zip(results, expected, strict=True):
        part = result[:10_000]
        part = part.cpu().numpy() if hasattr(part, "cpu") else part.get()
        np.testing.assert_allclose(
            part, ours[:10_000].get(), rtol=1e-3, atol=1e-4, err_msg=f"{name} computes otherwise"
        )
