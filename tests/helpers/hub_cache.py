"""A cache of the Hugging Face Hub with one repository, as `huggingface_hub` itself leaves it on disk."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

REPOSITORY, COMMIT = "org/faces", "0123456789abcdef0123456789abcdef01234567"


def write_cache(folder: Path, files: dict[str, str], *, branch: str = "main") -> Path:
    """Write files, by their paths in the repository, at one commit of a branch. Returns the folder of the commit."""
    repository = folder / f"models--{REPOSITORY.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    for path, text in files.items():
        blob = repository / "blobs" / sha256(text.encode()).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_text(text)
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).symlink_to(blob)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / branch).write_text(COMMIT)
    return snapshot
