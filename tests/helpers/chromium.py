"""A headless chromium: Debian's, or what `playwright install chromium` brings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def launch(started: Any) -> Any:
    """A browser of a started playwright, or None if chromium is not installed."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    path = path or started.chromium.executable_path
    return started.chromium.launch(executable_path=path, args=ARGS) if Path(path).exists() else None


def show(tab: Any, path: Path) -> None:
    """Open a file in a tab and wait for its second frame."""
    tab.goto(path.as_uri(), wait_until="load")
    tab.evaluate(FRAMES)
