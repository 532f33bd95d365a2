"""Variants of one generator that should still do what it does: exports, quantized weights, tiles, an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn


def export_onnx(model: nn.Module, path: Path) -> Path:
    """Write the generator of garments as an ONNX file whose batch size is free."""
    inputs = torch.zeros(2, 64), torch.tensor([1, 2])
    free = {"z": {0: "batch"}, "label": {0: "batch"}}
    program = torch.onnx.export(
        model, inputs, input_names=["z", "label"], dynamic_shapes=free, dynamo=True, verbose=False
    )
    assert program is not None
    program.save(str(path))
    return path


def quantize(path: Path) -> Path:
    """Write the ONNX file with weights of 8 bits. The scale of activations is computed anew at each call."""
    small = path.with_name("int8.onnx")
    quantize_dynamic(path, small, weight_type=QuantType.QInt8)
    return small


class Adapted(nn.Module):
    """The generator with a low-rank adapter (LoRA, Hu et al. 2021, arXiv:2106.09685) on its first layer."""

    def __init__(self, model: nn.Module, *, fused: bool) -> None:
        super().__init__()
        self.model = model
        rng = torch.Generator().manual_seed(0)
        layer: nn.Linear = model.get_submodule("project")  # type: ignore[assignment]
        down = torch.randn(4, layer.in_features, generator=rng) * 0.1
        up = torch.randn(layer.out_features, 4, generator=rng) * 0.1
        if fused:
            layer.weight.data += up @ down

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Images [B, 1, 28, 28] in [-1, 1]."""
        images: Tensor = self.model(z, label)
        return images


class Decoder(nn.Module):
    """The decoder of a small `AutoencoderKL` of diffusers with random weights, in one piece or in tiles of 12 x 12."""

    def __init__(self, *, tiled: bool, overlap: float = 0.25) -> None:
        super().__init__()
        torch.manual_seed(0)
        build: Any = AutoencoderKL  # diffusers has no types
        self.vae = build(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(16, 32),
            latent_channels=4,
            norm_num_groups=8,
        )
        self.vae.tile_latent_min_size, self.vae.tile_sample_min_size = 12, 24
        self.vae.tile_overlap_factor = overlap
        if tiled:
            self.vae.enable_tiling()

    def forward(self, z: Tensor) -> Tensor:
        """Images [B, 3, 48, 48] in [-1, 1] of latents [B, 4, 24, 24]."""
        images: Tensor = self.vae.decode(z).sample
        return images.tanh()
