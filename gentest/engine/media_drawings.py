"""Drawings of outputs by their kind: films of videos, recordings of sounds, rows of a table, texts of tokens.

Each marks the place that the report names. Drawings decide nothing and count no image of a run.
"""

from __future__ import annotations

import base64
import functools
import io
import wave
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gentest.attributes.waveform import QUIETEST, decibels, magnitudes
from gentest.engine import pictures
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.outputs import Outputs
from gentest.engine.evidence.subject import Subject
from gentest.engine.places import Place
from gentest.outputs import Audio, Kind, Rows, Tokens, Video
from gentest.outputs.audio import Sound
from gentest.probes.families import points
from gentest.probes.probe import independent
from gentest.results.media import (
    MAX_ANIMATION,
    MAX_CELLS,
    MAX_PIECES,
    MAX_WAV,
    Film,
    Media,
    Medium,
    Recording,
    Script,
    TableRow,
)

SAMPLES = 3
"""Outputs of a seed's first latents."""
MOST_OUTPUTS = 4
"""Outputs of one probe that are drawn: the one with the marked place, two that are alike, the ends, a middle one."""
FILM_STEPS = ((112, 60, 48), (80, 50, 32), (56, 40, 24), (40, 25, 16))
"""Pixels of the longer side, quality and frames of an animation; the first that fits its bound is used."""
CONTACT = 9
"""Frames of a contact sheet."""
COLUMNS = 320
"""Parts of a waveform, and the most columns of a spectrogram."""
SPECTRUM_ROWS = 96
FLOOR = -100.0
"""The level that a spectrogram draws black, in dB."""

Pixels = NDArray[np.uint8]


def media(
    kind: Kind, outputs: Sequence[tuple[str, Tensor]], places: Sequence[Place], alike: Sequence[int] = ()
) -> Media | None:
    """Named outputs [...] of one probe as a report shows them; None for a kind that is drawn as pictures or figures.

    Outputs with a place, and the first two of those that are `alike`, are among them.
    """
    n = len(outputs)
    marked = {*(place.output for place in places), *alike[:2]}
    wanted = sorted({*marked, 0, n - 1, n // 2})[: max(MOST_OUTPUTS, len(marked))] if n > MOST_OUTPUTS else range(n)
    made: list[Medium] = []
    for at in wanted:
        name, output = outputs[at]
        own = next(((place.start, place.stop) for place in places if place.output == at), None)
        medium = drawing(kind, output, own)
        if medium is None:
            return None
        made.append(replace(medium, name=name, alike=at in alike))
    return Media(tuple(made), n)


def sample_media(context: Context, subject: Subject, seed: int) -> Media | None:
    """The outputs of a seed's first latents; None for another kind, or after an attempt that failed."""
    key = (subject.key, seed, "media")
    if key not in context.pictures:
        context.pictures[key] = None
        if subject.generator.kind.place_axis is not None:
            with pictures.uncounted(context):
                outputs = Outputs(context.maker, subject, points(), independent(seed, 0, SAMPLES), alone=True)
                named = [(str(i + 1), output) for i, output in enumerate(outputs.values[:, 0])]
                context.pictures[key] = media(subject.generator.kind, named, ())
    made: Media | None = context.pictures[key]
    return made


@functools.singledispatch
def drawing(kind: Kind, output: Tensor, place: tuple[int, int] | None) -> Medium | None:
    """One output [...] of a kind, with the places from the first to the one before the second marked."""
    return None


@drawing.register
def film(kind: Video, output: Tensor, place: tuple[int, int] | None) -> Medium:
    """Frames around the place, or from the whole video without one, and an animation."""
    n = len(output)
    middle = n // 2 if place is None else (place[0] + place[1] - 1) // 2
    first = min(max(0, middle - CONTACT // 2), max(0, n - CONTACT))
    numbers = sorted({round(i) for i in np.linspace(0, n - 1, min(n, CONTACT))})
    if place is not None:
        numbers = list(range(first, min(n, first + CONTACT)))
    sheet = pictures.strip(output[numbers])
    animation = _animated([pictures.pixels(frame) for frame in output], kind.fps)
    marked = () if place is None else tuple(range(*place))
    drawn = Film(sheet.frames, sheet.width, sheet.height, tuple(numbers), n, animation, float(kind.fps), marked)
    return Medium("", film=drawn)


def _animated(frames: Sequence[Pixels], fps: float) -> str:
    """Frames as an animated WebP picture that plays in real time, in base64, as good as its bound allows."""
    data = b""
    for side, quality, most in FILM_STEPS:
        kept = sorted({round(i) for i in np.linspace(0, len(frames) - 1, min(len(frames), most))})
        stills = [Image.fromarray(frames[i]).convert("RGB") for i in kept]
        scale = min(1.0, side / max(frames[0].shape[:2]))
        size = (max(1, round(frames[0].shape[1] * scale)), max(1, round(frames[0].shape[0] * scale)))
        stills = [still if still.size == size else still.resize(size, Image.Resampling.BOX) for still in stills]
        file = io.BytesIO()
        step = 1000.0 * len(frames) / fps / len(kept)
        stills[0].save(
            file,
            "WEBP",
            save_all=True,
            append_images=stills[1:],
            duration=max(20, round(step)),
            loop=0,
            quality=quality,
        )
        data = file.getvalue()
        if len(data) <= MAX_ANIMATION:
            break
    return base64.b64encode(data).decode()


@drawing.register
def recording(kind: Audio, output: Tensor, place: tuple[int, int] | None) -> Medium:
    """The channels' mean, cut around the place to the bound of a recording."""
    sound = kind.sound(output[None].float().cpu())
    length = int(sound.mask.sum())
    samples = sound.wave[0, :, :length].mean(0)  # [T]
    most = MAX_WAV // 2 - 64
    middle = length // 2 if place is None else (place[0] + place[1]) // 2
    first = 0 if length <= most else min(max(0, middle - most // 2), length - most)
    part = samples[first : first + most]
    marked: tuple[float, ...] = ()
    if place is not None:
        ends = (min(max(end, first), first + len(part)) for end in place)
        marked = tuple(end / kind.rate for end in ends)
    low, high = _envelope(part)
    drawn = Recording(
        wav=_wav(part, kind.rate),
        rate=float(kind.rate),
        begins=first / kind.rate,
        seconds=len(part) / kind.rate,
        of_seconds=length / kind.rate,
        low=low,
        high=high,
        spectrogram=_spectrogram(part, kind.rate),
        marked=marked,
    )
    return Medium("", recording=drawn)


def _envelope(samples: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The smallest and the largest finite sample in each of at most `COLUMNS` parts."""
    if not len(samples):
        return (), ()
    parts = torch.tensor_split(samples.nan_to_num(0.0, 4.0, -4.0), min(COLUMNS, len(samples)))
    ends = [part.aminmax() for part in parts]
    return tuple(round(low.item(), 4) for low, _ in ends), tuple(round(high.item(), 4) for _, high in ends)


def _wav(samples: Tensor, rate: float) -> str:
    """Samples as a WAV file in base64, 16 bits."""
    file = io.BytesIO()
    whole = (samples.nan_to_num(0.0, 1.0, -1.0).clamp(-1, 1) * (2**15 - 1)).round().to(torch.int16)
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(max(1, round(rate)))
        written.writeframes(whole.numpy().astype("<i2").tobytes())
    return base64.b64encode(file.getvalue()).decode()


def _spectrogram(samples: Tensor, rate: float) -> str:
    """Levels over time and frequency as colours, from `FLOOR` to full scale, in base64; empty for too short a sound."""
    if len(samples) < 16:
        return ""
    finite = samples.nan_to_num(0.0, 1.0, -1.0)
    spectrum, _ = magnitudes(Sound(finite[None, None], torch.ones(1, len(finite), dtype=torch.bool)), rate)
    levels = decibels(spectrum[0].square()).clamp(min=max(FLOOR, QUIETEST)).flip(0)  # [F, W], high frequencies on top
    rows, columns = min(SPECTRUM_ROWS, levels.shape[0]), min(COLUMNS, levels.shape[1])
    shares = torch.nn.functional.adaptive_max_pool2d(levels[None, None], (rows, columns))[0, 0]
    coloured = pictures.heat(((shares - FLOOR) / -FLOOR).clamp(0, 1).numpy())
    file = io.BytesIO()
    Image.fromarray(coloured).save(file, "WEBP", quality=70)
    return base64.b64encode(file.getvalue()).decode()


@drawing.register
def table_row(kind: Rows, output: Tensor, place: tuple[int, int] | None) -> Medium:
    """The columns with their values; of many, the first ones and the marked one."""
    marked = () if place is None else tuple(range(*place))
    items = kind.items(output[None].cpu())[0]
    kept = sorted({*range(min(MAX_CELLS, len(items))), *marked})
    names = list(items)
    values = tuple(_in_words(items[names[at]]) for at in kept)
    columns = tuple(names[at] for at in kept)
    return Medium("", row=TableRow(columns, values, tuple(kept.index(at) for at in marked), len(items)))


def _in_words(value: object) -> str:
    """A value of a table."""
    if value is None:
        return "none of its values"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@drawing.register
def script(kind: Tokens, output: Tensor, place: tuple[int, int] | None) -> Medium:
    """The tokens in words, from around the place in a long sequence."""
    pieces = kind.pieces(output.cpu())
    n, middle = len(pieces), 0 if place is None else place[0]
    first = 0 if n <= MAX_PIECES else min(max(0, middle - MAX_PIECES // 2), n - MAX_PIECES)
    marked = () if place is None else tuple(at for at in range(*place) if at < n)
    shown = tuple(pieces[first : first + MAX_PIECES])
    return Medium("", script=Script(shown, first, n, "" if kind.text else " ", marked))
