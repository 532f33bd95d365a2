"""Pictures of outputs: their pixels, their size, what is not finite, and that nobody counts them."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import gentest
from gentest.engine import pictures
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.results.drawings import MAX_BYTES, SAMPLES, SIDE, check_pictures
from gentest.results.settings import Values
from tests.helpers import zoo


def decoded(frame: str) -> Image.Image:
    """The picture in base64."""
    return Image.open(BytesIO(base64.b64decode(frame)))


@pytest.mark.parametrize(
    ("channels", "mode", "whole"), [(1, "RGB", "L"), (3, "RGB", "RGB"), (4, "RGBA", "RGBA"), (5, "RGB", "L")]
)
def test_pixels_are_those_of_the_output(channels: int, mode: str, whole: str) -> None:
    """Small pictures and whole ones have the output's pixels, to a 255th: grey, RGB, RGBA, or the channels' mean."""
    outputs = torch.rand(2, channels, 5, 7, generator=torch.Generator().manual_seed(1))
    if channels == 4:
        outputs[:, 3] = 0.5 + outputs[:, 3] / 2  # where nothing is seen, WebP keeps no colour
    made = pictures.strip(outputs, whole=True)
    shown = outputs.mean(1, keepdim=True) if channels == 5 else outputs
    assert (made.width, made.height, made.places, made.n) == (7, 5, (0, 1), 2)
    for frame, file, output in zip(made.frames, made.whole, shown, strict=True):
        small, full = decoded(frame), decoded(file)
        assert (small.format, small.mode, full.format, full.mode) == ("WEBP", mode, "PNG", whole)
        wanted = (output * 255).round().numpy().transpose(1, 2, 0)
        assert np.abs(np.atleast_3d(np.array(full)) - wanted).max() == 0
        assert np.abs(np.array(small) - wanted).max() == 0


def test_what_leaves_the_range_is_cut() -> None:
    """Values beyond [0, 1] are black and white."""
    made = pictures.pixels(torch.tensor([[[-3.0, 7.0]]]))
    assert made.tolist() == [[0, 255]]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_is_magenta(channels: int, value: float) -> None:
    """One pixel that is no number stands out, and the others stay as they are."""
    output = torch.full((channels, 2, 2), 0.5)
    output[-1, 0, 1] = value
    found = pictures.pixels(output)
    assert found[0, 1, :3].tolist() == list(pictures.MAGENTA)
    assert set(found[1].ravel().tolist()) == {128}


def test_large_outputs_get_small_and_keep_their_shape() -> None:
    """The longer side has as many pixels as a baseline may have; a whole picture has all."""
    made = pictures.strip(torch.rand(1, 3, 300, 600), whole=True)
    assert (made.width, made.height) == (SIDE, SIDE // 2)
    assert decoded(made.frames[0]).size == (SIDE, SIDE // 2)
    assert decoded(made.whole[0]).size == (600, 300)
    assert pictures.strip(torch.rand(1, 1, 1, 500)).height == 1


def test_noise_fits_as_well() -> None:
    """Pictures that cannot be compressed get smaller and coarser, until all of a strip fit."""
    made = pictures.strip(torch.rand(17, 3, 256, 256, generator=torch.Generator().manual_seed(2)))
    assert sum(map(len, made.frames)) * 3 / 4 <= pictures.ROOM
    few = pictures.strip(torch.rand(SAMPLES, 3, 256, 256), room=pictures.ROOM // 2)
    assert check_pictures(few.frames, "these") == (few.width, few.height)
    assert max(map(len, few.frames)) * 3 / 4 <= MAX_BYTES


def test_of_many_outputs_some_are_left_out() -> None:
    """The first and the last are always among them."""
    made = pictures.strip(torch.rand(65, 1, 4, 4))
    assert (made.places[0], made.places[-1], made.n) == (0, 64, 65)
    assert len(made.frames) == len(made.places) == pictures.MAX_FRAMES


def test_a_change_is_where_pixels_differ() -> None:
    """The map is brightest where the outputs differ most, black where they are equal, and says how much that is."""
    near = torch.zeros(3, 4, 4)
    far = near.clone()
    far[:, 1, 2] = 0.25
    found = pictures.change(near, far, ("near end", "far end"))
    assert (found.largest, found.mean) == (0.25, 0.25 / 16)
    heat = np.array(decoded(found.strip.frames[2]))
    assert heat[1, 2].tolist() == list(pictures.HEAT[-1])
    assert heat.reshape(-1, 3).sum(1).argmax() == 6
    assert np.count_nonzero(heat.sum(2)) == 1
    same = pictures.change(near, torch.full_like(near, torch.nan), ("a", "b"))
    assert (same.largest, same.mean) == (0.0, 0.0)


def test_a_difference_of_a_pair_is_signed() -> None:
    """Blue where the candidate is lower, grey where both are equal, red where it is higher; the largest is named."""
    reference = torch.full((3, 4, 6), 0.5)
    candidate = reference.clone()
    candidate[:, 1, 2] = torch.tensor([0.6, 0.25, 0.5])  # of the channels, the one that differs most counts
    candidate[:, 3, 5] = 0.75
    found = pictures.difference(reference, candidate, whole=True)
    assert (found.largest, found.signed) == (0.25, -0.25)
    assert (found.row, found.column, found.height, found.width) == (1, 2, 4, 6)
    assert found.mean == pytest.approx((0.1 + 0.25 + 3 * 0.25) / 72)
    small = np.array(decoded(found.strip.frames[2]))
    for drawn in (small, np.array(decoded(found.whole[1]))):
        assert drawn[1, 2].tolist() == list(pictures.DIVERGING[0])
        assert drawn[3, 5].tolist() == list(pictures.DIVERGING[-1])
        assert (drawn == 128).all(2).sum() == 22
    assert np.array(decoded(found.whole[0])).shape == (4, 6, 3)
    swapped = torch.stack([torch.ones(2, 2), torch.zeros(2, 2), torch.zeros(2, 2)])
    assert pictures.difference(swapped, swapped.flip(0)).largest == 1.0, "a swap of channels does not cancel out"
    same = pictures.difference(reference, reference)
    assert (same.largest, same.mean) == (0.0, 0.0)
    assert (np.array(decoded(same.strip.frames[2])) == 128).all()


def test_a_small_map_keeps_a_single_pixel() -> None:
    """A difference in one of a quarter of a million pixels is as strong on a map of 112."""
    reference, candidate = torch.full((1, 500, 499), 0.5), torch.full((1, 500, 499), 0.5)
    candidate[0, 333, 77] = 0.3
    candidate[0, 100, 400] = 0.6
    shares = pictures._strongest((candidate - reference)[0].double().numpy(), 112, 111)
    assert shares.shape == (112, 111)
    assert (shares.min(), shares.max()) == (pytest.approx(-0.2), pytest.approx(0.1))
    assert np.argwhere(shares == shares.min()).tolist() == [[333 * 112 // 500, 77 * 111 // 499]]
    assert np.count_nonzero(shares) == 2


def test_nobody_counts_a_sample() -> None:
    """Outputs that are made to be shown are made once, and leave the counts of images and calls as they are."""
    g = zoo.generator(zoo.linear)
    context, subject = Context(Values(device="cpu")), Subject.of(g)
    one = pictures.samples(context, subject, 3)
    assert one is not None
    assert (context.meter.images, context.meter.calls) == (0, 0)
    n = len(g.function.batches)
    assert n > 0
    assert pictures.samples(context, subject, 3) is one
    assert len(g.function.batches) == n
    assert pictures.samples(context, subject, 4) != one


def test_outputs_that_are_no_images_have_no_picture() -> None:
    """Audio is not drawn."""
    g = gentest.Generator(lambda z: z, latent=gentest.Normal(3), images=False)
    assert pictures.samples(Context(Values(device="cpu")), Subject.of(g), 0) is None


def test_a_checkpoint_that_makes_no_picture_can_be_blessed() -> None:
    """What cannot be drawn is left out of a baseline."""

    def broken(z: Tensor) -> Tensor:
        raise RuntimeError("out of order")

    g = gentest.Generator(broken, latent=gentest.Normal(3))
    assert pictures.baseline_frames(Context(Values(device="cpu")), Subject.of(g), 0) == ()
