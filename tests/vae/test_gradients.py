"""vae/gradients.py: right gradients pass, planted mistakes do not, and kinks are counted but hide no mistake."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import minigrad as mg
from minigrad import checks, collectives
from minigrad.core import tree
from minigrad.core.interpreter import Interpreter, primitives
from tests.support.vae import truth
from tests.support.vae.settings import EVERY_LIKELIHOOD, EVERY_MODEL, setting
from vae import gradients
from vae.autoencoder import Autoencoder
from vae.config import Config
from vae.data import load
from vae.differences import STEPS, measure_rounding
from vae.estimators import bound_and_gradient
from vae.gradient_report import ADJOINT_TOLERANCE, TOLERANCE, GradientReport, TensorReport
from vae.likelihoods import Bernoulli, Gaussian, Laplace
from vae.models import clamp_variance, mlp
from vae.objectives import UNWEIGHTED, Weights, elbo, elbo_sums
from vae.sigma import LEARNED, PROFILED, Sigma

FEW = {"coordinates": 6, "directions": 2}


# Right gradients


@pytest.mark.parametrize(
    ("name", "form"), [("mlp", "closed"), ("mlp", "sampled"), pytest.param("conv", "closed", marks=pytest.mark.large)]
)
@EVERY_LIKELIHOOD
def test_right_gradients_pass(name, likelihood, form, check):
    """The convolutional network with the sampled form is below, with every objective."""
    autoencoder, y, noise = setting(name, likelihood)
    report = check(autoencoder, y, noise, form, **FEW)
    assert report.passed
    assert report.max_relative_error <= TOLERANCE == 1e-7
    assert report.adjoint_gap <= ADJOINT_TOLERANCE == 1e-12
    leaves = tree.flatten(autoencoder.parameters)[0]
    assert [t.name for t in report.tensors] == tree.names(autoencoder.parameters)
    assert [t.shape for t in report.tensors] == [np.shape(leaf) for leaf in leaves]
    assert [t.coordinates for t in report.tensors] == [min(6, np.size(leaf)) for leaf in leaves]
    assert report.directions.coordinates == 2


@EVERY_MODEL
@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(LEARNED)], ids=lambda x: x.name)
def test_right_gradients_of_other_losses_pass(name, likelihood, check):
    """The mean over pixels plus β·KL with a clamped σ; the checked gradient is that of these weights."""
    autoencoder, y, noise = setting(name, likelihood)
    autoencoder = replace(autoencoder, model=clamp_variance(autoencoder.model, 3.0))
    weights = Weights(1 / 32, 0.3)
    report = check(autoencoder, y, noise, weights=weights, **FEW)
    assert report.passed

    def loss(p):
        pixels, latents = elbo_sums(autoencoder.with_parameters(p), y, noise)
        return -mg.mean(pixels / 32 + 0.3 * latents)

    gradient = dict(
        zip(tree.names(autoencoder.parameters), tree.flatten(mg.grad(loss)(autoencoder.parameters))[0], strict=True)
    )
    for row in report.coordinates:
        assert math.isclose(row.reverse, gradient[row.name][row.index], rel_tol=1e-12, abs_tol=1e-15)


ESTIMATED = [("elbo", "closed"), ("elbo", "sampled"), ("iwae", "sampled"), ("stl", "sampled"), ("dreg", "sampled")]


@pytest.mark.parametrize(("objective", "form"), ESTIMATED)
@pytest.mark.parametrize(
    ("name", "samples"),
    [("mlp", 2), *[pytest.param(*case, marks=pytest.mark.large) for case in (("mlp", 1), ("mlp", 3), ("conv", 2))]],
)
def test_right_estimates_pass_and_are_those_of_training(name, objective, form, samples, check):
    """For as many samples as latents and as images, too, whose axes must not be taken for each other."""
    autoencoder, y, _ = setting(name, Gaussian(LEARNED))
    noise = np.random.default_rng(1).standard_normal((samples, 3, 2))
    weights = Weights(1 / 32, 0.3)
    report = check(autoencoder, y, noise, form, weights, objective, **FEW)
    assert report.passed
    assert report.adjoint_gap <= ADJOINT_TOLERANCE
    _, slopes = bound_and_gradient(autoencoder, y, noise, objective, form, weights, scale=-1 / 3)
    gradient = dict(zip(tree.names(autoencoder.parameters), tree.flatten(slopes)[0], strict=True))
    for row in report.coordinates:
        assert math.isclose(row.reverse, gradient[row.name][row.index], rel_tol=1e-9, abs_tol=1e-13)


@pytest.mark.host
@pytest.mark.parametrize(("objective", "taken"), [("dreg", "iwae"), ("stl", "elbo"), ("dreg", "stl"), ("iwae", "dreg")])
def test_another_estimate_than_the_stated_one_does_not_pass(monkeypatch, objective, taken, check):
    """They differ in the encoder alone, or by their weights."""
    autoencoder, y, _ = setting("mlp", Bernoulli())
    noise = np.random.default_rng(1).standard_normal((3, 3, 2))
    wrong = lambda at, y, noise, _, *more, **options: bound_and_gradient(at, y, noise, taken, *more, **options)
    monkeypatch.setattr(gradients, "bound_and_gradient", wrong)
    report = check(autoencoder, y, noise, "sampled", UNWEIGHTED, objective, **FEW)
    assert not report.passed
    failed = {row.name.split(".")[0] for row in report.coordinates if row.wrong}
    assert "encoder" in failed
    assert ("decoder" in failed) == (objective == "dreg" and taken == "stl")


@pytest.mark.host
@pytest.mark.parametrize("objective", ["elbo", "dreg"])
def test_processes_share_the_images_and_not_the_samples(objective):
    autoencoder, y, _ = setting("mlp", Bernoulli())
    noise = np.random.default_rng(1).standard_normal((2, 3, 2))

    def work():
        return gradients.check(autoencoder, y, noise, "sampled", UNWEIGHTED, objective, **FEW)

    one, *others = (report for size in (1, 3) for report in collectives.run_in_threads(work, size))
    assert one.passed and all(other.passed for other in others)
    for other in others:
        for a, b in zip(one.coordinates, other.coordinates, strict=True):
            assert math.isclose(a.reverse, b.reverse, rel_tol=1e-9, abs_tol=1e-13)


def test_every_coordinate_agrees_with_the_complex_step(check):
    """Both columns of the report agree with it, and the largest entry of each tensor is among the rows."""
    autoencoder, y, noise = setting("mlp", Bernoulli())
    report = check(autoencoder, y, noise, **FEW)
    leaves, structure = tree.flatten(autoencoder.parameters)
    gradient = dict(
        zip(
            tree.names(autoencoder.parameters),
            tree.flatten(
                mg.grad(lambda p: -mg.mean(elbo(autoencoder.with_parameters(p), y, noise)))(autoencoder.parameters)
            )[0],
            strict=True,
        )
    )
    for row in report.coordinates:
        moved = [leaf.astype(complex) for leaf in leaves]
        moved[tree.names(autoencoder.parameters).index(row.name)][row.index] += 1e-20j
        loss = -np.mean(truth.elbo("mlp", Bernoulli(), tree.unflatten(structure, moved), y, noise, "closed"))
        exact, largest = np.imag(loss) / 1e-20, np.max(np.abs(gradient[row.name]))
        assert abs(row.reverse - exact) <= 1e-12 * largest
        assert abs(row.difference - exact) <= TOLERANCE * largest
        assert math.isclose(row.relative, abs(row.difference - row.reverse) / largest, rel_tol=1e-12, abs_tol=0)
    for name, g in gradient.items():
        index = np.unravel_index(np.argmax(np.abs(g)), g.shape)
        assert (name, tuple(map(int, index))) in {(row.name, row.index) for row in report.coordinates}


@pytest.mark.host
def test_coordinates_follow_the_seed_and_none_is_checked_twice(check):
    autoencoder, y, noise = setting("mlp", Bernoulli())
    one, same, other = ([row[:2] for row in check(autoencoder, y, noise, seed=s, **FEW).coordinates] for s in (0, 0, 1))
    assert one == same != other
    assert len(set(one)) == len(one)


def test_float32_parameters_are_checked_in_float64(check):
    autoencoder, y, noise = setting("mlp", Bernoulli())
    narrow, y, noise = tree.map(lambda x: x.astype(np.float32), (autoencoder.parameters, y, noise))
    assert check(autoencoder.with_parameters(narrow), y, noise, **FEW).passed
    assert all(leaf.dtype == np.float32 for leaf in tree.flatten((narrow, y, noise))[0])


@pytest.mark.host
def test_tensors_are_reported_as_they_are_checked(check):
    autoencoder, y, noise = setting("mlp", Bernoulli())
    told = []
    report = check(autoencoder, y, noise, on_tensor=told.append, **FEW)
    assert told == list(report.tensors)


# Planted mistakes


class Damaged:
    """A rule whose derivative in one argument is multiplied by `factor`, in both modes, so that they agree."""

    def __init__(self, rule, position: int, factor: float, reverse_only: bool = False):
        self.rule, self.position, self.factor, self.reverse_only = rule, position, factor, reverse_only

    def __getattr__(self, name):
        return getattr(self.rule, name)

    def vjp(self, *args):
        pulled = list(self.rule.vjp(*args))
        if self.position < len(pulled) and pulled[self.position] is not None:
            pulled[self.position] = pulled[self.position] * self.factor
        return pulled

    def jvp(self, args, tangents, y, params):
        tangents = list(tangents)
        if not self.reverse_only and self.position < len(tangents) and tangents[self.position] is not None:
            tangents[self.position] = tangents[self.position] * self.factor
        return self.rule.jvp(args, tangents, y, params)


class Recorder(Interpreter):
    """Records every primitive and the number of its arguments."""

    def __init__(self):
        self.seen = set()

    def process(self, primitive, args, params):
        self.seen.add((primitive.name, len(args)))
        return self.parent.process(primitive, args, params)


# both networks, all decoders, both forms; σ is not profiled: at its optimum the derivative in σ is zero
PLANTED_IN = {
    "mlp-bernoulli": ("mlp", Bernoulli(), "closed"),
    "conv-gaussian": ("conv", Gaussian(LEARNED), "sampled"),
    "mlp-laplace": ("mlp", Laplace(LEARNED), "closed"),
}
FACTORS = {"x1.001": 1.001, "sign": -1.0, "dropped": 0.0}


def gradient_of(name, likelihood, form) -> tuple[np.ndarray, set]:
    """The gradient of −mean ELBO in one array, and (primitive, number of arguments) of every call behind it."""
    autoencoder, y, noise = setting(name, likelihood, count=2)
    with Recorder() as recorder:
        _, pullback = mg.vjp(
            lambda p: -0.5 * mg.sum(elbo(autoencoder.with_parameters(p), y, noise, form)), autoencoder.parameters
        )
    return np.concatenate([g.ravel() for g in tree.flatten(pullback(np.float64(1)))[0]]), recorder.seen


def find_plants() -> list[tuple[str, str, int, str]]:
    """(setting, primitive, position, how) of every mistake that makes this gradient wrong.

    Some do not: the argument may depend on no parameter, and two wrong signs in a row cancel (a mean of a sum).
    """
    found = []
    for name, where in PLANTED_IN.items():
        right, seen = gradient_of(*where)
        for primitive, count in sorted(seen):
            rule = primitives[primitive].rule
            for position in filter(rule.differentiable, range(count)):
                for how, factor in FACTORS.items():
                    try:
                        primitives[primitive].rule = Damaged(rule, position, factor)
                        wrong, _ = gradient_of(*where)
                    finally:
                        primitives[primitive].rule = rule
                    if np.max(np.abs(wrong - right)) > 1e-6 * np.max(np.abs(right)):
                        found.append((name, primitive, position, how))
    return list(dict.fromkeys(found))


PLANTS = find_plants()


def in_one_setting(plants):
    """The first of those that differ in the setting alone."""
    return list({plant[1:]: plant for plant in reversed(plants)}.values())


# The smallest of the three mistakes in every setting, the others in one; on the stand-in GPU, the smallest in one.
SMALLEST = [plant for plant in PLANTS if plant[3] == "x1.001"]
ON_THE_STAND_IN = in_one_setting(SMALLEST)
CHOSEN = [*SMALLEST, *in_one_setting([plant for plant in PLANTS if plant not in SMALLEST])]


@pytest.mark.parametrize(
    ("where", "primitive", "position", "how"),
    [plant if plant in ON_THE_STAND_IN else pytest.param(*plant, marks=pytest.mark.large) for plant in CHOSEN],
)
def test_a_wrong_rule_does_not_pass(monkeypatch, where, primitive, position, how, check):
    """It is wrong in both modes alike, so ⟨Jv,u⟩ = ⟨v,Jᵀu⟩ still holds: only differences can find it."""
    name, likelihood, form = PLANTED_IN[where]
    autoencoder, y, noise = setting(name, likelihood, count=2)
    damaged = Damaged(primitives[primitive].rule, position, FACTORS[how])
    monkeypatch.setattr(primitives[primitive], "rule", damaged)
    once = lambda *given: measure_rounding(*given[:4], draws=1)  # most of the time goes into the other draws
    monkeypatch.setattr(gradients, "measure_rounding", once)
    report = check(autoencoder, y, noise, form, coordinates=2, directions=1)
    assert not report.passed
    assert report.max_relative_error > TOLERANCE
    assert report.adjoint_gap <= ADJOINT_TOLERANCE


def test_mistakes_are_planted_in_every_primitive_of_the_elbo():
    elementwise = "absolute add exp gaussian_sample multiply negative relu sigmoid softplus square subtract"
    for how in ("x1.001", "dropped"):
        planted = {primitive for _, primitive, _, h in PLANTS if h == how}
        assert planted >= {*elementwise.split(), "conv", "matmul", "reshape", "sum", "transpose"}
    assert len(PLANTS) > 100
    assert not any(isinstance(p.rule, Damaged) for p in primitives.values())


@pytest.mark.parametrize("factor", [1.001, -1.0, 0.0])
def test_a_rule_wrong_in_one_mode_only_breaks_the_adjoint_identity(monkeypatch, factor, check):
    autoencoder, y, noise = setting("mlp", Bernoulli())
    monkeypatch.setattr(primitives["matmul"], "rule", Damaged(primitives["matmul"].rule, 1, factor, reverse_only=True))
    report = check(autoencoder, y, noise, **FEW)
    assert report.adjoint_gap > ADJOINT_TOLERANCE
    assert not report.passed


@pytest.mark.host
def test_a_rule_that_gives_nan_does_not_pass(monkeypatch, check):
    """Python's `max` ignores a NaN that does not come first."""
    autoencoder, y, noise = setting("mlp", Bernoulli())
    monkeypatch.setattr(primitives["gaussian_sample"], "rule", Damaged(primitives["gaussian_sample"].rule, 1, math.nan))
    report = check(autoencoder, y, noise, **FEW)
    assert not report.passed
    assert math.isnan(report.max_relative_error)
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["max_relative_error"] is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, 2e-7])
@pytest.mark.parametrize("where", ["first", "later", "directions"])
def test_one_bad_number_anywhere_fails_the_report(bad, where):
    good = TensorReport("w", (3,), 3, 0, 0, 1e-9)
    wrong = TensorReport("b", (3,), 3, 0, 0, bad)
    tensors = {"first": (wrong, good), "later": (good, wrong, good)}.get(where, (good, good))
    report = GradientReport(tensors, wrong if where == "directions" else good, 0.0, ())
    assert not report.passed
    assert np.array_equal(report.max_relative_error, bad, equal_nan=True)
    assert GradientReport((good, good), good, 0.0, ()).passed
    assert not GradientReport((good, good), good, math.nan, ()).passed
    assert not GradientReport((good, good), good, 2e-12, ()).passed


def test_a_gradient_lost_to_zeros_does_not_pass():
    """Where the gradient came out as zeros, the error is measured relative to the differences."""
    direction = np.array([1.0, -2.0]) * 1e-9
    tensor, rows = gradients._check_tensor(
        "w", np.zeros(2), np.zeros(2), lambda w: np.array([w @ direction]), 0.0, mg.random.key(0), 30
    )
    assert tensor.max_relative_error == 1
    assert [row.reverse for row in rows] == [0, 0]


def test_a_gradient_that_is_zero_passes():
    tensor, _ = gradients._check_tensor("w", np.zeros(3), np.zeros(3), lambda w: np.ones(1), 0.0, mg.random.key(0), 30)
    assert tensor.max_relative_error == 0


def test_a_constant_loss_divides_nothing_by_zero():
    p = (np.zeros(3), np.zeros(2))
    found = gradients._check_directions(lambda p: np.ones(1), p, p, 0.0, mg.random.key(0), 3)
    assert (found.coordinates, found.max_relative_error) == (3, 0)


# Kinks


def make_kink(offset: float):
    """All images are black, so the pre-activation of one hidden unit is its bias, `offset` away from the kink."""
    model = mlp((2, 2, 1), 1, hidden=3)
    random = np.random.default_rng(0)
    parameters = model.init(mg.random.key(0), np.float64)
    hidden = parameters.encoder.hidden[0]
    bias = np.array([0.7, offset, 0.9])
    parameters = parameters._replace(encoder=parameters.encoder._replace(hidden=(hidden._replace(b=bias),)))
    return model, parameters, np.zeros((2, 2, 2, 1)), random.standard_normal((2, 1))


def bias_of(report: GradientReport) -> TensorReport:
    return next(t for t in report.tensors if t.name == "encoder.hidden.0.b")


def test_an_entry_at_a_kink_is_redrawn_and_counted(check):
    model, parameters, y, noise = make_kink(0.0)
    report = check(Autoencoder(model, Bernoulli(), parameters), y, noise)
    tensor = bias_of(report)
    assert (tensor.coordinates, tensor.redrawn) == (2, 1)
    assert tensor.kinks == 14  # all steps but the four larger ones, which would cross it too
    assert report.to_dict()["parameters"][1]["redrawn"] == 1
    assert (1,) not in [row.index for row in report.coordinates if row.name == tensor.name]


def test_a_kink_within_the_stencil_is_counted_and_the_entry_is_still_checked(check):
    """6e-4 from the kink larger steps cross it, since the stencil reaches two steps far; smaller ones do not."""
    model, parameters, y, noise = make_kink(6e-4)
    report = check(Autoencoder(model, Bernoulli(), parameters), y, noise)
    tensor = bias_of(report)
    assert (tensor.coordinates, tensor.redrawn) == (3, 0)
    assert tensor.kinks == sum(2 * step > 6e-4 for step in STEPS[:14]) == 2
    assert report.passed


def test_a_difference_across_the_kink_would_be_wrong():
    """Across the kink a five-point difference is off by far more than the tolerance."""
    model, parameters, y, noise = make_kink(5e-4)

    def loss(t):
        hidden = parameters.encoder.hidden[0]
        moved = hidden._replace(b=hidden.b + np.array([0, t, 0]))
        p = parameters._replace(encoder=parameters.encoder._replace(hidden=(moved,)))
        return -mg.mean(elbo(Autoencoder(model, Bernoulli(), p), y, noise))

    across, clear = (checks.five_point(loss, step) for step in (1e-3, 1e-5))
    assert (across.kink, clear.kink) == (True, False)
    assert abs(across.value - clear.value) > 1e3 * TOLERANCE * abs(clear.value)


@pytest.mark.host
@pytest.mark.parametrize("offset", [0.0, 5e-4])
def test_a_wrong_rule_does_not_hide_behind_its_kinks(monkeypatch, offset, check):
    model, parameters, y, noise = make_kink(offset)
    monkeypatch.setattr(primitives["relu"], "rule", Damaged(primitives["relu"].rule, 0, 1.001))
    report = check(Autoencoder(model, Bernoulli(), parameters), y, noise)
    assert not report.passed
    assert bias_of(report).max_relative_error > TOLERANCE


def test_a_tensor_with_nothing_but_kinks_does_not_pass():
    tensor, rows = gradients._check_tensor(
        "w", np.zeros(2), np.ones(2), lambda w: mg.relu(w), 0.0, mg.random.key(0), 30
    )
    assert (tensor.coordinates, tensor.redrawn, rows) == (0, 2, [])
    report = GradientReport((tensor,), TensorReport("all", (), 5, 0, 0, 0.0), 0.0, ())
    assert not report.passed
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["parameters"][0]["max_relative_error"] is None


def test_a_step_lost_in_rounding_decides_nothing():
    """A kink 1e-4 away leaves steps below 5e-5; with rounding of 1e-12 they are accurate to 5e-6 of the gradient."""
    f = lambda w: 0.1 * mg.relu(1e-4 + w)
    for rounding, undecided in ((1e-15, 0), (1e-12, 1)):
        tensor, _ = gradients._check_tensor("w", np.zeros(1), np.array([0.1]), f, rounding, mg.random.key(0), 30)
        assert (tensor.coordinates, tensor.redrawn, tensor.undecided) == (1, 0, undecided)
        assert (tensor.uncertainty <= TOLERANCE) == (not undecided)
        tensor, _ = gradients._check_tensor("w", np.zeros(1), np.array([0.10001]), f, rounding, mg.random.key(0), 30)
        assert tensor.max_relative_error > TOLERANCE  # wrong by more than the error of the difference


@pytest.mark.large
def test_right_gradients_of_the_lectures_network_pass(check, make_trainer):
    """It has so many kinks that only small steps avoid them, and those suffer from rounding."""
    seed = 6
    config = Config(model="conv", decoder="gaussian", seed=seed)
    trainer = make_trainer(config, (28, 28, 1))
    y, noise = load("digits", size=(1, 4), seed=seed).test, mg.random.normal(mg.random.key(seed + 100), (4, 20))
    report = check(trainer.autoencoder(trainer.initial().parameters), y, noise, seed=seed)
    assert report.passed
    assert report.max_relative_error <= TOLERANCE / 2
    assert all(t.coordinates >= min(30, math.prod(t.shape)) - 5 for t in report.tensors)


# Losses that differences are bad at


def make_unusual(log_sigma=None, times=1.0, pixels=0.0, clamp=None, dtype=np.float64):
    model = mlp((6, 6, 1), 2, hidden=8)
    parameters = tree.map(lambda x: x * times, model.init(mg.random.key(0), np.float64))
    decoder = parameters.decoder
    decoder = decoder._replace(pixels=decoder.pixels._replace(b=decoder.pixels.b + pixels))
    parameters = parameters._replace(decoder=decoder, log_sigma=None if log_sigma is None else np.float64(log_sigma))
    random = np.random.default_rng(0)
    images, noise = random.uniform(size=(3, 6, 6, 1)), random.standard_normal((3, 2))
    model = model if clamp is None else clamp_variance(model, clamp)
    return model, tree.map(lambda x: np.asarray(x, dtype), parameters), images, noise


COLLAPSED, DARK = Gaussian(LEARNED), {"log_sigma": -10, "pixels": -20}
UNUSUAL = {
    "collapsed σ": (COLLAPSED, {"log_sigma": -20}, UNWEIGHTED),
    "collapsed σ, laplace": (Laplace(LEARNED), {"log_sigma": -20}, UNWEIGHTED),
    "collapsed σ, saturated": (COLLAPSED, DARK, UNWEIGHTED),
    "collapsed σ, float32": (COLLAPSED, {**DARK, "dtype": np.float32}, UNWEIGHTED),
    "collapsed σ, mean, no KL": (COLLAPSED, DARK, Weights(1 / 36, 0.0)),
    "tiny σ": (Gaussian(Sigma(1e-9)), {}, UNWEIGHTED),
    "tiny σ, laplace": (Laplace(Sigma(1e-9)), {}, UNWEIGHTED),
    "large σ": (Laplace(Sigma(1e6)), {}, UNWEIGHTED),
    "profiled": (Gaussian(PROFILED), {"pixels": -10}, UNWEIGHTED),
    "saturated": (Bernoulli(), {"pixels": -40}, UNWEIGHTED),
    "large parameters": (Bernoulli(), {"times": 1e3}, UNWEIGHTED),
    "small parameters": (Bernoulli(), {"times": 1e-3}, UNWEIGHTED),
    "narrow clamp": (Bernoulli(), {"clamp": 0.001}, UNWEIGHTED),
    "huge β": (Bernoulli(), {}, Weights(1.0, 1e9)),
}


@pytest.mark.large
@pytest.mark.parametrize("name", UNUSUAL)
@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_losses_that_differences_are_bad_at_neither_hide_mistakes_nor_raise_alarms(monkeypatch, name, factor, check):
    """Right gradients pass in spite of rounding and step errors, and an error of one part in a thousand is found."""
    likelihood, changes, weights = UNUSUAL[name]
    model, parameters, y, noise = make_unusual(**changes)
    monkeypatch.setattr(primitives["matmul"], "rule", Damaged(primitives["matmul"].rule, 1, factor))
    report = check(Autoencoder(model, likelihood, parameters), y, noise, weights=weights, coordinates=8, directions=2)
    assert report.verdict == ("passed" if factor == 1 else "FAILED")
    assert report.passed == (factor == 1)
    if factor == 1:
        assert report.max_relative_error <= TOLERANCE


@pytest.mark.host
def test_the_uncertainty_bounds_the_error_of_the_difference(check):
    """Checked against the complex step in plain NumPy; σ has collapsed, so most differences decide nothing."""
    model, parameters, y, noise = make_unusual(**DARK)
    report = check(Autoencoder(model, COLLAPSED, parameters), y, noise, coordinates=8)
    assert report.undecided > 20
    leaves, structure = tree.flatten(parameters)
    largest = {t: max(abs(r.reverse) for r in report.coordinates if r.name == t) for t in tree.names(parameters)}
    for row in report.coordinates:
        moved = [np.asarray(leaf, complex) for leaf in leaves]
        moved[tree.names(parameters).index(row.name)][row.index] += 1e-20j
        loss = -np.mean(truth.elbo("mlp", COLLAPSED, tree.unflatten(structure, moved), y, noise, "closed"))
        exact = np.imag(loss) / 1e-20
        assert abs(row.reverse - exact) <= 1e-11 * largest[row.name]
        assert abs(row.difference - exact) <= max(row.uncertainty, 1e-11) * largest[row.name]


@pytest.mark.host
def test_where_no_difference_decides_the_verdict_is_undecided(monkeypatch, check):
    """Changes of 1e-18 are lost beside the pixels' terms of ln σ, so the verdict is neither passed nor FAILED."""
    likelihood = Gaussian(Sigma(1e9))
    model, parameters, y, noise = make_unusual()
    report = check(Autoencoder(model, likelihood, parameters), y, noise, coordinates=4, directions=1)
    assert (report.verdict, report.passed) == ("undecided", False)
    assert [t.name for t in report.tensors if not t.seen] == [n for n in tree.names(parameters) if "decoder" in n]
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["verdict"] == "undecided"


@pytest.mark.host
def test_the_report_is_written_as_json(check):
    autoencoder, y, noise = setting("mlp", Bernoulli())
    report = check(autoencoder, y, noise, **FEW)
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert {"parameters", "max_relative_error", "passed"} <= set(values)
    assert {"name", "shape", "coordinates", "max_relative_error"} <= set(values["parameters"][0])
    assert values["passed"] is True
    assert values["max_relative_error"] == report.max_relative_error
    assert [p["shape"] for p in values["parameters"]] == [list(t.shape) for t in report.tensors]
