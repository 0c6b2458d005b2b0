"""minigrad/checks/numpy_names.py: every public function of NumPy is offered or declared, and the printed table."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks import numpy_names
from minigrad.checks.__main__ import main
from minigrad.checks.numpy_names import Row, compare_names, is_offered, list_functions
from minigrad.ops.refused import NO_ARRAY_FUNCTION, NO_DERIVATIVE, REFUSED

UNLIKE = {"linalg.cond"}  # means something else than ours of the same name


def test_every_public_function_of_numpy_is_offered_or_declared():
    """After a new NumPy release: offer its new functions, or name them in minigrad/ops/refused.py."""
    assert [row.name for row in compare_names() if row.status == "unknown"] == []


def test_no_declared_function_is_offered():
    """Once a function is offered, delete its line from minigrad/ops/refused.py."""
    assert {name for name in REFUSED.keys() | NO_DERIVATIVE | NO_ARRAY_FUNCTION if is_offered(name)} == UNLIKE


def test_a_new_function_is_noticed(monkeypatch, capsys):
    monkeypatch.setattr(np, "brand_new", lambda x: x, raising=False)
    assert Row("brand_new", "unknown", "") in compare_names()
    assert main(["--numpy"]) == 1 and "unknown (1): brand_new" in capsys.readouterr().out


def test_functions_in_a_namespace_are_found(monkeypatch):
    assert is_offered("sum") and is_offered("linalg.det") and not is_offered("linalg.no_such_function")
    monkeypatch.setattr(mg.linalg, "no_such_function", len, raising=False)
    assert is_offered("linalg.no_such_function")


def test_classes_and_constants_are_no_functions():
    names = list_functions()
    assert {"sin", "sum", "linalg.norm", "fft.fft"} <= set(names) and not {"ndarray", "pi", "linalg"} & set(names)


def test_the_table_is_printed_as_text_and_as_json(capsys):
    assert main(["--numpy"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^np\.float_power +mg\.power\(mg\.astype\(x1, 'float64'\), x2\)$", text, re.MULTILINE)
    assert "unknown" not in text
    for status in ("here", "no derivative", "no array function"):
        assert f"{status} (" in text
    assert main(["--numpy", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["status"] for row in rows} < set(numpy_names.STATUSES) and len(rows) == len(list_functions())


def test_the_table_has_no_selection():
    with pytest.raises(SystemExit):
        main(["--numpy", "--op", "sin"])
