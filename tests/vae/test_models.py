"""vae/models.py: shapes for every size, and both networks against plain NumPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core import tree
from tests.support.oracles import EPS, assert_close, rounding
from tests.support.vae import truth
from vae.config import Config
from vae.likelihoods import Bernoulli, Gaussian, Logistic
from vae.models import MODELS, clamp_variance, conv, mlp

KEY = mg.random.key(3)
SIZES = st.integers(1, 5)


def draw(*shape: int, seed: int = 0, dtype=np.float64) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(dtype)


def make_model(name: str, shape: tuple, latent: int):
    return mlp(shape, latent, hidden=3) if name == "mlp" else conv(shape, latent, features=(2, 3))


@given(st.sampled_from(["mlp", "conv"]), SIZES, SIZES, st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 3))
def test_shapes_for_any_latent_and_any_size_divisible_by_4(name, high, wide, channels, latent, count):
    shape = (4 * high, 4 * wide, channels)
    model = make_model(name, shape, latent)
    parameters = model.init(KEY)
    mean, log_std = model.encode(parameters.encoder, draw(count, *shape, dtype=np.float32))
    images = model.decode(parameters.decoder, mean)
    assert mean.shape == log_std.shape == (count, latent)
    assert images.shape == (count, *shape)
    assert {leaf.dtype for leaf in (mean, log_std, images, *tree.flatten(parameters)[0])} == {np.dtype(np.float32)}


@given(SIZES, SIZES, SIZES)
def test_the_mlp_takes_any_size(high, wide, channels):
    model = mlp((high, wide, channels), 2, hidden=3)
    parameters = model.init(KEY)
    mean, _ = model.encode(parameters.encoder, draw(2, high, wide, channels))
    assert model.decode(parameters.decoder, mean).shape == (2, high, wide, channels)


@given(st.integers(1, 40), st.integers(1, 40))
def test_conv_refuses_sizes_not_divisible_by_4(high, wide):
    if high % 4 == wide % 4 == 0:
        conv((high, wide, 1), 2)
    else:
        with pytest.raises(ValueError, match=f"{high}×{wide} is not divisible by 4"):
            conv((high, wide, 1), 2)


@pytest.mark.parametrize("name", ["mlp", "conv"])
@pytest.mark.parametrize("shape", [(4, 8, 1), (8, 4, 3)])
def test_networks_agree_with_plain_numpy(name, shape):
    model = truth.small_model(name, shape)
    parameters = truth.lively_parameters(model)
    y, z = draw(3, *shape), np.random.default_rng(1).standard_normal((3, 2))
    heads = truth.encode(name, parameters.encoder, y)
    images = truth.decode(name, parameters.decoder, z, shape)
    for expected in (*heads, images):
        assert np.ptp(expected, axis=0).min() > 1e-4  # everything depends on its input
    assert_close(model.encode(parameters.encoder, y)[0], heads[0])
    assert_close(model.encode(parameters.encoder, y)[1], heads[1])
    assert_close(model.decode(parameters.decoder, z), images)


def test_the_decoder_up_path_is_the_lectures_deconvolution():
    """That is deconv2d, with the bias that is added before the reshape repeated over the pixels after it."""
    model = truth.small_model("conv", (8, 8, 1))
    decoder, z = truth.lively_parameters(model).decoder, draw(3, 2)
    dense, middle = decoder.hidden
    h = mg.relu(z @ dense.w + dense.b).reshape(3, 2, 2, 4)
    for layer, activation in ((middle, mg.relu), (decoder.pixels, lambda x: x)):
        features = layer.b.size // 4
        bias = np.tile(layer.b.reshape(2, 2, features), (h.shape[1], h.shape[2], 1))
        h = activation(mg.deconv2d(h, layer.w) + bias)
    assert_close(model.decode(decoder, z), h)


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_images_of_a_batch_do_not_mix(name):
    """An image alone gives the same as in a batch, up to rounding: a matrix product may sum in another order."""
    model = truth.small_model(name, (8, 8, 1))
    parameters, y = truth.lively_parameters(model), draw(4, 8, 8, 1)
    mean, log_std = model.encode(parameters.encoder, y)
    images = model.decode(parameters.decoder, mean)
    for i in range(4):
        alone = model.encode(parameters.encoder, y[i : i + 1])
        assert_close(alone[0], mean[i : i + 1])
        assert_close(alone[1], log_std[i : i + 1])
        assert_close(model.decode(parameters.decoder, mean[i : i + 1]), images[i : i + 1])


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_parameters_are_uniform_within_one_over_root_fan_in(name):
    """U(−b, b) with b² = 1/fan-in has mean 0 and variance b²/3; each within 5 standard errors."""
    model = MODELS[name]((28, 28, 1), 20)
    parameters = model.init(KEY)
    for part in (*parameters.encoder.hidden, parameters.encoder.mean, *parameters.decoder.hidden):
        bound = 1 / math.sqrt(math.prod(part.w.shape[:-1]))
        unit = np.asarray(part.w, np.float64).ravel() / bound
        assert abs(unit).max() <= 1
        assert abs(part.b).max() <= bound
        assert abs(unit.mean()) <= 5 * math.sqrt(1 / 3 / unit.size)
        assert abs((unit**2).mean() - 1 / 3) <= 5 * math.sqrt(4 / 45 / unit.size)  # Var u² = 1/5 − 1/9


@given(st.floats(0.001, 80), st.floats(-1e6, 1e6))
def test_a_clamp_limits_the_log_variance_and_nothing_else(limit, log_std):
    """It is odd and increasing, has slope 1 at 0 and saturates at ±limit in ln σ²; μ is unchanged."""
    model = mlp((4, 4, 1), 2, hidden=3)
    parameters = tree.map(np.zeros_like, model.init(KEY, np.float64)).encoder
    at = lambda b: parameters._replace(log_std=parameters.log_std._replace(b=mg.stack([b, 0.0 * b])))
    clamp = lambda b: clamp_variance(model, limit).encode(at(b), np.zeros((1, 4, 4, 1)))[1][0, 0]
    assert abs(2 * clamp(log_std)) <= limit * (1 + 4 * EPS)
    assert clamp(-log_std) == -clamp(log_std)
    assert clamp(log_std + 1) >= clamp(log_std)
    value, slope = mg.value_and_grad(clamp)(np.float64(log_std))
    assert value == clamp(log_std)
    assert_close(slope * (1 + (log_std * math.pi / limit) ** 2), 1.0)
    lively = truth.lively_parameters(model).encoder
    y = draw(3, 4, 4, 1)
    assert np.array_equal(clamp_variance(model, limit).encode(lively, y)[0], model.encode(lively, y)[0])


def test_parameters_are_a_function_of_the_key():
    one, same, other = (tree.flatten(mlp((4, 4, 1), 2, 3).init(mg.random.key(k)))[0] for k in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert all(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    flat = np.concatenate([leaf.ravel() for leaf in one])
    assert len(np.unique(flat)) > 0.99 * flat.size  # no two tensors share a stream


def test_default_sizes_are_those_of_the_papers():
    shapes = [np.shape(leaf) for leaf in tree.flatten(mlp().init(KEY))[0]]
    assert shapes[::2] == [(784, 400), (400, 20), (400, 20), (20, 400), (400, 784)]
    assert shapes[1::2] == [shape[1:] for shape in shapes[::2]]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: mlp((4, 4), 2), r"images \(H, W, C\), got \(4, 4\)"),
        (lambda: conv((0, 4, 1), 2), r"images \(H, W, C\), got \(0, 4, 1\)"),
        (lambda: mlp((4, 4, 1), 0), "latent must be a whole number of at least 1, got 0"),
        (lambda: conv((4, 4, 1), 1.5), "latent must be a whole number of at least 1, got 1.5"),
        (lambda: mlp((4, 4, 1), 1, hidden=0), "hidden must be a whole number of at least 1, got 0"),
    ],
)
def test_invalid_sizes_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_float32_stays_within_its_rounding_of_float64():
    for name in MODELS:
        model = make_model(name, (8, 8, 1), 2)
        parameters, y = model.init(KEY), draw(3, 8, 8, 1, dtype=np.float32)
        wide = tree.map(lambda x: x.astype(np.float64), parameters)
        mean, _ = model.encode(parameters.encoder, y)
        assert_close(mean, model.encode(wide.encoder, y.astype(np.float64))[0], rounding(np.float32))


# Depths, activations, first biases and bounds on σ


def activate(name, h):
    """In NumPy; a gated layer has twice as many outputs, the second half of which are the gates."""
    if name == "gated":
        a, b = np.split(h, 2, axis=-1)
        return a * truth.sigmoid(b)
    return np.tanh(h) if name == "tanh" else truth.relu(h)


def plain_encode(name, encoder, y, activation):
    h = y if name == "conv" else y.reshape(len(y), -1)
    for layer in encoder.hidden:
        h = activate(activation, truth.convolve(h, layer, 2) if name == "conv" else h @ layer.w + layer.b)
    h = h.reshape(len(y), -1)
    return h @ encoder.mean.w + encoder.mean.b, h @ encoder.log_std.w + encoder.log_std.b


def plain_decode(name, decoder, z, image_shape, activation):
    if name == "mlp":
        h = z
        for layer in decoder.hidden:
            h = activate(activation, h @ layer.w + layer.b)
        return (h @ decoder.pixels.w + decoder.pixels.b).reshape(len(z), *image_shape[:2], -1)
    dense, *others = decoder.hidden
    scale = 2 ** (len(others) + 1)
    h = activate(activation, z @ dense.w + dense.b)
    h = h.reshape(len(z), image_shape[0] // scale, image_shape[1] // scale, -1)
    for layer in others:
        h = activate(activation, truth.depth_to_space(truth.convolve(h, layer, 1)))
    return truth.depth_to_space(truth.convolve(h, decoder.pixels, 1))


DEEP = [
    *[("mlp", sizes, activation) for sizes in ([4], [5, 3], [6, 5, 4]) for activation in ("relu", "tanh", "gated")],
    *[("conv", sizes, activation) for sizes in ([3], [2, 3], [2, 3, 4]) for activation in ("relu", "tanh", "gated")],
]
EVERY_DEPTH = pytest.mark.parametrize(("name", "sizes", "activation"), DEEP)


@EVERY_DEPTH
def test_networks_of_any_depth_and_activation_agree_with_plain_numpy(name, sizes, activation):
    """Values, and the gradient along random signed directions by complex steps."""
    shape, random = (8, 16, 2), np.random.default_rng(2)
    model = MODELS[name](shape, 3, sizes, activation, outputs=2)
    parameters = truth.lively_parameters(model)
    y, z = draw(2, *shape), random.standard_normal((2, 3))
    heads = plain_encode(name, parameters.encoder, y, activation)
    images = plain_decode(name, parameters.decoder, z, shape, activation)
    assert images.shape == (2, 8, 16, 4)
    assert all(np.ptp(expected, axis=0).min() > 1e-5 for expected in (*heads, images))
    found = model.encode(parameters.encoder, y)
    assert_close(found[0], heads[0])
    assert_close(found[1], heads[1])
    assert_close(model.decode(parameters.decoder, z), images)

    u, direction = truth.like((*heads, images), random), truth.like(parameters, random)
    of_encoder = lambda p: sum(mg.sum(a * b) for a, b in zip(u[:2], model.encode(p, y), strict=True))
    of_decoder = lambda p: mg.sum(u[2] * model.decode(p, z))
    stepped = truth.along(parameters, direction)
    for f, part, found, other in (
        (of_encoder, "encoder", u[:2], plain_encode(name, stepped.encoder, y, activation)),
        (of_decoder, "decoder", u[2:], [plain_decode(name, stepped.decoder, z, shape, activation)]),
    ):
        expected = sum(np.sum(a * np.imag(b)) for a, b in zip(found, other, strict=True)) / 1e-20
        gradient = mg.grad(f)(getattr(parameters, part))
        leaves = zip(tree.flatten(gradient)[0], tree.flatten(getattr(direction, part))[0], strict=True)
        assert abs(expected) > 1e-3
        assert_close(sum(np.sum(g * d) for g, d in leaves), expected)


def test_the_widths_of_the_layers():
    shapes = lambda model: [np.shape(leaf) for leaf in tree.flatten(model.init(KEY))[0][::2]]
    assert shapes(mlp((4, 4, 1), 2, [7, 5])) == [(16, 7), (7, 5), (5, 2), (5, 2), (2, 5), (5, 7), (7, 16)]
    gated = [(16, 14), (7, 10), (5, 2), (5, 2), (2, 10), (5, 14), (7, 16)]
    assert shapes(mlp((4, 4, 1), 2, (7, 5), "gated")) == gated
    down, up = [(3, 3, 1, 5), (3, 3, 5, 6), (3, 3, 6, 7)], [(3, 3, 7, 24), (3, 3, 6, 20), (3, 3, 5, 4)]
    assert shapes(conv((8, 16, 1), 2, (5, 6, 7))) == [*down, (14, 2), (14, 2), (2, 14), *up]
    assert shapes(conv((8, 16, 1), 2, [5])) == [(3, 3, 1, 5), (160, 2), (160, 2), (2, 160), (3, 3, 5, 4)]


@pytest.mark.parametrize(
    ("features", "said"), [((2,), "once: 6×9 .* by 2"), ((2, 2), "twice: .* by 4"), ((2, 2, 2), "3 times: .* by 8")]
)
def test_images_that_cannot_be_halved_that_often_are_refused(features, said):
    with pytest.raises(ValueError, match=f"halves images {said}"):
        conv((6, 9, 1), 2, features)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(), Logistic()], ids=lambda x: x.name)
@pytest.mark.parametrize(("name", "channels"), [("mlp", 1), ("mlp", 3), ("conv", 1), ("conv", 3)])
def test_with_this_bias_alone_the_mean_image_comes_out(name, channels, likelihood):
    """Through a decoder whose weights are 0. In the convolutional model pixels share a bias: of a 2×2 phase and a
    channel, so that it is the mean of their outputs."""
    shape = (4, 8, channels)
    model = MODELS[name](shape, 2, outputs=likelihood.outputs)
    image = 0.05 + 0.9 * draw(*shape)
    if name == "conv":
        image = np.tile(image[:2, :2], (2, 4, 1))  # its phases have one value each
    output = likelihood.output_for(image)
    zero = tree.map(np.zeros_like, model.init(KEY, np.float64)).decoder
    decoder = zero._replace(pixels=zero.pixels._replace(b=np.asarray(model.output_bias(output))))
    decoded = model.decode(decoder, np.ones((3, 2)))
    assert decoded.shape == (3, 4, 8, channels * likelihood.outputs)
    assert_close(decoded, np.tile(output, (3, 1, 1, 1)))
    if likelihood.name != "logistic":  # whose mean is that of the clipped variable
        assert_close(likelihood.mean(decoded), np.tile(image, (3, 1, 1, 1)))
    other = draw(*output.shape, seed=3)
    decoder = zero._replace(pixels=zero.pixels._replace(b=np.asarray(model.output_bias(other))))
    expected = other
    if name == "conv":
        expected = np.empty_like(other)
        for i in range(2):
            for j in range(2):
                expected[i::2, j::2] = other[i::2, j::2].mean(axis=(0, 1))
    assert_close(model.decode(decoder, np.ones((1, 2)))[0], expected)


def test_training_begins_with_the_mean_image_if_asked(make_trainer):
    image = 0.1 + 0.8 * draw(4, 4, 1, seed=4)
    for name in MODELS:
        common = {"model": name, "latent": 2, "hidden": 8, "features": (2, 3)}
        plain, data = (
            make_trainer(Config(output_bias=choice, **common), (4, 4, 1)).initial(image).parameters
            for choice in ("random", "data")
        )
        plain, data = mg.to_device((plain, data), "cpu")
        changed = [not np.array_equal(a, b) for a, b in zip(tree.flatten(plain)[0], tree.flatten(data)[0], strict=True)]
        assert [n for n, c in zip(tree.names(plain), changed, strict=True) if c] == ["decoder.pixels.b"]
        logits = np.log(image / (1 - image))
        expected = logits.ravel()
        if name == "conv":
            expected = [logits[i::2, j::2].mean() for i in range(2) for j in range(2)]
        assert data.decoder.pixels.b.dtype == np.float32
        assert_close(data.decoder.pixels.b, expected, rounding(np.float32))


@given(st.floats(0.01, 80), st.floats(0.01, 80), st.floats(-1e3, 1e3))
def test_a_clamp_may_have_a_limit_for_each_sign(low, high, log_std):
    """ln σ² tends to −low and to high; at 0 the function is 0 with slope 1 from both sides."""
    model = mlp((4, 4, 1), 2, hidden=3)
    parameters = tree.map(np.zeros_like, model.init(KEY, np.float64)).encoder
    at = lambda b: parameters._replace(log_std=parameters.log_std._replace(b=mg.stack([b, 0.0 * b])))
    clamp = lambda b: clamp_variance(model, -low, high).encode(at(b), np.zeros((1, 4, 4, 1)))[1][0, 0]
    limit = high if log_std > 0 else low
    expected = math.copysign(limit / math.pi * math.atan(math.pi * abs(log_std) / limit), log_std)
    assert_close(clamp(np.float64(log_std)), expected)
    assert_close(2 * clamp(np.float64(1e9)), high, 1e-6)
    assert_close(2 * clamp(np.float64(-1e9)), -low, 1e-6)
    assert clamp(np.float64(0.0)) == 0
    for near in (0.0, 1e-9, -1e-9):
        value, slope = mg.value_and_grad(clamp)(np.float64(near))
        assert abs(value - near) <= 1e-14 and abs(slope - 1) <= 1e-10
    narrow = tree.map(lambda x: x.astype(np.float32), truth.lively_parameters(model).encoder)
    assert clamp_variance(model, -low, high).encode(narrow, draw(2, 4, 4, 1, dtype=np.float32))[1].dtype == np.float32
