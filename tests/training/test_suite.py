"""Suites: the verdicts of single checks, from images that are made once, and the gate without pytest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import gentest
from gentest.results.comparison import Standing
from gentest.results.outcome import Outcome
from tests.helpers import zoo

FEW = gentest.settings(examples=20, reduce=16, device="cpu", seed=4)
BETWEEN = gentest.between(gentest.brightness(), tolerance=0.05)
MONOTONE = gentest.monotone(gentest.brightness(), tolerance=0.05)
LIT = gentest.well_formed().at_rate(0.9)


def images(generator: gentest.Generator) -> int:
    """The images that a generator of the zoo has made."""
    return sum(generator.function.batches)  # type: ignore[attr-defined]


def test_it_decides_as_single_checks_do_and_makes_images_once() -> None:
    """Verdicts and counterexamples are those of `.check()`; the second property adds a few images, for its audit."""
    one, both = zoo.generator(zoo.fold), zoo.generator(zoo.fold)
    alone = [property.check(one, settings=FEW) for property in (BETWEEN, MONOTONE)]
    checked = gentest.Suite(BETWEEN, MONOTONE).check(both, settings=FEW)
    assert [r.verdict for r in checked.results] == [r.verdict for r in alone]
    assert [r.counterexample.probe for r in checked.results] == [r.counterexample.probe for r in alone]
    assert checked.results[1].cost.images < alone[1].cost.images / 2
    assert images(both) < images(one)
    assert checked.outcome is Outcome.FAILED
    assert not checked.passed


def test_figures_and_texts() -> None:
    """Figures are named by suite, property and figure; the repr has a line for each property."""
    checked = gentest.Suite(BETWEEN, BETWEEN, name="nightly").check(zoo.generator(zoo.linear), settings=FEW)
    figures = checked.figures()
    assert figures["nightly/between/probes"] == figures["nightly/between.2/probes"] == 20
    assert {f"nightly/between/{name}": value for name, value in checked.results[0].figures().items()}.items() <= (
        figures.items()
    )
    assert repr(checked).splitlines() == [
        "passed:",
        "  between(brightness(), tolerance=0.05): no counterexample in 20 probes",
        "  between(brightness(), tolerance=0.05): no counterexample in 20 probes",
    ]
    assert checked._repr_html_().count("<section") == 2


def test_an_error_is_a_result() -> None:
    def broken(z: torch.Tensor) -> torch.Tensor:
        raise ValueError("no weights")

    checked = gentest.Suite(BETWEEN, LIT).check(gentest.Generator(broken, latent=gentest.Uniform(8)), settings=FEW)
    assert checked.outcome is Outcome.ERROR
    assert "no weights" in repr(checked)


def test_an_equal_candidate_is_held_and_a_worse_one_refused(tmp_path: Path) -> None:
    """`bless` writes what `check(against=)` reads, and the probes are the file's, whatever the seed."""
    path, suite = tmp_path / "blessed.json", gentest.Suite(gentest.not_blank(at_least=0.02).at_rate(0.5), LIT)

    def striped(share: float) -> gentest.Generator:
        """Images with contrast for a share of latents."""

        def f(z: torch.Tensor) -> torch.Tensor:
            contrast = torch.where(z[:, :1] < share, 0.5, 0.0)
            return torch.cat([contrast, torch.zeros_like(contrast)], 1)[:, None, None, :]

        return gentest.Generator(f, latent=gentest.Uniform(2, low=0.0, high=1.0), output_range=(0, 1))

    blessed = suite.bless(striped(0.9), path, by="ada", note="first", settings=FEW)
    assert blessed.passed
    assert json.loads(path.read_text())["blessed"][0]["by"] == "ada"
    held = suite.check(striped(0.9), against=path, settings=gentest.settings(examples=20, device="cpu", seed=9))
    assert held.comparison is not None
    assert held.comparison.standing is Standing.HELD
    assert {result.seed for result in held.results} == {4}
    assert "gate: held against blessed by ada" in repr(held)
    worse = suite.check(striped(0.6), against=path, settings=FEW)
    assert worse.comparison is not None
    assert worse.comparison.standing is Standing.REGRESSED
    assert worse.outcome is Outcome.FAILED
    assert [result.gate.standing for result in worse.results] == [Standing.REGRESSED, Standing.HELD]
    suite.bless(striped(0.8), path, by="bob", settings=FEW)
    assert [one["by"] for one in json.loads(path.read_text())["blessed"]] == ["bob", "ada"]
    with pytest.raises(gentest.InvalidArgument, match="would lose suite not_blank"):
        gentest.Suite(LIT).bless(striped(0.8), path, settings=FEW)
    part = gentest.Suite(LIT, name="other").check(striped(0.8), against=path, settings=FEW)
    assert part.comparison is not None
    assert part.comparison.standing is Standing.HELD
    assert part.results[0].test == "suite"
    with pytest.raises(gentest.InvalidArgument, match="has no property of this suite"):
        gentest.Suite(BETWEEN).check(striped(0.8), against=path, settings=FEW)
    with pytest.raises(gentest.InvalidArgument, match="'warn', 'fail' or 'off' but got drift='loud'"):
        suite.check(striped(0.8), against=path, drift="loud", settings=FEW)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(gentest.InvalidArgument, match="at least one property"):
        gentest.Suite()
    with pytest.raises(gentest.InvalidArgument, match=r"a property such as .* but got properties\[1\]=3"):
        gentest.Suite(BETWEEN, 3)  # type: ignore[arg-type]
    with pytest.raises(gentest.InvalidArgument, match="tolerance=-1"):
        gentest.Suite(gentest.between(gentest.brightness(), tolerance=-1))
    with pytest.raises(gentest.InvalidArgument, match="baseline"):
        gentest.Suite(BETWEEN).check(zoo.generator(zoo.linear), against=Path(__file__))
