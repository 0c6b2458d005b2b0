"""minigrad/program: programs among other things: derivatives, errors, interrupts, threads and forks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from tests.support.programs import same

# Programs among other things


def test_programs_have_derivatives_and_can_be_captured():
    f = lambda x, n: mg.sum(mg.tanh(x) ** 2 * n)
    x = np.linspace(-1, 2, 5)
    program = mg.trace(f)(x, 3)
    assert same(mg.grad(lambda x: program(x, 3))(x), mg.grad(lambda x: f(x, 3))(x))
    assert same(mg.hessian(lambda x: program(x, 3))(x), mg.hessian(lambda x: f(x, 3))(x))
    assert same(mg.jit(lambda x: program(x, 3))(x), f(x, 3))


@pytest.mark.parametrize(
    ("f", "good", "bad", "error", "message"),
    [
        (
            lambda x, i: mg.take(x, i),
            (np.ones(3), np.array([0])),
            (np.ones(3), np.array([7])),
            IndexError,
            r"gather\(float64",
        ),
        (lambda x: mg.inv(x), (np.eye(2),), (np.zeros((2, 2)),), np.linalg.LinAlgError, r"inv\(float64\[2, 2\]\)"),
    ],
)
def test_what_goes_wrong_in_a_run_is_told_as_without_a_program(f, good, bad, error, message):
    jitted = mg.jit(f)
    jitted(*good)
    for run in (f, jitted):
        with pytest.raises(error, match=message):
            run(*bad)
    assert same(jitted(*good), f(*good))


@pytest.mark.parametrize(
    ("f", "use"),
    [
        (lambda x: x * float(mg.stop_gradient(mg.sum(x))), r"float\(x\)"),
        (lambda x: x * np.asarray(x), r"np.asarray\(x\)"),
        (lambda x: x * mg.sum(x).item(), r"x.item\(\)"),
    ],
)
def test_a_number_taken_out_of_a_program_is_refused_for_that(f, use):
    """Not with the advice to stop the gradient, which helps in a derivative only."""
    with pytest.raises(mg.CaptureError, match=f"{use} of a value made by .*mg.where"):
        mg.jit(f)(np.ones(2))


def test_a_run_that_could_not_be_bound_leaves_nothing_behind(monkeypatch):
    """Memory gives out between taking new arguments and binding them; the same call afterwards is right."""
    f = lambda a, b: (mg.exp(a) * b, mg.tanh(a + b))
    rng = np.random.default_rng(0)
    jitted = mg.jit(f)
    for _ in range(2):
        a, b = rng.normal(size=(2, 100, 200))
        with monkeypatch.context() as patch:
            program = jitted.program(a, b)
            jitted(a + 1, b)
            patch.setattr(program._executor, "_bind_again", _no_memory)
            with pytest.raises(MemoryError):
                jitted(a, b)
        assert same(jitted(a, b), f(a, b))


def _no_memory(moved):
    raise MemoryError


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_ends_a_run_between_its_steps_and_the_next_run_is_right():
    """Ctrl-C at random moments: what runs afterwards is right, and nothing hangs."""
    program = """
import os, random, signal, threading, time
import numpy as np
import minigrad as mg
from minigrad.program.tuning import Tuning
f = lambda a, b: (mg.sum(mg.tanh(a) * b, axis=0), mg.exp(a - b))
jitted, rng = mg.jit(f, tuning=Tuning(threads=2, worth_threads=0)), np.random.default_rng(0)
stopped = 0
def press():
    for _ in range(300):
        time.sleep(0.003 * random.random())
        os.kill(os.getpid(), signal.SIGINT)

def ignore():
    while True:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return
        except KeyboardInterrupt:
            pass

ignore()
keys = threading.Thread(target=press, daemon=True)
keys.start()
while keys.is_alive():
    a, b = rng.normal(size=(2, 500, 60))
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        while keys.is_alive():
            jitted(a, b)
    except KeyboardInterrupt:
        stopped += 1
    ignore()
    assert all(np.allclose(x, y, rtol=1e-12, atol=1e-12) for x, y in zip(jitted(a, b), f(a, b)))
assert stopped
"""
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=60, cwd=Path(mg.__file__).parents[1], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# Threads


def test_blas_has_its_threads_again_when_the_last_of_several_runs_ends():
    """Runs that overlap without being nested: the first to begin is the first to end."""
    from minigrad.program.cpu import threads as pool

    if pool.count() < 2:
        with pool._controller().limit(limits=2, user_api="blas"):
            _overlap(pool)
    else:
        _overlap(pool)


def _overlap(pool):
    before = pool.count()
    pool.single_blas.__enter__()
    pool.single_blas.__enter__()
    pool.single_blas.__exit__()
    found = [info for info in pool._controller().info() if info["user_api"] == "blas"]
    inside, told = {info["num_threads"] for info in found}, pool.count()
    pool.single_blas.__exit__()
    assert inside == {1}
    assert told == before == pool.count()


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
