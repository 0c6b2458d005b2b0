"""A variational autoencoder on minigrad whose gradients are checked. `python -m vae --help` lists what it does."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`vae.explain_loss`, imported when it is asked for.

    `python -m vae` imports this package before it can check the limit of memory, without which importing NumPy may end
    the process.
    """
    if name == "explain_loss":
        from vae.explain import explain_loss

        return explain_loss
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
