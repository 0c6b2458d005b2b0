"""`python -m minigrad.backends`: says what is there, and what to do about what is not."""

import json
import types

import numpy as np
import pytest

from minigrad import backends
from minigrad.backends.__main__ import main


def test_the_host_is_described(capsys):
    assert main(["--json"]) == 0
    cpu = json.loads(capsys.readouterr().out)["cpu"]
    assert cpu["numpy"] == np.__version__
    assert all(cpu.values())


def test_without_a_gpu_it_says_what_to_install(capsys, monkeypatch):
    def get(device):
        raise backends.DeviceError("no CuPy here: install it")

    monkeypatch.setattr(backends, "get", get)
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["cpu", "python"]
    assert lines[-1] == "cuda  absent   no CuPy here: install it"


def test_a_gpu_is_named(capsys, monkeypatch):
    """With a CuPy that is only pretended."""
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 2,
        getDeviceProperties=lambda i: {"name": b"GPU %d" % i},
        driverGetVersion=lambda: 12040,
        runtimeGetVersion=lambda: 12020,
    )
    cupy = types.SimpleNamespace(__version__="14.0", cuda=types.SimpleNamespace(runtime=runtime))
    monkeypatch.setattr(backends, "get", lambda device: types.SimpleNamespace(xp=cupy))
    assert main([]) == 0
    assert "cuda  devices  GPU 0, GPU 1" in capsys.readouterr().out


def test_wrong_options_are_one_sentence(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--what"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
