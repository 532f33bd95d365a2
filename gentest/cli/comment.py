"""The command `gentest comment`: the Markdown that a bot posts on a pull request.

Its own module because each command has one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gentest.cli.results_files import HELD, compared_with, document_of, read_results
from gentest.errors import InvalidArgument
from gentest.report import pull_request
from gentest.results.comparison import Terms

HELP = "print the comment that a bot posts on a pull request"
DESCRIPTION = (
    "Prints Markdown of at most 65,536 characters: what changed against the baseline, the worst outputs, and the "
    "commands that replay them. The first line is hidden, and tells a bot which comment to update. "
    "The exit status is 0, whatever the results."
)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="RESULT.json", help="a file that --gentest-json wrote")
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="compare with this baseline, as `gentest gate` does (default: the comparison that the run made)",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="the folder that --gentest-images wrote")
    parser.add_argument(
        "--images-url", default="", metavar="URL", help="where readers find that folder; without it pictures are drawn"
    )
    parser.add_argument("--report-url", default="", metavar="URL", help="where readers find the whole report")
    parser.add_argument("--key", default="", help="a name that tells the comments of several gates apart")


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Print the comment."""
    document = document_of(options.file, read_results(options.file))
    for name in ("images_url", "report_url"):
        url = getattr(options, name)
        if url and not url.startswith(("https://", "http://")):
            raise InvalidArgument.expected("an address with https://", f"--{name.replace('_', '-')}", url)
    if options.baseline is not None:
        terms = document.gate.terms if document.gate is not None else Terms()
        document, _ = compared_with(options.baseline, options.file, document, terms)
    pictures = None if options.images is None else pull_request.Pictures(options.images, options.images_url)
    sys.stdout.write(pull_request.comment(document, pictures=pictures, report_url=options.report_url, key=options.key))
    return HELD
