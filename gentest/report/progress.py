"""Progress while a run works: a live bar where a person watches, a line now and then where none does."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_SECONDS = 30.0
"""Without a terminal a line is written no more often."""


class Watch:
    """Follows one property: how many probes are decided, and how fast images come.

    Use as a context manager. `file` is a terminal (a bar is drawn and erased), another stream (plain lines), or None.
    """

    def __init__(self, title: str, file: TextIO | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._file = file
        self._clock = clock
        self._started = self._said = clock()
        self._images = 0
        self._done = self._total = 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Watch:
        if self._file is not None and self._file.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("probes  {task.fields[speed]}"),
                TimeElapsedColumn(),
                console=Console(file=self._file),
                transient=True,
            )
            self._task = self._bar.add_task(self._title, total=None, speed="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def images(self, n: int) -> None:
        """So many more images were made."""
        self._images += n
        self._show()

    def probes(self, done: int, total: int) -> None:
        """So many of the planned probes are decided."""
        self._done, self._total = done, total
        self._show()

    def _show(self) -> None:
        now = self._clock()
        speed = f"{self._images / max(now - self._started, 1e-9):,.0f} images/s"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, total=self._total or None, speed=speed)
        elif self._file is not None and now - self._said >= PLAIN_SECONDS:
            self._said = now
            total = f"{self._done} of {self._total} probes, " if self._total else ""
            self._file.write(f"\ngentest: {self._title}: {total}{self._images:,} images, {speed} ")
            self._file.flush()
