"""Every operation against the installed ones of PyTorch, JAX and HIPS/autograd: value, first and second derivatives.

The operations, and how each peer spells them, are in `minigrad.checks.catalogue`. Cotangents and tangents are random
and signed. Kinks and ties, where conventions differ, are in `test_peer_differences`.
"""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.checks.catalogue import OPERATIONS
from tests.support.checking import array_functions
from tests.support.peers import Derivatives, disagreements, with_each_peer

CONSTANT = set(
    "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not isnan isinf "
    "isfinite bitwise_and bitwise_or bitwise_xor invert any all count_nonzero argmax argmin argsort floor_divide "
    "searchsorted left_shift right_shift signbit isin matrix_rank".split()
)
UNCOMPARED = {"nextafter"}  # which no peer differentiates


@with_each_peer(case for entry in OPERATIONS.values() for case in entry.compared)
def test_derivatives_agree(peer, row, ours):
    f, theirs = ours.function(row), peer.function(row)
    args, rng = row.arguments(), row.generator("directions")
    y = f(*map(ours.array, args))
    u, *v = [np.asarray(rng.standard_normal(np.shape(x))) for x in (y, *args)]
    forward = peer.name not in row.backward_only
    if not forward:
        with pytest.raises(NotImplementedError):
            peer.derivatives(theirs, args, u, v)
    wrong = disagreements(ours.derivatives(f, args, u, v, forward), peer.derivatives(theirs, args, u, v, forward))
    assert not wrong, wrong


def test_every_operation_is_compared():
    """A new operation needs compared cases, or an entry in CONSTANT."""
    elsewhere = {"getitem", "at", "trace"}  # `x[...]`, a class, and a name that also captures programs
    compared = {entry.name for entry in OPERATIONS.values() if entry.compared}
    assert compared == array_functions() - CONSTANT - UNCOMPARED | elsewhere


@pytest.mark.parametrize("kind", Derivatives._fields)
def test_a_disagreement_is_found(kind):
    """A relative error of 2·10⁻¹⁰ in one entry of five fails, half of the tolerance passes."""
    x = np.array([1.0, -2.0, 0.5, 0.0, 1.0])
    right = Derivatives(*[(x,) for _ in Derivatives._fields])
    changed = lambda change: right._replace(**{kind: (x + change,)})
    assert disagreements(changed([0, 0, 0, 1e-10, 0]), right) == []
    for change in ([0, 0, 0, 4e-10, 0], [0, 0, np.nan, 0, 0], [0, np.inf, 0, 0, 0]):
        assert len(disagreements(changed(change), right)) == 1
