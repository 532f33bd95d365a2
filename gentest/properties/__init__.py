"""What can be declared about a generator: each property is its probes and the margin by which it holds.

Every function here makes a `Definition` and evaluates nothing; the public properties of `gentest.decorators` are these,
with search, shrinking and reports around them.
"""
