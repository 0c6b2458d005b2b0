"""Set-ups of published models, and the numbers to compare with: −ln Q(y) or its bound, nats per image.

The data of a recipe are those of its source, and so is the architecture, unless the source says another. How it is
trained is ours: an hour on two cores, where the sources took hours or days on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """The settings of a run (`vae.config.Config`), what to measure on all its test images, and the published number.

    `images` is the number of training images; `samples` is the K of the importance bound, 0 stands for −ELBO.
    """

    about: str
    settings: dict[str, Any]
    images: int
    samples: int
    published: float
    error: float | None  # of the published number, as its source states it
    source: str
    others: tuple[tuple[float, str], ...] = field(default=())  # further numbers for the same data, with their sources


def _gated(data: str, **more: Any) -> dict[str, Any]:
    """Two gated layers of 300, z = 40 (Tomczak and Welling 2018), on dynamically binarised images."""
    training = {"output_bias": "data", "batch": 100, "schedule": "cosine", "final_rate": 2e-5, "keep": "best"}
    network = {"hidden": (300, 300), "activation": "gated", "latent": 40}
    return {"data": data, "binarise": "dynamic", "valid_size": 10_000, "shards": 1, **network, **training, **more}


EXEMPLAR = "Norouzi et al. 2020 (Exemplar VAE), its plain VAE"
BURDA = "Burda et al. 2015, tanh 200-200, z = 50"
NBIP = "nbip/IWAE, z = 100, other layers"

RECIPES = {
    "mnist": Recipe(
        "grey MNIST, 784-400-20-400-784, 10 epochs",
        {"data": "mnist", "shards": 1},
        60_000,
        0,
        105.59,
        None,
        "pytorch/examples, vae",
    ),
    "dynamic-mnist": Recipe(
        "dynamic MNIST, two gated layers of 300, z = 40",
        _gated("mnist", epochs=400),
        50_000,
        5000,
        84.45,
        0.12,
        EXEMPLAR,
        ((86.35, f"{BURDA}, 50 samples"),),
    ),
    "dynamic-mnist-dreg": Recipe(
        "the same, importance-weighted (DReG, K = 10)",
        _gated("mnist", epochs=250, objective="dreg", samples=10, shards=2),
        50_000,
        5000,
        84.32,
        None,
        f"{NBIP}, DReG, K = 50",
        ((84.78, f"{BURDA}, IWAE, K = 50"), (84.90, f"{NBIP}, DReG, K = 5")),
    ),
    "static-mnist": Recipe(
        "static MNIST, 784-400-40-400-784",
        {
            "data": "binarized-mnist",
            **{"hidden": (400,), "latent": 40, "batch": 100, "epochs": 500, "learning_rate": 1e-4, "shards": 1},
            **{"schedule": "step", "milestones": (200, 350), "decay": 10**-0.2, "keep": "best"},
        },
        50_000,
        200,
        89.78,
        None,
        "pythae, VAE",
    ),
    "fashion-mnist": Recipe(
        "dynamic Fashion-MNIST, two gated layers of 300, z = 40",
        _gated("fashion-mnist", epochs=400),
        50_000,
        5000,
        228.70,
        None,
        EXEMPLAR,
    ),
    "omniglot": Recipe(
        "dynamic Omniglot, two gated layers of 300, z = 40",
        _gated("omniglot", epochs=900, valid_size=1345),
        23_000,
        5000,
        108.34,
        None,
        EXEMPLAR,
    ),
}
QUICK = {  # instead of a recipe's own settings: a minute on built-in data, which shows that everything works
    **{"data": "digits", "train_size": 1000, "test_size": 200, "valid_size": None, "epochs": 2, "keep": "last"},
    **{"milestones": (), "decay": 0.1, "schedule": "constant", "final_rate": 0.0, "warm_up": 0.0},
}
QUICK_SAMPLES = 20  # at most
