"""The command line: one file per command, with its options, its action and its help text.

A command is a module of this package that is listed in COMMANDS and has ABOUT, add_options(parser) and
run(options, settings), which returns the exit code. `settings` are the fields of `vae.config.Config` given on the
command line. Shared options and argument types are in `options`, shared actions in `runs` and `output`.

Exit codes: 0 success; 1 a check failed; 2 wrong input or a full disk (one sentence on stderr); 130, 143 and 129 stopped
by Ctrl-C, SIGTERM and SIGHUP. If the reader of the output goes away, commands keep running, since they write files;
those that only print (check, evaluate, and all with --json) exit with 141 at the end.

train, evaluate and check share their work between the processes that mpiexec started (`vae.processes`). If one of them
fails, all stop: one prints why, and all exit with its code.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, redirect_stderr
from io import StringIO

from minigrad import DeviceError, OutOfMemoryError, __version__
from minigrad.collectives import GroupError, PeerError, start
from minigrad.collectives.mpi import launched_rank
from minigrad.commandline import Parser, finish
from vae import processes
from vae.cli import check, evaluate, lecture, main_job, reconstruct, reproduce, sample, train
from vae.cli.options import settings_of
from vae.data import DataError
from vae.errors import UserError
from vae.signals import exit_code, raise_on_signals
from vae.terminal import note

COMMANDS = (check, train, lecture, evaluate, sample, reconstruct, reproduce)  # in the order of --help
PRINTED = "printed"  # why a command failed, if the parser has printed it
SHARED = (check, train, evaluate)  # those that several processes can share
FREE = ("run", "out", "printed", "shared")  # options on which processes need not agree, or which the command decides


def make_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(prog="python -m vae", description=main_job.ABOUT, argument_default=argparse.SUPPRESS)
    main_job.add_options(parser)
    parser.add_argument("--version", action="version", version=f"vae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        name, about = command.__name__.rpartition(".")[2], command.ABOUT
        options = commands.add_parser(name, help=about, description=about, argument_default=argparse.SUPPRESS)
        options.set_defaults(run=command.run, command=name, shared=command in SHARED)
        command.add_options(options)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return the exit code."""
    options = argparse.Namespace(printed=False, json=False, command="the main job", shared=False)
    voice = sys.stderr  # of a process that has to report an error, even if it is silent otherwise

    def report(why: str) -> None:
        if why != PRINTED:
            with redirect_stderr(voice):
                note(why)

    try:
        with raise_on_signals(), processes.joined() as group:
            try:
                code, why = _run(arguments, options)
                if not why:
                    group.share(code)  # wait for processes that may still fail
            except PeerError:
                code, why = 2, None
            except SystemExit as stop:  # from the parser, which has printed why
                if not stop.code or group.size == 1:
                    raise
                code, why = int(stop.code), sys.stderr.getvalue() if isinstance(sys.stderr, StringIO) else PRINTED
            if why != "":
                code = group.stop(code, why, report)
    except GroupError as error:
        code = 2
        if not launched_rank():
            note(str(error))
    except KeyboardInterrupt as stop:
        code = start().stop(exit_code(stop), "stopped", report)
    return finish("python -m vae", code, options.printed or options.json)


def _run(arguments: list[str] | None, options: argparse.Namespace) -> tuple[int, str]:
    """Parse the arguments into `options` and run the command. Returns the exit code, and why it failed, if it did."""
    try:
        make_parser().parse_args(arguments, options)
        given = settings_of(options)
        options.seed = given.get("seed", 0)
        if not options.shared:
            processes.require_one(options.command)
        processes.agree(**{name: value for name, value in vars(options).items() if name not in FREE})
        with ExitStack() as options.held:  # locks on the folders that the command writes to
            return options.run(options, given), ""
    except PeerError:
        raise
    except (UserError, DataError, DeviceError, OutOfMemoryError) as error:
        return 2, str(error)
    except ImportError as error:  # some modules are imported on first use, which fails with too little memory, too
        return 2, f"a module cannot be imported (too little memory, or an incomplete installation): {error}"
    except MemoryError as error:
        return 2, f"there is not enough memory for these sizes ({error})"
    except SystemError as error:  # from libraries that have no memory left for their own error
        return 2, f"there is not enough memory ({error})"
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        return 2, "no more threads can be started: free memory, or raise the process limit (ulimit -u)"
    except OSError as error:
        return 2, f"{error.filename or 'the output'}: {error.strerror or error}"
