"""Weights: the modules that a callable holds, put in eval mode and in place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gentest
from gentest.errors import GeneratorError
from gentest.generators import modules
from gentest.generators.modules import PLACED
from tests.helpers.small_generators import CPU, FEW, SPACE, Z, called, closure, generator, images, net
from tests.helpers.zoo import Decoder


class Holder:
    """A callable object that holds a module and other things."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.name = "holder"
        self.scale = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        return self.module(z) * self.scale

    def decode(self, z: Tensor) -> Tensor:
        return self(z)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda m: m,
        lambda m: m.decode,
        lambda m: m.forward,
        lambda m: functools.partial(m.decode, scale=1.0),
        lambda m: functools.partial(m),
        closure,
        lambda m: functools.partial(lambda z, module: module(z), module=m),
        Holder,
        lambda m: Holder(m).decode,
        lambda m: Holder(Holder(m)),
    ],
    ids=[
        "module",
        "method",
        "forward",
        "partial-of-method",
        "partial",
        "closure",
        "keyword",
        "object",
        "bound",
        "nested",
    ],
)
def test_any_callable_over_a_module_finds_it(wrapped: Callable[[nn.Module], Callable[..., Any]]) -> None:
    """The module that a callable is or holds is found, put in eval mode, and called."""
    module = Decoder().train()
    g = generator(wrapped(module))
    assert g.modules == (module,)
    assert not any(m.training for m in module.modules())
    assert called(g).shape == (2, 1, 2, 2)


def test_several_modules_are_found_once_each() -> None:
    """Two modules under one closure are both found, and one that is held twice is told once."""
    a, b = Decoder(), Decoder()
    g = generator(lambda z: a(z) + b(z) + a(z))
    assert set(g.modules) == {a, b}
    assert len(g.modules) == 2


def test_a_plain_function_has_no_modules() -> None:
    """A function of tensors alone, an empty closure and a builtin hold no module."""
    assert generator().modules == ()
    assert generator(torch.tanh).modules == ()

    def unfilled() -> Callable[[Tensor], Tensor]:
        def f(z: Tensor) -> Tensor:
            return later(z)

        g = generator(f)
        assert g.modules == ()
        later = images
        return later

    unfilled()


def test_the_engine_puts_modules_back_in_eval_mode() -> None:
    """`.to(device)` undoes a train mode that was set after the generator was made."""
    module = Decoder()
    g = generator(module)
    module.train()
    g.to(torch.device("cpu"))
    assert not module.training


GLOBAL = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))


def test_a_module_behind_a_global_name_is_found() -> None:
    """A lambda over a module of its file, alone or in a list, puts that module in eval mode and fingerprints it."""
    models = [nn.Dropout(0.5)]
    generator = gentest.Generator(lambda z: models[0](GLOBAL(z)), latent=gentest.Normal(4))
    assert set(generator.modules) == {GLOBAL, models[0]}
    assert not GLOBAL.training
    assert not models[0].training


class Told(modules.Holder):
    """A callable that counts its own calls, which is not part of its content."""

    def __init__(self, word: str) -> None:
        self.module = Decoder()
        self.calls = torch.zeros(1)
        self.word = word

    @property
    def modules(self) -> tuple[nn.Module]:
        return (self.module,)

    @property
    def content(self) -> tuple[nn.Module, str]:
        return self.module, self.word

    def __call__(self, z: Tensor) -> Tensor:
        self.calls += 1
        return self.module(z)


def test_a_holder_lists_its_modules_and_its_content() -> None:
    """Its modules are found like any others; its content decides its identity, and other fields do not."""
    told, other = Told("a"), Told("b")
    other.module.load_state_dict(told.module.state_dict())
    g = generator(closure(told))
    assert g.modules == (told.module,)
    before = generator(told).fingerprint()
    assert called(generator(told)).shape == (2, 1, 2, 2)
    assert told.calls == 1
    assert generator(told).fingerprint() == before
    assert generator(other).fingerprint() != before
    other.word = "a"
    assert generator(other).fingerprint() == before
    assert g.fingerprint() == generator(closure(other)).fingerprint()


def outputs(f: Callable[..., Any], **options: Any) -> Tensor:
    """What the engine gets of f: on the device, of a batch."""
    generator = gentest.Generator(f, latent=options.pop("latent", SPACE), **options)
    generator.to(CPU)
    with torch.no_grad():
        return generator.outputs({"": Z})


class EightBit(nn.Module):
    """As bitsandbytes' models are: they may not be moved."""

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(1, device=device))

    def forward(self, z: Tensor) -> Tensor:
        return z[:, :3, None, None].tanh()

    def to(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError("`.to` is not supported for `8-bit` models")


def test_a_module_that_refuses_to_be_moved_is_called_where_it_is() -> None:
    """On the device that it is on already, and where it has no weights at all."""

    class Bare(EightBit):
        def __init__(self) -> None:
            nn.Module.__init__(self)

    for model in (EightBit(), Bare()):
        result = gentest.well_formed().check(gentest.Generator(model, latent=SPACE), settings=FEW)
        assert result.verdict is gentest.Verdict.NO_COUNTEREXAMPLE, result.message


def test_a_module_that_cannot_be_moved_names_the_part_and_the_way_out() -> None:
    """Where its weights are elsewhere, its part, its device and the option are said."""
    generator = gentest.Generator(EightBit(), latent=SPACE)
    with pytest.raises(
        GeneratorError, match=r"EightBit cannot be moved to cuda:0 .*8-bit.*'scale' is on cpu: .*--gentest-device cpu"
    ):
        generator.to(torch.device("cuda:0"))


def test_weights_without_values_name_the_part() -> None:
    """A module on meta that nothing loads is told of before it is called."""
    model = net()
    model[2].to("meta")  # type: ignore[index]
    with pytest.raises(
        GeneratorError, match=r"its '2.weight' is on the meta device, which holds no values; load its"
    ) as caught:
        outputs(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mark", PLACED)
def test_what_somebody_else_places_stays_where_it_is(mark: str) -> None:
    """A module that accelerate moves by itself, say, is not moved: its `.to` is never called."""
    model = EightBit()
    setattr(model, mark, object())
    gentest.Generator(model, latent=SPACE).to(torch.device("cuda:0"))


def offloaded(tmp_path: Path, how: str) -> nn.Module:
    accelerate = pytest.importorskip("accelerate")
    if how == "disk":
        made: nn.Module = accelerate.disk_offload(net(), str(tmp_path), execution_device=CPU)
    elif how == "dispatched":
        made = accelerate.dispatch_model(net(), {"": "cpu"}, force_hooks=True)
    else:
        made = accelerate.cpu_offload(net(), execution_device=CPU)
    return made


@pytest.mark.parametrize("how", ["cpu", "disk", "dispatched"])
def test_offloaded_modules_make_the_outputs_of_the_whole(how: str, tmp_path: Path) -> None:
    """Parameters on meta, which accelerate's hooks fill for each call."""
    model = offloaded(tmp_path, how)
    assert how == "dispatched" or any(p.is_meta for p in model.parameters())
    assert torch.equal(outputs(model), outputs(net()))
