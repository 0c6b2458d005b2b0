"""Tests of your own rules and functions: random arrays, trees and programs for hypothesis, and a check of gradients.

This needs hypothesis: `pip install 'minigrad-autodiff[testing]'`. Nothing else in minigrad imports it. Here is a rule
of one's own and its test, which pytest runs with arrays of any shape and memory layout; it reports the smallest that
fails:

    import minigrad as mg
    from hypothesis import given
    from minigrad import core
    from minigrad.testing import any_layout, arrays, assert_gradients, shapes

    @core.primitive("squash")
    def squash(b, x, out=None):
        return b.xp.divide(x, b.xp.sqrt(1 + x * x), out=out)

    core.partials(squash, x=lambda x: (1 + x * x) ** -1.5)

    @given(x=shapes().flatmap(arrays).flatmap(any_layout))
    def test_squash(x):
        assert_gradients(squash, x)

With the exponent -0.5 in the rule by mistake, the test ends with

    GradientError: argument x: reverse mode gives 0.8634..., five-point differences give 0.8502... (the derivative ...

    strategies    shapes, shapes that broadcast, axes; arrays of exact numbers, of special values, away from kinks;
                  dtypes, memory layouts, trees
    expressions   random programs: functions of arrays that are made of minigrad's operations
    gradients     assert_gradients; derivatives of a scalar function to any order; exact transposes
    layouts       functions that return the same numbers with other strides
    fixtures      fixtures for a conftest.py, without a plugin: `from minigrad.testing.fixtures import make_primitive`
"""

try:
    import hypothesis as _hypothesis  # noqa: F401  (tells whether it is installed)
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "minigrad.testing needs hypothesis, which is not installed: pip install 'minigrad-autodiff[testing]'",
        name="hypothesis",
    ) from None

from minigrad.testing.expressions import Expression, expressions
from minigrad.testing.gradients import assert_gradients, derivatives, exact_transpose, forward_derivative
from minigrad.testing.layouts import KEEPING, LAYOUTS
from minigrad.testing.strategies import (
    any_layout,
    arrays,
    away_from_kinks,
    axes,
    broadcasting,
    dtypes,
    normal,
    reduced_axes,
    shapes,
    sides,
    special_arrays,
    special_values,
    trees,
)

__all__ = [
    "KEEPING",
    "LAYOUTS",
    "Expression",
    "any_layout",
    "arrays",
    "assert_gradients",
    "away_from_kinks",
    "axes",
    "broadcasting",
    "derivatives",
    "dtypes",
    "exact_transpose",
    "expressions",
    "forward_derivative",
    "normal",
    "reduced_axes",
    "shapes",
    "sides",
    "special_arrays",
    "special_values",
    "trees",
]
