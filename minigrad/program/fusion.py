"""Fusion: which instructions become one launch on a device that launches kernels.

Elementwise instructions are not run one by one: what one makes is computed where it is read, also through a transposed
or a reshaped view (then at another index). Only what somebody else must find is stored: outputs, what products and sums
read, what is read by more numbers than it has, and long chains that are read more than once.

What is stored is made as early as possible, at a *level*: one more than that of what it reads, or the same if it reads
number i of that for its own number i. All stores of a level are one launch of a generated kernel
(`backends/chains.py`), with a loop for each count of numbers. Any other instruction is a launch of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigrad.backends import NEUTRAL
from minigrad.backends.chains import REAL, TYPES, Apply, Index, Load, Loop, Noise, Number, Step, formula
from minigrad.program.endings import ending
from minigrad.program.instructions import Constant, Instruction, Kind, kind_of

if TYPE_CHECKING:
    from minigrad.program.program import Program

SHARED = 16  # cost of a chain that is stored rather than computed for each reader
LONGEST = 256  # cost of a chain that is stored in any case
MOST = 500  # slots that the kernel of a level reads and writes: CUDA takes parameters of 4096 bytes
NOISE = {"random_normal": "normal", "random_uniform": "uniform"}
DEAR = {*REAL, *NOISE} - {"divide", "sqrt", "relu", "absolute", "maximum", "minimum", "clip", "step", "sign"}

Root = int | Constant  # what has memory: a slot, or an array from outside


class Shown(NamedTuple):
    """How a slot, or a constant array, shows memory: steps along its axes and a beginning, counted in numbers."""

    root: Root
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    def axes(self, shape: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
        """(numbers inside, length, step) of each axis when broadcast to a shape; neighbours joined where possible."""
        strides = (0,) * (len(shape) - len(self.shape)) + tuple(
            0 if n == 1 else stride for n, stride in zip(self.shape, self.strides)
        )
        found: list[tuple[int, int, int]] = []
        inner = 1
        for n, stride in zip(reversed(shape), reversed(strides)):
            if n > 1 and found and found[-1][2] * found[-1][1] == stride and found[-1][0] * found[-1][1] == inner:
                found[-1] = found[-1][0], found[-1][1] * n, found[-1][2]
            elif n > 1:
                found.append((inner, n, stride))
            inner *= n
        return tuple(axis for axis in found if axis[2])


class Launch(NamedTuple):
    """One launch: an instruction, or loops of a generated kernel and what its arguments are."""

    instruction: Instruction | None
    loops: tuple[Loop, ...] = ()
    arguments: tuple[Root, ...] = ()


class Fusion:
    """The launches of a program, level by level."""

    def __init__(self, program: Program):
        self.program, self.kinds = program, program.kinds
        self.made = {instruction.result: instruction for instruction in program.instructions}
        self.shown = {slot: Shown(slot, kind.shape, *_contiguous(kind)) for slot, kind in self._inputs()}
        self.views: set[int] = set()
        for instruction in program.instructions:
            self._show(instruction)
        self.fused = {slot for slot, i in self.made.items() if slot not in self.views and self._fits(i)}
        self._end_products()
        self.stored = self._stored()
        self.inline = self.fused - self.stored
        self.reads = self._all_reads()
        self.level = self._levels()

    @cached_property
    def handed_out(self) -> set[int]:
        """The slots whose memory outputs show."""
        shown = [self.shown[o].root for o in self.program.outputs if isinstance(o, int)]
        return {root for root in shown if isinstance(root, int)}

    def _inputs(self) -> Iterator[tuple[int, Kind]]:
        return ((slot, self.kinds[slot]) for slot in self.program.inputs)

    # What shows what

    def _show(self, instruction: Instruction) -> None:
        """Note where a result is: in memory of its own, or in that of what it is a view of."""
        slot, place = instruction.result, instruction.primitive.view_of
        if place is not None:
            looked_at = self.of(instruction.operands[place])
            view = None if looked_at is None else _view(instruction, looked_at)
            if view is not None:
                self.shown[slot] = view
                self.views.add(slot)
                return
        self.shown[slot] = Shown(slot, self.kinds[slot].shape, *_contiguous(self.kinds[slot]))

    def of(self, operand: int | Constant) -> Shown | None:
        """How an operand shows memory; None for a number."""
        if isinstance(operand, int):
            return self.shown[operand]
        if isinstance(operand.value, NEUTRAL):
            return None
        array, item = operand.value, operand.value.dtype.itemsize
        if any(stride % item for stride in array.strides):
            raise ValueError(f"an array from outside lies askew in memory: strides {array.strides} of {array.dtype}")
        return Shown(operand, tuple(array.shape), tuple(stride // item for stride in array.strides), 0)

    def kind(self, operand: int | Constant) -> Kind:
        """Shape and dtype of an operand."""
        return self.kinds[operand] if isinstance(operand, int) else kind_of(operand.value)

    def is_alike(self, shown: Shown, space: Sequence[int]) -> bool:
        """Whether number i of a shape is number i of the memory, and there are no others."""
        count, kind = math.prod(space), self.kind(shown.root)
        whole = shown.offset == 0 and math.prod(kind.shape) == count
        return whole and (count == 1 or shown.axes(space) == ((1, count, 1),))

    def space(self, instruction: Instruction) -> tuple[int, ...]:
        """The shape an instruction goes through: of the result, or of what a reshape copies."""
        if instruction.primitive.name == "reshape":
            return self.kind(instruction.operands[0]).shape
        return self.kinds[instruction.result].shape

    # What is fused

    def _fits(self, instruction: Instruction) -> bool:
        """Whether an instruction can be part of a chain."""
        if not math.prod(self.kinds[instruction.result].shape):
            return False
        name, dtype = instruction.primitive.name, self.kinds[instruction.result].dtype
        if name in NOISE:
            key, start = map(self.of, instruction.operands)
            fits = start is None or self.kind(instruction.operands[1]).dtype in TYPES
            return fits and key is not None and key.strides == (1,) and dtype in TYPES
        if any(self.kind(operand).dtype not in TYPES for operand in instruction.operands):
            return False
        if name == "where" and self.kind(instruction.operands[0]).dtype != np.bool_:
            return False
        name, within = self.computes(instruction)
        numbers = [o.value for o in instruction.operands if not isinstance(o, int) and isinstance(o.value, int)]
        return all(_holds(within, number) for number in numbers) and formula(name, within, dtype) is not None

    def computes(self, instruction: Instruction) -> tuple[str, np.dtype]:
        """The name of an instruction's formula, and the dtype it computes in."""
        name, dtype = instruction.primitive.name, self.kinds[instruction.result].dtype
        if name in ("astype", "astype_discrete", "copy", "reshape", "slice", "transpose", "broadcast_to"):
            return "copy", self.kind(instruction.operands[0]).dtype
        if dtype == np.bool_ and name != "where":
            return name, np.result_type(*(_weak(o, self.kind(o)) for o in instruction.operands))
        return name, dtype

    def _end_products(self) -> None:
        """Let products do what follows them (`endings`)."""
        readers: dict[int, list[Instruction]] = {}
        for instruction in self.made.values():
            if instruction.result not in self.views:
                for root in self._roots(instruction):
                    readers.setdefault(root, []).append(instruction)
        for product in list(self.made.values()):
            found = ending(self, product, readers)
            if found is not None:
                self.made[found.end] = found.of(product)
                self.fused.discard(found.end)
                for slot in found.between:
                    del self.made[slot]
                    self.fused.discard(slot)

    def _stored(self) -> set[int]:
        """The fused slots that have memory."""
        stored = self.handed_out & self.fused
        readers: dict[int, int] = {}
        cost: dict[int, int] = {}
        for slot, instruction in self.made.items():
            if slot in self.views:
                continue
            count, total = math.prod(self.space(instruction)), 8 if instruction.primitive.name in DEAR else 1
            shown = [s for s in map(self.of, instruction.operands) if s is not None and isinstance(s.root, int)]
            for root, *_ in dict.fromkeys(shown):  # once for each place that it is read at
                readers[root] = readers.get(root, 0) + 1
                if root in self.fused:
                    if slot not in self.fused or math.prod(self.kinds[root].shape) != count:
                        stored.add(root)
                    total += 0 if root in stored else cost[root]
            cost[slot] = total
            if slot in self.fused and total > LONGEST:
                stored.add(slot)
        return stored | {s for s in self.fused if cost[s] > SHARED and readers.get(s, 0) > 1}

    def _roots(self, instruction: Instruction) -> list[int]:
        """The slots whose memory an instruction reads."""
        found = [shown.root for shown in map(self.of, instruction.operands) if shown is not None]
        return list(dict.fromkeys(root for root in found if isinstance(root, int)))

    # When

    def _all_reads(self) -> dict[int, set[tuple[Any, bool]]]:
        """The memory that making each slot reads: roots, and whether number i is read for number i alone."""
        found: dict[int, set[tuple[Any, bool]]] = {}
        for slot, instruction in self.made.items():
            if slot in self.views:
                continue
            if slot not in self.fused:
                found[slot] = {(root, False) for root in self._roots(instruction)}
                continue
            found[slot], space = set(), self.space(instruction)
            for shown in map(self.of, instruction.operands):
                if shown is None:
                    continue
                root, alike = _key(shown.root), self.is_alike(shown, space)
                if root in self.inline:
                    found[slot] |= {(other, alike and same) for other, same in found[root]}
                else:
                    found[slot].add((root, alike))
        return found

    def _levels(self) -> dict[int, int]:
        """When each slot that has memory of its own is made."""
        found: dict[int, int] = {}
        arguments: dict[int, set[Any]] = {}  # of the generated kernel of each level
        for slot in self.made:
            if slot in self.views or slot in self.inline:
                continue
            level, mine = 0, {slot, *(root for root, _ in self.reads[slot])}
            for root, same in self.reads[slot]:
                if root in found:
                    joins = same and root in self.fused and slot in self.fused
                    level = max(level, found[root] + (not joins))
            if slot in self.fused:
                while level in arguments and len(arguments[level] | mine) > MOST:
                    level += 1
                arguments.setdefault(level, set()).update(mine)
            found[slot] = level
        return found

    # Launches

    @cached_property
    def levels(self) -> list[list[Launch]]:
        """What to launch, level by level."""
        found: list[list[Launch]] = [[] for _ in range(max(self.level.values(), default=-1) + 1)]
        chains: list[dict[int, list[int]]] = [{} for _ in found]
        for slot, level in self.level.items():
            if slot in self.fused:
                chains[level].setdefault(math.prod(self.kinds[slot].shape), []).append(slot)
            else:
                found[level].append(Launch(self.made[slot]))
        for launches, loops in zip(found, chains):
            if loops:
                arguments: dict[Any, int] = {}
                made = tuple(_Builder(self, count, slots, arguments).loop() for count, slots in loops.items())
                launches.append(Launch(None, made, tuple(key for key in arguments)))
        return found


class _Builder:
    """The steps of one loop."""

    def __init__(self, fusion: Fusion, count: int, slots: Sequence[int], arguments: dict[Any, int]):
        self.fusion, self.count, self.slots, self.arguments = fusion, count, slots, arguments
        self.steps: list[Step] = []
        self.known: dict[Any, int] = {}
        self.values: dict[tuple[Any, int | None], int] = {}  # the steps of numbers

    def loop(self) -> Loop:
        """The loop that makes all its slots."""
        made = [(self.value(slot, None), slot) for slot in self.slots]
        return Loop(self.count, tuple(self.steps), tuple((step, self.argument(slot)) for step, slot in made))

    def add(self, step: Step) -> int:
        """The place of a step, which is done once."""
        key = type(step), repr(step) if isinstance(step, Number) else step  # 1, 1.0 and True differ, 0.0 and −0.0 too
        if key not in self.known:
            self.known[key] = len(self.steps)
            self.steps.append(step)
        return self.known[key]

    def argument(self, root: Root) -> int:
        """The number of an argument of the kernel."""
        return self.arguments.setdefault(_key(root), len(self.arguments))

    def value(self, root: Root, at: int | None) -> int:
        """Number `at` of a slot or a constant array: made here if this loop makes it or nobody stores it, else read."""
        wanted = [(root, at)]
        while wanted:  # no recursion: chains are long
            root, at = wanted[-1]
            missing = [(of, i) for of, i in self.needed(root, at) if (_key(of), i) not in self.values]
            if missing:
                wanted += missing
            else:
                self.values[_key(root), at] = self.made(root, at)
                wanted.pop()
        return self.values[_key(root), at]

    def instruction(self, root: Root, at: int | None) -> Instruction | None:
        """What makes number `at` here; None if it is read."""
        here = isinstance(root, int) and (root in self.fusion.inline or (root in self.slots and at is None))
        return self.fusion.made[root] if here else None

    def needed(self, root: Root, at: int | None) -> list[tuple[Root, int | None]]:
        """The numbers that have to be known before this one."""
        instruction = self.instruction(root, at)
        if instruction is None:
            return []
        operands, space = instruction.operands, self.fusion.space(instruction)
        if instruction.primitive.name in NOISE:  # the key is read where the noise is made
            operands, space, at = operands[1:], (), None
        return [self.place(shown, space, at) for shown in map(self.fusion.of, operands) if shown is not None]

    def made(self, root: Root, at: int | None) -> int:
        """The step that makes or reads a number; all that it needs is known."""
        fusion, instruction = self.fusion, self.instruction(root, at)
        if instruction is None:
            return self.add(Load(self.argument(root), at, fusion.kind(root).dtype))
        values = iter([self.values[_key(of), i] for of, i in self.needed(root, at)])
        dtype = fusion.kinds[instruction.result].dtype
        if instruction.primitive.name in NOISE:
            key, start = map(fusion.of, instruction.operands)
            offset = instruction.params["offset"] + (int(instruction.operands[1].value) if start is None else 0)
            name = NOISE[instruction.primitive.name]
            return self.add(Noise(name, self.argument(key.root), key.offset, next(values, None), offset, at, dtype))
        steps = [self.add(_number(o.value)) if fusion.of(o) is None else next(values) for o in instruction.operands]
        name, within = fusion.computes(instruction)
        return self.add(Apply(name, tuple(steps), within, dtype))

    def place(self, shown: Shown, space: Sequence[int], at: int | None) -> tuple[Root, int | None]:
        """What an operand shows at number `at` of a shape."""
        if self.fusion.is_alike(shown, space) and math.prod(space) == self.count:
            return shown.root, at
        return shown.root, self.add(Index(at, shown.axes(space), shown.offset))


class _Same(NamedTuple):
    """An array from outside as the key of a dict: itself, whatever its values are."""

    constant: Constant

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.constant.value is self.constant.value

    def __hash__(self) -> int:
        return id(self.constant.value)


def _key(root: Root) -> Any:
    """Memory as the key of a dict."""
    return root if isinstance(root, int) else _Same(root)


def _number(value: Any) -> Number:
    dtype = np.asarray(value).dtype
    return Number(value if isinstance(value, (bool, int, float)) else value.item(), dtype)


def _holds(dtype: np.dtype, number: int) -> bool:
    """Whether a Python integer can be written down as a number of a dtype: to compare with, any is allowed."""
    limits = np.iinfo(dtype if dtype.kind == "i" else np.int64)
    return limits.min <= number <= limits.max


def _weak(operand: int | Constant, kind: Kind) -> Any:
    """What np.result_type takes for an operand: a Python number adapts."""
    weak = not isinstance(operand, int) and isinstance(operand.value, (bool, int, float))
    return operand.value if weak and not isinstance(operand.value, np.generic) else kind.dtype


def _contiguous(kind: Kind) -> tuple[tuple[int, ...], int]:
    return tuple(math.prod(kind.shape[i + 1 :]) for i in range(len(kind.shape))), 0


def _view(instruction: Instruction, x: Shown) -> Shown | None:
    """What a view shows; None where it cannot be one: pixels laid out in another order."""
    if instruction.primitive.name == "stop_gradient":
        return x
    params = instruction.params
    if instruction.primitive.name == "reshape":
        return _reshaped(x, params["shape"])
    if instruction.primitive.name == "slice" and ... not in params["index"]:
        params = {"index": (*params["index"], ...)}  # so that a single number is an array too
    pretended = np.lib.stride_tricks.as_strided(np.empty(1, np.int8), x.shape, x.strides)
    y = instruction.primitive.forward(_HOST, pretended, **params)
    begin = y.__array_interface__["data"][0] - pretended.__array_interface__["data"][0]
    return Shown(x.root, y.shape, y.strides, x.offset + begin)


def _reshaped(x: Shown, shape: tuple[int, ...]) -> Shown | None:
    """A view in another shape: of what is contiguous, or with axes of length 1 put in or left out."""
    count = math.prod(shape)
    if x.axes(x.shape) == ((1, count, 1),) or count <= 1:
        return Shown(x.root, shape, tuple(math.prod(shape[i + 1 :]) for i in range(len(shape))), x.offset)
    lengths = [[n for n in some if n != 1] for some in (x.shape, shape)]
    if lengths[0] != lengths[1]:
        return None
    strides = iter([stride for n, stride in zip(x.shape, x.strides) if n != 1])
    return Shown(x.root, shape, tuple(0 if n == 1 else next(strides) for n in shape), x.offset)


class _HOST:
    """What views ask of a backend."""

    xp = np
    freeze = staticmethod(lambda x: x)
