"""CUDA C++ on the host: `RawModule` as CuPy has it, compiled with g++ (shim.h says how threads run).

Arguments that CUDA would misinterpret raise here: a number of another type than the parameter's, an array of another
item size, a host array, a grid or a block beyond CUDA's limits.
"""

from __future__ import annotations

import ctypes
import functools
import getpass
import hashlib
import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

SHIM = Path(__file__).with_name("shim.h")
GXX = shutil.which("g++")
USER = os.getuid() if hasattr(os, "getuid") else getpass.getuser()  # some user ids have no name
FLAGS = (
    "-std=c++17 -O1 -fPIC -ffp-contract=off -U_FORTIFY_SOURCE "
    "-fsanitize=alignment,bounds -fsanitize-undefined-trap-on-error "
    "-Wall -Werror -Wno-unknown-pragmas -Wno-unused-function -Wno-sign-compare"
)
ORDERS = "forwards", "backwards", "shuffled"
WHOLE = '#include "{shim}"\nnamespace kernels {{\n#line 1 "{source}"\n{code}\n}}\n'
KERNEL = re.compile(r'extern\s+"C"\s+(__attribute__\(\(used\)\)\s+void\s+(\w+)\s*\()')  # in preprocessed text
PLAIN, MARKED = re.compile(r'(extern\s+"C"\s+)__global__\s+void'), r"\1__attribute__((used)) void"  # in source text
LAUNCHERS = """
extern "C" void shim_order(int order) {{ shim::order = decltype(shim::order)(order); }}
"""
LAUNCHER = """
extern "C" const char* {0}_parameters() {{ return shim::parameters(kernels::{0}); }}
extern "C" const char* {0}_launch(dim3 grid, dim3 block, void** values) {{
    return shim::launch(kernels::{0}, grid, block, values);
}}
"""
MOST_BYTES = 4096  # of kernel parameters, before CUDA 12.1
MOST_THREADS, MOST_BLOCKS = (1024, 1024, 64), (2**31 - 1, 65535, 65535)


order = "forwards"  # in which blocks, and the threads of a block, run: see `in_order`


@contextmanager
def in_order(name: str) -> Iterator[None]:
    """Run launches in this context in one of `ORDERS`; results that depend on the order show a race."""
    global order
    before, order = order, name
    try:
        yield
    finally:
        order = before


class CompileException(Exception):
    """The error messages of g++ for a source."""


class LaunchError(RuntimeError):
    """A launch that CUDA would reject, or whose behaviour it leaves undefined."""


class _Sizes(ctypes.Structure):
    _fields_ = [(axis, ctypes.c_uint) for axis in "xyz"]


class RawModule:
    """The kernels of a source, its `extern "C" __global__` functions. Compiles at the first `get_function`."""

    def __init__(self, *, code: str, options: tuple[str, ...] = ()):
        self.code, self.options, self._library, self._kernels = code, options, None, {}

    def get_function(self, name: str) -> Kernel:
        """The kernel of this name. Raises CompileException if the source does not compile or has no such kernel."""
        if self._library is None:
            self._library = ctypes.PyDLL(str(_compile(self.code, self.options)))  # one launch at a time
        if not hasattr(self._library, f"{name}_launch"):
            raise CompileException(f'no kernel extern "C" __global__ void {name}(…)')
        if name not in self._kernels:
            self._kernels[name] = Kernel(self._library, name)
        return self._kernels[name]


class Kernel:
    """A kernel, called with (grid, block, arguments)."""

    def __init__(self, library: ctypes.PyDLL, name: str):
        describe, self._launch = library[f"{name}_parameters"], library[f"{name}_launch"]
        describe.restype = self._launch.restype = ctypes.c_char_p
        self._launch.argtypes = [_Sizes, _Sizes, ctypes.c_void_p]
        self._set_order = library.shim_order
        self.name, self.parameters = name, describe().decode().split()

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple) -> None:
        """Runs the kernel. Raises LaunchError, and TypeError for arguments that do not match the parameters."""
        self.bind(grid, block, args)()

    def bind(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple) -> Callable[[], None]:
        """A function that runs the kernel, after checking grid, block and arguments."""
        grid, block = _sizes(grid, MOST_BLOCKS, "grid"), _sizes(block, MOST_THREADS, "block")
        if math.prod(block) > MOST_THREADS[0]:
            raise LaunchError(f"{self.name}: a block of {block} has more than {MOST_THREADS[0]} threads")
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name} takes {len(self.parameters)} arguments, not {len(args)}")
        if 8 * len(args) > MOST_BYTES:
            raise LaunchError(f"{self.name}: {len(args)} arguments take more than {MOST_BYTES} bytes")
        values = [self._value(i, *both) for i, both in enumerate(zip(self.parameters, args))]

        def run():
            places = _places(len(values))(*map(ctypes.addressof, values))
            self._set_order(ORDERS.index(order))
            error = self._launch(_Sizes(*grid), _Sizes(*block), places)
            if error is not None:
                raise LaunchError(f"{self.name}: {error.decode()}")

        return run

    def _value(self, i: int, parameter: str, argument):
        """An argument as a ctypes value. An array is any object with a `__cuda_array_interface__`."""
        if parameter.startswith("*"):
            size, place = int(parameter[2:]), getattr(argument, "__cuda_array_interface__", None)
            if place is None:
                raise TypeError(f"{self.name}, argument {i}: {type(argument)}, expected an array on the device")
            fits = size % argument.itemsize == 0 if parameter[1] == "V" else size == argument.itemsize
            if not fits:
                raise TypeError(f"{self.name}, argument {i}: {argument.dtype} array, expected {parameter[1:]}")
            return ctypes.c_void_p(place["data"][0])
        if not isinstance(argument, np.generic) or argument.dtype.str[1:] != parameter:
            given = getattr(argument, "dtype", type(argument))
            raise TypeError(f"{self.name}, argument {i}: {given}, expected a NumPy scalar {parameter}")
        return np.ctypeslib.as_ctypes_type(argument.dtype)(argument.item())


@functools.cache
def _places(count: int) -> type:
    """The ctypes class of an array of addresses, cached."""
    return ctypes.c_void_p * count


def _sizes(given: tuple[int, ...], most: tuple[int, ...], what: str) -> tuple[int, ...]:
    full = (*given, *(1,) * (3 - len(given)))
    if len(full) > 3 or not all(1 <= n <= limit for n, limit in zip(full, most)):
        raise LaunchError(f"a {what} of {given}, expected sizes from 1 to {most}")
    return full


def _compile(code: str, options: tuple[str, ...]) -> Path:
    """The shared library of a source; from the cache if it was compiled before."""
    if GXX is None:
        raise RuntimeError("running kernels on the host needs g++, which was not found: apt-get install g++")
    command = [GXX, *FLAGS.split(), *(o for o in options if o.startswith("-D"))]
    key = _digest(command, SHIM.read_text(), code)
    folder = Path(tempfile.gettempdir()) / f"minigrad-cuda-shim-{USER}"
    library = folder / f"{key}.so"
    if not library.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as own:
            shim, source = _precompile(command, folder), folder / f"{key}.cu"
            source.write_text(code)  # for debuggers and readers
            if "#define" in code:  # macros may define kernels
                text = _gxx([*command, "-E", "-x", "c++", "-"], WHOLE.format(shim=SHIM, source=source, code=code))
                language = "c++-cpp-output"
            else:
                text, language = WHOLE.format(shim=shim, source=source, code=PLAIN.sub(MARKED, code)), "c++"
            launchers = LAUNCHERS.format() + "".join(LAUNCHER.format(name) for _, name in KERNEL.findall(text))
            text = KERNEL.sub(r"\1", text)  # without extern "C", a kernel may share its name with a C function
            _gxx([*command, "-shared", "-x", language, "-", "-o", f"{own}/made.so"], text + launchers)
            os.replace(f"{own}/made.so", library)
    return library


def _precompile(command: list[str], folder: Path) -> Path:
    """A copy of shim.h beside its precompiled header for these options, which halves the time for a small source."""
    header = folder / _digest(command, SHIM.read_text()) / SHIM.name
    if not header.exists():
        with tempfile.TemporaryDirectory(dir=folder) as own:
            (Path(own) / SHIM.name).write_text(SHIM.read_text().replace("#pragma once\n", ""))
            _gxx([*command, "-x", "c++-header", f"{own}/{SHIM.name}", "-o", f"{own}/{SHIM.name}.gch"], "")
            header.parent.mkdir(exist_ok=True)
            os.replace(f"{own}/{SHIM.name}.gch", f"{header}.gch")
            os.replace(f"{own}/{SHIM.name}", header)
    return header


def _digest(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:32]


def _gxx(command: list[str], text: str) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise CompileException(done.stderr)
    return done.stdout
