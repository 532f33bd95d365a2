"""The generator under test: a DCGAN of faces from PyPI, trained by somebody else and used as it is.

`gan-face-generate` (MIT) carries its weights: 64 x 64 RGB faces from z ~ N(0, I) of 100, trained on DigiFace-1M.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import gentest


def weights(path: Path) -> dict[str, torch.Tensor]:
    """The generator's weights, from a file of torch (as in the package) or of safetensors."""
    if path.suffix == ".safetensors":
        return load_file(path)
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)["netG_state_dict"]
    return state


def faces(state: dict[str, torch.Tensor]) -> gentest.Generator:
    """The generator with these weights."""
    from gan_face_generate.models import Generator

    model = Generator(ngpu=1, nc=3, nz=100, ngf=64)
    model.load_state_dict(state)
    return gentest.Generator(model, latent=gentest.Normal((100, 1, 1)), output_range=(-1, 1))


@pytest.fixture(scope="session")
def generator(gentest_checkpoint: Path | None) -> gentest.Generator:
    package = pytest.importorskip("gan_face_generate", reason="needs gan-face-generate: pip install -e '.[faces]'")
    return faces(weights(gentest_checkpoint or Path(package.__file__).parent / "weights.tar"))


@pytest.fixture
def given_clip(request: pytest.FixtureRequest) -> None:
    """Skips a test that needs CLIP in a run that names none."""
    if not (request.config.getoption("--gentest-clip") or request.config.getini("gentest_clip")):
        pytest.skip("needs --gentest-clip MODEL:PRETRAINED (or local-dir:DIR)")
