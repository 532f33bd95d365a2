"""Neighbours: the other sample of a batch that changes an output, and the words of its prompt that do.

A counterexample of `reproducible` is reduced like any other, to the simplest sample whose output depends on its batch.
Where that is a matter of words, they are its neighbour's, which are no part of the probe. Here gentest makes the sample
after one neighbour at a time, and takes words away from the text of the first that changes it (delta debugging, in
`delta_debugging.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor

from gentest.engine.delta_debugging import ROUND, DeltaDebugging
from gentest.engine.evidence.outputs import COMPANY_SEED
from gentest.engine.judge import Judge
from gentest.errors import GentestError
from gentest.generators.generator import Generator
from gentest.probes.ends import noise
from gentest.probes.families import points
from gentest.probes.probe import Probe, independent
from gentest.results.counterexample import shown_choice
from gentest.spaces import Choice, Condition, OneOf
from gentest.spaces.space import Shown

Latents = Mapping[str, np.ndarray[Any, Any]]


def changing_neighbour(judge: Judge, probe: Probe) -> str:
    """The values of a neighbour after which an output changes, in words; "" if no single one of them changes it.

    Only for properties that make outputs again in company, in a space with conditions. The neighbours are those of
    `Evidence.again`.
    """
    definition, subject = judge.definition, judge.subject
    generator = subject.generator
    if definition.again < 3 or not any(part.has_values and part.slots for part in generator.latent.parts.values()):
        return ""
    allowed = definition.arguments["tolerance"]
    assert isinstance(allowed, (int, float))
    for stranger in independent(COMPANY_SEED, 0, definition.again - 2):
        with suppress(GentestError):  # the budget may end, or the generator fail in this batch
            pair = _Pair(judge, generator, stranger, probe)
            if pair.change() > allowed:
                return _told(pair, allowed)
    return ""


class _Pair:
    """A sample after one neighbour."""

    def __init__(self, judge: Judge, generator: Generator, neighbour: Probe, probe: Probe) -> None:
        self.generator = generator
        self._judge, self._probes = judge, [neighbour, probe]
        self.placed: Latents = {name: z[:, 0] for name, z in points().place(generator.latent, self._probes).items()}
        """The latents [2, *shape] by part."""
        self._alone = self._made(generator, {name: z[1:] for name, z in self.placed.items()}, 1)
        self._unit = judge.context.measuring.unit(judge.subject)

    def change(self) -> float:
        """The largest change of the sample's output, in units of outputs."""
        return self._change(self.generator, self.placed)

    def change_with(self, name: str, text: str) -> float:
        """The same with another text as the neighbour's part `name`."""
        part = self.generator.latent.parts[name]
        assert isinstance(part, Condition)
        own = part.shown(self.placed[name][1].reshape(-1).tolist())
        values = OneOf(*dict.fromkeys((own, text)))
        codes = np.array([values.values.index(text), values.values.index(own)], np.int64)
        return self._change(self.generator.with_part(name, values), {**self.placed, name: codes})

    def _change(self, generator: Generator, latents: Latents) -> float:
        return float((self._made(generator, latents, 2)[-1:] - self._alone).abs().max()) / self._unit

    def _made(self, generator: Generator, latents: Latents, n: int) -> Tensor:
        drawn = {name: z[-n:, 0] for name, z in noise(generator.noise, self._probes, 1).items()}
        return self._judge.context.maker.call(generator, latents, drawn)


def _told(pair: _Pair, allowed: float) -> str:
    """The neighbour's values, and the fewest words of its longest text that change the output as well."""
    parts = pair.generator.latent.parts
    values: dict[str, Shown] = {
        name: part.shown(pair.placed[name][0].reshape(-1).tolist())
        for name, part in parts.items()
        if isinstance(part, Choice) and part.has_values and part.slots
    }
    told = "the output changes after a sample of " + ", ".join(shown_choice(n, v) for n, v in values.items())
    texts = {name: text for name, text in values.items() if isinstance(text, str) and len(text.split()) > 1}
    if not texts:
        return told
    name = max(texts, key=lambda name: len(texts[name].split()))
    words, budget = texts[name].split(), 4 * ROUND
    search = DeltaDebugging(tuple(range(len(words))))
    with suppress(GentestError):  # the generator may take no text but those of the prior
        while (asked := search.candidates) and len(asked) <= budget:
            budget -= len(asked)
            search.answer([pair.change_with(name, _joined(words, kept)) > allowed for kept in asked])
    if len(search.groups) == len(words):
        return told
    return f"{told}; {shown_choice(name, _joined(words, search.groups))} is enough"


def _joined(words: list[str], kept: tuple[int, ...]) -> str:
    return " ".join(words[k] for k in kept)
