"""Random programs on a device, recorded and not, against the same functions on the host."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backends.loops import Load
from minigrad.program.buffers import span
from minigrad.program.graph import Constant
from minigrad.program.lowering import GeneratedKernel

SMOOTH = "tanh sin sigmoid softplus erf square negative arctan expm1".split()
FIRM = "add subtract multiply maximum minimum hypot logaddexp arctan2".split()


@st.composite
def programs(draw):
    """A function of a key and float64 matrices, how many matrices it takes, and how many steps it has."""
    count, steps = draw(st.integers(1, 3)), []
    for number in range(draw(st.integers(4, 14))):
        pick = st.integers(0, count + number - 1)
        kind = draw(st.sampled_from("one two number view sum product random join where grad".split()))
        steps.append((kind, draw(pick), draw(pick), draw(st.integers(0, 23))))
    outputs = draw(st.lists(st.integers(0, count + len(steps) - 1), min_size=1, max_size=3))

    def f(key, *arrays):
        values = list(arrays)
        for kind, i, j, n in steps:
            values.append(_step(kind, values[i], values[j], n, key))
        return [*[values[i] for i in outputs], values[-1]], [mg.sin(x) + values[-1][0, 0] for x in arrays]

    return f, count, len(steps)


def _step(kind, x, y, n, key):
    """One more matrix, computed from x and y: its values stay moderate and do not jump."""
    rows, columns = x.shape
    if kind == "one":
        return getattr(mg, SMOOTH[n % len(SMOOTH)])(mg.clip(x, -4, 4))
    if kind == "two":
        return mg.tanh(getattr(mg, FIRM[n % len(FIRM)])(x[:1], y[:, :1]))
    if kind == "number":
        return [x * 0.5 + 1, 1 - x, x / 3, x**2 * 0.1, mg.astype(mg.astype(x, np.float32), np.float64)][n % 5]
    if kind == "view":
        return [x.T, x[::-1], x[:, ::-2], x[:2], x[:, :1], mg.reshape(x.T, (rows, columns)), mg.stop_gradient(x)][n % 7]
    if kind == "sum":
        return [mg.mean(x, n % 2, keepdims=True), mg.softmax(x, n % 2), mg.logsumexp(x, 1, keepdims=True)][n % 3]
    if kind == "product":
        product = x @ mg.tanh(x.T) * 0.2 if n % 2 else x @ y[:1, :1] if columns == 1 else x @ mg.ones_like(x.T)
        product = product + product[0] if n % 3 == 0 else product + mg.sum(y) * 0.1
        return mg.tanh(mg.relu(product) if n % 5 else product)
    if kind == "random":
        return x + mg.random.normal(
            mg.random.fold_in(key, n), (rows, columns), np.float64, offset=mg.astype(x[0, 0] > 0, np.int64)
        )
    if kind == "join":
        return [mg.concatenate([x, x[:1]]), mg.pad(x, 1), mg.roll(x, 1, 1), mg.sort(x, 0)][n % 4][:6, :6]
    if kind == "where":
        return mg.where(mg.isnan(x), 0.0, mg.maximum(x, mg.mean(y)))
    return mg.tanh(mg.grad(lambda x: mg.sum(mg.tanh(x) * mg.sum(x, 0) * x.T[:1, :1]))(x))


@pytest.mark.filterwarnings("ignore:.*encountered")
@given(made=programs(), data=st.data())
@settings(max_examples=15)
def test_random_programs(device, to_gpu, agree, made, data):
    """Called with the same arrays, new ones, ones with gaps in memory, earlier results, and one array twice.

    Some programs pass through float32 (see `_step`), so results agree to a hundred of its roundings.
    """
    f, count, length = made
    donate = data.draw(st.sets(st.integers(0, count - 1)))
    jitted, rng = mg.jit(f, donate=[1 + i for i in donate]), np.random.default_rng(length)
    shapes = [data.draw(st.sampled_from([(3, 4), (4, 4), (1, 5), (2, 1)])) for _ in range(count)]
    arrays = [rng.standard_normal(shape) for shape in shapes]
    key, ours, kept = mg.random.key(length), to_gpu(arrays), []
    key_there = to_gpu(key)
    for _ in range(7):
        expected, results = f(key, *arrays), jitted(key_there, *ours)
        agree(results, expected, rtol=1e-5)
        assert_no_race(jitted.program(key_there, *ours)._executor)
        kept.append((results[0], expected[0]))
        for pair in kept:
            agree(*pair, rtol=1e-5)
        for i in range(count):
            way = data.draw(st.sampled_from(["as it is", "handed back", "other", "elsewhere", "the first"]))
            if way == "handed back":
                ours[i], arrays[i] = results[1][i], np.array(expected[1][i])
            elif way == "the first" and 0 not in donate and shapes[i] == shapes[0]:
                ours[i], arrays[i] = ours[0], arrays[0]
            elif way == "elsewhere":
                ours[i] = to_gpu(np.repeat(arrays[i], 2, 1))[:, ::2]
            elif way == "other" or i in donate or any(ours[i] is ours[k] for k in donate):
                arrays[i] = rng.standard_normal(shapes[i])
                ours[i] = to_gpu(arrays[i])


def assert_no_race(run):
    """No launch reads what its level writes, except that element i of a loop may be read where it is written."""
    place = lambda x: span(run.backend, x)
    for level in run.levels:
        written, read = [], []
        for launch in level:
            if not isinstance(launch, GeneratedKernel):
                written.append((place(run._arrays[launch.result]), None))
                operands = map(run._array, launch.operands)
                read += [(place(x), launch) for x in operands if type(x) is run.backend.array_type and x.size]
                continue
            arrays = [x.value if isinstance(x, Constant) else run._arrays[x] for x in launch.arguments]
            for loop in launch.loops:
                written += [(place(arrays[argument]), loop) for _, argument in loop.stores]
                loads = [step for step in loop.steps if isinstance(step, Load)]
                read += [(place(arrays[step.argument]), loop if step.at is None else None) for step in loads]
        for ((begin, end), loop), (other, reader) in itertools.product(written, read):
            assert end <= other[0] or other[1] <= begin or (loop is not None and loop is reader)
        for ((begin, end), _), (other, _) in itertools.combinations(written, 2):
            assert end <= other[0] or other[1] <= begin
