"""Workflow commands of GitHub Actions: annotations at the line of a test, on the page of a pull request.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions; escaped as `@actions/core` does.

Its own module because each format of a report has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gentest._support.printable import printable

MAX_SHOWN = 10
"""GitHub shows no more errors of one step, and no more warnings."""
Level = Literal["error", "warning"]
LEVELS: tuple[Level, ...] = ("error", "warning")


@dataclass(frozen=True)
class Annotation:
    """A message at a line of a file, or about the whole run if there is no file."""

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
        properties = {"file": self.file, "line": str(self.line or ""), "title": self.title}
        written = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
        return f"::{self.level} {written}::{_data(self.message)}"


def commands(annotations: Sequence[Annotation]) -> list[str]:
    """The commands of as many as GitHub shows, errors first. The last of each level counts the others."""
    lines: list[str] = []
    for level in LEVELS:
        own = [annotation for annotation in annotations if annotation.level == level]
        if len(own) > MAX_SHOWN:
            others = own[MAX_SHOWN - 1 :]
            more = f"{len(others)} more: {', '.join(other.title for other in others)}"
            own = [*own[: MAX_SHOWN - 1], Annotation(level, "gentest: there are more", more)]
        lines += map(str, own)
    return lines


def _data(text: str) -> str:
    return printable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
