"""Progress of a run: a live bar in a terminal, or else a plain line every thirty seconds."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from gentest._support.printable import counted

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_SECONDS = 30.0
"""The time between two plain lines."""
ROOM, SAVE, RESTORE = "\x1bD\x1bD\x1b[2A", "\x1b7\x1bE", "\x1b8"
"""Codes of a terminal: make room for two lines below the cursor, go to the first of them, and go back."""
BAR = 16


def stderr() -> TextIO | None:
    """A new file for standard error, opened before pytest captures it; None if there is none."""
    if sys.__stderr__ is None:
        return None
    with suppress(OSError, ValueError):
        return io.TextIOWrapper(io.FileIO(os.dup(sys.__stderr__.fileno()), "w"), encoding="utf-8")
    return None


def attended() -> bool:
    """True if a person watches: both streams are terminals, and this is not CI."""
    streams = (sys.__stdout__, sys.__stderr__)
    with suppress(ValueError):
        return all(s is not None and s.isatty() for s in streams) and not os.environ.get("CI")
    return False


class Watch:
    """A context manager that shows the progress of one property: its probes, its speed and the time that is left.

    `file` is a terminal, another stream for plain lines, or None. The bar is drawn below the line of pytest's dots, and
    erased at the end. `live=False` asks for plain lines in a terminal too. `run` says how far the whole run is.
    """

    def __init__(
        self,
        title: str,
        file: TextIO | None,
        *,
        live: bool = True,
        run: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._file = file
        self._live = live
        self._run = run
        self._clock = clock
        self._started = self._written_at = clock()
        self._has_written = False
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
        title, status = (
            TextColumn(f"{{task.{field}}}", markup=False, table_column=Column(no_wrap=True))
            for field in ("description", "fields[status]")
        )
        self._bar = Progress(title, BarColumn(BAR), status, TimeRemainingColumn(), console=console, transient=True)
        room = console.width - BAR - len(" 300 of 300 probes  10,000 images/s 0:00:00 ")
        self._bar.add_task(shortened(self._title, max(8, room)), total=None, status="")
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
        elif self._has_written and self._file is not None:
            self._file.write("\n")
            self._file.flush()

    def images(self, n: int) -> None:
        """Count `n` more images."""
        self._images += n
        self._show()

    def probes(self, done: int, total: int) -> None:
        """Show that `done` of `total` probes are decided; `total` is 0 for a rate, which takes an unknown number."""
        self._done, self._total = done, total
        self._show()

    def _show(self) -> None:
        now = self._clock()
        of = f" of {self._total:,}" if self._total else ""
        probes = f"{self._done:,}{of} probes" if self._done or self._total else ""
        speed = _speed(self._images, now - self._started)
        if self._bar is not None:
            (task,) = self._bar.tasks
            if bool(task.total) != bool(self._total) or self._done < task.completed:
                # a new stage has a time of its own
                self._bar.reset(task.id)
            # `update` would take None for no change
            task.total = self._total or None
            of_run = self._run()
            status = f"{probes}  {speed}" + (f"  run: {of_run}" if of_run else "")
            self._bar.update(task.id, completed=self._done, status=status)
        elif self._file is not None and now - self._written_at >= PLAIN_SECONDS:
            self._written_at, self._has_written = now, True
            made = f"{probes}, " if probes else ""
            run = f"; run: {of_run}" if (of_run := self._run()) else ""
            self._file.write(f"\ngentest: {self._title}: {made}{counted(self._images, 'image')}, {speed}{run} ")
            self._file.flush()


def _speed(images: int, seconds: float) -> str:
    """Images in a second, or seconds for an image if that is a larger number.

    >>> _speed(1000, 2.0), _speed(3, 15.0)
    ('500 images/s', '5.0 s an image')
    """
    per_second = images / max(seconds, 1e-9)
    return f"{per_second:,.0f} images/s" if per_second >= 1 or not images else f"{seconds / images:.1f} s an image"


def _width(file: TextIO) -> int | None:
    """The width of the terminal behind a file. pytest captures standard output, so rich cannot see it there."""
    if os.environ.get("COLUMNS", "").isdigit():
        return None  # rich goes by it
    with suppress(OSError, ValueError):
        return os.get_terminal_size(file.fileno()).columns or None
    return None
