"""The competitors of `vae_step`: one whole training step each, for the same `Task`.

minigrad          captured once (`mg.jit`) and updated in place, as by `vae train --shards 1`; or operation by operation
minigrad user     a step as a user writes it: noise drawn inside, Adam over the tree of parameters, nothing donated
PyTorch           eager, with its default Adam; for the convolutional model in both layouts
PyTorch fused     the same with Adam in one kernel (and channels last)
PyTorch compiled  `torch.compile` of loss and gradient, with fused Adam (and channels last); needs a C++ compiler
JAX               `jax.jit` of the whole step, parameters and state donated
autograd, MyGrad  eager, the dense model only: they have no fast convolution

A competitor that is not installed or does not work here is a string with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from common import NOT_INSTALLED, import_peer
from torch_twin import torch, torch_loss, twin_of

import minigrad as mg
from minigrad.core import tree
from vae.autoencoder import Autoencoder
from vae.likelihoods import Bernoulli
from vae.models import Model, Parameters
from vae.objectives import elbo
from vae.optimisers import adam

jax = import_peer("jax")
autograd = import_peer("autograd")
mygrad = import_peer("mygrad")
LEARNING_RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
NOISE_SEED = 2


class Task(NamedTuple):
    """The common starting point of all competitors."""

    model: Model
    parameters: Parameters
    y: np.ndarray
    noise: np.ndarray


class Competitor(NamedTuple):
    """One implementation of the step, with its data."""

    step: Callable[[], float]  # trains once, returns the loss before the update
    gradients: Callable[[], list[np.ndarray]]  # at the current parameters, in its own layout
    layout: Callable[[Parameters], list[np.ndarray]]  # our parameters (or gradients) in its layout


# minigrad


def pure_step(model: Model) -> tuple[Callable, Callable, Callable]:
    """Three functions for any device: parameters → optimiser state; (parameters, y, ε) → loss; and the step,
    (parameters, state, y, ε) → (loss, parameters, state)."""
    optimiser = adam(LEARNING_RATE, BETA1, BETA2, EPSILON)

    def loss(parameters: Parameters, y: Any, noise: Any) -> Any:
        return -mg.mean(elbo(Autoencoder(model, Bernoulli(), parameters), y, noise, "closed"))

    def step(parameters: Parameters, state: Any, y: Any, noise: Any) -> tuple:
        value, gradients = mg.value_and_grad(loss)(parameters, y, noise)
        return value, *optimiser.update(parameters, gradients, state)

    return optimiser.init, loss, step


def minigrad(task: Task, captured: bool) -> Competitor:
    init, loss, whole = pure_step(task.model)
    parameters = tree.map(np.copy, task.parameters)
    state = init(parameters)
    trained = mg.jit(whole, donate=(0, 1)) if captured else whole

    def step() -> float:
        nonlocal parameters, state
        loss, parameters, state = trained(parameters, state, task.y, task.noise)
        return float(loss)

    def gradients() -> list[np.ndarray]:
        return _leaves(mg.grad(loss)(parameters, task.y, task.noise))

    return Competitor(step, gradients, _leaves)


def minigrad_user(task: Task) -> Competitor:
    """A step as a user writes it: the network in plain functions, noise drawn inside, Adam over the tree of parameters,
    `mg.jit`, and nothing donated."""
    key = mg.random.key(NOISE_SEED)

    def conv(x: Any, w: Any, stride: int) -> Any:
        return mg.conv2d(x, w, stride=stride)

    def loss(p: Parameters, y: Any, key: Any) -> Any:
        noise = mg.random.normal(key, (len(y), task.model.latent))
        outputs = _network(mg, task.model, p, y, noise, conv, mg.relu, mg.gaussian_sample)
        return _loss(mg, outputs, y, mg.softplus)

    @mg.jit
    def train(p: Parameters, state: tuple, y: Any, key: Any) -> tuple:
        value, g = mg.value_and_grad(loss)(p, y, key)
        return value, *_adam(mg, tree.map, p, g, *state)

    p = task.parameters
    state = np.float32(0), tree.map(np.zeros_like, p), tree.map(np.zeros_like, p)

    def step() -> float:
        nonlocal p, state
        value, p, state = train(p, state, task.y, key)
        return float(value)

    return Competitor(step, lambda: _leaves(mg.grad(loss)(p, task.y, key)), _leaves)


def _leaves(parameters: Parameters) -> list[np.ndarray]:
    return tree.flatten(parameters)[0]


# PyTorch


def pytorch(task: Task, channels_last: bool = False, fused: bool = False, compiled: bool = False) -> Competitor | str:
    if torch is None:
        return NOT_INSTALLED
    twin = twin_of(task.model, channels_last)

    def tensor(x: np.ndarray) -> Any:
        copied = torch.tensor(np.ascontiguousarray(x))
        return copied.contiguous(memory_format=torch.channels_last) if channels_last and x.ndim == 4 else copied

    weights = [tensor(x).requires_grad_() for x in twin.layout(task.parameters)]
    images, epsilon = tensor(twin.images(task.y)), tensor(task.noise)
    optimiser = torch.optim.Adam(weights, lr=LEARNING_RATE, fused=fused or None)

    def loss() -> Any:
        return torch_loss(twin, weights, images, epsilon)

    evaluated = torch.compile(loss, dynamic=False) if compiled else loss

    def step() -> float:
        optimiser.zero_grad()
        value = evaluated()
        value.backward()
        optimiser.step()
        return value.item()

    if compiled:
        try:
            torch.autograd.grad(evaluated(), weights)
        except Exception as error:  # compilers raise many types
            return f"does not compile: {type(error).__name__}: {str(error).splitlines()[0]}"
    return Competitor(step, lambda: [g.numpy() for g in torch.autograd.grad(loss(), weights)], twin.layout)


# JAX


def jax_step(model: Model) -> tuple[Callable, Callable, Callable]:
    """The three functions of `pure_step`, in JAX."""
    jnp, lax = jax.numpy, jax.lax
    network = partial(_network, jnp, conv=partial(_jax_conv, lax))

    def init(p: Parameters) -> tuple:
        return 0, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p)

    def loss(p: Parameters, y: Any, noise: Any) -> Any:
        return _loss(jnp, network(model, p, y, noise), y, softplus=jax.nn.softplus)

    def step(p: Parameters, state: tuple, y: Any, noise: Any) -> tuple:
        value, g = jax.value_and_grad(loss)(p, y, noise)
        return value, *_adam(jnp, jax.tree.map, p, g, *state)

    return init, loss, step


def jax_jit(task: Task) -> Competitor | str:
    if jax is None:
        return NOT_INSTALLED
    jnp = jax.numpy
    init, loss, whole = jax_step(task.model)
    stepped = jax.jit(whole, donate_argnums=(0, 1))
    p = jax.tree.map(jnp.array, task.parameters)
    state = init(p)
    y, noise = jnp.asarray(task.y), jnp.asarray(task.noise)

    def step() -> float:
        nonlocal p, state
        value, p, state = stepped(p, state, y, noise)
        jax.block_until_ready(p)
        return float(value)

    return Competitor(step, lambda: list(map(np.asarray, jax.tree.leaves(jax.grad(loss)(p, y, noise)))), _leaves)


def _jax_conv(lax: Any, x: Any, w: Any, stride: int) -> Any:
    return lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


# Libraries with NumPy's functions


def autograd_eager(task: Task) -> Competitor | str:
    if autograd is None:
        return NOT_INSTALLED
    xp = autograd.numpy
    structure = tree.flatten(task.parameters)[1]

    def loss(leaves: list) -> Any:
        def softplus(x):
            return xp.logaddexp(0.0, x)

        return _loss(
            xp, _network(xp, task.model, tree.unflatten(structure, leaves), task.y, task.noise), task.y, softplus
        )

    return _with_numpy_adam(task, autograd.value_and_grad(loss))


def mygrad_eager(task: Task) -> Competitor | str:
    if mygrad is None:
        return NOT_INSTALLED
    structure = tree.flatten(task.parameters)[1]

    def value_and_gradients(leaves: list) -> tuple:
        tensors = [mygrad.tensor(leaf) for leaf in leaves]
        parameters = tree.unflatten(structure, tensors)

        def softplus(x):
            return mygrad.logaddexp(np.float32(0), x)

        value = _loss(mygrad, _network(mygrad, task.model, parameters, task.y, task.noise), task.y, softplus)
        value.backward()
        return value.item(), [tensor.grad for tensor in tensors]

    return _with_numpy_adam(task, value_and_gradients)


def _with_numpy_adam(task: Task, value_and_gradients: Callable) -> Competitor:
    """A competitor that updates its parameters with Adam in plain NumPy."""
    leaves = [leaf.copy() for leaf in _leaves(task.parameters)]
    state = 0, [np.zeros_like(leaf) for leaf in leaves], [np.zeros_like(leaf) for leaf in leaves]

    def map_leaves(f, *columns):
        return [f(*row) for row in zip(*columns, strict=True)]

    def step() -> float:
        nonlocal leaves, state
        value, g = value_and_gradients(leaves)
        leaves, state = _adam(np, map_leaves, leaves, g, *state)
        return float(value)

    return Competitor(step, lambda: list(map(np.asarray, value_and_gradients(leaves)[1])), _leaves)


# The models again, in functions that autograd, MyGrad and JAX share with NumPy


def _network(
    xp: Any, model: Model, p: Parameters, y: Any, noise: Any, conv: Any = None, relu: Any = None, sample: Any = None
) -> tuple:
    relu = relu or (lambda x: xp.maximum(x, np.float32(0)))
    sample = sample or (lambda mean, log_std, noise: mean + xp.exp(log_std) * noise)

    def dense(layer, x):
        return xp.matmul(x, layer.w) + layer.b

    h = y if model.name == "conv" else y.reshape(len(y), -1)
    for layer in p.encoder.hidden:
        h = relu(conv(h, layer.w, 2) + layer.b if model.name == "conv" else dense(layer, h))
    h = h.reshape(len(y), -1)
    mean, log_std = dense(p.encoder.mean, h), dense(p.encoder.log_std, h)
    h = relu(dense(p.decoder.hidden[0], sample(mean, log_std, noise)))
    if model.name == "conv":
        height, width, _ = model.image_shape
        h = h.reshape(len(y), height // 4, width // 4, -1)
        middle = p.decoder.hidden[1]
        h = relu(_depth_to_space(xp, conv(h, middle.w, 1) + middle.b))
        return mean, log_std, _depth_to_space(xp, conv(h, p.decoder.pixels.w, 1) + p.decoder.pixels.b)
    return mean, log_std, dense(p.decoder.pixels, h)


def _depth_to_space(xp: Any, x: Any) -> Any:
    n, h, w, c = x.shape
    return xp.transpose(x.reshape(n, h, w, 2, 2, c // 4), (0, 1, 3, 2, 4, 5)).reshape(n, 2 * h, 2 * w, c // 4)


def _loss(xp: Any, outputs: tuple, y: Any, softplus: Callable) -> Any:
    mean, log_std, logits = outputs
    nats = xp.sum(softplus(logits) - y.reshape(logits.shape) * logits)
    kl = xp.sum(mean * mean + xp.exp(np.float32(2) * log_std) - np.float32(1) - np.float32(2) * log_std)
    return (nats + np.float32(0.5) * kl) / np.float32(len(y))


def _adam(xp: Any, map_leaves: Callable, p: Any, g: Any, t: Any, m: Any, v: Any) -> tuple:
    t = t + 1
    m = map_leaves(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, g)
    v = map_leaves(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, g)
    rate, root = LEARNING_RATE / (1 - BETA1**t), 1 / (1 - BETA2**t) ** 0.5
    return map_leaves(lambda p, m, v: p - rate * (m / (root * xp.sqrt(v) + EPSILON)), p, m, v), (t, m, v)


COMPETITORS: dict[str, dict[str, Callable[[Task], Competitor | str]]] = {
    "mlp": {
        "minigrad": partial(minigrad, captured=True),
        "minigrad user": minigrad_user,
        "minigrad eager": partial(minigrad, captured=False),
        "PyTorch": pytorch,
        "PyTorch fused": partial(pytorch, fused=True),
        "PyTorch compiled": partial(pytorch, fused=True, compiled=True),
        "JAX": jax_jit,
        "autograd": autograd_eager,
        "MyGrad": mygrad_eager,
    },
    "conv": {
        "minigrad": partial(minigrad, captured=True),
        "minigrad user": minigrad_user,
        "minigrad eager": partial(minigrad, captured=False),
        "PyTorch": pytorch,
        "PyTorch channels-last": partial(pytorch, channels_last=True),
        "PyTorch fused": partial(pytorch, channels_last=True, fused=True),
        "PyTorch compiled": partial(pytorch, channels_last=True, fused=True, compiled=True),
        "JAX": jax_jit,
    },
}
"""Competitors by model; minigrad's captured step comes first."""
