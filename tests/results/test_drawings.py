"""Pictures from a file: only small WebP pictures, as gentest writes them, are taken."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from gentest.errors import InvalidArgument
from gentest.results.drawings import MAX_BYTES, SAMPLES, SIDE, check_pictures
from gentest.results.records import pack_bytes


def picture(size: tuple[int, int] = (8, 6), mode: str = "RGB", form: str = "WEBP", **options: object) -> bytes:
    """The bytes of a picture of one colour."""
    out = BytesIO()
    Image.new(mode, size, 100).save(out, form, **options)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}], ids=str)
@pytest.mark.parametrize("size", [(1, 1), (8, 6), (SIDE, 1), (SIDE, SIDE)])
def test_the_size_is_that_of_the_picture(size: tuple[int, int], options: dict[str, bool], mode: str) -> None:
    """Width and height are read of each form of WebP that Pillow writes, without decoding it."""
    data = picture(size, mode, **options)
    assert check_pictures((pack_bytes(data),) * 2, "these") == size


def test_there_may_be_none() -> None:
    """A baseline of no images, or of an earlier version, has no pictures."""
    assert check_pictures((), "these") == (0, 0)


def animated() -> bytes:
    """Two frames of a film."""
    out = BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], duration=50)
    return out.getvalue()


GOOD = picture()
WRONG = {
    "png": picture(form="PNG"),
    "gif": picture(mode="L", form="GIF"),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)">' + b" " * 40,
    "wide": picture((SIDE + 1, 1)),
    "high": picture((1, SIDE + 1), lossless=True),
    "alpha": picture((SIDE + 1, 1), "RGBA"),
    "animated": animated(),
    "short": GOOD[:25],
    "cut": GOOD[:-2],
    "longer": GOOD + b"<script>alert(1)</script>",
    "empty": b"",
    "another kind": GOOD[:12] + b"VP9 " + GOOD[16:],
    "no frame": GOOD[:23] + b"\0\0\0" + GOOD[26:],
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_anything_else_is_refused(data: bytes) -> None:
    """No other format, size or length is a picture of ours, and the error says whose it is."""
    with pytest.raises(InvalidArgument, match="of these"):
        check_pictures((pack_bytes(data),), "these")


def test_there_are_few_and_small_ones() -> None:
    """More or larger pictures than gentest writes, ones of several sizes, and text that is none are refused."""
    good = pack_bytes(GOOD)
    for frames, said in (
        ((good,) * (SAMPLES + 1), "7 pictures"),
        ((good, pack_bytes(picture((9, 6)))), "several sizes"),
        (("A" * (2 * MAX_BYTES + 4),), "more than"),
        ((pack_bytes(GOOD.ljust(MAX_BYTES + 1, b"\0")),), "at most"),
        (("<script>",), "base64"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            check_pictures(frames, "these")
