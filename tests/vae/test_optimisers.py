"""vae/optimisers.py against the papers' formulas in NumPy, and against PyTorch."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.core import tree
from tests.support.environment import optional
from tests.support.oracles import EPS, assert_close
from vae.models import Affine
from vae.optimisers import OPTIMISERS, adam, sgd

STEPS = 30
TREE = {"layer": Affine(np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([0.1, 0.2])), "none": None, "σ": np.float64(0.7)}


def gradients(seed: int, count: int = STEPS, scale: float = 1.0) -> list:
    random = np.random.default_rng(seed)
    return [tree.map(lambda x: scale * random.standard_normal(np.shape(x)), TREE) for _ in range(count)]


def trajectory(optimiser, given_gradients: list, parameters=TREE) -> list[np.ndarray]:
    """All parameters in one array, after each step."""
    state, path = optimiser.init(parameters), []
    for g in given_gradients:
        parameters, state = optimiser.update(parameters, g, state)
        path.append(flat(parameters))
    return path


def flat(values) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in tree.flatten(values)[0]])


def plain_adam(rate, beta1, beta2, epsilon, given_gradients) -> list[np.ndarray]:
    """Algorithm 1 of arXiv:1412.6980 literally: m̂, v̂, θ ← θ − α·m̂/(√v̂ + ε̂)."""
    theta, m, v, path = flat(TREE), 0.0, 0.0, []
    for t, g in enumerate(map(flat, given_gradients), start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        theta = theta - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
        path.append(theta)
    return path


def agree(path: list, expected: list, rate: float) -> None:
    """Each step is off by some roundings of its size (4 operations on m, v, their roots: 2⁴), and these add up.

    1 − β₂ᵗ subtracts nearly equal numbers: at the default β₂ it is off by up to 1/(1−β₂) = 1e3 roundings.
    """
    for t, (a, b) in enumerate(zip(path, expected, strict=True), start=1):
        assert_close(a, b, t * EPS * (1 + 16 * rate * 1e3))


@given(st.integers(0, 2**31), st.floats(1e-4, 0.5), st.floats(0, 0.99), st.floats(0, 0.999), st.floats(1e-10, 1e-2))
def test_adam_is_algorithm_1(seed, rate, beta1, beta2, epsilon):
    given_gradients = gradients(seed)
    path = trajectory(adam(rate, beta1, beta2, epsilon), given_gradients)
    agree(path, plain_adam(rate, beta1, beta2, epsilon, given_gradients), rate)


def test_adam_defaults_are_the_papers():
    given_gradients = gradients(0)
    agree(trajectory(adam(), given_gradients), plain_adam(1e-3, 0.9, 0.999, 1e-8, given_gradients), 1e-3)


def test_the_first_step_of_adam_is_the_learning_rate_whatever_the_gradient():
    """Bias correction makes m̂ = g and √v̂ = |g|, so the step is −α·sign g up to ε/|g|."""
    for scale in (1e-3, 1.0, 1e3):
        (g,) = gradients(1, 1, scale)
        (after,) = trajectory(adam(0.01), [g])
        expected = flat(TREE) - 0.01 * np.sign(flat(g))
        assert np.all(np.abs(after - expected) <= 0.01 * 1e-8 / np.abs(flat(g)) + 4 * EPS * np.abs(expected))


@given(st.integers(0, 2**31), st.floats(1e-4, 0.5), st.floats(0, 0.99))
def test_sgd_with_momentum_has_a_closed_form(seed, rate, momentum):
    """v_t = Σ momentumᵗ⁻ˢ g_s, so θ_T = θ_0 − α Σ_s g_s (1 − momentumᵀ⁻ˢ⁺¹)/(1 − momentum)."""
    given_gradients = gradients(seed)
    weights = [sum(momentum**k for k in range(STEPS - s)) for s in range(STEPS)]
    expected = flat(TREE) - rate * sum(w * flat(g) for w, g in zip(weights, given_gradients, strict=True))
    size = 1 + rate * sum(w * np.max(np.abs(flat(g))) for w, g in zip(weights, given_gradients, strict=True))
    assert_close(trajectory(sgd(rate, momentum), given_gradients)[-1], expected, 4 * STEPS * EPS * size)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_both_agree_with_pytorch(momentum):
    torch = optional("torch", extra="bench")
    given_gradients = gradients(2)
    for ours, theirs in (
        (adam(0.05), lambda p: torch.optim.Adam(p, lr=0.05)),
        (sgd(0.05, momentum), lambda p: torch.optim.SGD(p, lr=0.05, momentum=momentum)),
    ):
        parameter = torch.tensor(flat(TREE), requires_grad=True)
        optimiser, expected = theirs([parameter]), []
        for g in given_gradients:
            parameter.grad = torch.tensor(flat(g))
            optimiser.step()
            expected.append(parameter.detach().numpy().copy())
        agree(trajectory(ours, given_gradients), expected, 0.05)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_updates_are_pure_and_keep_structure_and_dtype(name):
    optimiser = OPTIMISERS[name]()
    parameters = tree.map(lambda x: np.asarray(x, np.float32), TREE)
    g = tree.map(lambda x: np.asarray(x, np.float32), gradients(3, 1)[0])
    before, state = [leaf.copy() for leaf in tree.flatten((parameters, g))[0]], optimiser.init(parameters)
    state_before = [np.copy(leaf) for leaf in tree.flatten(state)[0]]
    new, after = optimiser.update(parameters, g, state)
    assert all(np.array_equal(a, b) for a, b in zip(before, tree.flatten((parameters, g))[0], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(state_before, tree.flatten(state)[0], strict=True))
    assert tree.flatten(new)[1] == tree.flatten(parameters)[1]
    assert tree.flatten(after)[1] == tree.flatten(state)[1]
    floats = [leaf for leaf in tree.flatten((new, after))[0] if leaf.dtype != np.int64]  # all but the step count
    assert {leaf.dtype for leaf in floats} == {np.dtype(np.float32)}
    again, _ = optimiser.update(parameters, g, state)
    assert all(np.array_equal(a, b) for a, b in zip(tree.flatten(new)[0], tree.flatten(again)[0], strict=True))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_both_descend(name):
    """On ½‖θ‖² every step goes downhill for a small rate, and 2000 steps reach the bottom."""
    optimiser = OPTIMISERS[name](0.01)
    parameters, state = np.array([3.0, -2.0]), optimiser.init(np.zeros(2))
    for _ in range(2000):
        parameters, state = optimiser.update(parameters, parameters, state)
    assert np.max(np.abs(parameters)) < 0.01


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: adam(0.0), "learning rate must be a positive number, got 0.0"),
        (lambda: sgd(-1.0), "learning rate must be a positive number, got -1.0"),
        (lambda: adam(math.nan), "learning rate must be a positive number, got nan"),
        (lambda: adam(math.inf), "learning rate must be a positive number, got inf"),
        (lambda: adam(epsilon=0.0), "epsilon must be a positive number, got 0.0"),
        (lambda: adam(beta1=1.0), r"β₁ and β₂ must lie in \[0, 1\), got 1.0 and 0.999"),
        (lambda: adam(beta2=-0.1), r"β₁ and β₂ must lie in \[0, 1\)"),
        (lambda: sgd(momentum=1.0), r"momentum must lie in \[0, 1\), got 1.0"),
        (lambda: sgd(momentum=math.nan), r"momentum must lie in \[0, 1\), got nan"),
    ],
)
def test_settings_out_of_range_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
