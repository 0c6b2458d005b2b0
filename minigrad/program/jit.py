"""`jit`: a function that is captured once for each kind of arguments, and replayed after that."""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, Protocol, TypeVar

from minigrad.backends import NEUTRAL
from minigrad.collectives.group import rank, size
from minigrad.core import tree
from minigrad.core.arguments import check_callable, integers
from minigrad.core.arrays import describe
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import Eval, Tracer, current
from minigrad.program.capture import capture
from minigrad.program.graph import is_dynamic
from minigrad.program.passes import simplify
from minigrad.program.program import Program
from minigrad.program.signature import exact_key, name_leaves
from minigrad.program.tuning import DEFAULT, Tuning

NUMBERS = (int, float, complex)
FEW = 4  # values of a Python number that are captured without a warning
P = ParamSpec("P")
Y = TypeVar("Y", covariant=True)


class Jitted(Protocol[P, Y]):
    """A function that `jit` returned."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Y: ...

    def program(self, *args: P.args, **kwargs: P.kwargs) -> Program:
        """The program that a call with these arguments runs."""
        ...


def jit(
    f: Callable[P, Y], donate: int | Sequence[int] = (), *, compiler: str | None = "auto", tuning: Tuning = DEFAULT
) -> Jitted[P, Y]:
    """f, captured on the first call with each kind of arguments, and replayed without allocating from the second on.

    The kind of arguments is their tree structure, the shapes and dtypes of arrays, and the values of all other leaves
    (Python numbers, strings, None); each new kind is captured, and each new rank in `mg.collectives`. Results equal
    those of f, except that some sums may be added in another order: sums that are computed part by part, products, and
    sums of non-contiguous arrays. Two complex scalars are multiplied as arrays are, which on some processors differs
    in the last bit from `*` of NumPy's scalars. The product with an identity matrix that a Jacobian begins with is not
    computed, so that an infinity or NaN in the other factor spreads no NaN, and −0 stays. Memory for intermediate
    values is reused from run to run, and that of large results once nobody can see them any more. Inside a derivative
    f runs uncaptured.
    `mg.jit(f).program(*args)` returns the program that will run. `tuning` has sizes that decide how it runs and how
    many programs are kept: those used last, 64 by default.

    On the CPU, elementwise operations and convolutions of large programs are compiled as C++ (`Tuning.worth_compiling`
    says what is large) and kept in the user's cache folder, if `compiler` is "auto" and there is a C++ compiler. Then
    exp, log, tanh and the like may differ from NumPy's in the last two bits, and give no floating-point warnings. With
    `compiler` None, NumPy computes everything. The number of threads does not change the bits of sums and products.

    `donate` lists the positions of arguments whose memory the caller gives away: results of the same shapes and dtypes
    are written over them where possible, so that a training step updates its parameters in place. Neither these
    arguments nor views of them may be used again.

    On a GPU the first two calls launch kernels one by one, the third is recorded as a CUDA graph, and later calls
    replay it (`minigrad.program.gpu.arguments` says how arguments reach it).

    A new Python number is a new kind, because f may branch on it or use it as a shape. Pass numbers that change as
    arrays of the dtype to compute in, such as `np.float32(0.1)`; a RuntimeWarning names those that had five values.

    An outside array that f computes with, or indexes by, becomes part of the program, and changing it is an error.
    Values that f computes from such an array with NumPy alone are fixed when f is captured.

    Raises CaptureError where f branches on values, MutationError if an array that f takes from outside has changed,
    ValueError for an argument that was donated to an earlier call, or for a compiler that is neither.

    >>> import minigrad as mg, numpy as np
    >>> step = mg.jit(mg.grad(lambda w: mg.sum(mg.tanh(w) ** 2)))
    >>> step(np.array([0.0, 1.0]))
    array([0.        , 0.63970001])
    """
    check_callable(f, "jit")
    if compiler not in ("auto", None):
        raise OperandError(f'jit: compiler must be "auto" or None, got {compiler!r}')
    if compiler is None:
        tuning = replace(tuning, worth_compiling=None)
    donate = integers(donate, "jit: a position in donate")
    programs: dict[tuple, _Captured] = {}  # by the kind of arguments, the least recently used first
    named: set[str] = set()  # Python numbers that a warning has named
    recent: list[_Captured] = []  # the two that ran last
    gone: dict[int, weakref.ref] = {}  # donated arrays that still exist, by id

    def find(leaves: list, structure: tree.Structure, args: tuple, kwargs: dict[str, Any]) -> _Captured:
        """The program for arguments of this kind, captured if there is none yet."""
        kinds = tuple(map(_kind, leaves))
        key = structure, kinds, (None if _is_plain(structure) else exact_key(structure), rank(), size())
        try:
            captured = programs.get(key)
        except TypeError as error:
            raise OperandTypeError(f"jit: static fields and keys of arguments must be hashable: {error}") from None
        changing: set[str] = set()
        if captured is None:
            captured = capture_for(key, leaves, args, kwargs)
            changing = _find_changing(key, programs) - named
        for used in (*recent[::-1], captured):  # only these two have run since the last search
            programs.pop(used.key, None)
            programs[used.key] = used
        for old in [*programs][: max(0, len(programs) - tuning.most_programs)]:
            programs.pop(old, None)
        if changing:
            named.update(changing)
            _warn(f, changing)
        return captured

    def capture_for(key: tuple, leaves: list, args: tuple, kwargs: dict[str, Any]) -> _Captured:
        """A new program for arguments of this kind."""
        structure, kinds, (details, *place) = key
        positions = {d % len(args) for d in donate} if args else set()
        given = [i in positions for i, arg in enumerate(args) for _ in tree.flatten(arg)[0]]
        given += [False] * (len(leaves) - len(given))
        data = {i: kind for i, kind in enumerate(kinds) if is_dynamic(leaves[i])}
        code = {i: frozenset([kind]) for i, kind in enumerate(kinds) if i not in data}
        program = capture(f, args, kwargs, tuning)
        donated = tuple(slot for slot, i in zip(program.inputs, data, strict=True) if given[i])
        program = replace(program, graph=simplify(replace(program.graph, donated=donated), tuning))
        lost = [i for i in data if given[i] and not isinstance(leaves[i], NEUTRAL)]
        return _Captured(program, key, details is None, place, tree.make_flattener(structure), data, code, lost)

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        watched = not isinstance(current(), Eval)
        for captured in () if watched else recent:
            leaves = captured.leaves((args, kwargs))
            if leaves is not None:
                break
        else:
            captured = None
            leaves, structure = tree.flatten((args, kwargs))
            if watched or any(isinstance(leaf, Tracer) for leaf in leaves):
                return f(*args, **kwargs)
            if any(not -len(args) <= position < len(args) for position in donate):
                raise OperandError(f"jit: donate={donate} does not fit a call with {len(args)} positional arguments")
        for leaf in leaves if gone else ():
            if id(leaf) in gone and gone[id(leaf)]() is leaf:
                raise OperandError(
                    f"jit: {describe(leaf)} was donated to an earlier call, which wrote over it; use its result"
                )
        if captured is None:
            captured = find(leaves, structure, args, kwargs)
        if recent[:1] != [captured]:
            recent[:] = [captured, *recent[:1]]
        captured.program.check()
        try:
            return captured.program.run([leaves[i] for i in captured.data])
        finally:  # also if the run is interrupted half-way
            for i in captured.lost:
                _remember(gone, leaves[i])

    def program(*args: Any, **kwargs: Any) -> Program:
        """The program that a call with these arguments runs."""
        return find(*tree.flatten((args, kwargs)), args, kwargs).program

    call.program = program
    return call


@dataclass(frozen=True, eq=False)
class _Captured:
    """A program, and the kind of arguments that it is for."""

    program: Program
    key: tuple  # structure, kinds, and what tells their structure from others that compare equal (None if plain), place
    plain: bool  # whether no other structure compares equal
    place: list[int]  # rank and size of the group it was captured in
    take: Callable[[Any, list], bool]
    data: dict[int, tuple]  # leaves that are data, and their kinds
    code: dict[int, frozenset]  # the other leaves, as sets of one, because sets compare hashes first
    lost: list[int]  # leaves that are donated, and must not be used again

    def leaves(self, arguments: Any) -> list | None:
        """The leaves of arguments of this kind; None for others, or if checking would take long."""
        leaves: list = []
        if not self.plain or self.place != [rank(), size()] or not self.take(arguments, leaves):
            return None
        for number, (kind, shape, dtype) in self.data.items():
            leaf = leaves[number]
            if type(leaf) is not kind or leaf.shape != shape or leaf.dtype != dtype:
                return None
        return leaves if all([_kind(leaves[number]) in kinds for number, kinds in self.code.items()]) else None


def _find_changing(key: tuple, known: Iterable[tuple]) -> set[str]:
    """The names of Python numbers that have more than `FEW` values in `key` and in the `known` keys that differ from it
    in Python numbers alone."""
    mine = {_without_numbers(key)}  # a set compares hashes first
    alike = [other[1] for other in (key, *known) if _without_numbers(other) in mine]
    if len(alike) <= FEW:
        return set()
    values = zip(name_leaves(key[0]), key[1], zip(*alike, strict=True), strict=True)
    return {name for name, kind, found in values if kind[0] in NUMBERS and len(set(found)) > FEW}


def _without_numbers(key: tuple) -> tuple:
    structure, kinds, details = key
    return structure, tuple(None if kind[0] in NUMBERS else kind for kind in kinds), details


def _warn(f: Callable, names: Iterable[str]) -> None:
    """Warn the caller of a jitted function of arguments that change too often."""
    warnings.warn(
        f"jit: {', '.join(sorted(names))} of {getattr(f, '__qualname__', type(f).__name__)} keeps changing, and each "
        "value of a Python number is captured as a program of its own: if the function computes with it, pass it as an "
        "array of the dtype to compute in, such as np.float32(0.1)",
        RuntimeWarning,
        stacklevel=4,
    )


def _remember(gone: dict[int, weakref.ref], array: Any) -> None:
    """Remember an array for as long as it is alive."""
    key = id(array)
    gone[key] = weakref.ref(array, lambda _: gone.pop(key, None))


def _is_plain(structure: tree.Structure) -> bool:
    """Whether equal structures are the same: not if dict keys or static fields may be 1, 1.0 and True, all equal."""
    if structure.static or (structure.kind is not None and issubclass(structure.kind, dict)):
        if structure.static or not all(isinstance(key, str) for key in structure.keys):
            return False
    return all([child.kind is None or _is_plain(child) for child in structure.children])


def _kind(leaf: Any) -> tuple:
    """The kind of a leaf: type, shape and dtype of data, and the value of anything else, which is part of the code."""
    if is_dynamic(leaf):
        return type(leaf), leaf.shape, leaf.dtype
    try:
        hash(leaf)
    except TypeError:
        raise OperandTypeError(
            f"jit: an argument that is not an array of numbers must be hashable, got {type(leaf).__name__}"
        ) from None
    return exact_key(leaf)
