"""Threads, tasks, generators, exceptions and interrupts: derivatives see only their own level, and always remove it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import itertools
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.interpreter import Interpreter, Primitive, current, primitives
from minigrad.core.rules import custom
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.transfer import to_host


def by_tape(f, x):
    with mg.Tape() as tape:
        traced = tape.watch(x)
        y = f(traced)
    return tape.gradient(y, traced)


USES = {  # (a derivative of Σ sin(kx), its closed form as a function of k and x)
    "grad": (lambda f, x: mg.grad(f)(x), lambda k, x: k * np.cos(k * x)),
    "value": (lambda f, x: mg.value_and_grad(f)(x)[0], lambda k, x: np.sum(np.sin(k * x))),
    "vjp": (lambda f, x: mg.vjp(f, x)[1](-2.0)[0], lambda k, x: -2 * k * np.cos(k * x)),
    "jvp": (lambda f, x: mg.jvp(f, (x,), (x,))[1], lambda k, x: np.sum(k * x * np.cos(k * x))),
    "hvp": (lambda f, x: mg.hvp(f, x, x), lambda k, x: -k * k * x * np.sin(k * x)),
    "reverse over reverse": (
        lambda f, x: mg.grad(lambda x: mg.sum(mg.grad(f)(x) * x))(x),
        lambda k, x: k * np.cos(k * x) - k * k * x * np.sin(k * x),
    ),
    "hessian": (lambda f, x: mg.hessian(f)(x), lambda k, x: np.diag(-k * k * np.sin(k * x))),
    "checkpoint": (lambda f, x: mg.grad(mg.checkpoint(f))(x), lambda k, x: k * np.cos(k * x)),
    "tape": (by_tape, lambda k, x: k * np.cos(k * x)),
}


def function(k):
    return lambda x: mg.sum(mg.sin(k * x))


@pytest.fixture
def impatient():
    """Threads switch every microsecond, instead of every few milliseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


# Threads


def run_in_threads(count, work):
    """Runs work(i) in `count` threads that start together, and raises the first exception of any."""
    barrier, errors = threading.Barrier(count), []

    def run(i):
        barrier.wait()
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.host
def test_threads_with_different_transforms_do_not_see_each_other(impatient, on_device):
    """Eight threads run all transforms fifty times, each starting with a different one."""
    x_host = normal((5,))
    x, names = on_device(x_host), list(USES)

    def work(i):
        bottom = current()
        for j in range(50 * len(names)):
            use, formula = USES[names[(i + j) % len(names)]]
            assert_close(to_host(use(function(i + 1.0), x)), formula(i + 1.0, x_host))
            assert current() is bottom

    run_in_threads(8, work)


def test_one_pullback_serves_many_threads_at_once(impatient, on_device):
    x_host = normal((5,))
    f = lambda x: mg.checkpoint(lambda x: mg.sin(x) * x)(x) + mg.exp(x)
    _, pullback = mg.vjp(f, on_device(x_host))
    slope = np.cos(x_host) * x_host + np.sin(x_host) + np.exp(x_host)

    def work(i):
        g = normal((5,), i)
        for _ in range(100):
            assert_close(to_host(pullback(on_device(g))[0]), g * slope)

    run_in_threads(8, work)


def test_a_thread_started_while_tracing_computes_with_plain_arrays(xp):
    """It starts at the bottom level: its operations are neither recorded nor refused."""
    results = []

    def f(x):
        run_in_threads(1, lambda i: results.append(mg.grad(lambda z: mg.sum(z * z))(xp.asarray([5.0]))))
        return mg.sum(x * x)

    assert to_host(mg.grad(f)(xp.asarray([3.0]))).tolist() == [6] and to_host(results[0]).tolist() == [10]


def test_workers_of_a_pool_start_every_task_at_the_bottom(impatient, on_device):
    """A task that fails half-way leaves no level behind for the next one on its thread."""
    x_host = normal((5,))
    x, bottom = on_device(x_host), current()

    def task(i):
        assert current() is bottom
        use, formula = USES[list(USES)[i % len(USES)]]

        def failing(x):
            mg.grad(lambda z: mg.sum(z) / {}["missing"])(x)

        if i % 3 == 0:
            with pytest.raises(KeyError):
                use(failing, x)
        assert_close(to_host(use(function(i + 1.0), x)), formula(i + 1.0, x_host))
        return i

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(task, range(400))) == list(range(400))


# Tasks and generators


def test_interleaved_tasks_do_not_see_each_other(xp):
    """Eight tasks compute d/dx xⁿ = n·xⁿ⁻¹ with a tape each, and switch after every operation."""
    bottom = current()

    async def task(n):
        with mg.Tape() as tape:
            mine = current()
            x = tape.watch(xp.asarray(1.5))
            y = x
            for _ in range(n - 1):
                y = y * x
                await asyncio.sleep(0)
                assert current() is mine and len(tape) <= n
                assert float(mg.grad(lambda z: z * z)(xp.asarray(float(n)))) == 2 * n
        assert current() is bottom
        await asyncio.sleep(0)
        return float(tape.gradient(y, x))

    async def bystander():
        for _ in range(20):
            assert current() is bottom
            await asyncio.sleep(0)

    async def everyone():
        return await asyncio.gather(*map(task, range(2, 10)), bystander())

    assert asyncio.run(everyone())[:-1] == pytest.approx([n * 1.5 ** (n - 1) for n in range(2, 10)])
    assert current() is bottom


def test_a_cancelled_task_leaves_no_level_behind(xp):
    bottom = current()

    async def endless():
        with mg.Tape() as tape:
            x = tape.watch(xp.asarray(1.0))
            while True:
                x = x * 1.5
                await asyncio.sleep(0)

    async def main():
        task = asyncio.create_task(endless())
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert current() is bottom
        return mg.grad(lambda x: x * x)(xp.asarray(3.0))

    assert float(asyncio.run(main())) == 6


def powers(xp, n):
    """Yields None after every operation inside a tape, and at the end d/dx xⁿ at 1.5."""
    with mg.Tape() as tape:
        x = tape.watch(xp.asarray(1.5))
        y = x
        for _ in range(n - 1):
            y = y * x
            yield None
    yield float(tape.gradient(y, x))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_generators_that_end_in_any_order_restore_the_level(order, xp):
    """Their tapes are entered one inside the other, and left in any order."""
    bottom, generators = current(), [powers(xp, 4) for _ in range(3)]
    for _ in range(3):
        for generator in generators:
            assert next(generator) is None
    for i in order:
        assert next(generators[i]) == pytest.approx(4 * 1.5**3)
        assert float(mg.grad(lambda x: x * x)(xp.asarray(3.0))) == 6
    assert current() is bottom


def test_a_generator_that_is_deleted_half_way_restores_the_level(xp):
    bottom = current()
    generator = powers(xp, 4)
    next(generator)
    assert current() is not bottom
    del generator
    gc.collect()
    assert current() is bottom


def test_a_generator_that_outlives_its_derivative_restores_the_level(xp):
    bottom, kept = current(), []

    def f(x):
        kept.append(powers(xp, 3))
        next(kept[0])
        return x * x

    assert float(mg.grad(f)(xp.asarray(3.0))) == 6
    assert float(mg.grad(lambda x: x**3)(xp.asarray(2.0))) == 12
    assert [v for v in kept[0] if v] == pytest.approx([3 * 1.5**2])
    assert current() is bottom


# Exceptions and interrupts


class Interrupting(Interpreter):
    """Raises KeyboardInterrupt instead of running operation number `at`, in the function, a rule or a pullback."""

    def __init__(self, at):
        self.at = at

    def process(self, primitive, args, params):
        self.at -= 1
        if self.at < 0:
            raise KeyboardInterrupt
        return self.parent.process(primitive, args, params)


@pytest.mark.parametrize("name", USES)
def test_an_interrupt_at_any_operation_leaves_no_level_behind(name, xp):
    use, _ = USES[name]
    x, bottom = xp.asarray([0.5, -2.0]), current()
    for at in itertools.count():
        with Interrupting(at) as outer:
            try:
                use(function(2.0), x)
                break
            except KeyboardInterrupt:
                assert current() is outer
        assert current() is bottom
    assert at >= 3
    assert to_host(mg.grad(lambda x: mg.sum(x * x))(x)).tolist() == [1, -4]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX signals")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_after_an_interrupt_at_any_moment_derivatives_are_right(xp):
    """The signal comes between any two instructions. Each attempt has its own context, for levels it leaves behind."""
    x_host = np.array([0.5, -2.0])
    x = xp.asarray(x_host)

    def stop(*_):
        raise KeyboardInterrupt

    def once(name, delay):
        use, formula = USES[name]
        assert_close(to_host(use(function(2.0), x)), formula(2.0, x_host))
        with contextlib.suppress(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, delay)
            end = time.monotonic() + 1  # Python only reports an exception raised in a gc callback
            while time.monotonic() < end:
                use(function(2.0), x)
        for again, formula in USES.values():
            assert_close(to_host(again(function(3.0), x)), formula(3.0, x_host))

    before = signal.signal(signal.SIGALRM, stop)
    try:
        for i, delay in enumerate(np.random.default_rng(0).uniform(1e-4, 3e-3, 100)):
            contextvars.copy_context().run(once, list(USES)[i % len(USES)], delay)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, x: mg.grad(f)(x),
        lambda f, x: mg.vjp(f, x),
        lambda f, x: mg.jvp(f, (x,), (x,)),
        lambda f, x: mg.hessian(f)(x),
        lambda f, x: mg.grad(mg.checkpoint(f))(x),
        lambda f, x: mg.jacobian(f, mode="forward")(x),
        by_tape,
    ],
    ids=["grad", "vjp", "jvp", "hessian", "checkpoint", "jacobian", "tape"],
)
def test_an_exception_leaves_no_interpreter_behind(transform, xp):
    class Stop(BaseException):
        pass

    def f(x):
        mg.sin(x)
        raise Stop

    before = current()
    with pytest.raises(Stop):
        transform(f, xp.asarray([1.0]))
    assert current() is before
    assert float(mg.grad(lambda x: x * x)(xp.asarray(3.0))) == 6


def test_an_exception_caught_inside_leaves_the_outer_derivative_right(xp):
    """The inner level is removed, and the outer one continues."""

    def f(x):
        y = mg.sin(x)
        try:
            mg.grad(lambda z: mg.checkpoint(lambda z: z * x * {}["missing"])(z))(x)
        except KeyError:
            mine = current()
        assert current() is mine
        return y * x

    expected = np.cos(0.7) * 0.7 + np.sin(0.7)
    for derivative in (mg.grad(f), lambda x: mg.jvp(f, (x,), (xp.asarray(1.0),))[1]):
        assert float(derivative(xp.asarray(0.7))) == pytest.approx(expected)


def test_an_exception_while_pulling_back_leaves_no_interpreter_behind(xp):
    """The exception comes from a checkpointed function that runs again, or from a rule."""
    calls = []

    def f(x):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return x * x

    def fail(g):
        raise KeyboardInterrupt

    before = current()
    with pytest.raises(KeyboardInterrupt):
        mg.grad(mg.checkpoint(f))(xp.asarray(1.0))
    assert current() is before
    failing = custom(Primitive("made_to_fail", lambda b, x, out=None: b.xp.add(x, 0)), x=(lambda t: fail(t), fail))
    try:
        for transform in (lambda f: mg.grad(mg.checkpoint(f)), lambda f: mg.grad(mg.grad(f)), mg.hessian):
            with pytest.raises(KeyboardInterrupt):
                transform(failing)(xp.asarray(1.0))
            assert current() is before
    finally:
        del primitives["made_to_fail"]
