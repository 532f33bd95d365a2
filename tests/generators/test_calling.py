"""How any f is called: in the precision of its weights, where its parts allow, and told apart by its errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gentest
from gentest.errors import GeneratorError, InvalidArgument
from gentest.generators.calling import check_numbers, inputs_on
from tests.helpers.small_generators import CPU, FEW, SPACE, Z, net

LABELLED = gentest.Joint(z=gentest.Normal(16), label=gentest.Categorical(10))


def deconvolution() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Unflatten(1, (16, 1, 1)), nn.ConvTranspose2d(16, 8, 4), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 1), nn.Tanh()
    )


def outputs(f: Callable[..., Any], **options: Any) -> Tensor:
    """What the engine gets of f: on the device, of a batch."""
    generator = gentest.Generator(f, latent=options.pop("latent", SPACE), **options)
    generator.to(CPU)
    with torch.no_grad():
        return generator.outputs({"": Z})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("make", [net, deconvolution])
def test_a_module_is_called_in_its_own_precision(make: Callable[[], nn.Module], dtype: torch.dtype) -> None:
    """Outputs are those of the module on latents of its dtype, as float32; a whole check comes to a verdict."""
    model = make().to(dtype).eval()
    with torch.no_grad():
        expected = (model(Z.to(dtype)).float() + 1) / 2
    assert torch.equal(outputs(model), expected)
    assert torch.equal(outputs(lambda z: (model(z), None)), expected)
    for property in (gentest.well_formed(), gentest.between(gentest.brightness(), tolerance=1)):
        result = property.check(gentest.Generator(model, latent=SPACE), settings=FEW)
        assert result.verdict is gentest.Verdict.NO_COUNTEREXAMPLE, result.message


def test_noise_is_cast_and_labels_are_not() -> None:
    """All floating-point inputs are of the weights' dtype then, by name too."""
    model, seen = net().bfloat16(), []

    def f(z: Tensor, label: Tensor, eps: Tensor) -> Tensor:
        made = model(z)
        seen.extend([z.dtype, label.dtype, eps.dtype])
        return made

    generator = gentest.Generator(f, latent=LABELLED, noise={"eps": gentest.Normal(1)})
    generator.outputs({"z": Z, "label": torch.zeros(4, dtype=torch.int64)}, {"eps": torch.zeros(4, 1)})
    assert seen == [torch.bfloat16, torch.int64, torch.bfloat16]


def test_a_model_that_casts_by_itself_sees_float32_only() -> None:
    """Latents of another dtype are a second try: what works with float32 is never given anything else."""
    model, seen = net().half(), []

    def f(z: Tensor) -> Tensor:
        seen.append(z.dtype)
        return model((z * 1.001).half())

    assert torch.equal(outputs(f), (model((Z * 1.001).half()).detach().float() + 1) / 2)
    assert set(seen) == {torch.float32}


def test_latents_changed_by_the_first_try_are_whole_in_the_second() -> None:
    """A call that writes in its latents before it fails is made again with the latents as they were."""
    model = net().bfloat16()

    def f(z: Tensor) -> Tensor:
        return model(z.mul_(2.0))

    torch.testing.assert_close(outputs(f), (model(Z.bfloat16() * 2).detach().float() + 1) / 2)


def test_gradients_reach_the_latents_through_the_cast() -> None:
    """An attack may go down the slope of a module in half precision."""
    z = Z.clone().requires_grad_()
    gentest.Generator(net().bfloat16(), latent=SPACE).outputs({"": z}).sum().backward()
    assert z.grad is not None
    assert z.grad.dtype == torch.float32
    assert z.grad.abs().sum() > 0


def test_weights_of_two_dtypes_are_the_users_to_reconcile() -> None:
    """No dtype is right for all: the error names both, and says where to cast."""
    mixed = nn.Sequential(nn.Linear(16, 3).bfloat16(), nn.Linear(3, 3))
    with pytest.raises(
        GeneratorError, match=r"its weights are bfloat16 and float32, latents are float32.*cast them in f"
    ) as caught:
        outputs(mixed)
    assert "does the space fit?" not in str(caught.value)


class Positional(nn.Module):
    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return z[:, :1, None, None].tanh() + c[:, None, None, None]


def embedded(z: Tensor, label: Tensor) -> Tensor:
    return nn.Embedding(5, 16)(label) + z


def hot(z: Tensor, label: Tensor) -> Tensor:
    return F.one_hot(label, 5)[:, :, None, None] + z[:, :5, None, None]


def guarded() -> Callable[..., Any]:
    return torch.export.export(nn.Linear(8, 3), (torch.zeros(4, 8),)).module()


SHAPES: dict[str, Callable[[], Callable[..., Any]]] = {
    "linear": lambda: nn.Linear(8, 3),
    "linear in half": lambda: nn.Linear(8, 3).bfloat16(),
    "convolution": lambda: nn.Conv2d(16, 3, 1),
    "transposed": lambda: nn.Sequential(nn.Unflatten(1, (16, 1, 1)), nn.ConvTranspose2d(8, 3, 4)),
    "channels": lambda: nn.Sequential(nn.Unflatten(1, (16, 1, 1)), nn.Conv2d(8, 3, 1)),
    "batch norm": lambda: nn.BatchNorm2d(16),
    "layer norm": lambda: nn.LayerNorm(8),
    "addition": lambda: lambda z: z + torch.zeros(5),
    "view": lambda: lambda z: z.view(4, 3, 9),
    "concatenation": lambda: lambda z: torch.cat([z, torch.zeros(3, 2)], 1),
    "dimension": lambda: lambda z: z.mean(3),
    "indices": lambda: lambda z: z[:, :, 0],
    "recurrent": lambda: nn.LSTM(3, 3),
    "numpy": lambda: lambda z: z.numpy() @ np.zeros((3, 3)),
    "numpy broadcast": lambda: lambda z: z.numpy() + np.zeros(3),
    "numpy reshape": lambda: lambda z: z.numpy().reshape(3, 3),
    "exported": guarded,
    "compiled": lambda: torch.compile(nn.Linear(8, 3), backend="eager"),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.filterwarnings("ignore")
def test_shapes_that_disagree_ask_whether_the_space_fits(name: str) -> None:
    """torch's, NumPy's and an exported program's words for it, on one line."""
    with pytest.raises(GeneratorError, match=r"^the generator raised \w+: .*: does the space fit\?\)$") as caught:
        outputs(SHAPES[name]())
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_an_error_of_torchscript_says_its_own_line() -> None:
    """The first line of such an error only says that there was one."""
    model = torch.jit.trace(nn.Linear(8, 3), torch.zeros(2, 8))  # type: ignore[no-untyped-call]
    with pytest.raises(GeneratorError, match=r"mat1 and mat2 shapes cannot be multiplied .*does the space fit\?"):
        outputs(model)


@pytest.mark.parametrize("f", [embedded, hot])
def test_a_label_out_of_range_says_which_labels_there_are(f: Callable[..., Any]) -> None:
    """Not that the space does not fit: which values the label has."""
    generator = gentest.Generator(f, latent=LABELLED)
    with pytest.raises(
        GeneratorError, match=r"label is 0 to 9: does f know as many\? gentest.Categorical\(n\)"
    ) as caught:
        generator.outputs({"z": Z, "label": torch.tensor([0, 1, 2, 7])})
    assert "does the space fit" not in str(caught.value)


@pytest.mark.parametrize(
    "f",
    [
        Positional(),
        lambda z, c: z,
        lambda z, *, c: z,
        SimpleNamespace(f=Positional().forward).f,
        lambda z, c, label: z,
    ],
    ids=["module", "function", "by name", "method", "one more"],
)
def test_other_names_than_those_of_the_space_are_told(f: Callable[..., Any]) -> None:
    """What f takes, and what it is given."""
    generator = gentest.Generator(f, latent=LABELLED)
    with pytest.raises(
        GeneratorError, match=r"raised TypeError: .*: it takes \(.*z, .*c.*\) but gets z=, label=: name the"
    ) as e:
        generator.outputs({"z": Z, "label": torch.zeros(4, dtype=torch.int64)})
    assert "does the space fit" not in str(e.value)


def test_names_that_a_numpy_function_takes_are_told() -> None:
    """The function behind the adapter is the one that is asked, and noise counts."""
    generator = gentest.Generator.from_numpy(lambda z: z, latent=SPACE, noise={"eps": gentest.Normal(1)})
    with pytest.raises(GeneratorError, match=r"it takes \(z\) but gets one input without a name, eps=: name"):
        generator.outputs({"": Z}, {"eps": torch.zeros(4, 1)})


@pytest.mark.parametrize(
    "error",
    [KeyError("layer"), ValueError("no"), TypeError("no"), AttributeError("x"), ZeroDivisionError("y"), IndexError()],
)
def test_errors_of_another_kind_have_no_hint(error: Exception) -> None:
    """What f raised, and for which latents; nothing is guessed."""

    def f(z: Tensor) -> Tensor:
        raise error

    with pytest.raises(GeneratorError) as caught:
        outputs(f)
    assert str(caught.value).endswith(" (latents {'z': (4, 16)} from Normal(16))")
    assert caught.value.__cause__ is error


def test_integers_where_labels_are_wanted_are_a_matter_of_types() -> None:
    """An embedding of latents is told by the types that it takes."""
    with pytest.raises(GeneratorError, match=r"scalar types.*labels int64: cast them in f"):
        outputs(lambda z: nn.Embedding(5, 3)(z))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.filterwarnings("ignore")
def test_quantized_tensor_subclasses_make_outputs(dtype: torch.dtype) -> None:
    """torchao's int8 weights are close to those that they were made of."""
    pytest.importorskip("torchao")
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = net().to(dtype)
    quantize_(model, Int8WeightOnlyConfig())
    difference = (outputs(model) - outputs(net())).abs().max()
    assert 0 < difference < 0.02


def test_dynamically_quantized_modules_make_outputs() -> None:
    """Weights that are packed, and no parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch is to lose them
        model = torch.ao.quantization.quantize_dynamic(net(), {nn.Linear}, dtype=torch.qint8)
        made = outputs(model)
    assert 0 < (made - outputs(net())).abs().max() < 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_modules_make_outputs(dtype: torch.dtype) -> None:
    """What torch.compile makes is a module of the same weights."""
    plain = net().to(dtype)
    compiled = torch.compile(plain, backend="eager")
    assert torch.equal(outputs(compiled), outputs(plain))
    assert gentest.Generator(compiled, latent=SPACE).modules == (compiled,)


class Tagged(Tensor):
    """A subclass that goes through every operation."""


def test_outputs_of_a_subclass_are_outputs() -> None:
    """As torchvision's are."""
    model = net()
    assert torch.equal(outputs(lambda z: model(z).as_subclass(Tagged)).as_subclass(Tensor), outputs(model))


def test_inputs_are_tensors_or_lists_of_values() -> None:
    """Arrays and tensors of codes alike; parts without values, and noise, pass as they are."""
    space = gentest.Joint(
        z=gentest.Normal(2), prompt=gentest.OneOf("a", "b"), scale=gentest.OneOf(3.0, 5.0), steps=gentest.OneOf(20, 50)
    )
    codes = np.array([1, 0, 1])
    latents = {"z": np.zeros((3, 2), np.float32), "prompt": codes, "scale": torch.from_numpy(codes), "steps": codes}
    inputs = inputs_on(torch.device("cpu"), space, {**latents, "noise": np.ones((3, 1), np.float32)})
    assert inputs["prompt"] == ["b", "a", "b"]
    assert [(name, z.dtype, z.tolist()) for name, z in inputs.items() if isinstance(z, Tensor)] == [
        ("z", torch.float32, [[0.0, 0.0]] * 3),
        ("scale", torch.float32, [5.0, 3.0, 5.0]),
        ("steps", torch.int64, [50, 20, 50]),
        ("noise", torch.float32, [[1.0]] * 3),
    ]


def test_a_numpy_function_takes_lists_of_values() -> None:
    def f(z: Any, prompt: list[str]) -> Any:
        assert isinstance(z, np.ndarray)
        return np.stack([np.full((2, 2), len(text) / 10) for text in prompt])

    space = gentest.Joint(z=gentest.Normal(2), prompt=gentest.OneOf("a", "abc"))
    generator = gentest.Generator.from_numpy(f, latent=space, output_range=(0, 1))
    made = generator.outputs({"z": torch.zeros(2, 2), "prompt": ["abc", "a"]})
    assert made.flatten(1).amax(1).tolist() == pytest.approx([0.3, 0.1])


@pytest.mark.parametrize(
    ("space", "name"),
    [
        (gentest.Joint(z=gentest.Normal(2), prompt=gentest.OneOf("a", "b")), "'prompt'"),
        (gentest.Prompts("a", "b"), "the condition"),
        (gentest.Joint(z=gentest.Normal(2), style=gentest.OneOf(None, 1)), "'style'"),
        (gentest.Joint(z=gentest.Normal(2), prompt=gentest.OneOf("a")).given({"prompt": "a"}), "'prompt'"),
    ],
    ids=repr,
)
def test_a_format_that_takes_numbers_only_says_so(space: gentest.Space, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"an ONNX graph takes numbers, and {name} is .*: wrap the model"):
        check_numbers(space, "an ONNX graph")


def test_numbers_are_no_obstacle_to_a_format() -> None:
    check_numbers(gentest.Joint(z=gentest.Normal(2), scale=gentest.OneOf(3.0, 5.0)), "an ONNX graph")


def test_torchscript_refuses_texts() -> None:
    """Before any call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch says that TorchScript is deprecated
        scripted = torch.jit.script(torch.nn.Linear(2, 2))  # type: ignore[no-untyped-call]
    space = gentest.Joint(z=gentest.Normal(2), prompt=gentest.OneOf("a", "b"))
    with pytest.raises(InvalidArgument, match="a TorchScript module takes numbers, and 'prompt' is OneOf"):
        gentest.Generator.from_torchscript(scripted, latent=space, images=False)
