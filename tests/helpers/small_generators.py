"""Small generators, what they give, and a network of 16 numbers to images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import gentest

NORMAL = gentest.Normal(3)
SPACE = gentest.Normal(16)
Z = torch.linspace(-1, 1, 4 * 16).reshape(4, 16)
CPU = torch.device("cpu")
FEW = gentest.settings(examples=10, batch_size=8, device="cpu")


def images(z: Tensor) -> Tensor:
    return z[:, :1, None, None].tanh()


def generator(function: Callable[..., Any] = images, **options: Any) -> gentest.Generator:
    return gentest.Generator(function, latent=options.pop("latent", NORMAL), **options)


def called(g: gentest.Generator, z: Tensor | None = None) -> Tensor:
    return g.outputs({"": torch.zeros(2, 3) if z is None else z})


def closure(module: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda z: module(z)


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 48), nn.Tanh(), nn.Unflatten(1, (3, 4, 4))).eval()
