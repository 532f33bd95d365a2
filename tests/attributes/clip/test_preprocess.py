"""Float preprocessing against open_clip's own, which goes through PIL."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gentest.attributes.clip.preprocess import Preprocess
from gentest.errors import ClipError, InvalidArgument

MEAN, STD = (0.48, 0.45, 0.40), (0.26, 0.25, 0.27)


def config(**changes: Any) -> dict[str, Any]:
    defaults = {"size": 32, "mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    return defaults | {"fill_color": 0} | changes


def picture(kind: str, height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An 8-bit image [H, W, 3]: waves, or shapes with hard edges under noise, which overshoot and saturate."""
    rng = np.random.default_rng(height * 1000 + width)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    if kind == "smooth":
        values = np.stack([np.sin(5 * x + i) * np.cos(4 * y - i) / 2 + 0.5 for i in range(3)], -1)
    else:
        values = np.stack([((x * (7 + i)).astype(int) + (y * 9).astype(int)) % 2 for i in range(3)], -1).astype(float)
        values += rng.normal(0, 0.1, values.shape)
    return (values.clip(0, 1) * 255).round().astype(np.uint8)


def through_pil(image: np.ndarray[Any, Any], settings: dict[str, Any]) -> Tensor:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    result: Tensor = image_transform_v2(PreprocessCfg(**settings), is_train=False)(Image.fromarray(image))
    return result


def worst_allowed(mode: str) -> float:
    """Grey levels. PIL rounds after each direction; which it squashes first depends on its version and the shape, and
    where edges saturate in between, that shows."""
    return 16.0 if mode == "squash" else 1.5


def as_floats(image: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.atleast_3d(image).copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("kind", ["smooth", "edges"])
@pytest.mark.parametrize("shape", [(32, 32), (64, 64), (28, 28), (75, 50), (50, 75), (33, 200), (20, 31)])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_it_equals_open_clips_up_to_rounding_to_8_bits(
    kind: str, shape: tuple[int, int], mode: str, interpolation: str
) -> None:
    image = picture(kind, *shape)
    settings = config(resize_mode=mode, interpolation=interpolation, fill_color=90)
    ours = Preprocess.from_config(settings, "tiny")(as_floats(image))[0]
    difference = (ours - through_pil(image, settings)).abs() * torch.tensor(STD).view(3, 1, 1) * 255
    assert difference.max() < worst_allowed(mode)
    assert difference.mean() < 1.0


@pytest.mark.parametrize("size", [(24, 40), (40, 24)])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_a_rectangular_input_equals_open_clips_too(size: tuple[int, int], mode: str) -> None:
    image = picture("edges", 75, 50)
    settings = config(size=size, resize_mode=mode)
    ours = Preprocess.from_config(settings, "tiny")(as_floats(image))[0]
    difference = (ours - through_pil(image, settings)).abs() * torch.tensor(STD).view(3, 1, 1) * 255
    assert ours.shape == (3, *size)
    assert difference.max() < worst_allowed(mode)


def test_an_image_of_the_right_size_is_only_normalised() -> None:
    image = torch.rand(2, 3, 32, 32)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    assert torch.equal(Preprocess.from_config(config(), "tiny")(image), (image - mean) / std)


def test_a_grey_image_has_three_equal_channels() -> None:
    preprocess = Preprocess.from_config(config(mean=(0.5,) * 3, std=(0.5,) * 3), "tiny")
    red, green, blue = preprocess(torch.rand(2, 1, 28, 28)).unbind(1)
    assert torch.equal(red, green)
    assert torch.equal(red, blue)


def test_a_step_below_8_bits_is_seen_and_has_a_gradient() -> None:
    preprocess = Preprocess.from_config(config(), "tiny")
    images = (torch.rand(1, 3, 64, 64) * 0.8 + 0.1).requires_grad_()
    assert (preprocess(images + 1e-4) - preprocess(images)).abs().mean() > 3e-4
    preprocess(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().min() > 0


def test_gradients_flow_after_a_first_call_in_inference_mode() -> None:
    """The mean and standard deviation, which are made once, belong to no mode of autograd."""
    preprocess = Preprocess((32, 32), (0.125, 0.25, 0.375), (0.5, 0.625, 0.75))
    images = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        first = preprocess(images)
    again = preprocess(images.requires_grad_())
    again.square().sum().backward()
    assert torch.equal(first, again)
    assert images.grad is not None


def test_random_interpolation_is_bicubic_and_one_number_is_for_all_channels() -> None:
    preprocess = Preprocess.from_config(config(interpolation="random", mean=0.5, std=0.25), "tiny")
    assert preprocess == Preprocess((32, 32), (0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize("changes", [{"interpolation": "lanczos"}, {"resize_mode": "stretch"}, {"mean": (0.5, 0.5)}])
def test_unsupported_preprocessing_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(ClipError, match="CLIP tiny: cannot preprocess"):
        Preprocess.from_config(config(**changes), "tiny")


def test_four_channels_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="1 or 3 channels"):
        Preprocess.from_config(config(), "tiny")(torch.rand(1, 4, 32, 32))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_a_gpu_gives_the_same(mode: str) -> None:
    preprocess = Preprocess.from_config(config(resize_mode=mode), "tiny")
    images = as_floats(picture("edges", 75, 50))
    torch.testing.assert_close(preprocess(images.cuda()).cpu(), preprocess(images), atol=1e-4, rtol=0)
