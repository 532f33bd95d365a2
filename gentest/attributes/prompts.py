"""CLIP's text embeddings in a file: a CI run then needs no text tower, and a diff shows when an embedding changes.

The fingerprint of its image tower identifies a model. Each prompt is one line: base64 of little-endian float32, of unit
length.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from gentest._support.files import read_json, write_whole
from gentest._support.printable import in_one_line
from gentest.errors import ClipError, InvalidArgument

SCHEMA = 1
MAX_BYTES = 64 * 2**20
"""The largest file that is read: some 23,000 prompts of 512 dimensions."""

Vector = NDArray[np.float32]


@dataclass
class StoredModel:
    """The prompts of one model in the file."""

    name: str
    dim: int
    logit_scale: float
    prompts: dict[str, Vector] = field(default_factory=dict)


class PromptCache:
    """Stored text embeddings by model and prompt.

    With `update`, the text tower computes missing prompts and saves them. Without, they are an error.

    >>> cache = PromptCache(Path("prompts.json"), update=True)
    >>> cache.put("0a1b2c3d4e5f6071", "a photo of a cat", [3.0, 4.0], name="local-dir:clip", logit_scale=100.0)
    >>> cache.get("0a1b2c3d4e5f6071", "a photo of a cat")
    array([0.6, 0.8], dtype=float32)
    >>> cache.get("0a1b2c3d4e5f6071", "a photo of a dog") is None
    True
    """

    def __init__(self, path: Path, *, update: bool = False) -> None:
        self.path = path
        self.update = update
        self._models: dict[str, StoredModel] = {}

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, update: bool = False) -> PromptCache:
        """The cache in a file. Raises `ClipError` if `save` did not write it, or if it is missing without `update`."""
        cache = cls(Path(path), update=update)
        if cache.path.exists() or not update:
            cache._models = _read(cache.path)
        return cache

    @property
    def prompts(self) -> frozenset[str]:
        """Every stored prompt, of all models."""
        return frozenset(prompt for model in self._models.values() for prompt in model.prompts)

    def get(self, fingerprint: str, prompt: str) -> Vector | None:
        """The prompt's embedding [D], float32, of unit length; None if it is not stored."""
        model = self._models.get(fingerprint)
        return None if model is None else model.prompts.get(prompt)

    def logit_scale(self, fingerprint: str) -> float | None:
        """The logit scale of the model that made the embeddings; another scale means another text tower."""
        model = self._models.get(fingerprint)
        return None if model is None else model.logit_scale

    def put(self, fingerprint: str, prompt: str, vector: Any, *, name: str, logit_scale: float) -> None:
        """Store an embedding [D], scaled to unit length. `save` writes it to the file.

        `fingerprint`, `name` and `logit_scale` are those of the embedding's `ClipModel`.
        """
        row = np.asarray(vector, dtype=np.float32).astype(np.float64)  # float32 may not hold its length
        length = float(np.linalg.norm(row))
        if row.ndim != 1 or not math.isfinite(length) or length == 0.0:
            raise InvalidArgument(f"Expected a finite embedding [D] that is not 0 for the prompt {prompt!r}")
        model = self._models.setdefault(fingerprint, StoredModel(name, len(row), logit_scale))
        if model.dim != len(row):
            raise InvalidArgument(f"The prompt {prompt!r} has {len(row)} dimensions; {model.name} has {model.dim}")
        model.prompts[prompt] = (row / length).astype(np.float32)

    def save(self) -> None:
        """Write the file atomically, together with what other workers have saved in it meanwhile."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(self.path):
            if self.path.exists():
                self._merge(_read(self.path))
            write_whole(self.path, _encode(self._models))

    def _merge(self, stored: dict[str, StoredModel]) -> None:
        for fingerprint, theirs in stored.items():
            ours = self._models.setdefault(fingerprint, theirs)
            if ours.dim != theirs.dim:
                raise ClipError(f"{self.path}: model {theirs.name} has {theirs.dim} dimensions there, {ours.dim} here")
            ours.prompts = {**theirs.prompts, **ours.prompts}


def _read(path: Path) -> dict[str, StoredModel]:
    if not path.is_file():
        raise ClipError(f"{path}: no such prompt file; make it with --gentest-update-prompts")
    try:
        data = read_json(path, most_bytes=MAX_BYTES)
    except (OSError, ValueError) as error:
        raise ClipError(f"{path}: not a JSON file of prompts: {in_one_line(str(error))}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or not isinstance(data.get("models"), dict):
        schema = data.get("schema") if isinstance(data, dict) else None
        raise ClipError(f"{path}: not a prompt file of schema {SCHEMA} (schema: {in_one_line(repr(schema), 80)})")
    return {key: _model(f"{path}: model {in_one_line(key, 80)}", entry) for key, entry in data["models"].items()}


def _model(where: str, entry: Any) -> StoredModel:
    match entry:
        case {"name": str(name), "dim": int(dim), "logit_scale": int() | float() as scale, "prompts": dict(prompts)}:
            if isinstance(dim, bool) or isinstance(scale, bool) or dim < 1 or not 0.0 < scale < math.inf:
                raise ClipError(f"{where}: expected dim >= 1 and a finite logit_scale > 0, not {dim!r} and {scale!r}")
            vectors = {
                prompt: _vector(f"{where}: {in_one_line(repr(prompt), 120)}", text, dim)
                for prompt, text in prompts.items()
            }
            return StoredModel(name, dim, float(scale), vectors)
    raise ClipError(f"{where}: expected name, dim, logit_scale and prompts")


def _vector(where: str, text: Any, dim: int) -> Vector:
    try:
        raw = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ClipError(f"{where}: not base64: {error}") from error
    if len(raw) != 4 * dim:
        raise ClipError(f"{where}: {len(raw)} bytes; expected {4 * dim}, float32 of {dim} dimensions")
    vector = np.frombuffer(raw, dtype="<f4").astype(np.float32)
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not math.isfinite(length):
        raise ClipError(f"{where}: not finite")
    if abs(length - 1.0) > 1e-3:
        raise ClipError(f"{where}: length {length:.4g}; expected 1")
    return vector


def _encode(models: dict[str, StoredModel]) -> str:
    data = {"schema": SCHEMA, "models": {fingerprint: asdict(model) for fingerprint, model in models.items()}}
    text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False, default=_to_base64) + "\n"
    # a lone surrogate, from a path that is not UTF-8, is written as JSON's own escape
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _to_base64(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def _lock(path: Path) -> FileLock:
    """A lock on saving the file, shared by the user's processes. It lies in the temporary folder: nobody deletes it."""
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    user = os.getuid() if hasattr(os, "getuid") else ""  # another user's lock file could not be opened
    return FileLock(Path(tempfile.gettempdir(), f"gentest-{user}-{digest}.lock"))
