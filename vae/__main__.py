"""python -m vae"""

import sys

from vae.cli import main

if __name__ == "__main__":
    sys.exit(main())
