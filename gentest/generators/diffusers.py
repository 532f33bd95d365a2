"""A diffusers pipeline as a function of its initial noise.

With deterministic steps, sampling is a map from the initial noise (DDIM with eta 0, Song et al. 2021,
arXiv:2010.02502; ODE solvers). If a scheduler draws more noise (DDPM, eta > 0, LCM), that noise belongs to the probe's
seed: each sample has a `torch.Generator` of its own, so it is the same alone and in any batch.

Pipelines that take `latents=` receive them. Others, such as `DDIMPipeline`, `DDPMPipeline` and `DiTPipeline`, start
from their first call of `torch.randn`, which returns the latents instead.

A batch is one call, with a list of prompts. Arguments that a pipeline takes once a call (`guidance_scale`,
`num_inference_steps`) split it: one call for each distinct value.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gentest._support.arguments import is_whole
from gentest.errors import GeneratorError, InvalidArgument
from gentest.generators.modules import Holder
from gentest.spaces import Joint, Normal, Part, Space, Uniform

SEED = 0
"""The seed of what a deterministic pipeline may draw."""
SCHEDULER_NOISE = "scheduler_noise"
"""The noise input from which the seed of each sample's later noise is made."""
SEED_SPACE = Uniform(2)
"""Two float32, whose bits are a seed."""
OUR_ARGUMENTS = ("latents", "generator", "batch_size", "output_type", "return_dict")
PER_PROMPT = re.compile(r"num_\w+_per_prompt")
"""The argument for the number of outputs per prompt: images, videos or waveforms."""
PROMPTS = ("prompt", "prompt_embeds")
TEXTS = re.compile(r"(negative_)?prompt(_\d)?")
"""Arguments that are a text for each sample, or one text for all."""
EMBEDDED = re.compile(r"\w*prompt_(embeds|attention_mask)(_\d)?")
"""Arguments that are rows of a tensor, one for each text."""
LATENTS = "latents"
SAFETY_CHECKER, RUN_CHECKER = "safety_checker", "run_safety_checker"
"""The part of a pipeline that flags outputs, and the method that asks it and replaces them by black ones."""
NOISE_LEVELS = ("beta", "alpha", "final_alpha", "init_noise_sigma")
"""The start of a scheduler's attributes that no call changes, unlike its timesteps."""


class Pipeline(Holder):
    """A diffusers pipeline as a callable on its initial noise: `f(noise)`, or `f(latents=..., prompt=...)`.

    `steps` is the number of denoising steps; `arguments` are further arguments of the pipeline's call (`eta=`,
    `prompt=`, `guidance_scale=`, `prompt_embeds=`). In a `Joint` space, all parts but `latents` are passed by keyword:
    as a list with a value for each sample if the pipeline takes lists there, else one value a call. The progress bar is
    switched off, and the safety checker is not asked, since it would replace outputs: `gentest.flagged` asks it.
    """

    def __init__(self, pipeline: Any, steps: int | None, arguments: Mapping[str, Any]) -> None:
        modules = getattr(pipeline, "components", None)
        if not callable(pipeline) or isinstance(pipeline, type) or not isinstance(modules, Mapping):
            raise InvalidArgument.expected("a diffusers pipeline", "pipeline", pipeline)
        if steps is not None and not is_whole(steps, 1):
            raise InvalidArgument.expected("a number of steps >= 1", "steps", steps)
        self.pipeline = pipeline
        self.parameters = MappingProxyType(dict(inspect.signature(type(pipeline).__call__).parameters))
        self.takes = tuple(self.parameters)
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
                    "say latent=gentest.Joint(latents=..., prompt=gentest.Prompts(...)) for a prompt per sample, "
                    f"or make one generator for each, as in {name}={name}[:1]"
                )
        pipeline.set_progress_bar_config(disable=True)

    def __repr__(self) -> str:
        return f"Pipeline({type(self.pipeline).__name__})"

    @property
    def modules(self) -> Sequence[nn.Module]:
        return [part for _, part in sorted(self._components.items()) if isinstance(part, nn.Module)]

    @property
    def content(self) -> Sequence[object]:
        """Modules and settings, the code of pipeline and scheduler, and the values that users set on them."""
        components = self.pipeline.components
        parts = {name: part for name, part in self._components.items() if not isinstance(part, nn.Module)}
        scheduler = parts.pop("scheduler", None)
        config = _public_values(getattr(scheduler, "config", {}))
        noise = {n: v for n, v in getattr(scheduler, "__dict__", {}).items() if n.startswith(NOISE_LEVELS)}
        own = {name: value for name, value in vars(self.pipeline).items() if name not in (*components, "components")}
        classes = type(self.pipeline), type(scheduler)
        return [*self.modules, *classes, config, noise, _public_values(own), parts, dict(self.arguments)]

    @property
    def optional_noise(self) -> Mapping[str, Part]:
        return {SCHEDULER_NOISE: SEED_SPACE}

    @property
    def _components(self) -> dict[str, Any]:
        """The parts that decide an output: all but a safety checker."""
        unused = SAFETY_CHECKER if hasattr(self.pipeline, RUN_CHECKER) else ""
        return {name: part for name, part in self.pipeline.components.items() if name != unused}

    def later_noise(self, latent: Space) -> bool:
        """True if the scheduler may draw noise after the initial noise, under the arguments and the space."""
        scheduler = getattr(self.pipeline, "scheduler", None)
        step = getattr(type(scheduler), "step", None)
        takes = inspect.signature(step).parameters if step is not None else {}
        if "generator" not in takes:
            return False
        config = getattr(scheduler, "config", None)
        if "eta" in takes:
            return "eta" in latent.parts or float(self.arguments.get("eta") or 0.0) > 0.0
        if "s_churn" in takes:  # pipelines leave it at 0
            return bool(getattr(config, "stochastic_sampling", False))
        algorithm = getattr(config, "algorithm_type", None)
        return algorithm is None or str(algorithm).startswith("sde")

    def check_parts(self, latent: Space) -> None:
        """Raises `InvalidArgument` for a part of the space that the pipeline's call does not take."""
        if not isinstance(latent, Joint):
            return
        for name in latent.parts:
            if name in self.arguments:
                raise InvalidArgument(f"{name!r} is a part of {latent!r} and an argument: give it once")
            if name != LATENTS and name not in self.takes:
                known = ", ".join(n for n in self.takes if n not in ("self", *OUR_ARGUMENTS))
                raise InvalidArgument(f"{type(self.pipeline).__name__} takes no {name!r}; it takes {known}")

    def __call__(self, *noise: Tensor, **named: Any) -> Any:
        if LATENTS in named:
            noise = (named.pop(LATENTS),)
        if len(noise) != 1:
            raise GeneratorError(f"a pipeline is a function of one noise, named {LATENTS!r} where it has other inputs")
        n, drawn = len(noise[0]), named.pop(SCHEDULER_NOISE, None)
        seeds = [SEED] * n if drawn is None else _seeds(drawn)
        each = {name: _values(value) for name, value in named.items() if self._is_listed(name, value)}
        once = {name: _values(value) for name, value in named.items() if name not in each}
        apart = drawn is not None and not self._lists_generators
        groups: dict[tuple[str, ...], list[int]] = {}
        for row in range(n):
            key = [repr(values[row]) for values in once.values()] + [str(v[row] is None) for v in each.values()]
            groups.setdefault((*key, str(seeds[row]) if apart else ""), []).append(row)
        made = []
        for rows in groups.values():
            given = {name: values[rows[0]] for name, values in once.items()}
            given |= {name: _rows(values, rows) for name, values in each.items()}
            outputs = self._call(noise[0][rows], given, [seeds[row] for row in rows])
            if len(groups) == 1:
                return outputs
            if not isinstance(outputs, (Tensor, list)) or len(outputs) != len(rows):
                raise GeneratorError(f"{type(self.pipeline).__name__} gave no {len(rows)} outputs for as many latents")
            made += list(zip(rows, outputs, strict=True))
        in_order = [output for _, output in sorted(made, key=lambda one: one[0])]
        if not isinstance(in_order[0], Tensor):
            return in_order
        if len(sizes := sorted({tuple(output.shape) for output in in_order})) > 1:
            raise GeneratorError(f"outputs have several sizes, {sizes}, for other values of {', '.join(once)}")
        return torch.stack(in_order)

    def _call(self, noise: Tensor, given: Mapping[str, Any], seeds: Sequence[int]) -> Any:
        """The outputs of one call of the pipeline."""
        n = len(noise)
        arguments = {**self.arguments, **self._batch_arguments(n, given), **given}
        if "output_type" in self.takes:
            arguments["output_type"] = "pt"
        if "generator" in self.takes:
            generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
            arguments["generator"] = generators if self._lists_generators else generators[0]
        with self._unchecked():
            if LATENTS in self.takes:
                made = self.pipeline(**arguments, latents=noise.to(self._dtype()))
            else:
                with _FirstNoise(noise) as start:
                    made = self.pipeline(**arguments)
                if start.taken != n:
                    raise GeneratorError(
                        f"{type(self.pipeline).__name__} drew no noise of shape {tuple(noise.shape[1:])} to start "
                        "from: does the latent space fit?"
                    )
        first = made if isinstance(made, Tensor) else made[0]
        if isinstance(first, np.ndarray) and first.ndim in (4, 5):  # pipelines that ignore output_type="pt"
            return torch.from_numpy(first).movedim(-1, -3)
        return first

    def _batch_arguments(self, n: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that make the pipeline return n outputs: a count of its one prompt, or n of each text."""
        of_texts = any(
            (TEXTS.fullmatch(name) or EMBEDDED.fullmatch(name)) and isinstance(value, (list, Tensor))
            for name, value in given.items()
        )
        if not of_texts and self.count is not None:
            return {self.count: n}
        repeated: dict[str, Any] = {}
        for name, value in self.arguments.items():
            if TEXTS.fullmatch(name) and isinstance(value, str) and self._is_listed(name, [value]):
                repeated[name] = [value] * n
            elif TEXTS.fullmatch(name) and isinstance(value, (list, tuple)) and len(value) == 1:
                repeated[name] = list(value) * n
            elif EMBEDDED.fullmatch(name) and isinstance(value, Tensor) and len(value) == 1:
                repeated[name] = value.expand(n, *value.shape[1:])
        if self.count is not None:
            repeated[self.count] = n if self.count == "batch_size" else 1
        return repeated

    def _is_listed(self, name: str, value: Tensor | list[Any]) -> bool:
        """True if the pipeline takes a list or a tensor with a value for each sample as this argument.

        Its annotation says so. Without one, texts go as lists where the name is that of a prompt, and labels too.
        """
        if isinstance(value, Tensor):
            if value.ndim > 1:
                return True
        elif any(isinstance(one, (list, tuple)) for one in value):  # a value is itself a list: one a call
            return False
        if self._is_annotated(name):
            return bool(re.search(r"list|tensor|sequence", str(self.parameters[name].annotation), re.IGNORECASE))
        if isinstance(value, Tensor):
            default = self.parameters[name].default if name in self.parameters else None
            return not value.is_floating_point() and not isinstance(default, (int, float))
        return TEXTS.fullmatch(name) is not None

    def _is_annotated(self, name: str) -> bool:
        parameter = self.parameters.get(name)
        return parameter is not None and parameter.annotation not in (inspect.Parameter.empty, Any, "Any")

    @property
    def _lists_generators(self) -> bool:
        """True if the pipeline takes a random generator for each sample."""
        return not self._is_annotated("generator") or self._is_listed("generator", [])

    @contextmanager
    def _unchecked(self) -> Iterator[None]:
        """Inside, the pipeline has no safety checker, which would replace outputs by black ones."""
        own = vars(self.pipeline)
        if own.get(SAFETY_CHECKER) is None or not hasattr(self.pipeline, RUN_CHECKER):
            yield
            return
        checker, own[SAFETY_CHECKER] = own[SAFETY_CHECKER], None
        try:
            yield
        finally:
            own[SAFETY_CHECKER] = checker

    def _dtype(self) -> torch.dtype:
        dtype = getattr(self.pipeline, "dtype", torch.float32)
        return dtype if isinstance(dtype, torch.dtype) and dtype.is_floating_point else torch.float32


def _seeds(noise: Tensor) -> list[int]:
    """A seed for each row of two float32: their bits."""
    bits = noise.detach().cpu().float().contiguous().view(torch.int32).long() & 0xFFFFFFFF  # [B, 2]
    return [int(high) << 31 ^ int(low) for high, low in bits.tolist()]


def _values(value: Tensor | list[Any]) -> Tensor | list[Any]:
    """An input as the pipeline takes it: rows of a tensor, or a list of plain numbers or of what somebody wrote."""
    if not isinstance(value, Tensor) or value.ndim > 1:
        return value
    if not value.is_floating_point():
        return value.tolist()
    return [float(str(number)) for number in value.detach().cpu().float().numpy()]  # 0.1, not 0.10000000149


def _rows(values: Tensor | list[Any], rows: list[int]) -> Any:
    """Some rows of an input; None if they are all None."""
    if isinstance(values, Tensor):
        return values[rows]
    return None if values[rows[0]] is None else [values[row] for row in rows]


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
