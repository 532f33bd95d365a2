"""The record of a figure of all outputs together: `share`, `uses_codes`, and `gentest.statistic`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gentest.results.outcome import RATE_VERDICTS, Verdict
from gentest.results.records import Confidence, Count, Share


class Bounding(str, Enum):
    """How sure the bounds of a figure are."""

    ANY_TIME = "any time"
    """Each end errs with a probability of at most 1 less its confidence, whenever the test stops."""
    BOOTSTRAP = "bootstrap"
    """Each end errs about as often, by resampling: nothing is promised for few outputs."""


@dataclass(frozen=True)
class OverallEstimate:
    """A figure of all outputs together, its bounds, and the range in which it has to lie.

    HOLDS says that both bounds lie in the range, VIOLATED that both lie on one side of it.
    """

    verdict: Verdict
    figure: str
    """The figure in words, such as `share with is_woman >= 0.5`."""
    value: float
    low: float
    high: float
    each_end: Confidence
    """The confidence of `low`, and that of `high`."""
    outputs: Count
    """Outputs behind the figure: those to which the property applies."""
    budget: Count
    """Outputs that might have been made."""
    alpha: Share
    """The largest probability of a wrong verdict."""
    bounding: Bounding
    at_least: float | None = None
    """The lower end of the range; None if any value is large enough."""
    at_most: float | None = None
    """The upper end of the range; None if any value is small enough."""
    counted: Count | None = None
    """For a share, the number of which `value` is a share: outputs that score so, or codes that were seen."""
    of: Count | None = None
    """The number of all of them: `outputs`, or codes. None for a figure that is no share."""
    drawn: Count | None = None
    """Outputs that were made to find those to which the property applies; None if it applies to all."""
    arm: str = ""
    """The name of this figure among several: the value of a label."""
    arms: tuple[OverallEstimate, ...] = ()
    """All figures, if there are several. The figures above are then those of the worst."""

    def inconsistency(self) -> str:
        """Name a verdict that a figure cannot have, or counts that do not match."""
        if self.drawn is not None and self.drawn < self.outputs:
            return f"{self.outputs} outputs of {self.drawn} that were made"
        if (self.of is None) != (self.counted is None) or (self.counted or 0) > (self.of or 0):
            return f"{self.counted} of {self.of}"
        return "" if self.verdict in RATE_VERDICTS else f"a figure of all outputs cannot be {self.verdict.value}"

    @property
    def distance(self) -> float:
        """How far the figure is outside its range; 0 inside."""
        below = 0.0 if self.at_least is None else self.at_least - self.value
        above = 0.0 if self.at_most is None else self.value - self.at_most
        return max(below, above, 0.0)
