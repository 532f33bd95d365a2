"""The report and the folder of images that a run writes. The name of the report's file says which format it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gentest._support.files import write_whole
from gentest.engine.check import Question
from gentest.plugin.session_end import Problems
from gentest.report import images
from gentest.results.document import Document
from gentest.results.drawings import Drawings
from gentest.results.result import Result


def _html(document: Document) -> str:
    from gentest.report import page  # which imports jinja2

    return page.page(document)


def _markdown(document: Document) -> str:
    from gentest.report import markdown

    return markdown.page(document)


WRITERS: Mapping[str, Callable[[Document], str]] = {".html": _html, ".md": _markdown}
"""The writer of a report by the end of its file's name; any other end gives HTML."""
WITH_PICTURES = {_html}


def writer_for(path: Path) -> Callable[[Document], str]:
    """The writer of a report with this name."""
    return WRITERS.get(path.suffix.lower(), _html)


def shows_pictures(path: Path) -> bool:
    """True if a report with this name has pictures."""
    return writer_for(path) in WITH_PICTURES


@dataclass(frozen=True)
class ReportFiles:
    """The report and the folder of images, if the run asks for them."""

    problems: Problems
    page: Path | None
    images: str | None
    logs: bool = False
    """The run is logged to a tracker, with its page."""

    @property
    def _wants_pictures(self) -> bool:
        return self.images is not None or self.logs or (self.page is not None and shows_pictures(self.page))

    def ask(self, question: Question) -> Question:
        """The question with the pictures that the files need. They change no figure."""
        return replace(question, shows=self._wants_pictures, whole=self.images is not None)

    def illustrate(self, result: Result, command: str) -> Result:
        """The result with the command that replays it. Its images become files, in the process that checked it."""
        if not self._wants_pictures:
            return result
        drawings = replace(result.drawings or Drawings(), command=command)
        result = replace(result, drawings=drawings)
        if self.images is None:
            return result
        try:
            return images.write(Path(self.images), result)
        except OSError as error:
            missing = f"could not write images: {error}"
            self.problems.add(missing, fails=True)
            return replace(result, drawings=replace(images.without(drawings), missing=missing))

    def write(self, document: Document) -> None:
        """Write the report of a run that ends now. Raises `OSError`."""
        if self.page is not None:
            write_whole(self.page, writer_for(self.page)(document))

    def html(self, document: Document) -> str:
        """The report as one HTML page, for a tracker."""
        return _html(document)

    def lines(self, results: Sequence[Result]) -> list[str]:
        """One line for each file or folder, saying where it is."""
        n = sum(result.drawings.files for result in results if result.drawings is not None)
        files = "file" if n == 1 else "files"
        lines = [] if self.page is None else [f"report: {self.page}"]
        return lines + ([] if self.images is None else [f"images: {n} PNG {files} in {self.images}"])
