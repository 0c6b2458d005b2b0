"""Slide 13, continued: three estimators of the ELBO's gradient, one of them without noise at the optimum.

Take a model whose posterior is known: Q(z) = N(0, 1) and Q(y|z) = N(z, τ²), hence Q(z|y) = N(m, s²) with m = y/(1 + τ²)
and s² = τ²/(1 + τ²). Let P be that posterior. The ELBO is then ln Q(y), but its estimators have these gradients in μ:

    ln Q(z, y) − ln P(z|y)      −ε/s: the joint gives (m − z)/s² = −ε/s; in −ln P, the derivative through z, ε/s, and
                                the direct one, the score −ε/s, cancel
    ln Q(y|z) − KL(P, Q(z))     ε(s − 1/s)
    ln Q(z, y) − ln P̄(z|y)      −ε/s + ε/s = 0: μ and σ of P̄ are held fixed, which drops the score, whose mean is 0

Only the third is 0 for every single draw ("sticking the landing": Roeder, Wu and Duvenaud 2017). All three are computed
by the code that trains: `--objective elbo`, with either form of the entropy, and `--objective stl`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from vae.drawing import BLUE, GREY, INK, VERMILION
from vae.estimators import estimate
from vae.lecture.claims import Setting, Sides, Slider, claim, equal, variance_of_draws
from vae.lecture.slides.s13_importance import Gaussians
from vae.objectives import kl_to_prior, log_normal

DRAWS = 2**17
TAU2 = (0.1, 0.3, 1.0, 3.0, 10.0)
ESTIMATORS = {  # the objective of training, and the form of its entropy
    "sampled entropy": ("elbo", "sampled"),
    "analytic KL": ("elbo", "closed"),
    "sticking the landing": ("stl", "sampled"),
}


def posterior(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """m and s² of Q(z|y), for each τ²."""
    tau2 = np.array(TAU2)
    return y / (1 + tau2), tau2 / (1 + tau2)


def estimates(objective: str, model: Gaussians, noise: np.ndarray, form: str = "sampled") -> np.ndarray:
    """∂μ and ∂ln σ, (2, N), of N estimates from ε ([K,] N), by the code of training. The model may have arrays (N,)."""
    y, tau, mean, std = (np.broadcast_to(x, noise.shape[-1:])[:, None] for x in model)  # (N, 1): one latent

    def sample(encoder: Any) -> tuple[Any, Any, Any]:
        return mg.gaussian_sample(*encoder, noise[..., None]), *encoder

    def terms(log_tau: Any, z: Any, m: Any, log_s: Any) -> tuple[Any, Any]:
        latents = -kl_to_prior(m, log_s) if form == "closed" else log_normal(z) - log_normal(z, m, log_s)
        return log_normal(y, z, log_tau)[..., 0], latents[..., 0]

    gradients = estimate(objective, sample, (mean.copy(), np.log(std)), terms, np.log(tau))[1]
    return np.concatenate(gradients, axis=1).T


def elbo_gradients(form: str, setting: Setting) -> np.ndarray:
    """∂μ and ∂ln σ of the one-sample ELBO at the posterior, (2, draws, 5)."""
    y, noise = 1 + setting.uniform("y"), setting.normal("noise", DRAWS, len(TAU2))
    mean, variance = posterior(y)
    model = Gaussians(y, *(np.tile(x, DRAWS) for x in (np.sqrt(TAU2), mean, np.sqrt(variance))))
    objective, entropy = ESTIMATORS[form]
    return estimates(objective, model, noise.ravel(), entropy).reshape(2, *noise.shape)


@claim(13, "At the posterior, the gradient with sampled entropy is noisy.", "Var ∂μ [ln Q(z, y) − ln P(z|y)] = 1/s²")
def sampled_entropy_variance(setting: Setting) -> Sides:
    _, variance = posterior(1.0)
    draws = elbo_gradients("sampled entropy", setting)[0]
    return variance_of_draws(draws, 1 / variance, draw=partial(_plot_against_posterior, "sampled entropy", draws))


@claim(
    13,
    "At the posterior, the gradient with the analytic KL is noisy, too.",
    "Var ∂μ [ln Q(y|z) − KL(P, Q(z))] = (1 − s²)²/s²",
)
def analytic_kl_variance(setting: Setting) -> Sides:
    _, variance = posterior(1.0)
    draws = elbo_gradients("analytic KL", setting)[0]
    return variance_of_draws(
        draws, (1 - variance) ** 2 / variance, draw=partial(_plot_against_posterior, "analytic KL", draws)
    )


@claim(
    13,
    "Without the entropy's score term, the gradient at the posterior is 0 for every draw.",
    "∂ [ln Q(z, y) − ln P̄(z|y)] = 0  for each ε  (P̄: its μ and σ are held fixed, z is not)",
)
def sticking_the_landing(setting: Setting) -> Sides:
    draws = elbo_gradients("sticking the landing", setting)
    slider = Slider("τ²", TAU2, partial(_plot_three_forms, setting))
    roundings = 2.0**8 / TAU2[0]  # the terms that cancel are up to 1/τ² in size
    draw = partial(_plot_three_forms, setting, tau2=1.0)
    return equal(draws, np.zeros(draws.shape), roundings, draw=draw, slider=slider)


# Pictures

FORMS = {"sampled entropy": VERMILION, "analytic KL": "#e69f00", "sticking the landing": BLUE}


def _plot_against_posterior(form: str, draws: np.ndarray, axes: Any) -> None:
    line = np.linspace(0.05, 0.97, 200)
    for name, closed in (("sampled entropy", 1 / line), ("analytic KL", (1 - line) ** 2 / line)):
        axes.plot(line, closed, color=FORMS[name] if name == form else GREY, label=name)
    axes.plot(posterior(1.0)[1], draws.var(axis=0), "o", color=FORMS[form], label="draws")
    axes.set(yscale="log", xlabel="posterior variance s²", ylabel="variance of the ELBO's ∂μ")
    axes.legend(frameon=False, fontsize=8)


def _plot_three_forms(setting: Setting, axes: Any, tau2: float) -> None:
    """Each draw's ∂μ against its ε, for the three forms."""
    place = TAU2.index(tau2)
    noise = setting.normal("noise", DRAWS, len(TAU2))[:400, place]
    for form, colour in FORMS.items():
        axes.plot(noise, elbo_gradients(form, setting)[0, :400, place], ".", color=colour, ms=4, label=form)
    s2 = posterior(1.0)[1][place]
    axes.axhline(0, color=INK, lw=0.5)
    axes.set(xlabel="ε", ylabel="∂μ of the ELBO, one draw", ylim=(-11, 11), title=f"τ² = {tau2:g}: s² = {s2:.2f}")
    axes.legend(frameon=False, fontsize=8)
