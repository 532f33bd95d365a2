"""Properties of all outputs and properties with a scope, through pytest: exit status, and what each format says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

CONFTEST = """
import pytest, torch
import gentest

@pytest.fixture(scope="session")
def generator():
    space = gentest.Uniform(3, low=0, high=1)
    return gentest.Generator(lambda z: z[:, :1, None, None].expand(-1, 1, 2, 2), latent=space, output_range=(0, 1))

@gentest.statistic(n=64, of=gentest.brightness())
def middle(scores):
    return scores.median()

pytest.middle = middle
"""
TEST = """
import gentest, pytest

level = gentest.brightness()

@gentest.share(level, at_least=0.5, between=({low}, 0.9))
@gentest.uses_codes(lambda images: (images * 8).long(), k=8, at_least=1)
@pytest.middle(at_most=0.9)
def test_outputs(generator):
    return generator

@gentest.not_blank(at_least=0.1).where(level, at_least={scope})
def test_contrast(generator):
    return generator
"""


def model(repository: Repository, *, low: float, scope: float) -> None:
    repository.pytester.makeconftest(CONFTEST)
    repository.write(TEST.replace("{low}", str(low)).replace("{scope}", str(scope)))


def test_figures_that_hold_pass_and_are_in_every_format(repository: Repository) -> None:
    model(repository, low=0.3, scope=0.0)
    result = repository.check(
        "-k", "outputs", "-v", "--gentest-json", "out.json", "--gentest-report", "out.html", "--junit-xml", "out.xml"
    )
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*holds: the share with brightness() >= 0.5 is between 30 % and 90 %: * of *, * % [[]*]*, each end 99 %",
            "*holds: the share of 8 codes in use (<lambda>) is at least 100 %: 8 of 8, 100 % [[]100 %, 100 %]*",
            "*holds: the middle is at most 0.9: * [[]*]*, each end about 99 % by bootstrap, 64 outputs",
        ]
    )
    page, xml = ((repository.path / name).read_text("utf-8") for name in ("out.html", "out.xml"))
    assert "uses_codes(encoder=" in page
    assert "estimate_low" in xml
    estimates = [one["estimate"] for one in repository.document("out.json")["results"]]
    assert [one["bounding"] for one in estimates] == ["any time", "any time", "bootstrap"]


def test_a_share_outside_of_its_range_fails(repository: Repository) -> None:
    model(repository, low=0.8, scope=0.0)
    result = repository.check("-k", "outputs")
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*violated: the share with brightness() >= 0.5 is not between 80 % and 90 %: *"])


def test_a_scope_that_never_applies_is_never_green(repository: Repository) -> None:
    """Neither the status of the run nor its summary says that anything passed."""
    model(repository, low=0.3, scope=2.0)
    result = repository.check("-k", "contrast")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*undecided: applied to none of 20 probes, and a search needs 10*", "1 property: 1 undecided*"]
    )


def test_figures_are_blessed_and_compared(repository: Repository) -> None:
    model(repository, low=0.3, scope=0.0)
    assert repository.check("-k", "outputs", "--gentest-save-baseline", "base.json").ret == 0
    assert repository.check("-k", "outputs", "--gentest-baseline", "base.json").ret == 0
    conftest = CONFTEST.replace("lambda z: z[:, :1, None, None]", "lambda z: 0.4 * z[:, :1, None, None]")
    repository.pytester.makeconftest(conftest)
    fallen = repository.check("-k", "outputs", "--gentest-baseline", "base.json")
    assert fallen.ret == 1
    fallen.stdout.fnmatch_lines(["*the figure is violated, and was holds when the baseline was blessed*"])
