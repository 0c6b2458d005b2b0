"""Functions of SciPy and array_api_extra, written for any array library, differentiated through their array API.

SciPy reads its switch SCIPY_ARRAY_API when it is imported, so this is a program of its own:
`SCIPY_ARRAY_API=1 python -m tests.support.array_api_consumers` prints, by function, the derivatives of every kind in
JSON, and as truth five-point differences of the function with plain NumPy arrays.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable

import numpy as np

import minigrad as mg

X = np.array([0.3, -1.2, 2.0, 0.7])


def weighted(function: Callable) -> Callable:
    """The sum of the results of a function, weighted with signs."""

    def total(x):
        y = mg.ravel(function(x))
        return mg.sum(y * np.cos(1 + np.arange(y.size)))

    return total


def make_functions() -> dict[str, Callable]:
    """Scalar functions of four numbers."""
    import array_api_extra as xpx
    from scipy import fft, integrate, optimize, special, stats
    from scipy.spatial.transform import Rotation

    return {
        "scipy.special.softmax": weighted(special.softmax),
        "scipy.stats.kurtosis": stats.kurtosis,
        "scipy.stats.gmean": lambda x: stats.gmean(mg.exp(x)),
        "scipy.stats.hmean": lambda x: stats.hmean(mg.exp(x)),
        "scipy.stats.pmean": lambda x: stats.pmean(mg.exp(x), 1.5),
        "scipy.stats.kstat": lambda x: stats.kstat(x, 3),
        "scipy.stats.circmean": lambda x: stats.circmean(mg.exp(x)),
        "scipy.stats.circvar": stats.circvar,
        "scipy.stats.sem": stats.sem,
        "scipy.stats.lmoment": lambda x: stats.lmoment(x, order=2),
        "scipy.stats.directional_stats": weighted(lambda x: stats.directional_stats(x.reshape((2, 2))).mean_direction),
        "scipy.integrate.trapezoid": lambda x: integrate.trapezoid(mg.sin(x), dx=0.5),
        "scipy.integrate.cumulative_trapezoid": weighted(lambda x: integrate.cumulative_trapezoid(mg.sin(x))),
        "scipy.optimize.rosen": optimize.rosen,
        "scipy.fft.fft": weighted(lambda x: mg.abs(fft.fft(x))),
        "scipy.spatial.transform.Rotation": weighted(lambda x: Rotation.from_quat(x).as_matrix()[0]),
        "array_api_extra.atleast_nd": weighted(lambda x: xpx.atleast_nd(x, ndim=3) ** 2),
        "array_api_extra.cov": weighted(lambda x: xpx.cov(x.reshape((2, 2)))),
        "array_api_extra.expand_dims": weighted(lambda x: xpx.expand_dims(x, axis=(0, 1)) ** 3),
        "array_api_extra.kron": weighted(lambda x: xpx.kron(x, x)),
        "array_api_extra.one_hot": weighted(lambda x: xpx.one_hot(mg.argsort(x), 4) @ x),
        "array_api_extra.partition": weighted(lambda x: xpx.partition(x, 1)[:2] ** 2),  # those after are in any order
        "array_api_extra.sinc": weighted(xpx.sinc),
    }


BRANCHES = {"scipy.stats.hmean", "scipy.stats.pmean"}
"""Functions that branch on values, which neither programs nor batches of examples can."""


def differences(f: Callable, v: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """The five-point difference of f at X along v."""
    y = [np.asarray(f(X + t * step * v)) for t in (1, -1, 2, -2)]
    return (8 * (y[0] - y[1]) - (y[2] - y[3])) / (12 * step)


def differentiate(f: Callable, branches: bool) -> dict[str, list]:
    """First derivatives of f at X by every transformation, the second along X, and the same by differences."""
    axes = np.eye(4)
    found = {
        "differences": [differences(f, e) for e in axes],
        "grad": mg.grad(f)(X),
        "jacobian": mg.jacobian(f, mode="forward")(X) if not branches else None,
        "jvp": [mg.jvp(f, (X,), (e,))[1] for e in axes],
        "vmap": mg.vmap(mg.grad(f))(np.stack([2 * X, X]))[1] if not branches else None,
        "jit": mg.jit(mg.grad(f))(X) if not branches else None,
        "second differences": differences(mg.grad(f), X),
        "second": mg.jvp(mg.grad(f), (X,), (X,))[1],
    }
    return {name: np.asarray(value, np.float64).tolist() for name, value in found.items() if value is not None}


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(json.dumps({name: differentiate(f, name in BRANCHES) for name, f in make_functions().items()}))


if __name__ == "__main__":
    main()
