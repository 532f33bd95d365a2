"""Drawings of outputs by their kind: bounded in size, marked at the place, and of outputs that are broken as well."""

from __future__ import annotations

import base64
import io
import wave

import numpy as np
import pytest
import torch
from PIL import Image

import gentest
from gentest.engine.media_drawings import MAX_ANIMATION, MAX_WAV, MOST_OUTPUTS, drawing, media
from gentest.engine.places import Place
from gentest.outputs import Kind

VIDEO, SOUND = gentest.Video(fps=8), gentest.Audio(rate=16_000)


def test_an_animation_plays_in_real_time() -> None:
    """Sixteen frames at 8 a second take two seconds, in whatever number of frames they are shown."""
    made = drawing(VIDEO, torch.rand(16, 3, 32, 32), (7, 9))
    assert made is not None
    assert made.film is not None
    picture = Image.open(io.BytesIO(base64.b64decode(made.film.animation)))
    durations = []
    for at in range(picture.n_frames):
        picture.seek(at)
        picture.load()
        durations.append(picture.info["duration"])
    assert sum(durations) == pytest.approx(2000, abs=50)
    assert made.film.numbers == tuple(range(3, 12))
    assert made.film.marked == (7, 8)


def test_a_long_noisy_video_fits_its_bound() -> None:
    """Noise does not compress, so it gets smaller and shorter."""
    made = drawing(VIDEO, torch.rand(120, 3, 128, 128, generator=torch.Generator().manual_seed(0)), None)
    assert made is not None
    assert made.film is not None
    assert len(base64.b64decode(made.film.animation)) <= MAX_ANIMATION
    assert len(made.film.frames) == 9
    assert made.film.n == 120


def test_a_long_sound_is_cut_around_its_place() -> None:
    """A minute becomes the seconds around the mark, and what plays is what is drawn."""
    sound = torch.zeros(1, 60 * 16_000)
    sound[0, 480_000:480_010] = 0.5
    made = drawing(SOUND, sound, (480_000, 480_010))
    assert made is not None
    recording = made.recording
    assert recording is not None
    data = base64.b64decode(recording.wav)
    assert len(data) <= MAX_WAV
    with wave.open(io.BytesIO(data)) as played:
        samples = np.frombuffer(played.readframes(played.getnframes()), "<i2")
        assert played.getframerate() == 16_000
    at = int(np.abs(samples).argmax()) / 16_000 + recording.begins
    assert at == pytest.approx(30.0, abs=1e-3)
    assert recording.marked == (30.0, 480_010 / 16_000)
    assert recording.of_seconds == 60.0
    assert max(recording.high) == 0.5


def test_a_padded_sound_is_drawn_without_its_padding() -> None:
    """The recording has the length of the sound."""
    kind = gentest.Audio(rate=8000, longest=8000)
    outputs = kind.read([torch.ones(400)], 1, {"z": (1, 1)}, None)
    made = drawing(kind, outputs[0], None)
    assert made is not None
    assert made.recording is not None
    assert made.recording.of_seconds == 0.05


@pytest.mark.parametrize(
    ("kind", "output"),
    [
        (VIDEO, torch.full((3, 3, 4, 4), float("nan"))),
        (SOUND, torch.full((1, 900), float("nan"))),
        (SOUND, torch.tensor([[float("inf")]])),
        (gentest.Audio(rate=8, longest=4), torch.zeros(2, 4)),
        (gentest.Rows({"a": (0, 1)}), torch.tensor([float("nan")])),
        (gentest.Rows({"a": ["x"]}), torch.tensor([float("nan")])),
        (gentest.Tokens(), torch.full((3,), -1.0)),
    ],
)
def test_broken_outputs_are_drawn_too(kind: Kind, output: torch.Tensor) -> None:
    """Values that are not finite, and outputs without content."""
    assert drawing(kind, output, (0, 1)) is not None


def test_images_and_arrays_are_drawn_elsewhere() -> None:
    """They have no media."""
    for kind in (gentest.Images(), gentest.Arrays()):
        assert media(kind, [("1", torch.zeros(1, 4, 4))], ()) is None


def test_of_many_outputs_the_marked_one_is_drawn() -> None:
    """Besides the ends and a middle one."""
    outputs = [(str(i), torch.zeros(1, 100)) for i in range(17)]
    made = media(SOUND, outputs, [Place(5, 3, 4, "")])
    assert made is not None
    assert [medium.name for medium in made.outputs] == ["0", "5", "8", "16"]
    assert len(made.outputs) == MOST_OUTPUTS
    marked = [medium.name for medium in made.outputs if medium.recording is not None and medium.recording.marked]
    assert marked == ["5"]
    assert made.n == 17
