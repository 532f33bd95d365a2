"""A decorated test may return a pair: its properties compare both sides, and without one nothing passes."""

from __future__ import annotations

import json

import pytest

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
            "agrees(within=0.01568627450980392): violated by * of 300 probes, worst margin -0.*",
            "  matters  coordinates 2 of 4 (1 of 4 groups)",
            "agrees(within=0.01568627450980392).at_rate(0.9): *",
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
        "agrees(within=0.01): error: the generator returned values that are not finite (at latent 0 of*",
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
