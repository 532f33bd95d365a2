"""Beside other plugins of pytest, all active at once and each with its options: no verdict, and no result, is another.

They are installed by the extra `plugins`; the matrix's environment of that name and CI run this file, with these
plugins active in the runs within it as well.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

PLUGINS = {
    "pytest-cov": "pytest_cov",
    "pytest-randomly": "randomly",
    "pytest-rerunfailures": "rerunfailures",
    "pytest-timeout": "timeout",
    "pytest-xdist": "xdist",
}


def missing() -> list[str]:
    """Those of the plugins that are not installed."""
    found = []
    for name in PLUGINS:
        try:
            version(name)
        except PackageNotFoundError:
            found.append(name)
    return found


pytestmark = pytest.mark.skipif(
    bool(missing()), reason=f"needs {', '.join(missing())}: pip install -e '.[test,plugins]'"
)

SUITE = """
import os
from pathlib import Path

@HOLDS
@FAILS
def test_violated(generator):
    with open("ran", "a") as file:
        file.write("violated\\n")
    return generator

@HOLDS
def test_holds(generator):
    return generator

@gentest.between(gentest.brightness(), tolerance=0.1).at_rate(0.9)
def test_rate(generator):
    return generator

@gentest.continuous(ratio=1.2)
def test_jumps(generator):
    return generator

def test_plain():
    pass
"""
EFFORT = {"cost": None, "rounding": None, "audit": None}


def found(repository: Repository, *arguments: str, ret: int = 1) -> dict[str, dict[str, Any]]:
    """The results of a run, by test and property, but for what they cost."""
    done = repository.check("--gentest-json", "results.json", "--gentest-budget", "256", *arguments)
    assert done.ret == ret, done.stdout.str() + done.stderr.str()
    return by_name(repository)


def by_name(repository: Repository) -> dict[str, dict[str, Any]]:
    """The results of the last run; none is there twice."""
    results = repository.document()["results"]
    named = {f"{r['test'].split('::', 1)[1]} {r['property'].partition('(')[0]}": r | EFFORT for r in results}
    assert len(named) == len(results)
    return named


def runs(repository: Repository) -> int:
    """How often the body of the test that fails was run, since somebody asked."""
    path = repository.path / "ran"
    n = len(path.read_text().splitlines()) if path.exists() else 0
    path.unlink(missing_ok=True)
    return n


FRESH = ("-p", "no:cacheprovider")
OTHER_WAYS = ("each", "loadscope", "loadfile", "loadgroup", "worksteal")
ALONE = ("-p", "no:rerunfailures", "-p", "no:timeout", "-p", "no:pytest_cov", "-p", "no:xdist")


def alone(repository: Repository) -> dict[str, dict[str, Any]]:
    """What the suite comes to with no other plugin's hand in it."""
    repository.write(SUITE)
    results = found(repository, *FRESH, *ALONE)
    assert {name: r["verdict"] for name, r in results.items()} == {
        "test_violated between": "no_counterexample",
        "test_violated responsive": "violated",
        "test_holds between": "no_counterexample",
        "test_rate between": "holds",
        "test_jumps continuous": "violated",
    }
    assert runs(repository) == 1
    return results


# --- pytest-randomly: other orders, and a seed before each test


def test_randomly_changes_no_result(repository: Repository) -> None:
    """Tests in another order, with Python's, NumPy's and torch's generators seeded before each: the same results."""
    expected = alone(repository)
    orders = set()
    for seed in (1, 2, 3):
        assert found(repository, *FRESH, "-p", "randomly", f"--randomly-seed={seed}") == expected
        orders.add(tuple(result["test"] for result in repository.document()["results"]))
    assert len(orders) > 1


# --- pytest-rerunfailures: a rerun is no second chance


def test_a_rerun_turns_no_violation_green(repository: Repository) -> None:
    """A violated property is violated at each rerun, and the results hold each test once."""
    expected = alone(repository)
    for only, again in (((), 2), (("--only-rerun", "responsive"), 2), (("--only-rerun", "OSError"), 0)):
        assert found(repository, *FRESH, "--reruns", "2", *only) == expected
        assert runs(repository) == 1 + again


def test_a_rerun_replays_what_failed(repository: Repository) -> None:
    """Where pytest's cache keeps what failed, a rerun looks at that first, and it fails again."""
    expected = alone(repository)
    results = found(repository, "--reruns", "2")
    assert {name: r["verdict"] for name, r in results.items()} == {n: r["verdict"] for n, r in expected.items()}
    assert results["test_violated responsive"]["search"]["replayed"]
    assert runs(repository) == 3


CHANGING = """
RAN = []

@gentest.responsive(at_least=0.01)
def test_changes(generator):
    RAN.append(1)
    return generator.truncated(1e-6) if len(RAN) == 1 else generator

@gentest.well_formed()
def test_recovers(generator):
    RAN.append(1)
    if len(RAN) == 3:
        raise OSError("the weights are not there yet")
    return generator
"""


def test_a_violation_that_a_rerun_does_not_find_is_an_error(repository: Repository) -> None:
    """A generator that is another one at the rerun does not pass by it; what was an error may be over by then."""
    repository.write(CHANGING)
    done = repository.check("--gentest-json", "results.json", "--reruns", "1", *FRESH)
    done.stdout.fnmatch_lines(["*violated at responsive:* when this test ran before, and not when it ran again*"])
    assert {name: r["verdict"] for name, r in by_name(repository).items()} == {
        "test_changes responsive": "error",
        "test_recovers well_formed": "no_counterexample",
    }


# --- pytest-timeout: an error of that test, and the others go on

HANGING = """
import time

def hangs(z):
    if len(z) > 4:
        time.sleep(30)
    return z.tanh()[:, :, None, None]

@HOLDS
def test_hangs():
    return gentest.Generator(hangs, latent=gentest.Normal(3))

@HOLDS
def test_next(generator):
    return generator
"""


def test_a_test_that_times_out_is_an_error_and_the_others_go_on(repository: Repository) -> None:
    """By signal: the property that hung is reported as an error, and the results hold the rest."""
    repository.write(HANGING)
    done = repository.check("--gentest-json", "results.json", "--timeout", "2", "--timeout-method", "signal", *FRESH)
    done.assert_outcomes(failed=1, passed=1)
    results = by_name(repository)
    assert {name: r["verdict"] for name, r in results.items()} == {
        "test_hangs between": "error",
        "test_next between": "no_counterexample",
    }
    assert "Timeout" in results["test_hangs between"]["message"]


THREAD = HANGING.replace("def test_hangs", "def test_z_hangs").replace("time.sleep(30)", "time.sleep(60)")


def test_a_worker_that_times_out_loses_its_own_test_alone(repository: Repository) -> None:
    """By thread, which ends the process: in a worker of xdist the others go on, and the results hold the rest."""
    repository.write(THREAD)
    flags = ("--timeout", "10", "--timeout-method", "thread", "-n", "1", *FRESH)
    done = repository.check("--gentest-json", "results.json", *flags)
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*worker 'gw0' crashed while running 'test_model.py::test_z_hangs'*"])
    assert by_name(repository)["test_next between"]["verdict"] == "no_counterexample"


# --- pytest-cov


def test_coverage_sees_the_generator(repository: Repository) -> None:
    """Lines of the user's generator count as covered, in the process and in xdist's workers."""
    repository.path.joinpath("my_model.py").write_text("def f(z):\n    return z.tanh()[:, :, None, None]\n")
    repository.write(
        "@HOLDS\ndef test_it():\n    import my_model\n"
        "    return gentest.Generator(my_model.f, latent=gentest.Normal(3))\n"
    )
    done = repository.apart("--cov", "my_model", "--cov-report", "term", "-n", "1", *FRESH)
    done.assert_outcomes(passed=1)
    done.stdout.re_match_lines([r"my_model\.py +2 +0 +100%"])


# --- Hypothesis's own plugin

PROFILES = """
import hypothesis
hypothesis.settings.register_profile("few", max_examples=1, derandomize=True, database=None, deadline=1)
hypothesis.settings.register_profile("mute", phases=[], print_blob=True)
"""


@pytest.mark.parametrize(
    "flags",
    [
        ("--hypothesis-seed=7", "--hypothesis-profile=few", "--hypothesis-verbosity=debug"),
        ("--hypothesis-profile=mute", "--hypothesis-show-statistics", "--hypothesis-explain"),
    ],
)
def test_no_option_of_hypothesis_changes_a_plan(repository: Repository, flags: tuple[str, ...]) -> None:
    """Neither its seed, a profile of one example and no phases, nor what it is to print has to do with gentest."""
    expected = alone(repository)
    with repository.path.joinpath("conftest.py").open("a") as file:
        file.write(PROFILES)
    assert found(repository, *FRESH, *flags) == expected


# --- pytest's own options


def test_which_tests_run_is_all_that_lf_ff_and_stepwise_change(repository: Repository) -> None:
    """Failed tests alone or first, and one after the other: what ran has its result, once, and nothing else passes."""
    expected = {name: r["verdict"] for name, r in alone(repository).items()}
    failed = {name: v for name, v in expected.items() if name.startswith(("test_violated", "test_jumps"))}
    first = {name: v for name, v in expected.items() if name.startswith("test_violated")}
    for flags, there in (
        (("--ff",), expected),
        (("--lf",), failed),
        (("--sw",), first),
        (("-x",), first),
        (("--assert=plain", "-W", "error"), expected),
    ):
        results = found(repository, *flags, ret=2 if flags == ("--sw",) else 1)
        assert {name: r["verdict"] for name, r in results.items()} == there, flags


def test_asserts_that_are_off_let_nothing_pass(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `python -O` pytest warns that asserts do nothing; what gentest checks does not rest on them."""
    expected = alone(repository)
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    done = repository.apart("--gentest-json", "results.json", "--gentest-budget", "256", *FRESH)
    done.assert_outcomes(failed=2, passed=3)
    assert by_name(repository) == expected


# --- pytest-xdist, and everything at once


@pytest.mark.parametrize("dist", ["load", *(pytest.param(d, marks=pytest.mark.slow) for d in OTHER_WAYS)])
def test_all_at_once_by_any_way_to_distribute_tests(repository: Repository, dist: str) -> None:
    """All plugins at work in two workers, by each of xdist's ways; `each` runs every test in both."""
    expected = alone(repository)
    everything = ("-p", "randomly", "--randomly-seed=5", "--reruns", "1", "--timeout", "60")
    assert found(repository, *FRESH, *everything, "-n", "2", "--dist", dist) == expected
    assert runs(repository) == (4 if dist == "each" else 2)
