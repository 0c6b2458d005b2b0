"""minigrad/collectives/shards.py: who owns which nodes, how much they send, and the order of sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.collectives.shards import add_up, count, divide, halves, join
from tests.support.collectives import tree_sum

COUNTS = [(shards, workers) for shards in range(1, 41) for workers in range(1, shards + 1)]


def leaves(nodes):
    """The shards of nodes, in order."""
    return [shard for first, last in nodes for shard in range(first, last)]


def inner_nodes(node):
    """A node and all that it is made of."""
    return [node] if count(node) == 1 else [node, *(n for half in halves(node) for n in inner_nodes(half))]


@pytest.mark.parametrize("shards", range(1, 41))
def test_every_shard_is_owned_once_and_every_piece_is_a_node_of_the_tree(shards):
    tree = set(inner_nodes((0, shards)))
    for workers in range(1, shards + 1):
        owned = divide([(0, shards)], workers)
        assert sorted(shard for nodes in owned for shard in leaves(nodes)) == list(range(shards))
        assert len(owned) == workers and all(owned) and {n for nodes in owned for n in nodes} <= tree
        assert all(leaves(nodes) == sorted(leaves(nodes)) for nodes in owned)


def test_a_process_sends_at_most_twice_the_bytes_of_a_sum():
    for shards, workers in COUNTS:
        most = max(map(len, divide([(0, shards)], workers)))
        assert (most + 1) * (workers - 1) <= 2 * workers, (shards, workers)


def test_the_largest_load_is_that_of_a_power_of_two_of_workers():
    """At most that of the next smaller power of two; for 3 workers 3 of 8 pieces, where that of two is 4 of 8."""
    for shards, workers in COUNTS:
        load = max(sum(map(count, nodes)) for nodes in divide([(0, shards)], workers))
        pieces, mine = (8, 3) if workers == 3 else (1 << (workers.bit_length() - 1), 1)
        assert load <= -(-shards * mine // pieces), (shards, workers)
        if shards % workers == 0 and workers & (workers - 1) == 0:
            assert load == shards // workers


def test_workers_without_a_shard_own_nothing():
    assert divide([(0, 2)], 4) == (((0, 1),), ((1, 2),), (), ())


def test_a_division_of_eight_shards():
    assert divide([(0, 8)], 1) == (((0, 8),),)
    assert divide([(0, 8)], 2) == (((0, 4),), ((4, 8),))
    assert divide([(0, 8)], 3) == (((2, 3), (4, 6)), ((3, 4), (6, 8)), ((0, 2),))
    assert divide([(0, 4), (6, 8)], 2) == (((0, 4),), ((6, 8),))


@given(st.data())
def test_pieces_are_joined_where_both_halves_of_a_node_are_there(data):
    shards = data.draw(st.integers(1, 20))
    mine = data.draw(st.sets(st.integers(0, shards - 1)))
    joined = join([(shard, shard + 1) for shard in mine], [(0, shards)])
    assert leaves(joined) == sorted(mine)
    complete = [n for n in inner_nodes((0, shards)) if mine.issuperset(leaves([n]))]
    largest = [n for n in complete if not any(o[0] <= n[0] and n[1] <= o[1] and o != n for o in complete)]
    assert list(joined) == sorted(largest)


def test_nodes_are_not_joined_to_more_than_the_given_ones():
    assert join([(0, 1), (1, 2), (2, 3), (3, 4)], [(0, 2), (2, 4)]) == ((0, 2), (2, 4))


@given(st.integers(1, 40), st.data())
def test_a_sum_from_any_division_is_that_of_the_naive_tree(shards, data):
    workers = data.draw(st.integers(1, shards))
    terms = np.random.default_rng(shards).standard_normal((shards, 3)).astype(np.float32)
    add = lambda a, b: a + b
    known = {n: tree_sum(list(terms[slice(*n)])) for nodes in divide([(0, shards)], workers) for n in nodes}
    np.testing.assert_array_equal(add_up((0, shards), known, add), tree_sum(list(terms)))
    assert add_up((0, shards), {(s, s + 1): str(s) for s in range(shards)}, lambda a, b: f"({a}+{b})").count("+") == (
        shards - 1
    )


def test_the_order_of_five_terms():
    letters = {(i, i + 1): letter for i, letter in enumerate("abcde")}
    assert add_up((0, 5), letters, lambda a, b: f"({a}{b})") == "(((ab)c)(de))"
