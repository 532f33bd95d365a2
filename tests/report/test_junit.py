"""JUnit properties of a result: its figures, unrounded, under the property's label; what it lacks is left out."""

from __future__ import annotations

from gentest.report.junit import properties
from gentest.results.result import Verdict
from tests.helpers.drawn import failed
from tests.helpers.handmade import outcomes, result


def test_a_search_gives_its_verdict_and_figures() -> None:
    found = dict(properties("lit", result(outcomes(64), property="lit()")))
    assert found["gentest.lit.verdict"] == "no_counterexample"
    assert found["gentest.lit.property"] == "lit()"
    assert float(found["gentest.lit.margin"]) == 0.1
    assert not {"gentest.lit.replay", "gentest.lit.gate", "gentest.lit.message"} & set(found)


def test_a_violation_gives_what_replays_it() -> None:
    shown = failed()
    assert shown.verdict is Verdict.VIOLATED
    assert shown.counterexample is not None
    assert dict(properties("b", shown))["gentest.b.replay"] == shown.counterexample.replay


def test_every_name_and_value_is_text_under_the_label() -> None:
    for name, value in properties("a label", failed()):
        assert name.startswith("gentest.a label.")
        assert value
        assert isinstance(value, str)
