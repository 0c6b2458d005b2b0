"""The core: how gradients work. Read the files in this order in one afternoon; each file uses only those above it.

    file                 lines  minutes
    arrays.py               65        4    shape and dtype of an array, and how messages print them
    errors.py               27        2    the errors that operations and derivatives raise
    origin.py               58        4    the operation and the line of user code that produced a value
    traits.py               87        6    what schedulers, kernel generators and checks know about an operation
    interpreter.py         303       25    primitives, traced values, and the interpreters that run them
    vectors.py             211       15    the operations on tangents and cotangents: add, multiply, broadcast, sum, …
    rules.py               342       30    four ways to state a derivative once, for both modes
    forward.py              71        8    forward mode: a value and its tangent
    batching.py            293       14    one call for many examples: how primitives take one more axis
    containers.py          189       10    how to flatten and rebuild one tuple, list, dict or dataclass
    tree.py                236       12    nested containers with arrays at the leaves
    guards.py               69        5    detecting arrays that were changed before their derivative was computed
    reverse.py             296       24    reverse mode: the tape and the backward pass
    arguments.py           117        6    integers, dtypes, and NumPy options that are not supported
    checkpoint.py          225       17    calls that run again in the backward pass, to save memory
    leaves.py               61        5    checks of what enters a derivative, copies of what leaves it
    transforms.py          207       18    grad, vjp, jvp
    transposition.py        80        4    the transpose of a linear function
    vmap.py                 97        5    mg.vmap
    matrices.py            180        9    jacobian, hessian, hvp, linearize
    custom_derivative.py   215       11    a derivative of one's own for one function
    printing.py             18        1    the functions through which `minigrad/show/` prints tapes and programs
    tape.py                 89        5    mg.Tape

Where do I …

    find the rule of conv2d   in `minigrad/ops/conv.py`: every rule is below its formula (the rules of the operations in
                              vectors.py are at the end of rules.py)
    add an operation          in a file of `minigrad/ops/`: formula, rule, batching and traits, as README.md shows;
                              then add an entry to `minigrad/checks/catalogue/`, so that it is checked
    add a kernel              in `minigrad/backends/cuda/`, in the file with the same name as its NumPy counterpart in
                              `minigrad/backends/numpy/`
    add a decoder             in `vae/likelihoods.py`, one class
    add a command             in `vae/cli/`, one file
    add a claim               in `vae/lecture/slides/`, one function; and in `tests/vae/lecture/planted/`, a mistake
                              that makes the claim fail

Code outside this package defines operations with the names below.
"""

from minigrad.core.batching import batched
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
    "batched",
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
