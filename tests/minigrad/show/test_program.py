"""minigrad/show/program.py: a program as lines of text."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad.show.program import _short
from tests.support.pages import read_table


def test_a_program_prints_one_line_per_instruction():
    program = mg.trace(lambda x, w: mg.sum(mg.relu(x @ w)))(np.ones((2, 3)), np.ones((3, 4)))
    lines = str(program).splitlines()
    assert len(lines) == 2 + 3 + 1
    assert lines[2].split() == [
        "%2",
        "=",
        "matmul(%0,",
        "%1)",
        "float64[2,",
        "4]",
        "48",
        "FLOP",
        "208",
        "B",
        lines[2].split()[-1],
    ]
    assert lines[2].endswith(f"{__file__}:{_line_of('program = mg.trace(lambda x, w')}")
    assert lines[-1] == "return %4"
    assert program.flops == 48 + 8 + 8


def _line_of(text):
    with open(__file__, encoding="utf-8") as file:
        return next(i for i, line in enumerate(file, 1) if text in line and "_line_of" not in line)


def test_a_notebook_shows_the_same_cells_and_a_summary():
    program = mg.trace(lambda x, w: mg.sum(mg.relu(x @ w)).reshape(1))(np.ones((2, 3)), np.ones((3, 4)))
    table = read_table(program._repr_html_())
    assert table.title == "Program: 4 instructions, 64 FLOP, 408 B read and written"
    assert table.headings == ["", "operation", "result", "arithmetic", "memory traffic", "line"]
    assert table.rows[0] == ["%0", "input", "float64[2, 3]", "", "", ""]
    assert table.rows[2][:5] == ["%2", "matmul(%0, %1)", "float64[2, 4]", "48 FLOP", "208 B"]
    assert table.rows[5][3:5] == ["", "view"] and table.rows[-1] == ["return %5"]
    for row, line in zip(table.rows[2:-1], str(program).splitlines()[2:-1], strict=True):
        assert line.split() == f"{row[0]} = {' '.join(row[1:])}".split()


def test_the_memory_of_a_program_is_shown_once_it_is_planned():
    x = np.ones((2, 3))
    program = mg.trace(lambda x: mg.exp(mg.sin(x)) @ np.ones((3, 500)))(x)
    assert not program.is_planned and "besides" not in program._repr_html_() and not program.is_planned
    program(x)
    assert program.is_planned
    title = read_table(program._repr_html_()).title
    assert title.endswith(f", {_short(program.memory().total)}B besides the arguments")


def test_a_notebook_shows_both_ends_of_a_long_program():
    def f(x):
        for _ in range(500):
            x = mg.sin(x)
        return x

    program = mg.trace(f)(np.ones(2))
    rows = read_table(program._repr_html_()).rows
    assert len(rows) == 102 and rows[50] == ["… 401 instructions left out …"] and rows[-1] == ["return %500"]
    assert len(str(program).splitlines()) == 502
