"""minigrad/program/passes.py: what each pass does to small graphs, and that it changes no output."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core.vectors import add_p, broadcast_to_p, multiply_p, reshape_p, transpose_p, zeros_like_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.graph import Constant
from minigrad.program.passes import fold_constants, remove_dead_code, share_subexpressions, simplify
from minigrad.program.tuning import Tuning
from minigrad.testing import normal
from tests.support.graphs import GraphBuilder, run_one_by_one
from tests.support.oracles import assert_close
from tests.support.programs import same

exp_p, tanh_p = exp.primitive, tanh.primitive


def names(graph):
    return [instruction.primitive.name for instruction in graph.instructions]


# Constant folding


def test_instructions_that_depend_on_no_input_are_folded():
    g, w = GraphBuilder(), np.arange(3.0)
    x = g.input((3,))
    total = g.add(sum_p, g.add(exp_p, Constant(w)), axes=(0,))
    graph = fold_constants(g.graph(g.add(multiply_p, x, total), total), Tuning())
    assert names(graph) == ["multiply"]
    expected = 1 + np.exp(1) + np.exp(2)
    assert graph.instructions[0].operands[1].value == graph.outputs[1].value == pytest.approx(expected, rel=1e-15)


def test_zeros_like_an_input_are_folded_and_take_no_memory():
    g = GraphBuilder()
    zeros = g.add(zeros_like_p, g.input((1000, 1000)))
    ones = g.add(transpose_p, g.add(add_p, zeros, Constant(1.0)), axes=(1, 0))
    graph = fold_constants(g.graph(g.add(reshape_p, ones, shape=(10**6,))), Tuning())
    (output,) = graph.outputs
    assert names(graph) == [] and output.value.shape == (10**6,) and output.value.strides == (0,)
    assert output.value[0] == 1


@pytest.mark.parametrize(("largest", "left"), [(8 * 12, []), (8 * 12 - 1, ["broadcast_to"])])
def test_large_constants_are_not_folded(largest, left):
    g = GraphBuilder()
    wide = g.add(broadcast_to_p, Constant(np.arange(4.0)), shape=(3, 4))
    graph = fold_constants(g.graph(g.add(add_p, g.input((3, 4)), wide)), Tuning(largest_constant=largest))
    assert names(graph) == [*left, "add"]


def test_folded_operands_keep_their_position():
    g = GraphBuilder()
    x = g.input((2,))
    graph = fold_constants(g.graph(g.add(add_p, g.add(add_p, Constant(1.0), Constant(2.0)), x)), Tuning())
    assert graph.instructions[0].operands == (Constant(graph.instructions[0].operands[0].value), x)
    assert graph.instructions[0].operands[0].value == 3


@pytest.mark.parametrize(
    ("left", "right", "kept"),
    [
        (np.eye(3), (3, 4), False),
        ((4, 3), np.eye(3), False),
        (np.eye(3, dtype=np.float32), (3, 4), False),  # the result is float64, as the other factor is
        ((2, 4, 3), np.eye(3), False),
        (np.eye(3), (2, 3, 4), False),
        (np.ones((1, 1)), (1, 4), False),
        (np.eye(3, k=1), (3, 4), True),
        (2 * np.eye(3), (3, 4), True),
        (np.eye(2, 3), (3, 4), True),
        (np.eye(3, dtype=complex), (3, 4), True),  # the result is complex
        (np.stack([np.eye(3)] * 2), (3, 4), True),
        ((4, 3), (3, 4), True),
    ],
)
def test_a_product_with_units_is_its_other_factor(left, right, kept):
    g = GraphBuilder()
    operands = [g.input(x) if isinstance(x, tuple) else Constant(x, units=True) for x in (left, right)]
    graph = fold_constants(g.graph(g.add(matmul_p, *operands)), Tuning())
    assert names(graph) == ["matmul"] * kept
    values = [normal(x, i) if isinstance(x, tuple) else x for i, x in enumerate((left, right))]
    (result,) = run_one_by_one(graph, *[x for x, o in zip(values, operands) if isinstance(o, int)])
    expected = np.matmul(*values)
    assert result.dtype == expected.dtype and np.array_equal(result, expected)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: 1 / (np.eye(2) @ x), np.array([-0.0, 1.0])),
        (lambda x: np.eye(2) @ x, np.array([[np.nan, 2.0], [3.0, 4.0]])),
        (lambda x: x @ np.eye(2), np.array([[np.inf, 2.0], [3.0, 4.0]])),
        (lambda z: mg.sqrt(z * 1 - 2), np.array([complex(1, -0.0)])),
        (lambda z: mg.sqrt(z * complex(1, -0.0)), np.array([complex(-1, -0.0)])),
        (lambda z: mg.sqrt(z * 1), np.array([complex(-np.inf, 0)])),
        (lambda x: mg.multiply(x, 1j) * -1j, np.array([1.0, -0.0])),
        (lambda x: (1.0 * x) * np.float64(1), np.array([-0.0, np.nan, np.inf])),
    ],
)
def test_products_have_the_bits_of_the_function(f, x):
    """The user's own identity matrix spreads NaN and loses −0; a complex number times 1 may be another one."""
    with np.errstate(all="ignore"):
        found, expected = mg.jit(f)(x), f(x)
    assert same(found, expected) and np.array_equal(np.signbit(np.real(found)), np.signbit(np.real(expected)))
    assert np.array_equal(np.signbit(np.imag(found)), np.signbit(np.imag(expected)))


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_jacobian_multiplies_by_no_identity(mode, on_device, on_host):
    """Of V·tanh(W·x): the product W·x, and one of V and W."""
    f = mg.jit(mg.jacobian(lambda x, w, v: v @ mg.tanh(w @ x), mode=mode))
    args = normal((4,)), normal((3, 4), 1), normal((2, 3), 2)
    assert [i.primitive.name for i in f.program(*on_device(args)).instructions].count("matmul") == 2
    x, w, v = args
    assert_close(on_host(f(*on_device(args))), v @ ((1 - np.tanh(w @ x) ** 2)[:, None] * w))


@pytest.mark.parametrize(
    ("number", "kept"), [(1.0, False), (1, False), (-1.0, True), (2.0, True), (np.float32(1), False)]
)
def test_once_a_value_is_the_value(number, kept):
    """Of any bits: NaN, infinities, and −0, to which 0 may not be added."""
    g, x = GraphBuilder(), np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324, 1.5])
    slot = g.input(x.shape)
    ones = Constant(np.broadcast_to(np.asarray(number), x.shape))
    graph = fold_constants(g.graph(g.add(multiply_p, Constant(number), slot), g.add(multiply_p, slot, ones)), Tuning())
    assert names(graph) == ["multiply"] * 2 * kept
    for result in run_one_by_one(graph, x):
        assert np.array_equal(result, number * x, equal_nan=True)
        assert np.array_equal(np.signbit(result), np.signbit(number * x))


def test_products_by_one_that_convert_or_broadcast_are_computed():
    g = GraphBuilder()
    x = g.input((3,), np.float32)
    wide, longer = Constant(np.ones(3)), Constant(np.broadcast_to(np.float32(1), (2, 3)))
    graph = fold_constants(g.graph(g.add(multiply_p, x, wide), g.add(multiply_p, longer, x)), Tuning())
    assert names(graph) == ["multiply", "multiply"]


# Views


@pytest.mark.parametrize(
    ("view", "left"),
    [
        (lambda x: x.T.T, 0),
        (lambda x: x.reshape(3, 2).reshape(2, 3), 0),
        (lambda x: x[:, None, :].reshape(2, 3)[:, :][...], 0),
        (lambda x: x[0:2, ::1], 0),
        (lambda x: mg.broadcast_to(x, (2, 3)), 0),
        (lambda x: x[::-1][::-1], 0),
        (lambda x: x[::-1], 1),
        (lambda x: x.T, 1),
        (lambda x: x[1:], 1),
        (lambda x: x.T.reshape(2, 3), 2),  # not a view: it copies
        (lambda x: x[:, ::-1].T[::-1], 3),  # equal to x.T, which is not computed
        (lambda x: (x.T, x[:, ::-1].T[::-1]), 1),
        (lambda x: (x.reshape(6)[1:4], x.reshape(3, 2).reshape(6)[1:4]), 2),
        (lambda x: mg.stop_gradient(x), 1),
        (lambda x: mg.stop_gradient(x.T).T, 3),
    ],
)
def test_views_that_show_the_same_are_one(view, left):
    x = normal((2, 3))
    program = mg.jit(view).program(x)
    assert len([i for i in program.instructions if i.primitive.view_of is not None]) == left
    leaves = lambda y: mg.tree.flatten(y)[0]
    f = lambda run: lambda x: sum(mg.sum(y * w) for y, w in zip(leaves(run(x)), weights))
    weights = [normal(np.shape(y), 1 + i) for i, y in enumerate(leaves(view(x)))]
    for mine, truth in zip(leaves(mg.jit(view)(x)), leaves(view(x)), strict=True):
        assert np.array_equal(mine, truth)
    assert np.array_equal(mg.grad(f(program))(x), mg.grad(f(view))(x))  # a program is differentiated as it is printed


def test_a_reversed_gradient_stays_in_the_program(make_primitive):
    """A view with a derivative that is not that of a view, as networks for domain adaptation use it."""
    flip = make_primitive(lambda b, x, out=None: x, lambda t, y, x: -t, lambda g, y, x: -g, view_of=0)
    program, x = mg.jit(lambda x: mg.sum(flip(x) ** 2)).program(np.ones(3)), normal((3,))
    assert flip.name in [i.primitive.name for i in program.instructions]
    assert_close(mg.grad(program)(x), -2 * x)


# Common subexpressions


def test_common_subexpressions_are_computed_once():
    g, w = GraphBuilder(), np.ones(3)
    x = g.input((3,))
    a, b = g.add(multiply_p, x, Constant(w)), g.add(multiply_p, x, Constant(w))
    graph = share_subexpressions(g.graph(g.add(exp_p, a), g.add(exp_p, b), b))
    assert names(graph) == ["multiply", "exp"]
    assert graph.outputs[0] == graph.outputs[1] and graph.outputs[2] == a


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (0.0, -0.0), (True, 1), (np.float32(1), 1.0), (np.ones(3), np.ones(3))],
    ids=lambda value: f"{type(value).__name__} {value}",
)
def test_constants_that_give_different_results_are_not_shared(one, other):
    g = GraphBuilder()
    x = g.input((3,))
    graph = share_subexpressions(g.graph(*[g.add(multiply_p, x, Constant(value)) for value in (one, other, one)]))
    assert names(graph) == ["multiply"] * 2
    assert graph.outputs[0] == graph.outputs[2] != graph.outputs[1]


def test_other_parameters_or_another_order_of_operands_are_not_shared():
    g = GraphBuilder()
    x, y = g.input((3, 3)), g.input((3, 3))
    sums = [g.add(sum_p, x, axes=(axis,)) for axis in (0, 1, 0)]
    graph = share_subexpressions(g.graph(g.add(add_p, x, y), g.add(add_p, y, x), *sums))
    assert names(graph) == ["sum", "sum", "add", "add"]


def test_a_second_run_is_shared_only_with_what_waits_for_the_same():
    g = GraphBuilder()
    x = g.input((3,))
    y = g.add(exp_p, x)
    one, other = g.add(tanh_p, y), g.add(sum_p, y, axes=(0,))
    again = [g.add(exp_p, x, awaits=awaits) for awaits in ((one,), (other,), (one,), (one, other))]
    outside = g.add(exp_p, x)
    graph = share_subexpressions(g.graph(y, one, other, *again, outside))
    assert names(graph) == ["exp", "tanh", "sum", "exp", "exp", "exp"]
    assert graph.outputs == (y, one, other, again[0], again[1], again[0], again[3], y)


def test_a_second_run_waits_for_what_takes_the_place_of_its_slots():
    """Also if that is a constant: then it is still not shared with the first run."""
    g = GraphBuilder()
    x = g.input((3,))
    y, same = g.add(exp_p, x), g.add(exp_p, x)
    zeros = g.add(zeros_like_p, x)
    again = [g.add(exp_p, x, awaits=(slot,)) for slot in (y, same, zeros)]
    graph = simplify(g.graph(y, *again), Tuning())
    assert names(graph) == ["exp"] * 3
    assert graph.outputs == (y, again[0], again[0], again[2])
    assert graph.instructions[1].awaits == (y,) and isinstance(graph.instructions[2].awaits[0], Constant)


# Dead code


def test_dead_code_is_removed():
    g = GraphBuilder()
    x, unused = g.input((3,)), g.input((3,))
    y = g.add(exp_p, x)
    g.add(tanh_p, g.add(add_p, y, unused))
    graph = remove_dead_code(g.graph(g.add(multiply_p, y, y), Constant(1.0)))
    assert names(graph) == ["exp", "multiply"] and graph.inputs == (x, unused)


def test_what_is_only_waited_for_is_dead_code():
    g = GraphBuilder()
    x = g.input((3,))
    y = g.add(exp_p, x, awaits=(g.add(tanh_p, x), x, Constant(1.0)))
    graph = remove_dead_code(g.graph(y))
    assert names(graph) == ["exp"] and graph.instructions[0].awaits == (x, Constant(1.0))


# All passes


@given(data=st.data())
def test_passes_change_no_output(data):
    """Random graphs of sums, products and views of inputs and constants give the same bits."""
    g, w = GraphBuilder(), np.arange(4.0).reshape(2, 2)
    operands = [g.input((2, 2)), g.input((2, 2)), Constant(w), Constant(0.5)]
    for _ in range(data.draw(st.integers(1, 12))):
        a, b = (data.draw(st.sampled_from(operands)) for _ in range(2))
        kind = data.draw(st.sampled_from(["add", "multiply", "tanh", "zeros", "transpose"]))
        if kind in ("transpose", "zeros") and a == Constant(0.5):
            continue
        if kind == "transpose":
            operands.append(g.add(transpose_p, a, axes=(1, 0)))
        elif kind in ("tanh", "zeros"):
            operands.append(g.add(tanh_p if kind == "tanh" else zeros_like_p, a))
        else:
            operands.append(g.add(add_p if kind == "add" else multiply_p, a, b))
        if g.values[-1].shape != (2, 2):
            operands.pop()
    graph = g.graph(*data.draw(st.lists(st.sampled_from(operands), min_size=1, max_size=3)))
    smaller = simplify(graph, Tuning(largest_constant=data.draw(st.sampled_from([0, 1 << 16]))))
    inputs = np.random.default_rng(0).normal(size=(2, 2, 2))
    for x, y in zip(run_one_by_one(smaller, *inputs), run_one_by_one(graph, *inputs), strict=True):
        np.testing.assert_array_equal(x, y, strict=True)
    again = simplify(smaller, Tuning())
    assert len(again.instructions) <= len(smaller.instructions) <= len(graph.instructions)


# As part of jit


def test_jit_removes_dead_code_and_shares_subexpressions():
    f = lambda x: (mg.exp(x), mg.sin(x) * 2, mg.exp(x) + 1)[::2]
    assert names(mg.trace(f)(np.ones(3))) == ["exp", "sin", "multiply", "exp", "add"]
    assert names(mg.jit(f).program(np.ones(3))) == ["exp", "add"]


def test_numbers_of_different_kinds_are_not_the_same_constant():
    f = lambda x: (x * 1, x * 1.0, x * -0.0, x * 0.0)
    x = np.arange(3)
    assert same(mg.jit(f)(x), f(x))
    assert np.signbit(mg.jit(f)(x)[2]).tolist() == np.signbit(x * -0.0).tolist()


def test_trace_folds_constants():
    w = np.arange(3.0)
    program = mg.trace(lambda x: x * mg.sum(mg.exp(w)))(np.ones(3))
    assert names(program) == ["multiply"]
