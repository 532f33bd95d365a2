"""CLIP's image tower in a lower precision: to screen with, never to decide.

`bf16` is a copy of the tower in bfloat16, weights and activations alike, which pays on a CPU with instructions for it
(AVX512_BF16). `int8` is `clip_int8`, on a CPU alone, after some seconds to export the tower once a process.

Measured with OpenAI's ViT-B/16 on 200 faces of a GAN and 400 pairs of texts, two busy cores: how far a CLIP
score is off, as a share of its standard deviation over the faces (root mean square on the median pair, and the largest
of all); processor time an image, in batches of 32; and how many images are looked at again where 5 % violate, with the
engine's band of four times the largest error on 16:

| | error | largest | time | again |
|---|---|---|---|---|
| float32 | | | 0.58 s | |
| bf16 | 0.053 | 0.41 | 0.29 s | 11 % |
| int8, a scale for 32 numbers | 0.068 | 0.51 | 0.31 s | 13 % |
| onnxruntime's dynamic quantisation, by channel | 0.73 | 4.0 | 0.19 s | 100 % |

Dynamic quantisation screens nothing, small as its error is with random weights; and as it has one scale a batch, the
score of one image moved by 1.9 with what else was in its batch. Leaving out the MLP's second products, its error is
still 0.52. A scale for 128 numbers has an error of 0.12 (64 faces) in a sixth less time than one for 32.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gentest.attributes.clip_int8 import Int8Module
from gentest.errors import ClipError, GentestError, in_a_line
from gentest.results.settings import Precision


def lowered(visual: nn.Module, precision: Precision, device: torch.device, inputs: Tensor) -> Callable[[Tensor], Any]:
    """An image tower in a lower precision, called with the inputs [B, 3, H, W] that the tower takes, in float32.

    `inputs` are an example of these. Raises `ClipError` where that precision cannot be had.
    """
    if precision == "bf16":
        return _Halved(visual)
    if device.type != "cpu":
        raise ClipError(f"precision='int8' screens on a CPU alone, and the device is {device}: say 'bf16'")
    try:
        return Int8Module(visual, inputs.detach()[:1].expand(2, -1, -1, -1).contiguous())
    except GentestError as error:
        raise ClipError(str(error)) from error
    except Exception as error:  # torch's exporter and onnxruntime raise what they like
        why = in_a_line(error.__cause__ or error)  # the exporter's own first line says only at which step it failed
        raise ClipError(f"the image tower cannot be had in int8: {why}; say 'bf16'") from error


class _Halved:
    def __init__(self, visual: nn.Module) -> None:
        self._tower = copy.deepcopy(visual).to(torch.bfloat16)

    def __call__(self, inputs: Tensor) -> Any:
        return self._tower(inputs.to(torch.bfloat16))
