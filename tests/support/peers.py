"""minigrad, PyTorch, JAX and HIPS/autograd behind one interface: values and derivatives of a function of arrays.

A case of the catalogue has a spelling for each library: the path of a function, `"nn.functional.elu"`, or a function of
a namespace and arrays, `lambda xp, x: xp.sum(x, 1)`. NumPy's spelling starts at the namespace with NumPy's names
(`torch`, `jax.numpy`, `autograd.numpy`), a spelling of the library's own at its top module. Everything is float64;
peers run on the CPU.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks.catalogue import Case
from minigrad.checks.catalogue.operation import Spelling, spell
from tests.support.environment import is_installed, optional
from tests.support.oracles import EPS
from tests.support.transfer import to_host

Arrays = Sequence[np.ndarray]


class Compared(Protocol):
    """A row that a test runs with each peer: a case, and other data of the test."""

    name: str
    case: Case


def spelling_of(case: Case, who: str) -> Spelling:
    """The spelling of a case in a library; None if the library lacks it."""
    return case.own.get(who, case.spelling)


class Derivatives(NamedTuple):
    """The compared values, for y = f(x₁, …), a cotangent u and tangents v: tuples of NumPy arrays."""

    value: tuple  # y
    vjp: tuple  # uᵀJ, one array per argument
    jvp: tuple  # J v; empty without forward mode
    second: tuple  # the Hessian of ⟨u, f⟩ times v, one array per argument

    @classmethod
    def of(cls, convert: Callable, *parts: Iterable) -> Derivatives:
        return cls(*[tuple(convert(x) for x in part) for part in parts])


TOLERANCE = 1e-10  # of the largest entry


def disagreements(ours: Derivatives, theirs: Derivatives) -> list[str]:
    """A message for each array that differs by more than the tolerance, plus one rounding of the vjp for `second`."""
    largest = lambda arrays: max((float(np.max(np.abs(x), initial=0.0)) for x in arrays), default=0.0)
    found = []
    for kind in Derivatives._fields:
        spared = EPS * largest(theirs.vjp) if kind == "second" else 0.0
        for i, (a, b) in enumerate(zip(getattr(ours, kind), getattr(theirs, kind), strict=True)):
            assert a.shape == b.shape, f"{kind} {i}: shape {a.shape}, theirs {b.shape}"
            error, allowed = largest([a - b]), TOLERANCE * largest([b]) + spared
            if not error <= allowed:
                found.append(f"{kind} {i}: off by {error:.3g}, allowed {allowed:.3g}")
    return found


# Libraries


class Library(ABC):
    """minigrad or a peer: its top module, and its namespace with NumPy's names."""

    def __init__(self, top: ModuleType, numpy: ModuleType):
        self.top, self.numpy, self.name = top, numpy, top.__name__

    def function(self, case: Case) -> Callable:
        """A case in this library's spelling, as a function of its arguments."""
        namespace, constants = self.top if self.name in case.own else self.numpy, map(self.array, case.constants)
        f, after = spell(spelling_of(case, self.name), namespace), (*constants, *case.params)
        return lambda *xs: f(*xs, *after, **case.named)

    @abstractmethod
    def array(self, x: np.ndarray) -> Any:
        """A NumPy array as one of this library."""

    @abstractmethod
    def derivatives(self, f: Callable, args: Arrays, u: np.ndarray, v: Arrays, forward: bool = True) -> Derivatives:
        """All compared values, jvp only if `forward`. `f` takes and returns the library's own arrays."""


class Minigrad(Library):
    """minigrad on the device that `move` moves arrays to: both modes, and forward over reverse."""

    def __init__(self, move: Callable):
        super().__init__(mg, mg)
        self.move = move

    def array(self, x: np.ndarray) -> Any:
        return self.move(np.asarray(x))

    def function(self, case: Case) -> Callable:
        constants = [self.array(c) for c in case.constants]
        return lambda *xs: case.function(*xs, *constants)

    def derivatives(self, f: Callable, args: Arrays, u: np.ndarray, v: Arrays, forward: bool = True) -> Derivatives:
        xs, u, ts = [self.array(x) for x in args], self.array(u), [self.array(t) for t in v]
        gradients, second = mg.jvp(lambda *xs: mg.vjp(f, *xs)[1](u), xs, ts)
        y, y_dot = mg.jvp(f, xs, ts)
        return Derivatives.of(lambda x: np.asarray(to_host(x)), [y], gradients, [y_dot] * forward, second)


class Torch(Library):
    """PyTorch: reverse over reverse mode, and its forward mode."""

    def array(self, x: np.ndarray) -> Any:
        return self.top.from_numpy(np.array(x))

    def derivatives(self, f: Callable, args: Arrays, u: np.ndarray, v: Arrays, forward: bool = True) -> Derivatives:
        grad = partial(self.top.autograd.grad, materialize_grads=True)
        xs, u, ts = [self.array(x).requires_grad_() for x in args], self.array(u), [self.array(t) for t in v]
        y = f(*xs)
        gradients = grad(y, xs, u, create_graph=True)
        slope = sum((g * t).sum() for g, t in zip(gradients, ts, strict=True))
        second = grad(slope, xs) if slope.requires_grad else [self.top.zeros_like(x) for x in xs]
        dots = [self._jvp(f, xs, ts)] if forward else []
        return Derivatives.of(lambda x: x.detach().numpy(force=True), [y], gradients, dots, second)

    def _jvp(self, f: Callable, xs: Sequence, ts: Sequence) -> Any:
        ad = self.top.autograd.forward_ad
        with ad.dual_level():
            y, y_dot = ad.unpack_dual(f(*[ad.make_dual(x.detach(), t) for x, t in zip(xs, ts, strict=True)]))
            return self.top.zeros_like(y) if y_dot is None else y_dot


class Jax(Library):
    """JAX: forward over reverse mode, jitted as a whole, which is faster than op by op."""

    def array(self, x: np.ndarray) -> Any:
        return self.numpy.asarray(x)

    def derivatives(self, f: Callable, args: Arrays, u: np.ndarray, v: Arrays, forward: bool = True) -> Derivatives:
        def both(*xs: Any) -> tuple:
            y, pullback = self.top.vjp(f, *xs)
            return y, pullback(u)

        options = {"xla_backend_optimization_level": 0}  # most of the time is compilation
        derive = self.top.jit(lambda xs, ts: self.top.jvp(both, xs, ts), compiler_options=options)
        (y, gradients), (y_dot, second) = derive(tuple(args), tuple(v))
        return Derivatives.of(np.asarray, [y], gradients, [y_dot] * forward, second)


class Autograd(Library):
    """HIPS/autograd: reverse over reverse mode, and its forward mode, one argument at a time."""

    def array(self, x: np.ndarray) -> Any:
        return x

    def derivatives(self, f: Callable, args: Arrays, u: np.ndarray, v: Arrays, forward: bool = True) -> Derivatives:
        every = tuple(range(len(args)))

        def gradient(*xs: Any) -> Any:
            return self.top.make_vjp(f, every)(*xs)[0](u)

        def slope(*xs: Any) -> Any:
            return sum(self.numpy.sum(g * t) for g, t in zip(gradient(*xs), v, strict=True))

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Output seems independent of input", UserWarning)  # a constant gradient
            second = self.top.make_vjp(slope, every)(*args)[0](1.0)
        dots = [sum(self.top.make_jvp(f, i)(*args)(v[i])[1] for i in every)] if forward else []
        return Derivatives.of(np.asarray, [f(*args)], gradient(*args), dots, second)


# Opening a peer; its global settings are restored afterwards


@contextmanager
def _torch() -> Iterator[Torch]:
    torch = optional("torch", extra="bench")
    threads = torch.get_num_threads()
    with warnings.catch_warnings(), torch.autograd.forward_ad.dual_level():
        warnings.filterwarnings("ignore", ".*torch.jit.script.* is deprecated", DeprecationWarning)
        torch.autograd.forward_ad.make_dual(torch.ones(1), torch.ones(1))  # its first use warns
    try:
        torch.set_num_threads(1)  # arrays have a dozen elements
        yield Torch(torch, torch)
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _jax() -> Iterator[Jax]:
    jax = optional("jax", "jax.numpy", "jax.scipy.linalg", "jax.scipy.special", "jax.scipy.stats", extra="bench")
    settings = {"jax_enable_x64": True, "jax_platforms": "cpu"}
    before = {name: getattr(jax.config, name) for name in settings}
    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        yield Jax(jax, jax.numpy)
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@contextmanager
def _autograd() -> Iterator[Autograd]:
    autograd = optional("autograd", "autograd.numpy", "autograd.scipy.special", "autograd.scipy.signal", extra="bench")
    yield Autograd(autograd, autograd.numpy)


PEERS = {"torch": _torch, "jax": _jax, "autograd": _autograd}
"""Context managers that open a peer, by the name of its module."""


def with_each_peer(rows: Iterable[Case | Compared]) -> pytest.MarkDecorator:
    """Parametrizes a test over every `peer` and each `row` it can spell; a missing peer is one skipped test."""
    rows, params = list(rows), []
    for who in PEERS:
        spelled = [row for row in rows if spelling_of(getattr(row, "case", row), who) is not None]
        if spelled and not is_installed(who):
            absent = pytest.mark.skip(reason=f"{who} is not installed: pip install '.[bench]'")
            params.append(pytest.param(who, None, id=who, marks=absent))
        else:
            params += [pytest.param(who, row, id=f"{who}-{row.name}") for row in spelled]
    return pytest.mark.parametrize("peer, row", params, indirect=["peer"])
