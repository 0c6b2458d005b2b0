"""minigrad/program/gpu/executor.py: recorded programs of a device against the same functions on the host."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from minigrad.program.gpu import executor
from minigrad.program.tuning import Tuning
from vae import training
from vae.config import Config
from vae.optimisers import adam
from vae.trainer import make_trainer

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))


def executor_of(jitted, *args) -> executor.GpuExecutor:
    """What runs for arguments of this kind."""
    return jitted.program(*args)._executor


def are_recordable(run) -> list[bool]:
    """Of each launch, whether it is."""
    return [bound.recordable for bound in run._bound]


@pytest.fixture
def graphs(device, monkeypatch):
    """A list of what is recorded."""
    made, ended = [], device.xp.cuda.Stream.end_capture
    monkeypatch.setattr(device.xp.cuda.Stream, "end_capture", lambda stream: made.append(ended(stream)) or made[-1])
    return made


# A whole training step


@pytest.fixture(scope="module")
def steps(device):
    """A VAE's training steps on the device: the step, states after each, losses, and what the host makes of them."""
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    config = Config(model="conv", batch=8, latent=3, hidden=16)
    found = []
    for where in ("cpu", device.device):
        trainer = make_trainer(config, (8, 8, 1), where)
        data, state, losses = mg.to_device(images, where), trainer.initial(), []
        advance, draws = training.make_whole_step(trainer), training.shuffle_for(trainer, data, 0).batch
        for number in [0, 1, 2, 3, 4, 0, 1, 2]:
            batch = draws(number)
            state, loss = training.advance_state(advance, state, batch)
            losses.append(float(loss))
        found.append((trainer, advance, state, losses, batch))
    return found


def test_a_step_of_a_vae_is_as_on_the_host(steps, agree):
    (_, _, state, losses, _), (_, _, state_there, losses_there, _) = steps
    np.testing.assert_allclose(losses_there, losses, rtol=1e-4)
    agree(state_there.parameters, state.parameters, rtol=2e-3)


def test_a_step_of_a_vae_is_one_recorded_segment(steps):
    _, advance, state, _, batch = steps[1]
    run = executor_of(advance, state.parameters, state.optimiser, state.total, batch)
    assert len(run._segments) == 1 and all(are_recordable(run))
    leaves = tree.flatten((state.parameters, state.optimiser, state.total))[0]
    assert len(run.placement.overwrites) == len(leaves)  # every parameter, moment and count is updated in place


def test_launches_of_a_level_do_not_wait_for_each_other(device, to_gpu, agree, graphs):
    f = lambda x, y: (mg.sum(mg.exp(x @ y), 0), mg.sum(mg.exp(y @ x), 1), x @ x)
    x, y = RNG.standard_normal((2, 3, 3))
    jitted, arguments = mg.jit(f), to_gpu((x, y))
    for _ in range(9):
        agree(jitted(*arguments), f(x, y))
    levels = executor_of(jitted, *arguments).levels
    assert [len(level) for level in levels] == [3, 1, 2]
    (graph,) = graphs
    if device.name == "stand-in":
        waits = [graph.before({number}) for number in range(6)]
        assert waits == [{0}, {1}, {2}, {0, 1, 2, 3}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 5}]


def test_a_step_of_a_vae_does_not_store_its_noise(steps):
    _, advance, state, _, batch = steps[1]
    schedule = executor_of(advance, state.parameters, state.optimiser, state.total, batch).schedule
    noise = [slot for slot, made in schedule.instructions.items() if made.primitive.name == "random_normal"]
    assert noise and not set(noise) & set(schedule.level)


def test_a_step_of_a_vae_allocates_nothing_but_its_loss(device, steps):
    _, advance, state, _, batch = steps[1]
    pool, used = device.xp.get_default_memory_pool(), []
    parameters, optimiser, total = state.parameters, state.optimiser, state.total
    for _ in range(5):
        _, parameters, optimiser, total = advance(parameters, optimiser, total, batch)
        used.append(pool.used_bytes())
    assert len(set(used[1:])) == 1
    assert device.address(tree.flatten(parameters)[0][0]) == device.address(tree.flatten(state.parameters)[0][0])


def test_memory_says_what_a_run_holds(to_gpu):
    x = np.ones((100, 100))
    f = lambda x, w: (mg.sum(mg.exp(x) @ w + 1), x * 2)
    program = mg.jit(f).program(*to_gpu((x, x)))
    memory = program.memory()
    assert memory.intermediate == 2 * 80_000 + 64 + 80_000  # what products read and give; x·2 until it is handed out
    assert memory.results == 8 + 80_000 and str(memory).startswith("intermediate 0.240 MB, results 0.080 MB")
    donating = mg.jit(f, donate=0).program(*to_gpu((x, x)))
    assert donating.memory().results == 8 and donating.memory().total < memory.total


# Arguments and results


def test_donated_results_are_in_place_and_others_in_memory_of_their_own(device, to_gpu, agree):
    f = lambda p, g: (p - 0.1 * g, mg.sum(p * g))
    step, p, (q, g) = mg.jit(f, donate=0), X, to_gpu((X, Y))
    where, sums = device.address(q), []
    for _ in range(6):
        (q, total), (p, expected) = step(q, g), f(p, Y)
        sums.append((total, expected))
        assert device.address(q) == where
        agree(q, p)
    for pair in sums:  # none was written over
        agree(*pair)


def test_a_donated_argument_must_not_be_used_again(to_gpu):
    step, q = mg.jit(lambda p: p * 2, donate=0), to_gpu(X)
    step(q)
    with pytest.raises(ValueError, match="was donated to an earlier call"):
        step(q)


def test_results_of_earlier_calls_are_not_overwritten(to_gpu, agree):
    f = lambda x, y: (mg.tanh(x) + y, x, y.T, x[1:], mg.sum(x), 3.0)
    jitted, kept = mg.jit(f), []
    x = to_gpu(X)
    for number in range(7):
        args = X, Y + number
        kept.append((jitted(x, to_gpu(args[1])), f(*args)))
        for ours, expected in kept:
            agree(ours, expected)


def test_an_argument_that_moves_is_copied_from_then_on(device, to_gpu, agree):
    f = lambda x, y: mg.exp(x) * y
    jitted, fixed = mg.jit(f), to_gpu(X)
    for _ in range(4):
        agree(jitted(fixed, to_gpu(Y)), f(X, Y))
    run = executor_of(jitted, fixed, to_gpu(Y))
    assert list(run._arguments._buffers) == [run.graph.inputs[1]]  # the other one is read where it is
    for number in range(4):
        agree(jitted(fixed, to_gpu(Y * number)), f(X, Y * number))
    fixed += 1
    agree(jitted(fixed, to_gpu(Y)), f(X + 1, Y))


def test_a_learning_rate_may_change_without_a_new_graph(to_gpu, agree, graphs):
    f = lambda p, g, rate: (p - rate * g, rate / 2)
    step, p, (q, g) = mg.jit(f, donate=0), X, to_gpu((X, Y))
    for rate in (0.1, 0.2, 0.3, 0.4, 0.5):
        for given in (np.float64(rate), to_gpu(np.array(rate))):
            for _ in range(2):
                (q, half), (p, expected) = step(q, g, given), f(p, Y, np.float64(rate))
                agree((q, half), (p, expected))
    assert len(graphs) == 2  # one for numbers of the host, one for those of the device


@pytest.mark.parametrize("donate", [(), 0])
def test_an_argument_that_comes_back_after_one_that_did_not_lie_in_one_piece(to_gpu, agree, donate):
    f = lambda x, y: (x * y, mg.sum(y))
    state, factor, other = X[:3, :3], Y[:3, :3], X[:3, 1:]
    for early in range(5):  # before, while and after it is recorded
        jitted, (ours, y), expected = mg.jit(f, donate=donate), to_gpu((state, factor)), state
        for _ in range(early + 1):
            results = jitted(ours, y)
            agree(results, f(expected, factor))
            ours, expected = (results[0], expected * factor) if donate == 0 else (ours, expected)
        agree(jitted(to_gpu(other).T, y), f(other.T, factor))
        agree(jitted(ours, y), f(expected, factor))


def test_constants_among_results_beside_donated_arguments(device, to_gpu, agree):
    here = np.arange(3.0)
    constant = device.from_host(here)
    f = lambda p, c: (c, p + 1, mg.sum(mg.exp(c)), here, {1}, p * 2)
    jitted, p, ours = mg.jit(lambda p: f(p, constant), donate=0), X, to_gpu(X)
    for _ in range(4):
        *results, last = jitted(ours)
        *expected, p = f(p, here)
        assert results.pop(4) == expected.pop(4) == {1}
        agree((*results, last), (*expected, p))
        ours = last


def test_a_donated_argument_that_is_new_every_time_is_copied(to_gpu, agree, graphs):
    f = lambda p, x: (p - mg.sum(x), mg.mean(x))
    jitted, (p, ours) = mg.jit(f, donate=(0, 1)), (X, to_gpu(X))
    for number in range(7):
        (ours, mean), (p, expected) = jitted(ours, to_gpu(Y + number)), f(p, Y + number)
        agree((ours, mean), (p, expected))
    assert len(graphs) == 1


def test_memory_that_kernels_need_on_the_way_is_kept_and_told_of(device, to_gpu, graphs):
    x = RNG.standard_normal((3000, 40))
    jitted, arguments = mg.jit(lambda x: (mg.sum(x, 0), x.T @ x)), to_gpu((x,))
    pool = device.xp.get_default_memory_pool()
    for _ in range(2):
        jitted(*arguments)
    before = pool.used_bytes()
    results = jitted(*arguments)
    memory = jitted.program(*arguments).memory()
    assert memory.scratch > 0 and len(graphs) == 1
    made = pool.used_bytes() - before - sum(leaf.nbytes for leaf in results)
    assert abs(made - memory.scratch) <= 4096 if device.name == "cupy" else made == memory.scratch


def test_another_allocator_is_not_asked_while_recording(device, to_gpu, agree):
    """CUDA's own asynchronous one would be recorded, and every launch would allocate."""
    f, cuda, asked = lambda x: mg.sum(mg.exp(x.T @ x), 0), device.xp.cuda, []
    x = RNG.standard_normal((700, 5)) / 10
    jitted, ours = mg.jit(f), to_gpu(x)

    def malloc(size):
        asked.append(cuda.get_current_stream() == cuda.Stream.null)
        return device.xp.get_default_memory_pool().malloc(size)

    with cuda.using_allocator(malloc):
        for _ in range(5):
            agree(jitted(ours), f(x))
    assert asked and all(asked)


def test_a_donated_argument_that_moves_is_updated_where_it_is_then(device, to_gpu, agree):
    f = lambda p, x: (p * x - mg.sum(p), mg.sum(x))
    step = mg.jit(f, donate=0)
    states, x = [X, Y], to_gpu(X)
    ours = to_gpu(states)
    for _ in range(5):
        for i in (0, 1):  # two states in turn
            where = device.address(ours[i])
            (ours[i], total), (states[i], expected) = step(ours[i], x), f(states[i], X)
            assert device.address(ours[i]) == where
            agree((ours[i], total), (states[i], expected))


@pytest.mark.parametrize("donate", [(), 0, (0, 1)])
def test_one_array_as_two_arguments(to_gpu, agree, donate):
    f = lambda x, y: (x * 2 - y[::-1], y + x[:1])
    jitted = mg.jit(f, donate=donate)
    for number in range(6):
        x, y = to_gpu((X + number, Y))
        agree(jitted(x, x), f(X + number, X + number))
        agree(jitted(to_gpu(X), y), f(X, Y))


@pytest.mark.parametrize("donate", [(), (0, 1)])
def test_arrays_that_do_not_lie_in_one_piece(to_gpu, agree, donate):
    f = lambda x, y: (x + y, mg.sum(x * y, 0))
    jitted = mg.jit(f, donate=donate)
    views = [lambda x: x, lambda x: x[:, ::-1][:, ::-1], lambda x: x[::-1], lambda x: mg.concatenate([x, x], 1)[:, ::2]]
    for view, other in itertools.product(views, views[:2]):
        agree(jitted(view(to_gpu(X)), other(to_gpu(Y))), f(view(X), other(Y)))


def test_results_that_are_arguments_constants_and_twice_the_same(device, to_gpu, agree):
    outside = to_gpu(Y)
    f = lambda x, c: (
        x,
        x,
        x.T,
        c,
        c[::-1],
        mg.zeros_like(x),
        mg.broadcast_to(mg.zeros_like(x[0]) + c[0], (3000, 4)),
        2,
    )
    for donate in ((), 0):
        jitted = mg.jit(lambda x: f(x, outside), donate=donate)
        for number in range(5):
            results = jitted(to_gpu(X + number))
            agree(results, f(X + number, Y))
            results[0][...] = 7  # they are the caller's
            results[3][...] = 7
        agree(outside, Y)


def test_a_result_over_a_donated_argument_that_is_handed_out_twice_is_two_arrays(to_gpu, agree):
    def f(x):
        y = x * 2
        return y, y

    jitted = mg.jit(f, donate=0)
    for number in range(4):
        first, second = jitted(to_gpu(X + number))
        first[...] = 7
        agree(second, 2 * (X + number))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (0,), (3, 0), (70_000,), (257, 257)])
def test_small_empty_and_large_arrays(to_gpu, agree, shape):
    x = RNG.standard_normal(shape)
    f = lambda x, y: (mg.tanh(x) + y, mg.sum(x * y), mg.mean(mg.stack([x, y]), 0), x > y)
    jitted = mg.jit(f, donate=1)
    for number in range(5):
        agree(jitted(*to_gpu((x, x + number))), f(x, x + number))


def test_kinds_of_arguments_in_turn(to_gpu, agree):
    f = lambda x, y: (x * y, mg.sum(x), mg.where(x > y, x, y))
    jitted = mg.jit(f, donate=0)
    for _, shape, dtype in itertools.product(range(4), [(3,), (2, 3)], ["f4", "f8", "i4", "i8"]):
        x, y = ((9 * RNG.standard_normal(shape)).astype(dtype) for _ in range(2))
        agree(jitted(*to_gpu((x, y))), f(x, y), rtol=1e-6)


def test_a_prefix_of_a_donated_array_is_read_before_it_is_written_over(to_gpu, agree):
    f = lambda x: (x + 1, x[:2] * 2, x[0, 0] * 3)
    agree(mg.jit(f, donate=0)(to_gpu(X)), f(X))


def test_a_prefix_of_a_product_ends_no_product(to_gpu, agree):
    x, w, b = (RNG.standard_normal(shape) for shape in [(40, 8), (8, 70), (70,)])
    f = lambda x, w, b: (x @ w)[:3] + b
    agree(mg.jit(f)(*to_gpu((x, w, b))), f(x, w, b))


def test_a_donated_array_that_is_also_taken_from_outside_is_not_written_over(device):
    here = np.arange(5.0)
    there = device.from_host(here)
    step = mg.jit(lambda p: 2 * p + there[::-1], donate=0)
    for array in (there, *(device.from_host(here) for _ in range(4))):
        assert np.array_equal(device.to_host(step(array)), 2 * here + here[::-1])
        assert np.array_equal(device.to_host(there), here)


# What cannot be recorded


@pytest.mark.parametrize(
    "f",
    [
        lambda x: mg.einsum("ij,kj->ik", x, x),
        lambda x: mg.solve(mg.tile(x[:, :3], 1) + 9 * x[0, 0], x),
        lambda x: mg.argmax(x, 1),
        lambda x: mg.sort(x, 0),
        lambda x: mg.cumsum(x, 1),
        lambda x: mg.astype(x * 4, np.int64) @ mg.astype(x.T * 4, np.int64),  # only floats have kernels
        lambda x: mg.astype(x, np.float16) @ mg.astype(x.T, np.float16),
    ],
)
def test_what_cannot_be_recorded_runs_between_two_segments(to_gpu, agree, f):
    whole = lambda x: mg.tanh(f(mg.sin(x) * 2)) + 1
    jitted = mg.jit(whole)
    for number in range(5):
        agree(jitted(to_gpu(X + number)), whole(X + number), rtol=1e-2 if f(X).dtype == np.float16 else 1e-9)
    run = executor_of(jitted, to_gpu(X))
    assert not all(are_recordable(run)) and len(run._segments) >= 3


def test_a_classifier_is_one_recorded_segment(to_gpu, agree):
    loss = lambda w, x, hot: -mg.mean(mg.sum(mg.log_softmax(x @ w, 1) * hot, 1))
    f = lambda w, x, hot: w - 0.1 * mg.grad(loss)(w, x, hot)
    w, x, hot = RNG.standard_normal((3, 4)), RNG.standard_normal((6, 3)), np.eye(4)[np.arange(6) % 4]
    jitted, (ours, *rest) = mg.jit(f, donate=0), to_gpu((w, x, hot))
    for _ in range(4):
        ours, w = jitted(ours, *rest), f(w, x, hot)
        agree(ours, w)
    assert len(executor_of(jitted, ours, *rest)._segments) == 1


def test_a_program_of_nothing_recordable_and_of_nothing(to_gpu, agree):
    for f in (lambda x: mg.sort(x), lambda x: 3, lambda x: (x, x), lambda x: None):
        jitted = mg.jit(f)
        for _ in range(5):
            agree(jitted(to_gpu(X)), f(X))


# Errors, interrupts and threads


def test_an_error_in_the_middle_is_told_and_the_next_call_is_good(to_gpu, agree):
    f = lambda a, b: mg.exp(mg.solve(a * 2, b))
    jitted, good = mg.jit(f, donate=1), np.eye(4)
    for number in range(8):
        if number % 2:
            with pytest.raises(np.linalg.LinAlgError, match=r"solve\(float64\[4, 4\], float64\[4, 3\]\)"):
                jitted(*to_gpu((good * 0, X.T)))
        else:
            agree(jitted(*to_gpu((good, X.T))), f(good, X.T))


def test_a_recording_that_breaks_off_is_made_again(monkeypatch, to_gpu, agree):
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
    assert not executor_of(jitted, other)._arguments._buffers  # it is read where it is: nothing was bound to x any more


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


def test_two_functions_in_two_threads(to_gpu, agree):
    """Each records while the other one runs."""
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


def test_a_program_is_told_of_arguments_of_another_device(device, to_gpu):
    f = lambda x: mg.tanh(x) * 2
    for program, x in ((mg.trace(f)(X), to_gpu(X)), (mg.trace(f)(to_gpu(X)), X)):
        with pytest.raises(
            mg.DeviceError, match=r"the program computes on .*: move them there, with mg.to_device\(x, "
        ):
            program(x)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_warm_ups(to_gpu, agree, graphs, count):
    f, args = lambda x, y: mg.sum(mg.tanh(x) @ y.T, 0), to_gpu((X, Y))
    program = dataclasses.replace(mg.jit(f).program(*args), tuning=Tuning(warm_ups=count))
    for number in range(4):
        agree(program(*args), f(X, Y))
        assert len(graphs) == (number >= max(1, count))  # what is bound runs once as it is in any case


def test_results_of_the_host_among_those_of_the_device(to_gpu, agree):
    """Noise of a key that is no argument, as without a program."""
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


# Optimisers and derivatives


def test_adam_over_many_steps(to_gpu, agree):
    optimiser = adam(0.01)
    parameters = {"w": X, "b": Y[0], "s": np.float64(2) * np.ones(())}
    loss = lambda p, x: mg.mean((mg.relu(x @ p["w"] + p["b"]) * p["s"] - 1) ** 2)

    def step(p, state, x):
        value, gradient = mg.value_and_grad(loss)(p, x)
        return value, *optimiser.update(p, gradient, state)

    jitted, x = mg.jit(step, donate=(0, 1)), RNG.standard_normal((5, 3))
    state = tree.map(np.asarray, optimiser.init(parameters))
    ours, expected = to_gpu((parameters, state)), (parameters, state)
    for _ in range(8):
        value, *ours = jitted(*ours, to_gpu(x))
        wanted, *expected = step(*expected, x)
        agree((value, *ours), (wanted, *expected), rtol=1e-7)


@pytest.mark.parametrize(
    "f",
    [
        mg.grad(lambda x: mg.sum(mg.tanh(x) ** 3)),
        mg.hessian(lambda x: mg.sum(mg.softplus(x[0]) * x[1])),
        mg.jacobian(lambda x: mg.softmax(x[:2], 1)),
        lambda x: mg.jvp(lambda x: mg.logsumexp(x, 0), (x,), (x * 2,)),
        lambda x: mg.vjp(lambda x: mg.max(x, 1), x)[1](x[:, 0]),
        mg.grad(lambda x: mg.sum(mg.grad(lambda x: mg.sum(mg.erf(x) * x.T[:3, :3].sum()))(x) ** 2)),
        mg.grad(lambda x: mg.sum(mg.take(x, mg.argmax(x, 0), 0) ** 2)),
        mg.grad(lambda x: mg.sum(mg.pad(mg.roll(x, 1, 0), 1)[1:, ::-1] * mg.tile(x, (2, 2))[:4, :6])),
    ],
)
def test_derivatives(to_gpu, agree, f):
    jitted = mg.jit(f)
    for number in range(4):
        agree(jitted(to_gpu(X + number)), f(X + number))
