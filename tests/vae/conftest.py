"""With `--backend` other than numpy, modules that ask for it train, evaluate, draw and check on that device."""

from __future__ import annotations

import pytest

from vae import commands, gradients, training


@pytest.fixture(scope="module")
def on_the_device_of_this_run(backend):
    """The default device of functions that take one, and of the command line."""
    if backend.name == "numpy":
        yield
        return
    usual = commands._device
    with pytest.MonkeyPatch.context() as patch:
        for function in (training.make_trainer, training.load_trainer, gradients.check):
            patch.setattr(function, "__defaults__", (*function.__defaults__[:-1], backend.device))
        patch.setattr(commands, "_device", lambda name: backend.device if name == "cpu" else usual(name))
        yield
