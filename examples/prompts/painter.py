"""A small text-to-image model: words to scenes of coloured garments, by flow matching.

`Painter` predicts the velocity from noise to a scene (Lipman et al. 2023, arXiv:2210.02747). It reads a prompt as the
set of its words, so any text is a prompt; words that it has never seen mean nothing to it. `paint` integrates the
velocity in Euler steps with classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598). `Reader` looks at a
scene and says what it sees. Weights are float16 safetensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from scenes import COLOURS, COUNTS, SIZE, THINGS
from torch import Tensor, nn

WORDS = ("a", *THINGS, *(name for name in COLOURS if name), "twice", "three", "times")
Model = TypeVar("Model", bound=nn.Module)
STEPS = 10
GUIDANCE = 2.0


class Block(nn.Module):
    """Two convolutions with a shortcut, scaled and shifted by a vector for each image."""

    def __init__(self, inward: int, outward: int, condition: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, inward), nn.Conv2d(inward, outward, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, outward), nn.Conv2d(outward, outward, 3, padding=1)
        self.film = nn.Linear(condition, 2 * outward)
        self.shortcut = nn.Conv2d(inward, outward, 1) if inward != outward else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Features [B, C, H, W] under a condition [B, D]."""
        gain, shift = self.film(condition)[:, :, None, None].chunk(2, 1)  # [B, C, 1, 1] each
        h = self.conv1(F.silu(self.norm1(x)))  # [B, C, H, W]
        h = self.conv2(F.silu(self.norm2(h) * (1 + gain) + shift))  # [B, C, H, W]
        out: Tensor = h + self.shortcut(x)
        return out


class Attention(nn.Module):
    """Each place of a map looks at all others, so that garments can be counted."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.heads = nn.GroupNorm(8, width), 4
        self.qkv, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, C, H, W]."""
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, h * w).transpose(3, 4).unbind(1)
        seen = F.scaled_dot_product_attention(q, k, v)  # [B, heads, HW, C / heads]
        out: Tensor = x + self.out(seen.transpose(2, 3).reshape(b, c, h, w))
        return out


class Painter(nn.Module):
    """The velocity of noisy scenes under their prompts: a U-Net on squares of 2 x 2 pixels."""

    def __init__(self, width: int = 48, condition: int = 128) -> None:
        super().__init__()
        self.embed = nn.EmbeddingBag(len(WORDS), condition, mode="sum")
        self.read = nn.Sequential(nn.Linear(2 * condition, condition), nn.SiLU(), nn.Linear(condition, condition))
        self.width, self.condition = width, condition
        self.place = nn.Parameter(torch.zeros(1, width, SIZE // 2, SIZE // 2))
        self.inward = nn.Conv2d(12, width, 3, padding=1)
        self.high = Block(width, width, condition)
        self.down = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.low1, self.look1 = Block(2 * width, 2 * width, condition), Attention(2 * width)
        self.low2, self.look2 = Block(2 * width, 2 * width, condition), Attention(2 * width)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.last = Block(2 * width, width, condition)
        self.norm, self.outward = nn.GroupNorm(8, width), nn.Conv2d(width, 12, 3, padding=1)
        nn.init.zeros_(self.outward.weight)

    def forward(self, scenes: Tensor, time: Tensor, prompts: Sequence[str]) -> Tensor:
        """The velocity [B, 3, 32, 32] of noisy scenes [B, 3, 32, 32] at times [B], 0 for noise and 1 for a scene."""
        rates = torch.exp(torch.linspace(0, math.log(200), self.condition // 2, device=time.device))  # [D / 2]
        angles = time[:, None] * rates  # [B, D / 2]
        condition = F.silu(self.read(torch.cat([angles.sin(), angles.cos(), self._words(prompts)], 1)))  # [B, D]
        x = self.inward(F.pixel_unshuffle(scenes, 2)) + self.place  # [B, W, 16, 16]
        high = self.high(x, condition)  # [B, W, 16, 16]
        low = self.look1(self.low1(self.down(high), condition))  # [B, 2W, 8, 8]
        low = self.look2(self.low2(low, condition))  # [B, 2W, 8, 8]
        last = self.last(torch.cat([self.up(low), high], 1), condition)  # [B, W, 16, 16]
        return F.pixel_shuffle(self.outward(F.silu(self.norm(last))).float(), 2)  # [B, 3, 32, 32]

    def _words(self, prompts: Sequence[str]) -> Tensor:
        """The sum of the embeddings of each prompt's words [B, D]."""
        known = [sorted({WORDS.index(word) for word in prompt.lower().split() if word in WORDS}) for prompt in prompts]
        device = self.embed.weight.device
        starts = torch.tensor([0, *(len(words) for words in known)]).cumsum(0)[:-1]  # [B]
        flat = torch.tensor([word for words in known for word in words], dtype=torch.int64)
        found: Tensor = self.embed(flat.to(device), starts.to(device))
        return found


@torch.no_grad()
def paint(
    painter: Painter, noise: Tensor, prompts: Sequence[str], guidance: float = GUIDANCE, steps: int = STEPS
) -> Tensor:
    """Scenes [B, 3, 32, 32] in [-1, 1] from noise [B, 3, 32, 32], in Euler steps."""
    x, n = noise, len(noise)
    for step in range(steps):
        time = torch.full((2 * n,), step / steps, device=noise.device)  # [2B]
        asked, free = painter(torch.cat([x, x]), time, [*prompts, *[""] * n]).chunk(2)  # [B, 3, 32, 32] each
        x = x + (free + guidance * (asked - free)) / steps
    return x.clamp(-1, 1)


class Reader(nn.Module):
    """Looks at scenes [B, 3, 32, 32] and gives logits [B, 12]: of kinds, colours and counts, in this order."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        sizes = (3, width, 2 * width, 2 * width)
        layers: list[nn.Module] = []
        for inward, outward in pairwise(sizes):
            layers += [nn.Conv2d(inward, outward, 3, padding=1, stride=2), nn.BatchNorm2d(outward), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * width * 16, 4 * width), nn.ReLU())
        self.head = nn.Linear(4 * width, len(THINGS) + len(COLOURS) + len(COUNTS))

    def forward(self, scenes: Tensor) -> Tensor:
        """Logits [B, 12]."""
        logits: Tensor = self.head(self.body(scenes))
        return logits


def split_logits(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The logits of kinds [B, 4], of colours [B, 5] and of counts [B, 3]."""
    kinds, colours, counts = torch.split(logits, [len(THINGS), len(COLOURS), len(COUNTS)], 1)
    return kinds, colours, counts


def save(model: nn.Module, path: Path) -> None:
    """Write the weights to a file: floating-point tensors as float16."""
    state = model.state_dict()
    save_file({name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in state.items()}, str(path))


def load_into(model: Model, path: Path) -> Model:
    """The model with the weights of a file, in float32 and in evaluation mode."""
    stored = load_file(str(path))
    model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in stored.items()})
    return model.eval()
