"""Videos: the layouts and ranges that are understood, and what is refused with the line to write."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

import gentest
from gentest.errors import InvalidArgument, WrongOutputs

N, T, C, H, W = 2, 6, 3, 8, 10
SIZES = {"z": (N, 4)}
BYTES = torch.randint(0, 256, (N, T, C, H, W), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
VIDEOS = BYTES.float() / 255
KIND = gentest.Video(fps=8)


class Made(NamedTuple):
    """A model output."""

    frames: Any
    hidden: Any


def pil(video: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in video]


FORMS: dict[str, tuple[Any, tuple[float, float] | None]] = {
    "as it is": (VIDEOS * 2 - 1, None),
    "channels before frames": (VIDEOS.transpose(1, 2) * 2 - 1, None),
    "channels last": (VIDEOS.permute(0, 1, 3, 4, 2), (0, 1)),
    "bytes, channels last": (BYTES.permute(0, 1, 3, 4, 2).numpy(), (0, 255)),
    "lists of PIL images": ([pil(video) for video in BYTES], None),
    "a list of arrays": ([np.asarray(video) for video in VIDEOS], (0, 1)),
    "a model output": (Made(VIDEOS, torch.zeros(N)), (0, 1)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_video_is_read_in_any_form(form: str) -> None:
    """Every form gives the same values in [0, 1]."""
    raw, output_range = FORMS[form]
    torch.testing.assert_close(KIND.read(raw, N, SIZES, output_range), VIDEOS, atol=1e-6, rtol=0)


def test_half_precision_and_grey_are_read() -> None:
    """bfloat16 becomes float32, and a video without channels has one."""
    made = KIND.read((VIDEOS * 2 - 1).bfloat16(), N, SIZES, None)
    assert made.dtype == torch.float32
    assert (made - VIDEOS).abs().max() < 0.01
    assert KIND.read(VIDEOS[:, :, 0], N, SIZES, (0, 1)).shape == (N, T, 1, H, W)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (torch.zeros(N, 3, 4, H, W), r'may be BTCHW or BCTHW: say outputs=gentest.Video\(fps=8, layout="BTCHW"\)'),
        (torch.zeros(N, 16, 16, 16, 16), "has no axis of 1 to 4 channels"),
        (torch.zeros(N, H, W, 3), r"expected videos \[2, T, C, H, W\]; for images leave out outputs="),
        (BYTES, r"uint8 values; say Generator\(..., output_range=\(0, 255\)\)"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_line_to_write(raw: Any, said: str) -> None:
    """An order of axes that sizes do not tell, images, and bytes without a range."""
    with pytest.raises(WrongOutputs, match=said):
        KIND.read(raw, N, SIZES, None)


def test_a_layout_settles_the_order_of_axes() -> None:
    """With `layout` the sizes do not matter."""
    few = VIDEOS[:, :4]
    assert torch.equal(gentest.Video(layout="BTCHW").read(few, N, SIZES, (0, 1)), few)
    assert torch.equal(gentest.Video(layout="BCTHW").read(few.transpose(1, 2), N, SIZES, (0, 1)), few)
    for wrong in ({"layout": "TCHW"}, {"fps": 0}, {"fps": "8"}):
        with pytest.raises(InvalidArgument):
            gentest.Video(**wrong)  # type: ignore[arg-type]


def test_a_flat_video_has_no_contrast() -> None:
    """A video of one colour is blank; one whose frames differ is not."""
    flat = torch.full((1, T, C, H, W), 0.4)
    fading = flat.clone()
    fading[:, 0] = 0.9
    assert KIND.contrast(flat).item() < 1e-6
    assert KIND.contrast(fading).item() > 0.1
