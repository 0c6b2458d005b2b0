"""Showing what a function did: tapes and programs as lines of text, a computation and its derivative as a picture."""

from minigrad.show import program, tape  # noqa: F401  (they register how programs and tapes are printed)
