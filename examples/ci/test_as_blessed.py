"""A candidate makes the outputs of the blessed checkpoint, whose weights and code are not needed."""

from __future__ import annotations

import gentest


@gentest.agrees(within=4 / 255)
@gentest.agrees(gentest.brightness(), within=gentest.sd(0.1))
def test_as_blessed(generator: gentest.Generator) -> gentest.Pair:
    """Each of the kept outputs, to four grey levels."""
    return generator.against(gentest.blessed("gentest_baseline.json"))
