"""The budget of a run: what is decided within it, what it says of the rest, and the exit status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gentest import cli
from gentest.plugin.run_budget import FileLedger
from gentest.results.outcome import Outcome
from tests.helpers.slow import Clock

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

CONFTEST = """
import pytest, torch
import gentest
from gentest.engine import cost

def draw(z):
    if hasattr(cost.clock, "now"):
        cost.clock.now += 5.0 * len(z)  # seconds an image
    with open("made", "a") as file:
        file.write(f"{len(z)}\\n")
    return (0.5 + 0.1 * z.tanh())[:, :, None, None]

@pytest.fixture(scope="session")
def generator():
    return gentest.Generator(draw, latent=gentest.Normal(3), output_range=(0, 1), identity="draw")
"""
SUITE = """
@gentest.between(gentest.brightness(), tolerance=1)
def test_long(generator):
    return generator

@gentest.property(probes=gentest.points())
def lit(evidence, *, floor=0.1):
    return evidence.scores(gentest.brightness())[:, 0] - floor

@lit()
def test_short(generator):
    return generator
"""
BOUND = ("--gentest-examples", "20", "--gentest-json", "results.json")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the runs in this process."""
    return Clock.installed(monkeypatch)


def made(repository: Repository) -> int:
    """Images made since the last time that somebody asked."""
    file = repository.path / "made"
    n = sum(map(int, file.read_text().split())) if file.exists() else 0
    file.unlink(missing_ok=True)
    return n


def write(repository: Repository, source: str = SUITE) -> None:
    """Make a repository of a generator that takes five seconds for an image on a clock that moves by itself."""
    repository.pytester.makeconftest(CONFTEST)
    repository.write(source)


PATHS = """
@gentest.between(gentest.brightness(), tolerance=1)
def test_paths(generator):
    return generator

@gentest.property(probes=gentest.points())
def lit(evidence, *, floor=0.1):
    return evidence.scores(gentest.brightness())[:, 0] - floor

@lit().at_rate(0.6)
def test_rate(generator):
    return generator

@lit()
def test_few(generator):
    return generator
"""
ORDER = {"test_few": "PASSED", "test_rate": "PASSED", "test_paths": "FAILED"}
FIVE_MINUTES = ("--gentest-max-minutes", "5", "--gentest-cache", "cache", *BOUND, "--gentest-examples", "8")


def by_test(repository: Repository) -> dict[str, dict[str, Any]]:
    """The results of the last run by the name of their test."""
    return {one["test"].partition("::")[2]: one for one in repository.document()["results"]}


def test_a_run_ends_within_its_minutes_and_says_what_is_missing(repository: Repository, clock: Clock) -> None:
    """Five minutes at five seconds an image are 60 images: the cheapest tests are decided, in their order.

    Nothing undecided is green: the exit status is 3, and the line says how many images more are needed.
    """
    write(repository, PATHS)
    result = repository.check("-v", *FIVE_MINUTES)
    assert 3.5 * 60 <= clock.now <= 5.5 * 60, "a path and its audit no longer fit into the rest"
    assert result.ret == Outcome.UNDECIDED.exit_status
    results = by_test(repository)
    verdicts = {name: one["verdict"] for name, one in results.items()}
    assert verdicts == {"test_few": "no_counterexample", "test_rate": "holds", "test_paths": "undecided"}
    paths = results["test_paths"]
    assert paths["shortfall"]["bound"] == "max_minutes=5"
    assert 0 < paths["shortfall"]["images"] <= 8 * 9
    assert sum(one["cost"]["images"] for one in results.values()) == made(repository)
    result.stdout.fnmatch_lines(
        [
            "gentest: within a budget, tests run in the order of their forecasts, the cheapest first",
            *(f"*::{name} {status}*" for name, status in ORDER.items()),
            "between(brightness(), tolerance=1): undecided, since max_minutes=5 ends the run: about * images more*",
        ]
    )
    assert cli.main(["show", str(repository.path / "results.json")]) == Outcome.UNDECIDED.exit_status


def test_a_run_of_minutes_goes_on_with_its_cache(repository: Repository, clock: Clock) -> None:
    """Each run ends within its five minutes and decides more paths; when all are decided, the exit status is 0."""
    write(repository, PATHS)
    needed = []
    for _ in range(6):
        clock.now = 0.0
        status = repository.check(*FIVE_MINUTES).ret
        assert clock.now <= 5.5 * 60
        results = by_test(repository)
        needed.append(sum(one["shortfall"]["images"] for one in results.values() if one["shortfall"]))
        if status == 0:
            break
        assert status == Outcome.UNDECIDED.exit_status
    assert status == 0
    assert results["test_paths"]["search"]["examples"] == 8
    assert len(needed) > 2
    assert needed == sorted(set(needed), reverse=True), "each run needs fewer images than the one before"
    assert needed[-1] == 0


def test_a_cached_run_goes_on_where_the_images_ended(repository: Repository, clock: Clock) -> None:
    """Later runs make the images that are missing, and not those that an earlier run has audited and kept."""
    write(repository)
    cache = ("--gentest-cache", "cache", "--gentest-max-images", "100", *BOUND)
    examples, images = [], []
    for _ in range(6):
        status = repository.check(*cache).ret
        images.append(made(repository))
        examples.append({name: one["search"]["examples"] for name, one in by_test(repository).items()})
    assert max(images) <= 100
    longs = [of_run["test_long"] for of_run in examples]
    assert longs == sorted(longs)
    assert longs[0] < longs[1] < longs[2]
    assert (longs[-1], status) == (20, 0)


def test_a_violation_stays_one_when_the_budget_ends(repository: Repository, clock: Clock) -> None:
    """It is reported as it was found, with exit status 1."""
    write(repository, SUITE.replace("@gentest.between(gentest.brightness(), tolerance=1)", "@FAILS"))
    result = repository.check("--gentest-max-images", "75", *BOUND)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (violated,) = [one for one in repository.document()["results"] if one["verdict"] == "violated"]
    assert violated["search"]["counterexample"]["margin"] < 0
    assert made(repository) <= 75


def test_an_undecided_check_never_passes(repository: Repository, clock: Clock) -> None:
    """Not even in a run that only warns about undecided rates; and nothing of it is blessed."""
    write(repository)
    result = repository.check("--gentest-max-images", "60", "--gentest-undecided", "warn", *BOUND)
    assert result.ret == Outcome.UNDECIDED.exit_status
    blessed = repository.check("--gentest-max-images", "60", "--gentest-save-baseline", "b.json", *BOUND)
    blessed.stdout.fnmatch_lines(["not blessed: * is not finished, since max_images=60 ends the run*"])
    assert not (repository.path / "b.json").exists()


def test_a_test_has_a_bound_of_its_own(repository: Repository, clock: Clock) -> None:
    """`settings(max_images=)` on a test bounds that test and no other."""
    write(repository, SUITE.replace("@gentest.between", "@gentest.settings(max_images=60)\n@gentest.between"))
    repository.check(*BOUND)
    by_test = {one["test"].partition("::")[2]: one for one in repository.document()["results"]}
    assert by_test["test_long"]["cost"]["images"] <= 60
    assert by_test["test_long"]["shortfall"]["bound"] == "max_images=60"
    assert by_test["test_short"]["verdict"] == "no_counterexample"


def test_workers_share_a_ledger(tmp_path: Path) -> None:
    """Two processes never claim more than there is together."""
    one, other = FileLedger(tmp_path), FileLedger(tmp_path)
    assert (one.claim(6, most=10), other.claim(6, most=10), one.claim(1, most=10)) == (6, 4, 0)
    other.give_back(3)
    assert one.claimed == 7


@pytest.mark.slow
def test_workers_of_a_run_share_its_budget(repository: Repository) -> None:
    """Both of two workers stop before the run has made more images than it may."""
    write(repository, SUITE.replace("generator", "other") + SUITE.replace("test_", "test_other_"))
    repository.pytester.makeconftest(
        CONFTEST + "\n\n@pytest.fixture(scope='session')\ndef other():\n"
        "    return gentest.Generator(lambda z: draw(z).flip(1), latent=gentest.Normal(3), output_range=(0, 1))\n"
    )
    result = repository.check("-n", "2", "--gentest-max-images", "150", *BOUND)
    assert made(repository) <= 150
    assert result.ret == Outcome.UNDECIDED.exit_status


def test_the_forecast_comes_after_the_first_images(
    repository: Repository, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says how many images and how long, evidence that tests share once, and is near what the run then costs."""
    write(repository)
    repository.check("-v", *BOUND, "--gentest-examples", "60")
    took = made(repository)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("gentest: 2 properties want ")]
    images = int(line.split()[4].replace(",", ""))
    assert abs(images - took) <= 0.1 * took
    assert line.endswith(" min at 5.0 s an image")


def test_a_forecast_alone_makes_no_image(repository: Repository) -> None:
    """`--gentest-forecast` prints a line for each property, and runs nothing."""
    write(repository)
    result = repository.check("--gentest-forecast")
    assert result.ret == pytest.ExitCode.OK
    assert made(repository) == 0
    result.stdout.fnmatch_lines(
        ["gentest: 2 properties want * images", "* *::test_long  between", "* *::test_short  lit"]
    )


DERIVED = """
@gentest.between(gentest.brightness(), tolerance=1)
def test_whole(generator):
    return generator

@gentest.monotone(gentest.brightness(), tolerance=1)
def test_again(generator):
    \"\"\"It returns what the first one returns.\"\"\"
    return generator

@gentest.between(gentest.brightness(), tolerance=1)
def test_truncated(generator):
    return generator.truncated(0.7)

@gentest.monotone(gentest.brightness(), tolerance=1)
def test_truncated_again(generator):
    return generator.truncated(0.7)

@gentest.monotone(gentest.brightness(), tolerance=1)
def test_truncated_more(generator):
    return generator.truncated(0.5)
"""


def test_a_forecast_tells_generators_by_what_a_body_does(
    repository: Repository, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    """Tests share evidence if they return the same generator: the same fixture, and changed in the same way."""
    write(repository, DERIVED)
    lines = repository.check("--gentest-forecast", *BOUND).outlines
    images = {line.split("::")[1].split()[0]: int(line.split()[0]) for line in lines if "::test_" in line}
    assert images["test_again"] < 0.2 * images["test_whole"]
    assert images["test_truncated_again"] < 0.2 * images["test_truncated"]
    assert images["test_truncated"] == images["test_truncated_more"] > 0.9 * images["test_whole"]
    capfd.readouterr()
    repository.check(*BOUND)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("gentest: 5 properties want ")]
    took = sum(one["cost"]["images"] for one in repository.document()["results"])
    assert abs(int(line.split()[4].replace(",", "")) - took) <= 0.05 * took


def test_the_tests_of_a_module_stay_together(repository: Repository, clock: Clock) -> None:
    """A fixture of a module is set up once, though tests of other modules are cheaper than its dearest."""
    write(repository)
    for name in ("one", "two"):
        repository.write(
            f"@pytest.fixture(scope='module')\ndef own(generator):\n    open('set-up', 'a').write('{name} ')\n"
            "    return generator\n" + SUITE.replace("(generator)", "(own)").replace("return generator", "return own"),
            f"test_{name}",
        )
    repository.check("--gentest-max-images", "100000", *BOUND)
    assert sorted((repository.path / "set-up").read_text().split()) == ["one", "two"]
