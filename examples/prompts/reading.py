"""Attributes that see the prompt: the reader looks at an image, and says how well it fits what was asked.

Scores are log-odds: of the kind, colour or count that the prompt asks for, against the likeliest other one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from painter import Reader, load_into, split_logits
from scenes import read
from torch import Tensor

import gentest

WEIGHTS = Path(__file__).with_name("reader.safetensors")


# no lru_cache: gentest could not read what it holds, and would not keep scores in its cache
READER = load_into(Reader(), WEIGHTS)


def log_odds(images: Tensor, prompt: list[str], which: int) -> Tensor:
    """The log-odds [B] of what each prompt asks for in images [B, 3, 32, 32] in [0, 1].

    `which` is 0 for the kind of garment, 1 for its colour and 2 for the count.
    """
    with torch.no_grad():
        logits = split_logits(READER(images * 2 - 1))[which]  # [B, K]
    wanted = torch.tensor([[read(text)[which]] for text in prompt])  # [B, 1]
    others = logits.scatter(1, wanted, -torch.inf).amax(1)
    return logits.gather(1, wanted)[:, 0] - others


def _asked(which: int) -> Callable[..., Tensor]:
    def score(images: Tensor, prompt: list[str]) -> Tensor:
        return log_odds(images, prompt, which)

    return score


kind, colour, count = (
    gentest.attribute(_asked(which), name=f"{name} as asked", sees=["prompt"])
    for which, name in enumerate(("kind", "colour", "count"))
)
