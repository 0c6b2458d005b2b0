"""`python -m minigrad.checks`: operations, oracles, exit codes, JSON, and the table of conventions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks import suite
from minigrad.checks.__main__ import main
from minigrad.checks.conventions import EXAMPLES, conventions
from minigrad.core.interpreter import primitives
from minigrad.core.rules import rule_of


def test_every_operation_passes_every_oracle(capsys):
    assert main(["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["passed"] is True
    assert printed["without_case"] == []
    names = {record["name"] for record in printed["primitives"]}
    assert suite.own_operations() <= names
    for record in printed["primitives"]:
        smooth = not all(case.discrete for case in suite.CASES if case.operation == record["name"])
        if smooth:
            expected = {"value", "differences", "adjoint", "Taylor 1", "Taylor 2", "second order"}
            assert expected <= set(record["oracles"]), record["name"]
        else:
            assert set(record["oracles"]) - {"vmap"} == {"value", "constant"}
    with_complex_step = {record["name"] for record in printed["primitives"] if "complex step" in record["oracles"]}
    smooth = {record["name"] for record in printed["primitives"] if "adjoint" in record["oracles"]}
    # NumPy has no complex erf, and the results of the others are complex themselves
    assert smooth - with_complex_step == {"erf", "det_phase", "general_eigenvectors"}


ORDER_ONE = ("complex step", "differences")


@pytest.mark.parametrize(
    ("name", "damage", "blind"),
    [
        ("tanh", lambda slope: 1.001 * slope, {"adjoint", "value"}),
        ("matmul", lambda g: 1.001 * g, {"value", "Taylor 1", "Taylor 2"}),
        ("transpose", lambda g: -g, {"value", "Taylor 1", "Taylor 2"}),
    ],
)
def test_a_damaged_rule_fails_and_is_named(name, damage, blind, monkeypatch, capsys):
    statement = next(s for s in rule_of(primitives[name], "reverse").statements.values() if s is not None)
    right = statement.function
    monkeypatch.setattr(statement, "function", lambda *asked: damage(right(*asked)))
    assert main(["--op", name, "--json"]) == 1
    (record,) = json.loads(capsys.readouterr().out)["primitives"]
    failed = {oracle for oracle, verdict in record["oracles"].items() if not verdict["passed"]}
    assert failed.issuperset(ORDER_ONE)
    assert not failed & blind
    assert main(["--op", name]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert f"1 operations, 1 failed: {name}" in out


def test_a_wrong_forward_formula_fails(monkeypatch, capsys):
    monkeypatch.setattr(primitives["sin"], "forward", lambda b, x, out=None: np.sin(x) + 1e-9)
    assert main(["--op", "sin", "--json"]) == 1
    (record,) = json.loads(capsys.readouterr().out)["primitives"]
    assert not record["oracles"]["value"]["passed"]


def test_a_constant_that_has_a_derivative_fails(monkeypatch, capsys):
    floor = primitives["floor"]
    monkeypatch.setattr(floor, "rule", mg.exp.primitive.rule)
    assert main(["--op", "floor", "--json"]) == 1
    assert not json.loads(capsys.readouterr().out)["primitives"][0]["oracles"]["constant"]["passed"]


def test_a_primitive_without_a_case_fails(monkeypatch, capsys):
    monkeypatch.setitem(primitives, "novel", primitives["sin"])
    monkeypatch.setattr(suite, "operations", lambda: ["sin"])
    assert main([]) == 1
    assert "novel: no case" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--op", "tahn"], "there is no operation 'tahn'; did you mean tan or tanh"),
        (["--op"], "--op"),
        (["--backend", "torch"], "torch"),
        (["--sideways"], "--sideways"),
        (["--conventions", "--op", "tanh"], "leave --op out"),
    ],
)
def test_a_wrong_option_gives_one_line(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    out, err = capsys.readouterr()
    assert (stopped.value.code, out) == (2, "")
    assert err.count("\n") == 1
    assert sentence in err


def test_a_missing_device_gives_one_line(capsys):
    try:
        mg.to_device(0.0, "cuda")
    except mg.DeviceError:
        with pytest.raises(SystemExit) as stopped:
            main(["--backend", "cupy", "--op", "sin"])
        out, err = capsys.readouterr()
        assert (stopped.value.code, out, err.count("\n")) == (2, "", 1)
    else:
        assert main(["--backend", "cupy", "--op", "sin"]) == 0


def test_it_runs_as_a_module(tmp_path):
    command = [sys.executable, "-m", "minigrad.checks", "--op", "tanh", "logsumexp"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(mg.__file__).parents[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "2 operations, 0 failed"


def test_an_ascii_terminal_and_a_closed_pipe_cause_no_traceback():
    command = [sys.executable, "-m", "minigrad.checks", "--op", "tanh"]
    options = {"stderr": subprocess.PIPE, "text": True, "cwd": Path(mg.__file__).parents[1]}
    done = subprocess.run(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"}, **options)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith("0 failed\n")
    read, write = os.pipe()
    os.close(read)
    assert subprocess.run(command, stdout=write, **options).stderr == ""
    os.close(write)


# Conventions


def test_every_convention_has_an_example():
    assert list(EXAMPLES) == list(mg.CONVENTIONS)


def test_the_table_in_the_readme_is_up_to_date():
    readme, rows = Path(__file__).parents[3] / "README.md", conventions()
    lines = []
    for operations, convention in mg.CONVENTIONS.items():
        shown = [f"`{r.function}` at {r.at}: {r.derivative}" for r in rows if r.operations == operations]
        lines.append(f"| {'; '.join(shown)} | {convention} |")
    assert "\n".join(lines) in readme.read_text(encoding="utf-8"), "\n".join(lines)


def test_a_changed_convention_changes_the_table(monkeypatch):
    before = conventions()
    statement = primitives["relu"].rule.statements["x"]
    monkeypatch.setattr(statement, "function", lambda y: mg.greater_equal(y, 0))
    changed = [(a, b) for a, b in zip(before, conventions(), strict=True) if a != b]
    assert [(a.function, a.derivative, b.derivative) for a, b in changed] == [("relu(x)", "0", "1")]
