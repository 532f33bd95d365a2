"""What is looked at once, and the latents of it.

`probe` is the probe, `families` say how one becomes latents (points, segments, neighbours, steps), `ends` turns seeds
into the latents at a probe's ends, `shifts` moves those as an attack does, `ways` goes along a direction, and
`strategies` draws probes with Hypothesis.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["strategies"])
