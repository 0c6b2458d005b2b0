"""Collectives: operations between processes that each run the same program on their own part of the data.

    mpiexec -n 4 python train.py

Every process computes the loss on its own examples, and `all_sum` adds the losses up. The question is what the
derivative of that is. Write the sum over processes as what it is, a function of all their values:

    y = x₀ + x₁ + …      so with one cotangent ȳ,   x̄ᵣ = ȳ   on every process r

The transpose of "sum" is "copy". A parameter w that all processes share goes the other way: it is one value, copied to
all of them, and used differently by each. The transpose of "copy" is "sum":

    xᵣ = w               so                         w̄ = x̄₀ + x̄₁ + …

Each of the two is an operation, and each is the other's transpose:

    def loss(w):                                        w is the same everywhere
        w = mg.collectives.replicate(w)                 … and now used by each process on its own examples
        return mg.collectives.all_sum(f(w, examples))   the same number everywhere

    mg.grad(loss)(w)                                    the gradient of the whole sum, the same everywhere

Other engines have a single operation, all-reduce, and must choose its derivative: all-reduce again, or the identity.
Both are wrong here. For f = (w·x)² on two processes with x = 1.5 and 2, and w = 0.824, the gradient of the sum is
2w(x₀² + x₁²) = 10.3, but

    all_sum with …                                      gradient of w on the two processes
    its transpose, and replicate                        10.30   10.30
    itself as transpose, without replicate               7.42   13.18     (twice each process's own part)
    the identity as transpose, without replicate         3.71    6.59     (each process's own part)

See jax#3970, pytorch#58005 and Megatron-LM#559. The table of all operations is in `operations`, with their rules. Since
they are ordinary linear operations, forward mode, higher derivatives, `mg.jit` and `mg.checks.check_grads` work as for
any other, as long as all processes call them in the same order.

Reverse mode knows which values are shared: inputs of a derivative, and results of `all_sum` and `all_gather`. If one
reaches `all_sum` without `replicate`, a ShareError says so, on any number of processes, also on one. For an input that
each process has its own of, say so with `own(x)`. A function may return a value that each process has its own of: then
the derivative is that of the sum over processes.

Sums have the same bits on every process. With `sum_shards` they have the same bits on any number of processes: the
terms are then those of shards, into which the work is cut in the same way whatever their number (`shards`).

`start()` joins the processes that mpiexec or Slurm started (with mpi4py, `pip install 'minigrad[mpi]'`); without it
there is one process. Arrays on GPUs go from GPU to GPU if each process has its own (`minigrad.backends.cuda.nccl`).
`run_in_threads` has threads play the processes:

>>> import minigrad as mg
>>> from minigrad.collectives import all_sum, rank, replicate, run_in_threads
>>> x = [1.5, 2.0]
>>> loss = lambda w: all_sum((replicate(w) * x[rank()]) ** 2)
>>> [round(float(g), 3) for g in run_in_threads(lambda: mg.grad(loss)(0.824), 2)]
[10.3, 10.3]
"""

from minigrad.collectives.group import PeerError, current, from_first, join, rank, size
from minigrad.collectives.mpi import GroupError, start
from minigrad.collectives.operations import (
    ShareError,
    all_gather,
    all_sum,
    broadcast,
    own,
    owned_nodes,
    reduce_scatter,
    replicate,
    sum_shards,
)
from minigrad.collectives.threads import run_in_threads

__all__ = [
    "GroupError",
    "PeerError",
    "ShareError",
    "all_gather",
    "all_sum",
    "broadcast",
    "current",
    "from_first",
    "join",
    "own",
    "owned_nodes",
    "rank",
    "reduce_scatter",
    "replicate",
    "run_in_threads",
    "size",
    "start",
    "sum_shards",
]
