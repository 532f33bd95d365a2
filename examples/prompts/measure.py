"""Measures the painter and its reader from the saved files. Seed: 0.

For the reader, the script prints how often it is right on 2,000 real scenes of the test split. For the painter, it
prints how often the reader sees what the prompt asked for, by guidance scale, and by count and colour at the default
scale.

    PYTHONPATH=examples/fashion python examples/prompts/measure.py --data /usr/share/datasets/fashion-mnist
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
from pathlib import Path

import torch
from painter import GUIDANCE, Painter, load_into, paint
from pipeline import WEIGHTS
from reading import log_odds
from scenes import COLOURS, COUNTS, SIZE, THINGS, Caption, Scenes, prompt_of
from torch import Tensor

NAMES = ("kind", "colour", "count")
EACH = 20
"""Images of each prompt."""


def right(images: Tensor, prompts: list[str]) -> Tensor:
    """True where the reader sees the kind, the colour and the count that was asked for [B, 3]."""
    return torch.stack([log_odds(images, prompts, which) > 0 for which in range(3)], 1)


def painted(painter: Painter, prompts: list[str], guidance: float) -> Tensor:
    """An image in [0, 1] of each prompt [B, 3, 32, 32], the same noise at each guidance scale."""
    noise = torch.randn(len(prompts), 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    parts = [
        paint(painter, noise[start : start + 120], prompts[start : start + 120], guidance)
        for start in range(0, len(prompts), 120)
    ]
    return torch.cat(parts) / 2 + 0.5


def shares(label: str, seen: Tensor) -> None:
    """Print the shares of what was seen [N, 3]."""
    print(
        label.ljust(24),
        "  ".join(f"{name} {share:.1%}" for name, share in zip(NAMES, seen.double().mean(0), strict=True)),
    )


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description="Measure the painter and its reader.")
    parser.add_argument("--data", type=Path, help="folder with the idx.gz files, for the reader's quality")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.data is not None:
        scenes, captions = Scenes(args.data, "t10k").draw(2_000, torch.Generator().manual_seed(0))
        shares("real scenes", right(scenes / 2 + 0.5, [prompt_of(caption) for caption in captions]))
    captions = [
        Caption(thing, colour, count)
        for thing in range(len(THINGS))
        for colour in range(len(COLOURS))
        for count in range(len(COUNTS))
        for _ in range(EACH)
    ]
    prompts = [prompt_of(caption) for caption in captions]
    painter = load_into(Painter(), WEIGHTS)
    for guidance in (1.0, GUIDANCE, 4.0):
        seen = right(painted(painter, prompts, guidance), prompts)
        shares(f"painted, scale {guidance:g}", seen)
        if guidance == GUIDANCE:
            values: list[list[str | None]] = [[*THINGS], [*COLOURS], [*COUNTS]]
            for which, names in enumerate(values):
                for place, name in enumerate(names):
                    rows = torch.tensor([caption[which] == place for caption in captions])
                    shares(f"  {name or 'none'}", seen[rows])


if __name__ == "__main__":
    main()
