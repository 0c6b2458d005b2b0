"""minigrad/program/capture.py: what cannot be captured, and arrays that a function takes from outside."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.support.programs import same


@pytest.mark.parametrize(
    ("f", "use"),
    [
        (lambda x: x if x[0] > 0 else -x, r"bool\(x\)"),
        (lambda x: x * int(x[0]), r"int\(x\)"),
        (lambda x: x[x > 0], r"x\[mask\]"),
        (lambda x: x + x.value, r"x\.value"),
        (lambda x: mg.grad(lambda y: mg.sum(y) if mg.sum(y) > 0 else mg.sum(-y))(x), r"bool\(x\)"),
    ],
)
def test_control_flow_that_depends_on_values_is_refused(f, use):
    with pytest.raises(mg.CaptureError, match=f"{use} of a value made by .*mg.where") as caught:
        mg.jit(f)(np.array([1.0, -1.0]))
    assert __file__ in str(caught.value)


@pytest.mark.parametrize(
    ("f", "use"),
    [
        (lambda x: x * float(mg.stop_gradient(mg.sum(x))), r"float\(x\)"),
        (lambda x: x * np.asarray(x), r"np.asarray\(x\)"),
        (lambda x: mg.eye(2)[x.astype(int)], r"array\[x\] or np.asarray\(x\)"),
        (lambda x: x * mg.sum(x).item(), r"x.item\(\)"),
    ],
)
def test_converting_a_traced_value_to_a_number_is_refused(f, use):
    """The advice is not to stop the gradient, which helps only in a derivative."""
    with pytest.raises(mg.CaptureError, match=f"{use} of a value made by .*mg.where"):
        mg.jit(f)(np.ones(2))


def test_a_value_kept_outside_is_refused():
    kept = []
    mg.jit(lambda x: kept.append(x * 2) or x)(np.ones(3))
    with pytest.raises(mg.EscapedTracerError, match="'multiply' at"):
        mg.sin(kept[0])


def test_trace_of_an_array_is_its_diagonal_sum():
    x = np.arange(9.0).reshape(3, 3)
    assert mg.trace(x) == np.trace(x) == mg.trace(x, 0)
    assert mg.trace(x, 1) == np.trace(x, 1)
    with pytest.raises(TypeError, match="second call"):
        mg.trace(mg.exp, x)


# Arrays from outside


def test_a_changed_constant_is_an_error_not_a_stale_number():
    w = np.ones(3)
    f = mg.jit(lambda x: x * w)
    f(np.ones(3))
    w[1] = 2
    with pytest.raises(mg.MutationError, match=r"'multiply' at .* takes from outside"):
        f(np.ones(3))
    w[1] = 1
    assert same(f(np.ones(3)), np.ones(3))


def test_a_changed_array_behind_a_folded_constant_is_an_error_too():
    w = np.ones(3)
    f = mg.jit(lambda x: x * mg.exp(w))
    f(np.ones(3))
    w[1] = 2
    with pytest.raises(mg.MutationError, match=r"'exp' at .* takes from outside"):
        f(np.ones(3))


@pytest.mark.parametrize(
    "use",
    [
        lambda x, i: x[i],
        lambda x, i: x[i, i],
        lambda x, i: mg.take(x, i, axis=0),
        lambda x, i: mg.take_along_axis(x, i[:, None], axis=0),
        lambda x, i: mg.grad(lambda x: mg.sum(x[i] ** 2))(x),
    ],
    ids=["index", "indices", "take", "take_along_axis", "gradient"],
)
def test_a_changed_index_array_is_an_error(use):
    indices = np.array([0, 2, 1])
    f, x = mg.jit(lambda x: use(x, indices)), np.random.default_rng(0).normal(size=(3, 3))
    assert same(f(x), use(x, indices))
    indices[0] = 1
    with pytest.raises(mg.MutationError, match="takes from outside"):
        f(x)


def test_a_changed_mask_is_an_error():
    mask = np.array([True, False, True])
    f, x = mg.jit(lambda x: x[mask] * 2), np.arange(3.0)
    assert same(f(x), x[mask] * 2)
    mask[:] = False
    with pytest.raises(mg.MutationError, match="takes from outside"):
        f(x)


@pytest.mark.parametrize("use", [lambda x, w: x * w, lambda x, w: x * mg.exp(w)], ids=["used", "folded"])
def test_an_array_that_the_function_itself_changes_is_an_error(use):
    def twice(x):
        w = np.ones(3)
        first = use(x, w)
        w[:] = 2
        return first, use(x, w)

    def after(x):
        w = np.ones(3)
        y = use(x, w)
        w[:] = 2
        return y

    for f in (twice, after):
        with pytest.raises(mg.MutationError, match="change a copy"):
            mg.jit(f)(np.ones(3))


# Checkpointed calls


def test_the_second_run_of_a_checkpointed_call_waits_for_the_cotangent_of_its_result():
    f = lambda x: mg.sum(mg.sin(mg.checkpoint(mg.tanh)(x)))
    instructions = mg.trace(mg.grad(f))(np.ones(3)).instructions
    by_name = {i.primitive.name: i for i in instructions if not i.awaits}
    first, again = (i for i in instructions if i.primitive.name == "tanh")
    (cotangent,) = again.awaits
    assert first.awaits == () and again.operands == first.operands
    assert cotangent == next(i.result for i in instructions if i.primitive.name == "multiply")
    assert by_name["cos"].result in next(i.operands for i in instructions if i.result == cotangent)
    assert {i.awaits for i in instructions if i.result > again.result} == {(cotangent,)}


def test_a_second_run_within_another_waits_for_both_cotangents():
    def f(x):
        inner = mg.grad(lambda x: mg.sum(mg.checkpoint(mg.tanh)(x) ** 3))
        return mg.sum(mg.checkpoint(lambda x: mg.sin(inner(x)))(x) ** 2)

    instructions = mg.trace(mg.grad(f))(np.ones(3)).instructions
    waits = [len(i.awaits) for i in instructions if i.primitive.name == "tanh"]
    assert waits == [0, 1, 1, 2]  # in the first and the second run of the outer call, twice each


def test_a_program_that_is_captured_again_still_computes_checkpointed_calls_twice():
    f = mg.grad(lambda x: mg.sum(mg.sin(mg.checkpoint(mg.tanh)(x))))
    x = np.linspace(0, 1, 3)
    for program in (mg.trace(f)(x), mg.jit(f).program(x)):
        again = mg.jit(program)
        assert same(again(x), f(x))
        assert [i.primitive.name for i in again.program(x).instructions].count("tanh") == 2


@pytest.mark.parametrize("derivative", [mg.jacobian, lambda f: mg.vmap(mg.jacobian(f))])
def test_the_units_that_derivatives_begin_with_are_not_watched(derivative):
    """Nobody can change them, and to look for changes takes longer than many a derivative."""
    w = np.ones((3, 3))
    program = mg.trace(derivative(lambda x: mg.sum(mg.tanh(w @ x))))(np.ones((3, 3)))
    assert program.outside and all(np.shares_memory(taken.array, w) for taken in program.outside)
