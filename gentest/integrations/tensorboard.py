"""TensorBoard: a run's figures as event files, by `--gentest-log tensorboard:DIR`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from gentest.errors import InvalidArgument
from gentest.integrations.sinks import TrackedRun, tracked_runs
from gentest.integrations.sources import require
from gentest.report import markdown
from gentest.results.document import Document

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorboardSink:
    """Event files in a folder: the folder of one run, or of a run for each of several checkpoints.

    Figures are scalars in double precision at step 0, so that they read back as the JSON has them. The tab *Text* has
    the run as Markdown and its parameters.
    """

    def __init__(self, folder: str) -> None:
        require("tensorboard", extra="tensorboard")
        if not folder:
            raise InvalidArgument("tensorboard needs the folder of its event files: tensorboard:DIR")
        self._folder = Path(folder).expanduser()
        if self._folder.exists() and not self._folder.is_dir():
            raise InvalidArgument(f"tensorboard:{folder} is a file; expected a folder, or a name for one")
        self._folder = self._folder.absolute()  # before a test changes the working directory

    def log(self, document: Document, page: str) -> str:
        """Write the event files. Raises `OSError` if the folder cannot be written."""
        from torch.utils.tensorboard import SummaryWriter

        for run in tracked_runs(document):
            own = self._folder / _folder_name(run.name) if run.name else self._folder
            own.mkdir(parents=True, exist_ok=True)
            with SummaryWriter(str(own)) as writer:
                _write(writer, run, document)
        return f"logged to TensorBoard: {self._folder}"


def _write(writer: SummaryWriter, run: TrackedRun, document: Document) -> None:
    for name, value in run.figures.items():
        writer.add_scalar(name, value, global_step=0, new_style=True, double_precision=True)
    rows = "\n".join(f"| {name} | {value} |" for name, value in run.parameters.items())
    texts = {"gentest/parameters": f"| parameter | value |\n|---|---|\n{rows}", "gentest/run": markdown.page(document)}
    for name, text in texts.items():
        writer.add_text(name, text, global_step=0)


def _folder_name(checkpoint: str) -> str:
    """A checkpoint's name as the name of one folder.

    >>> _folder_name("runs/a:1.pt"), _folder_name("..")
    ('runs-a-1.pt', '..-')
    """
    name = re.sub(r"[^A-Za-z0-9_.@=-]+", "-", checkpoint)
    return name if name.strip(".") else f"{name}-"
