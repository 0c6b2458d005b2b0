"""CUDA C++ on the host: `RawModule` as CuPy has it, compiled with g++ (shim.h says how threads run).

What CUDA would take and misread is refused here: a number of another type than the parameter's, an array whose items
have another size, a host array, a grid or a block beyond CUDA's limits.
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
USER = os.getuid() if hasattr(os, "getuid") else getpass.getuser()  # not every user id has a name
FLAGS = (
    "-std=c++17 -O1 -fPIC -ffp-contract=off -U_FORTIFY_SOURCE "
    "-fsanitize=alignment,bounds -fsanitize-undefined-trap-on-error "
    "-Wall -Werror -Wno-unknown-pragmas -Wno-unused-function -Wno-sign-compare"
)
ORDERS = "forwards", "backwards", "shuffled"
WHOLE = '#include "{shim}"\nnamespace kernels {{\n#line 1 "{source}"\n{code}\n}}\n'
KERNEL = re.compile(r'extern\s+"C"\s+(__attribute__\(\(used\)\)\s+void\s+(\w+)\s*\()')  # when preprocessed
PLAIN, MARKED = re.compile(r'(extern\s+"C"\s+)__global__\s+void'), r"\1__attribute__((used)) void"  # as preprocessed
LAUNCHERS = """
extern "C" void shim_order(int order) {{ shim::order = decltype(shim::order)(order); }}
"""
LAUNCHER = """
extern "C" const char* {0}_parameters() {{ return shim::parameters(kernels::{0}); }}
extern "C" const char* {0}_launch(dim3 grid, dim3 block, void** values) {{
    return shim::launch(kernels::{0}, grid, block, values);
}}
"""
MOST_BYTES = 4096  # of parameters, before CUDA 12.1
MOST_THREADS, MOST_BLOCKS = (1024, 1024, 64), (2**31 - 1, 65535, 65535)


order = "forwards"  # in which the threads of a block run, and blocks: see `in_order`


@contextmanager
def in_order(name: str) -> Iterator[None]:
    """Launches in this block run their threads in one of `ORDERS`: bits that differ then tell of a race."""
    global order
    before, order = order, name
    try:
        yield
    finally:
        order = before


class CompileException(Exception):
    """What g++ has against a source."""


class LaunchError(RuntimeError):
    """What CUDA would refuse, or what it leaves undefined."""


class _Sizes(ctypes.Structure):
    _fields_ = [(axis, ctypes.c_uint) for axis in "xyz"]


class RawModule:
    """Kernels of a source: its `extern "C" __global__` functions. Compiled when first asked for one."""

    def __init__(self, *, code: str, options: tuple[str, ...] = ()):
        self.code, self.options, self._library, self._kernels = code, options, None, {}

    def get_function(self, name: str) -> Kernel:
        """The kernel of a name. Raises CompileException for a source that does not compile or has no such kernel."""
        if self._library is None:
            self._library = ctypes.PyDLL(str(_compile(self.code, self.options)))  # one launch at a time
        if not hasattr(self._library, f"{name}_launch"):
            raise CompileException(f'no kernel extern "C" __global__ void {name}(…)')
        if name not in self._kernels:
            self._kernels[name] = Kernel(self._library, name)
        return self._kernels[name]


class Kernel:
    """A kernel, to be called with (grid, block, arguments)."""

    def __init__(self, library: ctypes.PyDLL, name: str):
        describe, self._launch = library[f"{name}_parameters"], library[f"{name}_launch"]
        describe.restype = self._launch.restype = ctypes.c_char_p
        self._launch.argtypes = [_Sizes, _Sizes, ctypes.c_void_p]
        self._set_order = library.shim_order
        self.name, self.parameters = name, describe().decode().split()

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple) -> None:
        """Runs the kernel. Raises LaunchError, and TypeError for arguments that are not the kernel's."""
        self.bind(grid, block, args)()

    def bind(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple) -> Callable[[], None]:
        """What runs the kernel; all that can be checked beforehand is."""
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
        """An argument as C has it. An array is anything that says where on the device it is."""
        if parameter.startswith("*"):
            size, place = int(parameter[2:]), getattr(argument, "__cuda_array_interface__", None)
            if place is None:
                raise TypeError(f"{self.name}, argument {i}: {type(argument)} where an array of the device is needed")
            fits = size % argument.itemsize == 0 if parameter[1] == "V" else size == argument.itemsize
            if not fits:
                raise TypeError(f"{self.name}, argument {i}: {argument.dtype} array where {parameter[1:]} are needed")
            return ctypes.c_void_p(place["data"][0])
        if not isinstance(argument, np.generic) or argument.dtype.str[1:] != parameter:
            given = getattr(argument, "dtype", type(argument))
            raise TypeError(f"{self.name}, argument {i}: {given} where a NumPy number {parameter} is needed")
        return np.ctypeslib.as_ctypes_type(argument.dtype)(argument.item())


@functools.cache
def _places(count: int) -> type:
    """So many addresses in a row: a class, which is made once."""
    return ctypes.c_void_p * count


def _sizes(given: tuple[int, ...], most: tuple[int, ...], what: str) -> tuple[int, ...]:
    full = (*given, *(1,) * (3 - len(given)))
    if len(full) > 3 or not all(1 <= n <= limit for n, limit in zip(full, most)):
        raise LaunchError(f"a {what} of {given}: sizes from 1 to {most} are allowed")
    return full


def _compile(code: str, options: tuple[str, ...]) -> Path:
    """The shared library of a source, from the cache where it has been compiled before."""
    if GXX is None:
        raise RuntimeError("kernels run on the host only with g++, which is not here: apt-get install g++")
    command = [GXX, *FLAGS.split(), *(o for o in options if o.startswith("-D"))]
    key = _digest(command, SHIM.read_text(), code)
    folder = Path(tempfile.gettempdir()) / f"minigrad-cuda-shim-{USER}"
    library = folder / f"{key}.so"
    if not library.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as own:
            shim, source = _precompile(command, folder), folder / f"{key}.cu"
            source.write_text(code)  # for debuggers, and whoever reads
            if "#define" in code:  # macros may make kernels
                text = _gxx([*command, "-E", "-x", "c++", "-"], WHOLE.format(shim=SHIM, source=source, code=code))
                language = "c++-cpp-output"
            else:
                text, language = WHOLE.format(shim=shim, source=source, code=PLAIN.sub(MARKED, code)), "c++"
            launchers = LAUNCHERS.format() + "".join(LAUNCHER.format(name) for _, name in KERNEL.findall(text))
            text = KERNEL.sub(r"\1", text)  # in C++ a kernel may have the name of a C function
            _gxx([*command, "-shared", "-x", language, "-", "-o", f"{own}/made.so"], text + launchers)
            os.replace(f"{own}/made.so", library)
    return library


def _precompile(command: list[str], folder: Path) -> Path:
    """A copy of shim.h beside what g++ made of it for these options: half of the time of a small source."""
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
