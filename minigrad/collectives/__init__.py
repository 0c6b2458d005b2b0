"""Collectives: operations between processes that each run the same program on their own part of the data.

A whole program, `train.py`, which `mpiexec -n 2 python train.py` runs on two processes:

    import numpy as np
    import minigrad as mg
    from minigrad.collectives import all_sum, rank, replicate, size, start

    def train():
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(101, 3)), rng.normal(size=101)
        mine = slice(101 * rank() // size(), 101 * (rank() + 1) // size())  # the examples of this process

        def loss(w):
            w = replicate(w)  # the same on all processes, and now used by each on its own examples
            return all_sum(mg.sum((x[mine] @ w - y[mine]) ** 2)) / 101  # the same number on all

        w = np.zeros(3)
        for _ in range(100):
            w = w - 0.1 * mg.grad(loss)(w)  # the gradient of the whole loss, the same on all
        return w

    if __name__ == "__main__":
        start()
        w = train()
        if rank() == 0:
            print(w)

Start and end
-------------

`start()` makes this process a member of the group of those that mpiexec or Slurm started (with mpi4py, `pip install
'minigrad-autodiff[mpi]'`). Before it, and without a launcher, a process is alone: `rank()` is 0, `size()` is 1, and
nothing is added up. `run_in_threads(train, 2)` has threads play the processes, for instance in a notebook.

All processes must call the same operations in the same order, on arrays of the same shapes and dtypes; arrays of other
sizes or dtypes raise an error. After `start()`, an error that nobody catches, Ctrl-C included, ends all processes. If
one ends without the others, by returning early or by `sys.exit`, they get a PeerError as soon as they wait for it.
Before `start()`, they would wait for ever: so call it first.

The derivative of a sum over processes
--------------------------------------

`all_sum` is a function of the values of all processes, and its cotangent ȳ is the same everywhere:

    y = x₀ + x₁ + …       so       x̄ᵣ = ȳ   on every process r

The transpose of "sum" is "copy". A parameter w that all processes share goes the other way: it is one value, copied to
all of them, and used differently by each. The transpose of "copy" is "sum":

    xᵣ = w                so       w̄ = x̄₀ + x̄₁ + …

The copy is the operation `replicate`; `all_sum` and `replicate` are each other's transpose. Without `replicate`, no
derivative of `all_sum` gives the right gradient. For f = (w·x)² on two processes with x = 1.5 and 2, and w = 0.824, the
gradient of the sum is 2w(x₀² + x₁²) = 10.3, and the processes compute:

    derivative of all_sum   replicate    process 0   process 1
    copy                    yes              10.30       10.30
    copy                    no                3.71        6.59    each process's own part
    all_sum                 no                7.42       13.18    that times the number of processes

The second row is PyTorch's `distributed.all_reduce`; the third is its `distributed.nn.functional.all_reduce` and `psum`
in JAX's `pmap` (pytorch#58005, jax#3970). JAX's `shard_map` computes the first row: it has both operations.

Reverse mode takes some values to be the same on all processes: the inputs of a derivative, and the results of `all_sum`
and `all_gather`. If one reaches `all_sum` without `replicate`, a ShareError says so, also on a single process. If each
process has its own value of an input, say so with `own(x)`. If the function's result differs between processes, as when
`all_sum` is left out, the derivative is that of the sum of the results. If `replicate` is left out, too, each process
gets the derivative of its own result, without an error. `all_sum(mg.grad(own_loss)(w))` adds these up, in one sum for
a whole tree, while the transpose of `replicate` makes one for each array. (PyTorch's DistributedDataParallel does the
same, but divides by the number of processes.)

All operations, with their derivatives, are listed in `minigrad.collectives.operations`. They are linear operations like
any other, so forward mode, higher derivatives, `mg.jit` and `mg.checks.check_grads` work.

Data, noise and bits
--------------------

Parts of the data may have different sizes, as above: add up sums, and divide by the number of all examples. (An average
of each process's means would weight examples of a smaller part more.) For noise that does not depend on the number of
processes, draw each example's at its own position: `mg.random.normal(key, (n, d), offset=first * d)` is that of n
examples from `first` on. For a key of its own on each process, use `mg.random.fold_in(key, rank())`.

A sum has the same bits on every process. On another number of processes it may differ in the last bits, since other
terms are added up first; `sum_shards` gives the same bits on any number of processes.

Arrays on GPUs go from GPU to GPU if each process has its own (`minigrad.backends.cuda.nccl`).

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
