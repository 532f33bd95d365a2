"""`--gentest-cache-outputs`: what a second run with a new attribute makes and says, alone and among workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

CONFTEST = """
import pytest, torch
import gentest

def draw(z):
    images = (0.5 + 0.1 * z.tanh())[:, :, None, None].expand(-1, -1, 4, 4)
    return (images * 255).round() / 255 if {pixels} else images

@pytest.fixture(scope="session")
def generator():
    return gentest.Generator(draw, latent=gentest.Normal(3), output_range=(0, 1))
"""
OLD = """
@gentest.between(gentest.brightness(), tolerance=1)
@gentest.between(gentest.brightness(), tolerance=0.9).at_rate(0.5)
def test_old(generator):
    return generator
"""
NEW = """
@gentest.between(gentest.contrast(), tolerance=1)
@gentest.between(gentest.contrast(), tolerance=0.9).at_rate(0.5)
def test_new(generator):
    return generator
"""
EXAMINED = 16 + 4 + 16 + 1 + 1
CACHE = ("-p", "no:cacheprovider", "--gentest-cache", "cache", "--gentest-cache-outputs", "50M")


def made(repository: Repository) -> int:
    """The images of a run besides those that each check audits."""
    results = repository.document()["results"]
    assert all(result["verdict"] in ("no_counterexample", "holds") for result in results)
    return sum(result["cost"]["images"] - result["audit"]["images"] for result in results)


@pytest.mark.parametrize("flags", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["alone", "workers"])
@pytest.mark.parametrize("pixels", [True, False], ids=["8 bits", "16 bits"])
def test_a_run_with_a_new_attribute_makes_no_images(
    flags: tuple[str, ...], *, pixels: bool, repository: Repository
) -> None:
    """It makes those that it examines and audits, and says once that outputs were rounded, if they were."""
    repository.pytester.makeconftest(CONFTEST.format(pixels=pixels))
    repository.write(OLD)
    run = repository.apart if flags else repository.check
    run(*CACHE, *flags, "--gentest-json", "results.json")
    assert made(repository) > 20 * 9 + 32 * 9
    repository.write(NEW)
    result = run(*CACHE, *flags, "--gentest-json", "results.json")
    result.assert_outcomes(passed=1)
    assert made(repository) == EXAMINED + 1, "each check makes an examined image once more"
    said = [line for line in result.outlines if line.startswith("outputs come from the cache, kept in 16 bits")]
    assert len(said) == (not pixels)


def test_without_it_a_new_attribute_makes_them_again(repository: Repository) -> None:
    """This run shows that the test above can fail."""
    repository.pytester.makeconftest(CONFTEST.format(pixels=True))
    for source in (OLD, NEW):
        repository.write(source)
        repository.check("-p", "no:cacheprovider", "--gentest-cache", "cache", "--gentest-json", "results.json")
        assert made(repository) > 20 * 9 + 32 * 9
    assert not (repository.path / "cache" / "outputs.sqlite").exists()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--gentest-cache-outputs", "2G"), "*--gentest-cache-outputs needs --gentest-cache DIR"),
        (
            ("--gentest-cache", "c", "--gentest-cache-outputs", "2"),
            "*--gentest-cache-outputs: expected a size of at least 1M, with its unit, such as 500M, 2G or 1T "
            "but got '2'*",
        ),
        (("--gentest-cache", "c", "--gentest-cache-outputs", "10K"), "*expected a size of at least 1M*'10K'*"),
    ],
)
def test_a_size_that_means_nothing_is_a_usage_error(flags: tuple[str, ...], line: str, repository: Repository) -> None:
    repository.write(OLD)
    result = repository.check(*flags)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([line])


def test_an_ini_file_sets_it(repository: Repository) -> None:
    """A path of the ini file is relative to it."""
    repository.pytester.makeini("[pytest]\ngentest_cache = cache\ngentest_cache_outputs = 20M\n")
    repository.write(OLD)
    repository.check().assert_outcomes(passed=1)
    assert (repository.path / "cache" / "outputs.sqlite").stat().st_size > 10_000


def test_a_test_that_asks_for_outputs_and_no_folder_is_told(repository: Repository) -> None:
    repository.write("@gentest.settings(cache_outputs='2G')\n@HOLDS\ndef test_a(generator):\n    return generator\n")
    result = repository.check()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*cache_outputs='2G' needs a folder*--gentest-cache DIR*"])


def test_a_budget_goes_on_from_outputs_on_disk(repository: Repository) -> None:
    """Images from disk cost nothing: a budget for what is examined and audited decides a new attribute."""
    repository.pytester.makeconftest(CONFTEST.format(pixels=True))
    repository.write(OLD)
    repository.check(*CACHE)
    repository.write(NEW)
    result = repository.check(*CACHE, "--gentest-max-images", "220", "--gentest-json", "results.json")
    result.assert_outcomes(passed=1)
    assert made(repository) <= EXAMINED + 1 + 4 * 9, "blocks within a budget are smaller: other probes are made alone"


def test_a_file_that_is_none_is_said(repository: Repository) -> None:
    """The run comes to the same without it."""
    repository.write(OLD)
    Path(repository.path / "cache").mkdir()
    (repository.path / "cache" / "outputs.sqlite").write_bytes(b"no database" * 999)
    result = repository.check(*CACHE)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["warning: cache: *outputs.sqlite: *delete it to start over"])
