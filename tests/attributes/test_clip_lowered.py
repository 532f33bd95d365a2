"""CLIP in a lower precision: near full precision, and full precision stays as it is."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gentest.attributes.attribute import Lowerable
from gentest.attributes.clip import clip
from gentest.attributes.clip_lowered import lowered
from gentest.attributes.clip_model import ClipModel, load_clip
from gentest.errors import ClipError
from gentest.results.settings import Precision

CLIP = Path(__file__).parents[2] / "examples" / "fashion" / "clip"
NEAR = {"bf16": 2.0**-8, "int8": 2.0**-5}
"""The rounding of one number in that format, as a share of its size; the embedding's error is of that order."""


@pytest.fixture(scope="module")
def model() -> ClipModel:
    return load_clip(f"local-dir:{CLIP}", torch.device("cpu"), text=False)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("n", [1, 3, 17])
def test_embeddings_are_near_those_in_full(model: ClipModel, precision: Precision, n: int) -> None:
    """Of unit length, in float32, for any batch; the tower itself stays as it was."""
    images = torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(n))
    with torch.no_grad():
        before = model.embed(images)
        low = model.embed(images, precision)
        after = model.embed(images)
    assert torch.equal(before, after)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.norm(dim=1), torch.ones(n))
    error = (low - before).norm(dim=1).max().item()
    assert 0 < error < 8 * NEAR[precision]


def test_an_embedding_can_be_had_in_a_lower_precision() -> None:
    """What a session binds says so; equal ones are equal, and those of another precision are not."""
    from gentest.attributes.attribute import Setup

    attribute = clip("a shirt", model=f"local-dir:{CLIP}")
    feature = attribute.bind(Setup(torch.device("cpu"))).feature
    assert isinstance(feature, Lowerable)
    assert feature.lowered("bf16") == feature.lowered("bf16")
    assert feature.lowered("bf16") != feature.lowered("int8")
    assert hash(feature.lowered("bf16")) == hash(feature.lowered("bf16"))
    assert len({feature.address, feature.lowered("bf16").address, feature.lowered("int8").address}) == 3


def test_rows_of_another_int8_are_not_taken_from_a_cache() -> None:
    """A folder may hold those of dynamic quantisation, which had this address, and are another thing."""
    from gentest.attributes.attribute import Setup

    feature = clip("a shirt", model=f"local-dir:{CLIP}").bind(Setup(torch.device("cpu"))).feature
    assert feature.lowered("int8").address not in (f"{feature.address} int8", feature.address)
    assert feature.lowered("bf16").address == f"{feature.address} bf16"


def test_a_model_that_was_lowered_can_be_pickled_as_one_that_was_not(model: ClipModel) -> None:
    """What is sent elsewhere makes its own towers, with the same rows."""
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    rows = model.embed(images, "int8")
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again.embed(images, "int8"), rows)


class Branches(nn.Module):
    """No graph can say what this does."""

    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum() > 0 else -images


@pytest.mark.parametrize(
    ("tower", "said"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten()), r"0% of the weights.*convolutions.*bf16"),
        (Branches(), r"cannot be had in int8: \w+: [ -~]+; say 'bf16'$"),
    ],
)
def test_a_tower_that_has_no_int8_is_refused_with_what_to_say(
    tower: nn.Module, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one plain line, and quietly."""
    with pytest.raises(ClipError, match=said):
        lowered(tower.eval(), "int8", torch.device("cpu"), torch.rand(1, 3, 8, 8))
    assert capfd.readouterr() == ("", "")


def test_int8_is_for_a_cpu() -> None:
    """Elsewhere it is refused, with what to say instead."""
    with pytest.raises(ClipError, match=r"CPU alone.*bf16"):
        lowered(torch.nn.Identity(), "int8", torch.device("cuda"), torch.zeros(1, 3, 2, 2))


@pytest.mark.real_clip
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_real_clip_scores_faces_within_a_small_part_of_their_spread(precision: Precision) -> None:
    """Errors of log-odds are a seventh of their standard deviation over the face GAN's prior at most, on the median
    pair of texts. Real weights have outliers that random ones have not: with a scale for each tensor, int8 is off by
    most of a standard deviation."""
    if not os.environ.get("GENTEST_REAL_CLIP"):
        pytest.skip("GENTEST_REAL_CLIP=DIR is not set: a folder with a real CLIP and its stored text embeddings")
    package = pytest.importorskip("gan_face_generate", reason="gan-face-generate is not installed")
    from gan_face_generate.models import Generator

    real = Path(os.environ["GENTEST_REAL_CLIP"])
    file = Path(package.__file__).parent / "weights.tar"
    gan = Generator(ngpu=1, nc=3, nz=100, ngf=64).eval()
    gan.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["netG_state_dict"])
    texts = torch.from_numpy(np.load(real / "openai_vitb16_text_embeddings.npz")["coco_single"]).float()
    pairs = torch.nn.functional.normalize(texts, dim=-1).diff(dim=0).T
    clip_model = load_clip(f"local-dir:{real}", torch.device("cpu"), text=False)
    with torch.no_grad():
        faces = gan(torch.randn(24, 100, 1, 1, generator=torch.Generator().manual_seed(0))) / 2 + 0.5
        full, low = clip_model.embed(faces) @ pairs, clip_model.embed(faces, precision) @ pairs
    errors = (low - full).square().mean(0).sqrt() / full.std(0)
    assert 0 < errors.median() < 1 / 7


def test_a_row_in_int8_depends_on_no_other_image(model: ClipModel) -> None:
    """A band that was measured on some images is good for others only if it does not depend on their batch."""
    images = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    loud = torch.cat([images, 100 * torch.rand(3, 1, 28, 28) - 50])
    inputs, together = (model.preprocess(given) for given in (images, loud))
    together[1:] *= 100
    tower = lowered(model._visual, "int8", torch.device("cpu"), inputs)
    torch.testing.assert_close(tower(together)[:1], tower(inputs), atol=1e-4, rtol=1e-4)
