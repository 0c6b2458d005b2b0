"""minigrad/program/gpu/fusion.py: what becomes one launch, what is stored, in which order, and how products end."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends.cuda.codegen import Load, Loop
from minigrad.program.gpu import fusion
from minigrad.program.gpu.fusion import Fusion
from vae.optimisers import adam

X, WIDE = np.linspace(-1, 2, 12).reshape(3, 4), np.linspace(-2, 1, 20).reshape(4, 5)


def fused(device, f, *args) -> Fusion:
    """What is launched for f of these arrays on a device."""
    return Fusion(mg.jit(f).program(*mg.to_device(args, device.device)))


def launches(device, f, *args) -> list[str]:
    """The names of launches in their order."""
    made = [launch for level in fused(device, f, *args).levels for launch in level]
    return [launch.instruction.primitive.name if launch.instruction else "chain" for launch in made]


def loops(made: Fusion) -> list[Loop]:
    return [loop for level in made.levels for launch in level for loop in launch.loops]


def repeated(step, times):
    """x ↦ step(… step(x))."""

    def f(x):
        for _ in range(times):
            x = step(x)
        return x

    return f


# What is one launch


@pytest.mark.parametrize("times", [1, 2, 50, 2000])
def test_a_chain_is_one_launch_however_long(device, times):
    assert launches(device, repeated(lambda x: mg.sin(x + 1), times), X) == ["chain"]


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.T,
        lambda x: x[::-1, 1:3],
        lambda x: x[1],
        lambda x: x[:, 2],
        lambda x: x[:, None],
        lambda x: mg.reshape(x.T, (2, 6)),
        lambda x: mg.reshape(x, (2, 6)).T,
        lambda x: mg.broadcast_to(x[0], (7, 4)),
        lambda x: mg.depth_to_space(mg.reshape(x, (1, 1, 3, 4)), 2),
        mg.stop_gradient,
        lambda x: x[0, 0],
    ],
)
def test_a_chain_read_through_a_view_is_still_the_same_launch(device, view):
    """Nothing is moved: the number is computed where the view wants it. `view` of an input, and of a chain."""
    assert launches(device, lambda x: mg.exp(view(x)) * 2, X) == ["chain"]
    if view(X).size == X.size:
        assert launches(device, lambda x: view(x * 3) * 2, X) == ["chain"]


def test_several_results_are_one_launch_with_a_loop_for_each_count(device):
    made = fused(device, lambda x, y: (x + 1, y * 2, x * y[0, 0], y - 1), X, WIDE)
    assert [loop.count for loop in loops(made)] == [12, 20] and [len(loop.stores) for loop in loops(made)] == [2, 2]


def test_noise_is_made_where_it_is_used(device):
    key = mg.random.key(0)
    sampled = lambda k, mean, n: mean + 2 * mg.random.normal(k, (3, 4), np.float64, offset=n)
    assert launches(device, sampled, key, X, np.array(3)) == ["chain"]
    assert launches(device, sampled, key, X, np.array(3, np.int32)) == ["chain"]
    assert "random_normal" in launches(device, sampled, key, X, np.array(3, np.uint32))  # chains have no such numbers
    assert not any(loop.count == 12 for loop in loops(fused(device, lambda k: mg.random.split(k, 2), key)))


@pytest.mark.parametrize(("count", "launched"), [(2, 1), (60, 1), (125, 3)])
def test_an_update_of_many_tensors_is_one_launch_as_far_as_parameters_go(device, count, launched):
    """CUDA takes kernels with 4096 bytes of parameters: 512 arrays."""
    parameters = [np.ones(1 + i % 7, np.float32) for i in range(count)]
    optimiser = adam()
    step = lambda p, state: optimiser.update(p, list(map(mg.sort, p)), state)  # gradients that somebody else makes
    made = fused(device, step, parameters, optimiser.init(parameters))
    sizes = [len(launch.arguments) for level in made.levels for launch in level if launch.loops]
    assert max(sizes) <= 512
    assert len([n for n in sizes if n > 10]) == launched  # one before it computes the rates


def test_what_chains_cannot_compute_runs_by_itself(device):
    half, whole = X.astype(np.float16), np.arange(12).reshape(3, 4)
    assert launches(device, lambda x: x + x, half) == ["add"]
    assert launches(device, lambda x: mg.maximum(x, 2) + x, whole) == ["maximum", "chain"]
    assert launches(device, lambda x: x < 2**40, whole.astype(np.int32)) == ["less"]  # no int32 is that large
    assert launches(device, lambda x: x < 2**40, whole) == ["chain"]
    assert launches(device, lambda x: x < 2**70, whole) == ["less"]


# What is stored


def test_only_what_somebody_else_must_find_is_stored(device):
    made = fused(device, lambda x: mg.sum(mg.exp(x - 1) * 2) + 1, X)
    assert [len(loop.stores) for loop in loops(made)] == [1, 1]  # what the sum reads, and the result
    assert launches(device, lambda x: mg.sum(mg.exp(x - 1) * 2) + 1, X) == ["chain", "sum", "chain"]


def test_what_is_broadcast_is_computed_once(device):
    made = fused(device, lambda x: mg.exp(x[:, :1]) + x, X)
    assert [loop.count for loop in loops(made)] == [3, 12]


@pytest.mark.parametrize(
    "step",
    [
        lambda x: (x + x) * 0.5,
        lambda x: x * 0.25 + mg.tanh(x) * 0.5,
        lambda x: (x + x.T) * 0.5,
        lambda x: mg.where(x > 0, x[::-1], x[:, ::-1]),
    ],
)
def test_what_is_read_twice_does_not_double_the_work_each_time(device, step):
    made = fused(device, repeated(step, 60), WIDE[:4, :4])
    assert sum(len(loop.steps) for loop in loops(made)) < 60 * 20


@pytest.mark.parametrize(("shared", "longest"), [(0, 0), (0, 10**9), (1, 1), (10**9, 10**9)])
def test_how_much_is_stored_changes_no_number(device, monkeypatch, shared, longest):
    monkeypatch.setattr(fusion, "SHARED", shared)
    monkeypatch.setattr(fusion, "LONGEST", longest)
    f = mg.grad(lambda x: mg.sum(mg.tanh(x.T * 2)[:, :, None] * x[:, ::-1] + mg.exp(x[:1])))
    ours = mg.jit(f)(mg.to_device(X, device.device))
    np.testing.assert_allclose(device.to_host(ours), f(X), rtol=1e-12, atol=1e-12)


# Levels: nothing that is read may be written in the same launch


def assert_no_race(made: Fusion):
    """A launch reads nothing that it writes, and nothing that another one of its level writes."""
    for level in made.levels:
        written, read = set(), set()
        for launch in level:
            if launch.instruction is not None:
                written.add(launch.instruction.result)
                read |= set(made._roots(launch.instruction))
            for loop in launch.loops:
                written |= {launch.arguments[argument] for _, argument in loop.stores}
                read |= {launch.arguments[step.argument] for step in loop.steps if isinstance(step, Load)}
        assert not written & read


@pytest.mark.parametrize(
    ("f", "levels"),
    [
        (lambda x: (mg.exp(x), mg.exp(x) * 2), 1),  # number i of number i
        (lambda x: (mg.exp(x), mg.reshape(mg.exp(x), (12,)) * 2), 1),
        (lambda x: (mg.exp(x), mg.exp(x).T * 2), 2),  # number i of another
        (lambda x: (mg.exp(x), mg.exp(x)[:1] * 2), 2),  # the first numbers of more
        (lambda x: (mg.exp(x), mg.exp(x)[0, 0] * 2), 2),
        (lambda x: (mg.exp(x), mg.exp(x)[:, :, None] * x[0]), 2),
        (lambda x: mg.exp(x) + mg.sum(mg.exp(x)), 3),
    ],
)
def test_levels(device, f, levels):
    made = fused(device, f, X)
    assert len(made.levels) == levels
    assert_no_race(made)


def test_a_stored_number_that_another_index_asks_for_is_read_a_level_later(device):
    deep = repeated(lambda x: mg.tanh(x) + 1, 10)
    made = fused(device, lambda x: (deep(x), deep(x).T * 2), X)
    assert len(made.levels) == 2
    assert_no_race(made)


# Endings of products

W, B = np.linspace(-1, 1, 24).reshape(4, 6), np.linspace(-1, 1, 6)
IMAGES, BIAS = np.linspace(-1, 1, 75).reshape(1, 5, 5, 3), np.ones(8)
KERNEL = np.linspace(-1, 1, 216).reshape(3, 3, 3, 8)


def endings(device, f, *args):
    """(operands, relu, factor) of each product."""
    made = [launch.instruction for level in fused(device, f, *args).levels for launch in level if launch.instruction]
    return [
        (len(i.operands), i.params.get("relu", False), i.params.get("factor", 1))
        for i in made
        if i.primitive.name in ("matmul", "conv")
    ]


@pytest.mark.parametrize(
    ("f", "ending"),
    [
        (lambda x, w, b: x @ w + b, (3, False, 1)),
        (lambda x, w, b: b + x @ w, (3, False, 1)),
        (lambda x, w, b: mg.relu(x @ w + b), (3, True, 1)),
        (lambda x, w, b: mg.relu(mg.reshape(x @ w + b, (18,))), (3, True, 1)),
        (lambda x, w, b: mg.reshape(x @ w, (1, 3, 6)) + b, (3, False, 1)),
        (lambda x, w, b: mg.tanh(mg.relu(x @ w + b)), (3, True, 1)),
        (lambda x, w, b: mg.relu(x @ w + b) + b, (3, True, 1)),  # the bias may be read by others
        # near misses
        (lambda x, w, b: x @ w, (2, False, 1)),
        (lambda x, w, b: mg.relu(x @ w), (2, False, 1)),
        (lambda x, w, b: mg.relu(x @ w) + b, (2, False, 1)),
        (lambda x, w, b: x @ w - b, (2, False, 1)),
        (lambda x, w, b: x @ w + b[:1], (2, False, 1)),
        (lambda x, w, b: x @ w + b[::-1], (2, False, 1)),
        (lambda x, w, b: x @ w + b[:3, None], (2, False, 1)),
        (lambda x, w, b: x @ w + 1, (2, False, 1)),
        (lambda x, w, b: x @ w + b * 2, (2, False, 1)),
        (lambda x, w, b: (x @ w)[:2] + b, (2, False, 1)),
        (lambda x, w, b: (x @ w)[1:] + b, (2, False, 1)),
        (lambda x, w, b: (x @ w)[::-1] + b, (2, False, 1)),
        (lambda x, w, b: (x @ w)[None] + b[:2, None, None], (2, False, 1)),
        (lambda x, w, b: (x @ w + b, x @ w), (2, False, 1)),
        (lambda x, w, b: (x @ w + b) * (x @ w), (2, False, 1)),
        (lambda x, w, b: x @ w + x @ w, (2, False, 1)),
        (lambda x, w, b: x @ w + b.astype(np.float32), (2, False, 1)),
        # half of it
        (lambda x, w, b: (x @ w + b, mg.relu(x @ w + b)), (3, False, 1)),
        (lambda x, w, b: (x @ w + b) + b, (3, False, 1)),
        (lambda x, w, b: mg.relu((x @ w + b)[:2]), (3, False, 1)),
        (lambda x, w, b: mg.relu((x @ w + b).T), (3, False, 1)),
    ],
)
def test_endings_of_matrix_products(device, f, ending):
    assert endings(device, f, X, W, B) == [ending]
    there = mg.to_device((X, W, B), device.device)
    for ours, expected in zip(*(mg.tree.flatten(g)[0] for g in (mg.jit(f)(*there), f(X, W, B)))):
        np.testing.assert_allclose(device.to_host(ours), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("f", "ending"),
    [
        (lambda y, b: y + b, (3, False, 1)),
        (lambda y, b: mg.relu(y + b), (3, True, 1)),
        (lambda y, b: mg.depth_to_space(y + b), (3, False, 2)),
        (lambda y, b: mg.relu(mg.depth_to_space(y + b)), (3, True, 2)),
        (lambda y, b: mg.depth_to_space(mg.relu(y + b)), (3, True, 2)),
        (lambda y, b: mg.depth_to_space(y + b)[:, 1:], (3, False, 2)),
        (lambda y, b: mg.depth_to_space(y), (2, False, 1)),
        (lambda y, b: mg.depth_to_space(y[:, :2] + b), (2, False, 1)),
        (lambda y, b: mg.depth_to_space((y + b)[:, :2]), (3, False, 1)),
        (lambda y, b: mg.depth_to_space(mg.swapaxes(y + b, 1, 2)), (3, False, 1)),
        (lambda y, b: mg.depth_to_space(y, 2) + b[:2], (2, False, 1)),
        (lambda y, b: mg.depth_to_space(mg.tanh(y + b)), (3, False, 1)),
    ],
)
def test_endings_of_convolutions(device, f, ending):
    whole = lambda x, w, b: f(mg.conv2d(x, w), b)
    assert endings(device, whole, IMAGES, KERNEL, BIAS) == [ending]
    ours = mg.jit(whole)(*mg.to_device((IMAGES, KERNEL, BIAS), device.device))
    np.testing.assert_allclose(device.to_host(ours), whole(IMAGES, KERNEL, BIAS), rtol=1e-9, atol=1e-12)


def test_a_product_over_nothing_ends_all_the_same(device):
    there = mg.to_device((np.zeros((3, 0)), np.zeros((0, 6)), B), device.device)
    assert np.array_equal(device.to_host(mg.jit(lambda x, w, b: x @ w + b)(*there)), np.broadcast_to(B, (3, 6)))
