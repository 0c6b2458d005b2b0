"""minigrad/show/program.py: a program as lines of text."""

from __future__ import annotations

import numpy as np

import minigrad as mg


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
