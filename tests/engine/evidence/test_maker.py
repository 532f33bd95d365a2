"""Batches: halved where memory runs out, and sized by the outputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import gentest
from gentest.engine.evidence.subject import Subject
from gentest.probes.families import points, segments
from gentest.probes.probe import independent
from tests.helpers import zoo
from tests.helpers.counting import context, images


@pytest.mark.parametrize("fits", [1, 3, 8])
def test_memory_that_runs_out_halves_the_batch(fits: int) -> None:
    """The generator and what measures go on with half as many, and the results are the same."""

    def f(z: Tensor) -> Tensor:
        if len(z) > fits:
            raise torch.cuda.OutOfMemoryError("too much")
        return zoo.images(z[:, :1].sigmoid()[:, 0])

    def bright(x: Tensor) -> Tensor:
        if len(x) > max(1, fits // 2):
            raise torch.cuda.OutOfMemoryError("too much")
        return gentest.brightness()(x)

    generator = gentest.Generator(f, latent=gentest.Normal(4), output_range=zoo.UNIT)
    here = context(batch_size=16)
    found = here.evidence(Subject.of(generator), segments(3), independent(1, 0, 10)).scores(bright)
    whole = context().evidence(Subject.of(zoo.generator(zoo.linear)), segments(3), independent(1, 0, 10))
    assert found.shape == whole.shape == (10, 3)
    assert here.batch_size <= fits
    expected = torch.from_numpy(segments(3).place(gentest.Normal(4), independent(1, 0, 10))[""])[..., 0].sigmoid()
    torch.testing.assert_close(found, expected)


def test_the_batch_follows_the_size_of_outputs() -> None:
    """Unless a size is given: large outputs are made a few at a time, and numbers more at a time than images."""
    here = context()
    assert here.batch_size == 128
    here.evidence(Subject.of(images(1 << 8)), points(), independent(1, 0, 1)).images  # noqa: B018
    assert here.batch_size == 2048
    here.evidence(Subject.of(images(1 << 12)), points(), independent(1, 0, 1)).images  # noqa: B018
    assert here.batch_size == 128
    here.evidence(Subject.of(images(1 << 22)), points(), independent(1, 0, 1)).images  # noqa: B018
    assert here.batch_size == 8
    assert context(batch_size=3).batch_size == 3
