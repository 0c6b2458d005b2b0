"""minigrad/core/reverse.py: the entries of the tape, and the backward pass."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.arrays import Shaped
from minigrad.core.interpreter import Interpreter, current
from minigrad.core.reverse import Reverse, accumulate, current_entry
from tests.support.transfer import to_host


def names(tape):
    return [entry.primitive.name if entry.primitive else "input" for entry in tape.tape]


def test_the_tape_is_in_the_order_of_execution(xp):
    with Reverse() as tape:
        x = tape.watch(xp.asarray(2.0))
        y = mg.multiply(mg.sin(x), x)
        mg.add(1.0, 2.0)  # depends on no watched value
    assert names(tape) == ["input", "sin", "multiply"]
    assert [entry.parents for entry in tape.tape] == [(), (0,), (1, 0)]
    assert tape.lower(y)[1] == 2 and tape.lower(3.0) == (3.0, None)


def test_the_tape_keeps_only_values_that_rules_read(xp):
    with Reverse() as tape:
        x = tape.watch(xp.ones(3))
        mg.tanh(x)  # the rule reads the result
        mg.sin(x)  # the rule reads the argument
    _, tanh, sin = tape.tape
    assert isinstance(tanh.args[0], Shaped) and not isinstance(tanh.result, Shaped)
    assert isinstance(sin.result, Shaped) and not isinstance(sin.args[0], Shaped)
    with Reverse(keep_all=True) as tape:
        mg.tanh(tape.watch(xp.ones(3)))
    assert not any(isinstance(value, Shaped) for entry in tape.tape for value in entry.values)


def test_cotangents_of_several_uses_are_added(xp):
    with Reverse() as tape:
        x = tape.watch(xp.asarray(3.0))
        square = mg.multiply(x, x)
        y = mg.add(square, x)
    of_x, of_square, of_y = tape.pull({y.index: xp.asarray(1.0)}, [x.index, square.index, y.index])
    assert (float(of_x), float(of_square), float(of_y)) == (7, 1, 1)
    assert len(tape.tape) == 3
    assert tape.pull({}, [x.index]) == [None]
    tape.pull({y.index: xp.asarray(1.0)}, [x.index], release=True)
    assert tape.tape == []


def test_adding_cotangents_makes_a_new_array(xp):
    first, second = xp.asarray([1.0]), xp.asarray([2.0])
    cotangents: dict = {}
    accumulate(cotangents, 5, first)
    assert cotangents[5] is first
    accumulate(cotangents, 5, second)
    assert to_host(cotangents[5]).tolist() == [3] and to_host(first).tolist() == [1]


# Which entry is being pulled


class _Watch(Interpreter):
    """Records, for each primitive, the tape entry that is being pulled back at the time."""

    def __init__(self):
        self.seen = []

    def process(self, primitive, args, params):
        entry = current_entry()
        self.seen.append((primitive.name, entry and entry.origin.operation))
        return self.parent.process(primitive, args, params)


def test_operations_of_a_rule_belong_to_its_entry(xp):
    with _Watch() as watch:
        mg.grad(lambda x: mg.sum(mg.sin(x)))(xp.ones(2))
    forward, backward = [s for s in watch.seen if s[1] is None], [s for s in watch.seen if s[1]]
    assert [name for name, _ in forward][:2] == ["sin", "sum"]
    assert ("cos", "sin") in backward and {of for _, of in backward} == {"sin", "sum"}
    assert current_entry() is None


def test_nested_derivatives_report_the_innermost_entry_and_a_replay_its_checkpoint(xp):
    inner = lambda x: mg.grad(mg.tanh)(x) * x
    with _Watch() as watch:
        mg.grad(inner)(xp.asarray(1.0))
        mg.grad(mg.checkpoint(lambda x: mg.exp(x) * x))(xp.asarray(1.0))
    assert ("exp", "checkpoint") in watch.seen and ("exp", None) in watch.seen
    assert ("tanh", None) in watch.seen
    assert current() is not watch


def test_an_error_in_the_backward_pass_leaves_no_current_entry(make_primitive, xp):
    def refuse(g):
        raise RuntimeError("no way back")

    broken = make_primitive(lambda b, x, out=None: b.xp.multiply(x, 2, out=out), lambda t: 2 * t, refuse)
    with pytest.raises(RuntimeError, match="no way back"):
        mg.grad(lambda x: mg.sum(broken(x)))(xp.ones(2))
    assert current_entry() is None


def test_a_float32_argument_has_a_float32_gradient(xp):
    x = xp.ones(2, np.float32)
    assert mg.grad(lambda x: mg.sum(mg.astype(x, np.float64) * 2))(x).dtype == np.float32
