"""An attack in a run of pytest: asked for by an option, shown with the sample that it started from, and replayed."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from gentest.probes.probe import Probe

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

RARE = """
@gentest.property(probes=gentest.points())
def dark(evidence):
    return 0.5 - evidence.scores(gentest.brightness())[:, 0]

def f(z):
    level = torch.sigmoid(4 * (z[:, :16].mean(1) - 1))
    return level[:, None, None, None].expand(-1, 1, 2, 2)

@pytest.fixture
def rare():
    return gentest.Generator(f, latent=gentest.Normal(32), output_range=(0, 1))
"""
TEST = f"{RARE}\n@dark()\ndef test_it(rare):\n    return rare\n"


def test_what_it_finds_fails_the_test_and_replays(repository: Repository) -> None:
    """The block says that no probe of the search violates, how far it went from which sample; its command replays."""
    repository.write(TEST)
    result = repository.check("--gentest-attack", "5000", "--gentest-json", "results.json")
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "dark(): violated under attack, worst margin -* (by none of 20 probes; gradient, *",
            "  minimal  margin -*",
            "  moved    0.* of the way to an unrelated sample, in coordinates * of 32 counted from*",
            "  from     dark:*, a sample of margin 0.*",
            "  replay   pytest --gentest *-s*",
            "violated  test_it  dark() * 20  -0.*",
        ]
    )
    (found,) = repository.document()["results"]
    assert found["attack"]["found"] is True
    assert found["search"]["violations"] == 0
    (line,) = [line for line in result.outlines if line.startswith("  replay ")]
    again = repository.run(*shlex.split(line)[2:])
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(
        [f"dark(): violated by a replayed probe, margin {found['search']['counterexample']['margin']:.4g}"]
    )
    sample = repository.run("--gentest", "--gentest-replay", found["search"]["counterexample"]["moved"]["start"])
    sample.assert_outcomes(passed=1)


def test_the_next_run_looks_at_it_first(repository: Repository) -> None:
    """What an attack found is kept as any failing probe is, and needs no attack to be seen again."""
    repository.write(TEST)
    first = repository.results("--gentest-attack", "5000")["test_it dark()"]
    second = repository.results()["test_it dark()"]
    assert second["search"]["replayed"] is True
    assert second["search"]["counterexample"] == first["search"]["counterexample"]
    assert second["attack"] is None


def test_without_one_the_test_passes_and_with_one_that_finds_nothing_it_says_so(repository: Repository) -> None:
    """The search alone finds nothing; of a property that holds the line names what the attack saw."""
    repository.write(TEST)
    repository.check("-p", "no:cacheprovider").assert_outcomes(passed=1)
    repository.write("@HOLDS\ndef test_it(generator):\n    return generator\n")
    result = repository.check("--gentest-attack", "600", "--gentest-json", "results.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["no counterexample * 20  *", "    none under attack (*, * probes, smallest margin *)"])
    (found,) = repository.document()["results"]
    assert found["attack"]["found"] is False
    assert found["attack"]["images"] >= 600


@pytest.mark.parametrize("how", ["flag", "ini", "decorator"])
def test_the_budget_arrives(how: str, repository: Repository) -> None:
    """From the command line, an ini file or the test's own settings."""
    decorator = "@gentest.settings(attack=700)\n" if how == "decorator" else ""
    repository.write(TEST.replace("0.5 -", "2.0 -").replace("@dark()", f"{decorator}@dark()"))
    repository.pytester.makeini("[pytest]\n" + "gentest_attack = 700\n" * (how == "ini"))
    found = repository.results(*(["--gentest-attack", "700"] if how == "flag" else []))["test_it dark()"]
    assert found["attack"]["budget"] == 700


@pytest.mark.parametrize("value", ["-1", "many", "1.5"])
def test_another_budget_is_a_usage_error(value: str, repository: Repository) -> None:
    """One line that names the option and what it takes."""
    repository.write(TEST)
    result = repository.run("--gentest", f"--gentest-attack={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--gentest-attack: expected a whole number >= 0 but got*"])


@pytest.mark.parametrize("n", [31, 64])
def test_a_shift_that_does_not_fit_is_an_error_of_that_test(n: int, repository: Repository) -> None:
    """A replay string of another generator says that it does not fit."""
    repository.write(TEST)
    result = repository.run("--gentest", "--gentest-replay", f"dark:{Probe(1, shift=bytes([1] * n))}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*dark(): error: the probe * does not fit points() in Normal(32)*"])
