"""The bench's account: which broken checkpoints were refused and which escaped, which harmless ones were refused.

It counts what was judged, and what should have been: a checkpoint of which nothing came is no success.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.audit.detection.judging import Judged

SHARE = 0.9
"""Of broken checkpoints, how many the gate is to refuse."""


@dataclass(frozen=True)
class Account:
    """What came of all checkpoints."""

    refused: tuple[Judged, ...]
    escaped: tuple[Judged, ...]
    """Broken, and the gate did not refuse it."""
    passed: tuple[Judged, ...]
    alarms: tuple[Judged, ...]
    """Harmless, and refused by the gate or by a property's own verdict."""
    undecided: tuple[Judged, ...]
    """Harmless, and not refused, but the gate could not certify every property."""
    missing: tuple[str, ...]
    """Asked for, and not judged."""

    @property
    def share(self) -> float:
        """The share of broken checkpoints that were refused; 0 where there were none."""
        n = len(self.refused) + len(self.escaped)
        return len(self.refused) / n if n else 0.0

    @property
    def good(self) -> bool:
        """Whether gentest keeps what is promised of it; whatever was not asked for is promised nothing."""
        enough = not self.refused + self.escaped or self.share >= SHARE
        return enough and not self.alarms and not self.missing and bool(self.refused + self.escaped + self.passed)


def account(judged: Sequence[Judged], asked: Sequence[str]) -> Account:
    """The account of what was judged, of those `asked` for, by "model/name"."""
    broken, harmless = [j for j in judged if not j.harmless], [j for j in judged if j.harmless]
    there = {f"{j.model}/{j.name}" for j in judged}
    return Account(
        refused=tuple(j for j in broken if j.refused),
        escaped=tuple(j for j in broken if not j.refused),
        passed=tuple(j for j in harmless if not j.red),
        alarms=tuple(j for j in harmless if j.red),
        undecided=tuple(j for j in harmless if not j.red and j.undecided),
        missing=tuple(name for name in asked if name not in there),
    )


def table(judged: Sequence[Judged], *, attack: bool) -> list[str]:
    """The broken checkpoints as a table of Markdown."""
    columns = ["model", "broken", "search", "rate", *(["attack"] if attack else []), "gate", "images"]
    rows = []
    for j in (j for j in judged if not j.harmless):
        search = _listed(j.searched) + (" (the others: error)" if j.failed else "")
        found = [j.model, j.says, search, _listed(j.rated), *([_listed(j.attacked)] if attack else [])]
        rows.append([*found, _gate(j), str(j.needed or "-")])
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def summary(found: Account) -> list[str]:
    """What it comes to, a line each."""
    n_broken, n_harmless = len(found.refused + found.escaped), len(found.passed + found.alarms)
    lines = []
    if n_broken:
        lines.append(f"Broken: the gate refused {len(found.refused)} of {n_broken}, {found.share:.0%}.")
    lines += [f"- escaped: {j.model}, {j.says}{_why(j)}" for j in found.escaped]
    if n_harmless:
        most = max((j.moved * 255 for j in found.passed + found.alarms), default=0.0)
        said = f"{len(found.undecided)} undecided; images moved by at most {most:.2f}/255 on average"
        lines.append(f"Harmless: {len(found.alarms)} of {n_harmless} refused, {said}.")
    lines += [f"- false alarm: {j.model}, {j.says}: {_gate(j)}{_own(j)}" for j in found.alarms]
    lines += [f"- undecided: {j.model}, {j.says}: {_listed(j.undecided)}" for j in found.undecided]
    return lines + [f"- not judged: {name}" for name in found.missing]


def _why(j: Judged) -> str:
    if j.fails or j.failed:
        return f"; but {_listed(j.fails + j.failed)} fails the run by itself"
    return f"; undecided: {_listed(j.undecided)}" if j.undecided else "; every property certified"


def _own(j: Judged) -> str:
    return f", of its own: {_listed(j.fails + j.failed)}" if j.fails or j.failed else ""


def _gate(j: Judged) -> str:
    if not j.refused:
        return "**not refused**"
    drift = f"drift: {_listed(tuple(what.replace('distribution in ', '') for what in j.drifted))}" if j.drifted else ""
    return "; ".join(part for part in (_listed(j.regressed) if j.regressed else "", drift) if part)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "-"
