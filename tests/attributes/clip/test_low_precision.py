"""CLIP in a lower precision: near full precision, which stays as it is; and matrix products in blocks of 8 bits."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gentest.attributes.attribute import Lowerable
from gentest.attributes.clip import clip, low_precision
from gentest.attributes.clip.low_precision import BLOCK, Int8Module, in_blocks, lowered
from gentest.attributes.clip.model import ClipModel, load_clip
from gentest.errors import ClipError, InvalidArgument
from gentest.results.settings import Precision

CLIP = Path(__file__).parents[3] / "examples" / "fashion" / "clip"
NEAR = {"bf16": 2.0**-8, "int8": 2.0**-5}
"""The rounding of one number in that format, as a share of its size; the embedding's error is of that order."""


@pytest.fixture(scope="module")
def model() -> ClipModel:
    return load_clip(f"local-dir:{CLIP}", torch.device("cpu"), text=False)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("n", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 17))])
def test_embeddings_are_near_those_in_full(model: ClipModel, precision: Precision, n: int) -> None:
    """Of unit length, in float32, for any batch; the tower itself stays as it was."""
    images = torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(n))
    with torch.no_grad():
        before = model.embed(images)
        low = model.embed(images, precision)
        after = model.embed(images)
    assert torch.equal(before, after)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.norm(dim=1), torch.ones(n))
    error = (low - before).norm(dim=1).max().item()
    assert 0 < error < 8 * NEAR[precision]


def test_an_embedding_exists_in_a_lower_precision() -> None:
    """A bound embedding is `Lowerable`. Embeddings of one precision are equal, those of two are not."""
    from gentest.attributes.attribute import Setup

    attribute = clip("a shirt", model=f"local-dir:{CLIP}")
    feature = attribute.bind(Setup(torch.device("cpu"))).feature
    assert isinstance(feature, Lowerable)
    assert feature.lowered("bf16") == feature.lowered("bf16")
    assert feature.lowered("bf16") != feature.lowered("int8")
    assert hash(feature.lowered("bf16")) == hash(feature.lowered("bf16"))
    assert len({feature.address, feature.lowered("bf16").address, feature.lowered("int8").address}) == 3


def test_rows_of_another_int8_are_not_taken_from_a_cache() -> None:
    """A cache may hold rows of dynamic quantisation under an older key."""
    from gentest.attributes.attribute import Setup

    feature = clip("a shirt", model=f"local-dir:{CLIP}").bind(Setup(torch.device("cpu"))).feature
    assert feature.lowered("int8").address not in (f"{feature.address} int8", feature.address)
    assert feature.lowered("bf16").address == f"{feature.address} bf16"


@pytest.mark.slow
def test_a_lowered_model_can_be_pickled(model: ClipModel) -> None:
    """Its copy makes its own towers, with the same rows."""
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    rows = model.embed(images, "int8")
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again.embed(images, "int8"), rows)


class Branches(nn.Module):
    """No graph can say what this does."""

    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum() > 0 else -images


@pytest.mark.parametrize(
    ("tower", "said"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten()), r"0% of the weights.*convolutions.*bf16"),
        (Branches(), r"does not work in int8: \w+: [ -~]+; use 'bf16'$"),
    ],
)
def test_a_tower_without_int8_is_rejected_with_a_remedy(
    tower: nn.Module, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error is one plain line, and nothing is printed."""
    with pytest.raises(ClipError, match=said):
        lowered(tower.eval(), "int8", torch.device("cpu"), torch.rand(1, 3, 8, 8))
    assert capfd.readouterr() == ("", "")


def test_int8_is_for_a_cpu() -> None:
    """On another device the error names bf16."""
    with pytest.raises(ClipError, match=r"only on a CPU.*bf16"):
        lowered(torch.nn.Identity(), "int8", torch.device("cuda"), torch.zeros(1, 3, 2, 2))


@pytest.mark.real_clip
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_real_clip_scores_faces_within_a_small_part_of_their_spread(precision: Precision) -> None:
    """Errors of log-odds are a seventh of their standard deviation over the face GAN's prior at most, on the median
    pair of texts. Real weights have outliers that random ones have not: with a scale for each tensor, int8 is off by
    most of a standard deviation."""
    if not os.environ.get("GENTEST_REAL_CLIP"):
        pytest.skip("GENTEST_REAL_CLIP=DIR is not set: a folder with a real CLIP and its stored text embeddings")
    package = pytest.importorskip("gan_face_generate", reason="gan-face-generate is not installed")
    from gan_face_generate.models import Generator

    real = Path(os.environ["GENTEST_REAL_CLIP"])
    file = Path(package.__file__).parent / "weights.tar"
    gan = Generator(ngpu=1, nc=3, nz=100, ngf=64).eval()
    gan.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["netG_state_dict"])
    texts = torch.from_numpy(np.load(real / "openai_vitb16_text_embeddings.npz")["coco_single"]).float()
    pairs = torch.nn.functional.normalize(texts, dim=-1).diff(dim=0).T
    clip_model = load_clip(f"local-dir:{real}", torch.device("cpu"), text=False)
    with torch.no_grad():
        faces = gan(torch.randn(24, 100, 1, 1, generator=torch.Generator().manual_seed(0))) / 2 + 0.5
        full, low = clip_model.embed(faces) @ pairs, clip_model.embed(faces, precision) @ pairs
    errors = (low - full).square().mean(0).sqrt() / full.std(0)
    assert 0 < errors.median() < 1 / 7


@pytest.mark.slow
def test_a_row_in_int8_depends_on_no_other_image(model: ClipModel) -> None:
    """Otherwise a band that was measured on some images would not hold for others."""
    images = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    loud = torch.cat([images, 100 * torch.rand(3, 1, 28, 28) - 50])
    inputs, together = (model.preprocess(given) for given in (images, loud))
    together[1:] *= 100
    tower = lowered(model._visual, "int8", torch.device("cpu"), inputs)
    torch.testing.assert_close(tower(together)[:1], tower(inputs), atol=1e-4, rtol=1e-4)


UNIT = BLOCK**0.5 / 127 / 12**0.5
"""The most that an even error within a 127th of a block's largest number is, as a share of their root mean square."""


@pytest.mark.parametrize("shape", [(1, 1), (32, 3), (33, 5), (100, 2)])
def test_blocks_are_within_half_a_step(shape: tuple[int, int]) -> None:
    """Decoded, they are the matrix, each number within half of its block's scale."""
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    matrix[0] *= 1000  # an outlier costs its own block alone
    blocks = in_blocks(matrix)
    assert blocks.values.shape == (shape[1], -(-shape[0] // BLOCK), BLOCK)
    meant = (blocks.values.astype(np.float32) - 128) * blocks.scales[..., None]
    back = meant.reshape(shape[1], -1)[:, : shape[0]].T
    steps = np.repeat(blocks.scales, BLOCK, 1)[:, : shape[0]].T
    assert (np.abs(back - matrix) <= 0.5001 * steps).all()
    assert (steps[BLOCK:] < 0.05).all()


def test_blocks_of_zeros_are_zeros() -> None:
    blocks = in_blocks(np.zeros((40, 2), np.float32))
    assert (blocks.values == 128).all()
    assert (blocks.scales == 0).all()


class Lines(nn.Module):
    """Products with and without a bias, of rows and of rows of rows, and of sizes that are no multiples of a block."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(50, 70), nn.Linear(70, 33, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.relu(self.up(x)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("shape", [(50,), (3, 50)])
def test_products_of_any_size_are_in_int8(shape: tuple[int, ...]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, given = Lines().eval(), torch.randn(9, *shape)
    low, full = Int8Module(module, given[:2])(given), module(given).detach()
    assert low.shape == full.shape
    assert 0 < (low - full).norm() / full.norm() < 4 * UNIT


def test_an_outlier_costs_its_own_block_alone() -> None:
    """Rows with one number ten thousand times the others keep three blocks of four; with one scale a row, nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, given = nn.Linear(128, 64, bias=False).eval(), torch.randn(9, 128)
    with torch.no_grad():
        module.weight[:, 3] = 0
        given[:, 3] = 1e4
        low, full = Int8Module(module, given[:2])(given), module(given)
    assert (low - full).norm() / full.norm() < 0.6  # the root of a quarter is lost


@pytest.fixture
def lines() -> Lines:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Lines().eval()


GIVEN = torch.randn(50, 50, generator=torch.Generator().manual_seed(1))


def test_a_row_is_the_same_alone_and_in_a_batch(lines: Lines) -> None:
    """The rest of the batch and its order change nothing."""
    low = Int8Module(lines, GIVEN[:2])
    beside = torch.cat([GIVEN[:1], 1e4 * GIVEN[1:]])
    alone = low(GIVEN[:1])
    torch.testing.assert_close(low(GIVEN)[:1], alone, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(low(beside)[:1], alone, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(low(beside.flip(0))[-1:], alone, atol=1e-6, rtol=1e-6)


def test_the_example_does_not_change_the_module(lines: Lines) -> None:
    """Only its shape counts, since each process makes a module of its own."""
    assert torch.equal(Int8Module(lines, GIVEN[:2])(GIVEN), Int8Module(lines, 100 * GIVEN[2:4])(GIVEN))


def test_a_module_is_left_as_it_was_and_let_go(
    lines: Lines, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its weights do not change, nothing is printed or logged, and the 8-bit module does not keep it alive."""
    weights = {name: tensor.clone() for name, tensor in lines.state_dict().items()}
    handlers, disabled = list(logging.root.handlers), logging.root.manager.disable
    low = Int8Module(lines, GIVEN[:2])
    assert all(torch.equal(weights[name], tensor) for name, tensor in lines.state_dict().items())
    assert all(parameter.requires_grad for parameter in lines.parameters())
    assert (logging.root.handlers, logging.root.manager.disable) == (handlers, disabled)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    alive = weakref.ref(lines.up)
    lines.up = nn.Identity()  # type: ignore[assignment]
    gc.collect()
    assert alive() is None
    assert low(GIVEN).isfinite().all()


def test_it_has_torchs_threads(lines: Lines) -> None:
    before = torch.get_num_threads()
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            assert Int8Module(lines, GIVEN[:2])._session.get_session_options().intra_op_num_threads == n
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_it_works_in_inference_mode_and_with_float64_as_default(lines: Lines) -> None:
    """The caller may be in inference mode, or have float64 as torch's default."""
    plain = Int8Module(lines, GIVEN[:2])(GIVEN)
    with torch.inference_mode():
        assert torch.equal(Int8Module(lines, GIVEN[:2] + 0)(GIVEN + 0), plain)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(Int8Module(lines, GIVEN[:2])(GIVEN), plain)
    finally:
        torch.set_default_dtype(torch.float32)


def test_convolutions_are_rejected_with_a_remedy() -> None:
    module = nn.Sequential(nn.Conv2d(3, 40, 3), nn.Conv2d(40, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 4)).eval()
    with pytest.raises(InvalidArgument, match=r"hold 11% of the weights.*convolutions.*use precision bf16"):
        Int8Module(module, torch.zeros(2, 3, 8, 8))


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_precision, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(InvalidArgument, match=r"needs onnxscript: pip install 'pytest-gentest\[int8\]'"):
        low_precision.check_packages()
