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
('gentest.lit.violations', '0')]
    """
    fields: dict[str, object] = {
        "verdict": result.verdict.value,
        "property": result.property,
        "message": result.message or None,
        **{name: value for name, value in result.figures().items() if name != "passed"},
        "gate": None if result.gate is None else facts.standing(result.gate),
        "replay": result.replay or None,
    }
    if result.kept is not None:
        fields["kept_outputs"] = result.kept.n
    if result.prior:
        fields |= {"prior": result.prior, "truncation": result.truncation, "seed": result.seed}
    return [(f"{PREFIX}{label}.{name}", str(value)) for name, value in fields.items() if value is not None]
