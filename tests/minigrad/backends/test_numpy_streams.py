"""Random streams against independent oracles: Philox in Python integers, normals in mpmath and in scalars rounded after
each operation, distributions against closed forms. Statistical bounds are five standard errors, at fixed keys.
"""

from __future__ import annotations

import itertools
import math
import struct

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.backends.numpy import streams
from minigrad.backends.streams import SPLIT

KEY = np.array([0x243F6A88, 0x85A308D3], np.uint32)
FLOATS = (np.float32, np.float64)
BITS = {np.float32: 32, np.float64: 64}
DIGITS = {np.float32: 24, np.float64: 53}

# Words


def philox_in_integers(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = second >> 32 ^ c1 ^ k0, second % 2**32, first >> 32 ^ c3 ^ k1, first % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def word(position: int, key: np.ndarray, lane: int = 0) -> int:
    i = position // 4
    return philox_in_integers((i % 2**32, i >> 32, 0, lane), tuple(map(int, key)))[position % 4]


KNOWN_ANSWERS = (  # counter, key, words: Random123, kat_vectors
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
)


@pytest.mark.parametrize("answer", KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(answer):
    counter, key, words = (tuple(int(w, 16) for w in text.split()) for text in answer)
    assert philox_in_integers(counter, key) == words
    counters = [np.array([c], np.uint64) for c in counter]
    got = streams.philox(np, np.array(key, np.uint32), *counters)
    assert got.dtype == np.uint32
    assert tuple(got.tolist()) == words


STARTS = (0, 1, 2**32 - 3, 2**34 - 8, 2**34, 2**61 + 5, 2**62 - 40)  # 2**34 words: the second counter word turns over


@given(
    key=st.tuples(*[st.integers(0, 2**32 - 1)] * 2),
    start=st.sampled_from(STARTS),
    skip=st.integers(0, 9),
    size=st.integers(0, 30),
    block=st.integers(1, 9),
    lane=st.sampled_from((0, 1, 2, 2**32 - 1)),
)
def test_bits_are_the_words_of_the_stream(key, start, skip, size, block, lane):
    key = np.array(key, np.uint32)
    got = streams.random_bits(np, key, size, offset=start + skip, block=block, lane=lane)
    assert got.dtype == np.uint32
    assert got.tolist() == [word(start + skip + i, key, lane) for i in range(size)]


def draw(kind: str, size: int, offset: int = 0, key: np.ndarray = KEY, **how) -> np.ndarray:
    name, _, dtype = kind.partition(" ")
    options = {"dtype": dtype} if dtype else {}
    return getattr(streams, f"random_{name}")(np, key, size, offset=offset, **options, **how)


KINDS = ("bits", "uniform float32", "uniform float64", "normal float32", "normal float64")


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(
    start=st.sampled_from((0, 2**33 - 150, 2**61)),
    offset=st.integers(0, 300),
    size=st.integers(0, 300),
    block=st.integers(1, 200),
)
def test_a_draw_is_the_slice_of_a_longer_one(kind, start, offset, size, block):
    longer = draw(kind, 600, start)
    assert draw(kind, size, start + offset, block=block).tobytes() == longer[offset : offset + size].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_draw_does_not_depend_on_blocks(kind):
    size = 4 * streams.BLOCK + 77
    whole = draw(kind, size, 5, block=2**40)
    assert draw(kind, size, 5).tobytes() == whole.tobytes()
    assert draw(kind, size, 5, block=1000).tobytes() == whole.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_dtype_shape_and_purity(kind):
    key = KEY.copy()
    for size in (0, 1, 7):
        got = draw(kind, size, 3, key)
        assert got.shape == (size,)
        assert got.dtype == np.dtype(kind.partition(" ")[2] or "uint32")
    assert (key == KEY).all()
    assert draw(kind, 9).tobytes() == draw(kind, 9).tobytes()


@pytest.mark.parametrize("function", [streams.random_uniform, streams.random_normal])
@pytest.mark.parametrize("dtype", [np.float16, np.int32, bool, "complex64", ">f4", None])
def test_another_dtype_is_refused(function, dtype):
    with pytest.raises(TypeError, match="float32 or float64, not"):
        function(np, KEY, 3, dtype)


# Uniforms


@pytest.mark.parametrize("offset", [0, 3, 2**40 + 1])
def test_uniforms_are_the_top_bits(offset):
    single = streams.random_uniform(np, KEY, 20, np.float32, offset)
    assert single.tolist() == [(word(offset + i, KEY) >> 8) / 2**24 for i in range(20)]
    double = streams.random_uniform(np, KEY, 20, np.float64, offset)
    wide = [word(2 * i, KEY) + 2**32 * word(2 * i + 1, KEY) for i in range(offset, offset + 20)]
    assert double.tolist() == [(w >> 11) / 2**53 for w in wide]


# Normals


def round_to(value: float, dtype: type) -> float:
    return struct.unpack("f", struct.pack("f", value))[0] if dtype is np.float32 else value


def u_and_a(v: int, w: int, dtype: type) -> tuple[float, float]:
    """The uniform of the radius, and the angle in units of 90°, of a pair, as documented."""
    bits, digits = BITS[dtype], DIGITS[dtype]
    signed = w - 2**bits if w >= 2 ** (bits - 1) else w
    u = round_to(float(v >> 1 | 1), dtype) / 2.0 ** (bits - 1)
    return u, float(signed >> (bits - digits - 1) | 1) / 2.0**digits


def pair_in_mpmath(v: int, w: int, dtype: type) -> tuple[mpmath.mpf, mpmath.mpf]:
    u, a = u_and_a(v, w, dtype)
    with mpmath.workdps(50):
        r = mpmath.sqrt(-2 * mpmath.log(u))
        half_turns = mpmath.mpf(a) / 2
        return (-1) ** (w & 1) * r * mpmath.cospi(half_turns), r * mpmath.sinpi(half_turns)


def ulps(got: float, exact: mpmath.mpf, dtype: type) -> float:
    if exact == 0:
        return 0.0 if got == 0 else math.inf
    with mpmath.workdps(50):
        _, exponent = mpmath.frexp(exact)
        return float(abs(got - exact) / mpmath.mpf(2) ** (exponent - DIGITS[dtype]))


def pair_in_scalars(v: int, w: int, dtype: type) -> tuple[float, float]:
    """The pair with every +, −, × and √ rounded once, in the order fixed for all devices.

    A float32 operation computed in float64 and then rounded equals the float32 operation (Figueroa 1995).
    """
    form = next(form for form in streams.FORMATS if form.real is dtype)
    u, a = u_and_a(v, w, dtype)

    def r(value: float) -> float:
        return round_to(value, dtype)

    def polynomial(coefficients: tuple[float, ...], x: float) -> float:
        value = r(x * r(coefficients[-1]))
        for c in coefficients[-2:0:-1]:
            value = r(r(value + r(c)) * x)
        return r(value + r(coefficients[0]))

    def sine(x: float) -> float:
        t = r(1 - r(x * x))
        return r(r(r(polynomial(form.sine, t) * t) * x) + x)

    root_half = np.array(form.root_half, form.unsigned).view(dtype).item()
    e = 0
    while u * 2**e < root_half:
        e += 1
    f = u * 2**e - 1
    log = r(r(r(polynomial(form.log, f) * f) * f) - 2 * f)
    radius = r(math.sqrt(r(log + r(e * r(2 * math.log(2))))))
    cosine = sine((-1) ** (w & 1) * (1 - abs(a)))
    return r(cosine * radius), r(sine(a) * radius)


def words_of_pairs(count: int, dtype: type) -> list[tuple[int, int]]:
    bits = streams.random_bits(np, KEY, 2 * count * BITS[dtype] // 32)
    wide = bits.view(f"uint{BITS[dtype]}").tolist()  # word 2i is the low half, as tested with the uniforms
    return list(zip(wide[0::2], wide[1::2]))


def edge_words(dtype: type) -> list[tuple[int, int]]:
    """All pairs of edge cases: extreme words, u at and near 1 and √½ times powers of two, angles near axes."""
    bits, top = BITS[dtype], 2 ** BITS[dtype]
    root = math.isqrt(top * top // 2)
    low = {0, 1, 2, 3, top - 1, top - 2, top // 2, top // 2 - 1, top // 4, 3 * top // 4, top - 2 ** (bits - 24)}
    low |= {
        (root >> shift) + step for shift in (0, 1, 7, bits - 8) for step in (-300, -2, 0, 2, 300) if root >> shift > 300
    }
    return list(itertools.product(sorted(w for w in low if 0 <= w < top), repeat=2))


def normals_of(pairs: list[tuple[int, int]], dtype: type, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The normals of given words: Philox is replaced by a table."""
    words = np.array(pairs, f"uint{BITS[dtype]}").reshape(-1)
    words = np.concatenate([words, words[:2]])  # pad to a whole number of counters
    count = len(pairs) + len(pairs) % 2
    table = words.view(np.uint32)[: count * BITS[dtype] // 16].copy()
    with monkeypatch.context() as patch:
        patch.setattr(streams, "philox", lambda *_: table)
        return streams.random_normal(np, KEY, 2 * len(pairs), dtype, block=2**40).tolist()


@pytest.mark.parametrize("dtype", FLOATS)
def test_normals_agree_with_the_documented_formula(dtype):
    pairs = words_of_pairs(5000, dtype)
    got = streams.random_normal(np, KEY, 2 * len(pairs), dtype).tolist()
    exact = [number for v, w in pairs for number in pair_in_mpmath(v, w, dtype)]
    errors = sorted(ulps(g, e, dtype) for g, e in zip(got, exact))
    assert errors[-1] <= 3
    assert errors[len(errors) // 2] <= 0.5


@pytest.mark.parametrize("dtype", FLOATS)
def test_normals_at_the_edges(dtype, monkeypatch):
    pairs = edge_words(dtype)
    got = normals_of(pairs, dtype, monkeypatch)
    exact = [number for v, w in pairs for number in pair_in_mpmath(v, w, dtype)]
    assert all(map(math.isfinite, got))
    assert max(ulps(g, e, dtype) for g, e in zip(got, exact)) <= 3
    bound = math.sqrt(2 * (BITS[dtype] - 1) * math.log(2))
    assert bound - 1e-6 < max(map(abs, got)) <= round_to(bound, dtype) < {np.float32: 6.56, np.float64: 9.35}[dtype]


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_operation_rounds_once_in_the_documented_order(dtype, monkeypatch):
    pairs = words_of_pairs(2000, dtype)
    got = streams.random_normal(np, KEY, 2 * len(pairs), dtype).tolist()
    assert got == [number for v, w in pairs for number in pair_in_scalars(v, w, dtype)]
    pairs = edge_words(dtype)
    assert normals_of(pairs, dtype, monkeypatch) == [x for v, w in pairs for x in pair_in_scalars(v, w, dtype)]


def horner(coefficients, x):
    """A polynomial by Horner's rule, highest coefficient first."""
    total = mpmath.mpf(0)
    for c in coefficients:
        total = total * x + c
    return total


@pytest.mark.parametrize(
    ("form", "log_error", "sine_error"), list(zip(streams.FORMATS, (-27.6, -56.4), (-27.2, -60.3)))
)
def test_polynomials_have_the_stated_accuracy(form, log_error, sine_error):
    log, sine = (np.array(table, form.real)[::-1].tolist() for table in (form.log, form.sine))
    with mpmath.workdps(40):
        low, high = mpmath.sqrt(0.5) - 1, mpmath.sqrt(2) - 1
        for i in range(1, 1000):
            f = low + (high - low) * i / 1000
            exact = -2 * mpmath.log1p(f)
            got = f * f * horner(log, f) - 2 * f
            assert abs(got / exact - 1) < mpmath.mpf(2) ** log_error
            x = mpmath.mpf(i) / 1000
            t = 1 - x * x
            got = x + x * t * horner(sine, t)
            assert abs(got / mpmath.sinpi(x / 2) - 1) < mpmath.mpf(2) ** sine_error


# Distributions

COUNT = 1 << 19
KOLMOGOROV = math.sqrt(math.log(2 / math.erfc(5 / math.sqrt(2))) / 2)  # P(√n D > x) ≈ 2 exp(−2x²), at five sigma


def distance(sample: np.ndarray, distribution) -> float:
    """√n times the Kolmogorov–Smirnov distance."""
    n = sample.size
    at = np.array([distribution(x) for x in np.sort(sample).tolist()])
    steps = np.arange(n + 1) / n
    return math.sqrt(n) * max((at - steps[:-1]).max(), (steps[1:] - at).max())


@pytest.mark.parametrize("dtype", FLOATS)
def test_moments_of_normals(dtype):
    z = streams.random_normal(np, KEY, COUNT, dtype).astype(np.float64)
    variances = {1: 1, 2: 2, 3: 15, 4: 96}  # variances of zᵏ
    for power, variance in variances.items():
        expected = {1: 0, 2: 1, 3: 0, 4: 3}[power]
        assert abs((z**power).mean() - expected) < 5 * math.sqrt(variance / COUNT)
    tail = math.erfc(3 / math.sqrt(2))
    assert abs((abs(z) > 3).mean() - tail) < 5 * math.sqrt(tail * (1 - tail) / COUNT)


@pytest.mark.parametrize("dtype", FLOATS)
def test_moments_of_uniforms(dtype):
    x = streams.random_uniform(np, KEY, COUNT, dtype).astype(np.float64)
    assert 0 <= x.min() and x.max() < 1
    assert abs(x.mean() - 1 / 2) < 5 * math.sqrt(1 / 12 / COUNT)
    assert abs((x * x).mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / COUNT)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("part", ["all", "cosines", "sines"])
def test_normals_are_normally_distributed(dtype, part):
    z = streams.random_normal(np, KEY, 200_000, dtype, offset=2**35)
    z = {"all": z, "cosines": z[0::2], "sines": z[1::2]}[part]
    assert distance(z, lambda x: math.erfc(-x / math.sqrt(2)) / 2) < KOLMOGOROV


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniforms_are_uniformly_distributed(dtype):
    assert distance(streams.random_uniform(np, KEY, 100_000, dtype), lambda x: x) < KOLMOGOROV


@pytest.mark.parametrize("dtype", FLOATS)
def test_normals_are_uncorrelated(dtype):
    z = streams.random_normal(np, KEY, COUNT, dtype).astype(np.float64)
    others = {
        "the other one of the pair": (z[0::2], z[1::2]),
        "the next pair": (z[:-2], z[2:]),
        "the next counter": (z[:-4], z[4:]),
        "the next key": (z, streams.random_normal(np, KEY + np.array([1, 0], np.uint32), COUNT, dtype)),
        "a key one bit away": (z, streams.random_normal(np, KEY ^ np.array([0, 1 << 31], np.uint32), COUNT, dtype)),
        "another lane": (z, streams.random_normal(np, KEY, COUNT, dtype, lane=SPLIT)),
    }
    for x, y in others.values():
        x, y = x.astype(np.float64), y.astype(np.float64)
        assert abs((x * y).mean()) < 5 / math.sqrt(x.size)
        assert abs(((x * x - 1) * (y * y - 1)).mean()) < 5 * 2 / math.sqrt(x.size)
        assert abs((x * (y * y - 1)).mean()) < 5 * math.sqrt(2 / x.size)


def test_bits_are_balanced():
    words = streams.random_bits(np, KEY, COUNT)
    for shift in range(32):
        assert abs(((words >> np.uint32(shift)) & 1).mean() - 1 / 2) < 5 / 2 / math.sqrt(COUNT)
