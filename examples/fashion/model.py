"""A small class-conditional image generator for Fashion-MNIST (28x28, grey).

``FashionGenerator`` maps a latent ``z ~ N(0, I_64)`` and a class index to one image in [-1, 1]. Weights are
stored as float16 safetensors (about 1.2 MB); the model computes in float32. ``train_generator.py`` makes
``checkpoints/good.safetensors``, ``regress.py`` makes ``checkpoints/finetune_regressed.safetensors`` and
``measure.py`` prints the measured quality of both.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

LATENT_DIM = 64
IMAGE_SIZE = 28
CLASSES: tuple[str, ...] = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation with a gain and a bias per class."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Embedding(classes, channels)
        self.bias = nn.Embedding(classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Normalise ``x`` [B, C, H, W] with the gain and bias of ``label`` [B]."""
        gain: Tensor = self.gain(label)[:, :, None, None]  # [B, C, 1, 1]
        bias: Tensor = self.bias(label)[:, :, None, None]  # [B, C, 1, 1]
        normed: Tensor = self.norm(x)  # [B, C, H, W]
        return normed * gain + bias  # [B, C, H, W]


class FashionGenerator(nn.Module):
    """Latent and class to image: a linear layer to 7x7, then two upsampling convolutions."""

    def __init__(self, width: int = 32, label_dim: int = 16) -> None:
        super().__init__()
        self.width = width
        self.embed = nn.Embedding(len(CLASSES), label_dim)
        self.project = nn.Linear(LATENT_DIM + label_dim, 4 * width * 7 * 7)
        self.norm1 = ConditionalBatchNorm(4 * width, len(CLASSES))
        self.conv1 = nn.Conv2d(4 * width, 2 * width, 3, padding=1)
        self.norm2 = ConditionalBatchNorm(2 * width, len(CLASSES))
        self.conv2 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.norm3 = ConditionalBatchNorm(width, len(CLASSES))
        self.to_grey = nn.Conv2d(width, 1, 3, padding=1)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.act = nn.ReLU()

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Make one image per row of ``z`` [B, 64] and ``label`` [B] (int64); values in [-1, 1]."""
        h: Tensor = self.project(torch.cat([z, self.embed(label)], dim=1))  # [B, 4*width*7*7]
        h = h.view(-1, 4 * self.width, 7, 7)  # [B, 4*width, 7, 7]
        h = h.contiguous(memory_format=torch.channels_last)
        h = self.upsample(self.act(self.norm1(h, label)))  # [B, 4*width, 14, 14]
        h = self.upsample(self.act(self.norm2(self.conv1(h), label)))  # [B, 2*width, 28, 28]
        h = self.act(self.norm3(self.conv2(h), label))  # [B, width, 28, 28]
        image: Tensor = self.to_grey(h).float().tanh()  # [B, 1, 28, 28]
        return image.contiguous()


def save(model: FashionGenerator, path: str | Path) -> None:
    """Write the weights to ``path``: floating-point tensors as float16, counters as they are."""
    state = model.state_dict()
    tensors = {name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in state.items()}
    save_file(tensors, str(path))


def load(path: str | Path) -> FashionGenerator:
    """Read a generator from ``path``, converted to float32 and in evaluation mode."""
    stored = load_file(str(path))
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in stored.items()}
    model = FashionGenerator()
    model.load_state_dict(tensors)
    return model.eval()
