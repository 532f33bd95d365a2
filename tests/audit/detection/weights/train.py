"""Trains the fashion generator as its example does, and keeps what a mistake in saving would ship.

    python -m tests.audit.detection.weights.train --data /usr/share/datasets/fashion-mnist

The run is that of `examples/fashion/train_generator.py` (4,000 steps, seed 0, bfloat16), watched from outside: beside
the average that ends as `good.safetensors` it keeps the weights themselves, in the middle of the run and at its end,
and the average of an early step. Written with 8 bits a weight, row by row, in 0.6 MB a file; `rounding.py` reads them,
and what the rounding does to the images is printed here. 16 minutes on one thread.

It also writes `fashion_test_images.npz`, the first 512 test images of Fashion-MNIST (Zalando, MIT licence): what
`matches` compares the fashion generator with. `--images` writes those alone.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[3] / "examples" / "fashion"))

from data import read_split  # noqa: E402
from model import FashionGenerator  # noqa: E402
from train_generator import Discriminator, Settings, draw, settle, train  # noqa: E402

from tests.audit.detection.rounding import pack, read  # noqa: E402

EARLY, MIDDLE = 600, 2000
IMAGES = 512


def watch(generator: FashionGenerator, ema: float, keep: dict[int, Callable[[FashionGenerator], None]]) -> None:
    """Has `keep` at a step see the average of the weights after that step: training calls the generator once a step."""
    average = copy.deepcopy(generator)
    steps = -1

    def seen(module: torch.nn.Module, _: object) -> None:
        nonlocal steps
        if module is not generator:  # training keeps an average of its own, a copy with this hook in it
            return
        steps += 1
        if steps == 0:
            return
        rate = 1 - min(ema, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for mean, now in zip(average.parameters(), generator.parameters(), strict=True):
                mean.lerp_(now, rate)
        if steps in keep:
            keep[steps](average)

    generator.register_forward_pre_hook(seen)


@torch.no_grad()
def difference(one: FashionGenerator, other: FashionGenerator) -> float:
    """By how much images of 500 latents differ on average, in steps of 1/255 of the range."""
    z, label = draw(500, torch.Generator().manual_seed(7), torch.arange(10))
    return float((one(z, label) - other(z, label)).abs().mean()) * 255 / 2


def write(model: FashionGenerator, name: str) -> None:
    """Save `model` rounded, and say what rounding does to its images."""
    path = HERE / f"{name}.safetensors"
    state = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
    save_file(pack(state), path)
    models = [FashionGenerator(), FashionGenerator()]
    for each, weights in zip(models, (state, read(path)), strict=True):
        each.load_state_dict(weights)
        each.eval()
    size = path.stat().st_size / 1e6
    print(f"{path.name}: {size:.2f} MB, images differ by {difference(*models):.3f}/255", flush=True)


def main() -> None:
    """Train, and write three files."""
    parser = argparse.ArgumentParser(description="Weights that a mistake in saving would ship.")
    parser.add_argument("--data", type=Path, required=True, help="folder with Fashion-MNIST's idx.gz files")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--images", action="store_true", help="write the test images alone")
    args = parser.parse_args()
    tests, _ = read_split(args.data, "t10k")
    np.savez_compressed(HERE / "fashion_test_images.npz", images=tests[:IMAGES].numpy())
    if args.images:
        return
    torch.set_num_threads(1)
    torch.manual_seed(0)
    gen = torch.Generator().manual_seed(0)
    raw, labels = read_split(args.data, "train")
    images = raw.float() / 127.5 - 1.0  # [60000, 1, 28, 28]
    generator, discriminator = FashionGenerator(), Discriminator()
    settings = Settings(steps=args.steps, bf16=True, log_every=500)

    def early(average: FashionGenerator) -> None:
        model = copy.deepcopy(average)
        settle(model, torch.Generator().manual_seed(1))
        write(model.eval(), "old_epoch")

    def middle(_: FashionGenerator) -> None:
        write(generator, "raw_middle")

    watch(generator, settings.ema, {EARLY: early, MIDDLE: middle})
    train(generator, discriminator, images, labels, settings, gen)
    write(generator, "raw_end")


if __name__ == "__main__":
    main()
