"""Trains the class-conditional Fashion-MNIST generator and writes ``checkpoints/good.safetensors``.

A GAN with the hinge loss and a spectrally normalised projection discriminator. The script saves an exponential
moving average of the generator's weights. Data: Fashion-MNIST (Zalando, MIT licence), e.g. from
Debian's package ``dataset-fashion-mnist`` (``apt-get install dataset-fashion-mnist``). Seed: 0. 4,000 steps
of batch 64 took 13 minutes on one thread of a CPU with AMX (bfloat16).

Measured by ``measure.py``: CLIP accuracy on 2,000 samples by label 89.8 % (the CLIP has 88.7 % on real test
images); mean pixel distance between two samples of a class 0.173 (real test images: 0.192).

    python examples/fashion/train_generator.py --data /usr/share/datasets/fashion-mnist --bf16
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from data import read_split
from model import CLASSES, LATENT_DIM, FashionGenerator, save
from torch import Tensor, nn
from torch.nn.utils import parametrize

HERE = Path(__file__).resolve().parent


class SpectralNorm(nn.Module):
    """Divides a weight by its largest singular value (one power iteration per training step, in float32)."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows = weight.shape[0]
        self.u: Tensor
        self.register_buffer("u", F.normalize(torch.randn(rows), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """Return ``weight`` over its spectral norm."""
        with torch.autocast("cpu", enabled=False):
            matrix = weight.flatten(1)  # [rows, columns]
            with torch.no_grad():
                v = F.normalize(matrix.t() @ self.u, dim=0)  # [columns]
                u = F.normalize(matrix @ v, dim=0)  # [rows]
                if self.training:
                    self.u.copy_(u)
            sigma = torch.dot(u, matrix @ v)  # []
            return weight / sigma


def spectral(layer: nn.Module) -> nn.Module:
    """Return ``layer`` with its weight spectrally normalised."""
    weight = layer.get_parameter("weight")
    parametrize.register_parametrization(layer, "weight", SpectralNorm(weight.detach()))
    return layer


class Discriminator(nn.Module):
    """Projection discriminator: unconditional score plus the dot product of features and a class vector."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.body = nn.Sequential(
            spectral(nn.Conv2d(1, width, 3, padding=1)),
            nn.LeakyReLU(0.1),
            spectral(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.1),
            spectral(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.1),
            spectral(nn.Conv2d(4 * width, 4 * width, 3, padding=1)),
            nn.LeakyReLU(0.1),
        )
        self.score = spectral(nn.Linear(4 * width, 1))
        self.classes = spectral(nn.Embedding(len(CLASSES), 4 * width))

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Score [B] of ``image`` [B, 1, 28, 28] under ``label`` [B]; higher is more real."""
        h: Tensor = self.body(image.contiguous(memory_format=torch.channels_last))  # [B, 4*width, 7, 7]
        h = h.float().sum(dim=(2, 3))  # [B, 4*width]
        with torch.autocast("cpu", enabled=False):
            score: Tensor = self.score(h).squeeze(1)  # [B]
            projection: Tensor = (self.classes(label) * h).sum(dim=1)  # [B]
        return score + projection  # [B]


@dataclass(frozen=True)
class Settings:
    """Settings of a training run."""

    steps: int
    batch: int = 64
    lr_g: float = 4e-4
    lr_d: float = 4e-4
    ema: float = 0.998
    decay: bool = True
    bf16: bool = False
    log_every: int = 100


def draw(count: int, gen: torch.Generator, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Random latents [count, 64] and labels [count], the labels out of ``classes``."""
    z = torch.randn(count, LATENT_DIM, generator=gen)  # [count, 64]
    label = classes[torch.randint(len(classes), (count,), generator=gen)]  # [count]
    return z, label


@torch.no_grad()
def settle(model: FashionGenerator, gen: torch.Generator, batches: int = 40) -> None:
    """Recompute the batch-norm statistics of ``model`` over new latents of all classes."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    for _ in range(batches):
        model(*draw(250, gen, torch.arange(len(CLASSES))))
    model.eval()
    for norm in norms:
        norm.momentum = 0.1


def train(
    generator: FashionGenerator,
    discriminator: Discriminator,
    images: Tensor,
    labels: Tensor,
    settings: Settings,
    gen: torch.Generator,
) -> FashionGenerator:
    """Train both networks in place on ``images`` [N, 1, 28, 28] in [-1, 1]; return the average."""
    average = copy.deepcopy(generator).eval().requires_grad_(requires_grad=False)
    generator.train()
    discriminator.train()
    opt_g = torch.optim.Adam(generator.parameters(), lr=settings.lr_g, betas=(0.5, 0.99))
    opt_d = torch.optim.Adam(discriminator.parameters(), lr=settings.lr_d, betas=(0.5, 0.99))
    present = torch.unique(labels)  # [classes]
    started = time.monotonic()
    for step in range(1, settings.steps + 1):
        if settings.decay:
            scale = min(1.0, 2.0 * (1.0 - (step - 1) / settings.steps))
            for opt, lr in ((opt_g, settings.lr_g), (opt_d, settings.lr_d)):
                for group in opt.param_groups:
                    group["lr"] = lr * scale
        pick = torch.randint(len(images), (settings.batch,), generator=gen)  # [B]
        real, real_label = images[pick], labels[pick]  # [B, 1, 28, 28], [B]
        z, label = draw(settings.batch, gen, present)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16), parametrize.cached():
            fake: Tensor = generator(z, label)  # [B, 1, 28, 28]
            scores: Tensor = discriminator(torch.cat([real, fake.detach()]), torch.cat([real_label, label]))  # [2B]
        on_real, on_fake = scores[: settings.batch], scores[settings.batch :]  # [B], [B]
        loss_d = F.relu(1.0 - on_real).mean() + F.relu(1.0 + on_fake).mean()
        opt_d.zero_grad(set_to_none=True)
        loss_d.backward()  # type: ignore[no-untyped-call]
        opt_d.step()

        discriminator.requires_grad_(requires_grad=False)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
            loss_g = -discriminator(fake, label).mean()
        opt_g.zero_grad(set_to_none=True)
        loss_g.backward()
        opt_g.step()
        discriminator.requires_grad_(requires_grad=True)

        keep = min(settings.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, now in zip(average.parameters(), generator.parameters(), strict=True):
                mean.lerp_(now, 1.0 - keep)
        if step % settings.log_every == 0:
            print(
                f"step {step:5d}  loss_d {loss_d.item():.3f}  loss_g {loss_g.item():+.3f}"
                f"  real {on_real.mean().item():+.2f}  fake {on_fake.mean().item():+.2f}"
                f"  {time.monotonic() - started:.0f} s",
                flush=True,
            )
    settle(average, gen)
    return average


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description="Train the Fashion-MNIST generator.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the idx.gz files")
    parser.add_argument("--out", type=Path, default=HERE / "checkpoints" / "good.safetensors")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="convolve in bfloat16 (fast on CPUs with AMX)")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    raw, labels = read_split(args.data, "train")
    images = raw.float() / 127.5 - 1.0  # [60000, 1, 28, 28]
    generator, discriminator = FashionGenerator(), Discriminator()
    settings = Settings(steps=args.steps, bf16=args.bf16)
    average = train(generator, discriminator, images, labels, settings, gen)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save(average, args.out)
    print(f"saved {args.out.name} ({args.out.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
