"""
A generator learns a ring of Gaussians
======================================

A generative adversarial network in two dimensions, where its samples can be seen: eight Gaussians
on a ring, and the five games of `GANLoss`. Each game is the same two lines of training; what
differs is the pair of losses.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

from sklearn_losses import GANLoss, as_torch, gradient_penalty

try:
    import torch
except ImportError:
    torch = None
    print("Note: PyTorch is not installed; the losses are shown, and nothing is trained.")

# %%
# What the generator sees
# -----------------------
# Scores are raw: high where the discriminator takes a sample for real. Where it is sure that a fake
# sample is fake, the minimax game gives the generator no gradient; that is why Goodfellow et al.
# proposed the non-saturating one beside it.

GAMES = ["minimax", "non_saturating", "least_squares", "hinge", "wasserstein"]
scores = np.linspace(-6, 4, 201)
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for game, style in zip(GAMES, ("-", "-", "-", "-", "--"), strict=True):
    loss = GANLoss(game)
    values = [loss.generator([score])[0] for score in scores]
    slopes = [loss.generator([score])[1][0] for score in scores]
    left.plot(scores, values, style, label=game)
    right.plot(scores, slopes, style, label=game)
left.set(xlabel="score of a fake sample", ylabel="the generator's loss", ylim=(-6, 8))
right.set(xlabel="score of a fake sample", ylabel="its derivative", ylim=(-4, 2))
left.legend(fontsize="small")
plt.show()

# %%
# Training
# --------
# Two small networks, each with an optimizer of its own. `as_torch` makes the two modules of a game.
# Wasserstein's critic has to be smooth, for which there is `gradient_penalty`; it helps the other
# games too, and all get it here.

RADIUS, SPREAD, N_MODES = 2.0, 0.1, 8
ANGLES = 2 * np.pi * np.arange(N_MODES) / N_MODES
CENTRES = RADIUS * np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


def real_samples(n, rng):
    return CENTRES[rng.randint(N_MODES, size=n)] + SPREAD * rng.normal(size=(n, 2))


def network(n_in, n_out):
    return torch.nn.Sequential(
        torch.nn.Linear(n_in, 64), torch.nn.LeakyReLU(0.2),
        torch.nn.Linear(64, 64), torch.nn.LeakyReLU(0.2),
        torch.nn.Linear(64, n_out),
    )  # fmt: skip


def train(game, n_steps, strength, seed=0):
    """A generator, and how long it took."""
    rng, start = np.random.RandomState(seed), time.perf_counter()
    torch.manual_seed(seed)
    discriminator_loss, generator_loss = as_torch(GANLoss(game))
    discriminator, generator = network(2, 1), network(8, 2)
    steps = [
        torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.9))
        for net in (discriminator, generator)
    ]
    for _ in range(n_steps):
        real = torch.from_numpy(real_samples(128, rng).astype(np.float32))
        fake = generator(torch.randn(128, 8))
        value = discriminator_loss(discriminator(real), discriminator(fake.detach()))
        if strength:
            value = value + strength * gradient_penalty(discriminator, real, fake, target=PENALTY)
        steps[0].zero_grad()
        value.backward()
        steps[0].step()

        value = generator_loss(discriminator(fake))
        steps[1].zero_grad()
        value.backward()
        steps[1].step()
    return generator, time.perf_counter() - start
