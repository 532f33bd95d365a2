"""The words for a figure of all outputs together. Its own module because `facts` speaks of single results already.

No figure is rounded toward a claim: a lower bound is rounded down, an upper one up, and what was seen toward the end of
the range that it is compared with.
"""

from __future__ import annotations

from gentest.report import numbers
from gentest.results.estimate import Bounding, OverallEstimate
from gentest.results.outcome import Verdict

MAX_ARMS = 10
"""Groups of a figure that are listed in one line."""


def value(found: OverallEstimate) -> str:
    """The figure itself: a share in per cent, anything else in four digits."""
    if found.of is None or found.counted is None:
        return f"{found.value:.4g}"
    above = found.verdict is Verdict.VIOLATED and found.at_least is not None and found.value < found.at_least
    return numbers.observed(found.counted, found.of, up=above)


def bounds(found: OverallEstimate) -> str:
    """The bounds of a figure, rounded outward.

    >>> bounds(OverallEstimate(Verdict.HOLDS, "iqr", 0.5, 0.41237, 0.6, 0.99, 256, 256, 0.01, Bounding.BOOTSTRAP, 0.3))
    '[0.4123, 0.6]'
    """
    if found.of is not None:
        return numbers.bounds(found.low, found.high)
    return f"[{numbers.below(found.low, 4)}, {numbers.above(found.high, 4)}]"


def asked(found: OverallEstimate) -> str:
    """The range in which the figure has to lie: `between 30 % and 70 %`, `at least 0.2`."""
    low, high = (None if end is None else _threshold(found, end) for end in (found.at_least, found.at_most))
    if low is None or high is None:
        return f"at most {high}" if low is None else f"at least {low}"
    return f"between {low} and {high}"


def _threshold(found: OverallEstimate, end: float) -> str:
    return numbers.threshold(end) if found.of is not None else f"{end:.10g}"


def sentence(found: OverallEstimate) -> str:
    """The decision on a figure, with its bounds and how sure they are.

    >>> figures = (0.5, 0.319, 0.681, 0.99, 80, 4096, 0.01, Bounding.ANY_TIME, 0.3, 0.7, 40, 80)
    >>> found = OverallEstimate(Verdict.HOLDS, "share with lit >= 0.5", *figures)
    >>> print(sentence(found))
    holds: the share with lit >= 0.5 is between 30 % and 70 %: 40 of 80, 50 % [31.9 %, 68.1 %], each end 99 %
    """
    is_not = {Verdict.HOLDS: "is", Verdict.VIOLATED: "is not", Verdict.UNDECIDED: "may be"}[found.verdict]
    word = {Verdict.HOLDS: "holds", Verdict.VIOLATED: "violated", Verdict.UNDECIDED: "undecided"}[found.verdict]
    arm = f" ({found.arm})" if found.arm else ""
    parts = [f"{word}: the {found.figure} {is_not} {asked(found)}{arm}: {_figures(found)}"]
    parts += [f"each end {_sureness(found)}"]
    if found.of is None or found.of != found.outputs:
        parts.append(f"{found.outputs:,} outputs")
    if found.drawn is not None:
        parts.append(f"applied to {found.outputs or 'none'} of {found.drawn} outputs")
    if found.verdict is Verdict.UNDECIDED and found.bounding is Bounding.ANY_TIME:
        parts.append(f"budget {found.budget} outputs")
    return ", ".join(parts)


def _figures(found: OverallEstimate) -> str:
    counted = f"{found.counted:,} of {found.of:,}, " if found.counted is not None and found.of is not None else ""
    return f"{counted}{value(found)} {bounds(found)}"


def _sureness(found: OverallEstimate) -> str:
    about = "about " if found.bounding is Bounding.BOOTSTRAP else ""
    by = " by bootstrap" if found.bounding is Bounding.BOOTSTRAP else ""
    return f"{about}{numbers.confidence(found.each_end)}{by}"


def groups(found: OverallEstimate) -> str:
    """The figure of each group, as `label=0 50 % [32 %, 68 %]`; empty if there is only one."""
    shown = [f"{arm.arm} {value(arm)} {bounds(arm)} {arm.verdict.value}" for arm in found.arms[:MAX_ARMS]]
    more = [f"and {len(found.arms) - MAX_ARMS} more"] if len(found.arms) > MAX_ARMS else []
    return ", ".join([*shown, *more])
