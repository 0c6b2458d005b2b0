"""minigrad/program/signature.py: which arguments a program takes, and whether outside arrays have changed."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.core import tree
from minigrad.core.errors import MutationError, OperandError
from minigrad.core.origin import Origin
from minigrad.program.graph import Constant, Kind
from minigrad.program.signature import Outside, Signature, exact_key, fingerprint, name_leaves

NAN = float("nan")


def test_indistinguishable_values_are_exactly_equal():
    for x in (1, 1.0, True, 0.0, -0.0, NAN, 1j, "a", None, (1, (2.0, NAN)), frozenset([1.0])):
        assert exact_key(x) == exact_key(x)
    assert exact_key((1, (2.0, float("nan")))) == exact_key((1, (2.0, float("nan"))))


@pytest.mark.parametrize(
    ("x", "y"), [(1, 1.0), (1, True), (0.0, -0.0), (1.0, 1 + 0j), ((1,), (1.0,)), ((), frozenset()), ((0.0,), (-0.0,))]
)
def test_equal_but_distinguishable_values_are_not_exactly_equal(x, y):
    assert exact_key(x) != exact_key(y)


def signature_of(*args, **kwargs):
    leaves, structure = tree.flatten((args, kwargs))
    kinds = [Kind(x.shape, x.dtype) if isinstance(x, np.ndarray) else Constant(x) for x in leaves]
    return Signature(structure, tuple(kinds))


def test_the_arrays_are_picked_from_arguments_of_the_same_kind():
    x, w = np.ones((2, 3)), np.ones(4, np.float32)
    found = signature_of(x, 2, [w], flag="a").arrays((x + 1, 2, [w]), {"flag": "a"})
    assert len(found) == 2 and found[1] is w
    np.testing.assert_array_equal(found[0], x + 1)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((np.ones((2, 4)), 2), {"flag": "a"}, r"captured with float64\[2, 3\], not float64\[2, 4\]"),
        ((np.ones((2, 3), np.float32), 2), {"flag": "a"}, r"captured with float64\[2, 3\], not float32\[2, 3\]"),
        ((np.ones((2, 3)), 3), {"flag": "a"}, "captured with 2, not 3"),
        ((np.ones((2, 3)), 2.0), {"flag": "a"}, r"captured with 2, not 2\.0"),
        ((np.ones((2, 3)), 2), {"flag": "b"}, "captured with .*a.*, not .*b"),
        ((2.0, 2), {"flag": "a"}, r"captured with float64\[2, 3\], not 2\.0"),
        ((np.ones((2, 3)), np.ones(())), {"flag": "a"}, r"captured with 2, not float64\[\]"),
        ((np.ones((2, 3)), 2, 3), {"flag": "a"}, "the program takes arguments"),
        ((np.ones((2, 3)), 2), {}, "the program takes arguments"),
    ],
)
def test_other_arguments_are_refused(args, kwargs, message):
    with pytest.raises(OperandError, match=message):
        signature_of(np.ones((2, 3)), 2, flag="a").arrays(args, kwargs)


def test_leaves_are_named_as_a_user_would_write_them():
    arguments = (1, {"a": [2, 3], 4: (5,)}, Kind((6,), 7)), {"rate": 8, "options": {"b": None, "c": 9}}
    assert name_leaves(tree.flatten(arguments)[1]) == [
        "argument 0", "argument 1['a'][0]", "argument 1['a'][1]", "argument 1[4][0]", "argument 2.shape[0]",
        "argument 2.dtype", "argument rate", "argument options['c']",
    ]  # fmt: skip


def test_an_outside_array_must_not_change():
    x = np.arange(6.0).reshape(2, 3)
    outside = Outside(x, fingerprint(x), Origin("multiply"))
    outside.check()
    x[1, 2] = np.nextafter(5.0, 6)
    with pytest.raises(MutationError, match=r"float64\[2, 3\], which 'multiply' at .* has changed since"):
        outside.check()
    x[1, 2] = 5.0
    outside.check()
