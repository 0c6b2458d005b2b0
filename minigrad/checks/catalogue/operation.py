"""An entry of the catalogue: spellings of an operation, distribution of its arguments, fixed cases, generated calls.

    operation(
        "roll",                                     # its name
        any_roll,                                   # generates a call of it
        at("", (2, 3), params=(2,)),                # its fixed cases
        at("two axes", (3, 4), params=((1, -4), (0, 1)), autograd=None),
        compared=("", "two axes"),                  # cases that are also compared with PyTorch, JAX and HIPS/autograd
    )

A *spelling* is the dotted name of a function, or a function of a namespace, the arrays and the parameters. By default
the operation's name is its spelling everywhere: in minigrad, in NumPy, whose function is the formula that results are
compared with, and in every peer. `function=` replaces minigrad's and `formula=` NumPy's by a function without the
namespace argument; `torch=`, `jax=` and `autograd=` replace a peer's. A peer's dotted name starts at the top of its
module; None means that the peer lacks the operation or raises.
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

Spelling = str | Callable | None  # None: the library lacks the operation
Example = dict[str, Any]  # a call in the form that `at` returns


@dataclass(frozen=True)
class Case:
    """A call to check. `name` is the operation's, followed by a slash and a label of the call if there is one."""

    name: str
    function: Callable  # takes the arguments, then the constants; the parameters are bound
    formula: Callable  # the same in plain NumPy
    shapes: tuple[Shape, ...]
    draws: tuple[Draw, ...]
    constants: tuple[np.ndarray, ...] = ()  # array arguments without a derivative
    holomorphic: bool = True  # whether it also takes complex arguments
    oracle: str = "complex step"  # or "differences", where NumPy has no holomorphic formula
    third: bool = False  # whether third derivatives are checked, too
    discrete: bool = False  # whether it has no derivative, so that results are constants
    exact: bool = False  # whether values equal those of the formula bit for bit
    ties: bool = True  # whether arguments may have equal rows
    float16: bool = True  # whether it takes float16, which LAPACK does not
    float32: bool = True  # whether float32 arguments give float32 results
    like_first: bool = False  # whether the result has the dtype of the first argument, which the others must fit
    spelling: Spelling = None  # for peers that are not in `own`
    own: dict[str, Spelling] = field(default_factory=dict)
    backward_only: tuple[str, ...] = ()  # peers without forward mode for it
    params: tuple = ()  # positional arguments after the arrays in a peer's call
    named: dict[str, Any] = field(default_factory=dict)  # keyword arguments

    @property
    def operation(self) -> str:
        return self.name.split("/")[0]

    def generator(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{self.name}: {purpose}".encode()))

    def arguments(self) -> tuple[np.ndarray, ...]:
        rng = self.generator("arguments")
        return tuple(np.asarray(draw(rng, shape), np.float64) for draw, shape in zip(self.draws, self.shapes))

    def like(self, arrays: Sequence[np.ndarray], purpose: str) -> tuple[np.ndarray, ...]:
        """Random signed arrays with the shapes and dtypes of these, to use as tangents or cotangents."""
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
    """An operation: its fixed cases, the cases that are compared with peers, and a generator of other calls."""

    name: str
    common: Example  # options that all its calls share
    vary: Callable[[Choose], Example]
    cases: tuple[Case, ...]
    compared: tuple[Case, ...]

    def any_case(self, choose: Choose) -> Case:
        """A call with shapes and parameters chosen by `choose`; its name lists the parameters."""
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
    """Add an entry. `compared` lists labels of examples, changes to examples, or examples for peers only."""
    assert name not in OPERATIONS, f"two operations are called {name}"
    known = {example["what"]: example for example in examples}
    assert len(known) == len(examples), f"two cases of {name} have the same name"
    changed = [known[one] if isinstance(one, str) else known.get(one["what"], {}) | one for one in compared]
    cases, peer_cases = (tuple(make_case(name, common, one) for one in several) for several in (examples, changed))
    assert all(case.shapes for case in peer_cases), f"a case of {name} to compare with peers has no arguments"
    OPERATIONS[name] = Operation(name, common, vary, cases, peer_cases)


def at(what: str = "", *shapes: Shape, **changes: Any) -> Example:
    """A call: its label, the shapes of its arguments, and the options in which it differs from the rest of the entry.

    `params` and `named` are the arguments after the arrays; `draws` is one distribution for all arrays, or one for
    each. A call with its own spelling, `spelled=`, ignores all spellings of the entry.
    """
    return {"what": what, **({"shapes": shapes} if shapes else {}), **changes}


def call(shape: Shape, /, *params: Any, **named: Any) -> Example:
    """A call with one array and these parameters."""
    return at("", shape, params=params, named=named)


movement = partial(operation, exact=True)
"""Add an operation that only moves elements, so that its values are exact."""

constant = partial(operation, discrete=True, holomorphic=False, draws=halves)
"""Add an operation without a derivative; its arguments have ties and integers."""


def any_array(choose: Choose) -> Example:
    """A call with one array of any shape."""
    return at("", choose.any_shape())


def any_pair(choose: Choose) -> Example:
    """A call with two arrays that broadcast."""
    return at("", *choose.broadcast(2))


def make_case(name: str, common: Example, example: Example) -> Case:
    """The case that an example describes: its options override those in `common`."""
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
        function=_bind_params(function, options["params"], options["named"]),
        formula=_bind_params(formula, options["params"], options["named"]),
        shapes=tuple(shapes),
        draws=(draws,) * len(shapes) if callable(draws) else tuple(draws),
        spelling=spelled or name,
        own=own,
        **options,
    )


def spell(spelling: str | Callable, namespace: Any) -> Callable:
    """The function that a spelling denotes in a namespace; it takes arrays and parameters."""
    return partial(spelling, namespace) if callable(spelling) else attrgetter(spelling)(namespace)


def _bind_params(function: Callable, params: tuple, named: dict[str, Any]) -> Callable:
    return lambda *arrays: function(*arrays, *params, **named)
