"""minigrad/program/gpu/executor.py: recorded programs on a device against the same functions on the host."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from tests.support.programs import executor_of
from vae import training
from vae.config import Config
from vae.optimisers import adam
from vae.trainer import make_trainer

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))


def find_recordable(run) -> list[bool]:
    """For each launch, whether it can be recorded."""
    return [bound.recordable for bound in run._bound]


# A whole training step


@pytest.fixture(scope="module")
def steps(device):
    """Eight training steps of a VAE, on the host and on the device: (trainer, step, last state, losses, last batch)."""
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


def test_a_step_of_a_vae_agrees_with_the_host(steps, agree):
    (_, _, state, losses, _), (_, _, state_there, losses_there, _) = steps
    np.testing.assert_allclose(losses_there, losses, rtol=1e-4)
    agree(state_there.parameters, state.parameters, rtol=2e-3)


def test_a_step_of_a_vae_is_one_recorded_segment(steps):
    _, advance, state, _, batch = steps[1]
    run = executor_of(advance, state.parameters, state.optimiser, state.total, batch)
    assert len(run._segments) == 1 and all(find_recordable(run))
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


def test_memory_counts_what_a_run_holds(to_gpu):
    x = np.ones((100, 100))
    f = lambda x, w: (mg.sum(mg.exp(x) @ w + 1), x * 2)
    program = mg.jit(f).program(*to_gpu((x, x)))
    memory = program.memory()
    assert memory.intermediate == 2 * 80_000 + 64 + 80_000  # operands and results of products; x·2 until it is returned
    assert memory.results == 8 + 80_000 and str(memory).startswith("intermediate 0.240 MB, results 0.080 MB")
    donating = mg.jit(f, donate=0).program(*to_gpu((x, x)))
    assert donating.memory().results == 8 and donating.memory().total < memory.total


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
def test_an_instruction_that_cannot_be_recorded_runs_between_two_segments(to_gpu, agree, f):
    whole = lambda x: mg.tanh(f(mg.sin(x) * 2)) + 1
    jitted = mg.jit(whole)
    for number in range(5):
        agree(jitted(to_gpu(X + number)), whole(X + number), rtol=1e-2 if f(X).dtype == np.float16 else 1e-9)
    run = executor_of(jitted, to_gpu(X))
    assert not all(find_recordable(run)) and len(run._segments) >= 3


def test_a_classifier_is_one_recorded_segment(to_gpu, agree):
    loss = lambda w, x, hot: -mg.mean(mg.sum(mg.log_softmax(x @ w, 1) * hot, 1))
    f = lambda w, x, hot: w - 0.1 * mg.grad(loss)(w, x, hot)
    w, x, hot = RNG.standard_normal((3, 4)), RNG.standard_normal((6, 3)), np.eye(4)[np.arange(6) % 4]
    jitted, (ours, *rest) = mg.jit(f, donate=0), to_gpu((w, x, hot))
    for _ in range(4):
        ours, w = jitted(ours, *rest), f(w, x, hot)
        agree(ours, w)
    assert len(executor_of(jitted, ours, *rest)._segments) == 1


def test_programs_with_nothing_to_record(to_gpu, agree):
    for f in (lambda x: mg.sort(x), lambda x: 3, lambda x: (x, x), lambda x: None):
        jitted = mg.jit(f)
        for _ in range(5):
            agree(jitted(to_gpu(X)), f(X))


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
