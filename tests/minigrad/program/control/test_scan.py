"""minigrad/program/control/scan.py: loops with a state, beside the same steps in Python and beside JAX."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks import check_grads
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.peers import PEERS
from tests.support.transfer import to_host

W, U, H, X = 0.5 * normal((3, 3)), normal((2, 3), 1), normal((3,), 2), normal((7, 2), 3)
ARGS = (W, U, H, X)


def cell(xp, w, u):
    def step(h, x):
        h = xp.tanh(h @ w + x @ u)
        return h, {"h": h, "size": xp.sum(h * h)}

    return step


def read_out(xp, last, ys):
    return xp.sum(xp.sin(ys["h"])) + xp.sum(last * ys["size"][3])


def looped(w, u, h, x, reverse=False, **options):
    return read_out(mg, *mg.scan(cell(mg, w, u), h, x, reverse=reverse, **options))


def unrolled(w, u, h, x, reverse=False):
    rows = [None] * x.shape[0]
    for i in reversed(range(len(rows))) if reverse else range(len(rows)):
        h, rows[i] = cell(mg, w, u)(h, x[i])
    return read_out(mg, h, {key: mg.stack([row[key] for row in rows]) for key in rows[0]})


def of(f):
    """Values and derivatives of f, by every transform and some nestings."""
    h2, x2 = np.stack([H, 2 * H]), np.stack([X, 2 * X], 1)
    return {
        "value": lambda: f(*ARGS),
        "gradient": lambda: mg.grad(f, (0, 1, 2, 3))(*ARGS),
        "jvp": lambda: mg.jvp(f, ARGS, tuple(normal(a.shape, 9) for a in ARGS))[1],
        "tangent of the weights alone": lambda: mg.jvp(lambda w: f(w, U, H, X), (W,), (W,))[1],
        "hvp": lambda: mg.hvp(lambda w: f(w, U, H, X), W, W),
        "hessian": lambda: mg.hessian(lambda h: f(W, U, h, X))(H),
        "third": lambda: mg.grad(lambda h: mg.sum(mg.hvp(lambda h: f(W, U, h, X), h, h)))(H),
        "vmap": lambda: mg.vmap(lambda h: f(W, U, h, X))(h2),
        "vmap of weights": lambda: mg.vmap(lambda w: f(w, U, H, X))(np.stack([W, 2 * W])),
        "vmap of gradient": lambda: mg.vmap(mg.grad(lambda w, x: f(w, U, H, x)), (None, 1))(W, x2),
        "gradient of vmap": lambda: mg.grad(lambda w: mg.sum(mg.vmap(lambda h: f(w, U, h, X))(h2) ** 2))(W),
        "gradient of checkpoint": lambda: mg.grad(mg.checkpoint(f), (0, 3))(*ARGS),
    }


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", of(None))
def test_a_loop_equals_its_steps(name, reverse):
    found = of(lambda *a: looped(*a, reverse))[name]
    expected = mg.tree.flatten(of(lambda *a: unrolled(*a, reverse))[name]())[0]
    for compute in (found, mg.jit(found)):
        for mine, truth in zip(mg.tree.flatten(compute())[0], expected, strict=True):
            assert_close(mine, truth)
    if not reverse:
        inside = of(mg.jit(looped))[name]()
        for mine, truth in zip(mg.tree.flatten(inside)[0], expected, strict=True):
            assert_close(mine, truth)


def test_programs_of_arguments(on_device):
    """Arguments vary from run to run, on the CPU and on a GPU."""
    step = mg.jit(mg.value_and_grad(looped, (0, 1, 2, 3)))
    for scale in (1.0, 0.5, -1.0, 2.0):
        args = tuple(scale * a for a in ARGS)
        value, gradients = step(*map(on_device, args))
        assert_close(to_host(value), unrolled(*args))
        for mine, truth in zip(gradients, mg.grad(unrolled, (0, 1, 2, 3))(*args)):
            assert_close(to_host(mine), truth)


def test_beside_jax():
    with PEERS["jax"]() as peer:
        loss = lambda w, u, h, x: read_out(peer.numpy, *peer.top.lax.scan(cell(peer.numpy, w, u), h, x))
        for mine, theirs in zip(mg.grad(looped, (0, 1, 2, 3))(*ARGS), peer.top.grad(loss, (0, 1, 2, 3))(*ARGS)):
            assert_close(mine, np.asarray(theirs))


def test_gradients_against_differences():
    assert check_grads(looped, ARGS, quiet=True).passed
    assert check_grads(lambda *a: looped(*a, reverse=True), ARGS, quiet=True).passed


@pytest.mark.parametrize(
    "f",
    [
        looped,
        mg.grad(looped, (0, 1)),
        mg.hessian(looped, 2),
        lambda w, *rest: mg.vmap(mg.grad(looped), (0, None, None, None))(mg.stack([w, w]), *rest),
    ],
)
def test_a_program_does_not_grow_with_the_steps(f):
    assert len({len(mg.jit(f).program(W, U, H, normal((n, 2)))) for n in (5, 50, 500)}) == 1


def test_the_instruction_is_printed_with_its_cost():
    program = mg.jit(looped).program(*ARGS)
    assert "call=scan of 7 × " in str(program)
    assert program.flops > 7 * 2 * (9 + 6)


@pytest.mark.parametrize("part", [1, 2, 4, 8])
def test_checkpoints_over_time(part):
    """The same numbers with less memory: states of some steps only."""
    x = normal((64, 2), 5)
    gradient = lambda **options: mg.jit(mg.grad(lambda w: looped(w, U, H, x, **options)))
    assert_close(gradient(checkpoint=8 * part)(W), gradient()(W))
    assert_close(mg.grad(lambda w: looped(w, U, H, x, reverse=True, checkpoint=part))(W),
                 mg.grad(lambda w: looped(w, U, H, x, reverse=True))(W))  # fmt: skip


def test_checkpoints_keep_fewer_states():
    x, h = np.ones((256, 1)), np.ones(1000)
    step = lambda h, x: (mg.sin(h) * x, None)
    kept = {}
    for part in (None, 16):
        f = mg.jit(mg.grad(lambda h, part=part: mg.sum(mg.scan(step, h, x, checkpoint=part)[0])))
        kept[part] = f.program(h).memory().intermediate
    assert kept[None] > 256 * h.nbytes and kept[16] < kept[None] / 4


def test_a_checkpointed_step_runs_again():
    """The same numbers in every transform with less memory, also for what the step takes from outside."""

    def loop(wrap):
        def f(w, h, x):
            scale = mg.sum(w)

            def step(h, x):
                inner = wrap(lambda h, x: (mg.tanh(mg.sin(mg.exp(mg.sin(w @ h * scale))) + x), 3))
                h, three = inner(h, x)
                return h, h * three

            h, ys = mg.scan(step, h, x)
            return mg.sum(h**2) + mg.sum(ys)

        return f

    plain, saved = loop(lambda f: f), loop(mg.checkpoint)
    args = (W, H, normal((9, 3), 6))
    gradient = lambda f: mg.grad(f, (0, 1, 2))
    for wrap in (
        gradient,
        lambda f: mg.jit(gradient(f)),
        lambda f: gradient(lambda *a: mg.jvp(f, a, args)[1]),
        lambda f: gradient(lambda *a: mg.sum(gradient(f)(*a)[0] ** 2)),
        lambda f: lambda w, h, x: mg.vmap(gradient(f), (None, 0, None))(w, mg.stack([h, 2 * h]), x),
        lambda f: gradient(lambda w, h, x: mg.sum(mg.vmap(f, (None, 0, None))(w, mg.stack([h, 2 * h]), x))),
    ):
        for mine, truth in zip(wrap(saved)(*args), wrap(plain)(*args), strict=True):
            assert_close(mine, truth)
    large = (np.eye(400), np.ones(400), np.ones((200, 400)))
    kept = [mg.jit(mg.grad(f, 1)).program(*large).memory().intermediate for f in (plain, saved)]
    assert kept[1] < 0.6 * kept[0]


def test_an_ordinary_differential_equation():
    """Runge–Kutta of ẏ = A·y, whose solution is e^(tA)·y₀; the gradient is e^(tA)ᵀ·g."""
    from scipy.linalg import expm

    a = np.array([[0.0, 1.0], [-4.0, -0.3]])
    steps, dt = 200, 0.01

    def solve(a, y):
        def step(y, _):
            k1 = a @ y
            k2 = a @ (y + dt / 2 * k1)
            k3 = a @ (y + dt / 2 * k2)
            k4 = a @ (y + dt * k3)
            return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

        return mg.scan(step, y, length=steps)[0]

    y, g = np.array([1.0, 0.5]), np.array([0.3, -0.7])
    assert np.abs(solve(a, y) - expm(a * steps * dt) @ y).max() < 1e-8
    for pull in (
        lambda y: mg.vjp(lambda y: solve(a, y), y)[1](g)[0],
        mg.jit(mg.grad(lambda y: mg.sum(solve(a, y) * g))),
    ):
        assert np.abs(pull(y) - expm(a * steps * dt).T @ g).max() < 1e-8
    jacobian = mg.jit(mg.jacobian(solve, 1, mode="forward"))(a, y)
    assert np.abs(jacobian - expm(a * steps * dt)).max() < 1e-8


def test_trees_counters_random_numbers_and_no_steps():
    def walk(state, key):
        step = mg.random.normal(key, (3,), np.float64)
        state = {"x": state["x"] + step, "n": state["n"] + 1}
        return state, (state["n"], step)

    keys = mg.random.split(mg.random.key(1), 5)
    for f in (lambda keys: mg.scan(walk, {"n": 0, "x": np.zeros(3)}, keys), None):
        f = f or mg.jit(lambda keys: mg.scan(walk, {"n": 0, "x": np.zeros(3)}, keys))
        last, (counts, steps) = f(keys)
        assert counts.tolist() == [1, 2, 3, 4, 5] and last["n"] == 5
        assert np.array_equal(steps, np.stack([mg.random.normal(k, (3,), np.float64) for k in keys]))
        assert_close(last["x"], steps.sum(0))
    last, ys = mg.scan(lambda s, x: (s, (x, s)), 1.0, X[:0])
    assert last == 1.0 and ys[0].shape == (0, 2) and ys[1].shape == (0,)
    assert mg.scan(lambda s, _: (s + 1, None), 0, length=4) == (4, None)


def nested(w):
    inner = lambda t, y: (mg.tanh(t @ w + y), mg.sum(t))
    return mg.sum(mg.scan(lambda s, x: mg.scan(inner, s, X[:3, :1] * x), H, X[:, 0])[1])


def nested_steps(w):
    total, t = 0.0, H
    for x in X[:, 0]:
        for y in X[:3, :1] * x:
            total, t = total + mg.sum(t), mg.tanh(t @ w + y)
    return total


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("part", [1, 2, 3, 6, 7, 8, 100])
def test_the_last_part_may_be_shorter(part, reverse):
    def f(w, x, **options):
        step = lambda s, row: ((mg.tanh(s[0] * w + row), s[1] + 1), {"y": s[0] * row, "n": s[1]})
        (s, n), ys = mg.scan(step, (np.full(2, 0.5), 0), x, reverse=reverse, **options)
        return mg.sum(s * w) + mg.sum(ys["y"] ** 2), (n, ys["n"])

    w, x = normal((2,)), normal((7, 2), 1)
    expected, counts = mg.grad(f, (0, 1), has_aux=True)(w, x)
    for wrap in (lambda g: g, mg.jit):
        found, same = wrap(lambda w, x: mg.grad(lambda w, x: f(w, x, checkpoint=part), (0, 1), has_aux=True)(w, x))(
            w, x
        )
        assert_close(found[0], expected[0])
        assert_close(found[1], expected[1])
        assert same[0] == counts[0] == 7 and np.array_equal(same[1], counts[1])
    nothing = mg.scan(lambda s, row: (s + row, row), 0.0, np.zeros(0), checkpoint=part)
    assert nothing[0] == 0.0 and nothing[1].shape == (0,)


def test_nested_loops():
    assert_close(nested(W), nested_steps(W))
    for gradient in (mg.grad(nested), mg.jit(mg.grad(nested)), lambda w: mg.vmap(mg.grad(nested))(w[None])[0]):
        assert_close(gradient(W), mg.grad(nested_steps)(W))
    assert_close(mg.jit(lambda w: mg.hvp(nested, w, w))(W), mg.hvp(nested_steps, W, W))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.scan(lambda s, x: (s, x), 0.0, X, checkpoint=0), ValueError, "a number of steps ≥ 1, got 0"),
        (lambda: mg.scan(3, 0.0, X), TypeError, "scan: needs a function, got 3"),
        (lambda: mg.scan(lambda s, x: s, 0.0, X), TypeError, r"must return \(state, y\), got float64"),
        (lambda: mg.scan(lambda s, x: (x, x), 0.0, X), ValueError, r"begins as np.float64\(0.0\), and the function"),
        (lambda: mg.scan(lambda s, x: ((s, s), x), 0.0, X), ValueError, "the state that the function returns has"),
        (lambda: mg.scan(lambda s, x: (s, x), 0.0), ValueError, "needs xs of one length, or a length ≥ 0; got xs none"),
        (lambda: mg.scan(lambda s, x: (s, x), 0.0, X, 3), ValueError, r"got xs float64\[7, 2\] and length 3"),
        (lambda: mg.scan(lambda s, x: (s, x), 0.0, (X, X[1:])), ValueError, "needs xs of one length"),
        (lambda: mg.scan(lambda s, x: (s, x), 0.0, None, -1), ValueError, "a length ≥ 0"),
        (lambda: mg.scan(lambda s, x: (s, x), 0.0, 3.0), ValueError, "xs need a first axis to loop over, got 3.0"),
        (lambda: mg.scan(lambda s, x: (s if s > 0 else -s, x), 0.0, X), mg.CaptureError, "or a loop: a program cannot"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_state_whose_parts_change_places():
    """Results that are views of the state itself."""
    f = mg.jit(lambda a, b, x: mg.scan(lambda s, x: ((s[1][::-1], s[0], s[2] + x), s[1]), (a, b, 0.0), x))
    a, b = normal((3,)), normal((3,), 1)
    for x in (np.arange(5.0), np.arange(5.0) + 1):
        (p, q, total), rows = f(a, b, x)
        c, d, expected = a, b, []
        for _ in x:
            expected.append(d)
            c, d = d[::-1], c
        assert np.array_equal(p, c) and np.array_equal(q, d) and total == x.sum()
        assert np.array_equal(rows, np.stack(expected))


def test_threads_can_share_a_program_with_a_loop():
    from concurrent.futures import ThreadPoolExecutor

    f = mg.jit(mg.grad(looped, 3))
    f(*ARGS)
    inputs = [normal(X.shape, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: f(W, U, H, x), inputs))
    for x, mine in zip(inputs, found):
        assert_close(mine, mg.grad(unrolled, 3)(W, U, H, x))
