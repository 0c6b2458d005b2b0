"""Programs: run a function once, keep what it did, and do that again without Python deciding anything.

    capture    writes down every primitive that a function applies to its arguments
    passes     leave out what is not needed, done twice or the same in every run
    cuts       how one instruction becomes several, along rows
    regions    what runs together, part by part
    layout     places in memory, reused by liveness; results over donated arguments
    plan       all of that for one program
    calls      formulas bound to arrays
    replay     calls bound to that memory, made over threads
    jit        a program for each kind of arguments

and on a device that repeats recorded work, in place of cuts to replay:

    shown      which memory a value shows, and in what order
    fusion     which instructions become one launch
    endings    what a product does before it stores its result
    loops      the steps of a generated kernel
    recorded   launches bound to memory, recorded and repeated

Derivatives are captured like anything else, since they are made of the same primitives. The engine knows nothing of it.
"""

from minigrad.program.capture import CaptureError, trace
from minigrad.program.jit import jit
from minigrad.program.program import Program

__all__ = ["CaptureError", "Program", "jit", "trace"]
