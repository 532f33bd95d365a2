"""A network with everything that an identity reads: weights, buffers, values, and a method that nobody calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Net(nn.Module):
    scale = 1.0

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        self.register_buffer("shift", torch.zeros(4))
        self.register_buffer("hidden", torch.zeros(4), persistent=False)
        self.prompts = {"text": "a cat", "parts": [np.ones(3), 2]}
        self.writer: Any = None

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z) * self.scale + self.shift + self.hidden

    def log(self) -> None:
        self.writer.send(b"a line")
