"""The figures of a result as properties of a JUnit test case: `gentest.<label>.<field>`, unrounded.

Its own module because each format of a report has one.
"""

from __future__ import annotations

from gentest.report import facts
from gentest.results.result import Result

PREFIX = "gentest."


def properties(label: str, result: Result) -> list[tuple[str, str]]:
    """Names and values. Fields that the result lacks are left out.

    >>> from gentest.results.result import Margins, Search, Verdict
    >>> result = Result("t", "lit()", Verdict.NO_COUNTEREXAMPLE, search=Search(300, margin=Margins(0.25, 0.5)))
    >>> properties("lit", result)[:4]
    [('gentest.lit.verdict', 'no_counterexample'), ('gentest.lit.property', 'lit()'), ('gentest.lit.probes', '300'), \
('gentest.lit.margin', '0.25')]
    """
    fields = {
        "verdict": result.verdict.value,
        "property": result.property,
        "message": result.message or None,
        **_evidence(result),
        "margin": facts.smallest_margin(result),
        "images": result.images,
        "seconds": result.seconds,
        "gate": None if result.gate is None else facts.standing(result.gate),
        "replay": None if result.counterexample is None else result.counterexample.replay,
    }
    if result.prior:
        fields |= {"prior": result.prior, "truncation": result.truncation, "seed": result.seed}
    return [(f"{PREFIX}{label}.{name}", str(value)) for name, value in fields.items() if value is not None]


def _evidence(result: Result) -> dict[str, object]:
    """The figures of a rate, a distribution or a search."""
    rate, distribution = result.rate, result.distribution
    if rate is not None:
        return {
            "probes": rate.probes,
            "passes": rate.passes,
            "rate": rate.passes / rate.probes if rate.probes else None,
            "rate_low": rate.low,
            "rate_high": rate.high,
            "rate_each_end": rate.each_end,
            "rate_certified": rate.certified,
            "log_holds": rate.log_holds,
            "log_violated": rate.log_violated,
            "needed_holds": rate.needed_holds,
            "needed_violated": rate.needed_violated,
            "distinct": rate.distinct,
            "inputs": rate.inputs,
        }
    if distribution is not None:
        return {"probes": distribution.n, "mmd2": distribution.mmd2, "p": distribution.p}
    return {"probes": result.examples, "distinct": result.distinct, "inputs": result.inputs}
