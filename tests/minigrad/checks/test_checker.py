"""minigrad/checks/checker.py: check_grads passes right rules, finds planted mistakes, and reports them clearly."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable

import numpy as np
import pytest

import minigrad as mg
from minigrad import checks
from minigrad.checks.report import Report, Row
from minigrad.core.interpreter import primitives
from tests.support.pages import read_table


@pytest.fixture
def damage_rule(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """A function that changes one statement of a primitive's rule during a test."""

    def damage(name: str, argument: str, change: Callable) -> None:
        statement = primitives[name].rule.statements[argument]
        original = statement.function
        asks = ", ".join(statement.asks)
        wrapped = eval(f"lambda {asks}: change(original({asks}))", {"change": change, "original": original})
        monkeypatch.setattr(statement, "function", wrapped)

    return damage


# The adjoint identity


def test_the_adjoint_gap_of_right_rules_is_rounding() -> None:
    rng = np.random.default_rng(0)
    args = ({"x": rng.normal(size=(4, 3)), "w": rng.normal(size=(3, 5))},)
    gap = checks.adjoint_gap(lambda p: mg.softplus(p["x"] @ p["w"]), args)
    assert gap <= 100 * np.finfo(float).eps


def test_the_adjoint_gap_shows_a_wrong_transpose(damage_rule: Callable) -> None:
    damage_rule("matmul", "x2", lambda w_bar: w_bar * 1.001)
    rng = np.random.default_rng(0)
    assert checks.adjoint_gap(mg.matmul, (rng.normal(size=(4, 3)), rng.normal(size=(3, 5)))) > 1e-5


# The checker


def test_right_gradients_pass_to_third_order() -> None:
    rng = np.random.default_rng(1)
    checks.check_grads(lambda x: mg.logsumexp(mg.gelu(x), axis=0), (rng.normal(size=(3, 2)),), order=3)


@pytest.mark.parametrize(
    ("name", "argument", "change", "f"),
    [
        ("tanh", "x", lambda d: 1.001 * d, mg.tanh),
        ("sin", "x", lambda d: -d, mg.sin),
        ("multiply", "x1", lambda d: d + 0.01, lambda x: mg.multiply(x, 3.0)),
        ("exp", "x", lambda d: 0 * d, mg.exp),
        ("sum", "x", lambda g: 2 * g, mg.sum),
        ("transpose", "x", lambda g: mg.flip(g, 0), lambda x: mg.transpose(x) * np.arange(6.0).reshape(2, 3)),
    ],
)
def test_planted_mistakes_are_caught(name, argument, change, f, damage_rule) -> None:
    x = np.random.default_rng(2).normal(size=(3, 2))
    checks.check_grads(f, (x,))
    damage_rule(name, argument, change)
    with pytest.raises(checks.GradientError, match="order 1"):
        checks.check_grads(f, (x,))


def test_a_wrong_second_derivative_is_caught(damage_rule: Callable) -> None:
    damage_rule("sin", "x", mg.stop_gradient)  # the value of the slope is right, its derivative is 0
    x = np.array([0.3, -0.7])
    checks.check_grads(mg.sin, (x,), order=1)
    with pytest.raises(checks.GradientError, match="order 2"):
        checks.check_grads(mg.sin, (x,), order=2)


def test_only_the_requested_modes_are_checked(damage_rule: Callable) -> None:
    damage_rule("sum", "x", lambda g: 2 * g)  # only reverse mode uses the transpose
    checks.check_grads(mg.sum, (np.ones(3),), order=1, modes=("forward",))
    with pytest.raises(checks.GradientError, match="reverse"):
        checks.check_grads(mg.sum, (np.ones(3),), order=1, modes=("reverse",))


def test_a_kink_at_the_argument_raises_kink_error() -> None:
    with pytest.raises(checks.KinkError, match="kink"):
        checks.check_grads(mg.abs, (0.0,))


def test_float32_arguments_are_checked_in_float64() -> None:
    checks.check_grads(lambda x: mg.sum(mg.sin(x) ** 2), (np.linspace(0, 1, 5, dtype=np.float32),))


def test_trees_in_and_out() -> None:
    checks.check_grads(lambda p: {"a": p[0] * p[1]["b"], "c": (mg.exp(p[0]),)}, ((1.5, {"b": np.array([2.0, 3.0])}),))


def _forgetful(x):
    mg.sum(x)


class _Counter:
    calls = 0.0

    def __call__(self, x):
        self.calls += 1
        return x * self.calls


def _overwriting(x):
    y = mg.sum(x * x)
    if isinstance(x, np.ndarray):
        x += 1
    return y


@pytest.mark.parametrize(
    ("f", "sentence"),
    [
        (_forgetful, "returned nothing"),
        (_Counter(), "different results"),
        (mg.argmax, "int64"),
        (_overwriting, "changes its arguments|different results"),
    ],
)
def test_unsuitable_functions_raise_a_clear_error(f: Callable, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence):
        checks.check_grads(f, (np.array([1.0, 2.0]),))


def test_integer_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match=r"int64\[3\]"):
        checks.check_grads(mg.sum, (np.arange(3),))


@pytest.mark.parametrize("wrong", [{"modes": ("sideways",)}, {"order": 0}])
def test_unknown_modes_and_orders_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="modes"):
        checks.check_grads(mg.sum, (np.ones(3),), **wrong)


# Scales, ties and kinks


@pytest.mark.parametrize(
    "f",
    [
        lambda x: mg.sin(x) + 1e7,
        lambda x: (mg.sin(x), 1e8 * mg.exp(x)),
        lambda x: mg.sin(x) * 1e-40,
        lambda x: {"small": 1e-6 * mg.sin(x), "large": mg.exp(x)},
    ],
    ids=["large offset", "a second, large result", "tiny", "results of two sizes"],
)
def test_a_wrong_gradient_is_caught_beside_large_numbers(f: Callable, damage_rule: Callable) -> None:
    x = np.array([1.0, 0.5])
    checks.check_grads(f, (x,))
    damage_rule("sin", "x", lambda slope: 1.5 * slope)
    with pytest.raises(checks.GradientError):
        checks.check_grads(f, (x,))


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (mg.log, 1e-3),
        (mg.sqrt, 1e-4),
        (mg.reciprocal, 1e-2),
        (lambda x: mg.sin(1e3 * x), 1e-3),
        (lambda x: mg.exp(1e5 * x), 1e-5),
        (mg.softmax, np.zeros((2, 3))),
        (mg.log_softmax, np.zeros(3)),
        (mg.max, np.random.default_rng(0).normal(size=1000)),
        (lambda x: mg.clip(x, np.full((2, 3), -9.0), 9.0), np.ones(3)),
        (mg.exp, np.zeros(0)),
    ],
)
def test_right_gradients_of_any_scale_pass(f: Callable, x) -> None:
    checks.check_grads(f, (x,))


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: mg.where(x > 1, x * x, x), np.array([1.0, 0.5])),
        (lambda x: x * x if x > 1 else x, 1.0),
        (lambda x: max(x[0], x[1]), np.array([1.0, 1.0])),
        (np.sort, np.array([1.0, 1.0])),
        (lambda x: x - mg.astype(x, int), 1.0),
        (lambda x: mg.sum(x[x > 1] ** 2), np.array([1.0, 2.0])),
    ],
)
def test_kinks_of_plain_python_and_numpy_raise_kink_error(f: Callable, x) -> None:
    with pytest.raises(checks.KinkError):
        checks.check_grads(f, (x,))


def test_complex_arguments_and_calls_without_a_tuple_are_refused() -> None:
    with pytest.raises(TypeError, match="real numbers only"):
        checks.check_grads(mg.exp, (1j,))
    with pytest.raises(TypeError, match="args is a tuple"):
        checks.check_grads(mg.exp, 1.0)
    with pytest.raises(TypeError, match="no argument"):
        checks.check_grads(lambda: 1.0, ())
    with pytest.raises(TypeError, match="closure"):
        checks.check_grads(lambda x, i: x[i], (np.ones(3), np.array([0])))


# The report


def test_the_table_has_a_line_for_every_order_and_combination_of_modes(capsys) -> None:
    report = checks.check_grads(lambda x: mg.sin(x) * x, (np.array([0.3, 2.0]),))
    printed = capsys.readouterr().out
    assert printed.strip() == str(report)
    assert report.passed
    ways = {(row.order, row.what) for row in report.rows}
    assert {(1, "forward"), (1, "reverse"), (2, "forward over reverse"), (2, "reverse over reverse")} <= ways
    assert {(2, "reverse over forward"), (2, "forward over forward")} <= ways
    assert len(printed.splitlines()) == 2 + len(ways)
    assert checks.check_grads(mg.sin, (1.0,), quiet=True).passed
    assert capsys.readouterr().out == ""


def test_a_notebook_shows_the_report(damage_rule: Callable) -> None:
    x = np.array([0.3, 2.0])
    report = checks.check_grads(lambda x: mg.sin(x) * x, (x,), quiet=True)
    table = read_table(report._repr_html_())
    assert table.title == f"Gradients: all {len(report.rows)} comparisons agree"
    assert table.headings == "order,derivative,error,allowed,worst at,found,expected,".split(",")
    assert [line.split() for line in str(report).splitlines()[2:]] == [" ".join(row).split() for row in table.rows]
    assert {row[-1] for row in table.rows} == {"agree"}
    damage_rule("sin", "x", lambda slope: 1.5 * slope)
    with pytest.raises(checks.GradientError) as caught:
        checks.check_grads(lambda p: mg.sin(p["<w>"]), ({"<w>": x},), quiet=True)
    failed = [row for row in caught.value.report.rows if not row.passed]
    html = caught.value.report._repr_html_()
    table = read_table(html)
    assert table.title == f"Gradients: {len(failed)} of {len(caught.value.report.rows)} comparisons differ"
    assert [row[-1] for row in table.rows].count("DIFFER") == len(failed) == html.count("<strong>DIFFER</strong>")
    assert "argument 0.<w>[0]" in {row[4] for row in table.rows}


def test_a_long_report_says_how_many_rows_it_leaves_out() -> None:
    rows = tuple(Row(1, "forward", f"y{i}", i * 1e-3, 1e-6, "", 1.0, 2.0) for i in range(40))
    lines = str(Report(rows)).splitlines()
    assert len(lines) == 2 + 11 + 1 and "y39" in lines[2] and lines[-1] == "… 28 more of forward differ …"
    assert read_table(Report(rows)._repr_html_()).rows[-1] == ["… 28 more of forward differ …"]


def _change_one_entry(statement, index: tuple, change: float) -> Callable:
    right = statement.function
    asks = ", ".join(statement.asks)

    def change_one(y):
        mask = np.zeros(y.shape)
        mask[index] = change
        return y * (1 + mask)

    return eval(f"lambda {asks}: change_one(right({asks}))", {"change_one": change_one, "right": right})


@pytest.mark.parametrize(("mode", "entry"), [("forward", "[3, 2]"), ("reverse", "argument 0.x[3, 2]")])
def test_the_error_names_the_worst_entry_both_values_and_the_operation(mode, entry, monkeypatch) -> None:
    statement = primitives["tanh"].rule.statements["x"]
    monkeypatch.setattr(statement, "function", _change_one_entry(statement, (3, 2), 0.001))
    x = np.random.default_rng(0).normal(size=(5, 4))

    def f(p):
        return mg.exp(mg.tanh(p["x"]) * 0.5)  # the line to blame

    with pytest.raises(checks.GradientError) as caught:
        checks.check_grads(f, ({"x": x},), modes=(mode,))
    message = str(caught.value)
    line = f.__code__.co_firstlineno + 1
    assert f"at {entry}: " in message
    assert message.endswith(f"the operation to blame is 'tanh' at {__file__}:{line}")
    found, expected = re.search(r": (\S+), five-point differences give (\S+);", message).groups()
    assert abs(float(found) / float(expected) - 1.001) < 1e-6


def test_the_error_names_the_operation_with_a_wrong_second_derivative(damage_rule: Callable) -> None:
    damage_rule("tanh", "x", mg.stop_gradient)
    with pytest.raises(checks.GradientError, match=r"order 2.*the operation to blame is 'tanh' at .*test_checker.py"):
        checks.check_grads(lambda x: mg.exp(mg.tanh(mg.sin(x))), (np.array([0.3, -0.4]),))


def test_the_error_reports_a_value_that_escapes_from_the_derivative() -> None:
    x = np.array([1.0, 2.0])
    with pytest.raises(checks.GradientError, match="every operation is right on its own, so the function"):
        checks.check_grads(lambda x: x * getattr(x, "value", x), (x,))
    with pytest.raises(checks.GradientError, match="the operation to blame is 'stop_gradient'"):
        checks.check_grads(lambda x: x * mg.stop_gradient(x), (x,))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("size", [10, 1_000, 100_000])
def test_one_wrong_entry_is_caught_in_an_array_of_any_size(size, mode, monkeypatch) -> None:
    """One entry is off by 0.1 %. A tolerance that grows with the size of the array would miss it."""
    x = np.random.default_rng(0).uniform(0.5, 1.5, size)
    statement = primitives["exp"].rule.statements["x"]
    monkeypatch.setattr(statement, "function", _change_one_entry(statement, (size // 2,), 0.001))
    with pytest.raises(checks.GradientError, match="order 1"):
        checks.check_grads(mg.exp, (x,), order=1, modes=(mode,), directions=1, quiet=True)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: x * (2.0 if float(mg.core.concrete(x)[0]) > 1 else 1.0), np.array([1.0, 0.5])),
        (lambda x: mg.sum(x * np.sign(mg.core.concrete(x))), np.zeros(2)),
    ],
    ids=["a jump", "a corner"],
)
def test_kinks_are_found_from_values_alone(f: Callable, x) -> None:
    with pytest.raises(checks.KinkError, match="not differentiable here"):
        checks.check_grads(f, (x,))


def test_a_wrong_gradient_is_not_reported_as_a_kink(damage_rule: Callable) -> None:
    damage_rule("exp", "x", lambda slope: 1.5 * slope)
    for offset in (0.0, 1e7, -1e12):
        with pytest.raises(checks.GradientError) as caught:
            checks.check_grads(lambda x, offset=offset: mg.exp(x) + offset, (np.array([0.3, 1.0]),), order=1)
        assert not isinstance(caught.value, checks.KinkError)


@pytest.mark.parametrize(
    ("f", "sentence"),
    [
        (lambda x: None, "returned nothing; return its result"),
        (lambda x: (x, 3), "returned 3, which has no real derivative"),
        (lambda x: x + 0j, r"returned complex128\[2\], which has no real derivative"),
        (lambda x: "loss", "returned str 'loss'"),
        (lambda x: [x] * next(_growing), "different results"),
    ],
)
def test_results_without_a_derivative_raise_a_clear_error(f: Callable, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence):
        checks.check_grads(f, (np.array([1.0, 2.0]),))


_growing = itertools.count(1)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: mg.log(x), np.array([-1.0, 2.0, 3.0])),
        (lambda x: mg.concatenate([x[1:] * x[1:], np.array([np.inf])]), np.array([1.0, 2.0, 3.0])),
    ],
    ids=["NaN", "infinite"],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_results_that_are_not_finite_are_not_reported_as_kinks(f: Callable, x) -> None:
    with pytest.raises(ValueError, match="1 of 3 results are infinite or NaN"):
        checks.check_grads(f, (x,))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_for_a_nan_in_a_gradient_the_error_recommends_debug_nans() -> None:
    with pytest.raises(checks.GradientError, match=r"debug_nans\(\) names the operation that produced the NaN"):
        checks.check_grads(lambda x: mg.where(x > 0, mg.sqrt(x), 0.0), (np.array([-1.0, 1.0]),))


@pytest.mark.parametrize("tolerance", [-1e-6, 1.0, math.inf, math.nan])
def test_a_meaningless_tolerance_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance is relative"):
        checks.check_grads(lambda x: x * mg.stop_gradient(x), (1.0,), tolerance=tolerance)


def test_a_single_mode_may_be_a_string_and_orders_must_be_integers() -> None:
    assert {row.what for row in checks.check_grads(mg.sin, (1.0,), modes="forward").rows} == {
        "forward",
        "forward over forward",
    }
    with pytest.raises(ValueError, match="integers ≥ 1"):
        checks.check_grads(mg.sin, (1.0,), order=0)
    with pytest.raises(TypeError, match=r"check_grads: order must be an integer, got 1\.5"):
        checks.check_grads(mg.sin, (1.0,), order=1.5)
