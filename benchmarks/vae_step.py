"""Time of one whole training step: loss, gradient and Adam's update, of both models, beside PyTorch, JAX and others.

All have the same network, initial values, images, noise and loss (−mean ELBO, Bernoulli logits, closed KL), in float32.
This is checked before timing: gradients of the first step agree to 1e-4 of each tensor's largest entry, losses of three
steps to 1e-4. The competitors are in `steps.py`; those not installed are left out.

`ratio` is the median of minigrad's captured step over that of PyTorch eager with its default Adam and its better
layout; `ratio_fastest` the same over the fastest of all peers. The captured step is the one of `vae train --shards 1`.
By default `vae train` cuts a batch of 32 images or more into up to 8 shards; `processes` measures what this costs.

    python benchmarks/vae_step.py
    python benchmarks/vae_step.py --model mlp --batch 20 128 1024 --rounds 30 --threads 2
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from common import fix_threads, machine_facts, make_parser, measure, parse_options, positive, ratio
from report import report
from steps import COMPETITORS, NOISE_SEED, Competitor, Task

import minigrad as mg
from minigrad.core import tree
from vae.models import MODELS

TOLERANCE = 1e-4
BATCHES = {"mlp": (20, 128, 1024), "conv": (32, 128, 512)}


def compare(case: str, competitors: dict[str, Competitor], task: Task) -> dict[str, dict[str, float]]:
    """How far each peer is from minigrad over three steps; exits with a message if it is too far."""
    ours, *_ = competitors.values()
    differences: dict[str, dict[str, float]] = {}
    gradients = tree.unflatten(tree.flatten(task.parameters)[1], ours.gradients())
    losses = np.array([ours.step() for _ in range(3)])
    for who, c in competitors.items():
        if c is ours:
            differences[who] = {}
            continue
        pairs = zip(c.gradients(), c.layout(gradients), strict=True)
        deviations = np.abs([c.step() for _ in range(3)] / losses - 1)
        differences[who] = {
            "gradient_difference": max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs),
            "loss_difference": float(deviations.max()),
        }
        if not max(differences[who].values()) <= TOLERANCE:
            raise SystemExit(f"{case}: {who} differs from minigrad by {differences[who]}, more than {TOLERANCE}")
    return differences


def run_case(name: str, batch: int, rounds: int) -> dict[str, Any]:
    model = MODELS[name]()
    y = mg.random.uniform(mg.random.key(1), (batch, *model.image_shape))
    noise = mg.random.normal(mg.random.key(NOISE_SEED), (batch, model.latent))
    task = Task(model, model.init(mg.random.key(0)), y, noise)
    candidates = {who: make(task) for who, make in COMPETITORS[name].items()}
    available = {who: c for who, c in candidates.items() if isinstance(c, Competitor)}
    differences = compare(f"{name}, batch {batch}", available, task)
    times = measure({who: c.step for who, c in available.items()}, rounds)
    case: dict[str, Any] = {
        who: times[who] | differences[who] if who in available else {"absent": c} for who, c in candidates.items()
    }
    peers = [who for who in candidates if not who.startswith("minigrad")]
    eager = [who for who in peers if who in ("PyTorch", "PyTorch channels-last")]
    ratios = {
        f"ratio{of}{to}": ratio(case, who, others)
        for of, who in (("", "minigrad"), ("_user", "minigrad user"))
        for to, others in (("", eager), ("_fastest", peers))
    }
    return case | {"all_agree_within": TOLERANCE} | ratios


def main() -> None:
    parser = make_parser("vae_step", __doc__, rounds=20)
    parser.add_argument("--model", nargs="+", choices=list(MODELS), default=list(MODELS), help="default: both")
    parser.add_argument("--batch", nargs="+", type=positive, help="default: 20 128 1024 (mlp), 32 128 512 (conv)")
    options = parse_options(parser)
    facts = machine_facts(options.threads, ("minigrad", "torch", "jax", "autograd", "mygrad"))
    results: dict[str, Any] = {"machine": facts}
    with fix_threads(options.threads):
        for name in options.model:
            for batch in options.batch or BATCHES[name]:
                print(f"{name}, batch {batch} …", file=sys.stderr, flush=True)
                results[f"{name}, batch {batch}"] = run_case(name, batch, options.rounds)
    report("vae_step", "One training step of a VAE", results, options)


if __name__ == "__main__":
    main()
