"""The command line: one file per command, with its options, its action and its help text.

A command is a module of this package that is listed in COMMANDS and has ABOUT, add_options(parser) and
run(options, settings), which returns the exit code. `settings` are the fields of `vae.config.Config` given on the
command line. Shared options and argument types are in `options`, shared actions in `runs` and `output`.

Exit codes: 0 success; 1 a check failed; 2 wrong input or a full disk (one sentence on stderr); 130, 143 and 129 stopped
by Ctrl-C, SIGTERM and SIGHUP. If the reader of the output goes away, commands keep running, since they write files;
those that only print (check, evaluate, and all with --json) exit with 141 at the end.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from minigrad import DeviceError, OutOfMemoryError
from minigrad.commandline import Parser, finish
from vae.cli import check, evaluate, lecture, main_job, reconstruct, sample, train
from vae.cli.options import settings_of
from vae.data import DataError
from vae.errors import UserError
from vae.signals import exit_code, raise_on_signals
from vae.terminal import note

COMMANDS = (check, train, lecture, evaluate, sample, reconstruct)  # in the order of --help


def make_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(prog="python -m vae", description=main_job.ABOUT, argument_default=argparse.SUPPRESS)
    main_job.add_options(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        name, about = command.__name__.rpartition(".")[2], command.ABOUT
        options = commands.add_parser(name, help=about, description=about, argument_default=argparse.SUPPRESS)
        options.set_defaults(run=command.run)
        command.add_options(options)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return the exit code."""
    options = argparse.Namespace(printed=False, json=False)
    try:
        with raise_on_signals():
            code = _run(arguments, options)
    except KeyboardInterrupt as stop:
        code = _stop(exit_code(stop), "stopped")
    return finish("python -m vae", code, options.printed or options.json)


def _run(arguments: list[str] | None, options: argparse.Namespace) -> int:
    """Parse the arguments into `options`, run the command and return its exit code."""
    try:
        make_parser().parse_args(arguments, options)
        given = settings_of(options)
        options.seed = given.get("seed", 0)
        with ExitStack() as options.held:  # locks on the folders that the command writes to
            return options.run(options, given)
    except (UserError, DataError, DeviceError, OutOfMemoryError) as error:
        return _stop(2, str(error))
    except ImportError as error:  # some modules are imported on first use, which fails with too little memory, too
        return _stop(2, f"a module cannot be imported (too little memory, or an incomplete installation): {error}")
    except MemoryError as error:
        return _stop(2, f"there is not enough memory for these sizes ({error})")
    except SystemError as error:  # from libraries that have no memory left for their own error
        return _stop(2, f"there is not enough memory ({error})")
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        return _stop(2, "no more threads can be started: free memory, or raise the process limit (ulimit -u)")
    except OSError as error:
        return _stop(2, f"{error.filename or 'the output'}: {error.strerror or error}")


def _stop(code: int, why: str) -> int:
    """Print the reason on stderr, in one line, and return the exit code."""
    note(why)
    return code
