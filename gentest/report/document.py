"""Results as a file: the versioned JSON of `--gentest-json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gentest._support.files import write_whole


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document, whole or not at all."""
    write_whole(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
