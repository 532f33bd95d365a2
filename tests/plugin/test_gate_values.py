"""Checkpoints of generators of tables and of audio are blessed and gated, through pytest, as those of images are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gentest.gate.baseline import Baseline

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

CONFTEST = """
import math, pytest, torch
import gentest

TIME = torch.linspace(0, 1, 400)

@pytest.fixture(scope="session")
def generator(gentest_checkpoint):
    slope, scale = map(float, gentest_checkpoint.read_text().split())

    def table(z):  # an age that falls below 20 on a share of latents, and an income
        return torch.stack([40 + slope * (z[:, 0] - 0.5), scale * 1000 * (1 + z[:, 1])], 1)

    def audio(z):
        loud = (slope / 60) * z[:, :1]
        return (loud * torch.sin(2 * math.pi * (20 + 5 * z[:, 1:2]) * TIME) * scale)[:, None]

    return gentest.Generator(KIND, latent=gentest.Uniform(2, low=0, high=1), images=False)
"""
TESTS = {
    "table": "def level(x):\n    return x[:, 0] - 19",
    "audio": "def level(x):\n    return 0.5 - x.square().mean((1, 2)).sqrt()",
}
PROPERTY = """
@gentest.property(probes=gentest.points())
def enough(evidence):
    return evidence.scores(level)[:, 0]

@enough()
def test_enough(generator):
    return generator
"""


@pytest.mark.parametrize("kind", ["table", pytest.param("audio", marks=pytest.mark.slow)])
def test_checkpoints_are_blessed_and_gated(kind: str, repository: Repository) -> None:
    """The blessed one is held; one that fails on more latents has regressed; one of other outputs has drifted."""
    repository.pytester.makeconftest(CONFTEST.replace("KIND", kind))
    for name, text in {"good": "40 1", "worse": "65 1", "loud": "40 1.6"}.items():
        (repository.path / f"{name}.pt").write_text(text)
    repository.write(TESTS[kind] + PROPERTY)

    def run(checkpoint: str, *args: str) -> pytest.RunResult:
        return repository.check("--gentest-checkpoint", f"{checkpoint}.pt", *args)

    run("good", "--gentest-save-baseline", "blessed.json", "--gentest-baseline-probes", "256")
    (look,) = Baseline.load(repository.path / "blessed.json").looks.values()
    ((name, embedded),) = look.embeddings.items()
    assert (name, embedded.dim) == ("sketch", 2 if kind == "table" else 48)
    held = run("good", "--gentest-baseline", "blessed.json")
    assert held.ret == 0
    held.stdout.fnmatch_lines(
        ["drift      not found in level of level, distribution in random sums of the values*", "gate: held (1 held;*"]
    )
    worse = run("worse", "--gentest-baseline", "blessed.json", "--gentest-drift", "off")
    assert worse.ret == 1
    worse.stdout.fnmatch_lines(["*regressed: * -> * of * probes, * lost and 0 won*", "gate: regressed (1 regressed;*"])
    loud = run("loud", "--gentest-baseline", "blessed.json", "--gentest-drift", "fail")
    assert loud.ret == 1
    loud.stdout.fnmatch_lines(["*drift* in random sums of the values*"])
