"""Folds: every call of a function as one box, and a drawing of what is inside it.

A group is a call with the boxes that it made one after the other. Since a tape is in topological order, no path leaves
a group and comes back, so that it can become one box. (A generator that is left and entered again is several groups.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any

from minigrad.core.vectors import add_p
from minigrad.show.calls import Call
from minigrad.show.graph import CALL, INPUT, OPERATION, RESULT, Box, Drawing, Edge, Quantity, check_count

MOST_SHOWN = 150  # most operations and calls in one drawing
NOTE = "Inside of a call: the backward pass starts from the cotangents that its results have outside."

Value = tuple[int, int]  # a box of the drawing without folds, and the number of its quantity


@dataclass(eq=False)
class Group:
    """A call, or the whole drawing."""

    name: str
    call: Call | None
    items: list[int | Group]  # boxes of the drawing without folds, and calls inside
    number: int = 0  # of its drawing

    @cached_property
    def boxes(self) -> list[int]:
        """All boxes inside, also those of inner calls."""
        return [i for item in self.items for i in (item.boxes if isinstance(item, Group) else [item])]

    @property
    def arguments(self) -> dict[int, str]:
        """Names of arguments, by tape index."""
        return self.call.arguments if self.call else {}

    @property
    def title(self) -> str:
        """`dense(x, w)`, with the parameters that hold traced values."""
        return f"{self.name}({', '.join(dict.fromkeys(name.partition('.')[0] for name in self.arguments.values()))})"


def fold(drawing: Drawing) -> list[Drawing]:
    """The drawing with one box for each call, then a drawing of the inside of each.

    Raises OperandError if one of them is too large to read.
    """
    root = _group(drawing)
    paths: list[tuple[Group, ...]] = [(root,)]
    for path in paths:  # grows while it is read
        inner = [item for item in path[-1].items if isinstance(item, Group)]
        for group in inner:
            group.number = len(paths)
            paths.append((*path, group))
    return [_Folder(drawing, path[-1]).draw(path) for path in paths]


def _group(drawing: Drawing) -> Group:
    root = Group(drawing.title, None, [])
    around = [root]
    for i, box in enumerate(drawing.boxes):
        same = 0  # calls that have not ended
        while same < min(len(box.calls), len(around) - 1) and around[same + 1].call is box.calls[same]:
            same += 1
        del around[same + 1 :]
        for call in box.calls[same:]:
            around[-1].items.append(group := Group(call.name, call, []))
            around.append(group)
        around[-1].items.append(i)
    root.items = _simplify(root.items, drawing.boxes)
    while len(steps := _steps(root.items, drawing.boxes)) == 1 and isinstance(steps[0], Group):  # f itself
        root.items = [i for item in root.items for i in (item.items if isinstance(item, Group) else [item])]
    return root


def _steps(items: Sequence[int | Group], boxes: Sequence[Box]) -> list[int | Group]:
    return [item for item in items if isinstance(item, Group) or boxes[item].role == OPERATION]


def _simplify(items: list[int | Group], boxes: Sequence[Box]) -> list[int | Group]:
    """The items without calls of minigrad's functions that are one step; a call that only calls another is one call."""
    found: list[int | Group] = []
    for item in items:
        if isinstance(item, Group):
            item.items = _simplify(item.items, boxes)
            steps = _steps(item.items, boxes)
            if len(steps) == 1 and not item.call.of_user:
                found += item.items
                continue
            if len(steps) == 1 and isinstance(steps[0], Group):
                names = [g.name for g in (item, *steps) if g.call.of_user]
                names = [name for name in dict.fromkeys(names) if name != "lambda"] or ["lambda"]
                item = replace(item, name=" › ".join(names), items=steps[0].items)
        found.append(item)
    return found


class _Folder:
    """The drawing of a group: its boxes, calls as one box, and boxes for values that enter and leave it."""

    def __init__(self, flat: Drawing, group: Group):
        self.flat, self.group = flat, group
        self.boxes: list[Box] = []
        self.edges: list[Edge] = []
        self.home = {i: item for item in group.items for i in (item.boxes if isinstance(item, Group) else [item])}
        self.places: dict[Any, int] = {}  # of boxes and groups of this drawing, and of values that enter it
        self.left = {item: self.find_leaving(item) for item in group.items if isinstance(item, Group)}

    def draw(self, path: Sequence[Group]) -> Drawing:
        group, flat = self.group, self.flat
        check_count(len(_steps(group.items, flat.boxes)), MOST_SHOWN, f" in {group.title}" if group.call else "")
        leaving = self.find_leaving(group)
        for value, sent in self.find_entering():
            self.add(value, self.make_input(value, sent))
        for item in group.items:
            self.add(item, self.make_call(item) if isinstance(item, Group) else flat.boxes[item])
        self.add_edges()
        for value, sent in leaving.items():
            symbol = self.quantity(value).symbol
            self.add(("result", value), Box(RESULT, f"result {symbol}", [replace(self.quantity(value), symbol="")]))
            self.edges.append(Edge(*self.place(value), len(self.boxes) - 1, "", sent, "outside"))
        if not group.call:
            return replace(flat, boxes=self.boxes, edges=self.edges)
        around = tuple((outer.number, outer.title if outer.call else flat.title) for outer in path[:-1])
        return Drawing(group.title, NOTE, self.boxes, self.edges, around)

    def add(self, key: Any, box: Box) -> None:
        self.places[key] = len(self.boxes)
        self.boxes.append(box)

    def quantity(self, value: Value) -> Quantity:
        return self.flat.boxes[value[0]].quantities[value[1]]

    def find_leaving(self, group: Group) -> dict[Value, Any]:
        """The values that are used outside of the group, with the cotangents that they get there."""
        terms: dict[Value, list] = {}
        inside = set(group.boxes)
        for edge in self.flat.edges:
            if edge.source in inside and edge.target not in inside:
                terms.setdefault((edge.source, edge.quantity), []).append(edge.sent)
        return {value: _add(sent) for value, sent in terms.items()}

    def find_entering(self) -> Iterator[tuple[Value, Any]]:
        """The values from outside of the group that it uses, with the cotangents that they get inside."""
        terms: dict[Value, list] = {}
        for edge in self.flat.edges:
            if edge.target in self.home and edge.source not in self.home:
                terms.setdefault((edge.source, edge.quantity), []).append(edge.sent)
        return ((value, _add(sent)) for value, sent in terms.items())

    def make_input(self, value: Value, sent: Any) -> Box:
        box, quantity = self.flat.boxes[value[0]], self.quantity(value)
        outside = box.title if box.role == INPUT else quantity.symbol
        name = self.name(self.group, value) or outside
        last = name.rpartition(".")[2]
        symbol = last if last.isidentifier() else quantity.symbol
        note = "" if name == outside else f"outside: {outside}"
        return Box(INPUT, name, [Quantity(symbol, quantity.value, sent)], note=note)

    def make_call(self, group: Group) -> Box:
        inside = [self.flat.boxes[i] for i in group.boxes]
        count = sum(box.role == OPERATION for box in inside)
        entries = tuple(entry for box in inside for entry in box.entries)
        quantities = [replace(self.quantity(value), cotangent=sent) for value, sent in self.left[group].items()]
        note = f"▸ {count} operation{'s' * (count > 1)}"
        return Box(CALL, group.name, quantities, entries, [], group.call.place, note=note, opens=group.number)

    def add_edges(self) -> None:
        """Add the uses of values; those by a call are one edge for each value."""
        merged: dict[tuple[Value, Group], list] = {}
        for edge in self.flat.edges:
            value, target = (edge.source, edge.quantity), self.home.get(edge.target)
            if target is None or self.home.get(edge.source) is target:
                continue
            if isinstance(target, Group):
                merged.setdefault((value, target), []).append(edge.sent)
            else:
                source, quantity = self.place(value)
                self.edges.append(replace(edge, source=source, quantity=quantity, target=self.places[target]))
        for (value, target), sent in merged.items():
            name = self.name(target, value)
            self.edges.append(Edge(*self.place(value), self.places[target], name, _add(sent), name))

    def place(self, value: Value) -> Value:
        """The box and the quantity of a value in this drawing."""
        item = self.home.get(value[0])
        if item is None:
            return self.places[value], 0
        return self.places[item], [*self.left[item]].index(value) if isinstance(item, Group) else value[1]

    def name(self, group: Group, value: Value) -> str:
        """The name of a value among the arguments of a call, if it is one."""
        entries = self.flat.boxes[value[0]].entries
        return group.arguments.get(entries[value[1]], "") if entries else ""


def _add(terms: Sequence[Any]) -> Any:
    """The sum of cotangents, of which some are None for zero; None if all are."""
    known = [term for term in terms if term is not None]
    return reduce(add_p, known) if known else None
