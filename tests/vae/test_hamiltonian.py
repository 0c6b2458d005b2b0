"""vae/hamiltonian.py: moves leave a known Gaussian unchanged, in detailed balance, and a broken choice is caught."""

import numpy as np
import pytest

import minigrad as mg
from vae import hamiltonian
from vae.hamiltonian import make_moves

COUNT, BETA = 20_000, 0.7
CENTRE, PRECISION = np.array([1.0, -0.5, 2.0]), np.array([0.5, 4.0, 30.0])
EXACT = 1 / np.sqrt(1 + BETA * PRECISION)  # f_β = N(u; 0, I) e^{−½βΛ(u−c)²} is N(βΛc/(1+βΛ), 1/(1+βΛ))
MIDDLE = BETA * PRECISION * CENTRE * EXACT**2


def quadratic(u, centre):
    return -0.5 * mg.sum(PRECISION * mg.square(u - centre), axis=-1)


def exact_start(seed: int = 0):
    """Moves of a coarse leapfrog, and exact samples of f_β, (2, COUNT/2, 3)."""
    random = np.random.default_rng(seed)
    moves = make_moves(quadratic, leapfrog=3)
    return moves, moves.start(MIDDLE + EXACT * random.standard_normal((2, COUNT // 2, 3)), CENTRE)


def move_often(moves, point, count: int = 4):
    step = np.full(COUNT // 2, 0.36)
    for i in range(count):
        point, probability = moves.move(point, mg.random.fold_in(mg.random.key(1), i), step, BETA, CENTRE)
    return point, probability


def errors_of_moments(u: np.ndarray) -> np.ndarray:
    """Mean and variance of standardised u (N, 3) in standard errors from 0 and 1."""
    x = (np.reshape(u, (-1, 3)) - MIDDLE) / EXACT
    return np.concatenate([x.mean(axis=0), (np.mean(x**2, axis=0) - 1) / np.sqrt(2)]) * np.sqrt(len(x))


def test_a_known_gaussian_is_left_unchanged():
    moves, point = exact_start()
    after, probability = move_often(moves, point)
    assert 0.3 < probability.mean() < 0.9  # the moves are coarse enough for the choice to matter
    assert (after.u != point.u).any(axis=-1).mean() > 0.9
    assert abs(errors_of_moments(after.u)).max() < 4


def test_moves_without_the_choice_are_caught(monkeypatch):
    monkeypatch.setattr(hamiltonian, "_choose", lambda accepted, new, old: new)
    after, _ = move_often(*exact_start())
    assert abs(errors_of_moments(after.u)).max() > 8


def test_moves_are_in_detailed_balance():
    """E f(u) g(u') = E g(u) f(u') for u ~ f_β and the next state u', for functions that see the direction."""
    moves, point = exact_start(1)
    after, _ = move_often(moves, point, 1)
    before, then = (np.reshape(x.u, (-1, 3)) for x in (point, after))
    difference = before * then**3 - before**3 * then
    assert (abs(difference.mean(axis=0)) < 4 * difference.std(axis=0) / np.sqrt(COUNT)).all()


def test_chains_from_anywhere_reach_the_gaussian():
    moves, _ = exact_start()
    after, _ = move_often(moves, moves.start(np.full((2, COUNT // 2, 3), 4.0), CENTRE), 60)
    assert abs(errors_of_moments(after.u)).max() < 4.5


def test_a_point_holds_its_ratio_and_slope():
    moves, point = exact_start()
    after, _ = move_often(moves, point)
    np.testing.assert_allclose(after.ratio, quadratic(np.asarray(after.u), CENTRE), rtol=1e-12)
    np.testing.assert_allclose(after.slope, -PRECISION * (after.u - CENTRE), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("step", [1e200, np.inf])
def test_diverged_trajectories_are_rejected(step):
    moves, point = exact_start()
    after, probability = moves.move(point, mg.random.key(0), np.full(COUNT // 2, step), BETA, CENTRE)
    assert (after.u == point.u).all() and (probability == 0).all()


def test_float32_stays_float32():
    moves = make_moves(lambda u: -mg.sum(u**4, axis=-1), leapfrog=2)
    point = moves.start(np.ones((2, 3, 1), np.float32))
    point, probability = moves.move(point, mg.random.key(0), np.full(3, 0.1, np.float32), 0.3)
    assert {x.dtype for x in (*point, probability)} == {np.dtype(np.float32)}
