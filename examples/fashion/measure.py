"""Measures the Fashion-MNIST CLIP and generators from the saved files and prints the numbers.

open_clip loads the CLIP (``local-dir:``) and preprocesses real images. For the CLIP, the script prints its
zero-shot accuracy on the 10,000 test images. For each checkpoint, it prints the CLIP accuracy on 2,000 samples by
label, the distance between two independent samples of the same class, and scores along 500 slerp paths of 9 points. The
data folder is that of ``train_generator.py``. Seed: 0.

    python examples/fashion/measure.py --data /usr/share/datasets/fashion-mnist
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from data import read_split
from model import CLASSES, LATENT_DIM, FashionGenerator, load
from PIL import Image
from torch import Tensor

HERE = Path(__file__).resolve().parent
PER_CLASS = 200
PATHS = 500
POINTS = 9


class Clip:
    """The saved CLIP with the text embeddings of the class and tone prompts."""

    def __init__(self, folder: Path) -> None:
        self.model: Any
        self.preprocess: Callable[[Image.Image], Tensor]
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self.model.eval()
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.scale: float = self.model.logit_scale.exp().item()
        normalize: Any = self.preprocess.transforms[-1]  # type: ignore[attr-defined]
        self.mean, self.std = float(normalize.mean[0]), float(normalize.std[0])
        with torch.no_grad():
            self.plain, self.dark, self.bright = (
                self.model.encode_text(tokenizer([prompt.format(c) for c in CLASSES]), normalize=True)
                for prompt in ("a photo of a {}", "a photo of a dark {}", "a photo of a bright {}")
            )  # [10, D] each

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Unit embeddings [N, D] of ``images`` [N, 1, 28, 28] in [0, 1], preprocessed as tensors."""
        pixels = ((images - self.mean) / self.std).expand(-1, 3, -1, -1)  # [N, 3, 28, 28]
        return torch.cat([self.model.encode_image(part, normalize=True) for part in torch.split(pixels, 500)])

    @torch.no_grad()
    def embed_files(self, raw: Tensor) -> Tensor:
        """Unit embeddings [N, D] of ``raw`` [N, 1, 28, 28] (uint8), through open_clip's own preprocessing."""
        found = []
        for part in torch.split(raw, 500):
            pixels = torch.stack([self.preprocess(Image.fromarray(image[0].numpy())) for image in part])
            found.append(self.model.encode_image(pixels, normalize=True))  # [500, D]
        return torch.cat(found)

    def accuracy(self, embeds: Tensor, labels: Tensor) -> tuple[float, list[float]]:
        """Zero-shot top-1 accuracy of ``embeds`` [N, D]: over all, and by class."""
        right = (embeds @ self.plain.t()).argmax(dim=1) == labels  # [N]
        each = [right[labels == k].float().mean().item() for k in range(len(CLASSES))]
        return right.float().mean().item(), each

    def brightness(self, embeds: Tensor, labels: Tensor) -> Tensor:
        """Log-odds [N] of "a photo of a bright {class}" against "a photo of a dark {class}"."""
        axis = self.bright[labels] - self.dark[labels]  # [N, D]
        odds: Tensor = self.scale * (embeds * axis).sum(dim=1)  # [N]
        return odds


@torch.no_grad()
def sample(model: FashionGenerator, z: Tensor, labels: Tensor) -> Tensor:
    """Images [N, 1, 28, 28] in [0, 1] of ``z`` [N, 64] and ``labels`` [N]."""
    parts = zip(torch.split(z, 500), torch.split(labels, 500), strict=True)
    return torch.cat([(model(a, b) + 1) / 2 for a, b in parts])


def slerp(start: Tensor, end: Tensor, points: int) -> Tensor:
    """Spherical interpolation [N, points, D] from ``start`` [N, D] to ``end`` [N, D], both included."""
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1)  # [N]
    angle = cosine.clamp(-1, 1).acos()[:, None, None]  # [N, 1, 1]
    t = torch.linspace(0, 1, points)[None, :, None]  # [1, points, 1]
    near = ((1 - t) * angle).sin() / angle.sin()  # [N, points, 1]
    far = (t * angle).sin() / angle.sin()  # [N, points, 1]
    return near * start[:, None] + far * end[:, None]


def outside(values: Tensor) -> Tensor:
    """Distance [N] by which each row of ``values`` [N, points] leaves the interval between its two ends."""
    ends = values[:, [0, -1]]  # [N, 2]
    low, high = ends.amin(dim=1), ends.amax(dim=1)  # [N], [N]
    return torch.maximum(values.amax(dim=1) - high, low - values.amin(dim=1)).clamp_min(0)


def report_excess(title: str, values: Tensor, limits: tuple[float, ...]) -> None:
    """Print the share of the rows of ``values`` [N, points] that leave their ends by more than each limit."""
    excess = outside(values)  # [N]
    shares = [f"> {limit:g}: {100 * (excess > limit).float().mean().item():.1f} %" for limit in limits]
    spread = (values[:, -1] - values[:, 0]).abs().median().item()
    print(f"  {title:<21} {'  '.join(shares)}  (median |end - start| {spread:.3f})")


def by_class(values: list[float]) -> str:
    """The classes, each with its number, on one line."""
    return "  ".join(f"{name} {value:.3f}" for name, value in zip(CLASSES, values, strict=True))


def report_pairs(images: Tensor, embeds: Tensor, labels: Tensor) -> None:
    """Print the distances of pairs of a class in ``images`` [N, 1, 28, 28] and in ``embeds`` [N, D]."""
    pixel: list[Tensor] = []
    cosine: list[Tensor] = []
    for k in range(len(CLASSES)):
        own, vec = images[labels == k], embeds[labels == k]  # [n, 1, 28, 28], [n, D]
        pixel.append((own[0::2] - own[1::2]).abs().mean(dim=(1, 2, 3)))  # [n / 2]
        cosine.append(1 - (vec[0::2] * vec[1::2]).sum(dim=1))  # [n / 2]
    for title, found in (("pair L1 distance", pixel), ("pair CLIP distance", cosine)):
        means = [one.mean().item() for one in found]
        pairs = torch.cat(found)  # [N / 2]
        low, mid, high = (pairs.quantile(q).item() for q in (0.01, 0.5, 0.99))
        print(f"  {title:<21} mean {np.mean(means):.4f} | {by_class(means)}")
        print(
            f"    of single pairs     p1 {low:.4f}  median {mid:.4f}  p99 {high:.4f}"
            f"  (min {pairs.min().item():.4f}, max {pairs.max().item():.4f})"
        )


def report(path: Path, clip: Clip) -> None:
    """Print the numbers of one checkpoint."""
    model = load(path)
    gen = torch.Generator().manual_seed(0)
    labels = torch.arange(len(CLASSES)).repeat_interleave(PER_CLASS)  # [2000]
    images = sample(model, torch.randn(len(labels), LATENT_DIM, generator=gen), labels)  # [2000, 1, 28, 28]
    embeds = clip.embed(images)  # [2000, D]
    mean, each = clip.accuracy(embeds, labels)
    print(f"\n{path.name} ({path.stat().st_size} bytes)")
    print(f"  CLIP accuracy         {mean:.4f} | {by_class(each)}")
    report_pairs(images, embeds, labels)

    ends = torch.randn(2, PATHS, LATENT_DIM, generator=gen)  # [2, 500, 64]
    route = slerp(ends[0], ends[1], POINTS)  # [500, 9, 64]
    same = torch.arange(PATHS).remainder(len(CLASSES)).repeat_interleave(POINTS)  # [4500]
    frames = sample(model, route.flatten(0, 1), same)  # [4500, 1, 28, 28]
    light = frames.mean(dim=(1, 2, 3)).view(PATHS, POINTS)  # [500, 9]
    odds = clip.brightness(clip.embed(frames), same).view(PATHS, POINTS)  # [500, 9]
    film = frames.view(PATHS, POINTS, -1)  # [500, 9, 784]
    step = (film[:, 1:] - film[:, :-1]).abs().mean(dim=2)  # [500, 8]
    jump = step.amax(dim=1) / step.mean(dim=1).clamp_min(1e-9)  # [500]
    report_excess("brightness excess", light, (0.02, 0.05, 0.1))
    report_excess("CLIP log-odds excess", odds, (0.25, 0.5, 1.0, 2.0))
    print(
        f"  largest/mean step     median {jump.median().item():.3f}  p99 {jump.quantile(0.99).item():.3f}"
        f"  max {jump.max().item():.3f}"
        f"  (mean step {step.mean().item():.4f}, largest {step.max().item():.4f})"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the Fashion-MNIST CLIP and generators.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the idx.gz files")
    parser.add_argument("--clip", type=Path, default=HERE / "clip")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("checkpoints", type=Path, nargs="*", help="default: all of checkpoints/")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    clip = Clip(args.clip)
    raw, labels = read_split(args.data, "t10k")
    embeds = clip.embed_files(raw)  # [10000, D]
    mean, each = clip.accuracy(embeds, labels)
    print(f"CLIP, 10,000 test images, 'a photo of a {{class}}' (logit scale {clip.scale:.2f})")
    print(f"  zero-shot accuracy    {mean:.4f} | {by_class(each)}")
    images = raw.float() / 255  # [10000, 1, 28, 28]
    light = images.mean(dim=(1, 2, 3))  # [10000]
    odds = clip.brightness(embeds, labels)  # [10000]
    agree = [
        ((odds > 0) == (light > light[labels == k].median()))[labels == k].float().mean().item()
        for k in range(len(CLASSES))
    ]
    print(f"  bright/dark agrees    {np.mean(agree):.4f} | {by_class(agree)}")
    report_pairs(images, embeds, labels)
    for path in args.checkpoints or sorted((HERE / "checkpoints").glob("*.safetensors")):
        report(path, clip)


if __name__ == "__main__":
    main()
