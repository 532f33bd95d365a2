"""What is said of one thing that was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

OK, NOTE, PROBLEM = "ok", "note", "problem"
STATES = (OK, NOTE, PROBLEM)


@dataclass(frozen=True)
class Finding:
    """One row: of what, whether it is well, what was seen and what to do.

    A note is what costs time, or may spoil a run; a problem stops one.
    """

    about: str
    state: str
    said: str
    do: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Finding:
        return cls(**value)


def table(findings: Sequence[Finding]) -> list[str]:
    """The findings as lines; what to do stands below what was seen."""
    about = max((len(f.about) for f in findings), default=0)
    lines = []
    for f in findings:
        lines.append(f"{f.state:<7}  {f.about:<{about}}  {f.said}".rstrip())
        if f.do:
            lines.append(f"{'':<7}  {'':<{about}}  -> {f.do}")
    counts = {state: sum(f.state == state for f in findings) for state in (PROBLEM, NOTE)}
    if counts[PROBLEM]:
        said = "a problem stops a run" if counts[PROBLEM] == 1 else f"{counts[PROBLEM]} problems stop a run"
    else:
        said = "nothing stops a run"
    notes = {0: "", 1: "; 1 note"}.get(counts[NOTE], f"; {counts[NOTE]} notes")
    return [*lines, f"{said}{notes}"]
