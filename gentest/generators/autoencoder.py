"""Autoencoders: the decoder as f, and a bank of encoded images as the latent space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gentest._support.arguments import is_whole
from gentest.errors import InvalidArgument
from gentest.generators.calling import call_in_own_dtype
from gentest.generators.modules import modules_of, to_eval_mode
from gentest.outputs.returned import as_tensor
from gentest.spaces import Codes, Empirical
from gentest.spaces.codes import CodeBank


@dataclass(frozen=True)
class Decoder:
    """A decoder as a function of its latent."""

    decode: Callable[..., Any]

    def __call__(self, z: Tensor) -> Any:
        return self.decode(z)


@dataclass(frozen=True)
class Autoencoder:
    """A decoder, and the bank of encoded images."""

    decode: Decoder
    bank: Empirical | CodeBank


def autoencoder(decoder: Any, encoder: Any, data: Any, batch_size: int) -> Autoencoder:
    """A decoder and its bank. Without an encoder, `decoder` is an object with `encode` and `decode`."""
    if encoder is None:
        encoder, decoder = getattr(decoder, "encode", None), getattr(decoder, "decode", None)
        if not callable(encoder) or not callable(decoder):
            raise InvalidArgument("Expected encoder=, or an autoencoder with the methods `encode` and `decode`")
    for name, function in (("decoder", decoder), ("encoder", encoder)):
        if not callable(function) or isinstance(function, type):
            raise InvalidArgument.expected("an nn.Module or a callable", name, function)
    return Autoencoder(Decoder(decoder), bank(encoder, data, batch_size))


def bank(encoder: Callable[..., Any], data: Any, batch_size: int) -> Empirical | CodeBank:
    """The latents of images, encoded in eval mode, without gradients, on the device of the encoder's weights.

    `data` are images [M, C, H, W] as the encoder takes them, or batches of them from a data loader, whose labels are
    ignored. For an encoder that returns a distribution, such as a VAE's, the bank holds its mean. Whole numbers, as
    of a VQ-VAE, make a bank of codes.
    """
    if not is_whole(batch_size, 1):
        raise InvalidArgument.expected("a batch size >= 1", "batch_size", batch_size)
    modules = [to_eval_mode(module) for module in modules_of(encoder)]
    weights = (tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
    device = next((tensor.device for tensor in weights if not tensor.is_meta), torch.device("cpu"))
    rows = []
    with torch.no_grad():
        for batch in _batches(data, batch_size):
            encode = partial(_encode, encoder, batch.to(device))
            latents = latents_in(call_in_own_dtype(encode, modules), len(batch))
            rows.append(latents.detach().cpu())
    if not rows:
        raise InvalidArgument("Expected at least one image to encode but got data=[]")
    latents = torch.cat(rows)
    whole = not latents.is_floating_point() and latents.dtype != torch.bool
    return Codes.from_bank(latents) if whole else Empirical(latents.float())


def _encode(encoder: Callable[..., Any], images: Tensor, dtype: torch.dtype | None) -> Any:
    return encoder(images if dtype is None else images.to(dtype))


def _batches(data: Any, size: int) -> Iterator[Tensor]:
    if isinstance(data, (Tensor, np.ndarray)):
        whole = data if isinstance(data, Tensor) else as_tensor(data)
        if whole.ndim < 2:
            raise InvalidArgument(f"Expected images [M, C, H, W] but got shape {tuple(whole.shape)}")
        yield from torch.split(whole, size) if len(whole) else ()
        return
    if not isinstance(data, Iterable) or isinstance(data, (str, bytes)):
        raise InvalidArgument.expected("images [M, C, H, W], or batches of them", "data", data)
    for item in data:
        batch = item[0] if isinstance(item, (tuple, list)) else item
        if not isinstance(batch, (Tensor, np.ndarray)):
            raise InvalidArgument.expected("a batch of images [B, C, H, W]", "a batch of data", batch)
        yield from _batches(batch, size)


def latents_in(encoded: Any, n: int) -> Tensor:
    """The latents [n, *shape] that an encoder returned: a tensor, a distribution's mean, or the first of a tuple."""
    for name in ("latent_dist", "latents", "latent"):  # diffusers' AutoencoderKL, VQModel, AutoencoderTiny
        encoded = getattr(encoded, name, encoded)
    if isinstance(encoded, (tuple, list)) and encoded:
        encoded = encoded[0]  # (mu, logvar)
    if not isinstance(encoded, (Tensor, np.ndarray)):
        encoded = getattr(encoded, "mean", encoded)  # a distribution
    latents = as_tensor(encoded) if isinstance(encoded, np.ndarray) else encoded
    if not isinstance(latents, Tensor) or latents.ndim < 2 or len(latents) != n:
        got = f"shape {tuple(latents.shape)}" if isinstance(latents, Tensor) else f"a {type(latents).__name__}"
        raise InvalidArgument(f"the encoder gave {got} for {n} images; expected latents [{n}, *shape], or their mean")
    return latents
