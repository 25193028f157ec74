"""The losses of generative adversarial games, made of the losses of one sample."""

import difflib
from dataclasses import dataclass, replace

import numpy as np

from sklearn_losses._array import check_on_host, kernel_array, to_host
from sklearn_losses._interval import UNIT
from sklearn_losses._parameters import Parametric, check_number
from sklearn_losses.losses._arrays import finite, relative_weight
from sklearn_losses.losses.base import Loss
from sklearn_losses.losses.classification import HalfBinomialLoss, Hinge
from sklearn_losses.losses.custom import CustomLoss
from sklearn_losses.losses.regression import HalfSquaredError

__all__ = ["GAMES", "GANLoss", "gradient_penalty"]


class LinearScore(CustomLoss):
    """``(1 - 2 * y_true) * raw``: a critic's. It has no minimum, and so is no loss to fit with."""

    task = "binary"
    interval_y_true = UNIT
    convex = True

    def value(self, y_true, raw_prediction):
        return (1 - 2 * y_true) * raw_prediction

    def derivative(self, y_true, raw_prediction):
        # NaN in, NaN out.
        return np.where(raw_prediction == raw_prediction, 1 - 2 * y_true, raw_prediction)

    def second_derivative(self, y_true, raw_prediction):
        return 0 * y_true


@dataclass(frozen=True)
class Term:
    """``sign * mean(loss(target, scores))``."""

    loss: Loss
    target: float
    sign: float = 1.0

    def value_gradient(self, scores, weight):
        """The number, and its derivative by the scores.

        Parameters
        ----------
        scores, weight : ndarray of shape (n,)
            Checked; weight may be None.
        """
        target = np.full(len(scores), self.target, dtype=scores.dtype)
        gradient = np.empty_like(scores)
        total = self.loss._evaluate(target, scores, weight, None, None, gradient, None, True)
        mass = len(scores) if weight is None else float(weight.sum(dtype=np.float64))
        gradient /= self.sign * mass
        return self.sign * total / mass, gradient


@dataclass(frozen=True)
class Game:
    """Two terms of the discriminator, and one of the generator."""

    real: Term
    fake: Term
    generator: Term


def _game(loss, generator):
    return Game(Term(loss, 1.0), Term(loss, 0.0), generator)


_LOG, _SQUARE, _HINGE, _LINEAR = HalfBinomialLoss(), HalfSquaredError(), Hinge(), LinearScore()

GAMES = {
    "minimax": _game(_LOG, Term(_LOG, 0.0, sign=-1.0)),
    "non_saturating": _game(_LOG, Term(_LOG, 1.0)),
    "least_squares": _game(_SQUARE, Term(_SQUARE, 1.0)),
    "hinge": _game(_HINGE, Term(_LINEAR, 1.0)),
    "wasserstein": _game(_LINEAR, Term(_LINEAR, 1.0)),
}


class GANLoss(Parametric):
    """The two losses of a generative adversarial game, as functions of raw scores.

    A discriminator (of some games: a critic) scores samples, high where it takes them for real; a
    generator makes fake ones that it shall take for real. Each of the two minimises a mean, with
    ``r`` the scores of real samples and ``f`` those of fake ones:

    ================  ======================================================  ===================
    game              discriminator                                           generator
    ================  ======================================================  ===================
    minimax           ``mean(log(1 + exp(-r))) + mean(log(1 + exp(f)))``      ``-mean(log(1 +
                                                                              exp(f)))``
    non_saturating    the same                                                ``mean(log(1 +
                                                                              exp(-f)))``
    least_squares     ``(mean((r - 1)**2) + mean(f**2)) / 2``                 ``mean((f - 1)**2) /
                                                                              2``
    hinge             ``mean(max(0, 1 - r)) + mean(max(0, 1 + f))``           ``-mean(f)``
    wasserstein       ``mean(f) - mean(r)``                                   ``-mean(f)``
    ================  ======================================================  ===================

    Of the first two the sigmoid of a score is the probability that the sample is real; scores go in
    without it. Wasserstein's critic has to be 1-Lipschitz, for which `gradient_penalty` is one
    way; its least loss is then minus the distance between the distributions.

    Parameters
    ----------
    game : str, default="non_saturating"
        A name of the table.
    real_target, fake_target, generator_target : float or None, default=None
        What the scores of real and fake samples are held to by the discriminator, and those of fake
        ones by the generator. None: 1 and 0, and what the table says. Least squares take any real
        numbers, as -1, 1 and 0, the other choice of its paper; the others take probabilities, in
        [0, 1], as a `real_target` of 0.9 for one-sided label smoothing [6]_.

    References
    ----------
    .. [1] Goodfellow, I. et al. (2014). Generative adversarial nets. NeurIPS, equation 1, and
       section 3 for "non_saturating".
    .. [2] Mao, X. et al. (2017). Least squares generative adversarial networks. ICCV, equations 2
       and 9.
    .. [3] Lim, J. H. and Ye, J. C. (2017). Geometric GAN. arXiv:1705.02894.
    .. [4] Miyato, T. et al. (2018). Spectral normalization for generative adversarial networks.
       ICLR, equations 16 and 17.
    .. [5] Arjovsky, M., Chintala, S. and Bottou, L. (2017). Wasserstein generative adversarial
       networks. ICML, equations 2 and 3.
    .. [6] Salimans, T. et al. (2016). Improved techniques for training GANs. NeurIPS, section 3.4.

    Examples
    --------
    >>> from sklearn_losses import GANLoss
    >>> game = GANLoss("hinge")
    >>> value, of_real, of_fake = game.discriminator([0.5, 2.0], [-3.0, 1.0])
    >>> value, of_real, of_fake
    (1.25, array([-0.5,  0. ]), array([0. , 0.5]))
    >>> game.generator([-3.0, 1.0])
    (1.0, array([-0.5, -0.5]))

    Equal scores for all, as at the end of Goodfellow's game:

    >>> round(GANLoss("minimax").discriminator([0.0], [0.0])[0], 6)
    1.386294
    """

    def __init__(
        self,
        game="non_saturating",
        *,
        real_target=None,
        fake_target=None,
        generator_target=None,
    ):
        self.game = game
        self.real_target = real_target
        self.fake_target = fake_target
        self.generator_target = generator_target

    def _terms(self):
        """The game's terms with the targets that are given, checked."""
        if not (isinstance(self.game, str) and self.game in GAMES):
            near = difflib.get_close_matches(str(self.game), GAMES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"GANLoss: game must be one of {list(GAMES)}; got {self.game!r}{hint}")
        game = GAMES[self.game]

        def given(name):
            term, target = getattr(game, name), getattr(self, f"{name}_target")
            if target is None:
                return term
            interval = term.loss.interval_y_true
            number = check_number("GANLoss", f"{name}_target", target, interval, " or None")
            return replace(term, target=number)

        return Game(given("real"), given("fake"), given("generator"))

    def discriminator(self, real_scores, fake_scores, *, real_weight=None, fake_weight=None):
        """The discriminator's loss and its derivatives.

        Parameters
        ----------
        real_scores, fake_scores : array-like of any shape
            Raw scores, finite; of any number of samples each, at least one.
        real_weight, fake_weight : array-like of the shapes of the scores or None, default=None
            Weights of the samples in the two means; not negative, not all zero.

        Returns
        -------
        loss : float
        real_gradient, fake_gradient : ndarray of the shapes of the scores
            Derivatives of the loss, in the dtype of the scores.

        Raises
        ------
        TypeError
            Where scores are no real numbers.
        ValueError
            Where scores or weights have another shape or a value outside their range, or a
            parameter has.
        """
        terms = self._terms()
        real, of_real = _term(terms.real, "real", real_scores, real_weight)
        fake, of_fake = _term(terms.fake, "fake", fake_scores, fake_weight)
        return real + fake, of_real, of_fake

    def generator(self, fake_scores, *, fake_weight=None):
        """The generator's loss and its derivative.

        Parameters
        ----------
        fake_scores, fake_weight
            As in `discriminator`, which raises the same errors.

        Returns
        -------
        loss : float
        fake_gradient : ndarray of the shape of the scores
        """
        return _term(self._terms().generator, "fake", fake_scores, fake_weight)


def _term(term, name, scores, weight):
    """A term of given scores, all of them checked."""
    arrays = {f"{name}_scores": scores, f"{name}_weight": weight}
    for key, array in arrays.items():
        check_on_host("GANLoss, but for as_torch,", **{key: array})
        if array is not None or key == f"{name}_scores":
            arrays[key] = finite(kernel_array(array, key), key)
    scores, weight = arrays.values()
    if scores.size == 0:
        raise ValueError(f"{name}_scores must hold at least one sample; got 0")
    if weight is not None:
        weight = _weight(f"{name}_weight", weight, scores.shape)
    value, gradient = term.value_gradient(np.ascontiguousarray(scores).ravel(), weight)
    return value, gradient.reshape(scores.shape)


def _weight(name, weight, shape):
    if weight.shape != shape:
        raise ValueError(f"{name} must have the shape of the scores, {shape}; got {weight.shape}")
    if (weight < 0).any():
        raise ValueError(f"{name} must not be negative; got {to_host(weight[weight < 0][0])}")
    if not weight.any():
        raise ValueError(f"{name} must not be all zero")
    return relative_weight(np.ascontiguousarray(weight).ravel())


def gradient_penalty(critic, real, fake, *, target=1.0, generator=None):
    """The gradient penalty of a critic, in PyTorch: the mean of ``(norm - target)**2``.

    The norm is that of the critic's gradient by its input, at points that are drawn uniformly on
    the lines between real and fake samples. Add it, times a strength (10 in the paper), to the
    critic's loss; it is differentiable by the critic's parameters. A critic whose score of a sample
    depends on others of the batch, by batch normalisation, has no such gradient.

    Parameters
    ----------
    critic : callable
        From a tensor of samples to a tensor of their scores.
    real, fake : Tensor of shape (n_samples, ...), float32 or float64
        Samples, of one shape. They are taken as constants.
    target : float, default=1.0
        The norm that is asked for; in [0, inf).
    generator : torch.Generator or None, default=None
        Where the points are drawn from; None: PyTorch's own.

    Returns
    -------
    penalty : Tensor of shape ()

    Raises
    ------
    ImportError
        Where PyTorch is not installed.
    TypeError, ValueError
        For samples that are no such tensors or differ in shape, and a target outside its range.

    References
    ----------
    Gulrajani, I., Ahmed, F., Arjovsky, M., Dumoulin, V. and Courville, A. (2017). Improved training
    of Wasserstein GANs. NeurIPS, equation 3.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from sklearn_losses import gradient_penalty
    >>> critic = torch.nn.Linear(2, 1)  # doctest: +SKIP
    >>> penalty = gradient_penalty(critic, torch.randn(8, 2), torch.randn(8, 2))  # doctest: +SKIP
    >>> penalty.backward()  # doctest: +SKIP
    """
    from sklearn_losses._torch import gradient_penalty

    return gradient_penalty(critic, real, fake, target, generator)
