"""minigrad/program/gpu/epilogues.py: which products get which epilogue, and that it changes no result."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.vectors import add_p, reshape_p, transpose_p
from minigrad.ops.activations import relu
from minigrad.ops.conv import conv_p
from minigrad.ops.functions import exp
from minigrad.ops.linalg import matmul_p
from minigrad.program.gpu.epilogues import CONV, MATMUL, fuse_epilogues
from minigrad.program.tuning import DEFAULT, Tuning
from minigrad.program.views import find_views
from tests.support.graphs import GraphBuilder

relu_p, exp_p = relu.primitive, exp.primitive


def fuse_products(graph, tuning=DEFAULT):
    """(primitive, operands, parameters, result) of each instruction of a graph whose products have epilogues."""
    ours = fuse_epilogues(graph, find_views(graph), tuning)
    assert ours.kinds == graph.kinds and ours.inputs == graph.inputs and ours.outputs == graph.outputs
    return [(i.primitive, i.operands, i.params, i.result) for i in ours.instructions]


# Graphs by hand


def test_bias_and_relu_become_an_epilogue_at_the_place_of_the_last_of_them():
    g = GraphBuilder()
    x, w, b = g.input((3, 4)), g.input((4, 6)), g.input((6,))
    y = g.add(matmul_p, x, w)
    other = g.add(exp_p, x)
    z = g.add(relu_p, g.add(add_p, y, b))
    assert fuse_products(g.graph(z, other)) == [
        (exp_p, (x,), {}, other),
        (MATMUL, (x, w, b), {"relu": True}, z),
    ]


def test_values_that_are_read_elsewhere_or_are_outputs_are_not_fused():
    g = GraphBuilder()
    x, w, b = g.input((3, 4)), g.input((4, 6)), g.input((6,))
    y = g.add(matmul_p, x, w)
    biased = g.add(add_p, y, b)
    z = g.add(relu_p, biased)
    for outputs in [(z, y), (y, z), (z, g.add(exp_p, y))]:
        unchanged = g.graph(*outputs)
        assert fuse_epilogues(unchanged, find_views(unchanged), Tuning()).instructions == unchanged.instructions


def test_views_in_between_are_fused_too():
    g = GraphBuilder()
    x, w, b = g.input((3, 4)), g.input((4, 6)), g.input((6,))
    flat = g.add(reshape_p, g.add(add_p, g.add(matmul_p, x, w), b), shape=(18,))
    z = g.add(relu_p, flat)
    assert fuse_products(g.graph(z)) == [(MATMUL, (x, w, b), {"relu": True}, z)]


def test_a_second_run_waits_for_the_result_that_takes_the_place_of_a_fused_one():
    """And a product with an epilogue waits for what the product waited for."""
    g = GraphBuilder()
    x, w, b = g.input((3, 4)), g.input((4, 6)), g.input((6,))
    first = g.add(exp_p, x)
    y = g.add(matmul_p, x, w, awaits=(first,))
    z = g.add(relu_p, g.add(add_p, y, b))
    again = g.add(exp_p, x, awaits=(y, first))
    graph = g.graph(z, first, again)
    found = {i.result: i.awaits for i in fuse_epilogues(graph, find_views(graph), DEFAULT).instructions}
    assert found == {first: (), z: (first,), again: (z, first)}


def depth_to_space(factor):
    """relu(depth-to-space(conv(x, w) + b)), of an image of 2×2 pixels, with 3 channels in the result."""
    g, c = GraphBuilder(), 3
    x, w, b = g.input((1, 2, 2, 1)), g.input((1, 1, 1, factor**2 * c)), g.input((factor**2 * c,))
    y = g.add(add_p, g.add(conv_p, x, w, stride=(1, 1), pads=((0, 0), (0, 0))), b)
    split = g.add(reshape_p, y, shape=(1, 2, 2, factor, factor, c))
    turned = g.add(transpose_p, split, axes=(0, 1, 3, 2, 4, 5))
    z = g.add(relu_p, g.add(reshape_p, turned, shape=(1, 2 * factor, 2 * factor, c)))
    return g.graph(z), (x, w, b), z


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_depth_to_space_becomes_an_epilogue_of_a_convolution(factor):
    graph, operands, z = depth_to_space(factor)
    params = {"stride": (1, 1), "pads": ((0, 0), (0, 0)), "relu": True, "factor": factor}
    assert fuse_products(graph) == [(CONV, operands, params, z)]


def test_a_factor_that_the_kernel_lacks_is_not_fused():
    *views, last = fuse_products(depth_to_space(4)[0], Tuning(factors=(2, 3)))
    assert [primitive for primitive, *_ in views] == [CONV, reshape_p, transpose_p, reshape_p] and last[0] is relu_p


def test_only_one_of_two_added_products_becomes_a_bias():
    """A bias must be computed before its product: of two product rows that are added, one can be the bias."""
    g = GraphBuilder()
    x, v, w = g.input((1, 4)), g.input((4, 6)), g.input((4, 6))
    one, two = (g.add(reshape_p, g.add(matmul_p, x, m), shape=(6,)) for m in (v, w))
    z = g.add(add_p, one, two)
    names = [primitive for primitive, *_ in fuse_products(g.graph(z))]
    assert names.count(MATMUL) == 1 and names.count(matmul_p) == 1 and add_p not in names


# Functions, on a device

X = np.linspace(-1, 2, 12).reshape(3, 4)
W, B = np.linspace(-1, 1, 24).reshape(4, 6), np.linspace(-1, 1, 6)
IMAGES, BIAS = np.linspace(-1, 1, 75).reshape(1, 5, 5, 3), np.ones(8)
KERNEL = np.linspace(-1, 1, 216).reshape(3, 3, 3, 8)


def epilogues(device, f, *args):
    """(operands, relu, factor) of each product."""
    graph = mg.jit(f).program(*mg.to_device(args, device.device)).graph
    return [
        (len(i.operands), i.params.get("relu", False), i.params.get("factor", 1))
        for i in fuse_epilogues(graph, find_views(graph), Tuning()).instructions
        if i.primitive in (matmul_p, conv_p, MATMUL, CONV)
    ]


@pytest.mark.parametrize(
    ("f", "epilogue"),
    [
        (lambda x, w, b: x @ w + b, (3, False, 1)),
        (lambda x, w, b: b + x @ w, (3, False, 1)),
        (lambda x, w, b: mg.relu(x @ w + b), (3, True, 1)),
        (lambda x, w, b: mg.relu(mg.reshape(x @ w + b, (18,))), (3, True, 1)),
        (lambda x, w, b: mg.reshape(x @ w, (1, 3, 6)) + b, (3, False, 1)),
        (lambda x, w, b: mg.tanh(mg.relu(x @ w + b)), (3, True, 1)),
        (lambda x, w, b: mg.relu(x @ w + b) + b, (3, True, 1)),  # the bias may be read by others
        # near misses
        (lambda x, w, b: x @ w, (2, False, 1)),
        (lambda x, w, b: mg.relu(x @ w), (2, False, 1)),
        (lambda x, w, b: mg.relu(x @ w) + b, (2, False, 1)),
        (lambda x, w, b: x @ w - b, (2, False, 1)),
        (lambda x, w, b: x @ w + b[:1], (2, False, 1)),
        (lambda x, w, b: x @ w + b[::-1], (2, False, 1)),
        (lambda x, w, b: x @ w + b[:3, None], (2, False, 1)),
        (lambda x, w, b: x @ w + 1, (2, False, 1)),
        (lambda x, w, b: x @ w + b * 2, (2, False, 1)),
        (lambda x, w, b: (x @ w)[:2] + b, (2, False, 1)),
        (lambda x, w, b: (x @ w)[1:] + b, (2, False, 1)),
        (lambda x, w, b: (x @ w)[::-1] + b, (2, False, 1)),
        (lambda x, w, b: (x @ w)[None] + b[:2, None, None], (2, False, 1)),
        (lambda x, w, b: (x @ w + b, x @ w), (2, False, 1)),
        (lambda x, w, b: (x @ w + b) * (x @ w), (2, False, 1)),
        (lambda x, w, b: x @ w + x @ w, (2, False, 1)),
        (lambda x, w, b: x @ w + b.astype(np.float32), (2, False, 1)),
        # part of it
        (lambda x, w, b: (x @ w + b, mg.relu(x @ w + b)), (3, False, 1)),
        (lambda x, w, b: (x @ w + b) + b, (3, False, 1)),
        (lambda x, w, b: mg.relu((x @ w + b)[:2]), (3, False, 1)),
        (lambda x, w, b: mg.relu((x @ w + b).T), (3, False, 1)),
    ],
)
def test_epilogues_of_matrix_products(device, f, epilogue):
    assert epilogues(device, f, X, W, B) == [epilogue]
    there = mg.to_device((X, W, B), device.device)
    for ours, expected in zip(*(mg.tree.flatten(g)[0] for g in (mg.jit(f)(*there), f(X, W, B)))):
        np.testing.assert_allclose(device.to_host(ours), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("f", "epilogue"),
    [
        (lambda y, b: y + b, (3, False, 1)),
        (lambda y, b: mg.relu(y + b), (3, True, 1)),
        (lambda y, b: mg.depth_to_space(y + b), (3, False, 2)),
        (lambda y, b: mg.relu(mg.depth_to_space(y + b)), (3, True, 2)),
        (lambda y, b: mg.depth_to_space(mg.relu(y + b)), (3, True, 2)),
        (lambda y, b: mg.depth_to_space(y + b)[:, 1:], (3, False, 2)),
        (lambda y, b: mg.depth_to_space(y), (2, False, 1)),
        (lambda y, b: mg.depth_to_space(y[:, :2] + b), (2, False, 1)),
        (lambda y, b: mg.depth_to_space((y + b)[:, :2]), (3, False, 1)),
        (lambda y, b: mg.depth_to_space(mg.swapaxes(y + b, 1, 2)), (3, False, 1)),
        (lambda y, b: mg.depth_to_space(y, 2) + b[:2], (2, False, 1)),
        (lambda y, b: mg.depth_to_space(mg.tanh(y + b)), (3, False, 1)),
    ],
)
def test_epilogues_of_convolutions(device, f, epilogue):
    whole = lambda x, w, b: f(mg.conv2d(x, w), b)
    assert epilogues(device, whole, IMAGES, KERNEL, BIAS) == [epilogue]
    ours = mg.jit(whole)(*mg.to_device((IMAGES, KERNEL, BIAS), device.device))
    np.testing.assert_allclose(device.to_host(ours), whole(IMAGES, KERNEL, BIAS), rtol=1e-9, atol=1e-12)


def test_an_empty_product_has_its_epilogue_too(device):
    there = mg.to_device((np.zeros((3, 0)), np.zeros((0, 6)), B), device.device)
    assert np.array_equal(device.to_host(mg.jit(lambda x, w, b: x @ w + b)(*there)), np.broadcast_to(B, (3, 6)))
