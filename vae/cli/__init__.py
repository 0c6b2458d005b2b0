"""The command line: one file a command, with its options, its action, and what --help says about it.

A command is a module of this package that is named in COMMANDS and has ABOUT, add_options(parser) and
run(options, settings), which returns the exit code. `settings` are the fields of `vae.config.Config` that were given.
Their options and types in common are in `options`; what they do in common is in `runs` and `output`.

Exit codes: 0 done, 1 a check failed, 2 the user's input is wrong or the disk full (one sentence on stderr), 130, 143
and 129 stopped by Ctrl-C, SIGTERM and SIGHUP. If the reader of the output goes away, commands keep running, since they
write files; those that only print (check, evaluate, and all with --json) exit with 141 at the end.
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
    """The whole command line."""
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
    """Run a command line; the exit code."""
    options = argparse.Namespace(printed=False, json=False)
    try:
        with raise_on_signals():
            code = _run(arguments, options)
    except KeyboardInterrupt as stop:
        code = _stop(exit_code(stop), "stopped")
    return finish("python -m vae", code, options.printed or options.json)


def _run(arguments: list[str] | None, options: argparse.Namespace) -> int:
    """The exit code of a command whose options go to `options`."""
    try:
        make_parser().parse_args(arguments, options)
        given = settings_of(options)
        options.seed = given.get("seed", 0)
        with ExitStack() as options.held:  # the folders that this command writes to
            return options.run(options, given)
    except (UserError, DataError, DeviceError, OutOfMemoryError) as error:
        return _stop(2, str(error))
    except ImportError as error:  # modules are imported when they are used, which too little memory prevents, too
        return _stop(2, f"a module cannot be imported (too little memory, or an incomplete installation): {error}")
    except MemoryError as error:
        return _stop(2, f"there is not enough memory for these sizes ({error})")
    except SystemError as error:  # raised by libraries without the memory to raise their own error
        return _stop(2, f"there is not enough memory ({error})")
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        return _stop(2, "no further thread can be started: free memory, or raise the limit of processes (ulimit -u)")
    except OSError as error:
        return _stop(2, f"{error.filename or 'the output'}: {error.strerror or error}")


def _stop(code: int, why: str) -> int:
    """Say why on stderr, in one line."""
    note(why)
    return code
