"""`gentest.blessed`: a test agrees with the outputs that a baseline keeps, and every other case is one clear line."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import gentest
from gentest import cli
from gentest.errors import InvalidArgument
from gentest.gate.baseline import Baseline
from tests.helpers import handmade

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

CONFTEST = """
import pathlib, pytest, torch
import gentest

def model(slope, bits=8, noise=None):
    def draw(z):
        with open("rows", "a") as file:
            file.write(f"{len(z)}\\n")
        x = (0.5 + slope * z[:, :2].tanh().mean(1))[:, None, None, None].expand(-1, 1, 8, 8)
        return (x * 255).round() / 255 if bits == 8 else x
    return gentest.Generator(draw, latent=gentest.Normal(3), output_range=(0, 1))

@pytest.fixture(scope="session")
def generator(gentest_checkpoint):
    return model(float(gentest_checkpoint.read_text()))

@pytest.fixture(scope="session")
def floats(gentest_checkpoint):
    return model(float(gentest_checkpoint.read_text()), bits=32)
"""
TEST = """
@gentest.between(gentest.brightness(), tolerance=0.5)
@gentest.responsive(at_least=0.001).at_rate(0.5)
def test_shape(generator):
    return generator
"""
AGREES = """
@gentest.agrees(within=0.02)
@gentest.agrees(gentest.brightness(), within=gentest.sd(0.1))
@gentest.agrees(within=0.02).at_rate(0.9)
def test_agrees(generator):
    return generator.against(gentest.blessed("blessed.json"))
"""


@pytest.fixture
def model(repository: Repository) -> Repository:
    """A repository whose checkpoint is the contrast of its images."""
    repository.pytester.makeconftest(CONFTEST)
    for name, text in {"good": "0.3", "same": "0.3", "other": "0.4"}.items():
        (repository.path / f"{name}.pt").write_text(text)
    repository.write(TEST + AGREES)
    return repository


def bless(model: Repository, *args: str, n: int | None = 64, checkpoint: str = "good") -> pytest.RunResult:
    """Blesses a checkpoint in `blessed.json`, with outputs of `n` probes."""
    kept = () if n is None else ("--gentest-keep-outputs", str(n))
    flags = ("--gentest-save-baseline", "blessed.json", "--gentest-baseline-probes", "64")
    return model.check("--gentest-checkpoint", f"{checkpoint}.pt", *flags, *kept, *args)


def rows(model: Repository) -> int:
    """The rows that the generator has made since the last question."""
    path = model.path / "rows"
    n = sum(map(int, path.read_text().split())) if path.exists() else 0
    path.unlink(missing_ok=True)
    return n


def test_a_candidate_agrees_without_the_old_weights(model: Repository) -> None:
    """The blessing run skips the test with a reason; later runs judge the 64 kept probes, and replay a difference."""
    blessing = bless(model, "-rs")
    blessing.assert_outcomes(passed=1, skipped=1)
    blessing.stdout.fnmatch_lines(
        [
            "blessed: 2 properties on 64 probes, in *blessed.json",
            "kept: outputs of 64 probes in blessed.outputs.npz, * KiB: 8 bit, bit for bit",
            "SKIPPED *this run blesses blessed.json, so there are no kept outputs of it to agree with yet",
        ]
    )
    (latest,) = Baseline.load(model.path / "blessed.json").blessings
    assert latest.checkpoint == "good.pt"
    assert latest.made_with["torch"] == metadata.version("torch")
    assert latest.made_with["device"].startswith(("cpu (", "cuda ("))
    assert {"python", "numpy"} <= set(latest.made_with)
    (model.path / "good.pt").unlink()
    rows(model)
    only = ("-k", "agrees", "--gentest-json", "results.json")
    same = model.check("--gentest-checkpoint", "same.pt", *only, "-v")
    same.assert_outcomes(passed=1, deselected=1)
    same.stdout.fnmatch_lines(["*compared with outputs of 64 probes that blessed.json keeps (8 bit, bit for bit; *"])
    results = model.document()["results"]
    assert [r["search"]["examples"] for r in results] == [64, 64, 64]
    assert results[0]["kept"]["n"] == 64
    assert rows(model) == sum(r["cost"]["images"] for r in results) <= 64 + 3 * 40
    assert results[1]["cost"]["images"] < 64  # the second property shares the images of the first
    other = model.check("--gentest-checkpoint", "other.pt", *only)
    other.assert_outcomes(failed=1, deselected=1)
    other.stdout.fnmatch_lines(["agrees(within=0.02): violated by * of 64 probes, worst margin *"])
    replay = next(line for line in other.outlines if line.startswith("  replay   "))
    again = model.check(*replay.split("pytest --gentest ")[1].split())
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["agrees(within=0.02): violated by a replayed probe, margin *"])


def test_agreement_is_decided_by_itself_beside_a_gate(model: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """A gate neither compares nor misses it. A violation fails the run, and `gentest gate` decides alike from files."""
    bless(model)
    gated = (
        "--gentest-baseline",
        "blessed.json",
        "--gentest-undecided",
        "warn",
        "--gentest-drift",
        "off",
        "-W",
        "default",
    )
    same = model.check("--gentest-checkpoint", "same.pt", *gated)
    same.assert_outcomes(passed=2, warnings=2)
    assert same.ret == 0
    same.stdout.no_fnmatch_line("*not in the baseline*")
    same.stdout.no_fnmatch_line("*not seen*")
    written = ("--gentest-json", "results.json", "--gentest-outcomes")
    other = model.check("--gentest-checkpoint", "other.pt", *gated, *written)
    assert other.ret == 1
    other.stdout.fnmatch_lines(["-  *violated  *test_agrees  agrees(within=0.02)  * 64 *"])
    files = [str(model.path / name) for name in ("results.json", "blessed.json")]
    capsys.readouterr()
    assert cli.main(["gate", files[0], "--baseline", files[1]]) == 1
    assert (
        "violated, and not in the baseline: test_model.py::test_agrees  agrees(within=0.02)\n"
        in capsys.readouterr().out
    )


def test_blessing_again_keeps_as_many_and_zero_keeps_none(model: Repository) -> None:
    """The number is taken from the baseline that is replaced; 0 removes the file of outputs."""
    bless(model, n=40)
    outputs = model.path / "blessed.outputs.npz"
    first = outputs.read_bytes()
    bless(model, n=None, checkpoint="other").stdout.fnmatch_lines(["kept: outputs of 40 probes *"])
    assert outputs.read_bytes() != first
    bless(model, n=0).stdout.no_fnmatch_line("kept: *")
    assert not outputs.exists()
    missing = model.check("--gentest-checkpoint", "same.pt", "-k", "agrees")
    missing.assert_outcomes(failed=1, deselected=1)
    missing.stdout.fnmatch_lines(
        ["*blessed.json: keeps no outputs; bless with `gentest bless blessed.json --keep-outputs N`"]
    )


def test_a_blessing_says_which_test_cannot_compare_with_it(model: Repository) -> None:
    """If nothing is kept, or nothing of the test that `blessed` names; the tests themselves are skipped."""
    none = bless(model, n=None)
    none.assert_outcomes(passed=1, skipped=1)
    reason = "blessed.json keeps no outputs; bless again with --keep-outputs N"
    none.stdout.fnmatch_lines([f"test_model.py::test_agrees cannot compare with this baseline: {reason}"])
    model.write(TEST + AGREES.replace('"blessed.json"', '"blessed.json", test="test_faces"'))
    bless(model, n=8).stdout.fnmatch_lines(
        ["test_model.py::test_agrees cannot *: blessed.json keeps no outputs of test='test_faces'; it has those of *"]
    )
    model.write(TEST + AGREES)
    bless(model, n=8).stdout.no_fnmatch_line("*cannot compare*")


def test_several_checkpoints_are_compared_with_the_same_outputs(model: Repository) -> None:
    """Each is a candidate of its own, and its failure names it."""
    bless(model)
    both = model.check("--gentest-checkpoint", "same.pt", "--gentest-checkpoint", "other.pt", "-k", "agrees")
    both.assert_outcomes(passed=1, failed=1, deselected=2)
    both.stdout.fnmatch_lines(["FAILED *test_agrees[[]checkpoint=other.pt[]] - agrees(within=0.02): violated by *"])


@pytest.mark.slow
def test_workers_keep_outputs_and_compare_with_them(model: Repository) -> None:
    """Each worker gives what it made, and the controller writes one file of two generators."""
    model.write(
        TEST + AGREES + "\n@gentest.well_formed()\ndef test_floats(floats):\n    return floats\n"
        "\n@gentest.agrees(within=0.0)\ndef test_old_floats(floats):\n"
        "    return floats.against(gentest.blessed('blessed.json', test='test_floats'))\n"
    )
    workers = ("-n", "2")
    blessing = model.apart(
        "--gentest-checkpoint", "good.pt", "--gentest-save-baseline", "blessed.json", "--gentest-baseline-probes", "64",
        "--gentest-keep-outputs", "50", *workers,
    )  # fmt: skip
    blessing.assert_outcomes(passed=2, skipped=2)
    blessing.stdout.fnmatch_lines(
        [
            "kept: outputs of 50 probes in blessed.outputs.npz, *: 16 bit, largest error * (*test_floats); 8 bit, *",
            "test_model.py::test_agrees cannot compare with this baseline: blessed.json keeps outputs of 2 generators "
            "with the candidate's space; name the test of one, *: *::test_floats, *::test_shape",
        ]
    )
    blessing.stdout.no_fnmatch_line("test_model.py::test_old_floats cannot compare *")
    result = model.apart("--gentest-checkpoint", "same.pt", *workers)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*blessed.json: keeps outputs of 2 generators with the candidate's space; name the test of one, as in "
            "gentest.blessed(..., test='test_faces'): test_model.py::test_floats, test_model.py::test_shape"
        ]
    )


def generator(latent: gentest.Space | None = None, **arguments: object) -> gentest.Generator:
    """A candidate, whose outputs nobody asks for here."""
    latent = latent or gentest.Normal(3)
    return gentest.Generator(lambda *z, **named: torch.zeros(1), latent=latent, **arguments)  # type: ignore[arg-type]


def test_what_does_not_fit_is_one_line_each(model: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file, no file of gentest's, an unknown test, another space, noise, kind, range and bank."""
    monkeypatch.chdir(model.path)
    bless(model, "-k", "shape", n=8)
    kept = gentest.blessed("blessed.json")
    bounded = {"output_range": (0, 1)}
    cases = [
        (gentest.blessed("nowhere.json"), generator(), "nowhere.json: No such file or directory"),
        (gentest.blessed("conftest.py"), generator(), "conftest.py: not a whole JSON file"),
        (
            gentest.blessed("blessed.json", test="test_x"),
            generator(),
            "keeps no outputs of test='test_x'; it has",
        ),
        (kept, generator(gentest.Normal(4)), "are of the latent space Normal(3), the candidate's is Normal(4)"),
        (
            kept,
            generator(noise={"noise": gentest.Normal(2)}),
            "the noise inputs {}, the candidate's are {'noise'",
        ),
        (kept, generator(images=False, **bounded), "have images=True, and the candidate images=False"),
    ]
    for reference, candidate, said in cases:
        with pytest.raises(InvalidArgument) as caught:
            candidate.against(reference)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    assert generator(**bounded).against(kept).reference.output_range == (0.0, 1.0)
    path = model.path / "blessed.outputs.npz"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InvalidArgument, match=r"not the outputs that blessed\.json was blessed with"):
        generator().against(kept)


def test_another_bank_of_the_same_size_is_refused(model: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bank may be new for every checkpoint; outputs of other latents are no reference."""
    monkeypatch.chdir(model.path)
    model.pytester.makeconftest(
        "import gentest, torch, pytest\n"
        "@pytest.fixture\ndef generator():\n"
        "    bank = torch.arange(12.0).reshape(4, 3)\n"
        "    return gentest.Generator(lambda z: z[:, None], latent=gentest.Empirical(bank), images=False)\n"
    )
    model.write("@gentest.well_formed()\ndef test_bank(generator):\n    return generator\n")
    bless(model, n=16)
    bank = torch.arange(12.0).reshape(4, 3)
    same = gentest.Generator(lambda z: z[:, None], latent=gentest.Empirical(bank), images=False)
    assert gentest.agrees(within=0.0).check(same.against(gentest.blessed("blessed.json"))).verdict.value != "violated"
    other = gentest.Generator(lambda z: z[:, None], latent=gentest.Empirical(bank + 1), images=False)
    with pytest.raises(InvalidArgument, match="the kept outputs are of other latents, though the space is Empirical"):
        other.against(gentest.blessed("blessed.json"))


def test_wrong_arguments_are_named() -> None:
    """A path is a path, and a test is a name."""
    with pytest.raises(InvalidArgument, match="path=5"):
        gentest.blessed(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="test=None"):
        gentest.blessed("a.json", test=None)  # type: ignore[arg-type]


def test_a_baseline_of_an_early_version_keeps_no_outputs(tmp_path: Path) -> None:
    """It is read as before."""
    path = handmade.written(tmp_path / "old.json", handmade.baseline(handmade.result(handmade.outcomes(64))))
    assert "kept" not in json.loads(path.read_text())
    with pytest.raises(InvalidArgument, match=r"old\.json: keeps no outputs"):
        generator().against(gentest.blessed(path))


def test_the_example_runs(model: Repository) -> None:
    """The test that examples/ci shows passes on the blessed checkpoint and fails on another."""
    example = Path(__file__).parents[2] / "examples" / "ci" / "test_as_blessed.py"
    (model.path / example.name).write_text(example.read_text(encoding="utf-8"))
    flags = ("--gentest-save-baseline", "gentest_baseline.json", "--gentest-baseline-probes", "64")
    model.check("--gentest-checkpoint", "good.pt", *flags, "--gentest-keep-outputs", "64", "-k", "shape or as_blessed")
    assert (model.path / "gentest_baseline.outputs.npz").exists()
    model.check("--gentest-checkpoint", "same.pt", example.name).assert_outcomes(passed=1)
    model.check("--gentest-checkpoint", "other.pt", example.name).assert_outcomes(failed=1)


@pytest.mark.slow
def test_levels_are_compared_with_kept_outputs(model: Repository) -> None:
    """The first 16 kept probes are the pilot, and the others decide; 31 of them are too few to say anything."""
    model.write(
        TEST + "@gentest.same_level(gentest.brightness(), within=gentest.sd(0.3))\n"
        "@gentest.same_level(gentest.brightness(), within=0.02)\n"
        'def test_level(generator):\n    return generator.against(gentest.blessed("blessed.json"))\n'
    )
    bless(model)
    only = ("-k", "test_level", "--gentest-json", "results.json")
    model.check("--gentest-checkpoint", "same.pt", *only).assert_outcomes(passed=1, deselected=1)
    levels = [result["level"] for result in model.document()["results"]]
    assert [level["latents"] for level in levels] == [16, 16]
    assert [level["budget"] for level in levels] == [48, 48]
    assert all(level["low"] < level["difference"] == 0.0 < level["high"] for level in levels)
    bless(model, n=31)
    few = model.check("--gentest-checkpoint", "same.pt", *only)
    few.assert_outcomes(failed=1, deselected=1)
    few.stdout.fnmatch_lines(["same_level(*): error: outputs of 31 probes are kept, and same_level(*"])


def test_outputs_are_kept_by_a_blessing_alone(model: Repository) -> None:
    """The option without a baseline to write is misuse, in one line."""
    result = model.check("--gentest-keep-outputs", "5")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --gentest-keep-outputs needs --gentest-save-baseline FILE"])
