"""The generator of garments of `examples/fashion`, and its variants."""

from __future__ import annotations

from pathlib import Path

import pytest
from model import CLASSES, LATENT_DIM, load
from variants import Adapted, Decoder, export_onnx, quantize

import gentest

GOOD = Path(__file__).parents[1] / "fashion" / "checkpoints" / "good.safetensors"
SPACE = gentest.Joint(z=gentest.Normal(LATENT_DIM), label=gentest.Categorical(len(CLASSES)))


@pytest.fixture(scope="session")
def generator() -> gentest.Generator:
    return gentest.Generator(load(GOOD), latent=SPACE)


@pytest.fixture(scope="session")
def half(generator: gentest.Generator) -> gentest.Generator:
    return gentest.Generator(load(GOOD).half(), latent=SPACE)


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(load(GOOD), tmp_path_factory.mktemp("export") / "float32.onnx")


@pytest.fixture(scope="session")
def onnx(onnx_file: Path) -> gentest.Generator:
    return gentest.Generator.from_onnx(onnx_file, latent=SPACE)


@pytest.fixture(scope="session")
def int8(onnx_file: Path) -> gentest.Generator:
    return gentest.Generator.from_onnx(quantize(onnx_file), latent=SPACE)


@pytest.fixture(scope="session")
def with_lora() -> gentest.Generator:
    return gentest.Generator(Adapted(load(GOOD), fused=True), latent=SPACE)


@pytest.fixture(scope="session")
def with_lora_never_fused() -> gentest.Generator:
    return gentest.Generator(Adapted(load(GOOD), fused=False), latent=SPACE)


@pytest.fixture(scope="session")
def whole() -> gentest.Generator:
    return gentest.Generator(Decoder(tiled=False).eval(), latent=gentest.Normal((4, 24, 24)))


@pytest.fixture(scope="session")
def tiled() -> gentest.Generator:
    return gentest.Generator(Decoder(tiled=True).eval(), latent=gentest.Normal((4, 24, 24)))
