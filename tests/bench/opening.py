"""Row `page`: how long a browser takes to open the HTML page of fifty failures, beside its pictures alone.

Fifty properties with a counterexample, whose pictures are noise and do not compress, in a headless chromium: seconds
from the address to the second frame that is drawn. Pictures alone say how much of that is the browser's own.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gentest.report import page
from tests.bench.figures import Asked, Figure, Target, compared, in_turn
from tests.helpers.drawn import AT, many

FAILURES = 50


def page_of_failures(asked: Asked) -> Iterator[Figure]:
    """Seconds until the page is shown, over those of its pictures alone; each in a tab of its own."""
    what = f"page of {FAILURES} failures, against its pictures alone"
    try:
        from playwright import sync_api as playwright

        from tests.helpers.chromium import launch, show
    except ImportError:
        yield Figure(what, note="skipped: needs playwright")
        return
    text = page.page(many(FAILURES), at=AT)
    pictures = re.findall(r"<img[^>]*>", text)
    texts = {"page": text, "pictures": "<!doctype html><meta charset=utf-8>" + "".join(pictures)}
    with tempfile.TemporaryDirectory() as folder, playwright.sync_playwright() as started:
        browser = launch(started)
        if browser is None:
            yield Figure(what, note="skipped: needs a chromium: Debian's, or what `playwright install chromium` brings")
            return

        def opened(name: str) -> float:
            path = Path(folder) / f"{name}.html"
            path.write_text(texts[name], encoding="utf-8")
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            began = time.perf_counter()
            show(tab, path)
            seconds = time.perf_counter() - began
            tab.close()
            return seconds

        found = in_turn({name: lambda name=name: opened(name) for name in texts}, asked.rounds)
        browser.close()
    note = f"{len(pictures):,} pictures, {len(text) / 1e6:.1f} MB"
    yield compared(what, found["page"], found["pictures"], unit="s", target=Target(3, "at most"), note=note)
