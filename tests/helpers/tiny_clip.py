"""A tiny random CLIP in a folder, as open_clip saves one, and images to embed."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from gentest.attributes import PromptCache, Setup

CPU = torch.device("cpu")
WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
MODEL_CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bilinear", "resize_mode": "squash"}


@pytest.fixture(scope="session")
def open_clip() -> ModuleType:
    import open_clip

    module: ModuleType = open_clip
    return module


@pytest.fixture(scope="session")
def tiny(open_clip: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random CLIP, as open_clip saves them."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**MODEL_CONFIG)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    write_config(folder)
    return folder


def write_config(folder: Path, **model: Any) -> None:
    config = {"model_cfg": MODEL_CONFIG | model, "preprocess_cfg": PREPROCESS}
    (folder / CONFIG).write_text(json.dumps(config))


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny CLIP, to break, that no other test has loaded."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in tiny.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def setup_of(folder: Path, prompts: PromptCache | None = None) -> Setup:
    return Setup(CPU, clip=f"local-dir:{folder}", prompts=prompts)


def images(n: int = 3) -> Tensor:
    return torch.rand(n, 3, 24, 24, generator=torch.Generator().manual_seed(1))
