"""A watch on what happens while an input is read: code that runs, processes, writes elsewhere, hangs, warnings.

One audit hook, armed while one input is read; Python cannot remove an audit hook.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

TEMPORARY = os.path.realpath(tempfile.gettempdir())
LOCK = re.compile(re.escape(TEMPORARY) + r"/gentest-[0-9]+-[0-9a-f]+\.lock")
"""The lock of a file that several runs share; it is empty."""
SECONDS = 2.0
"""Of this process's own time for one input."""
WALL = 60.0
"""Of any time: something waits for ever."""
MEMORY = 400 * 2**20
"""Bytes by which one input may raise the most that the process ever had."""
RUNS = ("exec", "compile", "import", "pickle.find_class", "marshal.load", "code.__new__", "cpython.run_")
STARTS = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "socket.",
    "ctypes.",
    "urllib.",
)
CHANGES = (
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.chown", "os.truncate",
    "os.utime", "shutil.", "sqlite3.connect", "tempfile.",
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Hang(BaseException):
    """An input took longer than there is time."""


class Watch:
    """The hook, and what it has seen since it was armed."""

    def __init__(self) -> None:
        self._folder = ""
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._folder:
            return
        if (
            event == "compile" and arguments[1] == "<unknown>"
        ):  # read by `ast`, which runs nothing: that would be `exec`
            return
        if event.startswith((*RUNS, *STARTS)):
            self.seen.append(f"{event} {str(arguments)[:120]}")
        elif event == "open":
            name, _, flags = arguments
            if isinstance(flags, int) and flags & WRITING and not self._inside(name):
                self.seen.append(f"opened for writing: {name!r:.120}")
        elif event.startswith(CHANGES):
            names = [name for name in arguments if isinstance(name, (str, bytes, Path))]
            if not all(self._inside(name) for name in names):
                self.seen.append(f"{event} {str(arguments)[:120]}")

    def _inside(self, name: object) -> bool:
        """Whether a path lies in the folder, links in it followed."""
        if not isinstance(name, (str, bytes, os.PathLike)):
            return True  # a descriptor that is open already
        path = os.fsdecode(name)
        here = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
        if here == TEMPORARY or LOCK.fullmatch(here):
            return True
        return here == os.devnull or here.startswith(self._folder + os.sep) or here == self._folder

    @contextmanager
    def armed(self, folder: Path) -> Iterator[list[str]]:
        """What goes wrong within it is in the list that it gives."""
        found: list[str] = []
        self.seen = []
        before, most = time.process_time(), _most_memory()
        signal.signal(signal.SIGALRM, _alarm)
        signal.setitimer(signal.ITIMER_REAL, WALL)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            self._folder = os.path.realpath(folder)
            try:
                yield found
            finally:
                self._folder = ""
                signal.setitimer(signal.ITIMER_REAL, 0)
        found += self.seen
        found += [f"warned: {str(w.message)[:120]}" for w in warned]
        if (took := time.process_time() - before) > SECONDS:
            found.append(f"took {took:.1f} s of this process")
        if (grown := _most_memory() - most) > MEMORY:
            found.append(f"took {grown / 2**20:.0f} MB more")


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _alarm(number: int, frame: FrameType | None) -> None:
    raise Hang
