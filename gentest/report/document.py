"""Results as a file: the versioned JSON of `--gentest-json`, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document beside its place and move it there, so that a killed run leaves no half of one."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False
    ) as file:
        try:
            json.dump(document, file, indent=1, allow_nan=False)
            file.write("\n")
        except BaseException:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)
