"""Batched derivatives, loops and matrix decompositions, beside PyTorch (`torch.func`), JAX and HIPS/autograd.

    jacobian    of y = V·tanh(W·x), 200 → 200 numbers, by reverse mode
    examples    the gradient of each of 128 examples of a network 64-64-10 with squared errors
    hessian     of Σ (V·tanh(W·x))² in 64 numbers, by forward over reverse mode
    draws       128 × 100 normal numbers with a key for each example (PyTorch and autograd have no keys)
    loop        the gradient of a recurrent network, 64 wide, over 100 steps of a batch of 16: a scan here and in JAX,
                a Python loop elsewhere
    eigh, svd   the gradient of Σ vᵀ·V·λ² and of a weighted sum of U·s·Vᵀ, of 32 × 32 matrices

All in float32. Results are compared before timing, but for draws, whose streams differ. `ratio` is minigrad's median
under `mg.jit` over that of jitted JAX; PyTorch and autograd are eager.

    python benchmarks/transforms.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from common import ABSENT, fix_threads, import_peer, machine_facts, make_parser, measure, parse_options, ratio
from report import report

import minigrad as mg

TOLERANCE = 1e-3
torch = import_peer("torch")
jax = import_peer("jax")
autograd = import_peer("autograd")


# The functions, for any namespace with NumPy's names


def project(xp: Any, x: Any, w: Any, v: Any) -> Any:
    return xp.matmul(v, xp.tanh(xp.matmul(w, x)))


def energy(xp: Any, x: Any, w: Any, v: Any) -> Any:
    return xp.sum(project(xp, x, w, v) ** 2)


def loss(xp: Any, params: Any, x: Any, y: Any) -> Any:
    w, b, v, c = params
    return xp.sum((xp.matmul(xp.tanh(xp.matmul(x, w) + b), v) + c - y) ** 2)


def recur(xp: Any, h: Any, x: Any, w: Any, u: Any) -> Any:
    return xp.tanh(xp.matmul(h, w) + xp.matmul(x, u))


def unroll(xp: Any, w: Any, u: Any, h: Any, xs: Any) -> Any:
    for x in xs:
        h = recur(xp, h, x, w, u)
    return xp.sum(h**2)


def scan(xp: Any, loop: Callable, w: Any, u: Any, h: Any, xs: Any) -> Any:
    return xp.sum(loop(lambda h, x: (recur(xp, h, x, w, u), None), h, xs)[0] ** 2)


def spectral(xp: Any, linalg: Any, a: Any, v: Any) -> Any:
    values, vectors = linalg.eigh(a + xp.swapaxes(a, 0, 1))
    return xp.sum(xp.matmul(vectors * values**2, xp.swapaxes(vectors, 0, 1)) * v)


def singular(xp: Any, linalg: Any, a: Any, v: Any) -> Any:
    left, values, right = linalg.svd(a, full_matrices=False)
    return xp.sum(xp.matmul(left * values**3, right) * v)


def normal(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)


NETWORK = (normal(0, 64, 64), normal(1, 64), normal(2, 64, 10), normal(3, 10))
MATRICES = (normal(0, 32, 32), normal(1, 32, 32))
INPUTS: dict[str, tuple] = {
    "jacobian": (normal(0, 200), normal(1, 200, 200), normal(2, 200, 200)),
    "examples": (NETWORK, normal(4, 128, 64), normal(5, 128, 10)),
    "hessian": (normal(0, 64), normal(1, 64, 64), normal(2, 64, 64)),
    "draws": (mg.random.split(mg.random.key(0), 128),),
    "loop": (normal(0, 64, 64), normal(1, 64, 64), normal(2, 16, 64), normal(3, 100, 16, 64)),
    "eigh": MATRICES,
    "svd": MATRICES,
}


# The competitors


def ours(case: str) -> Callable:
    return {
        "jacobian": lambda: mg.jacobian(partial(project, mg)),
        "examples": lambda: mg.vmap(mg.grad(partial(loss, mg)), (None, 0, 0)),
        "hessian": lambda: mg.hessian(partial(energy, mg)),
        "draws": lambda: mg.vmap(lambda key: mg.random.normal(key, (100,))),
        "loop": lambda: mg.grad(partial(scan, mg, mg.scan), (0, 1)),
        "eigh": lambda: mg.grad(partial(spectral, mg, mg)),
        "svd": lambda: mg.grad(partial(singular, mg, mg)),
    }[case]()


def in_jax(case: str) -> Callable:
    xp = jax.numpy
    return {
        "jacobian": lambda: jax.jacrev(partial(project, xp)),
        "examples": lambda: jax.vmap(jax.grad(partial(loss, xp)), (None, 0, 0)),
        "hessian": lambda: jax.hessian(partial(energy, xp)),
        "draws": lambda: jax.vmap(lambda key: jax.random.normal(jax.random.wrap_key_data(key), (100,))),
        "loop": lambda: jax.grad(partial(scan, xp, jax.lax.scan), (0, 1)),
        "eigh": lambda: jax.grad(partial(spectral, xp, xp.linalg)),
        "svd": lambda: jax.grad(partial(singular, xp, xp.linalg)),
    }[case]()


def in_torch(case: str) -> Callable | None:
    func = torch.func
    return {
        "jacobian": lambda: func.jacrev(partial(project, torch)),
        "examples": lambda: func.vmap(func.grad(partial(loss, torch)), (None, 0, 0)),
        "hessian": lambda: func.hessian(partial(energy, torch)),
        "draws": lambda: None,
        "loop": lambda: func.grad(partial(unroll, torch), (0, 1)),
        "eigh": lambda: func.grad(partial(spectral, torch, torch.linalg)),
        "svd": lambda: func.grad(partial(singular, torch, torch.linalg)),
    }[case]()


def in_autograd(case: str) -> Callable | None:
    xp = autograd.numpy
    return {
        "jacobian": lambda: autograd.jacobian(partial(project, xp)),
        "hessian": lambda: autograd.hessian(partial(energy, xp)),
        "loop": lambda: lambda *args: tuple(autograd.grad(partial(unroll, xp), i)(*args) for i in (0, 1)),
        "eigh": lambda: autograd.grad(partial(spectral, xp, xp.linalg)),
        "svd": lambda: autograd.grad(partial(singular, xp, xp.linalg)),
    }.get(case, lambda: None)()


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
    if autograd and (others := in_autograd(case)):
        calls["autograd"] = lambda: others(*inputs)
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
    options = parse_options(make_parser("transforms", __doc__, rounds=40))
    results: dict[str, Any] = {"machine": machine_facts(options.threads, ("minigrad", "torch", "jax", "autograd"))}
    with fix_threads(options.threads):
        for case in INPUTS:
            print(f"{case} …", file=sys.stderr, flush=True)
            calls = competitors(case)
            check_agreement(case, calls)
            entries: dict[str, Any] = measure(calls, options.rounds)
            entries |= {who: ABSENT for who in ("JAX, jit", "PyTorch", "autograd") if who not in entries}
            results[case] = entries | {"ratio": ratio(entries, "minigrad, jit", ["JAX, jit"])}
    report("transforms", "Batches, loops and decompositions", results, options)


if __name__ == "__main__":
    main()
