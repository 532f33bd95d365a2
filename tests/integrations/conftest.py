"""A finished run with a gate, and a model's repository."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gentest.results.document import Document
from tests.helpers.repository import _of_no_worker, repository, warm

__all__ = ["_of_no_worker", "repository", "warm"]
GOLDEN = Path(__file__).parents[1] / "results" / "golden" / "regressed.json"


@pytest.fixture
def document() -> Document:
    """A run of examples/fashion against a baseline: two properties hold, two fail."""
    return Document.from_json(json.loads(GOLDEN.read_text(encoding="utf-8")))


@pytest.fixture
def of_two(document: Document) -> Document:
    """A run of two checkpoints with the same results."""
    results = tuple(
        replace(result, provenance=replace(result.provenance, checkpoint=name))
        for name in ("a.pt", "b.pt")
        for result in document.results
    )
    return replace(document, results=results, session=replace(document.session, checkpoints=("a.pt", "b.pt")))
