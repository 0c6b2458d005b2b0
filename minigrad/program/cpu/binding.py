"""Bindings: the calls of a plan on given memory.

Every instruction, or chain, on every part becomes a call on the very arrays that it reads and writes, so that a run
only makes calls. Where an input or a result is at another address than before, only the calls that use it are bound
again. A binding keeps no array of its user's alive: it is only used while the arrays at its addresses are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from minigrad.backends import Backend
from minigrad.core.traits import Cut
from minigrad.program.calls import Call, KernelCall, bind_call, bind_kernel, bind_sum
from minigrad.program.cpu.arrays import Arrays, Local
from minigrad.program.cpu.chains import Chain
from minigrad.program.cpu.parts import Part
from minigrad.program.cpu.plan import Plan
from minigrad.program.cpu.recycling import alias
from minigrad.program.cpu.schedule import Region
from minigrad.program.cpu.tiling import params_of
from minigrad.program.graph import Constant, Graph, Instruction
from minigrad.program.views import Views


class Binding:
    """The calls of a plan, for arrays at the given addresses, by slot."""

    def __init__(
        self,
        graph: Graph,
        views: Views,
        plan: Plan,
        arrays: Arrays,
        backend: Backend,
        kernels: Mapping[str, Callable],
        addresses: Mapping[int, int],
    ):
        self._graph, self._views, self._plan, self._arrays = graph, views, plan, arrays
        self._backend, self._kernels = backend, kernels
        # by slot, the calls to bind again when it moves: a list, the place there, and the arguments of `_call`; not a
        # bound method, which would refer back to this object, so that its memory would wait for the garbage collector
        self._users: dict[int, list[tuple[list, int, tuple]]] = {}
        self.addresses = dict(addresses)
        self._put(addresses)
        self.phases = list(self._bind_all())
        """Of each phase, lists of calls to make in parallel."""

    def array(self, operand: int | Constant) -> Any:
        """The array of an output."""
        return self._arrays.full_array(operand)

    def distance(self, addresses: Mapping[int, int]) -> int:
        """How many slots are elsewhere."""
        mine = self.addresses
        return sum([mine[slot] != address for slot, address in addresses.items()])

    def move(self, addresses: Mapping[int, int]) -> None:
        """Bind the calls again that use slots which are elsewhere now."""
        moved = {slot: address for slot, address in addresses.items() if self.addresses[slot] != address}
        self._put(moved)
        self._arrays.forget_views(moved)
        again: dict[tuple[int, int], tuple[list, int, tuple]] = {}
        for slot in moved:
            for user in self._users.get(slot, ()):
                again[id(user[0]), user[1]] = user
        for calls, place, what in again.values():
            calls[place] = self._call(*what)
        self.addresses |= moved

    def _put(self, addresses: Mapping[int, int]) -> None:
        for slot, address in addresses.items():
            self._arrays.put(slot, alias(address, self._graph.kinds[slot]))

    def _bind_all(self) -> Iterator[list[list[Call]]]:
        """The phases of a run, in order: lists of calls to make in parallel."""
        everything = zip(self._plan.regions, self._plan.parts, self._plan.scratch, strict=True)
        for _, moment in groupby(everything, key=lambda found: found[0].moment):
            calls: list[list] = [[] for _ in range(self._plan.threads)]
            sums: list[Call] = []
            for region, parts, offsets in moment:
                count = sum(len(part.groups) for part in parts)
                terms = {slot: self._arrays.terms(slot, count) for slot in region.sums}
                self._bind_region(calls, region, parts, offsets, terms)
                if count > 1:
                    sums += [bind_sum(self._backend, terms[s], self._arrays.full_array(s)) for s in terms]
            yield [some for some in calls if some]
            if sums:
                yield [sums]

    def _bind_region(
        self, calls: list[list], region: Region, parts: Sequence[Part], offsets: dict[int, int], terms: dict[int, Any]
    ) -> None:
        """Add the calls of a region to those of each thread: for a part and, group by group, for terms and products."""
        done = 0  # groups
        for part in parts:
            local = self._arrays.scratch_arrays(part, offsets)
            groups = [
                (part._replace(rows=rows), self._arrays.scratch_arrays(part, offsets, rows)) for rows in part.groups
            ]
            for work, cut in region.steps:
                if work.results[0] not in self._plan.grouped:
                    self._append(calls[part.thread], work, cut, part, local, None)
                    continue
                for number, (group, rows_of) in enumerate(groups, done):
                    term = terms[work.results[0]][number, ...] if cut.result is None else None
                    self._append(calls[part.thread], work, cut, group, rows_of, term)
            done += len(groups)

    def _append(
        self, calls: list, work: Instruction | Chain, cut: Cut | None, part: Part, local: Local, out: Any
    ) -> None:
        """Add a call, and remember which slots it uses, in case they move."""
        what = work, cut, part, local, out
        for root in {self._views.root_of(slot) for slot in (*work.reads(), *work.results)}:
            self._users.setdefault(root, []).append((calls, len(calls), what))
        calls.append(self._call(*what))

    def _call(
        self, work: Instruction | Chain, cut: Cut | None, part: Part, local: Local, out: Any
    ) -> Call | KernelCall:
        """The call for one instruction, or chain, on one part."""
        if isinstance(work, Chain):
            return self._kernel_call(work, part, local)
        instruction = work
        axes, params = (None,) * len(instruction.operands), instruction.params
        if cut is not None:
            axes = cut.operands
            params = params_of(instruction, cut, self._graph.kinds[instruction.result].shape, part.rows)
        args = [self._arrays.operand(o, axis, part, local) for o, axis in zip(instruction.operands, axes, strict=True)]
        if out is None:
            out = self._arrays.operand(instruction.result, cut and cut.result, part, local)
        return bind_call(instruction.primitive, self._backend, args, params, out)

    def _kernel_call(self, chain: Chain, part: Part, local: Local) -> KernelCall:
        """The call for a chain on one part."""
        found = [self._arrays.address(root, part, local) for root in chain.kernel.arguments]
        arrays, addresses = zip(*found)
        rows = part.rows or slice(0, 1)
        return bind_kernel(self._kernels[chain.kernel.name], arrays, addresses, rows.start, rows.stop)
