"""A run's page and its folder of images: what is asked of checks for them, and what is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from gentest._support.files import write_whole
from gentest.engine.check import Question
from gentest.plugin.troubles import Troubles
from gentest.report import images
from gentest.results.document import Document
from gentest.results.result import Result
from gentest.results.shown import Shown


@dataclass(frozen=True)
class Drawing:
    """The file of the page and the folder of the images, where they are asked for."""

    troubles: Troubles
    report: Path | None = None
    images: str | None = None

    @property
    def _is_asked(self) -> bool:
        return self.report is not None or self.images is not None

    def asked(self, question: Question) -> Question:
        """The question with what is to be drawn of it: that changes no figure."""
        return replace(question, shows=self._is_asked, whole=self.images is not None)

    def drawn(self, result: Result, command: str) -> Result:
        """The result with the command that replays it, and its images as files, written by whoever checked it."""
        if not self._is_asked:
            return result
        shown = replace(result.shown or Shown(), command=command)
        result = replace(result, shown=shown)
        if self.images is None:
            return result
        try:
            return images.write(Path(self.images), result)
        except OSError as error:
            said = f"could not write images: {error}"
            self.troubles.note(said, fails=True)
            return replace(result, shown=replace(images.without(shown), missing=said))

    def write(self, document: Document) -> None:
        """Writes the page of a run that ends now. Raises `OSError`."""
        if self.report is not None:
            from gentest.report import page  # which imports jinja2

            at = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
            write_whole(self.report, page.page(document, at=at))

    def said(self, results: Sequence[Result]) -> list[str]:
        """Where the files are, a line each."""
        n = sum(result.shown.files for result in results if result.shown is not None)
        files = "file" if n == 1 else "files"
        lines = [] if self.report is None else [f"report: {self.report}"]
        return lines + ([] if self.images is None else [f"images: {n} PNG {files} in {self.images}"])
