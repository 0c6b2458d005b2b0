"""Names of test cases whose parameter is a lambda."""

from __future__ import annotations

from tests.support.ids import name_of


def test_a_lambda_is_named_by_its_body():
    assert name_of(lambda x: x[::2] + 1) == "x[::2] + 1"
    assert name_of(lambda: 3) == "3"
    assert name_of(lambda x: "é" + x if x else (x, "ü")) == '"é" + x if x else (x, "ü")'


def test_a_body_of_several_lines_becomes_one_line():
    assert (
        name_of(
            lambda a_first_long_name, a_second_long_name, a_third_long_name: sum(
                [a_first_long_name, a_second_long_name, a_third_long_name]
            )
        )
        == "sum( [a_first_long_name, a_second_long_name, a_third_long_name] )"
    )


def test_code_without_a_file_has_no_name():
    assert name_of(eval("lambda x: x")) is None


def test_other_values_are_left_to_pytest():
    assert name_of(name_of) is None and name_of(3) is None and name_of("text") is None
