"""Libraries written against the array API standard take traced values: SciPy, array_api_extra and the like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.array_api import make_strategies_namespace

import minigrad as mg
from tests.support.environment import ROOT, optional

FUNCTIONS = {
    "scipy.fft": ["fft"],
    "scipy.integrate": ["trapezoid", "cumulative_trapezoid"],
    "scipy.optimize": ["rosen"],
    "scipy.spatial.transform": ["Rotation"],
    "scipy.special": ["softmax"],
    "scipy.stats": "circmean circvar directional_stats gmean hmean kstat kurtosis lmoment pmean sem".split(),
    "array_api_extra": "atleast_nd cov expand_dims kron one_hot partition sinc".split(),
}
NAMES = [f"{area}.{name}" for area, names in FUNCTIONS.items() for name in names]


@pytest.fixture(scope="module")
def derivatives():
    """What the program tests/support/array_api_consumers.py prints."""
    scipy = optional("scipy", extra="test")
    optional("array_api_compat", extra="test")
    optional("array_api_extra", extra="test")
    if not scipy.__version__.startswith("1.17."):
        pytest.skip(
            "which functions of SciPy assign to elements, as traced values do not allow, is known of SciPy 1.17"
        )
    command = [sys.executable, "-m", "tests.support.array_api_consumers"]
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_a_function_of_another_library_has_derivatives(name, derivatives):
    assert {*derivatives} == {*NAMES}
    found = derivatives[name]
    first, second = found.pop("differences"), found.pop("second differences")
    assert np.abs(first).max() > 0.01 and {"grad", "jvp", "second"} <= {*found}
    for way, derivative in found.items():
        np.testing.assert_allclose(derivative, second if way == "second" else first, 1e-7, 1e-7, err_msg=way)


def test_array_api_compat_finds_the_namespace_and_the_device():
    compat = optional("array_api_compat", extra="test")

    def f(x):
        xp = compat.array_namespace(x, 2.0, x * x, api_version="2024.12")
        assert xp is mg and compat.is_array_api_obj(x) and not compat.is_numpy_array(x)
        assert compat.device(x) == "cpu" and compat.size(x) == 3
        return xp.sum(compat.to_device(x, "cpu") ** 2)

    assert mg.grad(f)(np.array([1.0, -2.0, 3.0])).tolist() == [2, -4, 6]
    assert mg.jit(mg.grad(f))(np.array([1.0, -2.0, 3.0])).tolist() == [2, -4, 6]


def test_what_array_api_compat_and_array_api_extra_cannot_do():
    """Results without a derivative are plain arrays, and traced values cannot be assigned to."""
    compat, extra = (optional(f"array_api_{name}", extra="test") for name in ("compat", "extra"))
    with pytest.raises(TypeError, match="Multiple namespaces"):
        mg.grad(lambda x: mg.sum(x) * bool(compat.array_namespace(x, x > 0)))(np.ones(2))
    with pytest.raises(TypeError, match=r"cannot assign to elements of a traced value: write x = mg\.at"):
        mg.grad(lambda x: mg.sum(extra.at(x)[0].set(3.0)))(np.ones(2))


@pytest.mark.parametrize("name", ["bool", "int8", "uint16", "int64", "float32", "float64", "complex64", "complex128"])
@given(data=st.data())
def test_hypothesis_draws_arrays_of_the_namespace(name, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xps = make_strategies_namespace(mg, api_version="2024.12")
    dtype = getattr(mg, name)
    x = data.draw(xps.arrays(dtype, xps.array_shapes(max_side=3)))
    assert type(x) is np.ndarray and x.dtype == dtype
    found = data.draw(xps.scalar_dtypes())
    assert np.dtype(found).name in mg.__array_namespace_info__().dtypes()
    shape = data.draw(xps.broadcastable_shapes(x.shape))
    assert mg.broadcast_shapes(x.shape, shape)
    index = data.draw(xps.indices(x.shape))
    assert np.array_equal(mg.asarray(x)[index], x[index], equal_nan=name[0] in "fc")
