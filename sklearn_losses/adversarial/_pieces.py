"""A loss at the worst point of an interval: the largest of a few smooth functions of the raw
prediction and of how far an attack can move it.

A convex loss is largest at one of the ends, so that within a distance t of a raw prediction it is
``max(loss(raw + t), loss(raw - t))``. Each of the two is a piece; a loss of one label that falls
with the margin has one, and a loss with kinks has its lines instead.
"""

import numpy as np

from sklearn_losses.links import IdentityLink

# Raw predictions on which a loss is looked at.
GRID = np.concatenate([-np.geomspace(40.0, 1e-3, 40), [0.0], np.geomspace(1e-3, 40.0, 40)])


def check_loss(loss, what):
    """Raise where the worst case of a loss within an interval is not closed, or not convex.

    Parameters
    ----------
    loss : Loss
    what : str
        Who asks, for the error.
    """
    name = type(loss).__name__
    if loss.is_joint:
        raise ValueError(f"{what}: {name} is a loss of all samples together; an attack is on each")
    if loss.is_multiclass:
        raise ValueError(
            f"{what}: {name} has a raw prediction for each class, and its largest value under an "
            "attack is not closed. Take a binary loss, as 'log_loss': classes are then trained one "
            "against the rest"
        )
    if loss._holds_several():
        raise ValueError(f"{what}: here one value makes a loss; got {loss!r}")
    if loss._auto():
        parameter = loss._scale.parameter
        raise ValueError(
            f"{what}: {name} needs a number for {parameter}, as residuals under attack have no "
            f"scale of their own; got 'auto'. {name}().with_scale_of(y) gives one"
        )
    if not loss.convex:
        raise ValueError(
            f"{what}: {name} is not convex in the raw prediction (or not known to be): its largest "
            "value within an interval need not be at an end, and a fit may end anywhere"
        )
    if not loss.differentiable and loss._terms(np.zeros(1)) is None:
        raise ValueError(f"{what}: {name} has no derivative, and no lines that it is made of")
    loss._resolve()


def falls_with_margin(loss):
    """Whether a binary loss never grows with the raw prediction where the label is 1, nor falls
    where it is 0."""
    if loss.task != "binary":
        return False
    of_one, of_zero = (loss.gradient(np.full(len(GRID), y), GRID) for y in (1.0, 0.0))
    return bool((of_one <= 0).all() and (of_zero >= 0).all())


def never_ends(loss):
    """Whether a binary loss falls for ever with the margin, so that it may have no minimum."""
    return bool(loss.gradient(np.ones(1), np.full(1, 30.0))[0] < 0)


def worst_loss(loss, y, raw, t):
    """Largest loss of each sample where its raw prediction may be off by t.

    Parameters
    ----------
    loss : Loss
        That `check_loss` accepts.
    y, raw : ndarray of shape (n,), float64
    t : float or ndarray of shape (n,)
        Not negative.

    Returns
    -------
    worst : ndarray of shape (n,)
    """
    return np.maximum(loss.loss(y, raw + t), loss.loss(y, raw - t))


class Pieces:
    """The pieces of a loss at samples, in units in which raw predictions and losses are about 1.

    Parameters
    ----------
    loss : Loss
    y : ndarray of shape (n,), float64
    base : float
        The raw prediction that counts as 0.
    unit : float
        That of raw predictions.
    size : float
        That of losses.
    attacked : bool
        Whether t may be above 0.

    Attributes
    ----------
    sign : ndarray of shape (n_pieces, n) or (n_pieces, 1)
        Which way an attack moves the raw prediction in a piece.
    """

    def __init__(self, loss, y, base, unit, size, attacked):
        self.loss, self.y, self.base, self.unit, self.size = loss, y, base, unit, size
        self.lines = None
        if not loss.differentiable:
            slope, level = lines_of(loss, y, base)
            self.lines = slope * (unit / size), level / size
            self.sign = np.sign(slope)
        elif not attacked:
            self.sign = np.zeros((1, 1))
        elif falls_with_margin(loss) and np.isin(y, (0.0, 1.0)).all():
            self.sign = (1.0 - 2.0 * y)[None]
        else:
            self.sign = np.array([[1.0], [-1.0]])

    def __len__(self):
        return len(self.sign)

    def values(self, raw, t):
        """Values at raw predictions that an attack may move by t: (n_pieces, n)."""
        p = raw + self.sign * t
        if self.lines is not None:
            return self.lines[0] * p + self.lines[1]
        return np.stack([self.loss.loss(self.y, self._at(row)) for row in p]) / self.size

    def derivatives(self, raw, t):
        """First and second derivatives by the moved raw prediction: two of (n_pieces, n)."""
        p = raw + self.sign * t
        if self.lines is not None:
            return self.lines[0], np.zeros_like(p)
        both = [self.loss.gradient_hessian(self.y, self._at(row)) for row in p]
        slope, curvature = (np.stack(part) for part in zip(*both, strict=True))
        scale = self.unit / self.size
        return slope * scale, np.maximum(curvature, 0.0) * (scale * self.unit)

    @property
    def endless(self):
        """Whether the loss of every sample falls for ever with its margin."""
        return len(self) == 1 and falls_with_margin(self.loss) and never_ends(self.loss)

    def withstand(self, raw, t):
        """Whether all samples' margins are positive where an attack may move them by t."""
        margin = (2.0 * self.y - 1.0) * self._at(raw) - self.unit * t
        return bool(margin.min() > 0)

    def _at(self, row):
        return np.ascontiguousarray(self.base + self.unit * row)


def lines_of(loss, y, base):
    """A loss with kinks as the largest of lines in ``raw - base``: slopes and values at 0, two
    ndarrays of shape (n_lines, n).

    Parameters
    ----------
    loss : Loss
        With `_terms`.
    y : ndarray of shape (n,)
    base : float
    """
    terms = [
        [np.broadcast_to(np.asarray(part, dtype=np.float64), y.shape) for part in term]
        for term in loss._terms(y)
    ]
    kink, low, high = (np.stack([term[k] for term in terms]) for k in range(3))
    # Of two labels each may have a term of its own: those that do nothing go.
    live = high > low
    order = np.argsort(~live, axis=0, kind="stable")[: max(1, int(live.sum(axis=0).max()))]
    kink, low, high = (np.take_along_axis(part, order, axis=0) for part in (kink, low, high))
    order = np.argsort(kink, axis=0, kind="stable")
    kink, low, high = (np.take_along_axis(part, order, axis=0) for part in (kink, low, high))
    kink = kink - base
    slope, level = [low.sum(axis=0)], [-(low * kink).sum(axis=0)]
    for k in range(len(kink)):
        width = high[k] - low[k]
        slope.append(slope[-1] + width)
        level.append(level[-1] - width * kink[k])
    return np.stack(slope), np.stack(level)


def unit_of(loss, y, base, weight):
    """The unit of raw predictions: how far targets are from the best constant, where both are of
    one kind, else 1."""
    if loss.task == "regression" and loss.link == IdentityLink():
        spread = float(weight @ np.abs(y - base))
        return spread if spread > 0 else 1.0
    return 1.0
