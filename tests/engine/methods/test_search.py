"""Hypothesis draws; the plan is deterministic, distinct, and simplification keeps what fails."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import gentest
from gentest.engine.methods import search
from gentest.probes.families import Segments
from gentest.probes.probe import Probe


def test_the_same_seed_gives_the_same_plan() -> None:
    """A plan is a function of the space's choices, the number and the seed."""
    space = gentest.Normal(16)
    assert search.plan(space, 40, 3) == search.plan(space, 40, 3)
    assert search.plan(space, 40, 3) != search.plan(space, 40, 4)


def test_a_plan_has_as_many_distinct_probes_as_asked() -> None:
    """What Hypothesis repeats is drawn anew, so that N examples are N different probes."""
    probes = search.plan(gentest.Normal(16), 300, 0)
    assert len(set(probes)) == len(probes) == 300


def test_a_plan_draws_choices_as_structure() -> None:
    """Every label of a discrete part is looked at, and none outside it."""
    probes = search.plan(gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(5)), 300, 0)
    assert {probe.choices for probe in probes} == {(label,) for label in range(5)}


def simplified(probe: Probe, fails: object, budget: int = 400) -> Probe:
    def violates(probes: list[Probe]) -> list[bool]:
        return [bool(fails(probe)) for probe in probes]  # type: ignore[operator]

    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(10))
    return search.simplify(probe, space, Segments(9), violates, seed=0, budget=budget)


def test_simplify_narrows_the_window_to_what_fails() -> None:
    """The window shrinks around the defect and never loses it."""

    def holds_the_defect(probe: Probe) -> bool:
        return probe.window[0] <= 20 and probe.window[1] >= 24

    found = simplified(Probe(1), holds_the_defect)
    assert holds_the_defect(found)
    assert found.window[1] - found.window[0] <= 32


def test_simplify_lowers_choices() -> None:
    """A label that does not matter becomes a lower one."""
    found = simplified(Probe(1, choices=(9,)), lambda probe: probe.choices[0] >= 3)
    assert 3 <= found.choices[0] < 9


@pytest.mark.parametrize("budget", [0, 5])
def test_simplify_without_a_budget_keeps_the_probe(budget: int) -> None:
    """Nothing is asked where not even one round fits the budget."""
    assert simplified(Probe(1), lambda probe: True, budget) == Probe(1)


def test_simplify_keeps_a_probe_that_nothing_simpler_violates() -> None:
    """Where every simpler structure holds, the probe stays as it is."""
    assert simplified(Probe(1, choices=(2,)), lambda probe: False) == Probe(1, choices=(2,))


def test_a_plan_does_not_depend_on_the_modules_that_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Constants of a local module that is imported between two plans change neither."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(1000))
    before = search.plan(space, 300, 0)
    (tmp_path / "full_of_constants.py").write_text("HERE = [17, 101, 555, 999, b'12345678', 12345678901234567]\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("full_of_constants")
    assert search.plan(space, 300, 0) == before
