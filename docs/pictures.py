"""Draw the picture of the losses on the front page and in README: ``python docs/pictures.py``."""

import io
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

from sklearn_losses import HuberLoss, LossDisplay, PinballLoss, TukeyBiweight

ROWS = {
    "Regression": ["squared_error", "absolute_error", HuberLoss(delta=1.35),
                   PinballLoss(quantile=0.8), TukeyBiweight(c=3.0)],
    "Classes": ["log_loss", "hinge", "smooth_hinge", "focal", "brier"],
}  # fmt: skip

figure = plt.figure(figsize=(8.6, 6.2), layout="constrained")
for part, losses in zip(figure.subfigures(2, 1), ROWS.values(), strict=True):
    axes = part.subplots(1, 3)
    display = LossDisplay.from_losses(losses, ax=axes)
    axes[0].get_legend().remove()
    handles = display.lines_[0]
    part.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
buffer = io.BytesIO()
figure.savefig(buffer, dpi=110)
# A hundred colours are enough, and a third of the size.
small = Image.open(buffer).convert("RGB").quantize(100, dither=Image.Dither.NONE)
small.save(Path(__file__).parent / "_static" / "losses.png", optimize=True)
