"""Workflow commands of GitHub Actions: what a run says at the line of a test, on the page of a pull request.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions; escaped as `@actions/core` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gentest._support.printable import printable

MOST = 10
"""GitHub shows no more errors of one step, and no more warnings."""


Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Annotation:
    """What is said at a line of a file, or of the whole run where there is no file."""

    level: Level
    title: str
    message: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        """The workflow command.

        >>> print(Annotation("error", "a, b", "90 %\\nof it", "t.py", 3))
        ::error file=t.py,line=3,title=a%2C b::90 %25%0Aof it
        """
        place = {"file": self.file, "line": str(self.line or "")}
        said = {name: value for name, value in {**place, "title": self.title}.items() if value}
        return f"::{self.level} {','.join(f'{k}={_property(v)}' for k, v in said.items())}::{_data(self.message)}"


def commands(annotations: Sequence[Annotation]) -> list[str]:
    """The commands of as many as are shown, errors first; the last of each level says how many more there are."""
    lines: list[str] = []
    levels: tuple[Level, ...] = ("error", "warning")
    for level in levels:
        those = [a for a in annotations if a.level == level]
        lines += [str(a) for a in (those if len(those) <= MOST else those[: MOST - 1])]
        if len(those) > MOST:
            more = f"{len(those) - MOST + 1} more: {', '.join(a.title for a in those[MOST - 1 :])}"
            lines.append(str(Annotation(level, "gentest: there are more", more)))
    return lines


def _data(text: str) -> str:
    return printable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
