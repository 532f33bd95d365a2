"""Tiny models of Hugging Face, built from a configuration and saved as `save_pretrained` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

LABELS = {0: "neutral", 1: "smiling", 2: "angry"}


def save_classifier(folder: Path, **config: Any) -> Any:
    """A vision transformer of three labels for images of 32 pixels, and its preprocessor."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    labels = {"id2label": LABELS, "label2id": {text: i for i, text in LABELS.items()}}
    own = transformers.ViTConfig(**{**sizes, **labels, "image_size": 32, "patch_size": 8, **config})
    model = transformers.ViTForImageClassification(own).eval()
    model.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return model


def save_detector(folder: Path) -> Any:
    """A detector with five boxes and a last class for no object."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[32, 32],
        patch_size=8,
        num_detection_tokens=5,
        id2label={0: "cat", 1: "dog"},
        label2id={"cat": 0, "dog": 1},
    )
    model = transformers.YolosForObjectDetection(config).eval()
    model.save_pretrained(folder)
    transformers.YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 48}).save_pretrained(folder)
    return model
