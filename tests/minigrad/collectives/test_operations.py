"""minigrad/collectives/operations.py: values and derivatives against the sum over processes written in plain NumPy.

Every test computes on threads; the truth knows the values of all processes and uses no collectives.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.oracles import complex_step
from minigrad.collectives import (
    ShareError,
    all_gather,
    all_sum,
    broadcast,
    own,
    owned_nodes,
    rank,
    reduce_scatter,
    replicate,
    size,
    sum_shards,
)
from tests.support.collectives import on_ranks, tree_sum, watched
from tests.support.oracles import DIFFERENCE, assert_close, difference

X = np.array([1.5, 2.0, -0.7, 0.4])  # one for each process
SIZES = [1, 2, 3, 4]


def same_everywhere(results):
    """The result of every process, which must have the same bits everywhere."""
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0], strict=True)
    return results[0]


# Values


@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 4), (0,), (2000,)], ids=str)
@pytest.mark.parametrize("workers", SIZES)
def test_values(workers, shape):
    x = np.random.default_rng(0).standard_normal((workers, *shape))
    rows = np.random.default_rng(1).standard_normal((workers, workers, *shape))
    exact = lambda a, b: np.testing.assert_array_equal(np.asarray(a), b, strict=True)
    for r, (total, gathered, scattered, sent) in enumerate(
        on_ranks(
            lambda r: (all_sum(x[r]), all_gather(x[r]), reduce_scatter(rows[r]), broadcast(x[r], -1 % workers)), workers
        )
    ):
        exact(total, tree_sum(list(x)))
        exact(gathered, x)
        exact(scattered, tree_sum(list(rows[:, r])))
        exact(sent, x[-1])
    if shape == ():
        assert all(isinstance(each, np.float64) for each in (total, scattered, sent))


def test_numbers_and_trees():
    assert on_ranks(lambda r: float(all_sum(r + 0.5)), 3) == [4.5] * 3
    assert on_ranks(lambda r: all_sum([r, {"one": 1.5}]), 2) == [[1, {"one": 3.0}]] * 2
    assert on_ranks(lambda r: all_gather(r).tolist(), 2) == [[0, 1]] * 2
    assert on_ranks(lambda r: broadcast({"a": [r, -0.0 if r else 1.0]}, 1), 2) == [{"a": [1, 0.0]}] * 2
    assert on_ranks(lambda r: [np.signbit(x) for x in broadcast([-0.0, 0.0], r // 3)], 3) == [[True, False]] * 3
    assert on_ranks(lambda r: all_gather([r])[0].tolist(), 2) == [[0, 1]] * 2
    assert replicate(2) == own(2) == 2


def test_the_leaves_of_a_tree_are_summed_in_one_exchange_for_each_dtype():
    """With the same bits, dtypes and derivatives as one by one."""
    exact = lambda a, b: np.testing.assert_array_equal(np.asarray(a), b, strict=True)
    rng = np.random.default_rng(0)
    terms = [
        {"a": rng.standard_normal((3, 2)), "b": (rng.standard_normal(5).astype(np.float32), rng.standard_normal())}
        for _ in range(3)
    ]

    def work(r):
        with watched() as sent:
            total = all_sum(terms[r])
        slopes = mg.grad(lambda w: mg.sum(mg.sin(w["a"])) + w["b"][1] ** 2)(total)
        through = mg.grad(lambda w: (lambda t: mg.sum(mg.sin(t["a"])) + t["b"][1] ** 2)(all_sum(own(w))))(terms[r])
        return total, len(sent), slopes, through

    for total, exchanges, slopes, through in on_ranks(work, 3):
        assert exchanges == 2
        exact(total["a"], tree_sum([term["a"] for term in terms]))
        exact(total["b"][0], tree_sum([term["b"][0] for term in terms]))
        exact(total["b"][1], tree_sum([term["b"][1] for term in terms]))
        assert total["b"][0].dtype == np.float32
        exact(through["a"], slopes["a"])
        exact(through["b"][1], slopes["b"][1])
    with pytest.raises(ValueError, match="a term of a sum over processes has structure"):
        on_ranks(lambda r: sum_shards([{"a": 1.0}, {"b": 1.0}][: len(owned_nodes(8))], 8), 3)


def test_invalid_arguments():
    with pytest.raises(ValueError, match=r"needs one row for each of 1 processes, got .*2, 3"):
        reduce_scatter(np.ones((2, 3)))
    with pytest.raises(ValueError, match="needs one row"):
        reduce_scatter(1.0)
    for root in (1, -1):
        with pytest.raises(ValueError, match=f"there is no process {root} among 1"):
            broadcast(1.0, root)
    with pytest.raises(TypeError, match="broadcast: the root"):
        broadcast(1.0, 0.5)


@pytest.mark.parametrize(
    "x", [np.array([True, False]), np.array([-0.0, 1.0]), np.float32(-0.0), np.int8(-3), np.uint8(3)]
)
def test_broadcast_keeps_dtype_and_signs_of_zero(x):
    for found in on_ranks(lambda r: broadcast(x if r == 1 else np.zeros_like(x), 1), 3):
        assert found.dtype == x.dtype and found.tobytes() == x.tobytes()
    with pytest.raises(ValueError, match="this process owns 1 nodes of 4 shards, got 2"):
        sum_shards([1.0, 2.0], 4)
    with pytest.raises(ValueError, match="3 processes cannot share 2 shards"):
        on_ranks(lambda r: owned_nodes(2), 3)


# Derivatives of (w·x)²


@pytest.mark.parametrize("workers", SIZES)
def test_derivatives_of_a_square(workers):
    x, w, v = X[:workers], 0.824, -1.3
    f = lambda w: all_sum((replicate(w) * x[rank()]) ** 2)
    found = same_everywhere(
        on_ranks(
            lambda r: [f(w), mg.grad(f)(w), *mg.jvp(f, (w,), (v,)), mg.hessian(f)(w), mg.grad(mg.grad(f))(w)], workers
        )
    )
    square = np.sum(x * x)
    truth = [w * w * square, 2 * w * square, w * w * square, 2 * w * square * v, 2 * square, 2 * square]
    assert_close(found, truth)
    total = lambda w: np.sum((w * x) ** 2)
    assert_close(found[1], difference(total, (w,), (1.0,)), DIFFERENCE)


def test_the_table_in_the_documentation():
    """The gradient 10.3 of the sum, and what the two choices of an all-reduce would give."""
    x = X[:2]
    found = on_ranks(lambda r: mg.grad(lambda w: all_sum((replicate(w) * x[rank()]) ** 2))(0.824), 2)
    assert [round(float(g), 2) for g in found] == [10.3, 10.3]
    own_part = on_ranks(lambda r: mg.grad(lambda w: all_sum((own(w) * x[rank()]) ** 2))(0.824), 2)
    assert [round(float(g), 2) for g in own_part] == [3.71, 6.59]
    assert [round(float(2 * g), 2) for g in own_part] == [7.42, 13.18]


@pytest.mark.parametrize("workers", [2, 3])
def test_collectives_inside_collectives(workers):
    """The mean and the variance over processes, as in batch normalization."""
    x = X[:workers]

    def f(w):
        h = mg.sin(replicate(w) * x[rank()])
        mean = all_sum(h) / size()
        spread = all_sum((h - replicate(mean)) ** 2)
        return all_sum(mg.tanh((h - replicate(mean)) / replicate(spread)) * x[rank()])

    def total(w):
        h = np.sin(w * x)
        mean = np.sum(h) / workers
        return np.sum(np.tanh((h - mean) / np.sum((h - mean) ** 2)) * x)

    value, gradient, second = same_everywhere(
        on_ranks(lambda r: [f(0.8), mg.grad(f)(0.8), mg.grad(mg.grad(f))(0.8)], workers)
    )
    slope = lambda w: complex_step(total, (np.float64(w),), (np.float64(1),))
    assert_close(value, total(0.8))
    assert_close(gradient, slope(0.8))
    assert_close(second, difference(slope, (0.8,), (1.0,)), DIFFERENCE)


def test_a_result_that_each_process_has_its_own_of_is_differentiated_as_a_sum():
    x = X[:3]
    found = on_ranks(lambda r: mg.vjp(lambda w: mg.sin(replicate(w) * x[r]), 0.8)[1](X[r])[0], 3)
    assert_close(same_everywhere(found), np.sum(X[:3] * np.cos(0.8 * x) * x))


def test_check_grads_on_three_processes():
    rng = np.random.default_rng(4)
    data, w = rng.standard_normal((3, 4, 2)), rng.standard_normal(2)

    def f(w):
        h = mg.tanh(data[rank()] @ replicate(w))
        rows = reduce_scatter(mg.stack([h * (r + rank() - 1.5) for r in range(size())]))
        return {"sum": all_sum(rows * h), "all": all_gather(mg.sum(h) * rows), "one": broadcast(mg.sin(h), 1)}

    reports = on_ranks(lambda r: mg.checks.check_grads(f, (w,), order=2, quiet=True), 3)
    assert all(report.passed for report in reports)


# Random programs


class Ours:
    """What a program can do, on this process."""

    stack, sin, tanh, sum = staticmethod(mg.stack), staticmethod(mg.sin), staticmethod(mg.tanh), staticmethod(mg.sum)
    all_sum, replicate, gather = staticmethod(all_sum), staticmethod(replicate), staticmethod(all_gather)
    scatter, broadcast = staticmethod(reduce_scatter), staticmethod(broadcast)

    @staticmethod
    def each(f, *xs):
        return f(rank(), *xs)


class Plain:
    """The same in NumPy: of an own value, a list with that of each process."""

    stack, sin, tanh, sum = staticmethod(np.stack), np.sin, np.tanh, staticmethod(np.sum)

    def __init__(self, workers):
        self.workers = workers

    def each(self, f, *xs):
        return [f(r, *(x[r] for x in xs)) for r in range(self.workers)]

    def all_sum(self, xs):
        return sum(xs)

    def replicate(self, x):
        return [x] * self.workers

    def gather(self, xs):
        return np.stack(xs)

    def scatter(self, xs):
        return [sum(x[r] for x in xs) for r in range(self.workers)]

    def broadcast(self, xs, root):
        return xs[root]


SCALE = np.random.default_rng(5).uniform(0.4, 1.2, (4, 3)) * np.array([[1.0], [-1.0], [1.0], [-1.0]])
STEPS = st.tuples(
    st.sampled_from(["replicate", "sum", "gather", "scatter", "broadcast", "mix", "combine"]),
    st.integers(0, 100),
    st.integers(0, 100),
)


def run(steps, lib, workers, w, x):
    """(a shared number, an own array) computed from a shared array w and an own array x."""
    shared, mine = [w], [x]
    for kind, i, j in steps:
        a, b = shared[i % len(shared)], mine[i % len(mine)]
        if kind == "replicate":
            mine.append(lib.replicate(a))
        elif kind == "sum":
            shared.append(lib.all_sum(b) / workers)
        elif kind == "gather":
            shared.append(lib.sum(lib.sin(lib.gather(b)) * SCALE[:workers], 0))
        elif kind == "scatter":
            rows = lib.each(lambda r, b: lib.stack([b * SCALE[(s - r) % 4] for s in range(workers)]), b)
            mine.append(lib.scatter(rows))
        elif kind == "broadcast":
            shared.append(lib.broadcast(b, j % workers))
        elif kind == "mix":
            mine.append(lib.each(lambda r, b, c: lib.sin(b * SCALE[r]) + 0.5 * c, b, mine[j % len(mine)]))
        else:
            shared.append(lib.tanh(a) * shared[j % len(shared)])
    ends = lib.each(lambda r, *xs: lib.sum(lib.sin(sum(xs)) * SCALE[-1 - r]), *mine)
    return lib.all_sum(ends) + lib.sum(lib.tanh(sum(shared))), mine[-1]


@given(st.lists(STEPS, min_size=1, max_size=8), st.sampled_from(SIZES), st.integers(0, 2**32))
def test_random_programs(steps, workers, seed):
    rng = np.random.default_rng(seed)
    w, w_dot, x, x_dot, v = (rng.uniform(0.3, 1.2, (workers, 3)) * rng.choice([-1, 1], (workers, 3)) for _ in range(5))
    w, w_dot, u = w[0], w_dot[0], float(rng.choice([-1.3, 0.7]))  # v and u are cotangents
    plain = lambda w, *xs: run(steps, Plain(workers), workers, w, list(xs))
    total = lambda *args: np.concatenate([np.reshape(plain(*args)[0], 1), *plain(*args)[1]])
    value, slopes = total(w, *x), complex_step(total, (w, *x), (w_dot, *x_dot))
    weights = np.concatenate([[u], v.ravel()])
    gradients = []
    for i, arg in enumerate((w, *x)):
        units = [[(e if k == i else 0 * e) for k in range(workers + 1)] for e in np.eye(arg.size)]
        gradients.append([weights @ complex_step(total, (w, *x), unit) for unit in units])

    def derivatives(r):
        f = lambda w, x: run(steps, Ours, workers, w, own(x))
        pushed = mg.jvp(f, (w, x[r]), (w_dot, x_dot[r]))
        pull = lambda w, x: mg.vjp(f, w, x)[1]((np.float64(u), v[r]))
        w_bar, x_bar = pull(w, x[r])
        again = mg.jit(pull)(w, x[r])
        return [*pushed[0], *pushed[1], w_bar, x_bar, *again]

    found = on_ranks(derivatives, workers)
    for r, (y, z, y_dot, z_dot, w_bar, x_bar, *again) in enumerate(found):
        mine = slice(1 + 3 * r, 4 + 3 * r)
        assert_close([y, *z], [value[0], *value[mine]])
        assert_close([y_dot, *z_dot], [slopes[0], *slopes[mine]], what="jvp")
        assert_close(w_bar, gradients[0], what="the shared argument")
        assert_close(x_bar, gradients[1 + r], what="the own argument")
        assert_close(again, [w_bar, x_bar], what="jit")
    same_everywhere([[each[0], each[2], *each[4]] for each in found])
    left = found[0][2] * u + sum(each[3] @ v[r] for r, each in enumerate(found))
    right = found[0][4] @ w_dot + sum(each[5] @ x_dot[r] for r, each in enumerate(found))
    assert abs(left - right) <= 1e-12 * max(1, abs(left))


@given(st.lists(STEPS, min_size=1, max_size=5), st.sampled_from([2, 3]))
def test_second_derivatives_of_random_programs(steps, workers):
    rng = np.random.default_rng(len(steps))
    x, (w, v) = rng.standard_normal((workers, 3)), rng.standard_normal((2, 3))

    def products(r):
        f = lambda w: run(steps, Ours, workers, w, x[r])[0]
        gradient = mg.grad(f)
        other = mg.grad(lambda w: mg.sum(gradient(w) * v))
        return [mg.jvp(gradient, (w,), (v,))[1], other(w), mg.grad(lambda w: mg.jvp(f, (w,), (v,))[1])(w)]

    one, two, three = same_everywhere(on_ranks(products, workers))
    total = lambda w: run(steps, Plain(workers), workers, w, list(x))[0]
    slope = lambda w: np.array([complex_step(total, (w,), (e,)) for e in np.eye(3)])
    truth = difference(slope, (w,), (v,))
    for found in (one, two, three):
        assert_close(found, truth, DIFFERENCE)


# Checkpoints, tapes and printing


def layer(w, x):
    """A layer with the sum over processes inside."""
    return all_sum(mg.sin(replicate(w) * x) * replicate(w))


def slope_of_two_layers(w, x):
    """The derivative of layer(layer(w)) in plain NumPy, and its value."""
    one = lambda w: np.sum(np.sin(w * x) * w)
    return complex_step(lambda w: one(one(w)), (np.float64(w),), (np.float64(1),))


@pytest.mark.parametrize("workers", [1, 3])
def test_checkpoints(workers):
    x, truth = X[:workers], slope_of_two_layers(0.8, X[:workers])
    call = mg.checkpoint(lambda w: layer(w, x[rank()]))
    inner = mg.checkpoint(lambda w: call(call(w)))

    def gradients(r):
        return [mg.grad(lambda w: call(call(w)))(0.8), mg.grad(inner)(0.8), mg.jit(mg.grad(inner))(np.float64(0.8))]

    assert_close(same_everywhere(on_ranks(gradients, workers)), [truth] * 3)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("wrap", [lambda f: f, mg.checkpoint], ids=["plain", "checkpoint"])
def test_a_tape_while_it_records_and_afterwards(workers, wrap):
    x, truth = X[:workers], slope_of_two_layers(0.8, X[:workers])

    def gradients(r):
        call = wrap(lambda w: layer(w, x[r]))
        with mg.Tape() as tape:
            w = tape.watch(0.8)
            y = call(call(w))
            early = tape.gradient(y, w)
            more = layer(w, x[r])  # after the calls that ran again
            twice = tape.gradient(more + y, w)
        return [early, twice - tape.gradient(more, w), tape.gradient(y, w)]

    assert_close(same_everywhere(on_ranks(gradients, workers)), [truth] * 3)


def test_a_tape_and_a_program_show_the_operations():
    with mg.Tape() as tape:
        y = all_sum(replicate(tape.watch(2.0)) * 3)
    assert tape.gradient(y, y) == 1 and "all_sum" in str(tape) and "replicate" in str(tape)
    f, w = mg.grad(lambda w: all_sum(replicate(w) * 3)), np.float64(2)
    for program in (mg.trace(f)(w), mg.jit(f).program(w)):  # of the value, which others may need, and the gradient
        assert str(program).count("= all_sum") == 2


# Forgotten `replicate`

W = 0.8


def times_rank(w):
    return w * (rank() + 1.0)


def watch_and_sum(f):
    """f of a value that a tape watches."""
    with mg.Tape() as tape:
        return tape.gradient(f(tape.watch(W)), tape._reverse.watch(W))


FORGOTTEN = {
    "input": lambda: mg.grad(all_sum)(W),
    "through operations": lambda: mg.grad(lambda w: all_sum(mg.sin(mg.reshape(times_rank(w) + 1, (1,))))[0])(W),
    "one of two uses": lambda: mg.grad(lambda w: all_sum(times_rank(replicate(w)) * w))(W),
    "all_gather": lambda: mg.grad(lambda w: mg.sum(all_gather(times_rank(w))))(W),
    "reduce_scatter": lambda: mg.grad(lambda w: all_sum(reduce_scatter(mg.stack([w] * size()))))(W),
    "broadcast": lambda: mg.grad(lambda w: broadcast(times_rank(w)))(W),
    "sum_shards": lambda: mg.grad(lambda w: sum_shards([w for _ in owned_nodes(4)], 4))(W),
    "result of all_sum": lambda: mg.grad(lambda w: all_sum(times_rank(all_sum(replicate(w)))))(W),
    "result of all_gather": lambda: mg.grad(lambda w: all_sum(all_gather(replicate(w))[0]))(W),
    "result of broadcast": lambda: mg.grad(lambda w: all_sum(times_rank(broadcast(replicate(w)))))(W),
    "vjp": lambda: mg.vjp(all_sum, W),
    "second argument": lambda: mg.grad(lambda v, w: all_sum(replicate(v) * w), argnums=1)(W, W),
    "tree": lambda: mg.grad(lambda p: all_sum(replicate(p["a"]) * p["b"]))({"a": W, "b": W}),
    "outer derivative": lambda: mg.grad(lambda w: mg.grad(lambda v: all_sum(replicate(v) ** 2 * w))(W))(W),
    "inner derivative": lambda: mg.grad(lambda w: mg.grad(lambda v: all_sum(v**2 * replicate(w)))(W))(W),
    "inner tangent": lambda: mg.grad(lambda w: mg.jvp(lambda v: all_sum(v**3), (w,), (1.0,))[1])(W),
    "tangent": lambda: mg.grad(lambda w: mg.jvp(lambda v: all_sum(v), (2.0,), (w,))[1])(W),
    "forward over reverse": lambda: mg.jvp(mg.grad(lambda w: all_sum(w**3)), (W,), (1.0,)),
    "hessian": lambda: mg.hessian(lambda w: all_sum(times_rank(w) ** 2))(W),
    "cotangent of an own value": lambda: mg.grad(lambda w: mg.vjp(lambda v: replicate(v) ** 3, W)[1](w)[0])(W),
    "jit": lambda: mg.jit(mg.grad(lambda w: all_sum(times_rank(w))))(np.float64(W)),
    "derivative of jit": lambda: mg.grad(mg.jit(lambda w: all_sum(times_rank(w))))(np.float64(W)),
    "checkpoint": lambda: mg.grad(mg.checkpoint(lambda w: all_sum(times_rank(w))))(W),
    "around a checkpoint": lambda: mg.grad(lambda w: all_sum(mg.checkpoint(times_rank)(w)))(W),
    "around two": lambda: mg.grad(lambda w: all_sum(mg.checkpoint(lambda v: mg.checkpoint(times_rank)(v) * 2)(w)))(W),
    "closure of a checkpoint": lambda: mg.grad(lambda w: all_sum(mg.checkpoint(lambda v: v * w)(replicate(w))))(W),
    "result in a checkpoint": lambda: mg.grad(lambda w: all_sum(mg.checkpoint(lambda w: all_sum(replicate(w)))(w)))(W),
    "tape": lambda: watch_and_sum(all_sum),
}


@pytest.mark.parametrize("case", FORGOTTEN)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_forgotten_replicate_is_an_error(case, workers):
    with pytest.raises(ShareError, match=r"mg.collectives.replicate .* mg.collectives.own"):
        on_ranks(lambda r: FORGOTTEN[case](), workers)


def test_the_error_names_the_value():
    with pytest.raises(ShareError, match=r"the derivative of all_sum .* it would reach an input of the derivative"):
        mg.grad(lambda p: all_sum(replicate(p["a"]) * p["b"]))({"a": W, "b": W})
    with (
        pytest.raises(ShareError, match=r"the derivative of all_sum .* it would reach the input 'b', which"),
        mg.Tape() as t,
    ):
        p = t.watch({"a": W, "b": W})
        all_sum(replicate(p["a"]) * p["b"])
    with pytest.raises(ShareError, match=r"of all_gather .* the result of 'all_sum' at .*test_operations.py:\d+"):
        mg.grad(lambda w: all_gather(all_sum(replicate(w)))[0])(W)
    with pytest.raises(ShareError, match=r"a value made in 'checkpoint' at .*test_operations.py:\d+"):
        mg.grad(lambda w: all_sum(mg.checkpoint(lambda w: all_sum(replicate(w)))(w)))(W)


def mixed(w, h):
    """A checkpointed call with a shared and an own result."""
    return w * 2, mg.sin(h) * replicate(w)


CORRECT = {  # with the truth for two processes
    "own input": (lambda: mg.grad(lambda x: all_sum(own(x) ** 2))(W * (rank() + 1)), lambda r: 2 * W * (r + 1)),
    "value without a derivative": (lambda: mg.grad(lambda w: all_sum(X[rank()]) * w)(W), lambda r: X[0] + X[1]),
    "stopped": (lambda: mg.grad(lambda w: all_sum(mg.stop_gradient(w)) * w)(W), lambda r: 2 * W),
    "checkpointed replicate": (
        lambda: mg.grad(lambda w: all_sum(times_rank(mg.checkpoint(replicate)(w))))(W),
        lambda r: 3,
    ),
    "nested checkpoints": (
        lambda: mg.grad(mg.checkpoint(lambda w: all_sum(mg.checkpoint(lambda w: times_rank(replicate(w)))(w))))(W),
        lambda r: 3,
    ),
    "shared and own results of a call": (
        lambda: mg.grad(lambda w: all_sum(mg.checkpoint(mixed)(w, replicate(w))[1]))(W),
        lambda r: 2 * (np.cos(W) * W + np.sin(W)),
    ),
    "own argument of a call": (
        lambda: mg.grad(lambda w: all_sum(mg.checkpoint(times_rank)(replicate(w))))(W),
        lambda r: 3,
    ),
    "scattered": (
        lambda: mg.grad(lambda w: all_sum(reduce_scatter(mg.stack([times_rank(replicate(w))] * size()))))(W),
        lambda r: 6,
    ),
    "nested derivatives": (
        lambda: mg.grad(lambda w: mg.grad(lambda v: all_sum(times_rank(replicate(v) ** 3 * replicate(w))))(w))(W),
        lambda r: 27 * W * W,
    ),
    "forward over reverse": (
        lambda: mg.jvp(mg.grad(lambda w: all_sum(times_rank(replicate(w)) ** 3)), (W,), (1.0,))[1],
        lambda r: 54 * W,
    ),
    "reverse over forward": (
        lambda: mg.grad(lambda w: mg.jvp(lambda v: all_sum(replicate(v) ** 3), (w,), (1.0,))[1])(W),
        lambda r: 12 * W,
    ),
    "third": (lambda: mg.grad(mg.grad(mg.grad(lambda w: all_sum(replicate(w) ** 4))))(W), lambda r: 48 * W),
    "hessian": (lambda: mg.hessian(lambda w: all_sum(times_rank(replicate(w)) ** 2))(W), lambda r: 10),
    "shared cotangent": (
        lambda: mg.grad(lambda w: mg.vjp(lambda v: all_sum(times_rank(replicate(v))), W)[1](w)[0])(W),
        lambda r: 3,
    ),
    "intermediate value of a tape": (lambda: inner_gradient(), lambda r: 3),
}


def inner_gradient():
    """The derivative with respect to an intermediate value, replicated after it."""
    with mg.Tape() as tape:
        y = tape.watch(W) * 2
        z = all_sum(times_rank(replicate(y)))
    return tape.gradient(z, y)


@pytest.mark.parametrize("case", CORRECT)
def test_correct_programs_are_no_error(case):
    program, truth = CORRECT[case]
    for r, found in enumerate(on_ranks(lambda r: program(), 2)):
        assert_close(found, truth(r))
