"""One self-contained HTML page: slide by slide, the claim, the numbers, the picture, the lines that prove it."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence

from vae.lecture.run import Row


def page(rows: Sequence[Row], seed: int, source: str) -> str:
    """The page as text. No external resource: pictures are inside, scripts are a few lines."""
    body = "\n".join(_claim(row) for row in rows)
    failed = sum(not row.sides.passed for row in rows)
    verdict = f"{len(rows)} claims, every one holds" if not failed else f"{len(rows)} claims, {failed} FAIL"
    head = "<!doctype html><html lang=en><meta charset=utf-8><title>The lecture, proved</title>"
    intro = f"<h1>The lecture, proved</h1><p>{verdict}; seed {seed}; {html.escape(source)}</p>"
    return f"{head}<body>{intro}{body}</body></html>\n"


def _claim(row: Row) -> str:
    c, s = row.claim, row.sides
    picture = f'<img alt="{html.escape(c.says)}" src="{_inline(row.picture)}">' if row.picture else ""
    mathematics = "".join(f"<p class=math>{formula(line)}</p>" for line in c.mathematics)
    return (
        f"<section id={c.name}><h2>Slide {c.slide}: {html.escape(c.says)}</h2>{mathematics}"
        f"<p>{s.left:.10g} {s.relation} {s.right:.10g}; off by {s.error:.2g}, allowed {s.tolerance:.2g} {s.unit}: "
        f"{'holds' if s.passed else 'FAILS'}</p>{picture}<pre>{html.escape(c.code)}</pre></section>"
    )


def formula(text: str) -> str:
    """HTML of a formula: `_x`, `_{xy}`, `^x`, `^{xy}` become sub- and superscripts."""
    text = html.escape(text)
    for mark, tag in (("_", "sub"), ("\\^", "sup")):
        text = re.sub(mark + r"\{([^}]*)\}", rf"<{tag}>\1</{tag}>", text)
        text = re.sub(mark + r"(\w)", rf"<{tag}>\1</{tag}>", text)
    return text


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
