"""minigrad/testing/fixtures.py: in a conftest.py of a user, without a plugin."""

from __future__ import annotations

import subprocess
import sys

CONFTEST = "from minigrad.testing.fixtures import make_primitive, no_interpreter_left_behind, registry  # noqa: F401\n"
TESTS = """
import minigrad as mg
import pytest
from minigrad import core
from minigrad.checks.kinks import _Decisions

@pytest.mark.parametrize("time", range(2))
def test_a_name_is_free_again_after_the_test(registry, time):
    core.primitive("twice")(lambda b, x, out=None: b.xp.add(x, x, out=out))
    assert "twice" in registry

def test_a_primitive_with_its_rule(make_primitive):
    twice = make_primitive(lambda b, x, out=None: b.xp.add(x, x, out=out), lambda t: 2 * t, lambda g: 2 * g)
    assert mg.grad(twice)(1.0) == 2 and "twice" not in core.primitives

def test_a_leak():
    _Decisions().__enter__()
"""


def test_the_fixtures_need_no_plugin(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_own.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert "4 passed, 1 error" in done.stdout and "has not ended" in done.stdout, done.stdout + done.stderr
