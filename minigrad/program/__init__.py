"""Programs: run a function once, keep what it did, and do that again without Python deciding anything.

`capture` writes down every primitive, `passes` leave out what is not needed, `layout` gives each result a place in one
block of memory, `replay` runs the list in those places, `jit` keeps a program for each kind of arguments. Derivatives
are captured like anything else, since they are made of the same primitives. The engine above knows nothing of it.
"""

from minigrad.program.capture import CaptureError, trace
from minigrad.program.jit import jit
from minigrad.program.program import Program

__all__ = ["CaptureError", "Program", "jit", "trace"]
