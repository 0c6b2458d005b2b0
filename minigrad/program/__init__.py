"""Programs: run a function once, keep what it did as a graph, and run that again without Python deciding anything.

In reading order. What a program is:

    graph        pure data: numbered slots, and instructions that fill one slot each
    signature    the kinds of arguments that a graph was captured with
    capture      writes down every primitive that a function applies to its arguments
    passes       constant folding, common subexpressions, dead code: a graph with less to do
    program      the face of all this, which a user prints, calls and pickles
    jit          a program for each kind of arguments

What both executors ask of a graph, and the sizes by which they decide:

    views        which memory a slot shows, with which strides and offset
    buffers      how long an array is needed, and where it lies
    cost         arithmetic and memory traffic of an instruction
    tuning       sizes, in one record
    calls        forward formulas bound to arrays

cpu/, for NumPy:

    tiling       how one instruction becomes several, along rows
    schedule     which instructions run together, part by part
    overwrite    which results go over donated arguments
    scratch      places for what exists for one part at a time
    plan         all of that for one graph
    arrays       memory, and views into it
    threads      tasks at the same time
    executor     calls bound to arrays, and made

gpu/, for a device that repeats recorded launches:

    elementwise  which instructions a generated kernel can compute
    epilogues    what a product does to its result before it stores it
    fusion       which elementwise instructions are computed together, what is stored, and in which order
    lowering     launches, and the loops of generated kernels
    placement    where results are stored
    arguments    where arguments are read
    executor     launches bound to memory, recorded and repeated

Derivatives are captured like anything else, since they are made of the same primitives. Core and operations know
nothing of programs.
"""

from minigrad.program.capture import CaptureError, trace
from minigrad.program.jit import jit
from minigrad.program.program import Program

__all__ = ["CaptureError", "Program", "jit", "trace"]
