"""Films, recordings, rows and texts with a fault, drawn as the engine draws them."""

from __future__ import annotations

from typing import Any

import torch

import gentest
from gentest.engine import media_drawings
from gentest.engine.places import Place
from gentest.results.document import Document
from gentest.results.drawings import Drawings
from gentest.results.media import Media
from tests.helpers import kinds
from tests.helpers.drawn import SESSION, failed

KINDS = ("film", "recording", "row", "script")


def media(kind: str, *, n: int = 1) -> Media:
    """The outputs of a probe of a kind, film, recording, row or script, each with its worst place marked."""
    z = torch.tensor([[0.1, 0.2, 2.0, 0.3]]).repeat(n, 1)
    video, sound = gentest.Video(fps=8), gentest.Audio(rate=kinds.RATE)
    of: dict[str, tuple[gentest.Kind, Any, tuple[int, int]]] = {
        "film": (video, kinds.stepping(z), (7, 9)),
        "recording": (sound, kinds.losing(z), (240, 241)),
        "row": (kinds.TABLE, kinds.too_old(z), (0, 1)),
        "script": (gentest.Tokens(text=True, longest=32), kinds.unclosed(z), (1, 2)),
    }
    own, raw, (start, stop) = of[kind]
    outputs = own.read(raw, n, {"z": (n, 4)}, None)
    made = media_drawings.media(
        own, [(str(i + 1), output) for i, output in enumerate(outputs)], [Place(0, start, stop, "")]
    )
    assert made is not None
    return made


def document() -> Document:
    """A run in which a property of each kind failed."""
    results = (
        failed(f"test_{kind}", drawings=Drawings(minimal_media=media(kind), sample_media=media(kind, n=2)))
        for kind in KINDS
    )
    return Document(SESSION, tuple(results))
