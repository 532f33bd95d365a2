"""The words for figures of all outputs: what was asked, what was found, and how sure it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gentest.report import estimates, facts, markdown, page, run_facts, terminal
from gentest.results.estimate import Bounding, OverallEstimate
from gentest.results.result import Result, Verdict

FIGURES = (0.5, 0.319, 0.681, 0.99, 80, 4096, 0.01, Bounding.ANY_TIME, 0.3, 0.7, 40, 80)
SHARE = OverallEstimate(Verdict.HOLDS, "share with lit >= 0.5", *FIGURES)
CODES = OverallEstimate(
    Verdict.VIOLATED, "share of 256 codes in use (outputs)", 0.5, 0.5, 0.8637, 0.99, 544, 4096, 0.01,
    Bounding.ANY_TIME, at_least=0.9, counted=128, of=256,
)  # fmt: skip
SPREAD = OverallEstimate(
    Verdict.UNDECIDED, "spread", 0.49091, 0.41467, 0.56921, 0.99, 256, 256, 0.01, Bounding.BOOTSTRAP, at_least=0.5
)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            CODES,
            "violated: the share of 256 codes in use (outputs) is not at least 90 %: 128 of 256, 50 % [50 %, 86.4 %], "
            "each end 99 %, 544 outputs",
        ),
        (
            SPREAD,
            "undecided: the spread may be at least 0.5: 0.4909 [0.4146, 0.5693], each end about 99 % by bootstrap, "
            "256 outputs",
        ),
        (
            replace(SHARE, verdict=Verdict.UNDECIDED, drawn=4096, arm="label=3", at_least=None),
            "undecided: the share with lit >= 0.5 may be at most 70 % (label=3): 40 of 80, 50 % [31.9 %, 68.1 %], "
            "each end 99 %, applied to 80 of 4096 outputs, budget 4096 outputs",
        ),
    ],
)
def test_a_figure_is_one_sentence(found: OverallEstimate, text: str) -> None:
    assert estimates.sentence(found) == text


def test_a_share_is_rounded_against_its_verdict() -> None:
    third = replace(SHARE, counted=1, of=3, outputs=3, value=1 / 3)
    assert estimates.value(third) == "33.3 %"
    assert estimates.value(replace(third, verdict=Verdict.VIOLATED, at_least=0.4)) == "33.4 %"
    assert estimates.value(replace(third, verdict=Verdict.VIOLATED, at_least=None, at_most=0.1)) == "33.3 %"


def test_groups_are_listed() -> None:
    arms = tuple(replace(SHARE, arm=f"label={i}") for i in range(12))
    listed = estimates.groups(replace(SHARE, arms=arms))
    assert listed.startswith("label=0 50 % [31.9 %, 68.1 %] holds, label=1 ")
    assert listed.endswith("and 2 more")
    assert estimates.groups(SHARE) == ""


@pytest.mark.parametrize("found", [SHARE, CODES, SPREAD])
def test_every_report_has_the_figure(found: OverallEstimate) -> None:
    result = Result("test_it", "share(lit)", found.verdict, estimate=found)
    figure = f"{estimates.value(found)} {estimates.bounds(found)}"
    assert facts.measure(result) == figure
    assert facts.probes(result) == f"{found.outputs:,}"
    assert estimates.sentence(found) in facts.notes(result, str, verbose=False)
    assert estimates.sentence(found) in facts.headline(result)
    assert markdown.cell(figure) in "\n".join(markdown.table([result]))
    assert estimates.value(found) in page.section(result)
    assert estimates.sentence(found) in " ".join(terminal.failure(result, "").split())
    assert result.figures()["estimate"] == found.value
    assert run_facts.share_that_holds(result) == 1.0 - found.distance
