"""Spaces of every kind, small enough for any test."""

from __future__ import annotations

import numpy as np

import gentest

BANK = np.arange(12.0).reshape(6, 2)

CONTINUOUS = [gentest.Normal(8), gentest.Uniform(8), gentest.TruncatedNormal(8), gentest.Sphere(8)]

SPACES = [
    *CONTINUOUS,
    gentest.Normal((2, 3, 5)),
    gentest.Uniform(3, low=-1, high=4),
    gentest.Sphere((4, 4), radius=1),
    gentest.Empirical(BANK),
    gentest.Normal(8).truncated(0.5),
    gentest.Joint(z=gentest.Normal(8), label=gentest.Categorical(10), w=gentest.Empirical(BANK)),
]
