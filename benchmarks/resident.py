"""Whole training steps on data that stays on the device: the competitors of `cpu_gpu`.

A step gathers its batch from the data set by index, draws ε, computes loss and gradient, and applies Adam's update.
All of it is queued; no result is copied to the host.

NumPy, CuPy             minigrad, operation by operation or captured (`mg.jit`, donated)
PyTorch                 eager, channels last, with its default or its fused Adam
PyTorch compiled        `torch.compile(mode="reduce-overhead")` of gathering, ε and loss, with fused Adam
PyTorch CUDA graph      the whole step in one graph, with fused capturable Adam; the indices are copied into it
JAX                     `jax.jit` of the whole step, parameters and state donated
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from common import NOT_INSTALLED
from device import Stopwatch, stopwatch, stopwatch_of, torch_stopwatch
from steps import BETA1, BETA2, EPSILON, LEARNING_RATE, jax, jax_step, pure_step, torch_loss
from torch_twin import torch, twin_of

import minigrad as mg
from minigrad import backends
from minigrad.core import tree
from vae.models import Model, Parameters

WARM_UP = 3  # steps before a graph is captured


class Task(NamedTuple):
    """The common starting point of all competitors, on the host."""

    model: Model
    parameters: Parameters
    images: np.ndarray  # the whole data set
    rows: list[np.ndarray]  # int64: the batches of an epoch, taken in turn
    noise: np.ndarray  # ε for the first images of the first batch, whose loss is compared

    @property
    def batch(self) -> int:
        return len(self.rows[0])

    @property
    def compared(self) -> np.ndarray:
        """The rows that `noise` is for."""
        return self.rows[0][: len(self.noise)]


class Competitor(NamedTuple):
    """One implementation on one device, with its data."""

    step: Callable[[], Any]  # queues one step
    loss: Callable[[], float]  # current loss of the compared images, with the task's noise
    initial: float  # the same before the first step
    stopwatch: Stopwatch


@contextmanager
def precision(tf32: bool) -> Iterator[None]:
    """Switch TF32 in products and convolutions of PyTorch and JAX; PyTorch also searches for its fastest ones."""
    with ExitStack() as restored:
        if torch is not None:
            # PyTorch's compiler still reads these older switches; mixing them with the newer ones is an error
            for place, name, value in (
                (torch.backends.cuda.matmul, "allow_tf32", tf32),
                (torch.backends.cudnn, "allow_tf32", tf32),
                (torch.backends.cudnn, "benchmark", True),
            ):
                restored.callback(setattr, place, name, getattr(place, name))
                setattr(place, name, value)
        if jax is not None:
            restored.enter_context(jax.default_matmul_precision("tensorfloat32" if tf32 else "highest"))
        yield


# minigrad


def whole_step(model: Model) -> Callable[..., tuple]:
    """(parameters, state, images, rows of a batch, key of the epoch, number of the batch) → (loss, parameters, state).

    `images` is the whole data set, on any device. The batches of an epoch share one stream of ε, as in `vae train`.
    """
    _, _, trained = pure_step(model)

    def step(parameters: Parameters, state: Any, images: Any, rows: Any, key: Any, number: Any) -> tuple:
        shape = len(rows), model.latent
        noise = mg.random.normal(key, shape, offset=number * (shape[0] * shape[1]))
        return trained(parameters, state, images[rows], noise)

    return step


def minigrad(task: Task, device: str, captured: bool) -> Competitor | str:
    try:
        backend = backends.get(device)
    except backends.DeviceError as reason:
        return str(reason)
    init, loss_of, _ = pure_step(task.model)
    step_of = whole_step(task.model)
    trained = mg.jit(step_of, donate=(0, 1)) if captured else step_of
    parameters = tree.map(np.copy, task.parameters)
    state, numbers = init(parameters), list(map(np.int64, range(len(task.rows))))
    if captured and device == "cuda":  # step counters are on the device, too
        state, numbers = tree.map(np.asarray, (state, numbers))
    parameters, state, images, rows, numbers, key, compared, noise = mg.to_device(
        (parameters, state, task.images, task.rows, numbers, mg.random.key(3), task.compared, task.noise), device
    )
    turns = itertools.cycle(zip(rows, numbers, strict=True))

    def step() -> None:
        nonlocal parameters, state
        batch, number = next(turns)
        _, parameters, state = trained(parameters, state, images, batch, key, number)

    def loss() -> float:
        return float(loss_of(parameters, images[compared], noise))

    return Competitor(step, loss, loss(), stopwatch_of(backend))


# PyTorch


def pytorch(task: Task, device: str, fused: bool = False, how: str = "eager") -> Competitor | str:
    """`how` is "eager", "compiled" or "graph" (for "cuda" only)."""
    if torch is None:
        return NOT_INSTALLED
    if device == "cuda" and not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} finds no NVIDIA GPU"
    twin = twin_of(task.model, channels_last=True)

    def tensor(x: np.ndarray) -> Any:
        moved = torch.tensor(np.ascontiguousarray(x), device=device)
        return moved.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else moved

    # The compiler expects parameters at a fixed address; it would copy any other tensor in each step.
    weights = [torch.nn.Parameter(tensor(x)) for x in twin.layout(task.parameters)]
    images = torch.nn.Parameter(torch.as_tensor(task.images, device=device), requires_grad=False)
    rows, compared, noise = [tensor(r) for r in task.rows], tensor(task.compared), tensor(task.noise)
    optimiser = torch.optim.Adam(
        weights, LEARNING_RATE, (BETA1, BETA2), EPSILON, fused=fused or None, capturable=how == "graph"
    )

    def batch(rows: Any) -> Any:
        gathered = images[rows]  # (N, H, W, C); a view of it as (N, C, H, W) is channels last
        return gathered.permute(0, 3, 1, 2) if task.model.name == "conv" else gathered.flatten(1)

    def value(rows: Any) -> Any:
        epsilon = torch.randn(task.batch, task.model.latent, device=device)
        return torch_loss(twin, weights, batch(rows), epsilon)

    def loss() -> float:
        with torch.no_grad():
            return torch_loss(twin, weights, batch(compared), noise).item()

    initial, turns = loss(), itertools.cycle(rows)
    evaluated = torch.compile(value, mode="reduce-overhead", dynamic=False) if how == "compiled" else value

    def step(rows: Any = None) -> None:
        if how == "compiled":
            torch.compiler.cudagraph_mark_step_begin()
        optimiser.zero_grad()  # to None
        evaluated(next(turns) if rows is None else rows).backward()
        optimiser.step()

    queued = _graph(step, optimiser, rows[0], turns) if how == "graph" else step
    return Competitor(queued, loss, initial, torch_stopwatch(device))


def _graph(step: Callable, optimiser: Any, example: Any, turns: Iterator) -> Callable[[], None]:
    """A step in one CUDA graph, after torch.cuda.graph's documentation ("whole-network capture").

    The indices have a fixed buffer, which is filled before each replay. Warm-up steps on a side stream first create
    the state of Adam and of libraries. Gradients are None when capture begins, so that the graph allocates them in its
    own memory, and a replay overwrites them instead of adding to them. Every replay draws new ε.
    """
    indices = example.clone()
    side, main = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(main)
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step(indices)
    main.wait_stream(side)
    optimiser.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(indices)

    def replay() -> None:
        indices.copy_(next(turns))
        graph.replay()

    return replay


# JAX


def jax_jit(task: Task, device: str) -> Competitor | str:
    if jax is None:
        return NOT_INSTALLED
    try:
        where = jax.devices("gpu" if device == "cuda" else "cpu")[0]
    except RuntimeError as error:
        return f"JAX {jax.__version__} finds no NVIDIA GPU: {str(error).splitlines()[0]}"
    init, loss_of, trained = jax_step(task.model)

    def whole(p: Parameters, state: tuple, images: Any, rows: Any, key: Any) -> tuple:
        return trained(p, state, images[rows], jax.random.normal(key, (task.batch, task.model.latent)))

    stepped, evaluated = jax.jit(whole, donate_argnums=(0, 1)), jax.jit(loss_of)
    p = jax.tree.map(jax.numpy.array, task.parameters)
    keys = list(jax.random.split(jax.random.key(3), len(task.rows)))
    p, state, images, rows, keys, compared, noise = jax.device_put(
        (p, init(p), task.images, task.rows, keys, task.compared, task.noise), where
    )
    turns = itertools.cycle(zip(rows, keys, strict=True))

    def step() -> None:
        nonlocal p, state
        _, p, state = stepped(p, state, images, *next(turns))

    def loss() -> float:
        return float(evaluated(p, images[compared], noise))

    return Competitor(step, loss, loss(), stopwatch(lambda: jax.block_until_ready(p)))


ON_CPU: dict[str, Callable[[Task], Competitor | str]] = {
    "NumPy eager": partial(minigrad, device="cpu", captured=False),
    "NumPy jit": partial(minigrad, device="cpu", captured=True),
    "PyTorch CPU": partial(pytorch, device="cpu"),
}
ON_GPU: dict[str, Callable[[Task], Competitor | str]] = {
    "CuPy eager": partial(minigrad, device="cuda", captured=False),
    "CuPy jit": partial(minigrad, device="cuda", captured=True),
    "PyTorch eager": partial(pytorch, device="cuda"),
    "PyTorch eager, fused Adam": partial(pytorch, device="cuda", fused=True),
    "PyTorch compiled": partial(pytorch, device="cuda", fused=True, how="compiled"),
    "PyTorch CUDA graph": partial(pytorch, device="cuda", fused=True, how="graph"),
    "JAX jit": partial(jax_jit, device="cuda"),
}
