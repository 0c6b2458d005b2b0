"""Control flow in programs: `scan`, `while_loop` and `cond`, each one instruction, however many steps there are.

The functions that a user passes are captured once, as graphs of one step (`bodies`). What they use from outside becomes
an operand, so it has a derivative, too. A loop is a call that interpreters see as a whole (`Interpreter.call`), and its
transforms are loops again:

    jvp     a loop of steps that push tangents
    vjp     forwards, a scan that also returns what the pullback of each step needs; backwards, a scan of pullbacks,
            from the last step to the first
    vmap    a loop of batched steps
    jit     one instruction, `control`, that replays programs of its steps

Without a program, steps run one after another, operation by operation.

In reading order: `bodies` (functions as graphs), `instruction`, `leaves`, `scan`, `residuals` (its pullback), `loop`,
`choice`, `kept` (functions inside with a derivative of their own).
"""

from minigrad.program.control.choice import cond
from minigrad.program.control.loop import while_loop
from minigrad.program.control.scan import scan

__all__ = ["cond", "scan", "while_loop"]
