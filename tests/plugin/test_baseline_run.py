"""A checkpoint is blessed and others are gated against it, through pytest: what passes, what fails, what is written."""

from __future__ import annotations

import math
import re
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gentest import cli
from gentest.gate.baseline import Baseline

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

CONFTEST = """
import pytest, torch
import gentest

@pytest.fixture(scope="session")
def generator(gentest_checkpoint):
    share, *contrast = map(float, gentest_checkpoint.read_text().split())

    def draw(z):  # lit on a share of latents, by as much as the contrast says
        return (0.5 + (contrast or [0.4])[0] * ((z[:, 0] < share).float() - 0.5)
                + 0.01 * z[:, 1])[:, None, None, None].expand(-1, 1, 2, 2)

    return gentest.Generator(draw, latent=gentest.Uniform(3, low=0, high=1), output_range=(0, 1))
"""
LIT = """
@gentest.property(probes=gentest.points())
def lit(evidence):
    return evidence.scores(gentest.brightness())[:, 0] - 0.5

@gentest.property(probes=gentest.points())
def steady(evidence):
    return 1 - evidence.scores(gentest.brightness())[:, 0]
"""
TEST = LIT + "\n@lit()\ndef test_lit(generator):\n    return generator\n"
BOTH = TEST + "\n@steady()\ndef test_steady(generator):\n    return generator\n"
GENTLE = ("--gentest-drift", "off")  # permutations of outputs that differ take seconds


@pytest.fixture
def model(repository: Repository) -> Repository:
    """A repository of a model of which the checkpoint says on which share of latents a property holds."""
    repository.pytester.makeconftest(CONFTEST)
    for name, text in {"good": "0.9", "same": "0.9", "worse": "0.5", "fair": "0.885", "sure": "1.0"}.items():
        (repository.path / f"{name}.pt").write_text(text)
    repository.write(TEST)
    return repository


MORE = ("--gentest-examples", "60")
"""Enough that a search meets the 18 % of latents that are dark, whatever the release of Hypothesis draws."""


def bless(model: Repository, checkpoint: str = "good", *args: str, probes: int = 256) -> pytest.RunResult:
    """Blesses a checkpoint in `blessed.json`."""
    n = str(probes)
    flags = ("--gentest-save-baseline", "blessed.json", "--gentest-baseline-probes", n)
    return model.check("--gentest-checkpoint", f"{checkpoint}.pt", *flags, *args)


def gate(model: Repository, checkpoint: str = "good", *args: str) -> pytest.RunResult:
    """Gates a checkpoint against `blessed.json`."""
    return model.check("--gentest-checkpoint", f"{checkpoint}.pt", "--gentest-baseline", "blessed.json", *args)


def refused(result: pytest.RunResult, line: str) -> None:
    """Asserts that a run ended with a usage error of one line."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [text for text in result.stderr.lines if text.strip()] == [f"ERROR: {line}"]


def leftovers(model: Repository) -> list[str]:
    """What writing left beside its files."""
    return [path.name for path in model.path.iterdir() if path.suffix == ".tmp"]


@pytest.mark.slow
def test_the_blessed_checkpoint_is_held(model: Repository) -> None:
    """A violation that is known passes where its rate is held; the run says so, and exits 0."""
    blessed = bless(model, "good", *MORE)
    blessed.assert_outcomes(failed=1)
    blessed.stdout.fnmatch_lines(["blessed: 1 property on 256 probes, in *blessed.json"])
    for checkpoint in ("good", "same"):  # a copy is the same checkpoint
        result = gate(model, checkpoint, *MORE)
        result.assert_outcomes(passed=1)
        assert result.ret == 0
        result.stdout.fnmatch_lines(
            [
                "held  violated (known)  test_lit  lit() * 160  * % -> * %*",
                "against blessed.json (good.pt blessed by * on 20*, seed 0): same weights as blessed",
                "drift      not found in level of brightness(), distribution in *",
                "gate: held (1 held; tolerance 0.05, 3 claims)",
            ]
        )


IGNORES = CONFTEST.replace("gentest_checkpoint.read_text()", "'0.9'")
"""A fixture that asks for the checkpoint, and never loads it."""


@pytest.mark.parametrize("named", [True, False], ids=["blessed by name", "blessed without a name"])
def test_a_checkpoint_that_no_fixture_loads_is_undecided(named: bool, model: Repository) -> None:  # noqa: FBT001
    """Another file with the blessed weights fails, in the files too, unless undecided only warns."""
    model.pytester.makeconftest(IGNORES)
    flags = ("--gentest-baseline-probes", "256", *GENTLE, "--gentest-examples", "16")
    given = ("--gentest-checkpoint", "good.pt") if named else ()
    model.check("--gentest-save-baseline", "blessed.json", *given, *flags)
    results = ("--gentest-json", "results.json", "--gentest-outcomes")
    result = gate(model, "worse", *GENTLE, *results)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    than = "the blessed good.pt" if named else "the blessing, which names none"
    words = " ".join(result.stdout.str().split())
    assert (
        f": undecided, same weights as blessed, though worse.pt is another file than {than}; does the fixture load "
        "gentest_checkpoint? If it does, bless this file" in words
    )
    assert "gate: undecided (1 held; tolerance" in words
    assert cli.main(["gate", "results.json", "--baseline", "blessed.json"]) == 3
    assert cli.main(["show", "results.json"]) == 3
    assert gate(model, "worse", *GENTLE, "--gentest-undecided", "warn").ret == 0
    assert gate(model, "good", *GENTLE).ret == (0 if named else pytest.ExitCode.TESTS_FAILED)
    (model.path / "good.pt").write_text("0.5")  # other weights under the blessed name
    assert gate(model, "good", *GENTLE).ret == pytest.ExitCode.TESTS_FAILED


def test_a_selected_test_is_held_in_part(model: Repository) -> None:
    """`-k` asks for no other test: the run passes and says so, and the whole stays undecided for a CI job."""
    model.write(BOTH)
    bless(model, "sure", *GENTLE)
    results = ("--gentest-json", "results.json", "--gentest-outcomes")
    result = gate(model, "sure", *GENTLE, *results, "-k", "steady")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["gate: held in part (1 held, 1 not selected; tolerance 0.05, * claims)"])
    assert cli.main(["gate", "results.json", "--baseline", "blessed.json"]) == 3
    assert cli.main(["show", "results.json"]) == 3
    assert gate(model, "worse", *GENTLE, "-k", "lit").ret == 1


def test_a_worse_checkpoint_is_refused(model: Repository) -> None:
    """A candidate that lost probes fails its test, with the evidence and what that needs."""
    bless(model)
    result = gate(model, "worse", *GENTLE)
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "  gate     regressed: * of * probes, * lost and 0 won (discordance *); evidence * : 1 that it is worse, *",
            "gate: regressed (1 regressed; tolerance 0.05, 1 claim)",
        ]
    )


@pytest.mark.parametrize("how", ["flag", "ini"])
def test_undecided_fails_unless_it_only_warns(how: str, model: Repository) -> None:
    """Too few stored probes decide nothing: that fails by default, and warns where that is asked."""
    bless(model, probes=64)
    result = gate(model, "good", *GENTLE)
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*undecided: * of 64 probes (all there are)*", "gate: undecided (1 undecided;*"])
    if how == "ini":
        model.pytester.makeini("[pytest]\ngentest_undecided = warn")
    flags = ("--gentest-undecided", "warn") if how == "flag" else ()
    result = gate(model, "good", *GENTLE, *flags, "-W", "default")
    result.assert_outcomes(passed=1, warnings=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*UndecidedWarning: lit()*"])


def test_a_property_that_is_new_is_undecided(model: Repository) -> None:
    """A property that the baseline does not have fails until it is blessed."""
    bless(model)
    model.write(BOTH)
    result = gate(model, "good", *GENTLE)
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*undecided* not in the baseline: it is gated once the baseline is blessed again*"])


@pytest.mark.parametrize("gone", ["deleted", "skipped", "renamed"])
def test_a_property_that_no_longer_runs_fails_the_run(gone: str, model: Repository) -> None:
    """What the baseline has and the run does not look at is named, and the run is no success."""
    model.write(BOTH)
    bless(model)
    skipped = BOTH.replace("@steady()", "@pytest.mark.skip\n@steady()")
    renamed = BOTH.replace("test_steady", "test_calm")
    model.write({"deleted": TEST, "skipped": skipped, "renamed": renamed}[gone])
    result = gate(model, "good", *GENTLE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["not seen * test_model.py::test_steady steady()", "gate: undecided (1 held, *"])
    if gone != "renamed":
        result.assert_outcomes(passed=1, skipped=int(gone == "skipped"))
        assert gate(model, "good", *GENTLE, "--gentest-undecided", "warn").ret == 1


@pytest.mark.parametrize(
    "args", [["-k", "lit"], ["test_model.py::test_lit"], ["--deselect", "test_model.py::test_steady"]]
)
def test_a_run_of_some_tests_is_not_asked_about_the_others(args: list[str], model: Repository) -> None:
    """Where the command line chooses tests, the others are named as not seen and fail nothing."""
    model.write(BOTH)
    bless(model)
    result = gate(model, "good", *GENTLE, *args)
    assert result.parseoutcomes()["passed"] == 1
    assert result.ret == 0
    result.stdout.fnmatch_lines(["not seen * not selected: test_model.py::test_steady steady()"])


def test_stopping_at_the_first_failure_does_not_hide_what_is_gone(model: Repository) -> None:
    """`-x` chooses no tests: a run that it did not stop is asked about all of the baseline."""
    model.write(BOTH)
    bless(model)
    model.write(TEST)
    assert gate(model, "good", *GENTLE, "-x").ret == 1


@pytest.mark.parametrize(
    ("drift", "status"), [pytest.param("warn", 0, marks=pytest.mark.slow), ("fail", 1), ("off", 0)]
)
def test_drift_is_reported_or_refused(drift: str, status: int, model: Repository) -> None:
    """Outputs that moved while every property held are a warning, refused, or not looked at."""
    (model.path / "pale.pt").write_text("0.9 0.2")
    bless(model)
    result = gate(model, "pale", "--gentest-drift", drift)
    result.assert_outcomes(passed=1)
    assert result.ret == status
    drifted = [line for line in result.outlines if line.startswith("drift ")]
    assert len(drifted) == (0 if drift == "off" else 2)
    word = {"warn": "held", "off": "held", "fail": "refused for drift"}[drift]
    result.stdout.fnmatch_lines([f"gate: {word} (1 held*"])


def test_a_violation_that_is_new_fails(model: Repository) -> None:
    """A property that held on every probe when it was blessed fails on its first counterexample, though it is held."""
    bless(model, "sure").assert_outcomes(passed=1)
    (model.path / "nearly.pt").write_text("0.99")
    result = gate(model, "nearly", *GENTLE, "--gentest-examples", "300")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*lit(): violated by*", "*held: * of * probes*", "gate: held (1 held;*"])
    assert result.ret == 1


def test_a_property_that_got_better_passes(model: Repository) -> None:
    """A candidate on which a known violation is gone is held."""
    bless(model)
    result = gate(model, "sure", *GENTLE)
    result.assert_outcomes(passed=1)
    assert result.ret == 0


def test_a_rate_that_was_refuted_may_become_undecided(model: Repository) -> None:
    """A candidate that is no worse than what was blessed, and better than refuted, is not refused."""
    model.write(LIT + "\n@lit().at_rate(0.93)\ndef test_lit(generator):\n    return generator\n")
    (model.path / "poor.pt").write_text("0.6")
    bless(model, "poor", "--gentest-budget", "256").assert_outcomes(failed=1)
    (model.path / "better.pt").write_text("0.92")
    result = gate(model, "better", *GENTLE, "--gentest-budget", "64")
    result.stdout.fnmatch_lines(["gate: held (1 held;*"])
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--gentest-baseline", "blessed.json"], "--gentest-baseline"),
        (["--gentest-replay", "lit:1f"], "--gentest-replay"),
        (["--gentest-checkpoint", "worse.pt"], "several checkpoints"),
    ],
)
def test_what_does_not_go_with_blessing(args: list[str], word: str, model: Repository) -> None:
    """A run that compares, replays or looks at several checkpoints blesses none, in one line."""
    bless(model)
    before = (model.path / "blessed.json").read_bytes()
    refused(bless(model, "good", *args), f"--gentest-save-baseline does not go with {word}: bless one whole checkpoint")
    assert (model.path / "blessed.json").read_bytes() == before


WRONG = [
    (["--gentest-baseline", "none.json"], "gentest: *none.json: No such file or directory; make one with *"),
    (["--gentest-baseline", "weights"], "gentest: *weights: not a whole JSON file *"),
    (["--gentest-save-baseline", "weights"], "gentest: *weights: not a whole JSON file *"),
    (["--gentest-save-baseline", "none/b.json"], "--gentest-save-baseline: expected a file in a folder that exists *"),
    (["--gentest-baseline-probes", "31"], "--gentest-baseline-probes: expected a whole number >= 32 but got '31'"),
    (["--gentest-tolerance", "0"], "--gentest-tolerance: expected a number above 0 and below 1 but got '0'"),
    (["--gentest-tolerance", "nan"], "--gentest-tolerance: expected a number above 0 and below 1 but got 'nan'"),
    (["--gentest-undecided", "pass"], "--gentest-undecided: expected fail or warn but got 'pass'"),
    (["--gentest-drift", "maybe"], "--gentest-drift: expected warn or fail or off but got 'maybe'"),
    (["--gentest-budget", "0"], "--gentest-budget: expected a whole number >= 1 but got '0'"),
]


@pytest.mark.parametrize(("args", "said"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_a_wrong_value_is_a_usage_error(args: list[str], said: str, model: Repository) -> None:
    """A bad value ends the run before any test, with one line that names what is wanted."""
    (model.path / "weights").write_text("weights")
    result = model.check("--gentest-checkpoint", "good.pt", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])
    assert len([line for line in result.stderr.lines if line.strip()]) == 1


STOPPED = {
    "an error": (BOTH.replace("def test_steady(generator):", "def test_steady(generator):\n    1 / 0"), [], 1),
    "-x": (BOTH, ["-x"], 1),
    "no tests": ("def test_plain():\n    pass\n", [], 1),
    "a syntax error": ("def test_plain(:\n", [], 2),
    "nothing collected": ("", [], 5),
}


@pytest.mark.parametrize("why", STOPPED)
def test_a_run_that_was_not_whole_blesses_nothing(why: str, model: Repository) -> None:
    """An error, a stop, or nothing to check leaves the earlier baseline as it is, and is no success."""
    bless(model)
    before = (model.path / "blessed.json").read_bytes()
    source, args, status = STOPPED[why]
    model.write(source)
    result = bless(model, "worse", *args)
    assert result.ret == status
    result.stdout.no_fnmatch_line("blessed:*")
    assert (model.path / "blessed.json").read_bytes() == before
    assert leftovers(model) == []


def test_a_killed_run_leaves_the_earlier_baseline(model: Repository) -> None:
    """A run that is killed in a test has written nothing, and nothing half."""
    bless(model)
    before = (model.path / "blessed.json").read_bytes()
    model.write(BOTH + "\ndef test_z():\n    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--gentest",
        "--gentest-examples",
        "5",
        "--gentest-checkpoint",
        "worse.pt",
    ]
    command += ["--gentest-save-baseline", "blessed.json", "--gentest-baseline-probes", "64"]
    done = subprocess.run(command, cwd=model.path, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (model.path / "blessed.json").read_bytes() == before
    assert leftovers(model) == []


def figures(document: dict[str, Any]) -> list[Any]:
    """What a run decided of each property, and of the whole."""
    results = sorted(document["results"], key=lambda r: (r["provenance"]["checkpoint"], r["test"]))
    whole = document["gate"]
    whole["properties"].sort(key=lambda c: (c["checkpoint"], c["test"]))  # workers end in any order
    return [[(r["test"], r["provenance"]["checkpoint"], r["verdict"], r["rate"], r["gate"]) for r in results], whole]


RATED = BOTH.replace("@lit()", "@lit().at_rate(0.8)")


@pytest.mark.slow
def test_batches_and_workers_change_nothing(model: Repository) -> None:
    """Rate, gate and drift are the same at any batch size and on two workers; so is what a baseline says."""
    model.write(RATED)
    bless(model, "good")
    found, blessed = [], []
    for args in (
        ["--gentest-batch-size", "1"],
        ["--gentest-batch-size", "7"],
        ["--gentest-batch-size", "64"],
        ["-n", "2"],
    ):
        gate(model, "fair", "--gentest-json", "r.json", *GENTLE, *args)
        found.append(figures(model.document("r.json")))
        if args[-1] in ("1", "2"):  # slow
            continue
        (model.path / "again.json").unlink(missing_ok=True)
        bless(model, "fair", *args, "--gentest-save-baseline", "again.json", probes=64)
        body = model.document("again.json")
        blessed.append({key: (said["verdict"], said["holds"]) for key, said in body["properties"].items()})
    assert found[0] == found[1] == found[2] == found[3]
    assert found[0][0][0][3]["probes"] > 0
    assert found[0][0][0][4]["probes"] > 0
    assert blessed[0] == blessed[1]


@pytest.mark.parametrize(
    ("checkpoint", "with_baseline"),
    [
        ("good", True),
        ("worse", False),
        pytest.param("good", False, marks=pytest.mark.slow),
        pytest.param("worse", True, marks=pytest.mark.slow),
        pytest.param("fair", True, marks=pytest.mark.slow),
        pytest.param("fair", False, marks=pytest.mark.slow),
    ],
)
def test_the_gate_of_files_is_that_of_the_run(
    *, checkpoint: str, with_baseline: bool, model: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results that kept their outcomes have the same standing and figures by `gentest gate` as in a gate run."""
    model.write(BOTH)
    bless(model)
    run = gate(model, checkpoint, *GENTLE, "--gentest-json", "run.json", "--gentest-outcomes")
    document = model.document("run.json")
    path = model.path / "run.json"
    if not with_baseline:
        args = ("--gentest-json", "plain.json", "--gentest-outcomes", "--gentest-baseline-probes", "300")
        model.check("--gentest-checkpoint", f"{checkpoint}.pt", *args)
        path = model.path / "plain.json"
    words = ("held ", "regressed ", "undecided ", "gate: ")
    expected = [line for line in run.outlines if line.startswith(words)]
    capsys.readouterr()
    status = cli.main(["gate", str(path), "--baseline", str(model.path / "blessed.json"), "--drift", "off"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(words)]
    assert [line.split()[0] for line in lines] == [line.split()[0] for line in expected]
    figures = re.compile(r"\d+  [\d.]+ % -> [\d.]+ %|^gate: .*")
    assert [figures.findall(line) for line in lines] == [figures.findall(line) for line in expected]
    assert (
        status
        == {"held": 0, "regressed": 1, "undecided": 3}[
            "regressed" if "gate: regressed" in lines[-1] else "held" if "gate: held" in lines[-1] else "undecided"
        ]
    )
    assert len(document["results"][0]["sample"]["margins"]) > 1000


def test_outcomes_are_kept_where_asked_only(model: Repository) -> None:
    """Without --gentest-outcomes a run's JSON has no block of margins."""
    bless(model, "good", "--gentest-json", "r.json")
    assert model.document("r.json")["results"][0]["sample"] is None


def test_the_unit_is_the_baselines(model: Repository) -> None:
    """In a gate run `gentest.sd(x)` is what it was on the blessed checkpoint, whatever the candidate's spread."""
    model.write(
        LIT + "\n@gentest.between(gentest.brightness(), tolerance=gentest.sd(1.5))\ndef test_it(generator):\n"
        "    return generator\n"
    )
    (model.path / "pale.pt").write_text("0.9 0.01")
    bless(model)
    spreads = [entry.sample.spreads for entry in Baseline.load(model.path / "blessed.json").entries.values()]
    gate(model, "pale", *GENTLE, "--gentest-json", "r.json", "--gentest-outcomes")
    (result,) = model.document("r.json")["results"]
    assert result["sample"]["spreads"] == spreads[0]
    model.check("--gentest-checkpoint", "pale.pt", "--gentest-json", "own.json", "--gentest-outcomes")
    (own,) = model.document("own.json")["results"]
    assert own["sample"]["spreads"]["brightness()"] < 0.2 * spreads[0]["brightness()"]


def test_a_counterexample_of_a_gate_run_replays(model: Repository) -> None:
    """The printed command has the unit in which the probe failed: it fails again, by the same margin."""
    model.write(
        LIT + "\n@gentest.between(gentest.brightness(), tolerance=gentest.sd(0.5))\ndef test_it(generator):\n"
        "    return generator\n"
    )
    (model.path / "flat.pt").write_text("1.0 0.01")
    (model.path / "steep.pt").write_text("0.5 0.6")
    bless(model, "flat")
    result = gate(model, "steep", *GENTLE, "--gentest-json", "r.json")
    result.assert_outcomes(failed=1)
    (command,) = [line for line in result.outlines if line.startswith("  replay ")]
    again = model.run(*shlex.split(command)[2:], "--gentest-json", "again.json")
    again.assert_outcomes(failed=1)
    margins = [model.document(f)["results"][0]["search"]["counterexample"]["margin"] for f in ("r.json", "again.json")]
    assert margins[0] == margins[1]


def test_another_latent_space_is_one_line(model: Repository) -> None:
    """A candidate of another latent space is an error that names both spaces."""
    bless(model)
    conftest = model.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("Uniform(3,", "Uniform(4,"))
    result = gate(model, "good")
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*error: blessed.json: test_model.py::test_lit lit(): the baseline's latent space is *"]
    )


# several checkpoints


@pytest.mark.parametrize("how", ["several", "pattern", "ini"])
def test_each_test_runs_for_each_checkpoint(how: str, model: Repository) -> None:
    """Several checkpoints, or a pattern, give a test for each, named by its checkpoint, and a ranking at the end."""
    for name in ("fair", "same"):
        (model.path / f"{name}.pt").unlink()
    model.write(TEST + "\ndef test_plain():\n    pass\n")
    args = {"several": [], "pattern": ["--gentest-checkpoint", "*.pt"], "ini": []}[how]
    for name in ("worse", "good", "sure"):
        args += ["--gentest-checkpoint", f"{name}.pt"] if how == "several" else []
    if how == "ini":
        model.pytester.makeini("[pytest]\ngentest_checkpoint =\n    worse.pt\n    good.pt\n    sure.pt")
    result = model.check("-v", *args, *MORE)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines_random(
        ["*::test_lit[[]checkpoint=sure.pt] PASSED*", "*::test_lit[[]checkpoint=good.pt] FAILED*"]
    )
    start = result.outlines.index("checkpoints, best first:")
    ranked = [line.split()[1] for line in result.outlines[start + 1 : start + 4]]
    assert ranked == ["sure.pt", "good.pt", "worse.pt"]


def test_a_second_run_ranks_alike(model: Repository) -> None:
    """Counterexamples of the run before change neither the order nor the shares."""
    args = [word for name in ("worse", "good", "sure") for word in ("--gentest-checkpoint", f"{name}.pt")]
    tables = []
    for _ in range(2):
        lines = model.check(*args).outlines
        start = lines.index("checkpoints, best first:")
        tables.append(lines[start : start + 8])
    assert tables[0] == tables[1]


def test_several_checkpoints_are_gated(model: Repository) -> None:
    """Each checkpoint is compared with the baseline under the key of a single run, and tests that need none once."""
    alone = (
        "\n@steady()\ndef test_alone():\n"
        "    return gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))\n"
    )
    model.write(
        TEST.replace("@lit()", "@pytest.mark.parametrize('n', [1, 2])\n@lit()").replace("(generator)", "(generator, n)")
        + alone
    )
    bless(model)
    args = [word for name in ("good", "worse") for word in ("--gentest-checkpoint", f"{name}.pt")]
    result = model.check(
        *args, "--gentest-baseline", "blessed.json", "--gentest-json", "r.json", *GENTLE, "--gentest-outcomes"
    )
    result.assert_outcomes(passed=3, failed=2)
    document = model.document("r.json")
    assert document["gate"]["missing"] == []
    assert document["gate"]["terms"]["claims"] == 6
    standings = {
        (p["checkpoint"], p["test"].split("::")[1]): p["gate"]["standing"] for p in document["gate"]["properties"]
    }
    assert standings == {
        ("good.pt", "test_lit[1]"): "held",
        ("good.pt", "test_lit[2]"): "held",
        ("worse.pt", "test_lit[1]"): "regressed",
        ("worse.pt", "test_lit[2]"): "regressed",
        ("", "test_alone"): "held",
    }


@pytest.mark.parametrize(
    "name", ["gänse", "x[1]", *(pytest.param(n, marks=pytest.mark.slow) for n in ("a-b", "two words"))]
)
def test_a_checkpoint_of_any_name_is_compared(name: str, model: Repository) -> None:
    """Whatever a checkpoint is called, its tests are found in the baseline."""
    bless(model)
    (model.path / f"{name}.pt").write_text("0.9")
    args = ("--gentest-checkpoint", f"{name}.pt", "--gentest-checkpoint", "good.pt")
    result = model.check(*args, "--gentest-baseline", "blessed.json", *GENTLE)
    result.assert_outcomes(passed=2)
    assert result.ret == 0


@pytest.mark.parametrize(
    "how",
    [
        "flags",
        "ini",
    ],
)
def test_the_printed_command_of_one_of_several_replays(how: str, model: Repository) -> None:
    """The command names the checkpoint that failed, and its counterexample fails again alone."""
    names = ("sure", "worse")
    args = [word for name in names for word in ("--gentest-checkpoint", f"{name}.pt")] if how == "flags" else []
    if how == "ini":
        model.pytester.makeini("[pytest]\ngentest_checkpoint =\n    sure.pt\n    worse.pt")
    result = model.check(*args)
    result.assert_outcomes(passed=1, failed=1)
    (command,) = [line for line in result.outlines if line.startswith("  replay ")]
    again = model.run(*shlex.split(command)[2:])
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["lit(): violated by a replayed probe, *"])


def test_equal_names_in_different_folders_are_told_apart(model: Repository) -> None:
    """Two checkpoints of one file name are called by as much of their paths as differs."""
    for folder, share in (("old", "0.5"), ("new", "1.0")):
        (model.path / folder).mkdir()
        (model.path / folder / "gan.pt").write_text(share)
    result = model.check("--gentest-checkpoint", "*/gan.pt")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["  1. new/gan.pt  1 of 1 properties pass*", "  2. old/gan.pt  0 of 1 properties pass*"]
    )


def test_outputs_of_another_size_are_an_error_of_their_test(model: Repository) -> None:
    """A candidate whose images are larger cannot be compared: one line in its test, and the JSON is written."""
    bless(model)
    conftest = model.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("expand(-1, 1, 2, 2)", "expand(-1, 1, 4, 4)"))
    result = gate(model, "good", "--gentest-json", "results.json")
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["lit(): error: blessed.json: *thumbnails of the outputs is *of another size*"])
    assert model.document()["results"][0]["verdict"] == "error"


@pytest.mark.slow
def test_blessing_replaces_the_baseline_of_an_ini_file(model: Repository) -> None:
    """With `gentest_baseline` in an ini file, `--gentest-save-baseline` on the command line blesses anew."""
    bless(model)
    model.pytester.makeini("[pytest]\ngentest_baseline = blessed.json")
    assert gate(model).ret == 0
    bless(model, "good", "--gentest-seed", "1").stdout.fnmatch_lines(["blessed: 1 property on 256 probes, *"])
    assert [blessing.seed for blessing in Baseline.load(model.path / "blessed.json").blessings] == [1, 0]


@pytest.mark.parametrize("choice", [("-k", "steady"), ("test_model.py::test_steady",)])
def test_a_part_of_the_tests_does_not_replace_a_baseline(choice: tuple[str, ...], model: Repository) -> None:
    """Blessing some tests only would drop what the baseline has of the others: nothing is written."""
    model.write(BOTH)
    bless(model)
    before = (model.path / "blessed.json").read_bytes()
    result = bless(model, "good", *choice)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["not blessed: *would lose test_model.py::test_lit lit(): bless all *"])
    assert (model.path / "blessed.json").read_bytes() == before


def test_a_warning_that_is_an_error_leaves_no_property_unchecked(model: Repository) -> None:
    """Where warnings are errors, an undecided gate fails its test with one line, after every property was checked."""
    model.write(LIT + "\n@lit()\n@steady()\ndef test_both(generator):\n    return generator\n")
    bless(model, probes=64)
    result = gate(
        model, "good", *GENTLE, "--gentest-undecided", "warn", "-W", "error", "--gentest-json", "results.json"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*lit(): undecided against the baseline: *of 64 probes (all there are)*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert len(model.document()["results"]) == 2


def test_a_new_violation_is_one_from_files_too(model: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """A counterexample that the baseline has not fails a run although its gate held, and `gentest gate` too."""
    bless(model, "sure", probes=512)
    (model.path / "nearly.pt").write_text("0.99")
    arguments = ("--gentest-examples", "400", "--gentest-outcomes", "--gentest-json", "results.json", *GENTLE)
    result = gate(model, "nearly", *arguments)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["gate: held (1 held; *"])
    capsys.readouterr()
    files = [str(model.path / name) for name in ("results.json", "blessed.json")]
    assert cli.main(["gate", files[0], "--baseline", files[1], "--drift", "off"]) == 1
    assert "violated, and not in the baseline: test_model.py::test_lit  lit()" in capsys.readouterr().out


@pytest.mark.slow
def test_a_violation_among_the_sample_is_known(model: Repository) -> None:
    """Where only the baseline's own probes violated, "always" was refuted all the same, and the gate decides alone."""
    (model.path / "nearly.pt").write_text("0.99")
    bless(model, "nearly", "--gentest-examples", "1", probes=512).assert_outcomes(passed=1)
    assert next(iter(Baseline.load(model.path / "blessed.json").entries.values())).verdict == "violated"
    result = gate(model, "nearly", "--gentest-examples", "400")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["held  violated (known)  test_lit  lit()*"])


@pytest.mark.slow
def test_a_gate_run_is_of_the_seed_of_the_baseline(model: Repository) -> None:
    """Search, rate and gate look at the baseline's seed, whatever the run's own is."""
    model.write(LIT + "\n@lit().at_rate(0.5)\ndef test_lit(generator):\n    return generator\n")
    bless(model, "good", "--gentest-seed", "7", "--gentest-json", "before.json", "-p", "no:cacheprovider")
    gate(model, "good", "--gentest-seed", "3", "--gentest-json", "after.json", "-p", "no:cacheprovider")
    before, after = (model.document(name) for name in ("before.json", "after.json"))
    for name in ("search", "rate"):
        assert before["results"][0][name] == after["results"][0][name]
    assert after["session"]["seed"] == 7


def test_several_checkpoints_are_searched_alike(model: Repository) -> None:
    """What failed in an earlier run is not looked at first: a ranking compares the same probes on each."""
    flags = ("--gentest-checkpoint", "good.pt", "--gentest-checkpoint", "worse.pt", "--gentest-json", "results.json")
    for _ in range(2):
        model.check(*flags)
        assert [r["search"]["replayed"] for r in model.document()["results"]] == [False, False]


def test_a_checkpoint_that_was_not_looked_at_is_missed(model: Repository) -> None:
    """Of several checkpoints, one whose tests are all skipped was not compared: the run fails, and so do its files."""
    conftest = model.path / "conftest.py"
    skip = '    if gentest_checkpoint.name == "same.pt":\n        pytest.skip("no")\n'
    bless(model)
    conftest.write_text(conftest.read_text().replace("    share, *", f"{skip}    share, *"))
    flags = ("--gentest-checkpoint", "good.pt", "--gentest-checkpoint", "same.pt", "--gentest-baseline", "blessed.json")
    result = model.check(*flags, *GENTLE, "--gentest-json", "results.json", "--gentest-outcomes")
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["not seen * test_model.py::test_lit lit() on same.pt", "gate: undecided (1 held, *"])
    files = [str(model.path / name) for name in ("results.json", "blessed.json")]
    assert cli.main(["gate", files[0], "--baseline", files[1]]) == 3


def test_what_an_ini_file_leaves_out_is_no_choice(model: Repository) -> None:
    """`-m` in the ini file's addopts, or a folder with .py in its name, excuses no test that is gone."""
    model.write(BOTH)
    bless(model)
    model.write(TEST)
    folder = model.path / "my.pytorch repo"
    folder.mkdir()
    model.pytester.makeini("[pytest]\naddopts = -m 'not slow'\nmarkers = slow: slow")
    assert gate(model, "good", *GENTLE, "--gentest-json", str(folder / "results.json")).ret == 1


@pytest.mark.parametrize(("drift", "status"), [pytest.param("warn", 0, marks=pytest.mark.slow), ("fail", 1)])
def test_outputs_that_cannot_be_seen_are_said(drift: str, status: int, model: Repository) -> None:
    """Where a candidate's outputs are too broken to look at, drift is not denied, and is refused where drift is."""
    source = "@gentest.well_formed().at_rate(0.5)\ndef test_it(generator):\n    return generator\n"
    model.write(source)
    bless(model, probes=1024)
    conftest = model.path / "conftest.py"
    broken = conftest.read_text().replace("z[:, 1])", "torch.where(z[:, 1] < 0.01, torch.nan, z[:, 1]))")
    conftest.write_text(broken)
    result = gate(model, "good", "--gentest-drift", drift)
    result.stdout.fnmatch_lines(["drift * not comparable: * thumbnails", "gate: * drift not comparable;*"])
    assert result.ret == status


def test_a_skipped_test_is_not_blessed_away(model: Repository) -> None:
    """Blessing while a test is skipped would drop it from the baseline: refused; one that was deleted is named."""
    model.write(BOTH)
    bless(model)
    model.write(BOTH.replace("@steady()", "@pytest.mark.skip\n@steady()"))
    result = bless(model)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["not blessed: *would lose test_model.py::test_steady steady()*"])
    model.write(TEST)
    bless(model).stdout.fnmatch_lines(["blessed: 1 property *; no longer in it: test_model.py::test_steady steady()"])


@pytest.mark.slow
def test_a_gate_does_not_look_at_failures_of_earlier_runs(model: Repository) -> None:
    """A rare counterexample that an earlier, longer run kept does not fail the gate of the blessed checkpoint."""
    (model.path / "rare.pt").write_text("0.9995")
    quick = ("--gentest-examples", "5")
    bless(model, "rare", *quick, probes=256)
    long = model.check("--gentest-checkpoint", "rare.pt", "--gentest-examples", "20000")
    long.assert_outcomes(failed=1)
    assert gate(model, "rare", *GENTLE, *quick).ret == 0


def test_properties_that_are_new_are_no_claims(model: Repository) -> None:
    """What the baseline has not asks for no more evidence against what it has."""
    bless(model)
    new = "".join(f"\n@lit()\ndef test_{i}(generator):\n    return generator\n" for i in range(5))
    model.write(TEST + new)
    gate(model, "fair", *GENTLE, "--gentest-json", "results.json")
    needed = [c["gate"]["needed"] for c in model.document()["gate"]["properties"] if not c["gate"]["message"]]
    assert needed == [pytest.approx(math.log(100))]


def test_two_attributes_of_one_name_are_refused(model: Repository) -> None:
    """Levels of one generator that go by the same name cannot be told apart: nothing is blessed, and it is said."""
    tests = "".join(
        f"@gentest.between(lambda images: images.mean((1, 2, 3)) * {i}, tolerance=9)\n"
        f"def test_{i}(generator):\n    return generator\n\n"
        for i in (1, 2)
    )
    model.write(tests)
    result = bless(model)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["not blessed: two attributes * both called *lambda*"])


def test_two_attributes_of_one_name_keep_their_own_sd(model: Repository) -> None:
    """In one property, `sd` of two callables of the same name is each one's own in the baseline too."""
    source = """
@gentest.property(probes=gentest.points())
def both(evidence, one, other):
    return evidence.in_units(gentest.sd(1), one) + evidence.in_units(gentest.sd(1), other) - 0 * evidence.t[:, 0]

@both(lambda images: images.mean((1, 2, 3)), lambda images: 1000 * images.mean((1, 2, 3)))
def test_it(generator):
    return generator
"""
    model.write(source)
    bless(model)
    (entry,) = Baseline.load(model.path / "blessed.json").entries.values()
    small, large = sorted(entry.sample.spreads.values())
    assert large == pytest.approx(1000 * small, rel=1e-2)
    assert gate(model, "good", *GENTLE).ret == 0


RATED = LIT + "\n@lit().at_rate(0.95)\ndef test_lit(generator):\n    return generator\n"


def test_a_rate_that_held_is_left_to_the_gate(model: Repository) -> None:
    """A candidate whose own rate is refuted passes where the gate holds it, and fails where the gate does not."""
    model.write(RATED)
    for name, share in {"blessed": "0.99", "fallen": "0.89", "violating": "0.6"}.items():
        (model.path / f"{name}.pt").write_text(share)
    assert bless(model, "blessed", *GENTLE, probes=2048).ret == 0
    wide = ("--gentest-tolerance", "0.3", *GENTLE, "--gentest-json", "run.json")
    passing = gate(model, "fallen", *wide)
    passing.assert_outcomes(passed=1)
    passing.stdout.fnmatch_lines(["held  violated (left to the gate)  test_lit  lit().at_rate(0.95) *", "gate: held *"])
    assert passing.ret == 0
    (result,) = model.document("run.json")["results"]
    assert (result["verdict"], result["rate"]["verdict"], result["gate"]["standing"]) == (
        "violated",
        "violated",
        "held",
    )
    failing = gate(model, "fallen", *GENTLE)
    failing.assert_outcomes(failed=1)
    failing.stdout.fnmatch_lines(["regressed  violated  test_lit *", "gate: regressed *"])
    # a baseline that never held excuses what it knows, and a rate that was undecided is no licence to violate
    bless(model, "violating", *GENTLE, probes=256)
    gate(model, "violating", *GENTLE).stdout.fnmatch_lines(["held  violated (known)  test_lit *"])
    bless(model, "good", "--gentest-budget", "32", *GENTLE, probes=256)
    gate(model, "violating", "--gentest-tolerance", "0.9", *GENTLE).assert_outcomes(failed=1)


def test_a_lower_rate_is_blessed_on_more_probes(model: Repository) -> None:
    """An equal candidate of a lower rate needs more probes to be held, so the baseline keeps more."""
    model.write(RATED.replace("0.95", "0.8") + "\n@steady()\ndef test_steady(generator):\n    return generator\n")
    blessed = model.check("--gentest-checkpoint", "good.pt", "--gentest-save-baseline", "blessed.json", *GENTLE)
    blessed.stdout.fnmatch_lines(["blessed: 2 properties on 2048 to 4608 probes, in *"])
