"""Models behind attributes: they measure what their own library says, from what a file holds and no code in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gentest
from gentest.errors import AttributeFailed, InvalidArgument
from tests.helpers.tiny_transformers import save_classifier, save_detector

COARSE = torch.rand(4, 3, 12, 10, generator=torch.Generator().manual_seed(1))
IMAGES = nn.functional.interpolate(COARSE, (48, 40), mode="bilinear")
"""Smooth images: in noise, the library's two passes in 8 bits cut off what bicubic interpolation overshoots."""


def pixel_values(folder: Path, images: Tensor) -> Tensor:
    """What the library's own preprocessor makes of images."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torchvision")
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    values: Tensor = processor(images=list((images * 255).round().to(torch.uint8)), return_tensors="pt")["pixel_values"]
    return values


def test_a_classifier_gives_the_log_odds_of_a_label(tmp_path: Path) -> None:
    """They are those of the library: its preprocessor rounds pixels to 8 bits, and gentest does not."""
    model = save_classifier(tmp_path)
    smile = gentest.attribute(tmp_path, label="smiling", name="smile")
    shares = model(pixel_values(tmp_path, IMAGES)).logits.softmax(1)[:, 1]
    torch.testing.assert_close(smile(IMAGES), (shares / (1 - shares)).log(), atol=2e-3, rtol=0)
    torch.testing.assert_close(gentest.attribute(tmp_path, label=1)(IMAGES), smile(IMAGES))


@pytest.mark.parametrize(
    "changes",
    [
        {"size": {"shortest_edge": 36}, "do_center_crop": True, "crop_size": {"height": 32, "width": 32}},
        {"size": {"height": 32, "width": 32}, "resample": 3, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2] * 3},
        {"size": {"height": 32, "width": 32}, "do_normalize": False},
        {"size": {"height": 32, "width": 32}, "do_rescale": False, "do_normalize": False},
    ],
    ids=["crop", "bicubic", "not normalised", "not rescaled"],
)
def test_what_the_preprocessor_says_is_done(changes: dict[str, Any], tmp_path: Path) -> None:
    """Resized, cropped, scaled and normalised, a little differently by rounding alone."""
    save_classifier(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    says = json.loads(path.read_text()) | changes
    if "do_center_crop" in changes:  # the processor of this model knows no crop
        says["image_processor_type"] = "CLIPImageProcessor"
        says["do_convert_rgb"] = False
    path.write_text(json.dumps(says))
    bound: Any = gentest.attribute(tmp_path, label="angry")
    prepare = bound.bind(gentest.attributes.Setup(torch.device("cpu"))).function.func.__self__.prepare
    own, theirs = prepare(IMAGES), pixel_values(tmp_path, IMAGES).float()
    assert own.shape == theirs.shape
    torch.testing.assert_close(own / theirs.abs().max(), theirs / theirs.abs().max(), atol=0.02, rtol=0)
    assert (own - theirs).abs().mean() / theirs.std() < 0.01


def test_a_detector_gives_the_best_box_of_a_label(tmp_path: Path) -> None:
    model = save_detector(tmp_path)
    dog = gentest.attribute(tmp_path, label="dog", input=32)
    images = IMAGES[:, :, :40, :40]
    scores = dog(images)
    assert scores.shape == (4,)
    assert ((scores > 0) & (scores < 1)).all()
    resized = nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
    logits = model(pixel_values=resized).logits
    assert logits.shape == (4, 5, 3)
    torch.testing.assert_close(scores, logits.softmax(-1)[:, :, 1].amax(1))
    assert gentest.attribute(tmp_path, label="dog")(IMAGES).shape == (4,), "with its own preprocessor"


@pytest.mark.parametrize(
    ("changes", "label", "message"),
    [
        ({}, "frowning", "Expected label= one of 'neutral', 'smiling', 'angry' but got 'frowning'"),
        ({}, None, "Expected label= one of"),
        ({"architectures": ["BertModel"]}, "smiling", "holds BertModel; expected an image classifier or"),
        ({"architectures": None}, "smiling", "holds no architecture; expected"),
        ({"model_type": "nothing"}, "smiling", "cannot be loaded"),
    ],
)
def test_a_folder_that_does_not_fit_is_an_error(changes: Any, label: Any, message: str, tmp_path: Path) -> None:
    save_classifier(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InvalidArgument, match=f"^smile: .*{message}"):
        gentest.attribute(tmp_path, label=label, name="smile")(IMAGES)


def test_a_folder_without_a_preprocessor_needs_an_input(tmp_path: Path) -> None:
    save_classifier(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InvalidArgument, match=r"has no preprocessor_config\.json: give input="):
        gentest.attribute(tmp_path, label="smiling")(IMAGES)
    assert gentest.attribute(tmp_path, label="smiling", input=32)(IMAGES).shape == (4,)


def test_a_folder_runs_no_code_and_unpickles_nothing(tmp_path: Path) -> None:
    """Weights in a pickle are refused, and so is code that a folder brings along."""
    save_classifier(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.rename(tmp_path / "kept")
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InvalidArgument, match="cannot be loaded"):
        gentest.attribute(tmp_path, label="smiling")(IMAGES)
    (tmp_path / "kept").rename(weights)
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')")
    path = tmp_path / "config.json"
    evil = {"auto_map": {"AutoModelForImageClassification": "evil.Model", "AutoConfig": "evil.C"}, "model_type": "evil"}
    path.write_text(json.dumps(json.loads(path.read_text()) | evil))
    with pytest.raises(InvalidArgument, match="cannot be loaded"):
        gentest.attribute(tmp_path, label="smiling")(IMAGES)


@pytest.mark.parametrize("text", ["[1]", "{", '{"a": 1, "a": 2}', "null"])
def test_a_configuration_that_is_none_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InvalidArgument, match=r"config.json"):
        gentest.attribute(tmp_path, label="smiling")(IMAGES)


def test_an_onnx_file_is_a_measure(tmp_path: Path) -> None:
    """It runs batches of any size, the one of its export if that is fixed, and a column is a score."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)).eval()
    path = tmp_path / "smile.onnx"
    torch.onnx.export(model, (torch.rand(1, 3, 8, 8),), path, dynamo=True, verbose=False)
    smile = gentest.attribute(path, input=8, label=1)
    assert repr(smile) == "smile.onnx: 1"
    resized = nn.functional.interpolate(IMAGES, (8, 8), mode="bilinear", antialias=True)
    torch.testing.assert_close(smile(IMAGES), model(resized)[:, 1], atol=1e-5, rtol=1e-5)
    with pytest.raises(InvalidArgument, match="only a model of Hugging Face has labels by name"):
        gentest.attribute(path, input=8, label="smile")(IMAGES)


@pytest.mark.parametrize(
    ("source", "message"),
    [("nowhere.onnx", "nowhere.onnx: no such file"), (".", "not a .onnx file, or a folder with the config.json")],
)
def test_a_path_to_nothing_is_an_error(source: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        gentest.attribute(source)(IMAGES)


class Half(nn.Module):
    """A module in half precision and in train mode, with a dropout that would make it random."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3, 1), nn.Dropout(0.5)).half()

    def forward(self, images: Tensor) -> Tensor:
        rows: Tensor = self.body(images.mean((2, 3)).to(self.body[1].weight.dtype))
        return rows


def test_a_module_of_the_users_comes_back_as_it_was() -> None:
    """gentest measures a copy in float32 and in eval mode; one that needs neither is used itself."""
    lent = Half().train()
    scores = gentest.attribute(lent, name="lent")(IMAGES)
    assert scores.shape == (4,)
    assert scores.dtype == torch.float32
    assert lent.training
    assert lent.body[1].weight.dtype == torch.float16
    expected = lent.float().eval()(IMAGES)[:, 0]
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda images: None, "the model gave a NoneType; expected a tensor, or something with logits"),
        (lambda images: {"a": images}, "the model gave a dict"),
        (lambda images: torch.zeros(4, 2), r"the model gave \[4, 2\], which has no column label=7"),
    ],
)
def test_a_result_that_cannot_be_read_is_an_error(result: Any, message: str) -> None:
    with pytest.raises(AttributeFailed, match=f"^smile: {message}"):
        gentest.attribute(lambda: result, name="smile", label=7)(IMAGES)


def test_a_result_may_have_logits_or_come_first() -> None:
    class Result:
        logits = torch.arange(8.0).reshape(4, 2)

    for result in (Result(), Result.logits, (Result.logits, 3), [Result.logits.double()]):
        scores = gentest.attribute(lambda images, result=result: result, name="x", label=1)(IMAGES)
        assert scores.tolist() == [1.0, 3.0, 5.0, 7.0]
