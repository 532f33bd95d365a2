"""Properties: what a user can declare about a generator.

Each function returns a definition (probes and a margin) and evaluates nothing. `gentest.decorators` makes the public
properties of them, with search, shrinking and reports.
"""
