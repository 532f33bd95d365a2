"""The checkpoints that a name or a pattern finds, and their names."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gentest.integrations.sources import Fetched
from gentest.plugin import checkpoints
from tests.helpers.hub_cache import COMMIT, write_cache

if TYPE_CHECKING:
    from tests.helpers.repository import Repository


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of checkpoints: three files and a folder in it, one file of the same name below."""
    for name in ("a.pt", "b.pt", "c[1].pt", "deep/a.pt", "folder/model.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("weights")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.pt", ["a.pt"]),
        ("folder", ["folder"]),
        ("*.pt", ["a.pt", "b.pt", "c[1].pt"]),
        ("[ab].pt", ["a.pt", "b.pt"]),
        ("c[1].pt", ["c[1].pt"]),
        ("**/a.pt", ["a.pt", "deep/a.pt"]),
        ("deep/../a.pt", ["deep/../a.pt"]),
    ],
)
def test_a_name_or_a_pattern_finds(text: str, expected: list[str], models: Path) -> None:
    """A name of a file or folder is that one, whatever is in it; anything else is a pattern, in order."""
    assert checkpoints.find(str(models / text)) == [models / name for name in expected]


@pytest.mark.parametrize("text", ["none.pt", "*.ckpt", "a.pt/x", "x" * 5000, "[", "deep/b.pt"])
def test_nothing_found_is_an_error(text: str, models: Path) -> None:
    """A name without a file and a pattern without a match are an error."""
    with pytest.raises(ValueError, match="no such file or folder, and the pattern matches none"):
        checkpoints.find(str(models / text))


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], []),
        (["/m/a.pt"], ["a.pt"]),
        (["/m/a.pt", "/m/b.pt"], ["a.pt", "b.pt"]),
        (["/m/1/a.pt", "/n/2/b.pt"], ["a.pt", "b.pt"]),
        (["/m/1/a.pt", "/m/2/a.pt"], ["1/a.pt", "2/a.pt"]),
        (["/m/a.pt", "/m/old/a.pt", "/m/b.pt"], ["a.pt", "old/a.pt", "b.pt"]),
        (["/m/x/1/a.pt", "/m/y/1/a.pt"], ["x/1/a.pt", "y/1/a.pt"]),
    ],
)
def test_names_are_short_and_tell_apart(paths: list[str], expected: list[str]) -> None:
    """The last part of a path where that tells them apart, else all from where the paths part."""
    named = checkpoints.named([Path(p) for p in paths])
    assert [checkpoint.name for checkpoint in named] == expected
    assert [str(checkpoint.path) for checkpoint in named] == paths


def test_a_checkpoint_from_elsewhere_has_the_name_of_its_address() -> None:
    """Its version or commit tells it from others, and no local path gets a longer name because of it."""
    fetched = Fetched(Path("x/model"), "models:/faces/3")
    local, other = checkpoints.named([Path("m/model"), fetched])
    assert (local.name, local.address) == ("model", "")
    assert (other.name, other.address, other.path) == ("faces/3", "models:/faces/3", Path("x/model"))


def test_a_path_counts_once(models: Path) -> None:
    """A checkpoint that two names or patterns give is one checkpoint, by its absolute path."""
    named = checkpoints.named([models / "a.pt", models / "deep" / ".." / "a.pt", models / "b.pt"])
    assert [checkpoint.path for checkpoint in named] == [models / "a.pt", models / "b.pt"]


CONFTEST = """
import json
import pytest, torch
import gentest

@pytest.fixture(scope="session")
def generator(gentest_checkpoint):
    path = gentest_checkpoint / "model.json" if gentest_checkpoint.is_dir() else gentest_checkpoint
    share = json.loads(path.read_text())["sound"]
    def draw(z):
        return torch.where(z[:, 1:2].abs() < share, z[:, :1].tanh() / 2, torch.nan)[:, :, None, None]
    return gentest.Generator(draw, latent=gentest.Normal(16))
"""
TESTS = """
@gentest.well_formed()
def test_outputs(generator):
    return generator
"""


def gate(repository: Repository, good: str, bad: str, *flags: str) -> pytest.RunResult:
    """Bless the model at `good` and gate both: the one is held, the other refused, and its run is returned."""
    repository.pytester.makeconftest(CONFTEST)
    repository.write(TESTS)

    def run(checkpoint: str, option: str) -> pytest.RunResult:
        given = ("-p", "no:cacheprovider", "--gentest-json", "results.json", option, "blessed.json")
        return repository.apart("--gentest-checkpoint", checkpoint, *given, *flags)

    blessed = run(good, "--gentest-save-baseline")
    assert blessed.ret == 0, blessed.stdout.str() + blessed.stderr.str()
    held = run(good, "--gentest-baseline")
    assert held.ret == 0
    held.stdout.fnmatch_lines(["gate: held *"])
    words = " ".join(held.stdout.str().split())
    assert "): same weights as blessed drift" in words
    refused = run(bad, "--gentest-baseline")
    assert refused.ret == 1
    refused.stdout.fnmatch_lines(["gate: regressed *"])
    return refused


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("-n", "1")], ids=str)
def test_a_model_of_the_hub_is_gated(
    flags: tuple[str, ...], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`hf://` from a local cache, offline. The baseline, the JSON and the replay name the commit."""
    write_cache(repository.path / "hub", {"good.json": '{"sound": 99}', "bad.json": '{"sound": 1}'})
    monkeypatch.setenv("HF_HUB_CACHE", str(repository.path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused = gate(repository, "hf://org/faces@main/good.json", "hf://org/faces@main/bad.json", *flags)
    assert f"org/faces@{COMMIT[:8]}/good.json" in repository.document("blessed.json")["blessed"][0]["checkpoint"]
    pinned = f"hf://org/faces@{COMMIT}/bad.json"
    session = repository.document()["session"]
    assert session["checkpoint"] == pinned
    assert f"--gentest-checkpoint {pinned}" in session["command"]
    refused.stdout.fnmatch_lines([f"*pytest --gentest * --gentest-checkpoint {pinned}*"])


REGISTER = """
import mlflow
client = mlflow.MlflowClient()
client.create_registered_model("faces")
run = client.create_run(client.create_experiment("training")).info.run_id
for alias, sound in {"good": 99, "bad": 1}.items():
    client.log_text(run, f'{{"sound": {sound}}}', f"{alias}/model.json")
    made = client.create_model_version("faces", f"runs:/{run}/{alias}", run)
    client.set_registered_model_alias("faces", alias, made.version)
"""


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("-n", "1")], ids=str)
def test_a_registered_model_is_gated(
    flags: tuple[str, ...], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`models:/` from a local sqlite registry. The baseline, the JSON and the replay name the version."""
    if find_spec("mlflow") is None:
        pytest.skip("needs the extra mlflow")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, f"sqlite:///{repository.path}/mlflow.db")
    subprocess.run([sys.executable, "-c", REGISTER], cwd=repository.path, check=True, capture_output=True)
    refused = gate(repository, "models:/faces@good", "models:/faces@bad", *flags)
    assert repository.document("blessed.json")["blessed"][0]["checkpoint"] == "faces/1"
    assert repository.document()["session"]["checkpoint"] == "models:/faces/2"
    refused.stdout.fnmatch_lines(["*pytest --gentest * --gentest-checkpoint models:/faces/2*"])


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://bucket/a.pt", "s3:/ is not a source of checkpoints: hf:/, models:/, runs:/"),
        ("hf://gpt2", "is not a model on the Hub"),
    ],
)
def test_an_address_of_nothing_is_a_usage_error(address: str, message: str, repository: Repository) -> None:
    """One line, before any test runs, with `--gentest` or without."""
    repository.write(TESTS)
    for flags in (("--gentest",), ()):
        result = repository.run(*flags, "--gentest-checkpoint", address)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: --gentest-checkpoint: *{message}*"])


def test_a_copy_has_the_digest_and_another_content_has_not(models: Path) -> None:
    """A digest is of the content of a file, or of all names and contents in a folder."""
    assert checkpoints.digest(models / "a.pt") == checkpoints.digest(models / "b.pt")
    before = checkpoints.digest(models / "folder")
    (models / "b.pt").write_text("other weights")
    (models / "folder" / "config.json").write_text("{}")
    assert checkpoints.digest(models / "a.pt") != checkpoints.digest(models / "b.pt")
    assert before != checkpoints.digest(models / "folder")
    assert checkpoints.digest(models / "none.pt") == ""


LOADS = {
    "named": ("generator(gentest_checkpoint)", "gentest_checkpoint", True),
    "asked": ("generator(request)", "request.getfixturevalue('gentest_checkpoint')", True),
    "never": ("generator()", "None", False),
}


@pytest.mark.parametrize("how", LOADS)
def test_a_checkpoint_that_no_test_asks_for_fails_the_run(how: str, repository: Repository) -> None:
    """The checks are of another model then, so the run says it, and fails; without a checkpoint it passes."""
    head, value, used = LOADS[how]
    fixture = f"@pytest.fixture\ndef {head}:\n    checkpoint = {value}\n"
    body = "    return gentest.Generator(lambda z: z.tanh(), latent=gentest.Normal(2), images=False)\n"
    repository.pytester.makeconftest(f"import gentest, pytest\n\n{fixture}{body}")
    repository.write(TESTS)
    (repository.path / "a.pt").write_text("weights")
    result = repository.check("--gentest-checkpoint", "a.pt")
    result.assert_outcomes(passed=1)
    assert result.ret == (0 if used else pytest.ExitCode.TESTS_FAILED)
    line = "--gentest-checkpoint: a.pt not checked, since no test that ran uses the fixture gentest_checkpoint"
    assert (line in result.stdout.lines) is not used
    assert repository.check().ret == 0
