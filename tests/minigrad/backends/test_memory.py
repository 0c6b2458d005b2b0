"""Messages when the host is out of memory."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends.memory import amount, explain, reason
from tests.support import fake_cupy


def test_a_host_out_of_memory():
    x = np.broadcast_to(np.ones(1), (2**30, 2**26))  # 2⁵⁹ bytes, if they were written out
    message = (
        r"^multiply\(float64\[1073741824, 67108864\], float64\[1073741824, 67108864\]\): not enough memory here "
        r"\(asked for 524,288 TiB\): use a smaller batch$"
    )
    for f in (mg.multiply, mg.grad(lambda x, y: mg.sum(x * y))):
        with pytest.raises(mg.OutOfMemoryError, match=message):
            f(x, x)


def test_errors_about_something_else_are_not_explained():
    assert explain(ValueError("out of memory"), "exp(x)") is None
    assert str(explain(MemoryError(), "exp(x)")) == "exp(x): not enough memory here (MemoryError): use a smaller batch"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "0.977 KiB"),
        (2**20, "1 MiB"),
        (1500 * 2**20, "1.46 GiB"),
        (2**40, "1 TiB"),
        (2**59, "524,288 TiB"),
    ],
)
def test_amounts(count, words):
    assert amount(count) == words


def test_the_reason_is_the_informative_line_of_an_error():
    assert reason(ImportError(fake_cupy.NO_IMPORT)).startswith("ImportError: libcudart.so.12: cannot open")
    assert reason(ValueError("one line.\nanother")) == "one line" and reason(KeyError()) == "KeyError"
    assert len(reason(ValueError("x" * 1000))) == 300
