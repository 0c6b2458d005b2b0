"""A variational autoencoder on minigrad, with a check of its gradients.

`python -m vae --help` lists its commands. `explain_loss` is documented in `vae.explain`.
"""

from typing import Any

__all__ = [
    "annealing",
    "config",
    "data",
    "estimators",
    "evaluation",
    "explain",
    "explain_loss",
    "latents",
    "likelihoods",
    "models",
    "objectives",
    "optimisers",
    "training",
]


def __getattr__(name: str) -> Any:
    """Import `explain_loss` on first use.

    `python -m vae` imports this package before it checks the memory limit, and under too low a limit importing NumPy
    may abort the process.
    """
    if name == "explain_loss":
        from vae.explain import explain_loss

        return explain_loss
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
