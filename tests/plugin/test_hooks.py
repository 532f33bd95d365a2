"""Hooks and trackers hear of every result once, in one process, and change no verdict."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gentest.integrations.sinks import tracked_runs
from gentest.results.document import Document
from tests.helpers.board import write_package
from tests.helpers.repository import CONFTEST

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

ROOT = Path(__file__).parents[2]
TESTS = """
@HOLDS
@FAILS
def test_a(generator):
    return generator

@HOLDS
def test_b(generator):
    return generator

@FAILS
def test_c(generator):
    raise RuntimeError("broken")
"""
LISTENING = """
def pytest_gentest_result(result):
    with open("heard.txt", "a") as file:
        file.write(f"{result.test} {result.property} {result.verdict.value}\\n")

def pytest_gentest_finished(document):
    import json
    with open("heard.json", "x") as file:
        json.dump(document.to_json(), file)
"""


def test_a_run_that_logs_nowhere_loads_no_tracker() -> None:
    """Importing everything that a run may use does not import a tracker: each takes seconds."""
    modules = "gentest.plugin.runner, gentest.cli, gentest.integrations.sinks, gentest.integrations.sources"
    script = f"import sys, {modules}; print(sorted({{'mlflow', 'wandb', 'tensorboard'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture
def board(repository: Repository) -> Repository:
    """A repository beside an installed package with trackers."""
    write_package(repository.path)
    repository.pytester.syspathinsert()
    repository.write(TESTS)
    return repository


@pytest.mark.parametrize("flags", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=str)
def test_a_conftest_hears_of_every_result(flags: tuple[str, ...], repository: Repository) -> None:
    """Each result once, and the document of the JSON once, from workers too."""
    repository.pytester.makeconftest(CONFTEST + LISTENING)
    repository.write(TESTS)
    repository.check("-p", "no:cacheprovider", "--gentest-json", "results.json", *flags)
    document = repository.document()
    assert repository.document("heard.json") == document
    heard = (repository.path / "heard.txt").read_text().splitlines()
    assert sorted(heard) == sorted(f"{r['test']} {r['property']} {r['verdict']}" for r in document["results"])
    assert len(heard) == 4


def test_a_conftest_with_hooks_runs_without_gentest(repository: Repository) -> None:
    """Hooks are known in every run, and nobody calls them in one that checks nothing."""
    repository.pytester.makeconftest(CONFTEST + LISTENING)
    repository.write(TESTS)
    assert repository.run().ret == 0
    assert not (repository.path / "heard.json").exists()


@pytest.mark.parametrize("hook", ["pytest_gentest_result(result)", "pytest_gentest_finished(document)"])
def test_a_hook_that_raises_changes_no_verdict(hook: str, repository: Repository) -> None:
    """One line of warning, the same outcomes and exit status, and the files are written."""
    repository.pytester.makeconftest(f"{CONFTEST}\ndef {hook}:\n    raise KeyError('a\\nb')\n")
    repository.write("@HOLDS\ndef test_a(generator):\n    return generator\n")
    result = repository.check("--gentest-json", "results.json")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"warning: {hook.partition('(')[0]}: KeyError: *"])
    assert len(repository.document()["results"]) == 1


def test_a_tracker_gets_the_run_and_its_page(board: Repository) -> None:
    """The tracker of another package, by its name and text; the line it returns stands at the end."""
    result = board.check("-p", "no:cacheprovider", "--gentest-log", "board:wall", "--gentest-log", "board:hall")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["logged to the board wall", "logged to the board hall"])
    assert (board.path / "wall.txt").read_text() == "4 results, 4 on the page\n"


def test_a_tracker_that_fails_changes_no_verdict(board: Repository) -> None:
    """One line of warning; the other tracker, the files and the exit status are as without it."""
    arguments = ("-p", "no:cacheprovider", "-k", "test_b", "--gentest-json", "results.json")
    plain = board.check(*arguments)
    before = board.document()["results"]
    result = board.check(*arguments, "--gentest-log", "failing:x", "--gentest-log", "board:wall")
    assert (result.ret, plain.ret) == (0, 0)
    result.stdout.fnmatch_lines(
        ["warning: could not log to failing:x: ConnectionError: the board", "logged to the board wall"]
    )
    for one, other in zip(before, board.document()["results"], strict=True):
        for each in (one, other):
            each["cost"].pop("seconds")
        assert one == other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nope", "'nope' is not a tracker that gentest can log to: board, broken, failing, gone, mlflow"),
        ("broken:1", "broken:1 cannot be used: RuntimeError: no board today"),
        ("gone", "gone cannot be used: AttributeError"),
        ("tensorboard", "tensorboard needs the folder"),
        ("x" * 100_000, "is not a tracker that gentest can log to"),
        ("tensorboard:" + "x" * 100_000, "cannot be used: OSError"),
        ("", "expected mlflow|wandb|tensorboard:DIR but got ''"),
    ],
)
def test_a_tracker_that_cannot_be_used_stops_the_run_at_once(text: str, message: str, board: Repository) -> None:
    """Before anything is checked, with a line that says why."""
    result = board.check("--gentest-log", text)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()
    assert len(result.stderr.str()) < 1_000
    assert "test_a" not in result.stdout.str()


def test_an_ini_file_logs_runs_and_no_replays(board: Repository) -> None:
    """A replay looks at one probe, and is no run of a team's; on the command line the option is meant."""
    board.pytester.makeini("[pytest]\ngentest_log =\n    board:wall\n    board:hall\n")
    board.check()
    replay = ("test_model.py::test_a", "--gentest-replay", "responsive:0")
    board.check(*replay)
    assert (board.path / "wall.txt").read_text().count("\n") == 1
    assert (board.path / "hall.txt").exists()
    board.check(*replay, "--gentest-log", "board:call")
    assert (board.path / "call.txt").read_text() == "1 results, 1 on the page\n"


def test_the_folder_in_an_ini_file_is_beside_it(board: Repository) -> None:
    if find_spec("tensorboard") is None:
        pytest.skip("needs the extra tensorboard")
    board.pytester.makeini("[pytest]\ngentest_log = tensorboard:runs/a\n")
    board.pytester.mkdir("elsewhere")
    result = board.check("-k", "test_b", "-p", "no:cacheprovider", str(board.path), "--rootdir", str(board.path))
    result.stdout.fnmatch_lines([f"logged to TensorBoard: {board.path / 'runs' / 'a'}"])
    assert list((board.path / "runs" / "a").glob("events.out.tfevents.*"))


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("-n", "2")], ids=str)
def test_trackers_read_back_what_the_json_has(
    flags: tuple[str, ...], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow, W&B offline and TensorBoard, each read by its own reader; only the controller of workers logs."""
    for library in ("mlflow", "wandb", "tensorboard"):
        if find_spec(library) is None:
            pytest.skip(f"needs the extra {library}")
    for name in ("WANDB_DIR", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(repository.path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{repository.path}/mlflow.db")
    repository.write(TESTS)
    logs = [word for text in ("mlflow", "wandb:faces", "tensorboard:runs") for word in ("--gentest-log", text)]
    result = repository.apart("-p", "no:cacheprovider", "--gentest-json", "results.json", *logs, *flags)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["logged to MLflow: *", "logged to W&B: *", "logged to TensorBoard: *"])
    (run,) = tracked_runs(Document.from_json(repository.document()))
    (raw,) = [r for r in repository.document()["results"] if r["test"] == "test_model.py::test_b"]
    assert run.figures["test_model.test_b/between/margin"] == raw["search"]["margin"]["min"]

    command = [sys.executable, "-m", "tests.helpers.read_trackers", str(repository.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    read = json.loads(done.stdout)
    assert read["mlflow"] == read["tensorboard"] == dict(run.figures)
    assert {name: read["wandb"][name] for name in run.figures} == dict(run.figures)
