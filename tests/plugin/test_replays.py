"""A counterexample is replayed by the command that was printed, and looked at first in the next run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

FAILING = "@FAILS\ndef test_it(generator):\n    return generator\n"


def commands(result: pytest.RunResult) -> list[list[str]]:
    """The arguments of each replay command that a run printed."""
    lines = [line.split("replay", 1)[1] for line in result.outlines if line.startswith("  replay ")]
    words = [shlex.split(line) for line in lines]
    assert all(w[0] == "pytest" for w in words)
    return [w[1:] for w in words]


def replayed(repository: Repository, words: list[str]) -> tuple[pytest.RunResult, dict[str, float]]:
    """The run of a replay command, and the margin of the counterexample of each result."""
    result = repository.run(*words, "--gentest-json", "replayed.json")
    results = repository.document("replayed.json")["results"]
    return result, {r["test"]: r["search"]["counterexample"]["margin"] for r in results}


IDS = ["plain", "a b", "[x]", "it's", 'say "so"', "a::b", "$HOME `ls` !1", "été", "-n", "a;b|c&d", "x\\y", "*?"]


def test_the_printed_command_reproduces_the_margin(repository: Repository) -> None:
    """For any name of a test, a shell that runs the printed line finds the same probe violating by the same margin."""
    repository.write(
        f"@pytest.mark.parametrize('n', range({len(IDS)}), ids={IDS!r})\n@FAILS\ndef test_it(generator, n):\n"
        "    return generator.truncated(1 / (n + 1))"
    )
    result = repository.check("--gentest-json", "results.json")
    result.assert_outcomes(failed=len(IDS))
    found = {r["test"]: r["search"]["counterexample"]["margin"] for r in repository.document()["results"]}
    for words in commands(result):
        again, margins = replayed(repository, words)
        again.assert_outcomes(failed=1)
        assert again.ret == 1
        ((test, margin),) = margins.items()
        assert margin == found.pop(test)
        again.stdout.fnmatch_lines([f"responsive(*): violated by a replayed probe, margin {margin:.4g}"])
    assert not found


@pytest.mark.parametrize("folder", ["", "a folder", "it's/deep"])
def test_the_command_works_from_where_pytest_was_started(
    folder: str, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path in the command is the one from the folder of the run, which need not be rootdir."""
    repository.pytester.makeini("[pytest]")
    path = repository.path / folder / "test_model.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    repository.write("class TestIt:\n    @FAILS\n    def test_it(self, generator):\n        return generator").rename(
        path
    )
    start = repository.path / "start"
    start.mkdir()
    monkeypatch.chdir(start)
    result = repository.check(str(path))
    (words,) = commands(result)
    assert words[1] == f"../{folder}/test_model.py::TestIt::test_it".replace("//", "/")
    again = repository.run(*words)
    again.assert_outcomes(failed=1)
    assert again.ret == 1


def test_the_command_names_what_the_outcome_depends_on(repository: Repository) -> None:
    """Checkpoint, device and profile of the command line are repeated; seed, examples and batch size decide nothing."""
    (repository.path / "my gan.pt").write_text("weights")
    repository.write(
        "@FAILS\ndef test_it(generator, gentest_checkpoint):\n    assert gentest_checkpoint\n    return generator"
    )
    result = repository.check(
        *("--gentest-checkpoint", "my gan.pt", "--gentest-device", "cpu", "--gentest-profile", "quick"),
        *("--gentest-seed", "3", "--gentest-batch-size", "4"),
    )
    (words,) = commands(result)
    assert words[4:] == [
        *("--gentest-checkpoint", "my gan.pt", "--gentest-device", "cpu", "--gentest-profile", "quick"),
    ]
    again = repository.run(*words)
    again.assert_outcomes(failed=1)
    assert again.ret == 1


def test_a_replay_evaluates_one_probe_of_one_property(repository: Repository) -> None:
    """Of stacked properties only the named one is looked at, on the one probe; the rest of the file is not checked."""
    repository.write(
        "@HOLDS\n@FAILS\ndef test_it(generator):\n    return generator\n"
        "@gentest.well_formed()\ndef test_other(generator):\n    return generator"
    )
    result = repository.check("--gentest-json", "results.json", "--gentest-replay", "between:1f")
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["no counterexample*test_it  between*"])
    (found,) = repository.document()["results"]
    assert (found["search"]["examples"], found["search"]["replayed"], found["verdict"]) == (
        1,
        True,
        "no_counterexample",
    )


@pytest.mark.parametrize(
    "source", [FAILING, "def test_it():\n    pass", "@HOLDS\ndef test_it(generator):\n    pytest.skip('no')"]
)
def test_nothing_replayed_is_no_success(source: str, repository: Repository) -> None:
    """Where no selected test has the property the run says so, and ends as one that collected nothing."""
    repository.write(source)
    result = repository.check("--gentest-replay", "monotone:1f")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["--gentest-replay: no selected test has a property 'monotone'"])


def test_a_probe_of_another_space_is_an_error(repository: Repository) -> None:
    """A replayed probe whose choices do not fit the generator's space is an error that names both."""
    repository.write(FAILING)
    result = repository.check("--gentest-replay", "responsive:1f-c3")
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["responsive(*): error: the probe 1f-c3 does not fit *"])


def stored(repository: Repository) -> list[Path]:
    """The files in pytest's cache that remember failures."""
    return sorted((repository.path / ".pytest_cache" / "d" / "gentest").glob("*.json"))


CHANGING = """
import os
@gentest.responsive(at_least=float(os.environ["AT_LEAST"]))
def test_it(generator):
    return generator
"""


def test_a_failure_is_looked_at_first_and_forgotten_when_it_passes(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run says `violated by a replayed probe`; once it holds the whole search runs, and remembers nothing."""
    repository.write(CHANGING)
    monkeypatch.setenv("AT_LEAST", "10")
    first = repository.results()
    assert [r["search"]["replayed"] for r in first.values()] == [False]
    result = repository.check("--gentest-json", "results.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["responsive(*): violated by a replayed probe, margin *"])
    (found,) = repository.document()["results"]
    assert (found["search"]["replayed"], found["search"]["examples"]) == (True, 2)
    assert len(stored(repository)) == 1
    monkeypatch.setenv("AT_LEAST", "0.000001")
    result = repository.check()
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["no counterexample * 20  *"])
    monkeypatch.setenv("AT_LEAST", "10")
    repository.check().stdout.fnmatch_lines(["responsive(*): violated by 20 of 20 probes*"])


def test_a_remembered_failure_survives_an_edit_of_the_test(repository: Repository) -> None:
    """Failures are kept by test and property, not by source."""
    repository.write(FAILING)
    repository.check()
    repository.write("# edited\n" + FAILING.replace("return generator", "x = generator\n    return x"))
    repository.check().stdout.fnmatch_lines(["*violated by a replayed probe*"])


def test_the_profile_ci_looks_at_no_earlier_failure(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CI is set the verdict comes from the sources alone."""
    repository.write(FAILING)
    repository.check()
    monkeypatch.setenv("CI", "true")
    repository.check().stdout.fnmatch_lines(["*violated by 20 of 20 probes*"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b"3",
        b"null",
        b"[]",
        b'"text"',
        b'{"probes": null}',
        b'{"probes": 3}',
        b'{"probes": {"0": "1f"}}',
        b'{"probes": [3, null]}',
        b'{"probes": ["xyz"]}',
        b'{"probes": ["1f-c99"]}',
        b'{"probes": ["1f", "1f-w9.3"]}',
        b'{"failures": ["1f"]}',
    ],
)
def test_a_corrupt_memory_is_no_memory(content: bytes, repository: Repository) -> None:
    """Whatever stands in pytest's cache, the run is one that remembers nothing."""
    repository.write(FAILING)
    repository.check()
    (path,) = stored(repository)
    path.write_bytes(content)
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*violated by 20 of 20 probes*"])
    assert json.loads(path.read_text())["test"] == "test_model.py::test_it"


def test_a_replay_leaves_the_memory_as_it_was(repository: Repository) -> None:
    """`--gentest-replay` of a probe that holds does not forget the ones that fail."""
    repository.write("@gentest.responsive(at_least=0.4)\ndef test_it(generator):\n    return generator")
    repository.check()
    (path,) = stored(repository)
    before = path.read_bytes()
    seeds = (f"responsive:{seed:x}" for seed in range(99))
    assert any(repository.check("--gentest-replay", seed).ret == 0 for seed in seeds)
    assert path.read_bytes() == before


def test_an_error_leaves_the_memory_as_it_was(repository: Repository) -> None:
    """A generator that is broken for a while does not lose what was found."""
    repository.write(FAILING)
    repository.check()
    (path,) = stored(repository)
    before = path.read_bytes()
    repository.write("@FAILS\ndef test_it():\n    return gentest.Generator(lambda z: 1 / 0, latent=gentest.Normal(3))")
    repository.check().assert_outcomes(failed=1)
    assert path.read_bytes() == before


PROMPTS = """
import torch
import gentest

def painted(z, prompt):
    level = torch.tensor([0.9 if "red" in text and "hat" in text else 0.1 for text in prompt])
    return level[:, None, None, None].expand(-1, 1, 2, 2) + 0.01 * z[:, :1, None, None].tanh()

@gentest.property(probes=gentest.points())
def dark(evidence):
    return 0.5 - evidence.scores(gentest.brightness())[:, 0]

@dark()
def test_dark():
    prompt = gentest.Template("a {size} {colour} {thing}", size=[None, "big"], colour=COLOURS, thing=["coat", "hat"])
    space = gentest.Joint(z=gentest.Normal(2), prompt=prompt)
    return gentest.Generator(painted, latent=space, output_range=(0, 1))
"""


def test_a_replay_command_knows_the_prompt(repository: Repository) -> None:
    """The report shows the shortest prompt; its command finds it in a list that grew, and says if it is gone."""

    def write(*colours: str) -> None:
        repository.write(PROMPTS.replace("COLOURS", repr(list(colours))))

    write("blue", "red")
    result = repository.check("--gentest-json", "results.json", "--gentest-report", "report.html")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "  minimal  margin -*, prompt='a red hat'*",
            "  words    prompt='red hat' fails as well, with margin -*",
            "  replay   pytest --gentest test_*-c0=*.1=*.1=*",
        ]
    )
    assert repository.document()["results"][0]["search"]["counterexample"]["choices"] == {"prompt": "a red hat"}
    page = (repository.path / "report.html").read_text(encoding="utf-8")
    assert "prompt=&#39;a red hat&#39;" in page
    assert "choice 1" not in page
    (words,) = commands(result)
    write("green", "blue", "red", "white")
    again = repository.run(*words)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["  minimal  margin -*, prompt='a red hat'*"])
    next_run = repository.check()
    next_run.stdout.fnmatch_lines(["*replayed probe*", "  minimal  margin -*, prompt='a red hat'*"])
    write("green", "blue")
    gone = repository.run(*words)
    gone.assert_outcomes(failed=1)
    assert gone.ret == 1
    gone.stdout.fnmatch_lines(["*the probe has a value of prompt that the space no longer has (digest *"])
    repository.check().assert_outcomes(passed=1)
