"""`matches`: outputs against images, arrays and generators, as two samples of their embeddings."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import gentest
from gentest import Result, Verdict, settings
from tests.helpers import zoo

N = 256

DIFFERENT, CLOSE, UNDECIDED, NOT_FOUND = (
    Verdict.VIOLATED,
    Verdict.HOLDS,
    Verdict.UNDECIDED,
    Verdict.NO_COUNTEREXAMPLE,
)


def colours(z: Tensor) -> Tensor:
    """Images [B, 3, 4, 4] of one colour each, that of three coordinates."""
    return (0.5 + 0.1 * z[:, :3].clamp(-4, 4))[:, :, None, None].expand(-1, 3, 4, 4)


def generator(scale: float = 1.0, shift: float = 0.0) -> gentest.Generator:
    """Colours whose spread and middle are told."""
    return gentest.Generator(lambda z: colours(scale * z + shift), latent=gentest.Normal(4), output_range=zoo.UNIT)


def check(reference: object, tested: gentest.Generator, *, seed: int = 0, **arguments: object) -> Result:
    property = gentest.matches(reference, feature=gentest.pixels(), n=N, **arguments)  # type: ignore[arg-type]
    return property.check(tested, settings=settings(seed=seed))


def images(n: int = 400, seed: int = 5) -> Tensor:
    """What the generator makes of other latents."""
    return colours(torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)))


def test_a_generator_is_not_found_different_from_itself() -> None:
    """Whatever it is compared with: itself, an array and a folder of its own images."""
    for reference in (generator(), images(), (images() * 255).byte().numpy()):
        result = check(reference, generator())
        assert result.verdict is NOT_FOUND
        assert result.distribution is not None
        assert result.distribution.n == result.distribution.n_reference == N


def test_a_folder_of_images(tmp_path: Path) -> None:
    """Files are the same images as an array of them, but for the rounding to bytes."""
    for i, image in enumerate((images(300).permute(0, 2, 3, 1) * 255).round().byte().numpy()):
        Image.fromarray(image).save(tmp_path / f"{i:03}.png")
    files, array = check(tmp_path, generator()), check(images(300), generator())
    assert files.verdict is array.verdict is NOT_FOUND
    assert files.distribution is not None
    assert array.distribution is not None
    assert files.distribution.mmd2 == pytest.approx(array.distribution.mmd2, abs=1e-3)


@pytest.mark.parametrize(("scale", "shift"), [(0.6, 0.0), (1.0, 0.5), (0.0, 0.0)], ids=["shrunk", "shifted", "one"])
def test_another_distribution_is_different(scale: float, shift: float) -> None:
    """Outputs of a smaller spread, of another middle, or all alike are different from the reference."""
    result = check(generator(), generator(scale, shift))
    assert result.verdict is DIFFERENT
    assert result.distribution is not None
    assert result.distribution.p <= 0.01
    assert result.distribution.mmd2 > 0


def test_closeness_that_is_declared_is_certified() -> None:
    """A tolerance that the samples can certify holds, also where they differ; one that they cannot is left open."""
    assert check(generator(), generator(), tolerance=0.5).verdict is CLOSE
    assert check(generator(), generator(), tolerance=1e-5).verdict is UNDECIDED
    assert check(generator(), generator(0.6), tolerance=1.0).verdict is CLOSE
    assert check(generator(), generator(0.6), tolerance=1e-3).verdict is DIFFERENT


def test_another_seed_looks_at_other_outputs_and_another_batch_at_the_same() -> None:
    """The figures belong to the seed: the same at any batch size, and others under another seed."""
    property = gentest.matches(images(), feature=gentest.pixels(), n=N)
    found = [
        property.check(generator(), settings=settings(seed=seed, batch_size=size)).distribution
        for seed, size in ((1, 7), (1, 300), (2, 300))
    ]
    assert found[0] is not None
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_reference_that_is_the_generator_is_asked_for_other_latents() -> None:
    """The two samples share no output: a generator is no closer to itself than its own other outputs are."""
    result = check(generator(), generator())
    assert result.distribution is not None
    assert result.distribution.p < 1.0
    assert result.images >= 2 * N


def test_outputs_that_are_large_are_embedded_in_batches() -> None:
    """No batch is larger than the batch size, and every output is made once."""
    counted = zoo.Counted(zoo.linear)
    tested = gentest.Generator(counted, latent=gentest.Uniform(8), output_range=zoo.UNIT)
    property = gentest.matches(torch.rand(300, 1, 2, 2), feature=gentest.pixels(), n=N)
    property.check(tested, settings=settings(batch_size=100))
    assert max(counted.batches) == 100
    assert sum(size for size in counted.batches if size > 1) == N + 2 * 16  # and the examination's


@pytest.mark.parametrize(
    ("property", "words"),
    [
        (gentest.matches(2 * images() - 1, feature=gentest.pixels(), n=N), r"in \[0, 1\]"),
        (gentest.matches(torch.rand(300, 7), feature=gentest.pixels(), n=N), r"outputs \(3, 4, 4\) but got \(7,\)"),
        (gentest.matches(images(), feature=lambda x: x.flatten(1) / 0, n=N), "finite"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_an_error(property: gentest.Property, words: str) -> None:
    """A reference out of range or of another shape, a feature that is not finite."""
    result = property.check(generator())
    assert result.verdict is Verdict.ERROR
    assert re.search(words, result.message), result.message


def test_outputs_that_have_a_range_are_compared_in_it() -> None:
    """A reference in other units than outputs that are mapped to [0, 1] is refused, images or not."""
    tested = gentest.Generator(lambda z: z, latent=gentest.Normal(3), images=False, output_range=(-10, 10))
    rows = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    refused = check(rows, tested)
    assert refused.verdict is Verdict.ERROR
    assert "Expected a reference in [0, 1]" in refused.message
    assert check((rows + 10) / 20, tested).verdict is Verdict.NO_COUNTEREXAMPLE


def test_it_has_no_probe_to_replay() -> None:
    """It speaks of all outputs together."""
    result = gentest.matches(images(), feature=gentest.pixels(), n=N).replay(generator(), "1f")
    assert result.verdict is Verdict.ERROR
    assert "it has no probe to replay" in result.message


@pytest.mark.slow
def test_the_share_of_false_alarms_is_what_was_promised() -> None:
    """Through the engine: the generator against itself under 60 seeds is different in no more than chance allows."""
    different = [check(generator(), generator(), seed=seed).verdict is DIFFERENT for seed in range(60)]
    assert np.sum(different) <= 4  # P(Binomial(60, .01) > 4) is 0.0003


@pytest.mark.parametrize("tolerance", [None, 0.1])
@pytest.mark.parametrize(
    "feature", [lambda x: torch.zeros(len(x), 4), lambda x: 1e-200 * x.flatten(1).double()], ids=["zeros", "underflow"]
)
def test_a_feature_that_shows_nothing_is_no_evidence(feature: object, tolerance: float | None) -> None:
    """Where all rows are alike, nothing is compared: neither not found different nor close."""
    property = gentest.matches(images(), feature=feature, n=N, tolerance=tolerance)  # type: ignore[arg-type]
    result = property.check(generator(shift=2.0))
    assert result.verdict is Verdict.ERROR
    assert "there is nothing to compare" in result.message


@pytest.mark.parametrize("batch_size", [1, 7, 5000])
def test_no_figure_depends_on_the_batch(batch_size: int) -> None:
    """Of a network that rounds otherwise in another batch."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Tanh(), torch.nn.Linear(64, 48), torch.nn.Tanh())
    deep = gentest.Generator(lambda z: net(z).reshape(-1, 3, 4, 4), latent=gentest.Normal(4))
    property = gentest.matches(deep.truncated(0.9), feature=gentest.pixels(), n=N, tolerance=0.1)
    one, other = (property.check(deep, settings=settings(batch_size=size)) for size in (batch_size, 128))
    assert one.distribution == other.distribution
    assert one.verdict is other.verdict


def test_a_reference_generator_is_examined_too() -> None:
    """One whose outputs depend on their batch has no distribution, and one of other outputs is not compared."""
    mixed = gentest.Generator(
        lambda z: colours(z + z.mean(0, keepdim=True)), latent=gentest.Normal(4), output_range=zoo.UNIT
    )
    result = check(mixed, generator())
    assert result.verdict is Verdict.ERROR
    assert "depends on the rest of its batch" in result.message
    larger = gentest.Generator(lambda z: colours(z).repeat(1, 1, 2, 2), latent=gentest.Normal(4), output_range=zoo.UNIT)
    result = check(larger, generator())
    assert result.verdict is Verdict.ERROR
    assert "gives 48 numbers for an output and 192 for one of the reference" in result.message
