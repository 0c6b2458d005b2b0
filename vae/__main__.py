"""python -m vae"""

import sys

if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # "−" and "σ" on terminals that have none
    try:
        from vae.cli import main  # takes a second, in which Ctrl-C may come

        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
