"""The probe: one test case as a few integers, which replays on any machine.

A probe is one seed and its structure. The seed is a latent, for ever: each end of the probe is a stream of uniforms
(`gentest.spaces.streams`), which the space maps through the prior's inverse CDF. The mask names the coordinate groups
in which the far end differs from the near one. It splices uniforms, so that every end is a sample of the prior. A
family of probes (`gentest.probes.families`) turns a probe into latents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from gentest.errors import InvalidArgument
from gentest.probes import shifts
from gentest.spaces.space import MAX_GROUPS, Array, Space
from gentest.spaces.streams import independent_seeds

FULL_MASK = (1 << MAX_GROUPS) - 1
FULL_WINDOW = (0, 64)
SEED_BITS = 64
FORM = re.compile(
    r"([0-9a-f]{1,16})(?:-m([0-9a-f]{1,16}))?(?:-w(\d{1,2})\.(\d{1,2}))?"
    r"(?:-c(\d{1,9}(?:=[0-9a-f]{8})?(?:\.\d{1,9}(?:=[0-9a-f]{8})?){0,63}))?"
    r"(?:-b(\d{1,9}\.\d{1,9}(?:_\d{1,9}\.\d{1,9})*))?(?:-s([A-Za-z0-9+/]+))?",
    re.ASCII,
)


@dataclass(frozen=True, order=True, slots=True)
class Probe:
    """One seed and its structure.

    `mask`: bit g is set if the far end differs from the near end in coordinate group g. `window`: the part of the path
    that counts, in 64ths. `choices`: the values of the space's discrete parts, in their order; empty for the seed's
    own. `shift`: the distance by which an attack moved the ends (`gentest.probes.shifts`); empty if it did not.
    `digests`: in a probe that is kept, the digest of each chosen value that somebody wrote (`gentest.OneOf`), or "" for
    a number that stands for itself. `located` finds the values again, wherever they are in their list by then.
    `blanks`: the runs of positions, from `low` to `high` (excluded), of grids of codes (`gentest.Codes`) that have the
    blank code; positions count through all grids of the space.

    >>> str(Probe(0x1F, mask=0b101, choices=(3,)))
    '1f-m5-c3'
    >>> Probe.parse("1f-m5-c3")
    Probe(seed=31, mask=5, window=(0, 64), choices=(3,))
    """

    seed: int
    mask: int = FULL_MASK
    window: tuple[int, int] = FULL_WINDOW
    choices: tuple[int, ...] = ()
    shift: bytes = field(default=b"", repr=False)
    digests: tuple[str, ...] = field(default=(), repr=False)
    blanks: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    def __hash__(self) -> int:
        return hash((self.seed, self.mask))

    def __str__(self) -> str:
        text = f"{self.seed:x}"
        if self.mask != FULL_MASK:
            text += f"-m{self.mask:x}"
        if self.window != FULL_WINDOW:
            text += f"-w{self.window[0]}.{self.window[1]}"
        if self.choices:
            text += f"-c{'.'.join(self._chosen())}"
        if self.blanks:
            text += f"-b{self._blank_runs()}"
        if self.shift:
            text += f"-s{shifts.to_text(self.shift)}"
        return text

    def _blank_runs(self) -> str:
        """The runs of blank positions as text."""
        return "_".join(f"{low}.{high}" for low, high in self.blanks)

    def _chosen(self) -> list[str]:
        """Each choice as text, with the digest of its value."""
        digests = self.digests or ("",) * len(self.choices)
        return [f"{c}={digest}" if digest else f"{c}" for c, digest in zip(self.choices, digests, strict=True)]

    @classmethod
    def parse(cls, text: str) -> Probe:
        """The probe that `str(probe)` wrote. Raises `InvalidArgument` for anything else."""
        match = FORM.fullmatch(text) if isinstance(text, str) and len(text) <= shifts.MAX_TEXT else None
        shown = text[:80] if isinstance(text, str) else text
        if match is None:
            raise InvalidArgument.expected("a probe as gentest prints it, such as '1f-m5-w0.32-c3'", "probe", shown)
        seed, mask, low, high, choices, runs, shift = match.groups()
        window = FULL_WINDOW if low is None else (int(low), int(high))
        if not 0 <= window[0] < window[1] <= FULL_WINDOW[1]:
            raise InvalidArgument.expected("a window low.high with 0 <= low < high <= 64", "window", shown)
        blanks = tuple(tuple(map(int, run.split("."))) for run in runs.split("_")) if runs else ()
        edges = [edge for run in blanks for edge in run]
        if any(a >= b for a, b in pairwise(edges)):
            raise InvalidArgument.expected("runs low.high of blank positions, in order and apart", "blanks", shown)
        chosen = [choice.partition("=") for choice in choices.split(".")] if choices else []
        digests = tuple(digest for _, _, digest in chosen)
        return cls(
            int(seed, 16),
            FULL_MASK if mask is None else int(mask, 16),
            window,
            tuple(int(number) for number, _, _ in chosen),
            b"" if shift is None else shifts.from_text(shift),
            digests if any(digests) else (),
            tuple((low, high) for low, high in blanks),
        )

    def to_json(self) -> dict[str, Any]:
        """The probe as JSON, for `from_json`; seed and mask are hexadecimal text, since JSON numbers end at 53 bits."""
        whole = {
            "seed": f"{self.seed:x}",
            "mask": f"{self.mask:x}",
            "window": list(self.window),
            "choices": list(self.choices),
        }
        whole |= {"digests": list(self.digests)} if self.digests else {}
        whole |= {"blanks": self._blank_runs()} if self.blanks else {}
        return whole | ({"shift": shifts.to_text(self.shift)} if self.shift else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Probe:
        """The probe that `to_json` wrote. Raises `InvalidArgument` for anything else."""
        try:
            seed, mask, (low, high), choices = (value[name] for name in ("seed", "mask", "window", "choices"))
            shift, blanks = value.get("shift"), value.get("blanks")
            if not isinstance(seed, str) or not isinstance(mask, str) or not isinstance(shift, (str, type(None))):
                raise TypeError("a seed and a mask are hexadecimal text, a shift is text")
            if not isinstance(blanks, (str, type(None))):
                raise TypeError("runs of blank positions are text")
            if not isinstance(choices, (list, tuple)) or any(type(choice) is not int for choice in choices):
                raise TypeError("choices are a list of whole numbers")
            digests = value.get("digests", [""] * len(choices))
            if not isinstance(digests, (list, tuple)) or not all(isinstance(digest, str) for digest in digests):
                raise TypeError("digests are a list of texts")
            pairs = zip(choices, digests, strict=True)
            chosen = f"-c{'.'.join(f'{c}={digest}' if digest else f'{c}' for c, digest in pairs)}" if choices else ""
            moved = "" if shift is None else f"-s{shift}"
            blank = "" if blanks is None else f"-b{blanks}"
            return cls.parse(f"{seed}-m{mask}-w{low!r}.{high!r}{chosen}{blank}{moved}")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidArgument.expected("a probe's JSON", "probe", value) from error


def recorded(space: Space, probe: Probe, latents: Mapping[str, Array]) -> Probe:
    """The probe as reports and files keep it: with all choices made, and the digest of each value.

    `latents` are those of the probe, [1, P, *shape] by part. A space without conditions keeps the probe as it is.
    """
    parts = {name: part for name, part in space.parts.items() if part.slots}
    codes = [code for name in parts for code in latents[name][0, 0].reshape(-1).tolist()]
    slots = [slot for part in parts.values() for slot in part.slots]
    digests = tuple(slot.digest_of(code) for slot, code in zip(slots, codes, strict=True))
    return replace(probe, choices=tuple(codes), digests=digests) if any(digests) else probe


def located(space: Space, probe: Probe) -> Probe:
    """The probe that `recorded` gave, with its choices as the space has them now.

    Raises `InvalidArgument` if the space no longer has one of the values.
    """
    slots = [(name or repr(part), slot) for name, part in space.parts.items() for slot in part.slots]
    if not probe.digests or len(slots) != len(probe.choices):
        return replace(probe, digests=())
    found = [
        slot.located(name, code, digest)
        for (name, slot), code, digest in zip(slots, probe.choices, probe.digests, strict=True)
    ]
    return replace(probe, choices=tuple(found), digests=())


def independent(master: int, start: int, n: int) -> list[Probe]:
    """Probes `start` to `start + n` of the independent draws of a master seed, which pilots and rates use."""
    return [Probe(seed) for seed in independent_seeds(master, start, n)]


def active_groups(probe: Probe, n_groups: int) -> tuple[int, ...]:
    """The coordinate groups in which the probe's far end may differ."""
    return tuple(g for g in range(n_groups) if probe.mask >> g & 1)
