"""
A generator learns a ring of Gaussians
======================================

A generative adversarial network in two dimensions, where its samples can be seen: eight Gaussians
on a ring, and three of the games of `GANLoss`. The loop is the same for each; what differs is the
pair of losses.
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
# Wasserstein's critic has to be smooth, for which there is `gradient_penalty`, and has to keep up
# with the generator, so that it gets three steps for each of the generator's.

RADIUS, SPREAD, N_MODES = 2.0, 0.2, 8
ANGLES = 2 * np.pi * np.arange(N_MODES) / N_MODES
CENTRES = RADIUS * np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
N_STEPS, BATCH, RATE = 1500, 128, 2e-3


def real_samples(n, rng):
    return CENTRES[rng.randint(N_MODES, size=n)] + SPREAD * rng.normal(size=(n, 2))


def network(n_in, n_out):
    return torch.nn.Sequential(
        torch.nn.Linear(n_in, 64), torch.nn.LeakyReLU(0.2),
        torch.nn.Linear(64, 64), torch.nn.LeakyReLU(0.2),
        torch.nn.Linear(64, n_out),
    )  # fmt: skip


def train(game, penalty=0.0, critic_steps=1):
    """A generator, after N_STEPS steps of the discriminator."""
    rng = np.random.RandomState(0)
    torch.manual_seed(0)
    discriminator_loss, generator_loss = as_torch(GANLoss(game))
    discriminator, generator = network(2, 1), network(8, 2)
    of_discriminator, of_generator = (
        torch.optim.Adam(net.parameters(), lr=RATE, betas=(0.0, 0.9))
        for net in (discriminator, generator)
    )
    for step in range(N_STEPS):
        for optimizer in (of_discriminator, of_generator):  # the rate falls in the second half
            optimizer.param_groups[0]["lr"] = RATE * min(1.0, 2 * (1 - step / N_STEPS))
        real = torch.from_numpy(real_samples(BATCH, rng).astype(np.float32))
        fake = generator(torch.randn(BATCH, 8))
        value = discriminator_loss(discriminator(real), discriminator(fake.detach()))
        if penalty:
            value = value + penalty * gradient_penalty(discriminator, real, fake)
        of_discriminator.zero_grad()
        value.backward()
        of_discriminator.step()
        if step % critic_steps == 0:
            of_generator.zero_grad()
            generator_loss(discriminator(fake)).backward()
            of_generator.step()
    return generator


# %%
# What they have learned
# ----------------------
# Of 2000 samples the share that lies within two standard deviations of a centre, and how many of
# the eight Gaussians have at least half of what they should. A plain circle, which knows of no
# Gaussians, is what a generator has to be better than.

WAYS = {
    "non_saturating": {},
    "hinge": {},
    "wasserstein": {"penalty": 1.0, "critic_steps": 3},
}


def judged(samples):
    """The share near a centre, and the number of Gaussians that are there."""
    distances = np.linalg.norm(samples[:, np.newaxis] - CENTRES, axis=2)
    near = distances.min(axis=1) < 2 * SPREAD
    counts = np.bincount(distances.argmin(axis=1)[near], minlength=N_MODES)
    return near.mean(), np.sum(counts >= 0.5 * 0.86 * len(samples) / N_MODES)


around = 2 * np.pi * np.arange(2000) / 2000
pictures = {
    "real": real_samples(2000, np.random.RandomState(1)),
    "a plain circle": RADIUS * np.column_stack([np.cos(around), np.sin(around)]),
}
if torch is not None:
    torch.set_num_threads(1)  # so small networks are not worth a second one
    for game, params in WAYS.items():
        start = time.perf_counter()
        generator = train(game, **params)
        seconds = time.perf_counter() - start
        with torch.no_grad():
            pictures[game] = generator(torch.randn(2000, 8)).numpy()
        print(f"{game:<15} trained in {seconds:.0f} s")
for name, samples in pictures.items():
    share, modes = judged(samples)
    print(f"{name:<15}{100 * share:>4.0f} % near a centre, {modes} of {N_MODES} Gaussians")

figure, axes = plt.subplots(
    1, len(pictures), figsize=(2.4 * len(pictures), 2.6), layout="constrained", squeeze=False
)
for ax, (name, samples) in zip(axes.flat, pictures.items(), strict=True):
    ax.plot(*samples.T, ".", markersize=1.5, color="#0072B2", alpha=0.5)
    ax.plot(*CENTRES.T, "+", color="#D55E00")
    ax.set(title=name, xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
plt.show()

# %%
# In these few steps all find the ring, and two of them that most of it is near the centres. None is
# as sharp as the data: a continuous function of normal noise has to cross from one Gaussian to the
# next. Wasserstein's generator, with a third of the steps, has got no further than the circle.
