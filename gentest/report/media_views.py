"""Films, recordings, rows and texts on the page: pictures, a player, inline SVG and tables, all brought along."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from gentest._support.printable import noun
from gentest.report.within_counterexample import named
from gentest.results.media import Film, Media, Medium, Recording, Script, TableRow

WIDTH, HEIGHT = 480, 72
"""Pixels of a waveform."""
SPECTRUM_HEIGHT = 96
LARGEST = 168
"""The longer side of an animation, in pixels of the page."""
LEAST_MARK = 2.0
"""Pixels of the narrowest mark."""


@dataclass(frozen=True)
class FrameView:
    """A frame of a contact sheet."""

    source: str
    number: int
    """Counted from 1."""
    marked: bool


@dataclass(frozen=True)
class CellView:
    """A column of a row, or a piece of a text."""

    name: str
    text: str
    marked: bool


@dataclass(frozen=True)
class MediumView:
    """One output as the page shows it. A part that its kind does not have is empty."""

    name: str
    caption: str
    width: int = 0
    height: int = 0
    animation: str = ""
    frames: tuple[FrameView, ...] = ()
    wav: str = ""
    waveform: Markup | None = None
    spectrogram: str = ""
    mark: tuple[float, float] | None = None
    """Where the spectrogram is marked: from its left, and how wide, in pixels."""
    cells: tuple[CellView, ...] = ()
    pieces: tuple[CellView, ...] = ()
    glue: str = ""


@dataclass(frozen=True)
class MediaView:
    """The outputs of a probe, and how many of them are shown."""

    outputs: tuple[MediumView, ...] = field(default=())
    left_out: str = ""


def view_of(media: Media) -> MediaView:
    """The view of a probe's outputs."""
    names = [named(medium.name, is_alike=medium.alike) if media.n > 1 else "" for medium in media.outputs]
    views = tuple(map(_view, media.outputs, names))
    left_out = f"{len(views)} of {media.n} outputs" if len(views) < media.n else ""
    return MediaView(views, left_out)


def _view(medium: Medium, name: str) -> MediumView:
    if medium.film is not None:
        return _film(name, medium.film)
    if medium.recording is not None:
        return _recording(name, medium.recording)
    if medium.row is not None:
        return _row(name, medium.row)
    return MediumView(name, "") if medium.script is None else _script(name, medium.script)


def _film(name: str, film: Film) -> MediumView:
    n, seconds = film.n, film.n / film.fps
    frames = tuple(
        FrameView(f"data:image/webp;base64,{frame}", place + 1, place in film.marked)
        for frame, place in zip(film.frames, film.numbers, strict=True)
    )
    first, last = frames[0].number, frames[-1].number
    which = f"frames {first} to {last}" if last - first < len(frames) else f"{len(frames)} of its frames"
    shown = f"; {which}" if len(frames) < n else ""
    width, height = _size(film)
    caption = f"{n} {noun(n, 'frame')}, {seconds:.3g} s at {film.fps:g} a second{shown}"
    return MediumView(name, caption, width, height, f"data:image/webp;base64,{film.animation}", frames)


def _size(film: Film) -> tuple[int, int]:
    """The size of an animation on the page."""
    scale = LARGEST / max(film.width, film.height, 1)
    return max(2, round(film.width * scale)), max(2, round(film.height * scale))


def _recording(name: str, recording: Recording) -> MediumView:
    end = recording.begins + recording.seconds
    excerpt = f", from {recording.begins:.3g} to {end:.3g} s" if recording.seconds < recording.of_seconds else ""
    caption = f"{recording.of_seconds:.3g} s at {recording.rate:g} samples a second{excerpt}"
    mark = None
    if recording.marked and recording.seconds:
        left, right = ((at - recording.begins) / recording.seconds * WIDTH for at in recording.marked)
        width = max(LEAST_MARK, right - left)
        mark = round(min(max(0.0, left), WIDTH - width), 1), round(width, 1)
    return MediumView(
        name,
        caption,
        WIDTH,
        SPECTRUM_HEIGHT,
        wav=f"data:audio/wav;base64,{recording.wav}",
        waveform=_waveform(recording, mark),
        spectrogram=f"data:image/webp;base64,{recording.spectrogram}" if recording.spectrogram else "",
        mark=mark,
    )


def _waveform(recording: Recording, mark: tuple[float, float] | None) -> Markup:
    """The envelope of a sound from left to right, full scale from top to bottom, with the worst place marked."""
    largest = max([1.0, *map(abs, recording.low), *map(abs, recording.high)])
    n = max(len(recording.low), 1)

    def point(at: int, value: float) -> str:
        return f"{(at + 0.5) * WIDTH / n:.1f},{HEIGHT / 2 - value / largest * (HEIGHT / 2 - 2):.1f}"

    upper = [point(at, value) for at, value in enumerate(recording.high)]
    lower = [point(at, value) for at, value in reversed(list(enumerate(recording.low)))]
    drawn = Markup('<polygon class="wave" points="{}"/>').format(" ".join([*upper, *lower]))
    if mark is not None:
        drawn += Markup('<rect class="worst" x="{}" y="0" width="{}" height="{}"/>').format(*mark, HEIGHT)
    label = f"waveform, largest sample {max([0.0, *map(abs, recording.low), *map(abs, recording.high)]):.3g}"
    svg = '<svg class="waveform" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">{3}</svg>'
    return Markup(svg).format(WIDTH, HEIGHT, label, drawn)


def _row(name: str, row: TableRow) -> MediumView:
    pairs = enumerate(zip(row.columns, row.values, strict=True))
    cells = tuple(CellView(column, value, at in row.marked) for at, (column, value) in pairs)
    caption = f"{len(cells)} of {row.n} columns" if len(cells) < row.n else ""
    return MediumView(name, caption, cells=cells)


def _script(name: str, script: Script) -> MediumView:
    pieces = tuple(
        CellView(str(at + 1), piece, at in script.marked) for at, piece in enumerate(script.pieces, script.first)
    )
    word = "characters" if not script.glue else "tokens"
    excerpt = f", from {script.first + 1} to {script.first + len(pieces)}" if len(pieces) < script.n else ""
    return MediumView(name, f"{script.n} {word}{excerpt}", pieces=pieces, glue=script.glue)
