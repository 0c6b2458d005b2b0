"""A training step that is divided between processes and threads, and has the same bits however it is divided.

A batch is cut into shards. The same program computes the gradient of each, on any process or thread, and the gradients
are added up along the tree of shards: within each thread, within each process, and then over all processes
(`minigrad.collectives`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import collectives
from minigrad.collectives.shards import Node, add_up, count, divide, halves
from minigrad.core import tree
from minigrad.program.cpu import threads
from minigrad.program.tuning import DEFAULT, Tuning
from vae.optimisers import Optimiser
from vae.schedules import Schedule
from vae.steps import Batch


class ShardSum:
    """A sum over shards of f(parameters, images, noise, count, *more), a tree; `zero(parameters)` is that of no images.

    `draw(batch, first, last)` gives the images and the noise of some images of a batch. Each process computes the
    `parts` that it owns, on several threads if `threaded`, and `add_up` adds up all of them.
    """

    def __init__(self, f: Callable, zero: Callable[[Any], Any], shards: int, draw: Callable, threaded: bool):
        self._f, self._zero, self._shards, self._draw, self._threaded = f, zero, shards, draw, threaded
        self._programs: list[Callable] = []  # f on each thread, since a program runs once at a time
        self._tuning = Tuning(threads=1, worth_compiling=DEFAULT.worth_compiling // shards)  # as for the whole batch

    def parts(self, parameters: Any, batch: Batch, *more: Any) -> list[Any]:
        """The sums over the nodes of shards that this process owns."""
        nodes = collectives.owned_nodes(self._shards)
        shares = [share for share in divide(nodes, threads.count() if self._threaded else 1) if share]
        while len(self._programs) < len(shares):
            self._programs.append(mg.jit(self._f, tuning=self._tuning))
        known: dict[Node, Any] = {}

        def work(program: Callable, share: Sequence[Node]) -> None:
            for node in share:
                known[node] = self._sum(program, node, parameters, batch, *more)

        threads.run_all([partial(work, *each) for each in zip(self._programs, shares, strict=False)])
        return [add_up(node, known, _add) for node in nodes]

    def add_up(self, parts: Sequence[Any]) -> Any:
        """The sum over all shards, given the parts of each process."""
        return parts[0] if collectives.size() == 1 else collectives.sum_shards(parts, self._shards)

    def __call__(self, parameters: Any, batch: Batch, *more: Any) -> Any:
        """The sum over all shards."""
        return self.add_up(self.parts(parameters, batch, *more))

    def traced(self, parameters: Any, batch: Batch, *more: Any) -> Any:
        """The same, to be captured as a part of a program."""
        nodes = collectives.owned_nodes(self._shards)
        return self.add_up([self._sum(self._f, node, parameters, batch, *more) for node in nodes])

    def _sum(self, f: Callable, node: Node, parameters: Any, batch: Batch, *more: Any) -> Any:
        """The sum over a node of shards, whose images are drawn together."""
        begin, end = (batch.count * shard // self._shards for shard in node)
        images, noise = self._draw(batch, begin, end)

        def add(node: Node) -> Any:
            if count(node) > 1:
                return _add(*map(add, halves(node)))
            first, last = (batch.count * shard // self._shards - begin for shard in node)
            if first == last:
                return self._zero(parameters)
            return f(parameters, images[first:last], noise[..., first:last, :], batch.count, *more)

        return add(node)


class ShardedStep:
    """A training step on `shards` shards of a batch.

    `gradient(parameters, images, noise, time, count, measured)` returns what these images contribute, in a batch of
    `count`, to the value to report and to the gradient of the loss. `measured` is the sum of
    `measure(parameters, images, noise)` over the batch, for a loss that needs one. It is taken as a constant, so the
    loss must not depend on it to first order, as at an optimum. `schedule`, a function of the batch's time, multiplies
    the learning rate.
    """

    def __init__(
        self,
        gradient: Callable[..., tuple[Any, Any]],
        measure: Callable | None,
        optimiser: Optimiser,
        schedule: Schedule | None,
        shards: int,
        draw: Callable,
        threaded: bool,
    ):
        def some_gradient(
            parameters: Any, images: Any, noise: Any, count: int, measured: Any = None, time: Any = None
        ) -> Any:
            return gradient(parameters, images, noise, time, count, measured)

        def no_gradient(parameters: Any) -> Any:
            return no_number(parameters), tree.map(mg.zeros_like, parameters)

        def no_number(parameters: Any) -> Any:
            return mg.sum(mg.zeros_like(tree.flatten(parameters)[0][0]))

        def number(parameters: Any, images: Any, noise: Any, count: int) -> Any:
            return measure(parameters, images, noise)

        self._optimiser, self._schedule = optimiser, schedule
        self._measured = None if measure is None else ShardSum(number, no_number, shards, draw, threaded)
        self.gradient = ShardSum(some_gradient, no_gradient, shards, draw, threaded)
        """(parameters, batch, measured, batch.time) -> (value to report, gradient)."""
        self._captured_update = mg.jit(self._update, donate=(0, 1, 2))

    def measure(self, parameters: Any, batch: Batch) -> Any:
        """The sum that the loss needs; None if it needs none."""
        return None if self._measured is None else self._measured(parameters, batch)

    def update(self, parameters: Any, state: Any, total: Any, batch: Batch, gradient: Any) -> tuple[Any, Any, Any, Any]:
        """The step, given the gradient: (loss, parameters, state, Σ ELBO), in the memory of the old ones."""
        return self._captured_update(parameters, state, total, gradient, batch.number, batch.time, batch.count)

    def traced(self, parameters: Any, state: Any, total: Any, batch: Batch) -> tuple[Any, Any, Any, Any]:
        """The whole step, to be captured as a program."""
        measured = None if self._measured is None else self._measured.traced(parameters, batch)
        gradient = self.gradient.traced(parameters, batch, measured, batch.time)
        return self._update(parameters, state, total, gradient, batch.number, batch.time, batch.count)

    def _update(
        self, parameters: Any, state: Any, total: Any, gradient: tuple[Any, Any], number: Any, time: Any, count: int
    ) -> tuple[Any, Any, Any, Any]:
        reported, slopes = gradient
        factor = 1.0 if self._schedule is None else self._schedule(time)
        parameters, state = self._optimiser.update(parameters, slopes, state, factor)
        return reported, parameters, state, add_elbo(total, reported, number, count)


def add_elbo(total: Any, loss: Any, number: Any, count: int) -> Any:
    """The sum of the ELBO over an epoch, with that of batch `number`; the first batch resets it."""
    return mg.where(number == 0, 0.0, total) - mg.astype(loss, np.float64) * count


def _add(a: Any, b: Any) -> Any:
    """The sum of two trees, in the memory of a where that is an array of ours."""

    def add(x: Any, y: Any) -> Any:
        return np.add(x, y, out=x) if isinstance(x, np.ndarray) and x.ndim else x + y

    return tree.map(add, a, b)
