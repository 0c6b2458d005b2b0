"""Moving trees between devices, and exchanging arrays with other libraries."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.support import (
    stand_in,  # noqa: F401  (registers itself)
)
from tests.support.environment import optional
from tests.support.oracles import assert_close
from tests.support.transfer import to_host


def test_to_device_moves_trees():
    params = {"w": np.ones(2), "n": 3, "none": None}
    moved = mg.to_device(params, "stand-in")
    assert mg.device_of(moved["w"]) == "stand-in" and moved["n"] == 3 and moved["none"] is None
    back = mg.to_device(moved, "cpu")
    assert type(back["w"]) is np.ndarray and np.array_equal(back["w"], params["w"])
    assert mg.to_device(params, "cpu")["w"] is params["w"]


def test_a_gpu_is_asynchronous_and_the_host_is_not():
    assert mg.device.is_asynchronous("stand-in") and not mg.device.is_asynchronous("cpu")
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        mg.device.is_asynchronous("tpu")


def test_a_traced_value_stays_where_it_is(backend, xp):
    def f(x):
        assert x.device == mg.device_of(x) == backend.device
        assert x.to_device(backend.device) is x and mg.to_device({"x": x}, backend.device)["x"] is x
        return mg.sum(x * mg.ones(2, device=x.device))

    assert mg.device_of(mg.grad(f)(xp.ones(2))) == backend.device
    with pytest.raises(TypeError, match=r"^to_device: stream=1 is not supported"):
        mg.grad(lambda x: x.to_device(backend.device, stream=1))(xp.ones(()))


@pytest.mark.parametrize(
    "move",
    [
        lambda x: mg.to_device(x, "stand-in"),
        lambda x: x.to_device("stand-in"),
        lambda x: mg.asarray(x, device="stand-in"),
        lambda x: mg.full_like(np.ones(2), x, device="stand-in"),
    ],
)
def test_a_traced_value_cannot_be_moved(move):
    with pytest.raises(TypeError, match="cannot move a traced value from 'cpu' to 'stand-in': move arrays before trac"):
        mg.grad(lambda x: mg.sum(move(x)))(np.ones(2))
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        mg.to_device(3.0, "tpu")


def test_without_a_gpu_the_error_says_what_to_do():
    try:
        mg.to_device(np.ones(1), "cuda")
    except mg.DeviceError as error:
        assert "install" in str(error) or "GPU" in str(error)


def test_lists_of_numbers_become_arrays():
    assert mg.sum([1.0, 2.0]) == 3 and mg.add(np.ones(2), [1, 2]).tolist() == [2, 3]


# DLPack


def test_dlpack_in_and_out():
    torch = optional("torch", extra="bench")
    theirs = torch.arange(4, dtype=torch.float64)
    x = mg.from_dlpack(theirs)
    assert type(x) is np.ndarray and mg.asarray(theirs).dtype == np.float64
    theirs[0] = 7
    assert x[0] == 7  # shared memory
    gradient = mg.grad(lambda x: mg.sum(x**2))(x)
    back = torch.from_dlpack(gradient)
    assert back.tolist() == [14, 2, 4, 6]
    back[0] = 1
    assert gradient[0] == 1
    copied = mg.from_dlpack(theirs, copy=True)
    copied[0] = 3
    assert theirs[0] == 7


def test_asarray(xp):
    assert mg.asarray([[1, 2], [3, 4]]).shape == (2, 2) and mg.asarray(3.0).shape == ()
    x = xp.ones(2)
    assert mg.asarray(x) is x
    assert float(mg.grad(lambda x: mg.sum(mg.asarray(x)))(x)[0]) == 1
    with pytest.raises(TypeError, match="does not support DLPack"):
        mg.from_dlpack([1.0])


def test_asarray_stacks_lists_of_traced_values(on_device):
    """Nested lists and tuples, with numbers and arrays between traced values, as np.array does plain ones."""
    x, g = on_device(np.array([0.5, -2.0])), np.array([[[3.0, -1], [0.5, 2]], [[4, 5], [-6, 7]]])
    build = lambda array, x: array([[x, 3 * x], ([x[0] * x[1], 1], [2.0, 3.0])])
    y, pullback = mg.vjp(lambda x: build(mg.asarray, x), x)
    assert_close(to_host(y), build(np.array, to_host(x)))
    expected = [3 + 3 * 0.5 + 4 * -2.0, -1 + 3 * 2 + 4 * 0.5]
    assert_close(to_host(pullback(on_device(g))[0]), expected)
    y, y_dot = mg.jvp(lambda x: mg.asarray([x[0], 2], dtype=np.float32), (x,), (x,))
    assert y.dtype == np.float32 and to_host(y).tolist() == [0.5, 2] and to_host(y_dot).tolist() == [0.5, 0]
    assert to_host(mg.jit(lambda x: mg.asarray([x[1], x[0], 1.0]))(x)).tolist() == [-2, 0.5, 1]


def test_asarray_copies_where_it_is_asked_to_or_must(backend, xp):
    x = xp.ones(2)
    for same in (mg.asarray(x, copy=False), mg.asarray(x, x.dtype, copy=False), mg.asarray(x, device=backend.device)):
        assert backend.address(same) == backend.address(x)
    for copy in (
        mg.asarray(x, copy=True),
        mg.asarray(x, copy=True, device=backend.device),
        mg.reshape(x, (2, 1), copy=True),
    ):
        copy[...] = 7
        assert float(x[0]) == 1
    for needed in (lambda: mg.asarray([1.0], copy=False), lambda: mg.asarray(x, "float32", copy=False)):
        with pytest.raises(ValueError, match=r"^asarray: .* becomes .* only as a copy"):
            needed()
    with pytest.raises(ValueError, match=r"^reshape: float64\[2, 3\] takes the shape \(6,\) only as a copy"):
        mg.reshape(xp.ones((3, 2)).T, (6,), copy=False)
    assert mg.reshape(xp.ones((3, 2)), (6,), copy=False).shape == (6,)
    assert mg.grad(lambda x: mg.sum(mg.reshape(mg.asarray(x.T, copy=False), 6, copy=False)))(xp.ones((3, 2))).ndim == 2
