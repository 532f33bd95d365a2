"""A run as the comment that a bot posts on a pull request: what changed, pictures of the worst, and replays.

GitHub takes 65,536 characters, and shows no picture that is part of the text. A picture is a link if it has an address,
and else a drawing in characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from gentest._support.printable import counted, printable
from gentest.report import facts, images, markdown, run_facts
from gentest.results.comparison import Comparison
from gentest.results.document import Document
from gentest.results.outcome import Outcome
from gentest.results.result import Result

LIMIT = 65_536
"""Characters of a comment, counted as GitHub does, in UTF-16."""
MAX_FRAMES = 4
"""Outputs of a counterexample that are shown: the ends and some between."""
COLUMNS, ROWS = 26, 13
"""Characters of one drawn picture. A character is twice as high as it is wide."""
SHADES = " ░▒▓█"
MAX_CELL = 160
"""Characters of a test or a property in the table."""
MAX_BYTES = 16 * 2**20
"""A larger picture is not drawn."""


@dataclass(frozen=True)
class Pictures:
    """The folder that `--gentest-images` wrote, and the address at which a reader finds it, if there is one."""

    folder: Path
    url: str = ""

    def of(self, result: Result) -> list[str]:
        """Lines that show the outputs of a result's worst counterexample; none if there are no files."""
        name = images.folder_name(result)
        files = sorted((self.folder / name).glob("worst-*.png"))
        if len(files) > MAX_FRAMES:
            files = [files[round(i * (len(files) - 1) / (MAX_FRAMES - 1))] for i in range(MAX_FRAMES)]
        if not files:
            return []
        if self.url:
            base = f"{self.url.rstrip('/')}/{quote(name)}"
            return [" ".join(f'<img src="{base}/{quote(file.name)}" width="112">' for file in files), ""]
        with suppress(OSError, ValueError, Image.DecompressionBombError):
            return ["```text", *_drawn(files), "```", "brightness, from the darkest to the brightest place", ""]
        return []


def marker(key: str = "") -> str:
    """The hidden line at the top of a comment, by which a bot finds the one to update. `key` tells gates apart.

    >>> marker("faces")
    '<!-- gentest comment: faces -->'
    """
    plain = "".join(c for c in key if c.isalnum() or c in "._")
    return f"<!-- gentest comment: {plain} -->" if plain else "<!-- gentest comment -->"


def comment(
    document: Document, *, pictures: Pictures | None = None, report_url: str = "", key: str = "", limit: int = LIMIT
) -> str:
    """The comment in Markdown, of at most `limit` characters: the marker, what changed, and a folded block for each."""
    changed = sorted((result for result in document.results if run_facts.has_changed(result)), key=facts.severity)
    head = [marker(key), f"### gentest: {_outcome(document)}", ""]
    if partial := run_facts.unfinished(document.interrupted, document.unchecked):
        head += [f"❌ {markdown.cell(partial)}", ""]
    tail = _totals(document, report_url)
    left = limit - _length([*head, *tail])
    table = _within(_table(changed, document), left // 2, "more that changed")
    same = len(document.results) - len(changed)
    others = counted(same, "other property", "other properties")
    table += [""] if table else []
    if same:
        passes = "passes" if same == 1 else "pass"
        table += [f"{others} {'as in the baseline' if document.gate is not None else passes}", ""]
    left -= _length(table)
    blocks, left_out = [], 0
    for result in (result for result in changed if not result.passed):
        shown = [] if pictures is None else pictures.of(result)
        sizes = [
            markdown.failure(result, document, shown),
            markdown.failure(result, document),
            _replay(result, document),
        ]
        fitting = next((block for block in sizes if _length(block) <= left - MAX_CELL), None)
        if fitting is None:
            left_out += 1
            continue
        blocks += fitting
        left -= _length(fitting)
    more = [f"{left_out} more that do not pass are left out here.", ""] if left_out else []
    return printable("\n".join([*head, *table, *blocks, *more, *tail]).rstrip()) + "\n"


def _outcome(document: Document) -> str:
    """The outcome in a few words, against the baseline if there is one."""
    sign = markdown.SIGNS[document.outcome]
    if document.gate is not None:
        return f"{sign} {markdown.cell(run_facts.gate_total(document.gate).removeprefix('gate: '))}"
    failing = sum(result.outcome in (Outcome.FAILED, Outcome.ERROR) for result in document.results)
    return f"{sign} {failing} of {counted(len(document.results), 'property', 'properties')} not held"


def _totals(document: Document, report_url: str) -> list[str]:
    """What the gate saw beside properties, the baseline, the run in one line, and the report."""
    lines = []
    if document.gate is not None:
        lines += [*_beside(document.gate), markdown.cell(run_facts.against(document.gate)), ""]
    lines += [markdown.cell(run_facts.totals(document.results)), ""]
    return lines + ([f"[The whole report](<{quote(report_url, safe=':/?&=#%')}>)", ""] if report_url else [])


def _beside(comparison: Comparison) -> list[str]:
    lines = markdown.levels(comparison)
    lines += [f"- ⚠️ drift: {markdown.cell(text)}" for text in run_facts.drifted(comparison)]
    lines += [f"- ⚠️ drift not comparable: {markdown.cell(name)}" for name in comparison.uncompared]
    lines += [f"- ⚠️ not looked at: {markdown.cell(name)}" for name in comparison.missing]
    lines += [f"- ⚠️ not selected: {markdown.cell(name)}" for name in comparison.unselected]
    return [*_within(lines, LIMIT // 8, "more"), ""] if lines else []


def _table(changed: Sequence[Result], document: Document) -> list[str]:
    """A row for each result that changed: what it was in the baseline, and what it is now."""
    if not changed:
        return []
    if document.gate is None:
        head = ["| | test | property | probes | margin or rate |", "|---|---|---|---:|---|"]
        rows = [(facts.verdict(r), facts.probes(r), facts.measure(r)) for r in changed]
        ordered: list[tuple[str, ...]] = [(now, *_named(r), *two) for r, (now, *two) in zip(changed, rows, strict=True)]
    else:
        head = ["| now | test | property | in the baseline | rate before -> now | lost / won |", "|---" * 6 + "|"]
        ordered = [_against_baseline(result) for result in changed]
    signs = [markdown.SIGNS[result.outcome] for result in changed]
    lines = [f"| {sign} {' | '.join(map(_short, row))} |" for sign, row in zip(signs, ordered, strict=True)]
    return [*head, *lines]


def _against_baseline(result: Result) -> tuple[str, ...]:
    gate = result.gate
    if gate is None:
        return (facts.verdict(result), *_named(result), "not compared", "", "")
    before = "new" if gate.new or gate.baseline_verdict is None else facts.WORDS[gate.baseline_verdict]
    now = f"{facts.standing(gate)}, {facts.verdict(result)}"
    differ = f"{gate.losses} / {gate.wins}" if gate.probes else ""
    return (now, *_named(result), before, facts.before_and_now(result), differ)


def _named(result: Result) -> tuple[str, str]:
    return result.test + facts.on_checkpoint(result), result.property


def _short(text: str) -> str:
    """Text as a cell, cut to a length that leaves room for others."""
    return markdown.cell(text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…")


def _replay(result: Result, document: Document) -> list[str]:
    """The command that replays a failing result, alone: what fits where its block does not."""
    command = markdown.replay_command(result, document)
    fence = markdown.fence_of(command)
    return [f"{fence}bash", command, fence, ""] if command and "\n" not in command else []


def _within(lines: list[str], limit: int, more: str) -> list[str]:
    """As many lines as fit, and how many do not."""
    for n in range(len(lines)):
        if _length(lines[: n + 1]) > limit:
            return [*lines[:n], "", f"{len(lines) - n:,} {more}"]
    return lines


def _length(lines: Sequence[str]) -> int:
    """Characters as GitHub counts them, line ends included, with what `printable` escapes."""
    return sum(len(printable(line).encode("utf-16-le", "backslashreplace")) // 2 + 1 for line in lines)


def _drawn(files: Sequence[Path]) -> list[str]:
    """Pictures in frames side by side, in characters of five shades: darkest to brightest place of all of them.

    Pictures of one shade have nothing to compare it with, so white is then the brightest.
    """
    small = [_small(file) for file in files]
    values = [value for picture in small for value in picture.tobytes()]
    low, high = min(values), max(values)
    low, high = (low, high) if low < high else (0, 255)
    drawn = []
    for picture in small:
        levels = [SHADES[(value - low) * (len(SHADES) - 1) // (high - low)] for value in picture.tobytes()]
        rows = ["".join(levels[row : row + picture.width]) for row in range(0, len(levels), picture.width)]
        edge = "─" * picture.width
        drawn.append([f"┌{edge}┐", *(f"│{row}│" for row in rows), f"└{edge}┘"])
    return ["  ".join(row) for row in zip(*drawn, strict=True)]


def _small(file: Path) -> Image.Image:
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"{file} has more than {MAX_BYTES} bytes")
    with Image.open(file, formats=("PNG",)) as picture:
        small: Image.Image = picture.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX)
        return small
