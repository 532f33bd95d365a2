"""The file of `--gentest-json`: its schema, and that it is there whole, or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import gentest
from gentest.results.result import Result

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

SOURCE = """
@HOLDS
@FAILS
def test_a(generator):
    return generator

@gentest.between(gentest.brightness(), tolerance=-1)
def test_b(generator):
    return generator

def test_plain():
    pass

@HOLDS
def test_skipped(generator):
    pytest.skip("later")
"""


def check_schema(document: dict[str, Any]) -> None:
    """Asserts that a document is of schema 2: every key, and the type of every value."""
    names = ["schema", "gentest", "session", "interrupted", "unchecked", "family", "results", "gate"]
    assert list(document) == names
    assert (document["schema"], document["gentest"]) == (3, gentest.__version__)
    session = document["session"]
    names = {
        "checkpoint",
        "checkpoints",
        "generator",
        "clip",
        "device",
        "seed",
        "versions",
        "command",
        "digests",
        "selects",
    }
    assert set(session) == names
    assert {"python", "torch", "hypothesis", "numpy", "open_clip_torch", "pytest"} <= set(session["versions"])
    for result in document["results"]:
        kinds = {
            "test": str,
            "property": str,
            "verdict": str,
            "message": str,
        }
        assert {name: type(result[name]) for name in kinds} == kinds
        assert {name: type(item) for name, item in result["cost"].items()} == {
            "images": int,
            "calls": int,
            "seconds": float,
        }
        search = result["search"]
        assert type(search["examples"]) is int
        assert result["verdict"] in {"no_counterexample", "violated", "error"}
        if result["verdict"] == "error":
            assert search["margin"] is None
            assert result["message"]
        else:
            assert search["margin"]["min"] <= search["margin"]["median"]
        for name in ("counterexample", "worst"):
            assert (search[name] is not None) == (result["verdict"] == "violated")
            if search[name] is not None:
                assert {"probe", "margin", "scores", "groups", "replay"} <= set(search[name])
                assert search[name]["margin"] < 0
                assert ":" in search[name]["replay"]
        assert json.loads(json.dumps(Result.from_json(result).to_json())) == result


@pytest.mark.parametrize("flags", [[], ["-x"], ["-q"], ["-p", "no:terminal"]])
def test_the_file_is_written_whatever_happens(flags: list[str], repository: Repository) -> None:
    """Results are written when tests fail, err or skip, and when the first failure stops the run."""
    repository.write(SOURCE)
    result = repository.check("--gentest-json", "results.json", *flags)
    assert result.ret == 1
    document = repository.document()
    check_schema(document)
    found = [(r["test"], r["verdict"]) for r in document["results"]]
    all_of_them = [
        ("test_model.py::test_a", "no_counterexample"),
        ("test_model.py::test_a", "violated"),
        ("test_model.py::test_b", "error"),
    ]
    assert found == (all_of_them[:2] if flags == ["-x"] else all_of_them)
    not_reached = ["test_model.py::test_b", "test_model.py::test_skipped"]
    assert document["unchecked"] == (not_reached if flags == ["-x"] else [])
    assert [path.name for path in repository.path.iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.slow
def test_workers_write_the_same_file(repository: Repository) -> None:
    """Under `-n 2` the controller writes every worker's results, and they are those of one process."""
    repository.write(
        SOURCE
        + """
@pytest.mark.parametrize("psi", [0.3, 0.6])
@FAILS
def test_psi(generator, psi):
    return generator.truncated(psi)
"""
    )
    alone = repository.check("-p", "no:cacheprovider", "--gentest-json", "results.json")
    workers = repository.check("-p", "no:cacheprovider", "-n", "2", "--gentest-json", "workers.json")
    assert (alone.ret, workers.ret) == (1, 1)
    assert alone.parseoutcomes() == workers.parseoutcomes()
    one, two = repository.document(), repository.document("workers.json")
    check_schema(two)
    assert one["session"] | {"command": ""} == two["session"] | {"command": ""}
    assert sorted(json.dumps(r | {"cost": None}) for r in one["results"]) == sorted(
        json.dumps(r | {"cost": None}) for r in two["results"]
    )
    workers.stdout.fnmatch_lines(["5 properties: 3 violated, 1 no counterexample, 1 error;*"])


def test_the_session_says_what_the_run_was_made_with(repository: Repository) -> None:
    """Checkpoint, device, CLIP and seed are as given; the generator is named where the tests looked at one."""
    (repository.path / "gan.pt").write_text("weights")
    repository.write("@HOLDS\ndef test_a(generator, gentest_checkpoint):\n    return generator\n")
    flags = ("--gentest-checkpoint", "gan.pt", "--gentest-device", "cpu", "--gentest-seed", "7")
    result = repository.check("--gentest-json", "results.json", *flags, "--gentest-clip", "ViT-B-32:openai")
    assert result.ret == 0
    session = repository.document()["session"]
    assert (session["checkpoint"], session["device"], session["seed"]) == ("gan.pt", "cpu", 7)
    assert session["clip"] == "ViT-B-32:openai"
    assert len(session["generator"]) == 16
    repository.write(
        "@HOLDS\ndef test_a(generator):\n    return generator\n"
        "@HOLDS\ndef test_b():\n"
        "    return gentest.Generator(lambda z: -z.sigmoid()[:, None], latent=gentest.Normal((2, 2)))"
    )
    repository.check("--gentest-json", "results.json")
    session = repository.document()["session"]
    assert (session["checkpoint"], session["clip"], session["generator"]) == (None, None, None)


def test_a_run_without_properties_writes_no_results(repository: Repository) -> None:
    """With nothing to check, the file says so rather than keep what an earlier run left."""
    repository.path.joinpath("results.json").write_text("earlier")
    repository.write("def test_plain():\n    pass")
    assert repository.check("--gentest-json", "results.json").ret == 0
    document = repository.document()
    check_schema(document)
    assert document["results"] == []


def test_an_existing_file_stays_as_it_is_where_the_run_is_refused(repository: Repository) -> None:
    """A usage error does not touch the results of an earlier run."""
    repository.path.joinpath("results.json").write_text("earlier")
    repository.write("def test_plain():\n    pass")
    assert repository.check("--gentest-json", "results.json", "--gentest-seed", "x").ret == pytest.ExitCode.USAGE_ERROR
    assert repository.path.joinpath("results.json").read_text() == "earlier"


def test_a_file_that_cannot_be_written_fails_the_run(repository: Repository) -> None:
    """Where the results cannot be written the summary is still shown, one line says why, and the run is no success."""
    repository.write(
        "import shutil\n@HOLDS\ndef test_a(generator):\n    return generator\n"
        "def test_removes():\n    shutil.rmtree('out')\n"
    )
    (repository.path / "out").mkdir()
    result = repository.check("--gentest-json", "out/results.json")
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["no counterexample  *test_a*", "could not write: *No such file or directory*"])


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ((), "pytest --gentest {path} --gentest-seed 0"),
        (("--gentest-seed", "5", "-q"), "pytest --gentest {path} --gentest-seed 5 -q"),
        (("--gentest-report=a b.html", "--gentest-images", "c"), "pytest --gentest {path} --gentest-seed 0"),
        (("--gentest-outcomes", "-k", "a or b"), "pytest --gentest {path} -k 'a or b' --gentest-seed 0"),
    ],
)
def test_the_json_has_the_command_that_checks_again(
    arguments: tuple[str, ...], command: str, repository: Repository
) -> None:
    """As it was typed, with the seed, and without options that only write files."""
    path = str(repository.write("@HOLDS\ndef test_a(generator):\n    return generator\n"))
    repository.run("--gentest", path, *arguments, "--gentest-json", "results.json")
    ours = repository.document()["session"]["command"].split()
    own = command.format(path=path).split()
    assert [word for word in ours if not word.startswith(("--rootdir", "--basetemp", "-p", "no:"))] == own
