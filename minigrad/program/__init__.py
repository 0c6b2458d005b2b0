"""Programs: run a function once, keep what it did, and do that again without Python deciding anything.

    capture    writes down every primitive that a function applies to its arguments
    passes     leave out what is not needed, done twice or the same in every run
    views      which memory a value shows, and in what order
    buffers    places in memory, reused by liveness; results over donated arguments
    calls      formulas bound to arrays
    jit        a program for each kind of arguments

cpu/, for NumPy:

    tiling     how one instruction becomes several, along rows
    schedule   what runs together, part by part
    plan       all of that for one program
    executor   calls bound to that memory, made over threads

gpu/, for a device that repeats recorded launches:

    elementwise  which instructions a generated kernel can compute
    epilogues    what a product does to its result before it stores it
    fusion       which elementwise instructions are computed together, what is stored, and in which order
    lowering     launches, and the loops of generated kernels
    placement    where results are stored
    arguments    where arguments are read
    executor     launches bound to memory, recorded and repeated

Derivatives are captured like anything else, since they are made of the same primitives. The engine knows nothing of it.
"""

from minigrad.program.capture import CaptureError, trace
from minigrad.program.jit import jit
from minigrad.program.program import Program

__all__ = ["CaptureError", "Program", "jit", "trace"]
