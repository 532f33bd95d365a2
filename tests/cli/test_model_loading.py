"""Models of every kind, loaded from files, folders and code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gentest.cli.model_loading import is_autoencoder, is_pipeline, load, naming, read_state, state_key
from gentest.cli.model_source import find_model
from gentest.errors import InvalidArgument
from gentest.generators.generator import Generator, Pair
from tests.helpers.new_models import LATENT, MODEL, exported, net, onnx, scripted

MORE = """

import gentest

module = net().eval()
generator = gentest.Generator(module, latent=gentest.Normal(6))
pair = generator.against(generator)
number = 3


class Holder:
    inner = module


def generate(z):
    return module(z)


def fixed(path, width):
    return net()


def text():
    return "a text"


def quits():
    raise SystemExit("bye")
"""


@pytest.fixture
def code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with `my_model.py`, which only this test imports."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_model", raising=False)
    Path("my_model.py").write_text(MODEL + MORE)
    yield folder
    sys.modules.pop("my_model", None)


def loaded(text: str, made_by: str | None = None) -> Any:
    """The model that a text names. An error names it."""
    source = find_model("MODEL", text, made_by=made_by)
    with naming(source):
        return load(source)


def images(model: Any) -> torch.Tensor:
    with torch.no_grad():
        made: torch.Tensor = model(torch.zeros(2, LATENT))
    return made


def test_files_of_programs_are_loaded(folder: Path) -> None:
    """A TorchScript file and a .pt2 file give the same images as the module; an ONNX file is a graph."""
    expected = images(net())
    scripted()
    exported()
    for name in ("gan.pt", "gan.pt2"):
        assert torch.allclose(images(loaded(name)), expected, atol=1e-6)
    pytest.importorskip("onnxruntime", reason="needs onnxruntime to run graphs")
    onnx()
    assert loaded("gan.onnx")(torch.zeros(2, 3, 4, 4)).shape == (2, 3, 4, 4)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "nested.ckpt"])
def test_weights_are_loaded_into_their_class(name: str, code: Path) -> None:
    """Weights come from safetensors, from torch.save, or from one of several state dicts, the averaged first."""
    wanted = {key: value + 1.0 for key, value in net().state_dict().items()}
    if name.endswith("safetensors"):
        from safetensors.torch import save_file

        save_file(wanted, name)
    else:
        other = net().state_dict()
        whole = {"epoch": 3, "netG": other, "ema": wanted, "netD": {"1.weight": torch.zeros(1)}}
        torch.save(whole if name == "nested.ckpt" else wanted, name)
        assert state_key(Path(name)) == ("ema" if name == "nested.ckpt" else "")
    assert torch.equal(loaded(name, "my_model:net")[0].weight, wanted["0.weight"])


def test_a_pickle_is_never_run(code: Path) -> None:
    """A file that would run code when it is unpickled is refused, and so is one without weights."""
    Path("bad.pt").write_bytes(b"cos\nsystem\n(S'touch unpickled'\ntR.")
    with pytest.raises(InvalidArgument, match=r"bad\.pt: holds no weights that can be read without unpickling"):
        loaded("bad.pt", "my_model:net")
    assert not Path("unpickled").exists()
    Path("bad.safetensors").write_bytes(b"\x04" + bytes(7) + b"{}  ...")
    with pytest.raises(InvalidArgument, match=r"bad\.safetensors: holds no weights: "):
        loaded("bad.safetensors", "my_model:net")
    torch.save([1, 2], "list.pt")
    with pytest.raises(InvalidArgument, match="holds no state dict"):
        read_state(Path("list.pt"))
    torch.save({"1.weight": torch.zeros(3)}, "other.pt")
    with pytest.raises(InvalidArgument, match="its weights do not fit --class my_model:net"):
        loaded("other.pt", "my_model:net")


def test_code_gives_a_model_in_each_way(code: Path) -> None:
    """A value is the model itself, a function of latents too, and a function without needs makes it."""
    assert isinstance(loaded("my_model:module"), nn.Module)
    assert isinstance(loaded("my_model:Holder.inner"), nn.Module)
    assert isinstance(loaded("my_model:generator"), Generator)
    assert isinstance(loaded("my_model:pair"), Pair)
    assert isinstance(loaded("my_model:net"), nn.Module)
    assert isinstance(loaded("my_model:load"), nn.Module)
    assert is_autoencoder(loaded("my_model:Vae"))
    assert images(loaded("my_model:generate")).shape == (2, 3, 8, 8)
    assert isinstance(loaded("my_model:Sized(6)"), nn.Module)
    assert isinstance(loaded("my_model:fixed('weights.pt', width=3)"), nn.Module)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("my_model:number", "is a int; expected a gentest.Generator"),
        ("my_model:text", "gave a str; expected a gentest.Generator"),
        ("my_model:quits", "SystemExit: bye"),
        ("my_model:Sized", "needs 'nz': give them, as in 'my_model:Sized(nz=...)'"),
        ("my_model:fixed", "needs 'path', 'width': give them"),
        ("my_model:nothing", "has no attribute 'nothing'"),
    ],
)
def test_code_that_gives_no_model_is_named(text: str, words: str, code: Path) -> None:
    """Each error names the model, and what it gave or needs."""
    with pytest.raises(InvalidArgument) as error:
        loaded(text)
    assert str(error.value).startswith(f"{text.partition('(')[0]}")
    assert words in str(error.value)


def test_folders_of_diffusers_are_loaded(folder: Path) -> None:
    """A pipeline and an autoencoder come from their folders; a denoiser alone is refused."""
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")
    unet = diffusers.UNet2DModel(
        sample_size=4,
        block_out_channels=(8,),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )
    diffusers.DDIMPipeline(unet, diffusers.DDIMScheduler()).save_pretrained("pipe")
    diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4).save_pretrained("vae")
    assert is_pipeline(loaded("pipe"))
    assert is_autoencoder(loaded("vae"))
    with pytest.raises(InvalidArgument, match="only a part of a generator: give the folder of its pipeline"):
        loaded("pipe/unet")


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"_class_name": ["pipeline", "Mine"]}, "its class is"),
        ({"_class_name": "DDIMPipeline", "unet": ["my_code", "Net"]}, "its part 'unet' comes from 'my_code'"),
    ],
)
def test_a_folder_with_code_of_its_own_is_not_loaded(index: dict[str, Any], words: str, folder: Path) -> None:
    """A pipeline whose config names code that diffusers does not have is refused before anything is imported."""
    pytest.importorskip("diffusers", reason="needs diffusers")
    Path("pipe").mkdir()
    Path("pipe/model_index.json").write_text(json.dumps(index))
    Path("pipe/my_code.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(InvalidArgument, match="so loading it would run code of its own") as error:
        loaded("pipe")
    assert words in str(error.value)


def test_a_config_of_another_library_is_named(folder: Path) -> None:
    """A folder that is no model of diffusers says what to do instead."""
    pytest.importorskip("diffusers", reason="needs diffusers")
    Path("other").mkdir()
    Path("other/config.json").write_text('{"architectures": ["GPT2"]}')
    with pytest.raises(InvalidArgument, match="names no model of diffusers"):
        loaded("other")
