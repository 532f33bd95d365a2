"""Figures of a result as the properties of a JUnit test case: `gentest.<label>.<field>`, unrounded."""

from __future__ import annotations

from gentest.report.figures import smallest, standing
from gentest.results.result import Result

PREFIX = "gentest."


def properties(label: str, result: Result) -> list[tuple[str, str]]:
    """Names and values; a field that the result has not is left out.

    >>> from gentest.results.result import Margins, Search, Verdict
    >>> result = Result("t", "lit()", Verdict.NO_COUNTEREXAMPLE, search=Search(300, margin=Margins(0.25, 0.5)))
    >>> properties("lit", result)[:4]
    [('gentest.lit.verdict', 'no_counterexample'), ('gentest.lit.property', 'lit()'), ('gentest.lit.probes', '300'), \
('gentest.lit.margin', '0.25')]
    """
    fields: dict[str, object] = {"verdict": result.verdict.value, "property": result.property}
    if result.message:
        fields["message"] = result.message
    if result.rate is not None:
        rate = result.rate
        fields |= {"probes": rate.probes, "passes": rate.passes, "rate_low": rate.low, "rate_high": rate.high}
        fields |= {"rate_each_end": rate.each_end, "rate_certified": rate.certified}
        fields |= {"log_holds": rate.log_holds, "log_violated": rate.log_violated}
        fields |= {"needed_holds": rate.needed_holds, "needed_violated": rate.needed_violated}
        fields |= {"distinct": rate.distinct, "inputs": rate.inputs}
        fields |= {"rate": rate.passes / rate.probes} if rate.probes else {}
    elif result.distribution is not None:
        fields |= {"probes": result.distribution.n, "mmd2": result.distribution.mmd2, "p": result.distribution.p}
    else:
        fields |= {"probes": result.examples, "distinct": result.distinct, "inputs": result.inputs}
    if (least := smallest(result)) is not None:
        fields["margin"] = least
    fields |= {"images": result.images, "seconds": result.seconds}
    if result.gate is not None:
        fields["gate"] = standing(result.gate)
    if result.prior:
        fields |= {"prior": result.prior, "truncation": result.truncation, "seed": result.seed}
    if result.counterexample is not None:
        fields["replay"] = result.counterexample.replay
    return [(f"{PREFIX}{label}.{name}", str(value)) for name, value in fields.items() if value is not None]
