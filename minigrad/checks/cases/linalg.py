"""Products, factorisations, determinants."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad.checks.cases import formulas
from minigrad.checks.cases.registry import REAL, case, definite, regular, same, signed

MATMULS = {
    "": ((2, 3), (3, 4)),
    "row": ((3,), (3, 2)),
    "column": ((2, 3), (3,)),
    "vectors": ((3,), (3,)),
    "batch": ((2, 2, 3), (2, 3, 2)),
    "batch left": ((2, 2, 3), (3, 2)),
    "batch right": ((2, 3), (2, 3, 2)),
    "batches broadcast": ((2, 1, 2, 3), (3, 3, 1)),
    "batch and column": ((2, 2, 3), (3,)),
    "empty": ((2, 0), (0, 3)),
    "no rows": ((0, 3), (3, 2)),
}
for _what, _shapes in MATMULS.items():
    same("matmul", lambda xp, a, b: xp.matmul(a, b), *_shapes, what=_what)
same("dot", lambda xp, a, b: xp.dot(a, b), (2, 3), (4, 3, 2))
same("dot", lambda xp, a, b: xp.dot(a, b), (), (2, 3), what="number")
same("tensordot", lambda xp, a, b: xp.tensordot(a, b), (2, 3, 4), (3, 4, 2))
same("tensordot", lambda xp, a, b: xp.tensordot(a, b, ((0, -1), (1, 0))), (2, 3, 4), (4, 2, 3), what="axes")
same("tensordot", lambda xp, a, b: xp.tensordot(a, b, 0), (2,), (3,), what="none")
same("outer", lambda xp, a, b: xp.outer(a, b), (2, 2), (3,))
EINSUMS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,jk,kl": ((2, 3), (3, 2), (2, 2)),
    "ii": ((3, 3),),
    "ii->i": ((3, 3),),
    "iij->j": ((2, 2, 3),),
    "ij->j": ((2, 3),),
    "ij,k->ik": ((2, 3), (2,)),
    "...ij,...jk->...ik": ((2, 1, 2, 3), (3, 3, 2)),
    "i...,i...->...": ((3, 2, 1), (3, 4)),
    "ij,ij->i": ((3, 1), (3, 4)),
    "ij,jk": ((2, 1), (3, 2)),
    "i,i,i->i": ((3,), (3,), (1,)),
    "ij,ij->": ((2, 3), (2, 3)),
    "ji": ((2, 3),),
    "iji,jkk->kj": ((2, 3, 2), (3, 2, 2)),
    ",i->i": ((), (3,)),
    "ij->": ((0, 3),),
}
for _subscripts, _shapes in EINSUMS.items():
    case(
        f"einsum/{_subscripts}",
        lambda *xs, s=_subscripts: mg.einsum(s, *xs),
        lambda *xs, s=_subscripts: np.einsum(s, *xs),
        *[(shape, signed) for shape in _shapes],
        third=len(_shapes) == 3,
    )
case("inv", mg.inv, np.linalg.inv, ((3, 3), regular), ties=False, third=True)
case("inv/batch", mg.inv, np.linalg.inv, ((2, 2, 2), regular), ties=False)
SOLVES = {
    "": ((3, 3), (3, 2)),
    "vector": ((3, 3), (3,)),
    "batch": ((2, 2, 2), (2, 2, 1)),
    "batch left": ((2, 2, 2), (2, 3)),
    "batch right": ((2, 2), (3, 2, 1)),
}
for _what, _shapes in SOLVES.items():
    case(
        f"solve/{_what}" if _what else "solve",
        mg.solve,
        np.linalg.solve,
        (_shapes[0], regular),
        (_shapes[1], signed),
        ties=False,
        third=not _what,
    )
case("cholesky", mg.cholesky, formulas.cholesky, ((3, 3), definite), ties=False, third=True, **REAL)
case("cholesky/batch", mg.cholesky, formulas.cholesky, ((2, 2, 2), definite), ties=False, **REAL)
case("det", mg.det, np.linalg.det, ((3, 3), regular), ties=False, third=True)
case("det/batch", mg.det, np.linalg.det, ((2, 2, 2), regular), ties=False)
case("det/batches", mg.det, np.linalg.det, ((2, 3, 2, 2), regular), ties=False)


def _log_det(a):
    return np.log(np.linalg.det(a) * np.sign(np.linalg.det(a.real)))


case("logabsdet", lambda a: mg.slogdet(a).logabsdet, _log_det, ((3, 3), regular), ties=False, third=True, **REAL)
case("logabsdet/batch", lambda a: mg.slogdet(a)[1], _log_det, ((2, 2, 2), regular), ties=False, **REAL)
case("logabsdet/batches", lambda a: mg.slogdet(a)[1], _log_det, ((2, 3, 2, 2), regular), ties=False, **REAL)
case(
    "slogdet",
    lambda a: mg.slogdet(a)[0] * mg.slogdet(a)[1],
    lambda a: _log_det(a) * np.sign(np.linalg.det(a.real)),
    ((3, 3), regular),
    ties=False,
    **REAL,
)
