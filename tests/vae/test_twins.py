"""The whole autoencoder in PyTorch and in JAX: the ELBO of the same parameters, images and noise, and its derivatives.

Each peer has its own layers and densities, and PyTorch its own layout too (`benchmarks/torch_twin.py`). Both forms of
the objective are stacked to a result (2, N). Its value, gradient, directional derivative and Hessian–vector product
must agree to 1e-10 of the largest entry of each parameter tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from minigrad.core import tree
from tests.support.peers import Derivatives, disagreements, with_each_peer
from tests.support.vae import truth
from tests.support.vae.settings import TRIED
from vae.autoencoder import Autoencoder
from vae.likelihoods import Likelihood
from vae.models import Model, Parameters
from vae.objectives import FORMS, elbo


@dataclass(frozen=True)
class Setting:
    """A row for `beside`: a small model and a likelihood. autograd is left out: it has no strided convolution."""

    model: Model
    likelihood: Likelihood
    spelling = "elbo"
    own: ClassVar[dict] = {"autograd": None}

    @property
    def name(self) -> str:
        return f"{self.model.name}, {self.likelihood.name}, σ {self.likelihood.sigma.source}"


IMAGES = (3, 8, 12, 3)  # all sides differ, and channels would show a wrong order
SETTINGS = [  # JAX compiles derivatives of convolutions slowly: four likelihoods are enough there
    *[Setting(truth.small_model("mlp", IMAGES[1:], outputs=x.outputs), x) for x in TRIED],
    *[Setting(truth.small_model("conv", IMAGES[1:], outputs=TRIED[i].outputs), TRIED[i]) for i in (0, 2, 6, 7)],
]


def sigma(likelihood: Likelihood, error: Any, log_sigma: Any, exp: Callable) -> Any:
    """σ of the decoder's density; the profiled one follows from the error y − ŷ."""
    if likelihood.sigma.source == "profiled":
        return (error**2).mean() ** 0.5 if likelihood.name == "gaussian" else abs(error).mean()
    return exp(log_sigma) if likelihood.sigma.source == "learned" else likelihood.sigma.value


def log_scale(x: Any, arctan: Callable) -> Any:
    """ln s of the logistic decoder, within ±10, from its output."""
    return 20 * arctan(x * np.pi / 20) / np.pi


# A twin is a pair: our parameters → the peer's list of arrays, and the objective as a function of that list

Twin = tuple[Callable[[Parameters], list], Callable]


def torch_twin_of(
    torch: ModuleType, setting: Setting, parameters: Parameters, y: np.ndarray, noise: np.ndarray
) -> Twin:
    from torch_twin import twin_of

    twin, likelihood, D = twin_of(setting.model), setting.likelihood, torch.distributions
    images, eps = torch.tensor(np.ascontiguousarray(twin.images(y))), torch.tensor(noise)
    learned = parameters.log_sigma is not None

    def layout(p: Parameters) -> list:
        return [*twin.layout(p), *([p.log_sigma] if learned else [])]

    def density(x: Any, log_sigma: Any) -> Any:
        if likelihood.name == "bernoulli":
            return D.Bernoulli(logits=x, validate_args=False)  # or it would refuse grey pixels
        mean = torch.sigmoid(x)
        kind = D.Normal if likelihood.name == "gaussian" else D.Laplace
        return kind(mean, sigma(likelihood, images - mean, log_sigma, torch.exp))

    def log_density(x: Any, log_sigma: Any) -> Any:
        if likelihood.name != "logistic":
            return density(x, log_sigma).log_prob(images)
        by_pixel = x.reshape(len(x), -1, 2, IMAGES[3]) if setting.model.name == "mlp" else x.reshape(len(x), 2, -1)
        m, s = by_pixel.unbind(2 if setting.model.name == "mlp" else 1)
        m, s, v = m.flatten(1), torch.exp(log_scale(s.flatten(1), torch.arctan)), torch.round(255 * images.flatten(1))
        logistic = D.TransformedDistribution(
            D.Uniform(torch.zeros_like(m), torch.ones_like(m), validate_args=False),
            [D.SigmoidTransform().inv, D.AffineTransform(m, s)],
            validate_args=False,
        )
        above = torch.where(v < 255, logistic.cdf((v + 0.5) / 255), 1)
        return torch.log(above - torch.where(v > 0, logistic.cdf((v - 0.5) / 255), 0))

    def objective(*weights: Any) -> Any:
        weights, log_sigma = (weights[:-1], weights[-1]) if learned else (weights, None)
        mean, log_std, x = twin.network(weights, images, eps)
        pixels = log_density(x, log_sigma).flatten(1).sum(1)
        posterior = D.Normal(mean, torch.exp(log_std))
        prior = D.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        z = mean + torch.exp(log_std) * eps
        closed, sampled = -D.kl_divergence(posterior, prior), prior.log_prob(z) - posterior.log_prob(z)
        return torch.stack([pixels + closed.sum(1), pixels + sampled.sum(1)])

    return layout, objective


def jax_network(jax: ModuleType, model: Model, p: Parameters, y: Any, eps: Any) -> tuple:
    """μ and ln σ of the posterior, and the decoder's output before the sigmoid."""
    relu, (height, width, _) = jax.nn.relu, model.image_shape

    def dense(layer: Any, h: Any) -> Any:
        return h @ layer.w + layer.b

    def conv(layer: Any, h: Any, stride: int = 1) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(h, layer.w, (stride, stride), "SAME", dimension_numbers=layout) + layer.b

    def up(layer: Any, h: Any) -> Any:
        n, rows, columns, _ = h.shape
        phases = conv(layer, h).reshape(n, rows, columns, 2, 2, -1)
        return jax.numpy.einsum("nhwijc->nhiwjc", phases).reshape(n, 2 * rows, 2 * columns, -1)

    h = y.reshape(len(y), -1) if model.name == "mlp" else y
    for layer in p.encoder.hidden:
        h = relu(dense(layer, h) if model.name == "mlp" else conv(layer, h, 2))
    h = h.reshape(len(y), -1)
    mean, log_std = dense(p.encoder.mean, h), dense(p.encoder.log_std, h)
    first, *others = p.decoder.hidden
    h = relu(dense(first, mean + jax.numpy.exp(log_std) * eps))
    if model.name == "mlp":
        return mean, log_std, dense(p.decoder.pixels, h).reshape(len(y), height, width, -1)
    h = h.reshape(-1, height // 4, width // 4, p.encoder.hidden[-1].b.size)
    for layer in others:
        h = relu(up(layer, h))
    return mean, log_std, up(p.decoder.pixels, h)


def jax_twin_of(jax: ModuleType, setting: Setting, parameters: Parameters, y: np.ndarray, noise: np.ndarray) -> Twin:
    likelihood, stats, exp = setting.likelihood, jax.scipy.stats, jax.numpy.exp
    structure = tree.flatten(parameters)[1]

    def log_density(x: Any, log_sigma: Any) -> Any:
        if likelihood.name == "bernoulli":
            return y * jax.nn.log_sigmoid(x) + (1 - y) * jax.nn.log_sigmoid(-x)
        if likelihood.name == "logistic":
            m, s = jax.numpy.split(x, 2, -1)
            s, v = exp(log_scale(s, jax.numpy.arctan)), np.round(255 * y)
            above = jax.numpy.where(v < 255, stats.logistic.cdf((v + 0.5) / 255, m, s), 1)
            return jax.numpy.log(above - jax.numpy.where(v > 0, stats.logistic.cdf((v - 0.5) / 255, m, s), 0))
        mean = jax.nn.sigmoid(x)
        kind = stats.norm if likelihood.name == "gaussian" else stats.laplace
        return kind.logpdf(y, mean, sigma(likelihood, y - mean, log_sigma, exp))

    def objective(*leaves: Any) -> Any:
        p = tree.unflatten(structure, leaves)
        mean, log_std, x = jax_network(jax, setting.model, p, y, noise)
        pixels, std = log_density(x, p.log_sigma).sum((1, 2, 3)), exp(log_std)
        z = mean + std * noise
        closed = 0.5 * (1 + 2 * log_std - mean**2 - std**2)
        sampled = stats.norm.logpdf(z) - stats.norm.logpdf(z, mean, std)
        return jax.numpy.stack([pixels + closed.sum(1), pixels + sampled.sum(1)])

    return lambda p: tree.flatten(p)[0], objective


TWINS = {"torch": torch_twin_of, "jax": jax_twin_of}


@with_each_peer(SETTINGS)
def test_elbo_and_its_derivatives_agree(peer, row, ours):
    model, likelihood, random = row.model, row.likelihood, np.random.default_rng(0)
    parameters = truth.lively_parameters(model)
    if likelihood.sigma.source == "learned":
        parameters = parameters._replace(log_sigma=np.array(-0.8))
    y, noise = random.random(IMAGES), random.standard_normal((IMAGES[0], model.latent))
    u, v = random.standard_normal((2, len(y))), truth.like(parameters, random)
    leaves, structure = tree.flatten(parameters)
    moved_y, moved_noise = ours.array(y), ours.array(noise)

    def objective(*leaves):
        p = tree.unflatten(structure, leaves)
        return mg.stack([elbo(Autoencoder(model, likelihood, p), moved_y, moved_noise, form) for form in FORMS])

    layout, theirs = TWINS[peer.name](peer.top, row, parameters, y, noise)
    found = ours.derivatives(objective, leaves, u, tree.flatten(v)[0])
    rearranged = [layout(tree.unflatten(structure, part)) for part in (found.vjp, found.second)]
    found = Derivatives(found.value, tuple(rearranged[0]), found.jvp, tuple(rearranged[1]))
    wrong = disagreements(found, peer.derivatives(theirs, layout(parameters), u, layout(v)))
    assert not wrong, wrong
