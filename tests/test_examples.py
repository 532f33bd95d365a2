"""The examples do what the README says, as a new user runs them: pytest in a process of its own, from the root."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import gentest
from tests.audit import forecast
from tests.helpers import pages

ROOT = Path(__file__).parents[1]
FASHION = "examples/fashion"
REGRESSED = f"{FASHION}/checkpoints/finetune_regressed.safetensors"
BROKEN = {"test_every_latent_has_a_garment_of_its_own", "test_no_garment_comes_twice", "test_labels_are_followed"}
"""The tests that the regressed checkpoint fails."""
FACES = "needs gan-face-generate: pip install -e '.[faces]'"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest from the root of the repository, without what other plugins of this environment say."""
    command = [sys.executable, "-m", "pytest", "-p", "no:asyncio", "-p", "no:cacheprovider", *arguments]
    env = os.environ | {"COLUMNS": "100"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False, env=env)


def results(path: Path) -> dict[str, dict[str, object]]:
    """The results of a JSON file, by property; those of one property twice by their last."""
    return {result["property"]: result for result in json.loads(path.read_text())["results"]}


@pytest.mark.slow
def test_the_good_fashion_checkpoint_passes() -> None:
    """Every property holds on the good checkpoint, three of them at their rates: exit status 0."""
    done = run("--gentest", FASHION, "--gentest-examples", "40")
    assert done.returncode == 0, done.stdout
    assert "12 properties: 9 no counterexample, 1 holds >= 93 %, 1 holds >= 86 %, 1 holds >= 58 %; " in done.stdout


@pytest.mark.slow
def test_the_regressed_fashion_checkpoint_fails_and_says_what_broke() -> None:
    """The collapsed checkpoint fails by what sees a collapse, and by labels that it draws as others: exit status 1."""
    done = run("--gentest", FASHION, "--gentest-checkpoint", REGRESSED)
    assert done.returncode == 1, done.stdout
    failed = set(re.findall(r"^FAILED examples/fashion/test_fashion.py::(\w+)", done.stdout, re.MULTILINE))
    assert failed == BROKEN
    assert "responsive(pixels(), at_least=0.05): violated by" in done.stdout
    rows = re.compile(r"^  (?:rates)? +(holds|violated|undecided)(?: >= 58 %)? +(label=\d) ", re.MULTILINE)
    found = rows.findall(done.stdout)
    labels = {label: verdict for verdict, label in found}
    assert len(labels) == 10
    assert {label for label, verdict in labels.items() if verdict == "violated"} >= {"label=3", "label=7"}
    assert labels["label=1"] == labels["label=9"] == "holds"


@pytest.mark.slow
def test_prompts_are_cached_by_the_run_that_needs_them(tmp_path: Path) -> None:
    """A prompt file is written by one run and enough for the next; a prompt that it lacks is named."""
    prompts, only = tmp_path / "prompts.json", ["-k", "shoes", "--gentest-examples", "5"]
    missing = run("--gentest", FASHION, *only, "--gentest-prompts", str(prompts))
    assert missing.returncode == 4
    assert "--gentest-update-prompts" in missing.stderr
    written = run("--gentest", FASHION, *only, "--gentest-prompts", str(prompts), "--gentest-update-prompts")
    assert written.returncode == 0, written.stdout
    again = run("--gentest", FASHION, *only, "--gentest-prompts", str(prompts))
    assert again.returncode == 0, again.stdout
    other = run("--gentest", FASHION, "-k", "between_in or brightness_is_between", "--gentest-prompts", str(prompts))
    assert other.returncode == 1
    assert "a photo of a bright shirt" in other.stdout


@pytest.mark.slow
def test_the_face_gan_violates_between_and_replays(tmp_path: Path) -> None:
    """The search finds real violations, and the printed command reproduces the minimal one's margin."""
    pytest.importorskip("gan_face_generate", reason=FACES)
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    done = run("--gentest", "examples/faces", "-k", "brightness", "--gentest-json", str(first))
    assert done.returncode == 1, done.stdout
    (found,) = results(first).values()
    assert found["verdict"] == "violated"
    assert 0.05 <= found["search"]["violations"] / found["search"]["examples"] <= 0.15  # type: ignore[operator]
    for word in ("worst", "minimal", "matters  coordinates", "brightness()"):
        assert word in done.stdout
    block = pages.block("examples/faces/README.md", "pytest --gentest examples/faces")
    pages.assert_shown(block, done.stdout, until="[... the table")
    command = re.search(r"replay +pytest (.*)", done.stdout)
    assert command is not None
    replayed = run(*shlex.split(command[1]), "--gentest-json", str(again))
    assert replayed.returncode == 1
    (repeated,) = results(again).values()
    assert repeated["search"]["counterexample"]["margin"] == pytest.approx(
        found["search"]["counterexample"]["margin"], abs=1e-6
    )  # type: ignore[index]


@pytest.mark.slow
def test_a_property_of_ones_own_holds_at_a_rate() -> None:
    """A margin of CLIP's embeddings gets a rate, and a search beside it; the other two are shown by their guide."""
    done = run("--gentest", "examples/own_property", "-k", "keeps")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^holds >= \S+ % +test_a_path", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_the_face_gan_is_attacked() -> None:
    """An attack finds what forty probes do not, as the guide shows."""
    pytest.importorskip("gan_face_generate", reason=FACES)
    block = pages.block("examples/faces/README.md", "--gentest-examples 40")
    done = run(*shlex.split(block.command)[1:])
    assert done.returncode == 1, done.stdout
    pages.assert_shown(block, done.stdout)


@pytest.mark.slow
def test_the_committed_direction_brightens_faces() -> None:
    """`brighter.json` is read, and steers at the rate that the example declares, though not always."""
    pytest.importorskip("gan_face_generate", reason=FACES)
    done = run("--gentest", "examples/faces", "-k", "brightens")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^holds >= \S+ % +test_a_d\S+ +steers", done.stdout, re.MULTILINE)
    assert "a counterexample all the same: --gentest-replay steers:" in done.stdout


@pytest.mark.slow
def test_the_face_gan_is_measured(tmp_path: Path) -> None:
    """`measure.py` finds a direction, saves it, tells noisy weights by their outputs, and says which claims hold."""
    pytest.importorskip("gan_face_generate", reason=FACES)
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install -e '.[directions]'")
    small = ["--samples", "768", "--others", "128", "--examples", "20", "--outputs", "256", "--seeds", "1"]
    script = [sys.executable, "examples/faces/measure.py", "--only", "direction", "matches", *small]
    saved = tmp_path / "brighter.json"
    done = subprocess.run([*script, "--save", str(saved)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    claims = re.findall(r"^(holds|FAILS)  (.+)", done.stdout, re.MULTILINE)
    assert len(claims) == 5
    assert {verdict for verdict, _ in claims} == {"holds"}
    found = gentest.Direction.load(saved)
    assert found.attribute == "brightness()"
    committed = gentest.Direction.load(ROOT / "examples/faces/brighter.json")
    assert float((found.vector * committed.vector).sum()) > 0.5


@pytest.mark.slow
def test_the_verdict_does_not_depend_on_workers(tmp_path: Path) -> None:
    """With two of xdist's workers the regressed checkpoint gives the same results as in one process."""
    pytest.importorskip("xdist", reason="needs pytest-xdist")
    found = []
    for workers in ("0", "2"):
        path = tmp_path / f"{workers}.json"
        only = ["-k", "garment or jumps or function", "--gentest-json", str(path), "--gentest-checkpoint", REGRESSED]
        assert run("--gentest", FASHION, "-n", workers, *only).returncode == 1
        found.append(
            {
                name: (r["verdict"], r["search"]["counterexample"], r["search"]["worst"])
                for name, r in results(path).items()
            }
        )
    assert found[0] == found[1]
    assert len(found[0]) == 6


@pytest.mark.slow
def test_the_fashion_gate_holds_the_good_checkpoint_and_refuses_the_regressed_one(tmp_path: Path) -> None:
    """Against the committed baseline the good checkpoint is held, without drift; the regressed one says what broke."""
    gate = ["--gentest", FASHION, "--gentest-baseline", f"{FASHION}/blessed.json"]
    good = run(*gate, "--gentest-json", str(tmp_path / "good.json"))
    assert good.returncode == 0, good.stdout
    assert "gate: held (12 held; tolerance 0.05, 20 claims)" in good.stdout
    assert "drift      not found in " in good.stdout
    bad = run(*gate, "--gentest-checkpoint", REGRESSED, "--gentest-json", str(tmp_path / "bad.json"))
    assert bad.returncode == 1, bad.stdout
    found = json.loads((tmp_path / "bad.json").read_text())["results"]
    assert {r["test"].partition("::")[2] for r in found if r["gate"]["standing"] == "regressed"} == BROKEN
    assert len(re.findall(r"^regressed  ", bad.stdout, re.MULTILINE)) == len(BROKEN)
    assert re.search(r"^drift +distribution in thumbnails", bad.stdout, re.MULTILINE)
    pages.assert_shown(pages.block("examples/ci/README.md", f"--gentest-checkpoint {REGRESSED}"), bad.stdout)


@pytest.mark.slow
def test_the_gate_sees_ruined_faces_by_their_sharpness(tmp_path: Path) -> None:
    """Weights with noise of 0.6 standard deviations drift in sharpness within 256 latents; re-saved ones do not drift.

    `examples/faces/gate.py` does the same on all tests, 50 times.
    """
    pytest.importorskip("gan_face_generate", reason=FACES)
    script = (
        f"import sys; sys.path.insert(0, 'examples/faces'); import gate, pathlib; f = pathlib.Path({str(tmp_path)!r})"
    )
    made = f"{script}; gate.copies(f); gate.noisy(f)"
    subprocess.run([sys.executable, "-c", made], cwd=ROOT, check=True)
    common = ["--gentest", "examples/faces", "-k", "sharpness", "--gentest-examples", "20"]
    baseline = str(tmp_path / "blessed.json")
    copy = str(tmp_path / "copy.safetensors")
    blessing = ["--gentest-save-baseline", baseline, "--gentest-baseline-probes", "512", "--gentest-checkpoint", copy]
    run(*common, *blessing)
    gate = [*common, "--gentest-baseline", baseline, "--gentest-drift", "fail", "--gentest-checkpoint"]
    held = run(*gate, copy, "--gentest-batch-size", "48")
    assert held.returncode == 0, held.stdout
    assert "gate: held (1 held;" in held.stdout
    ruined = run(*gate, str(tmp_path / "noisy.safetensors"), "--gentest-json", str(tmp_path / "ruined.json"))
    assert ruined.returncode == 1, ruined.stdout
    assert "gate: refused for drift (1 held," in ruined.stdout
    drifts = json.loads((tmp_path / "ruined.json").read_text())["gate"]["drifts"]
    (sharpness,) = (drift for drift in drifts if drift["what"] == "level of sharpness()")
    assert sharpness["drifted"]
    assert 0 < sharpness["certain_at"] <= 256
    assert sharpness["log_evidence"] > math.log(1000)


PROMPTS = "examples/prompts/README.md"


@pytest.mark.slow
@pytest.mark.parametrize("example", ["fashion", "faces"])
def test_a_forecast_is_near_what_an_example_costs(example: str) -> None:
    """Within a quarter, counterexamples and all; `python -m tests.audit.forecast` prints the table of the guide."""
    if example == "faces":
        pytest.importorskip("gan_face_generate", reason=FACES)
    assert abs(forecast.compared(example).error) <= forecast.ALLOWED


@pytest.mark.slow
def test_the_painter_confuses_counts_as_its_guide_shows() -> None:
    """Kinds and colours are as asked, counts of bags are not; the forecast is near what the run cost."""
    pytest.importorskip("diffusers", reason="needs diffusers: pip install -e '.[diffusers]'")
    one = forecast.compared("prompts")
    pages.assert_shown(pages.block(PROMPTS, "pytest --gentest examples/prompts"), one.printed)
    assert abs(one.error) <= forecast.ALLOWED


@pytest.mark.slow
def test_the_painter_is_tested_within_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheapest tests are decided first, and what is left is undecided: as the guide shows, with exit status 3."""
    pytest.importorskip("diffusers", reason="needs diffusers: pip install -e '.[diffusers]'")
    monkeypatch.setenv("PAINTER_SECONDS", forecast.SLOW)
    block = pages.block(PROMPTS, "--gentest-max-images 100 --gentest-cache .gentest")
    bound = ["--gentest", "examples/prompts", "--gentest-max-images", "100", "--gentest-cache", str(tmp_path)]
    done = run(*bound, "--gentest-json", str(tmp_path / "results.json"))
    assert done.returncode == 3, done.stdout
    pages.assert_shown(block, done.stdout)
    made = json.loads((tmp_path / "results.json").read_text())["results"]
    assert sum(result["cost"]["images"] for result in made) <= 100


@pytest.mark.slow
def test_the_tokenizer_has_a_dead_codebook() -> None:
    """The suite of examples/tokens finds it, as its page shows: exit status 1."""
    done = run("--gentest", "examples/tokens", "-k", "codebook")
    assert done.returncode == 1, done.stdout
    pages.assert_shown(pages.block("examples/tokens/README.md", "-k codebook"), done.stdout)


@pytest.mark.slow
def test_the_tokenizer_depends_on_padding_and_its_digits_have_ink(tmp_path: Path) -> None:
    done = run(
        "--gentest", "examples/tokens", "-k", "padding or ink or again", "--gentest-examples", "20",
        "--gentest-json", str(tmp_path / "out.json"),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    verdicts = {name.partition("(")[0]: result["verdict"] for name, result in results(tmp_path / "out.json").items()}
    assert verdicts == {"not_blank": "no_counterexample", "agrees": "violated"}
    assert "2 violated, 1 no counterexample" in done.stdout


@pytest.mark.slow
def test_the_piano_is_too_loud_and_too_soft(tmp_path: Path) -> None:
    """Latents of the prior have notes that the piano does not, as the page shows: exit status 1."""
    done = run("--gentest", "examples/audio", "-k", "as_loud", "--gentest-report", str(tmp_path / "out.html"))
    assert done.returncode == 1, done.stdout
    pages.assert_shown(pages.block("examples/audio/README.md", "-k as_loud"), done.stdout)
    assert "<audio" in (tmp_path / "out.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_piano_clips_and_clicks_but_is_a_function_of_its_latent(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = run("--gentest", "examples/audio", "-k", "clip or click or function", "--gentest-json", str(out))
    assert done.returncode == 1, done.stdout
    verdicts = {name: result["verdict"] for name, result in results(out).items()}
    assert verdicts == {
        "well_formed(tolerance=0.001)": "no_counterexample",
        "reproducible(tolerance=0.001)": "no_counterexample",
        "limits(clipping(), at_most=0.001)": "violated",
        "limits(clicks(), at_most=1)": "violated",
    }


@pytest.mark.slow
def test_the_piano_is_measured() -> None:
    """`measure.py` counts the notes unlike the piano's own, as the page shows."""
    script = [sys.executable, "examples/audio/measure.py"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    pages.assert_shown(pages.block("examples/audio/README.md", "measure.py"), done.stdout)
