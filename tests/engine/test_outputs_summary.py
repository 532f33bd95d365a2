"""The summary of outputs that a baseline keeps: what it measures, and of which latents."""

from __future__ import annotations

import pytest
import torch

import gentest
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.engine.outputs_summary import MAX_DIM, N_OUTPUTS, sketch, summarize_outputs, thumbnails
from gentest.results.records import unpack
from gentest.results.settings import Values
from tests.helpers import zoo


@pytest.mark.parametrize("n", [1, 40, MAX_DIM, MAX_DIM + 1, 1000, 16_001])
def test_a_sketch_keeps_distances(n: int) -> None:
    """Outputs of any size become at most 256 numbers, whose distances are the root-mean-square differences, roughly."""
    x = torch.randn(60, n, generator=torch.Generator().manual_seed(0))
    rows = sketch(x)
    assert rows.shape == (60, min(n, MAX_DIM))
    true, kept = torch.pdist(x) / n**0.5, torch.pdist(rows)
    if n <= MAX_DIM:
        torch.testing.assert_close(kept, true)
    assert 0.85 < (kept / true).mean() < 1.15
    torch.testing.assert_close(sketch(x.unsqueeze(1)), rows)


def test_thumbnails_keep_small_images_as_they_are() -> None:
    """Larger ones shrink to 16 x 16 pixels; rows are divided by the square root of their length."""
    small = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(thumbnails(small), small.flatten(1) / 60**0.5)
    assert thumbnails(torch.rand(2, 1, 64, 20)).shape == (2, 256)


def test_a_candidates_embedding_is_of_other_latents_and_its_levels_of_the_same() -> None:
    """Levels are compared latent by latent; embeddings as two independent samples."""
    context, subject = Context(Values(device="cpu")), Subject.of(zoo.generator(zoo.linear))
    level = {"level": gentest.brightness()}
    blessed, candidate = (summarize_outputs(context, subject, level, {}, 3, blesses=b) for b in (True, False))
    assert len(unpack(blessed.levels["level"], "levels")) == N_OUTPUTS
    assert blessed.levels == candidate.levels
    assert list(blessed.embeddings) == list(candidate.embeddings) == ["thumbnails"]
    assert blessed.embeddings != candidate.embeddings
