"""The encoder of a reader of the pages."""

from __future__ import annotations

import torch


def arcface(images: torch.Tensor) -> torch.Tensor:
    """Embeddings [B, D] of images."""
    return images.flatten(1)
