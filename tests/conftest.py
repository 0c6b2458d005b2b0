"""What all tests share: the backend their arrays live on, and how hypothesis searches."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import settings

from minigrad import backends, core, to_device
from minigrad.core import rules, tree
from tests.support import environment, ids, stand_in
from tests.support.cuda_shim import GXX
from tests.support.programs import WAYS
from tests.support.transfer import to_host

settings.register_profile("suite", max_examples=50, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("thorough", max_examples=1000, deadline=None)  # pytest --hypothesis-profile=thorough
settings.load_profile("suite")

DEVICES = {"numpy": "cpu", "cupy": "cuda", "stand-in": stand_in.BACKEND.device}


@pytest.hookimpl(trylast=True)  # pytest's own lines look as they are asked to
def pytest_configure(config):
    if not __debug__:
        raise pytest.UsageError("the tests need asserts: run Python without -O, and without PYTHONOPTIMIZE")
    stack = ExitStack()
    stack.enter_context(environment.isolate())
    config.add_cleanup(stack.close)
    config.addinivalue_line("markers", "large: too much for the stand-in GPU")


def pytest_addoption(parser):
    parser.addoption(
        "--backend",
        choices=tuple(DEVICES),
        default="numpy",
        help="where the arrays of the tests live; 'stand-in' is a GPU made of NumPy and g++, which refuses host arrays",
    )
    parser.addoption(
        "--seeds",
        type=int,
        default=3,
        help="seeds to compute every exact claim of the lecture with (nightly: 10)",
    )


def pytest_make_parametrize_id(config, val, argname):
    """The same names in every process of pytest-xdist, and names to read."""
    return ids.name_of(val)


def pytest_collection_modifyitems(config, items):
    """On another device, what does not depend on it need not run again.

    On the stand-in, which computes slowly and compiles every chain, neither does what is `large`, what is about kernels
    and so uses it anyway, nor variants of an operation in programs (without `--hypothesis-profile=thorough`).
    """
    device = config.getoption("--backend")
    if device != "numpy":
        stays = [item for item in items if "backend" in item.fixturenames]
        if device == "stand-in" and config.getoption("--hypothesis-profile") != "thorough":
            stays = [item for item in stays if not (_is_variant(item) or "device" in item.fixturenames)]
            stays = [item for item in stays if not item.get_closest_marker("large")]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(stays)])
        items[:] = stays


def _is_variant(item) -> bool:
    """Whether a test of a program is one of several for an operation: a program of a device has no regions."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return params.get("way", "whole") != "whole" or ("way" in params and "/" in getattr(params.get("case"), "name", ""))


@pytest.fixture(scope="session")
def backend(request):
    """The backend of this run. Skips whatever asks for it where there is no such device."""
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
    """Moves the NumPy arrays of a tree to the backend of this run."""
    return lambda values: tree.map(lambda x: backend.from_host(x) if isinstance(x, np.ndarray) else x, values)


@pytest.fixture(scope="session")
def on_host(backend):
    """Moves the arrays of a tree back to NumPy."""
    return lambda values: tree.map(lambda x: np.asarray(to_host(x)), values)


@pytest.fixture(scope="session")
def device(backend):
    """A backend with kernels: that of this run, if it has some, else the stand-in that compiles them with g++."""
    if backend.recorder:
        return backend
    if GXX is None:
        pytest.skip("kernels run on the host only with g++, which is not here")
    return backends.get("stand-in")


@pytest.fixture(scope="session")
def to_gpu(device):
    """Moves the arrays of a tree to the device, copied."""
    copied = lambda x: np.array(x) if hasattr(x, "shape") else x
    return lambda values: to_device(tree.map(copied, values), device.device)


@pytest.fixture(scope="session")
def agree(device):
    """Whether a tree on the device is one on the host, within rounding."""

    def check(ours, expected, rtol=1e-9):
        ours, expected = (tree.flatten(values) for values in (ours, expected))
        assert ours[1] == expected[1]
        for x, y in zip(ours[0], map(np.asarray, expected[0]), strict=True):
            x = np.asarray(device.to_host(x))
            assert x.shape == y.shape and x.dtype == y.dtype
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol, equal_nan=True)

    return check


@pytest.fixture
def make_primitive():
    """Make primitives of one argument x, with a (jvp, vjp), that are forgotten after the test."""
    before = set(core.primitives)

    def make(forward, jvp=None, vjp=None, **kwargs):
        made = core.Primitive(f"made_{len(core.primitives)}", forward, **kwargs)
        return made if jvp is None else rules.custom(made, x=(jvp, vjp))

    yield make
    for name in set(core.primitives) - before:
        del core.primitives[name]


@pytest.fixture(autouse=True)
def no_interpreter_left_behind():
    """Every test must leave the interpreter as it found it."""
    from minigrad.core.interpreter import current

    before = current()
    yield
    assert current() is before


@pytest.fixture(scope="module")
def peer(request):
    """An installed library to compare with, open, by the name of its module."""
    from tests.support.peers import PEERS

    with PEERS[request.param]() as opened:
        yield opened


@pytest.fixture(scope="module")
def ours(on_device):
    """minigrad behind the same face as its peers."""
    from tests.support.peers import Minigrad

    return Minigrad(on_device)


@pytest.fixture(params=WAYS)
def way(request):
    """How programs run: as they are; with small arrays cut too; and that into parts of a row."""
    return WAYS[request.param]
