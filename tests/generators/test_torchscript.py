"""TorchScript modules and programs of `torch.export`, of files and as they are."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import gentest
from gentest import Generator
from gentest.errors import InvalidArgument

if TYPE_CHECKING:
    from tests.helpers.whole_check import Checked

NORMAL = gentest.Normal(3)


class Net(nn.Module):
    """Images [B, 1, 2, 2] of latents [B, 3], with dropout while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 4))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).tanh().reshape(-1, 1, 2, 2)


class Labelled(Net):
    """The same, of a label too."""

    def forward(self, z: Tensor, label: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(z + label[:, None])


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Making a TorchScript module warns in torch 2.14."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def scripted(net: nn.Module) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.script(net)


def saved(module: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(module, path)
    return path


Z = torch.linspace(-1, 1, 15).reshape(5, 3)


def out(generator: Generator, z: Tensor = Z) -> Tensor:
    with torch.no_grad():
        return generator.outputs({"": z})


def test_a_torchscript_file_is_checked_whole(net: Net, tmp_path: Path, checked: Checked) -> None:
    """A module saved in train mode is loaded without a warning, put in eval mode, and checked as the one it was."""
    generator = Generator.from_torchscript(saved(scripted(net.train()), tmp_path / "net.pt"), latent=NORMAL)
    plain = Generator(net, latent=NORMAL)
    assert torch.equal(out(generator), out(plain))
    assert generator.fingerprint() == Generator.from_torchscript(tmp_path / "net.pt", latent=NORMAL).fingerprint()
    assert checked(generator).counterexample == checked(plain).counterexample


def test_a_torchscript_module_is_a_module(net: Net) -> None:
    """The module itself does, by the constructor of its own or by the plain one."""
    module = scripted(net.train())
    for generator in (Generator.from_torchscript(module, latent=NORMAL), Generator(module, latent=NORMAL)):
        assert generator.modules == (module,)
        assert not module.training


def test_a_frozen_module_is_told_by_its_constants(net: Net, tmp_path: Path) -> None:
    """Where freezing made weights into constants, another frozen module has another fingerprint."""
    prints = []
    for name in ("a", "a", "b"):
        path = tmp_path / f"{name}.pt"
        if not path.exists():
            net.layers[0].bias.data += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                frozen = torch.jit.freeze(scripted(net.eval()))
            assert not frozen.state_dict()
            saved(frozen, path)
        generator = Generator.from_torchscript(path, latent=NORMAL)
        assert out(generator).shape == (5, 1, 2, 2)
        assert generator.fingerprint() == Generator(generator.function, latent=NORMAL).fingerprint()
        prints.append(generator.fingerprint())
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("size", [None, 1, 4, 64])
def test_an_exported_program_is_checked_whole(size: int | None, net: Net, tmp_path: Path, checked: Checked) -> None:
    """A program of any batch size, or exported for one alone, gives what the module gives, in any batch."""
    example = torch.zeros(size or 2, 3)
    shapes = ({0: torch.export.Dim.DYNAMIC},) if size is None else None
    program = torch.export.export(net.eval(), (example,), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "net.pt2")
    plain = Generator(net, latent=NORMAL)
    prints = set()
    for model in (program, tmp_path / "net.pt2", tmp_path / "net.pt2"):
        generator = Generator.from_exported(model, latent=NORMAL)
        torch.testing.assert_close(out(generator), out(plain))
        prints.add(generator.fingerprint())
    assert len(prints) == 1
    result, expected = checked(generator), checked(plain)
    assert result.verdict is expected.verdict
    assert result.counterexample is not None
    assert result.counterexample.probe == expected.counterexample.probe


def test_an_exported_program_takes_parts_by_name() -> None:
    """A program of a latent and a label is given both by keyword, in batches of its size."""
    net = Labelled().eval()
    program = torch.export.export(net, (), {"z": torch.zeros(4, 3), "label": torch.zeros(4, dtype=torch.int64)})
    space = gentest.Joint(z=NORMAL, label=gentest.Categorical(3))
    generator = Generator.from_exported(program, latent=space)
    batch = {"z": Z, "label": torch.tensor([0, 1, 2, 0, 1])}
    torch.testing.assert_close(generator.outputs(batch), Generator(net, latent=space).outputs(batch))


def test_an_exported_module_within_another_is_no_obstacle(net: Net) -> None:
    """A module that holds an exported one is put in eval mode all the same, every part of it."""
    inner = torch.export.export(net.eval(), (torch.zeros(2, 3),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    whole = nn.Sequential(inner.module(), nn.Dropout(0.5))
    assert whole[1].training
    with pytest.raises(NotImplementedError):
        whole.eval()
    generator = Generator(whole, latent=NORMAL)
    assert not whole[1].training
    torch.testing.assert_close(out(generator), out(Generator(net, latent=NORMAL)))


def test_a_program_exported_in_train_mode_is_told(net: Net) -> None:
    """Dropout that was exported is in the program for good: the examination says so."""
    example = torch.ones(2, 3)
    program = torch.export.export(net.train(), (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    generator = Generator.from_exported(program, latent=NORMAL)
    result = gentest.between(gentest.brightness(), tolerance=1.0).check(generator)
    assert result.verdict is gentest.Verdict.ERROR
    assert "is some layer in train mode" in result.message


@pytest.mark.parametrize("how", ["from_torchscript", "from_exported"])
@pytest.mark.parametrize("what", ["missing", "junk", "weights", "module", "number"])
def test_what_is_no_such_model_is_refused(how: str, what: str, net: Net, tmp_path: Path) -> None:
    """A missing file, one of something else, and a plain module are told with their name, on one line."""
    path = tmp_path / "model.pt2"
    if what == "junk":
        path.write_bytes(b"junk")
    if what == "weights":
        torch.save(net.state_dict(), path)
    model: Any = {"module": net, "number": 3}.get(what, path)
    with pytest.raises(InvalidArgument, match=r"Expected a .* but got (model=|a )") as caught:
        getattr(Generator, how)(model, latent=NORMAL)
    assert "\n" not in str(caught.value)


def test_a_program_can_be_copied(net: Net) -> None:
    """A pickled program is the same function, with the weights that it had when it was pickled."""
    program = torch.export.export(net.eval(), (Z,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    generator = Generator.from_exported(program, latent=NORMAL)
    with torch.no_grad():
        next(generator.modules[0].parameters()).add_(1.0)
    again = pickle.loads(pickle.dumps(generator.function))
    assert torch.equal(again(Z), generator.function(Z))
    assert Generator(again, latent=NORMAL).fingerprint() == generator.fingerprint()
