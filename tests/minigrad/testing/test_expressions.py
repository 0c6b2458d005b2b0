"""minigrad/testing/expressions.py: random programs, which all that transforms programs must leave as they are."""

from __future__ import annotations

import numpy as np
from hypothesis import find, given, note, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import assert_gradients, expressions
from minigrad.testing.expressions import BINARY, UNARY
from tests.support.oracles import assert_close
from tests.support.programs import WAYS, agree


@given(expressions(kinks=True))
def test_an_expression_is_what_it_prints(f):
    """Executing the lines that it prints gives the same numbers; none is larger than 2."""
    args = f.arguments()
    lines = str(f).splitlines()[1:]
    names = {name: getattr(mg, name) for name in dir(mg)} | {f"v{i}": x for i, x in enumerate(args)}
    exec("\n".join(lines), names)
    last = lines[-1].split(" = ")[0]
    y = f(*args)
    assert y.shape == f.shape and np.max(np.abs(y)) <= 2
    assert np.array_equal(y, names[last])


def test_every_operation_is_drawn():
    for operation in UNARY + BINARY:
        find(
            expressions(kinks=True),
            lambda f, operation=operation: any(step[0] is operation for step in f.steps),
            settings=settings(max_examples=3000, database=None),
        )


@settings(max_examples=15)
@given(expressions())
def test_gradients_of_random_programs(f):
    note(str(f))
    assert_gradients(f, *f.arguments(), order=1)


@given(f=expressions(kinks=True), way=st.sampled_from(sorted(WAYS)))
def test_programs_of_random_expressions_and_their_gradients(f, way):
    note(str(f))
    args = f.arguments()
    both = mg.value_and_grad(lambda *xs: mg.sum(f(*xs)), tuple(range(len(args))))
    assert agree(mg.jit(both, tuning=WAYS[way])(*args), both(*args), WAYS[way])


@given(expressions(kinks=True))
def test_vmap_and_checkpoint_of_random_expressions(f):
    note(str(f))
    args = f.arguments()
    loss = lambda *xs: mg.sum(f(*xs))
    gradients = mg.grad(loss, tuple(range(len(args))))(*args)
    again = mg.grad(mg.checkpoint(loss), tuple(range(len(args))))(*args)
    batch = [np.stack([x, x]) for x in args]
    each = mg.vmap(mg.grad(loss, tuple(range(len(args)))))(*batch)
    for g, h, two in zip(gradients, again, each, strict=True):
        assert_close(h, g)
        assert_close(two, np.stack([g, g]))
