"""minigrad/checks/nans.py: the error names the operation that made the first NaN, and the pass."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import checks


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_nan_of_the_forward_pass_is_named() -> None:
    with pytest.raises(checks.NanError, match=r"forward pass: 'log' at .*test_nans.py"), checks.debug_nans():
        mg.grad(lambda x: mg.sum(mg.exp(mg.log(x))))(np.array([-1.0, 2.0]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_nan_of_the_backward_pass_is_named() -> None:
    with pytest.raises(checks.NanError, match=r"backward pass of 'sqrt' at .*test_nans.py"), checks.debug_nans():
        mg.grad(lambda x: mg.sum(0.0 * mg.sqrt(x)))(np.array([0.0, 2.0]))


def test_without_nans_nothing_is_raised_and_the_interpreter_is_restored() -> None:
    before = mg.core.current()
    with checks.debug_nans():
        mg.grad(lambda x: mg.sum(mg.exp(x)))(np.array([0.0, 2.0]))
    assert mg.core.current() is before
