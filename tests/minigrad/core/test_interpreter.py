"""minigrad/core/interpreter.py: escaped traced values, missing rules, custom interpreters."""

from __future__ import annotations

import threading

import pytest

import minigrad as mg
from minigrad.core.interpreter import Interpreter, Primitive, current, primitive, primitives
from tests.support.transfer import to_host

# Traced values that escape


@pytest.mark.parametrize("transform", [mg.grad, lambda f: lambda x: mg.jvp(f, (x,), (x,))], ids=["reverse", "forward"])
def test_escaped_value_names_its_operation_and_line(transform, xp):
    kept = []

    def f(x):
        kept.append(mg.sin(x))  # this line is named
        return mg.sum(kept[0])

    transform(f)(xp.asarray([1.0]))
    line = f.__code__.co_firstlineno + 1
    with pytest.raises(mg.EscapedTracerError, match=f"'exp' got .* made by 'sin' at .*test_interpreter.py:{line}"):
        mg.exp(kept[0])
    with pytest.raises(mg.EscapedTracerError, match="'sin'"):
        mg.grad(lambda x: mg.sum(x * kept[0]))(xp.asarray([1.0]))
    with pytest.raises(mg.EscapedTracerError):
        kept[0] + 1


def test_escaped_input_says_it_was_an_input(xp):
    kept = []
    mg.grad(lambda x: kept.append(x) or x * x)(xp.asarray(1.0))
    with pytest.raises(mg.EscapedTracerError, match="made by 'input' at"):
        kept[0] * 2


def test_traced_value_in_another_thread(xp):
    caught = []

    def f(x):
        def work():
            try:
                mg.sin(x)
            except mg.EscapedTracerError as error:
                caught.append(str(error))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return x * x

    assert float(mg.grad(f)(xp.asarray(3.0))) == 6
    assert len(caught) == 1 and "in another thread" in caught[0]


def test_pullback_of_an_inner_level_after_the_outer_one_has_ended(xp):
    kept = []

    def f(x):
        kept.append(mg.vjp(lambda y: mg.sin(x * y), x)[1])
        return x * x

    mg.grad(f)(xp.asarray(1.0))
    with pytest.raises(mg.EscapedTracerError):
        kept[0](xp.asarray(1.0))


# Rules


@pytest.fixture
def without_rule():
    """A primitive registered for one test."""
    registered = Primitive("made_for_a_test", lambda b, x, out=None: b.xp.add(x, 1, out=out))
    yield registered
    del primitives["made_for_a_test"]


def test_missing_rule_names_the_primitive_and_the_mode(without_rule, xp):
    x = xp.asarray([1.0])
    assert float(without_rule(x)[0]) == 2
    with pytest.raises(mg.MissingRuleError, match="'made_for_a_test' has no derivative rule, so reverse mode"):
        mg.grad(lambda x: mg.sum(without_rule(x)))(x)
    with pytest.raises(mg.MissingRuleError, match="'made_for_a_test' has no derivative rule, so forward mode"):
        mg.jvp(without_rule, (x,), (x,))
    assert not to_host(mg.grad(lambda x: mg.sum(without_rule(mg.stop_gradient(x))))(x)).any()


def test_a_rule_for_an_unknown_argument_raises(without_rule):
    from minigrad.core.rules import partials

    with pytest.raises(ValueError, match=r"the rule of 'made_for_a_test' refers to .*z"):
        partials(without_rule, x=lambda x, z: z)
    with pytest.raises(ValueError, match="refers to w"):
        partials(without_rule, w=lambda x: x)


def test_a_name_cannot_be_registered_twice():
    with pytest.raises(ValueError, match="'sin' is already registered"):
        primitive("sin")(lambda b, x, out=None: x)


def test_a_derivative_of_the_wrong_shape_raises(without_rule, xp):
    from minigrad.core.rules import custom

    custom(without_rule, x=(lambda t: mg.sum(t), lambda g: mg.sum(g)))
    x = xp.asarray([1.0, 2.0])
    with pytest.raises(AssertionError, match="vjp of 'made_for_a_test'"):
        mg.grad(lambda x: mg.sum(without_rule(x)))(x)
    with pytest.raises(AssertionError, match="jvp of 'made_for_a_test'"):
        mg.jvp(without_rule, (x,), (x,))


# Interpreters


def test_a_custom_interpreter(xp):
    """An interpreter that records the names of operations takes a few lines, and sees derivatives too."""

    class Count(Interpreter):
        def __init__(self):
            self.names = []

        def process(self, primitive, args, params):
            self.names.append(primitive.name)
            return self.parent.process(primitive, args, params)

    before = current()
    with Count() as count:
        assert current() is count
        mg.grad(lambda x: mg.sum(mg.sin(x)))(xp.asarray([1.0]))
    assert current() is before
    assert count.names[:2] == ["sin", "sum"] and "cos" in count.names


def test_a_primitive_is_found_by_its_name_and_called(xp):
    x = xp.asarray([1.0, 2.0])
    summed = primitives["sum"](x, axes=(0,))
    assert float(summed) == 3 and repr(primitives["sum"]) == "<primitive sum>"
