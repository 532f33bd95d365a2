"""CLIP in a lower precision: near full precision, and full precision stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gentest._settings import Precision
from gentest.attributes.attribute import Lowerable
from gentest.attributes.clip import clip
from gentest.attributes.clip_lowered import lowered
from gentest.attributes.clip_model import ClipModel, load_clip
from gentest.errors import ClipError

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


def test_int8_is_for_a_cpu() -> None:
    """Elsewhere it is refused, with what to say instead."""
    with pytest.raises(ClipError, match=r"CPU alone.*bf16"):
        lowered(torch.nn.Identity(), "int8", torch.device("cuda"), torch.zeros(1, 3, 2, 2))
