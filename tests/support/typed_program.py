"""A user's program with the types of its values, which test_typing.py has type checkers read, and runs.

An ignored error is one that a checker must report: with strict settings, needless comments are errors, too.
"""

from typing import Any, NamedTuple, assert_type

import numpy as np
import numpy.typing as npt

import minigrad as mg

Array = npt.NDArray[np.float64]


class Params(NamedTuple):
    w: Array
    b: Array


def loss(p: Params, x: Array, scale: float = 1.0) -> Any:
    return mg.mean(mg.tanh(x @ p.w + p.b) ** 2) * scale


def total(p: Params, x: Array) -> np.float64:
    value: np.float64 = mg.sum(p.w) * mg.sum(x)
    return value


def counted(p: Params, x: Array) -> tuple[Any, dict[str, int]]:
    return loss(p, x), {"images": len(x)}


def double(x: Array) -> Array:
    return 2 * x


def add(state: Array, row: Array) -> tuple[Array, Array]:
    return state + row, state


@mg.custom_derivative
def logistic(x: float, scale: float) -> Any:
    return mg.log(1 + mg.exp(scale * x))


@logistic.jvp
def _(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    (x, scale), (t, s) = primals, tangents
    return logistic(x, scale), (t * scale + s * x) * mg.sigmoid(scale * x)


p = Params(np.ones((3, 2)), np.zeros(2))
x: Array = np.ones((4, 3))

# A gradient has the type of its argument, and takes the arguments of the function
assert_type(mg.grad(loss)(p, x, scale=2.0), Params)
assert_type(mg.grad(counted, has_aux=True)(p, x), tuple[Params, dict[str, int]])
assert_type(mg.value_and_grad(total)(p, x), tuple[np.float64, Params])
assert_type(mg.value_and_grad(counted, has_aux=True)(p, x), tuple[tuple[Any, dict[str, int]], Params])
assert_type(mg.grad(loss, (0, 1))(p, x), Any)
assert_type(mg.value_and_grad(total, 1)(p, x), tuple[np.float64, Any])
mg.grad(loss)
try:
    mg.grad(loss)(x, x)  # type: ignore[arg-type]
except AttributeError as error:
    assert "w" in str(error)
try:
    mg.grad(loss, 1)(p, x, factor=2.0)  # type: ignore[call-arg]
except TypeError as error:
    assert "factor" in str(error)

# Lambdas and operations need no annotations
mg.grad(mg.tanh)(1.0)
mg.grad(lambda x: x * mg.sin(x))(1.0)
mg.value_and_grad(lambda p: p["a"] * p["b"])({"a": 2.0, "b": 3.0})

y, pullback = mg.vjp(total, p, x)
assert_type(y, np.float64)
assert_type(pullback(np.float64(1.0)), tuple[Params, Array])
assert_type(mg.jvp(double, (x,), (x,)), tuple[Array, Array])
assert_type(mg.jacobian(double)(x[0]), Any)
assert_type(mg.hessian(mg.checkpoint(total), 1)(p, x), Any)
y2, push = mg.linearize(double, x)
assert_type(push(x), Array)
assert_type(mg.vmap(mg.grad(loss), in_axes=(None, 0))(p, x), Any)
assert_type(mg.grad(logistic, 1)(2.0, 1.0), Any)
assert_type(mg.grad(logistic)(2.0, 1.0), float)
assert_type(mg.hvp(lambda x: mg.sum(x**3), x, x), Array)
assert_type(mg.grad(mg.checkpoint(loss))(p, x), Params)


# Programs
@mg.jit
def update(p: Params, x: Array) -> Params:
    _, gradient = mg.value_and_grad(loss)(p, x)
    return Params(p.w - gradient.w, p.b - gradient.b)


assert_type(update(p, x), Params)
assert_type(update.program(p, x), mg.Program)
assert_type(mg.trace(loss)(p, x), mg.Program)
assert_type(mg.trace(x[:, :3]), Any)
assert_type(mg.grad(mg.jit(loss))(p, x), Params)
assert_type(mg.scan(add, x, x), tuple[Array, Any])
assert_type(mg.while_loop(lambda x: mg.sum(x) < 100, double, x), Array)
assert_type(mg.cond(True, double, double, x), Array)
step = mg.jit(mg.grad(loss), donate=0)
assert_type(step(Params(np.ones((3, 2)), np.zeros(2)), x), Params)

# Everything else
with mg.Tape() as tape:
    watched = tape.watch(3.0)
    print(tape.gradient(watched * np.sin(watched), watched))
key = mg.random.key(0)
noise = mg.random.normal(mg.random.fold_in(key, 1), (4, 2), dtype=np.float64)
report = mg.checks.check_grads(double, (x,), order=1, quiet=True)
assert_type(report, mg.checks.Report)
leaves, structure = mg.tree.flatten(p)
assert_type(mg.tree.unflatten(structure, leaves), Any)
