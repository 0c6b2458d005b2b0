"""A process of PyTorch, for `workers`: the network of `torch_twin`, the loss of `vae train`, and the default Adam.

Two processes share a batch with DistributedDataParallel, over gloo. Each computes the mean loss of its half. DDP
averages the gradients, which gives the gradient of the mean over the batch.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from torch_twin import Twin, torch, torch_loss, twin_of
from workers import main, make_problem, time_calls

from minigrad.collectives.mpi import launched_rank, launched_size


class TorchProcess:
    """One of the processes of PyTorch."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._rank, self._size = launched_rank(), launched_size()
        if self._size > 1:
            address = f"file://{sys.argv[1]}.store"
            torch.distributed.init_process_group("gloo", init_method=address, rank=self._rank, world_size=self._size)

    def prepare(self, model: str, batch: int, channels_last: bool) -> None:
        """Start training at the initial parameters."""
        self._trainer, self._epoch = make_problem(model, batch, 1)
        twin = twin_of(self._trainer.model, channels_last)

        def tensor(x: np.ndarray) -> Any:
            last = channels_last and x.ndim == 4  # also in the strides of a single channel, as gradients have them
            layout = torch.channels_last if last else torch.contiguous_format
            return torch.empty(x.shape, memory_format=layout).copy_(torch.tensor(np.ascontiguousarray(x)))

        weights = [tensor(x) for x in twin.layout(self._trainer.initial().parameters)]
        self._network = make_network(twin, weights)
        self._images, self._taken = tensor(twin.images(self._epoch.images)), 0
        self._loss, self._order = self._network, torch.tensor(self._epoch.order)
        if self._size > 1:
            parallel = torch.nn.parallel.DistributedDataParallel
            self._loss = parallel(self._network, gradient_as_bucket_view=True)
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=self._trainer.config.learning_rate)

    def _step(self, update: bool = True, like_minigrad: bool = False) -> float:
        """A step on this process's part of the batch; its noise is drawn here, or is the noise of minigrad."""
        number, latent = self._taken % len(self._order), self._trainer.model.latent
        batch, self._taken = self._epoch.batch(number), self._taken + update
        some = slice(batch.count * self._rank // self._size, batch.count * (self._rank + 1) // self._size)
        images = self._images[self._order[number][some]]
        noise = torch.tensor(batch.draw(latent)[1][some]) if like_minigrad else torch.randn(len(images), latent)
        self._optimiser.zero_grad()
        loss = self._loss(images, noise)
        loss.backward()
        if update:
            self._optimiser.step()
        return loss.item()

    def burst(self, steps: int) -> float:
        """Seconds a step."""
        return time_calls(self._step, steps)

    def check(self) -> dict[str, Any]:
        """The gradients of the first batch, and the losses of three steps of this process's part of the batch."""
        self._step(update=False, like_minigrad=True)
        gradients = [p.grad.detach().numpy().copy() for p in self._network.parameters()]
        return {"gradients": gradients, "losses": [self._step(like_minigrad=True) for _ in range(3)]}

    def add_up(self, size: int, times: int) -> float:
        """Seconds to add up an array of this many bytes."""
        array = torch.zeros(size // 4)
        return time_calls(lambda: torch.distributed.all_reduce(array), times)


def make_network(twin: Twin, weights: list) -> Any:
    """A module whose value is the loss of its images and noise."""

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.ParameterList(weights)
            self.in_order = tuple(self.weights)

        def forward(self, images: Any, noise: Any) -> Any:
            return torch_loss(twin, self.in_order, images, noise)

    return Network()


if __name__ == "__main__":
    main(TorchProcess)
