"""minigrad/testing: its example finds a planted mistake; without hypothesis it says what is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from textwrap import dedent

import pytest

import minigrad.testing
from minigrad.checks import GradientError

PAGE = minigrad.testing.__doc__
EXAMPLE = dedent(PAGE[PAGE.index("    import minigrad") : PAGE.index("With the exponent")])


def run(program: str) -> None:
    namespace: dict = {"__name__": "example"}
    exec(compile(program, "example.py", "exec"), namespace)
    namespace["test_squash"]()


def test_the_example_passes(registry):
    run(EXAMPLE)
    assert "squash" in registry


def test_the_example_finds_the_mistake_and_prints_what_the_page_says(registry):
    with pytest.raises(GradientError) as caught:
        run(EXAMPLE.replace("** -1.5", "** -0.5"))
    shown = re.search(r"GradientError: (.*)\n", PAGE).group(1)
    pattern = ".*".join(re.escape(part) for part in re.split(r"[\d.]+\.\.\.| \.\.\.", shown))
    assert re.match(pattern, str(caught.value)), str(caught.value)


def test_without_hypothesis_the_error_is_one_clear_sentence():
    program = """
import sys
sys.modules["hypothesis"] = None
import minigrad
try:
    import minigrad.testing
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    told = "minigrad.testing needs hypothesis, which is not installed: pip install 'minigrad-autodiff[testing]'\n"
    assert done.stdout == told, done.stdout + done.stderr


def test_all_names_exist_and_have_docstrings():
    for name in minigrad.testing.__all__:
        value = getattr(minigrad.testing, name)
        assert isinstance(value, dict) or value.__doc__, name
