"""What `gentest doctor` finds out inside pytest: devices, CLIP weights, prompts, options."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import gentest
from gentest.attributes.clip.loading import ClipSource
from gentest.cli import doctor_run
from gentest.cli.doctor_run import download_command
from tests.helpers.doctor_runs import CONFTEST, TESTS, Doctor, found

ROOT = Path(gentest.__file__).parents[1]

CLIP = ROOT / "examples" / "fashion" / "clip"


ASKS_CLIP = """
import gentest


@gentest.monotone(gentest.clip("a smile", "a frown"), tolerance=gentest.sd(2)).at_rate(0.9)
def test_smile(generator):
    return generator
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a conftest.py and a test of two properties."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_a.py").write_text(TESTS)
    return tmp_path


def test_a_device_that_is_not_there(doctor: Doctor) -> None:
    """A device that is asked for and not there is said with what to do."""
    status, said = found(doctor, "--device", "cuda:77")
    assert status == 1
    assert "cuda:77" in said["device"]["message"]
    assert said["device"]["fix"]


def test_a_clip_that_is_asked_for_and_not_chosen(folder: Path, doctor: Doctor) -> None:
    """A test with a CLIP attribute needs one: the test and the option are named."""
    (folder / "test_clip.py").write_text(ASKS_CLIP)
    status, said = found(doctor)
    assert status == 1
    assert "test_clip.py::test_smile asks for a CLIP, and none is chosen" in said["clip"]["message"]
    assert "--gentest-clip" in said["clip"]["fix"]


@pytest.mark.parametrize("offline", [False, True])
def test_weights_that_are_not_here(
    folder: Path,
    doctor: Doctor,
    monkeypatch: pytest.MonkeyPatch,
    offline: bool,  # noqa: FBT001
) -> None:
    """The command that fetches them is said; it stops a run only where they cannot be downloaded, and are needed."""
    (folder / "test_clip.py").write_text(ASKS_CLIP)
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    status, said = found(doctor, "--clip", "ViT-B-32:laion2b_s34b_b79k")
    assert status == int(offline)
    assert "its weights are not here" in said["clip"]["message"]
    assert "open_clip.create_model('ViT-B-32', pretrained='laion2b_s34b_b79k')" in said["clip"]["fix"]


def test_weights_that_are_here(folder: Path, doctor: Doctor) -> None:
    """A folder with weights is found, of a test's own settings too, and needs nothing."""
    shutil.copytree(CLIP, folder / "own")
    clip = f"@gentest.settings(clip='local-dir:{folder / 'own'}')\n@gentest.monotone"
    (folder / "test_clip.py").write_text(ASKS_CLIP.replace("@gentest.monotone", clip))
    status, said = found(doctor)
    assert (status, said["clip"]["stops"]) == (0, False)
    assert "weights are here" in said["clip"]["message"]
    status, said = found(doctor, "--clip", "local-dir:none")
    assert status == 1
    assert "no such folder" in said["clip"]["message"]


def test_prompts_that_a_file_lacks(folder: Path, doctor: Doctor) -> None:
    """A prompt file that lacks what the tests ask for would stop the run at the first of them."""
    (folder / "test_clip.py").write_text(ASKS_CLIP)
    model = {"name": "x", "dim": 2, "logit_scale": 1.0, "prompts": {"a smile": "AACAPwAAAAA="}}
    (folder / "prompts.json").write_text(json.dumps({"schema": 1, "models": {"0": model}}))
    given = ["--clip", f"local-dir:{CLIP}", "--", "--gentest-prompts", "prompts.json"]
    status, said = found(doctor, *given)
    assert status == 1
    assert "lacks 1 of the prompts, such as 'a frown'" in said["prompts"]["message"]
    assert "--gentest-update-prompts" in said["prompts"]["fix"]
    model["prompts"] = {"a smile": "AACAPwAAAAA=", "a frown": "AACAPwAAAAA="}
    (folder / "prompts.json").write_text(json.dumps({"schema": 1, "models": {"0": model}}))
    assert not found(doctor, *given)[1]["prompts"]["stops"]


def test_the_command_that_fetches_is_one_that_python_takes() -> None:
    """Of a model with a tag and of one of the hub."""
    for source in (ClipSource("a", "a", "a", ("ViT-B-32", "x")), ClipSource("a", "a", "a", ("hf-hub:a/b",))):
        compile(download_command(source).partition('"')[2].rstrip('"'), "fetch", "exec")


def test_options_of_pytest_are_those_of_the_run(folder: Path, doctor: Doctor) -> None:
    """Arguments after -- are looked at as pytest takes them: workers are not started, and no folder is made."""
    status, said = found(doctor, "--", "-p", "no:cacheprovider", "-n", "2", "--gentest-cache", "kept")
    assert status == 0
    assert "1 test of gentest" in said["tests"]["message"]
    assert not (folder / "kept").exists()
    (folder / "file").touch()
    status, said = found(doctor, "--", "--gentest-cache", "file/kept")
    assert (status, said["measurements"]["stops"]) == (1, True)


def test_other_plugins_that_spoil_a_run_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked test loses its result, and a repeated one has a name that the baseline does not have."""
    baselines = {"baseline": None}
    monkeypatch.setattr(doctor_run.options, "of_run", lambda config: SimpleNamespace(**baselines))

    def messages(**given: object) -> list[str]:
        config: Any = SimpleNamespace(option=SimpleNamespace(**given))
        return [finding.message for finding in doctor_run.conflicts(config) if finding.stops]

    assert messages() == messages(count=2) == messages(forked=False, count=1) == []
    assert "its process" in messages(forked=True)[0]
    baselines["baseline"] = "blessed.json"  # type: ignore[assignment]
    assert "names that the baseline does not have" in messages(count=2)[0]
