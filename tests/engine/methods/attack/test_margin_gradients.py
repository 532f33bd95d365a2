"""Gradients of margins: every property has them, in bounded memory, and under each prior."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gentest
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.engine.methods.attack.margin_gradients import Traced, margin_gradients
from gentest.probes.probe import independent
from gentest.results.settings import Values
from tests.helpers import zoo


def ridge(z: Tensor) -> Tensor:
    """Brighter than a half where the mean of 16 coordinates is 1: one sample in 30,000."""
    return torch.sigmoid(4.0 * (z[:, :16].mean(1) - 1.0))


@pytest.mark.parametrize(
    "property",
    [
        gentest.between(gentest.brightness(), tolerance=0.3),
        gentest.monotone(gentest.sharpness(), tolerance=0.3),
        gentest.continuous(tolerance=0.5),
        gentest.responsive(at_least=0.01),
        gentest.diverse(at_least=0.001, among=4),
        gentest.path_length(at_most=100.0),
        gentest.steers(gentest.brightness(), along=np.eye(8)[0], at_least=0.01),
        gentest.prior_invariant(gentest.between(gentest.contrast(), tolerance=0.3), priors=[gentest.Uniform(8)]),
        gentest.holds_within(gentest.between(gentest.saturation(), tolerance=0.5), 1.0),
        gentest.well_formed(),
    ],
    ids=lambda p: p.name,
)
def test_every_property_has_a_slope(property: gentest.Property) -> None:
    """Through generator, measures and margin, whatever the property; differences of margins agree with it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 48), nn.Tanh(), nn.Unflatten(1, (3, 4, 4))).double()
    generator = gentest.Generator(lambda z: net(z.double()), latent=gentest.Normal(8))
    judge = Judge(Context(Values(device="cpu")), Subject.of(generator), property.definition)
    found = margin_gradients(judge, independent(5, 0, 3))
    assert found is not None
    assert found.gradients.shape == (3, 8 * len(judge.definition.probes.streams))
    np.testing.assert_allclose(found.margins, judge.margins(independent(5, 0, 3)), atol=1e-4)
    if property.name != "well_formed":  # whose outputs, by tanh, never leave their range
        assert np.abs(found.gradients).max() > 1e-5


def test_many_outputs_are_never_differentiated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where outputs are large, one at a time goes through the generator, forth and back; the slopes are the same."""
    sizes: list[int] = []

    def images(z: Tensor) -> Tensor:
        sizes.append(len(z))
        return zoo.images(ridge(z))

    generator = gentest.Generator(images, latent=gentest.Normal(32), output_range=zoo.UNIT)
    judge = Judge(
        Context(Values(device="cpu")),
        Subject.of(generator),
        gentest.between(gentest.brightness(), tolerance=0.1).definition,
    )
    whole = margin_gradients(judge, independent(1, 0, 5))
    assert whole is not None
    assert max(sizes) == 45
    sizes.clear()
    monkeypatch.setattr(judge.context.maker, "image_bytes", 4 * 3 * 1024 * 1024)
    parts = margin_gradients(judge, independent(1, 0, 5))
    assert parts is not None
    assert set(sizes) == {1}
    assert len(sizes) == 2 * 45
    np.testing.assert_allclose(parts.gradients, whole.gradients, rtol=1e-4, atol=1e-9)


def test_other_priors_are_traced_with_their_own_latents() -> None:
    """Under another prior the same uniforms are other latents, and those have leaves of their own."""
    generator = zoo.generator(ridge, gentest.Normal(32))
    context = Context(Values(device="cpu"))
    subject = Subject.of(generator)
    own = Traced(context, subject, gentest.points(), independent(1, 0, 2), subject)
    other = own.under(gentest.Uniform(32))
    assert other is own.under(gentest.Uniform(32))
    assert other.leaves[""].abs().max() <= 3**0.5
    assert not torch.equal(other.leaves[""], own.leaves[""])
