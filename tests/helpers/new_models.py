"""Models that commands load, and what the files must be that `gentest check --write` writes."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import gentest
from gentest.cli import child

ROOT = Path(gentest.__file__).parents[1]
LATENT = 6


MODEL = f"""
import pathlib

import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear({LATENT}, 192), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))


def load(checkpoint):
    return net()


def arrays(checkpoint):
    f = net().eval()
    return lambda z: f(torch.from_numpy(z)).detach().numpy()


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.decoder = net()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(192, {LATENT}))

    def encode(self, x):
        return self.encoder(x)

    def decode(self, z):
        return self.decoder(z)


class Sized(nn.Module):
    def __init__(self, nz, *, width=192):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(nz, width), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))

    def forward(self, z):
        return self.net(z)


def vae(checkpoint):
    return Vae()


def data():
    return torch.rand(40, 3, 8, 8)


pathlib.Path("ran").write_text("my_model was imported")
"""


def net() -> nn.Module:
    """The model of `MODEL`."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(LATENT, 192), nn.Tanh(), nn.Unflatten(1, (3, 8, 8))).eval()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, outside of any Git repository."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scripted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated
        torch.jit.trace(net(), torch.zeros(2, LATENT)).save("gan.pt")  # type: ignore[no-untyped-call]


def exported() -> None:
    size = torch.export.Dim("batch", min=1, max=4096)
    torch.export.save(torch.export.export(net(), (torch.zeros(2, LATENT),), dynamic_shapes=({0: size},)), "gan.pt2")


def onnx() -> None:
    """A graph of one node: an image of tanh of each latent."""
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", 3, 4, 4]) for n in ("z", "x")]
    graph = helper.make_graph([helper.make_node("Tanh", ["z"], ["x"])], "gan", [ends[0]], [ends[1]])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "gan.onnx")


def clean(folder: Path) -> None:
    """Ruff at its own width and ours, and mypy, find nothing in what was written."""
    files = ["conftest.py", "test_latent.py"]
    rules = "E4,E7,E9,F,W,I,B,UP,SIM,PT,RUF"
    for arguments in (["check", "--select", rules], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", arguments[0], "--isolated", "--no-cache", *arguments[1:], *files],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Checks of `gentest check` in this process, which is faster than a child that imports torch."""
    from gentest.cli import check_run

    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("my_gan", "my_model"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def call(function: str, question: dict[str, Any], *, seconds: float) -> child.Reply:
        assert function == "gentest.cli.check_run:check_model"
        assert seconds > 0
        return child.Reply(json.loads(json.dumps(check_run.check_model(json.loads(json.dumps(question))))), "")

    monkeypatch.setattr(child, "call", call)
    yield
    for name in ("my_gan", "my_model"):
        sys.modules.pop(name, None)
