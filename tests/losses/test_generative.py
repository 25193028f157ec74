"""The losses of adversarial games, held to their papers in exact arithmetic."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from sklearn.base import clone

from sklearn_losses import GANLoss
from sklearn_losses.generative import GAMES


# Goodfellow's logarithms of probabilities and of their complements, with p the sigmoid.
def log_p(s):
    return -mp.log1p(mp.exp(-s))


def log_q(s):
    return -mp.log1p(mp.exp(s))


def p(s):
    return 1 / (1 + mp.exp(-s))


def q(s):
    return 1 / (1 + mp.exp(s))


# By game: the loss of a real and of a fake score in the discriminator's mean, and of a fake one in
# the generator's, each with its derivative as it is done by hand.
PAPERS = {
    "minimax": (
        (lambda s: -log_p(s), lambda s: -q(s)),
        (lambda s: -log_q(s), lambda s: p(s)),
        (lambda s: log_q(s), lambda s: -p(s)),
    ),
    "non_saturating": (
        (lambda s: -log_p(s), lambda s: -q(s)),
        (lambda s: -log_q(s), lambda s: p(s)),
        (lambda s: -log_p(s), lambda s: -q(s)),
    ),
    "least_squares": (
        (lambda s: (s - 1) ** 2 / 2, lambda s: s - 1),
        (lambda s: s**2 / 2, lambda s: s),
        (lambda s: (s - 1) ** 2 / 2, lambda s: s - 1),
    ),
    "hinge": (
        (lambda s: max(mpf(0), 1 - s), lambda s: mpf(-1) if s < 1 else mpf(0)),
        (lambda s: max(mpf(0), 1 + s), lambda s: mpf(1) if s > -1 else mpf(0)),
        (lambda s: -s, lambda s: mpf(-1)),
    ),
    "wasserstein": (
        (lambda s: -s, lambda s: mpf(-1)),
        (lambda s: s, lambda s: mpf(1)),
        (lambda s: -s, lambda s: mpf(-1)),
    ),
}
every_game = pytest.mark.parametrize("game", PAPERS)
# Each alone in its mean, so that none hides behind another; the float32 ones are exact in both.
SCORES = [0.0, 1e-30, -1e-30, 0.5, -0.75, 1.5, -3.0, 17.0, -17.0, 40.0, -40.0, 80.0, -80.0]
SCORES += [700.0, -700.0, 1e15, -1e15]


def close(got, want, dtype):
    """Within 8 units in the last place; below the least normal number, within that."""
    info = np.finfo(dtype)
    return abs(mpf(float(got)) - want) <= 8 * float(info.eps) * abs(want) + float(info.tiny)


def test_every_game_is_held_to_a_paper():
    assert list(GAMES) == list(PAPERS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda t: t.__name__)
@every_game
def test_values_and_gradients_are_the_papers_for_all_scores(game, dtype):
    (real, of_real), (fake, of_fake), (generator, of_generator) = PAPERS[game]
    loss = GANLoss(game)
    # Where log(1 + x) and 1 - p lose nothing to 1.
    with mp.workdps(1000):
        for s in SCORES:
            scores = np.array([s], dtype=dtype)
            exact = mpf(float(scores[0]))
            value, gradient = loss.generator(scores)
            assert close(value, generator(exact), dtype)
            assert gradient.dtype == dtype and close(gradient[0], of_generator(exact), dtype)
            # Beside a score of 0: one number is not to drown the other.
            zero = np.zeros(1, dtype=dtype)
            for r, f in ((scores, zero), (zero, scores)):
                value, real_gradient, fake_gradient = loss.discriminator(r, f)
                r, f = mpf(float(r[0])), mpf(float(f[0]))
                assert close(value, real(r) + fake(f), dtype)
                assert real_gradient.dtype == fake_gradient.dtype == dtype
                assert close(real_gradient[0], of_real(r), dtype)
                assert close(fake_gradient[0], of_fake(f), dtype)


@every_game
def test_values_are_means_of_each_sample_of_its_own_and_gradients_theirs(game):
    rng = np.random.RandomState(0)
    r, f = rng.normal(size=7), rng.normal(size=(3, 4))
    loss = GANLoss(game)
    value, of_real, of_fake = loss.discriminator(r, f)
    (real, _), (fake, _), (generator, _) = PAPERS[game]
    want = sum(map(real, r)) / 7 + sum(map(fake, f.ravel())) / 12
    assert value == pytest.approx(float(want), rel=1e-13)
    got = loss.generator(f)
    assert got[0] == pytest.approx(float(sum(map(generator, f.ravel())) / 12), rel=1e-13)
    assert of_real.shape == r.shape and of_fake.shape == got[1].shape == f.shape
    step = 1e-6
    for k in range(7):
        up, down = r.copy(), r.copy()
        up[k] += step
        down[k] -= step
        slope = (loss.discriminator(up, f)[0] - loss.discriminator(down, f)[0]) / (2 * step)
        assert of_real[k] == pytest.approx(slope, abs=1e-8)
    for k in np.ndindex(f.shape):
        up, down = f.copy(), f.copy()
        up[k] += step
        down[k] -= step
        slope = (loss.discriminator(r, up)[0] - loss.discriminator(r, down)[0]) / (2 * step)
        assert of_fake[k] == pytest.approx(slope, abs=1e-8)
        slope = (loss.generator(up)[0] - loss.generator(down)[0]) / (2 * step)
        assert got[1][k] == pytest.approx(slope, abs=1e-8)


@every_game
def test_a_weight_of_two_is_two_samples_and_one_of_zero_is_none(game):
    rng = np.random.RandomState(1)
    r, f = rng.normal(size=5), rng.normal(size=6)
    loss, of_real, of_fake = GANLoss(game), np.array([2, 1, 0, 1, 3]), np.array([0, 1, 1, 2, 1, 1])
    for scale in (1.0, 1e-300, 5e307):
        value, real, fake = loss.discriminator(
            r, f, real_weight=scale * of_real, fake_weight=scale * of_fake
        )
        copied = loss.discriminator(np.repeat(r, of_real), np.repeat(f, of_fake))
        assert value == pytest.approx(copied[0], rel=1e-12)
        np.testing.assert_allclose(np.repeat(real / np.maximum(of_real, 1), of_real), copied[1])
        np.testing.assert_allclose(np.repeat(fake / np.maximum(of_fake, 1), of_fake), copied[2])
        assert not real[2].any() and not fake[0].any()
        value, fake = loss.generator(f, fake_weight=scale * of_fake)
        copied = loss.generator(np.repeat(f, of_fake))
        assert value == pytest.approx(copied[0], rel=1e-12)
        np.testing.assert_allclose(np.repeat(fake / np.maximum(of_fake, 1), of_fake), copied[1])


def test_the_games_of_their_papers_end_where_they_say():
    # Goodfellow, theorem 1: no discriminator tells equal distributions apart, and -log 4 is left.
    assert -GANLoss("minimax").discriminator([0.0], [0.0])[0] == pytest.approx(-np.log(4))
    # Given p_real and p_fake its best score is the logarithm of their ratio.
    p_real, p_fake = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    best = np.log(p_real / p_fake)
    _, of_real, of_fake = GANLoss("minimax").discriminator(
        best, best, real_weight=p_real, fake_weight=p_fake
    )
    np.testing.assert_allclose(of_real + of_fake, 0, atol=1e-16)
    # Mao: with -1, 1 and 0 the two are Pearson's divergence at the discriminator's best.
    best = (p_real - p_fake) / (p_real + p_fake)
    mao = GANLoss("least_squares", real_target=1, fake_target=-1, generator_target=0)
    _, of_real, of_fake = mao.discriminator(best, best, real_weight=p_real, fake_weight=p_fake)
    np.testing.assert_allclose(of_real + of_fake, 0, atol=1e-16)
    mixture = (
        mao.generator(best, fake_weight=p_fake)[0] + mao.generator(best, fake_weight=p_real)[0]
    )
    pearson = np.sum((2 * p_fake - (p_real + p_fake)) ** 2 / (p_real + p_fake))
    assert 2 * mixture == pytest.approx(pearson)


def test_smooth_labels_move_the_target_of_real_samples_alone():
    smooth = GANLoss("non_saturating", real_target=0.9)
    value, of_real, of_fake = smooth.discriminator([np.log(9)], [0.3])
    assert of_real[0] == pytest.approx(0, abs=1e-15)
    plain = GANLoss("non_saturating").discriminator([np.log(9)], [0.3])
    assert of_fake[0] == plain[2][0]
    entropy = -0.9 * np.log(0.9) - 0.1 * np.log(0.1)
    assert value == pytest.approx(entropy + np.log1p(np.exp(0.3)))
    assert smooth.generator([0.3]) == GANLoss("non_saturating").generator([0.3])
    other = GANLoss("non_saturating", fake_target=0.1, generator_target=0.8)
    assert other.discriminator([0.0], [-np.log(9)])[2][0] == pytest.approx(0, abs=1e-15)
    assert other.generator([np.log(4)])[1][0] == pytest.approx(0, abs=1e-15)


@given(
    scores=st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=5),
    game=st.sampled_from(sorted(PAPERS)),
)
def test_finite_scores_give_finite_numbers_and_order_counts_for_nothing(scores, game):
    loss, scores = GANLoss(game), np.array(scores)
    value, of_real, of_fake = loss.discriminator(scores, scores[::-1])
    again = loss.discriminator(scores[::-1], scores)
    assert np.isfinite([value, *of_real, *of_fake]).all()
    np.testing.assert_array_equal(of_real, again[1][::-1])
    np.testing.assert_array_equal(of_fake, again[2][::-1])


def test_a_game_is_its_parameters():
    loss = GANLoss("least_squares", fake_target=-1.0)
    assert loss.get_params() == {
        "game": "least_squares",
        "real_target": None,
        "fake_target": -1.0,
        "generator_target": None,
    }
    for other in (clone(loss), pickle.loads(pickle.dumps(loss))):
        assert other == loss and other is not loss
        assert other.discriminator([1.0], [0.5])[0] == 1.125
    assert loss.set_params(game="hinge", fake_target=None) == GANLoss("hinge")
    assert repr(loss) == "GANLoss(game='hinge')"
    assert GANLoss().game == "non_saturating"


def test_integers_and_lists_are_scores_and_nothing_is_written_to():
    scores = np.arange(6).reshape(2, 3)
    value, of_real, of_fake = GANLoss("hinge").discriminator(scores.tolist(), scores)
    assert of_real.dtype == of_fake.dtype == np.float64
    assert value == pytest.approx((1 + 1 + 2 + 3 + 4 + 5 + 6) / 6)
    wide = np.arange(24.0).reshape(4, 6)
    wide.flags.writeable = False
    got = GANLoss().generator(wide[::2, ::-2])
    want = GANLoss().generator(wide[::2, ::-2].copy())
    assert got[0] == want[0]
    np.testing.assert_array_equal(got[1], want[1])


def test_bad_input_is_named():
    zero, shape = [0.0], r"real_weight must have the shape of the scores, \(1,\); got \(2,\)"
    cases = [
        (ValueError, r"real_scores must be finite; got nan at index 1", ([0, np.nan], zero, {})),
        (ValueError, r"fake_scores must be finite; got inf at index 1", (zero, [0, np.inf], {})),
        (ValueError, r"fake_scores must hold at least one sample", (zero, [], {})),
        (TypeError, r"real_scores must hold real numbers", (["a"], zero, {})),
        (TypeError, r"real_scores must hold real numbers", (None, zero, {})),
        (ValueError, shape, (zero, zero, {"real_weight": [1, 2]})),
        (ValueError, r"fake_weight must not be negative", (zero, zero, {"fake_weight": [-1]})),
        (ValueError, r"fake_weight must not be all zero", (zero, zero, {"fake_weight": [0]})),
        (ValueError, r"real_weight must be finite", (zero, zero, {"real_weight": [np.nan]})),
    ]
    for error, message, (real, fake, weights) in cases:
        with pytest.raises(error, match=message):
            GANLoss().discriminator(real, fake, **weights)
    with pytest.raises(
        ValueError, match=r"game must be one of .*'wasserstein'.*; did you mean 'hin"
    ):
        GANLoss("hinges").generator([0.0])
    with pytest.raises(ValueError, match=r"game must be one of"):
        GANLoss(["hinge"]).generator([0.0])
    with pytest.raises(
        ValueError, match=r"real_target must be a number in \[0, 1\] or None; got 2"
    ):
        GANLoss(real_target=2).discriminator([0.0], [0.0])
    with pytest.raises(ValueError, match=r"generator_target must be a number in \[0, 1\] or None"):
        GANLoss("wasserstein", generator_target=-1).generator([0.0])
