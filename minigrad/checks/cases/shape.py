"""Operations that move elements around."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad.checks.cases.registry import case, same, signed
from minigrad.core.interpreter import primitives

same("reshape", lambda xp, x: xp.reshape(x, (2, -1)), (3, 4))
same("reshape", lambda xp, x: xp.reshape(x, (1, 1)), (), what="0-d")
same("reshape", lambda xp, x: xp.reshape(x, (3, 0)), (0, 2), what="empty")
same("ravel", lambda xp, x: xp.ravel(x), (3, 4))
same("ravel", lambda xp, x: xp.ravel(x), (0, 4), what="empty")
same("transpose", lambda xp, x: xp.transpose(x), (2, 3, 4))
same("transpose", lambda xp, x: xp.transpose(x, (-1, 0, -2)), (2, 3, 4), what="negative axes")
same("transpose", lambda xp, x: xp.transpose(x), (), what="0-d")
same("swapaxes", lambda xp, x: xp.swapaxes(x, 0, -1), (2, 3, 4))
same("moveaxis", lambda xp, x: xp.moveaxis(x, 0, -1), (2, 3, 4))
same("moveaxis", lambda xp, x: xp.moveaxis(x, (0, -1, 1), (-1, 1, 0)), (2, 3, 4, 2), what="several axes")
same("expand_dims", lambda xp, x: xp.expand_dims(x, (0, -1)), (2, 3))
same("squeeze", lambda xp, x: xp.squeeze(x), (1, 3, 1))
same("squeeze", lambda xp, x: xp.squeeze(x, -1), (1, 3, 1), what="one axis")
same("broadcast_to", lambda xp, x: xp.broadcast_to(x, (2, 3, 4)), (3, 1))
same("broadcast_to", lambda xp, x: xp.broadcast_to(x, (2, 0)), (1,), what="empty")
same("broadcast_to", lambda xp, x: xp.broadcast_to(x, (2, 3)), (), what="0-d")
case(
    "sum_to",
    lambda x: primitives["sum_to"](x, shape=(3, 1)),
    lambda x: x.sum(0).sum(1, keepdims=True),
    ((2, 3, 4), signed),
)
case("sum_to/same", lambda x: primitives["sum_to"](x, shape=(3,)), lambda x: x, ((3,), signed))
same("copy", lambda xp, x: xp.copy(x), (2, 3))
same("copy", lambda xp, x: xp.copy(x), (), what="0-d")
case("astype", lambda x: mg.astype(x, np.float64), lambda x: x, ((2, 3), signed), float32=False, holomorphic=False)
same("zeros_like", lambda xp, x: x + xp.zeros_like(x), (2, 3))
same("ones_like", lambda xp, x: x * xp.ones_like(x), (2, 3))

same("concatenate", lambda xp, *xs: xp.concatenate(xs, -1), (2, 3), (2, 1), (2, 2))
same("concatenate", lambda xp, *xs: xp.concatenate(xs, None), (2, 3), (1,), (), what="raveled")
same("concatenate", lambda xp, *xs: xp.concatenate(xs), (2, 3), (0, 3), what="empty")
same("concatenate", lambda xp, x: xp.concatenate([x, 2 * x, x]), (2, 3), what="itself")
same("stack", lambda xp, *xs: xp.stack(xs, -2), (2, 3), (2, 3))
same("stack", lambda xp, *xs: xp.stack(xs), (), (), what="0-d")
same("split", lambda xp, x: xp.concatenate(xp.split(x, 3, 1)[::-1], 0), (2, 6))
same("split", lambda xp, x: xp.concatenate(xp.split(x, [1, 4], -1)[::2], 1), (2, 6), what="at indices")
same("flip", lambda xp, x: xp.flip(x), (2, 3))
same("flip", lambda xp, x: xp.flip(x, -1), (2, 3), what="one axis")
same("roll", lambda xp, x: xp.roll(x, 2), (2, 3))
same("roll", lambda xp, x: xp.roll(x, (1, -4), (0, 1)), (3, 4), what="two axes")
same("repeat", lambda xp, x: xp.repeat(x, 3, axis=-1), (2, 3))
same("repeat", lambda xp, x: xp.repeat(x, [2, 0, 1], axis=1), (2, 3), what="each its own")
same("repeat", lambda xp, x: xp.repeat(x, 2), (2, 3), what="raveled")
same("tile", lambda xp, x: xp.tile(x, 2), (2, 3))
same("tile", lambda xp, x: xp.tile(x, (2, 1, 3)), (2, 3), what="new axis")
same("tril", lambda xp, x: xp.tril(x), (3, 4))
same("tril", lambda xp, x: xp.tril(x, 1), (2, 3, 3), what="batch")
same("triu", lambda xp, x: xp.triu(x, -1), (4, 3))
for _mode in ("constant", "edge", "reflect", "symmetric", "wrap"):
    same("pad", lambda xp, x, mode=_mode: xp.pad(x, ((1, 2), (0, 3)), mode=mode), (3, 4), what=_mode)
same("pad", lambda xp, x: xp.pad(x, 1), (3, 2))
same("pad", lambda xp, x: xp.pad(x, ((0, 1), (2, 1)), constant_values=0.5), (3, 2), what="with a number")
same("pad", lambda xp, x: xp.pad(x, (2, 1)), (0,), what="empty")
