from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gentest.attributes.prompts as prompts
from gentest.attributes import PromptCache
from gentest.errors import ClipError, InvalidArgument

KEY = "0123456789abcdef"


def put(cache: PromptCache, prompt: str, vector: Any = (3.0, 4.0), key: str = KEY) -> None:
    cache.put(key, prompt, vector, name="tiny", logit_scale=100.0)


def stored(**changes: Any) -> dict[str, Any]:
    """The JSON of one model with one prompt, with some of its entries changed."""
    vector = base64.b64encode(np.array([0.6, 0.8], "<f4").tobytes()).decode()
    model = {"name": "tiny", "dim": 2, "logit_scale": 100.0, "prompts": {"a cat": vector}}
    return {"schema": 1, "models": {KEY: model | changes}}


def encoded(*values: float) -> str:
    return base64.b64encode(np.array(values, "<f4").tobytes()).decode()


def test_an_embedding_comes_back_with_unit_length(tmp_path: Path) -> None:
    cache = PromptCache.load(tmp_path / "deep" / "prompts.json", update=True)
    put(cache, "a photo of a cät")
    cache.save()
    again = PromptCache.load(tmp_path / "deep" / "prompts.json")
    vector = again.get(KEY, "a photo of a cät")
    assert vector is not None
    np.testing.assert_allclose(vector, [0.6, 0.8], rtol=1e-6)
    assert again.logit_scale(KEY) == 100.0
    assert again.get(KEY, "a dog") is None
    assert again.get("f" * 16, "a photo of a cät") is None
    assert again.logit_scale("f" * 16) is None


def test_a_prompt_is_one_line_so_that_a_diff_shows_it(tmp_path: Path) -> None:
    cache = PromptCache(tmp_path / "prompts.json")
    for prompt in ("b", "a"):
        put(cache, prompt)
    cache.save()
    before = cache.path.read_text()
    put(cache, "c", (1.0, 0.0))
    cache.save()
    lines, now = before.splitlines(), cache.path.read_text().splitlines()
    assert sum(line.strip(",") not in [old.strip(",") for old in lines] for line in now) == 1
    assert [line.strip()[:5] for line in now if line.startswith(" " * 4)] == ['"a": ', '"b": ', '"c": ']


def test_a_missing_file_is_an_error_unless_it_is_being_made(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="no such prompt file; make it with --gentest-update-prompts"):
        PromptCache.load(tmp_path / "none.json")
    assert PromptCache.load(tmp_path / "none.json", update=True).get(KEY, "a cat") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON file"),
        ("[" * 100_000, "not a JSON file"),
        ("[]", r"not a prompt file of schema 1 \(schema: None\)"),
        ('{"schema": 2, "models": {}}', r"schema: 2"),
        ('{"schema": 1}', "not a prompt file"),
        (stored(dim="2"), f"model {KEY}: expected name, dim, logit_scale and prompts"),
        (stored(dim=True), "expected dim >= 1"),
        (stored(logit_scale=0.0), "finite logit_scale"),
        (stored(logit_scale=float("inf")), "Infinity is not a JSON number"),
        (stored(dim=3), r"'a cat': 8 bytes; expected 12"),
        (stored(prompts={"a cat": "!"}), "'a cat': not base64"),
        (stored(prompts={"a cat": 7}), "'a cat': not base64"),
        (stored(prompts={"a cat": encoded(float("nan"), 0.0)}), "'a cat': not finite"),
        (stored(prompts={"a cat": encoded(3.0, 4.0)}), "'a cat': length 5; expected 1"),
    ],
)
def test_another_file_is_rejected_in_one_line(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ClipError, match=message) as info:
        PromptCache.load(path)
    assert str(info.value).startswith(str(path))
    assert "\n" not in str(info.value)


def test_a_valid_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(stored(logit_scale=100)))
    assert PromptCache.load(path).logit_scale(KEY) == 100.0


def test_a_huge_file_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(stored()))
    monkeypatch.setattr(prompts, "MAX_BYTES", 10)
    with pytest.raises(ClipError, match="larger than"):
        PromptCache.load(path)


@pytest.mark.parametrize("vector", [[0.0, 0.0], [np.nan, 1.0], [[1.0, 0.0]], [np.inf, 1.0]])
def test_an_embedding_without_a_direction_is_rejected(tmp_path: Path, vector: Any) -> None:
    with pytest.raises(InvalidArgument, match="finite embedding"):
        put(PromptCache(tmp_path / "p"), "a cat", vector)


def test_a_model_has_one_dimension(tmp_path: Path) -> None:
    cache = PromptCache(tmp_path / "p")
    put(cache, "a cat")
    with pytest.raises(InvalidArgument, match="has 3 dimensions; tiny has 2"):
        put(cache, "a dog", [1.0, 0.0, 0.0])


def test_workers_that_save_at_once_keep_all_prompts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"

    def work(number: int) -> None:
        cache = PromptCache.load(path, update=True)
        for i in range(4):
            put(cache, f"prompt {number} {i}", key=f"{number % 2:016d}")
            cache.save()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache = PromptCache.load(path)
    assert all(
        cache.get(f"{number % 2:016d}", f"prompt {number} {i}") is not None for number in range(6) for i in range(4)
    )
    assert [file.name for file in tmp_path.iterdir()] == ["prompts.json"]


@pytest.mark.slow
def test_the_lock_of_a_run_that_died_is_dropped(tmp_path: Path) -> None:
    cache = PromptCache(tmp_path / "prompts.json")
    put(cache, "a cat")
    script = (
        "import os, sys; from pathlib import Path; from gentest.attributes.prompts import _lock;"
        "_lock(Path(sys.argv[1])).acquire(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(cache.path)], check=True)
    cache.save()
    assert PromptCache.load(cache.path).get(KEY, "a cat") is not None


def test_a_save_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = PromptCache(tmp_path / "prompts.json")
    put(cache, "a cat")
    cache.save()
    before = cache.path.read_bytes()
    put(cache, "a dog")

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        cache.save()
    assert cache.path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["prompts.json"]
