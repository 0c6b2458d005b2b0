"""minigrad/program/gpu/arguments.py: where arguments are read, and when that changes; tested with host arrays."""

from __future__ import annotations

import numpy as np

from minigrad.core.vectors import add_p
from minigrad.program.gpu.arguments import Arguments
from minigrad.program.graph import Constant
from tests.support.graphs import GraphBuilder


def graph_of(shape=(2, 2), constant=0.0, donated=()):
    """The sum of two arguments, 0 and 1, and a constant."""
    g = GraphBuilder()
    x, y = g.input(shape), g.input(shape)
    return g.graph(g.add(add_p, g.add(add_p, x, y), Constant(constant)), donated=donated)


def pair(shape=(2, 2)):
    return np.ones(shape), np.zeros(shape)


def test_arguments_are_read_in_place_while_they_do_not_move():
    arguments, (x, y) = Arguments(graph_of()), pair()
    assert arguments.take((x, y), ())
    assert arguments.array(0) is x and arguments.array(1) is y
    assert not arguments.take((x, y), ())
    assert not arguments.take((x[:], y), ())  # another array with the same memory


def test_an_argument_that_moves_is_copied_from_then_on():
    arguments, (x, y) = Arguments(graph_of()), pair()
    arguments.take((x, y), ())
    moved = np.full((2, 2), 3.0)
    assert arguments.take((x, moved), ())
    buffer = arguments.array(1)
    assert not np.shares_memory(buffer, moved) and np.array_equal(buffer, moved)
    assert not arguments.take((x, y), ())  # nothing has to be bound again
    assert arguments.array(1) is buffer and np.array_equal(buffer, y)


def test_an_argument_that_is_overwritten_is_read_at_its_new_address():
    arguments, (x, y) = Arguments(graph_of(donated=(0,))), pair()
    arguments.take((x, y), ())
    moved = x.copy()
    assert arguments.take((moved, y), (0,)) and arguments.array(0) is moved


def test_a_result_may_come_back_as_an_argument_without_binding():
    arguments, (x, y) = Arguments(graph_of(donated=(0,))), pair()
    arguments.take((x, y), ())
    result = x[:]
    arguments.expect(0, result)
    assert not arguments.take((result, y), (0,)) and arguments.array(0) is result


def test_arguments_that_are_not_contiguous_are_copied():
    arguments, (x, y) = Arguments(graph_of()), pair()
    turned = np.array([[1.0, 2.0], [3.0, 4.0]]).T
    assert arguments.take((turned, y), ())
    assert arguments.array(0).flags.c_contiguous and np.array_equal(arguments.array(0), [[1, 3], [2, 4]])
    assert not arguments.take((x, y), ()) and np.array_equal(arguments.array(0), x)


def test_scalars_are_copied_unless_they_are_donated():
    for donated in ((), (0,)):
        arguments, (x, y) = Arguments(graph_of((), donated=donated)), pair(())
        assert arguments.take((x, y), ())
        assert (arguments.array(0) is x) == (donated == (0,)) and arguments.array(1) is not y
        assert not arguments.take((x, np.array(5.0)), ()) and arguments.array(1) == 5


def test_a_donated_scalar_that_moves_is_copied_from_then_on():
    arguments, (x, y) = Arguments(graph_of((), donated=(0,))), pair(())
    arguments.take((x, y), ())
    assert arguments.take((x.copy(), y), (0,))
    assert not arguments.take((np.array(7.0), y), (0,)) and arguments.array(0) == 7


def test_after_forget_arguments_may_be_anywhere():
    arguments, (x, y) = Arguments(graph_of()), pair()
    arguments.take((x, y), ())
    arguments.forget()
    assert arguments.take((y, x), ()) and arguments.array(0) is y and arguments.array(1) is x


def test_donated_arguments_that_share_no_memory_are_writable():
    memory = np.zeros(6)
    x, y, beside = memory[:4].reshape(2, 2), memory[2:6].reshape(2, 2), np.zeros((2, 2))
    for given, donated, constant, writable in [
        ((x, beside), (0, 1), 0.0, {0, 1}),
        ((x, beside), (1,), 0.0, {1}),
        ((x, y), (0, 1), 0.0, set()),  # they overlap
        ((x, x), (0, 1), 0.0, set()),
        ((x, beside), (0, 1), memory[3:4], {1}),  # a constant shares its memory
        ((x.T, beside), (0, 1), 0.0, {1}),  # what is copied is not overwritten
    ]:
        arguments = Arguments(graph_of(donated=donated, constant=constant))
        arguments.take(given, ())
        assert arguments.writable() == writable
