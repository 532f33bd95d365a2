"""All that is said about levels against a baseline: those that a property declares, and those of a quick gate.

`facts` says what `same_level` found on a pair, whose other side is there to be asked.
"""

from __future__ import annotations

from gentest._support.printable import counted, noun
from gentest.report import numbers
from gentest.report.numbers import needed_odds, odds
from gentest.results.comparison import Comparison, Drift
from gentest.results.level_claim import LevelClaim
from gentest.results.outcome import Standing, Verdict


def limits(claim: LevelClaim) -> str:
    """How far the level may move.

    >>> limits(LevelClaim("brightness()", 0.5, 16, sd=0.2, falls_by=0.1, rises_by=None))
    'fall by 0.1 (0.5 sd)'
    """
    sides = (("fall", claim.falls_by), ("rise", claim.rises_by))
    return " or ".join(f"{word} by {by:.4g} ({by / claim.sd:.3g} sd)" for word, by in sides if by is not None)


def statement(claim: LevelClaim, verdict: Verdict) -> str:
    """How the level compares with the baseline's, with the bounds of the difference.

    >>> statement(LevelClaim("brightness()", 0.5, 256, sd=0.2, falls_by=0.1, rises_by=None), Verdict.HOLDS)
    'measured: level 0.5, sd 0.2, on 256 latents; a candidate may not fall by 0.1 (0.5 sd)'
    >>> against = {"stored": 256, "reference": 0.51, "low": -0.05, "high": 0.02, "each_end": 0.99}
    >>> statement(LevelClaim("brightness()", 0.5, 24, sd=0.2, falls_by=0.1, rises_by=None, **against), Verdict.HOLDS)
    'did not fall by 0.1 (0.5 sd): 0.5 against 0.51 on 24 of 256 latents, moved by -0.05 sd [-0.25 sd, +0.1 sd], \
each end 99 %'
    """
    if claim.reference is None:
        figures = f"measured: level {claim.candidate:.4g}, sd {claim.sd:.4g}, on {counted(claim.latents, 'latent')}"
        return f"{figures}; a candidate may not {limits(claim)}"
    moved = "fell" if claim.difference < 0 else "rose"
    words = {Verdict.HOLDS: f"did not {limits(claim)}", Verdict.VIOLATED: f"{moved}, and may not {limits(claim)}"}
    figures = (
        f"{words.get(verdict, f'not known whether it did {limits(claim)}')}: {claim.candidate:.4g} against "
        f"{claim.reference:.4g} on {claim.latents:,} of {claim.stored:,} latents, moved by {change(claim)} "
        f"{bounds(claim)}, each end {numbers.confidence(claim.each_end)}"
    )
    if verdict in words:
        return figures
    return (
        f"{figures}; evidence {odds(claim.log_within)} that it did not, needs {needed_odds(claim.needed_within)}; "
        f"{odds(claim.log_beyond)} that it moved, needs {needed_odds(claim.needed_beyond)}"
    )


def change(claim: LevelClaim) -> str:
    """The difference of the levels, in standard deviations of the baseline."""
    return f"{claim.difference / claim.sd:+.3g} sd"


def before_and_now(claim: LevelClaim) -> str:
    """The baseline's level and the candidate's; empty if there is nothing to compare with."""
    return "" if claim.reference is None else f"{claim.reference:.4g} -> {claim.candidate:.4g}"


def bounds(claim: LevelClaim) -> str:
    """The bounds of the difference, rounded outward."""
    low, high = numbers.signed(claim.low / claim.sd, 3, up=False), numbers.signed(claim.high / claim.sd, 3, up=True)
    return f"[{low} sd, {high} sd]"


def measure(claim: LevelClaim, *, with_bounds: bool) -> str:
    """The figure behind the verdict: the level, or its move since the blessing."""
    if claim.reference is None:
        return f"{claim.candidate:.4g}"
    return change(claim) + (f" {bounds(claim)}" if with_bounds else "")


def levels(comparison: Comparison) -> list[tuple[Standing, str]]:
    """A sentence for all levels of a quick gate with one standing, the worst first."""
    sentences: list[tuple[Standing, str]] = []
    for standing in (Standing.REGRESSED, Standing.UNDECIDED, Standing.HELD):
        alike = [drift for drift in comparison.levels if drift.standing is standing]
        if alike and standing is Standing.HELD:
            within = f"within {alike[0].tolerance:g} of the baseline's sd"
            sentences.append((standing, f"{within}: {', '.join(map(_held, alike))}"))
        else:
            sentences += [(standing, _sentence(drift, standing)) for drift in alike]
    return sentences


def _held(drift: Drift) -> str:
    on = f" on {drift.checkpoint}" if drift.checkpoint else ""
    return f"{drift.what.removeprefix('level of ')}{on} ({drift.probes} {noun(drift.probes, 'latent')})"


def _sentence(drift: Drift, standing: Standing) -> str:
    """A level that moved, or that is undecided, with its evidence."""
    on = f" on {drift.checkpoint}" if drift.checkpoint else ""
    by = f"{drift.mean or 0.0:+.2f} of the baseline's sd on {drift.probes} of {drift.stored} latents"
    worse = f"{odds(drift.log_evidence)} that it moved, needs {needed_odds(drift.needed)}"
    if standing is Standing.REGRESSED:
        return f"{drift.what}{on} moved: {by}; evidence {worse}; in {drift.tests[0]}"
    within = f"{odds(drift.log_held)} that it moved by less than {drift.tolerance:g} sd"
    return f"{drift.what}{on}: {by}; evidence {worse}; {within}, needs {needed_odds(drift.needed_held)}"
