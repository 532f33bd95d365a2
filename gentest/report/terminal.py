"""A run as a terminal shows it: the block of a failing test, the table that ends a run, and the lines below it.

rich measures, wraps and aligns the text. Lines come without colours: whoever prints them colours each by its outcome.
"""

from __future__ import annotations

import functools
import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from gentest._support.printable import printable
from gentest.report import facts, level_facts, run_facts
from gentest.results.comparison import Comparison
from gentest.results.document import Document
from gentest.results.outcome import Outcome
from gentest.results.result import Result

MAX_WIDTH = 100
MIN_WIDTH = 60
INDENT = 11
"""The column in which the text beside a word begins."""
SHORTEST_NAME = 20
"""Columns of the table give way until each name has as many cells."""
SCORE_NAME = 32
"""Cells of an attribute's name beside its scores."""
MAX_NAMES = 3
"""Properties that are listed in one line."""
ELLIPSIS = "…"
TIE = "\ue000"
"""Stands for a space at which no line is broken: a character that no font and no language uses."""


@dataclass(frozen=True)
class Line:
    """A line of text, and the outcome that colours it if the terminal has colours."""

    text: str
    outcome: Outcome | None = None


def columns() -> int:
    """The width of a line: COLUMNS or that of the terminal, from 60 to 100; 100 without a terminal."""
    return max(MIN_WIDTH, min(MAX_WIDTH, shutil.get_terminal_size((MAX_WIDTH, 24)).columns))


# a failing test


def failure(result: Result, command: str, *, width: int = MAX_WIDTH) -> str:
    """The block about a result that fails its test; `command` replays its minimal counterexample or invalid output.

    No line is longer than `width`, except for the command, which is one line to copy.
    """
    lines = wrapped(facts.headline(result), width, rest="    ")
    for detail in facts.details(result):
        texts: list[RenderableType] = [_text(detail.text)] if detail.text else []
        texts += [_aligned(detail.rows)] if detail.rows else []
        lines += _beside(f"  {detail.word}", Group(*texts), width)
    lines += ["  replay   " + command] if command and result.replay else []
    if result.traceback:
        lines += ["", *(f"  {line}" for line in result.traceback.rstrip().splitlines())]
    return "\n".join(lines)


def _aligned(rows: Sequence[tuple[str, ...]]) -> Table:
    """Rows in aligned columns. The last column is wrapped."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for row in rows:
        *names, last = row
        table.add_row(*(_Cell(shortened(name, SCORE_NAME)) for name in names), _text(last))
    return table


# the end of a run


def summary(document: Document, *, width: int = MAX_WIDTH, quiet: bool = False) -> list[Line]:
    """The lines below the table: totals, certainty, the order of the checkpoints, and the gate."""
    results, session = document.results, document.session
    lines = []
    if results or document.gate is None:
        # one line, however long: other programs read it
        totals = f"{run_facts.totals(results)} on {session.device}, seed {session.seed}"
        lines.append(Line(totals, Outcome.worst(result.outcome for result in results)))
        lines += [] if quiet else [Line(text) for text in certainty(document, width)]
    lines += [Line(text) for text in ranking(results)]
    if document.gate is not None:
        compared = comparison(document.gate, width)
        lines += compared[-1:] if quiet else compared
    return lines


def certainty(document: Document, width: int) -> list[str]:
    """Lines that a reader needs once per run, wrapped."""
    return [line for text in run_facts.certainty(document) for line in wrapped(text, width, rest=" " * 4)]


def ranking(results: Sequence[Result]) -> list[str]:
    """The order of the checkpoints of a run of several, and the order in each property."""
    lines = []
    for order in run_facts.rankings(results):
        table = Table.grid(padding=(0, 2, 0, 0))
        for rank, checkpoint, figures in order.rows:
            table.add_row(Text(f"{rank:>3}. ") + _text(checkpoint), _text(figures))
        lines += [order.title, *_rendered(table, 1_000)]
    return lines


def comparison(compared: Comparison, width: int = MAX_WIDTH) -> list[Line]:
    """How a run compares with a baseline: each drift that is certain, what is missing, and the whole.

    The table has a row for each property.
    """
    lines = [Line(text) for text in wrapped(run_facts.against(compared), width, rest="    ")]
    entries = [("level", text, standing.outcome) for standing, text in level_facts.levels(compared)]
    entries += [("drift", text, Outcome.UNDECIDED) for text in run_facts.drifted(compared)]
    if without := run_facts.without_drift(compared):
        entries.append(("drift", f"not found in {without}", Outcome.PASSED))
    for word, prefix, names in (
        ("not seen", "", compared.missing),
        ("not seen", "not selected: ", compared.unselected),
        ("drift", "not comparable: ", compared.uncompared),
    ):
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        if names:
            entries.append((word, f"{prefix}{', '.join(names[:MAX_NAMES])}{more}", Outcome.UNDECIDED))
    if differing := run_facts.differing(compared):
        entries.append(("other", differing, Outcome.UNDECIDED))
    for word, text, outcome in entries:
        lines += [Line(line, outcome) for line in _beside(word, _text(text), width)]
    return [*lines, Line(run_facts.gate_total(compared), compared.outcome)]


# the table of results


@dataclass(frozen=True)
class _Column:
    head: str
    text: Callable[[Result], str]
    justify: JustifyMethod = "left"
    min_width: int = 0
    is_name: bool = False
    """True if its texts are shortened to make room."""


def table(
    results: Sequence[Result],
    *,
    width: int = MAX_WIDTH,
    verbose: bool = False,
    explained: Callable[[Result], bool] = lambda result: False,
    replay: Callable[[str], str] = lambda text: text,
) -> list[Line]:
    """A heading, and a row for each result with its notes, the worst first; empty if there are no results.

    `verbose` adds names that were shortened and how each rate was decided. Results that are `explained` above get no
    notes. `replay` shortens a replay string for display.
    """
    if not results:
        return []
    ordered = sorted(results, key=facts.severity)
    drawn = _table(ordered, width)
    head, *rows = _rendered(drawn, width)
    lines = [Line(head)]
    for result, row in zip(ordered, rows, strict=True):
        lines.append(Line(row, result.outcome))
        is_cut = verbose and ELLIPSIS in row
        notes = [f"{result.test}  {facts.property_of(result)}{facts.on_checkpoint(result)}"] if is_cut else []
        notes += [] if explained(result) else facts.notes(result, replay, verbose=verbose)
        lines += [Line(text) for note in notes for text in wrapped(note, width, first=" " * 4, rest=" " * 6) if text]
    return lines


def _table(results: Sequence[Result], width: int) -> Table:
    """The table with as many columns as leave the names enough room."""
    gated = any(result.gate is not None for result in results)
    files = {result.test.partition("::")[0] for result in results}
    names = [_Column("test", _test_name if len(files) == 1 else lambda r: r.test, is_name=True)]
    if any(result.checkpoint for result in results):
        names.append(_Column("checkpoint", lambda r: r.checkpoint, is_name=True))
    names.append(_Column("property", facts.property_of, is_name=True))
    standing = [_Column("gate", lambda r: "-" if r.gate is None else facts.standing(r.gate))] if gated else []
    verdict = [_Column("verdict", facts.verdict)]
    probes = [_Column("probes", facts.n_probes, "right")]
    measures = [
        [_Column("margin or rate", facts.measure)],
        [_Column("margin or rate", functools.partial(facts.measure, with_bounds=False))],
    ]
    if gated:
        probes = [_Column("probes", facts.n_gated, "right")]
        measures = [[_Column("rate before -> now", facts.before_and_now)]]
    # as wide as some minutes, so that the table looks alike from run to run
    time = [_Column("time", facts.seconds, "right", min_width=len("100.0 s"))]
    choices = [[*standing, *verdict, *names, *probes, *measure, *time] for measure in measures]
    choices += [
        [*standing, *verdict, *names, *probes, *measures[-1]],
        [*standing, *verdict, *names, *measures[-1]],
    ]
    choices += [[*standing, *names, *measures[-1]]] if gated else []
    drawn = [_drawn(results, choice) for choice in choices]
    return next((each for each in drawn if _least_width(each) <= width), drawn[-1])


def _drawn(results: Sequence[Result], columns: Sequence[_Column]) -> Table:
    drawn = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    drawn.show_header = True
    for column in columns:
        drawn.add_column(
            column.head,
            justify=column.justify,
            min_width=column.min_width,
            no_wrap=not column.is_name,
        )
    for result in results:
        drawn.add_row(*(_Cell(column.text(result), can_shrink=column.is_name) for column in columns))
    return drawn


def _least_width(drawn: Table) -> int:
    wide = _console(100_000)
    return Measurement.get(wide, wide.options, drawn).minimum


def _test_name(result: Result) -> str:
    """The test's node id without its file."""
    return result.test.partition("::")[2] or result.test


# text in lines


class _Cell:
    """A text in one line; if it can shrink, its middle is cut out to make room."""

    def __init__(self, text: str, *, can_shrink: bool = False) -> None:
        self._text = printable(" ".join(text.split()))
        self._least = SHORTEST_NAME if can_shrink else cell_len(self._text)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = cell_len(self._text)
        return Measurement(min(width, self._least), width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(shortened(self._text, options.max_width), no_wrap=True, end="")


def wrapped(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Lines of at most `width` cells, with `first` before the first and `rest` before each other.

    >>> wrapped("one two three", 9, first="- ", rest="  ")
    ['- one two', '  three']
    """
    lines = _rendered(_text(text), width - cell_len(rest))
    return [((rest if i else first) + line).rstrip() for i, line in enumerate(lines)] or [first.rstrip()]


def shortened(text: str, width: int) -> str:
    """Text of at most `width` cells in one line, with its middle cut out.

    >>> shortened("test_every_latent_has_a_garment_of_its_own", 21)
    'test_every…of_its_own'
    """
    text = " ".join(text.splitlines())
    if len(text) <= width and cell_len(text) <= width:
        return text
    n_tail = (width - 1) // 2
    return _start(text, width - 1 - n_tail) + ELLIPSIS + _start(text[::-1], n_tail)[::-1]


def _start(text: str, width: int) -> str:
    """As much of a text as fits."""
    return next(iter(chop_cells(text[:width], width)), "") if width > 0 else ""


def _text(text: str) -> Text:
    """A text to be wrapped. A number stays with its per cent sign, and odds stay together."""
    tied = "\n".join(text.splitlines()).replace(" %", f"{TIE}%").replace(" : 1", f"{TIE}:{TIE}1")
    return Text(printable(tied), overflow="fold")


def _beside(word: str, content: RenderableType, width: int) -> list[str]:
    """A word, and what there is to say about it in a column of its own."""
    grid = Table.grid()
    grid.add_column(width=INDENT)
    grid.add_row(Text(word), content)
    return _rendered(grid, width)


def _rendered(content: RenderableType, width: int) -> list[str]:
    lines = _console(width).render_lines(content, pad=False)
    return ["".join(segment.text for segment in line).replace(TIE, " ").rstrip() for line in lines]


@functools.cache
def _console(width: int) -> Console:
    """A console without colours that writes nowhere."""
    return Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
