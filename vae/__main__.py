"""python -m vae"""

import os
import sys

if __name__ == "__main__":
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
