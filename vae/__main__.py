"""python -m vae"""

import os
import sys
from importlib.util import find_spec

LIBRARIES = {"matplotlib": "matplotlib", "PIL": "pillow", "rich": "rich", "safetensors": "safetensors"}  # '.[vae]'
LEAST = 250_000  # KB of address space: with less, OpenBLAS ends the process by itself, at whatever moment


def memory_limit() -> int:
    """The limit of address space (ulimit -v) in KB; LEAST where there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return LEAST
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return LEAST if limit == resource.RLIM_INFINITY else limit // 1024


def missing_libraries() -> list[str]:
    """The packages that vae needs beside those of minigrad, and that are not installed."""
    return [package for module, package in LIBRARIES.items() if find_spec(module) is None]


if __name__ == "__main__":
    if missing := missing_libraries():
        print(f"python -m vae: it needs {', '.join(missing)}: pip install '.[vae]'", file=sys.stderr)
        sys.exit(2)
    if memory_limit() < LEAST:
        why = f"the limit of memory is {memory_limit()} KB: raise it to {LEAST} KB or more, with ulimit -v"
        print("python -m vae:", why, file=sys.stderr)
        sys.exit(2)
    for setting in ("MPLBACKEND", "MATPLOTLIBRC"):  # pictures look the same whatever they say, and must not fail of it
        os.environ.pop(setting, None)
    try:  # the imports take a second, in which Ctrl-C may come
        from minigrad.commandline import run
        from vae.cli import main

        run(main)
    except KeyboardInterrupt:
        sys.exit(130)
    except (ImportError, MemoryError, OSError) as error:  # too little memory shows as any of them
        why = " ".join(str(error).split()) or "there is not enough memory"
        print("python -m vae:", why, file=sys.stderr)
        sys.exit(2)
