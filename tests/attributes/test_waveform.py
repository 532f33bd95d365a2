"""Measures of sounds: known values, padding that does not count, and the mel bands of another library."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest.attributes.waveform import mel_filters

RATE = 8000
KIND = gentest.Audio(rate=RATE)
PADDED = gentest.Audio(rate=RATE, longest=8000)


def tone(pitch: float, n: int = 4000, gain: float = 1.0) -> Tensor:
    """A sine [T]."""
    return gain * torch.sin(2 * math.pi * pitch / RATE * torch.arange(n) + 0.1)


def of(measure: Any, *sounds: Tensor, kind: gentest.Audio = KIND) -> Tensor:
    """A measure of some sounds."""
    outputs = kind.read(list(sounds), len(sounds), {"z": (len(sounds), 1)}, None)
    scores: Tensor = measure.of_kind(kind)(outputs)
    return scores


MEASURES = [
    gentest.loudness(),
    gentest.silence(),
    gentest.clipping(),
    gentest.clicks(),
    gentest.spectral_centroid(),
    gentest.mel(),
]


@pytest.mark.parametrize("measure", MEASURES, ids=repr)
def test_padding_does_not_count(measure: Any) -> None:
    """A sound of half the length, padded, measures as it does without padding, alone and beside a longer one."""
    short, long = tone(440, 4000, 0.5), tone(600, 8000)
    alone = of(measure, short)
    torch.testing.assert_close(of(measure, short, long, kind=PADDED)[:1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("gain", "level"), [(1.0, -3.01), (0.1, -23.01), (0.0, -120.0)])
def test_loudness_is_the_level(gain: float, level: float) -> None:
    """A sine at full scale has -3.01 dB, a tenth of it 20 dB less, and silence the least there is."""
    assert of(gentest.loudness(), tone(440, gain=gain)).item() == pytest.approx(level, abs=0.02)


def test_silence_is_a_share_of_time() -> None:
    """A quarter of silence, in its place; a whisper counts only below its level."""
    sound = tone(440)
    sound[1000:2000] = 0.0
    assert of(gentest.silence(), sound).item() == pytest.approx(0.25, abs=0.02)
    start, stop = gentest.silence().of_kind(KIND).locate(sound[None, None])[0].tolist()
    assert abs(start - 1000) <= 80
    assert abs(stop - 2000) <= 80
    assert of(gentest.silence(), tone(440, gain=0.01)).item() == 0.0
    assert of(gentest.silence(below=-30), tone(440, gain=0.01)).item() == 1.0


def test_clipping_counts_samples_at_full_scale() -> None:
    """Half of the samples of a square at full scale, all of one beyond it, none of a tone below it."""
    square = torch.tensor([1.0, 0.0]).repeat(100)
    assert of(gentest.clipping(), square, torch.full((200,), -1.5), tone(440, 200, 0.9)).tolist() == [0.5, 1.0, 0.0]


def test_a_click_is_found_at_its_sample() -> None:
    """A lost sample, whatever the channel."""
    stereo = torch.stack([tone(200), tone(200)])
    stereo[1, 1005] = 0.0
    bound = gentest.clicks().of_kind(KIND)
    assert bound.locate(stereo[None]).tolist() == [[1005, 1006]]
    assert bound(stereo[None]).item() == pytest.approx(abs(tone(200)[1005].item()), abs=0.02)


@pytest.mark.parametrize("pitch", [500.0, 1000.0, 3000.0])
def test_the_centroid_of_a_tone_is_its_pitch(pitch: float) -> None:
    """Within a window's resolution."""
    assert of(gentest.spectral_centroid(), tone(pitch)).item() == pytest.approx(pitch, abs=60)


def test_mel_bands_are_those_of_another_library() -> None:
    """The filters equal those of transformers on the same scale, unnormalized."""
    library = pytest.importorskip("transformers.audio_utils")
    theirs = library.mel_filter_bank(
        num_frequency_bins=129, num_mel_filters=40, min_frequency=0.0, max_frequency=4000.0, sampling_rate=8000,
        norm=None, mel_scale="htk",
    )  # fmt: skip
    np.testing.assert_allclose(mel_filters(129, 8000, 40).numpy(), theirs.T, atol=2e-3)


def test_mel_distance_is_in_decibels() -> None:
    """A sound ten times louder is 20 dB away, in the mean of the bands that it reaches."""
    noise = torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 0.05
    one, other = of(gentest.mel(), noise, 10 * noise)
    assert torch.dist(one, other).item() == pytest.approx(20 / math.sqrt(2), rel=0.15)


@pytest.mark.parametrize("measure", [gentest.loudness(), gentest.clicks(), gentest.spectral_centroid(), gentest.mel()])
def test_gradients_flow(measure: Any) -> None:
    """An attack follows them to the samples, and silence has no NaN."""
    x = torch.stack([tone(440), torch.zeros(4000)])[:, None].requires_grad_()
    measure.of_kind(KIND)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad[0].abs().sum() > 0


def test_wrong_arguments_are_refused() -> None:
    """Levels and numbers of bands."""
    for make in (lambda: gentest.silence(below=0), lambda: gentest.silence(below=-200), lambda: gentest.mel(bands=1)):
        with pytest.raises(gentest.InvalidArgument):
            make()
    with pytest.raises(gentest.AttributeFailed, match=r"loudness\(\) needs the rate"):
        gentest.loudness()(torch.zeros(1, 1, 9))
