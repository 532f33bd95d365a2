"""The verdict of `well_formed` in the light of a whole run: what other properties met counts against it.

`well_formed` searches single samples for outputs that are not finite or not in range. Other properties look at more
latents: the 16 samples of `diverse`, the places along a path. They take valid outputs for granted, so an invalid one is
an error there, with a replay string. It also refutes `well_formed` of the same generator, which must not stay green.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gentest.results.outcome import Verdict
from gentest.results.result import BrokenOutput, Result


def refutes(broken: BrokenOutput, result: Result) -> bool:
    """True if an output that another property met refutes a result that found no counterexample.

    The property says that every output is valid, and is about the same generator, prior and range. A rate allows some
    invalid outputs, and a search of all inputs of a finite space is certain, so neither is refuted.

    >>> from gentest.results.result import Provenance, Search
    >>> found_none = Result("t", "well_formed()", Verdict.NO_COUNTEREXAMPLE, search=Search(300), valid_within=1e-3,
    ...                     provenance=Provenance(subject="5f3a"))
    >>> broken = BrokenOutput("t", "diverse(pixels(), at_least=0.01)", "1f", "diverse:1f", 7, 16, 192, 192, 0.0, "5f3a")
    >>> refutes(broken, found_none), refutes(replace(broken, subject="0000"), found_none)
    (True, False)
    """
    if result.valid_within is None or result.rate is not None:
        return False
    if result.verdict not in (Verdict.NO_COUNTEREXAMPLE, Verdict.UNDECIDED) or result.replayed:
        return False
    is_invalid = bool(broken.not_finite) or broken.excess > result.valid_within
    return is_invalid and bool(broken.subject) and broken.subject == result.provenance.subject


def in_light_of(result: Result, met: Sequence[BrokenOutput]) -> Result:
    """The result; violated if one of the invalid outputs that others met refutes it.

    A single sample of the prior replays in the name of `well_formed` itself; a latent among several in the name of the
    property that met it.
    """
    broken = next((broken for broken in met if refutes(broken, result)), None)
    if broken is None:
        return result
    if broken.n_places == 1:
        broken = replace(broken, replay=f"well_formed:{broken.probe}")
    return replace(result, verdict=Verdict.VIOLATED, broken=broken)


def is_refuted(result: Result) -> bool:
    """True for a result that an invalid output refutes, which another property met."""
    return result.broken is not None and result.verdict is Verdict.VIOLATED


def of_a_run(results: Sequence[Result]) -> list[Result]:
    """The results of a run, each in the light of the invalid outputs that the others met."""
    met = broken_outputs(results)
    return [in_light_of(result, met) for result in results]


def broken_outputs(results: Sequence[Result]) -> list[BrokenOutput]:
    """The invalid outputs that stopped a property of some results."""
    return [r.broken for r in results if r.broken is not None and r.verdict is Verdict.ERROR]
