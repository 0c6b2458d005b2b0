"""mg.Tape: watching, derivatives of any recorded value, nesting, printing."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.support.transfer import to_host


def test_tape(xp):
    with mg.Tape() as tape:
        p = tape.watch({"a": xp.asarray(2.0), "b": xp.asarray([1.0, 3.0])})
        h = p["a"] * p["b"]
        y = mg.sum(h * h)
    gradient = tape.gradient(y, p)
    assert float(gradient["a"]) == 40 and to_host(gradient["b"]).tolist() == [8, 24]
    assert to_host(tape.gradient(y, h)).tolist() == [4, 12]  # with respect to an intermediate value
    assert to_host(tape.gradient(h, p["b"], cotangent=xp.asarray([1.0, -1.0]))).tolist() == [2, -2]
    assert float(tape.gradient(y, y)) == 1
    assert len(tape) == 5 and [line.split(" = ")[1].split("(")[0] for line in str(tape).splitlines()] == [
        "input",
        "input",
        "multiply",
        "multiply",
        "sum",
    ]
    assert f"{__file__}:" in str(tape)


def test_tapes_nest_and_mix_with_transforms(xp):
    with mg.Tape() as outer:
        x = outer.watch(xp.asarray(2.0))
        with mg.Tape() as inner:
            y = inner.watch(x)
            z = y * y * y
        slope_of_z = inner.gradient(z, y)
        total = slope_of_z + mg.grad(lambda y: y * x)(x)
    assert float(outer.gradient(total, x)) == 13  # 6x + 1


def test_tape_gradient_has_the_dtype_of_its_argument(xp):
    with mg.Tape() as tape:
        x = tape.watch(xp.ones(2, np.float32))
        y = 2 * x
    for source in (x, y):
        assert tape.gradient(y, source, cotangent=xp.ones(2)).dtype == np.float32


def test_watching_an_integer_raises_with_advice():
    with mg.Tape() as tape, pytest.raises(TypeError, match=r"got 3: .* or do not watch it"):
        tape.watch(3)
