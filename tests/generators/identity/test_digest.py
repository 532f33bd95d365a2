"""What an identity sees: everything that decides what a callable computes, and nothing that does not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gentest
from gentest.generators.identity import identify
from tests.helpers.identities import Net


def made(code: str, **names: Any) -> Callable[..., Any]:
    """A function f, of source."""
    namespace: dict[str, Any] = {"torch": torch, "os": os, **names}
    exec(code, namespace)
    found: Callable[..., Any] = namespace["f"]
    return found


def test_an_environment_variable_that_code_names_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    function = made("def f(z): return z * float(os.environ.get('GAIN_OF_A_USER', '1'))")
    before = identify(function)
    monkeypatch.setenv("GAIN_OF_A_USER", "2")
    assert identify(function) != before
    monkeypatch.delenv("GAIN_OF_A_USER")
    monkeypatch.setenv("ANOTHER_OF_A_USER", "2")
    assert identify(function) == before


def test_weights_of_another_file_are_the_same_identity(tmp_path: Path) -> None:
    """Stored and loaded under two names, weights make one identity."""
    found = set()
    for name in ("a.pt", "b.pt"):
        torch.save(Net().state_dict(), tmp_path / name)
        net = Net()
        net.load_state_dict(torch.load(tmp_path / name, weights_only=True))
        found.add(identify(net))
    assert len(found) == 1


def test_a_compiled_module_is_the_one_that_it_was_made_of() -> None:
    """The arguments that Lightning notes on what somebody compiles, once it is imported, are nothing to the module."""
    net = Net()
    compiled = torch.compile(net)
    compiled._compile_kwargs = {}  # type: ignore[attr-defined]
    assert identify(compiled) == identify(net) == identify(Net())


MODULE = """
import numpy as np, torch, gentest
from gentest.generators.identity import identify
TABLE = {"b": [1.0, "x"], "a": np.arange(3)}
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = torch.nn.Linear(3, 3)
        self.words = {"x", "y", "z"}
    def forward(self, z):
        return self.fc(z) * TABLE["b"][0] + len({"p", "q", "r"} & self.words)
"""


@pytest.mark.slow
def test_another_process_and_another_path_give_the_same_identity(tmp_path: Path) -> None:
    """Neither the order of sets, nor addresses, nor where a file lies enters it."""
    found = set()
    for seed, folder in enumerate((tmp_path / "one", tmp_path / "another" / "folder")):
        folder.mkdir(parents=True)
        (folder / "net.py").write_text(MODULE)
        run = "import net; print(net.identify([net.Net(), net.torch.jit.script(net.Net().fc)]).digest)"
        env = {**os.environ, "PYTHONHASHSEED": str(seed)}
        done = subprocess.run([sys.executable, "-c", run], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


class Refusing:
    """A thing whose state nobody can have."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __call__(self, z: Tensor) -> Tensor:
        return z * self.held.fileno()


def test_a_generator_is_named_where_it_cannot_be_read() -> None:
    """`identity=` makes a fingerprint of what can be read and the name; without it each one is another."""
    with socket.socket() as held:
        space = gentest.Normal(4)
        plain = gentest.Generator(Refusing(held), latent=space)
        assert plain.fingerprint() != plain.fingerprint()
        named, again, other = (
            gentest.Generator(Refusing(held), latent=space, identity=name).fingerprint() for name in ("a", "a", "b")
        )
    assert named == again != other
    with pytest.raises(gentest.InvalidArgument, match="identity=3"):
        gentest.Generator(Net(), latent=space, identity=3)  # type: ignore[arg-type]
