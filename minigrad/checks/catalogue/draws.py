"""Distributions of arguments: inside the domain of an operation, away from its singularities and kinks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def between(low: float, high: float) -> Draw:
    """Uniformly distributed numbers."""
    return lambda rng, shape: rng.uniform(low, high, shape)


def signed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of either sign with |x| ≥ 0.5, away from singularities at 0."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.6, shape)


def apart(offset: float) -> Draw:
    """Elements at least 0.05 apart, also from those of another offset: no ties, and no kink inside a difference."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        size = math.prod(shape)
        return (rng.permutation(size) - size // 2).reshape(shape) * 0.3 + offset

    return draw


def halves(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Multiples of ½ with many ties, some of them integers, for operations without a derivative."""
    return rng.integers(-3, 4, shape) / 2


def zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """All zeros."""
    return np.zeros(shape)


def some_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of either sign, about 30 % of them 0."""
    return signed(rng, shape) * (rng.random(shape) < 0.7)


def zeros_at(*places: int) -> Draw:
    """Numbers of either sign, but 0 at these positions of the raveled array."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        x = signed(rng, shape)
        x.reshape(-1)[list(places)] = 0
        return x

    return draw


def numbers(values: list) -> Draw:
    """These numbers, independent of the generator."""
    return lambda rng, shape: np.array(values, float)


# Matrices


def definite(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Positive definite matrices."""
    root = rng.uniform(-1, 1, shape)
    return root @ np.swapaxes(root, -1, -2) + 1.5 * np.eye(shape[-1])


def regular(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Matrices far from singular, with determinants of either sign."""
    return rng.uniform(-0.5, 0.5, shape) + 1.5 * np.eye(shape[-1]) * np.where(np.arange(shape[-1]) % 3 == 1, -1, 1)


def dominant(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Diagonally dominant matrices with permuted rows: determinants of either sign, condition numbers below 3.

    Off the diagonal, the absolute values in a row sum to less than 0.5; on it they are 1.25 to 1.75. So ‖A‖∞ ≤ 2.25 and
    ‖A⁻¹‖∞ ≤ 1/0.75.
    """
    n = shape[-1]
    a = rng.uniform(-0.5, 0.5, shape) / max(1, n) * (1 - np.eye(n))
    a = a + np.eye(n) * (rng.uniform(1.25, 1.75, shape[:-1]) * rng.choice([-1, 1], shape[:-1]))[..., None]
    return a[..., rng.permutation(n), :]


def _orthonormal(
    rng: np.random.Generator, batch: tuple[int, ...], n: int, k: int, is_complex: bool = False
) -> np.ndarray:
    """n×k matrices with orthonormal columns."""
    a = rng.standard_normal((*batch, n, k))
    return np.linalg.qr(a + 1j * rng.standard_normal(a.shape) if is_complex else a)[0]


def spaced(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Matrices with the singular values 1, 2, 3, …."""
    *batch, m, n = shape
    k = min(m, n)
    left, right = (_orthonormal(rng, tuple(batch), side, k) for side in (m, n))
    return (left * (1 + np.arange(k))) @ np.swapaxes(right, -1, -2)


def symmetric(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Symmetric matrices with eigenvalues of either sign, 2 apart: -2, 0 and 2, for example."""
    vectors = _orthonormal(rng, shape[:-2], *shape[-2:])
    return (vectors * (2 * np.arange(shape[-1]) - shape[-1] + 1)) @ np.swapaxes(vectors, -1, -2)


def general(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Matrices with the eigenvalues 1 ± i, -2 ± 2i, 3 ± 3i, … and, for odd sizes, one real number."""
    n = shape[-1]
    a = np.zeros(shape)
    for i in range(0, n, 2):
        size = i // 2 + 1
        real, imaginary = (-1) ** (size + 1) * size, size
        a[..., i, i] = real
        if i + 1 < n:
            a[..., i + 1, i + 1], a[..., i, i + 1], a[..., i + 1, i] = real, imaginary, -imaginary
    basis = np.eye(n) + rng.uniform(-0.2, 0.2, shape)
    return basis @ a @ np.linalg.inv(basis)


# Complex matrices, as their real and imaginary parts: for a shape (2, …, m, n)


def _parts(a: np.ndarray) -> np.ndarray:
    return np.stack([a.real, a.imag])


def complex_spaced(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Complex matrices with the singular values 1, 2, 3, …."""
    _, *batch, m, n = shape
    k = min(m, n)
    left, right = (_orthonormal(rng, tuple(batch), side, k, is_complex=True) for side in (m, n))
    return _parts((left * (1 + np.arange(k))) @ np.swapaxes(right, -1, -2))


def hermitian(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Hermitian matrices with eigenvalues of either sign, 2 apart."""
    n = shape[-1]
    vectors = _orthonormal(rng, shape[1:-2], n, n, is_complex=True)
    return _parts((vectors * (2 * np.arange(n) - n + 1)) @ np.conj(np.swapaxes(vectors, -1, -2)))


def complex_definite(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Positive definite Hermitian matrices."""
    root = rng.uniform(-1, 1, shape[1:]) + 1j * rng.uniform(-1, 1, shape[1:])
    return _parts(root @ np.conj(np.swapaxes(root, -1, -2)) + 1.5 * np.eye(shape[-1]))


def complex_general(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Complex matrices with the eigenvalues 1, -2 + i, 3 + 2i, -4 + 3i, …."""
    n = np.arange(shape[-1])
    basis = np.eye(len(n)) + rng.uniform(-0.2, 0.2, shape[1:]) + 1j * rng.uniform(-0.2, 0.2, shape[1:])
    return _parts((basis * ((n + 1) * (-1.0) ** n + 1j * n)) @ np.linalg.inv(basis))
