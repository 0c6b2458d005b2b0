"""minigrad/program/gpu/executor.py: errors, interrupts, threads, and calls that mix host and device."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.program.gpu import executor
from minigrad.program.tuning import Tuning
from tests.support.programs import executor_of

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))


def test_an_error_within_a_run_is_raised_and_the_next_call_works(to_gpu, agree):
    f = lambda a, b: mg.exp(mg.solve(a * 2, b))
    jitted, good = mg.jit(f, donate=1), np.eye(4)
    for number in range(8):
        if number % 2:
            with pytest.raises(np.linalg.LinAlgError, match=r"solve\(float64\[4, 4\], float64\[4, 3\]\)"):
                jitted(*to_gpu((good * 0, X.T)))
        else:
            agree(jitted(*to_gpu((good, X.T))), f(good, X.T))


def test_a_failed_recording_is_repeated(monkeypatch, to_gpu, agree):
    jitted, x = mg.jit(lambda x: mg.tanh(x) * 2), to_gpu(X)
    for _ in range(Tuning().warm_ups):
        jitted(x)
    with monkeypatch.context() as patch:
        patch.setattr(executor, "_run", lambda launch: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            jitted(x)
    other = to_gpu(Y)
    for _ in range(3):
        agree(jitted(other), np.tanh(Y) * 2)
    assert not executor_of(jitted, other)._arguments._buffers  # it is read in place: nothing was bound to x any more


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
def test_ctrl_c_waits_for_the_end_of_a_run(monkeypatch, to_gpu, agree):
    f = lambda p, g: (p - 0.1 * g, mg.sum(p * p))
    step, g = mg.jit(f, donate=0), to_gpu(Y)
    results = executor.GpuExecutor._results
    for number in range(6):
        if number in (0, 2, 4):
            with monkeypatch.context() as patch:
                interrupted = lambda run: os.kill(os.getpid(), signal.SIGINT) or results(run)
                patch.setattr(executor.GpuExecutor, "_results", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    step(to_gpu(X), g)
        agree(step(to_gpu(X), g), f(X, Y))


def test_two_functions_may_run_in_two_threads(to_gpu, agree):
    """Each records while the other runs."""
    f, g = lambda x, y: mg.tanh(x.T) @ y + mg.sum(x), lambda x, y: mg.exp(-x)[:, ::-1] * mg.mean(y)
    jitted, failed = (mg.jit(f), mg.jit(g, donate=0)), []

    def work():
        try:
            for number in range(8):
                for ours, theirs in zip(jitted, (f, g)):
                    agree(ours(*to_gpu((X + number, Y))), theirs(X + number, Y))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_program_refuses_arguments_on_another_device(device, to_gpu):
    f = lambda x: mg.tanh(x) * 2
    for program, x in ((mg.trace(f)(X), to_gpu(X)), (mg.trace(f)(to_gpu(X)), X)):
        with pytest.raises(mg.DeviceError, match=r"the program computes on .*: move them with mg.to_device\(x, "):
            program(x)


@pytest.mark.parametrize("count", [0, 1])
def test_recording_starts_after_the_given_warm_ups(to_gpu, agree, graphs, count):
    f, args = lambda x, y: mg.sum(mg.tanh(x) @ y.T, 0), to_gpu((X, Y))
    program = dataclasses.replace(mg.jit(f).program(*args), tuning=Tuning(warm_ups=count))
    for number in range(4):
        agree(program(*args), f(X, Y))
        assert len(graphs) == (number >= max(1, count))  # bound calls run once without recording in any case


def test_host_results_beside_device_results(to_gpu, agree):
    """Noise from a key that is no argument is computed on the host, as without a program."""
    f = lambda x: (mg.tanh(x), mg.random.normal(mg.random.key(1), (3,)))
    jitted = mg.jit(f, donate=0)
    for _ in range(4):
        results = jitted(to_gpu(X))
        assert type(results[1]) is np.ndarray
        agree(results, f(X))
    outside = to_gpu(Y)
    ours, host = mg.jit(lambda x: (mg.tanh(outside), x + 1))(X)  # and the other way round
    assert type(host) is np.ndarray
    agree(ours, np.tanh(Y))
