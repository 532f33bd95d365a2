"""The generator under test: any f with its latent space and output range, made into a function of the latent alone.

A `Generator` is a value: `.truncated(psi)`, `.given(label=3)` and `.under(prior)` give another one over the same f.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import isfinite
from types import CodeType, MappingProxyType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gentest.errors import GeneratorError, InvalidArgument
from gentest.spaces import Joint, Part, Space
from gentest.spaces.space import check_psi

Batch = Mapping[str, Tensor]
"""Latents by part, each [B, *shape]."""

TANH = (-1.0, 1.0)


@dataclass(frozen=True, init=False)
class Generator:
    """Any f: z -> x, its latent space, and the range of its outputs.

    `function` is an `nn.Module` or any callable on a batch of latents. It is called as `f(z)` with float32 [B, *shape],
    or, in a `Joint` space, by keyword: `f(z=..., label=...)`. It returns images [B, C, H, W] or [B, H, W], as a tensor
    or an array, with values in `output_range` ((-1, 1), tanh's, unless said). `noise` names further inputs
    that a stochastic generator draws by itself otherwise: `noise={"noise": gentest.Normal((1, 64, 64))}` calls
    `f(z, noise=...)` with values drawn from the probe's seed, so that it becomes a function.

    A module, and any module that a method, partial, closure or object holds, is put in eval mode and, by the engine,
    on the device.

    >>> import gentest, torch
    >>> g = gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))
    >>> g.outputs({"": torch.zeros(2, 3)}).shape
    torch.Size([2, 3, 1, 1])
    """

    function: Callable[..., Any]
    base: Space
    output_range: tuple[float, float] | None
    noise: Mapping[str, Part]
    psi: float
    choices: Mapping[str, int]

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        latent: Space,
        output_range: tuple[float, float] | None = None,
        noise: Mapping[str, Part] | None = None,
    ) -> None:
        if not callable(function) or isinstance(function, type):
            hint = "make an instance of it first" if isinstance(function, type) else ""
            raise InvalidArgument.expected("an nn.Module or a callable", "function", function, hint=hint)
        if not isinstance(latent, Space):
            raise InvalidArgument.expected("a latent space such as gentest.Normal(128)", "latent", latent)
        noise = {} if noise is None else noise
        if not isinstance(noise, Mapping):
            raise InvalidArgument.expected("spaces by the name of the input they are for", "noise", noise)
        for name, part in noise.items():
            if not isinstance(name, str) or not isinstance(part, Part):
                raise InvalidArgument.expected("a space such as gentest.Normal((1, 64, 64))", f"noise[{name!r}]", part)
            if name in latent.parts:
                raise InvalidArgument(f"{name!r} names both a part of {latent!r} and a noise input")
        self._set(
            function=function,
            base=latent,
            output_range=None if output_range is None else _checked_range(output_range),
            noise=MappingProxyType(dict(noise)),
            psi=1.0,
            choices=MappingProxyType({}),
        )
        for module in self.modules:
            module.eval()

    @classmethod
    def from_numpy(
        cls,
        function: Callable[..., Any],
        *,
        latent: Space,
        output_range: tuple[float, float] | None = None,
        noise: Mapping[str, Part] | None = None,
    ) -> Generator:
        """A generator that takes and returns NumPy arrays."""
        if not callable(function):
            raise InvalidArgument.expected("a callable", "function", function)
        return cls(_OnArrays(function), latent=latent, output_range=output_range, noise=noise)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _but(self, **values: Any) -> Generator:
        other = object.__new__(Generator)
        other._set(**{**vars(self), **values})
        return other

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        return f"Generator({name}, latent={self.latent!r})"

    @property
    def latent(self) -> Space:
        """The space latents are drawn from: the prior, with the truncation and the choices that were made."""
        space = self.base
        if self.choices:
            if not isinstance(space, Joint):
                raise InvalidArgument(f"{self!r} has no named parts: .given() needs gentest.Joint(z=..., label=...)")
            space = space.given(self.choices)
        return space if self.psi == 1.0 else space.truncated(self.psi)

    def truncated(self, psi: float) -> Generator:
        """The same f, every latent drawn toward the space's mean: mean + psi (z - mean), psi in (0, 1].

        (Marchesi 2017, arXiv:1706.00082; Karras et al. 2019, arXiv:1812.04948.)
        """
        return self._but(psi=self.psi * check_psi(psi))

    def given(self, **choices: int) -> Generator:
        """The same f with choices made: `.given(label=3)` fixes the part `label` of a `Joint`."""
        other = self._but(choices=MappingProxyType({**self.choices, **choices}))
        if not isinstance(self.base, Joint):
            raise InvalidArgument(f"{self.base!r} has no named parts: .given() needs gentest.Joint(z=..., label=...)")
        self.base.given(other.choices)
        return other

    def under(self, prior: Space) -> Generator:
        """The same f under another prior of the same shape; a truncation and choices stay."""
        if not isinstance(prior, Space):
            raise InvalidArgument.expected("a latent space such as gentest.Uniform(128)", "prior", prior)
        ours = {name: (part.shape, part.n_choices) for name, part in self.base.parts.items()}
        theirs = {name: (part.shape, part.n_choices) for name, part in prior.parts.items()}
        if ours != theirs:
            raise InvalidArgument(f"Expected a prior of the shape of {self.base!r} but got prior={prior!r}")
        if isinstance(prior, Joint):  # in the order of the parts here, by which probes draw for them
            prior = Joint(**{name: prior.parts[name] for name in self.base.parts})
        return self._but(base=prior)

    @functools.cached_property
    def modules(self) -> tuple[nn.Module, ...]:
        """The modules that f is, or holds."""
        return tuple(thing for thing in _held(self.function) if isinstance(thing, nn.Module))

    def to(self, device: torch.device) -> None:
        """Put f's modules in eval mode and on the device."""
        for module in self.modules:
            module.eval().to(device)

    def fingerprint(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the weights: names, dtypes, shapes and values.

        The same however the weights were stored or loaded. Weights are the state of modules that f is or holds, and
        tensors and arrays that it holds; where there are no modules, its code counts too. Computed anew at each call,
        since weights can be changed in place.
        """
        digest = hashlib.sha256()
        for thing in _held(self.function):
            state = thing.state_dict() if isinstance(thing, nn.Module) else {"": thing}
            for name, weight in sorted(state.items()):
                tensor = torch.from_numpy(weight.copy()) if isinstance(weight, np.ndarray) else weight
                if isinstance(tensor, Tensor):
                    values = tensor.detach().cpu().contiguous()
                    digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
                    digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
        if not self.modules:
            function = self.function.function if isinstance(self.function, _OnArrays) else self.function
            digest.update(getattr(function, "__qualname__", type(function).__qualname__).encode())
            code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
            digest.update(repr(_constant(code)).encode())
        return digest.hexdigest()[:16]

    def outputs(self, latents: Batch, noise: Batch | None = None, *, chance: int = 0) -> Tensor:
        """What f returns for a batch, as float32 [B, C, H, W] with `output_range` mapped to [0, 1], not clamped.

        Random numbers that f draws by itself, from torch, NumPy or `random`, come from a state that `chance` seeds, the
        same at every call, and that is restored after it. f is given copies of the latents, which it may change.
        Raises `GeneratorError`, with the cause, where f raises or returns something else than B images.
        """
        sizes = {name or "z": tuple(z.shape) for name, z in latents.items()}
        n = next(iter(latents.values())).shape[0]
        latents = {name: z.clone() for name, z in latents.items()}
        noise = {name: z.clone() for name, z in (noise or {}).items()}
        try:
            with _pinned_rng(next(iter(latents.values())).device, chance):
                if list(latents) == [""]:
                    raw = self.function(latents[""], **noise)
                else:
                    raw = self.function(**latents, **noise)
        except (torch.cuda.OutOfMemoryError, GeneratorError):
            raise
        except Exception as error:
            raise GeneratorError(
                f"the generator raised {': '.join([type(error).__name__, *str(error).splitlines()[:1]])} "
                f"(latents {sizes} from {self.latent!r}: does the space fit?)"
            ) from error
        return self._as_images(raw, n, sizes)

    def _as_images(self, raw: object, n: int, sizes: Mapping[str, tuple[int, ...]]) -> Tensor:
        if isinstance(raw, np.ndarray):
            raw = _as_tensor(raw)
        if not isinstance(raw, Tensor):
            raise GeneratorError(f"the generator returned a {type(raw).__name__}; expected a tensor or array of images")
        if raw.ndim == 3:
            raw = raw[:, None]
        if raw.ndim != 4 or raw.shape[0] != n:
            raise GeneratorError(
                f"the generator returned shape {tuple(raw.shape)} for latents {sizes}; "
                f"expected [{n}, C, H, W] or [{n}, H, W]"
            )
        if raw.shape[1] > 4 and raw.shape[3] in (1, 3):
            raise GeneratorError(
                f"the generator returned shape {tuple(raw.shape)}, channels last; expected [{n}, C, H, W]: "
                "return x.permute(0, 3, 1, 2)"
            )
        if raw.dtype == torch.uint8 and self.output_range is None:
            raise GeneratorError("the generator returned uint8 values; say Generator(..., output_range=(0, 255))")
        if raw.is_complex():
            raise GeneratorError("the generator returned complex values; expected real images")
        low, high = self.output_range or TANH
        return (raw.to(torch.float32) - low).div_(high - low)


@dataclass(frozen=True)
class _OnArrays:
    """A NumPy function that takes and returns tensors."""

    function: Callable[..., Any]

    def __call__(self, *latents: Tensor, **named: Tensor) -> Tensor:
        arrays = [z.cpu().numpy() for z in latents]
        result = self.function(*arrays, **{name: z.cpu().numpy() for name, z in named.items()})
        return _as_tensor(np.asarray(result))


def _as_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """An array as a tensor; a copy where torch takes no view (reversed axes, bytes) or warns of one (read-only)."""
    if not (array.flags.carray and array.dtype.isnative):
        array = array.astype(array.dtype.newbyteorder("="), order="C")
    try:
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise GeneratorError(f"the generator returned an array of {array.dtype}; expected numbers") from error


@contextmanager
def _pinned_rng(device: torch.device, seed: int) -> Iterator[None]:
    """The same random state of torch, NumPy and `random` at every entry, restored on leaving."""
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    states = [(generator, generator.get_state()) for generator in generators]
    legacy, plain = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002 - the global one is meant
    try:
        for generator in generators:
            generator.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        yield
    finally:
        np.random.set_state(legacy)  # noqa: NPY002
        random.setstate(plain)
        for generator, state in states:
            generator.set_state(state)


def _checked_range(output_range: object) -> tuple[float, float]:
    try:
        low, high = (float(v) for v in output_range)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        low = high = 0.0
    if not (isfinite(low) and isfinite(high) and low < high):
        raise InvalidArgument.expected("a range (low, high) with low < high", "output_range", output_range)
    return low, high


LEAVES = (str, bytes, int, float, type, ModuleType, torch.device, torch.dtype)
REACH, MOST = 6, 10_000
"""How many references away from a callable, and among how many objects, its weights are looked for."""


def _held(function: object) -> list[nn.Module | Tensor | np.ndarray[Any, Any]]:
    """The modules, tensors and arrays that a callable is or holds, through methods, partials, closures and globals that
    it names, fields, lists and dictionaries; what belongs to a module counts as the module."""
    found: list[nn.Module | Tensor | np.ndarray[Any, Any]] = []
    seen: set[int] = set()
    level: list[object] = [function]
    for _ in range(REACH):
        if len(seen) > MOST:
            break
        fresh = [thing for thing in level if id(thing) not in seen and not isinstance(thing, LEAVES)]
        seen.update(map(id, level))
        level = []
        for thing in {id(thing): thing for thing in fresh}.values():
            if isinstance(thing, (nn.Module, Tensor, np.ndarray)):
                found.append(thing)
            else:
                level += _references(thing)
    return found


def _references(thing: object) -> list[object]:
    """What an object refers to, one step away."""
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if inspect.ismethod(thing):
        return [thing.__self__, thing.__func__]
    if inspect.isfunction(thing):
        with suppress(ValueError):  # a name that is not bound yet
            used = inspect.getclosurevars(thing)
            return [*used.nonlocals.values(), *used.globals.values()]
        return []
    if isinstance(thing, (list, tuple)):
        return list(thing)
    if isinstance(thing, dict):
        return list(thing.values())
    return list(vars(thing).values()) if hasattr(thing, "__dict__") else []


def _constant(value: object) -> object:
    """What a constant or a code object says, without addresses and orders that change from one process to the next."""
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, [_constant(c) for c in value.co_consts]
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    return value
