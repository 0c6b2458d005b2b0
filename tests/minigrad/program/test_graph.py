"""minigrad/program/graph.py: kinds, constants and instructions."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from minigrad.backends.numpy.backend import BACKEND
from minigrad.core.origin import Origin
from minigrad.core.vectors import add_p, multiply_p
from minigrad.ops.linalg import matmul_p
from minigrad.program.graph import Constant, Graph, Instruction, Kind, is_array, is_dynamic, kind_of
from tests.support.graphs import GraphBuilder


def test_a_kind_counts_bytes_and_prints_like_an_array():
    kind = Kind((2, 3), np.dtype(np.float32))
    assert kind.bytes == 24 and str(kind) == "float32[2, 3]"
    assert Kind((), np.dtype(np.float64)).bytes == 8 and Kind((4, 0), np.dtype(np.int8)).bytes == 0


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (np.ones((2, 3), np.float32), Kind((2, 3), np.dtype(np.float32))),
        (1.5, Kind((), np.dtype(np.float64))),
        (np.int16(3), Kind((), np.dtype(np.int16))),
    ],
)
def test_the_kind_of_arrays_and_numbers(x, kind):
    assert kind_of(x) == kind


def test_constants_are_equal_if_they_give_the_same_results():
    x = np.ones(3)
    assert Constant(x) == Constant(x) and hash(Constant(x)) == hash(Constant(x))
    assert Constant(x) != Constant(x.copy())
    assert Constant(2.5) == Constant(float("2.5")) and Constant(float("nan")) == Constant(float("nan"))
    assert len({Constant(1), Constant(1.0), Constant(True), Constant(np.float32(1))}) == 4
    assert Constant(0.0) != Constant(-0.0)
    assert Constant(1) != 1


def test_an_instruction_reads_slots_in_the_order_of_its_operands():
    instruction = Instruction(multiply_p, (4, Constant(2.0)), {}, 5, Origin("multiply"))
    assert instruction.reads() == [4]
    assert instruction._replace(operands=(3, 3)).reads() == [3, 3]


def test_a_failing_instruction_names_its_primitive_and_operands():
    instruction = Instruction(matmul_p, (0, 1), {}, 2, Origin("matmul"))
    args = [np.ones((2, 3)), np.ones((4, 5))]
    with pytest.raises(ValueError, match=r"matmul\(float64\[2, 3\], float64\[4, 5\]\)"):
        instruction.run(BACKEND, args)
    np.testing.assert_array_equal(instruction.run(BACKEND, [args[0], args[0].T]), [[3, 3], [3, 3]])


def test_a_graph_is_frozen_data():
    names = ["backend", "kinds", "inputs", "instructions", "outputs", "donated"]
    assert [field.name for field in fields(Graph)] == names
    g = GraphBuilder()
    graph = g.graph(g.input((2,)))
    with pytest.raises(FrozenInstanceError):
        graph.outputs = ()
    assert set(vars(graph)) == set(names)


def test_a_graph_knows_the_kinds_of_operands_and_its_constant_arrays():
    g, w, unused = GraphBuilder(), np.ones((3,), np.float32), np.ones(2)
    x = g.input((2, 3))
    graph = g.graph(g.add(add_p, x, Constant(w)), Constant(unused), Constant(2.0))
    assert graph.kind(x) == Kind((2, 3), np.dtype(np.float64))
    assert graph.kind(Constant(w)) == Kind((3,), np.dtype(np.float32))
    found = list(graph.constant_arrays())
    assert len(found) == 2 and found[0] is unused and found[1] is w


def test_numbers_are_code_and_arrays_of_numbers_are_data():
    assert is_dynamic(np.ones(2)) and is_dynamic(np.float32(1)) and is_dynamic(np.array(1))
    assert not any(map(is_dynamic, [1, 2.0, "x", None, np.array(["x"])]))
    assert is_array(np.array(1)) and not is_array(np.float32(1)) and not is_array(3.0)
