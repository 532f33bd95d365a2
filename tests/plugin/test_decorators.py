"""Public properties: how they are written down, and when their arguments are checked."""

from __future__ import annotations

import pytest
import torch

import gentest
from tests.helpers import zoo


def test_it_is_written_as_it_was_declared() -> None:
    """Only what differs from the defaults is said."""
    assert str(gentest.path_length(at_most=1)) == "path_length(pixels(), at_most=1)"
    full = gentest.path_length(gentest.lpips("vgg", size=64), at_most=1, epsilon=1e-3, at="ends", straight=True)
    assert str(full) == "path_length(lpips('vgg', size=64), at_most=1, epsilon=0.001, at='ends', straight=True)"


level = gentest.brightness()


def test_a_negative_tolerance_is_kept_until_it_is_checked() -> None:
    """A wrong argument does not lose the file it is in: it is raised where the property is checked."""
    property = gentest.between(level, tolerance=-1)
    with pytest.raises(gentest.InvalidArgument, match=r"between: Expected a finite number >= 0 but got tolerance=-1"):
        property.check(zoo.generator(zoo.linear))


FEW = gentest.settings(examples=40, device="cpu")


def test_the_latents_of_a_counterexample_are_those_that_f_received() -> None:
    """The outputs that are alike come out of them again, and a replay calls f with no others."""
    received: list[torch.Tensor] = []

    def f(z: torch.Tensor) -> torch.Tensor:
        received.append(z.clone())
        return torch.where(z[:, 1:2] > 1.0, 0.5, z[:, :1]).expand(-1, 4)

    generator = gentest.Generator(f, latent=gentest.Normal(3), outputs=gentest.Arrays())
    property = gentest.diverse(at_least=1e-6)
    found = property.check(generator, settings=FEW).counterexample
    assert found is not None
    assert found.alike is not None
    received.clear()
    z = property.latents(generator, found.replay)
    assert not received, "no output is made"
    assert z.shape == (16, 3)
    assert len(f(z[list(found.alike.outputs)]).unique(dim=0)) == 1
    received.clear()
    property.replay(generator, found.replay)
    seen = {tuple(row) for batch in received for row in batch.tolist()}
    assert {tuple(row) for row in z.tolist()} <= seen
    assert torch.equal(property.latents(generator, gentest.Probe.from_json(found.probe)), z)


def test_latents_of_a_joint_space_are_by_part() -> None:
    """Of a point without an axis of places; values that somebody wrote are themselves."""
    space = gentest.Joint(z=gentest.Normal(2), prompt=gentest.OneOf("a coat", "a hat"))
    generator = gentest.Generator(lambda z, prompt: z.tanh(), latent=space, outputs=gentest.Arrays())
    point = gentest.well_formed().latents(generator, "1f-c1")
    assert (point["z"].shape, point["prompt"]) == ((2,), "a hat")
    path = gentest.between(lambda x: x[:, 0], tolerance=0.1).latents(generator, "between:1f-c0")
    assert (path["z"].shape, path["prompt"]) == ((9, 2), ["a coat"] * 9)


@pytest.mark.parametrize(
    "property",
    [
        gentest.holds_within(gentest.limits(gentest.brightness(), at_most=0.6), 2.0),
        gentest.prior_invariant(
            gentest.limits(gentest.brightness(), at_most=0.6), priors=[gentest.Uniform(8, low=-4, high=4)]
        ),
    ],
    ids=["radius", "priors"],
)
def test_a_property_of_several_priors_asks_which(property: gentest.Property) -> None:
    """With `Counterexample.under` the latent is the one whose output violates."""
    generator = zoo.generator(zoo.linear)
    found = property.check(generator, settings=FEW).counterexample
    assert found is not None
    z = property.latents(generator, found.replay, under=found.under)
    score = gentest.brightness()(generator.outputs({"": z[None]}))
    assert 0.6 - float(score) == pytest.approx(found.margin, abs=1e-5)
    with pytest.raises(gentest.InvalidArgument, match=r"Expected one of '.*', '.*' but got under=''"):
        property.latents(generator, found.replay)


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        ("diverse:1f", "a replay string of responsive"),
        ("responsive:x", "a probe as gentest prints it"),
        ("1f-c9", "the probe 1f-c9 does not fit neighbours"),
    ],
)
def test_latents_of_a_wrong_probe_are_refused(probe: str, said: str) -> None:
    space = gentest.Joint(z=gentest.Normal(2), label=gentest.Categorical(3))
    generator = gentest.Generator(lambda z, label: z, latent=space, outputs=gentest.Arrays())
    with pytest.raises(gentest.InvalidArgument, match=said):
        gentest.responsive(at_least=0.1).latents(generator, probe)
    with pytest.raises(gentest.InvalidArgument, match="under='far'"):
        gentest.responsive(at_least=0.1).latents(generator, "1f-c0", under="far")
    with pytest.raises(gentest.InvalidArgument, match="generator"):
        gentest.responsive(at_least=0.1).latents(zoo.linear, "1f")  # type: ignore[arg-type]
