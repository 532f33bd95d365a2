"""Outputs of counterexamples as PNG files: a folder for each property, and a file for each output."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from gentest._support.files import write_whole
from gentest.results.drawings import Difference, Drawings, Strip
from gentest.results.result import Result

PART = 60
"""Characters of a test or property in the name of a folder: file systems allow 255 bytes."""
WRITTEN = re.compile(r"(worst|minimal)-(\d+|reference|difference)\.png")


def write(folder: Path, result: Result) -> Result:
    """Write the full-size outputs of a result as files, in place of an earlier run's, and return it without them.

    Raises `OSError` if a file cannot be written.
    """
    if result.drawings is None:
        return result
    own = folder / folder_name(result)
    # files behind a link belong to another folder
    if own.is_symlink():
        raise OSError(f"{own} is a link to another folder")
    for old in own.glob("*.png"):
        if WRITTEN.fullmatch(old.name):
            old.unlink()
    files = list(_files(result.drawings))
    if files:
        own.mkdir(parents=True, exist_ok=True)
    for name, data in files:
        if (own / name).is_symlink():
            (own / name).unlink()
        write_whole(own / name, data)
    return replace(result, drawings=replace(without(result.drawings), files=len(files)))


def without(drawings: Drawings) -> Drawings:
    """The same drawings without full-size pictures."""

    def small(strip: Strip | None) -> Strip | None:
        return None if strip is None else replace(strip, whole=())

    def smaller(difference: Difference | None) -> Difference | None:
        return None if difference is None else replace(difference, whole=())

    return replace(
        drawings,
        worst=small(drawings.worst),
        minimal=small(drawings.minimal),
        worst_difference=smaller(drawings.worst_difference),
        minimal_difference=smaller(drawings.minimal_difference),
    )


def folder_name(result: Result) -> str:
    """A name for a property's folder that any file system takes, and that no other property has.

    >>> folder_name(Result("tests/test_a.py::test_a[../x]", "between(a)", "violated"))
    'test_a.py-test_a-..-x--between-a--098b78db'
    """
    file, _, name = result.test.partition("::")
    words = [_plain(f"{Path(file).name} {name}"), _plain(result.property)]
    words += [_plain(result.checkpoint)] if result.checkpoint else []
    return "--".join([*words, result_hash(result)])


def result_hash(result: Result) -> str:
    """Eight hexadecimal digits that tell a property of a test and a checkpoint from all others."""
    key = "\0".join((result.test, result.property, result.checkpoint))
    return sha256(key.encode("utf-8", "replace")).hexdigest()[:8]


def _plain(text: str) -> str:
    """The text with everything but letters, digits, dots and underscores replaced by hyphens."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")[:PART] or "x"


def _files(drawings: Drawings) -> Iterator[tuple[str, bytes]]:
    for name, strip in (("worst", drawings.worst), ("minimal", drawings.minimal)):
        if strip is not None:
            for place, whole in enumerate(strip.whole):
                yield f"{name}-{place:02d}.png", base64.b64decode(whole)
    for name, difference in (("worst", drawings.worst_difference), ("minimal", drawings.minimal_difference)):
        if difference is not None:
            for kind, whole in zip(("reference", "difference"), difference.whole, strict=False):
                yield f"{name}-{kind}.png", base64.b64decode(whole)
