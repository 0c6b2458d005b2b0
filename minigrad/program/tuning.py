"""Tuning: the sizes that decide how a program runs and how many are kept, but not what is computed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Sizes for planners and executors. The defaults suit a desktop CPU and a data-centre GPU.

    They decide how sums and products are split, and so how these round. On the CPU, all other results keep their bits,
    and `threads` changes none.
    """

    # jit
    most_programs: int = 64  # of one function; those of the arguments used least recently are dropped

    # passes
    largest_constant: int = 1 << 16  # bytes: a larger result of constants alone is computed in every run

    # buffers
    alignment: int = 64  # bytes: a cache line; every buffer begins at a multiple of it
    smallest_search: int = 1 << 12  # bytes: for a buffer up to this size, the best place is not worth a search

    # cpu
    threads: int | None = None  # at most; None: as many as the BLAS library uses
    worth_compiling: int | None = 1 << 20  # elements computed by compiled formulas: with fewer, NumPy; None: never
    worth_region: int = 1 << 12  # elements: a result with fewer is not worth a region of its own
    largest_sum: int = 1 << 16  # bytes: a larger sum is not added up part by part if its own rows can be cut
    part: int = 1 << 23  # bytes that a part works on: a core's share of the last-level cache
    shortest_product: int = 256  # rows of a group that is mostly products: with fewer, BLAS is slow
    most_groups: int = 8  # of rows, if each fits into a part; no more threads can share them
    shortest_group: int = 16  # rows: of fewer, terms of a sum take longer to store than to compute
    worth_group: float = 1e6  # nanoseconds of a group's work for each sum: with less, terms take too long to add up
    worth_threads: float = 1e4  # nanoseconds per call: with shorter calls, threads mostly wait for Python's GIL
    flop: float = 0.02  # nanoseconds per floating-point operation on one core, roughly
    byte: float = 0.05  # nanoseconds per byte read or written on one core, roughly
    small_result: int = 1 << 14  # bytes: up to this size, results are copied rather than rebound in every run

    # gpu
    costly: int = 8  # cost per element of a costly formula or a random number; other formulas cost 1
    shared_cost: int = 16  # cost per element: a result that costs more is stored if it is read more than once
    longest_chain: int = 256  # cost per element: a result that costs more is always stored
    most_arguments: int = 500  # buffers of one generated kernel: CUDA allows 4096 bytes of parameters
    factors: tuple[int, ...] = (2, 3, 4)  # of a depth-to-space that a convolution can apply as it stores its result
    warm_ups: int = 2  # runs before a program is recorded, which compile and load its kernels


DEFAULT = Tuning()
