"""What a distribution is compared with: folders, arrays and generators, fitted to the outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gentest
from gentest.errors import InvalidArgument
from gentest.properties.references import Folder, Stored, check_unit_range, chosen, fitted, reference_of


def photos(folder: Path, n: int, size: tuple[int, int] = (20, 10), mode: str = "RGB") -> Path:
    """A folder of `n` images of one colour each, in two folders."""
    for i in range(n):
        path = folder / f"{i % 2}" / f"{i:03}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.new(mode, size, i if mode == "L" else (i, 2 * i, 0)).save(path)
    return folder


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    """Images in folders below count, other files do not; each is fitted by itself."""
    photos(tmp_path, 6)
    Image.new("L", (8, 30), 255).save(tmp_path / "white.jpg")
    (tmp_path / "notes.txt").write_text("no image")
    reference = reference_of(tmp_path)
    assert isinstance(reference, Folder)
    assert len(reference) == 7
    images = reference.fitted(range(7), (3, 4, 4))
    assert images.shape == (7, 3, 4, 4)
    red = (images[:, 0, 0, 0] * 255).round().tolist()
    assert red == [0, 2, 4, 1, 3, 5, 255]


@pytest.mark.parametrize("what", ["missing", "empty", "broken"])
def test_a_folder_that_is_none_is_named(tmp_path: Path, what: str) -> None:
    """Not there, without images, or with a file that is no image."""
    path = tmp_path / what
    if what != "missing":
        path.mkdir()
    if what == "broken":
        (path / "a.png").write_bytes(b"no image")
        with pytest.raises(InvalidArgument, match=r"a\.png: Pillow cannot read this image"):
            reference_of(str(path)).fitted([0], (3, 4, 4))  # type: ignore[union-attr]
    else:
        with pytest.raises(InvalidArgument, match=what if what == "empty" else "an existing folder"):
            reference_of(str(path))


@pytest.mark.parametrize(
    "values",
    [
        np.full((5, 4, 6, 3), 51, np.uint8),
        np.full((5, 3, 4, 6), 0.2, np.float64),
        torch.full((5, 4, 6, 3), 0.2),
        np.full((5, 3, 4, 6), 0.2, np.float32)[::-1],
    ],
    ids=["bytes", "doubles", "channels last", "reversed"],
)
def test_an_array_is_images_channels_first(values: np.ndarray | torch.Tensor) -> None:
    """Bytes are divided by 255, and channels come first."""
    reference = reference_of(values)
    assert isinstance(reference, Stored)
    images = reference.fitted(range(5), (3, 4, 6))
    assert images.shape == (5, 3, 4, 6)
    torch.testing.assert_close(images, torch.full((5, 3, 4, 6), 0.2))


def test_what_is_no_image_is_taken_as_it_is() -> None:
    """Rows of numbers that have the outputs' shape need no fitting; those that have not are refused."""
    reference = reference_of(np.arange(12.0).reshape(4, 3))
    assert isinstance(reference, Stored)
    assert reference.fitted([1, 3], (3,)).tolist() == [[3.0, 4.0, 5.0], [9.0, 10.0, 11.0]]
    with pytest.raises(InvalidArgument, match=r"outputs \(5,\) but got \(3,\)"):
        reference.fitted([0], (5,))


def test_fitting_cuts_the_middle_and_does_not_alias() -> None:
    """The largest cut of the shape's proportions, from the middle; stripes finer than a pixel become grey."""
    wide = torch.zeros(1, 1, 8, 24)
    wide[..., 8:16] = 1.0
    assert fitted(wide, (3, 8, 8)).unique().tolist() == [1.0]
    stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64)
    inner = fitted(stripes, (1, 8, 8))[..., 2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), atol=0.02, rtol=0)


def test_grey_and_colour_fit_each_other() -> None:
    """RGB becomes luma where outputs are grey, and grey is repeated where they are RGB."""
    colour = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert fitted(colour, (1, 4, 4))[0, 0, 0, 0].item() == pytest.approx(0.299 + 0.587 / 2)
    assert fitted(torch.full((1, 1, 4, 4), 0.3), (3, 4, 4)).unique().numel() == 1


def test_which_are_looked_at_depends_on_the_seed_alone() -> None:
    """The same seed chooses the same images, without repeating one; another chooses others."""
    reference = reference_of(torch.zeros(500, 1, 2, 2))
    assert isinstance(reference, Stored)
    first = chosen(reference, 300, 7)
    assert first == chosen(reference, 300, 7)
    assert first != chosen(reference, 300, 8)
    assert len(set(first)) == 300
    assert sorted(chosen(reference, 10_000, 7)) == list(range(500))


def test_references_of_other_values_have_other_names() -> None:
    """A baseline knows a property by its text, so that an array is named by a digest of its values."""
    one, other = torch.zeros(300, 1, 2, 2), torch.ones(300, 1, 2, 2)
    assert repr(reference_of(one)) == repr(reference_of(one.clone()))
    assert repr(reference_of(one)) != repr(reference_of(other))


@pytest.mark.parametrize("value", [None, 3, [1, 2], torch.nn.Identity()])
def test_what_is_no_reference_is_named(value: object) -> None:
    """In one line that says what would be one."""
    with pytest.raises(InvalidArgument, match=r"Expected a folder of images, an array or tensor"):
        reference_of(value)


def test_values_out_of_range_are_named() -> None:
    """An array in the range of tanh is no images in [0, 1]; neither is one of infinities."""
    with pytest.raises(InvalidArgument, match=r"in \[0, 1\] \(or uint8\) but got values from -1 to 1"):
        check_unit_range(torch.tensor([-1.0, 1.0]))
    with pytest.raises(InvalidArgument, match="finite"):
        reference_of(torch.full((3, 1, 2, 2), float("inf")))
    with pytest.raises(InvalidArgument, match="shape"):
        reference_of(torch.zeros(3))


def test_a_generator_is_its_own_reference() -> None:
    """It is asked for outputs when it is compared."""
    generator = gentest.Generator(lambda z: z[:, :, None, None], latent=gentest.Normal(3))
    assert reference_of(generator) is generator


def test_sixteen_bits_are_not_clipped(tmp_path: Path) -> None:
    """Grey in 16 bits spans the same range as in 8; values whose range nobody knows are refused."""
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "b.png")
    images = reference_of(tmp_path).fitted([0, 1], (1, 4, 4))  # type: ignore[union-attr]
    torch.testing.assert_close(images[1], images[0])
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "c.tiff")
    with pytest.raises(InvalidArgument, match=r"c\.tiff: the range of its values \(mode 'F'\) is unknown"):
        reference_of(tmp_path).fitted([2], (1, 4, 4))  # type: ignore[union-attr]


def test_what_is_no_file_of_the_users_is_passed_over(tmp_path: Path) -> None:
    """A folder that is called as an image is, and the files that a Mac leaves beside each."""
    photos(tmp_path, 2)
    (tmp_path / "c.png").mkdir()
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7")
    assert len(reference_of(tmp_path)) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [np.full((5, 3, 4, 4), "a"), np.full((5, 1), None), np.zeros((5, 3, 0, 4)), np.zeros((5, 3, 4, 4), bool)],
    ids=["text", "objects", "no pixels", "booleans"],
)
def test_arrays_of_no_outputs_are_named(values: np.ndarray) -> None:
    """By their shape and type."""
    with pytest.raises(InvalidArgument, match=r"Expected outputs \[M, C, H, W\] as numbers but got reference of shape"):
        reference_of(values)


def test_images_for_an_encoder_are_read_from_a_folder(tmp_path: Path) -> None:
    """They have the range that the encoder takes; of more than asked for, the seed selects; misuse is named."""
    photos(tmp_path, 12, mode="L")
    images = gentest.images_in(tmp_path, (1, 4, 4), output_range=(-1, 1))
    assert images.shape == (12, 1, 4, 4)
    assert [round((image.mean().item() + 1) * 127.5) for image in images] != list(range(12))
    assert sorted(round((image.mean().item() + 1) * 127.5) for image in images) == list(range(12))
    few = [gentest.images_in(tmp_path, (1, 4, 4), most=5, seed=seed) for seed in (0, 0, 1)]
    assert few[0].shape == (5, 1, 4, 4)
    assert torch.equal(few[0], few[1])
    assert not torch.equal(few[0], few[2])
    for shape in ((4, 4), (2, 4, 4), (1, 4, 0), "144"):
        with pytest.raises(InvalidArgument, match="shape="):
            gentest.images_in(tmp_path, shape)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="most=0"):
        gentest.images_in(tmp_path, (1, 4, 4), most=0)
