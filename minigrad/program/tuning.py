"""Tuning: every size that decides how a program is run, but not what it computes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Sizes for planners and executors. The defaults suit a desktop CPU and a data-centre GPU.

    They decide in which parts sums and products are added up; on the CPU, all other results are the same to the bit.
    """

    # passes
    largest_constant: int = 1 << 16  # bytes: a larger result of constants alone is computed in every run

    # buffers
    alignment: int = 64  # bytes: a cache line; every buffer begins at a multiple of it
    smallest_search: int = 1 << 12  # bytes: for a smaller buffer, the best place is not worth a search

    # cpu
    threads: int | None = None  # at most; None: as many as the BLAS library uses
    worth_region: int = 1 << 12  # elements: a result with fewer is not worth a region of its own
    largest_sum: int = 1 << 16  # bytes: a larger sum is not added up part by part if it can be computed by its own rows
    part: int = 1 << 23  # bytes that a part has in flight: a core's share of the last-level cache
    shortest_product: int = 32  # rows of a part with products in it: with fewer, BLAS is slow
    worth_threads: float = 1e4  # nanoseconds a call: with shorter ones, threads mostly wait for Python's lock
    flop: float = 0.02  # nanoseconds a floating-point operation takes on one core, roughly
    byte: float = 0.05  # nanoseconds a byte read or written takes on one core, roughly
    small_result: int = 1 << 14  # bytes: a smaller result is copied out rather than bound anew in every run

    # gpu
    costly: int = 8  # cost of an element of a costly formula, or of a random number; of any other formula, 1
    shared_cost: int = 16  # cost of an element: what costs more is stored if it is read more than once
    longest_chain: int = 256  # cost of an element: what costs more is stored in any case
    most_arguments: int = 500  # buffers of one generated kernel: CUDA takes parameters of 4096 bytes
    factors: tuple[int, ...] = (2, 3, 4)  # of a depth-to-space that a convolution does as it stores its result
    warm_ups: int = 2  # runs before a program is recorded, which compile and load what it needs


DEFAULT = Tuning()
