"""Drawings as SVG text: boxes and edges in position, with tooltips, in light and dark colours.

A click on a call shows the drawing of its inside in place of the one around it. No script is needed: a call is a radio
button, and the style sheet makes the drawing visible that the checked button names. Notebooks and editors keep that,
while they may drop scripts, and change the address of the page for links. Where styles or buttons do not work, as in an
`<img>`, the first drawing is visible.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from minigrad.show.graph import CALL, Box, Drawing, Edge
from minigrad.show.labels import (
    FONTS,
    Line,
    Text,
    heading,
    label_of,
    lines_of,
    path_of,
    tooltip_of_box,
    tooltip_of_edge,
)
from minigrad.show.layout import Point, Size, arrange
from minigrad.tables import escape

PAD, LINE, MARGIN = 10, 18, 24  # pixels: padding of a box, line height, margin of the picture
APART, STEP = 3, 14  # half the distance between the two lines of an edge; line height of a label
NAME = "\0"  # stands for the name of a picture, which is known last

STYLE = """
.minigrad text { font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", "Liberation Mono", monospace; }
.minigrad .title, .minigrad .heading { fill: #1f2328; font-weight: 700; }
.minigrad .kind, .minigrad .note, .minigrad .where, .minigrad .slope { fill: #59636e; }
.minigrad .value { fill: #0550ae; }
.minigrad .bar, .minigrad .sent { fill: #b62324; }
.minigrad .paper { fill: #ffffff; }
.minigrad .box rect { fill: #f6f8fa; stroke: #d1d9e0; }
.minigrad .input rect { fill: #e7f3ff; stroke: #54aeff; }
.minigrad .result rect { fill: #fff1e5; stroke: #fb8f44; }
.minigrad .constant rect { fill: none; stroke: #818b98; stroke-dasharray: 4 3; }
.minigrad .down { fill: none; stroke: #818b98; stroke-width: 1.3; }
.minigrad .up { fill: none; stroke: #cf5a5c; stroke-width: 1.3; }
.minigrad .tip-down { fill: #818b98; }
.minigrad .tip-up { fill: #cf5a5c; }
.minigrad .edge:hover .down, .minigrad .edge:hover .up { stroke-width: 3; }
@media (prefers-color-scheme: dark) {
.minigrad .title, .minigrad .heading { fill: #f0f6fc; }
.minigrad .kind, .minigrad .note, .minigrad .where, .minigrad .slope { fill: #9198a1; }
.minigrad .value { fill: #79c0ff; }
.minigrad .bar, .minigrad .sent { fill: #ff9492; }
.minigrad .paper { fill: #0d1117; }
.minigrad .box rect { fill: #161b22; stroke: #3d444d; }
.minigrad .input rect { fill: #0c2d4d; stroke: #388bfd; }
.minigrad .result rect { fill: #3d1f0a; stroke: #db6d28; }
.minigrad .constant rect { fill: none; stroke: #656c76; }
.minigrad .down { stroke: #656c76; }
.minigrad .up { stroke: #c65456; }
.minigrad .tip-down { fill: #656c76; }
.minigrad .tip-up { fill: #c65456; }
}
"""


FOLDED = """
.minigrad .call rect { fill: #f4efff; stroke: #a475f9; }
.minigrad .call path { fill: none; stroke: #a475f9; }
.minigrad .path { fill: #0969da; }
.minigrad input { appearance: none; display: block; width: 100%; height: 100%; margin: 0; padding: 0; border: 0;
  border-radius: 6px; background: none; cursor: pointer; }
.minigrad input:hover { background: rgba(130, 80, 223, 0.13); }
.minigrad input:focus-visible { outline: 2px solid #8250df; }
@media (prefers-color-scheme: dark) {
.minigrad .call rect { fill: #251b3d; stroke: #8957e5; }
.minigrad .call path { stroke: #8957e5; }
.minigrad .path { fill: #58a6ff; }
}
"""


class View(NamedTuple):
    """The size of a drawing with its legend, and its elements."""

    width: str
    height: str
    title: str
    content: str


def svg_text(drawings: Sequence[Drawing]) -> str:
    """The SVG text of a drawing, followed by those of the insides of its calls."""
    views = [_view(drawing) for drawing in drawings]
    first = views[0]
    size = f'width="{first.width}" height="{first.height}"'
    start = '<svg xmlns="http://www.w3.org/2000/svg" class="minigrad'
    if len(views) == 1:
        frame = f'{size} viewBox="0 0 {first.width} {first.height}" style="max-width: 100%; height: auto"'
        parts = [f'{start}" role="img" {frame}>', first.title, f"<style>{STYLE}</style>", first.content]
        return "\n".join([*parts, "</svg>"]) + "\n"
    name = f"m{zlib.crc32(''.join(view.content for view in views).encode()):08x}"  # two pictures on a page differ
    rules = [f".{name}:has(input:not([value='0']):checked) > .v0 {{ display: none; }}"]
    parts = []
    for i, (width, height, title, content) in enumerate(views):
        chosen = f".{name}:has(input[value='{i}']:checked)" if i else f".{name}"
        rules.append(f"{chosen} {{ width: {width}px; aspect-ratio: {width} / {height}; }}")
        rules += [f"{chosen} > .v{i} {{ display: inline; }}"] * (i > 0)
        frame = f'width="100%" height="100%" viewBox="0 0 {width} {height}"' + ' display="none"' * (i > 0)
        parts += [f'<svg class="v{i}" {frame}>', title, content.replace(NAME, name), "</svg>"]
    style = "\n".join([STYLE + FOLDED.strip(), *sorted(rules, key=lambda rule: "display" in rule), ""])
    return "\n".join(
        [
            f'{start} {name}" {size} style="max-width: 100%; height: auto">',
            f"<style>{style}</style>",
            *parts,
            "</svg>\n",
        ]
    )


def _view(drawing: Drawing) -> View:
    boxes, edges = drawing.boxes, drawing.edges
    labels = [label_of(edge) for edge in edges]
    entering = [[label for label, edge in zip(labels, edges) if edge.target == i] for i in range(len(boxes))]
    sizes = [_size(lines_of(drawing, i, edges), entering[i]) for i in range(len(boxes))]
    sizes = [_align(size, i, drawing) if boxes[i].role == CALL else size for i, size in enumerate(sizes)]
    layout = arrange(sizes, [(edge.source, edge.target) for edge in edges])
    from_left = [edge for _, edge in sorted(zip(layout.routes, edges), key=lambda pair: pair[0][0])]
    path, legend = path_of(drawing), heading(drawing)
    above = LINE + 4 if path else 0
    width = max([layout.width, sum(text.width for _, text in path), *[text.width for text in legend]]) + 2 * MARGIN
    top = 2 * MARGIN + LINE * len(legend) + above
    height = top + layout.height + MARGIN
    parts = [
        '<rect class="paper" width="100%" height="100%"/>',
        *_path_line(path),
        *[_text(text, MARGIN, MARGIN + above + LINE * (i + 0.6)) for i, text in enumerate(legend)],
        f'<g transform="translate({(width - layout.width) / 2:.1f} {top:.1f})">',
        *[_edge(edge, route, tooltip_of_edge(drawing, edge)) for edge, route in zip(edges, layout.routes)],
        *[_box(box, i, lines_of(drawing, i, from_left), sizes[i], layout.corners[i]) for i, box in enumerate(boxes)],
        *[_label(label, route[-1]) for label, route in zip(labels, layout.routes) if label],
        "</g>",
    ]
    return View(f"{width:.0f}", f"{height:.0f}", f"<title>{_escape(drawing.title)}</title>", "\n".join(parts))


def _path_line(path: list[tuple[int, Text]]) -> list[str]:
    """The drawings around this one, each of them a button."""
    parts, x = [], float(MARGIN)
    for number, text in path:
        parts.append(_text(text, x, MARGIN + LINE * 0.4))
        parts.append(_button(number, x, MARGIN - LINE * 0.4, Size(text.width, LINE), f"back to {text.words[2:]}"))
        x += text.width + PAD
    return parts


def _button(number: int, x: float, y: float, size: Size, tooltip: str) -> str:
    """An invisible radio button that shows a drawing."""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{size.width:.1f}" height="{size.height:.1f}"'
    title = _escape(tooltip).replace("\n", "&#10;")  # in an attribute, a plain line break is a space
    what = f'type="radio" name="{NAME}" value="{number}" title="{title}"'
    return f'<foreignObject {place}><input xmlns="http://www.w3.org/1999/xhtml" {what}/></foreignObject>'


def _size(lines: list[Line], labels: list[list[Text]]) -> Size:
    """Size of a box: as wide as its longest line, or as the labels of entering edges side by side."""
    width = max([sum(text.width for text in line) + 2 * PAD * len(line) for line in lines])
    height = LINE * len(lines) + PAD
    above = STEP * max(map(len, labels), default=0) + 14
    room = [max([text.width + PAD for text in label], default=0) + 2 * PAD for label in labels]
    if len(labels) < 2:
        return Size(width, height, (width / 2,) * len(labels), above, max(0.0, sum(room) - PAD - width / 2))
    width = max(width, sum(room) + PAD)
    slack, ports, left = (width - sum(room)) / len(room), [], 0.0
    for wide in room:
        ports.append(left + slack / 2 + PAD)
        left += wide + slack
    return Size(width, height, tuple(ports), above)


def _align(size: Size, i: int, drawing: Drawing) -> Size:
    """The size of a call whose results leave below the first argument from another call: their chain is straight."""
    calls = [drawing.boxes[edge.source].role == CALL for edge in drawing.edges if edge.target == i]
    return size._replace(exit=size.ports[calls.index(True) if any(calls) else 0]) if calls else size


def _box(box: Box, i: int, lines: list[Line], size: Size, corner: Point) -> str:
    x, y = corner
    entries = f' data-entries="{" ".join(map(str, box.entries))}"' if box.entries else ""
    parts = [f'<g class="box {box.role}" data-box="{i}"{entries}><title>{_escape(tooltip_of_box(box))}</title>']
    parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{size.width:.1f}" height="{size.height:.1f}" rx="6"/>')
    for row, (first, *rest) in enumerate(lines, start=1):
        parts.append(_text(first, x + PAD, y + LINE * row))
        parts += [_text(text, x + size.width - PAD, y + LINE * row, "end") for text in rest]
    if box.opens:  # like the box of a subroutine in a flow chart
        sides = " ".join(f"M{side:.1f} {y:.1f}v{size.height:.1f}" for side in (x + 4, x + size.width - 4))
        parts += [f'<path d="{sides}"/>', _button(box.opens, x, y, size, tooltip_of_box(box))]
    return "\n".join([*parts, "</g>"])


def _label(label: list[Text], end: Point) -> str:
    x, y = end[0] + PAD, end[1] - 10
    return "\n".join(_text(text, x, y - STEP * i) for i, text in enumerate(reversed(label)))


def _edge(edge: Edge, route: list[Point], tooltip: str) -> str:
    apart = 0 if edge.sent is None else APART
    parts = [f'<path class="down" d="{_path(route, -apart)}"/>', _arrowhead("tip-down", route[-1], -apart, -7)]
    if edge.sent is not None:
        parts += [f'<path class="up" d="{_path(route, apart)}"/>', _arrowhead("tip-up", route[0], apart, 7)]
    ends = f'data-source="{edge.source}" data-target="{edge.target}"'
    return f'<g class="edge" {ends}><title>{_escape(tooltip)}</title>{"".join(parts)}</g>'


def _path(route: list[Point], aside: float) -> str:
    """An SVG path along a route, shifted by `aside`: to the right where it runs down, up where it runs right."""
    path = [f"M{route[0][0] + aside:.1f} {route[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in zip(route[1::2], route[2::2]):
        if abs(x1 - x0) > 0.05:
            steep = (x1 - x0) / (abs(x1 - x0) + y1 - y0)
            y, a, b = (y0 + y1) / 2 - 4 / 3 * aside * steep, x0 + aside, x1 + aside
            path.append(f"V{y0:.1f}C{a:.1f} {y:.1f} {b:.1f} {y:.1f} {b:.1f} {y1:.1f}")
    return "".join([*path, f"V{route[-1][1]:.1f}"])


def _arrowhead(look: str, point: Point, aside: float, length: float) -> str:
    """An arrowhead that points down (negative length) or up."""
    return f'<path class="{look}" d="M{point[0] + aside:.1f} {point[1]:.1f}l-3.5 {length}h7z"/>'


def _text(text: Text, x: float, y: float, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{FONTS[text.look]}"'
    return f'<text class="{text.look}" {place}>{_escape(text.words)}</text>'


def _escape(words: str) -> str:
    """Text for XML, with non-breaking spaces."""
    return escape(words).replace("  ", "\u00a0 ")
