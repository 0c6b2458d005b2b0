"""Random programs: functions of matrices made of minigrad's operations, to test what transforms programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing.strategies import normal


class _Operation(NamedTuple):
    """An operation on matrices of one shape. Elements of size ≤ 2 give such elements, so that no program overflows."""

    text: str
    function: Callable
    kink: bool = False


UNARY = [
    _Operation("sin({})", mg.sin),
    _Operation("tanh({})", mg.tanh),
    _Operation("exp({}) / 4", lambda x: mg.exp(x) / 4),
    _Operation("softplus({}) / 2", lambda x: mg.softplus(x) / 2),
    _Operation("{} ** 2 / 2", lambda x: x**2 / 2),
    _Operation("-{}", lambda x: -x),
    _Operation("log1p({} ** 2)", lambda x: mg.log1p(x**2)),
    _Operation("({0} - mean({0}, 0)) / 2", lambda x: (x - mg.mean(x, 0)) / 2),
    _Operation("softmax({}, 1)", lambda x: mg.softmax(x, 1)),
    _Operation("tanh(logsumexp({0}, 0) - {0})", lambda x: mg.tanh(mg.logsumexp(x, 0) - x)),
    _Operation("tanh(cumsum({}, 0))", lambda x: mg.tanh(mg.cumsum(x, 0))),
    _Operation("reshape({0}.T, {0}.shape)", lambda x: mg.reshape(x.T, x.shape)),
    _Operation("flip({}, 1)", lambda x: mg.flip(x, 1)),
    _Operation("roll({}, 1, 0)", lambda x: mg.roll(x, 1, 0)),
    _Operation("({0}[[0, -1, 0]][1:2] - {0}) / 2", lambda x: (x[[0, -1, 0]][1:2] - x) / 2),
    _Operation("maximum({}, 0.3)", lambda x: mg.maximum(x, 0.3), kink=True),
    _Operation("sort({}, 0)", lambda x: mg.sort(x, 0), kink=True),
    _Operation("({0} - max({0}, 1, keepdims=True)) / 2", lambda x: (x - mg.max(x, 1, keepdims=True)) / 2, kink=True),
]
BINARY = [
    _Operation("({} + {}) / 2", lambda x, y: (x + y) / 2),
    _Operation("({} - {}) / 2", lambda x, y: (x - y) / 2),
    _Operation("{} * sin({})", lambda x, y: x * mg.sin(y)),
    _Operation("{} / (1 + {} ** 2)", lambda x, y: x / (1 + y**2)),
    _Operation("tanh({0} @ {1}.T @ {0})", lambda x, y: mg.tanh(x @ y.T @ x)),
    _Operation("at({})[0].set({}[-1])", lambda x, y: mg.at(x)[0].set(y[-1])),
    _Operation("concatenate([{}[1:], {}[:1]])", lambda x, y: mg.concatenate([x[1:], y[:1]])),
    _Operation("where({0} > {1}, {0}, {1})", lambda x, y: mg.where(x > y, x, y), kink=True),
]


@dataclass(frozen=True, eq=False)
class Expression:
    """A function of `count` matrices of one shape, which returns one more; printing it shows its lines."""

    count: int
    shape: tuple[int, int]
    steps: tuple[tuple[_Operation, tuple[int, ...]], ...]  # operations and the numbers of their operands
    seed: int

    def __call__(self, *args: Any) -> Any:
        values = list(args)
        for operation, operands in self.steps:
            values.append(operation.function(*[values[i] for i in operands]))
        return values[-1]

    def arguments(self) -> tuple[np.ndarray, ...]:
        """Arguments with elements between −2 and 2."""
        return tuple(2 * np.tanh(normal(self.shape, self.seed + i)) for i in range(self.count))

    def __repr__(self) -> str:
        lines = [f"# {self.count} arguments of shape {self.shape}, seed {self.seed}"]
        for number, (operation, operands) in enumerate(self.steps, self.count):
            lines.append(f"v{number} = {operation.text.format(*[f'v{i}' for i in operands])}")
        return "\n".join(lines)


@st.composite
def expressions(draw: Callable, max_steps: int = 8, max_side: int = 3, kinks: bool = False) -> Expression:
    """Random functions of one to three matrices (`Expression`); with `kinks`, some are not smooth everywhere."""
    count = draw(st.integers(1, 3))
    shape = (draw(st.integers(1, max_side)), draw(st.integers(1, max_side)))
    steps = []
    for number in range(count, count + draw(st.integers(1, max_steps))):
        operation = draw(st.sampled_from([o for o in UNARY + BINARY if kinks or not o.kink]))
        operands = (st.just(number - 1) if number > count else st.integers(0, number - 1), st.integers(0, number - 1))
        used = operands if operation in BINARY else operands[:1]
        steps.append((operation, tuple(draw(operand) for operand in used)))
    return Expression(count, shape, tuple(steps), draw(st.integers(0, 999)))
