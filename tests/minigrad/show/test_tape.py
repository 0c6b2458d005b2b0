"""A tape as text: one aligned line per entry, with the values it keeps."""

from __future__ import annotations

import re

import numpy as np

import minigrad as mg
from tests.support.pages import read_table


def lines_of(f, *args):
    """The lines of the tape of f, without file names."""
    with mg.Tape() as tape:
        f(*[tape.watch(arg) for arg in args])
    return [re.sub(rf" +{re.escape(__file__)}:\d+$", "", line) for line in str(tape).splitlines()]


def test_a_printed_tape_is_aligned_and_shows_the_values_it_keeps():
    def f(p):
        h = mg.tanh(p["w"] - 0.125)  # keeps its result, and nothing of the difference
        return mg.sum(h[1:] * p["b"], axis=-1, keepdims=True)  # keeps both factors

    w, b = np.arange(8.0), np.array([[0.5], [-2.0]])
    assert lines_of(f, {"b": b, "w": w}) == [
        "%0 = input(b)                  : float64[2, 1]  = [[0.5], [-2]]",
        "%1 = input(w)                  : float64[8]",
        "%2 = subtract(%1, 0.125)       : float64[8]",
        f"%3 = tanh(%2)                  : float64[8]     ∈ [{np.tanh(-0.125):.4g}, 1]",
        f"%4 = slice(%3, index=(1:,))    : float64[7]     ∈ [{np.tanh(0.875):.4g}, 1]",
        "%5 = multiply(%4, %0)          : float64[2, 7]",
        "%6 = sum(%5, axes=(1,))        : float64[2]",
        "%7 = reshape(%6, shape=(2, 1)) : float64[2, 1]",
    ]


def test_every_line_ends_with_the_line_of_the_program():
    with mg.Tape() as tape:
        x = tape.watch(1.0)
        mg.sin(x)
    lines = str(tape).splitlines()
    first = test_every_line_ends_with_the_line_of_the_program.__code__.co_firstlineno + 2
    assert len(lines) == 2 and all(line.endswith(f" {__file__}:{first + i}") for i, line in enumerate(lines))


def test_constants_are_printed():
    def f(x):
        mg.where(np.array([True, False]), x, 1.5) + np.ones(2)
        x - 1
        x**3
        mg.astype(x, np.float32) * np.float32(0.1)

    calls = [line.split(" : ")[0].split(" = ")[1].strip() for line in lines_of(f, np.ones(2))[1:]]
    assert calls == [
        "where(bool[2], %0, 1.5)",
        "add(%1, float64[2])",
        "subtract(%0, 1)",
        "power(%0, 3)",
        "astype(%0, dtype=float32)",
        "multiply(%5, 0.1)",
    ]


def test_a_checkpoint_is_printed_with_its_function_and_its_results():
    def layer(x, k):
        return mg.sin(x) * k, mg.exp(x)

    def f(x):
        a, b = mg.checkpoint(layer)(x, 2.0)
        return a * b

    assert lines_of(f, 0.5) == [
        "%0 = input()                  : float64[]  = 0.5",
        "%1 = checkpoint(layer, %0, 2)",
        f"%2 = result(%1)               : float64[]  = {np.sin(0.5) * 2:.4g}",
        f"%3 = result(%1)               : float64[]  = {np.exp(0.5):.4g}",
        "%4 = multiply(%2, %3)         : float64[]",
    ]


def test_a_long_tape_shows_both_ends_and_how_much_is_left_out():
    with mg.Tape() as tape:
        x = tape.watch(1.0)
        for _ in range(99_999):
            x = x + 1
    lines = str(tape).splitlines()
    assert len(lines) == 101 and lines[50] == "… 99,900 entries left out …"
    numbers = [int(line.split(" = ")[0].strip(" %")) for line in lines[:50] + lines[51:]]
    assert numbers == [*range(50), *range(99_950, 100_000)]
    assert len({line.index(" : ") for line in lines[:50] + lines[51:]}) == 1
    with mg.Tape() as tape:
        x = tape.watch(1.0)
        for _ in range(199):
            x = x + 1
    assert len(str(tape).splitlines()) == 200


def test_one_long_entry_does_not_widen_the_other_lines():
    lines = lines_of(lambda x: mg.concatenate([x] * 30) + mg.sum(mg.sin(x)), np.ones(2))
    long = next(line for line in lines if "concatenate" in line)
    assert len(long) > 120 and all(len(line) < 60 for line in lines if line != long)


def test_numbers_that_are_not_finite_and_nested_tapes_can_be_printed(xp):
    with mg.Tape() as outer:
        x = outer.watch(xp.asarray([np.nan, np.inf] + 6 * [1.5]))
        with mg.Tape() as inner:
            y = inner.watch(x)
            y * y
    assert "∈ [1.5, inf], 1 nan" in str(inner).splitlines()[0]
    assert str(mg.Tape()) == ""


def test_a_name_with_a_line_break_stays_on_its_line():
    with mg.Tape() as tape:
        x = tape.watch({"a\nb": 1.0, "ä<": 2.0})
        x["a\nb"] * x["ä<"]
    lines = str(tape).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(r"%0 = input(a\nb)") and lines[1].startswith("%1 = input(ä<)")


def test_a_notebook_shows_the_same_cells_as_text():
    with mg.Tape() as tape:
        x = tape.watch({"<b>&": np.array([1.0, np.nan, -np.inf]), "z": 1 + 2j})
        (x["<b>&"] * x["<b>&"])[1:] * 3
        x["z"] * x["z"]
    table = read_table(tape._repr_html_())
    assert table.title == "Tape: 6 entries"
    assert table.headings == ["", "operation", "result", "kept value", "line"]
    assert table.rows[0][1:4] == ["input(<b>&)", "float64[3]", "= [1, nan, -inf]"]
    assert table.rows[1][1:4] == ["input(z)", "complex128[]", "= 1+2j"]
    for row, line in zip(table.rows, str(tape).splitlines(), strict=True):
        assert " ".join(line.split()) == f"{row[0]} = {row[1]} : {' '.join(filter(None, row[2:]))}"


def test_a_notebook_shows_both_ends_of_a_long_tape_and_nothing_of_an_empty_one():
    with mg.Tape() as tape:
        x = tape.watch(1.0)
        for _ in range(1234):
            x = mg.sin(x)
    rows = read_table(tape._repr_html_()).rows
    assert len(rows) == 101 and rows[50] == ["… 1,135 entries left out …"]
    assert [row[0] for row in rows[:2] + rows[-1:]] == ["%0", "%1", "%1234"]
    assert read_table(mg.Tape()._repr_html_())[:3] == ("Tape: 0 entries", [], [])


def test_calls_that_are_one_entry_have_a_row():
    with mg.Tape() as tape:
        mg.checkpoint(mg.sin)(tape.watch(1.0))
    assert read_table(tape._repr_html_()).rows[1][:3] == ["%1", "checkpoint(sin, %0)", ""]
