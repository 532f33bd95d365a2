"""What a model tells of its latent space, its labels and its outputs when it is looked at and called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import gentest
from gentest.cli.model_facts import Described, N, describe_model, guess_latent, nearest_range, output_facts
from gentest.cli.model_options import Given, NamedKind, read_latent
from gentest.errors import InvalidArgument, WrongOutputs
from gentest.generators.torchscript import exported
from tests.helpers.new_models import LATENT

GUESSED = {
    "linear": ({"0.weight": (8, LATENT)}, (LATENT,)),
    "transposed": ({"0.weight": (100, 64, 4, 4), "3.weight": (64, 3, 4, 4)}, (100, 1, 1)),
    "convolution": ({"0.weight": (64, 4, 3, 3), "3.weight": (3, 64, 3, 3)}, (4, 1, 1)),
    "one transposed": ({"0.weight": (16, 3, 4, 4)}, (16, 1, 1)),
    "none": ({"0.bias": (3,)}, None),
}


@pytest.mark.parametrize("name", GUESSED)
def test_the_latent_is_guessed_from_weights(name: str) -> None:
    """The first weight tells the latent."""
    shapes, latent = GUESSED[name]
    guess = guess_latent(shapes)
    assert (None if guess is None else guess[0]) == latent


def said(described: Described, about: str) -> str:
    """The assumption about one thing, with its option; empty if nothing was assumed."""
    return "".join(f"{a.text} | {a.option}" for a in described.assumptions if a.about == about)


class Conditional(nn.Module):
    """A GAN of 5 labels: `forward(z, y)`."""

    def __init__(self, *, embeds: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(5, 3) if embeds else None
        self.net = nn.Sequential(nn.Linear(LATENT + (3 if embeds else 5), 48), nn.Tanh(), nn.Unflatten(1, (3, 4, 4)))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        code = nn.functional.one_hot(y, 5).float() if self.embed is None else self.embed(y)
        whole: Tensor = self.net(torch.cat([z, code], 1))
        return whole


def net(size: int = LATENT) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(size, 48), nn.Tanh(), nn.Unflatten(1, (3, 4, 4))).eval()


def test_a_module_tells_its_latents_and_its_range() -> None:
    """Each guess has its evidence, and the option that changes it."""
    described = describe_model(net(), Given())
    assert described.generator.latent == gentest.Normal(LATENT)
    assert described.generator.output_range == (-1.0, 1.0)
    assert said(described, "latents").startswith(
        f"Normal({LATENT}), since it takes [16, {LATENT}]; the prior is a guess"
    )
    assert said(described, "outputs").startswith("images [3, 4, 4] in [-1, 1]: 16 of them lie within [")
    assert said(described, "outputs").endswith("--range 0,1")
    grey = nn.Sequential(net(), nn.Flatten(), nn.Unflatten(1, (6, 8)))  # [6, 8] may be a matrix as well
    option = "--range 0,1, or --outputs arrays if they are not images"
    assert said(describe_model(grey, Given()), "outputs").endswith(option)


def test_outputs_of_many_channels_are_no_images() -> None:
    """A volume [24, 8, 8] is an array, which has no range; `--outputs images` says otherwise."""
    volume = nn.Sequential(nn.Linear(LATENT, 24 * 64), nn.Unflatten(1, (24, 8, 8)))
    described = describe_model(volume, Given())
    assert described.generator.kind == gentest.Arrays()
    assert said(described, "outputs") == (
        "not images: for 16 latents it gives [16, 24, 8, 8], and images have at most 4 channels | --outputs images"
    )
    assert describe_model(volume, Given(outputs=NamedKind("Images"))).generator.images


def test_what_is_given_is_not_assumed() -> None:
    """A space and a range from the user replace the guesses."""
    given = Given(latent=read_latent(f"uniform:{LATENT}"), output_range=(-2.0, 2.0))
    described = describe_model(net(), given)
    assert described.generator.latent == gentest.Uniform(LATENT)
    assert described.generator.output_range == (-2.0, 2.0)
    assert described.assumptions == ()


@pytest.mark.parametrize("embeds", [True, False])
def test_labels_are_counted(embeds: bool) -> None:  # noqa: FBT001
    """An embedding tells how many labels there are, and without one the first label that is refused."""
    model = Conditional(embeds=embeds)
    described = describe_model(model, Given())
    assert described.generator.latent == gentest.Joint(z=gentest.Normal(LATENT), y=gentest.Categorical(5))
    why = "it embeds as many" if embeds else "it refuses label 5"
    assert said(described, "labels") == f"y is one of 5: {why} | --labels 5"


def test_a_label_that_is_never_refused_is_said() -> None:
    """Ten labels are a guess, and `--labels` changes it; `--given` fixes one."""
    f = net()
    described = describe_model(lambda z, label: f(z) * (label[:, None, None, None] == 1), Given())
    assert "ten are a guess" in said(described, "labels")
    fixed = describe_model(lambda z, label: f(z), Given(labels=3, choices={"label": 2})).generator
    assert "label" in fixed.fixed
    assert dict(fixed.base.parts)["label"] == gentest.Categorical(3)
    with pytest.raises(InvalidArgument, match="it takes one input, input, and no label"):
        describe_model(f, Given(labels=3))


def test_a_program_tells_its_latents_and_labels() -> None:
    """A program of torch.export declares its inputs; those without names of their own are passed by position."""
    size = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(net(), (torch.zeros(2, LATENT),), dynamic_shapes=({0: size},))
    assert describe_model(exported(program), Given()).generator.latent == gentest.Normal(LATENT)
    inputs = (torch.zeros(2, LATENT), torch.zeros(2, dtype=torch.int64))
    program = torch.export.export(Conditional(embeds=True).eval(), inputs, dynamic_shapes=({0: size}, {0: size}))
    described = describe_model(exported(program), Given())
    assert set(described.generator.latent.parts) == {"z", "y"}
    latents = {"z": torch.zeros(3, LATENT), "y": torch.tensor([0, 1, 4])}
    assert described.generator.outputs(latents).shape == (3, 3, 4, 4)


def test_an_array_function_is_recognized() -> None:
    """A function that takes NumPy arrays and no tensors is called with arrays, and that is said."""
    weight = np.random.default_rng(0).standard_normal((LATENT, 48)).astype(np.float32)

    def f(z: Any) -> Any:
        assert isinstance(z, np.ndarray)
        return np.tanh(z @ weight).reshape(-1, 3, 4, 4)

    described = describe_model(f, Given(latent=read_latent(f"normal:{LATENT}")))
    assert "NumPy arrays" in said(described, "latents")
    assert described.generator.outputs({"": torch.zeros(2, LATENT)}).shape == (2, 3, 4, 4)


def test_a_model_that_tells_nothing_needs_the_space() -> None:
    """Without weights or declared shapes, the error names the option; inputs of unknown meaning ask for a function."""
    with pytest.raises(InvalidArgument, match="give --latent, such as --latent normal:128"):
        describe_model(lambda z: z, Given())
    unknown = "it takes a, b, and gentest does not know what they are: if b is a label, give --labels N"
    with pytest.raises(InvalidArgument, match=unknown):
        describe_model(lambda a, b: a + b, Given())
    with pytest.raises(InvalidArgument, match=r"it takes a, b, c, .* what they are: write a function that returns"):
        describe_model(lambda a, b, c: a + b + c, Given())


def test_an_embedding_makes_a_label_of_an_input_with_any_name() -> None:
    """The second input of a module with one embedding goes into it; without an embedding it may be anything."""

    class Graphs(Conditional):
        def forward(self, z: Tensor, communities: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(z, communities)

    described = describe_model(Graphs(embeds=True), Given())
    assert described.generator.latent == gentest.Joint(z=gentest.Normal(LATENT), communities=gentest.Categorical(5))
    assert said(described, "labels") == "communities is one of 5: it embeds as many | --labels 5"
    with pytest.raises(InvalidArgument, match=r"it takes z, communities, and .* if communities is a label, give"):
        describe_model(Graphs(embeds=False), Given())


def test_an_onnx_input_of_integers_needs_a_space() -> None:
    """A label alone is no latent space."""
    onnx = pytest.importorskip("onnx", reason="needs onnx to write graphs")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime to run graphs")
    from gentest.generators.onnx import OnnxModel

    helper, kinds = onnx.helper, onnx.TensorProto
    inputs = [helper.make_tensor_value_info("label", kinds.INT64, ["b"])]
    outputs = [helper.make_tensor_value_info("x", kinds.FLOAT, ["b"])]
    graph = helper.make_graph([helper.make_node("Cast", ["label"], ["x"], to=kinds.FLOAT)], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(InvalidArgument, match="does not tell its latent space: give --latent"):
        describe_model(OnnxModel(model.SerializeToString()), Given())


def test_a_generator_declares_itself() -> None:
    """Options about its space or outputs contradict a `gentest.Generator`."""
    generator = gentest.Generator(net(), latent=gentest.Normal(LATENT))
    assert describe_model(generator, Given()).generator is generator
    for given, word in (
        (Given(outputs=NamedKind("Arrays")), "--no-images"),
        (Given(output_range=(0.0, 1.0)), "--range"),
        (Given(labels=2), "--labels"),
        (Given(latent=read_latent("normal:9")), "--latent says"),
    ):
        with pytest.raises(InvalidArgument, match=word):
            describe_model(generator, given)


def test_an_autoencoder_is_its_decoder() -> None:
    """An object with `encode` and `decode` gives images of latents, and keeps its encoder."""

    class Vae(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
            self.decoder = net(4)

        def encode(self, x: Tensor) -> Any:
            return self.encoder(x)

        def decode(self, z: Tensor) -> Any:
            return self.decoder(z)

    described = describe_model(Vae().eval(), Given())
    assert described.generator.latent == gentest.Normal(4)
    assert described.encode is not None
    assert described.encode(torch.zeros(2, 3, 4, 4)).shape == (2, 4)


RANGES: dict[str, tuple[Callable[[Tensor], Tensor], tuple[float, float]]] = {
    "tanh": (lambda z: z[:, :1].tanh(), (-1.0, 1.0)),
    "sigmoid": (lambda z: z[:, :1].sigmoid(), (0.0, 1.0)),
    "bytes": (lambda z: (z[:, :1].sigmoid() * 255).round(), (0.0, 255.0)),
}


@pytest.mark.parametrize("name", RANGES)
def test_the_range_is_seen(name: str) -> None:
    """Values within a usual range get that range."""
    f, expected = RANGES[name]
    described = describe_model(lambda z: f(z)[:, :, None], Given(latent=read_latent("normal:3")))
    assert described.generator.output_range == expected


def test_a_range_that_is_not_usual_is_the_nearest_or_an_error() -> None:
    """`gentest check` judges by the range that is meant; a comparison asks for it."""
    given = Given(latent=read_latent("normal:3,4,4"))
    described = describe_model(lambda z: 3.0 * z, given)
    assert described.generator.output_range == (-1.0, 1.0)
    assert "none of the usual ranges" in said(described, "outputs")
    with pytest.raises(InvalidArgument, match="give --outputs arrays if they have no range, or --range LOW,HIGH"):
        describe_model(lambda z: 3.0 * z, given, guesses_range=False)
    assert nearest_range(0.1, 1.7) == (0.0, 1.0)


def test_values_that_are_not_finite_tell_no_range() -> None:
    """The finite values tell the range, and a model of none has the usual one."""
    given = Given(latent=read_latent("normal:3,4,4"))
    some = describe_model(lambda z: z.sigmoid().where(z > 0, torch.nan), given)
    assert some.generator.output_range == (0.0, 1.0)
    described = describe_model(lambda z: z * torch.nan, given)
    assert described.generator.output_range in ((0.0, 1.0), (-1.0, 1.0))


FORMS: dict[str, tuple[Any, tuple[float, float]]] = {
    "tuple": (lambda x: (x, None), (0.0, 1.0)),
    "dictionary": (lambda x: {"sample": x}, (0.0, 1.0)),
    "bytes, channels last": (lambda x: (x * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy(), (0.0, 255.0)),
    "PIL": (
        lambda x: [Image.fromarray((one * 255).to(torch.uint8).permute(1, 2, 0).numpy()) for one in x],
        (0.0, 255.0),
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_outputs_are_read_as_a_run_reads_them(name: str) -> None:
    """The shape and range of images are read from any container."""
    form, expected = FORMS[name]
    facts = output_facts(form(torch.rand(N, 3, 8, 8, generator=torch.Generator().manual_seed(0))), {"z": (N, LATENT)})
    assert (facts.shape, facts.images, facts.usual) == ((3, 8, 8), True, expected)


def test_outputs_that_a_run_would_refuse_are_said() -> None:
    """The error is that of a run, with the code to write."""
    x = torch.rand(N, 3, 8, 8)
    with pytest.raises(WrongOutputs, match=r"return x\[0\], or whichever is meant"):
        output_facts((x, x * 2), {"z": (N, 3)})


def test_a_model_in_half_precision_is_called_as_a_run_calls_it() -> None:
    """Latents are cast to the precision of the weights, as in a run."""
    described = describe_model(net().bfloat16(), Given())
    assert described.generator.latent == gentest.Normal(LATENT)


def test_outputs_that_cannot_be_images_are_values() -> None:
    """A row of numbers for each latent makes a generator of other outputs."""
    described = describe_model(nn.Linear(LATENT, 5), Given())
    assert not described.generator.images
    assert said(described, "outputs").startswith("not images: for 16 latents it gives [16, 5]")


class Painter:
    """A text-to-image pipeline: its noise, brighter by the length of the prompt."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}
        self.unet = SimpleNamespace(config=SimpleNamespace(in_channels=3, sample_size=4))

    def set_progress_bar_config(self, **options: object) -> None:
        pass

    def __call__(
        self,
        prompt: Any,
        num_inference_steps: int = 50,
        num_images_per_prompt: int = 1,
        latents: Any = None,
        generator: Any = None,
        output_type: str = "pil",
    ) -> tuple[Tensor]:
        assert num_inference_steps <= 50
        prompts = [prompt] * num_images_per_prompt if isinstance(prompt, str) else prompt
        lengths = torch.tensor([float(len(p)) for p in prompts])
        return ((latents.sigmoid() * 0.5 + 0.01 * lengths[:, None, None, None]).clamp(0, 1),)


def test_a_pipeline_is_asked_with_prompts_of_a_file(tmp_path: Path) -> None:
    """Without a file one prompt is assumed, with one each image draws its own; few steps are an assumption too."""
    described = describe_model(Painter(), Given())
    assert described.generator.latent == gentest.Normal((3, 4, 4))
    assert said(described, "prompt") == "'a photograph' for every image | --prompts FILE"
    assert said(described, "steps") == "20 of denoising, to be quick; its default is 50 | --steps 50"
    file = tmp_path / "prompts.txt"
    file.write_text("a red coat\na hat\n")
    described = describe_model(Painter(), Given(prompts=str(file), steps=50))
    assert set(described.generator.latent.parts) == {"latents", "prompt"}
    assert [a.about for a in described.assumptions] == ["latents"]
    made = gentest.not_blank(at_least=0.01).check(described.generator, settings=gentest.settings(examples=8))
    assert made.verdict is gentest.Verdict.NO_COUNTEREXAMPLE, made.message
    with pytest.raises(InvalidArgument, match="--prompts is for a text-to-image pipeline"):
        describe_model(net(), Given(prompts=str(file)))
