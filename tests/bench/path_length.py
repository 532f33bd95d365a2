"""Row `path length`: gentest beside torch-fidelity and torchmetrics, on the same work.

The same generator, distance and number of paths, as many images to the generator at once. torchmetrics and
torch-fidelity are given a distance without their own resizing and rounding. glibc keeps freed memory: by default it
gives some of it back, and each of the three then spent 30 to 40 % of its time on page faults, more or fewer by chance.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import torch
import torch_fidelity
from torch import Tensor, nn
from torch_fidelity import registry
from torch_fidelity.sample_similarity_base import SampleSimilarityBase
from torchmetrics.functional.image import perceptual_path_length

import gentest
from tests.bench.figures import Asked, Figure, Target, compared, in_turn

DIM, PAIRS, SMALL = 128, 32, "small"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Options of `mallopt`, from malloc.h."""


def decoder(channels: int) -> nn.Module:
    """Latents [B, 128] to images [B, 3, 64, 64]: a DCGAN of random weights."""
    sizes = [channels * 8, channels * 4, channels * 2, channels]
    layers: list[nn.Module] = [nn.Unflatten(1, (DIM, 1, 1)), nn.ConvTranspose2d(DIM, sizes[0], 4), nn.ReLU()]
    for before, after in pairwise(sizes):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(sizes[-1], 3, 4, 2, 1), nn.Tanh()).eval()


class Perceptual(nn.Module):
    """A small network's activations: squared differences, of images in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU())

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return (self.net(first) - self.net(second)).square().mean((1, 2, 3))


def ways(paths: int, device: str, channels: int) -> dict[str, Callable[[], float]]:
    """The three measurements, each a mean path length."""
    torch.manual_seed(0)
    net, distance = decoder(channels).to(device), Perceptual().to(device)

    class Similarity(SampleSimilarityBase):  # type: ignore[misc]
        def __init__(self, name: str, **_: object) -> None:
            super().__init__(name)

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return distance(first / 255, second / 255)

    class Fidelity(torch_fidelity.GenerativeModelBase):  # type: ignore[misc]
        z_size, z_type, num_classes = DIM, "normal", 0

        def forward(self, z: Tensor) -> Tensor:
            return (net(z) + 1) * 127.5

    class Metrics(nn.Module):
        def sample(self, num_samples: int) -> Tensor:
            return torch.randn(num_samples, DIM)

        def forward(self, z: Tensor) -> Tensor:
            return (net(z) + 1) * 127.5

    class MinusOneToOne(nn.Module):
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return distance((first + 1) / 2, (second + 1) / 2)

    registry.SAMPLE_SIMILARITY_REGISTRY[SMALL] = Similarity
    generator = gentest.Generator(net, latent=gentest.Normal(DIM))
    own, some = gentest.distance(distance), gentest.settings(batch_size=2 * PAIRS, device=device)

    def ours() -> float:
        return gentest.perceptual_path_length(generator, distance=own, n=paths, straight=True, settings=some).mean

    def fidelity() -> float:
        found: dict[str, Any] = torch_fidelity.calculate_metrics(
            input1=Fidelity(), input1_model_num_samples=paths, ppl=True, ppl_sample_similarity=SMALL,
            ppl_sample_similarity_resize=None, ppl_sample_similarity_dtype="float32", batch_size=PAIRS,
            cuda=device != "cpu", verbose=False,
        )  # fmt: skip
        return float(found["perceptual_path_length_mean"])

    def metrics() -> float:
        mean, _, _ = perceptual_path_length(
            Metrics(), num_samples=paths, batch_size=PAIRS, resize=None, sim_net=MinusOneToOne(), device=device
        )
        return float(mean)

    return {"gentest": ours, "torch-fidelity": fidelity, "torchmetrics": metrics}


def path_length(asked: Asked) -> Iterator[Figure]:
    """Seconds of a path length, over those of the faster of torch-fidelity and torchmetrics; DCGANs of two sizes."""
    keep_freed_memory()
    with _percentiles_of_old():
        paths, device = asked.size(512, 4096, 64), str(asked.device)
        for channels in (16,) if asked.quick else (16, 64):
            named = ways(paths, device, channels)
            means = {name: way() for name, way in named.items()}  # and warm
            found = in_turn({name: lambda way=way: asked.seconds(way) for name, way in named.items()}, asked.rounds)
            peers = {name: times for name, times in found.items() if name != "gentest"}
            faster = min(peers, key=lambda name: median(peers[name]))
            lengths = ", ".join(f"{name} {mean:.4g}" for name, mean in means.items())
            yield compared(
                f"path length, DCGAN of {channels} channels, against {faster}",
                found["gentest"],
                peers[faster],
                unit="s",
                target=Target(1.02, "at most"),
                note=f"{paths} paths; lengths: {lengths}",
            )


def keep_freed_memory() -> None:
    """Let glibc keep all memory that this process frees, from here on. Elsewhere, nothing."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            libc.mallopt(option, 1 << 30)


@contextmanager
def _percentiles_of_old() -> Iterator[None]:
    """Inside, `np.percentile` knows the argument `interpolation`, which torch-fidelity 0.4 uses and NumPy 2.4 lacks."""
    original: Callable[..., Any] = np.percentile
    np.percentile = lambda a, q, interpolation="linear": original(a, q, method=interpolation)  # type: ignore[assignment]
    try:
        yield
    finally:
        np.percentile = original  # type: ignore[assignment]
