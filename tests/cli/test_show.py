"""`gentest show`: it prints what the run printed, as text or Markdown, and exits as the run did."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gentest import cli
from gentest.gate import decision as gate
from gentest.gate.baseline import Baseline
from gentest.results.comparison import Terms
from gentest.results.document import Document
from gentest.results.result import Provenance, Result, Verdict
from tests.helpers import handmade
from tests.helpers.commands import BROKEN, FOUND, GOOD, HELD, SHORT, VIOLATED, WORSE, N, Run, gated
from tests.helpers.handmade import baseline, look, outcomes, result, signed, written


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([GOOD], 0),
        ([], 0),
        ([VIOLATED], 1),
        ([BROKEN], 1),
        ([replace(GOOD, verdict=Verdict.UNDECIDED)], 3),
        ([replace(GOOD, verdict=Verdict.UNDECIDED), VIOLATED], 1),
    ],
)
def test_show_exits_as_the_run_did(results: list[Result], status: int, run: Run) -> None:
    """0 where all passed, 1 where one is violated or failed, 3 where one is undecided."""
    written(Path("results.json"), results)
    found, out, err = run("show", "results.json")
    assert (found, err) == (status, "")
    assert f"{len(results)} propert" in out


def test_show_prints_what_the_run_printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A violation is shown with its path, and how to replay it."""
    monkeypatch.setenv("COLUMNS", "100")
    written(Path("results.json"), [VIOLATED])
    _, out, _ = run("show", "results.json")
    assert f"{VIOLATED.property}: violated by 3 of 20 probes, worst margin -0.2" in out
    assert "brightness()  0.1 ▁█▃ 0.2" in out
    assert "replay   --gentest-replay between:1f" in out


@pytest.mark.parametrize(("results", "status"), [([HELD], 0), ([WORSE], 1), ([SHORT], 3), ([], 3)])
def test_show_says_what_the_gate_said(results: list[Result], status: int, run: Run) -> None:
    """A run against a baseline is shown with its comparison, and its exit status."""
    blessed = Baseline.load(Path("blessed.json"))
    found = gate.decide(results, blessed, Terms(claims=3))
    kept = [replace(r, gate=c.gate, sample=None) for r, c in zip(results, found.properties, strict=True)]
    Path("results.json").write_text(json.dumps(Document(handmade.SESSION, tuple(kept), found).to_json()))
    shown, out, _ = run("show", "results.json")
    assert shown == status
    assert f"gate: {found.standing.value} (" in out


def test_show_of_a_baseline(run: Run) -> None:
    """A baseline is shown by who blessed it, and how each property does on it."""
    status, out, err = run("show", "blessed.json")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "blessed.json: gan.pt blessed by ann on 2026-11-24, seed 3",
        f"no_counterexample  256 of 256, 100.00%      test_a.py::test_a {GOOD.property}",
        f"brightness(): {json.loads(Path('blessed.json').read_text())['outputs']['gan Normal(8) 3']['brightness()']}",
    ]


def test_show_of_a_baseline_takes_its_figures_from_its_outcomes(run: Run) -> None:
    """What a person is shown is what the gate compares, not what the file says of it."""
    body = json.loads(Path("blessed.json").read_text())
    entry = next(iter(body["properties"].values()))
    del entry["holds"]
    body["outputs"] = {}
    Path("blessed.json").write_text(signed(body))
    status, out, err = run("show", "blessed.json")
    assert (status, err) == (0, "")
    assert "256 of 256, 100.00%" in out


HOSTILE = "a|b`c`<script>alert(1)</script>\n# x\r\ny\r[l](javascript:x) ![i](u) *b* _e_ ~~s~~ \\| &lt; $m$ @all"


def hostile(value: Result, **changed: Any) -> Result:
    """A result of which every name and message is hostile."""
    search = replace(value.search, counterexample=replace(FOUND, replay=HOSTILE))
    provenance = Provenance(checkpoint=HOSTILE)
    return replace(
        value, test=HOSTILE, property=HOSTILE, message=HOSTILE, search=search, provenance=provenance, **changed
    )


@pytest.mark.parametrize("command", ["show", "gate"])
def test_hostile_names_stay_text_in_markdown(command: str, run: Run) -> None:
    """Names with pipes, backticks, tags and line ends stay in their cell, and are nothing but text."""
    blessing = replace(handmade.BLESSING, by=HOSTILE, note=HOSTILE, checkpoint=HOSTILE)
    good = replace(result(outcomes(N), seen=look()), test=HOSTILE, property=HOSTILE)
    blessed = baseline(good, replace(good, test="gone" + HOSTILE), blessing=blessing)
    written(Path("blessed.json"), blessed)
    results = [hostile(WORSE, verdict=Verdict.VIOLATED), hostile(BROKEN)]
    if command == "gate":
        status, out, _ = gated(run, results, "--markdown")
    else:
        found = gate.decide(results, Baseline.load(Path("blessed.json")), Terms(claims=4))
        session = replace(handmade.SESSION, device=HOSTILE)
        Path("results.json").write_text(json.dumps(Document(session, tuple(results), found).to_json()))
        status, out, _ = run("show", "results.json", "--markdown")
    assert status == 1
    text = re.sub(r"^(````*)text$.*?^\1$", "", out, flags=re.MULTILINE | re.DOTALL)  # in a fence, all is text
    assert set(re.findall(r"<[^>]*>?", text)) == {"<details>", "<summary>", "</summary>", "</details>"}
    text = re.sub(r"^<details><summary>[^\n<]*</summary>\n$", "", text, flags=re.MULTILINE)  # so it is in HTML
    assert "\r" not in text
    lines = text.splitlines()
    assert not any(line.startswith("# ") for line in lines)
    widths: dict[str, set[int]] = {}
    head = ""
    for line in lines:
        if not line.startswith("|"):
            head = ""
            continue
        head = head or line
        cells = line.replace("\\\\", "").replace("\\|", "").strip("|").count("|")
        widths.setdefault(head, set()).add(cells)
    assert len(widths) == 2
    assert all(len(found) == 1 for found in widths.values())
    assert "](" not in text.replace("\\](", "")
    for line in lines:
        ticks = line.replace("\\\\", "").replace("\\`", "").count("`")
        assert ticks in (0, 2)


def test_markdown_of_results(run: Run) -> None:
    """A page of results alone has no gate, and the replay of what failed."""
    written(Path("results.json"), [VIOLATED])
    _, out, _ = run("show", "results.json", "--markdown")
    assert out.splitlines()[0] == "### gentest"
    assert "  replay   pytest --gentest test_a.py::test_a --gentest-replay between:1f" in out.splitlines()


@pytest.mark.parametrize("command", [["show", "results.json"], ["show", "results.json", "--markdown"]], ids=" ".join)
def test_a_terminal_of_few_characters_is_no_error(
    command: list[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where standard output cannot hold a sign or a name, it is escaped, and the exit status stays."""
    written(Path("results.json"), [replace(VIOLATED, provenance=Provenance(checkpoint="g\udcff"), test="模型")])
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert cli.main(command) == 1
    sys.stdout.flush()
    assert b"\\u6a21" in raw.getvalue()
