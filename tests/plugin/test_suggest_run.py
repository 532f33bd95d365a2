"""`gentest suggest`: pytest resolves the fixture whatever the folder is like, nothing is written into it, and the file
that comes of it runs.

Most runs of the plugin are in this process; the command itself starts another, in a few tests.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

N = 96


@pytest.fixture
def answer(tmp_path: Path) -> Path:
    """The file of the answer, outside of the repository."""
    return tmp_path / "answer.json"


def suggest(repository: Repository, answer: Path, *args: str, folder: str = ".", **asked: Any) -> dict[str, Any]:
    """What the plugin answers for a folder of the repository, asked as the command asks."""
    where = (repository.path / folder).resolve()
    wanted = {
        "fixture": "generator",
        "rate": 0.95,
        "confidence": 0.99,
        "n": N,
        "seed": 0,
        "attributes": [],
        "prompts": [],
    }
    wanted |= {"folder": str(where), "answer": str(answer), **asked}
    answer.unlink(missing_ok=True)
    request = answer.with_name("request.json")
    request.write_text(json.dumps(wanted))
    repository.run("--gentest", "--gentest-suggest", str(request), "-k", "", "-m", "", str(where), *args)
    said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return said


def written(text: str) -> list[str]:
    """The names of the tests in a file that was suggested."""
    return re.findall(r"^def (test_\w+)", text, re.MULTILINE)


EXPECTED = [
    "test_is_a_function",
    "test_latents_make_a_difference",
    "test_nothing_jumps",
    "test_brightness_along_a_path",
    "test_colorfulness_along_a_path",
]
FIXTURE = """def generator():
    return gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))
"""


def makeconftest(repository: Repository, decorator: str, body: str = "") -> None:
    """A conftest.py whose fixture has this decorator."""
    source = body or FIXTURE
    repository.pytester.makeconftest(f"import pytest\nimport gentest\n\n{decorator}\n{source}")


def test_the_fixture_is_measured(repository: Repository, answer: Path) -> None:
    """The answer is the text of a test file, and nothing else."""
    said = suggest(repository, answer)
    assert written(said["text"]) == EXPECTED
    assert said["error"] == ""
    assert "latent=Normal(3)" in said["text"]
    assert re.search(r"[\d,]+ images on cpu", said["notes"][-1])


@pytest.mark.parametrize(
    "ini",
    [
        "addopts = -k nothing -m nothing",
        "addopts = -n 2",
        "addopts = --dist load --tx popen",
        "addopts = other",
        "addopts = --import-mode=importlib",
        "addopts = --import-mode=prepend --doctest-modules --strict-markers --strict-config",
        "addopts = --junitxml=report.xml --lf",
        "addopts = -x --maxfail=1 -s",
        "python_functions = check_*\npython_files = check_*.py\npython_classes = Check",
        "collect_imported_tests = false",
        "norecursedirs = *",
        "testpaths = other\ngentest_json = out.json\ngentest_baseline = none.json",
        "filterwarnings = error",
        "gentest = true",
        "addopts = -p no:cacheprovider --strict-config",
        "addopts = --collect-only",
    ],
)
def test_ini_files_do_not_get_in_the_way(ini: str, repository: Repository, answer: Path) -> None:
    """Options for other runs select no other test, start no worker and write no report: the folder stays as it was."""
    other = repository.path / "other"
    other.mkdir()
    repository.pytester.makeini(f"[pytest]\n{ini}\n")
    (other / "test_other.py").write_text("raise SystemExit('collected')")
    repository.write("def test_fails():\n    assert False\n")
    before = files(repository.path)
    said = suggest(
        repository, answer, "-o", f"cache_dir={answer.parent}/cache", "-o", "gentest_json=", "-o", "gentest_baseline="
    )
    assert said["error"] == ""
    assert written(said["text"]) == EXPECTED
    assert files(repository.path) == before


def files(folder: Path) -> set[str]:
    """The files of a folder, but for those that the command's own process does not write."""
    not_in_a_process_of_its_own = {"__pycache__", ".hypothesis"}
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not not_in_a_process_of_its_own & set(p.parts)}


@pytest.mark.parametrize("scope", ["function", "class", "module", "package", "session"])
@pytest.mark.parametrize("package", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_scope_works(scope: str, package: bool, repository: Repository, answer: Path) -> None:  # noqa: FBT001
    """A fixture of any scope, in a conftest.py of a folder that is a package or none."""
    folder = repository.path / "models"
    folder.mkdir()
    if package:
        (folder / "__init__.py").write_text("")
    makeconftest(repository, f"@pytest.fixture(scope={scope!r})")
    shutil.move(repository.path / "conftest.py", folder / "conftest.py")
    assert written(suggest(repository, answer, folder="models")["text"]) == EXPECTED


@pytest.mark.slow
def test_a_conftest_of_a_parent_is_seen(repository: Repository, answer: Path) -> None:
    """A folder without a conftest.py of its own has the fixtures of those above it, and one below overrides them."""
    below = repository.path / "a" / "b"
    below.mkdir(parents=True)
    assert written(suggest(repository, answer, folder="a/b")["text"]) == EXPECTED
    (below / "conftest.py").write_text("import pytest\n@pytest.fixture\ndef generator():\n    return 3\n")
    assert "gave 3 (type=int)" in suggest(repository, answer, folder="a/b")["error"]
    assert written(suggest(repository, answer, folder="a")["text"]) == EXPECTED


def test_the_checkpoint_reaches_the_fixture(repository: Repository, answer: Path) -> None:
    """--gentest-checkpoint is what the fixture is given; of several, one has to be chosen."""
    body = """def generator(gentest_checkpoint):
    level = float(gentest_checkpoint.read_text())
    return gentest.Generator(lambda z: level * z.tanh()[:, :, None, None], latent=gentest.Normal(3))
"""
    makeconftest(repository, "@pytest.fixture", body)
    for name, level in {"a": 1.0, "b": 0.1}.items():
        (repository.path / f"{name}.txt").write_text(str(level))
    spread = {}
    for name in "ab":
        text = suggest(repository, answer, "--gentest-checkpoint", f"{name}.txt")["text"]
        (spread[name],) = re.findall(r"responsive\(.*at_least=([\d.]+)", text)
    assert float(spread["a"]) == pytest.approx(10 * float(spread["b"]), rel=0.1)
    said = suggest(repository, answer, "--gentest-checkpoint", "*.txt")
    assert said["text"] == ""
    assert "gives 2 generators (checkpoint=a.txt, checkpoint=b.txt); choose one" in said["error"]


def test_a_parametrised_fixture_needs_a_choice(repository: Repository, answer: Path) -> None:
    """The parameters are named, and -k chooses one of them."""
    makeconftest(repository, "@pytest.fixture(params=['small', 'large'])")
    said = suggest(repository, answer)
    assert "'generator' gives 2 generators (small, large); choose one, such as with `-- -k ID`" in said["error"]
    assert written(suggest(repository, answer, "-k", "large")["text"]) == EXPECTED
    makeconftest(repository, "@pytest.fixture(params=['only'])")
    assert written(suggest(repository, answer)["text"]) == EXPECTED


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("def other():\n    pass", "no fixture 'generator' in "),
        ("def generator():\n    pytest.skip('needs weights')", "the fixture 'generator' skips: needs weights"),
        ("def generator():\n    pytest.importorskip('nonesuch')", "the fixture 'generator' skips: could not import"),
        ("def generator():\n    return None", "the fixture 'generator' gave None (type=NoneType); expected a gentest."),
        ("def generator():\n    raise OSError('no weights')", "the fixture 'generator' raised OSError: no weights"),
        ("def generator(weights):\n    pass", "the fixture 'generator' raised FixtureLookupError: weights"),
        ("async def generator():\n    return None", "the fixture 'generator'"),
        (
            FIXTURE.replace("z.tanh()", "9 * z"),
            "outside the default output_range=(-1, 1)",
        ),
        (
            FIXTURE.replace("z.tanh()[:, :, None, None]", "1 / 0"),
            "ZeroDivisionError",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine 'generator' was never awaited")  # where pytest 8.0 collects it
def test_what_is_wrong_is_one_line(body: str, error: str, repository: Repository, answer: Path) -> None:
    """What keeps a fixture from being measured is said by the fixture's name, in one line."""
    makeconftest(repository, "@pytest.fixture", body)
    said = suggest(repository, answer)
    assert error in said["error"]
    assert "\n" not in said["error"]
    assert said["text"] == ""


def test_attributes_that_are_named_are_measured(repository: Repository, answer: Path) -> None:
    """Those that the command names, and no others; the fixture keeps its name in the file."""
    makeconftest(repository, "@pytest.fixture", FIXTURE.replace("generator", "gan").replace("Normal(3)", "Normal(1)"))
    said = suggest(repository, answer, fixture="gan", attributes=["brightness", "saturation"], rate=0.9)
    assert written(said["text"]) == EXPECTED[:4]
    assert "def test_brightness_along_a_path(gan):\n    return gan\n" in said["text"]
    assert "# nothing for between(saturation()): saturation() does not vary" in said["text"]
    assert said["text"].count(".at_rate(0.9)") == 6


OWN = """
import torch
import gentest

def middle(images):
    return images[:, :, 0, 0].mean(1)

def load():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 1))

red = gentest.attribute(lambda images: images[:, 0, 0, 0], name="how red")
nothing = 3
"""


def test_attributes_of_ones_own_are_measured_and_imported(
    repository: Repository, answer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function, a declared attribute, and a function that loads a model; the file runs as it is."""
    makeconftest(repository, "@pytest.fixture", FIXTURE)
    (repository.path / "own_measures.py").write_text(OWN)
    monkeypatch.syspath_prepend(repository.path)
    places = ["own_measures:middle", "own_measures:red", "own_measures:load"]
    said = suggest(repository, answer, attributes=places, rate=0.9)
    assert said["error"] == ""
    text = said["text"]
    assert "\nimport gentest\nimport own_measures\n" in text
    for source, test in (
        ("own_measures.middle", "middle"),
        ("own_measures.red", "red"),
        ("gentest.attribute(own_measures.load)", "load"),
    ):
        assert f"@gentest.between({source}, tolerance=" in text
        assert f"def test_{test}_along_a_path(generator)" in text
    repository.write("", name="test_empty")
    (repository.path / "test_suggested.py").write_text(text)
    verdicts = {result["verdict"] for result in repository.results("test_suggested.py", "--gentest-seed", "7").values()}
    assert verdicts <= {"holds", "no_counterexample"}


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("no_such_module:f", "no_such_module:f: no_such_module cannot be imported: ModuleNotFoundError"),
        ("own_measures:none", "own_measures:none: own_measures has no 'none'"),
        (
            "own_measures:nothing",
            "own_measures:nothing: Expected an attribute, or a function that loads one, but got 3",
        ),
    ],
)
def test_a_place_that_holds_no_attribute_is_said(
    place: str, error: str, repository: Repository, answer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    makeconftest(repository, "@pytest.fixture", FIXTURE)
    (repository.path / "own_measures.py").write_text(OWN)
    monkeypatch.syspath_prepend(repository.path)
    assert error in suggest(repository, answer, attributes=[place])["error"]


@pytest.mark.parametrize(
    ("asked", "error"),
    [({"n": 10}, "a whole number >= 90"), ({"rate": 2.0}, "p0=2.0"), ({"seed": -1}, "seed=-1")],
)
def test_wrong_numbers_are_a_usage_error(
    asked: dict[str, Any], error: str, repository: Repository, answer: Path
) -> None:
    """A rate, a confidence or a number of probes that will not do is refused before anything is collected."""
    wanted = {"folder": ".", "answer": str(answer), "fixture": "generator", "rate": 0.95, "confidence": 0.99, "n": N}
    wanted |= {"seed": 0, "attributes": [], "prompts": [], **asked}
    request = answer.with_name("request.json")
    request.write_text(json.dumps(wanted))
    result = repository.run("--gentest", "--gentest-suggest", str(request))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{error}*"])
    assert not answer.exists()


# the command, in a process of its own


def command(repository: Repository, *args: str) -> subprocess.CompletedProcess[str]:
    """`gentest suggest` in the repository."""
    return subprocess.run(
        [sys.executable, "-m", "gentest", "suggest", *args],
        cwd=repository.path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_suggested_file_holds_on_fresh_seeds(repository: Repository) -> None:
    """The command writes a file that runs as it is: on two seeds that it was not measured on, every property holds."""
    repository.pytester.makeini("[pytest]\naddopts = -n 2 -k nothing\n")
    before = {str(p.relative_to(repository.path)) for p in repository.path.rglob("*")}
    done = command(repository, "--output", "test_latent.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "images on " in done.stderr
    assert {str(p.relative_to(repository.path)) for p in repository.path.rglob("*")} == {*before, "test_latent.py"}
    assert written((repository.path / "test_latent.py").read_text()) == EXPECTED
    (repository.path / "tox.ini").unlink()
    for seed in ("11", "12"):
        results = repository.results("test_latent.py", "--gentest-seed", seed)
        assert len(results) == 11
        assert {r["verdict"] for r in results.values()} <= {"holds", "no_counterexample"}
    again = command(repository, "--output", "test_latent.py")
    assert again.returncode == 2
    assert again.stderr == "gentest: test_latent.py: exists already, and is not overwritten\n"


@pytest.mark.slow
def test_the_command_prints_the_file_alone(repository: Repository) -> None:
    """Standard output is the file, whatever the fixture prints; arguments after -- go to pytest."""
    body = FIXTURE.replace("return", "print('loading')\n    return").replace(
        "():", "(gentest_device):\n    print(gentest_device)"
    )
    makeconftest(repository, "@pytest.fixture", body)
    done = command(repository, ".", "--n", "90", "--attribute", "brightness", "--", "-s", "--gentest-device", "cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('"""Properties that hold')
    assert "loading" not in done.stdout
    compile(done.stdout, "suggested", "exec")


@pytest.mark.slow
def test_errors_of_the_command_are_one_line(repository: Repository) -> None:
    """A missing fixture, and a conftest.py that does not import, end with status 2 and are said in the last line."""
    done = command(repository, "--fixture", "gan")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("gentest: no fixture 'gan' in ")
    assert done.stderr.count("\n") == 1
    (repository.path / "conftest.py").write_text("import nonesuch")
    done = command(repository)
    assert (done.returncode, done.stdout) == (2, "")
    assert "No module named 'nonesuch'" in done.stderr
    assert done.stderr.splitlines()[-1] == "gentest: pytest ended with exit status 4; nothing was measured"
