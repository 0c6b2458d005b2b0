"""minigrad/core/leaves.py: checks of arguments and cotangents; gradients that share no memory."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.core import leaves
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.reverse import Reverse
from tests.support.transfer import to_host


def test_derivatives_need_floating_arrays(xp):
    leaves.check_inexact(xp.ones(2), "grad")
    leaves.check_inexact(1.5, "grad")
    with pytest.raises(OperandTypeError, match=r"jvp: .*int64\[2\]: convert it with x.astype\(float\), or go"):
        leaves.check_inexact(xp.asarray([1, 2]), "jvp", "go")
    with pytest.raises(OperandTypeError, match=r"grad: a leaf to differentiate is not an array: .*mg.tree.register"):
        leaves.check_inexact(object(), "grad")


def test_a_cotangent_has_the_shape_and_kind_of_its_result(xp):
    leaves.check_fits(xp.ones(2), (2,), np.dtype(np.float64), "cotangent", "y")
    leaves.check_fits(1, (), np.dtype(np.float64), "cotangent", "y")
    for wrong in (xp.ones(3), xp.asarray([1, 2]), "no"):
        with pytest.raises(OperandError, match=r"a cotangent must be float64\[2\] like y"):
            leaves.check_fits(wrong, (2,), np.dtype(np.float64), "cotangent", "y")


def test_numbers_become_arrays_beside_another(xp):
    assert type(leaves.as_array(2.0, xp.ones(3))) is type(xp.asarray(2.0))
    x = xp.ones(2)
    assert leaves.as_array(x, x) is x


def test_gradients_share_no_memory_with_arrays_the_user_holds(xp):
    tape = Reverse()
    with tape:
        inputs = [tape.watch(xp.ones(2)) for _ in range(4)]
    given = xp.asarray([5.0, 6.0])
    fresh = xp.asarray([1.0, 2.0])
    found = leaves.separate([fresh, given, None, given[:]], inputs, [given])
    assert found[0] is fresh and found[1] is not given
    assert to_host(found[1]).tolist() == to_host(found[3]).tolist() == [5, 6]
    assert to_host(found[2]).tolist() == [0, 0]
    given[0] = 7
    assert float(found[1][0]) == float(found[3][0]) == 5
