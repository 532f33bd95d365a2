"""Variants that do what the generator does: all of these pass."""

from __future__ import annotations

import gentest


@gentest.agrees(within=1e-3).at_rate(0.99)
def test_onnx(onnx: gentest.Generator, generator: gentest.Generator) -> gentest.Pair:
    """The export to ONNX, run by ONNX Runtime, in float32."""
    return onnx.against(generator)


@gentest.agrees(within=4 / 255)
def test_half(half: gentest.Generator, generator: gentest.Generator) -> gentest.Pair:
    """The same weights in float16: no pixel is four grey levels off."""
    return half.against(generator)


@gentest.agrees(gentest.pixels(), within=0.05)
@gentest.agrees(gentest.brightness(), within=gentest.sd(0.1))
@gentest.same_level(gentest.sharpness(), within=gentest.sd(0.1))
def test_int8(int8: gentest.Generator, generator: gentest.Generator) -> gentest.Pair:
    """Weights of 8 bits, one image at a time: single pixels move, images do not."""
    return int8.on(batch_size=1).against(generator)


@gentest.differs(gentest.pixels(), at_least=0.01)
def test_lora_is_applied(with_lora: gentest.Generator, generator: gentest.Generator) -> gentest.Pair:
    """The adapter changes every image."""
    return with_lora.against(generator)
