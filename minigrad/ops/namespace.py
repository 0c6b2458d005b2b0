"""The Python array API standard, https://data-apis.org/array-api: what code written for any array library asks.

`x.__array_namespace__()` of a traced value is `minigrad`, with the standard's names, arguments and meaning. Where they
differ, `minigrad.checks.array_api` lists it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from minigrad import backends

VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")
"""The versions of the standard that `__array_namespace__` accepts; each contains those before it."""

DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128".split()
DEFAULTS = {"real floating": "float64", "complex floating": "complex128", "integral": "int64", "indexing": "int64"}


class NamespaceInfo:
    """What `__array_namespace_info__()` returns: the capabilities, devices and dtypes of this namespace."""

    def capabilities(self) -> dict[str, Any]:
        """Boolean indexing, data-dependent shapes (neither inside `mg.jit` and `mg.vmap`), and the most axes."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """The device of new arrays, "cpu"."""
        return "cpu"

    def default_dtypes(self, *, device: str | None = None) -> dict[str, np.dtype]:
        """The dtypes of new arrays: real floating, complex floating, integral and indexing."""
        backends.get(device or "cpu")
        return {kind: np.dtype(name) for kind, name in DEFAULTS.items()}

    def devices(self) -> list[str]:
        """The usable devices: "cpu", and "cuda" if there is a GPU."""
        try:
            return ["cpu", backends.get("cuda").device]
        except backends.DeviceError:
            return ["cpu"]

    def dtypes(self, *, device: str | None = None, kind: Any = None) -> dict[str, np.dtype]:
        """The dtypes of the standard by name, or those of a kind such as "real floating"."""
        backends.get(device or "cpu")
        dtypes = {name: np.dtype(name) for name in DTYPES}
        return {name: dtype for name, dtype in dtypes.items() if kind is None or np.isdtype(dtype, kind)}


def __array_namespace_info__() -> NamespaceInfo:
    """What this namespace can do: its capabilities, devices and dtypes."""
    return NamespaceInfo()


def make_array_namespace(package: ModuleType) -> Callable[..., ModuleType]:
    """The method with which traced values name their namespace, `package` (minigrad)."""

    def __array_namespace__(self: Any, *, api_version: str | None = None) -> ModuleType:
        if api_version is not None and api_version not in VERSIONS:
            raise ValueError(
                f"__array_namespace__: api_version={api_version!r} is not supported: use one of {', '.join(VERSIONS)}"
            )
        return package

    return __array_namespace__
