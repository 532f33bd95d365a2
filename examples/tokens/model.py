"""A VQ-VAE of 8 x 8 digits: an encoder to 4 x 4 tokens of 64, and a decoder (van den Oord et al. 2017)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

K = 64
GRID = (4, 4)
WEIGHTS = Path(__file__).parent / "tokenizer.safetensors"


class Tokenizer(nn.Module):
    """Images [B, 1, 8, 8] in [0, 1] to tokens int64 [B, 4, 4], and back."""

    def __init__(self, width: int = 32, dim: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, dim, 1),
        )
        self.codebook = nn.Parameter(torch.randn(K, dim))
        self.decoder = nn.Sequential(
            nn.Conv2d(dim, width, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
            nn.Sigmoid(),
        )

    def nearest(self, features: Tensor) -> Tensor:
        """The code [B, 4, 4] nearest to each feature [B, dim, 4, 4]."""
        rows = features.permute(0, 2, 3, 1)
        distances = rows.square().sum(-1, keepdim=True) - 2 * rows @ self.codebook.T + self.codebook.square().sum(-1)
        return distances.argmin(-1)

    def encode(self, images: Tensor) -> Tensor:
        """The tokens of images."""
        return self.nearest(self.encoder(images))

    def decode(self, tokens: Tensor) -> Tensor:
        """The images [B, 1, 8, 8] of tokens."""
        images: Tensor = self.decoder(self.codebook[tokens].permute(0, 3, 1, 2))
        return images


def load() -> Tokenizer:
    """The trained tokenizer."""
    tokenizer = Tokenizer()
    tokenizer.load_state_dict(load_file(WEIGHTS))
    return tokenizer.eval()


def digits() -> Tensor:
    """The 1,797 digits that scikit-learn ships (`load_digits`, from the UCI repository), [1797, 1, 8, 8] in [0, 1]."""
    from sklearn.datasets import load_digits

    return torch.from_numpy(load_digits().images).float()[:, None] / 16
