"""`steers` on analytic generators: what moves, what is kept, where nothing moves, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

import gentest
from gentest import settings
from gentest.results.result import Result, Verdict
from tests.helpers import zoo
from tests.helpers.zoo import green, red

HOLDS, VIOLATED = Verdict.NO_COUNTEREXAMPLE, Verdict.VIOLATED
WEIGHTS = zoo.entangled(8, 0.6)
FEW = settings(examples=60)


def colours(latent: gentest.Space | None = None, *, dead: bool = False) -> gentest.Generator:
    return gentest.Generator(zoo.Colours(WEIGHTS, dead), latent=latent or gentest.Normal(8), output_range=(0, 1))


ASIDE = WEIGHTS[0] * (torch.arange(8) > 0)
"""Along red, z_0 staying as it is: so the way stays in the region where it starts."""
ORTHOGONAL = WEIGHTS[0] - (WEIGHTS[0] @ WEIGHTS[1]) * WEIGHTS[1]


@pytest.mark.parametrize(
    ("along", "at_least", "tolerance", "verdict"),
    [
        (WEIGHTS[0], 0.089, None, HOLDS),  # it rises by 3 x 0.03 exactly
        (WEIGHTS[0], 0.091, None, VIOLATED),
        (5 * WEIGHTS[0].numpy(), 0.089, None, HOLDS),
        (-WEIGHTS[0], 0.001, None, VIOLATED),
        (WEIGHTS[1], 0.053, None, HOLDS),  # 0.6 of it
        (WEIGHTS[1], 0.055, None, VIOLATED),
        (WEIGHTS[0], 0.01, 0.055, HOLDS),  # green moves by 0.6 x 0.09
        (WEIGHTS[0], 0.01, 0.053, VIOLATED),
        (ORTHOGONAL, 0.071, 1e-4, HOLDS),  # red by 0.8 x 0.09, green not at all
        (ORTHOGONAL, 0.073, 1e-4, VIOLATED),
        (ORTHOGONAL, gentest.sd(2), gentest.sd(0.01), HOLDS),  # an sd is 0.03: 2.4 of them
        (ORTHOGONAL, gentest.sd(3), gentest.sd(0.01), VIOLATED),
    ],
)
def test_verdicts_on_linear_attributes(along: Any, at_least: Any, tolerance: Any, verdict: Verdict) -> None:
    """Rise and move are known, so each bound holds on one side of them and not on the other."""
    keeps = [] if tolerance is None else [green]
    property = gentest.steers(red, along=along, at_least=at_least, keeps=keeps, tolerance=tolerance)
    assert property.check(colours(), settings=FEW).verdict is verdict


def test_the_margin_is_dimensionless() -> None:
    """The smaller of rise / at_least - 1 and 1 - move / tolerance."""

    def margin(at_least: float, tolerance: float) -> float:
        property = gentest.steers(red, along=WEIGHTS[0], at_least=at_least, keeps=[green], tolerance=tolerance)
        result = property.check(colours(), settings=FEW)
        assert result.margin is not None
        return result.margin.min

    assert margin(0.06, 1.0) == pytest.approx(0.5, abs=1e-3)
    assert margin(0.01, 0.108) == pytest.approx(0.5, abs=1e-3)
    assert margin(0.09 * 4, 1.0) == pytest.approx(-0.75, abs=1e-3)


def test_a_move_there_and_back_counts() -> None:
    """What is kept may not move anywhere on the way, though it ends where it began."""

    def made(z: torch.Tensor) -> torch.Tensor:
        there_and_back = 0.5 + 0.2 * torch.sin(z[:, 0] * 2 * torch.pi / 3)
        return torch.stack([0.5 + 0.05 * z[:, 0], there_and_back, 0 * z[:, 0]], 1)[:, :, None, None]

    generator = gentest.Generator(made, latent=gentest.Normal(2), output_range=(0, 1))
    arguments: dict[str, Any] = {"along": [1.0, 0.0], "at_least": 0.1, "tolerance": 0.1, "keeps": [green]}
    assert gentest.steers(red, **arguments).check(generator, settings=FEW).verdict is VIOLATED
    assert gentest.steers(red, **arguments, points=2).check(generator, settings=FEW).verdict is HOLDS


def test_a_dead_region_is_found_and_shown() -> None:
    """Where red stays as it is the property is violated, with every score along the way; the counterexample replays."""
    property = gentest.steers(red, along=ASIDE, at_least=0.05, keeps=[green], tolerance=0.09)
    result = property.check(colours(dead=True), settings=FEW)
    assert result.verdict is VIOLATED
    assert 10 < result.violations < 50  # half of the samples lie there
    found = result.counterexample
    assert found is not None
    assert found.t == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert {name: len(scores) for name, scores in found.scores.items()} == {"red": 5, "green": 5}
    assert len(found.groups) == found.n_groups  # coordinates of the direction are not taken away
    assert property.replay(colours(dead=True), found.replay).counterexample == found
    assert property.replay(colours(), found.replay).verdict is HOLDS
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_a_rate() -> None:
    """It holds on every sample, or on about half of them."""
    property = gentest.steers(red, along=ASIDE, at_least=0.05).at_rate(0.9)
    assert property.check(colours(), settings=FEW).verdict is Verdict.HOLDS
    assert property.check(colours(dead=True), settings=FEW).verdict is VIOLATED


def test_a_collapsed_generator_is_steered_by_nothing() -> None:
    """Where an attribute does not move the margin is -1, however little is asked for."""
    property = gentest.steers(gentest.brightness(), along=np.ones(8), at_least=1e-9)
    result = property.check(zoo.generator(zoo.collapsed), settings=FEW)
    assert result.verdict is VIOLATED
    assert result.margin is not None
    assert result.margin.min == -1.0


@pytest.mark.parametrize(
    ("latent", "verdict"),
    [
        (gentest.Normal(8), HOLDS),
        (gentest.Uniform(8), VIOLATED),  # from the side of the box there is no way on
        (gentest.Normal(8).truncated(0.5), VIOLATED),  # half of the way
        (gentest.Joint(z=gentest.Normal(8)), HOLDS),
    ],
    ids=repr,
)
def test_the_way_stays_where_the_prior_does(latent: gentest.Space, verdict: Verdict) -> None:
    """So how far an attribute rises depends on the prior."""
    property = gentest.steers(red, along=WEIGHTS[0], at_least=0.08)
    assert property.check(colours(latent), settings=FEW).verdict is verdict


def test_under_several_priors() -> None:
    """`prior_invariant` takes it as any other property."""
    inner = gentest.steers(red, along=WEIGHTS[0], at_least=0.08)
    for prior, verdict in ((gentest.TruncatedNormal(8, bound=9), HOLDS), (gentest.Uniform(8), VIOLATED)):
        property = gentest.prior_invariant(inner, priors=[prior])
        assert property.check(colours(), settings=FEW).verdict is verdict


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attribute": "red"}, "attribute='red'"),
        ({"along": np.zeros(8)}, "not all 0"),
        ({"along": [np.nan] * 8}, "finite numbers"),
        ({"along": "up"}, "Expected a direction"),
        ({"along": {}}, "the direction of one part"),
        ({"along": {"a": [1], "b": [1]}}, "the direction of one part"),
        ({"along": np.ones(7)}, r"shape \(8,\) for Normal\(8\)"),
        ({"along": {"z": np.ones(8)}}, "has no part 'z' that moves"),
        ({"at_least": 0}, "at_least=0"),
        ({"at_least": gentest.sd(0)}, r"at_least=sd\(0\)"),
        ({"at_least": float("nan")}, "at_least=nan"),
        ({"keeps": [green]}, "tolerance=None"),
        ({"keeps": [green], "tolerance": 0}, "tolerance=0"),
        ({"keeps": green, "tolerance": 1}, "a list of attributes"),
        ({"keeps": [red], "tolerance": 1}, "other attributes"),
        ({"keeps": [None], "tolerance": 1}, r"keeps\[0\]"),
        ({"tolerance": 1}, "it keeps nothing"),
        ({"reach": 0}, "reach=0"),
        ({"points": 1}, "points=1"),
    ],
)
def test_misuse_is_an_error_of_one_line(arguments: dict[str, Any], message: str) -> None:
    """Where it is defined, or where the space is known."""
    property = gentest.steers(**{"attribute": red, "along": WEIGHTS[0], "at_least": 0.1, **arguments})
    try:
        result = property.check(colours(), settings=FEW)
    except gentest.InvalidArgument as error:
        said = str(error)
    else:
        assert result.verdict is Verdict.ERROR
        said = result.message
    assert "\n" not in said
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(said)
