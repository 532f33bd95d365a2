"""Properties at a rate, through pytest: what passes, what fails with a counterexample, and what is undecided."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

CONFTEST = """
import pytest, torch
import gentest

@pytest.fixture(scope="session")
def generator(pytestconfig):
    share = float((pytestconfig.rootpath / "share").read_text())

    def draw(z):  # lit on a share of latents
        return (0.3 + 0.4 * (z[:, 0] < share) + 0.01 * z[:, 1])[:, None, None, None].expand(-1, 1, 2, 2)

    return gentest.Generator(draw, latent=gentest.Uniform(3, low=0, high=1), output_range=(0, 1))
"""
LIT = """
@gentest.property(probes=gentest.points())
def lit(evidence, *, floor=0.5):
    return evidence.scores(gentest.brightness())[:, 0] - floor
"""
TEST = LIT + "\n@lit().at_rate({rate})\ndef test_it(generator):\n    return generator\n"


def model(repository: Repository, share: float, rate: str = "0.9", source: str = TEST) -> None:
    """Makes a repository of a model that is lit on a share of latents, and of a test that asks for a rate of them."""
    repository.pytester.makeconftest(CONFTEST)
    (repository.path / "share").write_text(str(share))
    repository.write(source.replace("{rate}", rate))


def found(repository: Repository, *args: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    """A run, and its only result."""
    result = repository.check("--gentest-json", "results.json", *args)
    (only,) = repository.document()["results"]
    return result, only


def test_a_rate_that_holds_passes(repository: Repository) -> None:
    """A property that fails now and then passes at a rate, and what the search found is in the results."""
    model(repository, 0.97)
    result, one = found(repository, "--gentest-examples", "200")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert (one["verdict"], one["rate"]["verdict"]) == ("holds", "holds")
    assert one["property"] == "lit().at_rate(0.9)"
    assert one["search"]["violations"] > 0
    assert one["search"]["counterexample"]["margin"] < 0
    rate = one["rate"]
    assert rate["p0"] - rate["slack"] == pytest.approx(0.86)
    assert rate["low"] < rate["passes"] / rate["probes"] < rate["high"]
    assert rate["probes"] <= rate["budget"] == 4096
    result.stdout.fnmatch_lines(
        ["holds * test_it  lit().at_rate(0.9) * of *  * % [[]*]*", "    a counterexample all the same: *-replay lit:*"]
    )
    repository.check("-v").stdout.fnmatch_lines(["    * of *, each end 99 %, certified at 86 %"])


def test_a_rate_that_is_violated_fails_with_a_counterexample(repository: Repository) -> None:
    """A refuted rate fails, names the threshold, and its minimal counterexample is replayed by the printed command."""
    model(repository, 0.7)
    result, one = found(repository)
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    assert one["verdict"] == "violated"
    result.stdout.fnmatch_lines(
        ["lit().at_rate(0.9): holds for fewer than 90 % of probes*: * pass, *", "  minimal  margin *"]
    )
    (command,) = [line for line in result.outlines if line.startswith("  replay ")]
    again = repository.run(*shlex.split(command)[2:], "--gentest-json", "again.json")
    again.assert_outcomes(failed=1)
    (replayed,) = repository.document("again.json")["results"]
    assert replayed["search"]["counterexample"]["margin"] == one["search"]["counterexample"]["margin"]
    assert replayed["rate"] is None


@pytest.mark.parametrize("examples", [1, 2, 3])
def test_a_refuted_rate_has_a_counterexample_that_the_search_missed(examples: int, repository: Repository) -> None:
    """Where the search's few examples all hold, a probe that refuted the rate is the counterexample."""
    for seed in range(20):
        model(repository, 0.8, "0.95")
        result, one = found(repository, "--gentest-examples", str(examples), "--gentest-seed", str(seed))
        result.assert_outcomes(failed=1)
        assert one["search"]["counterexample"]["margin"] < 0
        assert one["search"]["examples"] == examples
        if one["search"]["violations"] == 0:
            break
        repository.run("--cache-clear", "--collect-only", "-q")
    else:
        pytest.fail("the search found one each time")
    result.stdout.fnmatch_lines(["  minimal  margin *", "  replay   pytest --gentest *"])


def test_a_small_budget_is_undecided(repository: Repository) -> None:
    """A budget that is spent fails by default with both thresholds and the evidence, and may only warn."""
    model(repository, 0.9, "0.9, slack=0")
    result, one = found(repository, "--gentest-budget", "64")
    result.assert_outcomes(failed=1)
    assert (one["verdict"], one["rate"]["probes"], one["rate"]["budget"]) == ("undecided", 64, 64)
    result.stdout.fnmatch_lines(
        [
            "lit().at_rate(0.9, slack=0): undecided between at least 90 % and fewer than 90 % of probes: * of 64 "
            "pass, *, each end 99 %; evidence * : 1 for at least 90 %, needs 100 : 1; * : 1 for fewer than 90 %, needs "
            "100 : 1; budget 64 probes"
        ]
    )
    result, _ = found(repository, "--gentest-budget", "64", "--gentest-undecided", "warn", "-W", "default")
    result.assert_outcomes(passed=1, warnings=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*UndecidedWarning: lit().at_rate(0.9, slack=0): undecided between *"])


@pytest.mark.parametrize(
    ("ini", "decorator", "flag", "expected"),
    [("", "", "", 4096), ("90", "", "", 90), ("90", "80", "", 80), ("90", "80", "70", 70), ("", "", "7", 7)],
)
def test_where_a_budget_comes_from(ini: str, decorator: str, flag: str, expected: int, repository: Repository) -> None:
    """The command line comes before a test's own budget, that before the ini file."""
    source = TEST.replace("@lit", f"@gentest.settings(budget={decorator})\n@lit") if decorator else TEST
    model(repository, 0.9, "0.9", source)
    if ini:
        repository.pytester.makeini(f"[pytest]\ngentest_budget = {ini}")
    _, one = found(repository, *(["--gentest-budget", flag] if flag else []))
    assert one["rate"]["budget"] == expected
    assert one["rate"]["probes"] <= expected


WRONG = [
    (
        "lit().at_rate(1)",
        "lit.at_rate: Expected a number above 0 and below 1 but got p0=1 (type=int); a property that *",
    ),
    ("lit().at_rate(0)", "lit.at_rate: Expected a number above 0 and below 1 but got p0=0 (type=int); *"),
    ("lit().at_rate('x')", "lit.at_rate: Expected a number above 0 and below 1 but got p0='x' (type=str); *"),
    ("lit().at_rate(True)", "lit.at_rate: Expected a number above 0 and below 1 but got p0=True (type=bool); *"),
    (
        "lit().at_rate(float('nan'))",
        "lit.at_rate: Expected a number above 0 and below 1 but got p0=nan (type=float); *",
    ),
    ("lit().at_rate(None)", "lit.at_rate: Expected a number above 0 and below 1 but got p0=None (type=NoneType); *"),
    ("lit().at_rate(0.9, confidence=1)", "lit.at_rate: Expected a number above 0 and below 1 but got confidence=1 *"),
    (
        "lit().at_rate(0.9, slack=0.9)",
        "lit.at_rate: Expected a number >= 0 and below p0 but got slack=0.9 (type=float)",
    ),
    (
        "lit().at_rate(0.9, slack=-0.1)",
        "lit.at_rate: Expected a number >= 0 and below p0 but got slack=-0.1 (type=float)",
    ),
    ("lit().at_rate(0.9).at_rate(0.8)", "lit.at_rate: lit().at_rate(0.9) has a rate already"),
    (
        "gentest.prior_invariant(lit().at_rate(0.9), priors=[gentest.Normal(3)])",
        "prior_invariant: give the rate to the whole: prior_invariant(..., priors=[[]...]).at_rate(0.9)",
    ),
    ("gentest.between(gentest.brightness(), tolerance=-1).at_rate(0.9)", "between: *tolerance=-1*"),
    ("gentest.between(gentest.brightness(), tolerance=1).at_rate(2).at_rate(0.9)", "between.at_rate: *p0=2*"),
]


@pytest.mark.parametrize(("property", "said"), WRONG, ids=[p for p, _ in WRONG])
def test_a_wrong_rate_fails_its_test_in_one_line(property: str, said: str, repository: Repository) -> None:
    """A wrong argument fails the one test that has it, with one line, and loses no other."""
    model(
        repository,
        0.9,
        source=LIT + f"\n@{property}\ndef test_it(generator):\n    return generator\ndef test_other(): pass\n",
    )
    result = repository.check()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"*{said}"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("* site-packages*")


def test_properties_of_every_kind_take_a_rate(repository: Repository) -> None:
    """Paths, pairs, single outputs, a property of all priors and one of one's own are decided at a rate."""
    model(
        repository,
        0.97,
        source=LIT
        + """
BRIGHT = gentest.brightness()

@gentest.between(BRIGHT, tolerance=0.9).at_rate(0.8)
@gentest.monotone(BRIGHT, tolerance=0.9).at_rate(0.8)
@gentest.continuous(tolerance=0.9).at_rate(0.8)
@gentest.responsive(at_least=1e-6).at_rate(0.8)
@gentest.well_formed().at_rate(0.8)
@gentest.reproducible().at_rate(0.8)
@gentest.prior_invariant(lit(), priors=[gentest.Uniform(3, low=0, high=0.9)], delta=0.2).at_rate(0.8)
@lit(floor=0.4).at_rate(0.8)
def test_it(generator):
    return generator
""",
    )
    found = repository.results("--gentest-budget", "400")
    assert len(found) == 8
    assert {one["verdict"] for one in found.values()} == {"holds"}
    assert all(name.endswith(".at_rate(0.8)") for name in found)


def test_the_search_counts_in_no_rate(repository: Repository) -> None:
    """However many examples the search looks at, the rate's probes and figures are the same."""
    rates = []
    for examples in ("1", "20", "200"):
        model(repository, 0.95)
        _, one = found(repository, "--gentest-examples", examples)
        assert one["search"]["examples"] in (int(examples), one["search"]["violations"])
        rates.append(one["rate"])
    assert rates[0] == rates[1] == rates[2]


def test_a_counterexample_of_the_run_before_counts_in_no_rate(repository: Repository) -> None:
    """A probe that failed before is shown first, and the rate is decided as if it were not there."""
    model(repository, 0.7)
    _, first = found(repository)
    _, second = found(repository)
    assert second["search"]["replayed"]
    assert first["rate"] == second["rate"]


def test_another_seed_takes_other_probes(repository: Repository) -> None:
    """A rate's probes are those of the run's seed."""
    model(repository, 0.9, "0.9, slack=0")
    rates = [
        found(repository, "--gentest-budget", "200", "--gentest-seed", seed)[1]["rate"] for seed in ("0", "1", "2")
    ]
    assert len({rate["passes"] for rate in rates}) > 1


@pytest.mark.parametrize(
    "flags", [("--gentest-batch-size", "7"), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=" ".join
)
def test_batches_and_workers_change_no_rate(flags: tuple[str, ...], repository: Repository) -> None:
    """Verdict and figures are the same in batches of 1, 7 and 64, and on two workers."""
    model(repository, 0.95)
    rates = [found(repository, *args)[1]["rate"] for args in (flags, ("--gentest-batch-size", "1"), ())]
    assert rates[0] == rates[1] == rates[2]


def test_a_probe_that_never_moves_is_an_error(repository: Repository) -> None:
    """Paths in a space of a single latent go nowhere: one line says so, and no rate is made of them."""
    model(
        repository,
        0.9,
        source="@gentest.between(gentest.brightness(), tolerance=0.1).at_rate(0.9)\ndef test_it():\n"
        "    space = gentest.Empirical(torch.zeros(1, 3))\n"
        "    return gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=space, output_range=(-1, 1))\n",
    )
    result, one = found(repository)
    result.assert_outcomes(failed=1)
    assert (one["verdict"], one["rate"]) == ("error", None)
    assert "nothing moves in" in one["message"]
    assert "\n" not in one["message"]


def test_a_generator_that_breaks_on_a_rates_probe_is_an_error(repository: Repository) -> None:
    """Outputs that are no numbers stop the check, and are not left out of the rate."""
    model(repository, 0.9)
    conftest = repository.path / "conftest.py"
    conftest.write_text(
        conftest.read_text().replace("0.01 * z[:, 1]", "0.01 * torch.where(z[:, 1] > 0.99, torch.nan, z[:, 1])")
    )
    result, one = found(repository, "--gentest-examples", "1", "--gentest-seed", "3")
    result.assert_outcomes(failed=1)
    assert (one["verdict"], one["rate"]) == ("error", None)


def test_a_rate_that_holds_is_searched_anew(repository: Repository) -> None:
    """A counterexample beside a rate that holds is no failure to look at first: two runs say the same."""
    repository.write("@gentest.responsive(at_least=0.2).at_rate(0.5)\ndef test_it(generator):\n    return generator\n")
    found = []
    for _ in range(2):
        repository.check("--gentest-json", "results.json", "--gentest-examples", "100")
        (result,) = repository.document()["results"]
        found.append({name: result[name] for name in ("verdict", "rate", "search")})
    assert found[0] == found[1]
    assert found[0]["verdict"] == "holds"
    assert found[0]["search"]["violations"] > 0
    assert not found[0]["search"]["replayed"]
