"""How good are the tests? Damage every derivative rule, one at a time, and see whether a test fails.

    python -m tests.mutation              # from the root of the project

A *mutant* is the engine with one mistake in one rule. The project's tests judge it: a mutant under which none fails
*survives*, and shows a mistake that could be made tomorrow without anybody noticing. `mutants` lists them, made by
`damages` (of what a rule gets and gives) and `source` (of its text); `suite` runs the tests; `equivalent` lists the
mutants that are no mistakes, each with the reason.
"""
