"""`python -m minigrad`, installed as the command `minigrad` too: versions, and where to start.

Exit codes: 0 success; 2 an unknown option or a full disk; 141 the reader closed the output.
"""

from __future__ import annotations

import platform
from typing import NoReturn

from minigrad import __version__
from minigrad.backends.libraries import describe_libraries
from minigrad.commandline import Parser, finish, run

START = {
    "python -m minigrad.checks": "check the derivatives of every operation",
    "python -m minigrad.backends": "show the devices of this machine, and what a GPU needs",
    "python -m vae": "check, train and draw a variational autoencoder",
    "python -m pydoc minigrad": "read about the functions",
    "python -m pydoc minigrad.core": "read the code: its files in order, and where to add things",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    parser = Parser(prog="python -m minigrad", description="Print versions, and where to start.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"minigrad {__version__}")
    parser.parse_args(arguments)
    versions = {"minigrad": __version__, "python": platform.python_version(), **describe_libraries()}
    for title, table in (("versions", versions), ("where to start", START)):
        width = max(map(len, table))
        print(title, *(f"  {name:<{width}}  {value}" for name, value in table.items()), sep="\n")
    return finish(parser.prog, 0)


def command() -> NoReturn:
    """The command `minigrad`."""
    run(main)


if __name__ == "__main__":
    command()
