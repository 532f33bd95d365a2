"""Sources that `gentest init` starts from: files known by their contents, modules found beside the folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gentest.cli.init_source import file_kind
from gentest.cli.model_source import code_of
from tests.helpers.commands import Run
from tests.helpers.new_models import LATENT, MODEL, net, scripted


def test_only_what_an_index_gave_is_pinned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that was installed from a folder may be another's on an index."""
    Path("work").mkdir()

    def installed(at: Path, url: str = "") -> str:
        (at / "packed").mkdir(parents=True)
        (at / "packed/__init__.py").write_text("def load(path): ...\n")
        (at / "packed-1.0.dist-info").mkdir()
        (at / "packed-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: packed\nVersion: 1.0\n")
        (at / "packed-1.0.dist-info/top_level.txt").write_text("packed\n")
        if url:
            (at / "packed-1.0.dist-info/direct_url.json").write_text(url)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(at)
            return code_of("--load", "packed:load", folder / "work").requirement

    assert installed(folder / "elsewhere") == "packed==1.0"
    assert installed(folder / "work/venv/site-packages") == "packed==1.0"
    assert installed(folder / "editable", '{"url": "file:///x", "dir_info": {"editable": true}}') == ""


def test_modules_of_the_folder_do_not_shadow_others(run_init: Run) -> None:
    """A json.py or torch.py beside a file of weights is not imported by the process that looks into the file."""
    for name in ("json", "torch", "runpy"):
        Path(f"{name}.py").write_text("open('ran', 'w')\n")
    Path("my_model.py").write_text(MODEL)
    torch.save({"0.weight": torch.zeros(8, LATENT)}, "weights.pt")
    status, out, err = run_init("--yes", "--load", "my_model:Vae", "--weights", "weights.pt")
    assert (status, err) == (0, "")
    assert f"is [8, {LATENT}]" in out
    assert not Path("ran").exists()


def test_files_of_models_are_known_by_their_contents(folder: Path) -> None:
    """A .pt of TorchScript is told from one of weights, without loading either."""
    scripted()
    torch.save(net().state_dict(), "weights.pt")
    assert file_kind(folder / "gan.pt") == "torchscript"
    assert file_kind(folder / "weights.pt") is None
