"""A distribution that adds trackers and a source of checkpoints to gentest, as pip would leave it in site-packages."""

from __future__ import annotations

from pathlib import Path

SOURCE = '''
class Board:
    """Writes how many results a run has to a file, and the verdicts of its page."""

    def __init__(self, text):
        self.text = text

    def log(self, document, page):
        with open(f"{self.text}.txt", "a") as file:
            file.write(f"{len(document.results)} results, {page.count('data-outcome=')} on the page\\n")
        return f"logged to the board {self.text}"


def broken(text):
    raise RuntimeError("no board today")


class Failing(Board):
    def log(self, document, page):
        raise ConnectionError("the board\\ndoes not answer")


def shelf(address):
    from pathlib import Path

    from gentest.integrations.sources import Fetched

    path, _, version = address.removeprefix("shelf:/").partition("@")
    if not version:
        raise KeyError("no version")
    return Fetched(Path(path), f"shelf:/{path}@7")
'''
ENTRIES = {"board": "Board", "broken": "broken", "failing": "Failing", "gone": "Gone"}


def write_package(folder: Path) -> None:
    """Write the module `board` and its metadata. Its trackers are `board`, and three that do not work."""
    (folder / "board.py").write_text(SOURCE)
    info = folder / "board-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: board\nVersion: 1.0\n")
    entries = "".join(f"{name} = board:{attribute}\n" for name, attribute in ENTRIES.items())
    (info / "entry_points.txt").write_text(f"[gentest.sinks]\n{entries}\n[gentest.sources]\nshelf = board:shelf\n")
