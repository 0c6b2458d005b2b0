"""python -m vae, installed as the command `vae` too: check the packages and the memory limit, run the command line."""

import os
import signal
import sys
from importlib.util import find_spec
from typing import NoReturn

LIBRARIES = {"matplotlib": "matplotlib", "PIL": "pillow", "rich": "rich", "safetensors": "safetensors"}  # '.[vae]'
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")  # as in minigrad, which may not be importable
MIN_MEMORY = 250_000  # KB of address space; with less, OpenBLAS may abort the process at any time


def memory_limit() -> int:
    """The address-space limit (ulimit -v) in KB; MIN_MEMORY if there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return MIN_MEMORY
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return MIN_MEMORY if limit == resource.RLIM_INFINITY else limit // 1024


def missing_libraries() -> list[str]:
    """The packages that vae needs in addition to those of minigrad and that are not installed."""
    return [package for module, package in LIBRARIES.items() if find_spec(module) is None]


def fail(why: str) -> NoReturn:
    """Print why the command cannot start, and exit with code 2; of several processes, all stop."""

    def report(why: str) -> None:
        print("python -m vae:", why, file=sys.stderr)

    if all(os.environ.get(name, "1") == "1" for name in SIZES):
        report(why)
        sys.exit(2)
    try:
        from minigrad.collectives import start

        code = start().stop(2, why, report)
    except Exception:  # the launcher ends processes that wait for one that was killed, not for one that only ended
        report(why)
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(code)


def command() -> NoReturn:
    """The command `vae`."""
    if missing := missing_libraries():
        fail(f"missing packages {', '.join(missing)}: pip install '.[vae]'")
    if memory_limit() < MIN_MEMORY:
        fail(f"the memory limit is {memory_limit()} KB: raise it to at least {MIN_MEMORY} KB with ulimit -v")
    for setting in ("MPLBACKEND", "MATPLOTLIBRC"):  # they may change pictures, or make them fail
        os.environ.pop(setting, None)
    try:  # the imports take a second; Ctrl-C may arrive meanwhile
        from minigrad.commandline import run
        from vae.cli import main

        run(main)
    except KeyboardInterrupt:
        from minigrad.collectives import start  # other processes may be waiting for this one

        sys.exit(start().stop(130, "stopped", lambda why: print("python -m vae:", why, file=sys.stderr)))
    except (ImportError, MemoryError, OSError) as error:  # too little memory can raise any of them
        fail(" ".join(str(error).split()) or "there is not enough memory")


if __name__ == "__main__":
    command()
