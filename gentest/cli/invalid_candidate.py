"""A candidate that gives an invalid output where the reference gives a valid one: it disagrees at any tolerance.

`agrees` takes valid outputs for granted, so such an output is an error there. `gentest compare` then asks this module
how often the candidate fails, and for the smallest latent on which it does.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.errors import GentestError
from gentest.generators.generator import Pair
from gentest.probes.families import points
from gentest.probes.probe import Probe
from gentest.properties.definition import Definition, Evidence
from gentest.properties.samples import well_formed
from gentest.results.outcome import Verdict
from gentest.results.result import BrokenOutput, Result
from gentest.results.settings import Values


class JudgingFailed(GentestError):
    """An error while outputs were made or judged: nothing was decided."""


class CandidateInvalid(JudgingFailed):
    """The candidate gave an output that is not finite or not in its range, at `probe`."""

    def __init__(self, message: str, probe: Probe) -> None:
        super().__init__(message)
        self.probe = probe


def failure_of(message: str, probe: Probe | str | object, *, own: bool) -> JudgingFailed:
    """The error to raise for a message; `own` is true if an output of the candidate is what was wrong."""
    if isinstance(probe, str):
        probe = Probe.parse(probe)
    return CandidateInvalid(message, probe) if own and isinstance(probe, Probe) else JudgingFailed(message)


def is_own(broken: BrokenOutput | None, result: Result) -> bool:
    """True if an invalid output of the candidate, and not of the reference, ended a check of a pair."""
    return broken is not None and broken.subject == result.provenance.subject


def valid_where_reference_is() -> Definition:
    """The candidate of a pair is `well_formed` on each latent on which the reference is."""
    valid = well_formed()

    def margin(evidence: Evidence) -> Tensor:
        own, other = valid.margin(evidence), valid.margin(evidence.reference)
        return torch.where(other >= 0.0, own, torch.ones_like(own))

    return Definition("well_formed", points(), margin, total=True, compares=True, note=valid.note)


def check_reference(failed: CandidateInvalid, pair: Pair, context: Context, values: Values) -> None:
    """Raise `JudgingFailed` if the reference is invalid on the same latent: there is nothing to compare."""
    question = Question(well_formed(), label="well_formed", replay=failed.probe, looks=False, begins=False)
    result = check(question, pair.reference, context, values)
    if result.verdict is Verdict.VIOLATED:
        raise JudgingFailed(
            f"at probe {failed.probe} both models give an output that is not finite or not in range, so there is "
            "nothing to compare (gentest.well_formed() looks for such outputs)"
        )
    if result.verdict is Verdict.ERROR:
        raise JudgingFailed(result.message)


def raw_differences(evidence: Evidence) -> list[float]:
    """The difference of each output from the reference's in its unit, infinite where the candidate is invalid.

    Raises `InvalidOutput` for an output of the reference.
    """
    other = evidence.reference.images[:, 0].flatten(1)
    differences = (evidence.outputs[:, 0].flatten(1) - other).abs().amax(1) / evidence.reference.unit
    is_valid = well_formed().margin(evidence) >= 0.0
    return torch.where(is_valid, differences, torch.full_like(differences, inf)).double().tolist()
