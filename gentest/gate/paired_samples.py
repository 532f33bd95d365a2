"""Two samples of one property, of a baseline and of a candidate: whether they compare, and how their outcomes do.

The decision of a gate compares them, and so does the engine, which stops making outputs once the comparison fires.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gentest.results.comparison import Sample, Terms
from gentest.results.records import LARGEST, applies, unpack
from gentest.stats.paired import Comparable, Paired, comparable, compare

SAME_SPREAD = 1e-6
"""The relative difference up to which two standard deviations are the same unit."""


def outcomes(sample: Sample) -> NDArray[np.bool_]:
    """For each of a sample's probes to which the property applies, True if it holds."""
    return np.array([margin >= 0 for margin in unpack(sample.margins, "margins") if applies(margin)], dtype=np.bool_)


def incomparable(baseline: Sample, candidate: Sample) -> str:
    """Why two samples cannot be compared; empty if they can."""
    if baseline.space != candidate.space:
        return f"the baseline's latent space is {baseline.space}, the generator's {candidate.space}"
    if baseline.seed != candidate.seed:
        return (
            f"the baseline's probes are of seed {baseline.seed}, these of seed {candidate.seed}: "
            "check the candidate with --gentest-baseline, which takes the baseline's"
        )
    for name, theirs in baseline.measures.items():
        ours = candidate.measures.get(name, theirs)
        if theirs != ours:
            return f"{name} was measured by the CLIP {theirs or 'none'} in the baseline, and by {ours or 'none'} now"
    if baseline.python == candidate.python:
        for name in baseline.codes.keys() & candidate.codes.keys():
            before_code, code = baseline.codes[name], candidate.codes[name]
            if not code or not before_code:
                return (
                    f"{name} has a part that cannot be read, so nobody can say that it is what it was in the baseline: "
                    "name that part with the attribute gentest_identity"
                )
            if code != before_code:
                return f"{name} is not what it was in the baseline: its code, its weights or its values have changed"
    if baseline.look is not None and candidate.look is not None:
        before, now = baseline.look.embeddings, candidate.look.embeddings
        for name in before.keys() & now.keys():
            if (before[name].dim, before[name].clip) != (now[name].dim, now[name].clip):
                return f"{name} of the outputs is by another CLIP, or of another size, than the baseline's"
    for name, spread in baseline.spreads.items():
        measured = candidate.spreads.get(name, spread)
        if abs(measured - spread) > SAME_SPREAD * spread:
            return (
                f"sd(...) of {name} was {spread:.4g} in the baseline and {measured:.4g} here: check the candidate with "
                "--gentest-baseline, which takes the baseline's"
            )
    return ""


def compare_outcomes(baseline: ArrayLike, candidate: ArrayLike, terms: Terms) -> tuple[Comparable, Paired]:
    """The outcomes of a baseline's margins [N] and a candidate's [n <= N] on the same probes, and the test of them."""
    both = comparable(baseline, candidate, applies_below=LARGEST)
    paired = compare(
        both.baseline,
        both.candidate,
        tolerance=terms.tolerance,
        alpha=terms.alpha,
        claims=terms.claims,
        candidates=terms.checkpoints,
    )
    return both, paired
