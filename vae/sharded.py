"""A training step that is divided between processes and threads, and has the same bits however it is divided.

A batch is cut into shards. The gradient of each is computed by one program, alike wherever the shard lives, and the
gradients are added up along the tree of shards: by threads, by processes, and then between processes
(`minigrad.collectives`). All numbers of a gradient are one flat array, so there is one sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import collectives
from minigrad.collectives.shards import Node, add_up, count, divide, halves
from minigrad.core import tree
from minigrad.program.cpu import threads
from minigrad.program.tuning import Tuning
from vae.optimisers import Optimiser
from vae.steps import Batch


class ShardedStep:
    """A training step on `shards` shards: (parameters, optimiser's state, Σ ELBO, batch) → the next ones.

    `loss(parameters, images, noise, count)` returns the share that these images have in the loss of a batch of `count`,
    and in the value to report.
    """

    def __init__(
        self, loss: Callable[..., tuple[Any, Any]], optimiser: Optimiser, shards: int, latent: int, threaded: bool
    ):
        self._loss, self._optimiser, self._shards, self._latent = loss, optimiser, shards, latent
        self._threaded = threaded  # whether threads share the shards of a process
        self._programs: list[Callable] = []  # of each thread, since a program runs once at a time
        self._captured_update = mg.jit(self._update, donate=(0, 1, 2))

    def whole(self, parameters: Any, state: Any, total: Any, batch: Batch) -> tuple[Any, Any, Any, Any]:
        """The whole step, to be captured as one program."""
        parts = [self._sum(self._flat_gradient, parameters, batch, node) for node in self._nodes()]
        return self._update(parameters, state, total, self.add_up(parts), batch.number, batch.count)

    def update(self, parameters: Any, state: Any, total: Any, batch: Batch, gradient: Any) -> tuple[Any, Any, Any, Any]:
        """The step, given the gradient of the batch. It writes over parameters, state and total."""
        return self._captured_update(parameters, state, total, gradient, batch.number, batch.count)

    def parts(self, parameters: Any, batch: Batch) -> list[Any]:
        """The gradients of the nodes of shards that this process owns."""
        nodes = self._nodes()
        mine = [some for some in divide(nodes, threads.count() if self._threaded else 1) if some]
        while len(self._programs) < len(mine):
            self._programs.append(mg.jit(self._flat_gradient, tuning=Tuning(threads=1)))
        known: dict[Node, np.ndarray] = {}

        def work(program: Callable, some: Sequence[Node]) -> None:
            for node in some:
                drawn = batch.draw_noise(self._latent, *self._images(batch, node))
                known[node] = self._sum(program, parameters, drawn, node)

        threads.run_all([partial(work, *each) for each in zip(self._programs, mine, strict=False)])
        return [add_up(node, known, _add) for node in nodes]

    def add_up(self, parts: Sequence[Any]) -> Any:
        """The gradient of the whole batch, given the parts that each process computed."""
        return collectives.sum_shards(parts, self._shards)

    def _nodes(self) -> tuple[Node, ...]:
        return collectives.owned_nodes(self._shards)

    def _sum(self, gradient: Callable, parameters: Any, batch: Batch, node: Node) -> Any:
        """The sum of the gradients of a node of shards."""
        if count(node) > 1:
            return _add(*[self._sum(gradient, parameters, batch, half) for half in halves(node)])
        images = self._images(batch, node)
        if images[0] == images[1]:
            zeros = mg.zeros_like(mg.concatenate([mg.ravel(x) for x in tree.flatten(parameters)[0]]))
            return mg.concatenate([zeros[:1], zeros])
        return gradient(parameters, *batch.draw(self._latent, *images), batch.count)

    def _images(self, batch: Batch, node: Node) -> tuple[int, int]:
        """The images of a node of shards: the first one, and the one after the last."""
        return batch.count * node[0] // self._shards, batch.count * node[1] // self._shards

    def _flat_gradient(self, parameters: Any, images: Any, noise: Any, count: int) -> Any:
        """The value to report and the gradient, as one flat array."""
        (_, reported), gradient = mg.value_and_grad(self._loss, has_aux=True)(parameters, images, noise, count)
        return mg.concatenate([mg.ravel(x) for x in tree.flatten((reported, gradient))[0]])

    def _update(
        self, parameters: Any, state: Any, total: Any, flat: Any, number: Any, count: int
    ) -> tuple[Any, Any, Any, Any]:
        leaves, structure = tree.flatten(parameters)
        gradient, end = [], 1
        for leaf in leaves:
            begin, end = end, end + math.prod(leaf.shape)
            gradient.append(mg.reshape(flat[begin:end], leaf.shape))
        parameters, state = self._optimiser.update(parameters, tree.unflatten(structure, gradient), state)
        return flat[0], parameters, state, add_elbo(total, flat[0], number, count)


def add_elbo(total: Any, loss: Any, number: Any, count: int) -> Any:
    """The sum of the ELBO over an epoch, with that of batch `number`; the first batch resets it."""
    return mg.where(number == 0, 0.0, total) - mg.astype(loss, np.float64) * count


def _add(a: Any, b: Any) -> Any:
    """a + b, in the memory of a if that is an array of ours."""
    return np.add(a, b, out=a) if isinstance(a, np.ndarray) else a + b
