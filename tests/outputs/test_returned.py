"""What a generator may return: outputs in any container, lists of images, layouts, and what is refused."""

from __future__ import annotations

import re
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from PIL import Image
from torch import Tensor

import gentest
from gentest.errors import WrongOutputs
from gentest.outputs.returned import as_images, as_values, read_images

if TYPE_CHECKING:
    from tests.helpers.whole_check import Checked

N = 5
X = torch.linspace(0, 1, N * 3 * 8 * 6).reshape(N, 3, 8, 6)
SIZES = {"z": (N, 2)}
Record = namedtuple("Record", ["images", "latents"])


@dataclass
class Made:
    images: Tensor
    loss: float = 0.0
    hidden: Any = None


def bytes_of(x: Tensor) -> Tensor:
    return (x * 255).round().to(torch.uint8)


def pil(x: Tensor, mode: str = "RGB") -> list[Image.Image]:
    return [Image.fromarray(bytes_of(one).permute(1, 2, 0).numpy()).convert(mode) for one in x]


WAYS: dict[str, Callable[[Tensor], Any]] = {
    "tensor": lambda x: x,
    "array": lambda x: x.numpy(),
    "tuple with nothing": lambda x: (x, None),
    "tuple of one": lambda x: (x,),
    "second of a tuple": lambda x: (0.5, x),
    "with a mean and a variance": lambda x: (x, x.flatten(1)[:, :4], x.flatten(1)[:, 4:8]),
    "with a loss": lambda x: (x, torch.tensor(0.1)),
    "with another batch": lambda x: (x, torch.zeros(N + 2, 3, 8, 6)),
    "the same twice": lambda x: (x, x),
    "list of tensors": list,
    "tuple of tensors": lambda x: x.unbind(),
    "list of arrays": lambda x: list(x.numpy()),
    "list of batches of one": lambda x: list(x.split(1)),
    "nested lists of numbers": lambda x: x.tolist(),
    "dictionary": lambda x: {"sample": x},
    "dictionary with more": lambda x: {"logits": x.flatten(1), "frame": x, "name": "x"},
    "sample among several": lambda x: {"pred_original": x * 2, "sample": x},
    "list in a dictionary": lambda x: {"images": list(x)},
    "tuple in a tuple": lambda x: ((x, None), 3),
    "named tuple": lambda x: Record(x, None),
    "named tuple of two tensors": lambda x: Record(x, x * 2),
    "dataclass": Made,
    "dataclass with hidden states": lambda x: Made(x, hidden=[x.flatten(1), x.flatten(1)]),
    "namespace": lambda x: SimpleNamespace(sample=x, other="y"),
    "diffusers' decoder": lambda x: DecoderOutput(sample=x),
    "diffusers' pipeline": lambda x: ImagePipelineOutput(images=x),
    "channels last": lambda x: x.permute(0, 2, 3, 1),
    "array, channels last": lambda x: x.permute(0, 2, 3, 1).numpy(),
    "array, channels last, in a tuple": lambda x: (x.permute(0, 2, 3, 1).numpy(), None),
    "list of images, channels last": lambda x: list(x.permute(0, 2, 3, 1)),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_tensor_is_found_in_any_container(way: str) -> None:
    """Images come out the same whatever they came in, for a batch and for each latent alone."""
    torch.testing.assert_close(as_images(WAYS[way](X), N, SIZES, (0, 1)), X)
    if way != "with another batch":
        alone = [as_images(WAYS[way](x[None]), 1, {"z": (1, 2)}, (0, 1)) for x in X]
        torch.testing.assert_close(torch.cat(alone), X)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels_last_are_images_of_one_to_four_channels(channels: int) -> None:
    """Grey, two channels, RGB and RGBA of [B, H, W, C] are never taken for H channels; [B, C, H, W] stays as it is."""
    x = torch.rand(N, channels, 8, 6)
    torch.testing.assert_close(as_images(x.permute(0, 2, 3, 1), N, SIZES, (0, 1)), x)
    assert torch.equal(as_images(x, N, SIZES, (0, 1)), x)
    assert torch.equal(as_images(x[:, :, :, :channels], N, SIZES, (0, 1)), x[:, :, :, :channels])


def test_feature_maps_stay_channels_first() -> None:
    """Many channels of at most four pixels a side are no picture of four columns."""
    for side in (2, 4):
        x = torch.rand(N, 16, side, side)
        assert torch.equal(as_images(x, N, SIZES, (0, 1)), x)
    assert torch.equal(as_images(torch.ones(N, 8, 8, 8), N, SIZES, (0, 1)), torch.ones(N, 8, 8, 8))


@pytest.mark.parametrize("declared", [None, (0, 255), (0, 1), (-1, 1)])
@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("RGBA", 4), ("L", 1), ("1", 1), ("P", 3), ("LA", 4)])
def test_pil_images_run_from_0_to_255(mode: str, channels: int, declared: Any) -> None:
    """A list of PIL images is stacked, in [0, 1] by what a pixel is, whatever range is declared for f."""
    images = pil(X, "RGB") if mode == "RGB" else [image.convert(mode) for image in pil(X)]
    made = as_images(images, N, SIZES, declared)
    assert made.shape == (N, channels, 8, 6)
    if mode in ("RGB", "RGBA"):
        torch.testing.assert_close(made[:, :3], X, atol=0.5 / 255 + 1e-6, rtol=0)
    for form in ((images, None), {"images": images}, ImagePipelineOutput(images=images)):
        assert torch.equal(as_images(form, N, SIZES, declared), made)


def test_pil_images_as_other_outputs() -> None:
    """Without a range they are in units of their own; videos are lists of lists."""
    made = as_values(pil(X), N, SIZES, None)
    assert torch.equal(made, bytes_of(X).float())
    torch.testing.assert_close(as_values(pil(X), N, SIZES, (0, 1)), made / 255)
    videos = [pil(X)[:2] for _ in range(N)]
    assert as_values([videos], N, SIZES, None).shape == (N, 2, 3, 8, 6)
    with pytest.raises(WrongOutputs, match=r"several sizes"):
        as_images([*pil(X)[:-1], pil(X[:, :, :4])[0]], N, SIZES, None)
    with pytest.raises(WrongOutputs, match=r"mode 'F', whose values have no known range: return them as an array"):
        as_images([image.convert("F") for image in pil(X)], N, SIZES, None)


VALUES: dict[str, Callable[[Tensor], Any]] = {
    "tuple": lambda x: (x, None),
    "list": list,
    "list of lists": lambda x: x.tolist(),
    "dictionary": lambda x: {"audio": x},
    "array in a dataclass": lambda x: Made(x.numpy()),
    "numbers": lambda x: x,
}


@pytest.mark.parametrize("way", VALUES)
@pytest.mark.parametrize("shape", [(7,), (2, 9), (3, 4, 5, 6)])
def test_other_outputs_are_found_too(way: str, shape: tuple[int, ...]) -> None:
    """Audio, rows of a table and videos come in the same containers, in their own units."""
    x = torch.randn(N, *shape) * 100
    torch.testing.assert_close(as_values(VALUES[way](x), N, SIZES, None), x)
    torch.testing.assert_close(as_values(VALUES[way](x[:1]), 1, {"z": (1, 2)}, None), x[:1])


def test_numbers_of_any_kind_become_rows() -> None:
    """[B] as a tensor, a list of floats or of 0-d tensors is [B, 1]."""
    x = torch.arange(N).float()
    for form in (x, x.tolist(), list(x), x.numpy(), {"score": x}):
        assert torch.equal(as_values(form, N, SIZES, None), x[:, None])


REFUSED: dict[str, tuple[Any, str]] = {
    "two images": ((X, X + 1), "in which x[0] (5, 3, 8, 6) and x[1] (5, 3, 8, 6) may be its outputs: return x[0]"),
    "two in a dictionary": ({"a": X, "b": X + 1}, "return x['a'], or whichever is meant"),
    "two fields": (SimpleNamespace(a=X, b=X + 1), "in which x.a (5, 3, 8, 6) and x.b (5, 3, 8, 6) may"),
    "a pyramid": ([X, X[:, :, ::2, ::2]], "a list in which x[0] (5, 3, 8, 6) and x[1] (5, 3, 4, 3) may be its outputs"),
    "another batch": ((X[:2], None), "shape (2, 3, 8, 6) in x[0] for latents {'z': (5, 2)}; expected [5, C, H, W]"),
    "no image among several": ((X[0, 0], X[0, 1, :4]), "of x[0] (8, 6) and x[1] (4, 6) for latents"),
    "nothing in a list": ([None, None], "a list of NoneType; expected a tensor or array of images"),
    "an empty dictionary": ({}, "a dict; expected a tensor or array of images"),
    "an object": (object(), "an object; expected a tensor or array of images"),
    "a module": (torch.nn.Linear(2, 2), "a Linear; expected a tensor or array of images"),
    "a number": (3.0, "a float; expected a tensor or array of images"),
    "words": (["a"] * N, "a list of str; expected a tensor or array of images; for texts say outputs=gentest.Tokens("),
    "a distribution": (torch.distributions.Normal(X, 1.0), "a Normal distribution: return x.mean"),
    "a narrow picture": (torch.zeros(N, 8, 4, 3), "may be channels last; expected [B, C, H, W]: return x.permute("),
    "no values": (X.to("meta"), "on the meta device, which holds no values"),
    "no pixels": (torch.zeros(N, 3, 0, 6), "shape (5, 3, 0, 6)"),
    "bytes": (bytes_of(X), "uint8 values; say Generator(..., output_range=(0, 255))"),
    "bytes, channels last": (bytes_of(X).permute(0, 2, 3, 1).numpy(), "say Generator(..., output_range=(0, 255))"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_ambiguous_is_refused_with_the_code_to_write(what: str) -> None:
    """One line that says what came, and what to return instead."""
    returned, said = REFUSED[what]
    with pytest.raises(WrongOutputs) as caught:
        as_images(returned, N, SIZES, None)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_of_batches_of_one_are_told_apart_from_rows() -> None:
    """Of outputs that are no images, [1, T] in a list may be a batch each or a channel each: that is to be said."""
    with pytest.raises(WrongOutputs, match=r"a list of 5 tensors \[1, 9\]: return torch.cat\(x\), or torch.stack\(x\)"):
        as_values([torch.zeros(1, 9)] * N, N, SIZES, None)


def test_bytes_with_channels_last_keep_their_declared_range() -> None:
    """uint8 needs a range as it does elsewhere, a mask keeps its own, and one that does not fit is told."""
    last = bytes_of(X).permute(0, 2, 3, 1).numpy()
    torch.testing.assert_close(as_images(last, N, SIZES, (0, 255)), bytes_of(X) / 255)
    mask = (last > 100).astype(np.uint8)
    assert set(as_images(mask, N, SIZES, (0, 1)).unique().tolist()) == {0.0, 1.0}
    with pytest.raises(
        WrongOutputs, match=r"uint8 values up to 255, channels last.*say Generator\(..., output_range=\(0, 255\)\)"
    ):
        as_images(last, N, SIZES, (0, 1))


def test_objects_whose_properties_raise_are_refused_and_not_fatal() -> None:
    """A field that cannot be read counts as none."""

    class Odd:
        @property
        def sample(self) -> Tensor:
            raise KeyError("sample")

    with pytest.raises(WrongOutputs, match="an Odd; expected"):
        as_images(Odd(), N, SIZES, None)


def test_the_code_that_picks_the_outputs_is_known() -> None:
    """A reader is told where in the container they were."""
    forms = {"x[1]": (None, X), "x['y']": {"y": X}, "x.images": Made(X), "x['a'][0]": OrderedDict(a=(X, None)), "x": X}
    for code, form in forms.items():
        assert read_images(form, N, SIZES).code == code


@pytest.mark.parametrize(
    "way", ["tuple with nothing", "list of tensors", "dictionary", "array, channels last", "dataclass"]
)
def test_a_whole_check_is_the_same_in_any_container(way: str, checked: Checked) -> None:
    """At any batch size; the outputs are those of the plain generator."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 144), torch.nn.Sigmoid(), torch.nn.Unflatten(1, (3, 8, 6)))
    space = gentest.Normal(8)
    generator = gentest.Generator(lambda z: WAYS[way](net(z).detach()), latent=space, output_range=(0, 1))
    plain = gentest.Generator(net, latent=space, output_range=(0, 1))
    assert checked(generator).margin == checked(plain).margin


def test_two_channels_are_outputs_and_attributes_of_pixels_say_what_they_need() -> None:
    """What needs no colour is measured; what does is told in one line."""
    net = torch.nn.Sequential(torch.nn.Linear(8, 2 * 48), torch.nn.Sigmoid(), torch.nn.Unflatten(1, (2, 8, 6)))
    generator = gentest.Generator(net, latent=gentest.Normal(8), output_range=(0, 1))
    few = gentest.settings(examples=10)
    for property in (gentest.well_formed(), gentest.reproducible(), gentest.diverse(at_least=1e-6)):
        assert property.check(generator, settings=few).verdict is gentest.Verdict.NO_COUNTEREXAMPLE
    result = gentest.between(gentest.contrast(), tolerance=1).check(generator, settings=few)
    assert result.verdict is gentest.Verdict.ERROR
    assert "Expected images of 1 or 3 channels but got shape" in result.message
    assert "return the channels that are meant" in result.message
    assert "\n" not in result.message


class Frame:
    """A data frame, as far as a reader asks it."""

    columns = ("age", "income")

    def to_dict(self, orient: str) -> dict[str, list[float]]:
        """The columns."""
        return {"age": [1.0] * N, "income": [2.0] * N}


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (["a red coat"] * N, "for texts say outputs=gentest.Tokens(text=True, longest=20)"),
        ([torch.zeros(30 + i) for i in range(N)], "say outputs=gentest.Audio(rate=16000, longest="),
        ([{"age": "old"}] * N, "for a table say outputs=gentest.Rows(columns=['age'])"),
        (Frame(), "for a table say outputs=gentest.Rows(columns=['age', 'income'])"),
        (torch.zeros(N, 6, 3, 8, 8), "for videos outputs=gentest.Video(fps=8)"),
    ],
)
def test_outputs_of_another_kind_are_refused_with_the_line_to_write(raw: Any, line: str) -> None:
    """Texts, sounds of several lengths, tables and videos, in place of images."""
    with pytest.raises(WrongOutputs, match=re.escape(line)):
        read_images(raw, N, SIZES)
