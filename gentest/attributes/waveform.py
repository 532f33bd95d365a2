"""Measures of audio: loudness, silence, clipping, clicks, the spectral centroid, and a mel feature.

They need the rate, so the generator declares `outputs=gentest.Audio(rate=...)`. Padding is left out. Gradients flow
where a measure is not a count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gentest._support.arguments import as_number, is_whole
from gentest.attributes.attribute import Named
from gentest.attributes.of_kind import run_places, wrong_kind
from gentest.errors import AttributeFailed, InvalidArgument
from gentest.outputs import Audio, Kind
from gentest.outputs.audio import Sound

QUIETEST = -120.0
"""The level of digital silence, in dB: below the noise of 16 bits."""
FULL = 0.999
"""A sample at this share of full scale, or above, is clipped."""
FRAME_SECONDS = 0.01
"""The length of the windows in which silence is looked for."""
WINDOW_SECONDS = 0.032
"""About the length of a window of the spectrum: the nearest power of two, in samples."""


@dataclass(frozen=True, repr=False)
class Waveform(Named):
    """A measure of sounds as a value: it hashes, compares, pickles and prints as code."""

    name: str
    measure: Callable[..., Tensor]
    where: Callable[..., Tensor] | None = None
    """Says where the score comes from; None for a measure of the whole sound."""
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def address(self) -> str:
        """The key of its measurements in the cache."""
        return f"waveform {self!r}"

    def of_kind(self, kind: Kind) -> BoundWaveform:
        if not isinstance(kind, Audio):
            raise wrong_kind(self, kind, "sounds")
        return BoundWaveform(self, kind)

    def __call__(self, outputs: Tensor) -> Tensor:
        raise AttributeFailed(f"{self!r} needs the rate of the sounds: say outputs=gentest.Audio(rate=...)")

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value:g}' for key, value in self.options)})"


@dataclass(frozen=True, repr=False)
class BoundWaveform(Named):
    """A measure of sounds, with their rate and their padding."""

    declared: Waveform
    kind: Audio

    def __call__(self, outputs: Tensor) -> Tensor:
        return self.declared.measure(self.kind.sound(outputs), self.kind.rate, **dict(self.declared.options))

    def locate(self, outputs: Tensor) -> Tensor:
        """The samples that the score comes from."""
        if self.declared.where is None:
            return torch.full((len(outputs), 2), -1)
        return self.declared.where(self.kind.sound(outputs), self.kind.rate, **dict(self.declared.options))

    def __repr__(self) -> str:
        return repr(self.declared)


def loudness() -> Waveform:
    """Loudness [B] in dB relative to full scale: the root mean square level of all channels, at least -120.

    A sine at full scale has -3.01 dB, digital silence -120. It is not weighted as ears hear (ITU-R BS.1770).

    >>> import gentest, torch
    >>> tone = torch.sin(torch.arange(8000) * 0.5).reshape(1, 1, 8000)
    >>> loudness().of_kind(gentest.Audio(rate=8000))(tone).round(decimals=2)
    tensor([-3.0100])
    """
    return Waveform("loudness", _loudness)


def silence(*, below: float = -60.0) -> Waveform:
    """The share of a sound that is silent, [B] in [0, 1]: windows of 10 ms whose level is under `below` dB.

    Reports name the longest silence. Raises `InvalidArgument` for a level that is not between -120 and 0.

    >>> import gentest, torch
    >>> half = torch.cat([torch.ones(1, 1, 800), torch.zeros(1, 1, 800)], 2)
    >>> silence().of_kind(gentest.Audio(rate=8000))(half)
    tensor([0.5000])
    """
    level = as_number(below)
    if not QUIETEST < level < 0.0:
        raise InvalidArgument.expected("a level in dB from -120 to 0", "below", below)
    options = () if level == -60.0 else (("below", level),)
    return Waveform("silence", _silence, _silent_places, options)


def clipping() -> Waveform:
    """The share of samples at full scale or above, [B] in [0, 1], in the channel where it is largest.

    Reports name the longest run of such samples.

    >>> import gentest, torch
    >>> loud = (2 * torch.sin(torch.arange(800) * 0.05)).clamp(-1, 1).reshape(1, 1, 800)
    >>> clipping().of_kind(gentest.Audio(rate=8000))(loud) > 0.6
    tensor([True])
    """
    return Waveform("clipping", _clipping, _clipped_places)


def clicks() -> Waveform:
    """Clicks [B], at least 0: the largest jump of a sample away from the line between its two neighbours.

    1 is full scale. A smooth sound has little, a sample that is lost has about its own height. A sharp attack and
    noise click as well. Reports name the sample.

    >>> import gentest, torch
    >>> tone = torch.sin(torch.arange(800) * 0.05).reshape(1, 1, 800)
    >>> lost = tone.clone()
    >>> lost[0, 0, 31] = 0.0
    >>> measure = clicks().of_kind(gentest.Audio(rate=8000))
    >>> measure(tone) < 0.01, measure(lost) > 0.9
    (tensor([True]), tensor([True]))
    """
    return Waveform("clicks", _clicks, _click_places)


def spectral_centroid() -> Waveform:
    """The centre of the spectrum [B] in Hz: the mean of frequencies, weighted by their magnitude; 0 for silence.

    It is the centroid of the mean magnitude over windows of about 32 ms, of the channels' mean. Source: Grey and
    Gordon, "Perceptual effects of spectral modifications on musical timbres", JASA 63(5), 1978.

    >>> import gentest, math, torch
    >>> tone = torch.sin(2 * math.pi * 1000 / 8000 * torch.arange(8000)).reshape(1, 1, 8000)
    >>> spectral_centroid().of_kind(gentest.Audio(rate=8000))(tone).round(decimals=-2)
    tensor([1000.])
    """
    return Waveform("spectral_centroid", _centroid)


def mel(*, bands: int = 40) -> Waveform:
    """A feature [B, 2 * bands] of sounds: the mean and the standard deviation over time of the level in each mel band.

    Levels are in dB, divided by sqrt(2 * bands), so the distance of two sounds is a root mean square difference in dB.
    Bands are triangles on the mel scale, 2595 log10(1 + f / 700) (O'Shaughnessy 1987), from 0 to half the rate. Use it
    where a feature is asked for, as in `gentest.diverse(gentest.mel(), at_least=1)`. Raises `InvalidArgument` for a
    number of bands that is not from 2 to 128.

    >>> import gentest, torch
    >>> tone = torch.sin(torch.arange(8000) * 0.5).reshape(1, 1, 8000)
    >>> mel().of_kind(gentest.Audio(rate=8000))(tone).shape
    torch.Size([1, 80])
    """
    if not is_whole(bands, 2) or bands > 128:
        raise InvalidArgument.expected("a whole number from 2 to 128", "bands", bands)
    return Waveform("mel", _mel, options=() if bands == 40 else (("bands", bands),))


def decibels(squares: Tensor) -> Tensor:
    """Mean squares as levels in dB, at least -120."""
    return 10.0 * squares.clamp(min=10.0 ** (QUIETEST / 10.0)).log10()


def _loudness(sound: Sound, rate: float) -> Tensor:
    n = sound.mask.sum(1).clamp(min=1) * sound.wave.shape[1]
    squares = (sound.wave.square() * sound.mask[:, None]).sum((1, 2)) / n
    return decibels(squares)


def _windows(sound: Sound, rate: float) -> tuple[Tensor, Tensor, int]:
    """The level [B, W] of each window, True [B, W] for windows that are not all padding, and a window's length."""
    size = max(1, min(round(FRAME_SECONDS * rate), sound.wave.shape[2]))
    wave = sound.wave * sound.mask[:, None]
    squares = wave.unfold(2, size, size).square().sum((1, 3))
    lengths = sound.mask.unfold(1, size, size).sum(2)
    return decibels(squares / (lengths.clamp(min=1) * wave.shape[1])), lengths > 0, size


def _silence(sound: Sound, rate: float, below: float = -60.0) -> Tensor:
    levels, present, _ = _windows(sound, rate)
    return ((levels < below) & present).sum(1) / present.sum(1).clamp(min=1)


def _silent_places(sound: Sound, rate: float, below: float = -60.0) -> Tensor:
    levels, present, size = _windows(sound, rate)
    places = run_places((levels < below) & present)
    return torch.where(places >= 0, places * size, places)


def _clipping(sound: Sound, rate: float) -> Tensor:
    clipped = (sound.wave.abs() >= FULL) & sound.mask[:, None]
    return clipped.sum(2).amax(1) / sound.mask.sum(1).clamp(min=1)


def _clipped_places(sound: Sound, rate: float) -> Tensor:
    return run_places(((sound.wave.abs() >= FULL) & sound.mask[:, None]).any(1))


def _jumps(sound: Sound) -> Tensor:
    """The distance [B, T - 2] of each sample from the line between its neighbours, in its worst channel."""
    if sound.wave.shape[2] < 3:
        raise AttributeFailed(f"clicks() needs sounds of at least 3 samples but got {sound.wave.shape[2]}")
    wave = sound.wave
    jumps = (wave[..., 1:-1] - (wave[..., :-2] + wave[..., 2:]) / 2.0).abs().amax(1)
    return jumps * (sound.mask[:, 2:] & sound.mask[:, :-2])


def _clicks(sound: Sound, rate: float) -> Tensor:
    return _jumps(sound).amax(1)


def _click_places(sound: Sound, rate: float) -> Tensor:
    at = _jumps(sound).argmax(1) + 1
    return torch.stack([at, at + 1], 1).cpu()


def magnitudes(sound: Sound, rate: float) -> tuple[Tensor, Tensor]:
    """The magnitudes [B, F, W] of short-time spectra of the channels' mean, and True [B, W] for windows of sound."""
    wave = (sound.wave * sound.mask[:, None]).mean(1)
    size = min(1 << max(1, round(math.log2(WINDOW_SECONDS * rate))), wave.shape[1])
    hop = max(1, size // 4)
    window = torch.hann_window(size, device=wave.device, dtype=wave.dtype)
    spectrum = torch.stft(wave, size, hop, window=window, center=False, return_complex=True).abs() / window.sum()
    whole = sound.mask.unfold(1, size, hop).all(2)
    # a sound shorter than a window has the one window that begins it
    first = torch.arange(whole.shape[1], device=whole.device) == 0
    return spectrum, torch.where(whole.any(1, keepdim=True), whole, first)


def _centroid(sound: Sound, rate: float) -> Tensor:
    spectrum, present = magnitudes(sound, rate)
    mean = (spectrum * present[:, None]).sum(2) / present.sum(1)[:, None]  # [B, F]
    frequencies = torch.linspace(0.0, rate / 2.0, mean.shape[1], device=mean.device)
    centres: Tensor = (mean * frequencies).sum(1) / mean.sum(1).clamp(min=1e-9)
    return centres


def mel_filters(n_frequencies: int, rate: float, bands: int) -> Tensor:
    """Triangles [bands, F] on the mel scale of O'Shaughnessy, with a peak of 1, from 0 to half the rate."""
    top = 2595.0 * torch.log10(torch.tensor(1.0 + rate / 2.0 / 700.0, dtype=torch.float64))
    edges = 700.0 * (10.0 ** (torch.linspace(0.0, float(top), bands + 2, dtype=torch.float64) / 2595.0) - 1.0)
    frequencies = torch.linspace(0.0, rate / 2.0, n_frequencies, dtype=torch.float64)
    slopes = edges[:, None] - frequencies  # [bands + 2, F]
    widths = edges.diff()[:, None]
    filters: Tensor = torch.minimum(-slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]).clamp(min=0.0)
    return filters


def _mel(sound: Sound, rate: float, bands: int = 40) -> Tensor:
    spectrum, present = magnitudes(sound, rate)
    filters = mel_filters(spectrum.shape[1], rate, bands).to(spectrum)
    levels = decibels(torch.einsum("mf,bfw->bmw", filters, spectrum.square()))
    weights = present[:, None].to(levels) / present.sum(1)[:, None, None]
    mean = (levels * weights).sum(2)
    spread = ((levels - mean[:, :, None]).square() * weights).sum(2).clamp(min=1e-12).sqrt()
    rows: Tensor = torch.cat([mean, spread], 1) / (2.0 * bands) ** 0.5
    return rows
