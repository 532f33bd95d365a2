"""Properties: what a user can declare about a generator.

Each function returns a definition (probes and a margin) and evaluates nothing. `gentest.plugin.decorators` makes public
properties of them, with search, shrinking and reports.
"""
