"""A layered graph layout, in which every edge runs downwards and none runs through a box.

After Sugiyama, Tagawa and Toda (1981), in four steps: put every box on a level below all it uses; give an edge that
skips levels a *bend* on each of them; order every level by the barycentres of its neighbours, sweeping up and down, and
keep the order with the fewest crossings; move boxes sideways until edges are as straight as that order allows.
Distances are pixels. Edges leave at the bottom of a box and enter at the top. Boxes and bends are both called items.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

Point = tuple[float, float]

GAP = 26  # between two boxes side by side, and between two levels
BEND = 7  # half the width reserved for a bend
SPREAD = 44  # most, between two edges that leave a box


class Size(NamedTuple):
    """The size of a box and of the space around it."""

    width: float
    height: float
    ports: tuple[float, ...] = ()  # where edges enter, from the left
    above: float = 0  # room for their labels
    beside: float = 0  # by how much these extend past the right side
    exit: float | None = None  # around which place edges leave, from the left; in the middle by default


class Layout(NamedTuple):
    """Upper left corners of boxes, routes of edges. A route runs straight down from its first point to its second, in
    a curve to the third, straight down to the fourth, and so on."""

    corners: list[Point]
    routes: list[list[Point]]
    width: float
    height: float


class Link(NamedTuple):
    """A segment of an edge, from an item to one on the next level."""

    upper: int
    lower: int
    entry: float  # where it enters the lower item, relative to its centre
    place: float  # the same as a fraction of the width: −½ is the left end, ½ the right one


def arrange(sizes: Sequence[Size], edges: Sequence[tuple[int, int]]) -> Layout:
    """Position boxes and edges (source, target), source < target; those of one target enter its ports in turn."""
    level = levels(len(sizes), edges)
    links, chains = _split_edges(level, edges, sizes)
    rows = _order(level, links)
    exits = _exits(rows, links, sizes)
    x = _centres(rows, links, exits, sizes)
    return _place_all(sizes, level, links, chains, exits, x)


def levels(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The level of every box: the length of the longest path to it.

    A box with more users than operands moves down to the level just above its first user: inputs and constants stand
    where they are used, and fewer edges skip levels.
    """
    level = [0] * count
    uses: list[set[int]] = [set() for _ in range(count)]
    users: list[set[int]] = [set() for _ in range(count)]
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        level[target] = max(level[target], level[source] + 1)
        uses[target].add(source)
        users[source].add(target)
    for box in reversed(range(count)):
        if len(users[box]) > len(uses[box]):
            level[box] = min(level[user] for user in users[box]) - 1
    return level


def _split_edges(level: list[int], edges: Sequence, sizes: Sequence[Size]) -> tuple[list[Link], list[list[int]]]:
    """All links, and for each edge the indices of its links. Appends the levels of bends to `level`."""
    entered = [0] * len(sizes)
    links, chains = [], []
    for source, target in edges:
        width, ports = sizes[target].width, sizes[target].ports
        entry = ports[entered[target]] - width / 2
        entered[target] += 1
        bends = range(len(level), len(level) + level[target] - level[source] - 1)
        level += range(level[source] + 1, level[target])
        steps = list(pairwise([source, *bends, target]))
        chains.append(list(range(len(links), len(links) + len(steps))))
        links += [Link(*step, 0.0, 0.0) for step in steps[:-1]] + [Link(*steps[-1], entry, entry / width)]
    return links, chains


# Order


def _order(level: list[int], links: list[Link]) -> list[list[int]]:
    """The items of every level from left to right."""
    above: list[list[Link]] = [[] for _ in level]
    below: list[list[Link]] = [[] for _ in level]
    for link in links:
        above[link.lower].append(link)
        below[link.upper].append(link)
    rows: list[list[int]] = [[] for _ in range(max(level, default=-1) + 1)]
    for item in _initial_order(level, above):
        rows[level[item]].append(item)
    best, fewest = [*rows], _count_crossings(rows, below)
    position = {item: float(i) for row in rows for i, item in enumerate(row)}
    for sweep in range(24):
        downwards = sweep % 2 == 0
        for r in range(len(rows)) if downwards else reversed(range(len(rows))):
            near = {
                item: [position[link.upper] for link in above[item]]
                if downwards
                else [position[link.lower] + link.place for link in below[item]]
                for item in rows[r]
            }
            centre = {item: sum(near[item]) / len(near[item]) if near[item] else position[item] for item in rows[r]}
            rows[r] = sorted(rows[r], key=centre.__getitem__)
            position |= {item: float(i) for i, item in enumerate(rows[r])}
        crossings = _count_crossings(rows, below)
        if crossings < fewest:
            best, fewest = [*rows], crossings
    return best


def _initial_order(level: list[int], above: list[list[Link]]) -> list[int]:
    """Depth-first order, every item after those it uses: an initial order with few crossings."""
    order: dict[int, None] = {}
    waiting = sorted(range(len(level)), key=lambda item: (level[item], -item))
    while waiting:
        item = waiting[-1]
        missing = [link.upper for link in above[item] if link.upper not in order]
        if missing and item not in order:
            waiting += reversed(missing)
        else:
            order[waiting.pop()] = None
    return list(order)


def _count_crossings(rows: list[list[int]], below: list[list[Link]]) -> int:
    """The number of pairs of links that cross."""
    count = 0
    for row, under in pairwise(rows):
        position = {item: i for i, item in enumerate(under)}
        passed: list[float] = []
        for item in row:
            ends = [position[link.lower] + link.place for link in below[item]]
            count += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return count


# Places


def _exits(rows: list[list[int]], links: list[Link], sizes: Sequence[Size]) -> list[float]:
    """Where each link leaves its upper item, relative to its centre: side by side, ordered by their lower ends."""
    position = {item: i for row in rows for i, item in enumerate(row)}
    exits = [0.0] * len(links)
    links_of: dict[int, list[int]] = {}
    for i, link in enumerate(links):
        links_of.setdefault(link.upper, []).append(i)
    for upper, several in links_of.items():
        several.sort(key=lambda i: position[links[i].lower] + links[i].place)
        step = middle = 0.0
        if upper < len(sizes):
            step, middle = _spread_exits(sizes[upper], len(several))
        for place, i in enumerate(several):
            exits[i] = middle + step * (place - (len(several) - 1) / 2)
    return exits


def _spread_exits(size: Size, count: int) -> Point:
    """The distance between the exits of a box, and their middle relative to its centre."""
    step = min(SPREAD, size.width / count)
    free = max(0.0, (size.width - step * (count - 1)) / 2 - BEND)
    return step, max(-free, min(free, 0.0 if size.exit is None else size.exit - size.width / 2))


def _extent(item: int, sizes: Sequence[Size]) -> Point:
    """How far an item extends to the left and right of its centre."""
    if item >= len(sizes):
        return BEND, BEND
    return sizes[item].width / 2, sizes[item].width / 2 + sizes[item].beside


def _centres(rows: list[list[int]], links: list[Link], exits: list[float], sizes: Sequence[Size]) -> list[float]:
    """The x coordinate of every item's centre: in order, with few and small sideways moves of edges.

    Sweeps down and up the levels move items to where their links pull them: at first to the mean, which brings linked
    items close, then to the median, which makes most edges straight. Links to the level just placed weigh more.
    """
    count = sum(map(len, rows))
    ties: list[list[tuple[int, float, float, bool]]] = [[] for _ in range(count)]  # other end, offset, weight, above?
    for link, offset in zip(links, exits):
        shift = offset - link.entry
        weight = (1, 3, 9)[(link.upper >= len(sizes)) + (link.lower >= len(sizes))]  # straightest between bends
        if link.upper < len(sizes) and not sizes[link.upper].ports:
            weight /= 4  # boxes without operands can move freely
        ties[link.lower].append((link.upper, shift, weight, True))
        ties[link.upper].append((link.lower, -shift, weight, False))
    x = [0.0] * count
    for sweep in range(81):
        centre, downwards = _mean if sweep < 40 else _median, sweep % 2 == 0
        for row in rows if downwards else reversed(rows):
            pulls = [
                [
                    (x[other] + shift, weight * (1.5 if above is downwards else 1))
                    for other, shift, weight, above in ties[item]
                ]
                or [(x[item], 1e-6)]
                for item in row
            ]
            extents = [_extent(item, sizes) for item in row]
            for item, place in zip(row, _space_out(pulls, [a[1] + GAP + b[0] for a, b in pairwise(extents)], centre)):
                x[item] = place
    return x


def _mean(pulls: list[Point]) -> float:
    """The weighted mean of (place, weight): minimises squared distances."""
    return sum(place * weight for place, weight in pulls) / sum(weight for _, weight in pulls)


def _median(pulls: list[Point]) -> float:
    """The weighted median of (place, weight): minimises distances; the midpoint, if a range does."""
    pulls = sorted(pulls)
    total, passed, low = sum(weight for _, weight in pulls), 0.0, None
    for place, weight in pulls:
        passed += weight
        if low is not None or passed > total / 2:
            return place if low is None else (low + place) / 2
        if passed == total / 2:
            low = place
    raise AssertionError("no pulls")


def _space_out(pulls: list[list[Point]], distances: list[float], centre: Callable) -> list[float]:
    """The places nearest to the pulls of items that keep neighbours at least `distances` apart.

    After subtracting the distances, places must not decrease from left to right; neighbours out of order merge into a
    block with a common centre. (This is isotonic regression by pooling adjacent violators.)
    """
    needed = [0.0]
    for distance in distances:
        needed.append(needed[-1] + distance)
    blocks: list[tuple[float, list[Point], int]] = []  # (centre, pulls, number of items)
    for pull, offset in zip(pulls, needed):
        block = [(place - offset, weight) for place, weight in pull]
        middle, count = centre(block), 1
        while blocks and blocks[-1][0] > middle:
            _, before, others = blocks.pop()
            block, count = before + block, count + others
            middle = centre(block)
        blocks.append((middle, block, count))
    middles = [middle for middle, _, count in blocks for _ in range(count)]
    return [middle + offset for middle, offset in zip(middles, needed)]


def _place_all(sizes, level, links, chains, exits, x) -> Layout:
    """Compute heights of levels, then corners and routes. Boxes without operands stand at the bottom of their level."""
    extents = [_extent(item, sizes) for item in range(len(x))]
    left = min([place - r[0] for place, r in zip(x, extents)], default=0.0)
    x = [place - left for place in x]
    ends = [(x[link.upper] + offset, x[link.lower] + link.entry) for link, offset in zip(links, exits)]
    label_tops, tops, bottoms = [], [], []  # of each level: where labels begin, where boxes begin and end
    y = 0.0
    for i in range(max(level, default=-1) + 1):
        boxes = [size for size, at in zip(sizes, level) if at == i]
        slant = max([abs(b - a) for (a, b), link in zip(ends, links) if level[link.upper] == i], default=0.0)
        label_tops.append(y)
        tops.append(y + max([size.above for size in boxes], default=0.0))
        bottoms.append(tops[-1] + max([size.height for size in boxes], default=0.0))
        y = bottoms[-1] + GAP + min(50.0, slant / 8)
    corners = []
    for item, size in enumerate(sizes):
        top = tops[level[item]] if size.ports else bottoms[level[item]] - size.height
        corners.append((x[item] - size.width / 2, top))
    routes = []
    for chain in chains:
        source, target = links[chain[0]].upper, links[chain[-1]].lower
        route = [(ends[chain[0]][0], corners[source][1] + sizes[source].height)]
        for i in chain:
            (start, end), link = ends[i], links[i]
            route += [(start, bottoms[level[link.upper]]), (end, label_tops[level[link.lower]])]
        routes.append([*route, (ends[chain[-1]][1], corners[target][1])])
    width = max([place + r[1] for place, r in zip(x, extents)], default=0.0)
    return Layout(corners, routes, width, bottoms[-1] if bottoms else 0.0)
