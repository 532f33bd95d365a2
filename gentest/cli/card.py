"""The command `gentest card`: the results of a run as a part of a model card."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gentest._support.files import write_whole
from gentest.cli.results_files import HELD, document_of, print_lines, read_results
from gentest.errors import InvalidArgument
from gentest.report import model_card

HELP = "print or update a part of a model card"
DESCRIPTION = (
    "Prints a model card with the results of a run, as metadata of the Hugging Face Hub (model-index) and as Markdown. "
    "With --into it updates that part of a card, and keeps everything else. The exit status is 0, whatever the results."
)
MAX_BYTES = 16 * 2**20
"""A larger card is refused."""


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="RESULT.json", help="a file that --gentest-json wrote")
    parser.add_argument(
        "--into", type=Path, metavar="README.md", help="the card to update; a file that does not exist is written anew"
    )
    parser.add_argument("--name", default="", help="the model's name in the metadata (default: the card's own)")
    parser.add_argument(
        "--task",
        default=model_card.TASK,
        help=f"the model's task on the Hub, such as text-to-image (default: {model_card.TASK})",
    )


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Print the card, or update a file."""
    document = document_of(options.file, read_results(options.file))
    if options.into is None:
        sys.stdout.write(model_card.card(document, name=options.name, task=options.task))
        return HELD
    before = _read(options.into)
    try:
        after = model_card.updated(before, document, name=options.name, task=options.task)
    except InvalidArgument as error:
        raise InvalidArgument(f"{options.into}: {error}") from error
    if after != before:
        write_whole(options.into, after)
    print_lines([f"{options.into}: {'updated' if after != before else 'as it was'}"])
    return HELD


def _read(path: Path) -> str:
    """The text of a card with the ends of its lines as they are; empty if there is no file."""
    if not path.exists():
        return ""
    if path.stat().st_size > MAX_BYTES:
        raise InvalidArgument(f"{path}: has more than {MAX_BYTES:,} bytes")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{path}: not UTF-8: {error}") from error
