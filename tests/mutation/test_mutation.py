"""tests/mutation: mutants do what their names say, useless tests kill none, good tests do, and no damage remains."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

import minigrad as mg
from tests.mutation import __main__ as command
from tests.mutation import equivalent, mutants, report, source, suite
from tests.mutation.forks import Ended, Forks, Task

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def everything() -> list[mutants.Mutant]:
    return mutants.all_mutants()


def find_mutant(everything: list[mutants.Mutant], name: str) -> mutants.Mutant:
    (found,) = [m for m in everything if m.name == name]
    return found


def run_in_fork(work, scratch: Path, limit: float = 60.0):
    ((_, answer, _),) = Forks(scratch).run_tasks([Task("it", work, limit)], 1)
    return answer


# Mutants in the source


def describe_changes(function: FunctionType, others: tuple[str, ...] = ()) -> set[str]:
    return {f"{c.kind}: {c.before} → {c.after}" for c in source.changes(function, others)}


def test_a_formula_is_changed_in_every_place() -> None:
    assert describe_changes(lambda a, b: a * b + 2) == {
        "term: a * b + 2 → a * b",
        "term: a * b + 2 → 2",
        "operator: a * b + 2 → a * b - 2",
        "term: a * b → a",
        "term: a * b → b",
        "operator: a * b → a / b",
        "constant: 2 → 2.002",
    }


def test_calls_comparisons_conditions_and_signs_are_changed() -> None:
    assert describe_changes(lambda x: -mg.sin(x)) == {"sign: -mg.sin(x) → mg.sin(x)", "call: mg.sin(x) → x"}
    assert describe_changes(lambda x: mg.where(mg.greater(x, 0), x, 0.5)) == {
        "call: mg.where(mg.greater(x, 0), x, 0.5) → mg.greater(x, 0)",
        "call: mg.where(mg.greater(x, 0), x, 0.5) → x",
        "operand: mg.where(mg.greater(x, 0), x, 0.5) → mg.where(mg.greater(x, 0), 0.5, x)",
        "call: mg.greater(x, 0) → x",
        "operand: mg.greater(x, 0) → mg.greater(0, x)",
        "comparison: mg.greater(x, 0) → mg.greater_equal(x, 0)",
        "constant: 0 → 1",
        "constant: 0.5 → 0.5005",
    }
    assert describe_changes(lambda x, n: x if n > 1 and x else -x) == {
        "branch: n > 1 and x → not (n > 1 and x)",
        "branch: n > 1 and x → n > 1 or x",
        "comparison: n > 1 → n >= 1",
        "constant: 1 → 2",
        "sign: -x → x",
    }


def test_an_argument_is_replaced_by_another_also_by_one_not_in_the_signature() -> None:
    assert describe_changes(lambda x: x, ("x", "w", "y")) == {"operand: x → w", "operand: x → y"}
    f = lambda x: x
    (change,) = source.changes(f, ("x", "w"))
    assert source.extended_arguments(f, change) == ("x", "w") and change.after == "w"


def test_raise_statements_annotations_and_docstrings_are_not_changed() -> None:
    def careful(x: int = 3) -> int:
        """Two or 2."""
        if x is None:
            raise ValueError(f"{x + 1}")
        return x

    assert describe_changes(careful) == {"branch: x is None → not x is None"}  # `x is not None` is the same to Python


def test_changed_code_computes_the_changed_expression(tmp_path) -> None:
    def poly(x, n):
        return n * x + 1

    values = {}
    for change in source.changes(poly):
        poly_again = FunctionType(source.mutate(poly, change), globals())
        values[f"{change.before} → {change.after}"] = poly_again(3.0, 2.0)
    assert values == {
        "n * x + 1 → n * x": 6.0,
        "n * x + 1 → 1": 1,
        "n * x + 1 → n * x - 1": 5.0,
        "n * x → n": 3.0,
        "n * x → x": 4.0,
        "n * x → n / x": 2 / 3 + 1,
        "1 → 1.001": 6.0 + 1.001,
    }


def test_every_rule_function_is_found_in_its_file() -> None:
    for target in mutants.targets():
        assert source.source_of(target.function), target.subject


# All mutants


def test_names_are_unique_and_every_kind_of_damage_occurs(everything) -> None:
    assert len({m.name for m in everything}) == len(everything)
    assert {m.kind for m in everything} == set(mutants.KINDS)


@pytest.mark.parametrize("name", ["tanh", "sum", "svd", mutants.MACHINERY])
def test_the_mutants_of_one_operation_are_those_of_all_that_it_owns(name, everything) -> None:
    assert mutants.owners() == {owner for m in everything for owner in m.owners}
    assert [m.name for m in mutants.all_mutants([name])] == [m.name for m in everything if name in m.owners]


def test_every_rule_is_damaged_for_each_argument_in_both_directions(everything) -> None:
    subjects = {m.subject for m in everything}
    for name, primitive in mg.core.primitives.items():
        rule = primitive.rule
        if primitive.forward.__module__.startswith("minigrad.") and rule and not rule.constant:
            for argument in rule.names if not rule.variadic else ("xs[0]", "xs[1:]"):
                if rule.variadic or rule.statements[argument] is not None:
                    assert {f"{name}.{argument} vjp", f"{name}.{argument} jvp"} <= subjects


def test_places_name_the_line_of_the_rule(everything) -> None:
    for name, text in (
        ("subtract.x1 vjp", "subtract = binary(\n"),
        ("tanh.x vjp", 'tanh = unary("tanh"'),
        ("add.x1 vjp", '@primitive("add")'),
    ):
        file, line = next(m.place for m in everything if m.subject == name).split(":")
        assert "".join((ROOT / file).read_text(encoding="utf-8").splitlines(True)[int(line) - 1 :]).startswith(text)


# The effect of damaged rules


@pytest.mark.parametrize(
    ("name", "expected"),  # (gradient, tangent along 1) of Σ x₁·x₂² in x₂, at x₁ = (1, 2), x₂ = (3)
    [
        ("multiply.x2 vjp: scaled: × 1.001", (18.018, 18)),
        ("multiply.x2 jvp: scaled: × 1.001", (18, 18.018)),
        ("multiply.x2 vjp: sign: × −1", (-18, 18)),
        ("multiply.x2 vjp: dropped: lost", (0, 18)),
        ("multiply.x2 vjp: broadcast: one of the sum", (6, 18)),
        ("multiply.x2 vjp: order: backwards", (18, 18)),
        ("square.x: constant: 2 → 2.002", (18.018, 18.018)),
        ("square.x: term: 2 * x → x", (9, 9)),
        ("square.x: term: 2 * x → 2", (6, 6)),
        ("sum.x jvp: axis: axes", (18, 18)),
        ("Elementwise._scale: comparison: partial == 1 → partial != 1", (18, 18)),
    ],
)
def test_damage_in_a_fork_does_not_affect_the_parent(name, expected, everything, tmp_path) -> None:
    a, b = np.array([1.0, 2.0]), np.array([3.0])
    f = lambda b: mg.sum(a * mg.square(b))
    both = lambda: (float(mg.grad(f)(b)[0]), float(mg.jvp(f, (b,), (np.ones(1),))[1]))
    mutant = find_mutant(everything, name)

    def work():
        mutant.apply()
        return both()

    codes = [t.function.__code__ for t in mutants.targets()]
    assert both() == (18, 18)
    assert run_in_fork(work, tmp_path) == pytest.approx(expected, rel=1e-14)
    assert both() == (18, 18)
    assert [t.function.__code__ for t in mutants.targets()] == codes
    assert not [p for p in mg.core.primitives.values() if p.rule and {"pull", "push", "jvp"} & set(vars(p.rule))]


def test_a_stale_operand_is_that_of_the_first_call(everything, tmp_path) -> None:
    def work():
        find_mutant(everything, "tanh.x vjp: stale: y").apply()
        return [float(mg.grad(lambda x: mg.sum(mg.tanh(x)))(np.array([v]))[0]) for v in (0.0, 1.0)]

    assert run_in_fork(work, tmp_path) == [1, 1]


def test_a_frozen_operand_is_right_to_first_order_only(everything, tmp_path) -> None:
    def work():
        find_mutant(everything, "exp.x vjp: frozen: y").apply()
        return float(mg.grad(mg.exp)(0.0)), float(mg.grad(mg.grad(mg.exp))(0.0))

    assert run_in_fork(work, tmp_path) == (1, 0)


# Forks


def test_a_fork_without_an_answer_reports_how_it_ended(tmp_path) -> None:
    tasks = [
        Task("fine", lambda: 1, 60),
        Task("killed", lambda: os.kill(os.getpid(), signal.SIGSEGV), 60),
        Task("left", lambda: os._exit(3), 60),
        Task("slow", lambda: time.sleep(60), 0.5),
    ]
    answers = {subject: answer for subject, answer, _ in Forks(tmp_path).run_tasks(tasks, 2)}
    assert [type(a) for a in answers.values()].count(Ended) == 3
    assert answers == {
        "fine": 1,
        "killed": "signal SIGSEGV",
        "left": "exit code 3",
        "slow": "timeout",
    }


def test_an_error_in_the_work_is_raised(tmp_path) -> None:
    """Otherwise a mutant that cannot be applied would count as killed."""
    with pytest.raises(RuntimeError, match="it: ZeroDivisionError"):
        run_in_fork(lambda: 1 // 0, tmp_path)


# The whole command


def run(tmp_path: Path, tests: str, *options: str) -> tuple[subprocess.CompletedProcess, dict]:
    """Runs the command on a file of tests: (completed process, {mutant: (outcome, test that killed it)})."""
    (tmp_path / "test_it.py").write_text(f"import minigrad as mg\n\n{tests}", encoding="utf-8")
    words = [*options, "--tests", str(tmp_path / "test_it.py"), "--json", str(tmp_path / "out.json")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation", *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    written = tmp_path / "out.json"
    record = json.loads(written.read_text(encoding="utf-8")) if written.exists() else {"mutants": []}
    return done, {m["name"]: (m["outcome"], m["test"].rpartition("::")[2]) for m in record["mutants"]}


def test_useless_tests_kill_nothing(tmp_path) -> None:
    """One test computes a gradient without checking it, the other checks something else."""
    tests = "def test_a(): mg.grad(mg.tanh)(0.5)\n\ndef test_b(): assert mg.tanh(0.0) == 0\n"
    done, outcomes = run(tmp_path, tests, "--op", "tanh", "--damage", "sign", "scaled", "constant", "dropped")
    assert done.returncode == 1 and set(outcomes.values()) == {("survived", "")}
    assert "tanh.x vjp: sign: × −1: none of the 1 tests that execute it fails" in done.stdout
    assert "tanh.x jvp: sign: × −1: no test executes it" in done.stdout
    assert "0 of 7 mutants killed (0.0 %)" in done.stdout


def test_a_mutant_is_killed_by_the_test_that_checks(tmp_path) -> None:
    tests = """def test_nothing(): mg.grad(mg.tanh)(0.5)

def test_slope(): assert mg.grad(mg.tanh)(0.0) == 1

def test_replaced(monkeypatch): assert mg.grad(mg.tanh)(0.5) == 1 - mg.tanh(0.5) ** 2
"""
    done, outcomes = run(tmp_path, tests, "--op", "tanh", "--damage", "sign", "operator", "--min-kill", "0.6")
    assert outcomes == {
        "tanh.x vjp: sign: × −1": ("test", "test_slope"),
        "tanh.x jvp: sign: × −1": ("survived", ""),  # no test uses forward mode
        "tanh.x: operator: 1 - y * y → 1 + y * y": ("survived", ""),  # the same at 0, and test_replaced is excluded
        "tanh.x: operator: y * y → y / y": ("test", "test_slope"),
    }
    assert "2 of 4 mutants killed (50.0 %); of the 4 that raise no error 50.0 %" in done.stdout
    assert done.returncode == 1


def test_a_sufficient_score_is_exit_code_0(tmp_path) -> None:
    tests = "def test_slope(): assert mg.grad(mg.tanh)(0.5) == 1 - mg.tanh(0.5) ** 2\n"
    done, outcomes = run(tmp_path, tests, "--op", "tanh", "--damage", "sign", "operator", "--min-kill", "0.75")
    assert done.returncode == 0 and [o for o, _ in outcomes.values()] == ["test", "survived", "test", "test"]
    assert "3 of 4 mutants killed (75.0 %)" in done.stdout


def test_a_flaky_test_is_excluded(tmp_path) -> None:
    """A test that fails the first time it runs, and passes the second time."""
    tests = f"""import pathlib

def test_once():
    mg.grad(mg.tanh)(0.5)
    if not (mark := pathlib.Path({str(tmp_path / "mark")!r})).exists():
        mark.touch()
        assert False

def test_slope(): assert mg.grad(mg.tanh)(0.0) == 1
"""
    done, outcomes = run(tmp_path, tests, "--op", "tanh", "--damage", "scaled")
    assert outcomes["tanh.x vjp: scaled: × 1.001"] == ("test", "test_slope")
    assert "excluded, because" in done.stdout and "test_it.py::test_once" in done.stdout


def test_skipped_tests_are_counted_with_their_reason(tmp_path) -> None:
    tests = """import pytest

@pytest.mark.parametrize("x", [0.0, 0.5])
def test_beside(x): pytest.skip("peer cannot be imported")

@pytest.mark.skip(reason="peer is not installed")
def test_also(): pass

def test_slope(): assert mg.grad(mg.tanh)(0.0) == 1
"""
    done, outcomes = run(tmp_path, tests, "--op", "tanh", "--damage", "scaled")
    assert outcomes["tanh.x vjp: scaled: × 1.001"] == ("test", "test_slope")
    assert "2 skipped: peer cannot be imported\n" in done.stdout
    assert "1 skipped: peer is not installed\n" in done.stdout
    assert "excluded" not in done.stdout


def test_tests_that_fail_on_undamaged_rules_are_an_error(tmp_path) -> None:
    done, outcomes = run(tmp_path, "def test_wrong(): assert mg.grad(mg.tanh)(0.0) == 2\n", "--op", "tanh")
    assert done.returncode == 2 and not outcomes
    assert "1 of 1 tests fail on undamaged rules" in done.stderr and "test_it.py::test_wrong" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_pytest_cannot_collect_is_exit_code_2(tmp_path) -> None:
    done, outcomes = run(tmp_path, "def\n", "--op", "tanh")
    assert done.returncode == 2 and not outcomes
    assert "pytest found no tests in" in done.stderr and "Traceback" not in done.stderr
    assert "SyntaxError" in done.stderr or "test_it.py" in done.stderr


def test_a_file_without_tests_is_exit_code_2(tmp_path) -> None:
    done, outcomes = run(tmp_path, "", "--op", "tanh")
    assert done.returncode == 2 and not outcomes and "pytest found no tests in" in done.stderr


def test_ctrl_c_ends_all_processes(tmp_path) -> None:
    begun, tests = tmp_path / "begun", tmp_path / "test_it.py"
    tests.write_text(
        f"import pathlib, time\n\ndef test_slow():\n    pathlib.Path({str(begun)!r}).touch()\n    time.sleep(60)\n",
        encoding="utf-8",
    )
    words = [sys.executable, "-m", "tests.mutation", "--op", "tanh", "--tests", str(tests)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        while not begun.exists():
            assert running.poll() is None
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        _, told = running.communicate(timeout=30)
    assert running.returncode == 130 and "Traceback" not in told
    with pytest.raises(ProcessLookupError):  # no process is left, once the system has removed those that have ended
        for _ in range(200):
            os.killpg(running.pid, 0)
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--op", "tanhh"], "no derivative rule of 'tanhh'"),
        (["--damage", "sine"], "no damage 'sine'"),
        (["--tests", "nowhere.py"], "no file or folder of tests nowhere.py"),
        (["--min-kill", "99"], "from 0 to 1"),
        (["--jobs", "0"], "from 1"),
        (["--json", "nowhere/out.json"], "cannot write nowhere/out.json"),
        (["--op", "add", "--damage", "comparison"], "no mutant"),
    ],
)
def test_wrong_options_give_one_line_and_exit_code_2(options, said, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(options)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert said in told and len(told.splitlines()) == 1


def test_mutants_are_listed(capsys) -> None:
    assert command.main(["--list", "--op", "relu", "--damage", "frozen"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and sum("(equivalent: the slope is piecewise constant" in line for line in lines) == 2


# The list of equivalent mutants, and the score


def test_every_entry_of_the_list_matches_a_mutant(everything) -> None:
    assert equivalent.unused_patterns(everything) == []


def test_scores_exclude_equivalents_and_count_errors_separately(everything) -> None:
    same = find_mutant(everything, "relu.x vjp: frozen: y")
    real = [m for m in everything if m.subject == "tanh.x vjp"]
    outcomes = ["test", "test", "error", "timeout", "survived"]
    verdicts = [suite.Verdict(m, o, "a test", "", 1, 0.0) for m, o in zip(real, outcomes)]
    verdicts.append(suite.Verdict(same, "survived", "", "", 1, 0.0))
    total = report.count(verdicts)
    assert total == (6, 2, 2, 1, 1)
    assert total.score == 4 / 5 and total.silent_score == 2 / 3
    assert report.find_mistakes(verdicts, everything=False) == []
    killed = suite.Verdict(same, "test", "test_x", "", 1, 0.0)
    assert report.find_mistakes([killed], everything=False) == [f"{same.name} is not equivalent: test_x kills it"]


def test_percentages_are_rounded_down() -> None:
    assert report._percent(0.99999) == "99.9 %" and report._percent(1.0) == "100.0 %"
