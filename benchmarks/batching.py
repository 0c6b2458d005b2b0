"""Jacobians, Hessians and per-example gradients by `vmap`, beside PyTorch (`torch.func`) and JAX.

    jacobian    of y = V·tanh(W·x), 200 → 200 numbers, by reverse mode
    examples    the gradient of each of 128 examples of a network 64-64-10 with squared errors
    hessian     of Σ (V·tanh(W·x))² in 64 numbers, by forward over reverse mode
    draws       128 × 100 normal numbers with a key for each example (PyTorch has no keys)

All in float32 (the draws differ, as streams do; the rest is compared before timing). `ratio` is minigrad's median under
`mg.jit` over that of jitted JAX; the other columns are eager.

    python benchmarks/batching.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from common import ABSENT, fix_threads, import_peer, machine_facts, make_parser, measure, parse_options, ratio
from report import report

import minigrad as mg

TOLERANCE = 1e-4
torch = import_peer("torch")
jax = import_peer("jax")


# The functions, for any namespace with NumPy's names


def project(xp: Any, x: Any, w: Any, v: Any) -> Any:
    return xp.matmul(v, xp.tanh(xp.matmul(w, x)))


def energy(xp: Any, x: Any, w: Any, v: Any) -> Any:
    return xp.sum(project(xp, x, w, v) ** 2)


def loss(xp: Any, params: Any, x: Any, y: Any) -> Any:
    w, b, v, c = params
    return xp.sum((xp.matmul(xp.tanh(xp.matmul(x, w) + b), v) + c - y) ** 2)


def normal(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)


INPUTS: dict[str, tuple] = {
    "jacobian": (normal(0, 200), normal(1, 200, 200), normal(2, 200, 200)),
    "examples": (
        (normal(0, 64, 64), normal(1, 64), normal(2, 64, 10), normal(3, 10)),
        normal(4, 128, 64),
        normal(5, 128, 10),
    ),
    "hessian": (normal(0, 64), normal(1, 64, 64), normal(2, 64, 64)),
    "draws": (mg.random.split(mg.random.key(0), 128),),
}


# The competitors


def ours(case: str) -> Callable:
    return {
        "jacobian": lambda: mg.jacobian(lambda *a: project(mg, *a)),
        "examples": lambda: mg.vmap(mg.grad(lambda *a: loss(mg, *a)), (None, 0, 0)),
        "hessian": lambda: mg.hessian(lambda *a: energy(mg, *a)),
        "draws": lambda: mg.vmap(lambda key: mg.random.normal(key, (100,))),
    }[case]()


def in_jax(case: str) -> Callable:
    return {
        "jacobian": lambda: jax.jacrev(lambda *a: project(jax.numpy, *a)),
        "examples": lambda: jax.vmap(jax.grad(lambda *a: loss(jax.numpy, *a)), (None, 0, 0)),
        "hessian": lambda: jax.hessian(lambda *a: energy(jax.numpy, *a)),
        "draws": lambda: jax.vmap(lambda key: jax.random.normal(jax.random.wrap_key_data(key), (100,))),
    }[case]()


def in_torch(case: str) -> Callable | None:
    return {
        "jacobian": lambda: torch.func.jacrev(lambda *a: project(torch, *a)),
        "examples": lambda: torch.func.vmap(torch.func.grad(lambda *a: loss(torch, *a)), (None, 0, 0)),
        "hessian": lambda: torch.func.hessian(lambda *a: energy(torch, *a)),
        "draws": lambda: None,
    }[case]()


def competitors(case: str) -> dict[str, Callable[[], Any]]:
    inputs = INPUTS[case]
    eager, replayed = ours(case), mg.jit(ours(case))
    calls = {"minigrad": lambda: eager(*inputs), "minigrad, jit": lambda: replayed(*inputs)}
    if jax:
        compiled, arrays = jax.jit(in_jax(case)), jax.tree.map(jax.numpy.asarray, inputs)
        calls["JAX, jit"] = lambda: jax.block_until_ready(compiled(*arrays))
    if torch and (theirs := in_torch(case)):
        tensors = mg.tree.map(torch.tensor, inputs)
        calls["PyTorch"] = lambda: theirs(*tensors)
    return calls


def check_agreement(case: str, calls: dict[str, Callable[[], Any]]) -> None:
    """Exit with a message if a competitor differs from minigrad. A program is replayed from its second run on."""
    if case == "draws":
        calls = {who: call for who, call in calls.items() if who.startswith("minigrad")}
    expected = mg.tree.flatten(calls["minigrad"]())[0]
    for who, compute in [*calls.items(), *calls.items()]:
        for a, b in zip(mg.tree.flatten(compute())[0], expected, strict=True):
            if not np.abs(np.asarray(a) - b).max() <= TOLERANCE * np.abs(b).max():
                raise SystemExit(f"{case}: {who} differs from minigrad")


def main() -> None:
    options = parse_options(make_parser("batching", __doc__, rounds=40))
    results: dict[str, Any] = {"machine": machine_facts(options.threads, ("minigrad", "torch", "jax"))}
    with fix_threads(options.threads):
        for case in INPUTS:
            print(f"{case} …", file=sys.stderr, flush=True)
            calls = competitors(case)
            check_agreement(case, calls)
            entries: dict[str, Any] = measure(calls, options.rounds)
            entries |= {who: ABSENT for who in ("JAX, jit", "PyTorch") if who not in entries}
            results[case] = entries | {"ratio": ratio(entries, "minigrad, jit", ["JAX, jit"])}
    report("batching", "Batched derivatives", results, options)


if __name__ == "__main__":
    main()
