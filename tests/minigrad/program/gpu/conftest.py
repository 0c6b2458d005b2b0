"""Fixtures of the tests of programs on a device."""

from __future__ import annotations

import pytest


@pytest.fixture
def graphs(device, monkeypatch):
    """A list of the graphs that are recorded."""
    made, ended = [], device.xp.cuda.Stream.end_capture
    monkeypatch.setattr(device.xp.cuda.Stream, "end_capture", lambda stream: made.append(ended(stream)) or made[-1])
    return made
