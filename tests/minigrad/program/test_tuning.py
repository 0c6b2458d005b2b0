"""minigrad/program/tuning.py: a program is planned with the sizes it is given, and keeps them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

import minigrad as mg
from minigrad.program.tuning import DEFAULT, Tuning
from tests.support.programs import cut_everything


def test_a_tuning_is_frozen_and_equal_by_its_sizes():
    with pytest.raises(FrozenInstanceError):
        DEFAULT.part = 1
    assert Tuning() == DEFAULT != Tuning(part=1) == Tuning(part=1)
    with pytest.raises(TypeError):
        Tuning(1 << 16)


def f(x):
    return mg.sum(mg.tanh(x) * 2, axis=0)


@pytest.mark.parametrize("make", [lambda tuning: mg.jit(f, tuning=tuning).program, lambda t: mg.trace(f, tuning=t)])
def test_programs_are_planned_by_their_tuning(make):
    x, tuning = np.ones((8, 4)), cut_everything(threads=2)
    program = make(tuning)(x)
    assert program.tuning is tuning
    assert [len(parts) for parts in program._executor.plan.parts] == [8]
    assert program._executor.plan.threads == 2
    default = make(DEFAULT)(x)
    assert default.tuning is DEFAULT and [len(parts) for parts in default._executor.plan.parts] == [1]
    np.testing.assert_allclose(program(x), default(x), rtol=1e-14)


def test_copies_of_a_program_keep_its_tuning():
    program = mg.trace(f, tuning=cut_everything())(np.ones((8, 4)))
    assert pickle.loads(pickle.dumps(program)).tuning == program.tuning
    assert copy.deepcopy(program).tuning is program.tuning
