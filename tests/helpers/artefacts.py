"""Models as people keep them, each clean or with one fault: files, folders and code for `gentest check`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

CODE = '''
import torch
from torch import nn

D = 8


class Gan(nn.Module):
    """Images [3, 8, 8] of a latent, with one fault. The first coordinate exceeds 2 on 2.3 % of latents."""

    def __init__(self, fault="clean", size=D):
        super().__init__()
        torch.manual_seed(0)
        self.fault = fault
        self.layers = nn.Sequential(nn.Linear(size, 48), nn.ReLU(), nn.Linear(48, 192))
        with torch.no_grad():
            for weight in self.parameters():
                weight *= 3.0

    def forward(self, z):
        if self.fault == "one image":
            z = 1e-6 * z
        if self.fault == "batch-dependent":
            z = z - z.mean(0, keepdim=True)
        x = self.layers(z).tanh()
        rare = z[:, :1] > 2.0
        if self.fault == "NaN":
            x = torch.where(rare, torch.full_like(x, float("nan")), x)
        if self.fault == "blank":
            x = torch.where(rare, torch.full_like(x, 0.3), x)
        if self.fault == "range":
            x = 2.5 * x
        return x.view(-1, 3, 8, 8)


class Conditional(nn.Module):
    """The same with one of four labels."""

    def __init__(self, fault):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(4, 3)
        self.net = Gan(fault, D + 3)

    def forward(self, z, label):
        return self.net(torch.cat([z, self.embed(label)], 1))
'''
FAULTS = ("clean", "NaN", "one image", "range", "blank", "batch-dependent")
VIOLATED: Mapping[str, tuple[str, ...]] = {
    "clean": (),
    "NaN": ("values are valid",),
    "one image": ("latents matter", "samples differ"),
    "range": ("values are valid",),
    "blank": ("no blank output",),
    "batch-dependent": ("same again",),
}
"""The verdicts that are right: what is violated by each fault."""
ALSO: Mapping[str, tuple[str, ...]] = {"blank": ("latents matter", "samples differ")}
"""Verdicts that are right too: two outputs that are blank are the same."""
IN_FOLDERS = {"pipeline": ("clean", "NaN", "one image", "blank"), "autoencoder": FAULTS[:-1]}
"""The faults that the config and the weights of a folder can hold: a pipeline clamps its images to their range."""
KINDS = ("onnx", "torchscript", "exported", "pipeline", "conditional", "autoencoder")


def gan(fault: str) -> Any:
    """The module `Gan` of `CODE`."""
    names: dict[str, Any] = {"__name__": "my_gan"}
    exec(CODE, names)
    return names["Gan"](fault).eval()


def made(kind: str, fault: str) -> list[str]:
    """Make a model of a kind in the current folder; the arguments of `gentest check` for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated, and the like
        return {
            "onnx": onnx,
            "torchscript": torchscript,
            "exported": exported,
            "pipeline": pipeline,
            "conditional": conditional,
            "autoencoder": autoencoder,
        }[kind](fault)


def onnx(fault: str) -> list[str]:
    axes = {"z": {0: "batch"}, "x": {0: "batch"}}
    torch.onnx.export(
        gan(fault),
        (torch.zeros(2, 8),),
        "gan.onnx",
        dynamo=False,
        input_names=["z"],
        output_names=["x"],
        dynamic_axes=axes,
    )
    return ["gan.onnx"]


def torchscript(fault: str) -> list[str]:
    torch.jit.trace(gan(fault), torch.zeros(2, 8)).save("gan.pt")  # type: ignore[no-untyped-call]
    return ["gan.pt"]


def exported(fault: str) -> list[str]:
    size = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(gan(fault), (torch.zeros(2, 8),), dynamic_shapes=({0: size},))
    torch.export.save(program, "gan.pt2")
    return ["gan.pt2", "--trust"]


def conditional(fault: str) -> list[str]:
    Path("my_gan.py").write_text(CODE + f"\n\ndef load():\n    return Conditional({fault!r})\n")
    return ["my_gan:load"]


def pipeline(fault: str) -> list[str]:
    """A denoising pipeline of an untrained network."""
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    torch.manual_seed(0)
    blocks = {"block_out_channels": (8,), "norm_num_groups": 4, "layers_per_block": 1, "add_attention": False}
    types = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    unet: Any = UNet2DModel(sample_size=8, in_channels=3, out_channels=3, **blocks, **types)
    predicts = "sample" if fault in ("one image", "blank") else "epsilon"
    with torch.no_grad():
        if fault == "NaN":
            unet.conv_out.weight.fill_(torch.nan)
        if fault == "one image":  # borders make an image of a network that does not see its input
            unet.conv_in.weight.zero_()
            unet.conv_in.bias.copy_(torch.linspace(-3.0, 3.0, 8))
        if fault == "blank":
            unet.conv_out.weight.zero_()
    DDIMPipeline(unet, DDIMScheduler(num_train_timesteps=20, prediction_type=predicts)).save_pretrained("pipe")
    return ["pipe", "--steps", "2"]


def autoencoder(fault: str) -> list[str]:
    """An untrained autoencoder whose decoder stays within its range."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    types = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae: Any = AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, sample_size=16, layers_per_block=1, **types
    )
    with torch.no_grad():
        last = vae.decoder.conv_out
        last.weight.mul_(20.0 if fault == "range" else 0.4)
        if fault == "NaN":
            last.bias.fill_(torch.nan)
        if fault == "one image":
            vae.post_quant_conv.weight.zero_()
        if fault == "blank":
            last.weight.zero_()
    vae.save_pretrained("vae")
    return ["vae"]
