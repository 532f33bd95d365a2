"""How long a browser takes to open the HTML page of fifty failures, beside a page of nothing but the same pictures.

    python -m tests.bench.opening [ROUNDS]

Fifty properties with a counterexample, whose pictures are noise and do not compress, in a headless chromium: seconds
from the address to the second frame that is drawn. The page is to be there in less than 2 s on two cores; pictures
alone say how much of that is the browser's own.
"""

# ruff: noqa: T201 - it prints a table
from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from playwright import sync_api as playwright

from gentest.report import page
from tests.helpers.chromium import launch, show
from tests.helpers.drawn import AT, many

FAILURES = 50


def main(rounds: int) -> None:
    """Open both in turn, each in a tab of its own, and print what each took."""
    text = page.page(many(FAILURES), at=AT)
    pictures = re.findall(r"<img[^>]*>", text)
    texts = {"page": text, "pictures alone": "<!doctype html><meta charset=utf-8>" + "".join(pictures)}
    seconds: dict[str, list[float]] = {name: [] for name in texts}
    with tempfile.TemporaryDirectory() as folder, playwright.sync_playwright() as started:
        browser = launch(started)
        if browser is None:
            sys.exit("needs a chromium: Debian's, or what `playwright install chromium` brings")
        for i in range(rounds):
            for name in list(texts)[:: 1 if i % 2 else -1]:
                path = Path(folder) / f"{name}.html"
                path.write_text(texts[name], encoding="utf-8")
                tab = browser.new_page(viewport={"width": 1280, "height": 900})
                began = time.perf_counter()
                show(tab, path)
                seconds[name].append(time.perf_counter() - began)
                tab.close()
        browser.close()
    print(f"{FAILURES} failures, {len(pictures):,} pictures, {len(text) / 1e6:.1f} MB; {rounds} rounds")
    for name, taken in seconds.items():
        print(f"{name:15} {median(taken):6.2f} s (median), {max(taken):.2f} s (slowest)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
