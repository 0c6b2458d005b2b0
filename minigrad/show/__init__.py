"""Showing what a function did: tapes and programs as lines of text, a computation and its derivative as a picture."""
