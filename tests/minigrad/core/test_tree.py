"""Trees: flatten, unflatten, map, names, and errors for different structures."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.core import tree


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any = None
    size: int = field(default=3, metadata={"static": True})


def trees(leaves):
    def wider(inner):
        return st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(st.one_of(st.text("ab", max_size=2), st.integers(0, 3)), inner, max_size=3),
            st.builds(Pair, inner, inner),
            st.builds(Layer, inner, inner, st.integers(0, 2)),
        )

    return st.recursive(st.one_of(st.none(), leaves), wider, max_leaves=10)


@given(trees(st.integers()))
def test_flatten_and_unflatten_are_inverse(values):
    leaves, structure = tree.flatten(values)
    assert None not in leaves and tree.unflatten(structure, leaves) == values
    assert tree.flatten(tree.unflatten(structure, leaves)) == (leaves, structure)
    assert str(structure).count("*") == len(leaves) == len(tree.names(values))


@given(trees(st.integers()), trees(st.integers()))
def test_compiled_flatteners_agree_with_flatten_and_unflatten(values, other):
    leaves, structure = tree.flatten(values)
    take, build = tree.make_flattener(structure), tree.make_unflattener(structure)
    for values_or_other, expected in ((values, leaves), (other, tree.flatten(other)[0])):
        found: list = []
        if take(values_or_other, found) and all(type(leaf) is int for leaf in found):
            assert found == expected and tree.flatten(values_or_other)[1] == structure
        else:
            assert tree.flatten(values_or_other)[1] != structure
    assert build(leaves) == values and build([-leaf for leaf in leaves]) == tree.map(lambda leaf: -leaf, values)


@given(trees(st.integers()))
def test_map(values):
    leaves, structure = tree.flatten(values)
    assert tree.flatten(tree.map(lambda a, b: a + 2 * b, values, values)) == ([3 * v for v in leaves], structure)
    assert tree.map(lambda a: a, values) == values


@given(trees(st.integers()), trees(st.integers()))
def test_mapping_trees_of_different_structures_raises(one, other):
    if tree.flatten(one)[1] != tree.flatten(other)[1]:
        with pytest.raises(tree.TreeError, match="has structure"):
            tree.map(lambda a, b: a, one, other)


def test_order_and_names():
    values = {"b": [1, (2, None)], "a": Pair(3, Layer(4, 5))}
    assert tree.flatten(values)[0] == [1, 2, 3, 4, 5]
    assert tree.names(values) == ["b.0", "b.1.0", "a.left", "a.right.weight", "a.right.bias"]
    assert tree.names(7) == [""] and tree.names(None) == []


def test_dicts_keep_their_order_and_correspond_key_by_key():
    one, other = {"b": 1, "a": [2, 3]}, {"a": [30, 40], "b": 20}
    assert list(tree.map(lambda v: v, one)) == ["b", "a"]
    assert list(tree.map(lambda v, w: v + w, one, other).items()) == [("b", 21), ("a", [32, 43])]
    assert tree.leaves_like(tree.flatten(one)[1], other) == [20, 30, 40]
    back = tree.map(lambda v: v + 1, OrderedDict(b=1, a=2))
    assert type(back) is OrderedDict and list(back.items()) == [("b", 2), ("a", 3)]
    for unlike in ({"a": [30, 40], "c": 20}, {"a": [30], "b": 20}, {"a": [30, 40]}, {"a": 20, "b": [30, 40]}):
        with pytest.raises(tree.TreeError, match="has structure"):
            tree.map(lambda v, w: v, one, unlike)


@given(trees(st.integers()), st.randoms())
def test_dicts_correspond_in_any_order_of_keys(values, random):
    def shuffle(node):
        if isinstance(node, dict):
            items = [(key, shuffle(child)) for key, child in node.items()]
            random.shuffle(items)
            return dict(items)
        if isinstance(node, Pair):
            return Pair(*map(shuffle, node))
        if isinstance(node, (list, tuple)):
            return type(node)(map(shuffle, node))
        return node

    assert tree.map(lambda v, w: w - v, values, shuffle(values)) == tree.map(lambda v: 0, values)


@pytest.mark.parametrize("values", [defaultdict(None, a=1), defaultdict(list, a=2), Counter(a=3), OrderedDict(a=4)])
def test_subclasses_of_dict_keep_their_type(values):
    leaves, structure = tree.flatten(values)
    for rebuilt in (tree.unflatten(structure, leaves), tree.make_unflattener(structure)(leaves)):
        assert type(rebuilt) is type(values) and rebuilt == values
        assert getattr(rebuilt, "default_factory", 0) is getattr(values, "default_factory", 0)


def test_static_fields_are_part_of_the_structure():
    assert tree.map(lambda v: v + 1, Layer(1, 2, size=9)) == Layer(2, 3, size=9)
    with pytest.raises(tree.TreeError):
        tree.map(lambda a, b: a, Layer(1, size=1), Layer(1, size=2))


def test_a_wrong_number_of_leaves_raises():
    _, structure = tree.flatten((1, [2, 3]))
    with pytest.raises(tree.TreeError, match=r"2 leaves are too few for the structure tuple\(0: \*, 1: list"):
        tree.unflatten(structure, [1, 2])
    with pytest.raises(tree.TreeError, match="4 leaves are too many"):
        tree.unflatten(structure, [1, 2, 3, 4])
    with pytest.raises(tree.TreeError, match="too many"):
        tree.unflatten(tree.LEAF, [1, None])


def test_the_error_prints_both_structures():
    with pytest.raises(tree.TreeError, match=r"dict\(a: \*\), expected dict\(a: \*, b: \*\)"):
        tree.map(lambda a, b: a, {"a": 1, "b": 2}, {"a": 1})
