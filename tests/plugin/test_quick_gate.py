"""The gate of slow images: what a blessing keeps, what refuses a candidate, and that files decide as the run did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gentest import cli
from gentest.gate import decision
from gentest.gate.baseline import Baseline
from gentest.results.outcome import Outcome
from tests.helpers.slow import Clock

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

CONFTEST = """
import pytest, torch
import gentest
from gentest.engine import cost

class Draw:
    def __init__(self, settings):
        self.shift, self.noise, self.bad = settings
        self.gentest_identity = repr(settings)

    def __call__(self, z):
        if hasattr(cost.clock, "now"):
            cost.clock.now += 5.0 * len(z)  # seconds an image
        with open("made", "a") as file:
            file.write(f"{len(z)}\\n")
        noise = self.noise * z[:, 1] + 10 * (z[:, 2] > self.bad)
        return (0.5 + 0.01 * (z[:, 0] + self.shift + noise))[:, None, None, None].expand(-1, 1, 2, 2)

@pytest.fixture(scope="session")
def generator(gentest_checkpoint):
    settings = [float(word) for word in gentest_checkpoint.read_text().split()]
    return gentest.Generator(Draw(settings), latent=gentest.Normal(3), output_range=(0, 1))
"""
SUITE = """
@gentest.property(probes=gentest.points())
def lit(evidence, *, floor=0.1):
    return evidence.scores(gentest.brightness())[:, 0] - floor

@lit().at_rate(0.9)
@gentest.between(gentest.brightness(), tolerance=1)
@gentest.settings(examples=2)
def test_all(generator):
    return generator
"""
LEVELS = """
@gentest.level(gentest.brightness(), falls_by=gentest.sd(0.5))
def test_level(generator):
    return generator
"""
CHECKPOINTS = {"good": "0 0 9", "same": "0 0.3 9", "darker": "-0.5 0.3 9", "brighter": "0.8 0.3 9", "wild": "0 5 9"}


@pytest.fixture
def model(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository whose images take five seconds on a clock that moves by itself."""
    Clock.installed(monkeypatch)
    monkeypatch.chdir(repository.path)
    repository.pytester.makeconftest(CONFTEST)
    for name, text in CHECKPOINTS.items():
        (repository.path / f"{name}.pt").write_text(text)
    repository.write(SUITE)
    return repository


def made(model: Repository) -> int:
    """Images made since the last time that somebody asked."""
    file = model.path / "made"
    n = sum(map(int, file.read_text().split())) if file.exists() else 0
    file.unlink(missing_ok=True)
    return n


def bless(model: Repository, *args: str) -> pytest.RunResult:
    """Bless the good checkpoint."""
    flags = ("--gentest-save-baseline", "b.json", "--gentest-examples", "2")
    return model.check("--gentest-checkpoint", "good.pt", *flags, *args)


def gated(model: Repository, checkpoint: str, *args: str) -> pytest.RunResult:
    """Check a candidate against the blessed one."""
    flags = (
        "--gentest-baseline",
        "b.json",
        "--gentest-json",
        "run.json",
        "--gentest-outcomes",
        "--gentest-examples",
        "2",
    )
    return model.check("--gentest-checkpoint", f"{checkpoint}.pt", *flags, *args)


def test_slow_images_are_blessed_by_levels_and_single_latents(model: Repository) -> None:
    """256 latents, which the attribute and the rate share; nothing of a path, no embedding and no search at a rate."""
    bless(model).assert_outcomes(passed=1)
    assert made(model) <= 256 + 2 * 9 + 40
    baseline = Baseline.load(model.path / "b.json")
    outcomes = {key.split()[1]: len(decision.outcomes(entry.sample)) for key, entry in baseline.entries.items()}
    assert outcomes == {"between(brightness(),": 0, "lit().at_rate(0.9)": 256}
    assert all(entry.sample.quick for entry in baseline.entries.values())
    (look,) = baseline.looks.values()
    assert list(look.levels) == ["brightness()"]
    assert not look.embeddings


def test_an_unchanged_candidate_is_held_for_few_images(model: Repository) -> None:
    """At most 64 for a level and a rate, besides the two paths; the path property is left to its own verdict."""
    bless(model)
    made(model)
    result = gated(model, "same")
    result.assert_outcomes(passed=1)
    assert made(model) <= 64 + 2 * 9 + 9
    result.stdout.fnmatch_lines(
        [
            "*held *holds >= 86 % *",
            "*own verdict *no counterexample *",
            "level      within 0.5 of the baseline's sd: brightness() (* latents)",
            "gate: passed (1 held, 1 own verdict, 1 level held; tolerance 0.05, 3 claims)",
        ]
    )


@pytest.mark.parametrize(
    ("checkpoint", "args", "standing", "words"),
    [
        ("darker", (), Outcome.FAILED, "level      level of brightness() moved: -0.* of the baseline's sd on *"),
        ("brighter", (), Outcome.FAILED, "level      level of brightness() moved: +0.* of the baseline's sd on *"),
        ("wild", (), Outcome.UNDECIDED, "level      level of brightness(): * of the baseline's sd on 256 of 256 *"),
        ("wild", ("--gentest-undecided", "warn"), Outcome.PASSED, "gate: undecided (*1 level undecided*"),
        ("darker", ("--gentest-drift", "off"), Outcome.PASSED, "gate: passed (1 held, 1 own verdict; *"),
    ],
)
def test_a_level_decides_the_run(
    model: Repository, checkpoint: str, args: tuple[str, ...], standing: Outcome, words: str
) -> None:
    """By its exit status, though each test passed; and `gentest gate` says the same of the files."""
    bless(model)
    result = gated(model, checkpoint, *args)
    result.stdout.fnmatch_lines([words])
    assert result.ret == standing.exit_status
    command = ["gate", "run.json", "--baseline", "b.json"]
    assert cli.main(command) == (0 if "warn" in args else standing.exit_status)


def test_files_decide_as_the_run_did(model: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """Every figure of the comparison is the same."""
    bless(model)
    for checkpoint in ("same", "darker"):
        last = gated(model, checkpoint).outlines
        capsys.readouterr()
        cli.main(["gate", "run.json", "--baseline", "b.json"])
        lines = capsys.readouterr().out.splitlines()
        for line in lines:
            if line.startswith(("level ", "gate: ")):
                assert line in last


def test_a_declared_level_has_limits_of_its_own(model: Repository) -> None:
    """It may rise as it likes; the gate makes no second claim about it; a fall fails the test."""
    model.write(SUITE + LEVELS)
    bless(model).assert_outcomes(passed=2)
    made(model)
    brighter = gated(model, "brighter")
    assert brighter.ret == 0
    brighter.stdout.fnmatch_lines(["gate: passed (2 held, 1 own verdict; tolerance 0.05, 3 claims)"])
    brighter.stdout.no_fnmatch_line("level  *")
    darker = gated(model, "darker")
    darker.assert_outcomes(passed=1, failed=1)
    darker.stdout.fnmatch_lines(
        [
            "level(brightness(), falls_by=sd(0.5)): fell, and may not fall by 0.00* (0.5 sd): 0.4* against 0.5*",
        ]
    )


def test_a_level_without_a_baseline_only_warns(model: Repository) -> None:
    """There is nothing to compare with, and the result says so."""
    model.write(LEVELS)
    result = model.check("--gentest-checkpoint", "good.pt", "-W", "default")
    result.assert_outcomes(passed=1, warnings=1)
    assert made(model) <= 16 + 12
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*UndecidedWarning: level(*): undecided: there is no level to compare*", "undecided *level(*"]
    )


def test_a_fast_generator_keeps_its_gate_unless_it_is_asked(model: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """--gentest-quick blesses a fast one in the same way, and needs a blessing."""
    monkeypatch.setattr("gentest.engine.cost.clock", lambda: 0.0)
    bless(model, "--gentest-baseline-probes", "64")
    (look,) = Baseline.load(model.path / "b.json").looks.values()
    assert look.embeddings
    bless(model, "--gentest-quick", "--gentest-baseline-probes", "64").assert_outcomes(passed=1)
    (look,) = Baseline.load(model.path / "b.json").looks.values()
    assert not look.embeddings
    assert gated(model, "same").ret == 0
    assert gated(model, "darker").ret == 1
    wrong = model.check("--gentest-quick")
    wrong.stderr.fnmatch_lines(["*--gentest-quick needs --gentest-save-baseline FILE"])
