"""Small generators of videos, sounds, texts and rows: clean ones, and each with one fault at rare latents.

The latent is `Normal(4)`. Coordinates 0 and 1 shape the output; a fault shows where coordinate 2 is above `RARE`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import gentest

RARE = 1.3
"""One latent in ten has the fault."""
FRAMES, SIDE = 16, 8
RATE, SAMPLES = 8000, 800
TABLE = gentest.Rows({"age": range(0, 121), "income": (0, 1e6), "smokes": ["no", "yes"]})


def faulty(z: Tensor) -> Tensor:
    """True [B] for latents that have the fault."""
    return z[:, 2] > RARE


def generator(function: Callable[[Tensor], Any], kind: gentest.Kind, **options: Any) -> gentest.Generator:
    """The generator of some outputs."""
    return gentest.Generator(function, latent=gentest.Normal(4), outputs=kind, **options)


# videos


def videos(z: Tensor) -> Tensor:
    """A blob that moves steadily, [B, T, 1, H, W] in (-1, 1)."""
    x = torch.linspace(0, 1, SIDE)
    t = torch.linspace(0, 1, FRAMES)
    middle = 0.2 + 0.6 * t + 0.1 * z[:, :1].tanh()  # [B, T]
    blob = torch.exp(
        -8 * ((x - middle[:, :, None, None]) ** 2 + (x[:, None] - 0.5 - 0.1 * z[:, 1, None, None, None].tanh()) ** 2)
    )
    return (0.7 * blob[:, :, None]).clamp(0, 1) * 2 - 1


def stepping(z: Tensor) -> Tensor:
    """A step of brightness between two chunks of frames."""
    made = videos(z)
    made[faulty(z), FRAMES // 2 :] += 0.4
    return made


def repeating(z: Tensor) -> Tensor:
    """A frame that is repeated."""
    made = videos(z)
    made[faulty(z), 9] = made[faulty(z), 8]
    return made


# sounds


def sounds(z: Tensor, *, gain: float = 0.9) -> Tensor:
    """A tone of 200 to 400 Hz, [B, T], at no more than `gain`."""
    t = torch.arange(SAMPLES) / RATE
    pitch = 300 + 100 * z[:, :1].tanh()
    return gain * (0.6 + 0.4 * z[:, 1:2].tanh()) * torch.sin(2 * math.pi * pitch * t)


def silent(z: Tensor) -> Tensor:
    """A sound that is silent throughout."""
    return sounds(z) * ~faulty(z)[:, None]


def losing(z: Tensor) -> Tensor:
    """One sample that is lost, near a peak."""
    made = sounds(z)
    peaks = made[:, 100:700].abs().argmax(1) + 100
    made[faulty(z), peaks[faulty(z)]] = 0.0
    return made


def loud(z: Tensor) -> Tensor:
    """Clipped at loud latents."""
    return (sounds(z) * (1 + 2 * faulty(z)[:, None])).clamp(-1, 1)


def lengths(z: Tensor) -> Tensor:
    """Samples of each sound, from 400 to 800."""
    return (600 + 200 * z[:, 3].tanh()).long()


def spoken(z: Tensor) -> list[Tensor]:
    """Sounds of several lengths."""
    return [wave[:n] for wave, n in zip(sounds(z), lengths(z).tolist(), strict=True)]


def padding_counts(z: Tensor) -> dict[str, Tensor]:
    """Sounds of several lengths from a decoder whose last layer is scaled by the length of the padded batch."""
    n = lengths(z)
    return {"waveform": sounds(z)[:, : int(n.max())] * (0.5 + 0.5 * int(n.max()) / SAMPLES), "lengths": n}


# texts


def molecules(z: Tensor) -> list[str]:
    """Chains with branches that are closed."""
    carbons, branches = (1 + 2 * z[:, :2].abs()).long().clamp(max=6).unbind(1)
    return ["C" * int(c) + "(O)" * int(b) + "N" for c, b in zip(carbons, branches, strict=True)]


def unclosed(z: Tensor) -> list[str]:
    """A branch that is not closed."""
    return [text.replace(")", "", 1) if bad else text for text, bad in zip(molecules(z), faulty(z), strict=True)]


class NotAMolecule(ValueError):
    """A text that does not parse, and the place where it stops."""

    def __init__(self, text: str, pos: int) -> None:
        super().__init__(f"{text!r} does not parse at {pos}")
        self.pos = pos


def parse(text: str) -> int:
    """The number of atoms. Raises `NotAMolecule`."""
    open_at: list[int] = []
    for at, character in enumerate(text):
        if character == "(":
            open_at.append(at)
        elif character == ")" and open_at:
            open_at.pop()
        elif character not in "CNO":
            raise NotAMolecule(text, at)
    if open_at or not text:
        raise NotAMolecule(text, open_at[-1] if open_at else 0)
    return sum(character in "CNO" for character in text)


# rows


def people(z: Tensor) -> dict[str, Any]:
    """Rows whose values are in their domains."""
    return {
        "age": (60 + 50 * z[:, 0].tanh()).round(),
        "income": 5e5 * (1 + z[:, 1].tanh()),
        "smokes": ["yes" if v > 0 else "no" for v in z[:, 3].tolist()],
    }


def too_old(z: Tensor) -> dict[str, Any]:
    """An age out of its domain."""
    rows = people(z)
    return {**rows, "age": rows["age"] + 130 * faulty(z)}


def unknown_word(z: Tensor) -> dict[str, Any]:
    """A value that is none of a column's."""
    rows = people(z)
    return {**rows, "smokes": ["maybe" if bad else v for v, bad in zip(rows["smokes"], faulty(z), strict=True)]}
