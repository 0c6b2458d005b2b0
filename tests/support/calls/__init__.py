"""For every primitive and every public array function, what hypothesis may call it with.

`CALLS[name]` draws a `Case`: shapes (0-d, empty, of size 1, broadcast pairs), axes, indices, paddings, subscripts and
other parameters, with the plain formula to compare with. `laid_out` draws its arguments: dtypes, and how they lie in
memory. Values stay in the domain of the operation and away from its kinks; those have tests of their own.
"""

from tests.support.calls import arrange, constants, conv, elementwise, indexing, linalg, reduce, shape  # noqa: F401  (they register)
from tests.support.calls.registry import CALLS, laid_out

__all__ = ["CALLS", "laid_out"]
