"""Records of a level: how far the mean score of an attribute may move from a baseline's, and what became of it.

`same_level` compares the two sides of a pair, and has the record `gentest.results.result.Level`. Here, the other side
is a blessed checkpoint, of which only scores are kept.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass

from gentest.results.records import Confidence, Count, Evidence, Spread


@dataclass(frozen=True)
class Allowed:
    """How far a level may move to one side."""

    by: Spread
    in_sd: bool
    """True if `by` counts standard deviations of the baseline's scores; else it is in the attribute's units."""

    def of(self, sd: float) -> float:
        """The distance in the attribute's units.

        >>> Allowed(0.5, in_sd=True).of(0.1), Allowed(0.5, in_sd=False).of(0.1)
        (0.05, 0.5)
        """
        return self.by * sd if self.in_sd else self.by


@dataclass(frozen=True)
class LevelLimits:
    """What `level` declares: an attribute, and how far its level may fall and rise; None for any distance."""

    attribute: str
    falls_by: Allowed | None = None
    rises_by: Allowed | None = None

    def inconsistency(self) -> str:
        """Refuse limits that limit nothing."""
        return "" if self.falls_by or self.rises_by else f"nothing limits the level of {self.attribute}"


@dataclass(frozen=True)
class LevelClaim:
    """The level of an attribute against the baseline's, on the same latents. Figures are in the attribute's units."""

    attribute: str
    candidate: float
    """The mean score of the candidate's outputs."""
    latents: Count
    """Latents that were evaluated when the test stopped."""
    sd: Spread
    """The standard deviation of the baseline's scores; of the candidate's own, if there is no baseline."""
    falls_by: Spread | None
    """How far the level may fall; None for any distance."""
    rises_by: Spread | None
    """How far the level may rise; None for any distance."""
    stored: Count = 0
    """Latents of which the baseline keeps the score."""
    reference: float | None = None
    """The mean score of the baseline's outputs of the same latents; None if there is nothing to compare with."""
    low: float = 0.0
    """The lower bound of the difference of the levels, valid whenever the test is stopped."""
    high: float = 0.0
    """The upper bound of the difference of the levels, valid whenever the test is stopped."""
    each_end: Confidence = 0.0
    """The confidence of `low`, and that of `high`."""
    log_within: Evidence = 0.0
    """The logarithm of the evidence that the level did not move so far, as odds."""
    log_beyond: Evidence = 0.0
    """The logarithm of the evidence that it fell, or rose, as odds."""
    needed_within: Evidence = 0.0
    needed_beyond: Evidence = 0.0

    @builtins.property
    def difference(self) -> float:
        """The candidate's level less the baseline's; 0 if there is nothing to compare with."""
        return 0.0 if self.reference is None else self.candidate - self.reference
