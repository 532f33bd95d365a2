"""Directions: a repository can keep them, and they are found on generators whose true direction is known."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest.errors import AttributeFailed, InvalidArgument
from gentest.properties.definition import Definition
from gentest.results.result import Verdict
from tests.helpers import zoo
from tests.helpers.zoo import green, red

DIM = 64

WEIGHTS = zoo.entangled(DIM, 0.6)


def colours(weights: Tensor = WEIGHTS, latent: gentest.Space | None = None) -> gentest.Generator:
    return gentest.Generator(zoo.Colours(weights), latent=latent or gentest.Normal(DIM), output_range=(0, 1))


def cosine(direction: gentest.Direction, truth: Tensor) -> float:
    flat = torch.from_numpy(direction.vector.copy()).flatten().double()
    return float(flat @ truth.double() / truth.double().norm())


def test_the_direction_of_a_linear_attribute_is_found() -> None:
    """In 64 dimensions 2,048 samples give a cosine of at least 0.95, and separate fresh samples."""
    found = gentest.find_direction(colours(), red)
    assert cosine(found, WEIGHTS[0]) >= 0.95
    assert found.accuracy is not None
    assert found.accuracy >= 0.98
    assert found.attribute == "red"


def test_what_is_kept_is_projected_out() -> None:
    """The conditional direction is orthogonal to the other attribute's, and `steers` holds along it alone."""
    found, kept = (gentest.find_direction(colours(), red, keeps=keeps) for keeps in ((), [green]))
    truth = WEIGHTS[0] - (WEIGHTS[0] @ WEIGHTS[1]) * WEIGHTS[1]
    assert cosine(kept, truth) >= 0.95
    assert abs(cosine(kept, WEIGHTS[1])) < 0.1 < cosine(found, WEIGHTS[1])
    assert kept.accuracy is not None
    assert kept.accuracy < 1.0  # what green told of red is gone

    def along(direction: gentest.Direction) -> gentest.Property:
        return gentest.steers(red, along=direction, at_least=gentest.sd(1), keeps=[green], tolerance=gentest.sd(1))

    assert along(kept).check(colours()).verdict is Verdict.NO_COUNTEREXAMPLE
    assert along(kept).at_rate(0.95).check(colours()).verdict is Verdict.HOLDS
    assert along(found).check(colours()).verdict is Verdict.VIOLATED
    assert along(-kept).check(colours()).verdict is Verdict.VIOLATED


def test_several_attributes_are_kept_at_once() -> None:
    """The direction is orthogonal to all kept ones, even if those are not orthogonal to each other."""
    third = WEIGHTS.sum(0) + torch.randn(DIM, generator=torch.Generator().manual_seed(6)) / 4
    weights = torch.cat([WEIGHTS, third[None] / third.norm()])

    def made(z: Tensor) -> Tensor:
        return (0.5 + 0.03 * z @ weights.T)[:, :, None, None].expand(-1, 3, 2, 2)

    generator = gentest.Generator(made, latent=gentest.Normal(DIM), output_range=(0, 1))
    found = gentest.find_direction(generator, red, keeps=[green, lambda x: x[:, 2].mean((1, 2))])
    assert abs(cosine(found, weights[1])) < 0.1
    assert abs(cosine(found, weights[2])) < 0.1
    assert cosine(found, weights[0]) > 0.5


def test_the_same_seed_gives_the_same_direction_at_any_batch_size() -> None:
    """The same seed gives the same direction, and another seed another one."""
    generator = colours()
    found = [
        gentest.find_direction(generator, red, n=256, settings=gentest.settings(batch_size=size)) for size in (1, 100)
    ]
    np.testing.assert_allclose(found[0].vector, found[1].vector, atol=1e-5)
    assert found[1] == gentest.find_direction(generator, red, n=256, settings=gentest.settings(batch_size=100))
    assert found[1] != gentest.find_direction(generator, red, n=256, seed=1)


def test_a_part_of_a_joint_is_found_in() -> None:
    """The direction has the part and shape of the only part that moves, or of the named one."""

    def made(z: Tensor, w: Tensor, label: Tensor) -> Tensor:
        return zoo.Colours(WEIGHTS[:, :8])(w) + 0.01 * label[:, None, None, None] + 0.0 * z[:, :1, None, None]

    space = gentest.Joint(z=gentest.Normal(3), w=gentest.Uniform((2, 4)), label=gentest.Categorical(3))
    generator = gentest.Generator(made, latent=space, output_range=(0, 1))
    found = gentest.find_direction(generator, red, part="w", n=1024)
    assert (found.part, found.vector.shape) == ("w", (2, 4))
    assert cosine(found, WEIGHTS[0, :8]) >= 0.95
    for part in (None, "label", "v", 3):
        with pytest.raises(InvalidArgument, match=r"a part of Joint.* that moves"):
            gentest.find_direction(generator, red, part=part)  # type: ignore[arg-type]


def test_chance_is_told_from_a_direction() -> None:
    """An attribute without a direction has an accuracy near one half on fresh samples."""
    found = gentest.find_direction(colours(), lambda x: ((x[:, 0] - 0.5) ** 2).mean((1, 2)))
    assert found.accuracy is not None
    assert 0.35 < found.accuracy < 0.65


def test_what_has_no_direction_is_an_error() -> None:
    """An attribute that does not vary, or that is kept itself, has no direction."""
    with pytest.raises(AttributeFailed, match=r"does not tell \d+ of 256 samples from"):
        gentest.find_direction(colours(), lambda x: x[:, 2].mean((1, 2)), n=256)
    with pytest.raises(InvalidArgument, match="leaves nothing"):
        gentest.find_direction(colours(), red, keeps=[lambda x: red(x) * 2], n=256)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"generator": 3}, r"a gentest\.Generator"),
        ({"attribute": "smile"}, "attribute='smile'"),
        ({"attribute": gentest.brightness}, "call it first"),
        ({"keeps": red}, "a list of attributes"),
        ({"keeps": [3]}, r"keeps\[0\]"),
        ({"n": 3}, "n \\* share >= 8"),
        ({"n": 100.0}, "n=100.0"),
        ({"share": 0.6}, "share=0.6"),
        ({"share": float("nan")}, "share=nan"),
        ({"seed": -1}, "seed=-1"),
        ({"settings": 3}, r"gentest\.settings"),
    ],
)
def test_misuse_is_refused(arguments: dict[str, Any], message: str) -> None:
    """Wrong arguments are refused before anything is generated."""
    with pytest.raises(InvalidArgument, match=message):
        gentest.find_direction(**{"generator": colours(), "attribute": red, **arguments})


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the command of pip, with the distribution's own name."""
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(InvalidArgument, match=r"pip install 'pytest-gentest\[directions\]'"):
        gentest.find_direction(colours(), red)


def test_its_samples_are_none_that_a_rate_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A direction is fitted to latents of another stream than those of rates."""
    from gentest.engine.evidence import context
    from gentest.probes.probe import independent

    drawn: list[object] = []
    monkeypatch.setattr(context, "independent", lambda *at: drawn.extend(independent(*at)) or independent(*at))
    gentest.find_direction(colours(), red, n=256)
    assert len(drawn) == 256 + 64
    assert not set(drawn) & set(independent(0, 0, 5000))


def test_a_direction_stands_in_a_propertys_own_words() -> None:
    """The name of a property has the direction's repr, because baselines are keyed by that name."""
    definition: Definition = gentest.steers(red, along={"z": [0.0, 2.0]}, at_least=gentest.sd(1), reach=2).definition
    direction = gentest.Direction([0, 1], part="z")
    assert str(definition) == f"steers(red, along={direction!r}, at_least=sd(1), reach=2)"
