"""Trains the painter and its reader on scenes of Fashion-MNIST, and writes both into this folder.

Data: Fashion-MNIST (Zalando, MIT licence), as for `examples/fashion/train_generator.py`: Debian's package
`dataset-fashion-mnist`. Seed: 0. The painter learns by flow matching, from prompts of which one in ten is empty; the
file has an exponential moving average of its weights. 1,800 steps of 64 scenes took ten minutes on one core.

Measured by `measure.py`: the reader is right about the kind of 98.4 %, the colour of 100 % and the count of 99.9 % of
2,000 real scenes. Of 1,200 painted ones at guidance scale 2, it sees the kind that was asked for in 98.4 %, the colour
in 99.7 % and the count in 85.9 %.

    PYTHONPATH=examples/fashion python examples/prompts/train_painter.py --data /usr/share/datasets/fashion-mnist
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from painter import Painter, Reader, save, split_logits
from scenes import Scenes, prompt_of

HERE = Path(__file__).resolve().parent
EMPTY = 0.1
"""The share of prompts that are left out, for guidance."""


def train_painter(scenes: Scenes, *, steps: int, batch: int, rate: float, gen: torch.Generator) -> Painter:
    """The average of a painter's weights over its training."""
    painter = Painter().to(memory_format=torch.channels_last)
    average = copy.deepcopy(painter).requires_grad_(requires_grad=False)
    optimizer = torch.optim.AdamW(painter.parameters(), lr=rate, weight_decay=0.01)
    started, total = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        warm = min(1.0, step / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate * warm
        real, captions = scenes.draw(batch, gen)  # [B, 3, 32, 32]
        empty = torch.rand(batch, generator=gen) < EMPTY  # [B]
        prompts = ["" if left else prompt_of(caption) for left, caption in zip(empty.tolist(), captions, strict=True)]
        noise = torch.randn(real.shape, generator=gen)  # [B, 3, 32, 32]
        at = torch.sigmoid(torch.randn(batch, generator=gen))  # [B]
        mixed = torch.lerp(noise, real, at[:, None, None, None])  # [B, 3, 32, 32]
        velocity = painter(mixed.contiguous(memory_format=torch.channels_last), at, prompts)  # [B, 3, 32, 32]
        loss = F.mse_loss(velocity, real - noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(painter.parameters(), 1.0)
        optimizer.step()
        keep = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, now in zip(average.parameters(), painter.parameters(), strict=True):
                mean.lerp_(now, 1.0 - keep)
        total += loss.item()
        if step % 100 == 0:
            print(f"step {step:5d}  loss {total / 100:.4f}  {time.monotonic() - started:.0f} s", flush=True)
            total = 0.0
    return average.eval()


def train_reader(scenes: Scenes, *, steps: int, batch: int, gen: torch.Generator) -> Reader:
    """A reader of scenes that are noisy by up to a tenth of their range, so that it reads painted ones as well."""
    reader = Reader()
    optimizer = torch.optim.AdamW(reader.parameters(), lr=2e-3, weight_decay=0.05)
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        real, captions = scenes.draw(batch, gen)  # [B, 3, 32, 32]
        strength = 0.2 * torch.rand(batch, 1, 1, 1, generator=gen)
        noisy = (real + strength * torch.randn(real.shape, generator=gen)).clamp(-1, 1)
        wanted = torch.tensor(captions)  # [B, 3]
        losses = [F.cross_entropy(one, wanted[:, k]) for k, one in enumerate(split_logits(reader(noisy)))]
        loss = torch.stack(losses).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 200 == 0:
            print(f"reader step {step:5d}  loss {loss.item():.3f}", flush=True)
    return reader.eval()


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description="Train the painter and its reader.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the idx.gz files")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--reader-steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    scenes = Scenes(args.data, "train")
    models = {
        "reader": train_reader(scenes, steps=args.reader_steps, batch=args.batch, gen=gen),
        "painter": train_painter(scenes, steps=args.steps, batch=args.batch, rate=args.rate, gen=gen),
    }
    for name, model in models.items():
        path = args.out / f"{name}.safetensors"
        save(model, path)
        print(f"saved {path.name} ({path.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
