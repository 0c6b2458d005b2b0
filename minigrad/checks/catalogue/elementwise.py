"""Elementwise operations, with arrays of any shapes that broadcast and with Python numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.checks.catalogue.choose import Choose
from minigrad.checks.catalogue.complex import OPTIONS, PARTS, any_parts, join
from minigrad.checks.catalogue.draws import apart, between, numbers, signed, zeros
from minigrad.checks.catalogue.operation import Example, any_array, any_pair, at, call, movement, operation

REAL = {"holomorphic": False}
BACKWARD = {"backward_only": ("autograd",)}

# Of one array

ONE = (at("", (3, 4), third=True), at("0-d", ()), at("empty", (2, 0, 3)))


def unary(name: str, draws: Callable = signed, compared: tuple = ("",), **how: Any) -> None:
    operation(name, any_array, *ONE, draws=draws, compared=compared, **how)


def is_positive(x):
    return np.real(x) > 0


def softplus(x):
    return np.log1p(np.exp(x))


for _name in "negative square exp exp2 expm1 sin cos arctan sinh cosh tanh arcsinh".split():
    unary(_name)
for _name in "sqrt log log2 log10".split():
    unary(_name, between(0.6, 3))
for _name in "arcsin arccos arctanh".split():
    unary(_name, between(-0.4, 0.4))
unary("arccosh", between(1.4, 3))
unary(
    "cbrt",
    formula=lambda x: np.where(is_positive(x), 1, -1) * np.where(is_positive(x), x, -x) ** (1 / 3),
    torch=None,
    autograd=None,
    **REAL,
)
unary("degrees", formula=lambda x: x * (180 / math.pi), torch="rad2deg")
unary("radians", formula=lambda x: x * (math.pi / 180), torch="deg2rad")


def sinc_series(x):
    """Σ (−1)ᵏ (πx)²ᵏ / (2k+1)!, whose complex step does not cancel."""
    return sum((-1) ** k * (math.pi * x) ** (2 * k) / math.factorial(2 * k + 1) for k in range(16))


operation(
    "sinc",
    any_array,
    *ONE,
    at("near 0", (5,), draws=numbers([1e-9, -1e-3, 0.03, 0.4, 0.7]), third=True, formula=sinc_series),
    compared=("", at("near 0", (5,), draws=numbers([0.02, -0.1, 0.3, 0.4, 0.7]))),
)
movement("positive", any_array, *ONE, compared=("",), autograd=None)
unary("tan", between(-1, 1))
unary("log1p", between(-0.4, 2))
unary("reciprocal", formula=lambda x: 1 / x)
unary("sigmoid", formula=lambda x: 1 / (1 + np.exp(-x)), jax="nn.sigmoid", autograd="scipy.special.expit", **BACKWARD)
unary("softplus", formula=softplus, torch="nn.functional.softplus", jax="nn.softplus", autograd=None)
unary(
    "log_sigmoid",
    formula=lambda x: -softplus(-x),
    torch="nn.functional.logsigmoid",
    jax="nn.log_sigmoid",
    autograd=None,
)
unary(
    "gelu",
    formula=lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    torch=lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh"),  # by default PyTorch uses erf
    jax="nn.gelu",
    autograd=None,
)
operation(
    "erf",
    any_array,
    at("", (3, 4)),
    *ONE[1:],
    draws=between(-2, 2),
    formula=np.vectorize(math.erf, otypes=[float]),
    oracle="differences",
    compared=("",),
    jax="scipy.special.erf",
    autograd="scipy.special.erf",
    **REAL,
    **BACKWARD,
)

# Of one array, with a kink

operation(
    "absolute",
    any_array,
    *ONE,
    at(
        "of complex numbers",
        (2, 3, 4),
        spelled=lambda xp, x: xp.abs(join(x)),
        formula=lambda x: np.sqrt(x[0] * x[0] + x[1] * x[1]),
        third=True,
        float16=False,
    ),
    compared=("", at("abs", (3, 4), spelled="abs"), "of complex numbers"),
    formula=lambda x: np.where(is_positive(x), x, -x),
    **REAL,
)
unary(
    "fabs",
    formula=lambda x: np.where(is_positive(x), x, -x),
    torch="abs",
    **REAL,
)
movement(
    "nan_to_num",
    any_array,
    *ONE,
    at("numbers", (3, 2), params=(True, 0.5, 2, -2)),
    compared=("",),
    formula=lambda x, *how: x,
    **REAL,
)
unary(
    "relu",
    formula=lambda x: np.where(is_positive(x), x, 0),
    jax="nn.relu",
    autograd=lambda autograd, x: autograd.numpy.maximum(x, 0.0),
    **REAL,
)
operation(
    "leaky_relu",
    lambda choose: call(choose.any_shape(), choose.one_of([0.01, 0.3, -0.5, 2])),
    *ONE,
    formula=lambda x, slope=0.01: np.where(is_positive(x), x, slope * x),
    compared=("", at("slope 0.2", (3, 4), params=(0.2,))),
    torch="nn.functional.leaky_relu",
    jax="nn.leaky_relu",
    autograd=None,
    **REAL,
)
operation(
    "elu",
    lambda choose: call(choose.any_shape(), choose.one_of([1.0, 0.3, 2])),
    *ONE,
    formula=lambda x, alpha=1.0: np.where(is_positive(x), x, alpha * np.expm1(x)),
    compared=("", at("α = 0.5", (3, 4), params=(0.5,))),
    torch="nn.functional.elu",
    jax="nn.elu",
    autograd=None,
    **REAL,
)

# Of two arrays

BROADCAST = {
    "each other": ((3, 1), (1, 2)),
    "left": ((2,), (3, 2)),
    "lengthwise": ((2, 1, 3), (1, 2, 1)),
    "0-d": ((), ()),
    "0-d with 1-d": ((), (3,)),
    "empty": ((0, 3), (1, 3)),
}


def binary(
    name: str,
    *special: Example,
    draws: tuple = (signed, signed),
    numbers: tuple = (1.3,),  # in the domain of both arguments, without ties
    formula: Callable | None = None,
    compared: tuple = (),
    **how: Any,
) -> None:
    """Add an operation of two arrays that broadcast; either may be a number."""
    ours, plain = getattr(mg, name), formula or getattr(np, name)

    def any_pair(choose: Choose) -> Example:
        which = choose.one_of(["two arrays", "two arrays", "a number on the left", "a number on the right"])
        if which == "two arrays":
            return at(which, *choose.broadcast(2))
        if which == "a number on the right":
            number = choose.one_of(numbers)
            return at(which, choose.any_shape(), params=(number,), draws=draws[:1])
        number, shape = numbers[0], choose.any_shape()
        left = {"function": lambda x: ours(number, x), "formula": lambda x: plain(number, x)}
        return at(f"{which}: {number}", shape, draws=draws[1:], **left)

    pairs = [at("", (3, 2), (3, 2), third=True), *[at(what, *shapes) for what, shapes in BROADCAST.items()]]
    compared = ("", "each other", "left", *compared)
    operation(name, any_pair, *special, *pairs, draws=draws, formula=plain, compared=compared, **how)


def scalar(what: str, spelled: Callable, draws: Callable = signed, **how: Any) -> Example:
    """A call with a number in place of one of the arrays."""
    return at(what, (3, 2), spelled=spelled, draws=draws, **how)


def arctan2(x1, x2):
    return np.arctan(x1 / x2) + np.where(np.real(x2) < 0, np.sign(np.real(x1)) * np.pi, 0)


binary("add")
binary("subtract", scalar("number", lambda xp, x: 2 - x))
binary("multiply", scalar("number", lambda xp, x: 3 * x))
binary("divide", scalar("number", lambda xp, x: 2 / x, third=True), scalar("by a number", lambda xp, x: x / 3))
POWERS = {"2": 2, "3": 3, "0.5": 0.5, "1": 1, "0": 0, "-1": -1, "-1.5": -1.5, "float32": np.float32(2.5)}
binary(
    "power",
    *[scalar(what, lambda xp, x, p: x**p, between(0.6, 2), params=(p,), third=True) for what, p in POWERS.items()],
    scalar("of a negative", lambda xp, x: x**3, between(-2, -0.6), third=True),
    scalar("number to the", lambda xp, x: 2.0**x, third=True),
    scalar("fraction to the", lambda xp, x: 0.5**x, third=True),
    at("to the zeroth", (3, 2), (3, 2), draws=(between(0.6, 2), zeros), third=True),  # ∂²/∂x₁∂x₂ is 1/x₁ there
    draws=(between(0.6, 2), between(-1.5, 2)),
    numbers=(0.7, *POWERS.values()),
    compared=(*[what for what in POWERS if what != "float32"], "of a negative", "number to the"),
    torch="pow",
)
binary(
    "logaddexp",
    at("number", (3, 2), function=lambda x: mg.logaddexp(0, x), formula=lambda x: np.log(1 + np.exp(x))),
    formula=lambda x1, x2: np.log(np.exp(x1) + np.exp(x2)),
    **REAL,
)
binary(
    "hypot", at("number", (3, 2), params=(2,)), formula=lambda x1, x2: np.sqrt(x1 * x1 + x2 * x2), **REAL, **BACKWARD
)
binary("arctan2", at("number", (3, 2), params=(2.0,)), formula=arctan2, **REAL)
operation(
    "angle",
    any_parts,
    *[part | {"third": part["what"] == ""} for part in PARTS],
    at("in degrees", (2, 3), named={"deg": True}),
    at(
        "of real numbers",
        (5,),
        function=lambda x: x * mg.angle(x),
        formula=lambda x: np.where(is_positive(x), 0, np.pi * x),
    ),
    spelled=lambda xp, x, **named: xp.angle(join(x), **named),
    formula=lambda x, deg=False: arctan2(x[1], x[0]) * (180 / np.pi if deg else 1),
    compared=("",),
    **OPTIONS,
)
binary(
    "maximum",
    at("number", (3, 2), params=(0.1,), draws=signed),
    draws=(apart(0), apart(0.14)),
    numbers=(0.07,),
    formula=lambda x1, x2: np.where(np.real(x1) > np.real(x2), x1, x2),
    **REAL,
)
binary(
    "minimum",
    draws=(apart(0), apart(0.14)),
    numbers=(0.07,),
    formula=lambda x1, x2: np.where(np.real(x1) < np.real(x2), x1, x2),
    **REAL,
)

binary(
    "logaddexp2",
    at("number", (3, 2), function=lambda x: mg.logaddexp2(0, x), formula=lambda x: np.log2(1 + 2**x)),
    formula=lambda x1, x2: np.log2(2**x1 + 2**x2),
    **REAL,
)
binary(
    "copysign",
    scalar("number", lambda xp, x: xp.copysign(x, -2.0), formula=lambda x: np.where(np.real(x) < 0, x, -x)),
    formula=lambda x1, x2: np.where((np.real(x1) < 0) == (np.real(x2) < 0), x1, -x1),
    autograd=None,
    **REAL,
)
operation(
    "nextafter",
    any_pair,
    *[at(what, *shapes) for what, shapes in BROADCAST.items()],
    formula=lambda x1, x2: x1 + 0 * x2,  # but for rounding
    **REAL,
)
for _name in ("fmax", "fmin"):
    binary(
        _name,
        draws=(apart(0), apart(0.14)),
        numbers=(0.07,),
        formula=lambda x1, x2, less=_name == "fmin": np.where((np.real(x1) < np.real(x2)) == less, x1, x2),
        **REAL,
    )


def near(*values: float) -> Callable:
    """Draws numbers of either sign, at most 0.03 from these."""
    return lambda rng, shape: (
        rng.choice([-1.0, 1.0], shape) * (rng.choice(values, shape) + rng.uniform(-0.03, 0.03, shape))
    )


for _name, _round in {"remainder": np.floor, "fmod": np.trunc}.items():
    binary(
        _name,
        draws=(near(0.3, 0.7, 1.3, 2.6), near(1, 2)),  # the fractions of all quotients are between 0.1 and 0.9
        numbers=(1.7,),
        formula=lambda x1, x2, round=_round: x1 - x2 * round(np.real(x1) / np.real(x2)),
        **({"autograd": None} if _name == "fmod" else {}),
        **REAL,
    )

# Of three arrays


def clip(x, low, high):
    """np.clip for complex numbers: where the bounds cross, the upper one wins."""
    x = x if low is None else np.where(np.real(x) < np.real(low), low, x)
    return x if high is None else np.where(np.real(x) > np.real(high), high, x)


def bounds(*choices: float) -> Callable:
    """Draws from these bounds, at least 0.05 apart from each other and from the multiples of 0.3 of `apart(0)`."""
    return lambda rng, shape: rng.choice(choices, shape)


def any_clip(choose: Choose) -> Example:
    which = choose.one_of(["arrays", "numbers", "from below", "from above"])
    if which == "arrays":  # with bounds that may cross
        draws = apart(0), bounds(-0.75, -0.45, 0.15), bounds(0.05, 0.35, 0.65)
        return at(which, *choose.broadcast(3), draws=draws)
    params = {"numbers": (-0.45, 0.35), "from below": (-0.45, None), "from above": (None, 0.35)}[which]
    return at(which, choose.any_shape(), params=params, draws=apart(0))


def clip_calls(what: str, low: float | None, high: float | None) -> list[Example]:
    """Calls with numbers for bounds: one for each shape in `ONE`."""
    how = {"params": (low, high), "draws": apart(0.16)}
    first, *rest = ONE
    return [first | how | {"what": what}, *[one | how | {"what": f"{what}/{one['what']}"} for one in rest]]


operation(
    "clip",
    any_clip,
    *clip_calls("numbers", -1.0, 1.0),
    *clip_calls("one-sided", None, 1.0),
    at(
        "",
        (3, 4),
        (4,),
        (3, 1),
        draws=(
            apart(0),
            lambda rng, shape: apart(0.14)(rng, shape) - 0.9,
            lambda rng, shape: apart(0.07)(rng, shape) + 0.9,
        ),
    ),
    at("bounds that cross", (3, 4), (3, 4), (3, 4), draws=(apart(0), apart(0.14), apart(0.07))),
    formula=clip,
    compared=("numbers", at("one-sided", autograd=None), at("", autograd=None)),
    **REAL,
)


def any_sample(choose: Choose) -> Example:
    mean, log_std = choose.broadcast(2)
    return at("", mean, log_std, np.broadcast_shapes(mean, log_std))


operation(
    "gaussian_sample",
    any_sample,
    at("", (3, 2), (2,), (3, 2), third=True),
    at("broadcast", (1, 2), (3, 2), (3, 2), third=True),
    spelled=lambda xp, mean, log_std, noise: mean + xp.exp(log_std) * noise,
    function=mg.gaussian_sample,
    compared=("", "broadcast"),
)

CHECKERS = (np.indices((3, 2)).sum(0) % 2 == 0,)
NUMBER_LAST = {"spelled": lambda xp, x, condition: xp.where(condition, x, 0.5)}
NUMBER_FIRST = {"spelled": lambda xp, x, condition: xp.where(condition, 0.5, x)}


def any_where(choose: Choose) -> Example:
    condition, *several = choose.broadcast(3)
    constants = (choose.mask(condition),)
    which = choose.one_of(["two arrays", "a number first", "a number last"])
    if which == "two arrays":
        return at(which, *several, constants=constants)
    how = NUMBER_FIRST if which == "a number first" else NUMBER_LAST
    return at(which, several[0], constants=constants, **how)


movement(
    "select",
    any_where,
    at("", (3, 2), (3, 2), constants=CHECKERS),
    at("default", (3, 2), constants=CHECKERS, spelled=lambda xp, x, c: xp.select([c, ~c], [x, 2 * x], 0.5)),
    spelled=lambda xp, x1, x2, condition: xp.select([condition, ~condition], [x1, x2]),
    compared=("",),
    torch=None,
    autograd=None,
)
movement(
    "where",
    any_where,
    at("", (3, 2), (3, 2), constants=CHECKERS),
    at("broadcast", (2,), (3, 1), constants=CHECKERS),
    at("0-d", (), (), constants=CHECKERS),
    at("number", (3, 2), constants=CHECKERS, **NUMBER_LAST),
    spelled=lambda xp, x1, x2, condition: xp.where(condition, x1, x2),
    compared=("", at("of a comparison", (3, 4), (4,), spelled=lambda xp, x1, x2: xp.where(x1 > 0, x1 * x2, x2 * x2))),
)
