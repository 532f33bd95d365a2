"""Probes: small values that name the latents of one test case.

`probe` has the value, `families` turn one into latents (points, segments, neighbours, steps, a way along a direction),
`ends` turns seeds into the latents at a probe's ends, `shifts` moves those as an attack does, and `strategies` draws
probes with Hypothesis.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["strategies"])
