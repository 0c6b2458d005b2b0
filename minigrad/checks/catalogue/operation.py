"""An entry of the catalogue: how an operation is spelled, where its arguments come from, its fixed cases, any call.

    operation(
        "roll",                                     # its name
        any_roll,                                   # chooses any call of it
        at("", (2, 3), params=(2,)),                # its fixed cases
        at("two axes", (3, 4), params=((1, -4), (0, 1)), autograd=None),
        compared=("", "two axes"),                  # those that PyTorch, JAX and HIPS/autograd are asked for, too
    )

A *spelling* is a name, the path of a function or a function of a namespace, the arrays and the parameters. By default
the operation's name is its spelling for everybody: for minigrad, for NumPy, whose function is the plain formula that
results are compared with, and for every peer. `function=` (minigrad's) and `formula=` (plain NumPy, without a
namespace) replace it for these two, `torch=`, `jax=` and `autograd=` for a peer; its path begins at the top of the
peer's module, and None says that it does not have this or raises.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.draws import Draw, halves, signed
from minigrad.core.interpreter import primitives

PEERS = ("torch", "jax", "autograd")
SPELLED = ("spelled", "function", "formula", *PEERS)

Spelling = str | Callable | None  # None: the library does not have this
Example = dict[str, Any]  # what is special about a call: the arguments of `at`


@dataclass(frozen=True)
class Case:
    """A call to check. `name` is the operation's, then what is special about the call after a slash."""

    name: str
    function: Callable  # of the arguments, then the constants; it has its parameters
    formula: Callable  # the same in plain NumPy
    shapes: tuple[Shape, ...]
    draws: tuple[Draw, ...]
    constants: tuple[np.ndarray, ...] = ()  # arrays it needs but has no derivative in
    holomorphic: bool = True  # whether it also takes complex arguments
    oracle: str = "complex step"  # or "differences", where NumPy has no holomorphic formula
    third: bool = False  # whether third derivatives are checked too
    discrete: bool = False  # no derivative: results are constants
    exact: bool = False  # whether values are those of the formula to the bit
    ties: bool = True  # whether it can take arguments with equal rows
    float16: bool = True  # whether it takes float16: LAPACK does not
    float32: bool = True  # whether float32 in means float32 out
    spelling: Spelling = None  # how peers call it, but for those in `own`
    own: dict[str, Spelling] = field(default_factory=dict)
    backward_only: tuple[str, ...] = ()  # peers that have no forward mode for it
    params: tuple = ()  # what follows the arrays in a peer's call, by position
    named: dict[str, Any] = field(default_factory=dict)  # and by name

    @property
    def operation(self) -> str:
        return self.name.split("/")[0]

    def generator(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{self.name}: {purpose}".encode()))

    def arguments(self) -> tuple[np.ndarray, ...]:
        rng = self.generator("arguments")
        return tuple(np.asarray(draw(rng, shape), np.float64) for draw, shape in zip(self.draws, self.shapes))

    def like(self, arrays: Sequence[np.ndarray], purpose: str) -> tuple[np.ndarray, ...]:
        """Random signed arrays in the shapes and dtypes of these: tangents, cotangents."""
        rng = self.generator(purpose)
        found = []
        for array in arrays:
            values = rng.standard_normal(array.shape)
            if array.dtype.kind == "c":
                values = values + 1j * rng.standard_normal(array.shape)
            found.append(np.asarray(values, array.dtype))
        return tuple(found)


@dataclass(frozen=True)
class Operation:
    """An operation: its fixed cases, those that are compared with peers, and any other call of it."""

    name: str
    common: Example  # what all its calls have in common
    vary: Callable[[Choose], Example]
    cases: tuple[Case, ...]
    compared: tuple[Case, ...]

    def any_case(self, choose: Choose) -> Case:
        """A call with shapes and parameters that `choose` picks; its name says which."""
        example = self.vary(choose)
        named = [f"{name}={value}" for name, value in example.get("named", {}).items()]
        words = [example["what"], *map(str, example.get("params", ())), *named]
        return make_case(self.name, self.common, example | {"what": ", ".join(filter(None, words))})


OPERATIONS: dict[str, Operation] = {}


def operation(
    name: str,
    vary: Callable[[Choose], Example],
    *examples: Example,
    compared: Sequence[str | Example] = (),
    **common: Any,
) -> None:
    """Add an entry. What is `compared` is an example's name, an example with changes, or one for peers alone."""
    assert name not in OPERATIONS, f"two operations are called {name}"
    known = {example["what"]: example for example in examples}
    assert len(known) == len(examples), f"two cases of {name} have the same name"
    changed = [known[one] if isinstance(one, str) else known.get(one["what"], {}) | one for one in compared]
    cases, beside = (tuple(make_case(name, common, one) for one in several) for several in (examples, changed))
    assert all(case.shapes for case in beside), f"a case of {name} that peers are asked for has no arguments"
    OPERATIONS[name] = Operation(name, common, vary, cases, beside)


def at(what: str = "", *shapes: Shape, **changes: Any) -> Example:
    """A call: what is special about it, the shapes of its arguments, and what differs from the rest of the entry.

    `params` and `named` follow the arrays; `draws` is one for all arguments, or one for each. A call with a spelling
    of its own, `spelled=`, keeps none of the entry's.
    """
    return {"what": what, **({"shapes": shapes} if shapes else {}), **changes}


def call(shape: Shape, /, *params: Any, **named: Any) -> Example:
    """A call with one array and these parameters."""
    return at("", shape, params=params, named=named)


movement = partial(operation, exact=True)
"""Add an operation that moves elements around: its values are exact."""

constant = partial(operation, discrete=True, holomorphic=False, draws=halves)
"""Add an operation without a derivative, of numbers among which are ties and integers."""


def any_array(choose: Choose) -> Example:
    """A call with one array of any shape."""
    return at("", choose.any_shape())


def any_pair(choose: Choose) -> Example:
    """A call with two arrays that broadcast."""
    return at("", *choose.broadcast(2))


def make_case(name: str, common: Example, example: Example) -> Case:
    """The case of an operation that an example stands for."""
    if "spelled" in example:
        common = {key: value for key, value in common.items() if key not in SPELLED}
    options = {"what": "", "shapes": (), "draws": signed, "params": (), "named": {}, **common, **example}
    what, shapes, draws = (options.pop(key) for key in ("what", "shapes", "draws"))
    spelled, function, formula = (options.pop(key, None) for key in ("spelled", "function", "formula"))
    own = {who: options.pop(who) for who in PEERS if who in options}
    function = function or (primitives[name] if not (spelled or hasattr(mg, name)) else spell(spelled or name, mg))
    formula = formula or spell(spelled or name, np)
    return Case(
        name=f"{name}/{what}" if what else name,
        function=_followed(function, options["params"], options["named"]),
        formula=_followed(formula, options["params"], options["named"]),
        shapes=tuple(shapes),
        draws=(draws,) * len(shapes) if callable(draws) else tuple(draws),
        spelling=spelled or name,
        own=own,
        **options,
    )


def spell(spelling: str | Callable, namespace: Any) -> Callable:
    """What a spelling means in a namespace, as a function of arrays and parameters."""
    return partial(spelling, namespace) if callable(spelling) else attrgetter(spelling)(namespace)


def _followed(function: Callable, params: tuple, named: dict[str, Any]) -> Callable:
    return lambda *arrays: function(*arrays, *params, **named)
