"""Verdicts on a property, standings against a baseline, and the one outcome that follows from either.

Everything that colours, sorts, counts or exits by pass and fail goes by `Outcome`.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from enum import Enum


class Outcome(str, Enum):
    """The meaning of a result for its test and for the run, worst first."""

    ERROR = "error"
    """Nothing was decided: the generator, an attribute or the property itself failed."""
    FAILED = "failed"
    """Something speaks against the property: a counterexample, a refuted rate, a regression."""
    UNDECIDED = "undecided"
    """Nothing speaks against the property, and too little for it."""
    PASSED = "passed"
    """The property holds on everything that was checked."""

    @builtins.property
    def severity(self) -> int:
        """A number to sort by: 0 for the worst."""
        return list(Outcome).index(self)

    @builtins.property
    def exit_status(self) -> int:
        """The exit status of a command that ends with this outcome."""
        return {Outcome.PASSED: 0, Outcome.FAILED: 1, Outcome.ERROR: 1, Outcome.UNDECIDED: 3}[self]

    @staticmethod
    def worst(outcomes: Iterable[Outcome]) -> Outcome:
        """The worst of some outcomes; `PASSED` if there are none."""
        return min(outcomes, key=lambda outcome: outcome.severity, default=Outcome.PASSED)


class Verdict(str, Enum):
    """The decision of a check about a property."""

    VIOLATED = "violated"
    """gentest found and confirmed a counterexample; or, for a property at a rate, refuted the rate."""
    NO_COUNTEREXAMPLE = "no_counterexample"
    """Every probe that was tried holds. It does not say how often the property holds elsewhere."""
    HOLDS = "holds"
    """The rate is certified, less its slack; or, in a finite latent space, the property holds on every input."""
    UNDECIDED = "undecided"
    """The budget of probes ran out before the rate was certified or refuted."""
    ERROR = "error"
    """Nothing was decided: the generator, an attribute or the property itself failed."""

    @builtins.property
    def outcome(self) -> Outcome:
        """The outcome of the verdict alone, without a baseline."""
        return {
            Verdict.VIOLATED: Outcome.FAILED,
            Verdict.NO_COUNTEREXAMPLE: Outcome.PASSED,
            Verdict.HOLDS: Outcome.PASSED,
            Verdict.UNDECIDED: Outcome.UNDECIDED,
            Verdict.ERROR: Outcome.ERROR,
        }[self]


RATE_VERDICTS = (Verdict.VIOLATED, Verdict.UNDECIDED, Verdict.HOLDS)
"""The verdicts that a rate can have, worst first: the worst of several rates decides for all."""


class Standing(str, Enum):
    """How a candidate compares with the baseline, in one property or in all."""

    HELD = "held"
    """Certified: its rate has not fallen by the tolerance. Or its distribution was not found further away."""
    REGRESSED = "regressed"
    """Certified among all claims: its rate has fallen."""
    UNDECIDED = "undecided"
    """The baseline's probes ran out, or the baseline does not have the property."""

    @builtins.property
    def outcome(self) -> Outcome:
        """The outcome of the standing alone."""
        return {
            Standing.HELD: Outcome.PASSED,
            Standing.REGRESSED: Outcome.FAILED,
            Standing.UNDECIDED: Outcome.UNDECIDED,
        }[self]
