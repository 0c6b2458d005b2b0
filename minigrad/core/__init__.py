"""The core: how gradients work, to be read in one afternoon, in this order. Every file uses only those before it.

    file            lines  minutes
    arrays.py          53        3    shape, dtype, and how messages print an array
    errors.py          27        2    what operations and derivatives raise
    origin.py          57        4    which line of the user's program asked for a value
    traits.py          76        6    what schedulers, kernels and checks may know of an operation
    interpreter.py    229       25    primitives, traced values, and who decides what an operation does
    vectors.py        197       15    the operations that derivatives are made of: add, multiply, sum back, …
    rules.py          310       35    four ways to state a derivative once, for both modes
    forward.py         59        8    forward mode: a value and its tangent
    containers.py     188       12    how to open and rebuild a tuple, dict or dataclass
    tree.py           213       15    parameters as trees with arrays at the leaves
    guards.py          69        6    arrays that must not change before their derivative is computed
    reverse.py        216       25    reverse mode: the tape, and the walk back
    checkpoint.py     129       15    calls that run again instead of being kept
    arguments.py      104        5    integers, dtypes, and options of NumPy that are not offered
    leaves.py          59        5    what goes into a derivative and comes out of it
    transforms.py     182       20    grad, vjp, jvp
    matrices.py        95        8    jacobian, hessian, hvp
    printing.py        12        1    the function that `minigrad/show/` prints tapes and programs with
    tape.py            82        6    mg.Tape

Where do I …

    find the rule of conv2d   in `minigrad/ops/conv.py`: every rule stands under its formula (those of the operations
                              in vectors.py, at the end of rules.py)
    add an operation          in a file of `minigrad/ops/`: formula, rule and traits, as README.md shows; then its
                              entry in `minigrad/checks/catalogue/`, which has it checked
    add a kernel              in `minigrad/backends/cuda/`, beside its twin in the file of that name in
                              `minigrad/backends/numpy/`
    add a decoder             in `vae/likelihoods.py`, one class
    add a command             in `vae/cli/`, one file
    add a claim               in `vae/lecture/slides/`, one function; and a mistake that makes it fail, in
                              `tests/vae/lecture/planted/`

The names below are what an operation is written with outside this package.
"""

from minigrad.core.interpreter import (
    Eval,
    Interpreter,
    Primitive,
    Tracer,
    concrete,
    current,
    find_backend,
    primitive,
    primitives,
)
from minigrad.core.rules import bilinear, constant, custom, linear, partials

__all__ = [
    "Eval",
    "Interpreter",
    "Primitive",
    "Tracer",
    "bilinear",
    "concrete",
    "constant",
    "current",
    "custom",
    "find_backend",
    "linear",
    "partials",
    "primitive",
    "primitives",
]
