"""The good checkpoints, and the suite of properties that each is tested with.

The numbers of a suite come from the good checkpoint alone, before anything was broken: `detection.py --thresholds`
prints them again (`thresholds`), from probes that no run of the bench looks at.

- At a rate: the number at which `gentest.suggest` says that 95 % of all probes hold; asked at 0.9, so that it is
  decided after a hundred probes or two. `diverse` takes the number for 16 outputs, and asks it of 8, which are cheaper.
- Without a rate: half of the smallest distance, or twice the largest ratio, of suggest's 1,024 probes.
- `steers`: 2.5 % of 512 other latents rise by less than `at_least`, and 2.5 % move what is kept by more than
  `tolerance`; asked at 0.9. The face GAN's are those that its example had already.
- `follows_label`: as in the example of the fashion generator.
- `matches`, of the fashion generator: 512 test images of Fashion-MNIST (beside), at twice the bound of the good
  checkpoint's own distance. Of the face GAN, whose data nobody has here: the good checkpoint's own outputs on other
  latents, at no tolerance.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import gentest
from gentest.plugin.decorators import Property

ROOT = Path(__file__).resolve().parents[3]
FACES, FASHION = ROOT / "examples" / "faces", ROOT / "examples" / "fashion"
HERE = Path(__file__).resolve().parent
WEIGHTS = HERE / "weights"

State = dict[str, Tensor]


@dataclass(frozen=True)
class Model:
    """One of the models: its good weights, how a module is made of weights, and what is asked of it."""

    name: str
    good: Callable[[], State]
    module: Callable[[State], nn.Module]
    latent: gentest.Space
    continuous: str
    """The part of the latent space that moves; empty where it is the only one."""
    properties: Callable[[Callable[[Any], gentest.Generator]], Mapping[str, Property]]
    first: str
    """The weight that takes the latent, its coordinates along `first_axis`."""
    first_axis: int
    layers: tuple[str, str]
    """A layer in the middle and the last one."""
    clip: str | None = None

    def generator(self, function: Any) -> gentest.Generator:
        """A generator of whatever takes this model's latents."""
        return gentest.Generator(function, latent=self.latent, output_range=(-1, 1))

    def suite(self) -> Mapping[str, Property]:
        """The properties that are asked, by a short name."""
        return self.properties(self.generator)

    def inputs(self, n: int, seed: int = 0) -> dict[str, Tensor]:
        """`n` latents as the module takes them, by name."""
        rng = torch.Generator().manual_seed(seed)
        if not self.continuous:
            return {"": torch.randn(n, 100, 1, 1, generator=rng)}
        z = torch.randn(n, 64, generator=rng)
        return {"z": z, "label": torch.randint(10, (n,), generator=rng)}


def _module(path: Path, name: str) -> ModuleType:
    """A file of an example as a module of a name of its own."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# faces


@functools.cache
def faces_example() -> ModuleType:
    return _module(FACES / "conftest.py", "detecting_faces")


def _good_faces() -> State:
    import gan_face_generate

    state: State = faces_example().weights(Path(gan_face_generate.__file__).parent / "weights.tar")
    return state


def _face_module(state: State) -> nn.Module:
    from gan_face_generate.models import Generator

    module: nn.Module = Generator(ngpu=1, nc=3, nz=100, ngf=64)
    module.load_state_dict(state)
    return module.eval()


def _face_properties(generator: Callable[[Any], gentest.Generator]) -> Mapping[str, Property]:
    brighter = gentest.Direction.load(FACES / "brighter.json")
    return {
        "well_formed": gentest.well_formed(),
        "reproducible": gentest.reproducible(),
        "responsive": gentest.responsive(at_least=0.06),
        "diverse": gentest.diverse(at_least=0.1, among=8).at_rate(0.9),
        "continuous": gentest.continuous(ratio=5.8),
        "continuous at a rate": gentest.continuous(ratio=1.9).at_rate(0.9),
        "between": gentest.between(gentest.brightness(), tolerance=0.078).at_rate(0.9),
        "steers": gentest.steers(
            gentest.brightness(),
            along=brighter,
            reach=2.0,
            at_least=gentest.sd(1),
            keeps=[gentest.sharpness()],
            tolerance=gentest.sd(1.5),
            points=3,
        ).at_rate(0.9),
        "matches": gentest.matches(generator(_face_module(_good_faces())), feature=gentest.pixels()),
    }


# fashion


@functools.cache
def fashion_example() -> ModuleType:
    """The example's `model.py`."""
    return _module(FASHION / "model.py", "detecting_fashion")


def _good_fashion() -> State:
    state: State = fashion_example().load(FASHION / "checkpoints" / "good.safetensors").state_dict()
    return state


def _fashion_module(state: State) -> nn.Module:
    module: nn.Module = fashion_example().FashionGenerator()
    module.load_state_dict(state)
    return module.eval()


def _fashion_properties(generator: Callable[[Any], gentest.Generator]) -> Mapping[str, Property]:
    brighter = gentest.Direction.load(HERE / "brighter_garments.json")
    garment = gentest.clip_classes("a photo of a {}", fashion_example().CLASSES)
    real = np.load(WEIGHTS / "fashion_test_images.npz")["images"]  # [512, 1, 28, 28] uint8
    return {
        "well_formed": gentest.well_formed(),
        "reproducible": gentest.reproducible(),
        "responsive": gentest.responsive(at_least=0.042),
        "diverse": gentest.diverse(at_least=0.087, among=8).at_rate(0.9),
        "continuous": gentest.continuous(ratio=5.6),
        "continuous at a rate": gentest.continuous(ratio=1.9).at_rate(0.9),
        "between": gentest.between(gentest.brightness(), tolerance=0.034).at_rate(0.9),
        "steers": gentest.steers(
            gentest.brightness(),
            along=brighter,
            reach=2.0,
            at_least=gentest.sd(0.38),
            keeps=[gentest.sharpness()],
            tolerance=gentest.sd(1.6),
            points=3,
        ).at_rate(0.9),
        "follows_label": gentest.follows_label(garment).at_rate(0.7, each="label"),
        "matches": gentest.matches(real, feature=gentest.clip_embedding(), tolerance=0.052),
    }


MODELS = {
    "faces": Model(
        "faces",
        good=_good_faces,
        module=_face_module,
        latent=gentest.Normal((100, 1, 1)),
        continuous="",
        properties=_face_properties,
        first="main.0.weight",
        first_axis=0,
        layers=("main.6", "main.12"),
    ),
    "fashion": Model(
        "fashion",
        good=_good_fashion,
        module=_fashion_module,
        latent=gentest.Joint(z=gentest.Normal(64), label=gentest.Categorical(10)),
        continuous="z",
        properties=_fashion_properties,
        first="project.weight",
        first_axis=1,
        layers=("conv1", "to_grey"),
        clip=f"local-dir:{FASHION / 'clip'}",
    ),
}
