"""What tests of CUDA kernels share."""

from __future__ import annotations

import pytest

from minigrad.backends.cuda.launch import Kernels


@pytest.fixture(scope="module", params=[2, 132], ids=["few processors", "many processors"])
def kernels(request, device):
    """Kernels that think of a small and of a large device: the latter divides sums over many blocks."""
    return Kernels(device.xp, request.param)
