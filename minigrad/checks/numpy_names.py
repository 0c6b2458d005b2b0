"""NumPy's public functions (main namespace, `linalg`, `fft`): which are offered, and what to use instead of others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import minigrad as mg
from minigrad.ops.refused import NO_ARRAY_FUNCTION, NO_DERIVATIVE, REFUSED

NAMESPACES = {"": np, "linalg.": np.linalg, "fft.": np.fft}
STATUSES = ("here", "refused", "no derivative", "no array function", "unknown")


class Row(NamedTuple):
    """A public function of NumPy, whether it is offered, and the advice if it is refused."""

    name: str  # `sum`, `linalg.det`
    status: str  # one of STATUSES
    advice: str


def list_functions() -> list[str]:
    """The public functions of the installed NumPy, and r_ and c_; classes, submodules and constants are left out."""
    return [
        prefix + name
        for prefix, namespace in NAMESPACES.items()
        for name in dir(namespace)
        if not name.startswith("_") and _is_function(getattr(namespace, name))
    ]


def _is_function(f: object) -> bool:
    return (callable(f) and not isinstance(f, type)) or isinstance(f, (type(np.r_), type(np.c_)))


def is_offered(name: str) -> bool:
    """Whether minigrad has a function of this name: at its top, or in a namespace of NumPy's name."""
    area, _, last = name.rpartition(".")
    return any(callable(getattr(place, last, None)) for place in (mg, getattr(mg, area, None) if area else None))


def compare_names() -> list[Row]:
    """A row for each public function of the installed NumPy."""
    return [Row(name, _find_status(name), REFUSED.get(name, "")) for name in list_functions()]


def _find_status(name: str) -> str:
    if name in REFUSED:  # also numpy.linalg.cond, which means something else than ours of the same name
        return "refused"
    if is_offered(name):
        return "here"
    return "no derivative" if name in NO_DERIVATIVE else "no array function" if name in NO_ARRAY_FUNCTION else "unknown"
