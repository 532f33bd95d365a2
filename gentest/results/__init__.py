"""Frozen records of a check, of a counterexample and of a comparison, and their JSON.

`records` reads JSON into dataclasses and checks the range of each field, `result` is what one check came to and the
document of a whole run, `counterexample` a probe that violates, `comparison` a candidate against a baseline, `shown`
what a report draws. They decide nothing, and need the standard library only.
"""
