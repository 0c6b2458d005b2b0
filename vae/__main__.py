"""python -m vae: check installed packages and the memory limit, then run the command line."""

import os
import sys
from importlib.util import find_spec

LIBRARIES = {"matplotlib": "matplotlib", "PIL": "pillow", "rich": "rich", "safetensors": "safetensors"}  # '.[vae]'
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


if __name__ == "__main__":
    if missing := missing_libraries():
        print(f"python -m vae: missing packages {', '.join(missing)}: pip install '.[vae]'", file=sys.stderr)
        sys.exit(2)
    if memory_limit() < MIN_MEMORY:
        why = f"the memory limit is {memory_limit()} KB: raise it to at least {MIN_MEMORY} KB with ulimit -v"
        print("python -m vae:", why, file=sys.stderr)
        sys.exit(2)
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
        why = " ".join(str(error).split()) or "there is not enough memory"
        print("python -m vae:", why, file=sys.stderr)
        sys.exit(2)
