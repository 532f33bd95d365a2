"""Distances in evidence: what a property is given, in which batches, and what properties and reports make of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

import gentest
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.subject import Subject
from gentest.errors import AttributeFailed, InvalidArgument
from gentest.probes.families import segments
from gentest.probes.probe import independent
from gentest.results.result import Verdict
from gentest.results.settings import Values
from tests.helpers import zoo

pixels = gentest.pixels()


def rms(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().mean((1, 2, 3)).sqrt()


@dataclass(eq=False)
class Counted:
    """A distance that remembers the sizes of the batches it was given."""

    batches: list[int] = field(default_factory=list)

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        assert first.shape == second.shape
        self.batches.append(len(first))
        return rms(first, second)


def evidence(n: int = 10, points: int = 5, batch_size: int = 16, *, alone: bool = False) -> Observed:
    context = Context(Values(batch_size=batch_size))
    subject = Subject.of(zoo.generator(zoo.fold))
    return context.evidence(subject, segments(points), independent(1, 0, n), alone=alone)


# --- evidence


def test_the_distance_of_a_feature_is_the_l2_of_its_rows() -> None:
    """Of the pixels, the root-mean-square difference: the same as a distance that is a function of two images."""
    made = evidence()
    rows = made.features(pixels)
    found = made.distances(pixels, [0, 1, 4], [2, 0, 0])
    expected = torch.stack([(rows[:, i] - rows[:, j]).norm(dim=-1) for i, j in [(0, 2), (1, 0), (4, 0)]], 1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(made.distances(gentest.distance(rms), [0, 1, 4], [2, 0, 0]), expected)
    assert found.shape == (10, 3)


def test_pairs_are_measured_in_full_batches_once() -> None:
    """A batch of 16 images is 8 pairs; what was measured is kept, and given as a copy."""
    counted = Counted()
    distance, made = gentest.distance(counted), evidence(n=10, points=5, batch_size=16)
    first = made.distances(distance, range(4), range(1, 5))
    assert counted.batches == [8] * 5
    kept = first.clone()
    first.fill_(0.0)
    assert torch.equal(made.distances(distance, range(4), range(1, 5)), kept)
    assert counted.batches == [8] * 5
    alone = evidence(n=2, points=3, alone=True).distances(gentest.distance(counted := Counted()), [0, 1], [1, 2])
    assert counted.batches == [1] * 4
    assert alone.shape == (2, 2)


@pytest.mark.parametrize(
    ("first", "second"), [([0], [1, 2]), ([5], [0]), ([-1], [0]), ([0.0], [1]), (0, 1), (["a"], [0]), ([True], [0])]
)
def test_places_that_a_probe_does_not_have_are_refused(first: list[int], second: list[int]) -> None:
    """Each is a whole number from 0 to P - 1, as many firsts as seconds."""
    for thing in (pixels, gentest.distance(rms)):
        with pytest.raises(InvalidArgument, match=r"places"):
            evidence(points=5).distances(thing, first, second)


def test_no_pairs_have_no_distances() -> None:
    """Of no places, [N, 0]."""
    for thing in (pixels, gentest.distance(rms)):
        assert evidence().distances(thing, [], []).shape == (10, 0)


def test_a_distance_that_is_not_finite_names_the_probe() -> None:
    """NaN is an error, never a pass."""
    made = evidence()
    bad = gentest.distance(lambda x, y: torch.full((len(x),), float("nan")), name="broken")
    with pytest.raises(AttributeFailed, match=rf"broken is nan between latents 0 and 2 of probe {made.probes[0]}"):
        made.distances(bad, [0], [2])


def test_a_distance_is_no_attribute_no_feature_and_has_no_spread() -> None:
    """Asked for as one it is refused, with what to ask instead."""
    distance, made = gentest.distance(rms), evidence()
    for ask in (made.scores, made.features):
        with pytest.raises(InvalidArgument, match=r"a distance of two images: ask evidence\.distances"):
            ask(distance)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="a number, since a distance of two images"):
        made.in_units(gentest.sd(2), distance)
    assert made.in_units(0.5, distance) == 0.5
    with pytest.raises(InvalidArgument, match="not a distance of two"):
        gentest.between(distance, tolerance=0.1).check(zoo.generator(zoo.fold))  # type: ignore[arg-type]


# --- properties


@pytest.mark.parametrize("level", [zoo.linear, zoo.fold, zoo.jump, zoo.collapsed])
@pytest.mark.parametrize(
    "make",
    [
        lambda measure: gentest.continuous(measure, tolerance=0.2),
        lambda measure: gentest.continuous(measure, ratio=3),
        lambda measure: gentest.responsive(measure, at_least=1e-3),
    ],
)
def test_properties_take_a_feature_or_its_distance(make: object, level: object) -> None:
    """The pixels and the function of two images that is their distance give the same verdicts and margins."""
    some = gentest.settings(examples=60)
    ours, theirs = (
        make(measure).check(zoo.generator(level), settings=some)  # type: ignore[operator,arg-type]
        for measure in (pixels, gentest.distance(rms))
    )
    assert ours.verdict == theirs.verdict
    assert ours.verdict is not Verdict.ERROR
    assert theirs.margin.min == pytest.approx(ours.margin.min, abs=1e-5)
    assert (ours.counterexample is None) == (theirs.counterexample is None)


def test_a_counterexample_shows_the_steps_of_a_distance() -> None:
    """The curve of a distance is that between neighbours along the path, and its largest step is the violation."""
    result = gentest.continuous(gentest.distance(rms, name="how far"), tolerance=0.2).check(zoo.generator(zoo.jump))
    assert result.worst is not None
    steps = result.worst.scores["step in how far"]
    assert len(steps) == 8
    assert max(steps) == pytest.approx(0.2 - result.worst.margin, abs=1e-6)


def test_sd_of_a_distance_is_refused_where_it_is_declared() -> None:
    """`gentest.sd(x)` is of features and attributes."""
    property = gentest.continuous(gentest.distance(rms), tolerance=gentest.sd(2))
    with pytest.raises(InvalidArgument, match=r"a number, since a distance .*tolerance=sd\(2\)"):
        _ = property.definition


def test_a_property_of_ones_own_asks_for_distances() -> None:
    """`evidence.distances` is there for a user's margin, of a feature or a distance."""

    @gentest.property(probes=gentest.segments(points=3))
    def detour(evidence: gentest.Evidence, *, by: gentest.Distance) -> Tensor:
        there = evidence.distances(by, [0, 1, 0], [1, 2, 2])
        return 0.2 - (there[:, 0] + there[:, 1] - there[:, 2])

    assert detour(by=gentest.distance(rms)).check(zoo.generator(zoo.linear)).verdict is Verdict.NO_COUNTEREXAMPLE
    assert detour(by=gentest.distance(rms)).check(zoo.generator(zoo.fold)).verdict is Verdict.VIOLATED
