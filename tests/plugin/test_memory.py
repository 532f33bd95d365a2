"""No image is made twice because memory is small: a run with 1 MiB makes as many as one that keeps everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

CONFTEST = """
import pytest, torch
import gentest

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(8, 3072), torch.nn.Tanh(), torch.nn.Unflatten(1, (3, 32, 32)))

@pytest.fixture(scope="session")
def generator():
    return gentest.Generator(net, latent=gentest.Normal(8))

@pytest.fixture(scope="session")
def conditional():
    latent = gentest.Joint(z=gentest.Normal(8), label=gentest.Categorical(2))
    return gentest.Generator(lambda z, label: net(z), latent=latent)
"""
HEAD = """
def colours(x):
    return x.mean((2, 3))

def apart(x, y):
    return (x - y).abs().mean((1, 2, 3))

BRIGHT, CONTRAST, SATURATION = gentest.brightness(), gentest.contrast(), gentest.saturation()
FIRST = torch.eye(8)[0]
FAR = gentest.Uniform(8, low=-2.0, high=2.0)

@gentest.property(probes=gentest.points())
def lit(evidence, attribute: gentest.Attribute):
    return evidence.scores(attribute)[:, 0]

@gentest.property(probes=gentest.points())
def coloured(evidence, *, encoder: gentest.Feature):
    return evidence.features(encoder)[:, 0].sum(1)

@gentest.property(probes=gentest.segments())
def none_moves(evidence, *, what, limit=9.0):
    moves = [evidence.scores(one).diff(dim=1).abs().amax(1) for one in what.values()]
    return limit - torch.stack(moves).amax(0)
"""


def stacked(*properties: str, generator: str = "generator") -> str:
    """The source of one test with these decorators."""
    lines = [f"@{property}" for property in properties]
    return "\n".join([*lines, f"def test_it({generator}):", f"    return {generator}", ""])


def in_turn(*properties: str, generator: str = "generator") -> str:
    """The source of one test for each of these decorators."""
    tests = (f"@{p}\ndef test_{i}({generator}):\n    return {generator}\n" for i, p in enumerate(properties))
    return "\n".join(tests)


BETWEEN = [f"gentest.between({name}, tolerance=1)" for name in ("BRIGHT", "CONTRAST", "SATURATION")]
VARIANTS = {
    "decorators of one test": stacked(*BETWEEN),
    "tests in turn": in_turn(*BETWEEN),
    "a label, after an attribute": in_turn("lit(BRIGHT)", "gentest.follows_label(colours)", generator="conditional"),
    "an argument of any name": in_turn("lit(BRIGHT)", "coloured(encoder=colours)"),
    "attributes by name": stacked(BETWEEN[0], "none_moves(what={'contrast': CONTRAST, 'saturation': SATURATION})"),
    "a distance of two images": stacked(BETWEEN[0], "gentest.continuous(gentest.distance(apart), tolerance=9)"),
    "a feature's steps": stacked(BETWEEN[0], "gentest.continuous(colours, tolerance=9)", "gentest.continuous(ratio=7)"),
    "among samples": stacked(
        "gentest.diverse(colours, at_least=1e-6)", "gentest.diverse(gentest.distance(apart), at_least=1e-6)"
    ),
    "what a direction keeps": stacked(
        "gentest.steers(BRIGHT, along=FIRST, at_least=1e-6, keeps=[CONTRAST], tolerance=9)",
        "gentest.steers(CONTRAST, along=FIRST, at_least=1e-6, keeps=[SATURATION, BRIGHT], tolerance=9)",
    ),
    "other priors": stacked(*(f"gentest.prior_invariant({inner}, priors=[FAR])" for inner in BETWEEN[:2])),
    "radii": stacked(*(f"gentest.holds_within({inner}, radius=1)" for inner in BETWEEN[:2])),
    "rates": stacked(*(f"{inner}.at_rate(0.9)" for inner in BETWEEN)),
    "standard deviations": stacked(
        *(f"gentest.monotone({n}, tolerance=gentest.sd(9))" for n in ("BRIGHT", "CONTRAST"))
    ),
}


def n_images(repository: Repository, memory: int, *args: str) -> int:
    """The images that a run makes with so many MiB."""
    anew = ("-p", "no:cacheprovider")  # else the second run looks at what failed in the first
    repository.run("--gentest", "--gentest-json", "results.json", "--gentest-memory", str(memory), *anew, *args)
    results = repository.document()["results"]
    assert results
    assert all(result["verdict"] != "error" for result in results), results
    return sum(result["cost"]["images"] for result in results)


@pytest.mark.parametrize(
    "variant", [pytest.param(v, marks=[pytest.mark.slow] if i % 3 else []) for i, v in enumerate(VARIANTS)]
)
def test_little_memory_takes_no_more_images(variant: str, repository: Repository) -> None:
    repository.pytester.makeconftest(CONFTEST)
    repository.write(HEAD + VARIANTS[variant])
    assert n_images(repository, 1) <= 1.02 * n_images(repository, 1024)
