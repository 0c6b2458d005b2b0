"""Programs: a function is run once and recorded as a graph, which is replayed without running the function again.

In reading order. What a program is:

    graph        pure data: numbered slots, and instructions that fill one slot each
    signature    the kinds of arguments that a graph was captured with
    capture      records every primitive that a function applies to its arguments
    passes       constant folding, common subexpressions, dead code
    program      the object that a user prints, calls and pickles
    jit          a program for each kind of arguments

Loops and choices as one instruction:

    control/     scan, while_loop and cond, whose derivatives are loops and choices again

What both executors use:

    views        the memory that a slot shows, with strides and an offset
    buffers      the memory planner: how long an array is needed, and where it is stored
    cost         arithmetic and memory traffic of an instruction
    tuning       the sizes that decide how a program runs, in one record
    calls        forward formulas and compiled kernels bound to arrays
    elementwise  which instructions a generated kernel can compute
    fusion       which elementwise instructions are computed together, what is stored, and in which order
    lowering     launches, and the loops of generated kernels

cpu/, for NumPy:

    tiling       how one instruction becomes several, along rows
    schedule     which instructions run together, part by part
    chains       the elementwise instructions of a region as kernels that a C++ compiler makes
    overwrite    which results are written over donated arguments
    scratch      offsets of arrays that exist for one part at a time
    parts        how rows are shared between threads, and in which order sums over rows are added up
    plan         all of these decisions for one graph
    arrays       memory, and views into it
    recycling    memory of results, reused once nobody can see it any more
    binding      the calls of a plan on arrays at given addresses
    threads      runs tasks in parallel
    executor     takes the arrays of a run, and makes the calls that are bound to them

gpu/, for a device that replays recorded launches:

    epilogues    what a product does to its result before storing it
    placement    where results are stored
    arguments    where arguments are read
    executor     binds launches to memory, records them and replays them

Derivatives are captured like anything else, since they consist of the same primitives. Core and operations do not
depend on programs.
"""

from minigrad.program.capture import CaptureError, trace
from minigrad.program.control import cond, scan, while_loop
from minigrad.program.jit import jit
from minigrad.program.program import Program, release_memory

__all__ = ["CaptureError", "Program", "cond", "jit", "release_memory", "scan", "trace", "while_loop"]
