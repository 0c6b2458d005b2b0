"""vae/recipes.py: the recipes are the published set-ups."""

import pytest

from minigrad.core import tree
from vae.config import Config
from vae.models import Parameters
from vae.recipes import QUICK, RECIPES
from vae.trainer import make_trainer


def widths(parameters: Parameters) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in tree.flatten(parameters)[0] if leaf.ndim == 2]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_and_its_quick_form_is_a_valid_configuration(name):
    for changes in ({}, QUICK):
        Config(**{**RECIPES[name].settings, **changes})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnist", [(784, 400), (400, 20), (400, 20), (20, 400), (400, 784)]),
        ("static-mnist", [(784, 400), (400, 40), (400, 40), (40, 400), (400, 784)]),
        *[
            (name, [(784, 600), (300, 600), (300, 40), (300, 40), (40, 600), (300, 600), (300, 784)])
            for name in ("dynamic-mnist", "dynamic-mnist-dreg", "fashion-mnist", "omniglot")
        ],
    ],
)
def test_a_recipe_has_the_published_layers(name, expected):
    """A gated layer of n units has 2n outputs."""
    trainer = make_trainer(Config(**RECIPES[name].settings), (28, 28, 1))
    assert widths(trainer.initial().parameters) == expected


def test_the_published_numbers():
    """From the sources that the recipes name; a typing error there would be a wrong verdict."""
    found = {name: (r.published, r.error, r.samples) for name, r in RECIPES.items()}
    assert found == {
        "mnist": (105.59, None, 0),
        "dynamic-mnist": (84.45, 0.12, 5000),
        "dynamic-mnist-dreg": (84.32, None, 5000),
        "static-mnist": (89.78, None, 200),
        "fashion-mnist": (228.70, None, 5000),
        "omniglot": (108.34, None, 5000),
    }
