"""vae/config.py: valid and invalid settings, and configurations that survive JSON."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from vae.config import Config
from vae.errors import UserError
from vae.likelihoods import Bernoulli, Gaussian
from vae.models import MODELS
from vae.objectives import FORMS, REDUCTIONS
from vae.optimisers import OPTIMISERS
from vae.sigma import LEARNED, PROFILED, Sigma

SIZES = st.integers(1, 10**6)
SIGMAS = st.sampled_from(["learned", "profiled"]) | st.floats(1e-6, 1e6).map(repr)
CONFIGS = st.builds(
    Config,
    data=st.text(min_size=1),
    data_dir=st.none() | st.text(),
    train_size=st.none() | SIZES,
    test_size=st.none() | SIZES,
    model=st.sampled_from(list(MODELS)),
    latent=SIZES,
    hidden=SIZES,
    decoder=st.sampled_from(["gaussian", "laplace"]),
    sigma=SIGMAS,
    form=st.sampled_from(FORMS),
    reduction=st.sampled_from(REDUCTIONS),
    beta=st.just(0.0) | st.floats(1e-9, 1e9),
    clamp=st.none() | st.floats(0.001, 80),
    epochs=SIZES,
    batch=SIZES,
    optimiser=st.sampled_from(list(OPTIMISERS)),
    learning_rate=st.floats(1e-9, 1e9),
    momentum=st.floats(0, 0.999),
    valid_size=st.none() | SIZES,
    binarise=st.sampled_from(["none", "static", "dynamic"]),
    features=st.lists(st.integers(1, 64), min_size=1, max_size=3).map(tuple),
    activation=st.sampled_from(["relu", "tanh", "gated"]),
    output_bias=st.sampled_from(["random", "data"]),
    samples=SIZES,
    weight_decay=st.floats(0, 1),
    clip=st.none() | st.floats(1e-3, 1e3),
    average=st.none() | st.floats(0.001, 0.999),
    keep=st.sampled_from(["last", "best"]),
    patience=st.none() | SIZES,
    seed=st.integers(0, 2**64 - 1),
)


@given(CONFIGS)
def test_a_configuration_survives_json(config):
    assert Config.from_dict(json.loads(json.dumps(config.to_dict(), allow_nan=False))) == config


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "dreg", "samples": 5, "warm_up": 2.5, "schedule": "step", "milestones": (1, 2.5), "decay": 0.5},
        {"objective": "stl", "reduction": "mean", "schedule": "cosine", "final_rate": 1e-5, "clamp": (-10, 3)},
        {"objective": "iwae", "schedule": "iwae", "hidden": (200, 100), "decoder": "gaussian", "sigma": "learned"},
    ],
    ids=lambda settings: settings["objective"],
)
def test_settings_of_the_training_survive_json(settings):
    config = Config(**settings)
    assert config.form == "sampled"
    assert Config.from_dict(json.loads(json.dumps(config.to_dict(), allow_nan=False))) == config


def test_the_form_follows_from_the_objective_unless_given():
    forms = {name: Config(objective=name).form for name in ("elbo", "iwae", "stl", "dreg")}
    assert forms == {"elbo": "closed", "iwae": "sampled", "stl": "sampled", "dreg": "sampled"}
    assert Config(form="sampled").form == "sampled"
    assert [Config(objective=name).score for name in forms] == ["elbo", "bound", "elbo", "bound"]


def test_settings_that_older_runs_lack_are_what_they_did():
    """A configuration of the first version, in full, as its config.json had it."""
    old = {
        **{"data": "digits", "data_dir": None, "train_size": None, "test_size": 100, "model": "conv", "latent": 3},
        **{"hidden": 50, "decoder": "gaussian", "sigma": "0.5", "form": "closed", "reduction": "sum", "beta": 2.0},
        **{
            "clamp": 9.0,
            "epochs": 4,
            "batch": 64,
            "optimiser": "sgd",
            "learning_rate": 0.01,
            "momentum": 0.5,
            "seed": 7,
        },
    }
    config = Config.from_dict(old)
    assert (config.hidden, config.features, config.clamp, config.shards) == ((50,), (32, 64), (9.0,), 1)
    assert (config.objective, config.samples, config.warm_up, config.activation) == ("elbo", 1, 0.0, "relu")
    assert (config.schedule, config.clip, config.average, config.keep) == ("constant", None, None, "last")
    assert (config.binarise, config.output_bias, config.valid_size, config.patience) == ("none", "random", None, None)
    plain = {name: value for name, value in old.items() if name not in ("hidden", "clamp")}
    assert config == Config(**plain, hidden=(50,), clamp=(9.0,), shards=1)


def test_the_optimiser_is_the_configured_one():
    """Steps on one parameter with gradient 3 then −1: AdamW with its decay, clipped, and averaged."""
    config = Config(optimiser="adamw", learning_rate=0.1, weight_decay=0.5, clip=2.0, average=0.6)
    optimiser, p = config.make_optimiser(), [np.array([4.0])]
    state, expected, mean = optimiser.init(p), 4.0, 4.0
    first = second = 0.0
    for t, g in enumerate((3.0, -1.0), start=1):
        p, state = optimiser.update(p, [np.array([g])], state)
        g = max(-2.0, min(2.0, g))
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        step = first / (1 - 0.9**t) / (math.sqrt(second / (1 - 0.999**t)) + 1e-8)
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * step
        d = min(0.6, t / (9 + t))
        mean = d * mean + (1 - d) * expected
        assert abs(p[0][0] - expected) <= 1e-12 and abs(state.mean[0][0] - mean) <= 1e-12
    plain = Config(optimiser="adam", learning_rate=0.1).make_optimiser()
    (found,), _ = plain.update([np.array([4.0])], [np.array([3.0])], plain.init([np.array([4.0])]))
    assert abs(found[0] - 3.9) <= 1e-8  # adam does not decay


def test_defaults():
    config = Config()
    assert (config.model, config.hidden, config.latent) == ("mlp", (400,), 20)
    assert config.make_likelihood() == Bernoulli()
    model = config.make_model((28, 28, 1))
    assert (model.name, model.image_shape, model.latent) == ("mlp", (28, 28, 1), 20)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_as_many_outputs_as_the_likelihood_takes(name):
    for decoder, outputs in (("bernoulli", 1), ("logistic", 2)):
        model = Config(model=name, decoder=decoder, latent=2).make_model((4, 8, 3))
        pixels = model.decode(model.init(mg.random.key(0)).decoder, np.zeros((5, 2), np.float32))
        assert pixels.shape == (5, 4, 8, 3 * outputs)


def test_the_loss_is_the_elbo_unless_configured_otherwise():
    config = Config()
    assert config.make_weights((28, 28, 1)) == (1, 1)
    assert config.clamp is None
    assert Config(reduction="mean", beta=0.5).make_weights((4, 8, 3)) == (1 / 96, 0.5)


@pytest.mark.parametrize(
    ("sigma", "expected"),
    [
        ("0.5", Gaussian(Sigma(0.5))),
        ("1e-3", Gaussian(Sigma(1e-3))),
        ("learned", Gaussian(LEARNED)),
        ("profiled", Gaussian(PROFILED)),
    ],
)
def test_sigma_is_a_standard_deviation_or_a_word(sigma, expected):
    assert Config(decoder="gaussian", sigma=sigma).make_likelihood() == expected


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "transformer"}, "unknown model 'transformer': use mlp, conv"),
        ({"decoder": "poisson"}, "unknown decoder 'poisson': use bernoulli, gaussian, laplace, logistic"),
        ({"form": "open"}, "unknown form 'open': use closed, sampled"),
        ({"optimiser": "lion"}, "unknown optimiser 'lion': use adam, adamw, sgd"),
        ({"latent": 0}, "latent must be a whole number of at least 1, got 0"),
        ({"hidden": -3}, "hidden must be a whole number of at least 1, got -3"),
        ({"epochs": True}, "epochs must be a whole number of at least 1, got True"),
        ({"epochs": np.float64(2)}, "epochs must be a whole number of at least 1, got 2.0"),
        ({"learning_rate": "0.1"}, "learning rate must be a number, got '0.1'"),
        ({"beta": None}, "beta must be a number, got None"),
        ({"epochs": 1.5}, "epochs must be a whole number of at least 1, got 1.5"),
        ({"batch": "8"}, "batch must be a whole number of at least 1, got 8"),
        ({"train_size": 0}, "train size must be a whole number of at least 1, got 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": 2**64}, "seed must lie in"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
        ({"momentum": math.nan}, r"momentum must lie in \[0, 1\), got nan"),  # JSON has no NaN
        ({"learning_rate": 0.0}, "learning rate must be a positive number, got 0.0"),
        ({"learning_rate": math.inf}, "learning rate must be a positive number, got inf"),
        *[
            ({"decoder": "gaussian", "sigma": s}, f"sigma must be a positive number, .* got '{s}'")
            for s in ("0", "-1", "nan", "inf", "1e200", "1e-200", "wide", "")
        ],
        ({"reduction": "max"}, "unknown reduction 'max': use sum, mean"),
        *[({"beta": b}, f"beta must be 0 or lie in 1e-9 … 1e9, got {b}") for b in (-1.0, 1e-10, math.nan, math.inf)],
        *[({"clamp": c}, rf"clamp must lie in 0\.001 … 80 .*, got {c}") for c in (0.0, -5.0, 81.0, math.nan)],
        *[
            ({name: "other"}, f"unknown {name.replace('_', ' ')} 'other': use {use}")
            for name, use in (
                ("activation", "relu, tanh, gated"),
                ("output_bias", "random, data"),
                ("binarise", "none, static, dynamic"),
                ("objective", "elbo, iwae, stl, dreg"),
                ("schedule", "constant, cosine, step, iwae"),
                ("keep", "last, best"),
            )
        ],
        *[
            ({"objective": o, "form": "closed"}, f"the objective {o} needs samples of .*: leave out --form")
            for o in ("iwae", "stl", "dreg")
        ],
        *[
            ({"objective": o, "reduction": "mean"}, f"the objective {o} weights samples .*: use --reduction sum")
            for o in ("iwae", "dreg")
        ],
        *[
            ({"objective": o, "decoder": "laplace", "sigma": "profiled"}, f"the objective {o} has no profiled σ")
            for o in ("iwae", "dreg")
        ],
        *[({"samples": n}, f"samples must be a whole number of at least 1, got {n}") for n in (0, -1, 1.5)],
        ({"hidden": (8, 0)}, "hidden must be a whole number of at least 1, got 0"),
        ({"features": (8, 1.5)}, "features must be a whole number of at least 1, got 1.5"),
        ({"schedule": "step"}, "the schedule step needs --milestones"),
        ({"milestones": (2.0,)}, "--milestones belong to the schedule step, not to constant"),
        ({"schedule": "cosine", "milestones": (2.0,)}, "--milestones belong to the schedule step, not to cosine"),
        *[
            ({"schedule": "step", "milestones": m}, f"milestones must rise from above 0, got {said}")
            for m, said in (
                ((3.0, 2.0), "3 2"),
                ((2.0, 2.0), "2 2"),
                ((0.0, 2.0), "0 2"),
                ((-1.0,), "-1"),
                ((math.nan,), "nan"),
                ((2.0, math.nan), "2 nan"),
            )
        ],
        *[
            ({"schedule": "step", "milestones": (1.0, m)}, f"the milestone {m:g} is not before the last of 10 epochs")
            for m in (10.0, 11.5, math.inf)
        ],
        *[
            ({"final_rate": r}, f"the final rate must lie between 0 and the learning rate 0.001, got {r:g}")
            for r in (0.0011, -1e-4, math.nan)
        ],
        *[({"decay": d}, rf"decay must lie in \(0, 1\], got {d}") for d in (0.0, 1.1, -0.5, math.nan)],
        *[({"clip": c}, f"clip must be a positive number, got {c}") for c in (0.0, -1.0, math.nan, math.inf)],
        *[({"average": a}, f"average must lie between 0 and 1, got {a}") for a in (0.0, 1.0, -0.5, math.nan)],
        *[
            ({name: v}, f"{name.replace('_', ' ')} must be 0 or a positive number, got {v}")
            for name in ("warm_up", "weight_decay")
            for v in (-0.5, math.nan, math.inf)
        ],
        ({"warm_up": 10.5}, "a warm-up of 10.5 epochs is longer than the training of 10"),
        ({"patience": 0}, "patience must be a whole number of at least 1, got 0"),
        ({"valid_size": 0}, "valid size must be a whole number of at least 1, got 0"),
        *[
            ({"clamp": c}, "clamp must lie in 0.001 … 80 .*or be two such numbers, the first with a minus")
            for c in ((3.0, 9.0), (-3.0, -1.0), (-3.0, 81.0), (-81.0, 3.0), (-1.0, 1.0, 2.0), (-9.0, math.nan))
        ],
        ({"sigma": "learned"}, "the bernoulli decoder has no σ"),
        ({"decoder": "logistic", "sigma": "0.5"}, "the logistic decoder has no σ"),
        ({"sigma": "0.5"}, "the bernoulli decoder has no σ"),
    ],
)
def test_invalid_settings_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        Config(**settings)


def test_records_with_missing_or_unknown_settings_are_refused():
    values = Config().to_dict()
    for wrong in ({**values, "more": 1}, {k: v for k, v in values.items() if k != "seed"}, {}, None, [1]):
        with pytest.raises(
            UserError,
            match=r"a configuration must have the settings activation, average, batch, beta, .*warm_up, weight_decay",
        ):
            Config.from_dict(wrong)


def test_images_that_a_model_cannot_take_are_refused():
    with pytest.raises(UserError, match="6×10 is not divisible by 4"):
        Config(model="conv").make_model((6, 10, 1))


def test_a_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint8, np.array], ids=lambda k: k.__name__)
def test_numpy_numbers_are_stored_as_python_numbers(kind, tmp_path):
    """A configuration is written as JSON, which has no NumPy types."""
    names = ("train_size", "test_size", "latent", "epochs", "batch", "seed")
    config = Config(
        **{name: kind(3) for name in names},
        hidden=(kind(3), kind(4)),
        beta=np.float32(0.5),
        decoder="gaussian",
        sigma=np.float64(0.25),
        data=tmp_path,
    )
    assert config.hidden == (3, 4) and all(type(n) is int for n in config.hidden)
    assert all(type(getattr(config, name)) is int for name in names)
    assert config == Config(
        **dict.fromkeys(names, 3), hidden=[3, 4], beta=0.5, decoder="gaussian", sigma="0.25", data=str(tmp_path)
    )
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
