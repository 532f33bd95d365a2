"""Facts that `gentest init` reads from a model: its latent, its range and its outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

import gentest
from gentest.cli.init_answers import Facts
from gentest.cli.init_model import call_facts, inspect_model
from tests.helpers.new_models import LATENT

WEIGHTS = {
    "linear": ({"0.weight": (8, LATENT)}, (LATENT,)),
    "transposed": ({"0.weight": (100, 64, 4, 4), "3.weight": (64, 3, 4, 4)}, (100, 1, 1)),
    "convolution": ({"0.weight": (64, 4, 3, 3), "3.weight": (3, 64, 3, 3)}, (4, 1, 1)),
    "one transposed": ({"0.weight": (16, 3, 4, 4)}, (16, 1, 1)),
    "none": ({"0.bias": (3,)}, None),
}


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("form", ["plain.pt", "nested.pt", "plain.safetensors"])
def test_the_latent_is_guessed_from_weights(name: str, form: str, folder: Path) -> None:
    """The first weight tells the latent, in a state dict, in one of several, and in safetensors."""
    shapes, latent = WEIGHTS[name]
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    if form.endswith("safetensors"):
        from safetensors.torch import save_file

        save_file(state, form)
    else:
        other = {"1.weight": torch.zeros(1, 7)}
        torch.save({"netD": other, "epoch": 3, "netG": state, "optimizer": {}} if form == "nested.pt" else state, form)
    facts = Facts(**inspect_model({"kind": "torch", "weights": form}))
    assert facts.error == ""
    assert facts.latent == latent
    assert facts.weights_key == ("netG" if form == "nested.pt" else "")


def test_a_file_of_weights_that_is_none_is_an_error(folder: Path) -> None:
    """torch refuses a pickle that would run code, and the error says so."""
    Path("bad.pt").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    assert inspect_model({"kind": "torch", "weights": "bad.pt"})["error"]
    assert not Path("ran").exists()
    torch.save([1, 2], "list.pt")
    assert inspect_model({"kind": "torch", "weights": "list.pt"})["error"] == "holds no state dict"


def facts_of(model: Callable[..., Any], shapes: list[tuple[int, ...]]) -> Facts:
    """The facts that calling a model tells."""
    return Facts(**call_facts(model, shapes))


RANGES = {
    "tanh": (lambda z: z[:, :1].tanh(), [-1.0, 1.0]),
    "sigmoid": (lambda z: z[:, :1].sigmoid(), [0.0, 1.0]),
    "bytes": (lambda z: (z[:, :1].sigmoid() * 255).round(), [0.0, 255.0]),
    "none": (lambda z: 50 * z[:, :1].tanh(), None),
}


@pytest.mark.parametrize("name", RANGES)
def test_the_range_is_seen(name: str) -> None:
    """Values within a usual range get that range; others get none rather than a wrong one."""
    f, expected = RANGES[name]
    assert facts_of(f, [(3,)]).range == expected


FORMS: dict[str, tuple[Any, list[float] | None]] = {
    "tuple": (lambda x: (x, None), [0.0, 1.0]),
    "list": (list, [0.0, 1.0]),
    "dictionary": (lambda x: {"sample": x}, [0.0, 1.0]),
    "array, channels last": (lambda x: x.permute(0, 2, 3, 1).numpy(), [0.0, 1.0]),
    "bytes, channels last": (lambda x: (x * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy(), [0.0, 255.0]),
    "PIL": (
        lambda x: [Image.fromarray((one * 255).to(torch.uint8).permute(1, 2, 0).numpy()) for one in x],
        [0.0, 255.0],
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_outputs_are_read_as_a_run_reads_them(name: str) -> None:
    """The shape and range of images are read from any container, and a run with them comes to a verdict."""
    form, expected = FORMS[name]
    model = nn.Sequential(nn.Linear(LATENT, 192), nn.Sigmoid(), nn.Unflatten(1, (3, 8, 8)))

    def f(z: torch.Tensor) -> Any:
        return form(model(z).detach())

    seen = facts_of(f, [(LATENT,)])
    assert (seen.error, seen.output, seen.images, seen.range) == ("", [3, 8, 8], True, expected)
    assert seen.range is not None
    low, high = seen.range
    generator = gentest.Generator(f, latent=gentest.Normal(LATENT), output_range=(low, high))
    few = gentest.settings(examples=5, device="cpu")
    for property in (gentest.well_formed(), gentest.between(gentest.brightness(), tolerance=1)):
        assert property.check(generator, settings=few).verdict is gentest.Verdict.NO_COUNTEREXAMPLE


def test_outputs_that_a_run_would_refuse_are_said() -> None:
    """The error of `--probe` is that of a run, with the code to write."""
    seen = facts_of(lambda z: (z[:, :, None, None], z[:, :, None, None] * 2), [(3,)])
    assert "return x[0], or whichever is meant" in seen.error
    assert seen.output is None


def test_a_model_in_half_precision_is_called_as_a_run_calls_it() -> None:
    """Latents are cast to the precision of the weights, as in a run."""
    model = nn.Sequential(nn.Linear(LATENT, 192), nn.Tanh(), nn.Unflatten(1, (3, 8, 8))).bfloat16()
    seen = facts_of(model, [(LATENT,)])
    assert (seen.error, seen.output, seen.range) == ("", [3, 8, 8], [-1.0, 1.0])
