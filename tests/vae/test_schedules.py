"""vae/schedules.py: each factor against its formula written again, at boundaries, and inside a captured step."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from tests.support.environment import optional
from tests.support.oracles import EPS
from vae import schedules
from vae.config import Config
from vae.optimisers import sgd
from vae.steps import make_step

TIMES = [0.0, 1e-9, 0.5, 0.999, 1.0, 1.001, 1.5, 2.0, 2.999, 3.0, 3.5, 4.0, 12.999, 13.0, 100.0]


def at(schedule, t) -> float:
    """The factor at a time, which is an array, as in a step; it must be one number in float64."""
    factor = schedule(np.asarray(t, np.float64))
    assert np.shape(factor) == () and np.asarray(factor).dtype == np.float64
    return float(factor)


# Formulas


@given(st.floats(0.1, 1000), st.floats(0, 1), st.floats(0, 2))
def test_cosine_falls_from_one_to_the_last_factor(epochs, last, part):
    """Half a turn of a circle: at a third of the time a quarter of the way is gone, at two thirds three quarters."""
    schedule = schedules.cosine(epochs, last)
    turned = 1 - math.sin(math.pi * min(part, 1.0) / 2) ** 2
    assert abs(at(schedule, part * epochs) - (last + (1 - last) * turned)) <= 16 * EPS
    assert at(schedule, 0) == 1
    assert abs(at(schedule, epochs) - last) <= 4 * EPS and abs(at(schedule, 2 * epochs) - last) <= 4 * EPS
    assert abs(at(schedule, epochs / 3) - (last + (1 - last) * 0.75)) <= 16 * EPS
    assert abs(at(schedule, epochs * 2 / 3) - (last + (1 - last) * 0.25)) <= 16 * EPS


def test_cosine_agrees_with_pytorch():
    torch = optional("torch", extra="bench")
    parameter = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=10, eta_min=0.1)
    for epoch in range(11):
        assert at(schedules.cosine(10, 0.1), epoch) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimiser.step()
        theirs.step()


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=5, unique=True), st.floats(0.01, 1), st.floats(0, 120))
def test_step_multiplies_once_for_each_milestone_passed(milestones, decay, t):
    schedule = schedules.step(sorted(milestones), decay)
    assert at(schedule, t) == pytest.approx(decay ** sum(t >= m for m in milestones), rel=8 * EPS)


def test_step_changes_at_the_milestone_and_not_before():
    schedule = schedules.step([2.0, 3.5], 0.1)
    values = [at(schedule, t) for t in (0, np.nextafter(2, 0), 2, np.nextafter(3.5, 0), 3.5, 1e6)]
    np.testing.assert_allclose(values, [1, 1, 0.1, 0.1, 0.01, 0.01], rtol=4 * EPS)


def test_iwae_is_the_table_of_the_paper():
    """Section 5: "3^i passes over the data with a learning rate of 0.001·10^(−i/7), for i = 0 … 7", 3280 in all."""
    rates = [1.0e-3, 7.2e-4, 5.2e-4, 3.7e-4, 2.7e-4, 1.9e-4, 1.4e-4, 1.0e-4]  # as rounded in the published code
    lengths = [1, 3, 9, 27, 81, 243, 729, 2187]
    assert sum(lengths) == 3280
    schedule, begin = schedules.iwae(), 0
    for i, (rate, length) in enumerate(zip(rates, lengths, strict=True)):
        assert abs(rate - 1e-3 * 10 ** (-i / 7)) <= 5e-6
        for t in (begin, begin + length / 2, np.nextafter(begin + length, 0)):
            assert 1e-3 * at(schedule, t) == pytest.approx(rate, rel=8 * EPS), t
        begin += length
    assert 1e-3 * at(schedule, begin) == pytest.approx(1e-4, rel=8 * EPS)


@given(st.floats(0.1, 1000), st.floats(0, 3))
def test_warm_up_is_a_line_and_then_one(epochs, part):
    assert at(schedules.warm_up(epochs), part * epochs) == pytest.approx(part if part < 1 else 1.0, rel=8 * EPS)


# In a captured step


@pytest.mark.parametrize(
    "schedule",
    [schedules.cosine(12, 0.2), schedules.step([1.0, 3.0, 13.0], 0.5), schedules.iwae(), schedules.warm_up(3)],
    ids=["cosine", "step", "iwae", "warm-up"],
)
def test_a_captured_schedule_follows_the_time_and_is_traced_once(schedule):
    traced = []

    def factor(t):
        traced.append(t)
        return schedule(t)

    captured = mg.jit(factor)
    found = [float(captured(np.asarray(t))) for t in TIMES]
    assert len(traced) == 1
    assert found == [at(schedule, t) for t in TIMES]
    assert len(set(found)) >= 3


def test_a_step_with_a_schedule_moves_by_the_rate_of_its_time():
    """Gradient 1 everywhere, without momentum: each step moves by the learning rate times the factor."""
    calls = []

    def gradient(p, t):
        calls.append(1)
        return p[0], np.ones(2)

    optimiser, schedule = sgd(0.25, 0.0), schedules.step([1.0, 2.0], 0.5)
    step = make_step(gradient, optimiser, schedule)
    p = np.zeros(2)
    state = optimiser.init(p)
    for t, moved in ((0.0, 0.25), (0.75, 0.25), (1.0, 0.125), (2.5, 0.0625)):
        before = p.copy()
        _, p, state = step(p, state, np.asarray(t))
        np.testing.assert_allclose(before - p, moved, rtol=1e-15)
    assert len(calls) == 1


# From a configuration


@pytest.mark.parametrize(
    ("settings", "points"),
    [
        ({}, None),
        ({"schedule": "cosine"}, {0: 1, 5: 0.5, 10: 0}),
        ({"schedule": "cosine", "learning_rate": 0.01, "final_rate": 0.001}, {0: 1, 5: 0.55, 10: 0.1}),
        ({"schedule": "step", "milestones": (2, 4.5), "decay": 0.3}, {1.9: 1, 2: 0.3, 4.4: 0.3, 4.5: 0.09, 9: 0.09}),
        ({"schedule": "iwae"}, {0.5: 1, 1: 0.72, 9.9: 0.52}),
    ],
)
def test_a_configuration_chooses_its_schedule(settings, points):
    schedule = Config(epochs=10, **settings).make_schedule()
    if points is None:
        assert schedule is None
        return
    for t, factor in points.items():
        assert at(schedule, t) == pytest.approx(factor, abs=8 * EPS)


def test_a_configuration_chooses_its_warm_up():
    assert Config().make_warm_up() is None
    schedule = Config(warm_up=4.0).make_warm_up()
    assert [at(schedule, t) for t in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
