"""The records of films, recordings, rows and texts travel as JSON with a result, and stay out of files."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from gentest.errors import InvalidArgument
from gentest.results.drawings import Drawings
from gentest.results.media import Media
from gentest.results.records import read_record
from tests.helpers.drawn_media import KINDS, media


@pytest.mark.parametrize("kind", KINDS)
def test_a_medium_comes_back_from_json(kind: str) -> None:
    """As a worker of pytest-xdist sends it."""
    drawings = Drawings(minimal_media=media(kind))
    assert read_record(Drawings, json.loads(json.dumps(asdict(drawings)))) == drawings


def test_an_unknown_field_is_refused() -> None:
    """A record of another version is no record."""
    with pytest.raises(InvalidArgument, match="has no field"):
        read_record(Media, {"outputs": [], "n": 1, "odour": 3})
