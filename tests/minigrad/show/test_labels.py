"""The text in boxes and beside edges."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad.testing import normal
from tests.support.pictures import format_number, read, words_of


def test_x_bar_is_written_as_the_sum_over_its_edges():
    def f(x):
        return x * mg.sin(x)

    picture = read(mg.draw(f, 3.0))
    s, c = math.sin(3), math.cos(3)  # of these the first is positive, the second negative
    through_sine, direct = sorted((edge[1], x) for edge, x in zip(picture.edges, picture.starts) if edge[0] == 0)
    # in the order of the edges, from left to right
    sums = (f"{format_number(s)} − {format_number(-3 * c)}", f"{format_number(3 * c)} + {format_number(s)}")
    assert f"x̄ = {sums[direct[1] > through_sine[1]]} = {format_number(s + 3 * c)}" in words_of(picture)
    assert words_of(picture)[:3] == ["x", "float64[]", "x = 3"]
    sine, product = words_of(picture, "operation"), words_of(picture, "operation", 1)
    assert sine[:4] == ["sin", "float64[]", f"v₁ = {format_number(s)}", "v̄₁ = 3"]
    assert product[:4] == ["multiply", "float64[]", f"v₂ = {format_number(3 * s)}", "v̄₂ = 1"]
    line = f.__code__.co_firstlineno + 1
    assert sine[4] == f"{Path(__file__).name}:{line}  return x * mg.sin(x)"
    labels = Counter(words for words, _ in picture.labels)
    slopes = [f"∂ = {format_number(c)}", f"∂ = {format_number(s)}", "∂ = 3", "start"]
    assert labels == Counter([*slopes, f"↑ {format_number(3 * c)}", f"↑ {format_number(s)}", "↑ 3", "↑ 1"])
    assert "The backward pass starts from a cotangent of 1 at the result." in picture.head


def test_small_arrays_show_their_numbers_and_large_ones_their_range():
    w, b = np.array([[1.0, -2.0], [0.5, 4.0]]), np.arange(9.0)
    picture = read(mg.draw(lambda w, b: mg.sum(w * w) + mg.sum(2 * b), w, b))
    assert words_of(picture)[1:6] == ["float64[2, 2]", "w = [[1, −2], [0.5, 4]]", "w̄ = [[2, −4], [1, 8]]", "Σ 2 edges"]
    assert words_of(picture, at=1)[1:] == ["float64[9]", "b ∈ [0, 8]", "b̄ = 2 everywhere"]
    constants = [box.words for box in picture.boxes if box.role == "constant"]
    assert constants == [["2"]]
    assert "sumᵀ" in [words for words, _ in picture.labels]


def test_a_wide_matrix_takes_one_line_per_row():
    x = np.array([[0.123, -4.56, 7.89], [-0.0123, 45.6, -789.0]])
    picture = read(mg.draw(lambda x: mg.sum(mg.sin(x)), x))
    assert words_of(picture)[2:4] == ["x = [[0.123, −4.56, 7.89],", "     [−0.0123, 45.6, −789]]"]


def test_edges_of_broadcasts_and_matrix_products_name_their_pullback():
    picture = read(mg.draw(lambda w, b: np.ones((4, 3)) @ w + b, normal((3, 2)), normal((2,))))
    labels = [words for words, _ in picture.labels]
    assert labels.count("matmulᵀ") == 1 and labels.count("Σ ∂·v̄") == 1 and labels.count("∂ = 1 everywhere") == 1
    assert "↑ [4, 4]" in labels  # of b: four rows of ones


def test_parameters_of_operations_are_shown():
    picture = read(mg.draw(lambda x: mg.sum(mg.transpose(x)[1:, 0], axis=0), normal((2, 3))))
    words = [words for box in picture.boxes for words in box.words]
    assert {"axes=(1, 0)", "index=(1:, 0)", "axes=(0,)"} <= set(words)


def test_nan_infinity_complex_numbers_and_empty_arrays_are_shown():
    with np.errstate(all="ignore"):
        picture = read(mg.draw(mg.log, np.array([-1.0, 0.0, 1.0] * 3)))
    assert any("v₁ ∈ [−inf, 0], 3 nan" in words for words in words_of(picture, "operation"))
    assert "z = 1+2j" in words_of(read(mg.draw(lambda z: z * z, 1 + 2j)))
    assert "z̄ = 1+2j + 1+2j = 2+4j" in words_of(read(mg.draw(lambda z: z * z, 1 + 2j)))
    assert "x = []" in words_of(read(mg.draw(lambda x: mg.sum(x), np.ones(0))))
