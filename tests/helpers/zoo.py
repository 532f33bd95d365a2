"""A zoo of analytic generators with known margins, shared by every test of the engine.

Each makes images [B, 1, 2, 2] of one grey level, so that brightness is the level. The levels are written for the
uniform space (paths are straight lines) unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import gentest

UNIT = (0.0, 1.0)


def images(level: Tensor) -> Tensor:
    """Grey images [B, 1, 2, 2] of levels [B]."""
    return level[:, None, None, None].expand(-1, 1, 2, 2)


@dataclass
class Counted:
    """A function of latents that remembers its batch sizes."""

    level: Callable[[Tensor], Tensor]
    batches: list[int] = field(default_factory=list)

    def __call__(self, z: Tensor) -> Tensor:
        self.batches.append(len(z))
        return images(self.level(z))


def generator(level: Callable[[Tensor], Tensor], latent: gentest.Space | None = None) -> gentest.Generator:
    """A generator of grey levels in [0, 1]; `.function.batches` lists its batch sizes."""
    return gentest.Generator(Counted(level), latent=latent or gentest.Uniform(8), output_range=UNIT)


def linear(z: Tensor) -> Tensor:
    """Level linear in z: between its ends, monotone and even on every straight path."""
    return 0.5 + 0.1 * z[:, :4].mean(1)


def fold(z: Tensor) -> Tensor:
    """Level |z_0|: leaves the range of its ends by up to 0.2 wherever a path crosses z_0 = 0."""
    return 0.1 + 0.2 * z[:, 0].abs() / 3**0.5


def jump(z: Tensor) -> Tensor:
    """Level with a step of 0.5 at z_0 = 0, elsewhere a slope of 0.05."""
    return 0.2 + 0.5 * (z[:, 0] > 0) + 0.05 * z[:, 1]


def collapsed(z: Tensor) -> Tensor:
    """The same level for every z."""
    return torch.full((len(z),), 0.5)


def planted(index: int, *, height: float = 0.3) -> Callable[[Tensor], Tensor]:
    """A smooth background over all coordinates, and a ridge where coordinate `index` is within 0.05 of 1.2."""

    def level(z: Tensor) -> Tensor:
        background = 0.4 + 0.02 * z.mean(1) * z.shape[1] ** 0.5
        return background + height * ((z[:, index] - 1.2).abs() < 0.05)

    return level


def modes(n: int) -> Callable[[Tensor], Tensor]:
    """Collapsed to `n` levels, 1 / n apart and equally likely in the box."""

    def level(z: Tensor) -> Tensor:
        place = ((z[:, 0] / 3**0.5 + 1) / 2 * n).floor().clamp(0, n - 1)
        return (place + 0.5) / n

    return level


@dataclass
class Colours:
    """Images [B, 3, 2, 2] whose red and green are 0.5 + 0.03 w z, for the rows of `weights` [2, d]; blue is 0.5."""

    weights: Tensor
    dead: bool = False
    """Whether red stays where it is in half of the space: where z_0 > 0."""

    def __call__(self, z: Tensor) -> Tensor:
        red, green = (0.5 + 0.03 * z.flatten(1) @ self.weights.T).unbind(1)
        if self.dead:
            red = torch.where(z.flatten(1)[:, 0] > 0, 0.5, red)
        return torch.stack([red, green, torch.full_like(red, 0.5)], 1)[:, :, None, None].expand(-1, 3, 2, 2)


def entangled(dim: int, cosine: float) -> Tensor:
    """Two random unit directions [2, dim] at an angle of this cosine."""
    first, other = torch.randn(2, dim, generator=torch.Generator().manual_seed(5))
    first = first / first.norm()
    other = other - (other @ first) * first
    return torch.stack([first, cosine * first + (1 - cosine**2) ** 0.5 * other / other.norm()])


def red(images: Tensor) -> Tensor:
    """The level of red [B]."""
    return images[:, 0].mean((1, 2))


def green(images: Tensor) -> Tensor:
    """The level of green [B]."""
    return images[:, 1].mean((1, 2))


@dataclass
class Labelled:
    """Grey images of level (label + 0.5) / 10, give or take 0.02; of label `wrong`, those of the next."""

    wrong: int | None = None

    def __call__(self, z: Tensor, label: Tensor) -> Tensor:
        shown = torch.where(label == self.wrong, label + 1, label) if self.wrong is not None else label
        return images((shown + 0.5) / 10 + 0.02 * z[:, 0].tanh())


def by_level(n: int) -> Callable[[Tensor], Tensor]:
    """A classifier [B, n] of the images of `Labelled`: class k is nearest to its level."""
    return lambda images: -((images.mean((1, 2, 3))[:, None] * 10 - 0.5 - torch.arange(n, device=images.device)) ** 2)


class Decoder(nn.Module):
    """Images [B, 1, 2, 2] of latents [B, 3], with weights of several kinds; dropout where it is left in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))
        self.low = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
        self.register_buffer("empty", torch.zeros(0))
        self.register_buffer("flag", torch.tensor(data=True))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).tanh().reshape(-1, 1, 2, 2)

    def decode(self, z: Tensor, scale: float = 1.0) -> Tensor:
        return self(z) * scale


def slope(z: Tensor) -> Tensor:
    """A level that is linear in z, small enough for any prior."""
    return 0.5 + 0.02 * z[:, 0].clamp(-5, 5)


def edge(z: Tensor) -> Tensor:
    """A slope, and a step where a coordinate passes 1.8, where no box of the normal's variance reaches."""
    return slope(z) + 0.3 * (z.abs().amax(1) > 1.8)


def of_labels(z: Tensor, label: Tensor) -> Tensor:
    """Images whose level folds for label 3 alone."""
    return images(torch.where(label == 3, 0.5 + 0.1 * z[:, 0].abs().clamp(max=4), slope(z)))


FOLDS_FOR_LABEL_3 = gentest.Generator(
    of_labels, latent=gentest.Joint(z=gentest.Uniform(4), label=gentest.Categorical(5)), output_range=UNIT
)
"""`of_labels` on a box, with five labels."""
