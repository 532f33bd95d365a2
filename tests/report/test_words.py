"""What a run says against what it has recorded: terminal, page, Markdown, JUnit and JSON of real runs of pytest.

Each test is of one sentence: which threshold decides, what is certified, how a figure is rounded, how sure an interval
is, what was looked at. The same few runs serve all of them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import log
from pathlib import Path

import pytest

from gentest.gate.baseline import Baseline
from gentest.report import facts, markdown, numbers, run_facts
from gentest.results.comparison import Standing
from gentest.results.document import Document
from gentest.results.result import Rate, Result, Verdict
from tests.helpers.once import made_once
from tests.helpers.reading import flat, number, text_of

CONFTEST = """
import pytest, torch
import gentest

def grey(level):
    return level[:, None, None, None].expand(-1, 3, 4, 4)

@pytest.fixture(scope="session")
def shift():
    return 0.0

@pytest.fixture(scope="session")
def generator(shift):
    def draw(z, label):  # label 3 is dark on 12 % of latents, and each other one on 1 %
        dark = torch.special.ndtr(z[:, 0]) < torch.where(label == 3, 0.12, 0.01) + shift
        return grey(torch.where(dark, 0.0, 0.6) + 0.02 * z[:, 1].clamp(-3, 3))
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(10))
    return gentest.Generator(draw, latent=space, output_range=(-1, 1))

@pytest.fixture(scope="session")
def labels():
    def draw(label):
        return grey((label.float() + 1) / 4)
    return gentest.Generator(draw, latent=gentest.Categorical(3), output_range=(0, 1))
"""
OF_CHECKPOINTS = """
@pytest.fixture(scope="session")
def shift(gentest_checkpoint):
    return float(gentest_checkpoint.read_text())
"""
HEAD = """
import pytest, torch
import gentest

BRIGHT = gentest.brightness()
REFERENCE = torch.rand(300, 3, 4, 4, generator=torch.Generator().manual_seed(1))

@gentest.property(probes=gentest.points())
def lit(evidence, *, floor=0.55):
    return evidence.scores(BRIGHT)[:, 0] - floor
"""
TESTS = (
    HEAD
    + """
@gentest.settings(budget=40)
@lit().at_rate(0.9, each="label")
def test_each_label(generator):
    return generator

@lit().at_rate(0.9)
def test_holds(generator):
    return generator.truncated(0.7).given(label=2)

@gentest.settings(budget=60)
@lit().at_rate(0.97)
def test_too_few(generator):
    return generator

@lit(floor=0.81).at_rate(0.9)
def test_violated(generator):
    return generator

@gentest.settings(budget=41)
@lit(floor=-1.0).at_rate(0.9)
def test_odd_budget(generator):
    return generator

@gentest.settings(budget=3)
@lit().at_rate(0.9)
def test_no_budget(generator):
    return generator

@lit(floor=-1.0)
@lit(floor=-1.0).at_rate(0.9)
def test_labels(labels):
    return labels

@gentest.holds_within(lit(), radius=2.0).at_rate(0.8)
def test_within(generator):
    return generator.given(label=3)

@gentest.matches(REFERENCE, feature=gentest.pixels(), n=256)
def test_matches(labels):
    return labels
"""
)
RATED = (
    HEAD
    + """
@gentest.settings(examples=20)
@lit().at_rate(0.9)
@lit(floor=-1.0)
def test_lit(generator):
    return generator
"""
)
GATED = (
    RATED
    + """
@gentest.settings(examples=20)
@gentest.matches(REFERENCE, feature=gentest.pixels(), n=256)
def test_matches(labels):
    return labels
"""
)


@dataclass(frozen=True)
class Run:
    """A run of pytest: its status, what the terminal said, and the files that it wrote."""

    status: int
    terminal: str = field(repr=False)
    folder: Path

    @property
    def document(self) -> Document:
        """The run as its JSON has it."""
        return Document.from_json(json.loads((self.folder / "results.json").read_text(encoding="utf-8")))

    @property
    def page(self) -> str:
        """The text of the page."""
        return text_of((self.folder / "page.html").read_text(encoding="utf-8"))

    @property
    def markdown(self) -> str:
        """The page of a CI job, without its escapes."""
        return flat(re.sub(r"\\(?=[\\|*_\[\]`~#])", "", markdown.page(self.document)).replace("&lt;", "<"))

    @property
    def junit(self) -> str:
        """JUnit's file."""
        return (self.folder / "junit.xml").read_text(encoding="utf-8")

    @property
    def texts(self) -> dict[str, str]:
        """What people read of it."""
        terminal = self.terminal.partition("short test summary info")[0]  # of which pytest cuts each line off
        return {"terminal": flat(terminal), "page": self.page, "markdown": self.markdown}

    def result(self, test: str, *, rated: bool = True) -> Result:
        """The result of one test, of its rate where it has one."""
        found = [r for r in self.document.results if r.test.endswith(f"::{test}")]
        return next((r for r in found if (r.rate is not None) == rated), found[0])

    def rate(self, test: str) -> Rate:
        """The rate of one test."""
        rate = self.result(test).rate
        assert rate is not None
        return rate


def run(folder: Path, source: str, *options: str) -> Run:
    """A run of pytest of its own, as nobody's worker."""
    conftest = CONFTEST + (OF_CHECKPOINTS if "--gentest-checkpoint" in options else "")
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    command = [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio"),
        *("--gentest", "--gentest-json", "results.json", "--gentest-report", "page.html", "--junitxml", "junit.xml"),
        *("--gentest-device", "cpu", "-v", *options),
    ]
    env |= {"COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    kept = {"status": done.returncode, "terminal": done.stdout + done.stderr}
    (folder / "run.json").write_text(json.dumps(kept), encoding="utf-8")
    return Run(**kept, folder=folder)


def run_of(folder: Path) -> Run:
    """The last run in a folder."""
    return Run(**json.loads((folder / "run.json").read_text(encoding="utf-8")), folder=folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run without a gate."""
    return run_of(made_once(tmp_path_factory, "plain", lambda folder: run(folder, TESTS)))


SAVED = ("--gentest-save-baseline", "baseline.json", "--gentest-baseline-probes", "512")
AGAINST = ("--gentest-baseline", "baseline.json")


def named(*checkpoints: str) -> list[str]:
    """The options for some checkpoints."""
    return [word for name in checkpoints for word in ("--gentest-checkpoint", f"{name}.txt")]


def of_checkpoints(folder: Path) -> Path:
    """The folder with checkpoints: `good`, `same`, which is as good, and `bad`, on which far fewer latents are lit."""
    for name, shift in {"good": 0.0, "same": 0.0, "bad": 0.3}.items():
        (folder / f"{name}.txt").write_text(str(shift))
    return folder


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A gate that a checkpoint as good as the blessed one passes."""

    def make(folder: Path) -> None:
        of_checkpoints(folder)
        assert "blessed: 3 properties" in run(folder, GATED, *named("good"), *SAVED).terminal
        run(folder, GATED, *named("same"), *AGAINST)

    return run_of(made_once(tmp_path_factory, "held", make))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A gate of three checkpoints at once, of which one has regressed."""

    def make(folder: Path) -> None:
        of_checkpoints(folder)
        assert "blessed: 2 properties" in run(folder, RATED, *named("good"), *SAVED).terminal
        run(folder, RATED, *named("good", "same", "bad"), *AGAINST, "--gentest-drift", "off")

    return run_of(made_once(tmp_path_factory, "several", make))


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two checkpoints side by side, without a gate."""

    def make(folder: Path) -> None:
        of_checkpoints(folder)
        run(folder, RATED, *named("good", "same"))

    return run_of(made_once(tmp_path_factory, "ranked", make))


def rates_of(document: Document) -> Iterator[Rate]:
    """Every rate of a run, each arm by itself."""
    for result in document.results:
        if result.rate is not None:
            yield result.rate
            yield from result.rate.arms


# the threshold that decides


@pytest.mark.slow
def test_evidence_is_printed_beside_the_threshold_that_decides(plain: Run) -> None:
    """Of ten labels one that is refuted needs ten times the evidence of one that holds, in every report."""
    rate = plain.rate("test_each_label")
    assert rate.verdict is Verdict.UNDECIDED
    assert rate.claims == 10
    assert (rate.needed_holds, rate.needed_violated) == (pytest.approx(log(100)), pytest.approx(log(1000)))
    assert rate.needed_violated is not None
    assert rate.log_violated < rate.needed_violated
    said = (
        f"{numbers.odds(rate.log_holds)} for at least 86 %, needs 100 : 1; {numbers.odds(rate.log_violated)} for fewer "
        "than 90 %, needs 1,000 : 1 (10 rates)"
    )
    for where, text in plain.texts.items():
        assert said in text, where
    assert f'name="gentest.lit.needed_violated" value="{rate.needed_violated}"' in plain.junit


@pytest.mark.slow
def test_a_gate_says_what_both_its_answers_need(several: Run) -> None:
    """Regressed by the share of all claims, held by that of the checkpoints among which one is chosen."""
    found = several.document.gate
    assert found is not None
    for compared in found.properties:
        gate = compared.gate
        if not gate.certified:
            continue
        assert gate.needed_held == pytest.approx(log(3 / found.terms.alpha))
        is_held = gate.standing is Standing.HELD
        needs = numbers.needed_odds(gate.needed_held if is_held else gate.needed)
        has = numbers.odds(gate.log_held if is_held else gate.log_regressed)
        what = "not worse by the tolerance" if is_held else "worse"
        assert f"{has} for {'held' if is_held else 'worse'}, needs {needs}" in several.markdown
        assert f"evidence {has} that it is {what}, needs {needs}" in several.page


# what is certified


def test_nothing_is_called_certified_that_is_not(plain: Run) -> None:
    """`certified at` stands beside rates that hold, and beside no other; what was only not refuted is not held."""
    for result in plain.document.results:
        rate, lines = result.rate, [facts.verdict(result), *([facts.rate_in_brief(result.rate)] if result.rate else [])]
        certain = result.verdict is Verdict.HOLDS
        assert any("certified at" in line for line in lines) == (certain and rate is not None)
        assert rate is None or (rate.certified is not None) == certain
        if result.verdict is Verdict.NO_COUNTEREXAMPLE:
            assert facts.verdict(result) == "no counterexample"
    for where, text in plain.texts.items():
        assert "held" not in text, where
        assert "no drift" not in text, where
    said = set(re.findall(r"certified at ([\d.]+ %)", plain.page + plain.terminal))
    holding = {numbers.threshold(r.p0 - r.slack) for r in rates_of(plain.document) if r.verdict is Verdict.HOLDS}
    assert said == holding


def test_a_page_names_what_is_certified_of_a_rate_only_where_it_holds(plain: Run) -> None:
    """The chart of a rate says `certified at` where it holds, and else how far the slack reaches."""
    cuts = re.compile("Margins, |In words|Rays that")
    sections = [cuts.split(text)[0] for text in plain.page.split("Rate as probes came in")[1:]]
    charted = [rate for rate in rates_of(plain.document) if not rate.arms]
    certified = sum("certified at" in section for section in sections)
    assert len(sections) == len(charted)
    assert certified == sum(rate.verdict is Verdict.HOLDS for rate in charted)


def test_a_radius_is_certified_where_fresh_probes_confirm_it(plain: Run) -> None:
    """The words follow the verdict on the fresh probes: confirmed, refuted, or neither."""
    radius, rate = plain.result("test_within").radius, plain.rate("test_within")
    assert radius is not None
    confirmed = radius.confirmed is not None and radius.confirmed.verdict is Verdict.HOLDS
    said = facts.radius(radius, rate)
    assert ("certified within" in said) == (confirmed and rate.verdict is not Verdict.HOLDS)
    for where, text in plain.texts.items():
        assert said in text, where


@pytest.mark.slow
def test_what_was_only_not_found_is_not_held(held: Run) -> None:
    """A distribution that was not found further is called that; the JSON says that nothing certifies it."""
    found = held.document.gate
    assert found is not None
    gates = {c.test.rpartition("::")[2]: c.gate for c in found.properties}
    assert not gates["test_matches"].certified
    assert gates["test_lit"].certified
    for where, text in held.texts.items():
        assert "not found further" in text, where
    assert 'name="gentest.matches.gate" value="not found further"' in held.junit
    assert "gate: passed (" in held.terminal
    assert "gate: held" not in held.terminal


def test_drift_that_was_not_found_is_said_so(held: Run) -> None:
    """Not that there is none."""
    found = held.document.gate
    assert found is not None
    assert found.drifts
    assert not found.drifted
    for where in ("terminal", "page"):
        text = held.texts[where]
        assert "not found" in text.partition("drift")[2], where
        assert "no drift" not in text, where
    assert f"drift not found in {run_facts.without_drift(found)}" in held.texts["terminal"]
    assert f"drift not found {run_facts.without_drift(found)}" in held.texts["page"]


# the certified figure beside each `holds`


def test_each_rate_that_holds_says_what_that_certifies(plain: Run) -> None:
    """p0 less the slack stands beside the word, in a row, a line, a sentence, and the record."""
    for rate in rates_of(plain.document):
        expected = rate.p0 - rate.slack if rate.verdict is Verdict.HOLDS and not rate.arms else None
        assert rate.certified == (expected if expected is None else pytest.approx(expected))
    for where, text in plain.texts.items():
        bare = re.findall(r"\bholds\b(?! >= [\d.]+ %| for (?:at least|fewer than) [\d.]+ %|_within)", text)
        assert not bare, where
        assert "holds >= 86 %" in text, where
    certified = re.findall(r'name="gentest\.[\w.]+\.rate_certified" value="([\d.]+)"', plain.junit)
    holding = [r.rate for r in plain.document.results if r.verdict is Verdict.HOLDS and r.rate is not None]
    assert sorted(map(float, certified)) == sorted(r.p0 - r.slack for r in holding)


def test_a_baseline_says_what_was_certified_when_it_was_blessed(held: Run) -> None:
    """So does the line that `gentest show` prints of it."""
    baseline = Baseline.load(held.folder / "baseline.json")
    (rated,) = [entry for key, entry in baseline.entries.items() if "at_rate" in key]
    assert rated.certified == pytest.approx(0.86)
    assert [line.startswith("holds >= 86 % ") for line in baseline.summary if "at_rate" in line] == [True]


# rounding


def intervals(text: str) -> set[tuple[Fraction, Fraction, Fraction]]:
    """Each rate with its bounds in a text, in per cent."""
    found = re.findall(r"(-?[\d.]+) % \[(-?[\d.]+)(?: %)?, (-?[\d.]+)(?: %)?\]", text)
    return {(number(a), number(b), number(c)) for a, b, c in found}


def test_no_figure_is_rounded_toward_a_claim(plain: Run) -> None:
    """Bounds lie outside those recorded, and shares on the side that speaks against the verdict."""
    expected = set()
    for rate in rates_of(plain.document):
        share, low, high = (100 * Fraction(v) for v in (Fraction(rate.passes, rate.probes), rate.low, rate.high))
        (shown,) = intervals(facts.rate_interval(rate))
        assert shown[0] >= share if rate.verdict is Verdict.VIOLATED else shown[0] <= share
        assert abs(shown[0] - share) < Fraction(1, 10)
        assert (shown[0] == 100) == (rate.passes == rate.probes)
        assert 0 <= low - shown[1] < Fraction(1, 10)
        assert 0 <= shown[2] - high < Fraction(1, 10)
        expected.add(shown)
    assert any(share.denominator > 1 for share, _, _ in expected)
    confirmed = plain.result("test_within").radius
    assert confirmed is not None
    if confirmed.confirmed is not None:
        rate = confirmed.confirmed
        (own,) = intervals(facts.rate_interval(rate))
        expected.add(own)
    for where, text in plain.texts.items():
        assert intervals(text) <= expected, where
    assert intervals(plain.texts["page"]) == expected


def test_p_values_and_distances_are_rounded_against_their_claim(plain: Run) -> None:
    """A p-value is not printed smaller than it is, nor the bound of a distance."""
    found = plain.result("test_matches").distribution
    assert found is not None
    for where in ("terminal", "page"):
        said = re.search(r"MMD\^2 (\S+) \(p = (\S+), below (\S+) with 99 % confidence\)", plain.texts[where])
        assert said is not None, where
        assert number(said[1]) <= Fraction(found.mmd2) * (1 + Fraction(1, 10**9)), where  # they differ: a claim
        assert number(said[2]) >= Fraction(found.p) * (1 - Fraction(1, 10**9)), where
        assert number(said[3]) >= Fraction(found.bound) * (1 - Fraction(1, 10**9)), where


# how sure an interval is


def test_each_interval_says_how_sure_its_ends_are(plain: Run) -> None:
    """Each end by itself, and both together; while nothing is decided, each of ten rates has its share."""
    undecided = [rate for rate in plain.rate("test_each_label").arms if rate.verdict is Verdict.UNDECIDED]
    assert [rate.each_end for rate in undecided] == [pytest.approx(0.999)] * len(undecided)
    assert undecided
    assert plain.rate("test_holds").each_end == 0.99
    for where, text in plain.texts.items():
        assert "intervals: each end 99 % or 99.9 % confidence, both ends together 98 % or 99.8 %" in text, where
        for found in re.finditer(r"\[[\d.]+ %, [\d.]+ %\]", text):
            assert "each end 99" in text[found.end() : found.end() + 60], (
                where,
                text[found.start() : found.end() + 60],
            )


def test_each_difference_of_a_gate_says_how_sure_its_ends_are(held: Run) -> None:
    """That of the terms, in the record and beside the interval."""
    found = held.document.gate
    assert found is not None
    for gate in (c.gate for c in found.properties if c.gate.probes):
        assert gate.each_end == 1 - found.terms.alpha
        low, high = numbers.bounds(gate.low, gate.high).strip("[]").split(", ")
        assert number(low[:-2]) <= 100 * Fraction(gate.low)
        assert number(high[:-2]) >= 100 * Fraction(gate.high)
        assert f"difference within [{low}, {high}], each end 99 %" in held.page


# what was looked at


def test_prior_truncation_and_seed_are_in_every_result(plain: Run) -> None:
    """In the record of each, and once in the terminal and the page."""
    for result in plain.document.results:
        assert result.seed == 0
        assert result.prior
        assert ("truncated" in result.prior.lower()) == bool(result.truncation)
    assert plain.result("test_holds").truncation == "z psi=0.7"
    for where, text in plain.texts.items():
        assert run_facts.prior(plain.document.results) in text, where
    assert "psi=0.7" in run_facts.prior(plain.document.results)  # which the page says once
    assert plain.junit.count('.prior" value="') == plain.junit.count('.seed" value="0"') == len(plain.document.results)


def test_a_budget_is_evaluated_to_its_last_probe(plain: Run) -> None:
    """41 probes of which all hold certify a rate, and no look at a multiple of 16 would have seen the last nine."""
    rate = plain.rate("test_odd_budget")
    assert (rate.verdict, rate.passes, rate.probes, rate.budget) == (Verdict.HOLDS, 41, 41, 41)
    for where in ("terminal", "page"):
        assert "of 41, each end" in plain.texts[where] or "41 of 41" in plain.texts[where], where
    assert plain.rate("test_each_label").probes == plain.rate("test_each_label").budget == 40


def test_a_budget_that_can_decide_nothing_is_refused(plain: Run) -> None:
    """The error names the least budget that decides, and the least that certifies; other budgets say the latter."""
    result = plain.result("test_no_budget", rated=False)
    assert (result.verdict, result.rate) == (Verdict.ERROR, None)
    said = (
        "budget=3 cannot decide .at_rate(0.9): a decision needs at least 5 probes, and certifying the rate at least 39"
    )
    assert result.message.startswith(said)
    for where, text in plain.texts.items():
        assert said in text, where
    few = plain.rate("test_too_few")
    assert few.verdict is Verdict.UNDECIDED
    assert few.fewest is not None
    assert few.fewest > few.budget
    for where, text in plain.texts.items():
        assert f"budget 60 probes, and {few.fewest} that all pass are the fewest that certify" in text, where


def test_three_distinct_inputs_are_three(plain: Run) -> None:
    """300 probes of a choice among three are three inputs: of a search and of a rate."""
    rated, searched = plain.result("test_labels"), plain.result("test_labels", rated=False)
    assert searched.rate is None
    assert rated.rate is not None
    assert (searched.examples, searched.distinct, searched.inputs) == (300, 3, 3)
    assert (rated.rate.distinct, rated.rate.inputs) == (3, 3)
    assert plain.result("test_holds").distinct is None
    for where in ("page", "markdown"):
        assert "300 (all 3 distinct)" in plain.texts[where], where
        assert f"{rated.rate.passes} of {rated.rate.probes} (all 3 distinct)" in plain.texts[where], where
    assert plain.texts["terminal"].count("looked at all 3 of 3 distinct inputs") == 2
    assert "no counterexample in 300 probes, all 3 of 3 distinct inputs" in plain.page
    assert plain.junit.count('.distinct" value="3"') == 2


# all verdicts together


def test_a_run_says_how_likely_any_of_its_verdicts_is_wrong(plain: Run) -> None:
    """The sum of what each errs with, once."""
    document = plain.document
    decided = [r for r in document.results if r.verdict is not Verdict.ERROR and (r.rate or r.distribution)]
    radius = 2 * (plain.rate("test_within").verdict is not Verdict.HOLDS)
    n = len(decided) + radius
    assert document.family is not None
    assert (document.family.verdicts, document.family.each) == (n, 0.01)
    assert document.family.any_wrong == pytest.approx(n / 100)
    said = (
        f"certainty: {n} statistical verdicts, each wrong with a probability of at most 1 %, "
        f"any of them with at most {n} %"
    )
    for where, text in plain.texts.items():
        assert text.count(said) == 1, where


def test_a_gate_weighs_its_claims_together(held: Run) -> None:
    """There the claims share one probability, which is said with their number."""
    found = held.document.gate
    assert found is not None
    baseline = Baseline.load(held.folder / "baseline.json")
    assert found.terms.claims == len(baseline.entries) + len(found.drifts)
    for where in ("terminal", "page"):
        assert f"{found.terms.claims} claims" in held.texts[where], where
        assert "statistical verdicts" not in held.texts[where], where


@pytest.mark.slow
def test_checkpoints_that_share_a_seed_are_said_to(held: Run, ranked: Run, several: Run) -> None:
    """One after the other, and side by side: what choosing one of them takes."""
    for where, text in held.texts.items():
        assert (
            "seed 0 judges every checkpoint on the same probes: to choose the best of k, divide alpha by k" in text
        ), where
    family = ranked.document.family
    assert family is not None
    assert (family.checkpoints, family.chosen_wrong) == (2, 0.02)
    said = (
        "seed 0 judges all 2 checkpoints on the same probes: a verdict on the one that is chosen is wrong with a "
        "probability of at most 2 %, not 1 %"
    )
    for where, text in ranked.texts.items():
        assert said in text, where
    for where, text in several.texts.items():
        assert "seed 0 judges all 3 checkpoints on the same probes" in text, where


def test_a_gate_of_several_checkpoints_corrects_for_the_choice(several: Run, held: Run) -> None:
    """Claims and the evidence for `held` are as many times those of one."""
    one, three = held.document.gate, several.document.gate
    assert one is not None
    assert three is not None
    assert three.terms.claims == 3 * len(Baseline.load(several.folder / "baseline.json").entries)
    assert (one.terms.checkpoints, three.terms.checkpoints) == (1, 3)
    said = f"{three.terms.claims} claims on 3 checkpoints, which share the probability of a wrong decision"
    for where, text in several.texts.items():
        assert said in text, where
    standings = {
        (c.checkpoint, c.gate.standing.value) for c in three.properties if c.gate.certified and "rate" in c.property
    }
    assert standings == {("good.txt", "held"), ("same.txt", "held"), ("bad.txt", "regressed")}


# earlier versions


def test_results_of_earlier_versions_are_read(plain: Run) -> None:
    """Records without the new fields say as much as they know, and no report fails on them."""
    whole = json.loads((plain.folder / "results.json").read_text(encoding="utf-8"))
    del whole["family"]
    for result in whole["results"]:
        for name in ("prior", "truncation", "seed"):
            del result["provenance"][name]
        for name in ("distinct", "inputs"):
            del result["search"][name]
        for rate in filter(None, [result["rate"], *((result["rate"] or {}).get("arms", []))]):
            for name in ("certified", "fewest", "distinct", "inputs"):
                del rate[name]
    earlier = Document.from_json(whole)
    text = markdown.page(earlier)
    assert "prior:" not in text
    assert "each end 99 %" in text
