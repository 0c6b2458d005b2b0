"""New arrays: on any device, constants of derivatives; what depends on a traced value is refused."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.support.transfer import to_host

CALLS = {
    "arange": lambda xp, **on: xp.arange(1, 4, dtype="float32", **on),
    "zeros": lambda xp, **on: xp.zeros((2, 3), **on),
    "ones": lambda xp, **on: xp.ones(3, int, **on),
    "eye": lambda xp, **on: xp.eye(2, 3, 1, **on),
    "full": lambda xp, **on: xp.full((2, 2), 3.0, **on),
    "linspace": lambda xp, **on: xp.linspace(0.0, 1.0, 5, **on),
    "asarray": lambda xp, **on: xp.asarray([1.0, 2.0], **on),
    "zeros_like": lambda xp, **on: xp.zeros_like(np.ones(2), **on),
    "ones_like": lambda xp, **on: xp.ones_like(np.ones(2), bool, **on),
    "full_like": lambda xp, **on: xp.full_like(np.ones(2), 7, **on),
    "empty_like": lambda xp, **on: xp.empty_like(np.zeros((2, 1)), **on),
    "astype": lambda xp, **on: xp.astype(np.ones(2), np.float32, **on),
    "from_dlpack": lambda xp, **on: xp.from_dlpack(np.ones(2), **on),
    "fftfreq": lambda xp, **on: xp.fft.fftfreq(5, **on),
}


@pytest.mark.parametrize("name", CALLS)
def test_arrays_are_numpys_on_the_device_asked_for(name, backend):
    expected = CALLS[name](np)
    for device in (None, "cpu", backend.device):
        found = CALLS[name](mg, device=device)
        assert mg.device_of(found) == (device or "cpu") and found.dtype == expected.dtype
        if name != "empty_like":
            assert np.array_equal(to_host(found), expected)
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        CALLS[name](mg, device="tpu")


def test_empty_arrays_are_zeros():
    assert mg.empty((2, 1), "float32").tolist() == mg.empty_like(np.ones((2, 1))).tolist() == [[0], [0]]
    assert mg.empty((2, 1), "float32").dtype == np.float32 and mg.zeros_like(np.ones(2, complex), float).dtype == float


def test_sizes_of_traced_values_and_traced_integers_are_numbers():
    def f(x):
        n = mg.argmax(x)
        return mg.sum(x * mg.arange(x.shape[0])) + mg.sum(mg.arange(n) * x[:2]) + mg.sum(mg.eye(3) @ x)

    assert mg.grad(f)(np.array([1.0, 2.0, 3.0])).tolist() == [1, 3, 3]


@pytest.mark.parametrize("arguments", [lambda x: (x,), lambda x: (0, x), lambda x: (0, 3, x)])
def test_a_traced_end_of_a_range_is_refused(arguments):
    with pytest.raises(TypeError, match=r"^arange: the number of elements would depend on .*: use mg\.linspace"):
        mg.grad(lambda x: mg.sum(mg.arange(*arguments(x))))(2.0)


@pytest.mark.parametrize("name", ["zeros", "ones", "empty", "eye", "empty_like"])
@pytest.mark.parametrize("option", [{"order": "F"}, {"like": np.zeros(1)}, {"subok": 3}])
def test_other_memory_layouts_and_types_are_refused(name, option):
    like = name == "empty_like"
    if ("subok" in option) != like and "order" not in option:
        return
    with pytest.raises(TypeError, match=f"^{name}: {next(iter(option))}=.* is not supported"):
        getattr(mg, name)(np.ones(2) if like else 2, **option)
