"""Scenes of garments and the prompts that describe them: "a red coat twice" is two coats, both red.

A scene is 32 x 32 RGB in [-1, 1], black behind. One, two or three garments of Fashion-MNIST, halved to 14 x 14, lie in
different quarters of it, moved by up to two pixels. All are of one kind and one colour.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from data import read_split
from torch import Tensor

THINGS = {"coat": 4, "bag": 8, "sneaker": 7, "boot": 9}
"""The kinds of garment, and their labels in Fashion-MNIST."""
COLOURS = {
    None: (1.0, 1.0, 1.0),
    "red": (1.0, 0.15, 0.1),
    "green": (0.15, 0.9, 0.2),
    "blue": (0.2, 0.35, 1.0),
    "yellow": (1.0, 0.85, 0.1),
}
"""The colours, and their RGB in [0, 1]. A prompt without a colour asks for white."""
COUNTS = {None: 1, "twice": 2, "three times": 3}
"""The words for the number of garments. A prompt without one asks for a single garment."""
SIZE = 32
GARMENT = 14


class Caption(NamedTuple):
    """A kind, a colour and a number, as places in `THINGS`, `COLOURS` and `COUNTS`."""

    thing: int
    colour: int
    number: int


def read(prompt: str) -> Caption:
    """The scene that a prompt describes. Raises `ValueError` for a prompt that names no kind of garment.

    >>> read("a red coat three times")
    Caption(thing=0, colour=1, number=2)
    """
    words = prompt.split()
    things = [at for at, name in enumerate(THINGS) if name in words]
    if not things:
        raise ValueError(f"{prompt!r} names no garment: expected one of {', '.join(THINGS)}")
    colour = next((at for at, name in enumerate(COLOURS) if name in words), 0)
    count = next((at for at, name in enumerate(COUNTS) if name is not None and name.split()[0] in words), 0)
    return Caption(things[0], colour, count)


def prompt_of(caption: Caption) -> str:
    """The prompt that asks for a caption.

    >>> prompt_of(Caption(thing=1, colour=0, number=1))
    'a bag twice'
    """
    words = ("a", list(COLOURS)[caption.colour], list(THINGS)[caption.thing], list(COUNTS)[caption.number])
    return " ".join(word for word in words if word)


class Scenes:
    """Scenes of the garments of one split of Fashion-MNIST, drawn at random."""

    def __init__(self, folder: Path, split: str) -> None:
        images, labels = read_split(folder, split)
        halved = F.avg_pool2d(images.float() / 255, 2)  # [N, 1, 14, 14]
        self._garments = [halved[labels == label] for label in THINGS.values()]

    def draw(self, n: int, gen: torch.Generator) -> tuple[Tensor, list[Caption]]:
        """`n` scenes [n, 3, 32, 32] in [-1, 1] and their captions, all equally likely."""
        sizes = len(THINGS), len(COLOURS), len(COUNTS)
        drawn = torch.stack([torch.randint(size, (n,), generator=gen) for size in sizes], 1)  # [n, 3]
        captions = [Caption(*row) for row in drawn.tolist()]
        counts, colours = list(COUNTS.values()), torch.tensor(list(COLOURS.values()))  # [colours, 3]
        scenes = torch.zeros(n, 3, SIZE, SIZE)
        for scene, caption in zip(scenes, captions, strict=True):
            of_kind, colour = self._garments[caption.thing], colours[caption.colour][:, None, None]  # [3, 1, 1]
            for quarter in torch.randperm(4, generator=gen)[: counts[caption.number]].tolist():
                one = of_kind[int(torch.randint(len(of_kind), (), generator=gen))]  # [1, 14, 14]
                moved = torch.randint(3, (2,), generator=gen).tolist()
                top, left = moved[0] + quarter // 2 * SIZE // 2, moved[1] + quarter % 2 * SIZE // 2
                scene[:, top : top + GARMENT, left : left + GARMENT] = one * colour
        return scenes * 2 - 1, captions
