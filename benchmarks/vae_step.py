"""Time of one whole training step: loss, gradient and Adam's update, of both models, beside PyTorch (eager).

Everyone has the same network, initial values, images, noise and loss (−mean ELBO, Bernoulli logits, closed KL), in
float32, and that is checked before the clock starts: gradients of the first step agree to 1e-4 of each tensor's largest
entry, losses of three steps to 1e-4. PyTorch uses its default Adam; the convolutional model also runs channels-last.
`ratio` is minigrad's median (eager) over that of PyTorch's better layout, `ratio_jit` that of the captured step.

    python benchmarks/vae_step.py
    python benchmarks/vae_step.py --model mlp conv --batch 20 128 1024 --rounds 30 --threads 2
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from common import ABSENT, machine, measure, parse, parser, positive, quiet, ratio
from report import report
from torch_twin import torch, twin_of

import minigrad as mg
from minigrad import tree
from vae.models import MODELS, Model, Parameters
from vae.objectives import Likelihood, elbo
from vae.optimisers import adam

TOLERANCE = 1e-4
LEARNING_RATE = 1e-3


class Competitor(NamedTuple):
    """One implementation of the step, with everything it works on inside."""

    step: Callable[[], float]  # trains once, returns the loss before the update
    gradients: Callable[[], list[np.ndarray]]  # at the current parameters, in its own layout
    layout: Callable[[Parameters], list[np.ndarray]]  # our parameters (or gradients) in its layout


# minigrad


def minigrad_competitor(
    model: Model, parameters: Parameters, y: np.ndarray, noise: np.ndarray, captured: bool = False
) -> Competitor:
    optimiser, likelihood = adam(LEARNING_RATE), Likelihood("bernoulli")
    parameters = tree.map(np.copy, parameters)
    state = optimiser.init(parameters)
    loss_and_gradients = mg.value_and_grad(lambda p, y, noise: -mg.mean(elbo(model, likelihood, p, y, noise, "closed")))

    def whole(parameters: Parameters, state: Any, y: Any, noise: Any) -> tuple:
        loss, gradients = loss_and_gradients(parameters, y, noise)
        return loss, *optimiser.update(parameters, gradients, state)

    trained = mg.jit(whole, donate=(0, 1)) if captured else whole

    def step() -> float:
        nonlocal parameters, state
        loss, parameters, state = trained(parameters, state, y, noise)
        return float(loss)

    def gradients() -> list[np.ndarray]:
        return tree.flatten(loss_and_gradients(parameters, y, noise)[1])[0]

    return Competitor(step, gradients, lambda p: tree.flatten(p)[0])


# PyTorch


def torch_competitor(
    model: Model, parameters: Parameters, y: np.ndarray, noise: np.ndarray, channels_last: bool = False
) -> Competitor:
    twin = twin_of(model, channels_last)

    def tensor(x: np.ndarray) -> Any:
        made = torch.tensor(np.ascontiguousarray(x))
        return made.contiguous(memory_format=torch.channels_last) if channels_last and x.ndim == 4 else made

    weights = [tensor(x).requires_grad_() for x in twin.layout(parameters)]
    images = tensor(twin.images(y))
    epsilon = tensor(noise)
    optimiser = torch.optim.Adam(weights, lr=LEARNING_RATE)

    def loss() -> Any:
        mean, log_std, logits = twin.network(weights, images, epsilon)
        nats = torch.nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
        return (nats + 0.5 * torch.sum(mean**2 + torch.exp(2 * log_std) - 1 - 2 * log_std)) / len(images)

    def step() -> float:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        optimiser.step()
        return value.item()

    return Competitor(step, lambda: [g.numpy() for g in torch.autograd.grad(loss(), weights)], twin.layout)


# Side by side


def agreement(case: str, competitors: dict[str, Competitor], start: Parameters) -> dict[str, dict[str, float]]:
    """How far each peer is from minigrad over three steps. Exits with a sentence where it is too far to compare."""
    ours = competitors["minigrad"]
    found: dict[str, dict[str, float]] = {"minigrad": {}}
    gradients = tree.unflatten(tree.flatten(start)[1], ours.gradients())
    theirs = {who: c for who, c in competitors.items() if who != "minigrad"}
    for who, c in theirs.items():
        pairs = zip(c.gradients(), c.layout(gradients), strict=True)
        found[who] = {"gradient_difference": max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)}
    losses = np.array([ours.step() for _ in range(3)])
    for who, c in theirs.items():
        differences = np.abs([c.step() for _ in range(3)] / losses - 1)
        found[who]["loss_difference"] = float(differences.max())
        if not max(found[who].values()) <= TOLERANCE:
            raise SystemExit(f"{case}: {who} computes something else: {found[who]}, allowed {TOLERANCE}")
    return found


def run_case(name: str, batch: int, rounds: int) -> dict[str, Any]:
    model = MODELS[name]()
    parameters = model.init(mg.random.key(0))
    y = mg.random.uniform(mg.random.key(1), (batch, *model.image_shape))
    given = model, parameters, y, mg.random.normal(mg.random.key(2), (batch, model.latent))
    competitors = {"minigrad": minigrad_competitor(*given), "minigrad, jit": minigrad_competitor(*given, captured=True)}
    pytorch = ["PyTorch"] if name == "mlp" else ["PyTorch", "PyTorch channels-last"]
    if torch:
        competitors |= {who: torch_competitor(*given, channels_last=who != "PyTorch") for who in pytorch}
    agreed = agreement(f"{name}, batch {batch}", competitors, parameters)
    times = measure({who: c.step for who, c in competitors.items()}, rounds)
    case: dict[str, Any] = {who: times[who] | agreed[who] for who in competitors}
    case |= {who: ABSENT for who in pytorch if who not in case}
    ratios = {"ratio": ratio(case, "minigrad", pytorch), "ratio_jit": ratio(case, "minigrad, jit", pytorch)}
    return case | {"all_agree_within": TOLERANCE} | ratios


def main() -> None:
    arguments = parser("vae_step", __doc__, rounds=20)
    arguments.add_argument("--model", nargs="+", choices=list(MODELS), default=list(MODELS), help="default: both")
    arguments.add_argument("--batch", nargs="+", type=positive, default=[128], help="batch sizes (default: 128)")
    options = parse(arguments)
    results: dict[str, Any] = {"machine": machine(options.threads, ("minigrad", "torch"))}
    with quiet(options.threads):
        for name in options.model:
            for batch in options.batch:
                print(f"{name}, batch {batch} …", file=sys.stderr, flush=True)
                results[f"{name}, batch {batch}"] = run_case(name, batch, options.rounds)
    report("vae_step", "One training step of a VAE", results, options)


if __name__ == "__main__":
    main()
