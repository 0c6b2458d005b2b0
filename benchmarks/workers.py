"""The processes that `processes` times. They take steps of training, or add up an array, whenever they are told to.

    mpiexec -n 2 python workers.py SOCKET       minigrad: the step of `vae train`, with mpi4py between processes
    mpiexec -n 2 python ddp.py SOCKET           that of PyTorch, with gloo between processes

Between two requests a process waits for the socket, which costs no processor time; waiting inside MPI would.
A request is the name of a method and its arguments; all processes of a group get the same one at the same time.
"""

from __future__ import annotations

import gc
import pickle
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import collectives
from minigrad.backends import Backend
from minigrad.collectives.mpi import launched_rank
from minigrad.core import tree
from vae.config import Config
from vae.steps import Batch, Epoch
from vae.trainer import Trainer, make_trainer
from vae.training import advance_state, make_gradient, make_whole_step, shuffle_for

IMAGES = 4096  # random ones; steps go through them again and again
SHAPE = (28, 28, 1)


def make_problem(model: str, batch: int, shards: int) -> tuple[Trainer, Epoch]:
    """The trainer of `vae train`, and an epoch of random images."""
    trainer = make_trainer(Config(model=model, batch=batch, shards=shards), SHAPE)
    images = mg.random.uniform(mg.random.key(1), (max(IMAGES, batch), *SHAPE))
    return trainer, shuffle_for(trainer, images, 0)


def time_calls(work: Callable[[], Any], times: int) -> float:
    """Seconds a call, after one call to warm up, with which all processes start together."""
    work()
    begin = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begin) / times


class Counting:
    """A group that counts the bytes this process sends."""

    def __init__(self, group: collectives.group.Group):
        self._group, self.sent = group, 0
        self.rank, self.size, self.share, self.stop = group.rank, group.size, group.share, group.stop
        self.launches = group.launches

    def exchange(self, backend: Backend, sent: Sequence[Any], received: Sequence[Any]) -> None:
        self.sent += sum(array.nbytes for r, array in enumerate(sent) if r != self.rank)
        self._group.exchange(backend, sent, received)


class MinigradProcess:
    """One of the processes of minigrad."""

    def __init__(self) -> None:
        self._group = collectives.start()

    def prepare(self, model: str, batch: int, shards: int) -> None:
        """Start training at the initial parameters."""
        self._trainer, self._epoch = make_problem(model, batch, shards)
        self._state, self._taken = self._trainer.initial(), 0
        self._gradient, self._advance = make_gradient(self._trainer), make_whole_step(self._trainer)

    def _next_batch(self) -> Batch:
        self._taken += 1
        return self._epoch.batch((self._taken - 1) % len(self._epoch.order))

    def _step(self) -> float:
        batch = self._next_batch()
        self._kept = self._gradient(self._state.parameters, batch)  # until the next one is there, as in training
        self._state, loss = advance_state(self._advance, self._state, batch, self._kept)
        return float(loss)

    def burst(self, steps: int) -> float:
        """Seconds a step."""
        with collectives.join(self._group):
            return time_calls(self._step, steps)

    def check(self) -> dict[str, Any]:
        """The gradient of the first batch as one flat array, the losses of three steps, and the bytes of one sum."""
        counting = Counting(self._group)
        with collectives.join(counting):
            batch = self._epoch.batch(0)
            _, slopes = self._trainer.sharded.gradient(self._state.parameters, batch, None)
            flat, sent = np.concatenate([np.ravel(leaf) for leaf in tree.flatten(slopes)[0]]), counting.sent
            losses = [self._step() for _ in range(3)]
        return {"gradient": flat, "losses": losses, "sent": sent, "bytes": flat.nbytes}

    def stages(self, steps: int) -> list[list[float]]:
        """Seconds of each step for the gradients of the shards, the sum over processes, and the update."""
        found, clock = [], time.perf_counter
        with collectives.join(self._group):
            for _ in range(steps + 2):
                batch, begin = self._next_batch(), clock()
                parts = self._trainer.sharded.gradient.parts(self._state.parameters, batch, None)
                computed = clock()
                gradient = self._trainer.sharded.gradient.add_up(parts)
                added = clock()
                self._state, loss = advance_state(self._advance, self._state, batch, gradient)
                float(loss)
                found.append([computed - begin, added - computed, clock() - added])
        return found[2:]

    def add_up(self, size: int, times: int) -> float:
        """Seconds to add up an array of this many bytes."""
        array = np.ones(size // 4, np.float32)
        with collectives.join(self._group):
            return time_calls(lambda: collectives.all_sum(array), times)


def serve(process: Any, connected: socket.socket) -> None:
    """Call the methods that are asked for, until the other side closes the connection."""
    with connected.makefile("rwb") as stream:
        while True:
            try:
                method, arguments = pickle.load(stream)
            except EOFError:
                return
            answer = getattr(process, method)(*arguments)
            gc.collect()
            pickle.dump(answer, stream)
            stream.flush()


def main(make: Callable[[], Any]) -> None:
    """Make this process, connect to the socket named on the command line, and serve it."""
    gc.disable()
    with socket.socket(socket.AF_UNIX) as connected:
        process = make()
        connected.connect(sys.argv[1])
        connected.sendall(bytes([launched_rank()]))
        serve(process, connected)


if __name__ == "__main__":
    main(MinigradProcess)
