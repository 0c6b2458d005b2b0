"""Fixtures of all tests: the backend of the run, moving arrays, peers; hypothesis profiles and pytest options."""

from __future__ import annotations

import gc
import os
from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import settings

from minigrad import backends, to_device
from minigrad.core import tree
from minigrad.testing.fixtures import make_primitive, no_interpreter_left_behind, registry  # noqa: F401  (fixtures)
from tests.support import environment, ids, stand_in
from tests.support.cuda_shim import GXX
from tests.support.programs import WAYS
from tests.support.transfer import to_host

settings.register_profile("suite", max_examples=15, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("stand-in", settings.get_profile("suite"), max_examples=10)
settings.register_profile("thorough", max_examples=1000, deadline=None)  # pytest --hypothesis-profile=thorough
settings.load_profile("suite")

DEVICES = {"numpy": "cpu", "cupy": "cuda", "stand-in": stand_in.BACKEND.device}


@pytest.hookimpl(trylast=True)  # pytest reads COLUMNS and the like before `isolate` unsets them
def pytest_configure(config):
    if not __debug__:
        raise pytest.UsageError("the tests need assert statements: run Python without -O and without PYTHONOPTIMIZE")
    stack = ExitStack()
    is_worker = hasattr(config, "workerinput")  # of pytest-xdist: workers share a home, and so what is compiled
    stack.enter_context(environment.isolate(os.environ["HOME"] if is_worker else None))
    config.add_cleanup(stack.close)
    config.addinivalue_line("markers", "host: does not depend on where arrays live, so it runs on the host only")
    config.addinivalue_line("markers", "large: too slow for the stand-in GPU")
    if config.getoption("--backend") == "stand-in" and config.getoption("--hypothesis-profile") is None:
        settings.load_profile("stand-in")


def pytest_addoption(parser):
    parser.addoption(
        "--backend",
        choices=tuple(DEVICES),
        default="numpy",
        help="device of the tests' arrays; 'stand-in' simulates a GPU with NumPy and g++, and rejects host arrays",
    )
    parser.addoption(
        "--seeds",
        type=int,
        default=2,
        help="seeds to compute every exact claim of the lecture with, besides one that is drawn (nightly: 10)",
    )


def pytest_make_parametrize_id(config, val, argname):
    """Readable names for lambdas, identical in every process of pytest-xdist."""
    return ids.name_of(val)


def pytest_collection_modifyitems(config, items):
    """On another device, run only the tests that use the fixture `backend`.

    The stand-in computes slowly and compiles every fused chain. Without `--hypothesis-profile=thorough` it also skips
    tests marked `large`, tests of kernels, which use it in every run, and variants of an operation (`sum/axis`), whose
    derivatives of first and second order the host stage computes on it.
    """
    device = config.getoption("--backend")
    if device != "numpy":
        kept = [item for item in items if "backend" in item.fixturenames and not item.get_closest_marker("host")]
        if device == "stand-in" and config.getoption("--hypothesis-profile") != "thorough":
            kept = [item for item in kept if _way_of(item) == "whole" and not _is_variant(item)]
            kept = [item for item in kept if not ("device" in item.fixturenames or item.get_closest_marker("large"))]
        chosen = set(kept)
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = kept


def pytest_collection_finish(session):
    """Exempt the thousands of collected tests from garbage collection, whose time is proportional to what exists."""
    _exempt_what_exists()


@pytest.fixture(scope="module", autouse=True)
def few_objects_to_collect():
    """The same for what the modules before this one left, peers above all."""
    _exempt_what_exists()


def _exempt_what_exists():
    gc.collect()
    gc.freeze()


def _way_of(item) -> str:
    """How a test cuts a program; a device has no regions, so that other ways are redundant there."""
    return item.callspec.params.get("way", "whole") if hasattr(item, "callspec") else "whole"


def _is_variant(item) -> bool:
    """Whether a test is of a variant of an operation."""
    return hasattr(item, "callspec") and "/" in getattr(item.callspec.params.get("case"), "name", "")


@pytest.fixture(scope="session")
def backend(request):
    """The backend of this run. Skips the test if the device is missing."""
    try:
        return backends.get(DEVICES[request.config.getoption("--backend")])
    except backends.DeviceError as error:
        pytest.skip(f"--backend cupy needs a GPU: {error}")


@pytest.fixture(scope="session")
def xp(backend):
    """The array namespace of this run."""
    return backend.xp


@pytest.fixture(scope="session")
def on_device(backend):
    """A function that moves the NumPy arrays of a tree to the backend of this run."""
    return lambda values: tree.map(lambda x: backend.from_host(x) if isinstance(x, np.ndarray) else x, values)


@pytest.fixture(scope="session")
def on_host(backend):
    """A function that moves the arrays of a tree back to NumPy."""
    return lambda values: tree.map(lambda x: np.asarray(to_host(x)), values)


@pytest.fixture(scope="session")
def device(backend):
    """A backend with CUDA kernels: that of this run if it has kernels, else the stand-in, which compiles with g++."""
    if backend.recorder:
        return backend
    if GXX is None:
        pytest.skip("running kernels on the host needs g++, which was not found")
    return backends.get("stand-in")


@pytest.fixture(scope="session")
def to_gpu(device):
    """A function that copies the arrays of a tree to the device with kernels."""
    copy = lambda x: np.array(x) if hasattr(x, "shape") else x
    return lambda values: to_device(tree.map(copy, values), device.device)


@pytest.fixture(scope="session")
def agree(device):
    """A function that asserts that a tree on the device equals one on the host, within rounding."""

    def check(ours, expected, rtol=1e-9):
        ours, expected = (tree.flatten(values) for values in (ours, expected))
        assert ours[1] == expected[1]
        for x, y in zip(ours[0], map(np.asarray, expected[0]), strict=True):
            x = np.asarray(device.to_host(x))
            assert x.shape == y.shape and x.dtype == y.dtype
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol, equal_nan=True)

    return check


@pytest.fixture(scope="module")
def peer(request):
    """The peer library with this module name, opened for the tests of a module."""
    from tests.support.peers import PEERS

    with PEERS[request.param]() as opened:
        yield opened


@pytest.fixture(scope="module")
def ours(on_device):
    """minigrad behind the interface of its peers."""
    from tests.support.peers import Minigrad

    return Minigrad(on_device)


@pytest.fixture(params=WAYS)
def way(request):
    """The tuning of programs: the default; regions for small arrays too; such regions cut into single rows."""
    return WAYS[request.param]
