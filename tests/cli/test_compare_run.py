"""The pair that `gentest compare` makes of two models, and the differences that it measures."""

from __future__ import annotations

import pytest
import torch

import gentest
from gentest.cli.compare_run import Comparing
from gentest.engine.evidence.context import Context
from gentest.results.result import Verdict
from gentest.results.settings import Values


def comparing(change: float, *, examples: int = 60, attack: int = 0) -> Comparing:
    """A pair of z and z + `change`, clamped to [0, 1], in which the reference knows the range."""
    reference = gentest.Generator(lambda z: z.sigmoid()[:, None, None], latent=gentest.Normal(4), output_range=(0, 1))
    pair = reference.then(lambda x: (x + change).clamp(0, 1)).against(reference)
    values = Values(examples=examples, attack=attack, device="cpu")
    return Comparing(pair, Context(values), values, lambda done, total: None)


def test_a_constant_difference_is_every_quantile() -> None:
    """A candidate that adds 0.02 differs by 0.02 at the median and at the worst latent, in sd of levels too."""
    differences, result = comparing(0.02).run(0.05)
    assert differences.quantiles == pytest.approx([0.02] * 4, abs=1e-6)
    assert differences.worst.difference == pytest.approx(0.02, abs=1e-6)
    assert differences.worst.note.startswith("4 of 4 values differ, the most at [")
    (brightness, _) = differences.levels
    assert brightness.candidate - brightness.reference == pytest.approx(0.02, abs=1e-6)
    assert brightness.shift is not None
    assert brightness.low is not None
    assert brightness.high is not None
    assert 0 < brightness.low < brightness.shift < brightness.high < 2 * brightness.shift
    assert (result.verdict, differences.agrees, differences.disagreeing) == (Verdict.NO_COUNTEREXAMPLE, True, 0)


def test_the_bounds_of_a_level_hold_under_the_whole_prior() -> None:
    """A shift that follows the latent: the bounds contain its mean over 20,000 latents, in sd of the reference."""
    reference = gentest.Generator(lambda z: z.sigmoid()[:, None, None], latent=gentest.Normal(4), output_range=(0, 1))
    pair = reference.then(lambda x: x**1.1).against(reference)
    values = Values(examples=100, device="cpu")
    differences, _ = Comparing(pair, Context(values), values, lambda done, total: None).run(None)
    before = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(1)).sigmoid()
    truth = float(((before**1.1).mean(1) - before.mean(1)).mean() / before.mean(1).std())
    (brightness, _) = differences.levels
    assert brightness.low is not None
    assert brightness.high is not None
    assert brightness.low < truth < brightness.high < brightness.low + 0.3


def test_a_level_without_a_spread_has_no_unit() -> None:
    """A reference whose every image is as bright has a level, and no bounds of a shift."""
    reference = gentest.Generator(
        lambda z: 0.5 + 0.1 * torch.stack([z[:, 0].tanh(), -z[:, 0].tanh()], 1)[:, None, None],
        latent=gentest.Normal(1),
        output_range=(0, 1),
    )
    pair = reference.then(lambda x: x * 0.9).against(reference)
    values = Values(examples=40, device="cpu")
    differences, _ = Comparing(pair, Context(values), values, lambda done, total: None).run(None)
    (brightness, _) = differences.levels
    assert (brightness.shift, brightness.low, brightness.high) == (None, None, None)
    assert brightness.candidate == pytest.approx(0.45)


def test_a_disagreement_is_counted_and_explained() -> None:
    """Every independent latent is beyond the tolerance, and the note names the values."""
    differences, result = comparing(0.02).run(0.01)
    assert (result.verdict, differences.agrees, differences.disagreeing) == (Verdict.VIOLATED, False, 60)
    assert differences.worst.replay.startswith("agrees:")
    assert "4 of 4 values differ by more" in differences.worst.note
    replayed = gentest.agrees(within=0.01).replay(comparing(0.02).pair, differences.worst.replay)
    assert replayed.verdict is Verdict.VIOLATED


def test_a_rare_disagreement_in_the_sample_decides() -> None:
    """If only an independent latent disagrees, the verdict says so, whatever the search found."""
    reference = gentest.Generator(lambda z: z.sigmoid()[:, None, None], latent=gentest.Normal(1), output_range=(0, 1))
    values = Values(examples=200, device="cpu")
    context = Context(values)
    subject = context.subject(reference)
    largest = max(float(e.images.max()) for e in context.samples(subject, 0, 0, 200))
    pair = reference.then(lambda x: torch.where(x >= largest - 1e-6, x - 0.5, x)).against(reference)
    differences, result = Comparing(pair, Context(values), values, lambda done, total: None).run(0.1)
    assert differences.disagreeing >= 1
    assert result.verdict is Verdict.VIOLATED
    assert differences.worst.difference == pytest.approx(0.5, abs=1e-3)


def test_an_attack_goes_beyond_the_largest_difference() -> None:
    """Without a tolerance, the attack looks for more than the search saw."""
    reference = gentest.Generator(lambda z: z.sigmoid()[:, None, None], latent=gentest.Normal(8), output_range=(0, 1))
    pair = reference.then(lambda x: x * (1 - 0.2 * x.mean((1, 2, 3), keepdim=True))).against(reference)
    values = Values(examples=20, attack=400, device="cpu")
    differences, result = Comparing(pair, Context(values), values, lambda done, total: None).run(None)
    assert result.attack is not None
    assert result.attack.found
    assert differences.worst.source == "the attack"
    assert differences.worst.difference > differences.quantiles[-1]
    assert differences.disagreeing == 0


@pytest.mark.parametrize("within", [None, 0.05, 0.001])
def test_the_page_shows_the_latent_that_the_command_names(within: float | None) -> None:
    """Whichever latent differs most, of the search or of the independent ones, and whether or not it is allowed."""
    reference = gentest.Generator(
        lambda z: z.sigmoid()[:, None, :, None].repeat(1, 1, 1, 2), latent=gentest.Normal(4), output_range=(0, 1)
    )
    pair = reference.then(lambda x: x + 0.01 * x**2 * (1 - x)).against(reference)
    values = Values(examples=60, device="cpu")
    differences, result = Comparing(pair, Context(values), values, lambda done, total: None).run(within)
    drawings = result.drawings
    assert drawings is not None
    shown = drawings.worst_difference or drawings.minimal_difference
    assert shown is not None
    assert shown.largest == pytest.approx(differences.worst.difference, abs=1e-6)
    assert (result.verdict is Verdict.VIOLATED) is (within == 0.001)
    if result.worst is not None:
        assert within is not None
        assert within - result.worst.margin == pytest.approx(differences.worst.difference, abs=1e-6)
        assert result.worst.replay == differences.worst.replay


def test_an_independent_latent_that_disagrees_is_reduced() -> None:
    """The search misses it, so the sample's latent is the one whose coordinate is named."""
    reference = gentest.Generator(lambda z: z.tanh(), latent=gentest.Normal(6), outputs=gentest.Arrays())
    values = Values(examples=100, device="cpu")
    context = Context(values)
    samples = context.samples(context.subject(reference), 0, 0, 100)
    lowest = min(float(each.placed[""][:, 0, 2].min()) for each in samples)
    pair = gentest.Generator(
        lambda z: z.tanh() + (z[:, 2:3] <= lowest + 1e-6), latent=gentest.Normal(6), outputs=gentest.Arrays()
    ).against(reference)
    differences, result = Comparing(pair, Context(values), values, lambda done, total: None).run(0.1)
    assert result.verdict is Verdict.VIOLATED
    assert differences.matters.startswith("coordinate 2 = -")
    assert gentest.agrees(within=0.1).replay(pair, differences.reduced).verdict is Verdict.VIOLATED
