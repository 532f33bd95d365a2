"""What is looked at once, and the latents of it.

`probe` is the probe, `families` say how one becomes latents (points, segments, neighbours, steps), `ends` turns seeds
into the latents at a probe's ends, `shifts` moves those as an attack does, `ways` goes along a direction, and
`strategies` draws probes with Hypothesis.
"""
