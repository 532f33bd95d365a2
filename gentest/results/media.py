"""Outputs that are not one picture, as reports show them: films, recordings, rows of a table, and texts.

They are made with the other drawings, travel with a result, and stay out of JSON files. Each is bounded in size.
"""

from __future__ import annotations

from dataclasses import dataclass

from gentest.results.records import Packed

MAX_ANIMATION = 96 * 2**10
"""Bytes of an animated picture."""
MAX_WAV = 96 * 2**10
"""Bytes of a recording's sound: three seconds of one channel at 16,000 samples a second."""
MAX_CELLS = 64
"""Columns of a row."""
MAX_PIECES = 400
"""Tokens of a text."""


@dataclass(frozen=True)
class Film:
    """A video: its frames in order, around the marked ones, and an animation."""

    frames: tuple[Packed, ...]
    """Frames as WebP pictures in base64."""
    width: int
    height: int
    """Pixels of a frame."""
    numbers: tuple[int, ...]
    """The number of each frame, counted from 0, of `n`."""
    n: int
    animation: Packed
    """An animated WebP picture in base64."""
    fps: float
    marked: tuple[int, ...] = ()
    """The frames that are worst, counted from 0."""


@dataclass(frozen=True)
class Recording:
    """A sound, or an excerpt of a long one: its waveform, its spectrogram, and the sound itself."""

    wav: Packed
    """A WAV file in base64: one channel of 16 bits. A sound beyond full scale is clipped here."""
    rate: float
    begins: float
    """The second at which the excerpt begins."""
    seconds: float
    """Its length."""
    of_seconds: float
    """The length of the whole sound."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    """The smallest and the largest sample in each of equally long parts."""
    spectrogram: Packed
    """A WebP picture in base64: time from left to right, frequency upward to half the rate."""
    marked: tuple[float, ...] = ()
    """The seconds from which and to which it is worst; empty for no place."""


@dataclass(frozen=True)
class TableRow:
    """A row of a table: the name of each column, its value in words, and the columns that are worst."""

    columns: tuple[str, ...]
    values: tuple[str, ...]
    marked: tuple[int, ...] = ()
    n: int = 0
    """Columns of the whole row."""


@dataclass(frozen=True)
class Script:
    """A sequence of tokens in words, and the tokens that are worst."""

    pieces: tuple[str, ...]
    first: int
    """The place of the first piece in the sequence: an excerpt of a long one."""
    n: int
    """Tokens of the whole sequence."""
    glue: str = " "
    """The text between two pieces: empty for characters."""
    marked: tuple[int, ...] = ()
    """The places that are worst, counted in the whole sequence."""


@dataclass(frozen=True)
class Medium:
    """One output, by its number or by its side of a pair: it is one of the four."""

    name: str
    film: Film | None = None
    recording: Recording | None = None
    row: TableRow | None = None
    script: Script | None = None
    alike: bool = False
    """True if it is one of the outputs that a counterexample names as alike."""


@dataclass(frozen=True)
class Media:
    """The outputs of a probe."""

    outputs: tuple[Medium, ...]
    n: int
    """Outputs of the probe. Of many, some are left out."""
