"""Loading a CLIP: from a folder, a file or a hub's cache, with errors of one clear line."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest
import torch
from torch import nn

from gentest.attributes import Setup, bind, clip
from gentest.attributes.clip import loading
from gentest.attributes.clip.loading import find_source
from gentest.attributes.clip.model import load_clip
from gentest.errors import ClipError, InvalidArgument
from tests.helpers.tiny_clip import CONFIG, CPU, MODEL_CONFIG, WEIGHTS, images, write_config


def blow_up(*_: object, **__: object) -> NoReturn:
    raise AssertionError("the text tower was asked for")


def test_loading_leaves_the_rng_and_the_root_logger_alone(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = logging.getLogger()
    before, handlers, filters = torch.get_rng_state(), list(root.handlers), list(root.filters)
    with caplog.at_level(logging.DEBUG):
        load_clip(f"local-dir:{copy}", CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert (root.handlers, root.filters, caplog.records) == (handlers, filters, [])


def test_no_clip_was_chosen() -> None:
    with pytest.raises(ClipError, match=r"--gentest-clip MODEL:PRETRAINED.*gentest_clip.*settings\(clip="):
        bind(clip("a cat"), Setup(CPU))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ViT-B-23:openai", r"no model 'ViT-B-23'; did you mean .*ViT-B-32"),
        ("zzz", "no model 'zzz'; open_clip.list_models"),
        ("ViT-B-32", r"name the weights, for example 'ViT-B-32:openai'; the tags of ViT-B-32: openai, .*laion2b"),
        ("ViT-B/32:nope", r"no weights called 'nope'; the tags of ViT-B-32: openai"),
        ("ViT-B-32:none/here.safetensors", r"no such file: .*here.safetensors"),
        ("hf-hub:not a name", "not the name of a repository"),
        ("local-dir:", "no such folder"),
        ("local-dir:none/such", "no such folder"),
    ],
)
def test_a_model_that_is_not_known_is_one_clear_line(spec: str, message: str) -> None:
    with pytest.raises(ClipError, match=message) as info:
        load_clip(spec, CPU)
    assert str(info.value).startswith(f"CLIP {spec}: ")
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("spec", ["", 3, None])
def test_a_model_is_a_text(spec: Any) -> None:
    with pytest.raises(InvalidArgument, match="MODEL:PRETRAINED or local-dir:DIR"):
        load_clip(spec, CPU)


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / CONFIG).unlink(), f"has no {CONFIG}"),
        (lambda folder: (folder / CONFIG).write_text("{"), "cannot read"),
        (lambda folder: (folder / CONFIG).write_text("[]"), "not a JSON object"),
        (lambda folder: (folder / CONFIG).write_text("{}"), "has no model_cfg"),
        (lambda folder: (folder / WEIGHTS).unlink(), "has no weights"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"not a tensor"), "cannot load the model"),
        (lambda folder: write_config(folder, embed_dim=8), "cannot load the model"),
        (lambda folder: write_config(folder, nonsense=1), "cannot load the model"),
    ],
)
def test_a_folder_that_is_broken_is_one_clear_line(
    copy: Path, break_it: Callable[[Path], object], message: str, *, text: bool
) -> None:
    break_it(copy)
    with pytest.raises(ClipError, match=message) as info:
        load_clip(f"local-dir:{copy}", CPU, text=text)
    assert "\n" not in str(info.value)
    assert len(str(info.value)) < 700


def test_weights_that_would_run_code_are_not_loaded(copy: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(copy / "ran"),)

    (copy / WEIGHTS).unlink()
    torch.save({"visual.proj": Code()}, copy / "open_clip_pytorch_model.bin")
    with pytest.raises(ClipError, match="cannot load the model"):
        load_clip(f"local-dir:{copy}", CPU)
    assert not (copy / "ran").exists()


@pytest.mark.parametrize("spec", ["ViT-B-32:laion2b_s34b_b79k", "hf-hub:org/model"])
def test_weights_that_cannot_be_fetched_say_how_to_fetch_them(
    spec: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror("Name or service not known")

    import huggingface_hub

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(loading, "getproxies", dict)
    with pytest.raises(ClipError, match=r"cannot be downloaded \(gaierror\)\. Fetch them.*HF_HOME: python -c") as info:
        load_clip(spec, CPU)
    model, *tag = spec.split(":") if spec.startswith("ViT") else [spec]
    assert f"open_clip.create_model({model!r}{''.join(f', pretrained={t!r}' for t in tag)})" in str(info.value)
    assert "local-dir:DIR" in str(info.value)


@pytest.fixture
def architecture(open_clip: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The tiny CLIP as an architecture that open_clip lists by name."""
    path = tmp_path / "Tiny-32.json"
    path.write_text(json.dumps(MODEL_CONFIG))
    for name in ("_MODEL_CONFIGS", "_MODEL_CONFIG_PATHS"):
        monkeypatch.setattr(open_clip.factory, name, type(getattr(open_clip.factory, name))())
    open_clip.add_model_config(path)
    return path.stem


def test_a_file_is_preprocessed_as_the_config_beside_it_says(copy: Path, tiny: Path, architecture: str) -> None:
    model = load_clip(f"{architecture}:{copy / WEIGHTS}", CPU)
    folder = load_clip(f"local-dir:{tiny}", CPU)
    assert model.name == f"Tiny-32:{WEIGHTS}"
    assert model.preprocess == folder.preprocess
    assert torch.equal(model.embed(images()), folder.embed(images()))


def test_a_file_alone_warns_of_what_is_assumed(copy: Path, architecture: str) -> None:
    (copy / CONFIG).unlink()
    with pytest.warns(UserWarning, match=r"no open_clip_config.json beside it.*OpenAI's CLIP.*the size of Tiny-32"):
        model = load_clip(f"{architecture}:{copy / WEIGHTS}", CPU)
    assert (model.preprocess.size, model.preprocess.interpolation) == ((32, 32), "bicubic")
    assert model.preprocess.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)


@pytest.mark.parametrize("text", [True, False])
def test_a_tag_in_the_hubs_cache_asks_no_network_and_keeps_its_own_preprocessing_and_activation(
    copy: Path, architecture: str, open_clip: ModuleType, monkeypatch: pytest.MonkeyPatch, *, text: bool
) -> None:
    import huggingface_hub

    tag = {"hf_hub": "org/tiny/", "mean": (0.1,) * 3, "std": (0.2,) * 3, "resize_mode": "longest", "quick_gelu": True}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, architecture, {"some_tag": tag})
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, file: str(copy / file))
    monkeypatch.setattr(socket, "getaddrinfo", blow_up)
    for name in ("some_tag", "some-tag"):
        source = find_source(f"{architecture}:{name}")
        assert (source.weights, source.hub_only) == (copy / WEIGHTS, False)
    model = load_clip(f"{architecture}:some_tag", CPU, text=text)
    assert model is load_clip(f"{architecture}:some-tag", CPU)
    assert (model.preprocess.mean, model.preprocess.resize_mode) == ((0.1,) * 3, "longest")
    assert any(isinstance(module, open_clip.transformer.QuickGELU) for module in model._visual.modules())
    assert not any(isinstance(module, nn.GELU) for module in model._visual.modules())
