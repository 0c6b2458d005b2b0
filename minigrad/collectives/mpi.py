"""MPI processes as a group, through mpi4py: sending, receiving, and stopping together.

All waiting is done here, in a loop that also looks for signals and for news that another process has stopped: a call
that blocks inside the MPI library could be left neither by Ctrl-C nor when a message will never come.
"""

from __future__ import annotations

import atexit
import math
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Backend, get
from minigrad.collectives.group import ALONE, Group, PeerError, current, use_everywhere
from minigrad.core.errors import OperandError
from minigrad.interrupts import defer_signals

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")  # set by MPICH, Open MPI and Slurm
RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
STOPPED, DATA, DESCRIPTION = 1, 2, 3  # tags of messages
PATIENCE = 10.0  # seconds until processes that do not answer are ended
GRACE = 0.3  # seconds for messages that a process sent before it stopped
READING = 0.3  # seconds for the launcher to read what a process wrote, before all are ended
YIELD = getattr(os, "sched_yield", partial(time.sleep, 0))  # Windows has none
EAGER = 1000  # tests of a request in a row, a millisecond or so, before other processes may use the core
LONG = 0.02  # seconds of waiting for a process that sends nothing yet, before this one sleeps between tests


class GroupError(RuntimeError):
    """The processes that a launcher started cannot work together."""


class Stop(NamedTuple):
    """Why a process stops: its exit code, its message (None if it stops because another one has), and whether none of
    its messages is still on its way."""

    code: int
    message: str | None
    clean: bool


def launched_size() -> int:
    """How many processes the launcher of this one started; 1 without a launcher."""
    return max([1, *_numbers(SIZES)])


def warn_unless_started() -> None:
    """Warn if a launcher started several processes, but each computes alone."""
    if current() is ALONE and launched_size() > 1:
        warnings.warn(
            f"this is one of {launched_size()} processes, but it computes alone: call mg.collectives.start() first",
            RuntimeWarning,
            stacklevel=2,
        )


def launched_rank() -> int:
    """The number of this process among them, known before they can talk to each other."""
    return max([0, *_numbers(RANKS)]) if launched_size() > 1 else 0


def _numbers(names: Sequence[str]) -> list[int]:
    """The values of environment variables that are numbers."""
    return [int(os.environ[name]) for name in names if os.environ.get(name, "").isdecimal()]


def start() -> Group:
    """Make this process a member of the group of processes that mpiexec or Slurm started, and return the group; without
    a launcher, a group of one.

    All of them must call it; Ctrl-C and other signals take effect once they have. After it, an error that nobody
    catches ends all processes, since the others might wait for this one for ever. Raises GroupError if mpi4py is
    missing, has no MPI library, or belongs to another MPI than the launcher.
    """
    if launched_size() == 1:
        return ALONE
    with defer_signals():
        return _start(launched_size())


@cache
def _start(count: int) -> MpiGroup:
    this = f"this is one of {count} processes"
    try:
        import mpi4py

        mpi4py.rc.initialize, mpi4py.rc.finalize = (
            False,
            True,
        )  # MPI may end the process if it does not fit the launcher
        from mpi4py import MPI
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError):
            raise GroupError(f"{this}, but mpi4py is not installed: pip install 'minigrad-autodiff[mpi]'") from None
        raise GroupError(f"{this}, but mpi4py cannot be loaded ({error}): install it again") from None
    except RuntimeError as error:  # mpi4py without an MPI library
        raise GroupError(f"{this}, but mpi4py finds no MPI library ({error}): pip install mpich, or load one") from None
    fits = _fits_launcher(MPI.get_vendor()[0])
    if fits and not MPI.Is_initialized():
        MPI.Init_thread()
    if not fits or MPI.COMM_WORLD.size != count:
        library = MPI.Get_library_version().split("\n")[0].strip("\0 ")
        raise GroupError(
            f"{this}, but mpi4py uses another MPI ({library}) than the launcher: start with the mpiexec that belongs "
            "to it, or install mpi4py for this MPI"
        )
    group = MpiGroup(MPI)
    sys.excepthook = partial(_abort_on_error, group)
    atexit.register(group.end)  # before MPI ends, which mpi4py registered first
    use_everywhere(group)
    return group


def _fits_launcher(vendor: str) -> bool:
    """Whether this MPI may have been started by the launcher, as far as environment variables tell."""
    by_open_mpi, by_other = "OMPI_COMM_WORLD_SIZE" in os.environ, "PMI_SIZE" in os.environ
    return not (by_open_mpi or by_other) or by_open_mpi == (vendor == "Open MPI")


def _abort_on_error(group: MpiGroup, *error: Any) -> None:
    sys.stderr = sys.__stderr__
    sys.__excepthook__(*error)
    group.abort(1)


class MpiGroup:
    """The processes of MPI's world."""

    def __init__(self, mpi: ModuleType):
        self._mpi = mpi
        self._data, self._control = mpi.COMM_WORLD.Dup(), mpi.COMM_WORLD.Dup()
        self.rank, self.size = self._data.rank, self._data.size
        self._stopped = False
        self._pending: list[Any] = []  # requests and their arrays, until they are complete
        self._between: dict[str, Callable | None] = {"cpu": None}  # exchange(sent, received) between devices, if any

    def exchange(self, backend: Backend, sent: Sequence[Any], received: Sequence[Any]) -> None:
        if self.launches(backend):
            if stopped := self._look_for_stop():
                raise PeerError(stopped)
            self._between[backend.device](sent, received)
            return
        others = [r for r in range(self.size) if r != self.rank]
        outgoing = {r: _as_bytes(backend.to_host(sent[r])) for r in others}
        host = {r: received[r] if backend.device == "cpu" else backend.to_host(received[r]) for r in others}
        incoming = {r: _as_bytes(array) for r, array in host.items()}
        about = {r: _describe(sent[r]) for r in others}
        wanted = {r: _describe(received[r]) for r in others}
        told = {r: np.zeros_like(wanted[r]) for r in others}
        requests = [self._receive(a, r, DESCRIPTION) for r, a in told.items()]
        requests += [self._receive(a, r, DATA) for r, a in incoming.items() if a.size]
        requests += [self._send(a, r, DESCRIPTION) for r, a in about.items()]
        requests += [self._send(a, r, DATA) for r, a in outgoing.items() if a.size]
        self._pending = [requests, about, told, outgoing, incoming]
        self._wait(requests, wanted, told)
        self._pending = []
        if backend.device != "cpu":
            for r in others:
                received[r][...] = backend.from_host(host[r])

    def _send(self, array: np.ndarray, to: int, tag: int) -> Any:
        return self._data.Isend([array, self._mpi.BYTE], dest=to, tag=tag)

    def _receive(self, array: np.ndarray, source: int, tag: int) -> Any:
        return self._data.Irecv([array, self._mpi.BYTE], source=source, tag=tag)

    def launches(self, backend: Backend) -> bool:
        device = backend.device
        if device not in self._between:
            self._between[device] = backend.connect and backend.connect(self.rank, self.size, self.share)
        return self._between[device] is not None

    def share(self, value: Any) -> list[Any]:
        host, data = get("cpu"), np.frombuffer(pickle.dumps(value), np.uint8)
        sizes = np.zeros(self.size, np.int64)
        self.exchange(host, [np.int64([data.size])] * self.size, list(sizes.reshape(-1, 1)))
        found = [data if r == self.rank else np.empty(size, np.uint8) for r, size in enumerate(sizes)]
        self.exchange(host, [data] * self.size, found)
        return [pickle.loads(each) for each in found]

    def _wait(self, requests: list[Any], wanted: dict[int, np.ndarray], told: dict[int, np.ndarray]) -> None:
        """Wait until requests are complete, among them those for what the other processes tell about their arrays.

        Raises PeerError if another process stops meanwhile, OperandError if one sends something else than is wanted.
        """
        done, broken, stopped, tests, end = False, "", "", 0, math.inf
        began, here = time.monotonic(), False
        while not done and time.monotonic() < end:
            try:
                done = self._mpi.Request.Testall(requests)
                waited = time.monotonic() - began
                if waited > LONG and not done and not here:  # whoever has sent its description sends the rest, too
                    here = self._mpi.Request.Testall(requests[: len(told)])
                    time.sleep(0 if here else min(waited, 0.1) / 100)
            except self._mpi.Exception as error:  # among others, of an array that is too long
                broken, end = f"the connection to another process failed: {error}", time.monotonic() + GRACE
                requests = requests[: len(told)]
            tests += 1
            if tests > EAGER:
                YIELD()
            if tests % 16 == 0 and end == math.inf and (stopped := self._look_for_stop()):
                end = time.monotonic() + GRACE
        for r, array in told.items():
            if array.any() and not np.array_equal(array, wanted[r]):
                raise OperandError(
                    f"the processes disagree: process {r} sends {_text(array)} where this one expects "
                    f"{_text(wanted[r])}; all must call the same operations, in one order, on equal shapes and dtypes"
                )
        if broken or not done:
            raise PeerError(broken or stopped)

    # Stopping

    def _look_for_stop(self) -> str:
        """Which other process has stopped; empty if none has."""
        status = self._mpi.Status()
        return f"process {status.source} has stopped" if self._control.Iprobe(tag=STOPPED, status=status) else ""

    def stop(self, code: int, message: str | None, report: Callable[[str], None]) -> int:
        """Stop together: tell the others, wait until they stop as well, and return the exit code.

        The first process with a message reports it. All processes are ended if arrays were sent that nobody will
        receive, if after a failure others do not stop within `PATIENCE` seconds, or if GPUs have exchanged arrays,
        since one of them may wait for another for ever.
        """
        self._stopped = True
        mine = Stop(code, message, clean=not self._pending and not any(self._between.values()))
        for r in range(self.size):
            if r != self.rank:
                self._pending.append(self._control.isend(mine, dest=r, tag=STOPPED))
        failed = message is not None or code != 0
        found, deadline = {self.rank: mine}, time.monotonic() + (PATIENCE if failed else math.inf)
        while len(found) < self.size and time.monotonic() < deadline:
            status = self._mpi.Status()
            if self._control.Iprobe(tag=STOPPED, status=status):
                found[status.source] = self._control.recv(source=status.source, tag=STOPPED)
            else:
                time.sleep(0.001)
        reporter = min(found, key=lambda r: (found[r].message is None, found[r].code == 0, r))
        code, message, _ = found[reporter]
        if self.rank == reporter and message is not None:
            alike = reporter == 0 or len({stop.message for stop in found.values()}) == 1
            report(message if alike else f"process {reporter}: {message}")
        if len(found) < self.size or not all(stop.clean for stop in found.values()):
            if self.rank != reporter:
                time.sleep(PATIENCE)  # the reporter ends this process
            self.abort(code)
        return code

    def end(self) -> None:
        """Wait for the others at the end of the program; those that wait for this process stop with a PeerError."""
        if not self._stopped:
            self.stop(0, None, print)

    def abort(self, code: int) -> None:
        """End all processes now."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        time.sleep(READING)  # the launcher drops what it has not read by then
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the MPI library would add a message of its own
        self._mpi.COMM_WORLD.Abort(code)


def _describe(array: Any) -> np.ndarray:
    """The dtype and the number of elements of an array, as bytes."""
    return np.frombuffer(f"{array.size} × {array.dtype}".encode().ljust(32), np.uint8)


def _text(description: np.ndarray) -> str:
    return description.tobytes().decode().strip()


def _as_bytes(array: np.ndarray) -> np.ndarray:
    return np.atleast_1d(array).reshape(-1).view(np.uint8)
