"""Generators: what may be one, what it is called with, what it may return, and the fingerprint of its weights."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import gentest
from gentest.errors import GeneratorError, InvalidArgument
from gentest.probes.ends import noise
from gentest.probes.probe import independent
from tests.helpers.small_generators import NORMAL, called, closure, generator, images
from tests.helpers.zoo import Decoder

LABELLED = gentest.Joint(z=NORMAL, label=gentest.Categorical(4))


def test_numpy_functions_take_and_return_arrays() -> None:
    """`from_numpy` gives f float32 arrays by position and by keyword, and takes arrays back."""
    seen: list[Any] = []

    def f(z: Any, noise: Any) -> Any:
        seen.extend([z, noise])
        return np.tanh(z)[:, :, None]

    g = gentest.Generator.from_numpy(f, latent=NORMAL, noise={"noise": gentest.Normal(1)})
    x = g.outputs({"": torch.ones(2, 3)}, {"noise": torch.ones(2, 1)})
    assert [(type(a), a.dtype, a.shape) for a in seen] == [
        (np.ndarray, np.float32, (2, 3)),
        (np.ndarray, np.float32, (2, 1)),
    ]
    assert x.shape == (2, 1, 3, 1)


@pytest.mark.parametrize(
    "made",
    [
        lambda x: x[..., ::-1],
        lambda x: np.asfortranarray(x),
        lambda x: np.broadcast_to(x[:1], x.shape),
        lambda x: x.astype(">f4"),
        lambda x: x.astype(np.float16),
        lambda x: x.tolist(),
    ],
    ids=["reversed", "fortran", "read-only", "big-endian", "half", "list"],
)
def test_arrays_of_any_layout_are_taken(made: Callable[[Any], Any]) -> None:
    """Reversed, read-only, byte-swapped and half-precision arrays become the same images as plain ones."""
    array = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 1, 2, 2)
    g = gentest.Generator.from_numpy(lambda z: made(array), latent=NORMAL)
    expected = (torch.from_numpy(np.array(made(array), dtype=np.float32)) + 1) / 2
    torch.testing.assert_close(called(g), expected)


def test_a_plain_callable_may_return_an_array() -> None:
    """A callable on tensors may return a NumPy array, reversed too."""
    g = generator(lambda z: z[:, :, None, None].numpy()[:, ::-1])
    assert called(g).shape == (2, 3, 1, 1)


@pytest.mark.parametrize(
    ("raw", "output_range", "low_and_high"),
    [
        (torch.tensor([-1.0, 1.0]), None, (0.0, 1.0)),
        (torch.tensor([0.0, 1.0]), (0, 1), (0.0, 1.0)),
        (torch.tensor([0.0, 255.0]), (0, 255), (0.0, 1.0)),
        (torch.tensor([0, 255], dtype=torch.uint8), (0, 255), (0.0, 1.0)),
        (torch.tensor([-3.0, 3.0]), None, (-1.0, 2.0)),
        (torch.tensor([-1.0, 1.0], dtype=torch.float64), (-1, 1), (0.0, 1.0)),
        (torch.tensor([-1.0, 1.0], dtype=torch.bfloat16), (-1, 1), (0.0, 1.0)),
    ],
)
def test_the_range_is_mapped_to_0_1(raw: Tensor, output_range: Any, low_and_high: tuple[float, float]) -> None:
    """Outputs become float32 with the range at 0 and 1, tanh's unless said, and nothing is clamped."""
    x = called(generator(lambda z: raw[:, None, None, None], output_range=output_range))
    assert x.dtype == torch.float32
    assert x.flatten().tolist() == list(low_and_high)


def test_images_without_channels_get_one() -> None:
    """[B, H, W] becomes [B, 1, H, W]."""
    assert called(generator(lambda z: torch.zeros(2, 4, 5))).shape == (2, 1, 4, 5)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "returned a NoneType; expected a tensor or array of images"),
        ((None, None), "returned a tuple of NoneType; expected a tensor or array of images"),
        ({"sample": 1}, "returned a dict of int"),
        (torch.zeros(2, 3), r"returned shape \(2, 3\) for latents {'z': \(2, 3\)}; expected \[2, C, H, W\]"),
        (torch.zeros(3, 1, 2, 2), r"returned shape \(3, 1, 2, 2\)"),
        (torch.zeros(1, 1, 2, 2), r"returned shape \(1, 1, 2, 2\)"),
        (torch.zeros(2, 1, 2, 2, 2), r"shape \(2, 1, 2, 2, 2\)"),
        (torch.tensor(0.0), r"shape \(\)"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), r"uint8 values; say Generator\(..., output_range=\(0, 255\)\)"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.cfloat), "complex values; expected real images"),
        (np.array([["a"]] * 2), "an array of <U1; expected numbers"),
        (np.array([[object()]] * 2), "an array of object; expected numbers"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_is_no_batch_of_images_is_refused(returned: Any, message: str) -> None:
    """A return value of a wrong type, shape, batch or dtype is told on one line."""
    with pytest.raises(GeneratorError, match=message) as caught:
        called(generator(lambda z: returned))
    assert "\n" not in str(caught.value)


def test_a_numpy_function_that_returns_no_numbers_is_told_once() -> None:
    """The error of an array that is none does not name itself as the generator's."""
    with pytest.raises(GeneratorError, match=r"^the generator returned an array of <U1; expected numbers$"):
        called(gentest.Generator.from_numpy(lambda z: [["a"], ["b"]], latent=NORMAL))


def test_what_a_generator_raises_is_wrapped() -> None:
    """The error says what was raised, for which latents of which space, on one line, and keeps its cause."""

    def f(z: Tensor) -> Tensor:
        raise RuntimeError("mat1 and mat2\nshapes")

    with pytest.raises(
        GeneratorError, match=r"^the generator raised RuntimeError: mat1 and mat2 \(latents {'z': \(2, 3\)} from Normal"
    ) as caught:
        called(generator(f))
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "\n" not in str(caught.value)


def test_an_error_without_words_is_wrapped() -> None:
    """An exception without a message is told by its type."""

    def f(z: Tensor) -> Tensor:
        raise NotImplementedError

    with pytest.raises(GeneratorError, match=r"raised NotImplementedError \(latents"):
        called(generator(f))


def test_interrupts_are_not_wrapped() -> None:
    """A keyboard interrupt inside the generator stays one."""

    def f(z: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        called(generator(f))


def test_a_joint_space_is_given_by_keyword() -> None:
    """The parts of a joint space come as f's keywords, the label as int64."""
    seen: dict[str, Tensor] = {}

    def f(**parts: Tensor) -> Tensor:
        seen.update(parts)
        return images(parts["z"])

    generator(f, latent=LABELLED).outputs({"z": torch.zeros(2, 3), "label": torch.tensor([1, 2])})
    assert set(seen) == {"z", "label"}
    assert seen["label"].dtype == torch.int64


def test_a_generator_may_change_what_it_is_given() -> None:
    """In-place work of f on its latents and noise does not reach the caller's."""

    def f(z: Tensor, noise: Tensor) -> Tensor:
        return images(z.zero_()) + noise.zero_().sum()

    z, hiss = torch.ones(2, 3), torch.ones(2, 1)
    generator(f, noise={"noise": gentest.Normal(1)}).outputs({"": z}, {"noise": hiss})
    assert z.min() == hiss.min() == 1


def test_gradients_flow_to_the_latents() -> None:
    """An output's gradient reaches the latent that it was made of."""
    z = torch.ones(2, 3, requires_grad=True)
    called(generator(Decoder()), z).sum().backward()
    assert z.grad is not None
    assert z.grad.abs().sum() > 0


def drawing(z: Tensor) -> Tensor:
    """Images of random numbers from torch, NumPy and `random`."""
    from_numpy = torch.from_numpy(np.random.rand(len(z), 1, 1, 1))  # noqa: NPY002 - the global one is meant
    return torch.rand(len(z), 1, 1, 1) + from_numpy + torch.full((len(z), 1, 1, 1), random.random())


def states() -> tuple[Any, ...]:
    legacy = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), legacy[1].tolist(), legacy[2], random.getstate()


def test_global_random_states_are_neither_read_nor_changed() -> None:
    """A generator that draws by itself gives the same at every call, whatever the global states, and leaves them."""
    g = generator(drawing, output_range=(0, 3))
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        before = states()
        made.append(called(g))
        assert states() == before
    assert torch.equal(*made)
    assert len(made[0].unique()) == 2


def test_random_states_are_restored_after_an_error() -> None:
    """Where the generator raises, the global states are as they were."""

    def f(z: Tensor) -> Tensor:
        drawing(z)
        raise ValueError

    before = states()
    with pytest.raises(GeneratorError):
        called(generator(f))
    assert states() == before


def test_noise_comes_from_the_probes_seed() -> None:
    """Declared noise is drawn from the probe's seed: given to f by keyword, the same when asked again."""
    g = generator(lambda z, eps: images(z) + eps[:, :, None, None], noise={"eps": gentest.Normal(1)})
    probes = independent(0, 0, 4)
    z = {"": torch.zeros(4, 3)}
    made = [g.outputs(z, {n: torch.from_numpy(v[:, 0]) for n, v in noise(g.noise, p, 1).items()}) for p in [probes] * 2]
    assert torch.equal(made[0], made[1])
    assert len(made[0].unique()) == 4


def test_truncations_compose() -> None:
    """Truncating to 0.5 twice truncates to 0.25, and the generator it came from stays whole."""
    g = generator()
    assert g.truncated(0.5).truncated(0.5).psi == 0.25
    assert g.truncated(0.5).truncated(0.5).latent == NORMAL.truncated(0.25)
    assert g.latent == NORMAL
    assert g.truncated(1.0).latent == NORMAL


def test_choices_are_made_by_name() -> None:
    """`.given` fixes a part, a second one adds to it or changes it, and truncation leaves it."""
    space = gentest.Joint(z=NORMAL, a=gentest.Categorical(4), b=gentest.Categorical(2))
    g = generator(lambda z, a, b: images(z), latent=space)
    both = g.given(a=3).truncated(0.5).given(b=1).given(a=2)
    assert both.latent == space.given({"a": 2, "b": 1}).truncated(0.5)
    assert g.latent == space


@pytest.mark.parametrize(
    ("latent", "choices", "message"),
    [
        (LABELLED, {"class_": 1}, "No part is named 'class_'; the space has z, label"),
        (LABELLED, {"label": 4}, "a choice from 0 to 3 but got label=4"),
        (LABELLED, {"label": -1}, "label=-1"),
        (LABELLED, {"label": 1.0}, r"label=1.0"),
        (LABELLED, {"z": [0, 1]}, r"finite numbers of shape \(3,\)"),
        (NORMAL, {"label": 1}, r"Normal\(3\) has no named parts: .given\(\) needs gentest.Joint"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(latent: gentest.Space, choices: dict[str, Any], message: str) -> None:
    """An unknown part, a value out of range, and a space without parts are told where `.given` is called."""
    with pytest.raises(InvalidArgument, match=message):
        generator(latent=latent).given(**choices)


def test_another_prior_keeps_truncation_and_choices() -> None:
    """`.under` swaps the prior alone: psi, choices, range and noise stay."""
    g = generator(lambda z, label: images(z), latent=LABELLED, output_range=(0, 1), noise={"e": NORMAL})
    prior = gentest.Joint(z=gentest.Uniform(3), label=gentest.Categorical(4))
    swapped = g.given(label=2).truncated(0.5).under(prior)
    assert swapped.latent == prior.given({"label": 2}).truncated(0.5)
    assert (swapped.output_range, dict(swapped.noise)) == ((0, 1), {"e": NORMAL})


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (gentest.Uniform(4), r"a prior of the shape of Normal\(3\) but got prior=Uniform\(4\)"),
        (gentest.Uniform((3, 1)), "prior=Uniform"),
        (gentest.Joint(z=NORMAL), "prior=Joint"),
        (3, "a latent space such as"),
    ],
)
def test_a_prior_of_another_shape_is_refused(prior: Any, message: str) -> None:
    """A prior whose latents f cannot take is told where `.under` is called."""
    with pytest.raises(InvalidArgument, match=message):
        generator().under(prior)


def test_a_prior_without_the_chosen_label_is_refused() -> None:
    """A prior with other choices than the generator's own is refused."""
    narrow = gentest.Joint(z=NORMAL, label=gentest.Categorical(2))
    with pytest.raises(InvalidArgument, match="Expected a prior of the shape of"):
        generator(latent=LABELLED).given(label=3).under(narrow)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": 3}, "an nn.Module or a callable but got function=3"),
        ({"latent": 128}, r"a latent space such as gentest.Normal\(128\) but got latent=128"),
        ({"latent": gentest.Normal}, "latent="),
        ({"output_range": (1, 0)}, r"a range \(low, high\) with low < high but got output_range=\(1, 0\)"),
        ({"output_range": (0, 0)}, "output_range="),
        ({"output_range": 255}, "output_range=255"),
        ({"output_range": "01"}, None),
        ({"output_range": (0, 1, 2)}, "output_range="),
        ({"output_range": (0, float("inf"))}, "output_range="),
        ({"output_range": (0, 10**400)}, "output_range="),
        ({"output_range": ("a", "b")}, "output_range="),
        ({"noise": gentest.Normal(1)}, "spaces by the name of the input they are for but got noise=Normal"),
        ({"noise": 3}, "noise=3"),
        ({"noise": ["eps"]}, "noise="),
        ({"noise": {"eps": 3}}, r"a space such as gentest.Normal\(\(1, 64, 64\)\) but got noise\['eps'\]=3"),
        ({"noise": {"eps": LABELLED}}, r"noise\['eps'\]=Joint"),
        ({"noise": {1: NORMAL}}, r"noise\[1\]="),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_misuse_is_told_on_one_line(arguments: dict[str, Any], message: str | None) -> None:
    """A wrong function, space, range or noise is refused with its name and value when the generator is made."""
    whole = {"function": images, "latent": NORMAL} | arguments
    function = whole.pop("function")
    if message is None:
        assert gentest.Generator(function, **whole).output_range == (0.0, 1.0)
        return
    with pytest.raises(InvalidArgument, match=message) as caught:
        gentest.Generator(function, **whole)
    assert "\n" not in str(caught.value)


def test_from_numpy_needs_a_callable() -> None:
    """`from_numpy` refuses what cannot be called."""
    with pytest.raises(InvalidArgument, match="a callable but got function=3"):
        gentest.Generator.from_numpy(3, latent=NORMAL)  # type: ignore[arg-type]


def test_a_generator_reads_as_what_it_is() -> None:
    """The repr names the function or class, and the space with its truncation."""
    assert repr(generator()) == "Generator(images, latent=Normal(3))"
    assert "Decoder" in repr(generator(Decoder()))


def test_a_fingerprint_survives_every_way_of_storing(tmp_path: Path) -> None:
    """Weights saved with torch and with safetensors, and loaded into another module, have the same fingerprint."""
    module = Decoder()
    expected = generator(module).fingerprint()
    assert len(expected) == 16
    assert int(expected, 16) >= 0
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    save_file(module.state_dict(), tmp_path / "weights.safetensors")
    for state in (torch.load(tmp_path / "weights.pt", weights_only=True), load_file(tmp_path / "weights.safetensors")):
        other = Decoder()
        assert generator(other).fingerprint() != expected
        other.load_state_dict(dict(reversed(state.items())))
        assert generator(other).fingerprint() == expected
        assert generator(other).truncated(0.5).fingerprint() == expected
        closed = generator(closure(other)).fingerprint()
        assert closed == generator(closure(module)).fingerprint() != expected  # its code is another


@pytest.mark.parametrize("name", ["layers.0.weight", "layers.1.running_var", "low"])
def test_a_fingerprint_sees_one_ulp(name: str) -> None:
    """One value changed in place by one unit in the last place changes the fingerprint, and undoing it restores it."""
    module = Decoder()
    g = generator(module)
    before = g.fingerprint()
    values = module.state_dict()[name].view(-1)
    old = values[0].clone()
    values[0] = torch.nextafter(old, torch.tensor(float("inf"), dtype=old.dtype))
    assert values[0] != old
    assert g.fingerprint() != before
    values[0] = old
    assert g.fingerprint() == before


def test_a_fingerprint_sees_names_shapes_and_dtypes() -> None:
    """The same numbers under another name, shape or dtype are other weights."""

    def of(name: str, values: Tensor) -> str:
        module = nn.Module()
        module.register_buffer(name, values)
        return generator(module).fingerprint()

    zeros = torch.zeros(4)
    prints = [of("w", zeros), of("v", zeros), of("w", zeros.reshape(2, 2)), of("w", zeros.int()), of("w", zeros[:3])]
    assert len(set(prints)) == 5
    assert of("w", torch.zeros(4, 2).T[:1].reshape(-1)[:4].clone()) == of("w", zeros)


def test_a_fingerprint_does_not_depend_on_the_order_of_tensors() -> None:
    """The same tensors by name, registered in another order, are the same weights."""

    def of(*names: str) -> str:
        module = nn.Module()
        for name in names:
            module.register_buffer(name, torch.full((2,), float(len(name))))
        return generator(module).fingerprint()

    assert of("a", "bb", "ccc") == of("ccc", "a", "bb")


def test_functions_are_told_apart_by_their_code() -> None:
    """Without modules the fingerprint is of the code: other operations and constants are another function."""
    functions = [lambda z: z.sin(), lambda z: z.cos(), lambda z: z * 2.0, lambda z: z * 3.0]
    assert len({generator(f).fingerprint() for f in functions}) == 4
    assert len({gentest.Generator.from_numpy(f, latent=NORMAL).fingerprint() for f in functions}) == 4


CODE = """
def f(z):
    inner = lambda x: x if x in {"a", "b", "c", "d", "e", "f", "g", "h"} else [y for y in x]
    return inner(z)
"""


def test_a_functions_fingerprint_is_the_same_in_every_process() -> None:
    """Neither the addresses of inner functions nor the order of a set's strings enter the fingerprint."""
    script = CODE + "import gentest; print(gentest.Generator(f, latent=gentest.Normal(3)).fingerprint())"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    names: dict[str, Any] = {}
    exec(CODE, names)
    assert done.stdout.strip() == generator(names["f"]).fingerprint()


def test_a_numpy_function_with_labels_is_checked() -> None:
    """A conditional generator in NumPy, of labels in a joint space, passes through a whole check at any batch size."""
    table = np.linspace(0, 1, 12).reshape(4, 3)

    def f(z: Any, label: Any) -> Any:
        assert label.dtype == np.int64
        hot = np.eye(4)[label]  # one-hot
        return np.tanh(z + hot @ table)[:, None, None]

    g = gentest.Generator.from_numpy(f, latent=LABELLED)
    results = [
        gentest.between(gentest.brightness(), tolerance=0.01).check(
            given, settings=gentest.settings(examples=20, batch_size=size, device="cpu")
        )
        for size in (1, 64)
        for given in (g, g.given(label=2))
    ]
    assert {result.verdict for result in results} == {gentest.Verdict.VIOLATED}
    assert results[0].counterexample == results[2].counterexample
    assert results[1].counterexample == results[3].counterexample
