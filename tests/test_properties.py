"""One property for every operation, and one for the places where derivatives go wrong.

Hypothesis draws a call (see `calls`): shapes, parameters, dtypes, layouts, in the domain of the operation. Values must
be those of the plain formula, derivatives of both modes and of second order those of its oracle, and neither inputs nor
cotangents may change.
"""

from __future__ import annotations

import pytest
from calls import CALLS, laid_out
from checking import check_constant, check_first, check_second, check_value
from hypothesis import given, note
from hypothesis import strategies as st
from test_ops_derivatives import array_functions, our_primitives

ELEMENTS = 12  # of a gradient to compare one by one; a random direction sees the others


def test_no_operation_lacks_a_call():
    assert (our_primitives() | array_functions()) - set(CALLS) == set()


@pytest.mark.parametrize("name", sorted(CALLS))
@given(data=st.data())
def test_operation(name, data, on_device):
    case, args, layout = data.draw(CALLS[name].flatmap(laid_out))
    note(case.name)
    check_value(case, on_device, args)
    if case.discrete:
        check_constant(case, on_device, args)
        return
    check_first(case, on_device, args, layout, ELEMENTS)
    real = all(x.dtype == "float64" for x in args)
    check_second(case, on_device, args if real else case.arguments())
