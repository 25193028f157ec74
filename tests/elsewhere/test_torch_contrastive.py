"""Losses of pairs as PyTorch modules: their own numbers, and gradients that autograd checks."""

import copy

import numpy as np
import pytest

import sklearn_losses as sl

torch = pytest.importorskip("torch", reason="torch is not installed")

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
TWO = [sl.InfoNCE(0.5), sl.NTXent(), sl.CLIPLoss(0.3), sl.InfoNCE(similarity="dot")]
LABELLED = [sl.SupervisedContrastive(), sl.TripletLoss(), sl.TripletLoss(2.0, "semi-hard")]


def embeddings(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(6, 3, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for _ in range(2)
    ]


@pytest.mark.parametrize("loss", TWO, ids=repr)
def test_autograd_finds_the_gradients_of_two_embeddings_right(loss):
    X, Y = embeddings()
    module = sl.as_torch(loss)
    assert torch.autograd.gradcheck(module, (X, Y))
    assert module(X, Y).item() == loss(X.detach().numpy(), Y.detach().numpy())
    (3 * module(X, Y)).backward()
    expected = loss.loss_gradient(X.detach().numpy(), Y.detach().numpy())[1]
    for tensor, gradient in zip((X, Y), expected, strict=True):
        np.testing.assert_allclose(tensor.grad.numpy(), 3 * gradient, rtol=1e-14)


@pytest.mark.parametrize("loss", LABELLED, ids=repr)
def test_autograd_finds_the_gradient_of_labelled_embeddings_right(loss):
    X, _ = embeddings()
    module = sl.as_torch(loss)
    assert torch.autograd.gradcheck(lambda X: module(X, LABELS), (X,))
    assert module(X, LABELS).item() == loss(X.detach().numpy(), LABELS.numpy())
    assert module(X, list("aabbcc")).item() == module(X, LABELS).item()


def test_matrices_of_pairs_and_positives_are_taken():
    scores = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    positives = torch.tensor([[1, 0, 1, 0, 0]] * 4)
    module = sl.as_torch(sl.InfoNCE(1.0, "precomputed"))
    assert torch.autograd.gradcheck(lambda s: module(s, None, positives), (scores,))
    assert torch.autograd.gradcheck(module, (scores,))
    X, Y = embeddings()
    numbers = torch.tensor([5, 4, 3, 2, 1, 0])
    module = sl.as_torch(sl.InfoNCE())
    assert torch.autograd.gradcheck(lambda X, Y: module(X, Y, numbers), (X, Y))
    assert module(X, Y, numbers).item() == pytest.approx(module(X, Y.flip(0)).item())
    given = sl.TripletLoss(metric="precomputed")
    distances = torch.rand(6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda d: sl.as_torch(given)(d, LABELS), (distances,))


def test_types_stay_and_constants_take_no_gradient():
    X, Y = embeddings(torch.float32)
    value = sl.as_torch(sl.CLIPLoss())(X, Y.double())
    assert value.dtype == torch.float32
    value.backward()
    assert X.grad.dtype == torch.float32 and Y.grad.dtype == torch.float32
    frozen = Y.detach()
    sl.as_torch(sl.CLIPLoss())(X, frozen).backward()
    assert frozen.grad is None


def test_a_linear_encoder_learns_with_it():
    torch.manual_seed(0)
    data = torch.randn(40, 6)
    labels = (data[:, 0] > 0).long()
    encoder = torch.nn.Linear(6, 2)
    module = sl.as_torch(sl.SupervisedContrastive(0.5))
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.5)
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        value = module(encoder(data), labels)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0] - 0.1


def test_a_module_says_what_it_is_and_copies():
    module = sl.as_torch(sl.InfoNCE(0.2))
    assert repr(module) == "TorchContrastiveLoss(InfoNCE(temperature=0.2))"
    X, Y = embeddings()
    assert copy.deepcopy(module)(X, Y).item() == module(X, Y).item()


def test_what_cannot_be_is_refused():
    X, Y = embeddings()
    module = sl.as_torch(sl.InfoNCE())
    with pytest.raises(ValueError, match="reduction must be 'mean' for InfoNCE"):
        sl.as_torch(sl.InfoNCE(), "none")
    with pytest.raises(ValueError, match=r"temperature must be a number in \(0, inf\); got 0"):
        sl.as_torch(sl.InfoNCE(0))
    with pytest.raises(NotImplementedError, match="InfoNCE: no second derivatives"):
        torch.autograd.grad(module(X, Y), X, create_graph=True)
    with pytest.raises(TypeError, match="Y must be a tensor; got ndarray"):
        module(X, Y.detach().numpy())
    with pytest.raises(TypeError, match=r"X must have dtype float32 or float64; got torch.float16"):
        module(X.half(), Y)
    with pytest.raises(TypeError, match="X must be dense"):
        module(X.detach().to_sparse(), Y)
    with pytest.raises(ValueError, match=r"X must be on the CPU.*got device meta"):
        module(X.to("meta"), Y)
    with pytest.raises(ValueError, match=r"Y must be finite; got nan"):
        module(X, Y * float("nan"))
