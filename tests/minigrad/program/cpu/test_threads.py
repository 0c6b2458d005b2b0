"""minigrad/program/cpu/threads.py: every task runs once, whichever threads fail to start."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import minigrad as mg
from minigrad.program.cpu import threads
from tests.support.programs import cut_everything, same

ROOT = Path(mg.__file__).parents[1]


@pytest.fixture
def fresh_workers():
    """No worker thread has been started before the test, and none is kept after it."""
    threads._reset_after_fork()
    yield
    threads._reset_after_fork()


class FailingStarts:
    """Replaces Thread.start: the calls with these numbers, counted from 0, raise an error."""

    def __init__(self, failing, error):
        self.failing, self.error, self.count, self.start = failing, error, 0, threading.Thread.start

    def __call__(self, thread):
        self.count += 1
        if self.count - 1 in self.failing:
            raise self.error
        self.start(thread)


ALL = range(10**6)
NONE_LEFT = RuntimeError("can't start new thread")


def fail_starts(patch, failing, error=NONE_LEFT):
    starts = FailingStarts(failing, error)
    patch.setattr(threading.Thread, "start", lambda thread: starts(thread))
    return starts


@pytest.mark.parametrize("error", [NONE_LEFT, MemoryError()], ids=repr)
@pytest.mark.parametrize("failing", [{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 1, 2, 3, 4}, ALL], ids=str)
def test_each_task_runs_once_whichever_threads_fail_to_start(failing, error, fresh_workers, monkeypatch):
    """The tasks are slow, so a worker started later would run a task left in the queue a second time."""
    fail_starts(monkeypatch, failing, error=error)
    for _ in range(6):
        runs = []
        tasks = [lambda i=i, runs=runs: (time.sleep(0.002), runs.append(i)) for i in range(4)]
        threads.run_all(tasks)
        assert sorted(runs) == [0, 1, 2, 3]
        time.sleep(0.005)
        assert sorted(runs) == [0, 1, 2, 3]


@pytest.mark.parametrize("failing", [{0}, {1}, {0, 1}, {0, 2}, ALL], ids=str)
def test_a_program_gives_the_same_bits_whichever_threads_fail_to_start(failing, fresh_workers, monkeypatch):
    """Each run overwrites donated memory: a task that ran twice would change the numbers."""
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(60, 8)), rng.normal(size=(60, 8))
    step = lambda w, x: (mg.sum(mg.tanh(w) * x, axis=0), w - 0.1 * mg.sin(w * x))

    def steps():
        jitted, now, totals = mg.jit(step, donate=0, tuning=cut_everything(threads=3)), w.copy(), []
        for _ in range(8):
            total, now = jitted(now, x)
            totals.append(total)
        return totals, now

    expected = steps()
    threads._reset_after_fork()
    starts = fail_starts(monkeypatch, failing)
    assert same(steps(), expected)
    assert starts.count > min(failing)


def test_threads_that_failed_to_start_are_tried_again(fresh_workers, monkeypatch):
    """No task is queued for them in the meantime."""
    with monkeypatch.context() as patch:
        fail_starts(patch, ALL)
        for _ in range(3):
            threads.run_all([int] * 3)
    assert (threads._workers._count, threads._workers._queue.qsize()) == (0, 0)
    ready = threading.Barrier(3, timeout=30)  # passed only by three threads at once
    threads.run_all([ready.wait] * 3)


def test_a_worker_out_of_memory_leaves_its_task_to_the_caller_and_keeps_running(fresh_workers, monkeypatch):
    claim, failures = threads._Task.claim, list(range(4))

    def claim_or_fail(task, claimant):
        if claimant == "worker" and failures:
            failures.pop()
            raise MemoryError
        return claim(task, claimant)

    monkeypatch.setattr(threads._Task, "claim", claim_or_fail)
    for _ in range(50):
        runs = []
        threads.run_all([lambda i=i, runs=runs: (time.sleep(0.002), runs.append(i)) for i in range(3)])
        assert sorted(runs) == [0, 1, 2]
    assert not failures
    ready = threading.Barrier(3, timeout=30)
    threads.run_all([ready.wait] * 3)


# Nested tasks, errors and signals


@pytest.mark.parametrize("failing", [(), ALL], ids=["with threads", "without"])
def test_tasks_within_tasks(failing, fresh_workers, monkeypatch):
    fail_starts(monkeypatch, failing)
    runs = []
    inner = lambda i: lambda: threads.run_all([lambda j=j: runs.append((i, j)) for j in range(3)])
    threads.run_all([inner(i) for i in range(3)])
    assert sorted(runs) == [(i, j) for i in range(3) for j in range(3)]


@pytest.mark.parametrize("place", range(3))
def test_an_error_is_raised_after_all_tasks_have_ended(place, fresh_workers):
    done = []

    def task(i):
        if i == place:
            raise ZeroDivisionError(i)
        time.sleep(0.02)
        done.append(i)

    with pytest.raises(ZeroDivisionError, match=str(place)):
        threads.run_all([lambda i=i: task(i) for i in range(3)])
    assert sorted(done) == sorted({0, 1, 2} - {place})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # raised while something is freed
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX signals")
def test_a_signal_handler_that_raises_leaves_no_task_running(fresh_workers, monkeypatch):
    """The handler runs at random moments, for example while the caller waits for the others."""

    class TooLate(Exception):
        pass

    def ring(*where):
        if armed:
            armed.clear()
            raise TooLate

    rng, running, armed, late = np.random.default_rng(0), [], [], 0
    before = signal.signal(signal.SIGALRM, ring)

    def task():
        running.append(1)
        time.sleep(0.001)
        running.pop()

    try:
        for _ in range(200):
            running.clear()
            try:
                armed.append(True)
                signal.setitimer(signal.ITIMER_REAL, 1e-6 + 0.002 * rng.random())
                threads.run_all([lambda: None, task, task])
                armed.clear()
            except TooLate:
                late += 1
            left = list(running)
            time.sleep(0.002)
            assert list(running) == left  # a task broken off on this thread stays in the list; nothing else runs
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert late


def test_a_signal_handler_that_raises_at_any_call_leaves_no_task_running(fresh_workers):
    """A handler may run wherever a function is entered; a trace function raises there in its place."""

    class TooLate(Exception):
        pass

    def task():
        if threading.current_thread() is not threading.main_thread():
            running.append(1)
            time.sleep(0.005)
            running.pop()
        else:
            time.sleep(0.001)

    def trace(frame, event, argument):
        if frame.f_code.co_filename == threads.__file__ and next(calls, None) is None:
            raise TooLate

    threads.run_all([lambda: time.sleep(0.002)] * 3)  # starts all threads
    before, running, late = sys.gettrace(), [], 0
    for number in range(100):
        calls = iter(range(number))
        sys.settrace(trace)
        try:
            threads.run_all([task] * 3)
            break
        except TooLate:
            late += 1
        finally:
            sys.settrace(before)
        assert not running
    assert 10 < late < 100


def test_a_busy_thread_keeps_no_finished_task_alive(fresh_workers):
    class Task:
        def __call__(self):
            pass

    begun, over = threading.Barrier(3, timeout=30), threading.Event()
    busy = threading.Thread(target=lambda: threads.run_all([lambda: (begun.wait(), over.wait(30))] * 2))
    busy.start()
    begun.wait()
    tasks = [Task(), Task()]
    kept = [weakref.ref(task) for task in tasks]
    threads.run_all(tasks)
    del tasks
    gc.collect()
    left = [ref() for ref in kept]
    over.set()
    busy.join()
    assert left == [None, None]


def run(program: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program], timeout=60, cwd=ROOT, capture_output=True, text=True, **options
    )


STEPS = """
import hashlib, os, sys
import numpy as np
import minigrad as mg
from minigrad.program.tuning import Tuning
warm = mg.jit(lambda x: mg.sum(mg.tanh(x), axis=0), tuning=Tuning(threads=1))
warm(np.ones((600, 80)))  # imports what another user might not be able to read
tuning = Tuning(threads=3, worth_threads=0)
rng = np.random.default_rng(0)
w, x = rng.normal(size=(600, 80)), rng.normal(size=(600, 80))
step = mg.jit(lambda w, x: (mg.sum(mg.tanh(w) * x, axis=0), w - 0.1 * mg.sin(w * x)), donate=0, tuning=tuning)

def steps():
    now, seen = w.copy(), hashlib.sha256()
    for _ in range(20):
        total, now = step(now, x)
        seen.update(total)
    seen.update(now)
    print(seen.hexdigest(), flush=True)
"""


def test_programs_run_while_the_interpreter_exits():
    done = run(f"{STEPS}\nimport atexit\natexit.register(steps)\nsteps()")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.split()) == 2 and len(set(done.stdout.split())) == 1


LIMIT = """
import resource
owners = {os.stat(f"/proc/{p}").st_uid for p in os.listdir("/proc") if p.isdigit() and os.path.exists(f"/proc/{p}")}
there = len(os.listdir("/proc/self/task"))
os.setgroups([])
resource.setrlimit(resource.RLIMIT_NPROC, (there + MORE,) * 2)
os.setuid(next(n for n in range(61000, 65000) if n not in owners))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs root, to become a user whom the limit binds"
)
@pytest.mark.parametrize("more", [0, 1, 8])
def test_a_limit_on_threads_changes_no_bit(more):
    """The user may start `more` threads beyond those that exist after the imports."""
    limited, free = run(f"{STEPS}{LIMIT.replace('MORE', str(more))}steps()"), run(f"{STEPS}steps()")
    assert (limited.returncode, limited.stderr) == (0, "")
    assert limited.stdout == free.stdout


@pytest.fixture
def every_library():
    """Finds BLAS libraries again: other tests may have loaded some."""
    threads._libraries.cache_clear()


@pytest.mark.usefixtures("every_library")
def test_blas_gets_its_threads_back_when_the_last_overlapping_run_ends():
    """Runs that overlap without being nested: the first to begin is the first to end."""
    from minigrad.program.cpu import threads as pool

    if pool.count() < 2:
        with threadpool_limits(2, user_api="blas"):
            _overlap(pool)
    else:
        _overlap(pool)


def _overlap(pool):
    before = pool.count()
    pool.single_blas.__enter__()
    pool.single_blas.__enter__()
    pool.single_blas.__exit__()
    found = [info for info in threadpool_info() if info["user_api"] == "blas"]
    inside, told = {info["num_threads"] for info in found}, pool.count()
    pool.single_blas.__exit__()
    assert inside == {1}
    assert told == before == pool.count()


@pytest.mark.usefixtures("every_library")
def test_blas_runs_on_one_thread_for_any_thread_that_asks():
    """threadpoolctl obeys only the first thread that sets a number, here the main thread."""
    found, outside = [], []

    def ask():
        for _ in range(20):
            with threads.single_blas:
                found.extend(info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas")

    with threadpool_limits(2, user_api="blas"):
        asking = [threading.Thread(target=ask) for _ in range(2)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        outside = [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]
    assert {*found} == {1}
    assert {*outside} == {2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_threads_of_its_own():
    program = (
        "import os, signal, warnings; warnings.simplefilter('ignore'); import numpy as np; import minigrad as mg;"
        "from minigrad.program.tuning import Tuning;"
        "f = mg.jit(lambda x: mg.tanh(x) * 2 + x, tuning=Tuning(threads=2));"
        "x = np.ones((400, 400)); f(x); pid = os.fork();"
        "pid or (signal.alarm(30), f(x), os._exit(7));"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=60, cwd=Path(mg.__file__).parents[1])
    assert done.returncode == 7
