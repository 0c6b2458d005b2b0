"""The judge: the project's own tests, run by pytest, with one forked process for each mutant.

Tests are collected once. A first process runs them all on the rules as they are and notes, for each test, every point
at which a mutant will differ and that the test comes to. Then each mutant gets a process of its own, in which it is
brought about and the tests that come to its point are run until one fails; whatever the mutant spoils ends with that
process. A test that never comes to the point of a mutant computes what it did without, so nothing is lost by leaving it
out. Tests that replace parts of the engine themselves (with pytest's `monkeypatch`) have no vote.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from threadpoolctl import threadpool_limits

from . import damages, source
from .forks import Ended, Forks, Task
from .mutants import Mutant, targets

TESTS = Path(__file__).parent.parent / "minigrad"
REGISTRY = ("test_derivatives.py", "test_properties.py")  # every operation against every oracle: asked first

# A test under a mutant may take longer, and the machine has other work: this many times, and seconds more.
PATIENCE, GRACE = 10.0, 30.0
BRIEF = 3.0  # seconds of tests, for those of which a survival is expected
NO_LIMIT = float("inf")


class Failure(NamedTuple):
    """A test that failed, and how: the exception, and whether a test (or a check it uses) made the judgement."""

    test: str
    exception: str
    judged: bool


class Control(NamedTuple):
    """The tests on undamaged rules: unsteady and skipped ones, which come to each point, seconds of each."""

    unsteady: list[str]  # failed once, and passed once
    skipped: Counter[str]  # how many for each reason
    reached: dict[Hashable, list[int]]
    seconds: list[float]


class Verdict(NamedTuple):
    """What became of a mutant: "test" or "error" or "crash" or "timeout" killed it, or it "survived"."""

    mutant: Mutant
    outcome: str
    test: str  # that killed it
    detail: str  # the exception; of a survivor, why
    tests: int  # that come to its point
    seconds: float

    @property
    def killed(self) -> bool:
        return self.outcome != "survived"


class SuiteError(Exception):
    """The tests cannot judge: they cannot be collected, or they fail without damage."""


def test_files(given: Sequence[Path] = ()) -> list[Path]:
    """The files to collect: those given, or the tests of the engine, first those that try every operation."""
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
    """Put mutants to the tests in these files, `jobs` at a time. Raises SuiteError where the tests cannot judge.

    `begin` is called once after the run without damage, `judged` with every verdict as it comes. Mutants that are
    judged `briefly` get the first few seconds of their tests, the others all of them.
    """
    plugin = _Plugin(mutants, jobs, begin, judged, briefly)
    said = io.StringIO()
    options = ["-o", "addopts=", "-s", "-p", "no:cacheprovider", "--tb=native", *map(str, files)]
    with contextlib.redirect_stdout(said), threadpool_limits(1):
        code = pytest.main(options, plugins=[plugin])
    if plugin.error:
        raise plugin.error
    if code != pytest.ExitCode.OK:
        told = [line for line in said.getvalue().splitlines() if line.startswith(("E ", "ERROR "))]
        where = ", ".join(map(str, files))
        raise SuiteError(f"pytest found no tests in {where}" + "".join(f"; {line.strip()}" for line in told[-2:]))
    return plugin.verdicts


class _Plugin:
    """Takes the place of pytest's own loop over the collected tests."""

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
            return False  # collection failed, and pytest says how
        items = [item for item in session.items if _votes(item)]
        try:
            self._judge(items)
        except (Exception, KeyboardInterrupt) as error:  # pytest would print it and go on
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
                    self._note(Verdict(mutant, "survived", "", "no test comes to it", 0, 0.0))
                    continue
                limit = GRACE + PATIENCE * sum(control.seconds[i] for i in order)
                chosen = [items[i] for i in order]
                tasks.append(Task(mutant, lambda mutant=mutant, chosen=chosen: self._under(mutant, chosen), limit))
            for mutant, done, seconds in forks.each(tasks, self.jobs):
                self._note(_verdict(mutant, done, len(control.reached[mutant.point]), seconds))

    def _note(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self.judged(verdict)

    def _control(self, items: list[pytest.Item], forks: Forks) -> Control:
        """All tests on undamaged rules, in `jobs` parts; those that fail once but not again have no vote."""
        places = range(len(items))
        parts = [places[k :: self.jobs] for k in range(self.jobs)]
        reached: dict[Hashable, list[int]] = {}
        seconds = [0.0] * len(items)
        doubtful, skipped = [], Counter()
        observing = [Task(part, lambda part=part: self._observed(items, part), NO_LIMIT) for part in parts]
        for _, told, _ in forks.each(observing, self.jobs):
            if isinstance(told, Ended):
                raise SuiteError(f"the tests ended with {told} on undamaged rules")
            results, reasons = told
            skipped += reasons
            for i, points, taken, failed in results:
                seconds[i] = taken
                doubtful += [i] if failed else []
                for point in () if failed else points:
                    reached.setdefault(point, []).append(i)
        again = [Task(i, lambda i=i: self._first_failure([items[i]]), NO_LIMIT) for i in doubtful]
        wrong = [told for _, told, _ in forks.each(again, self.jobs) if told is not None]
        if wrong:
            named = "; ".join(f"{f.test} ({f.exception})" if isinstance(f, Failure) else f for f in wrong[:3])
            raise SuiteError(f"{len(wrong)} of {len(items)} tests fail on undamaged rules: {named}")
        return Control([items[i].nodeid for i in doubtful], skipped, reached, seconds)

    # In a forked process

    def _observed(self, items: list[pytest.Item], part: Sequence[int]) -> tuple[list, Counter[str]]:
        """(place, points it comes to, seconds, whether it failed) of each test of a part, and why some were skipped."""
        seen: set[Hashable] = set()
        observe(seen.add)
        told = []
        for i, following in zip(part, [*part[1:], None]):
            forget()
            seen.clear()
            start, before = time.perf_counter(), len(self.failures)
            _run(items[i], None if following is None else items[following])
            told.append((i, set(seen), time.perf_counter() - start, len(self.failures) > before))
        return told, self.skipped

    def _under(self, mutant: Mutant, items: list[pytest.Item]) -> Failure | None:
        forget()
        mutant.apply()
        return self._first_failure(items)

    def _first_failure(self, items: list[pytest.Item]) -> Failure | None:
        for item, following in zip(items, [*items[1:], None]):
            _run(item, following)
            if self.failures:
                return self.failures[0]
        return None


def _without_shrinking() -> None:
    """Let hypothesis draw the same examples as ever, but not look for the smallest one that fails."""
    from hypothesis import Phase, settings  # not before pytest, which wants to be there first

    settings.register_profile("mutation", settings(), phases=[Phase.explicit, Phase.generate])
    settings.load_profile("mutation")


def _votes(item: pytest.Item) -> bool:
    return "monkeypatch" not in getattr(item, "fixturenames", ())


def _run(item: pytest.Item, following: pytest.Item | None) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def _failure(item: pytest.Item, call: pytest.CallInfo) -> Failure:
    """An assertion is a judgement, wherever it stands, but for those with which the engine guards itself."""
    made_in = call.excinfo.traceback[-1].path.name
    judged = issubclass(call.excinfo.type, (AssertionError, pytest.fail.Exception))
    return Failure(item.nodeid, call.excinfo.typename, judged and made_in not in ("forward.py", "reverse.py"))


def _verdict(mutant: Mutant, done: Any, tests: int, seconds: float) -> Verdict:
    match done:
        case None:
            return Verdict(mutant, "survived", "", f"none of the {tests} tests that come to it fails", tests, seconds)
        case Failure(test, exception, judged):
            return Verdict(mutant, "test" if judged else "error", test, exception, tests, seconds)
        case "timeout":
            return Verdict(mutant, "timeout", "", "", tests, seconds)
    return Verdict(mutant, "crash", "", str(done), tests, seconds)


def _order(mutant: Mutant, items: list[pytest.Item], control: Control) -> list[int]:
    """The tests that come to a mutant's point: those of its operations (by case or name) first, then the quick ones."""

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


# Which tests come to which points


def forget() -> None:
    """Make rules work out anew what they keep, so that no test profits from what another has worked out."""
    for rule in damages.differentiable_rules().values():
        rule._residuals.clear()


def observe(say: Callable[[Hashable], Any]) -> None:
    """From now on, say (call `say` with) every point of a mutant that is come to. Meant for a forked process."""
    for operation, rule in damages.differentiable_rules().items():
        damages.watch(rule, lambda name, direction, operation=operation: say((operation, name, direction)))
    subjects = {id(target.function): target.subject for target in targets()}
    mark = lambda function, index: say((subjects[function], index))
    for target in targets():
        target.function.__globals__[source.MARK] = mark
        indices = {change.index for change in source.changes(target.function, target.others)}
        target.function.__code__ = source.marked(target.function, indices)
