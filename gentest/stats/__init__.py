"""The statistics of verdicts: rates, a candidate against its baseline, drifts, many claims at once, two samples.

Pure functions on NumPy and SciPy that know nothing of generators, properties or probes. Outcomes and levels come in as
arrays, in the order they were drawn, and evidence comes out. Evidence is an e-process: a wager whose expectation is at
most 1 while the claim it bets against is true. It may be looked at any number of times, since the chance that it ever
reaches 1/alpha is at most alpha (Ville 1939; Ramdas et al. 2023, "Game-theoretic statistics and safe anytime-valid
inference").
"""
