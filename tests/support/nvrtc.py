"""Compiles kernels as CuPy does. NVRTC needs neither a GPU nor a driver (pip install '.[kernels]')."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from tests.support.environment import optional

api = optional("cuda.bindings.nvrtc", extra="kernels")

CUPY = ("-std=c++17", "-ftz=true", "--device-as-default-execution-space")  # ours, and those CuPy adds
ENTRY = re.compile(r"\.visible \.entry (\w+)\(.*?^{\n(.*?)^}", re.DOTALL | re.MULTILINE)
USED = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers([^\n]*)",
    re.DOTALL,
)


class Usage(NamedTuple):
    """Resources of a kernel: registers per thread, bytes spilled, bytes of stack, bytes of shared memory per block."""

    registers: int
    spilled: int
    stack: int
    shared: int


class Compiled(NamedTuple):
    """The result of compiling a source: the compiler's warnings; PTX and resources by the name of the kernel."""

    warnings: str
    ptx: dict[str, str]
    usage: dict[str, Usage]


@functools.cache
def compile_source(source: str, arch: str, options: tuple[str, ...] = CUPY) -> Compiled:
    """Compiles and assembles a source for `arch`, such as "sm_90". Raises ValueError if that fails."""
    program = _answer(api.nvrtcCreateProgram(source.encode(), b"kernels.cu", 0, [], []))
    try:
        flags = [*options, f"-arch={arch}", "--ptxas-options=-v"]
        (error,) = api.nvrtcCompileProgram(program, len(flags), [flag.encode() for flag in flags])
        log = _text(api.nvrtcGetProgramLogSize, api.nvrtcGetProgramLog, program)
        if error != api.nvrtcResult.NVRTC_SUCCESS:
            raise ValueError(f"for {arch}: {error}\n{log}")
        ptx = _text(api.nvrtcGetPTXSize, api.nvrtcGetPTX, program)
    finally:
        api.nvrtcDestroyProgram(program)
    usage = {}
    for name, stack, stores, loads, registers, rest in USED.findall(log):
        shared = re.search(r"(\d+) bytes smem", rest)
        usage[name] = Usage(int(registers), int(stores) + int(loads), int(stack), int(shared[1]) if shared else 0)
    return Compiled(log.partition("ptxas info")[0].strip(), dict(ENTRY.findall(ptx)), usage)


def _text(size_of, get, program) -> str:
    text = b" " * _answer(size_of(program))
    _answer(get(program, text))  # fills `text`
    return text.rstrip(b" \0").decode()


def _answer(result: tuple):
    """The value returned by an NVRTC call. Raises RuntimeError if the call failed."""
    error, *answer = result
    if error != api.nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(f"NVRTC: {error}")
    return answer[0] if answer else None
