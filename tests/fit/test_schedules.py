"""Learning-rate and batch-size schedules: the published formulas, and what every schedule keeps."""

import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone

import sklearn_losses as sl
from sklearn_losses.schedules import SCHEDULES, BatchGrowth, Schedule, get_schedule

# Two settings a schedule beside the defaults.
OTHER_PARAMS = {
    "exponential": [{"decay": 0.5}, {"decay": 1}],
    "step": [{"factor": 0.1, "every": 3}, {"factor": 1.0, "every": 0.5}],
    "cosine": [{"period": 3, "growth": 2, "minimum": 0.1}, {"period": 0.7, "growth": 3}],
    "warmup": [{"epochs": 2.5, "then": sl.CosineRestarts(period=4)}, {"then": "step", "start": 1}],
    "one_cycle": [{"epochs": 7, "peak": 3, "warmup": 0.5, "final": 0.5}, {"peak": 1, "final": 1}],
}
EVERY = [
    cls(**params) for name, cls in SCHEDULES.items() for params in [{}, *OTHER_PARAMS.get(name, [])]
]
PROGRESS = np.concatenate([np.arange(0, 130) / 4, np.geomspace(1e-9, 1e9, 200)])
every_schedule = pytest.mark.parametrize("schedule", EVERY, ids=repr)
unit = st.floats(1e-3, 1.0)
progress = st.floats(0, 1e6)


# ------------------------------------------------------------------------------------- the formulas
# One number at a time, as published.


def sgdr(t, eta_max, eta_min, t_0, t_mult):
    """Loshchilov and Hutter (2017), equation 5, by walking from restart to restart."""
    t_cur, t_i = t, t_0
    while t_cur >= t_i:
        t_cur, t_i = t_cur - t_i, t_i * t_mult
    return eta_min + 0.5 * (eta_max - eta_min) * (1 + math.cos(math.pi * t_cur / t_i))


def one_cycle_lr(step, total_steps, max_lr, pct_start, div_factor, final_div_factor):
    """PyTorch's OneCycleLR (anneal_strategy="cos", three_phase=False) at a step of 0, 1, ..."""
    initial_lr = max_lr / div_factor
    min_lr = initial_lr / final_div_factor
    phases = [
        (float(pct_start * total_steps) - 1, initial_lr, max_lr),
        (total_steps - 1, max_lr, min_lr),
    ]
    begin = 0
    for end, first, last in phases:
        if step <= end:
            share = (step - begin) / (end - begin)
            return last + (first - last) / 2 * (1 + math.cos(math.pi * share))
        begin = end
    raise AssertionError("past the end")


def after(warmup, then):
    return lambda t: 0.2 + 0.8 * t / warmup if t < warmup else then(t - warmup)


FORMULAS = {
    "exponential": (sl.ExponentialDecay(0.93), lambda t: math.exp(t * math.log(0.93))),
    "step": (sl.StepDecay(0.3, every=4), lambda t: math.prod([0.3] * int(t // 4))),
    "cosine": (sl.CosineRestarts(10, 1, 0.1), lambda t: sgdr(t, 1, 0.1, 10, 1)),
    "cosine, growing": (sl.CosineRestarts(3, 2, 0.02), lambda t: sgdr(t, 1, 0.02, 3, 2)),
    "cosine, times 3": (sl.CosineRestarts(0.5, 3), lambda t: sgdr(t, 1, 0, 0.5, 3)),
    "warmup": (sl.LinearWarmup(4, start=0.2), after(4, lambda t: 1)),
    "warmup, then": (
        sl.LinearWarmup(2.5, sl.StepDecay(0.5, 3), start=0.2),
        after(2.5, lambda t: 0.5 ** (t // 3)),
    ),
    "one_cycle": (
        # PyTorch's last step is number 200, and its turn is step 79.4: 0.4 * 201 - 1.
        sl.OneCycle(epochs=200, peak=25, warmup=79.4 / 200, final=1e-3),
        lambda t: 1.0 if t > 200 else one_cycle_lr(t, 201, 25.0, 0.4, 25.0, 1e3),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_factors_are_those_of_the_published_formula(name):
    schedule, formula = FORMULAS[name]
    epochs = np.arange(0, 801) / 4  # restarts of powers of 2 and 3 fall exactly on some of them
    expected = [formula(t) for t in epochs.tolist()]
    np.testing.assert_allclose(schedule.factors(epochs), expected, rtol=1e-11, atol=1e-14)


def test_every_schedule_is_held_to_a_formula():
    assert {type(schedule).name for schedule, _ in FORMULAS.values()} == set(SCHEDULES)
    assert set(OTHER_PARAMS) == set(SCHEDULES)


@pytest.mark.parametrize("growth", [1, 2, 3, 5, 10])
def test_cosine_restarts_exactly_at_the_end_of_a_period(growth):
    restarts = np.cumsum([0, *(7 * growth**i for i in range(12))])
    schedule = sl.CosineRestarts(period=7, growth=growth)
    assert (schedule.factors(restarts) == 1).all()
    before = schedule.factors(np.nextafter(restarts[1:], 0))
    assert (before > 0).all() and (before < 1e-25).all()


def test_the_first_step_of_a_warmup_moves_and_its_last_factor_is_one():
    assert sl.LinearWarmup().factors(0) == 0.01
    assert sl.LinearWarmup(epochs=3, start=0.5).factors([0, 3, 4]).tolist() == [0.5, 1, 1]


@every_schedule
def test_what_follows_a_warmup_starts_at_its_own_epoch_zero(schedule):
    factors = sl.LinearWarmup(epochs=3, then=schedule).factors(3 + np.arange(6.0))
    np.testing.assert_array_equal(factors, schedule.factors(np.arange(6.0)))


def test_a_name_stands_for_its_schedule_after_a_warmup():
    named = sl.LinearWarmup(epochs=3, then="exponential").factors(PROGRESS)
    same = sl.LinearWarmup(epochs=3, then=sl.ExponentialDecay()).factors(PROGRESS)
    np.testing.assert_array_equal(named, same)


def test_one_cycle_rises_to_its_peak_and_stays_at_its_final_value():
    factors = sl.OneCycle(epochs=20, peak=10, warmup=0.25, final=1e-4).factors([0, 5, 20, 21, 1e9])
    np.testing.assert_allclose(factors, [1, 10, 1e-4, 1e-4, 1e-4], rtol=1e-14)
    assert factors[2] == factors[3] == factors[4]


# --------------------------------------------------------------------------------------- properties


@given(st.lists(progress), unit, st.floats(0.1, 50))
def test_decays_never_rise_and_stay_in_zero_to_one(epochs, share, every):
    epochs = np.sort(epochs)
    for schedule in (sl.ExponentialDecay(share), sl.StepDecay(share, every)):
        factors = schedule.factors(epochs)
        assert (np.diff(factors) <= 1e-15).all()
        assert ((factors >= 0) & (factors <= 1 + 1e-15)).all()


@given(st.lists(progress), st.floats(0.01, 100), st.integers(1, 5), st.floats(0, 1))
def test_cosine_stays_between_its_minimum_and_one(epochs, period, growth, minimum):
    factors = sl.CosineRestarts(period, growth, minimum).factors(epochs)
    assert ((factors >= minimum * (1 - 1e-15)) & (factors <= 1 + 1e-15) & (factors > 0)).all()


@given(st.lists(st.floats(0, 1)), st.floats(0.01, 100), unit)
def test_a_warmup_never_falls_and_stays_between_its_start_and_one(shares, length, start):
    factors = sl.LinearWarmup(length, start=start).factors(np.sort(shares) * length)
    assert (np.diff(factors) >= -1e-15).all()
    assert ((factors >= start * (1 - 1e-15)) & (factors <= 1 + 1e-15)).all()


@given(
    st.lists(st.floats(0, 2)), st.floats(0.1, 1e3), st.floats(1, 100), st.floats(0.01, 0.99), unit
)
def test_one_cycle_rises_then_falls_within_its_bounds(shares, length, peak, warmup, final):
    shares = np.sort(shares)
    factors = sl.OneCycle(length, peak, warmup, final).factors(shares * length)
    slack = 1e-12 * peak
    assert (np.diff(factors[shares < warmup]) >= -slack).all()
    assert (np.diff(factors[shares > warmup]) <= slack).all()
    assert ((factors >= final * (1 - 1e-14)) & (factors <= peak * (1 + 1e-14))).all()


@every_schedule
def test_factors_are_finite_positive_and_of_the_shape_of_the_progress(schedule):
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        factors = schedule.factors(PROGRESS)
        far = schedule.factors([1e15, 1e300, np.finfo(np.float64).max])
    assert factors.dtype == np.float64 and factors.shape == PROGRESS.shape
    assert np.isfinite(factors).all() and (factors[PROGRESS <= 100] > 0).all()
    assert np.isfinite(far).all() and (far >= 0).all()
    for given_ in (2, 2.5, np.float32(2.5), [], [[0, 1, 2]], np.arange(6).reshape(2, 3)[:, ::2]):
        out = schedule.factors(given_)
        assert isinstance(out, np.ndarray) and out.shape == np.shape(given_)
        one_by_one = [float(schedule.factors(float(t))) for t in np.ravel(given_)]
        assert out.ravel().tolist() == one_by_one


@every_schedule
def test_factors_do_not_depend_on_what_was_asked_before_nor_change_their_input(schedule):
    epochs = PROGRESS.copy()
    whole = schedule.factors(epochs)
    np.testing.assert_array_equal(epochs, PROGRESS)
    parts = [schedule.factors(part) for part in np.array_split(PROGRESS, 7)[::-1]]
    np.testing.assert_array_equal(whole, np.concatenate(parts[::-1]))


# --------------------------------------------------------------------------------------- as objects


@pytest.mark.parametrize("thing", [*EVERY, BatchGrowth(), BatchGrowth(8, 3, 2, 99)], ids=repr)
def test_parameters_survive_clone_pickle_and_repr(thing):
    for copy in (clone(thing), pickle.loads(pickle.dumps(thing)), eval(repr(thing), vars(sl))):
        assert copy == thing and copy is not thing
        assert hash(copy) == hash(thing)
    assert type(thing)(**thing.get_params(deep=False)) == thing
    assert thing != object()


@pytest.mark.parametrize("name", SCHEDULES)
def test_other_parameters_are_another_schedule(name):
    cls = SCHEDULES[name]
    for params in OTHER_PARAMS[name]:
        assert cls(**params) != cls() and cls().set_params(**params) == cls(**params)


def test_parameters_of_a_nested_schedule_are_reached_from_an_estimator():
    class Estimator(BaseEstimator):
        def __init__(self, learning_rate=None):
            self.learning_rate = learning_rate

    estimator = Estimator(sl.LinearWarmup(then=sl.ExponentialDecay()))
    assert estimator.get_params()["learning_rate__then__decay"] == 0.95
    changed = clone(estimator).set_params(learning_rate__then__decay=0.5, learning_rate__epochs=2)
    assert changed.learning_rate == sl.LinearWarmup(2, sl.ExponentialDecay(0.5))
    assert estimator.learning_rate == sl.LinearWarmup(then=sl.ExponentialDecay(0.95))


def test_every_schedule_has_a_name_that_get_schedule_knows_and_is_public():
    for name, cls in SCHEDULES.items():
        assert get_schedule(name) == cls() and getattr(sl, cls.__name__) is cls


def test_get_schedule_takes_a_schedule_as_it_is_and_sets_parameters_on_a_copy():
    schedule = sl.LinearWarmup(then=sl.ExponentialDecay(0.9))
    assert get_schedule(schedule) is schedule
    copy = get_schedule(schedule, then__decay=0.5)
    assert copy.then.decay == 0.5 and schedule.then.decay == 0.9
    with pytest.raises(ValueError, match="did you mean 'exponential'"):
        get_schedule("exponental")
    with pytest.raises(ValueError, match="Invalid parameter 'width'"):
        get_schedule("step", width=3)
    with pytest.raises(ValueError, match=r"schedule must be .* got <class .*StepDecay'>"):
        get_schedule(sl.StepDecay)


def test_a_schedule_of_ones_own_defines_factors_alone():
    class InverseSquareRoot(Schedule):
        def factors(self, epochs):
            return 1 / np.sqrt(1 + np.asarray(epochs))

    warmup = sl.LinearWarmup(epochs=2, then=get_schedule(InverseSquareRoot()))
    assert warmup.factors([2, 5]).tolist() == [1, 0.5]
    with pytest.raises(NotImplementedError, match="Unfinished must define factors"):
        type("Unfinished", (Schedule,), {})().factors([0])


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_parameter_out_of_range_is_refused_when_used_and_named(name):
    cls = SCHEDULES[name]
    assert cls._parameter_intervals
    for parameter, interval in cls._parameter_intervals.items():
        wrong = ["wrong", None, np.nan, np.inf, True, interval.low - 1]
        wrong += [] if interval.low_inclusive else [interval.low]
        wrong += [np.nextafter(interval.high, np.inf)] if np.isfinite(interval.high) else []
        wrong += [] if interval.high_inclusive else [interval.high]
        for value in wrong:
            schedule = cls(**{parameter: value})  # nothing is checked here
            for epochs in ([], [0.0, 1.0]):
                with pytest.raises(
                    ValueError, match=f"{cls.__name__}: {parameter} must be a number in"
                ):
                    schedule.factors(epochs)


@pytest.mark.parametrize("growth", [0, -1, 2.0, 1.5, np.nan, True, "2", None, 2**63])
def test_the_growth_of_periods_is_a_whole_number(growth):
    with pytest.raises(ValueError, match="CosineRestarts: growth must be an integer from 1"):
        sl.CosineRestarts(growth=growth).factors([0])


def test_what_follows_a_warmup_is_checked_at_the_first_step():
    with pytest.raises(ValueError, match=r"LinearWarmup: then, .*did you mean 'cosine'"):
        sl.LinearWarmup(then="cosin").factors([0])
    with pytest.raises(ValueError, match=r"LinearWarmup: then, .*got 0\.9"):
        sl.LinearWarmup(then=0.9).factors([0])
    with pytest.raises(ValueError, match="StepDecay: every"):
        sl.LinearWarmup(then=sl.StepDecay(every=0)).factors([0])


@every_schedule
def test_progress_that_is_no_finite_number_from_zero_on_is_refused(schedule):
    for bad in (-1e-9, np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=rf"epochs must be in \[0, inf\); got {bad}"):
            schedule.factors([0, bad])
    for bad in (None, "1", [1j]):
        with pytest.raises(TypeError, match="epochs must hold real numbers"):
            schedule.factors(bad)


# -------------------------------------------------------------------------------------- batch sizes


@pytest.mark.parametrize(
    "growth, expected",
    [
        (BatchGrowth(), [32] * 10 + [64] * 10 + [128] * 10),
        (BatchGrowth(1, 5, 2), [1, 1, 5, 5, 25, 25, 125]),
        (BatchGrowth(100, 1.15, 1), [100, 115, 132, 152, 175]),
        (BatchGrowth(20, 3, 1, maximum=100), [20, 60, 100, 100]),
        (BatchGrowth(20, 3, 1, maximum=20), [20, 20]),
        (BatchGrowth(7, 1, 1), [7, 7, 7]),
    ],
    ids=repr,
)
def test_batches_grow_by_the_factor_up_to_the_maximum(growth, expected):
    sizes = [growth.size(epoch) for epoch in range(len(expected))]
    assert sizes == expected
    assert {type(size) for size in sizes} == {int}
    assert growth.size(np.int64(0)) == expected[0]


@settings(max_examples=50)
@given(
    st.integers(1, 10**6),
    st.floats(1, 1e6),
    st.integers(1, 100),
    st.integers(0, 10**6) | st.none(),
    st.integers(0, 2**63 - 1),
)
def test_batches_never_shrink_and_fit_in_64_bits(start, factor, every, more, epoch):
    maximum = None if more is None else start + more
    growth = BatchGrowth(start, factor, every, maximum)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sizes = [growth.size(e) for e in (0, epoch // 2, epoch, 2**63 - 1)]
    assert sizes == sorted(sizes)
    assert sizes[0] == start and sizes[-1] <= (2**63 - 1 if maximum is None else maximum)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"start": 0}, "start must be an integer from 1"),
        ({"start": 32.0}, "start must be an integer from 1"),
        ({"factor": 0.5}, r"factor must be a number in \[1, inf\)"),
        ({"factor": np.nan}, r"factor must be a number in \[1, inf\)"),
        ({"every": 0}, "every must be an integer from 1"),
        ({"every": 1.5}, "every must be an integer from 1"),
        ({"maximum": 31}, "maximum must be an integer from 32"),
        ({"maximum": "big"}, "maximum must be an integer from 32"),
    ],
)
def test_a_batch_parameter_out_of_range_is_refused_when_used_and_named(params, message):
    growth = BatchGrowth(**params)
    with pytest.raises(ValueError, match=f"BatchGrowth: {message}"):
        growth.size(0)


@pytest.mark.parametrize("epoch", [-1, 0.5, 1.0, None, True])
def test_the_epoch_of_a_batch_is_a_whole_number_from_zero_on(epoch):
    with pytest.raises(ValueError, match="BatchGrowth: epoch must be an integer from 0"):
        BatchGrowth().size(epoch)
