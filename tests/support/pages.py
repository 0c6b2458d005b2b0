"""Parses HTML tables, and refuses HTML that is not well-formed."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import NamedTuple


class HtmlTable(NamedTuple):
    title: str
    headings: list[str]
    rows: list[list[str]]
    looks: list[list[str]]  # the class of every cell


def read_table(html):
    """The table in an HTML element; an assertion fails unless tags are nested, closed and without scripts."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open, f"not closed: {reader.open}"
    return HtmlTable(reader.title, reader.headings, reader.rows, reader.looks)


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.title, self.headings, self.rows, self.looks = [], "", [], [], []

    def handle_starttag(self, tag, attributes):
        assert tag in {"div", "style", "table", "caption", "thead", "tbody", "tr", "th", "td", "strong"}, tag
        assert not any(name.startswith("on") for name, _ in attributes)
        if tag == "tr" and "tbody" in self.open:
            self.rows.append([])
            self.looks.append([])
        elif tag == "td":
            self.rows[-1].append("")
            self.looks[-1].append(dict(attributes).get("class", ""))
        elif tag == "th":
            self.headings.append("")
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "caption" in self.open:
            self.title += data
        elif "td" in self.open:
            self.rows[-1][-1] += data
        elif "th" in self.open:
            self.headings[-1] += data
        else:
            assert "style" in self.open or not data.strip(), data
