"""Pairs agree or differ: what a candidate changes is found, reduced and replayed, and harmless candidates hold."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from scipy.special import ndtri
from torch import Tensor, nn

import gentest
from gentest.engine.check import Question
from gentest.engine.check import check as run_check
from gentest.engine.cluster.actors import shared_context
from gentest.errors import InvalidArgument
from gentest.results.records import unpack
from gentest.results.result import Result
from gentest.results.settings import Values
from tests.helpers import planted

Verdict = gentest.Verdict
SETTINGS = gentest.settings(device="cpu")


class Net(nn.Module):
    """A decoder of 16 numbers to images of 12 x 12."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 3 * 12 * 12), nn.Sigmoid())
        self.n_together = 0
        """Images made in batches of more than one."""

    def forward(self, z: Tensor) -> Tensor:
        self.n_together += len(z) if len(z) > 1 else 0
        return self.layers(z).reshape(-1, 3, 12, 12)  # type: ignore[no-any-return]


def generator(function: object) -> gentest.Generator:
    return gentest.Generator(function, latent=gentest.Normal(16), output_range=(0, 1))  # type: ignore[arg-type]


@pytest.fixture
def net() -> Net:
    return Net().eval()


def reference(net: Net) -> gentest.Generator:
    return generator(net)


def rounded(net: Net, bits: int) -> Net:
    """The network with one weight rounded to so many bits."""
    other = copy.deepcopy(net)
    weight = other.layers[0].weight.data  # type: ignore[union-attr,operator]
    step = 2.0 ** (1 - bits)
    weight[5, 3] = torch.round(weight[5, 3] / step) * step + step
    return other


def shifted(net: Net) -> Net:
    """The network with a little more of its fourth number everywhere."""
    other = copy.deepcopy(net)
    other.layers[0].weight.data[:, 3] += 0.05  # type: ignore[union-attr,operator,index]
    return other


def check(property: gentest.Property, pair: gentest.Pair, **settings: object) -> Result:
    return property.check(pair, settings=gentest.settings(device="cpu", **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [lambda net: rounded(net, 3), shifted])
def test_a_changed_weight_is_found_and_replays(net: Net, change: object) -> None:
    """One weight rounded to 3 bits, or a column of weights: a counterexample that fails again by its replay string."""
    pair = generator(change(net)).against(reference(net))  # type: ignore[operator]
    found = check(gentest.agrees(within=0.002), pair)
    assert found.verdict is Verdict.VIOLATED
    assert found.counterexample is not None
    again = gentest.agrees(within=0.002).replay(pair, found.counterexample.replay, settings=SETTINGS)
    assert again.verdict is Verdict.VIOLATED
    assert again.counterexample is not None
    assert again.counterexample.margin == found.counterexample.margin


def test_swapped_channels_are_found(net: Net) -> None:
    """Blue for red."""
    pair = generator(lambda z: net(z).flip(1)).against(reference(net))
    _, minimal = planted.found(gentest.agrees(within=4 / 255), pair, examples=50)
    assert minimal.groups == (), "any latent will do"


def test_half_precision_that_overflows_far_out_is_found() -> None:
    """For the latents with the largest norm, about 2 % of them, a float16 intermediate is infinite."""

    def level(z: Tensor, scale: Tensor) -> Tensor:
        return (1.0 - 1.0 / (1.0 + scale / 1e4)).clamp(0, 1)[:, None, None, None].expand(-1, 1, 4, 4)

    def full(z: Tensor) -> Tensor:
        return level(z, z.square().sum(1) * 2200.0)

    def half(z: Tensor) -> Tensor:
        return level(z, (z.square().sum(1) * 2200.0).half().float().clamp(max=3e5))

    pair = generator(half).against(generator(full))
    result, minimal = planted.found(gentest.agrees(within=0.01), pair)
    assert 1 <= result.violations <= 20, "about 6 of 300"
    assert minimal.typicality is not None
    assert minimal.typicality > 0.97, "far out in the prior"
    rate = check(gentest.agrees(within=0.01).at_rate(0.9), pair)
    assert rate.verdict is Verdict.HOLDS
    assert rate.rate is not None
    assert 0.95 < rate.rate.passes / rate.rate.probes < 1.0


@pytest.mark.parametrize("seed", range(3))
def test_harmless_candidates_agree(net: Net, seed: int) -> None:
    """The same weights saved again, another memory format, batches of 1 against batches of 64, and two runs hold."""
    stored = Net().eval()
    stored.load_state_dict(net.state_dict())

    def last(z: Tensor) -> Tensor:
        return net(z).contiguous(memory_format=torch.channels_last)

    def one_by_one(z: Tensor) -> Tensor:
        return torch.cat([net(row) for row in z.split(1)])

    together = reference(net).on(batch_size=64)
    for candidate in (
        generator(stored),
        generator(last),
        generator(one_by_one),
        reference(net).on(batch_size=1),
        reference(copy.deepcopy(net)).on(batch_size=64),
    ):
        found = check(gentest.agrees(within=1e-4), candidate.against(together), seed=seed)
        assert found.verdict is Verdict.NO_COUNTEREXAMPLE, found.message


@pytest.mark.parametrize(("rate", "most"), [(0.99, 460), (0.95, 96)])
def test_a_perfect_export_is_certified_on_few_latents(net: Net, rate: float, most: int) -> None:
    """Each side makes exactly one image for each latent in a batch, besides 2 x 16 for its examination."""
    export = copy.deepcopy(net)
    found = check(
        gentest.agrees(within=1e-3).at_rate(rate),
        generator(lambda z: export(z)).against(reference(net)),
        examples=96,
        batch_size=16,
    )
    assert found.verdict is Verdict.HOLDS
    assert found.rate is not None
    assert found.rate.probes <= most
    assert net.n_together == export.n_together == 2 * 16 + 96 + found.rate.probes


def test_differences_are_measured_by_whatever_is_given(net: Net) -> None:
    """An attribute in its units and in standard deviations, a feature, and a distance."""

    @gentest.distance
    def error(first: Tensor, second: Tensor) -> Tensor:
        return (first - second).square().flatten(1).mean(1)

    pair = generator(shifted(net)).against(reference(net))
    for on, small, large in (
        (gentest.brightness(), 1e-5, 0.5),
        (gentest.brightness(), gentest.sd(0.01), gentest.sd(10)),
        (gentest.pixels(), 1e-4, 0.5),
        (error, 1e-7, 0.1),
    ):
        assert check(gentest.agrees(on, within=small), pair, examples=50).verdict is Verdict.VIOLATED, on  # type: ignore[arg-type]
        assert check(gentest.agrees(on, within=large), pair, examples=50).verdict is Verdict.NO_COUNTEREXAMPLE, on  # type: ignore[arg-type]


def test_a_candidate_that_changes_nothing_is_found_by_differs(net: Net) -> None:
    """A LoRA whose fusing does nothing gives the reference's outputs: the smallest difference is the counterexample."""
    planted.found(gentest.differs(at_least=1e-4), generator(copy.deepcopy(net)).against(reference(net)))
    fused = generator(lambda z: (net(z) + 0.05).clamp(0, 1)).against(reference(net))
    assert check(gentest.differs(at_least=0.02), fused).verdict is Verdict.NO_COUNTEREXAMPLE


def test_a_candidate_that_changes_nothing_on_rare_latents_is_reduced_to_their_coordinate(net: Net) -> None:
    """A single latent with other coordinates of the prior is as fair a test of `differs`, as of `agrees`."""
    for seed in range(4):

        def adapted(z: Tensor) -> Tensor:
            change = torch.where(z[:, 5] > 1.5, 0.0, 0.05)
            return net(z) * (1 - change[:, None, None, None])

        pair = generator(adapted).against(reference(net))
        prop = gentest.differs(gentest.pixels(), at_least=0.005)
        settings = gentest.settings(device="cpu", seed=seed)
        found = prop.check(pair, settings=settings).counterexample
        assert found is not None
        assert found.groups == ("5",)
        again = prop.replay(pair, found.replay, settings=settings).counterexample
        assert again is not None
        assert again.margin == found.margin


@pytest.mark.parametrize("seed", range(4))
def test_an_attack_finds_a_disagreement_on_one_latent_in_1e5(seed: int) -> None:
    """Beyond 4.265 standard deviations of one coordinate; both sides are differentiable.

    A random search evaluates 1e5 latents before it meets one. The attack takes at most a hundredth.
    """
    rare = 1e-5
    beyond = -float(ndtri(rare))

    def full(z: Tensor) -> Tensor:
        return (0.1 * z[:, :1, None, None]).sigmoid().expand(-1, 1, 4, 4)

    def clipped(z: Tensor) -> Tensor:
        return full(z) + 0.2 * torch.sigmoid(4.0 * (z[:, 1, None, None, None] - beyond))

    pair = generator(clipped).against(generator(full))
    assert check(gentest.agrees(within=0.1), pair, seed=seed).verdict is Verdict.NO_COUNTEREXAMPLE
    result, minimal = planted.found(gentest.agrees(within=0.1), pair, seed=seed, attack=20_000, examples=50)
    assert result.attack is not None
    assert result.examples + result.attack.probes <= 0.01 / rare
    assert minimal.moved is not None
    assert minimal.moved.groups == ("1",)


def test_margins_of_ones_own_see_the_reference(net: Net) -> None:
    """`evidence.reference` is the evidence of the reference on the same probes."""

    @gentest.property(probes=gentest.points())
    def no_darker(evidence: gentest.Evidence) -> Tensor:
        level = gentest.brightness()
        return (evidence.scores(level) - evidence.reference.scores(level))[:, 0] + 1e-4

    darker = generator(lambda z: net(z) * 0.9).against(reference(net))
    assert check(no_darker(), darker).verdict is Verdict.VIOLATED
    assert (
        check(no_darker(), generator(copy.deepcopy(net)).against(reference(net))).verdict is Verdict.NO_COUNTEREXAMPLE
    )
    alone = no_darker().check(reference(net), settings=SETTINGS)
    assert alone.verdict is Verdict.ERROR
    assert "there is no reference to compare with: check candidate.against(reference)" in alone.message


def not_finite(net: Net) -> object:
    return lambda z: torch.where(z[:, :1, None, None] > 1.0, torch.nan, net(z))


def raises(net: Net) -> object:
    def function(z: Tensor) -> Tensor:
        raise ValueError("no weights")

    return function


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (not_finite, "in the reference, the generator returned values that are not finite"),
        (raises, "in the reference, the generator raised ValueError: no weights"),
        (
            lambda net: lambda z: net(z)[..., ::2],
            "the candidate makes outputs [3, 12, 12] and the reference [3, 12, 6]",
        ),
    ],
)
def test_a_broken_reference_is_one_line(net: Net, reference: object, message: str) -> None:
    """Which names the side, and the result is an error."""
    result = check(gentest.agrees(within=0.1), generator(net).against(reference(net)))  # type: ignore[operator]
    assert result.verdict is Verdict.ERROR
    assert message in result.message
    assert "\n" not in result.message


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda net: gentest.Generator(net, latent=gentest.Uniform(16), output_range=(0, 1)),
            "the latent spaces of candidate and reference differ: 'z' is Normal(16) in the candidate and Uniform(16)",
        ),
        (
            lambda net: gentest.Generator(net, latent=gentest.Joint(z=gentest.Normal(16), c=gentest.Categorical(3))),
            "the latent spaces of candidate and reference differ: the reference has no part 'z'",
        ),
        (
            lambda net: gentest.Generator(net, latent=gentest.Normal(16), images=False),
            "the candidate makes Images() and the reference Arrays(): give both the same outputs=",
        ),
        (lambda net: 3, "Expected a gentest.Generator, or a callable on the same inputs as the candidate but got"),
    ],
)
def test_a_reference_that_does_not_fit_is_refused(net: Net, other: object, message: str) -> None:
    """With the part that differs."""
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        generator(net).against(other(net))  # type: ignore[operator]


def test_a_property_of_one_generator_says_what_to_check(net: Net) -> None:
    """And one of two generators as well."""
    pair = generator(net).against(net)
    of_one = check(gentest.between(gentest.brightness(), tolerance=0.1), pair)
    assert "is about one generator: check the candidate itself, not a pair" in of_one.message
    of_two = gentest.agrees(within=0.1).check(generator(net), settings=SETTINGS)
    assert "compares two generators: check candidate.against(reference)" in of_two.message
    wrong = gentest.agrees(within=gentest.sd(1)).check
    with pytest.raises(InvalidArgument, match="only attributes and features have"):
        wrong(pair)


def test_both_sides_are_truncated_given_and_moved_to_a_prior(net: Net) -> None:
    """The latents stay the same on both sides."""
    pair = generator(net).against(net).truncated(0.5).under(gentest.Uniform(16))
    assert repr(pair.candidate.latent) == repr(pair.reference.latent) == repr(pair.latent)
    assert check(gentest.agrees(within=1e-4), pair).verdict is Verdict.NO_COUNTEREXAMPLE


class Coupling(nn.Module):
    """An affine coupling of a RealNVP (Dinh et al. 2017, arXiv:1605.08803) that moves 4 of 8 numbers."""

    def __init__(self, *, moves_first: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 8))
        self.moves_first = moves_first

    def forward(self, x: Tensor, sign: Tensor, *, inverse: bool) -> Tensor:
        kept, moved = x.chunk(2, dim=1)[:: -1 if self.moves_first else 1]
        scale, shift = self.net(kept).chunk(2, dim=1)
        scale = scale.tanh()
        moved = (moved - sign * shift) * (-scale).exp() if inverse else moved * scale.exp() + shift
        return torch.cat([moved, kept] if self.moves_first else [kept, moved], dim=1)


class Flow(nn.Module):
    """A RealNVP of two couplings. `sign` is -1 for a wrong sign of one number in the inverse of the first."""

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.couplings = nn.ModuleList(Coupling(moves_first=first) for first in (False, True))
        self.register_buffer("sign", torch.tensor([1.0, 1.0, sign, 1.0]))
        self.register_buffer("right", torch.ones(4))

    def decode(self, z: Tensor) -> Tensor:
        for coupling in self.couplings:
            z = coupling(z, self.right, inverse=False)
        return z

    def encode(self, x: Tensor) -> Tensor:
        x = self.couplings[1](x, self.right, inverse=True)
        return self.couplings[0](x, self.sign, inverse=True)  # type: ignore[no-any-return]


def test_an_inverse_with_one_wrong_sign_names_the_coordinate() -> None:
    """encode(decode(z)) is z but for the seventh number."""
    pairs = [
        gentest.Generator.round_trip(flow.encode, flow.decode, latent=gentest.Normal(8))
        for flow in (Flow(), Flow(sign=-1.0))
    ]
    right = check(gentest.agrees(within=1e-3), pairs[0])
    assert right.verdict is Verdict.NO_COUNTEREXAMPLE, right.message
    _, minimal = planted.found(gentest.agrees(within=1e-3), pairs[1])
    assert minimal.note.startswith("1 of 8 values differ by more, the most at [6] by ")


def test_a_shift_that_is_dropped_on_decode_is_found() -> None:
    """A VAE whose latents are scaled and shifted on the way in, and only scaled on the way back."""
    images = 0.2 + 0.7 * torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def encode(x: Tensor) -> Tensor:
        return (x - 0.1) * 2.0

    for decode, verdict in (
        (lambda z: z / 2.0 + 0.1, Verdict.NO_COUNTEREXAMPLE),
        (lambda z: z / 2.0, Verdict.VIOLATED),
    ):
        pair = gentest.Generator.round_trip(encode, decode, data=images, output_range=(0, 1))
        found = check(gentest.agrees(within=1e-3), pair, examples=40)
        assert found.verdict is verdict, found.message
    with pytest.raises(InvalidArgument, match="Expected either data=, images to encode, or latent="):
        gentest.Generator.round_trip(encode, encode)


def test_a_counterexample_names_the_place_of_the_largest_difference(net: Net) -> None:
    """One pixel of one channel is off, and by how much."""

    def spot(z: Tensor) -> Tensor:
        images = net(z).clone()
        images[:, 1, 4, 7] = (images[:, 1, 4, 7] + 0.25) % 1.0
        return images

    found = check(gentest.agrees(within=0.01), generator(spot).against(reference(net)), examples=20)
    assert found.counterexample is not None
    assert re.fullmatch(
        r"1 of 432 values differ by more, the most at \[1, 4, 7\] by [+-]0\.\d+", found.counterexample.note
    )


def test_a_flipped_align_corners_is_found() -> None:
    """One resize of a decoder takes other places for its samples."""

    def resize(*, align_corners: bool) -> object:
        def decode(z: Tensor) -> Tensor:
            small = z.reshape(-1, 1, 4, 4).sigmoid()
            return nn.functional.interpolate(small, (12, 12), mode="bilinear", align_corners=align_corners)

        return decode

    pair = generator(resize(align_corners=True)).against(generator(resize(align_corners=False)))
    _, minimal = planted.found(gentest.agrees(within=4 / 255), pair)
    assert " of 144 values differ by more, the most at [0, " in minimal.note


def test_an_operator_that_depends_on_batches_from_8_up_never_passes(net: Net) -> None:
    """In batches it is an error that names the cause; one latent at a time it agrees."""

    def kernel(z: Tensor) -> Tensor:
        return net(z) if len(z) < 8 else net(z).roll(1, 0)

    candidate = generator(kernel)
    together = check(gentest.agrees(within=0.01), candidate.against(reference(net)))
    assert together.verdict is Verdict.ERROR
    assert "an output depends on the rest of its batch" in together.message
    alone = check(gentest.agrees(within=0.01), candidate.on(batch_size=1).against(reference(net)), examples=50)
    assert alone.verdict is Verdict.NO_COUNTEREXAMPLE


def test_averaged_weights_that_equal_the_raw_ones_are_found(net: Net) -> None:
    """An average (EMA) that was never updated gives the raw model's images."""
    averaged = copy.deepcopy(net)
    planted.found(gentest.differs(at_least=1e-3), generator(averaged).against(reference(net)))
    for parameter in averaged.parameters():
        parameter.data.mul_(0.8)
    updated = check(gentest.differs(at_least=1e-3), generator(averaged).against(reference(net)))
    assert updated.verdict is Verdict.NO_COUNTEREXAMPLE


def test_a_counterexample_holds_for_the_gate(net: Net) -> None:
    """A baseline keeps the margins of a pair, and an equal candidate is held."""
    definition = gentest.agrees(within=0.05).at_rate(0.9).definition
    context, values = shared_context(Values(device="cpu")), Values(device="cpu", examples=20)
    pair = generator(shifted(net)).against(reference(net))
    blessed = run_check(Question(definition, n_sampled=512, blesses=True), pair, context, values)
    assert blessed.sample is not None
    again = run_check(Question(definition, against=blessed.sample), pair, context, values)
    assert again.sample is not None
    kept, now = (unpack(sample.margins, "margins") for sample in (blessed.sample, again.sample))
    assert len(kept) == 512
    assert now == kept[: len(now)]


def test_two_values_of_a_fixed_part_are_compared_as_the_error_says() -> None:
    """Both sides of a pair see one label, and the code in the message gives the reference another."""
    space = gentest.Joint(z=gentest.Normal(16), c=gentest.Categorical(3))
    g = gentest.Generator(lambda z, c: (z + c[:, None]).sigmoid()[:, None, None], latent=space, output_range=(0, 1))
    with pytest.raises(InvalidArgument, match=re.escape("'c' is Fixed(value=1) in the candidate")) as raised:
        g.given(c=1).against(g.given(c=2))
    code = str(raised.value).partition("let a transform change them, ")[2]
    reference = eval(code, {"torch": torch, "reference": g.given(c=1)})
    pair = g.given(c=1).against(reference)
    gap = float(torch.tensor(2.0).sigmoid() - torch.tensor(1.0).sigmoid())  # the largest of the sigmoid's slopes
    assert check(gentest.agrees(within=0.9 * gap), pair).verdict is Verdict.VIOLATED
    assert check(gentest.agrees(within=0.3), pair).verdict is Verdict.NO_COUNTEREXAMPLE


def test_two_values_of_a_list_are_compared_as_the_error_says() -> None:
    """A condition reaches f as a list, and so does what the message says."""
    space = gentest.Joint(z=gentest.Normal(4), c=gentest.OneOf("dim", "bright"))
    lit = {"dim": 0.2, "bright": 0.8}

    def f(z: Tensor, c: list[str]) -> Tensor:
        return torch.tensor([lit[value] for value in c])[:, None, None, None].expand(-1, 1, 4, 4)

    g = gentest.Generator(f, latent=space, output_range=(0, 1))
    with pytest.raises(InvalidArgument) as raised:
        g.given(c="dim").against(g.given(c="bright"))
    code = str(raised.value).partition("let a transform change them, ")[2]
    pair = g.given(c="dim").against(eval(code, {"reference": g.given(c="dim")}))
    assert check(gentest.agrees(within=0.5), pair).verdict is Verdict.VIOLATED
