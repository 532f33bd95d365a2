"""Findings of `gentest doctor` about other plugins and installed packages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gentest.cli import doctor_checks
from gentest.cli.doctor_checks import PytestRun, State, conflicts, installed, requirements

OK, NOTE, PROBLEM = (state.value for state in State)

CONFLICTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "forked": ({"forked": True}, PROBLEM, "pytest-forked"),
    "timeout": ({"timeout": 10.0}, NOTE, "pytest-timeout: a test is stopped after 10 s"),
    "reruns": ({"reruns": 2}, NOTE, "is run 3 times"),
    "count": ({"count": 2}, NOTE, "pytest-repeat"),
    "count, gated": ({"count": 2, "baseline": True}, PROBLEM, "names that the baseline does not have"),
    "workers on a GPU": ({"workers": 4, "on_cuda": True, "n_gpus": 1}, NOTE, "4 workers share one GPU"),
    "warnings": ({"strict_warnings": True, "undecided_warns": True}, NOTE, "an undecided rate fails"),
}

HARMLESS: list[dict[str, Any]] = [
    {"timeout": 3600.0},
    {"workers": 2},
    {"workers": 2, "on_cuda": True, "n_gpus": 2},
    {"strict_warnings": True},
    {"undecided_warns": True},
    {"plugins": frozenset({"pytest-randomly", "pytest-cov", "pytest-asyncio"})},
]


@pytest.mark.parametrize("name", CONFLICTS)
def test_what_gets_in_the_way_is_said(name: str) -> None:
    """Each that was tried has its row, and says what to do."""
    changed, state, words = CONFLICTS[name]
    (finding,) = conflicts(replace(PytestRun(), **changed))
    assert finding.state.value == state
    assert words in finding.message
    assert finding.fix


@pytest.mark.parametrize("changed", HARMLESS, ids=lambda changed: "-".join(changed))
def test_what_does_not_get_in_the_way_is_not(changed: dict[str, Any]) -> None:
    """Nothing is said of plugins that are merely there."""
    (finding,) = conflicts(replace(PytestRun(), **changed))
    assert finding.state is State.OK


def test_what_is_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each requirement is compared with what is installed; the command of pip is what was declared."""
    declared = [
        "numpy>=999",
        "nonesuch-package>=1",
        "pytest>=1",
        "tomli>=2; python_version < '3'",
        "ray>=1; extra == 'ray'",
    ]
    by_name = {f.about: f for f in requirements(declared)}
    assert set(by_name) == {"numpy", "nonesuch-package", "pytest"}
    assert [by_name[n].state.value for n in ("numpy", "nonesuch-package", "pytest")] == [PROBLEM, PROBLEM, OK]
    assert by_name["numpy"].fix == "pip install 'numpy>=999'"


def test_a_distribution_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a copy of the sources alone pytest does not know the plugin."""
    monkeypatch.setattr(doctor_checks, "DISTRIBUTION", "nonesuch-distribution")
    *_, finding = installed()
    assert (finding.state, finding.fix) == (State.PROBLEM, "pip install nonesuch-distribution")
