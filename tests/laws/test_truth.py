"""The table of truth: every property on generators of which it is known what holds, in search and at a rate.

Each generator makes images of one colour from 16 coordinates of a latent, so that what red, green and blue do is
written down; each breaks what it says and keeps the rest. In search a property is violated or has no counterexample; at
a rate of 0.9 it is violated or holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest import Property, Verdict, settings
from tests.helpers import zoo

D = 16
NORMAL = gentest.Normal(D)
SLOPE = 0.05


def painted(colour: Tensor) -> Tensor:
    """Images [B, 3, 4, 4] of one colour [B, 3] each."""
    return colour.clamp(0, 1)[:, :, None, None].expand(-1, -1, 4, 4)


def red(images: Tensor) -> Tensor:
    return images[:, 0].mean((1, 2))


def green(images: Tensor) -> Tensor:
    return images[:, 1].mean((1, 2))


def linear(z: Tensor) -> Tensor:
    """Each colour is linear in a coordinate of its own: everything holds."""
    return painted(0.5 + SLOPE * z[:, :3])


def fold(z: Tensor) -> Tensor:
    """Red is folded where its coordinate is 0.5: between the sides it leaves the range of the ends."""
    return painted(torch.cat([0.1 + 0.25 * (z[:, :1] - 0.5).abs(), 0.5 + SLOPE * z[:, 1:3]], 1))


def jump(z: Tensor) -> Tensor:
    """Red has a step where its coordinate is 0."""
    return painted(0.35 + SLOPE * z[:, :3] + 0.3 * F_RED * (z[:, :1] > 0))


def dead(z: Tensor) -> Tensor:
    """Half of all latents make one grey image."""
    return painted(0.5 + 0.5 * SLOPE * z[:, :3] * (z[:, 3:4] < 0))


def collapsed(z: Tensor) -> Tensor:
    """Four colours are all there is."""
    return painted(0.5 + 0.25 * torch.cat([z[:, :2].sign(), 0 * z[:, :1]], 1))


def far_out(z: Tensor) -> Tensor:
    """Linear within 1.5 times the radius where samples lie; further out red is in stripes."""
    far = z.norm(dim=1, keepdim=True) > 1.5 * z.shape[1] ** 0.5
    return painted(0.5 + SLOPE * z[:, :3] + 0.3 * F_RED * (far & (torch.sin(40 * z[:, 4:5]) > 0)))


def hollow(z: Tensor) -> Tensor:
    """Linear on the shell of the normal, where great circles stay; in stripes inside, where straight lines pass."""
    inside = z.norm(dim=1, keepdim=True) < 0.75 * z.shape[1] ** 0.5
    return painted(0.5 + SLOPE * z[:, :3] + 0.3 * F_RED * (inside & (torch.sin(40 * z[:, 4:5]) > 0)))


def entangled(z: Tensor) -> Tensor:
    """Green moves with red's coordinate as well as with its own."""
    green_too = torch.stack([z[:, 0], (z[:, 0] + z[:, 1]) / 2**0.5, z[:, 2]], 1)
    return painted(0.5 + SLOPE * green_too)


F_RED = torch.tensor([1.0, 0.0, 0.0])
GENERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    f.__name__: f for f in (linear, fold, jump, dead, collapsed, far_out, hollow, entangled)
}
WIDE = {"far_out": 64, "hollow": 128}
"""Dimensions in which a sample hardly ever lies so far out, and a great circle hardly ever comes so far inside."""

EAST = np.eye(D)[0]
REFERENCE = gentest.Generator(linear, latent=NORMAL, output_range=zoo.UNIT)


def generator(name: str) -> gentest.Generator:
    latent = gentest.Normal(WIDE.get(name, D))
    return gentest.Generator(GENERATORS[name], latent=latent, output_range=zoo.UNIT)


def along(name: str, vector: np.ndarray = EAST) -> np.ndarray:
    """A direction in the generator's latent space."""
    return np.pad(vector, (0, WIDE.get(name, D) - D))


def steers(name: str, vector: np.ndarray = EAST, **more: object) -> Property:
    return gentest.steers(red, along=along(name, vector), at_least=0.1, **more)  # type: ignore[arg-type]


def invariant(name: str) -> Property:
    return gentest.prior_invariant(BETWEEN, priors=[gentest.Uniform(WIDE.get(name, D))], delta=0.15)


BETWEEN = gentest.between(red, tolerance=0.12)
PROPERTIES: dict[str, tuple[Callable[[str], Property], set[str], set[str]]] = {
    # name: the property, what violates it somewhere, what violates it at more than a tenth of all probes
    "between": (lambda name: BETWEEN, *2 * ({"fold"},)),
    "monotone": (lambda name: gentest.monotone(red, tolerance=0.12), *2 * ({"fold"},)),
    "continuous": (lambda name: gentest.continuous(tolerance=0.12), *2 * ({"jump", "collapsed"},)),
    "responsive": (lambda name: gentest.responsive(at_least=1e-3), *2 * ({"dead", "collapsed"},)),
    "diverse": (lambda name: gentest.diverse(at_least=1e-4, among=8), *2 * ({"dead", "collapsed"},)),
    "steers": (lambda name: steers(name), *2 * ({"fold", "dead", "collapsed"},)),
    "steers and keeps": (
        lambda name: steers(name, keeps=[green], tolerance=0.05),
        *2 * ({"fold", "dead", "collapsed", "entangled"},),
    ),
    "holds within 1.5": (lambda name: gentest.holds_within(BETWEEN, 1.45), *2 * ({"fold", "hollow"},)),
    "holds within 2": (lambda name: gentest.holds_within(BETWEEN, 2.0), *2 * ({"fold", "hollow", "far_out"},)),
    "prior invariant": (invariant, *2 * ({"fold", "hollow"},)),
    "path length": (lambda name: gentest.path_length(gentest.pixels(), at_most=0.2), {"fold"}, set()),
    "well formed": (lambda name: gentest.well_formed(), set(), set()),
    "reproducible": (lambda name: gentest.reproducible(), set(), set()),
}


def cells() -> Iterator[object]:
    """Every property on every generator: slow where it holds, but for one generator of each property."""
    for (property, (_, somewhere, _)), name in itertools.product(PROPERTIES.items(), GENERATORS):
        is_slow = name not in somewhere and name != "linear"
        yield pytest.param(property, name, marks=[pytest.mark.slow] if is_slow else [], id=f"{property}-{name}")


@pytest.mark.slow
@pytest.mark.parametrize(("property", "name"), list(cells()))
def test_every_verdict_is_right(property: str, name: str) -> None:
    """In search and at a rate, on every generator."""
    make, somewhere, often = PROPERTIES[property]
    found = make(name).check(generator(name), settings=settings(examples=150))
    assert found.verdict is (Verdict.VIOLATED if name in somewhere else Verdict.NO_COUNTEREXAMPLE), found
    rated = make(name).at_rate(0.9).check(generator(name), settings=settings(examples=20, seed=1))
    assert rated.verdict is (Verdict.VIOLATED if name in often else Verdict.HOLDS), rated


DIFFERENT = {"fold", "jump", "dead", "collapsed", "entangled"}
"""Whose colours are not distributed as those of `linear`."""


@pytest.mark.parametrize("name", GENERATORS)
def test_distributions_are_told_apart(name: str) -> None:
    """`matches` finds what is distributed otherwise, and certifies what is close (as correlated colours are)."""
    verdict = Verdict.VIOLATED if name in DIFFERENT else Verdict.NO_COUNTEREXAMPLE
    found = gentest.matches(REFERENCE, feature=gentest.pixels()).check(generator(name))
    assert found.verdict is verdict, found
    close = gentest.matches(REFERENCE, feature=gentest.pixels(), tolerance=0.05).check(generator(name))
    assert close.verdict is (Verdict.VIOLATED if name in DIFFERENT - {"entangled"} else Verdict.HOLDS), close


@pytest.mark.parametrize("wrong", [None, 3])
def test_labels_are_told_apart(wrong: int | None) -> None:
    """`follows_label` finds the one label of five that makes what belongs to another: in search, and its rate."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(5))
    labelled = gentest.Generator(zoo.Labelled(wrong), latent=space, output_range=zoo.UNIT)
    property = gentest.follows_label(zoo.by_level(6))
    found = property.check(labelled, settings=settings(examples=100))
    assert found.verdict is (Verdict.NO_COUNTEREXAMPLE if wrong is None else Verdict.VIOLATED)
    rated = property.at_rate(0.9, each="label").check(labelled, settings=settings(examples=20))
    assert rated.rate is not None
    assert [arm.verdict for arm in rated.rate.arms] == [
        Verdict.VIOLATED if label == wrong else Verdict.HOLDS for label in range(5)
    ]


def test_a_direction_that_is_found_keeps_what_it_is_to_keep() -> None:
    """On the entangled generator red's own coordinate moves green too; the direction found for red alone does not."""
    tested = generator("entangled")
    own = gentest.find_direction(tested, red, keeps=[green])
    assert steers("entangled", np.asarray(own.vector), keeps=[green], tolerance=0.05).check(tested).verdict is (
        Verdict.NO_COUNTEREXAMPLE
    )
