"""A decorated test may return a pair: its properties compare both sides, and without one nothing passes."""

from __future__ import annotations

import json

import pytest

from gentest import cli

SOURCE = """
import gentest, torch

def full(z):
    return z[:, :1, None, None].sigmoid().expand(-1, 1, 4, 4)

def worse(z):
    return (full(z) + 0.2 * (z[:, 2, None, None, None] > 1.5)).clamp(0, 1)

def generator(function):
    return gentest.Generator(function, latent=gentest.Normal(4), output_range=(0, 1))

@gentest.agrees(within=4 / 255)
def test_export():
    return generator(worse).against(generator(full))

@gentest.agrees(within=4 / 255).at_rate(0.9)
@gentest.differs(at_least=0.005)
def test_lora():
    return generator(lambda z: full(z) * 0.5).against(full)

def test_plain():
    return generator(worse).against(full)
"""


@pytest.mark.slow
def test_a_pair_is_checked(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinate at fault is named, each property has its verdict, and an undecorated pair fails."""
    monkeypatch.setenv("COLUMNS", "100")
    pytester.makepyfile(SOURCE)
    options = ["--gentest", "--gentest-device", "cpu", "--gentest-report", "report.html"]
    result = pytester.runpytest_subprocess("-p", "no:randomly", *options)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "agrees(within=4/255): violated by * of 300 probes, worst margin -0.*",
            "  matters  coordinate 2 = * alone, of 4 counted from 0",
            "agrees(within=4/255).at_rate(0.9): *",
            "test_plain returns a gentest.Pair, but no property decorates it: nothing was checked",
        ]
    )
    result.stdout.no_fnmatch_line("*differs(*violated*")
    page = (pytester.path / "report.html").read_text(encoding="utf-8")
    assert page.count("<h4>Reference and candidate</h4>") == 2
    assert page.count("ringed, in row ") >= 2


HELD_OUT = """
import gentest, torch

data = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))

def encode(x):
    return 2.0 * x

def decode(z):
    return torch.where((z == 2.0 * data[41]).all(3, keepdim=True), torch.zeros(()), z / 2.0)

@gentest.agrees(within=0.01)
def test_held_out():
    return gentest.Generator.round_trip(encode, decode, data=data, output_range=(0, 1))

@gentest.agrees(within=0.01)
def test_others():
    return gentest.Generator.round_trip(encode, decode, data=data[:40], output_range=(0, 1))

@gentest.agrees(within=0.01)
def test_infinite():
    return gentest.Generator.round_trip(encode, decode, latent=gentest.Normal((1, 4, 4)))
"""


def test_every_input_is_tried_from_the_command_line(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """One wrong image of 60 is found and named, others hold for certain, and an infinite space is one line."""
    monkeypatch.setenv("COLUMNS", "120")
    pytester.makepyfile(HELD_OUT)
    options = ["--gentest", "--gentest-device", "cpu", "--gentest-exhaustive", "-p", "no:randomly"]
    result = pytester.runpytest_subprocess(*options)
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "agrees(within=0.01): violated by 1 of all 60 inputs that there are, worst margin -0.*",
            "  minimal  margin -0.*, entry 41 of the bank",
            "agrees(within=0.01): error: exhaustive=True needs a finite latent space: Normal((1, 4, 4)) *",
            "holds on all inputs *test_others *40 *",
            "3 properties: 1 violated, 1 holds on all inputs, 1 error; *",
        ]
    )
    result.stdout.no_fnmatch_line("*Error*")
    again = pytester.runpytest_subprocess(*options, "-k", "test_held_out")
    assert again.ret == 1
    again.stdout.fnmatch_lines(["agrees(within=0.01): violated by a replayed probe, margin -0.*"])


BROKEN = """
import gentest, torch

def level(z):
    return z[:, :1, None, None].sigmoid().expand(-1, 1, 4, 4)

def generator(function, latent=gentest.Normal(4)):
    return gentest.Generator(function, latent=latent, output_range=(0, 1))

def no_weights(z):
    raise ValueError("no weights")

@gentest.agrees(within=0.01)
def test_other_space():
    return generator(level).against(generator(level, gentest.Uniform(4)))

@gentest.agrees(within=0.01)
def test_other_shape():
    return generator(level).against(generator(lambda z: level(z)[..., ::2]))

@gentest.agrees(within=0.01)
def test_nan_on_one_side():
    return generator(lambda z: torch.where(z[:, :1, None, None] > 0, torch.nan, level(z))).against(generator(level))

@gentest.agrees(within=0.01)
def test_reference_raises():
    return generator(level).against(no_weights)

@gentest.agrees(within=0.01)
def test_device_elsewhere():
    return generator(level).against(generator(level).on("cuda:99"))

@gentest.agrees(within=0.01)
def test_good():
    return generator(level).against(generator(level))
"""


def test_broken_pairs_are_one_line_each_and_leave_others_alone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another space or shape, NaN, a reference that raises, a device that is not here: the good pair has its result."""
    monkeypatch.setenv("COLUMNS", "200")
    pytester.makepyfile(BROKEN)
    result = pytester.runpytest_subprocess("--gentest", "--gentest-device", "cpu", "--gentest-json", "r.json")
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=5)
    for line in (
        "the latent spaces of candidate and reference differ: 'z' is Normal(4) in the candidate and Uniform(4) *",
        "agrees(within=0.01): error: the candidate makes outputs [[]1, 4, 4] and the reference [[]1, 4, 2]:",
        "agrees(within=0.01): error: in the candidate, the generator returned values that are not finite*",
        "agrees(within=0.01): error: in the reference, the generator raised ValueError: no weights*",
        "Expected a torch device that is here but got device='cuda:99' (type=str)*",
        "no counterexample * test_good *",
    ):
        result.stdout.fnmatch_lines([line])
    kept = {
        r["test"].partition("::")[2]: r["verdict"]
        for r in json.loads((pytester.path / "r.json").read_text())["results"]
    }
    assert kept["test_good"] == "no_counterexample"


LEVELS = """
import gentest, pytest, torch

def full(z):
    return z[:, :1, None, None].sigmoid().expand(-1, 1, 4, 4)

@pytest.fixture(scope="session")
def reference():
    return gentest.Generator(full, latent=gentest.Normal(4), output_range=(0, 1))

@pytest.fixture(scope="session")
def candidate(reference, gentest_checkpoint):
    moved = float(gentest_checkpoint.read_text())
    return reference.then(lambda x: (x + moved * (1 - x) * x).clamp(0, 1))

@gentest.same_level(gentest.brightness(), within=gentest.sd(0.3))
def test_level(candidate, reference):
    return candidate.against(reference)
"""


def checked(pytester: pytest.Pytester, moved: float, *options: str) -> pytest.RunResult:
    """A run whose candidate is brighter by up to a quarter of `moved`, with its results in `results.json`."""
    (pytester.path / "candidate.pt").write_text(str(moved))
    fixed = ("--gentest", "--gentest-device", "cpu", "--gentest-checkpoint", "candidate.pt", "-p", "no:randomly")
    return pytester.runpytest_subprocess(*fixed, "--gentest-json", "results.json", *options)


@pytest.mark.slow
def test_a_level_that_moved_fails_and_one_that_stayed_passes(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each report has the difference with its bounds; at the limit the budget leaves it undecided, which fails too."""
    monkeypatch.setenv("COLUMNS", "100")
    pytester.makepyfile(LEVELS)
    files = ("--gentest-report", "page.html", "--junitxml", "junit.xml")
    failed = checked(pytester, 1.0, *files)
    assert failed.ret == 1
    failed.stdout.fnmatch_lines(
        [
            "same_level(brightness(), within=sd(0.3)): more than 0.3 sd from the reference: 0.* against",
            "    0.* on * latents, differs by +*sd [[]+*sd, +*sd[]], each end 99.5 %",
            "violated  test_level  same_level(bri*",
            "intervals: each end 99.5 % confidence, both ends together 99 %",
        ]
    )
    figure = "more than 0.3 sd from the reference"
    assert figure in (pytester.path / "page.html").read_text(encoding="utf-8")
    cli.main(["show", str(pytester.path / "results.json"), "--markdown"])
    assert figure in capsys.readouterr().out
    assert "gentest.same_level.level_low" in (pytester.path / "junit.xml").read_text(encoding="utf-8")
    level = json.loads((pytester.path / "results.json").read_text(encoding="utf-8"))["results"][0]["level"]
    assert level["low"] > level["tolerance"]
    assert level["latents"] <= 32
    passed = checked(pytester, 0.0)
    assert passed.ret == 0
    passed.stdout.fnmatch_lines(["holds *same_level(bri* 16 *+0 sd*"])
    undecided = checked(pytester, 0.3, "--gentest-budget", "8")
    assert undecided.ret == 1
    undecided.stdout.fnmatch_lines(
        [
            "same_level(*: neither within nor beyond 0.3 sd of the*",
            "*for within, needs 100 : 1; *for beyond, needs 200 : 1; *",
        ]
    )


@pytest.mark.slow
def test_a_level_is_blessed_and_gated(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An equal candidate holds, one that moved regresses, and one that was violated when blessed fails nobody."""
    monkeypatch.setenv("COLUMNS", "100")
    pytester.makepyfile(LEVELS)
    assert checked(pytester, 0.0, "--gentest-save-baseline", "good.json").ret == 0
    for moved, status, word in ((0.0, 0, "held"), (1.0, 1, "regressed")):
        gated = checked(pytester, moved, "--gentest-baseline", "good.json", "--gentest-outcomes")
        assert gated.ret == status
        gated.stdout.fnmatch_lines([f"gate: {word} (1 {word}*"])
        results, baseline = str(pytester.path / "results.json"), str(pytester.path / "good.json")
        assert cli.main(["gate", results, "--baseline", baseline]) == status
        assert f"gate: {word} (1 {word}" in capsys.readouterr().out
    checked(pytester, 1.0, "--gentest-save-baseline", "bad.json")
    known = checked(pytester, 1.0, "--gentest-baseline", "bad.json")
    assert known.ret == 0
    known.stdout.fnmatch_lines(["*violated (known)*"])
