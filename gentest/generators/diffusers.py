"""A diffusers pipeline as a function of its initial noise.

Sampling is a map from the noise that it starts from, wherever the steps are deterministic (DDIM with eta 0, Song et al.
2021, arXiv:2010.02502; ODE solvers; consistency models). Where a scheduler draws further noise (DDPM, eta > 0), every
image has a `torch.Generator` of its own, of one fixed seed: the same noise for all images, in any batch.

Pipelines that take `latents=` are given them. Others, such as `DDIMPipeline`, `DDPMPipeline` and `DiTPipeline`, start
from the first numbers that they ask of `torch.randn`: those are the latents, then.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gentest._support.arguments import is_whole
from gentest.errors import GeneratorError, InvalidArgument
from gentest.generators.weights import Holder, Weight
from gentest.spaces import Joint, Normal, Space

SEED = 0
"""Of the noise that a scheduler draws for itself."""
OURS = ("latents", "generator", "batch_size", "output_type", "return_dict")
A_PROMPT = re.compile(r"num_\w+_per_prompt")
"""The argument by which a pipeline is told how many outputs to make of a prompt: images, videos, waveforms."""
PROMPTS = ("prompt", "prompt_embeds")
LATENTS = "latents"
NOISE_LEVELS = ("beta", "alpha", "final_alpha", "init_noise_sigma")
"""How the attributes of a scheduler begin that no call sets anew, as it does timesteps."""


class Pipeline(Holder):
    """A diffusers pipeline as a callable on its initial noise: `f(noise)`, or `f(latents=..., class_labels=...)`.

    `steps` is how many denoising steps it makes, `arguments` whatever else its call takes (`eta=`, `prompt=`,
    `guidance_scale=`, `prompt_embeds=`). Its progress bar is switched off. Parts of a `Joint` space but `latents` are
    given by keyword, choices as a list of integers.
    """

    def __init__(self, pipeline: Any, steps: int | None, arguments: Mapping[str, Any]) -> None:
        modules = getattr(pipeline, "components", None)
        if not callable(pipeline) or isinstance(pipeline, type) or not isinstance(modules, Mapping):
            raise InvalidArgument.expected("a diffusers pipeline", "pipeline", pipeline)
        if steps is not None and not is_whole(steps, 1):
            raise InvalidArgument.expected("a number of steps >= 1", "steps", steps)
        self.pipeline = pipeline
        self.takes = tuple(inspect.signature(type(pipeline).__call__).parameters)
        self.count = next((name for name in self.takes if name == "batch_size" or A_PROMPT.fullmatch(name)), None)
        """The argument that says how many outputs to make, where there is one."""
        ours = (*OURS, *filter(A_PROMPT.fullmatch, (*self.takes, *arguments)))
        for name in ours:
            if name in arguments:
                raise InvalidArgument(f"gentest gives the pipeline its {name!r} argument itself")
        steps_are = {} if steps is None else {"num_inference_steps": steps}
        self.arguments = MappingProxyType({**arguments, **steps_are})
        for name in self.arguments:
            if name not in self.takes:
                said = ", ".join(name for name in self.takes if name not in ("self", *ours))
                raise InvalidArgument(f"{type(pipeline).__name__} takes no {name!r} argument; it takes {said}")
        for name in PROMPTS if self.count else ():
            given = self.arguments.get(name)
            if isinstance(given, (list, tuple, Tensor)) and len(given) != 1:
                raise InvalidArgument(
                    f"Expected one prompt, as all outputs are of the same, but got {name} of {len(given)}: "
                    f"make a generator for each, as in {name}={name}[:1]"
                )
        pipeline.set_progress_bar_config(disable=True)

    def __repr__(self) -> str:
        return f"Pipeline({type(self.pipeline).__name__})"

    @property
    def weights(self) -> Sequence[Weight | str]:
        components = self.pipeline.components
        modules = [part for _, part in sorted(components.items()) if isinstance(part, nn.Module)]
        scheduler = components.get("scheduler")
        config = {name: value for name, value in getattr(scheduler, "config", {}).items() if not name.startswith("_")}
        words = f"{type(scheduler).__name__} {_words(config)} {_words(self.arguments)}"
        return [*modules, *(value for value in self.arguments.values() if isinstance(value, Tensor)), words]

    @property
    def content(self) -> Sequence[object]:
        """Besides weights and settings: the code of pipeline and scheduler, and values that were set on them."""
        components = self.pipeline.components
        parts = {name: part for name, part in components.items() if not isinstance(part, nn.Module)}
        scheduler = parts.pop("scheduler", None)
        own = {name: value for name, value in vars(self.pipeline).items() if name not in (*components, "components")}
        noise = {n: v for n, v in getattr(scheduler, "__dict__", {}).items() if n.startswith(NOISE_LEVELS)}
        set_on = {**_plain(own), "scheduler": noise}
        return [*self.weights, type(self.pipeline), type(scheduler), set_on, parts, dict(self.arguments)]

    def __call__(self, *noise: Tensor, **named: Tensor) -> Any:
        if LATENTS in named:
            noise = (named.pop(LATENTS),)
        if len(noise) != 1:
            raise GeneratorError(f"a pipeline is a function of one noise, named {LATENTS!r} where it has other inputs")
        n = len(noise[0])
        others = {name: value if value.is_floating_point() else value.tolist() for name, value in named.items()}
        given = {**self.arguments, **self._of_batch(n), **others, "output_type": "pt"}
        generators = [torch.Generator("cpu").manual_seed(SEED) for _ in range(n)]
        if LATENTS in self.takes:
            dtype = self._dtype()
            made = self.pipeline(**given, latents=noise[0].to(dtype), generator=generators)
        else:
            with _StartingFrom(noise[0]) as start:
                made = self.pipeline(**given, generator=generators)
            if start.taken != n:
                raise GeneratorError(
                    f"{type(self.pipeline).__name__} drew no noise of shape {tuple(noise[0].shape[1:])} to start from: "
                    "does the latent space fit?"
                )
        first = made if isinstance(made, Tensor) else made[0]
        if isinstance(first, np.ndarray) and first.ndim in (4, 5):  # what pipelines that know no "pt" make of it
            return torch.from_numpy(first).movedim(-1, -3)
        return first

    def _of_batch(self, n: int) -> dict[str, Any]:
        """What tells the pipeline to make n outputs."""
        if self.count is not None:
            return {self.count: n}
        prompt = self.arguments.get("prompt")
        return {"prompt": [prompt] * n} if isinstance(prompt, str) else {}

    def _dtype(self) -> torch.dtype:
        dtype = getattr(self.pipeline, "dtype", torch.float32)
        return dtype if isinstance(dtype, torch.dtype) else torch.float32


def initial_noise(pipeline: Any) -> Space:
    """The space of a pipeline's initial noise, of its denoiser's config: normal [in_channels, height, width]."""
    for name in ("unet", "transformer"):
        config = getattr(getattr(pipeline, name, None), "config", None)
        channels, size = getattr(config, "in_channels", None), getattr(config, "sample_size", None)
        sides = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Iterable) else ()
        if isinstance(channels, int) and len(sides) == 2:
            return Normal((channels, *sides))
    raise InvalidArgument(
        f"the shape of the initial noise of {type(pipeline).__name__} is not told by its unet or transformer: "
        "say latent=gentest.Normal((channels, height, width))"
    )


def check_noise(latent: Space) -> None:
    """Refuses a space in which no part is the noise."""
    if isinstance(latent, Joint) and LATENTS not in latent.parts:
        raise InvalidArgument.expected(f"a part named {LATENTS!r} that is the initial noise", "latent", latent)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a person sets on an object: a name that begins with _ is the object's own business."""
    return {name: value for name, value in values.items() if not name.startswith("_")}


def _words(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings in words that are the same in every process: tensors are weights, other objects tell their type."""
    plain = (str, int, float, list, tuple, dict, type(None))
    told = {name: value for name, value in values.items() if not isinstance(value, Tensor)}
    return sorted(
        (name, repr(value) if isinstance(value, plain) else type(value).__name__) for name, value in told.items()
    )


class _StartingFrom(TorchFunctionMode):
    """While it lasts, the first rows of the noise's shape that are asked of `torch.randn` are those of the noise."""

    def __init__(self, noise: Tensor) -> None:
        super().__init__()
        self.noise = noise
        self.taken = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.randn and self.taken < len(self.noise):
            size = args[0] if args and not isinstance(args[0], int) else args or kwargs.get("size", ())
            if tuple(size[1:]) == tuple(self.noise.shape[1:]) and self.taken + size[0] <= len(self.noise):
                rows = self.noise[self.taken : self.taken + size[0]]
                self.taken += size[0]
                return rows.to(device=kwargs.get("device") or rows.device, dtype=kwargs.get("dtype") or rows.dtype)
        return func(*args, **kwargs)
