"""Derived generators: latents and outputs pass through transforms, and each side of a pair runs as it is told to."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

import gentest
from gentest.engine.check import Question, check
from gentest.engine.cluster.actors import shared_context
from gentest.errors import InvalidArgument
from gentest.results.settings import Values

Verdict = gentest.Verdict
SETTINGS = gentest.settings(device="cpu", examples=60)


def conv(mode: str) -> gentest.Generator:
    """A convolution of noise images: with circular padding it commutes with shifts."""
    torch.manual_seed(0)
    layer = nn.Conv2d(1, 3, 3, padding=1, padding_mode=mode).eval()
    return gentest.Generator(lambda z: layer(z).sigmoid(), latent=gentest.Normal((1, 8, 8)), output_range=(0, 1))


def shift(x: Tensor) -> Tensor:
    return x.roll(3, dims=-1)


@pytest.mark.parametrize(("mode", "verdict"), [("circular", Verdict.NO_COUNTEREXAMPLE), ("zeros", Verdict.VIOLATED)])
def test_equivariance_is_a_pair(mode: str, verdict: gentest.Verdict) -> None:
    """Shifted noise gives the shifted image where the padding is circular, and not where it is zeros."""
    g = conv(mode)
    assert (
        gentest.agrees(within=1e-3).check(g.before(shift).against(g.then(shift)), settings=SETTINGS).verdict is verdict
    )


def test_parts_of_a_joint_space_go_through_as_a_mapping() -> None:
    """The transform gives all parts again; anything else is one line."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(3))
    g = gentest.Generator(lambda z, label: (z + label[:, None])[:, None, None].tanh(), latent=space)
    other = g.before(lambda parts: {"z": parts["z"] + parts["label"][:, None], "label": 0 * parts["label"]})
    assert gentest.agrees(within=1e-5).check(other.against(g), settings=SETTINGS).verdict is Verdict.NO_COUNTEREXAMPLE
    wrong = gentest.well_formed().check(g.before(lambda parts: parts["z"]), settings=SETTINGS)
    assert "the transform before the generator gave Tensor; expected a mapping with 'z', 'label'" in wrong.message


def test_outputs_go_through_in_the_unit_range() -> None:
    """Images in (-1, 1) reach the transform in [0, 1], and its images are in [0, 1]."""
    seen: list[float] = []

    def invert(x: Tensor) -> Tensor:
        seen.extend([x.min().item(), x.max().item()])
        return 1 - x

    g = gentest.Generator(lambda z: z.tanh()[:, None, None], latent=gentest.Normal(4))
    inverted = g.then(invert)
    assert gentest.agrees(within=1e-5).check(inverted.then(invert).against(g), settings=SETTINGS).verdict is (
        Verdict.NO_COUNTEREXAMPLE
    )
    assert 0 <= min(seen) < 0.2 < 0.8 < max(seen) <= 1


def test_derived_generators_keep_truncation_choices_and_noise() -> None:
    """And undeclared noise stays visible through a transform."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(3))
    g = gentest.Generator(
        lambda z, label, hiss: (z + hiss)[:, None, None].sigmoid(),
        latent=space,
        output_range=(0, 1),
        noise={"hiss": gentest.Normal(4)},
    )
    derived = g.given(label=1).truncated(0.5).then(lambda x: x)
    assert repr(derived.latent) == repr(g.given(label=1).truncated(0.5).latent)
    assert derived.noise == g.noise

    def draws(z: Tensor) -> Tensor:
        return (z.tanh() * 0.5 + 0.02 * torch.randn(1).clamp(-1, 1))[:, None, None]

    noisy = gentest.Generator(draws, latent=gentest.Normal(4)).then(lambda x: x)
    result = gentest.between(gentest.brightness(), tolerance=9).check(noisy, settings=SETTINGS)
    assert "undeclared noise" in result.message


def test_each_side_has_its_own_batch_size() -> None:
    """A reference that takes one latent at a time beside a candidate that takes many."""
    sizes: dict[str, set[int]] = {"candidate": set(), "reference": set()}

    def counted(name: str) -> gentest.Generator:
        def f(z: Tensor) -> Tensor:
            sizes[name].add(len(z))
            return z[:, None, None].sigmoid() * (1.0 if name == "candidate" else 0.9)

        return gentest.Generator(f, latent=gentest.Normal(4), output_range=(0, 1))

    pair = counted("candidate").against(counted("reference").on("cpu", batch_size=2))
    assert gentest.agrees(within=0.2).check(pair, settings=SETTINGS).verdict is Verdict.NO_COUNTEREXAMPLE
    assert sizes["reference"] == {1, 2}
    assert max(sizes["candidate"]) >= 16


def test_evidence_of_another_batch_size_is_not_reused() -> None:
    """A generator that depends on its batch passes one latent at a time, and is then found in the run's batches."""

    def scaled_by_the_batch(z: Tensor) -> Tensor:
        return (z / z.abs().max()).sigmoid()[:, None, None]

    g = gentest.Generator(scaled_by_the_batch, latent=gentest.Normal(4), output_range=(0, 1))
    property = gentest.between(gentest.brightness(), tolerance=1)
    context = shared_context(Values(device="cpu"))
    alone, together = (
        check(Question(property.definition), one, context, Values(device="cpu", examples=20))
        for one in (g.on(batch_size=1), g)
    )
    assert alone.verdict is Verdict.NO_COUNTEREXAMPLE
    assert "an output depends on the rest of its batch" in together.message


def test_half_precision_runs_beside_full() -> None:
    """Each side computes in the dtype of its weights."""
    torch.manual_seed(0)
    full = nn.Linear(4, 48)
    half = nn.Linear(4, 48)
    half.load_state_dict(full.state_dict())
    half.to(torch.bfloat16)

    def images(net: nn.Module) -> gentest.Generator:
        model = nn.Sequential(net, nn.Sigmoid(), nn.Unflatten(1, (3, 4, 4))).eval()
        return gentest.Generator(model, latent=gentest.Normal(4), output_range=(0, 1))

    pair = images(half).against(images(full))
    assert gentest.agrees(within=0.05).check(pair, settings=SETTINGS).verdict is Verdict.NO_COUNTEREXAMPLE
    assert gentest.agrees(within=1e-5).check(pair, settings=SETTINGS).verdict is Verdict.VIOLATED


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: g.on("cuda:99"), "Expected a torch device that is here but got device='cuda:99'"),
        (lambda g: g.on(batch_size=0), "Expected a whole number >= 1 but got batch_size=0"),
        (lambda g: g.before(3), "Expected a callable on latents but got transform=3"),
        (lambda g: g.then(None), "Expected a callable on outputs but got transform=None"),
    ],
)
def test_wrong_arguments_are_one_line(make: object, message: str) -> None:
    """Which names the value."""
    g = gentest.Generator(lambda z: z, latent=gentest.Normal(4), images=False)
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        make(g)  # type: ignore[operator]


def test_codes_that_do_not_come_back_from_a_tokenizer_are_reduced_to_their_position() -> None:
    """Code 5 decodes as code 4 does: the reduced grid has it alone, and `agrees` names the value that differs."""
    table = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.6, 0.7])

    def encode(x: Tensor) -> Tensor:
        return (x[..., None] - table).abs().argmin(-1)

    pair = gentest.Generator.round_trip(encode, lambda codes: table[codes], latent=gentest.Codes((3, 3), 8))
    found = gentest.agrees(within=0.5 / 8).check(pair, settings=SETTINGS).counterexample
    assert found is not None
    (grid,) = found.codes
    assert (grid.kept, grid.codes) == (1, (5,))
    assert found.note.startswith(f"1 of 9 values differ by more, the most at {grid.places[0]} by -0.143")


@pytest.mark.parametrize(("padding", "verdict"), [("zeros", Verdict.VIOLATED), ("none", Verdict.NO_COUNTEREXAMPLE)])
def test_a_tokenizer_that_depends_on_chunks_is_found(padding: str, verdict: Verdict) -> None:
    """A convolution that pads with zeros gives other tokens where two chunks meet; one of width 1 does not."""
    torch.manual_seed(0)
    layer = nn.Conv1d(1, 8, 3, padding=1) if padding == "zeros" else nn.Conv1d(1, 8, 1)

    def encode(x: Tensor) -> Tensor:
        return layer(x[:, None]).argmax(1)

    whole = gentest.Generator(encode, latent=gentest.Normal(16), images=False)
    chunked = whole.against(lambda x: torch.cat([encode(half) for half in x.chunk(2, dim=1)], dim=1))
    assert gentest.agrees(within=0.5 / 8).check(chunked, settings=SETTINGS).verdict is verdict
