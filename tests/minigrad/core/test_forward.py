"""minigrad/core/forward.py: values carry their tangents."""

from __future__ import annotations

import pytest

import minigrad as mg
from minigrad.core.forward import Forward, ForwardTracer
from tests.support.transfer import to_host


def test_a_value_carries_its_tangent(xp):
    with Forward() as level:
        x = level.lift(xp.asarray([1.0, 2.0]), xp.asarray([1.0, -1.0]))
        value, tangent = level.lower(mg.multiply(x, x))
    assert to_host(value).tolist() == [1, 4] and to_host(tangent).tolist() == [2, -4]


def test_values_independent_of_the_input_have_no_tangent(xp):
    with Forward() as level:
        x = level.lift(xp.asarray(1.0), xp.asarray(1.0))
        assert level.lower(mg.add(1.0, 2.0)) == (3.0, None)
        assert not isinstance(mg.greater(x, 0), ForwardTracer)
        assert level.lower(mg.stop_gradient(x))[1] is None


def test_a_value_of_the_outer_level_is_a_constant_of_the_inner(xp):
    with Forward() as outer:
        x = outer.lift(xp.asarray(3.0), xp.asarray(1.0))
        with Forward() as inner:
            y = inner.lift(xp.asarray(2.0), xp.asarray(1.0))
            product, tangent = inner.lower(mg.multiply(x, y))
        assert float(outer.lower(product)[0]) == 6 and float(outer.lower(tangent)[0]) == 3
        assert float(outer.lower(product)[1]) == 2 and float(outer.lower(tangent)[1]) == 1


def test_a_tangent_of_the_wrong_shape_raises(make_primitive, xp):
    wrong = make_primitive(lambda b, x, out=None: b.xp.sin(x), lambda t: mg.sum(t), lambda g: g)
    with pytest.raises(AssertionError, match=r"the jvp of 'made_\d+' has shape \(\), expected \(2,\)"):
        mg.jvp(wrong, (xp.ones(2),), (xp.ones(2),))
