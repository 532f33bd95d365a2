"""Hypothesis draws; the plan is deterministic and distinct."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import gentest
from gentest.engine.methods import search


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


def test_a_plan_does_not_depend_on_the_modules_that_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Constants of a local module that is imported between two plans change neither."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(1000))
    before = search.plan(space, 300, 0)
    (tmp_path / "full_of_constants.py").write_text("HERE = [17, 101, 555, 999, b'12345678', 12345678901234567]\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("full_of_constants")
    assert search.plan(space, 300, 0) == before
