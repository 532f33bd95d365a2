"""Files and folders of the Hugging Face Hub as checkpoints, by `hf://org/name@revision/path`.

Its own module because each system beside gentest has one.
"""

from __future__ import annotations

import re
from glob import escape
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from gentest._support.printable import short_repr
from gentest.errors import InvalidArgument
from gentest.integrations.sources import Fetched, require

ADDRESS = re.compile(
    r"hf://(?:models/)?(?P<repository>[^/@]+/[^/@]+)"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+))?"
    r"(?:/(?P<path>.*))?"
)
OTHERS = ("datasets", "spaces", "buckets")
"""Kinds of repositories that hold no models."""


def fetch(address: str) -> Fetched:
    """The file or folder at an address of the Hub, from its cache or downloaded into it; without a path, all files.

    `huggingface_hub` decides where the cache is, which token it sends, and with `HF_HUB_OFFLINE=1` that nothing is
    downloaded. A branch or a tag is pinned to its commit. Raises the Hub's error if there is no such file.
    """
    match = ADDRESS.fullmatch(address)
    if match is None or match["repository"].partition("/")[0] in OTHERS:
        raise InvalidArgument(f"{short_repr(address)} is not a model on the Hub: expected hf://org/name@revision/path")
    repository, path = match["repository"], (match["path"] or "").strip("/")
    if ".." in PurePosixPath(path).parts:
        raise InvalidArgument(f"{short_repr(address)}: a path inside the repository has no '..'")
    require("huggingface_hub", extra="huggingface")
    revision = None if match["revision"] is None else unquote(match["revision"])
    local = _local(repository, revision, path)
    # the cache keeps a revision under snapshots/COMMIT
    inside = local.parts[: -len(PurePosixPath(path).parts)] if path else local.parts
    return Fetched(local, f"hf://{repository}@{inside[-1]}" + (f"/{path}" if path else ""))


def _local(repository: str, revision: str | None, path: str) -> Path:
    """The file or folder in the cache of the Hub."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    if not path:
        return Path(snapshot_download(repository, revision=revision))
    try:
        return Path(hf_hub_download(repository, path, revision=revision))
    except EntryNotFoundError:  # a folder, or nothing
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=f"{escape(path)}/*")) / path
        if folder.is_dir():
            return folder
        raise
