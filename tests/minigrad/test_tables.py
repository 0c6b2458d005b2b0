"""Tables: the same cells as aligned text and as HTML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.tables import ENDS, LONGEST, Column, Failed, Table, both_ends, escape
from tests.support.pages import read_table

COLUMNS = (Column("name", code=True), Column("error", number=True), Column("note", before=" : "))
TABLE = Table("Two <things>", COLUMNS, [("a", "1.5", "x"), ("long", "-20", ""), "… and more …", ("c", "3", "yes")])


def test_text_is_aligned_under_its_headings():
    assert TABLE.text().splitlines() == [
        "name  error : note",
        "──────────────────",
        "a       1.5 : x",
        "long    -20",
        "… and more …",
        "c         3 : yes",
    ]
    assert TABLE.text(headings=False).splitlines()[0] == "a     1.5 : x"


def test_html_has_the_same_cells():
    table = read_table(TABLE.html())
    assert (table.title, table.headings) == ("Two <things>", ["name", "error", "note"])
    assert table.rows == [["a", "1.5", "x"], ["long", "-20", ""], ["… and more …"], ["c", "3", "yes"]]
    assert table.looks[0] == ["code", "number", ""] and table.looks[2] == ["line"]


@given(st.lists(st.lists(st.text(max_size=8), min_size=3, max_size=3), max_size=5))
def test_any_text_is_escaped(rows):
    table = read_table(Table("<&\"'>", [Column(code=True), Column(number=True), Column()], rows).html())
    shown = [i for i in range(3) if any(row[i] for row in rows)]
    printable = [["".join(c if c == "\n" or c.isprintable() else "�" for c in row[i]) for i in shown] for row in rows]
    assert table.title == "<&\"'>" and table.rows == printable


def test_columns_without_content_are_left_out():
    table = Table("", COLUMNS, [("a", "", "b"), ("c", "", "d")])
    assert table.text().splitlines() == ["name : note", "───────────", "a    : b", "c    : d"]
    assert read_table(table.html()).headings == ["name", "note"]


def test_a_table_without_rows_is_empty():
    assert Table("nothing", COLUMNS, []).text(headings=False) == ""
    table = read_table(Table("nothing", COLUMNS, []).html())
    assert (table.title, table.headings, table.rows) == ("nothing", [], [])


def test_a_wide_cell_does_not_widen_its_column():
    lines = Table("", COLUMNS, [("a", "1", "x"), ("w" * 61, "2", "x")]).text(headings=False).splitlines()
    assert lines == ["a  1 : x", f"{'w' * 61}  2 : x"]


def test_a_failure_is_marked_by_colour_and_by_its_word():
    html = Table("", [Column()], [[Failed("DIFFER")], ["agree"]]).html()
    assert "<strong>DIFFER</strong>" in html and "<strong>agree" not in html
    assert read_table(html).rows == [["DIFFER"], ["agree"]]


def test_pages_keep_their_own_colours_and_run_nothing():
    html = TABLE.html()
    assert "<script" not in html and "http" not in html and "javascript" not in html
    assert "background: none" in html and "color: inherit" in html and "#fff" not in html


@pytest.mark.parametrize("count", [0, 1, LONGEST])
def test_short_listings_are_whole(count):
    assert both_ends(count, "entries") == list(range(count))


def test_long_listings_show_both_ends():
    shown = both_ends(12345, "entries")
    assert shown[:ENDS] == list(range(ENDS)) and shown[-ENDS:] == list(range(12345 - ENDS, 12345))
    assert shown[ENDS:-ENDS] == ["… 12,245 entries left out …"]


def test_what_cannot_be_printed_is_replaced():
    assert escape("a\x00\ud800\n<b>'\"&") == "a��\n&lt;b&gt;&#x27;&quot;&amp;"
