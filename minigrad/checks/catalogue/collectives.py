"""Operations between processes. All processes have the same arguments here, which each uses as its own value, so every
case is a function of the shared arguments whose derivative is the same everywhere, in a group of any size."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad.checks.catalogue.operation import any_array, at, operation
from minigrad.collectives import (
    all_gather,
    all_sum,
    broadcast,
    own,
    owned_nodes,
    rank,
    reduce_scatter,
    replicate,
    size,
    sum_shards,
)

SHARDS = 8  # per process


def sum_own(x):
    """Σᵣ (r + 1)·x: of each process r its own multiple of x."""
    return all_sum(replicate(x) * (rank() + 1))


def sum_parts(x):
    """Σ over shards s of (s + 1)·x, from the nodes that this process owns."""
    shards, mine = SHARDS * size(), replicate(x)
    return sum_shards([mine * sum(range(first + 1, last + 1)) for first, last in owned_nodes(shards)], shards)


def sum_to(n: int) -> int:
    """1 + 2 + … + n."""
    return n * (n + 1) // 2


def gather_own(x):
    """The multiples of `sum_own`, one after the other."""
    return all_gather(replicate(x) * (rank() + 1))


def scatter_own(x):
    """(r + 1)·x from process r, Σ (s + 1)·x in each row, of which row r is multiplied by 2r + 1."""
    rows = mg.stack([replicate(x) * (rank() + 1)] * size())
    return all_gather(reduce_scatter(rows) * (2 * rank() + 1))


operation(
    "all_sum",
    any_array,
    at("", (2, 3)),
    at("0-d", ()),
    at("empty", (0, 2)),
    at("of shards", (3,), function=sum_parts, formula=lambda x: sum_to(SHARDS * size()) * x),
    at("broadcast", (3,), function=lambda x: broadcast(replicate(x), size() - 1), formula=lambda x: x),
    function=sum_own,
    formula=lambda x: sum_to(size()) * x,
)
operation(
    "replicate",
    any_array,
    at("", (2, 3)),
    at("0-d", ()),
    function=lambda x: all_sum(replicate(x)),
    formula=lambda x: size() * x,
)
operation("own", any_array, at("", (2, 3)), at("0-d", ()), function=own, formula=lambda x: x)
operation(
    "all_gather",
    any_array,
    at("", (2, 3)),
    at("0-d", ()),
    function=gather_own,
    formula=lambda x: np.stack([x * (r + 1) for r in range(size())]),
)
operation(
    "reduce_scatter",
    any_array,
    at("", (2, 3)),
    at("0-d", ()),
    function=scatter_own,
    formula=lambda x: np.stack([sum_to(size()) * x * (2 * r + 1) for r in range(size())]),
)
