"""Files of gentest 0.1 are still read, and the gate decides on them as 0.1 did.

`golden/` holds files of runs of examples/fashion with gentest 0.1: a baseline, a candidate that held, one that
regressed, and a run with an attack on CLIP in int8. Results are of schema 2, the baseline of schema 1.
"""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any

import pytest

from gentest import cli
from gentest.errors import InvalidArgument
from gentest.gate import decision
from gentest.gate.baseline import Baseline
from gentest.results.document import FLAT_SCHEMA, SCHEMA, Document
from gentest.results.outcome import Outcome, Standing, Verdict

GOLDEN = Path(__file__).parent / "golden"


def value(name: str) -> dict[str, Any]:
    """The JSON of a golden file."""
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", ["held", "regressed", "attacked"])
def test_results_of_schema_2_are_read(name: str) -> None:
    """Every field has the value that the file has, whichever group it is in now, and the document is written anew."""
    flat = value(name)
    assert flat["schema"] == FLAT_SCHEMA
    document = Document.from_json(flat)
    moved = {"generator_calls", "traceback", "counterexample", "worst", "margin", "rate", "gate", "radius", "attack"}
    for before, result in zip(flat["results"], document.results, strict=True):
        plain = result.to_json()
        for field in before.keys() - moved - {"sample", "distribution", "audit", "verdict", "screening"}:
            assert getattr(result, field) == before[field], field
        assert result.generator_calls == before["generator_calls"]
        assert plain["verdict"] == before["verdict"]
        if plain["sample"] is not None:
            assert (plain["sample"].pop("quick"), plain["sample"].pop("limits")) == (False, None)
        if plain["gate"] is not None:
            assert (plain["gate"].pop("own"), plain["gate"].pop("final")) == (False, True)
        assert [plain[name] for name in ("sample", "distribution", "audit", "attack")] == [
            before[name] for name in ("sample", "distribution", "audit", "attack")
        ]
        search = plain["search"]
        for counterexample in filter(None, (search["counterexample"], search["worst"])):
            assert counterexample.pop("entries") == {}, "which a file of schema 2 does not have"
            assert counterexample.pop("fewer_words") is None
            assert counterexample.pop("codes") == []
            assert counterexample.pop("coordinates") == {}
            assert (counterexample.pop("reducible"), counterexample.pop("alike")) == (True, None)
        assert [search[name] for name in ("counterexample", "worst", "margin")] == [
            before[name] for name in ("counterexample", "worst", "margin")
        ]
        for rate in filter(None, [plain["rate"], *(plain["rate"] or {}).get("arms", [])]):
            assert (rate.pop("worst"), rate.pop("n_values"), rate.pop("drawn")) == ([], None, None)
        assert plain["rate"] == before["rate"]
        assert plain["gate"] == before["gate"]
    again = json.loads(json.dumps(document.to_json()))
    assert again["schema"] == SCHEMA
    assert Document.from_json(again) == Document.from_json(flat)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "standings", "outcome"),
    [("held", {"held": 4}, Outcome.PASSED), ("regressed", {"held": 2, "regressed": 2}, Outcome.FAILED)],
)
def test_the_gate_decides_as_before(name: str, standings: dict[str, int], outcome: Outcome) -> None:
    """Each claim of the comparison has the evidence and the standing that 0.1 wrote."""
    document, baseline = Document.from_json(value(name)), Baseline.load(GOLDEN / "baseline.json")
    assert document.gate is not None
    compared = decision.decide(
        document.results,
        baseline,
        document.gate.terms,
        file=document.gate.unchanged[0] if document.gate.unchanged else "",
    )
    assert compared == document.gate
    counted = {standing: 0 for standing in standings}
    for one in compared.properties:
        counted[one.gate.standing.value] += 1
    assert counted == standings
    assert compared.outcome is outcome
    assert document.outcome is outcome


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("held", 0), ("regressed", 1), ("attacked", 1)])
def test_the_command_ends_as_before(name: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """`gentest show` and `gentest gate` have the exit status that they had."""
    file = str(GOLDEN / f"{name}.json")
    assert cli.main(["show", file]) == status
    if name != "attacked":
        assert cli.main(["gate", file, "--baseline", str(GOLDEN / "baseline.json")]) == status
    assert capsys.readouterr().err == ""


def test_thresholds_that_the_first_results_lack_are_filled_in() -> None:
    """A rate without thresholds has those of a single rate, and a gate without them those of a single checkpoint."""
    flat = value("regressed")
    names = ("needed_holds", "needed_violated", "each_end", "certified", "claims")
    for result in flat["results"]:
        for rate in filter(None, [result["rate"], *((result["rate"] or {}).get("arms") or ())]):
            for name in names:
                rate.pop(name)
        for name in ("needed_held", "each_end"):
            result["gate"].pop(name)
    for result in Document.from_json(flat).results:
        assert result.gate is not None
        assert (result.gate.needed_held, result.gate.each_end) == (log(100.0), 0.99)
        for rate in () if result.rate is None else (result.rate, *result.rate.arms):
            assert (rate.needed_holds, rate.needed_violated, rate.each_end, rate.claims) == (
                pytest.approx(log(100.0)),
                pytest.approx(log(100.0)),
                0.99,
                1,
            )
            assert rate.certified == (rate.p0 - rate.slack if rate.verdict is Verdict.HOLDS else None)
    assert any(r.gate and r.gate.standing is Standing.REGRESSED for r in Document.from_json(flat).results)


@pytest.mark.parametrize(
    "change",
    [{"results": 3}, {"results": [3]}, {"gate": 3}, {"gate": {"terms": 3, "properties": [3]}}, {"session": None}],
)
def test_a_wrong_file_of_schema_2_is_refused(change: dict[str, Any]) -> None:
    """Values of another type are refused by name, in this schema as in the current one."""
    with pytest.raises(InvalidArgument):
        Document.from_json({**value("attacked"), **change})
