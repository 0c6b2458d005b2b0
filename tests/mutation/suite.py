"""Runs the project's tests with pytest, in one forked process per mutant.

Tests are collected once. A control run on undamaged rules records, for each test, the mutants' points that it executes.
Then each mutant gets a process of its own, which applies it and runs the tests that execute its point until one fails.
A test that does not execute the point of a mutant cannot notice it, so leaving it out loses nothing. Tests that patch
parts of the engine themselves (with pytest's `monkeypatch`) are excluded.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from threadpoolctl import threadpool_limits

from . import damages, source
from .forks import Ended, Forks, Task
from .mutants import Mutant, targets

TESTS = Path(__file__).parent.parent / "minigrad"
REGISTRY = ("test_derivatives.py", "test_properties.py")  # every operation against every oracle: run first

# Time limit of a mutant: PATIENCE times the control run of its tests, plus GRACE seconds.
PATIENCE, GRACE = 10.0, 30.0
BRIEF = 3.0  # seconds of tests for mutants that are expected to survive
NO_LIMIT = float("inf")


class Failure(NamedTuple):
    """A test that failed, the name of the exception, and whether it was an assertion of the test or of a helper."""

    test: str
    exception: str
    judged: bool


class Control(NamedTuple):
    """The run on undamaged rules: flaky and skipped tests, tests that execute each point, seconds of each test."""

    flaky: list[str]  # failed once, and passed once
    skipped: Counter[str]  # number of tests by reason
    reached: dict[Hashable, list[int]]
    seconds: list[float]


class Verdict(NamedTuple):
    """The outcome of a mutant: killed by "test", "error", "crash" or "timeout", or "survived"."""

    mutant: Mutant
    outcome: str
    test: str  # the test that killed it
    detail: str  # the exception; for a survivor the reason
    tests: int  # number of tests that execute its point
    seconds: float

    @property
    def killed(self) -> bool:
        return self.outcome != "survived"


class SuiteError(Exception):
    """The tests are unusable: they cannot be collected, or they fail on undamaged rules."""


def test_files(given: Sequence[Path] = ()) -> list[Path]:
    """The test files to collect: those given, or the tests of the engine, starting with those of every operation."""
    if given:
        return list(given)
    return sorted(sorted(TESTS.rglob("test_*.py")), key=lambda p: p.name not in REGISTRY)


def judge(
    mutants: Sequence[Mutant],
    files: Sequence[Path],
    jobs: int,
    begin: Callable[[Control, int], None] = lambda control, tests: None,
    judged: Callable[[Verdict], None] = lambda verdict: None,
    briefly: Callable[[Mutant], Any] = lambda mutant: False,
) -> list[Verdict]:
    """Runs the tests in these files on each mutant, in `jobs` processes. Raises SuiteError if the tests are unusable.

    `begin` is called once after the control run, `judged` with every verdict as it comes. Mutants for which `briefly`
    is true get only the first few seconds of their tests.
    """
    plugin = _Plugin(mutants, jobs, begin, judged, briefly)
    said = io.StringIO()
    options = ["-o", "addopts=", "-s", "-p", "no:cacheprovider", "--tb=native", *map(str, files)]
    with contextlib.redirect_stdout(said), threadpool_limits(1):
        code = pytest.main(options, plugins=[plugin])
    if plugin.error:
        raise plugin.error
    if code != pytest.ExitCode.OK:
        answer = [line for line in said.getvalue().splitlines() if line.startswith(("E ", "ERROR "))]
        where = ", ".join(map(str, files))
        raise SuiteError(f"pytest found no tests in {where}" + "".join(f"; {line.strip()}" for line in answer[-2:]))
    return plugin.verdicts


class _Plugin:
    """Replaces pytest's loop over the collected tests."""

    def __init__(self, mutants: Sequence[Mutant], jobs: int, begin: Callable, judged: Callable, briefly: Callable):
        self.mutants, self.jobs, self.begin, self.judged, self.briefly = mutants, jobs, begin, judged, briefly
        self.verdicts: list[Verdict] = []
        self.failures: list[Failure] = []
        self.skipped: Counter[str] = Counter()
        self.error: BaseException | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> Iterator:
        report = yield
        if report.failed:
            self.failures.append(_failure(item, call))
        if call.excinfo and call.excinfo.errisinstance(pytest.skip.Exception):
            self.skipped[str(call.excinfo.value)] += 1
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return False  # collection failed; pytest reports it
        items = [item for item in session.items if _is_included(item)]
        try:
            self._judge(items)
        except (Exception, KeyboardInterrupt) as error:  # pytest would only print it
            self.error = error
        return True

    def _judge(self, items: list[pytest.Item]) -> None:
        _without_shrinking()
        with tempfile.TemporaryDirectory() as scratch:
            forks = Forks(Path(scratch))
            control = self._control(items, forks)
            self.begin(control, len(items))
            tasks = []
            for mutant in self.mutants:
                order = _order(mutant, items, control)
                if self.briefly(mutant):
                    order = _first_seconds(order, control)
                if not order:
                    self._note(Verdict(mutant, "survived", "", "no test executes it", 0, 0.0))
                    continue
                limit = GRACE + PATIENCE * sum(control.seconds[i] for i in order)
                tests = [items[i] for i in order]
                tasks.append(Task(mutant, lambda mutant=mutant, tests=tests: self._test_mutant(mutant, tests), limit))
            for mutant, done, seconds in forks.run_tasks(tasks, self.jobs):
                self._note(_verdict(mutant, done, len(control.reached[mutant.point]), seconds))

    def _note(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self.judged(verdict)

    def _control(self, items: list[pytest.Item], forks: Forks) -> Control:
        """Runs all tests on undamaged rules, in `jobs` parts. Tests that fail once and then pass are excluded."""
        places = range(len(items))
        parts = [places[k :: self.jobs] for k in range(self.jobs)]
        reached: dict[Hashable, list[int]] = {}
        seconds = [0.0] * len(items)
        failed_once, skipped = [], Counter()
        observing = [Task(part, lambda part=part: self._observe_tests(items, part), NO_LIMIT) for part in parts]
        for _, answer, _ in forks.run_tasks(observing, self.jobs):
            if isinstance(answer, Ended):
                raise SuiteError(f"the tests ended with {answer} on undamaged rules")
            results, reasons = answer
            skipped += reasons
            for i, points, taken, failed in results:
                seconds[i] = taken
                failed_once += [i] if failed else []
                for point in () if failed else points:
                    reached.setdefault(point, []).append(i)
        again = [Task(i, lambda i=i: self._first_failure([items[i]]), NO_LIMIT) for i in failed_once]
        wrong = [answer for _, answer, _ in forks.run_tasks(again, self.jobs) if answer is not None]
        if wrong:
            named = "; ".join(f"{f.test} ({f.exception})" if isinstance(f, Failure) else f for f in wrong[:3])
            raise SuiteError(f"{len(wrong)} of {len(items)} tests fail on undamaged rules: {named}")
        return Control([items[i].nodeid for i in failed_once], skipped, reached, seconds)

    # In a forked process

    def _observe_tests(self, items: list[pytest.Item], part: Sequence[int]) -> tuple[list, Counter[str]]:
        """([(index, points it executes, seconds, whether it failed) of each test], reasons for skipped tests)."""
        seen: set[Hashable] = set()
        observe({mutant.point for mutant in self.mutants}, seen.add)
        answer = []
        for i, following in zip(part, [*part[1:], None]):
            clear_caches()
            seen.clear()
            start, before = time.perf_counter(), len(self.failures)
            _run(items[i], None if following is None else items[following])
            answer.append((i, set(seen), time.perf_counter() - start, len(self.failures) > before))
        return answer, self.skipped

    def _test_mutant(self, mutant: Mutant, items: list[pytest.Item]) -> Failure | None:
        clear_caches()
        mutant.apply()
        return self._first_failure(items)

    def _first_failure(self, items: list[pytest.Item]) -> Failure | None:
        for item, following in zip(items, [*items[1:], None]):
            _run(item, following)
            if self.failures:
                return self.failures[0]
        return None


def _without_shrinking() -> None:
    """Make hypothesis draw the usual examples, without shrinking failing ones."""
    from hypothesis import Phase, settings  # pytest must be imported before hypothesis

    settings.register_profile("mutation", settings(), phases=[Phase.explicit, Phase.generate])
    settings.load_profile("mutation")


def _is_included(item: pytest.Item) -> bool:
    return "monkeypatch" not in getattr(item, "fixturenames", ())


def _run(item: pytest.Item, following: pytest.Item | None) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def _failure(item: pytest.Item, call: pytest.CallInfo) -> Failure:
    """An assertion counts as `judged`, unless it is one of the engine's internal assertions."""
    made_in = call.excinfo.traceback[-1].path.name
    judged = issubclass(call.excinfo.type, (AssertionError, pytest.fail.Exception))
    return Failure(item.nodeid, call.excinfo.typename, judged and made_in not in ("forward.py", "reverse.py"))


def _verdict(mutant: Mutant, done: Any, tests: int, seconds: float) -> Verdict:
    match done:
        case None:
            return Verdict(mutant, "survived", "", f"none of the {tests} tests that execute it fails", tests, seconds)
        case Failure(test, exception, judged):
            return Verdict(mutant, "test" if judged else "error", test, exception, tests, seconds)
        case "timeout":
            return Verdict(mutant, "timeout", "", "", tests, seconds)
    return Verdict(mutant, "crash", "", str(done), tests, seconds)


def _order(mutant: Mutant, items: list[pytest.Item], control: Control) -> list[int]:
    """The tests that execute a mutant's point: those of its operations (by case or name) first, then the fastest."""

    def key(i: int) -> tuple:
        parameters = getattr(getattr(items[i], "callspec", None), "params", {}).values()
        subjects = [getattr(p, "operation", p) for p in parameters]
        mine = any(isinstance(s, str) and s in mutant.owners for s in subjects)
        registry = items[i].path.name in REGISTRY
        return not mine, not registry, i if mine else control.seconds[i]

    return sorted(control.reached.get(mutant.point, ()), key=key)


def _first_seconds(order: list[int], control: Control) -> list[int]:
    total, chosen = 0.0, []
    for i in order:
        total += control.seconds[i]
        if chosen and total > BRIEF:
            break
        chosen.append(i)
    return chosen


# Which tests execute which points


def clear_caches() -> None:
    """Clear the caches of all rules, so that no test relies on what another has computed."""
    for rule in damages.differentiable_rules().values():
        rule._residuals.clear()


def observe(points: Collection[Hashable], report: Callable[[Hashable], Any]) -> None:
    """From now on, call `report` with each of these points that is executed. Use this in a forked process."""
    indices: dict[str, set[int]] = {}  # of the expressions in the source of each subject
    for subject, index in (point for point in points if len(point) == 2):
        indices.setdefault(subject, set()).add(index)
    rules = damages.differentiable_rules()
    for operation in {point[0] for point in points if len(point) == 3}:
        damages.watch(rules[operation], lambda *where, operation=operation: report((operation, *where)))
    subjects = {id(target.function): target.subject for target in targets()}
    mark = lambda function, index: report((subjects[function], index))
    for target in targets():
        if target.subject in indices:
            target.function.__globals__[source.MARK] = mark
            target.function.__code__ = source.mark_parts(target.function, indices[target.subject])
