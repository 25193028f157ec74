"""A loss as a PyTorch module. Importing this module imports PyTorch."""

import numpy as np

from sklearn_losses.losses import CompiledLoss
from sklearn_losses.objectives import softmax_hessian_product

try:
    import torch
except ImportError as error:
    raise ImportError(
        "as_torch needs PyTorch: pip install torch, or 'sklearn-losses[integrations]'"
    ) from error

REDUCTIONS = {
    "none": lambda value, weight: value,
    "sum": lambda value, weight: value.sum(),
    "mean": lambda value, weight: value.mean() if weight is None else value.sum() / weight.sum(),
}


def _numpy(tensor):
    return None if tensor is None else tensor.detach().numpy()


class _Value(torch.autograd.Function):
    """Loss of each sample."""

    @staticmethod
    def forward(ctx, raw, y_true, weight, loss):
        value = torch.empty(raw.shape[:1], dtype=raw.dtype)
        arguments = _numpy(y_true), _numpy(raw), _numpy(weight)
        if ctx.needs_input_grad[0]:
            gradient = torch.empty(raw.shape, dtype=raw.dtype)
            loss.loss_gradient(*arguments, value.numpy(), gradient.numpy())
        else:
            gradient = None
            loss.loss(*arguments, value.numpy())
        ctx.save_for_backward(raw, y_true, weight, gradient)
        ctx.loss = loss
        return value

    @staticmethod
    def backward(ctx, grad_value):
        raw, y_true, weight, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient is to be differentiated
            gradient = _Gradient.apply(raw, y_true, weight, ctx.loss)
        return grad_value.reshape(-1, *[1] * (raw.ndim - 1)) * gradient, None, None, None


class _Gradient(torch.autograd.Function):
    """Gradient of the loss of each sample."""

    @staticmethod
    def forward(ctx, raw, y_true, weight, loss):
        ctx.save_for_backward(raw, y_true, weight)
        ctx.loss = loss
        gradient = torch.empty(raw.shape, dtype=raw.dtype)
        loss.gradient(_numpy(y_true), _numpy(raw), _numpy(weight), gradient.numpy())
        return gradient

    @staticmethod
    def backward(ctx, vector):
        if torch.is_grad_enabled():
            raise NotImplementedError(f"{type(ctx.loss).__name__}: no third derivatives")
        raw, y_true, weight = ctx.saved_tensors
        product = _hessian_product(
            ctx.loss, _numpy(y_true), _numpy(raw), _numpy(weight), _numpy(vector)
        )
        return torch.from_numpy(np.ascontiguousarray(product, dtype=_numpy(raw).dtype)), *[None] * 3


def _hessian_product(loss, y_true, raw, weight, vector):
    """The second derivatives of each sample's loss times a vector."""
    without = isinstance(loss, CompiledLoss) and loss.approx_hessian  # 1 stands in for it
    if loss.differentiable and not loss.is_multiclass and not without:
        return loss.gradient_hessian(y_true, raw, weight)[1] * vector
    if getattr(loss, "takes_probabilities", False):
        product = softmax_hessian_product(loss.gradient_proba(y_true, raw)[1], vector)
        return product if weight is None else product * weight[:, np.newaxis]
    raise NotImplementedError(
        f"{type(loss).__name__} has no second derivatives for a second backward pass"
    )


class TorchLoss(torch.nn.Module):
    """What `as_torch` makes.

    Parameters
    ----------
    loss : Loss
    reduction : {"mean", "sum", "none"}
    """

    def __init__(self, loss, reduction="mean"):
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {list(REDUCTIONS)}; got {reduction!r}")
        if loss.is_multiclass:
            loss._numbers()
        else:
            loss._resolve()
        self.loss = loss
        self.reduction = reduction

    def extra_repr(self):
        """What stands in the parentheses of the module's representation."""
        return f"{self.loss!r}, reduction={self.reduction!r}"

    def forward(self, raw_prediction, y_true, sample_weight=None):
        """Loss of raw predictions.

        Parameters
        ----------
        raw_prediction : Tensor of any shape, or of shape (n_samples, n_classes)
        y_true : Tensor of the same shape, or of shape (n_samples,)
        sample_weight : Tensor of the shape of the losses, or None, default=None

        Returns
        -------
        loss : Tensor
            A number, or with reduction "none" the loss of each sample.
        """
        loss = self.loss
        given = {
            "raw_prediction": raw_prediction,
            "y_true": y_true,
            "sample_weight": sample_weight,
        }
        for name, tensor in given.items():
            _check_tensor(name, tensor)
        if raw_prediction.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"raw_prediction must have dtype float32 or float64; got {raw_prediction.dtype}. "
                "Convert it: raw_prediction.float()"
            )
        raw = raw_prediction
        # The kernels take float32 and float64; class codes come as integers.
        if not y_true.is_floating_point() or y_true.dtype.itemsize < 4:
            y_true = y_true.to(raw.dtype)
        if sample_weight is not None and sample_weight.dtype not in (torch.float32, torch.float64):
            sample_weight = sample_weight.to(raw.dtype)
        if loss.is_multiclass:
            shape = raw.shape[:1]
        else:
            shape = raw.shape
            if y_true.shape != shape:
                raise ValueError(
                    f"y_true must have the shape of raw_prediction, {tuple(shape)}; "
                    f"got {tuple(y_true.shape)}"
                )
            raw, y_true = raw.reshape(-1), y_true.reshape(-1)
        if sample_weight is not None and sample_weight.shape != shape:
            raise ValueError(
                f"sample_weight must have shape {tuple(shape)}; got {tuple(sample_weight.shape)}"
            )
        loss._checked_target(_numpy(y_true), loss._shaped(_numpy(raw)))
        weight = None if sample_weight is None else sample_weight.reshape(-1)
        value = _Value.apply(raw, y_true, weight, loss)
        return REDUCTIONS[self.reduction](value.reshape(shape), weight)


def _check_tensor(name, tensor):
    if tensor is None and name == "sample_weight":
        return
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a tensor; got {type(tensor).__name__}")
    if tensor.device.type != "cpu":
        raise ValueError(
            f"{name} must be on the CPU, where the kernels run; got device {tensor.device}. "
            f"Move it: {name}.cpu()"
        )
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} must be dense; got layout {tensor.layout}")
    if name != "raw_prediction" and tensor.requires_grad:
        raise ValueError(
            f"{name} must not require a gradient: the loss is differentiated with respect to "
            f"raw_prediction alone. Pass {name}.detach()"
        )
