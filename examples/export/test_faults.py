"""Variants that do not do what the generator does: each of these fails, and says where."""

from __future__ import annotations

import gentest


@gentest.agrees(within=4 / 255)
def test_int8_to_the_pixel(int8: gentest.Generator, generator: gentest.Generator) -> gentest.Pair:
    """Weights of 8 bits move single pixels by a tenth of the range."""
    return int8.on(batch_size=1).against(generator)


@gentest.agrees(gentest.brightness(), within=gentest.sd(0.1))
def test_int8_in_batches(int8: gentest.Generator, generator: gentest.Generator) -> gentest.Pair:
    """The scale of activations is that of the whole batch: an image depends on its company."""
    return int8.against(generator)


@gentest.agrees(within=0.05)
def test_tiles(tiled: gentest.Generator, whole: gentest.Generator) -> gentest.Pair:
    """A decoder in tiles shows seams."""
    return tiled.against(whole)


@gentest.differs(gentest.pixels(), at_least=0.01)
def test_lora_is_applied(with_lora_never_fused: gentest.Generator, generator: gentest.Generator) -> gentest.Pair:
    """An adapter that was loaded and never fused changes nothing."""
    return with_lora_never_fused.against(generator)
