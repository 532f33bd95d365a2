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
    """A browser of a playwright that has started; None where no chromium is here."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    path = path or started.chromium.executable_path
    return started.chromium.launch(executable_path=path, args=ARGS) if Path(path).exists() else None


def show(tab: Any, path: Path) -> None:
    """Open a file in a tab, until its second frame is drawn."""
    tab.goto(path.as_uri(), wait_until="load")
    tab.evaluate(FRAMES)
