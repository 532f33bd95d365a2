"""A CLIP model: one embedding for each prompt and image, in float32, from files or from its text tower."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from gentest.attributes import PromptCache, clip
from gentest.attributes.clip.loading import TEXT_STUB
from gentest.attributes.clip.model import LAYOUTS, load_clip
from gentest.errors import ClipError
from gentest.results.settings import Precision
from tests.helpers.tiny_clip import CPU, WEIGHTS, images, setup_of


def blow_up(*_: object, **__: object) -> NoReturn:
    raise AssertionError("the text tower was asked for")


@pytest.mark.parametrize("text", [True, False])
def test_a_model_is_known_by_its_image_tower_however_it_was_loaded(copy: Path, tiny: Path, *, text: bool) -> None:
    model, other = load_clip(f"local-dir:{copy}", CPU, text=text), load_clip(f"local-dir:{tiny}", CPU)
    assert model is not other
    assert (model.name, model.fingerprint) == ("local-dir:copy", other.fingerprint)
    assert len(model.fingerprint) == 16
    assert model.logit_scale == pytest.approx(1 / 0.07)
    assert torch.equal(model.embed(images()), other.embed(images()))


@pytest.mark.parametrize("precision", ["full", "bf16"])
def test_the_layout_of_a_gpu_gives_the_same_rows(
    copy: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    """Channels last, in which a GPU gets the tower and its inputs: other kernels, and the same numbers."""
    contiguous = load_clip(f"local-dir:{tiny}", CPU)
    monkeypatch.setitem(LAYOUTS, "cpu", torch.channels_last)
    last = load_clip(f"local-dir:{copy}", CPU)
    inputs: list[torch.Tensor] = []
    last._visual.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    allowed = 1e-5 if precision == "full" else 1e-2
    torch.testing.assert_close(
        last.embed(images(), precision), contiguous.embed(images(), precision), rtol=0, atol=allowed
    )
    if precision == "full":
        assert inputs[0].is_contiguous(memory_format=torch.channels_last)
    convolutions = [weights for weights in last._visual.parameters() if weights.ndim == 4]
    assert convolutions
    assert all(weights.is_contiguous(memory_format=torch.channels_last) for weights in convolutions)


def test_another_image_tower_has_another_fingerprint(copy: Path, tiny: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / WEIGHTS)
    weights["visual.proj"][0, 0] += 1e-3
    save_file(weights, copy / WEIGHTS)
    assert load_clip(f"local-dir:{copy}", CPU).fingerprint != load_clip(f"local-dir:{tiny}", CPU).fingerprint


def test_half_precision_weights_run_in_float32(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file({name: tensor.half() for name, tensor in load_file(copy / WEIGHTS).items()}, copy / WEIGHTS)
    for text in (False, True):
        model = load_clip(f"local-dir:{copy}", CPU, text=text)
        assert {parameter.dtype for parameter in model._visual.parameters()} == {torch.float32}


def test_a_prompts_embedding_depends_on_no_other_prompt(copy: Path, tiny: Path) -> None:
    together = load_clip(f"local-dir:{copy}", CPU).text_vectors(["a", "b", "c"])
    assert torch.equal(together[1:2], load_clip(f"local-dir:{tiny}", CPU).text_vectors(["b"]))


def test_the_text_tower_runs_once_for_a_prompt(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = clip("a cat", "a dog").bind(setup_of(copy))
    monkeypatch.setattr(type(first.feature.model), "_encode", blow_up)
    again = clip("a dog", "a cat").bind(setup_of(copy))
    assert torch.equal(first.texts, -again.texts)


def test_a_text_tower_that_was_dropped_is_loaded_again(copy: Path) -> None:
    model = load_clip(f"local-dir:{copy}", CPU)
    before = model.text_vectors(["a cat"])
    model.drop_text_tower()
    model._vectors.clear()
    assert torch.equal(model.text_vectors(["a cat"]), before)


def test_stored_prompts_need_no_text_tower(
    copy: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_clip: ModuleType
) -> None:
    making = PromptCache.load(tmp_path / "prompts.json", update=True)
    expected = clip("a cat", "a dog").bind(setup_of(tiny, making))

    built: list[Any] = []
    build = open_clip.model._build_text_tower

    def watched(dim: int, config: Any, *rest: Any) -> Any:
        built.append(config)
        return build(dim, config, *rest)

    monkeypatch.setattr(open_clip.model, "_build_text_tower", watched)
    for name in ("get_tokenizer", "load_checkpoint"):
        monkeypatch.setattr(open_clip, name, blow_up)
    monkeypatch.setattr(open_clip.CLIP, "encode_text", blow_up)
    bound = clip("a cat", "a dog").bind(setup_of(copy, PromptCache.load(making.path)))
    torch.testing.assert_close(bound.texts, expected.texts)
    assert built == [TEXT_STUB]


def test_a_prompt_that_is_not_stored_is_an_error_that_says_what_to_run(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    clip("a cat").bind(setup_of(tiny, PromptCache.load(path, update=True)))
    with pytest.raises(ClipError, match=r"no embedding of 'a dog' and 1 more by local-dir:tiny.*-update-prompts"):
        clip("a dog", "a bird").bind(setup_of(tiny, PromptCache.load(path)))
    clip("a dog", "a bird").bind(setup_of(tiny, PromptCache.load(path, update=True)))
    clip("a dog", "a bird").bind(setup_of(tiny, PromptCache.load(path)))


def test_a_file_without_changes_is_not_written_again(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    clip("a cat").bind(setup_of(tiny, PromptCache.load(path, update=True)))
    path.chmod(0o444)
    before = path.stat().st_mtime_ns
    clip("a cat").bind(setup_of(tiny, PromptCache.load(path, update=True)))
    assert path.stat().st_mtime_ns == before


def test_prompts_of_another_text_tower_are_refused(tiny: Path, tmp_path: Path) -> None:
    cache = PromptCache(tmp_path / "prompts.json")
    fingerprint = load_clip(f"local-dir:{tiny}", CPU).fingerprint
    cache.put(fingerprint, "a cat", np.ones(16), name="other", logit_scale=100.0)
    with pytest.raises(ClipError, match=r"another text tower made the prompts.*; delete them"):
        clip("a cat").bind(setup_of(tiny, cache))


def test_a_file_holds_no_folder_of_this_machine(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    clip("a cat").bind(setup_of(tiny, PromptCache.load(path, update=True)))
    assert '"name": "local-dir:tiny"' in path.read_text()
    assert str(tiny.parent) not in path.read_text()
