"""A property's margins on a seed's independent probes: all that a baseline keeps, or as many as a gate needs.

Against a baseline the same probes are evaluated in the same order until the paired test fires. It looks at them at
places of its own (`gentest.stats.paired.LOOK`): what it decides does not depend on the batch size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gentest.results.comparison import Sample, Terms
from gentest.results.records import unpack
from gentest.stats.paired import compare


def margins(take: Callable[[int, int], list[float]], n: int, *, block: int) -> list[float]:
    """The margins of the first `n` probes; `take` gives those of probes `start` to `start + n`."""
    taken: list[float] = []
    while len(taken) < n:
        taken += take(len(taken), min(block, n - len(taken)))
    return taken


def margins_against(
    baseline: Sample, take: Callable[[int, int], list[float]], terms: Terms, *, block: int
) -> list[float]:
    """The margins of the baseline's probes until the comparison of outcomes fires, or all of them."""
    blessed = np.array(unpack(baseline.margins, "margins")) >= 0
    taken: list[float] = []
    while len(taken) < len(blessed):
        taken += take(len(taken), min(block, len(blessed) - len(taken)))
        paired = compare(
            blessed,
            np.array(taken) >= 0,
            tolerance=terms.tolerance,
            alpha=terms.alpha,
            claims=terms.claims,
            candidates=terms.checkpoints,
        )
        if paired.fired:
            return taken[: paired.probes]
    return taken
