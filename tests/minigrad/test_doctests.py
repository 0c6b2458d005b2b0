"""Every example in a docstring of minigrad runs and prints the output shown."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from textwrap import dedent

import numpy as np
import pytest

import minigrad
from minigrad import collectives

MODULES = ["minigrad", *(m.name for m in pkgutil.walk_packages(minigrad.__path__, "minigrad."))]


@pytest.mark.parametrize("name", [n for n in MODULES if not n.endswith("__main__")])
def test_examples(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_every_transform_has_an_example():
    for name in "grad value_and_grad vjp jvp jacobian hessian hvp stop_gradient Tape".split():
        assert ">>>" in getattr(minigrad, name).__doc__, f"mg.{name} has no example"


def test_the_program_that_explains_collectives():
    page = collectives.__doc__
    program = dedent(page[page.index("    import numpy") : page.index("Start and end")])
    namespace = {"__name__": "train"}
    exec(compile(program, "train.py", "exec"), namespace)
    (alone,) = collectives.run_in_threads(namespace["train"], 1)
    for found in collectives.run_in_threads(namespace["train"], 3):
        np.testing.assert_allclose(found, alone, rtol=1e-12)
