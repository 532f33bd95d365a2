"""The memory of an attack on large outputs: the most that the process ever had, over what it has without an attack.

    python -m tests.bench.attack_memory [--size 1024] [--channels 16]

The generator is an upsampling network as StyleGAN's is: from 4 x 4 to 1024 x 1024 in nine steps of two 3 x 3
convolutions, `channels` of them at the largest size and twice as many each step below, up to 512 (random weights).
`between(brightness)` is attacked on 3-point paths, for one round of 16 paths: 48 images, 604 MB of outputs at 1024 x
1024, and as much again for their gradients if they were kept. Beside it what a single image takes with gradients, the
least that any attack can do with, and what is made without: one image, and the search alone. Each in a process of its
own. On a CUDA device its peak is printed, too.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from itertools import pairwise

import torch
from torch import Tensor, nn

import gentest

WAYS = ("one image", "one image with gradients", "search", "attack")


class Upsampling(nn.Module):
    """Images [B, 3, size, size] of latents [B, 512]."""

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        widths, at = [], size
        while at >= 4:
            widths.append(min(channels * size // at, 512))
            at //= 2
        widths.reverse()
        layers: list[nn.Module] = [nn.Linear(512, widths[0] * 16), nn.Unflatten(1, (widths[0], 4, 4))]
        for before, after in pairwise(widths):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(after, after, 3, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """The images."""
        made: Tensor = self.layers(z)
        return made


def run(way: str, size: int, channels: int) -> None:
    """One of `WAYS`, and the most memory that the process had, in MB."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = Upsampling(size, channels)
    generator = gentest.Generator(net, latent=gentest.Normal(512))
    generator.to(device)
    started = time.monotonic()
    if way.startswith("one image"):
        z = torch.randn(1, 512, device=device, requires_grad=True)
        with torch.set_grad_enabled(way.endswith("gradients")):
            made = generator.outputs({"": z})
        if way.endswith("gradients"):
            torch.autograd.grad(made.mean(), z)
    else:
        n = 16 * 3 if way == "attack" else 0
        given = gentest.settings(examples=2, attack=n, batch_size=1, device=str(device))
        gentest.between(gentest.brightness(), tolerance=1.0, points=3).check(generator, settings=given)
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    on_device = f", {torch.cuda.max_memory_allocated() / 2**20:,.0f} MB on the device" if device.type == "cuda" else ""
    print(f"{way:<26} {host:8,.0f} MB{on_device}  {time.monotonic() - started:6.1f} s", flush=True)


def main() -> None:
    """Each way in a process of its own."""
    parser = argparse.ArgumentParser(description="The memory of an attack.")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--way", choices=WAYS)
    args = parser.parse_args()
    if args.way:
        run(args.way, args.size, args.channels)
        return
    for way in WAYS:
        own = ["--size", str(args.size), "--channels", str(args.channels), "--way", way]
        subprocess.run([sys.executable, "-m", "tests.bench.attack_memory", *own], check=True)


if __name__ == "__main__":
    main()
