"""Results on a screen: blocks and tables that fit it, whatever names and figures there are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gentest.report import terminal
from gentest.report.junit import properties
from gentest.report.terminal import columns, shortened, table, wrapped
from gentest.results.comparison import Gate, Standing
from gentest.results.outcome import Outcome
from gentest.results.result import Attack, Cost, Counterexample, Distribution, Margins, Rate, Result, Search, Verdict
from tests.helpers import handmade
from tests.helpers.drawn import NEEDED

NAMES = st.text(st.sampled_from("ab 笑[](),=…\n\t'"), min_size=1, max_size=150)

RATE = Rate(Verdict.HOLDS, 0.9, 0.04, 0.99, 4000, 4096, 4096, 0.93, 1.0, 4.7, -3.2, *NEEDED)

FOUND = Counterexample(
    {"choices": [3]}, -0.25, {"a clip of a smile": tuple(i % 7 / 7 for i in range(200))}, (0.0, 0.5), ("1", "7"), 9, 9,
    0.5, "p:1f",
)  # fmt: skip

GATE = Gate(Standing.REGRESSED, baseline_passes=90, candidate_passes=7, losses=83, probes=90, stored=256)


def results(test: str, property: str) -> list[Result]:
    """One of each kind, all of that name."""
    plain = Result(
        test,
        property,
        Verdict.NO_COUNTEREXAMPLE,
        search=Search(300, margin=Margins(-1e-9, 0.1)),
        cost=Cost(seconds=1234.5),
    )
    far = Distribution("images", 0.123456, 0.5, 0.25, 0.01, 512, 512)
    arms = tuple(replace(RATE, arm=f"label={i}") for i in range(12))
    bad = replace(
        plain,
        verdict=Verdict.VIOLATED,
        search=replace(plain.search, violations=7, counterexample=FOUND, worst=FOUND),
    )
    return [
        plain,
        bad,
        replace(bad, verdict=Verdict.HOLDS, rate=RATE),
        replace(bad, verdict=Verdict.VIOLATED, rate=replace(RATE, verdict=Verdict.VIOLATED, arms=arms)),
        replace(plain, distribution=far),
        replace(plain, verdict=Verdict.UNDECIDED, level=handmade.level(sd=None)),
        replace(plain, attack=Attack("gradient", 160, 5000, 5000, 0.1, found=False)),
        Result(test, property, Verdict.ERROR, message=f"{property} broke\nbadly"),
        replace(bad, gate=GATE),
    ]


@given(NAMES, st.integers(12, 60))
def test_wrapping_keeps_every_word_in_the_width(text: str, width: int) -> None:
    """No line is wider, counted as a terminal shows it, and nothing but white space is lost."""
    lines = wrapped(text, width, first="- ", rest="    ")
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()).removeprefix("-") == "".join(text.split())


@given(NAMES, st.integers(1, 60))
def test_shortening_keeps_both_ends(text: str, width: int) -> None:
    """What fits stays; of the rest beginning and end are left, in one line."""
    said = shortened(text, width)
    assert cell_len(said) <= width
    assert "\n" not in said
    if cell_len(" ".join(text.splitlines())) > width:
        assert "…" in said


@pytest.mark.parametrize(("said", "found"), [("80", 80), ("300", 100), ("7", 60), ("x", 100), ("", 100)])
def test_lines_are_as_wide_as_the_terminal_within_bounds(
    said: str, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COLUMNS counts, up to 100; without a terminal it is 100."""
    monkeypatch.setenv("COLUMNS", said)
    monkeypatch.setattr("sys.__stdout__", None)
    assert columns() == found


def test_a_figure_is_not_torn_apart() -> None:
    """A number and its per cent, and odds, stay in one line."""
    assert wrapped("at least 93 % by 1,800 : 1 odds", 12) == ["at least", "93 % by", "1,800 : 1", "odds"]


@given(NAMES, st.integers(60, 100))
def test_a_block_fits_but_for_the_command(property: str, width: int) -> None:
    """Every line is within the width, except the one that is to be copied, which is one line."""
    for result in results("t", property):
        lines = terminal.failure(result, "pytest " + "x" * 200, width=width).split("\n")
        wide = [line for line in lines if cell_len(line) > width]
        assert [line[:18] for line in wide] == (["  replay   pytest "] if result.counterexample else [])


def test_scores_are_drawn_within_the_width() -> None:
    """A path of 200 points is drawn with 48, from its first to its last; of 1,000 classes the largest are shown."""
    block = terminal.failure(results("t", "p")[1], "")
    (line,) = [line for line in block.splitlines() if "▁" in line]
    assert sum(c in "▁▂▃▄▅▆▇█" for c in line) == 48
    many = replace(FOUND, scores={f"class {i}": (float(i),) for i in range(1000)})
    block = terminal.failure(replace(results("t", "p")[1], search=Search(counterexample=many, worst=many)), "")
    assert "class 999" in block
    assert "… and 988 smaller ones" in block
    assert len(block.splitlines()) < 20


@given(NAMES, NAMES, st.integers(60, 100))
def test_a_table_fits_and_is_aligned(test: str, property: str, width: int) -> None:
    """No row or note is wider, and there is one row for each result."""
    for found in (results(test, property), results(test, property)[:-1]):
        lines = table(found, width=width, verbose=True)
        assert all(cell_len(line.text) <= width for line in lines)
        assert sum(not line.text.startswith("    ") for line in lines) == len(found) + 1


def test_the_worst_comes_first() -> None:
    """Errors, violations, what is undecided, then what holds; equals in the order in which they ran."""
    kinds = (Verdict.HOLDS, Verdict.NO_COUNTEREXAMPLE, Verdict.UNDECIDED, Verdict.VIOLATED, Verdict.ERROR)
    lines = table([Result(f"a.py::{kind.value}{i}", "p", kind) for i in (1, 2) for kind in kinds])
    names = [line.text.split("  ")[1:] for line in lines[1:] if not line.text.startswith("    ")]
    assert [next(word for word in name if word).strip() for name in names] == [
        f"{kind}{i}" for kind in ("error", "violated", "undecided", "holds", "no_counterexample") for i in (1, 2)
    ]
    assert [line.outcome for line in lines if line.outcome] == (
        [Outcome.ERROR] * 2 + [Outcome.FAILED] * 2 + [Outcome.UNDECIDED] * 2 + [Outcome.PASSED] * 4
    )


def test_a_file_is_named_where_there_are_several() -> None:
    """Tests of one file are told apart by their names alone."""
    one = Result("a.py::test_a", "p", Verdict.HOLDS)
    assert "a.py" not in "".join(line.text for line in table([one, one]))
    assert "b.py::test_a" in "".join(line.text for line in table([one, replace(one, test="b.py::test_a")]))


def test_columns_give_way_in_a_narrow_terminal() -> None:
    """The bounds of a rate go first, then the time, then the probes; verdict and figure stay."""
    found = results("a.py::test_every_latent_has_a_garment_of_its_own", "between(brightness(), tolerance=0.05)")[:3]
    found = [
        replace(r, cost=Cost(seconds=12.3), rate=r.rate and replace(r.rate, passes=400, probes=409)) for r in found
    ]
    heads = [table(found, width=width)[0].text.split() for width in (100, 80, 60)]
    assert heads[0] == ["verdict", "test", "property", "probes", "margin", "or", "rate", "time"]
    assert heads[-1] == ["verdict", "test", "property", "margin", "or", "rate"]
    assert "[93, 100]" in "".join(line.text for line in table(found, width=100))
    assert "[93, 100]" not in "".join(line.text for line in table(found, width=80))


def test_properties_of_junit_are_unrounded() -> None:
    """Each has the label of its property in its name, and a field that there is none of is left out."""
    found = dict(properties("p.2", results("t", "p")[2]))
    assert found["gentest.p.2.rate"] == repr(4000 / 4096)
    assert (found["gentest.p.2.rate_low"], found["gentest.p.2.replay"]) == ("0.93", "p:1f")
    assert "gentest.p.replay" not in dict(properties("p", results("t", "p")[0]))


def test_a_word_without_end_is_cut() -> None:
    """Such as an attack's probe in the message of an error: in lines of the full width, nothing lost."""
    word = "笑" + "x" * 30_000
    lines = wrapped(word, 100, first="  ", rest="  ")
    assert "".join(line.removeprefix("  ") for line in lines) == word
    assert {cell_len(line) for line in lines[:-1]} == {100}
