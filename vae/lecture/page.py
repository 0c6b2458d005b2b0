"""One self-contained HTML page: theme by theme, each claim with its mathematics, both sides, its picture and its code.

Pictures, style and script are inside the file; it loads nothing else. It reads on a phone, prints, and follows the
reader's choice of a light or dark screen.
"""

from __future__ import annotations

import base64
import html
import io
import json
import keyword
import re
import sys
import textwrap
import tokenize
from collections.abc import Sequence
from importlib.resources import files

from vae.lecture.claims import CLAIMS
from vae.lecture.run import Result


def page(rows: Sequence[Result], seed: int, source: str) -> str:
    """The page as text. `source` says which images were used."""
    every = sorted([*CLAIMS, *(row.claim for row in rows)], key=lambda claim: -claim.slide)
    first = {claim.compute.__module__: claim.slide for claim in every}  # the slide on which each theme begins
    rows = sorted(rows, key=lambda row: (first[row.claim.compute.__module__], row.claim.compute.__module__))
    failed = [row for row in rows if not row.sides.passed]
    verdict = f"{len(rows)} claims, all hold." if not failed else f"{len(rows)} claims, {len(failed)} FAIL."
    contents = "".join(
        f'<li><a href="#{row.claim.name}" class="{_state(row)}">{row.claim.slide} · {_text(row.claim.says)}</a></li>'
        for row in rows
    )
    sections, theme = [], None
    for row in rows:
        if row.claim.compute.__module__ != theme:
            theme = row.claim.compute.__module__
            sections.append(_theme(theme))
        sections.append(_claim(row))
    return TEMPLATE.format(
        style=_asset("page.css"),
        script=_asset("page.js"),
        verdict=verdict,
        state="fails" if failed else "holds",
        seed=seed,
        source=_text(source[:1].upper() + source[1:].rstrip(".")),
        contents=contents,
        sections="\n".join(sections),
    )


TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The lecture, computed on both sides</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>The lecture, computed on both sides</h1>
<p>Every claim of the slides on variational autoencoders (David McAllester, TTIC 31230, winter 2018) is computed on
both sides. Gradients come from minigrad; the other side is a closed form, an enumeration or an independent computation
of the same number. A claim holds if its error is within what rounding, or the standard error of draws, allows.</p>
<p><strong class="{state}">{verdict}</strong> Seed {seed}. {source}.</p>
</header>
<nav aria-label="Claims"><details><summary>All claims</summary><ul>{contents}</ul></details></nav>
<main>
{sections}
</main>
<script>{script}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return files("vae.lecture").joinpath(name).read_text(encoding="utf-8")


def _text(text: str) -> str:
    return html.escape(text)


def _state(row: Result) -> str:
    return "holds" if row.sides.passed else "fails"


def _theme(module: str) -> str:
    """A theme's docstring as HTML: its first line is the heading, indented lines are formulas, the rest is prose."""
    head, _, rest = (sys.modules[module].__doc__ or module).partition("\n")
    parts = []
    for block in re.split(r"\n\s*\n", rest.strip("\n")):
        lines = block.splitlines()
        if lines and all(line.startswith("    ") for line in lines):
            parts += [f'<p class="math">{formula(line.strip())}</p>' for line in lines]
        elif lines:
            parts.append(f"<p>{formula(textwrap.dedent(block))}</p>")
    return f'<section class="theme"><h2>{_text(head.strip().rstrip("."))}</h2>{"".join(parts)}</section>'


def _claim(row: Result) -> str:
    c, s = row.claim, row.sides
    mathematics = "".join(f'<p class="math">{formula(line)}</p>' for line in c.mathematics)
    verdict = f"worst of {s.entries:,} entries" if s.entries > 1 else "verdict"
    return f"""<section class="claim" id="{c.name}">
<h3><span class="slide">slide {c.slide}</span> {_text(c.says)}</h3>
{mathematics}
<dl class="{_state(row)}">
<div><dt>left</dt><dd>{s.left:.10g}</dd></div>
<div><dt>right</dt><dd>{_relation(s.relation)}{s.right:.10g}</dd></div>
<div><dt>error</dt><dd>{s.error:.2g}</dd></div>
<div><dt>allowed</dt><dd>{s.tolerance:.2g} <small>{_text(s.unit)}</small></dd></div>
<div><dt>{verdict}</dt><dd><strong>{_state(row)}</strong></dd></div>
</dl>
{_figures(row)}
<details class="code" open><summary>The code that computes both sides</summary>
<pre><code>{highlight(c.code)}</code></pre></details>
</section>"""


def _relation(sign: str) -> str:
    return "" if sign == "=" else f"{sign} "


def _figures(row: Result) -> str:
    figures = []
    if row.picture is not None and row.picture not in [png for _, png in row.frames]:
        figures.append(f'<figure><img alt="{_text(row.claim.says)}" src="{_inline(row.picture)}"></figure>')
    if row.frames:
        name = row.sides.slider.name
        labels = [label for label, _ in row.frames]
        middle = len(labels) // 2
        frames = json.dumps([{"label": label, "src": _inline(png)} for label, png in row.frames])
        figures.append(
            f'<figure class="slider"><label>{_text(name)} = <output>{_text(labels[middle])}</output>'
            f'<input type="range" min="0" max="{len(labels) - 1}" value="{middle}" step="1"></label>'
            f'<img alt="{_text(row.claim.says)}, {_text(name)} = {_text(labels[middle])}" '
            f'src="{_inline(row.frames[middle][1])}">'
            f'<script type="application/json">{frames}</script></figure>'
        )
    return "\n".join(figures)


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def formula(text: str) -> str:
    """HTML of prose with formulas: `_x`, `_{xy}`, `^x` and `^{xy}` become sub- and superscripts.

    Text between backticks becomes code; three or more spaces become a wide gap.

    >>> formula("E_P σ_k^2 ≤ x_{ij}")
    'E<sub>P</sub> σ<sub>k</sub><sup>2</sup> ≤ x<sub>ij</sub>'
    """
    prose, *rest = re.split(r"`([^`]*)`", html.escape(text, quote=False))
    return _scripts(prose) + "".join(f"<code>{a}</code>{_scripts(b)}" for a, b in zip(rest[::2], rest[1::2]))


def _scripts(text: str) -> str:
    for mark, tag, after in (("_", "sub", r"(?<=[^\W_]|∇)"), (r"\^", "sup", "")):  # long_names keep their underscores
        text = re.sub(mark + r"\{([^}]*)\}", rf"<{tag}>\1</{tag}>", text)
        text = re.sub(rf"{after}{mark}([^\W_])(?![^\W_¹²³])", rf"<{tag}>\1</{tag}>", text)
    return re.sub(r"(?<=\S) {3,}", "&emsp;&emsp; ", text)


def highlight(code: str) -> str:
    """Python as HTML, with keywords, strings and comments in elements of their own.

    >>> highlight("x = 1  # one")
    'x = 1  <i># one</i>'
    """
    lines, parts, at = code.splitlines(keepends=True), [], (1, 0)

    def plain(to: tuple[int, int]) -> str:
        (row, column), (last, end) = at, to
        if row == last:
            return lines[row - 1][column:end]
        return lines[row - 1][column:] + "".join(lines[row : last - 1]) + (lines[last - 1][:end] if end else "")

    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        tag = _tag(token)
        if tag is not None:
            parts += [html.escape(plain(token.start)), f"<{tag}>{html.escape(token.string)}</{tag}>"]
            at = token.end
    return "".join([*parts, html.escape(plain((len(lines), len(lines[-1]))))])


def _tag(token: tokenize.TokenInfo) -> str | None:
    """The element of a token: b for keywords, i for comments, s for strings, None for all others."""
    if token.type == tokenize.COMMENT:
        return "i"
    if token.type == tokenize.STRING:
        return "s"
    return "b" if token.type == tokenize.NAME and keyword.iskeyword(token.string) else None
