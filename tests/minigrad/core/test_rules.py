"""minigrad/core/rules.py: incomplete and wrong statements of rules raise; the tape keeps only what rules read."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.arrays import Shaped
from minigrad.core.reverse import Reverse
from minigrad.core.rules import custom, partials


def test_an_argument_without_a_rule_raises(make_primitive) -> None:
    primitive = make_primitive(lambda b, x, w, out=None: b.xp.multiply(x, w, out=out))
    with pytest.raises(ValueError, match=r"lacks \['w'\]"):
        partials(primitive, x=lambda w: w)


def test_the_only_numbers_allowed_as_partials_are_1_and_minus_1(make_primitive) -> None:
    primitive = make_primitive(lambda b, x, out=None: b.xp.multiply(x, 2, out=out))
    for number in (0, 2, -2, True + 1):
        with pytest.raises(ValueError, match="use a function"):
            partials(primitive, x=number)


def test_a_rule_that_names_unknown_arguments_raises(make_primitive) -> None:
    primitive = make_primitive(lambda b, x, out=None: b.xp.exp(x, out=out))
    with pytest.raises(ValueError, match="refers to"):
        partials(primitive, x=lambda z: z)
    with pytest.raises(ValueError, match="refers to"):
        partials(primitive, z=lambda y: y)


@pytest.mark.parametrize("pair", [(lambda t: t, None), (None, lambda g: g), (lambda t: t,)], ids=["jvp", "vjp", "one"])
def test_a_rule_for_one_mode_only_raises(pair, make_primitive) -> None:
    primitive = make_primitive(lambda b, x, out=None: b.xp.add(x, 1, out=out))
    with pytest.raises(ValueError, match=r"rule of 'made_.*' states x in one mode only"):
        custom(primitive, x=pair)


def test_rules_use_the_defaults_of_parameters(make_primitive) -> None:
    primitive = partials(make_primitive(lambda b, x, *, n=2, out=None: x**n), x=lambda x, n: n * x ** (n - 1))
    x = np.array([1.5, -2.0])
    mg.checks.check_grads(primitive, (x,))
    mg.checks.check_grads(lambda x: primitive(x, n=3), (x,))


KEPT = {  # (f of traced x, y and a constant c, all 3×3; the values that the last entry of its tape keeps)
    "add": (lambda x, y, c: x + y, []),
    "concatenate": (lambda x, y, c: mg.concatenate([x, y]), []),
    "concatenate a constant": (lambda x, y, c: mg.concatenate([x, c]), []),
    "sum": (lambda x, y, c: mg.sum(x), []),
    "where": (lambda x, y, c: mg.where(c, x, y), ["c"]),
    "exp": (lambda x, y, c: mg.exp(x), ["result"]),
    "log": (lambda x, y, c: mg.log(x), ["x"]),
    "multiply": (lambda x, y, c: x * y, ["x", "y"]),
    "multiply by a constant": (lambda x, y, c: x * c, ["c"]),
    "power of a constant": (lambda x, y, c: c**x, ["c", "result"]),
    "matmul": (lambda x, y, c: x @ y, ["x", "y"]),
    "matmul by a constant": (lambda x, y, c: x @ c, ["c"]),
    "einsum": (lambda x, y, c: mg.einsum("ij,jk->ik", x, y), ["x", "y"]),
    "einsum with a constant": (lambda x, y, c: mg.einsum("ij,jk->ik", c, x), ["c"]),
    "einsum of three": (lambda x, y, c: mg.einsum("ij,jk,kl->il", x, y, c), ["x", "y", "c"]),
}


@pytest.mark.parametrize("name", KEPT)
def test_the_tape_keeps_only_what_the_backward_pass_reads(name) -> None:
    f, expected = KEPT[name]
    x, y, c = np.full((3, 3), 2.0), np.full((3, 3), 3.0), np.full((3, 3), 5.0)
    with Reverse() as tape:
        f(tape.watch(x), tape.watch(y), c)
    line = tape.tape[-1]
    kept = [float(v[0, 0]) for v in (*line.args, line.result) if not isinstance(v, Shaped)]
    assert [{2.0: "x", 3.0: "y", 5.0: "c"}.get(number, "result") for number in kept] == expected
