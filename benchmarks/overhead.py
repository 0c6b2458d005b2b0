"""Overhead of one operation, on arrays so small (10 numbers) that arithmetic costs nothing.

Two programs, forward alone and with the gradient of all three inputs, in float64, beside HIPS/autograd, PyTorch (eager)
and plain NumPy, which has no gradient and shows the lower bound:

    chain   h ← a·tanh(h) + b, 200 times, then a sum: 601 operations
    mlp     h ← h W + b, h ← h / (1 + e⁻ʰ), 40 times, then Σ h²: 242 operations, h being a batch of one row

The cost of a gradient is its total time, forward pass included, divided by the number of *forward* operations.
`minigrad, jit` replays the captured program; `us_per_instruction` divides its time by the instructions of that program,
gradient included. All results are compared before timing. `ratio` is minigrad's median (eager) over autograd's.

    python benchmarks/overhead.py
    python benchmarks/overhead.py --profile      (where minigrad's time goes; measures nothing else)
"""

from __future__ import annotations

import cProfile
import pstats
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from common import ABSENT, fix_threads, import_peer, machine_facts, make_parser, measure, parse_options, ratio
from report import report

import minigrad as mg

SIZE, CHAIN, LAYERS = 10, 200, 40
TOLERANCE = 1e-10
torch = import_peer("torch")
autograd = import_peer("autograd")


# The programs, for any namespace with NumPy's functions


def chain(xp: Any, h: Any, a: Any, b: Any) -> Any:
    for _ in range(CHAIN):
        h = xp.tanh(h) * a + b
    return xp.sum(h)


def mlp(xp: Any, h: Any, w: Any, b: Any) -> Any:
    for _ in range(LAYERS):
        h = xp.matmul(h, w) + b
        h = h / (1 + xp.exp(-h))
    return xp.sum(h * h)


SHAPES = {"chain": ((SIZE,), (SIZE,), (SIZE,)), "mlp": ((1, SIZE), (SIZE, SIZE), (SIZE,))}
PROGRAMS = {"chain": (chain, 3 * CHAIN + 1), "mlp": (mlp, 6 * LAYERS + 2)}


def make_inputs(name: str) -> tuple[np.ndarray, ...]:
    """The three arrays a program starts from: standard normals over √10."""
    draw = np.random.default_rng(0).standard_normal
    return tuple(draw(shape) / SIZE**0.5 for shape in SHAPES[name])


# The competitors


def forward_calls(program: Callable, inputs: tuple) -> dict[str, Callable[[], Any]]:
    """Calls of the value alone."""
    replayed = mg.jit(lambda *given: program(mg, *given))
    calls = {
        "minigrad": lambda: program(mg, *inputs),
        "minigrad, jit": lambda: replayed(*inputs),
        "NumPy": lambda: program(np, *inputs),
    }
    if autograd:
        calls["autograd"] = lambda: program(autograd.numpy, *inputs)
    if torch:
        tensors = [torch.tensor(x) for x in inputs]
        calls["PyTorch"] = lambda: program(torch, *tensors)
    return calls


def gradient_calls(program: Callable, inputs: tuple) -> dict[str, Callable[[], Any]]:
    """Calls of the gradient with respect to all three inputs."""
    ours = mg.grad(lambda *given: program(mg, *given), argnums=(0, 1, 2))
    replayed = mg.jit(ours)
    calls = {"minigrad": lambda: ours(*inputs), "minigrad, jit": lambda: replayed(*inputs)}
    if autograd:
        theirs = autograd.grad(lambda *given: program(autograd.numpy, *given), argnum=(0, 1, 2))
        calls["autograd"] = lambda: theirs(*inputs)
    if torch:
        tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
        calls["PyTorch"] = lambda: torch.autograd.grad(program(torch, *tensors), tensors)
    return calls


def check_agreement(case: str, competitors: dict[str, Callable[[], Any]]) -> None:
    """Exit with a message if a competitor differs from minigrad."""
    expected = competitors["minigrad"]()
    for who, compute in competitors.items():
        for a, b in zip(_arrays(compute()), _arrays(expected), strict=True):
            if not np.abs(a - b).max() <= TOLERANCE * np.abs(b).max():
                raise SystemExit(f"{case}: {who} differs from minigrad: {a} instead of {b}")


def _arrays(result: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in (result if isinstance(result, tuple) else (result,))]


# Side by side


def count_instructions(kind: str, program: Callable, inputs: tuple) -> int:
    """The number of instructions of the captured program."""

    def f(*given):
        return program(mg, *given)

    return len(mg.jit(mg.grad(f, argnums=(0, 1, 2)) if kind == "gradient" else f).program(*inputs))


def run_case(
    case: str, competitors: dict[str, Callable], operations: int, captured: int, rounds: int
) -> dict[str, Any]:
    check_agreement(case, competitors)
    entries: dict[str, Any] = measure(competitors, rounds)
    for entry in entries.values():
        entry["us_per_operation"] = round(1e3 * entry["median_ms"] / operations, 4)
    replayed = entries["minigrad, jit"]
    replayed |= {"instructions": captured, "us_per_instruction": round(1e3 * replayed["median_ms"] / captured, 4)}
    entries |= {who: ABSENT for who in ("autograd", "PyTorch") if who not in entries}
    return entries | {"ratio": ratio(entries, "minigrad", ["autograd"])}


def profile(program: Callable, inputs: tuple, calls: int = 50, lines: int = 20) -> None:
    """Print the functions in which minigrad's gradient spends most time, without the functions they call."""
    gradient = gradient_calls(program, inputs)["minigrad"]
    gradient()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(calls):
        gradient()
    profiler.disable()
    pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(lines)


def main() -> None:
    parser = make_parser("overhead", __doc__, rounds=40)
    parser.add_argument("--profile", action="store_true", help="print a profile of minigrad's gradients instead")
    options = parse_options(parser)
    results: dict[str, Any] = {"machine": machine_facts(options.threads, ("minigrad", "autograd", "torch"))}
    with fix_threads(options.threads):
        for name, (program, operations) in PROGRAMS.items():
            inputs = make_inputs(name)
            if options.profile:
                print(f"{name}, gradient, {operations} operations, 50 calls")
                profile(program, inputs)
                continue
            for kind, competitors in (("forward", forward_calls), ("gradient", gradient_calls)):
                case = f"{name}, {kind}"
                print(f"{case} …", file=sys.stderr, flush=True)
                captured = count_instructions(kind, program, inputs)
                results[case] = run_case(case, competitors(program, inputs), operations, captured, options.rounds)
    if not options.profile:
        report("overhead", "Overhead on arrays of 10 numbers", results, options)


if __name__ == "__main__":
    main()
