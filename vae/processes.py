"""Commands on several processes, started by mpiexec or Slurm: they agree on what they do, and only one prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import minigrad as mg
from minigrad import collectives
from minigrad.backends.libraries import describe_libraries
from minigrad.collectives.mpi import launched_rank
from vae.errors import UserError


@contextmanager
def joined() -> Iterator[collectives.Group]:
    """Make this process a member of the group that was started with it; only the first one's output is shown.

    Raises GroupError if they cannot work together.
    """
    out, err = (StringIO(), StringIO()) if launched_rank() else (sys.stdout, sys.stderr)
    with redirect_stdout(out), redirect_stderr(err), collectives.join(collectives.start()) as group:
        yield group


def is_first() -> bool:
    """Whether this process writes files: the others only compute."""
    return collectives.rank() == 0


def require_one(command: str) -> None:
    """Raises UserError if there are several processes."""
    if collectives.size() > 1:
        raise UserError(f"{command} uses one process, not {collectives.size()}: start it without mpiexec")


def require_shards(shards: int) -> None:
    """Raises UserError if there are more processes than shards of a batch."""
    if collectives.size() > shards:
        what = "the one shard" if shards == 1 else f"the {shards} shards"
        raise UserError(
            f"{collectives.size()} processes cannot share {what} of a batch: start fewer, or train from the beginning "
            f"with --shards {collectives.size()} or more"
        )


def agree(**settings: Any) -> None:
    """Raises UserError, the same on every process, if these settings or the software differ between them."""
    if collectives.size() == 1:
        return
    libraries = {name: value for name, value in describe_libraries().items() if name != "threads"}
    mine = {**settings, "minigrad": mg.__version__, "Python": sys.version.split()[0], **libraries}
    first, *others = collectives.current().share({name: str(value) for name, value in mine.items()})
    for rank, theirs in enumerate(others, 1):
        for name in [*first, *theirs]:
            if theirs.get(name) != first.get(name):
                raise UserError(
                    f"the processes disagree: {name} is {theirs.get(name, 'not given')} on process {rank} and "
                    f"{first.get(name, 'not given')} on process 0; start all with the same command, data and software"
                )
