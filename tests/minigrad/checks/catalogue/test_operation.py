"""Entries of the catalogue: spellings, parameters, draws of arguments, and errors in an entry."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks.catalogue import CASES, OPERATIONS
from minigrad.checks.catalogue.draws import between, signed
from minigrad.checks.catalogue.operation import at, call, make_case, operation
from minigrad.core.interpreter import primitives
from tests.support.checking import array_functions, our_primitives
from tests.support.peers import spelling_of

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]])


def test_every_primitive_and_every_public_function_has_an_entry_with_cases():
    elsewhere = {"getitem", "at", "trace"}  # `x[...]`, a class, and a name that also captures programs
    assert {e.name for e in OPERATIONS.values() if e.cases} == our_primitives() | array_functions() | elsewhere
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


def test_a_numpy_name_is_the_spelling_of_all_libraries():
    case = make_case("sum", {}, at("axis", (2, 3), params=(1,), named={"keepdims": True}))
    assert case.name == "sum/axis" and case.operation == "sum"
    assert case.function(X).tolist() == case.formula(X).tolist() == [[6], [16]]
    assert isinstance(mg.grad(lambda x: mg.sum(case.function(x)))(X), np.ndarray)
    assert [spelling_of(case, who) for who in ("torch", "jax", "autograd")] == ["sum"] * 3


def test_a_primitive_without_a_public_function_is_called_directly():
    case = make_case("sum_to", {"formula": np.zeros}, at("", (2, 3), named={"shape": (3,)}))
    assert case.function(X).tolist() == primitives["sum_to"](X, shape=(3,)).tolist() == [5, 7, 10]


def test_options_of_a_call_override_those_of_the_entry():
    common = {"formula": np.exp, "jax": "nn.silu", "torch": None, "holomorphic": False, "draws": signed}
    case = make_case("tanh", common, at("", (), jax=None))
    assert (case.own, case.holomorphic, case.draws) == ({"jax": None, "torch": None}, False, (signed,))
    assert case.formula(0.0) == 1


def test_a_call_with_its_own_spelling_ignores_the_spellings_of_the_entry():
    common = {"function": mg.tanh, "formula": np.exp, "jax": "nn.silu", "holomorphic": False}
    case = make_case("tanh", common, at("doubled", (3,), spelled=lambda xp, x: xp.add(x, x)))
    assert (case.own, case.holomorphic) == ({}, False)
    assert case.function(X).tolist() == case.formula(X).tolist() == (2 * X).tolist()


def test_one_draw_serves_all_arguments_or_each_has_its_own():
    for draws in (between(3, 4), (between(3, 4), between(3, 4))):
        args = make_case("add", {"draws": draws}, at("", (2,), (3,))).arguments()
        assert [x.shape for x in args] == [(2,), (3,)]
        assert all(x.dtype == np.float64 and np.all((x >= 3) & (x < 4)) for x in args)


def test_the_name_of_a_drawn_case_shows_its_parameters():
    entry = OPERATIONS["sum"]
    chosen = type(entry)("sum", {}, lambda choose: call((2, 3), 1, keepdims=True), (), ())
    assert chosen.any_case(None).name == "sum/1, keepdims=True"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (lambda: operation("sum", call), "two operations are called sum"),
        (lambda: operation("sums", call, at("a"), at("a"), function=mg.sum, formula=np.sum), "the same name"),
        (lambda: operation("sums", call, compared=(at("a"),), function=mg.sum, formula=np.sum), "no arguments"),
    ],
)
def test_a_wrong_entry_raises(entry, message):
    with pytest.raises(AssertionError, match=message):
        entry()
    assert "sums" not in OPERATIONS
