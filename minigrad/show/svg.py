"""A drawing as SVG text: boxes and edges in position, with tooltips, in light and dark colours."""

from __future__ import annotations

from html import escape

from minigrad.show.graph import Box, Drawing, Edge
from minigrad.show.labels import FONTS, Line, Text, heading, label_of, lines_of, tooltip_of_box, tooltip_of_edge
from minigrad.show.layout import Point, Size, arrange

PAD, LINE, MARGIN = 10, 18, 24  # pixels: padding of a box, line height, margin of the picture
APART, STEP = 3, 14  # half the distance between the two lines of an edge; line height of a label

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


def svg_text(drawing: Drawing) -> str:
    """The SVG text of a drawing."""
    boxes, edges = drawing.boxes, drawing.edges
    labels = [label_of(edge) for edge in edges]
    entering = [[label for label, edge in zip(labels, edges) if edge.target == i] for i in range(len(boxes))]
    sizes = [_size(lines_of(drawing, i, edges), entering[i]) for i in range(len(boxes))]
    layout = arrange(sizes, [(edge.source, edge.target) for edge in edges])
    from_left = [edge for _, edge in sorted(zip(layout.routes, edges), key=lambda pair: pair[0][0])]
    legend = heading(drawing)
    width = max([layout.width, *[text.width for text in legend]]) + 2 * MARGIN
    top = 2 * MARGIN + LINE * len(legend)
    height = top + layout.height + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="minigrad" role="img" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" style="max-width: 100%; height: auto">',
        f"<title>{_escape(drawing.title)}</title>",
        f"<style>{STYLE}</style>",
        '<rect class="paper" width="100%" height="100%"/>',
        *[_text(text, MARGIN, MARGIN + LINE * (i + 0.6)) for i, text in enumerate(legend)],
        f'<g transform="translate({(width - layout.width) / 2:.1f} {top:.1f})">',
        *[_edge(edge, route, tooltip_of_edge(drawing, edge)) for edge, route in zip(edges, layout.routes)],
        *[_box(box, i, lines_of(drawing, i, from_left), sizes[i], layout.corners[i]) for i, box in enumerate(boxes)],
        *[_label(label, route[-1]) for label, route in zip(labels, layout.routes) if label],
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


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


def _box(box: Box, i: int, lines: list[Line], size: Size, corner: Point) -> str:
    x, y = corner
    entries = f' data-entries="{" ".join(map(str, box.entries))}"' if box.entries else ""
    parts = [f'<g class="box {box.role}" data-box="{i}"{entries}><title>{_escape(tooltip_of_box(box))}</title>']
    parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{size.width:.1f}" height="{size.height:.1f}" rx="6"/>')
    for row, (first, *rest) in enumerate(lines, start=1):
        parts.append(_text(first, x + PAD, y + LINE * row))
        parts += [_text(text, x + size.width - PAD, y + LINE * row, "end") for text in rest]
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
    """Text for XML: escaped, with non-breaking spaces, and � for characters that are not printable."""
    words = "".join(c if c == "\n" or c.isprintable() else "�" for c in words)
    return escape(words.replace("  ", "\u00a0 "), quote=False)
