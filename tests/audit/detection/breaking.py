"""The ways in which training and export break a checkpoint, each on each model it can happen to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

import gentest
from tests.audit.detection import changing
from tests.audit.detection.changing import Around, Candidate
from tests.audit.detection.models import FASHION, WEIGHTS, Model, State, fashion_example
from tests.audit.detection.rounding import read

MODES = 16
SHRUNK, GAIN, CLIPPED, PHASE = 0.3, 3.0, 0.5, 1.5
"""How near to the mean latents are drawn, how often the last layer counts, where values are clipped, and how much
brighter one of four phases of an upsampling is. Chosen once, as what a person would call broken; nothing was tuned."""


def broken(model: Model) -> list[Candidate]:
    """Every broken checkpoint of a model."""
    ways = [*_of_both(model), *(_of_faces(model) if model.name == "faces" else _of_fashion(model))]
    return [Candidate(model, name, says, partial(_made, model, make)) for name, says, make in ways]


Way = tuple[str, str, Callable[[], nn.Module]]


def _made(model: Model, make: Callable[[], nn.Module]) -> gentest.Generator:
    return model.generator(make().eval())


def _of_both(model: Model) -> Iterator[Way]:
    middle, last = model.layers

    def of(change: Callable[[State], State]) -> Callable[[], nn.Module]:
        return lambda: model.module(change(model.good()))

    def around(**changes: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
        return lambda: Around(model.module(model.good()), **changes)

    for place, layer in (("first", model.first.removesuffix(".weight")), ("middle", middle), ("last", last)):
        yield (
            f"reinit {place}",
            f"the {place} layer re-initialised",
            partial(changing.reinitialised, model, layer),
        )
    for strength in (0.1, 0.3, 0.6):
        noise = partial(changing.noised, strength=strength)
        yield f"noise {strength}", f"noise of {strength} sd of its tensor on every weight", of(noise)
    yield (
        "bn batch",
        "batch norm exported in train mode",
        lambda: changing.on_batches(model.module(model.good())),
    )
    yield (
        "bn reset",
        "batch norm's statistics lost",
        lambda: changing.without_statistics(model.module(model.good())),
    )
    yield "4 bit", "weights in 4 bits, a scale a tensor", of(partial(changing.rounded, bits=4))
    yield "half latent", "half of the latent ignored", of(partial(_half, model=model))
    yield "few modes", f"collapse to {MODES} latents", around(before=partial(_snapped, codes=_codes(model)))
    yield "near mean", f"latents drawn toward the mean, z * {SHRUNK}", around(before=lambda z: SHRUNK * z)
    yield "gain", f"{GAIN:g} times the values before tanh", of(partial(_times, layer=last))
    yield "clipped", f"values clipped to +-{CLIPPED}", around(after=lambda x: x.clamp(-CLIPPED, CLIPPED))
    yield "range", "images in [0, 1], declared as [-1, 1]", around(after=lambda x: (x + 1) / 2)
    yield "permuted", "latent coordinates permuted", around(before=_permuted)
    yield "flipped", "latent's sign flipped", around(before=lambda z: -z)


def _times(state: State, *, layer: str) -> State:
    """Weights whose layer gives `GAIN` times as much."""
    return changing.edited(state, lambda t: t.mul_(GAIN), *(name for name in state if name.startswith(layer + ".")))


def _half(state: State, *, model: Model) -> State:
    """Weights that take nothing of the first half of the latent's coordinates."""
    half = model.latent.parts[model.continuous].dim // 2
    return changing.edited(state, lambda w: w.narrow(model.first_axis, 0, half).zero_(), model.first)


def _codes(model: Model) -> Tensor:
    """The latents [MODES, ...] that a collapsed checkpoint knows."""
    return model.inputs(MODES, seed=MODES)[model.continuous]


def _snapped(z: Tensor, *, codes: Tensor) -> Tensor:
    """Each latent's nearest of the codes."""
    nearest = torch.cdist(z.flatten(1), codes.flatten(1)).argmin(1)
    return codes[nearest]


def _permuted(z: Tensor) -> Tensor:
    order = torch.randperm(z.shape[1], generator=torch.Generator().manual_seed(0))
    return z[:, order]


def _of_faces(model: Model) -> Iterator[Way]:
    last = model.layers[1] + ".weight"

    def phase(weight: Tensor) -> None:
        weight[..., ::2, ::2] *= PHASE  # of a kernel of 4 at a stride of 2, what one pixel of four is made with

    yield (
        "checkerboard",
        f"one phase of the last upsampling * {PHASE}",
        lambda: model.module(changing.edited(model.good(), phase, last)),
    )
    yield (
        "channels",
        "red and blue swapped",
        lambda: Around(model.module(model.good()), after=lambda x: x.flip(1)),
    )


class Phase(nn.Module):
    """One pixel of each two by two made larger."""

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, C, H, W]."""
        x = x.clone()
        x[..., ::2, ::2] *= PHASE
        return x


class OffByOne(nn.Module):
    """A network whose labels are counted from one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """The images of latents [B, 64] and labels [B]."""
        image: Tensor = self.inner(z, (label + 1) % 10)
        return image


def _of_fashion(model: Model) -> Iterator[Way]:
    def checkerboard() -> nn.Module:
        module = model.module(model.good())
        module.conv2 = nn.Sequential(Phase(), module.conv2)
        return module

    yield "checkerboard", f"one phase of the last upsampling * {PHASE}", checkerboard
    yield "labels", "labels off by one", lambda: OffByOne(model.module(model.good()))
    yield (
        "fine-tuned",
        "mode collapse of a fine-tune",
        lambda: model.module(_regressed()),
    )
    for name, says in TRAINED.items():
        yield name.replace("_", " "), says, partial(_trained, model, name)


TRAINED = {
    "old_epoch": "the average of step 600 of 4,000",
    "raw_middle": "weights of step 2,000, not their average",
    "raw_end": "weights of the last step, not their average",
}


def _trained(model: Model, name: str) -> nn.Module:
    return model.module(read(WEIGHTS / f"{name}.safetensors"))


def _regressed() -> State:
    path = FASHION / "checkpoints" / "finetune_regressed.safetensors"
    state: State = fashion_example().load(path).state_dict()
    return state
