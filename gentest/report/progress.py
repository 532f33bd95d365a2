"""Progress while a run works: a live bar where a person watches, a line now and then where none does."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_SECONDS = 30.0
"""Without a terminal a line is written no more often."""
ROOM, SAVE, RESTORE = "\x1bD\x1bD\x1b[2A", "\x1b7\x1bE", "\x1b8"
"""Two free lines below the cursor, which stays; then down to the first of them; and back to where the cursor was."""
BAR = 16


def stderr() -> TextIO | None:
    """Standard error as it is before pytest captures it, as a file of its own; None where there is none."""
    if sys.__stderr__ is None:
        return None
    with suppress(OSError, ValueError):
        return io.TextIOWrapper(io.FileIO(os.dup(sys.__stderr__.fileno()), "w"), encoding="utf-8")
    return None


def attended() -> bool:
    """Whether somebody watches: all that is written goes to a terminal, and no CI says that it runs this."""
    streams = (sys.__stdout__, sys.__stderr__)
    with suppress(ValueError):
        return all(s is not None and s.isatty() for s in streams) and not os.environ.get("CI")
    return False


class Watch:
    """Follows one property: how many probes are decided, how fast images come, and how long it will take.

    Use as a context manager. `file` is a terminal (a bar is drawn below the line of pytest's dots, and erased), another
    stream (plain lines), or None. `live=False` asks for plain lines in a terminal too.
    """

    def __init__(
        self,
        title: str,
        file: TextIO | None,
        *,
        live: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._file = file
        self._live = live
        self._clock = clock
        self._started = self._said = clock()
        self._images = 0
        self._done = self._total = 0
        self._bar: Progress | None = None

    def __enter__(self) -> Watch:
        if self._live and self._file is not None and self._file.isatty():
            self._draw(self._file)
        return self

    def _draw(self, file: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        from gentest.report.terminal import shortened

        console = Console(file=file, width=_width(file))
        if console.is_dumb_terminal or console.legacy_windows or not console.is_terminal:
            return
        title, said = (
            TextColumn(f"{{task.{field}}}", markup=False, table_column=Column(no_wrap=True))
            for field in ("description", "fields[said]")
        )
        self._bar = Progress(title, BarColumn(BAR), said, TimeRemainingColumn(), console=console, transient=True)
        room = console.width - BAR - len(" 300 of 300 probes  10,000 images/s 0:00:00 ")
        self._bar.add_task(shortened(self._title, max(8, room)), total=None, said="")
        file.write(ROOM + SAVE)
        file.flush()
        self._bar.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None and self._file is not None:
            self._bar.stop()
            self._file.write(RESTORE)
            self._file.flush()
            self._bar = None

    def images(self, n: int) -> None:
        """So many more images were made."""
        self._images += n
        self._show()

    def probes(self, done: int, total: int) -> None:
        """So many of the planned probes are decided; of a rate nobody knows how many it takes, and `total` is 0."""
        self._done, self._total = done, total
        self._show()

    def _show(self) -> None:
        now = self._clock()
        of = f" of {self._total:,}" if self._total else ""
        probes = f"{self._done:,}{of} probes" if self._done or self._total else ""
        speed = f"{self._images / max(now - self._started, 1e-9):,.0f} images/s"
        if self._bar is not None:
            (task,) = self._bar.tasks
            if bool(task.total) != bool(self._total) or self._done < task.completed:
                self._bar.reset(task.id)  # another stage, of which the time is not that of the last
            task.total = self._total or None  # `update` takes None for no change
            self._bar.update(task.id, completed=self._done, said=f"{probes}  {speed}")
        elif self._file is not None and now - self._said >= PLAIN_SECONDS:
            self._said = now
            made = f"{probes}, " if probes else ""
            self._file.write(f"\ngentest: {self._title}: {made}{self._images:,} images, {speed} ")
            self._file.flush()


def _width(file: TextIO) -> int | None:
    """How wide the terminal is that a file writes to: pytest hides it from whoever looks at standard output."""
    if os.environ.get("COLUMNS", "").isdigit():
        return None  # rich goes by it
    with suppress(OSError, ValueError):
        return os.get_terminal_size(file.fileno()).columns or None
    return None
