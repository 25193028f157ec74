"""What the displays share: axes, colours, legends, and the way into a fitted estimator."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_losses._array import to_host
from sklearn_losses.losses import get_loss

# Okabe and Ito's colours, told apart by colour-blind readers too; yellow is left out, which white
# paper swallows. Beyond seven lines the dashes change, never the colours alone.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
MOST_IN_LEGEND = len(COLOURS) * len(DASHES)


def pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "pictures need matplotlib: pip install matplotlib, or 'sklearn-losses[plot]'"
        ) from error
    return plt


def make_axes(ax, n, width_ratios=None, sharey=False):
    """The figure and n axes: those given, or of a new figure."""
    if ax is not None:
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) != n:
            raise ValueError(f"ax must hold {n} axes, one a panel; got {len(axes)}")
        return axes[0].figure, axes
    figure, axes = pyplot().subplots(
        1,
        n,
        figsize=({1: 4.4, 2: 6.4}.get(n, 2.9 * n), 2.8),
        layout="constrained",
        squeeze=False,
        sharey=sharey,
        width_ratios=width_ratios,
    )
    return figure, axes[0]


def line_look(k, given):
    """What tells the k-th line from the others, under what the user gives."""
    look = {
        "color": COLOURS[k % len(COLOURS)],
        "linestyle": DASHES[k // len(COLOURS) % len(DASHES)],
    }
    return {**look, "linewidth": 1.6, **(given or {})}


def legend(figure, axes, own):
    """Under the panels of a figure of our own, where it hides no line; else in the first axes."""
    handles, labels = axes[0].get_legend_handles_labels()
    if not 0 < len(handles) <= MOST_IN_LEGEND:
        return
    if not own:
        axes[0].legend(fontsize="small")
        return
    # In inches: an entry takes its letters and its handle, a row its height.
    width, height = figure.get_size_inches()
    columns = max(1, int(width / (0.075 * max(map(len, labels)) + 0.6)))
    rows = -(-len(handles) // columns)
    figure.set_size_inches(width, height + 0.21 * rows + 0.05)
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=-(-len(handles) // rows),
        frameon=False,
        fontsize="small",
    )


def finish(ax, x_label, y_label, title=None):
    ax.set_xlabel(x_label, fontsize=9)
    ax.set_ylabel(y_label, fontsize=9)
    if title:
        ax.set_title(title, fontsize="medium")
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def fitted_model(estimator):
    """The linear model within a pipeline, a search or a target transformer."""
    check_is_fitted(estimator)
    while True:
        for attribute in ("best_estimator_", "regressor_"):
            if hasattr(estimator, attribute):
                estimator = getattr(estimator, attribute)
                break
        else:
            if not hasattr(estimator, "steps"):
                return estimator
            estimator = estimator[-1]


def loss_of(estimator, loss, owner):
    if loss is not None:
        return get_loss(loss)
    model = fitted_model(estimator)
    if not hasattr(model, "loss_"):
        raise ValueError(f"{owner}: loss must be given, as {type(model).__name__} has no loss_")
    return model.loss_


def predictions(estimator, X, offset):
    y_pred = estimator.predict(X) if offset is None else estimator.predict(X, offset=offset)
    return np.asarray(to_host(y_pred))
