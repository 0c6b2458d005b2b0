"""Every example in a docstring of minigrad runs and prints the output shown."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import minigrad

MODULES = ["minigrad", *(m.name for m in pkgutil.walk_packages(minigrad.__path__, "minigrad."))]


@pytest.mark.parametrize("name", [n for n in MODULES if not n.endswith("__main__")])
def test_examples(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_every_transform_has_an_example():
    for name in "grad value_and_grad vjp jvp jacobian hessian hvp stop_gradient Tape".split():
        assert ">>>" in getattr(minigrad, name).__doc__, f"mg.{name} has no example"
