"""Control flow in programs: `scan`, `while_loop` and `cond`, each one instruction, however many steps there are.

The functions that a user passes are captured once, as graphs of one step (`bodies`). What they use from outside becomes
an operand, so it has a derivative, too. A loop is a call that interpreters see as a whole (`Interpreter.call`), and its
transforms are loops again:

    jvp     a loop of steps that push tangents
    vjp     forwards, a scan that also returns the state before each step; backwards, a scan of pullbacks from the last
            step to the first, in which each step runs again
    vmap    a loop of batched steps
    jit     one instruction, `control`, that replays programs of its steps

Without a program, steps run one after another, operation by operation.

In reading order: `bodies` (functions as graphs, and the instruction), `leaves`, `scan`, `loop`, `choice`.
"""

from minigrad.program.control.choice import cond
from minigrad.program.control.loop import while_loop
from minigrad.program.control.scan import scan

__all__ = ["cond", "scan", "while_loop"]
