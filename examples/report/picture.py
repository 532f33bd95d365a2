"""Draws `page.png`, the HTML page's picture of the face GAN's counterexamples. Needs chromium and the extra `test`.

Run from the root of the repository: `python examples/report/picture.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
TEST = "examples/faces/test_faces.py::test_brightness_is_between"
WIDTH, HEIGHT = 1240, 900


def main() -> None:
    """Run the test, open its page, and save a screenshot of the first result, down to its curves."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        command = [sys.executable, "-m", "pytest", "--gentest", TEST, "--gentest-report", str(page)]
        subprocess.run([*command, "-p", "no:cacheprovider"], check=False)
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
            opened = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
            opened.goto(page.as_uri())
            result, last = (opened.locator(s).bounding_box() for s in (".result", ".result .look:nth-of-type(2)"))
            assert result is not None
            assert last is not None
            height = last["y"] + last["height"] - result["y"]
            clip = {"x": result["x"], "y": result["y"], "width": result["width"], "height": height}
            shot = opened.screenshot(clip=clip, full_page=True)
            browser.close()
    Image.open(BytesIO(shot)).convert("RGB").quantize(192).save(HERE / "page.png", optimize=True)


if __name__ == "__main__":
    main()
