"""The record of a probe: what it notes beyond its figures."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
import torch

import gentest
from gentest import settings
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.engine.explain import explain
from gentest.engine.judge import Judge
from gentest.probes.probe import Probe
from gentest.report import markdown, terminal
from gentest.results.counterexample import Counterexample
from gentest.results.document import Document, Session
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values
from tests.helpers import zoo


def bank(n: int) -> gentest.Empirical:
    return gentest.Empirical(torch.randn(n, 4, generator=torch.Generator().manual_seed(0)))


def scaled(w: Any, **others: Any) -> Any:
    return zoo.images(w[:, 0].sigmoid())


JOINT = gentest.Joint(w=bank(20), label=gentest.Categorical(3))


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (bank(20), "of the bank of 20"),
        (bank(20).truncated(0.5), "of the bank of 20"),
        (JOINT, "of the bank 'w' of 20"),
        (JOINT.given({"label": 2}), "of the bank 'w' of 20"),
    ],
)
def test_an_entry_of_a_bank_that_was_drawn_twice_is_named(space: gentest.Space, said: str) -> None:
    """No distance between two outputs of one entry is no collapse: which entry, and which of the samples have it."""
    generator = gentest.Generator(scaled, latent=space, output_range=(0, 1))
    property = gentest.diverse(at_least=1e-6)
    result = property.check(generator, settings=settings(examples=20))
    assert result.verdict is Verdict.VIOLATED
    found = result.counterexample
    assert found is not None
    assert said in found.note
    match = re.fullmatch(
        r"samples (\d+) and (\d+) are the same latent: both drew entry (\d+) of the bank.*", found.note
    )
    assert match is not None
    first, second, entry = (int(number) for number in match.groups())
    placed = property.definition.probes.place(space, [Probe.from_json(found.probe)])
    (w,) = next(iter(placed.values()))
    assert (w[first - 1] == w[second - 1]).all()
    part = next(iter(space.parts.values()))
    assert (part.from_uniforms(np.array([[(entry + 0.5) / 20]])).astype(np.float32)[0] == w[first - 1]).all()
    text = terminal.failure(result, "")
    assert "because" in text
    assert said in " ".join(text.split())
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_a_collapse_is_not_explained_by_the_bank() -> None:
    """Where all samples are different entries, or the space is no bank, nothing is said of one."""
    for space in (bank(100_000), gentest.Normal(4), gentest.Joint(w=bank(3), z=gentest.Normal(2))):
        generator = gentest.Generator(
            lambda *z, **named: zoo.images(torch.full((_rows(z, named),), 0.5)), latent=space, output_range=(0, 1)
        )
        result = gentest.diverse(at_least=0.01, among=4).check(generator, settings=settings(examples=3))
        assert result.counterexample is not None
        assert result.counterexample.note == ""


def _rows(z: Any, named: Any) -> int:
    return len(next(iter([*z, *named.values()])))


def bright_far_out(z: torch.Tensor) -> torch.Tensor:
    """Bright where coordinate 6 is large."""
    return zoo.images(torch.where(z[:, 6] > 1.0, 0.9, 0.1))


PRIORS = [
    gentest.Normal(8),
    gentest.Normal(8).truncated(0.9),
    gentest.Uniform(8),
    gentest.TruncatedNormal(8, bound=2),
]


@pytest.mark.parametrize("prior", PRIORS)
def test_a_coordinate_that_matters_has_the_value_that_the_generator_received(prior: gentest.Space) -> None:
    """The minimal probe's latent has it, and it is past the border of the defect."""
    generator = gentest.Generator(bright_far_out, latent=prior, output_range=(0, 1))
    property = gentest.limits(gentest.brightness(), at_most=0.5)
    result = property.check(generator, settings=settings(examples=200))
    found = result.counterexample
    assert found is not None
    assert found.groups == ("6",)
    placed = property.definition.probes.place(prior, [Probe.from_json(found.probe)])
    value = float(placed[""][0, 0, 6])
    assert found.coordinates == {"6": (value,)}
    assert value > 1.0
    assert f"matters  coordinate 6 = {value:.3g} alone, of 8" in terminal.failure(result, "")
    assert Result.from_json(json.loads(json.dumps(result.to_json()))).counterexample == found


def test_a_coordinate_of_a_path_has_the_values_at_both_ends() -> None:
    space = gentest.Joint(z=gentest.Normal(8), label=gentest.Categorical(3))

    def hill(z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return zoo.images(0.1 + 0.8 * torch.exp(-8 * z[:, 3] ** 2))

    generator = gentest.Generator(hill, latent=space, output_range=(0, 1))
    property = gentest.between(gentest.brightness(), tolerance=0.1)
    result = property.check(generator, settings=settings(examples=200))
    found = result.counterexample
    assert found is not None
    assert found.groups == ("z[3]",)
    z = property.definition.probes.place(space, [Probe.from_json(found.probe)])["z"][0]
    assert found.coordinates == {"z[3]": (float(z[0, 3]), float(z[-1, 3]))}
    assert re.search(r"matters  coordinate z\[3\] from -?[\d.]+ to -?[\d.]+ alone, of 8", terminal.failure(result, ""))


def mixing() -> torch.nn.Linear:
    """A layer that takes each of its 8 outputs from all inputs, half of it from one; the same in each process."""
    layer = torch.nn.Linear(8, 8, bias=False)
    layer.weight.data = torch.eye(8) / 2 + 1 / 16
    return layer


@pytest.mark.parametrize("prior", [gentest.Sphere(8), gentest.Mapped(gentest.Normal(8), mixing())])
def test_a_coordinate_that_all_uniforms_make_has_no_value(prior: gentest.Space) -> None:
    """The group is one of the uniforms behind the latent, and no single number of the latent."""
    generator = gentest.Generator(lambda z: zoo.images(z[:, 0].sigmoid()), latent=prior, output_range=(0, 1))
    property = gentest.limits(gentest.brightness(), at_most=0.6)
    found = property.check(generator, settings=settings(examples=200)).counterexample
    assert found is not None
    assert len(found.groups) > 0
    assert found.coordinates == {}


DEAD = gentest.Generator(
    lambda z: zoo.images(torch.full((len(z),), 0.5)), latent=gentest.Normal(4), output_range=(0, 1)
)


@pytest.mark.parametrize(
    "property",
    [
        gentest.responsive(at_least=0.01),
        gentest.responsive(at_least=0.01, step=0.1),
        gentest.diverse(at_least=0.01, among=4),
        gentest.steers(gentest.brightness(), along=gentest.Direction([1.0, 0, 0, 0]), at_least=0.1),
    ],
    ids=repr,
)
def test_a_property_that_demands_a_change_names_no_coordinates(property: gentest.Property) -> None:
    """The fewer coordinates change, the more alike the outputs are: that all of them change says nothing."""
    result = property.check(DEAD, settings=settings(examples=5))
    assert result.counterexample is not None
    assert not result.counterexample.reducible
    assert "changes" not in terminal.failure(result, "")
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_a_path_still_says_that_all_coordinates_change() -> None:
    """The ends of this path differ in one coordinate of two, or in both: leaving one out is a fair test."""

    def f(z: torch.Tensor) -> torch.Tensor:
        return zoo.images(((z[:, 0] * z[:, 1]).abs() * 50).clamp(0, 1))

    generator = gentest.Generator(f, latent=gentest.Normal(2), output_range=(0, 1))
    result = gentest.continuous(tolerance=0.01).check(generator, settings=settings(examples=20))
    assert result.counterexample is not None
    assert result.counterexample.reducible


def made_alike(numbers: list[float], **arguments: Any) -> Counterexample:
    """The record of a probe whose 16 outputs are grey as the `numbers` say."""
    space, probe, definition = gentest.Normal(4), Probe(0x1F), gentest.diverse(**arguments).definition
    known = torch.from_numpy(definition.probes.place(space, [probe])[""][0])  # [16, 4]

    def f(z: torch.Tensor) -> torch.Tensor:
        return zoo.images(torch.tensor(numbers)[(z[:, None] - known).abs().sum(2).argmin(1)])

    generator = gentest.Generator(f, latent=space, output_range=(0, 1))
    return explain(Judge(Context(Values(device="cpu")), Subject.of(generator), definition), probe, "diverse").record


APART = [round(0.05 * i, 2) for i in range(16)]


@pytest.mark.parametrize(
    ("changed", "outputs", "pairs", "nearest", "furthest"),
    [
        ({7: 0.0}, (0, 7), 1, 0.0, 0.0),
        ({7: 0.0, 9: 0.0}, (0, 7, 9), 3, 0.0, 0.0),
        ({7: 0.01, 9: 0.001}, (0, 9, 7), 3, 0.001, 0.01),
        ({7: 0.001, 9: 0.3}, (6, 9), 2, 0.0, 0.0),
        # 0 and 8 are near to 4, and not near to each other
        ({0: 0.5, 4: 0.516, 8: 0.53, 10: 0.9, 11: 0.95}, (4, 8), 2, 0.014, 0.014),
    ],
)
@pytest.mark.parametrize("by", ["feature", "distance"])
def test_outputs_that_are_alike_are_told(
    changed: dict[int, float], outputs: tuple[int, ...], pairs: int, nearest: float, furthest: float, by: str
) -> None:
    """The nearest two, each further one that is near to all of them, and the number of pairs that are too near."""
    measure = gentest.distance(far) if by == "distance" else None
    found = made_alike([changed.get(i, value) for i, value in enumerate(APART)], feature=measure, at_least=0.02)
    assert found.alike is not None
    assert sorted(found.alike.outputs) == sorted(outputs)
    assert set(found.alike.outputs[:2]) == set(outputs[:2])
    assert (found.alike.n, found.alike.pairs) == (16, pairs)
    assert found.alike.nearest == pytest.approx(nearest, abs=1e-6)
    assert found.alike.furthest == pytest.approx(furthest, abs=1e-6)
    assert found.margin == pytest.approx(nearest - 0.02, abs=1e-6)
    assert found.alike.inconsistency() == ""


def far(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one - other).flatten(1).abs().amax(1)


def test_the_terminal_names_the_outputs_that_are_alike() -> None:
    """Under the counterexample, and no curve. In a tenth of the prior all outputs are the same."""

    def f(z: torch.Tensor) -> torch.Tensor:
        return torch.where(z[:, 1:2] > 1.28, 0.5, z[:, :1]).expand(-1, 8)

    generator = gentest.Generator(f, latent=gentest.Normal(4), outputs=gentest.Arrays())
    property = gentest.diverse(at_least=1e-6)
    result = property.check(generator, settings=settings(examples=10))
    found = result.counterexample
    assert found is not None
    z = property.latents(generator, found.replay)
    same = [str(at + 1) for at in range(16) if z[at, 1] > 1.28]
    text = " ".join(terminal.failure(result, "").split())
    assert f"alike outputs {', '.join(same[:-1])} and {same[-1]} of 16: distance 0 in pixels()" in text
    assert not {"step", "changes", "matters"} & set(text.split())
    markdown_page = markdown.page(Document(Session(None, None, None, "cpu", 0, {}), (result,)))
    assert f"and {same[-1]} of 16: distance 0 in pixels()" in " ".join(markdown_page.split())


def test_no_outputs_are_alike_where_the_demand_is_met() -> None:
    """A replayed probe may hold, and other properties make no such demand."""
    assert made_alike(APART, at_least=0.02).alike is None
    result = gentest.responsive(at_least=0.01).check(DEAD, settings=settings(examples=5))
    assert result.counterexample is not None
    assert result.counterexample.alike is None


def test_samples_in_no_order_have_no_steps() -> None:
    """The steps between unrelated samples say nothing. Scores of each of them stay, and so do steps of neighbours."""
    found = made_alike([0.0] * 16, at_least=0.02)
    assert found.scores == {}

    @gentest.property(probes=gentest.neighbours(step=0.1, count=3), reducible=False)
    def moves(evidence: Any) -> torch.Tensor:
        lit = evidence.scores(gentest.brightness()).sum(1) * 0
        return lit + evidence.distances(gentest.pixels(), [0, 0, 0], [1, 2, 3]).amin(1) - 0.1

    result = moves().check(DEAD, settings=settings(examples=5))
    assert result.counterexample is not None
    assert [(name, len(scores)) for name, scores in result.counterexample.scores.items()] == [("brightness()", 4)]
    result = gentest.responsive(at_least=0.01).check(DEAD, settings=settings(examples=5))
    assert result.counterexample is not None
    assert list(result.counterexample.scores) == ["step in pixels()"]
