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
from collections.abc import Callable, Sequence
from functools import cache, partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Backend, get
from minigrad.collectives.group import ALONE, Group, PeerError
from minigrad.interrupts import defer_signals

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")  # set by MPICH, Open MPI and Slurm
RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
STOPPED, ENDED = 1, 2  # tags of messages
PATIENCE = 10.0  # seconds until processes that do not answer are ended
READING = 0.3  # seconds for the launcher to read what a process wrote, before all are ended
EAGER = 1000  # tests of a request in a row, a millisecond or so, before other processes may use the core


class GroupError(RuntimeError):
    """The processes that a launcher started cannot work together."""


class Stop(NamedTuple):
    """Why a process stops: its exit code, what is to be reported (None: nothing, since another process has stopped),
    and whether no message of it is under way."""

    code: int
    message: str | None
    clean: bool


def launched_size() -> int:
    """How many processes the launcher of this one started; 1 without a launcher."""
    return max([1, *_numbers(SIZES)])


def launched_rank() -> int:
    """The number of this process among them, known before they can talk to each other."""
    return max([0, *_numbers(RANKS)]) if launched_size() > 1 else 0


def _numbers(names: Sequence[str]) -> list[int]:
    """The values of environment variables that are numbers."""
    return [int(os.environ[name]) for name in names if os.environ.get(name, "").isdecimal()]


def start() -> Group:
    """The group of the processes that mpiexec or Slurm started; a group of one if they started none or one.

    All of them must call it; a signal waits until they have. After it, an error that nobody catches ends all processes,
    since the others might wait for this one for ever; if this one just ends, they get a PeerError instead. Raises
    GroupError if mpi4py is missing, has no MPI library, or belongs to another MPI than the launcher.
    """
    if launched_size() == 1:
        return ALONE
    with defer_signals():
        return _start(launched_size())


@cache
def _start(count: int) -> MpiGroup:
    this = f"this is one of {count} processes"
    try:
        from mpi4py import MPI
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError):
            raise GroupError(f"{this}, but mpi4py is not installed: pip install 'minigrad[mpi]'") from None
        raise GroupError(f"{this}, but mpi4py cannot be loaded ({error}): install it again") from None
    except RuntimeError as error:  # mpi4py without an MPI library
        raise GroupError(f"{this}, but mpi4py finds no MPI library ({error}): pip install mpich, or load one") from None
    if MPI.COMM_WORLD.size != count:
        library = MPI.Get_library_version().split("\n")[0].strip("\0 ")
        raise GroupError(
            f"{this}, but mpi4py sees {MPI.COMM_WORLD.size}: it uses another MPI ({library}) than the launcher; start "
            "with the mpiexec that belongs to it, or install mpi4py for this MPI"
        )
    group = MpiGroup(MPI)
    sys.excepthook = partial(_abort_on_error, group)
    atexit.register(group.leave)
    return group


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
        self._pending: list[Any] = []  # requests and their arrays, until they are complete
        self._between: dict[str, Callable | None] = {"cpu": None}  # exchange(sent, received) between devices, if any

    def exchange(self, backend: Backend, sent: Sequence[Any], received: Sequence[Any]) -> None:
        if self.launches(backend):
            self._look_for_stop()
            self._between[backend.device](sent, received)
            return
        others = [r for r in range(self.size) if r != self.rank]
        outgoing = {r: _as_bytes(backend.to_host(sent[r])) for r in others}
        host = {r: received[r] if backend.device == "cpu" else backend.to_host(received[r]) for r in others}
        incoming = {r: _as_bytes(array) for r, array in host.items()}
        byte = self._mpi.BYTE
        receiving = {r: self._data.Irecv([a, byte], source=r) for r, a in incoming.items() if a.size}
        sending = [self._data.Isend([a, byte], dest=r) for r, a in outgoing.items() if a.size]
        self._pending = [receiving, sending, outgoing, incoming]
        self._wait(receiving, sending)
        self._pending = []
        if backend.device != "cpu":
            for r in others:
                received[r][...] = backend.from_host(host[r])

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

    def _wait(self, receiving: dict[int, Any], sending: list[Any]) -> None:
        """Wait until requests are complete. Raises PeerError if another process stops or ends meanwhile."""
        requests, tests = [*receiving.values(), *sending], 0
        try:
            while not self._mpi.Request.Testall(requests):
                tests += 1
                if tests > EAGER:
                    os.sched_yield()
                if tests % 16 == 0:
                    self._look_for_stop()
                    self._look_for_end(receiving)
        except self._mpi.Exception as error:
            raise PeerError(f"the connection to another process failed: {error}") from None

    # Stopping

    def _look_for_stop(self) -> None:
        """Raise PeerError if another process has stopped."""
        if self._control.Iprobe(tag=STOPPED):
            raise PeerError("another process has stopped")

    def _look_for_end(self, receiving: dict[int, Any]) -> None:
        """Raise PeerError if a process has ended that is to send something: what it did send is here by now."""
        for r, request in receiving.items():
            if self._control.Iprobe(source=r, tag=ENDED) and not request.Test():
                raise PeerError(f"process {r} has ended")

    def leave(self) -> None:
        """At the end of the program: tell the others, and wait until they end, too."""
        others = [r for r in range(self.size) if r != self.rank]
        self._pending += [self._control.isend(None, dest=r, tag=ENDED) for r in others]
        for r in others:
            while not self._control.Iprobe(source=r, tag=ENDED):
                time.sleep(0.001)
            self._control.recv(source=r, tag=ENDED)

    def stop(self, code: int, message: str | None, report: Callable[[str], None]) -> int:
        """Stop together: tell the others, wait until they stop as well, and return the exit code.

        The first process with a message reports it. If messages are under way that nobody will receive, or if after a
        failure others do not stop for `PATIENCE` seconds, all processes are ended; so they are once GPUs have exchanged
        arrays, since one may wait for another for ever.
        """
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

    def abort(self, code: int) -> None:
        """End all processes now."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        time.sleep(READING)  # the launcher drops what it has not read by then
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the MPI library would add a message of its own
        self._mpi.COMM_WORLD.Abort(code)


def _as_bytes(array: np.ndarray) -> np.ndarray:
    return np.atleast_1d(array).reshape(-1).view(np.uint8)
