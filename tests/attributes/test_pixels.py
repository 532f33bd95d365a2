from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gentest.attributes import brightness, colorfulness, contrast, pixels, saturation, sharpness
from gentest.attributes.pixels import Pixels
from gentest.errors import InvalidArgument

ALL = [brightness, contrast, saturation, colorfulness, sharpness, pixels]
SCORES = ALL[:-1]


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Four RGB images of 8-bit values, smooth and noisy."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (4, 3, 12, 17))
    values[1:3] = np.sort(values[1:3], axis=-1)
    return torch.from_numpy(values).float() / 255


def as_pil(image: Tensor) -> Image.Image:
    return Image.fromarray((image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


@pytest.mark.parametrize("make", ALL)
def test_a_measure_is_a_value(make: Callable[[], Pixels]) -> None:
    assert make() == make()
    assert len({make(), make(), *(other() for other in ALL)}) == len(ALL)
    assert pickle.loads(pickle.dumps(make())) == make()
    assert repr(make()) == f"{make.__name__}()"


@pytest.mark.parametrize("make", SCORES)
@pytest.mark.parametrize("channels", [1, 3])
def test_one_finite_score_an_image_whatever_the_others_are(
    make: Callable[[], Pixels], channels: int, images: Tensor
) -> None:
    scores = make()(images[:, :channels])
    assert scores.shape == (4,)
    assert scores.isfinite().all()
    alone = torch.cat([make()(image[None, :channels]) for image in images])
    torch.testing.assert_close(scores, alone)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_gradients_are_finite_even_where_a_deviation_vanishes(make: Callable[[], Pixels], level: float) -> None:
    flat = torch.full((2, 3, 6, 6), level, requires_grad=True)
    make()(flat).sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()


def test_brightness_is_the_mean_of_all_values(images: Tensor) -> None:
    torch.testing.assert_close(brightness()(images), images.flatten(1).mean(1))


def test_contrast_is_the_deviation_of_pils_luma(images: Tensor) -> None:
    expected = torch.tensor([np.asarray(as_pil(image).convert("L")).std() / 255 for image in images])
    torch.testing.assert_close(contrast()(images), expected.float(), atol=1e-3, rtol=0)


def test_saturation_is_pils(images: Tensor) -> None:
    expected = torch.tensor([np.asarray(as_pil(image).convert("HSV"))[..., 1].mean() / 255 for image in images])
    torch.testing.assert_close(saturation()(images), expected.float(), atol=3e-3, rtol=0)


def test_colorfulness_follows_hasler_and_suesstrunk(images: Tensor) -> None:
    for image, value in zip(images, colorfulness()(images), strict=True):
        red, green, blue = (image * 255).double().numpy()
        rg, yb = red - green, (red + green) / 2 - blue
        expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
        assert value.item() == pytest.approx(expected / 255, rel=1e-5)


@pytest.mark.parametrize("make", [saturation, colorfulness])
def test_grey_has_no_colour(make: Callable[[], Pixels], images: Tensor) -> None:
    assert make()(images[:, :1]).tolist() == [0.0] * 4


def test_sharpness_is_the_deviation_of_the_laplacian() -> None:
    grey = torch.zeros(1, 1, 5, 5)
    grey[..., 2, 2] = 1.0
    assert sharpness()(grey).item() == pytest.approx(np.array([0, -1, 0, -1, 4, -1, 0, -1, 0]).std())
    assert sharpness()(grey / 2).item() == pytest.approx(sharpness()(grey).item() / 2)


def test_blurring_lowers_sharpness(images: Tensor) -> None:
    blurred = torch.nn.functional.avg_pool2d(images, 3, 1)
    assert (sharpness()(blurred) < sharpness()(images)).all()


def test_the_distance_of_pixels_is_the_rms_difference(images: Tensor) -> None:
    rows = pixels()(images)
    assert rows.shape == (4, 3 * 12 * 17)
    expected = (images[0] - images[1]).pow(2).mean().sqrt()
    torch.testing.assert_close(torch.dist(rows[0], rows[1]), expected)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("wrong", [torch.rand(3, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)])
def test_anything_but_a_batch_of_grey_or_rgb_floats_is_rejected(make: Callable[[], Pixels], wrong: Tensor) -> None:
    with pytest.raises(InvalidArgument, match=r"Expected .*images"):
        make()(wrong)


@pytest.mark.parametrize(
    ("channels", "said"), [(2, "return the channels that are meant"), (4, r"return x\[:, :3\] for RGB"), (8, "own")]
)
def test_other_channels_are_rejected_with_a_remedy(channels: int, said: str) -> None:
    """The error says in one line what the measure needs and what to do. `pixels` takes any number of channels."""
    images = torch.rand(2, channels, 8, 8)
    for make in SCORES:
        with pytest.raises(InvalidArgument, match=rf"^Expected images of 1 or 3 channels .*{said}") as caught:
            make()(images)
        assert "\n" not in str(caught.value)
    assert pixels()(images).shape == (2, channels * 64)


def test_an_image_too_small_for_sharpness_is_rejected() -> None:
    with pytest.raises(InvalidArgument, match="3 x 3"):
        sharpness()(torch.rand(1, 3, 2, 8))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("make", ALL)
def test_a_gpu_measures_the_same(make: Callable[[], Pixels], images: Tensor) -> None:
    torch.testing.assert_close(make()(images.cuda()).cpu(), make()(images))
