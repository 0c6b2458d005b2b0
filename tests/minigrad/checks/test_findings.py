"""The table of operations and oracles, in text and in a notebook."""

from __future__ import annotations

import math

import pytest

from minigrad.checks import suite
from minigrad.checks.findings import SLOPES, ULPS, Finding, Findings, Verdict
from minigrad.core.interpreter import primitives
from minigrad.tables import Failed
from tests.support.pages import read_table


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict(1.234e-16, 1e-12, True), "1.2e-16"),
        (Verdict(0.5, 1e-12, False), "5.0e-01!"),
        (Verdict(math.nan, 1e-12, False), "nan!"),
        (Verdict(1.9999, SLOPES[0], True), "2.00"),
        (Verdict(1.0, SLOPES[1], False), "1.00!"),
        (Verdict(math.inf, SLOPES[1], True), "exact"),
        (Verdict(1.25, ULPS, True), "1.2"),
        (Verdict(300.0, ULPS, False), "300.0!"),
    ],
)
def test_a_verdict_is_a_number_with_a_mark_if_it_is_out_of_bounds(verdict, words):
    cell = verdict.cell()
    assert cell == words and isinstance(cell, Failed) is not verdict.passed


def test_a_notebook_shows_the_same_table_as_a_terminal():
    found = suite.check_operations("tanh", "floor")
    table = read_table(found._repr_html_())
    assert table.title == found.summary == "2 operations, 0 failed"
    assert table.headings == ["operation", "cases", *suite.ORACLES, ""]
    assert [(row[0], row[-1]) for row in table.rows] == [("tanh", "agree"), ("floor", "agree")]
    headings, _, *lines = str(found).splitlines()
    assert headings.split() == " ".join(table.headings).split()
    assert [line.split() for line in lines] == table.rows


def test_a_failure_is_named_and_marked():
    right = Finding("good", 2, {"value": Verdict(0.0, 1e-12, True), "vmap": None})
    wrong = Finding("bad", 1, {"value": Verdict(0.25, 1e-12, False), "vmap": None})
    found = Findings([right, wrong])
    assert not found.passed and Findings([right]).passed and found.summary == "2 operations, 1 failed: bad"
    html = found._repr_html_()
    assert read_table(html).rows == [["good", "2", "0.0e+00", "–", "agree"], ["bad", "1", "2.5e-01!", "–", "FAILED"]]
    assert html.count("<strong>") == 2


def test_operations_are_checked_by_name_or_all(monkeypatch):
    monkeypatch.setattr(suite, "operations", lambda: ["exp", "sin"])
    assert [finding.name for finding in suite.check_operations()] == ["exp", "sin"]
    monkeypatch.setattr(primitives["sin"], "forward", lambda b, x, out=None: 2 * x)
    assert [finding.passed for finding in suite.check_operations("sin", "exp")] == [False, True]
    with pytest.raises(ValueError, match="there is no operation 'sn'; did you mean sin"):
        suite.check_operations("exp", "sn")
