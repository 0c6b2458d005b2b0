"""Mutation testing of the derivative rules: damage one rule at a time, and see whether a test fails.

    python -m tests.mutation              # from the root of the project

A *mutant* is the engine with one mistake in one rule. A test that fails *kills* it; a mutant that no test kills
*survives*, and shows a mistake that the tests would not detect. `mutants` lists all of them, made by `damages` (of the
inputs and outputs of a rule) and `source` (of its text); `suite` runs the tests; `equivalent` lists the mutants that
change no derivative, each with the reason.
"""
