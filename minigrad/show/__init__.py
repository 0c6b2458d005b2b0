"""What a function did: tapes and programs as text, a computation and its derivative as a picture."""

from minigrad.show import program, tape  # noqa: F401  (they register how programs and tapes print)
