"""The kinds of generator that `gentest init` writes a fixture for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One of them."""

    name: str
    what: str
    """In words, for a person who chooses."""
    source: str
    """What --load names: `code`, a function or class as PACKAGE:NAME; or a `file`; or a `pipeline`."""
    extra: str = ""
    """The extra of the distribution that it needs."""
    package: str = ""
    """What that extra installs, by the name it is imported under."""
    suffixes: tuple[str, ...] = ()
    """Of its files."""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("torch", "an nn.Module, or any function of a batch of tensors", "code"),
        Kind("numpy", "a function of a batch of NumPy arrays", "code"),
        Kind("torchscript", "a TorchScript file, as torch.jit.save writes it", "file", suffixes=(".pt", ".pth", ".ts")),
        Kind("exported", "a .pt2 file, as torch.export.save writes it", "file", suffixes=(".pt2",)),
        Kind("onnx", "an ONNX file", "file", "onnx", "onnxruntime", suffixes=(".onnx",)),
        Kind("diffusers", "a pipeline of diffusers, its folder or name on the hub", "pipeline", *(2 * ("diffusers",))),
        Kind("autoencoder", "an autoencoder, whose latent space is what it makes of images", "code"),
    )
}  # fmt: skip
WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".tar", ".bin")
"""Suffixes of files that are likely to hold weights."""
