"""cond: one of two functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, TypeVarTuple

from minigrad.core import tree
from minigrad.core.arguments import check_callable
from minigrad.core.arrays import describe, dtype_of, is_inexact, shape_of
from minigrad.core.batching import Batch, Call, fill, insert_axes
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import current, read_value
from minigrad.core.vectors import zeros_like_p
from minigrad.ops.comparisons import logical_not, where
from minigrad.ops.reduce import all as all_
from minigrad.ops.reduce import any as any_
from minigrad.program.control.bodies import Body, capture_branch, pull_leaves, push_leaves
from minigrad.program.control.instruction import record, write
from minigrad.program.control.leaves import as_array, borrow, find_flags, lift, unify
from minigrad.program.graph import Kind

Y = TypeVar("Y")
Xs = TypeVarTuple("Xs")


def cond(predicate: Any, f: Callable[[*Xs], Y], g: Callable[[*Xs], Y], *operands: *Xs) -> Y:
    """f(*operands) if the predicate, one boolean, is true, else g(*operands). Only that function runs.

    A program has one instruction for both. Under `mg.vmap`, with a predicate for each example, both functions run
    unless all examples choose the same, each on the arguments of examples that choose it, and `mg.where` selects.
    Where the value of the predicate is known, this is Python's `if`.

    Raises ValueError or TreeError if f and g return results of different kinds, TypeError for another predicate.

    >>> import minigrad as mg
    >>> float(mg.grad(lambda x: mg.cond(x > 0, mg.sin, mg.exp, x))(0.0))
    1.0
    """
    check_callable(f, "cond")
    check_callable(g, "cond")
    if shape_of(predicate) != () or dtype_of(predicate).kind != "b":
        raise OperandTypeError(f"cond: the predicate must be one boolean, got {describe(predicate)}")
    if not _depends_on_run(predicate):
        return (f if read_value(predicate, "cond") else g)(*operands)
    leaves, structure = tree.flatten(operands)
    leaves = [as_array(x) for x in leaves]
    bodies = [capture_branch(lambda *xs, h=h: h(*tree.unflatten(structure, list(xs))), leaves) for h in (f, g)]
    if bodies[0].structure != bodies[1].structure or bodies[0].kinds != bodies[1].kinds:
        shown = [f"{body.structure} of {', '.join(map(str, body.kinds))}" for body in bodies]
        raise OperandError(f"cond: the functions return different kinds: {shown[0]}, and {shown[1]}")
    call = Cond(*[body.forget() for body in bodies])
    outside = [*bodies[0].outside, *bodies[1].outside]
    return tree.unflatten(bodies[0].structure, current().call(call, [predicate, *outside, *leaves]))


def _depends_on_run(x: Any) -> bool:
    """Whether the value of x differs by example, or by run of a program."""
    try:
        read_value(x, "cond")
    except OperandTypeError:
        return True
    return False


@dataclass(frozen=True, eq=False, repr=False)
class Cond(Call):
    """A choice as a call. Its leaves are the predicate, those of `f.outside`, of `g.outside`, and of the operands."""

    f: Body
    g: Body
    name = "cond"
    takes_none = True

    @property
    def kinds(self) -> list[Kind]:
        return self.f.kinds

    @property
    def flops(self) -> int:
        """Those of the function with more."""
        return max(self.f.flops, self.g.flops)

    def __str__(self) -> str:
        return f"cond of {len(self.f.graph.instructions)} or {len(self.g.graph.instructions)} instructions"

    def places(self) -> tuple[range, range]:
        """The positions of the leaves that come from outside, for f and for g."""
        first = 1 + len(self.f.outside)
        return range(1, first), range(first, first + len(self.g.outside))

    def arguments(self, leaves: Sequence) -> tuple[list, list]:
        """The arguments of f and of g."""
        ours, theirs = self.places()
        operands = leaves[theirs.stop :]
        return [*leaves[ours.start : ours.stop], *operands], [*leaves[theirs.start : theirs.stop], *operands]

    def move(self, leaves: Sequence[bool]) -> list[bool]:
        """Which results have a derivative, given which leaves move."""
        ours, theirs = self.arguments(leaves)
        return [a or b for a, b in zip(self.f.move(ours), self.g.move(theirs), strict=True)]

    def follow(self, leaves: Sequence[bool]) -> tuple[list[bool], bool]:
        (a, reads), (b, other_reads) = (f.follow(given) for f, given in zip((self.f, self.g), self.arguments(leaves)))
        return [leaves[0] or x or y for x, y in zip(a, b, strict=True)], leaves[0] or reads or other_reads

    def record(self, interpreter: Any, leaves: Sequence) -> list:
        return record(interpreter, self, leaves)

    def run(self, leaves: Sequence) -> list:
        ours, theirs = self.arguments(leaves)
        return self.f(ours) if read_value(leaves[0], "the predicate of mg.cond") else self.g(theirs)

    def forward(self, leaves: Sequence, out: Sequence) -> None:
        """Write the results for plain arrays, by a program."""
        ours, theirs = self.arguments(leaves)
        write(out, self.f.run(ours) if leaves[0] else self.g.run(theirs))

    def push(self, leaves: Sequence, tangents: Sequence) -> tuple[list, list]:
        """The results and their tangents: a choice between functions that push tangents."""
        places = [i for i, t in enumerate(tangents) if t is not None]
        moving: set[int] = set()  # results that move in one of the functions

        def pusher(body: Body, select: Callable) -> Callable:
            def push(*dots: Any) -> tuple:
                y, found = push_leaves(
                    lambda *moved: body(select(fill(leaves, places, moved))), [leaves[i] for i in places], dots
                )
                moving.update(i for i, t in enumerate(found) if t is not None)
                return y, [zeros_like_p(x) if t is None else t for x, t in zip(y, found, strict=True)]

            return push

        y, dots = cond(leaves[0], *self._with_each(pusher), *[tangents[i] for i in places])
        return y, [t if i in moving else None for i, t in enumerate(dots)]

    def pull(self, leaves: Sequence, wanted: Sequence[bool]) -> tuple[list, Callable]:
        """The results, and the pullback: a choice between pullbacks."""
        places = [i for i, want in enumerate(wanted) if want and is_inexact(leaves[i])]

        def pull(cotangents: Sequence) -> list:
            moving = [i for i, g in enumerate(cotangents) if g is not None]
            nonzero: set[int] = set()  # places with a cotangent that is not zero in one of the functions

            def puller(body: Body, select: Callable) -> Callable:
                def pull(*given: Any) -> list:
                    _, pullback = pull_leaves(
                        lambda *moved: body(select(fill(leaves, places, moved))), [leaves[i] for i in places]
                    )
                    pulled = pullback(fill([None] * len(cotangents), moving, given))
                    nonzero.update(i for i, g in zip(places, pulled, strict=True) if g is not None)
                    return [zeros_like_p(leaves[i]) if g is None else g for i, g in zip(places, pulled, strict=True)]

                return pull

            pulled = cond(leaves[0], *self._with_each(puller), *[cotangents[i] for i in moving])
            found = [g if i in nonzero else None for i, g in zip(places, pulled, strict=True)]
            return fill([None] * len(leaves), places, found)

        return current().call(self, leaves), pull

    def batch(self, batch: Batch, leaves: Sequence, is_batched: Sequence[bool]) -> list:
        """The results for all examples: of both functions, unless all examples choose the same."""

        def run(values: Sequence, body: Body, select: Callable) -> list[tuple[Any, bool]]:
            with batch.again() as level:
                return list(map(level.lower, body(select(lift(level, values, is_batched)))))

        def unified(body: Body, select: Callable) -> Callable:
            return lambda *values: unify(batch, *zip(*run(values, body, select)), own) if own else []

        def both(*values: Any) -> list:
            takers = (values[0], logical_not(values[0]))
            chosen = [f(*borrow(taken, values, is_batched)) for f, taken in zip(one, takers, strict=True)]
            return [where(insert_axes(values[0], len(shape_of(a)) - 1), a, b) for a, b in zip(*chosen, strict=True)]

        def rest(*values: Any) -> list:
            return cond(any_(values[0]), both, one[1], *values)

        one = self._with_each(unified)
        if is_batched[0]:
            own = [True] * len(self.kinds)
            return lift(batch, cond(all_(leaves[0]), one[0], rest, *leaves), own)
        flags = [find_flags(lambda xs, each=each: [y[1] for y in run(xs, *each)], leaves) for each in self._each()]
        own = [a or b for a, b in zip(*flags, strict=True)]
        return lift(batch, cond(leaves[0], *one, *leaves), own)

    def _with_each(self, make: Callable) -> list[Callable]:
        """make(body, function that selects its arguments from the leaves), for f and for g."""
        return [make(body, select) for body, select in self._each()]

    def _each(self) -> list[tuple[Body, Callable]]:
        return [(body, lambda leaves, i=i: self.arguments(leaves)[i]) for i, body in enumerate((self.f, self.g))]
