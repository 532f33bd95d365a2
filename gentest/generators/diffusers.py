"""A diffusers pipeline as a function of its initial noise.

With deterministic steps, sampling is a map from the initial noise (DDIM with eta 0, Song et al. 2021,
arXiv:2010.02502; ODE solvers; consistency models). If a scheduler draws more noise (DDPM, eta > 0), every image gets a
`torch.Generator` with the same fixed seed: the same noise for all images, in any batch.

Pipelines that take `latents=` receive them. Others, such as `DDIMPipeline`, `DDPMPipeline` and `DiTPipeline`, start
from their first call of `torch.randn`, which returns the latents instead.
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
from gentest.generators.modules import Holder
from gentest.spaces import Joint, Normal, Space

SEED = 0
"""The seed of the noise that a scheduler draws for itself."""
OUR_ARGUMENTS = ("latents", "generator", "batch_size", "output_type", "return_dict")
PER_PROMPT = re.compile(r"num_\w+_per_prompt")
"""The argument for the number of outputs per prompt: images, videos or waveforms."""
PROMPTS = ("prompt", "prompt_embeds")
LATENTS = "latents"
NOISE_LEVELS = ("beta", "alpha", "final_alpha", "init_noise_sigma")
"""The start of a scheduler's attributes that no call changes, unlike its timesteps."""


class Pipeline(Holder):
    """A diffusers pipeline as a callable on its initial noise: `f(noise)`, or `f(latents=..., class_labels=...)`.

    `steps` is the number of denoising steps; `arguments` are further arguments of the pipeline's call (`eta=`,
    `prompt=`, `guidance_scale=`, `prompt_embeds=`). In a `Joint` space, all parts but `latents` are passed by keyword,
    choices as lists of integers. The progress bar is switched off.
    """

    def __init__(self, pipeline: Any, steps: int | None, arguments: Mapping[str, Any]) -> None:
        modules = getattr(pipeline, "components", None)
        if not callable(pipeline) or isinstance(pipeline, type) or not isinstance(modules, Mapping):
            raise InvalidArgument.expected("a diffusers pipeline", "pipeline", pipeline)
        if steps is not None and not is_whole(steps, 1):
            raise InvalidArgument.expected("a number of steps >= 1", "steps", steps)
        self.pipeline = pipeline
        self.takes = tuple(inspect.signature(type(pipeline).__call__).parameters)
        self.count = next((name for name in self.takes if name == "batch_size" or PER_PROMPT.fullmatch(name)), None)
        """The argument for the number of outputs; None if the pipeline has none."""
        ours = (*OUR_ARGUMENTS, *filter(PER_PROMPT.fullmatch, (*self.takes, *arguments)))
        for name in ours:
            if name in arguments:
                raise InvalidArgument(f"gentest passes the {name!r} argument itself: leave it out")
        steps_are = {} if steps is None else {"num_inference_steps": steps}
        self.arguments = MappingProxyType({**arguments, **steps_are})
        for name in self.arguments:
            if name not in self.takes:
                known = ", ".join(name for name in self.takes if name not in ("self", *ours))
                raise InvalidArgument(f"{type(pipeline).__name__} takes no {name!r} argument; it takes {known}")
        for name in PROMPTS if self.count else ():
            given = self.arguments.get(name)
            if isinstance(given, (list, tuple, Tensor)) and len(given) != 1:
                raise InvalidArgument(
                    f"Expected one prompt for all outputs but got {len(given)} in {name}: "
                    f"make one generator for each, as in {name}={name}[:1]"
                )
        pipeline.set_progress_bar_config(disable=True)

    def __repr__(self) -> str:
        return f"Pipeline({type(self.pipeline).__name__})"

    @property
    def modules(self) -> Sequence[nn.Module]:
        return [part for _, part in sorted(self.pipeline.components.items()) if isinstance(part, nn.Module)]

    @property
    def content(self) -> Sequence[object]:
        """Modules and settings, the code of pipeline and scheduler, and the values that users set on them."""
        components = self.pipeline.components
        parts = {name: part for name, part in components.items() if not isinstance(part, nn.Module)}
        scheduler = parts.pop("scheduler", None)
        config = _public_values(getattr(scheduler, "config", {}))
        noise = {n: v for n, v in getattr(scheduler, "__dict__", {}).items() if n.startswith(NOISE_LEVELS)}
        own = {name: value for name, value in vars(self.pipeline).items() if name not in (*components, "components")}
        classes = type(self.pipeline), type(scheduler)
        return [*self.modules, *classes, config, noise, _public_values(own), parts, dict(self.arguments)]

    def __call__(self, *noise: Tensor, **named: Any) -> Any:
        if LATENTS in named:
            noise = (named.pop(LATENTS),)
        if len(noise) != 1:
            raise GeneratorError(f"a pipeline is a function of one noise, named {LATENTS!r} where it has other inputs")
        n = len(noise[0])
        others = {
            name: value.tolist() if isinstance(value, Tensor) and not value.is_floating_point() else value
            for name, value in named.items()
        }
        count = self._batch_arguments(n) if "prompt" not in others else {self.count: 1} if self.count else {}
        given = {**self.arguments, **count, **others, "output_type": "pt"}
        generators = [torch.Generator("cpu").manual_seed(SEED) for _ in range(n)]
        if LATENTS in self.takes:
            dtype = self._dtype()
            made = self.pipeline(**given, latents=noise[0].to(dtype), generator=generators)
        else:
            with _FirstNoise(noise[0]) as start:
                made = self.pipeline(**given, generator=generators)
            if start.taken != n:
                raise GeneratorError(
                    f"{type(self.pipeline).__name__} drew no noise of shape {tuple(noise[0].shape[1:])} to start from: "
                    "does the latent space fit?"
                )
        first = made if isinstance(made, Tensor) else made[0]
        if isinstance(first, np.ndarray) and first.ndim in (4, 5):  # pipelines that ignore output_type="pt"
            return torch.from_numpy(first).movedim(-1, -3)
        return first

    def _batch_arguments(self, n: int) -> dict[str, Any]:
        """The arguments that make the pipeline return n outputs."""
        if self.count is not None:
            return {self.count: n}
        prompt = self.arguments.get("prompt")
        return {"prompt": [prompt] * n} if isinstance(prompt, str) else {}

    def _dtype(self) -> torch.dtype:
        dtype = getattr(self.pipeline, "dtype", torch.float32)
        return dtype if isinstance(dtype, torch.dtype) else torch.float32


def initial_noise(pipeline: Any) -> Space:
    """The space of a pipeline's initial noise, from its denoiser's config: normal [in_channels, height, width]."""
    for name in ("unet", "transformer"):
        config = getattr(getattr(pipeline, name, None), "config", None)
        channels, size = getattr(config, "in_channels", None), getattr(config, "sample_size", None)
        sides = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Iterable) else ()
        if isinstance(channels, int) and len(sides) == 2:
            return Normal((channels, *sides))
    raise InvalidArgument(
        f"the unet or transformer of {type(pipeline).__name__} does not tell the shape of the initial noise: "
        "say latent=gentest.Normal((channels, height, width))"
    )


def check_noise(latent: Space) -> None:
    """Raises `InvalidArgument` for a space without a part for the noise."""
    if isinstance(latent, Joint) and LATENTS not in latent.parts:
        raise InvalidArgument.expected(f"a part named {LATENTS!r} that is the initial noise", "latent", latent)


def _public_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that users set on an object: those whose names do not begin with _."""
    return {name: value for name, value in values.items() if not name.startswith("_")}


class _FirstNoise(TorchFunctionMode):
    """While it is active, the first rows of the noise's shape that `torch.randn` returns are those of the noise."""

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
