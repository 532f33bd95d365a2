"""`hf://` with the real huggingface_hub, offline on a cache of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from gentest.errors import InvalidArgument
from gentest.integrations.sources import fetch
from tests.helpers.hub_cache import COMMIT, write_cache

constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra huggingface")
FILES = {"model.json": "{}", "unet/config.json": "1", "unet/a/b.bin": "2", "odd[1]/x.bin": "3"}


@pytest.fixture(autouse=True)
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the repository's one commit in the cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return write_cache(tmp_path, FILES)


@pytest.mark.parametrize("revision", ["", "@main", f"@{COMMIT}"])
@pytest.mark.parametrize("path", ["/model.json", "/unet/a/b.bin", "/unet", "/unet/a", "/odd[1]", ""])
def test_a_file_a_folder_or_all_is_fetched(revision: str, path: str, snapshot: Path) -> None:
    """The path in the cache, and an address with the commit in place of the branch."""
    fetched = fetch(f"hf://org/faces{revision}{path}")
    assert fetched.path == snapshot / path.lstrip("/")
    assert fetched.pinned == f"hf://org/faces@{COMMIT}{path}"
    assert fetched.name == f"org/faces@{COMMIT[:8]}{path}"
    assert fetch(fetched.pinned) == fetched


def test_a_pull_request_is_a_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`refs/pr/1` has slashes, as the Hub writes it."""
    cache = tmp_path / "other"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    (cache / "models--org--faces" / "refs" / "refs" / "pr").mkdir(parents=True)
    write_cache(cache, FILES, branch="refs/pr/1")
    for revision in ("refs/pr/1", "refs%2Fpr%2F1"):
        assert fetch(f"hf://org/faces@{revision}/model.json").pinned == f"hf://org/faces@{COMMIT}/model.json"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://org/faces@gone/model.json", "hf://org/faces@gone/model.json: "),
        ("hf://org/faces/gone.json", "hf://org/faces/gone.json: "),
        ("hf://org/nobody/model.json", "hf://org/nobody/model.json: "),
        ("hf://gpt2", "is not a model on the Hub: expected hf://org/name@revision/path"),
        ("hf://datasets/org/faces", "is not a model on the Hub"),
        ("hf:/org/faces", "is not a model on the Hub"),
        ("hf://", "is not a model on the Hub"),
        ("hf://org/faces/../../x", "has no '..'"),
        ("hf://org/faces@..%2F..%2Fx/model.json", "hf://org/faces@"),
    ],
)
def test_anything_else_is_one_clear_line(address: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        fetch(address)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
