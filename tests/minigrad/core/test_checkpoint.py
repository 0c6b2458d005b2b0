"""Checkpoints: the same bits for less memory, at every order, with arguments and closures of any kind."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.programs import agree
from tests.support.transfer import to_host


def layer(x, w):
    return mg.tanh(x @ w)


def chain(x, w, wrap, depth=6):
    for _ in range(depth):
        x = wrap(layer)(x, w)
    return mg.sum(x * x)


def test_checkpoint_gives_the_same_bits(on_device):
    x, w = on_device((normal((4, 3)), normal((3, 3), 1)))
    plain = mg.value_and_grad(lambda x, w: chain(x, w, lambda f: f), (0, 1))(x, w)
    saved = mg.value_and_grad(lambda x, w: chain(x, w, mg.checkpoint), (0, 1))(x, w)
    for a, b in zip(tree.flatten(plain)[0], tree.flatten(saved)[0], strict=True):
        assert np.array_equal(to_host(a), to_host(b))


def test_checkpoint_at_every_order_and_in_every_mode(on_device):
    x, w = on_device((normal((2, 3)), 0.5 * normal((3, 3), 1)))
    plain = lambda w: chain(x, w, lambda f: f, 3)
    saved = lambda w: chain(x, w, mg.checkpoint, 3)
    t = on_device(normal((3, 3), 2))
    assert_close(to_host(mg.jvp(saved, (w,), (t,))[1]), to_host(mg.jvp(plain, (w,), (t,))[1]))
    assert_close(to_host(mg.hvp(saved, w, t)), to_host(mg.hvp(plain, w, t)))
    for f in (
        lambda g: mg.grad(lambda w: mg.sum(mg.grad(g)(w) * t)),
        lambda g: mg.grad(lambda w: mg.jvp(g, (w,), (t,))[1]),
        lambda g: mg.grad(lambda w: mg.sum(mg.hvp(g, w, t) * t)),
    ):
        assert_close(to_host(f(saved)(w)), to_host(f(plain)(w)))


def test_checkpoint_closing_over_traced_values(on_device):
    """Traced values that the function closes over get gradients too: inputs, intermediates, outer levels."""
    x, w = on_device((normal((3,)), normal((3,), 1)))

    def f(x, w, wrap):
        h = mg.sin(w)
        return mg.sum(wrap(lambda x: x * h + w * w)(x) * h)

    plain = mg.grad(lambda x, w: f(x, w, lambda g: g), (0, 1))(x, w)
    saved = mg.grad(lambda x, w: f(x, w, mg.checkpoint), (0, 1))(x, w)
    for a, b in zip(plain, saved, strict=True):
        assert_close(to_host(b), to_host(a))
    nested = lambda wrap: mg.grad(lambda w: mg.sum(mg.grad(lambda x: f(x, w, wrap))(x) ** 2))(w)
    assert_close(to_host(nested(mg.checkpoint)), to_host(nested(lambda g: g)))


def test_checkpoint_under_vmap_is_one_entry_of_the_tape(on_device):
    """The function of an example runs twice for all of them; weights and scales come from outside of it."""
    runs = []

    def f(x, w):
        runs.append(x.shape)
        for _ in range(4):
            x = mg.tanh(w @ x)
        return {"state": x, "shared": w * w, "number": 2}

    def loss(w, x, wrap):
        scale = mg.sum(w)

        def example(x, b):
            y = wrap(lambda x: f(x * b, w * scale))(x)
            return mg.sum(y["state"] * y["number"]) + mg.sum(y["shared"])

        return mg.sum(mg.vmap(example)(x, x[:, :1]) ** 2)

    w, x, t = on_device((0.5 * normal((3, 3)), normal((5, 3), 1), normal((3, 3), 2)))
    plain, saved = (lambda w, wrap=wrap: loss(w, x, wrap) for wrap in (lambda f: f, mg.checkpoint))
    expected = to_host(mg.grad(plain)(w))
    runs.clear()
    assert np.array_equal(to_host(mg.grad(saved)(w)), expected)
    assert runs == [(3,), (3,)]
    assert_close(to_host(mg.jit(mg.grad(saved))(w)), expected)
    assert_close(to_host(mg.hvp(saved, w, t)), to_host(mg.hvp(plain, w, t)))
    nested = mg.vmap(lambda x: mg.grad(lambda w: loss(w, x, mg.checkpoint))(w))(mg.stack([x, 2 * x]))
    assert_close(to_host(nested[0]), expected)
    with mg.Tape() as tape:
        loss(tape.watch(w), x, mg.checkpoint)
    assert [entry.title for entry in tape.entries if hasattr(entry, "title")] == ["checkpoint"]
    assert "tanh" not in str(tape)


def test_checkpoint_without_arguments(xp):
    x = xp.asarray([1.0, 2.0])
    assert to_host(mg.grad(lambda x: mg.sum(mg.checkpoint(lambda: x * x)()))(x)).tolist() == [2, 4]


def test_nested_checkpoints(on_device):
    x, w = on_device((normal((2, 3)), normal((3, 3), 1)))
    block = lambda wrap: lambda x, w: wrap(layer)(wrap(layer)(x, w), w)
    f = lambda outer, inner: lambda w: mg.sum(outer(block(inner))(outer(block(inner))(x, w), w) ** 2)
    keep = lambda g: g
    expected = to_host(mg.grad(f(keep, keep))(w))
    assert_close(to_host(mg.grad(f(mg.checkpoint, mg.checkpoint))(w)), expected)
    assert_close(to_host(mg.grad(f(mg.checkpoint, keep))(w)), expected)
    thrice = lambda w: mg.sum(mg.checkpoint(mg.checkpoint(mg.checkpoint(layer)))(x, w))
    assert_close(to_host(mg.grad(thrice)(w)), to_host(mg.grad(lambda w: mg.sum(layer(x, w)))(w)))


def test_checkpoint_with_trees_and_arguments_returned_unchanged(xp):
    x, w = xp.asarray([1.0, 2.0]), xp.asarray([3.0, 5.0])

    def f(p):
        y = p["x"] * p["w"]
        return {"y": y, "again": y, "x": p["x"], "constant": xp.ones(2), "none": None}

    def loss(x, w, wrap):
        out = wrap(f)({"x": x, "w": w})
        assert out["none"] is None
        return mg.sum(out["y"] * out["again"] * out["x"] + out["constant"])

    plain = mg.grad(lambda x, w: loss(x, w, lambda g: g), (0, 1))(x, w)
    saved = mg.grad(lambda x, w: loss(x, w, mg.checkpoint), (0, 1))(x, w)
    for a, b in zip(plain, saved, strict=True):
        assert np.array_equal(to_host(a), to_host(b))


def test_checkpoint_takes_keywords_and_non_array_arguments(xp):
    f = mg.checkpoint(lambda x, how, n=1, scale=1.0: scale * x**n if how == "power" else x)
    assert float(mg.grad(lambda x: f(x, "power", 3))(xp.asarray(2.0))) == 12
    assert float(mg.grad(lambda x: f(2.0, "power", n=2, scale=x))(xp.asarray(2.0))) == 4


def test_checkpoint_draws_the_same_numbers_again(xp, on_device):
    """A draw is a function of its key, so the backward pass sees the noise of the forward pass, bit for bit."""
    seen = []

    def noisy(x, key):
        noise = mg.random.normal(key, (1000,), dtype=np.float64)
        seen.append(to_host(noise))
        return x * noise

    key = on_device(mg.random.key(3))
    gradient = mg.grad(lambda x: mg.sum(mg.checkpoint(noisy)(x, key)))(xp.ones(1000))
    assert len(seen) == 2 and np.array_equal(*seen) and np.array_equal(to_host(gradient), seen[0])


def test_gradient_with_respect_to_a_checkpointed_result(xp):
    with mg.Tape() as tape:
        x = tape.watch(xp.asarray([1.0, 2.0]))
        h = mg.checkpoint(lambda x: x * x)(x)
        y = mg.sum(h * h)
    assert to_host(tape.gradient(y, h)).tolist() == [2, 8]
    assert to_host(tape.gradient(y, x)).tolist() == [4, 32]
    assert "checkpoint(f, %0)" in str(tape)


def peak_bytes(f, *args):
    """The peak of memory allocated while f runs."""
    f(*args)
    gc.collect()
    tracemalloc.start()
    f(*args)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def noisy_block(x, key):
    """A layer with several operations and noise that is drawn inside."""
    noise = mg.random.normal(key, x.shape, dtype=np.float64)
    return mg.tanh(mg.sin(x) * mg.cos(x) + 0.01 * noise * mg.exp(-x * x))


def noisy_chain(wrap, key, depth=50):
    """A function of x with `depth` blocks, each with its own noise."""

    def f(x):
        for i in range(depth):
            x = wrap(noisy_block)(x, mg.random.fold_in(key, i))
        return mg.sum(x * x)

    return f


def test_checkpoints_keep_the_bits_of_a_long_noisy_chain(on_device):
    """Value and gradient of 50 layers with 50 draws; another key gives another gradient."""
    x, key = on_device((normal((30,)), mg.random.key(1)))
    value, gradient = mg.value_and_grad(noisy_chain(lambda f: f, key))(x)
    saved_value, saved = mg.value_and_grad(noisy_chain(mg.checkpoint, key))(x)
    assert np.array_equal(to_host(value), to_host(saved_value)) and np.array_equal(to_host(gradient), to_host(saved))
    other = mg.grad(noisy_chain(mg.checkpoint, on_device(mg.random.key(2))))(x)
    assert not np.array_equal(to_host(other), to_host(saved))


def test_checkpoint_halves_the_peak_memory_of_a_long_chain(backend):
    if backend.name != "numpy":
        pytest.skip("tracemalloc measures host memory only")
    x, key = np.linspace(-1, 1, 20_000), mg.random.key(1)
    gradient = lambda wrap: lambda: mg.grad(noisy_chain(wrap, key))(x)
    plain, saved = peak_bytes(gradient(lambda f: f)), peak_bytes(gradient(mg.checkpoint))
    assert plain > 50 * 5 * x.nbytes / 2  # without checkpoints, several arrays are kept per layer
    assert saved < plain / 2, f"{saved / 1e6:.1f} MB with checkpoints, {plain / 1e6:.1f} MB without"
    assert np.array_equal(gradient(lambda f: f)(), gradient(mg.checkpoint)())


# In programs


def mixing_block(x, w):
    """A layer with a sum over all rows, so that a program cannot compute the chain part by part."""
    h = mg.sin(x @ w)
    h = h - mg.mean(h, axis=0)
    return mg.tanh(h) * mg.cos(h)


def mixing_chain(block, depth=50):
    """The gradient of a loss of `depth` blocks in both arguments."""

    def loss(x, w):
        for _ in range(depth):
            x = block(x, w)
        return mg.sum(x * x)

    return mg.grad(loss, (0, 1))


def in_blocks_of(size):
    """Checkpoints of `size` checkpointed blocks each, nested."""

    def several(x, w):
        for _ in range(size):
            x = mg.checkpoint(mixing_block)(x, w)
        return x

    return mg.checkpoint(several)


WRAPPED = {
    "arguments": mg.checkpoint(mixing_block),
    "closure": lambda x, w: mg.checkpoint(lambda x: mixing_block(x, w))(x),
    "closure only": lambda x, w: mg.checkpoint(lambda: mixing_block(x, w))(),
}


@pytest.mark.parametrize("block", WRAPPED.values(), ids=WRAPPED)
def test_a_program_of_a_long_checkpointed_chain_takes_half_the_memory(block, on_device):
    args = on_device((normal((64, 8)), normal((8, 8), 1) / 3))
    plain, saved = mg.jit(mixing_chain(mixing_block)), mg.jit(mixing_chain(block))
    for _ in range(3):
        for a, b in zip(plain(*args), saved(*args), strict=True):
            assert np.array_equal(to_host(a), to_host(b))
    memory = [jitted.program(*args).memory().intermediate for jitted in (plain, saved)]
    assert memory[1] <= memory[0] / 2, f"{memory[1]} bytes with checkpoints, {memory[0]} bytes without"


def test_a_program_of_nested_checkpoints_takes_less_memory_still(on_device):
    args = on_device((normal((64, 8)), normal((8, 8), 1) / 3))
    once, nested = mg.jit(mixing_chain(WRAPPED["arguments"], 48)), mg.jit(mixing_chain(in_blocks_of(8), 6))
    for a, b in zip(once(*args), nested(*args), strict=True):
        assert_close(to_host(b), to_host(a))
    memory = [jitted.program(*args).memory().intermediate for jitted in (once, nested)]
    assert memory[1] <= memory[0] / 2  # 6 + 8 layers are kept at a time, instead of 48


def test_a_program_draws_the_noise_of_a_checkpoint_again(on_device):
    """Also if the key is not an argument of the checkpointed function."""
    x, key = on_device((normal((64, 8)), mg.random.key(1)))

    def block(key):
        return lambda x: mg.tanh(x + mg.mean(x * mg.random.normal(key, x.shape, dtype=np.float64), 0))

    def chain(wrap):
        def loss(x, key):
            for i in range(50):
                x = wrap(block(mg.random.fold_in(key, i)))(x)
            return mg.sum(x * x)

        return mg.jit(mg.grad(loss))

    plain, saved = chain(lambda f: f), chain(mg.checkpoint)
    assert np.array_equal(to_host(plain(x, key)), to_host(saved(x, key)))
    draws = [[i.primitive.name for i in f.program(x, key).instructions].count("random_normal") for f in (plain, saved)]
    assert draws == [50, 100]


def test_programs_of_checkpoints_at_higher_orders(on_device):
    x, w = on_device((normal((16, 4)), normal((4, 4), 1) / 2))
    t = on_device(normal((4, 4), 2))

    def orders(block, depth=4):
        g = lambda w: mg.sum(mixing_chain(block, depth)(x, w)[1] * t)
        return lambda w: (g(w), mg.grad(g)(w), mg.jvp(g, (w,), (t,))[1])

    plain = orders(mixing_block)(w)
    for saved in (*map(orders, WRAPPED.values()), orders(in_blocks_of(2), 2)):
        for a, b in zip(plain, mg.jit(saved)(w), strict=True):
            assert_close(to_host(b), to_host(a))


def test_programs_of_checkpoints_agree_however_they_are_cut(way, on_device):
    args = on_device((normal((16, 4)), normal((4, 4), 1) / 2))
    for block in (*WRAPPED.values(), in_blocks_of(2)):
        f = mixing_chain(block, 3)
        jitted = mg.jit(f, tuning=way)
        for _ in range(2):
            assert agree(jitted(*args), f(*args), way)
