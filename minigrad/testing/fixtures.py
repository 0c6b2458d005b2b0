"""Fixtures of pytest, without a plugin: import those you use in your conftest.py.

from minigrad.testing.fixtures import make_primitive, no_interpreter_left_behind  # noqa: F401  (fixtures)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minigrad.core.interpreter import Primitive, current, primitives
from minigrad.core.rules import custom


@pytest.fixture
def registry() -> Iterator[dict[str, Primitive]]:
    """The registered primitives by name; those that a test registers are unregistered after it, so that it may run
    again."""
    before = set(primitives)
    yield primitives
    for name in set(primitives) - before:
        del primitives[name]


@pytest.fixture
def make_primitive(registry: dict[str, Primitive]) -> Callable[..., Primitive]:
    """A function that makes primitives of one argument x, with a (jvp, vjp); they are unregistered after the test."""

    def make(forward: Callable, jvp: Callable | None = None, vjp: Callable | None = None, **options: Any) -> Primitive:
        primitive = Primitive(f"made_{len(registry)}", forward, **options)
        return primitive if jvp is None else custom(primitive, x=(jvp, vjp))

    return make


@pytest.fixture(autouse=True)
def no_interpreter_left_behind() -> Iterator[None]:
    """Fails a test that does not restore the current interpreter."""
    before = current()
    yield
    assert current() is before, "a derivative, a capture or a check that this test began has not ended"
