"""vae/terminal.py: notes of one line, and tables that fit the screen without losing words."""

import io

import pytest
from rich.console import Console
from rich.table import Column, Table

from vae import terminal


def test_a_note_is_one_line_and_keeps_names_unchanged(capsys: pytest.CaptureFixture) -> None:
    terminal.note("cannot read a  b\n  and [red]c[/red]\n")
    assert capsys.readouterr().err == "python -m vae: cannot read a  b and [red]c[/red]\n"


@pytest.mark.parametrize("width", [20, 80, 96, 97, 98, 105, 112, 113, 200])
def test_tables_fit_the_screen_and_lose_no_words(width: int) -> None:
    """Several columns have words longer than an even share of the width."""
    columns = "shape", "entries", "kinks", "redrawn", "undecided", "max relative error", "±"
    table = Table(Column("parameter", no_wrap=True), *columns)
    table.add_row("encoder.hidden.0.w", "random directions", "30", "0", "0", "0", "6.2e-12", "7.6e-11")
    file = io.StringIO()
    terminal.print_table(Console(file=file, width=width), table)
    rows = file.getvalue().splitlines()
    assert len({len(row) for row in rows}) == 1 and len(rows[0]) <= max(width, 96)
    assert all(row[-1] in "┓┃┩│┘" for row in rows)
    assert {"encoder.hidden.0.w", "directions", "6.2e-12", "7.6e-11"} <= set(file.getvalue().split())
