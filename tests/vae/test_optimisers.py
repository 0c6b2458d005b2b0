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
from vae.optimisers import OPTIMISERS, adam, average, clip_norm, sgd

STEPS = 30
TREE = {"layer": Affine(np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([0.1, 0.2])), "none": None, "σ": np.float64(0.7)}


def gradients(seed: int, count: int = STEPS, scale: float = 1.0) -> list:
    random = np.random.default_rng(seed)
    return [tree.map(lambda x: scale * random.standard_normal(np.shape(x)), TREE) for _ in range(count)]


def trajectory(optimiser, given_gradients: list, parameters=TREE, factors=None) -> list[np.ndarray]:
    """All parameters in one array, after each step, whose learning rate is multiplied by one of the factors."""
    state, path = optimiser.init(parameters), []
    for i, g in enumerate(given_gradients):
        factor = () if factors is None else (factors[i],)
        parameters, state = optimiser.update(parameters, g, state, *factor)
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


# Weight decay, clipping and averaging

FACTORS = list(np.random.default_rng(6).random(STEPS))


def torch_path(make, given_gradients, factors=None, clip=None) -> list[np.ndarray]:
    """The path of an optimiser of PyTorch on the flat parameters."""
    torch = optional("torch", extra="bench")
    parameter = torch.tensor(flat(TREE), requires_grad=True)
    optimiser, path = make(torch)([parameter]), []
    rate = optimiser.param_groups[0]["lr"]
    for i, g in enumerate(given_gradients):
        parameter.grad = torch.tensor(flat(g))
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([parameter], clip)
        optimiser.param_groups[0]["lr"] = rate * (1.0 if factors is None else factors[i])
        optimiser.step()
        path.append(parameter.detach().numpy().copy())
    return path


@pytest.mark.parametrize("factors", [None, FACTORS], ids=["constant", "scheduled"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_weight_decay_and_factors_agree_with_pytorch(decay, factors):
    """AdamW decays by the scheduled rate, too; the factor of sgd does not multiply the velocity."""
    given_gradients = gradients(4)
    for ours, theirs in (
        (adam(0.05, weight_decay=decay), lambda t: lambda p: t.optim.AdamW(p, lr=0.05, weight_decay=decay)),
        (sgd(0.05, 0.9), lambda t: lambda p: t.optim.SGD(p, lr=0.05, momentum=0.9)),
    ):
        for kind in (float, np.asarray):
            found = trajectory(ours, given_gradients, factors=None if factors is None else list(map(kind, factors)))
            agree(found, torch_path(theirs, given_gradients, factors), 0.05)


def test_weight_decay_is_not_a_part_of_the_gradient():
    """Without gradients Adam stands still, and decay shrinks all parameters by 1 − α·λ a step: no ratio of moments."""
    nothing = [tree.map(np.zeros_like, TREE)] * 3
    path = trajectory(adam(0.1, weight_decay=0.5), nothing)
    for t, found in enumerate(path, start=1):
        assert_close(found, flat(TREE) * 0.95**t)
    assert np.array_equal(trajectory(adam(0.1), nothing)[-1], flat(TREE))


@pytest.mark.parametrize("limit", [0.5, 3.0, 1e6])
def test_a_clipped_gradient_agrees_with_pytorch(limit):
    """PyTorch divides by ‖g‖ + 1e-6, so steps differ by that much, of gradients of norm about 3."""
    given_gradients = gradients(5)
    norms = [np.linalg.norm(flat(g)) for g in given_gradients]
    assert min(norms) < 3 < max(norms)
    expected = torch_path(lambda t: lambda p: t.optim.SGD(p, lr=0.05, momentum=0.9), given_gradients, clip=limit)
    found = trajectory(clip_norm(sgd(0.05, 0.9), limit), given_gradients)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@given(st.integers(0, 2**31), st.floats(1e-3, 1e3), st.sampled_from([1e-30, 1.0, 1e30]))
def test_clipping_keeps_the_direction_and_limits_the_norm_over_all_parameters(seed, limit, scale):
    (g,) = gradients(seed, 1, scale)
    (after,) = trajectory(clip_norm(sgd(1.0, 0.0), limit), [g], tree.map(np.zeros_like, TREE))
    norm = np.linalg.norm(flat(g))
    assert_close(-after / min(norm, limit), flat(g) / norm)


def test_clipping_leaves_zero_gradients_alone_and_sums_in_float64():
    zero = tree.map(lambda x: np.zeros(np.shape(x), np.float32), TREE)
    assert np.all(trajectory(clip_norm(sgd(1.0), 1.0), [zero], zero)[0] == 0)
    large = [np.full(10**4, 1e18, np.float32)]  # the square of 1e20, their norm, overflows float32
    (after,) = trajectory(clip_norm(sgd(1.0, 0.0), 2.0), [large], [np.zeros(10**4, np.float32)])
    np.testing.assert_allclose(after, -0.02, rtol=1e-5)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_average_is_a_discounted_mean_of_the_parameters(decay):
    """θ̄ ← d·θ̄ + (1−d)·θ by hand, beside the path of the optimiser, which it does not change."""
    given_gradients, optimiser = gradients(7), average(adam(0.05), decay)
    parameters, state, mean = TREE, optimiser.init(TREE), flat(TREE)
    plain = trajectory(adam(0.05), given_gradients)
    assert_close(flat(state.mean), mean, 0)
    for t, g in enumerate(given_gradients, start=1):
        parameters, state = optimiser.update(parameters, g, state)
        assert np.array_equal(flat(parameters), plain[t - 1])
        d = min(decay, (1 + (t - 1)) / (10 + (t - 1)))  # TensorFlow's: (1 + n)/(10 + n) after n updates
        mean = d * mean + (1 - d) * flat(parameters)
        assert_close(flat(state.mean), mean)
        assert state.step == t
    assert np.max(np.abs(mean - flat(parameters))) > 0.01


def test_wrappers_pass_the_factor_on():
    given_gradients = gradients(8)
    plain = trajectory(sgd(0.05), given_gradients, factors=FACTORS)
    for wrapped in (clip_norm(sgd(0.05), 1e9), average(sgd(0.05), 0.9), average(clip_norm(sgd(0.05), 1e9), 0.9)):
        assert np.array_equal(trajectory(wrapped, given_gradients, factors=FACTORS), plain)


OPTIMISERS_AND_WRAPPERS = {
    **{name: make() for name, make in OPTIMISERS.items()},
    "decayed": adam(weight_decay=0.1),
    "clipped": clip_norm(sgd(), 0.1),
    "averaged": average(clip_norm(adam(weight_decay=0.1), 0.1), 0.9),
}


@pytest.mark.parametrize("factor", [(), (np.asarray(0.3),)], ids=["constant", "scheduled"])
@pytest.mark.parametrize("name", OPTIMISERS_AND_WRAPPERS)
def test_updates_are_pure_and_keep_structure_and_dtype(name, factor):
    optimiser = OPTIMISERS_AND_WRAPPERS[name]
    parameters = tree.map(lambda x: np.asarray(x, np.float32), TREE)
    g = tree.map(lambda x: np.asarray(x, np.float32), gradients(3, 1)[0])
    before, state = [leaf.copy() for leaf in tree.flatten((parameters, g))[0]], optimiser.init(parameters)
    state_before = [np.copy(leaf) for leaf in tree.flatten(state)[0]]
    new, after = optimiser.update(parameters, g, state, *factor)
    assert all(np.array_equal(a, b) for a, b in zip(before, tree.flatten((parameters, g))[0], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(state_before, tree.flatten(state)[0], strict=True))
    assert tree.flatten(new)[1] == tree.flatten(parameters)[1]
    assert tree.flatten(after)[1] == tree.flatten(state)[1]
    floats = [leaf for leaf in tree.flatten((new, after))[0] if leaf.dtype != np.int64]  # all but the step count
    assert {leaf.dtype for leaf in floats} == {np.dtype(np.float32)}
    again, _ = optimiser.update(parameters, g, state, *factor)
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
        *[
            (lambda w=w: adam(weight_decay=w), f"weight decay must be 0 or positive, got {w}")
            for w in (-0.1, math.nan, math.inf)
        ],
        *[(lambda c=c: clip_norm(sgd(), c), f"clip must be a positive number, got {c}") for c in (0.0, -1.0, math.nan)],
        *[(lambda d=d: average(sgd(), d), f"average must lie between 0 and 1, got {d}") for d in (0.0, 1.0, math.nan)],
        (lambda: sgd(momentum=math.nan), r"momentum must lie in \[0, 1\), got nan"),
    ],
)
def test_settings_out_of_range_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
