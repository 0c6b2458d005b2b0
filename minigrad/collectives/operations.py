"""Collectives as operations, each with its rule; `minigrad.collectives` explains them.

A value is *shared* if it is the same on every process, or *own* if each process has its own. A shared value has one
cotangent, the same everywhere. Each own value has its own cotangent, too.

    operation          of       gives    y                             x̄
    all_sum(x)         own      shared   Σᵣ xᵣ                         replicate(ȳ)
    replicate(x)       shared   own      x                             all_sum(ȳ)
    all_gather(x)      own      shared   (x₀, x₁, …)                   the row of ȳ of this process
    reduce_scatter(x)  own      own      row r of Σ x, on process r    all_gather(ȳ)
    own(x)             own      own      x                             ȳ
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL, store
from minigrad.collectives.group import current
from minigrad.collectives.mpi import warn_unless_started
from minigrad.collectives.shards import Node, add_up, divide
from minigrad.collectives.sums import sum_over
from minigrad.core import tree
from minigrad.core.arguments import integer
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.batching import batched, move_axis
from minigrad.core.checkpoint import find_shared
from minigrad.core.errors import OperandError
from minigrad.core.interpreter import Eval, Interpreter, Primitive, Tracer, primitive
from minigrad.core.interpreter import current as interpreter
from minigrad.core.reverse import Node as TapeNode
from minigrad.core.reverse import Reverse, ReverseTracer
from minigrad.core.rules import linear
from minigrad.core.traits import along_any_axis, traits
from minigrad.core.vectors import concatenate_p, reshape_p, where_p


class ShareError(OperandError):
    """A derivative would be only this process's part, because `replicate` or `own` was left out."""


class _OfOwn(Primitive):
    """An operation on own values. Reverse mode must not reach it from a shared value directly: the cotangent would be
    this process's part of it."""

    def __call__(self, *args: Any, **params: Any) -> Any:
        tapes: dict[int, Reverse] = {}  # of the tapes of a level, the innermost: others are of calls that run again
        for level in _levels():
            if isinstance(level, Reverse):
                tapes.setdefault(id(level.level), level)
        for x in args:
            while isinstance(x, Tracer):
                if type(x) is ReverseTracer and id(x.level) in tapes:
                    self._require_own(tapes[id(x.level)], x.index)
                x = x._value
        return super().__call__(*args, **params)

    def _require_own(self, tape: Reverse, index: int) -> None:
        """Raise ShareError if a tape leads from a shared value to this index without `replicate` or `own`."""
        for found in sorted(find_shared(tape, index)):
            if found >= tape.start:  # a call that runs again has been checked
                raise ShareError(
                    f"the derivative of {self.name} passes on to each process only its own part, and it would reach "
                    f"{_name(tape.tape[found - tape.start])}, which should be the same on every process: apply "
                    "mg.collectives.replicate to it before each process uses it differently, or mg.collectives.own to "
                    "it if each process has its own"
                )


def _levels() -> Iterator[Interpreter]:
    """The interpreters of this thread or task, from the innermost one."""
    level = interpreter()
    while not isinstance(level, Eval):
        yield level
        level = level.parent


def _name(entry: Any) -> str:
    if not isinstance(entry, TapeNode):
        return f"a value made in {entry.origin}"
    if entry.primitive is not None:
        return f"the result of {entry.origin}"
    return f"the input {entry.params['name']!r}" if "name" in entry.params else "an input of the derivative"


# Operations between processes


def _all_sum(b, *xs, shards, out=None):
    """Σ of the xs of all processes. Of `shards` values in all, a process gives those of the nodes that it owns."""
    warn_unless_started()
    arrays, root = [_as_array(b, x) for x in xs], (0, shards or current().size)
    total = sum_over(current(), b, divide([root], current().size), [x.reshape(-1) for x in arrays], root)
    return store(_unwrap(total.reshape(arrays[0].shape)), out)


def _all_gather(b, x, out=None):
    """The xs of all processes, along a new first axis."""
    group, x = current(), _as_array(b, x)
    rows = b.xp.empty((group.size, *x.shape), x.dtype) if out is None else out
    rows[group.rank] = x
    views = _row_views(rows)
    group.exchange(b, [views[group.rank]] * group.size, views)
    return rows


def _reduce_scatter(b, x, out=None):
    """Row r of Σ x, on process r."""
    group, rows = current(), b.xp.ascontiguousarray(x)
    received = b.xp.empty((group.size, *rows.shape[1:]), rows.dtype)
    received[group.rank] = rows[group.rank]
    group.exchange(b, _row_views(rows), _row_views(received))
    terms = {(r, r + 1): received[r] for r in range(group.size)}
    return store(_unwrap(add_up((0, group.size), terms, b.xp.add)), out)


all_sum_p = _OfOwn("all_sum", _all_sum)
all_gather_p = _OfOwn("all_gather", _all_gather)
reduce_scatter_p = _OfOwn("reduce_scatter", _reduce_scatter)


@primitive("replicate", view_of=0)
def replicate_p(b, x, out=None):
    return x if isinstance(x, NEUTRAL) else x.view()


@primitive("own", view_of=0)
def own_p(b, x, out=None):
    return x if isinstance(x, NEUTRAL) else x.view()


def _row_views(x):
    """The rows of an array as arrays, even if they are numbers, which share its memory."""
    return [x[r : r + 1] for r in range(len(x))]


def _as_array(b, x):
    """A number as an array, made by a kernel: CUDA graphs cannot record copies from the host."""
    return b.xp.full((), x, np.asarray(x).dtype) if isinstance(x, NEUTRAL) else b.xp.asarray(x)


def _unwrap(x):
    """As operations return it: a scalar if it has no axes."""
    return x if x.shape else x[()]


linear(all_sum_p, lambda g, i, xs, *, shards: replicate_p(g))
linear(all_gather_p, x=lambda g: replicate_p(g)[current().rank])
linear(reduce_scatter_p, x=lambda g: replicate_p(all_gather_p(g)))
linear(replicate_p, x=lambda g: all_sum_p(g, shards=None))
linear(own_p, x=lambda g: g)
batched(all_sum_p)
batched(all_gather_p, lambda size, args, is_batched: move_axis(all_gather_p(args[0]), 1, 0))
batched(reduce_scatter_p, lambda size, args, is_batched: reduce_scatter_p(move_axis(args[0], 0, 1)))
for _between, _own in ((all_sum_p, False), (all_gather_p, False), (reduce_scatter_p, True)):
    traits(_between, collective=True, own=_own, recordable=True)
for _within in (replicate_p, own_p):
    traits(_within, cuts=along_any_axis, own=True)


# Public functions


def all_sum(x: Any) -> Any:
    """Σ over processes of x, which each has its own: a shared value of the shape and dtype of x, or a tree of them.

    Terms are added in one order, so the result has the same bits on every process. x must have the same shape and dtype
    on all of them. The transpose is `replicate`.

    Raises ShareError in reverse mode if x depends on a shared value to which `replicate` was not applied, ValueError if
    MPI processes pass another number of elements or another dtype, PeerError if another process has stopped.
    """
    return _sum_trees([x], None)


def replicate(x: Any) -> Any:
    """x, a shared value or a tree of them, as one that each process uses in its own way. The transpose is `all_sum`."""
    return tree.map(replicate_p, x)


def own(x: Any) -> Any:
    """x, an array or a tree, declared to be this process's own: its derivative is that of this process alone."""
    return tree.map(own_p, x)


def all_gather(x: Any) -> Any:
    """The values x of all processes, of the same shape and dtype, as one shared array (processes, *shape), by rank.

    Of trees, it is a tree of such arrays.
    """
    return tree.map(all_gather_p, x)


def reduce_scatter(x: Any) -> Any:
    """Row r of Σ x on process r: x is an array (processes, *shape), and each process has its own.

    Raises ValueError if the first axis is not as long as there are processes.
    """
    if shape_of(x)[:1] != (current().size,):
        raise OperandError(f"reduce_scatter: needs one row for each of {current().size} processes, got {describe(x)}")
    return reduce_scatter_p(x)


def broadcast(x: Any, root: int = 0) -> Any:
    """The value x of the process `root`, an array or a tree, as a shared value; x must have the same shape and dtype
    everywhere.

    Raises ValueError if there is no such process.
    """
    root = integer(root, "broadcast: the root")
    if not 0 <= root < current().size:
        raise OperandError(f"broadcast: there is no process {root} among {current().size}")
    here = current().rank == root

    def keep(leaf: Any) -> Any:
        """The leaf here, and elsewhere −0.0, to which any number can be added without changing its bits."""
        return where_p(here, leaf, dtype_of(leaf).type(-0.0))

    return all_sum(tree.map(keep, x))


def sum_shards(parts: Sequence[Any], shards: int) -> Any:
    """Σ over `shards` terms, with the same bits on any number of processes up to `shards`: a shared value.

    `parts` are the sums of the nodes that this process owns, `owned_nodes(shards)`, each an own value or a tree of
    them; they are added up along the tree of `minigrad.collectives.shards`. Raises ValueError for another number of
    parts.

    The sum of a node must be taken along the same tree, as `add_up` does. To get the same bits of a gradient, sum the
    gradients of shards: a gradient taken through `sum_shards` is added up process by process, since the transpose of
    `replicate` is `all_sum`.

    >>> import numpy as np
    >>> import minigrad as mg
    >>> from minigrad.collectives import owned_nodes, run_in_threads, sum_shards
    >>> from minigrad.collectives.shards import add_up
    >>> x = np.random.default_rng(0).normal(size=(1001, 3))
    >>> def gradient(w, shards=8):
    ...     def part(s):
    ...         mine = x[1001 * s // shards : 1001 * (s + 1) // shards]
    ...         return mg.grad(lambda w: mg.sum(mg.tanh(mine @ w) ** 2))(w)
    ...     nodes = owned_nodes(shards)
    ...     known = {(s, s + 1): part(s) for first, last in nodes for s in range(first, last)}
    ...     return sum_shards([add_up(node, known, np.add) for node in nodes], shards)
    >>> len({g.tobytes() for n in (1, 2, 3, 4) for g in run_in_threads(lambda: gradient(np.ones(3)), n)})
    1
    """
    nodes = owned_nodes(shards)
    if len(parts) != len(nodes):
        raise OperandError(f"sum_shards: this process owns {len(nodes)} nodes of {shards} shards, got {len(parts)}")
    return _sum_trees(parts, shards)


def _sum_trees(parts: Sequence[Any], shards: int | None) -> Any:
    """The sum of trees, leaf by leaf; with several processes, of all leaves of a dtype in one exchange."""
    structure = tree.flatten(parts[0])[1]
    rows = [tree.leaves_like(structure, part, "a term of a sum over processes") for part in parts]
    sums: list[Any] = [None] * len(rows[0])
    for together in _group_by_dtype(rows[0]) if current().size > 1 else [[i] for i in range(len(sums))]:
        if len(together) == 1:
            (i,) = together
            sums[i] = all_sum_p(*[row[i] for row in rows], shards=shards)
            continue
        packed = [concatenate_p(*[_ravel(row[i]) for i in together], axis=0) for row in rows]
        total, end = all_sum_p(*packed, shards=shards), 0
        for i in together:
            begin, end = end, end + math.prod(shape_of(rows[0][i]))
            sums[i] = reshape_p(total[begin:end], shape=shape_of(rows[0][i]))
    return tree.unflatten(structure, sums)


def _group_by_dtype(leaves: Sequence[Any]) -> list[list[int]]:
    """The positions of leaves of each dtype."""
    found: dict[Any, list[int]] = {}
    for i, leaf in enumerate(leaves):
        found.setdefault(dtype_of(leaf), []).append(i)
    return list(found.values())


def _ravel(x: Any) -> Any:
    return reshape_p(x, shape=(math.prod(shape_of(x)),))


def owned_nodes(shards: int) -> tuple[Node, ...]:
    """The nodes of the tree over `shards` shards that this process owns, as ranges (first, last).

    Raises ValueError if there are more processes than shards.
    """
    if shards < current().size:
        raise OperandError(f"{current().size} processes cannot share {shards} shards: start fewer, or use more shards")
    return divide([(0, shards)], current().size)[current().rank]
