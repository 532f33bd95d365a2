"""Pages of documentation, and their fenced blocks as Sybil lexes them.

Tests run blocks of Python; a block that begins with the path of a file must be a part of that file instead. They check
each command of a block of bash against its parser. A block of console is `$ command` and its output: tests compare it
with a run, unless the comment `<!-- run by PATH -->` above it names the test that does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import hypothesis
from sybil import Document
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "gentest/README.md",
        *(ROOT / "examples").glob("*/README.md"),
        *(ROOT / "examples/guides").glob("*.md"),
    ]
)

FIGURES = hypothesis.__version__.startswith("6.170.")
"""True if this release of Hypothesis draws the probes that the pages show; another may draw others."""
RUN_BY = re.compile(r"<!-- run by (\S+) -->\n\Z")
NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?"
SLOW = re.compile(rf"{NUMBER}(?= s\b| images/s)|(?<=in ){NUMBER}(?=s\b)|\(\d+:\d+:\d+\)")
"""Figures that differ between runs: seconds, and rates per second."""
PROBE = re.compile(r"(?<=:)[0-9a-f]{16}[-\w.]*")
BARS = str.maketrans("▁▂▃▄▅▆▇█", "█" * 8)
CLOSE = 0.02
"""Relative difference allowed between a number and the page: another processor rounds differently."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    run_by: str | None
    """The script or test that makes the block; None if the tests of the pages run it."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def command(self) -> str:
        """The command of a block of console."""
        first = self.text.partition("\n")[0]
        assert first.startswith("$ "), f"{self}: a block of console begins with its command"
        return first.removeprefix("$ ")

    @property
    def output(self) -> list[str]:
        """The output of a block of console."""
        return self.text.splitlines()[1:]


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """The blocks of a page in order, in these languages or in any."""
    text = page.read_text(encoding="utf-8")
    for region in FencedCodeBlockLexer("[a-z]+")(Document(text, str(page))):
        if not languages or region.lexemes["language"] in languages:
            made = RUN_BY.search(text[: region.start])
            line = text.count("\n", 0, region.start) + 1
            yield Block(page, line, region.lexemes["language"], str(region.lexemes["source"]), made and made[1])


def block(page: str, command: str) -> Block:
    """The one block of console on a page whose command ends in `command`."""
    (found,) = (b for b in blocks(ROOT / page, "console") if b.command.endswith(command))
    return found


def assert_shown(block: Block, printed: str, *, until: str | None = None) -> None:
    """Fails if a block of console, or its lines before one that contains `until`, differs from `printed`."""
    shown = block.output
    if until is not None:
        (end,) = (i for i, line in enumerate(shown) if until in line)
        shown = shown[:end]
    differs = difference(shown, printed.splitlines(), figures=FIGURES)
    assert differs is None, f"{block} shows\n{differs}\nwhere this was printed\n{printed}"


def difference(shown: Sequence[str], printed: Sequence[str], *, figures: bool = True) -> str | None:
    """The first line that is shown and was not printed there, or None.

    `shown` may begin and end anywhere in `printed`. A line in brackets, `[...]`, stands for any lines, and `[...]` in a
    line for any text. The comparison ignores seconds, and the gaps and shortened names that depend on them; other
    numbers may differ by 2 %. Without `figures`, it ignores all numbers and the names of probes.

    >>> difference(["a 1.00", "[... more ...]", "c in 3 s"], ["first", "a 1.01", "b", "c in 4 s", "last"])
    >>> difference(["a 1.00", "c"], ["a 1.01", "b", "c"])
    'c'
    >>> difference(["a 1.00"], ["a 1.05"])
    'a 1.00'
    >>> difference(["test_na…longer  3  1 s"], ["test_n…onger  3  100 s"])
    """
    places = range(len(printed) + 1)  # where the next line may stand
    furthest = ""
    for line in shown:
        if re.fullmatch(r"\[\.\.\. .*\]|\[\.\.\.\]", line.strip()):
            places = range(min(places), len(printed) + 1)
            continue
        places = [at + 1 for at in places if at < len(printed) and _same(line, printed[at], figures=figures)]
        if not places:
            return line
        furthest = line
    assert furthest, "nothing is shown"
    return None


def _same(shown: str, printed: str, *, figures: bool) -> bool:
    if not figures:
        shown, printed = (PROBE.sub("<probe>", line) for line in (shown, printed))
    parts = [part for part in re.split(rf"({NUMBER})|(\[\.\.\.\])", _plain(shown)) if part]
    pattern, numbers = "", []
    for part in parts:
        if re.fullmatch(NUMBER, part):
            pattern += f"({NUMBER})"
            numbers.append(part)
        else:
            pattern += ".*" if part == "[...]" else re.escape(part)
    found = re.fullmatch(pattern, _plain(printed))
    if found is None or not figures:
        return found is not None
    pairs = zip(map(_value, numbers), map(_value, found.groups()), strict=True)
    return all(abs(a - b) <= CLOSE * abs(a) for a, b in pairs)


def _plain(line: str) -> str:
    line = re.sub(r"([=_])\1{3,}", r"\1\1", line.rstrip())  # rules across the terminal
    # a slow run has a wider column of seconds, and so shorter names and other gaps
    line = re.sub(r"(?<=\S) {2,}", "  ", re.sub(r"\S*…\S*", "…", line))
    return re.sub(r" +<time> s$", " <time> s", SLOW.sub("<time>", line.translate(BARS)))  # at the right of a column


def _value(number: str) -> float:
    return float(number.replace(",", ""))
