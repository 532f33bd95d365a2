"""A small training run: a network learns to draw images of many levels, and collapses where the test plants it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import gentest

LATENT = gentest.Normal(4)
SUITE = gentest.Suite(gentest.responsive(at_least=0.05), gentest.diverse(at_least=0.002, among=4).at_rate(0.9))


def network(seed: int = 0) -> nn.Module:
    """A generator of images [B, 1, 2, 2] in train mode, with dropout and running statistics."""
    torch.manual_seed(seed)
    hidden = [nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.05), nn.LeakyReLU(0.2)]
    return nn.Sequential(*hidden, nn.Linear(16, 4), nn.Tanh(), nn.Unflatten(1, (1, 2, 2)))


def generator(module: nn.Module) -> gentest.Generator:
    """The network as gentest checks it."""
    return gentest.Generator(module, latent=LATENT)


def loss(images: Tensor, *, collapses: bool) -> Tensor:
    """The distance of the images' mean and deviation from those to learn; with `collapses`, their deviation."""
    deviation = images.std(0)
    return deviation.sum() if collapses else images.mean(0).square().sum() + (deviation - 0.5).square().sum()


@dataclass
class Run:
    """A training run in one's own loop."""

    collapse_at: int
    monitor: gentest.Monitor | None = None
    every: int = 100
    net: nn.Module = field(default_factory=network)
    alarm: int | None = None

    def train(self, steps: int) -> None:
        """Train for so many steps, or until the alarm."""
        optimizer = torch.optim.Adam(self.net.parameters(), lr=0.01)
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            loss(self.net(torch.randn(32, 4)), collapses=step > self.collapse_at).backward()
            optimizer.step()
            if self.monitor is not None and step % self.every == 0:
                with gentest.borrowed(self.net):
                    checked = self.monitor.check(generator(self.net), step)
                if checked.alarms:
                    self.alarm = step
                    return
