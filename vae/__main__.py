"""python -m vae"""

import sys

if __name__ == "__main__":
    try:  # the imports take a second, in which Ctrl-C may come
        from minigrad.commandline import run
        from vae.cli import main
    except KeyboardInterrupt:
        sys.exit(130)
    run(main)
