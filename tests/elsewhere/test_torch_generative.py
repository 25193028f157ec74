"""Adversarial games and the gradient penalty in PyTorch."""

import copy
import warnings
from itertools import pairwise

import numpy as np
import pytest

from sklearn_losses import GANLoss, as_torch, gradient_penalty
from sklearn_losses.generative import GAMES

torch = pytest.importorskip("torch", reason="torch is not installed")
F = torch.nn.functional

every_game = pytest.mark.parametrize("game", GAMES)


def scores(n, dtype=torch.float64, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, dtype=dtype, generator=rng, requires_grad=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@every_game
def test_the_modules_give_the_numbers_of_the_game(game, dtype):
    loss = GANLoss(game)
    discriminator, generator = as_torch(loss)
    real, fake = scores((5, 1), dtype), scores((2, 3), dtype, seed=1)
    weight = torch.rand((2, 3), dtype=dtype, generator=torch.Generator().manual_seed(2))
    numbers = real.detach().numpy(), fake.detach().numpy()
    for w in (None, weight):
        value, *gradients = loss.discriminator(
            *numbers, fake_weight=None if w is None else w.numpy()
        )
        got = discriminator(real, fake, fake_weight=w)
        assert got.dtype == dtype and got.shape == ()
        assert got.item() == pytest.approx(value, rel=1e-5, abs=1e-6)
        for a, b in zip(torch.autograd.grad(got, (real, fake)), gradients, strict=True):
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=1e-7)
        value, gradient = loss.generator(numbers[1], fake_weight=None if w is None else w.numpy())
        got = generator(fake, w)
        assert got.item() == pytest.approx(value, rel=1e-5, abs=1e-6)
        np.testing.assert_allclose(torch.autograd.grad(got, fake)[0].numpy(), gradient, rtol=1e-5)


def test_they_are_torchs_own_where_torch_has_them():
    real, fake = scores(6), scores(9, seed=1)
    ones, zeros = torch.ones_like, torch.zeros_like
    theirs = {
        "non_saturating": (
            F.binary_cross_entropy_with_logits(real, ones(real))
            + F.binary_cross_entropy_with_logits(fake, zeros(fake)),
            F.binary_cross_entropy_with_logits(fake, ones(fake)),
        ),
        "minimax": (None, F.logsigmoid(-fake).mean()),
        "least_squares": (
            (F.mse_loss(real, ones(real)) + F.mse_loss(fake, zeros(fake))) / 2,
            F.mse_loss(fake, ones(fake)) / 2,
        ),
        "hinge": (F.relu(1 - real).mean() + F.relu(1 + fake).mean(), -fake.mean()),
        "wasserstein": (fake.mean() - real.mean(), -fake.mean()),
    }
    for game, (of_discriminator, of_generator) in theirs.items():
        discriminator, generator = as_torch(GANLoss(game))
        if of_discriminator is not None:
            torch.testing.assert_close(discriminator(real, fake), of_discriminator)
        torch.testing.assert_close(generator(fake), of_generator)


@every_game
def test_autograd_finds_first_and_second_derivatives_right(game):
    discriminator, generator = as_torch(GANLoss(game))
    # Off the kinks of the hinge.
    real, fake = scores(4), scores(5, seed=1)
    assert torch.autograd.gradcheck(discriminator, (real, fake))
    assert torch.autograd.gradcheck(generator, (fake,))
    if game != "hinge":
        assert torch.autograd.gradgradcheck(discriminator, (real, fake))
    assert torch.autograd.gradgradcheck(generator, (fake,))


@every_game
def test_a_step_against_the_gradient_lowers_either_loss(game):
    discriminator, generator = as_torch(GANLoss(game))
    real, fake = scores(20), scores(20, seed=1)
    value = discriminator(real, fake)
    of_real, of_fake = torch.autograd.grad(value, (real, fake))
    assert discriminator(real - of_real, fake - of_fake) < value
    [of_fake] = torch.autograd.grad(generator(fake), fake)
    assert generator(fake - of_fake) < generator(fake)


def test_modules_are_shown_and_copied_and_hold_no_parameters():
    for module, name in zip(
        as_torch(GANLoss("hinge")), ("TorchDiscriminatorLoss", "TorchGeneratorLoss"), strict=True
    ):
        assert repr(module) == f"{name}(GANLoss(game='hinge'))"
        assert not list(module.parameters()) and not module.state_dict()
    discriminator, _ = copy.deepcopy(as_torch(GANLoss("hinge")))
    assert discriminator(torch.zeros(2), torch.zeros(3)) == 2
    assert not discriminator(torch.zeros(2), torch.zeros(3)).requires_grad


def test_bad_scores_are_named():
    discriminator, generator = as_torch(GANLoss())
    s = torch.zeros(3)
    cases = [
        (TypeError, r"real_scores must be a tensor; got list", lambda: discriminator([0.0], s)),
        (TypeError, r"fake_scores must have dtype.*fake_scores.float", lambda: generator(s.half())),
        (ValueError, r"fake_scores must hold at least one", lambda: generator(s[:0])),
        (ValueError, r"fake_weight must have the shape of the scores, \(3,\); got \(2,\)",
         lambda: generator(s, s[:2])),
        (ValueError, r"real_weight must not be negative; got -1.0 at index 0",
         lambda: discriminator(s, s, s - 1)),
        (TypeError, r"fake_weight must be a tensor", lambda: discriminator(s, s, None, [1.0])),
        (ValueError, r"fake_weight must not require", lambda: generator(s, scores(3).float())),
        (ValueError, r"reduction must be 'mean' for a GANLoss; got 'sum'",
         lambda: as_torch(GANLoss(), "sum")),
        (ValueError, r"game must be one of", lambda: as_torch(GANLoss("gan"))),
    ]  # fmt: skip
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()


# -------------------------------------------------------------------------- the gradient penalty


def network(*sizes, seed=0):
    torch.manual_seed(seed)
    layers = []
    for a, b in pairwise(sizes):
        layers += [torch.nn.Linear(a, b, dtype=torch.float64), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


def test_of_a_linear_critic_the_penalty_is_known():
    critic = torch.nn.Linear(3, 1, dtype=torch.float64)
    real, fake = scores((4, 3)), scores((4, 3), seed=1)
    norm = critic.weight.norm()
    for target in (1.0, 0.0, 2.5):
        penalty = gradient_penalty(critic, real, fake, target=target)
        torch.testing.assert_close(penalty, (norm - target) ** 2)
        got = torch.autograd.grad(penalty, critic.weight)[0]
        torch.testing.assert_close(got, 2 * (norm - target) * critic.weight / norm)


def test_the_norm_is_that_of_a_whole_sample_of_any_shape():
    weight = scores((2, 3, 4), seed=2).detach()
    real, fake = scores((5, 2, 3, 4)), scores((5, 2, 3, 4), seed=1)
    penalty = gradient_penalty(lambda x: (x * weight).sum(dim=(1, 2, 3)), real, fake)
    torch.testing.assert_close(penalty, (weight.norm() - 1) ** 2)


def test_points_lie_between_real_and_fake_samples_of_the_same_row():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.pow(2).sum(dim=(1, 2))

    real, fake = torch.zeros(2000, 2, 3), torch.ones(2000, 2, 3)
    real[0], fake[0] = 5.0, 5.0
    gradient_penalty(critic, real, fake, generator=torch.Generator().manual_seed(0))
    gradient_penalty(critic, real, fake, generator=torch.Generator().manual_seed(0))
    [x, again] = seen
    assert torch.equal(x, again)
    assert (x[0] == 5).all()
    share = x[1:, 0, 0]
    assert torch.equal(x[1:], share[:, None, None].expand(-1, 2, 3))  # one share a sample
    assert share.min() >= 0 and share.max() <= 1
    assert abs(share.mean() - 0.5) < 0.03 and abs(share.var() - 1 / 12) < 0.01


def test_the_penalty_is_gulrajanis_written_with_torch_alone():
    critic = network(2, 8, 1)
    real, fake = scores((6, 2)), scores((6, 2), seed=1)
    got = gradient_penalty(critic, real, fake, generator=torch.Generator().manual_seed(3))
    epsilon = torch.rand((6, 1), dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    hat = (epsilon * real + (1 - epsilon) * fake).detach().requires_grad_()
    [slope] = torch.autograd.grad(critic(hat).sum(), hat, create_graph=True)
    want = ((slope.norm(dim=1) - 1) ** 2).mean()
    torch.testing.assert_close(got, want)
    parameters = list(critic.parameters())[:-1]  # the last bias has no part in it
    for a, b in zip(
        torch.autograd.grad(got, parameters), torch.autograd.grad(want, parameters), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_its_derivative_by_the_critics_parameters_is_that_of_differences():
    """The double backward pass, on a critic that bends."""
    critic = network(2, 5, 1)
    real, fake = scores((7, 2)).detach(), scores((7, 2), seed=1).detach()

    def penalty(weight):
        def bent(x):
            hidden = torch.tanh(x @ weight.T + critic[0].bias)
            return hidden @ critic[2].weight.T

        return gradient_penalty(bent, real, fake, generator=torch.Generator().manual_seed(0))

    weight = critic[0].weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(penalty, (weight,))


def test_a_flat_critic_and_a_call_without_grad_give_numbers():
    flat = torch.nn.Linear(2, 1, dtype=torch.float64)
    with torch.no_grad():
        flat.weight.zero_()
    real, fake = scores((3, 2)), scores((3, 2), seed=1)
    penalty = gradient_penalty(flat, real, fake)
    assert penalty == 1
    penalty.backward()
    assert flat.weight.grad.isfinite().all()
    assert real.grad is None and fake.grad is None
    with torch.no_grad():
        value = gradient_penalty(flat, real, fake, target=0.0)
    assert value == 0 and not value.requires_grad


def test_bad_samples_are_named():
    critic = torch.nn.Linear(2, 1)
    x = torch.zeros(3, 2)
    cases = [
        (TypeError, r"real must be a tensor; got ndarray", (np.zeros((3, 2)), x, {})),
        (TypeError, r"fake must have dtype float32 or float64", (x, x.int(), {})),
        (ValueError, r"one shape.*got \(3, 2\) and \(2, 2\)", (x, x[:2], {})),
        (ValueError, r"one shape.*got \(0, 2\) and \(0, 2\)", (x[:0], x[:0], {})),
        (ValueError, r"one shape.*got \(3,\) and \(3,\)", (x[:, 0], x[:, 0], {})),
        (TypeError, r"one dtype and one device", (x, x.double(), {})),
        (ValueError, r"target must be a number in \[0, inf\); got -1", (x, x, {"target": -1})),
    ]
    for error, message, (real, fake, options) in cases:
        with pytest.raises(error, match=message):
            gradient_penalty(critic, real, fake, **options)
    for of_numpy in (lambda x: x.detach().numpy(), lambda x: torch.zeros(len(x))):
        with pytest.raises(ValueError, match=r"critic must return a tensor of scores that depends"):
            gradient_penalty(of_numpy, x, x)


def test_a_critic_with_the_penalty_finds_the_distance_of_two_points():
    """Wasserstein's distance of two point masses is how far they are apart."""
    torch.manual_seed(0)
    critic = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    loss, _ = as_torch(GANLoss("wasserstein"))
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.01)
    real, fake = torch.full((64, 1), 2.0), torch.full((64, 1), -1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(300):
            optimizer.zero_grad()
            value = loss(critic(real), critic(fake))
            (value + 10 * gradient_penalty(critic, real, fake)).backward()
            optimizer.step()
    assert -value.item() == pytest.approx(3, rel=0.15)
