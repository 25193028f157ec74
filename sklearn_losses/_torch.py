"""A loss as a PyTorch module. Importing this module imports PyTorch.

Tensors of the CPU are shared with NumPy, and those of a CUDA device with CuPy: `_array` and
`_in_turn` know of the difference, and nothing else does.
"""

from contextlib import contextmanager

import numpy as np

from sklearn_losses._array import common_namespace, cupy, device_array
from sklearn_losses._interval import NON_NEGATIVE
from sklearn_losses._parameters import check_number
from sklearn_losses.losses import CompiledLoss, SquaredError
from sklearn_losses.losses.rowwise import softmax_hessian_product

try:
    import torch
except ImportError as error:
    raise ImportError(
        "as_torch needs PyTorch: pip install torch, or 'sklearn-losses[integrations]'"
    ) from error


def _mean(value, weight):
    if weight is None:
        return value.mean()
    total = weight.sum()
    # Where nothing counts the mean is 0, as that of torch's binary_cross_entropy and huber_loss.
    return value.sum() / torch.where(total == 0, 1, total)


REDUCTIONS = {
    "none": lambda value, weight: value,
    "sum": lambda value, weight: value.sum(),
    "mean": _mean,
}


def _array(tensor):
    """An array that shares the memory of a tensor, or None of None."""
    if tensor is None:
        return None
    return tensor.detach().numpy() if tensor.device.type == "cpu" else device_array(tensor)


@contextmanager
def _in_turn(tensor):
    """A context in which arrays are worked on where the tensor is, in turn with PyTorch's own work:
    on a CUDA device, on the stream that is PyTorch's current one."""
    if tensor.device.type == "cpu":
        yield
        return
    cuda = cupy().cuda
    stream = torch.cuda.current_stream(tensor.device)
    with cuda.Device(stream.device_index):
        if hasattr(stream, "__cuda_stream__") and hasattr(cuda.Stream, "from_external"):
            stream = cuda.Stream.from_external(stream)
        else:
            stream = cuda.ExternalStream(stream.cuda_stream, stream.device_index)
        with stream:
            yield


def _empty(shape, like):
    return torch.empty(shape, dtype=like.dtype, device=like.device)


def _where_counted(result, weight):
    """Results of the samples, those of weight 0 selected away: 0 times infinity is NaN."""
    if weight is not None:
        uncounted = (weight == 0).reshape(-1, *[1] * (result.ndim - 1))
        result.masked_fill_(uncounted, 0)
    return result


class _Value(torch.autograd.Function):
    """Loss of each sample."""

    @staticmethod
    def forward(ctx, raw, y_true, weight, loss):
        value = _empty(raw.shape[:1], raw)
        gradient = _empty(raw.shape, raw) if ctx.needs_input_grad[0] else None
        with _in_turn(raw):
            arguments = _array(y_true), _array(raw), _array(weight), _array(value)
            if gradient is None:
                loss.loss(*arguments)
            else:
                loss.loss_gradient(*arguments, _array(gradient))
        _where_counted(value, weight)
        if gradient is not None:
            _where_counted(gradient, weight)
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
        gradient = _empty(raw.shape, raw)
        with _in_turn(raw):
            loss.gradient(_array(y_true), _array(raw), _array(weight), _array(gradient))
        return _where_counted(gradient, weight)

    @staticmethod
    def backward(ctx, vector):
        if torch.is_grad_enabled():
            raise NotImplementedError(f"{type(ctx.loss).__name__}: no third derivatives")
        raw, y_true, weight = ctx.saved_tensors
        product = _empty(raw.shape, raw)
        with _in_turn(raw):
            _array(product)[...] = _hessian_product(
                ctx.loss, _array(y_true), _array(raw), _array(weight), _array(vector)
            )
        return _where_counted(product, weight), *[None] * 3


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
            Not negative.

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
            if tensor is not None or name != "sample_weight":
                _check_tensor(name, tensor, constant=name != "raw_prediction")
        if len({tensor.device for tensor in given.values() if tensor is not None}) > 1:
            common_namespace(**given)  # whose error says where each is
        _check_dtype("raw_prediction", raw_prediction)
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
        if sample_weight is not None:
            _check_weight(sample_weight)
        with _in_turn(raw):  # on a CUDA device the host waits for this, and for the weights' check
            loss._checked_target(_array(y_true), loss._shaped(_array(raw)))
        weight = None if sample_weight is None else sample_weight.reshape(-1)
        value = _Value.apply(raw, y_true, weight, loss)
        return REDUCTIONS[self.reduction](value.reshape(shape), weight)


def _check_weight(weight, name="sample_weight"):
    negative = weight < 0
    if negative.any():
        first = tuple(negative.nonzero()[0].tolist())
        index = first[0] if len(first) == 1 else first
        raise ValueError(
            f"{name} must not be negative; got {weight[first].item()} at index {index}"
        )


def _check_dtype(name, tensor):
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{name} must have dtype float32 or float64; got {tensor.dtype}. "
            f"Convert it: {name}.float()"
        )


def _check_tensor(name, tensor, constant=False):
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a tensor; got {type(tensor).__name__}")
    if tensor.device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"{name} must be on the CPU or on a CUDA device, where the kernels run; "
            f"got device {tensor.device}. Move it: {name}.cpu()"
        )
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} must be dense; got layout {tensor.layout}")
    if constant and tensor.requires_grad:
        raise ValueError(
            f"{name} must not require a gradient: the loss is differentiated with respect to "
            f"raw_prediction alone. Pass {name}.detach()"
        )


# ------------------------------------------------------------------------------- losses of pairs


class _Pairs(torch.autograd.Function):
    """A loss of pairs of embeddings, or of a matrix of pairs; `others` are the arguments behind
    them."""

    @staticmethod
    def forward(ctx, loss, others, *embeddings):
        ctx.loss = loss
        value, gradients = loss.loss_gradient(*map(_array, embeddings), *others)
        gradients = (gradients,) if isinstance(gradients, np.ndarray) else gradients
        ctx.save_for_backward(
            *(
                torch.from_numpy(gradient).to(tensor.dtype)
                for gradient, tensor in zip(gradients, embeddings, strict=True)
            )
        )
        return embeddings[0].new_tensor(value)

    @staticmethod
    def backward(ctx, grad_value):
        if torch.is_grad_enabled():  # create_graph=True: the gradient is to be differentiated
            raise NotImplementedError(f"{type(ctx.loss).__name__}: no second derivatives")
        return None, None, *(grad_value * gradient for gradient in ctx.saved_tensors)


class TorchContrastiveLoss(torch.nn.Module):
    """What `as_torch` makes of a loss of pairs.

    Parameters
    ----------
    loss : ContrastiveLoss
    reduction : {"mean"}
    """

    def __init__(self, loss, reduction="mean"):
        super().__init__()
        if reduction != "mean":
            raise ValueError(
                f"reduction must be 'mean' for {type(loss).__name__}, a loss of all samples "
                f"together; got {reduction!r}"
            )
        loss._check()
        self.loss = loss

    def extra_repr(self):
        """What stands in the parentheses of the module's representation."""
        return repr(self.loss)

    def forward(self, X, *others):
        """Loss of embeddings, or of a matrix of pairs.

        Parameters
        ----------
        X : Tensor
            float32 or float64, on the CPU.
        *others
            The arguments of the loss's `loss_gradient` that follow X: a tensor of embeddings Y is
            differentiated too; labels and positives are tensors, or what the loss itself takes.

        Returns
        -------
        loss : Tensor of shape ()
        """
        embeddings = [X]
        if others and not self.loss.takes_labels and others[0] is not None:
            embeddings.append(others[0])
            others = others[1:]
        for name, tensor in zip("XY", embeddings, strict=False):
            _check_embeddings(name, tensor)
        others = [_array(x) if isinstance(x, torch.Tensor) else x for x in others]
        return _Pairs.apply(self.loss, others, *embeddings)


def _check_embeddings(name, tensor):
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a tensor; got {type(tensor).__name__}")
    if tensor.device.type != "cpu":
        raise ValueError(
            f"{name} must be on the CPU, where losses of pairs are computed; got device "
            f"{tensor.device}. Move it: {name}.cpu()"
        )
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} must be dense; got layout {tensor.layout}")
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{name} must have dtype float32 or float64; got {tensor.dtype}. "
            f"Convert it: {name}.float()"
        )


# ----------------------------------------------------------------------------- adversarial losses


class _TorchTerm(torch.nn.Module):
    """A term of a game: ``sign * mean(loss(target, scores))``."""

    def __init__(self, term, name):
        super().__init__()
        self.mean = TorchLoss(term.loss)
        self.term, self.name = term, name

    def forward(self, scores, weight):
        name = f"{self.name}_scores"
        _check_tensor(name, scores)
        _check_dtype(name, scores)
        if scores.numel() == 0:
            raise ValueError(f"{name} must hold at least one sample; got 0")
        if weight is not None:
            of_weight = f"{self.name}_weight"
            _check_tensor(of_weight, weight, constant=True)
            _check_weight(weight, of_weight)
            if weight.shape != scores.shape:
                raise ValueError(
                    f"{of_weight} must have the shape of the scores, {tuple(scores.shape)}; "
                    f"got {tuple(weight.shape)}"
                )
        target = torch.full_like(scores, self.term.target, requires_grad=False)
        return self.term.sign * self.mean(scores, target, weight)


class _TorchGANLoss(torch.nn.Module):
    """What the two modules of a game share.

    Parameters
    ----------
    gan_loss : GANLoss
    """

    _names = ()

    def __init__(self, gan_loss):
        super().__init__()
        terms = gan_loss._terms()
        self.gan_loss = gan_loss
        for name in self._names:
            setattr(self, name, _TorchTerm(getattr(terms, name), self._scored.get(name, name)))

    # Whose scores a term is of, where its name does not say it.
    _scored = {"generator": "fake"}

    def __repr__(self):
        return f"{type(self).__name__}({self.gan_loss!r})"


class TorchDiscriminatorLoss(_TorchGANLoss):
    """The discriminator's loss of a `GANLoss`, which `as_torch` makes.

    Parameters
    ----------
    gan_loss : GANLoss
    """

    _names = ("real", "fake")

    def forward(self, real_scores, fake_scores, real_weight=None, fake_weight=None):
        """The loss.

        Parameters
        ----------
        real_scores, fake_scores : Tensor of any shape, float32 or float64
        real_weight, fake_weight : Tensor of the shapes of the scores, or None, default=None
            Not negative.

        Returns
        -------
        loss : Tensor of shape ()
        """
        return self.real(real_scores, real_weight) + self.fake(fake_scores, fake_weight)


class TorchGeneratorLoss(_TorchGANLoss):
    """The generator's loss of a `GANLoss`, which `as_torch` makes.

    Parameters
    ----------
    gan_loss : GANLoss
    """

    _names = ("generator",)

    def forward(self, fake_scores, fake_weight=None):
        """The loss.

        Parameters
        ----------
        fake_scores : Tensor of any shape, float32 or float64
        fake_weight : Tensor of the shape of the scores, or None, default=None
            Not negative.

        Returns
        -------
        loss : Tensor of shape ()
        """
        return self.generator(fake_scores, fake_weight)


def gradient_penalty(critic, real, fake, target, generator):
    """What `sklearn_losses.gradient_penalty` says."""
    target = check_number("gradient_penalty", "target", target, NON_NEGATIVE)
    for name, tensor in (("real", real), ("fake", fake)):
        _check_tensor(name, tensor)
        _check_dtype(name, tensor)
    if real.shape != fake.shape or real.ndim < 2 or len(real) == 0:
        raise ValueError(
            "real and fake must have one shape, (n_samples, ...) with at least one sample; "
            f"got {tuple(real.shape)} and {tuple(fake.shape)}"
        )
    if (real.dtype, real.device) != (fake.dtype, fake.device):
        raise TypeError(
            "real and fake must have one dtype and one device; "
            f"got {real.dtype} on {real.device} and {fake.dtype} on {fake.device}"
        )
    share = torch.rand(
        (len(real), *[1] * (real.ndim - 1)),
        dtype=real.dtype,
        device=real.device,
        generator=generator,
    )
    between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
    with torch.enable_grad():  # also where a penalty is looked at alone
        scores = critic(between)
        if not (isinstance(scores, torch.Tensor) and scores.requires_grad):
            raise ValueError(
                "critic must return a tensor of scores that depends on its input by PyTorch's "
                f"operations; got {type(scores).__name__}"
            )
        [gradient] = torch.autograd.grad(scores.sum(), between, create_graph=True)
        norm = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return TorchLoss(SquaredError())(norm, torch.full_like(norm, target, requires_grad=False))
