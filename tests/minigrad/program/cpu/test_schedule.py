"""minigrad/program/cpu/schedule.py: which instructions run together, for small graphs built by hand."""

from __future__ import annotations

from minigrad.core.traits import Cut
from minigrad.core.vectors import add_p, multiply_p, reshape_p, transpose_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.cpu.schedule import Place, Region, find_regions
from minigrad.program.graph import Constant
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views
from tests.support.graphs import GraphBuilder

exp_p, tanh_p = exp.primitive, tanh.primitive
EVERYTHING = Tuning(worth_region=0)


def regions_of(graph, tuning=EVERYTHING):
    return find_regions(graph, find_views(graph), tuning)


def results(regions):
    """(stage, rows, results) of each region."""
    return [(r.stage, r.rows, [instruction.result for instruction, _ in r.steps]) for r in regions]


def test_a_chain_is_one_region():
    g = GraphBuilder()
    x = g.input((6, 4))
    y = g.add(tanh_p, x)
    z = g.add(multiply_p, y, y)
    regions, places = regions_of(g.graph(z))
    assert results(regions) == [(0, 6, [y, z])]
    assert [cut for _, cut in regions[0].steps] == [Cut((0,), 0), Cut((0, 0), 0)]
    assert places == {y: Place(0, 6, 0), z: Place(0, 6, 0)}


def test_a_layer_and_its_gradient_are_a_region_over_the_batch_and_one_over_the_weights():
    """The picture in the module's docstring."""
    g = GraphBuilder()
    x, w = g.input((6, 4)), g.input((4, 3))
    h = g.add(tanh_p, g.add(matmul_p, x, w))
    xt = g.add(transpose_p, x, axes=(1, 0))
    w_bar = g.add(matmul_p, xt, h)
    step = g.add(add_p, w, w_bar)
    regions, places = regions_of(g.graph(step), Tuning(worth_region=0, largest_sum=0))
    assert results(regions) == [(0, 6, [h - 1, h]), (1, 4, [w_bar, step])]
    assert regions[0].steps[0][1] == Cut((0, None), 0)
    assert xt not in places and places[w_bar] == Place(1, 4, 0)


def test_a_small_sum_is_added_up_part_by_part():
    g = GraphBuilder()
    x = g.input((6, 4))
    y = g.add(tanh_p, x)
    total = g.add(sum_p, y, axes=(0,))
    after = g.add(exp_p, total)
    regions, places = regions_of(g.graph(after), Tuning(worth_region=0))
    assert results(regions)[0] == (0, 6, [y, total])
    assert regions[0].steps[1][1] == Cut((0,), None)
    assert places[total] == Place(0, 6, None) and places[after].stage == 1


def test_a_large_sum_is_computed_afterwards_in_its_own_rows():
    g = GraphBuilder()
    x = g.input((6, 4))
    y = g.add(tanh_p, x)
    total = g.add(sum_p, y, axes=(0,))
    regions, _ = regions_of(g.graph(total), Tuning(worth_region=0, largest_sum=8 * 4 - 1))
    assert results(regions) == [(0, 6, [y]), (1, 4, [total])]


def test_small_instructions_run_whole_and_first_in_their_stage():
    g = GraphBuilder()
    small, large = g.input((3,)), g.input((6, 4))
    b = g.add(exp_p, small)
    y = g.add(tanh_p, large)
    regions, places = regions_of(g.graph(b, y), Tuning(worth_region=24))
    assert results(regions) == [(0, None, [b]), (0, 6, [y])]
    assert places[b] == Place(0, None, None)
    assert [region.moment for region in regions] == [0, 1]
    assert results(regions_of(g.graph(b, y), Tuning(worth_region=25))[0]) == [(0, None, [b, y])]


def test_small_instructions_join_the_region_of_their_operands():
    g = GraphBuilder()
    y = g.add(tanh_p, g.input((6, 4)))
    rows = g.add(sum_p, y, axes=(1,))
    last = g.add(exp_p, rows)
    regions, _ = regions_of(g.graph(last), Tuning(worth_region=24))
    assert results(regions) == [(0, 6, [y, rows, last])]


def test_an_instruction_that_cannot_be_cut_is_a_stage_of_its_own():
    g = GraphBuilder()
    y = g.add(tanh_p, g.input((6, 4)))
    turned = g.add(reshape_p, g.add(transpose_p, y, axes=(1, 0)), shape=(3, 8))  # a copy in another order
    z = g.add(exp_p, turned)
    regions, places = regions_of(g.graph(z))
    assert results(regions) == [(0, 6, [y]), (1, None, [turned]), (2, 3, [z])]
    assert places[turned] == Place(1, None, None)


def test_a_view_has_the_place_of_its_operand_and_belongs_to_no_region():
    g = GraphBuilder()
    y = g.add(tanh_p, g.input((6, 4)))
    kept = g.add(reshape_p, y, shape=(6, 2, 2))  # has the rows of y
    z = g.add(exp_p, kept)
    turned = g.add(transpose_p, y, axes=(1, 0))  # rows of y are its columns
    regions, places = regions_of(g.graph(z, turned))
    assert results(regions) == [(0, 6, [y, z])]
    assert places[kept] == Place(0, 6, 0) and places[turned] == Place(0, 6, 1)


def test_an_instruction_that_needs_all_of_a_region_runs_after_it():
    g = GraphBuilder()
    y = g.add(tanh_p, g.input((6, 6)))
    product = g.add(matmul_p, y, y)  # rows of the first, all of the second
    regions, _ = regions_of(g.graph(product))
    assert results(regions) == [(0, 6, [y]), (1, 6, [product])]


def test_instructions_on_inputs_alone_run_beside_their_reader():
    g = GraphBuilder()
    x, w, m = g.input((6, 4)), g.input((4, 3)), g.input((4, 3))
    decayed = g.add(multiply_p, m, m)
    h = g.add(matmul_p, x, w)
    gradient = g.add(matmul_p, g.add(transpose_p, x, axes=(1, 0)), h)
    step = g.add(add_p, decayed, gradient)
    regions, places = regions_of(g.graph(step), Tuning(worth_region=0, largest_sum=0))
    assert results(regions) == [(0, 6, [h]), (1, 4, [decayed, gradient, step])]
    assert places[decayed] == Place(1, 4, 0)


def test_instructions_read_in_another_order_do_not_run_beside_their_reader():
    """They cannot exist for one part at a time: each row of the reader needs an element of each of their rows."""
    g = GraphBuilder()
    x, m = g.input((6, 6)), g.input((6, 6))
    decayed = g.add(multiply_p, m, m)
    turned = g.add(transpose_p, decayed, axes=(1, 0))
    product = g.add(matmul_p, x, x)
    square = g.add(matmul_p, product, product)
    step = g.add(add_p, turned, square)
    regions, places = regions_of(g.graph(step))
    assert results(regions) == [(0, 6, [decayed, product]), (1, 6, [square, step])]
    assert places[decayed] == Place(0, 6, 0)


def test_empty_arrays_are_not_cut():
    g = GraphBuilder()
    y = g.add(tanh_p, g.input((3, 0)))
    assert results(regions_of(g.graph(y))[0]) == [(0, None, [y])]


def test_regions_run_in_the_order_of_their_moments():
    assert [Region(stage, rows, ()).moment for stage, rows in ((0, None), (0, 5), (1, None), (1, 5))] == [0, 1, 2, 3]


# Second runs of checkpointed calls


def test_a_second_run_joins_the_region_of_what_it_waits_for():
    """Also with a small sum over the rows, which does not start a region."""
    g = GraphBuilder()
    x, w = g.input((6, 4)), g.input((6, 4))
    y = g.add(tanh_p, x)
    total = g.add(sum_p, y, axes=(0,))
    late = g.add(add_p, total, w)
    again, sum_again = g.add(tanh_p, x, awaits=(late,)), g.add(sum_p, x, axes=(0,), awaits=(late,))
    regions, _ = regions_of(g.graph(late, again, sum_again), Tuning(worth_region=24))
    assert results(regions) == [(0, 6, [y, total]), (1, 6, [late, again, sum_again])]


def test_a_second_run_starts_after_what_it_waits_for():
    """In a later stage, if that is a sum over the rows of a region, or has other rows."""
    g = GraphBuilder()
    x = g.input((6, 4))
    total = g.add(sum_p, g.add(tanh_p, x), axes=(0,))
    again = g.add(tanh_p, x, awaits=(total,))
    assert results(regions_of(g.graph(total, again))[0]) == [(0, 6, [total - 1, total]), (1, 6, [again])]
    whole = g.add(exp_p, g.input(()), awaits=(again,))
    regions, _ = regions_of(g.graph(total, again, whole))
    assert results(regions)[1:] == [(1, 6, [again]), (2, None, [whole])]


def test_a_second_run_does_not_wait_for_inputs_or_constants():
    g = GraphBuilder()
    x = g.input((6, 4))
    y = g.add(tanh_p, x, awaits=(x, Constant(1.0)))
    assert results(regions_of(g.graph(y))[0]) == [(0, 6, [y])]
