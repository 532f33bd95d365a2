"""A pair with kept outputs as its reference: only their probes are compared, and they cost no images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gentest
from gentest.results.result import Verdict
from tests.helpers.recalled import InMemory

CPU = gentest.settings(device="cpu", examples=40)


class Counted:
    """A function of latents that counts its rows."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.rows = 0

    def __call__(self, z: Tensor, **named: Tensor) -> Tensor:
        self.rows += len(z)
        return self.function(z, **named)


def smooth(z: Tensor) -> Tensor:
    """Images of floats, which 8 bits cannot hold."""
    return z[:, :2, None, None].sigmoid().mean(1, keepdim=True).expand(-1, 1, 16, 16) * torch.linspace(0.2, 1, 16)


def eight_bit(z: Tensor) -> Tensor:
    """Images as a pipeline returns them: pixels of 8 bits."""
    return (smooth(z) * 255).round() / 255


def broken(z: Tensor) -> Tensor:
    """The same, with one bright corner on a tenth of the latents."""
    images = eight_bit(z).clone()
    images[:, :, 0, 0] += 0.3 * (z[:, 2, None] > 1.2)
    return images.clamp(0, 1)


def generator(function: Callable[..., Tensor]) -> gentest.Generator:
    return gentest.Generator(function, latent=gentest.Normal(4), output_range=(0, 1))


def test_the_same_weights_agree_bit_for_bit_and_the_reference_makes_no_image() -> None:
    """64 probes cost the candidate 64 images beside the fixed cost of examining and auditing, and the reference none.

    A second property on the same probes makes no further image of them.
    """
    candidate, reference = Counted(eight_bit), Counted(eight_bit)
    pair = generator(candidate).against(InMemory(generator(reference), 64))
    assert reference.rows == 64  # made when they were kept
    result = gentest.agrees(within=1 / 255).check(pair, settings=CPU)
    assert (result.verdict, result.examples, result.seed) == (Verdict.NO_COUNTEREXAMPLE, 64, 1)
    assert result.kept is not None
    assert (result.kept.bits, result.kept.rounding) == (8, 0.0)
    assert reference.rows == 64
    assert result.images == candidate.rows <= 64 + 70
    assert result.margin is not None
    assert result.margin.min == pytest.approx(1 / 255)


@pytest.mark.parametrize(
    "property",
    [
        gentest.agrees(within=0.0),
        gentest.agrees(gentest.pixels(), within=0.0),
        gentest.agrees(gentest.brightness(), within=0.0),
        pytest.param(gentest.agrees(gentest.ssim(), within=1e-4), marks=pytest.mark.slow),
        gentest.agrees(within=0.0).at_rate(0.9),
        gentest.agrees(gentest.brightness(), within=gentest.sd(0.01)),
    ],
    ids=str,
)
def test_what_the_rounding_of_the_file_explains_violates_nothing(property: gentest.Property) -> None:
    """Outputs of 16 bits differ from the candidate's own by their rounding, which no measure takes for a difference."""
    pair = generator(smooth).against(InMemory(generator(smooth), 64))
    result = property.check(pair, settings=CPU)
    assert result.message == ""
    assert result.verdict in (Verdict.NO_COUNTEREXAMPLE, Verdict.HOLDS)
    assert result.kept is not None
    assert result.kept.bits == 16
    assert 0 < result.kept.rounding <= 0.5 / 65535 * 1.01


def test_more_than_the_rounding_of_the_file_is_a_difference() -> None:
    """Three steps of 16 bits are found at within=0, and one step of 8 bits is."""
    pair = generator(lambda z: smooth(z) + 3 / 65535).against(InMemory(generator(smooth), 64))
    assert gentest.agrees(within=0.0).check(pair, settings=CPU).verdict is Verdict.VIOLATED
    pair = generator(lambda z: (eight_bit(z) + 1 / 255).clamp(0, 1)).against(InMemory(generator(eight_bit), 64))
    assert gentest.agrees(within=0.0).check(pair, settings=CPU).verdict is Verdict.VIOLATED


def test_a_difference_is_found_named_and_replayed_and_neither_reduced_nor_attacked() -> None:
    """The worst of the kept probes is the minimal one. A probe that is not kept is refused in one line."""
    pair = generator(broken).against(InMemory(generator(eight_bit), 128))
    agrees = gentest.agrees(within=4 / 255)
    result = agrees.check(pair, settings=gentest.settings(device="cpu", attack=500))
    assert result.verdict is Verdict.VIOLATED
    assert result.attack is None
    assert result.counterexample is not None
    assert result.counterexample == result.worst
    assert "[0, 0, 0] by +0.3" in result.counterexample.note
    again = agrees.replay(pair, result.counterexample.replay, settings=CPU)
    assert (again.verdict, again.counterexample) == (Verdict.VIOLATED, result.counterexample)
    unknown = agrees.replay(pair, "agrees:1f", settings=CPU)
    assert unknown.verdict is Verdict.ERROR
    assert unknown.message == ("the probe 1f is none of the 128 whose outputs are kept: only these can be compared")
    without = agrees.check(generator(eight_bit).against(InMemory(generator(eight_bit), 128)), settings=CPU)
    assert without.attack is None


def test_a_rate_takes_the_kept_probes_in_order_and_is_undecided_beyond_them() -> None:
    """A certified rate stops early; one that the file cannot decide says how many outputs it takes."""
    same = InMemory(generator(eight_bit), 100)
    rate = gentest.agrees(within=1 / 255).at_rate(0.95).check(generator(eight_bit).against(same), settings=CPU).rate
    assert rate is not None
    assert (rate.verdict, rate.passes, rate.budget) == (Verdict.HOLDS, rate.probes, 100)
    worse = gentest.agrees(within=1 / 255).at_rate(0.9).check(generator(broken).against(same), settings=CPU)
    assert worse.rate is not None
    assert (worse.verdict, worse.rate.probes) == (Verdict.UNDECIDED, 100)
    three = generator(eight_bit).against(InMemory(generator(eight_bit), 3))
    few = gentest.agrees(within=1 / 255).at_rate(0.5).check(three, settings=CPU)
    assert few.verdict is Verdict.ERROR
    assert few.message.startswith("outputs of 3 probes are kept, which cannot decide .at_rate(0.5): a decision needs")
    assert "bless again with --keep-outputs" in few.message


def test_adapters_that_do_nothing_are_seen_without_the_old_weights() -> None:
    """`differs` violates on the weights that were blessed, and holds on others."""
    kept = InMemory(generator(smooth), 32)
    differs = gentest.differs(at_least=0.005)
    assert differs.check(generator(smooth).against(kept), settings=CPU).verdict is Verdict.VIOLATED
    other = generator(lambda z: smooth(z) * 0.5)
    assert differs.check(other.against(kept), settings=CPU).verdict is Verdict.NO_COUNTEREXAMPLE


def test_choices_and_declared_noise_belong_to_the_probe() -> None:
    """A label and a noise input are part of what was kept."""

    def labelled(z: Tensor, label: Tensor, noise: Tensor) -> Tensor:
        images = 0.1 * label[:, None, None, None] + 0.3 * noise.sigmoid()[:, None] * z.sigmoid()[:, :1, None, None]
        return images.expand(-1, 1, 4, 4)

    space = gentest.Joint(z=gentest.Normal(2), label=gentest.Categorical(5))
    made = gentest.Generator(labelled, latent=space, noise={"noise": gentest.Normal((4, 4))}, output_range=(0, 1))
    result = gentest.agrees(within=0.0).check(made.against(InMemory(made, 64)), settings=CPU)
    assert (result.message, result.verdict) == ("", Verdict.NO_COUNTEREXAMPLE)


def test_outputs_without_a_range_are_kept_over_their_own() -> None:
    """Rows of a table keep their units, and a difference is a share of the range that was measured at the blessing."""
    table = gentest.Generator(lambda z: 50 * z, latent=gentest.Normal(3), images=False)
    kept = InMemory(table, 64)
    assert gentest.agrees(within=0.0).check(table.against(kept), settings=CPU).verdict is Verdict.NO_COUNTEREXAMPLE
    other = gentest.Generator(lambda z: 50 * z + 5, latent=gentest.Normal(3), images=False)
    assert gentest.agrees(within=0.01).check(other.against(kept), settings=CPU).verdict is Verdict.VIOLATED


def test_other_latents_than_the_kept_ones_are_refused_in_one_line() -> None:
    """Paths, other priors, labels one by one and a spread from too few outputs: each says what to do."""
    kept = InMemory(generator(eight_bit), 8)
    pair = generator(eight_bit).against(kept)

    @gentest.property(probes=gentest.segments())
    def along(evidence: gentest.Evidence) -> Tensor:
        return 1.0 - evidence.from_reference().amax(1)

    everything = gentest.settings(device="cpu", exhaustive=True)
    every = gentest.agrees(within=0.1).check(pair, settings=everything)
    assert every.message.endswith("needs the reference on every input, and outputs of 8 probes are kept")

    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(3))
    labelled = gentest.Generator(lambda z, label: eight_bit(z), latent=space, output_range=(0, 1))
    cases = [
        (along(), pair, "outputs of single samples of the prior are kept, and along() looks at segments("),
        (
            gentest.agrees(within=0.1).at_rate(0.9, each="label"),
            labelled.against(InMemory(labelled, 64)),
            "each='label' looks at others",
        ),
        (gentest.agrees(gentest.brightness(), within=gentest.sd(0.1)), pair, "outputs of 8 probes, and sd(x) needs 16"),
    ]
    for property, subject, said in cases:
        result = property.check(subject, settings=CPU)
        assert result.verdict is Verdict.ERROR
        assert said in result.message
        assert "\n" not in result.message
    with pytest.raises(gentest.GeneratorError, match="1 of 1 latent is none of the 8 whose outputs"):
        pair.reference.outputs({"": torch.zeros(1, 4)})


def test_outputs_of_another_shape_are_one_error() -> None:
    """Both shapes are named, and a declared resize is allowed."""
    large = generator(lambda z: eight_bit(z).repeat_interleave(2, 2).repeat_interleave(2, 3))
    kept = InMemory(generator(eight_bit), 32)
    result = gentest.agrees(within=0.1).check(large.against(kept), settings=CPU)
    assert result.message == (
        "the candidate makes outputs [1, 32, 32] and the reference [1, 16, 16]: bring one to the shape of the other"
    )
    resized = large.then(lambda x: x[:, :, ::2, ::2])
    assert gentest.agrees(within=1e-6).check(resized.against(kept), settings=CPU).verdict is Verdict.NO_COUNTEREXAMPLE


def test_a_level_is_compared_with_kept_outputs() -> None:
    """The first kept probes are the pilot and the next ones the test; too few of them are one line."""
    same = gentest.same_level(gentest.brightness(), within=0.02)
    kept = InMemory(generator(eight_bit), 128)
    level = same.check(generator(eight_bit).against(kept), settings=CPU)
    assert (level.message, level.verdict) == ("", Verdict.HOLDS)
    assert level.kept is not None
    darker = same.check(generator(lambda z: eight_bit(z) * 0.8).against(kept), settings=CPU)
    assert darker.verdict is Verdict.VIOLATED
    few = same.check(generator(eight_bit).against(InMemory(generator(eight_bit), 20)), settings=CPU)
    assert few.verdict is Verdict.ERROR
    assert few.message.startswith("outputs of 20 probes are kept, and same_level(brightness(), within=0.02) needs")
