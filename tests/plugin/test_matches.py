"""`matches` through pytest: what passes and fails, and what a gate asks of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gentest import cli
from gentest.gate.baseline import Baseline
from gentest.gate.looks import unpacked
from tests.helpers import handmade

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

CONFTEST = """
import pytest, torch
import gentest

@pytest.fixture(scope="session")
def generator(gentest_checkpoint):
    scale, shift = map(float, gentest_checkpoint.read_text().split())

    def draw(z):
        return (0.5 + 0.1 * (scale * z[:, :3] + shift).clamp(-4, 4))[:, :, None, None].expand(-1, 3, 2, 2)

    return gentest.Generator(draw, latent=gentest.Normal(4), output_range=(0, 1))
"""
TEST = """
DATA = 0.5 + 0.1 * torch.randn(400, 3, 1, 1, generator=torch.Generator().manual_seed(1)).expand(-1, -1, 2, 2)

@gentest.matches(DATA.clamp(0, 1), feature=gentest.pixels(), n=256{more})
def test_it(generator):
    return generator
"""
KINDS = {"data": "1 0", "near": "1 0.5", "nearer": "1 0.3", "far": "1 1.5"}


@pytest.fixture
def model(repository: Repository) -> Repository:
    """A repository of a model whose colours are as far from the data's as its checkpoint says."""
    repository.pytester.makeconftest(CONFTEST)
    for name, text in KINDS.items():
        (repository.path / f"{name}.pt").write_text(text)
    repository.write(TEST.replace("{more}", ""))
    return repository


def check(model: Repository, checkpoint: str, *args: str) -> pytest.RunResult:
    return model.check("--gentest-checkpoint", f"{checkpoint}.pt", *args)


def bless(model: Repository, checkpoint: str) -> None:
    """Blesses a checkpoint in `blessed.json`."""
    check(model, checkpoint, "--gentest-save-baseline", "blessed.json")
    assert (model.path / "blessed.json").exists()


def gated(model: Repository, checkpoint: str, *args: str) -> tuple[int, str, str]:
    """Exit status, standing and words of a checkpoint against `blessed.json`."""
    result = check(model, checkpoint, "--gentest-baseline", "blessed.json", "--gentest-json", "results.json", *args)
    (compared,) = json.loads((model.path / "results.json").read_text())["gate"]["properties"]
    return int(result.ret), compared["gate"]["standing"], compared["gate"]["message"]


def test_what_matches_passes_and_what_does_not_fails(model: Repository) -> None:
    """The line that ends a run gives MMD^2, p and how many were compared; the failing block too."""
    passed = check(model, "data")
    passed.assert_outcomes(passed=1)
    passed.stdout.fnmatch_lines(
        [
            "no counterexample  test_it  matches(400 of (3, 2*, pixels(), n=256) *256  MMD^2 *",
            "    not found different from 400 of (3, 2, 2), *",
        ]
    )
    failed = check(model, "far")
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(
        ["matches(*): different from 400 of (3, 2, 2), *: MMD^2 * (p = 0.002, below * with 99 % confidence), *"]
    )


def test_a_closeness_that_cannot_be_certified_is_undecided(model: Repository) -> None:
    """It fails, unless a run only warns of what is undecided."""
    model.write(TEST.replace("{more}", ", tolerance=1e-5"))
    check(model, "data").assert_outcomes(failed=1)
    check(model, "data", "--gentest-undecided", "warn", "-W", "default").assert_outcomes(passed=1, warnings=1)


@pytest.mark.slow
def test_a_candidate_is_asked_whether_it_is_further_from_the_data(model: Repository) -> None:
    """A checkpoint that differs from the data is blessed: as far or nearer is held, further is regressed."""
    bless(model, "near")
    for checkpoint, status, standing in (("near", 0, "held"), ("nearer", 0, "held"), ("far", 1, "regressed")):
        found = gated(model, checkpoint, "--gentest-drift", "warn")
        assert found[:2] == (status, standing), found
        assert "MMD^2 to the reference" in found[2]


MANY = """
import pytest, torch
import gentest

REFERENCE = torch.randn(600, 2, generator=torch.Generator().manual_seed(1)) + 1.0

@pytest.fixture(scope="session")
def generator(gentest_checkpoint):
    moved = float(gentest_checkpoint.read_text())
    return gentest.Generator(lambda z: z + moved, latent=gentest.Normal(2), images=False)

@gentest.settings(examples=4)
@gentest.matches(REFERENCE, feature=gentest.pixels(), n=512)
def test_matches(generator):
    return generator

@pytest.mark.parametrize("i", range({others}))
@gentest.settings(examples=4)
@gentest.well_formed()
def test_formed(generator, i):
    return generator
"""


@pytest.mark.parametrize(
    "claims", [5, 23, pytest.param(60, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.slow)]
)
def test_outputs_that_moved_far_are_refused_among_any_number_of_claims(repository: Repository, claims: int) -> None:
    """Moved by 100 sd, 1 of 5 or of 200; what did not move is not refused, and not called held."""
    repository.write(MANY.format(others=claims - 1))
    for name, moved in (("good", 0), ("bad", 100)):
        (repository.path / f"{name}.pt").write_text(str(moved))
    bless(repository, "good")
    for drift in ("off",) if claims > 23 else ("off", "warn"):
        passed = check(repository, "good", "--gentest-baseline", "blessed.json", "--gentest-drift", drift)
        assert passed.ret == 0
        passed.stdout.fnmatch_lines([f"gate: passed ({claims - 1} held, 1 not found further; *"])
        refused = check(repository, "bad", "--gentest-baseline", "blessed.json", "--gentest-drift", drift)
        assert refused.ret == 1
        refused.stdout.fnmatch_lines([f"gate: regressed ({claims - 1} held, 1 regressed*"])


def test_probes_that_are_too_few_for_so_many_claims_are_an_error(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said when a run begins, before anything is made, and by the command: no candidate could be refused."""
    repository.write(MANY.format(others=3))
    (repository.path / "good.pt").write_text("0")
    blessed = handmade.written(repository.path / "blessed.json", handmade.baseline(handmade.result([0.5] * 8)))
    wrong = check(repository, "good", "--gentest-baseline", "blessed.json")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    said = "test_a.py::test_a between(*): 8 probes or outputs cannot show a regression among 1 claims: p is *"
    wrong.stderr.fnmatch_lines([f"ERROR: gentest: *blessed.json: {said}"])
    results = handmade.written(repository.path / "results.json", [handmade.result([0.5] * 8)])
    assert cli.main(["gate", str(results), "--baseline", str(blessed)]) == 2
    assert "8 probes or outputs cannot show a regression among 1 claims" in capsys.readouterr().err


@pytest.mark.slow
def test_a_distribution_of_another_size_is_blessed_beside_other_properties(repository: Repository) -> None:
    """`matches(n=)` and the look at outputs keep as many each, and the baseline reads back."""
    repository.write(MANY.format(others=1).replace("n=512", "n=300"))
    (repository.path / "good.pt").write_text("0")
    bless(repository, "good")
    (look,) = Baseline.load(repository.path / "blessed.json").looks.values()
    assert [len(unpacked(embedded)[0]) for embedded in look.embeddings.values()] == [512, 300]
    assert check(repository, "good", "--gentest-baseline", "blessed.json").ret == 0


def test_a_baseline_of_a_distribution_has_embeddings_and_no_outcomes(model: Repository) -> None:
    """It reads back, shows itself, and stays small."""
    bless(model, "data")
    baseline = Baseline.load(model.path / "blessed.json")
    (entry,) = baseline.entries.values()
    assert entry.sample.margins == ""
    assert entry.sample.look is not None
    assert list(entry.sample.look.embeddings) == ["pixels()"]
    assert "of all outputs together" in baseline.summary[0]


@pytest.mark.slow
def test_the_gate_of_files_is_that_of_the_run(model: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """`gentest gate` on the JSON of a run comes to the same."""
    bless(model, "near")
    for checkpoint, status in (("nearer", 0), ("far", 1)):
        gated(model, checkpoint, "--gentest-outcomes")
        blessed, results = str(model.path / "blessed.json"), str(model.path / "results.json")
        assert cli.main(["gate", results, "--baseline", blessed]) == status
        assert "MMD^2 to the reference" in capsys.readouterr().out
        cli.main(["show", results])
        assert "MMD^2" in capsys.readouterr().out
        cli.main(["show", results, "--markdown"])
        assert "MMD^2" in capsys.readouterr().out


def test_a_distance_that_was_not_compared_is_not_held(model: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """Outcomes of a run without the baseline say nothing of the baseline's distance: undecided, and why."""
    bless(model, "near")
    check(model, "nearer", "--gentest-json", "results.json", "--gentest-outcomes")
    blessed, results = str(model.path / "blessed.json"), str(model.path / "results.json")
    assert cli.main(["gate", results, "--baseline", blessed]) == 3
    assert "nothing says how far the baseline's outputs are from the reference" in capsys.readouterr().out
