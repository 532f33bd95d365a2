"""The generator under test: any f with its latent space and output range, and a pair of two of them.

A `Generator` is a value: `.truncated(psi)`, `.given(label=3)` and `.under(prior)` return another one over the same f.
"""

from __future__ import annotations

import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gentest._support.arguments import as_number, is_whole
from gentest.errors import GeneratorError, InvalidArgument, out_of_memory
from gentest.generators.calling import (
    Inputs,
    OnArrays,
    call_in_own_dtype,
    check_numbers,
    generator_error,
    pinned_rng,
    size_of,
)
from gentest.generators.derived import After, Before, Reconstruction, Reencoding, same
from gentest.generators.identity import identify
from gentest.generators.modules import Holder, modules_of, place, resolve_device, to_eval_mode
from gentest.outputs.kind import Arrays, Images, Kind, kind_of
from gentest.spaces import Empirical, Joint, Part, Space
from gentest.spaces.space import Fixed, check_psi

if TYPE_CHECKING:
    from torch.export import ExportedProgram


@dataclass(frozen=True, init=False)
class Generator:
    """Any f: z -> x, with its latent space and the range of its outputs.

    `function` is an `nn.Module` or any callable on a batch of latents. gentest calls `f(z)` with float32 [B, *shape]
    or, in a `Joint` space, `f(z=..., label=...)` by keyword. f returns images [B, C, H, W] or [B, H, W] with values in
    `output_range`, (-1, 1) by default, which is tanh's. [B, H, W, C] is accepted if C is 1 to 4 and H and W are larger.
    The images may be the only candidate in a tuple, dictionary or model output, or a list of B images (PIL images run
    from 0 to 255). For anything else the error contains the code to write.

    `noise` turns a stochastic f into a function. It names inputs that f would draw by itself:
    `noise={"noise": gentest.Normal((1, 64, 64))}` calls `f(z, noise=...)` with values drawn from the probe's seed.

    `outputs` is the kind of outputs, `gentest.Images()` by default. With `gentest.Arrays()`, or `images=False`, outputs
    are anything [B, ...]. They keep their units unless an `output_range` is given, and attributes and features are
    callables on them.

    gentest shares and caches evidence between generators of equal identity (`gentest.generators.identity`). `identity`
    is a text that stands for parts of f that gentest cannot read, such as a session of a runtime. As long as the text
    stays the same, those parts count as unchanged.

    `rounding` is how much a value of an output may differ between alone and in a batch, as a share of the range, where
    that is more than float32's rounding: 8-bit weights, fused attention. A larger difference is an error, and a margin
    that a change of twice as much could flip is decided by the probe alone. It is no tolerance of `reproducible`.

    Modules that f is or holds (in a method, partial, closure or object) go to eval mode and, in a run, to the device;
    modules that somebody else places stay (offloading, a device map, a quantizer). If all parameters are float16 or
    bfloat16 and f does not take float32, it receives latents of that dtype. Labels are int64 [B]; wrap an f that wants
    them one-hot:

    >>> import gentest, torch
    >>> one_hot = torch.nn.functional.one_hot
    >>> f = lambda z, hot: (z @ torch.ones(3, 2) * hot).tanh()[:, None, None]
    >>> space = gentest.Joint(z=gentest.Normal(3), label=gentest.Categorical(2))
    >>> g = gentest.Generator(lambda z, label: f(z, one_hot(label, 2)), latent=space)
    >>> g.outputs({"z": torch.zeros(4, 3), "label": torch.tensor([0, 1, 1, 0])}).shape
    torch.Size([4, 1, 1, 2])
    """

    function: Callable[..., Any]
    base: Space
    output_range: tuple[float, float] | None
    noise: Mapping[str, Part]
    kind: Kind
    identity: str
    rounding: float
    psi: float
    fixed: Mapping[str, Part]
    device: torch.device | None
    batch_size: int | None

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        latent: Space,
        output_range: tuple[float, float] | None = None,
        noise: Mapping[str, Part] | None = None,
        images: bool | None = None,
        outputs: Kind | None = None,
        identity: str = "",
        rounding: float = 0.0,
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
        kind = kind_of(outputs, images)
        if not isinstance(identity, str):
            raise InvalidArgument.expected("a text such as 'tensorrt engine 3'", "identity", identity)
        if not 0.0 <= as_number(rounding) < 1.0:
            raise InvalidArgument.expected("a share of the range from 0 to 1", "rounding", rounding)
        self._set(
            function=function,
            base=latent,
            output_range=None if output_range is None else _checked_range(output_range),
            noise=MappingProxyType(dict(noise)),
            kind=kind,
            identity=identity,
            rounding=float(rounding),
            psi=1.0,
            fixed=MappingProxyType({}),
            device=None,
            batch_size=None,
        )
        for module in self.modules:
            to_eval_mode(module)

    @classmethod
    def from_numpy(
        cls,
        function: Callable[..., Any],
        *,
        latent: Space,
        output_range: tuple[float, float] | None = None,
        noise: Mapping[str, Part] | None = None,
        images: bool | None = None,
        outputs: Kind | None = None,
        identity: str = "",
    ) -> Generator:
        """A generator that takes and returns NumPy arrays."""
        if not callable(function):
            raise InvalidArgument.expected("a callable", "function", function)
        return cls(
            OnArrays(function),
            latent=latent,
            output_range=output_range,
            noise=noise,
            images=images,
            outputs=outputs,
            identity=identity,
        )

    @classmethod
    def from_torchscript(
        cls,
        model: str | os.PathLike[str] | torch.jit.ScriptModule,
        *,
        latent: Space,
        output_range: tuple[float, float] | None = None,
        noise: Mapping[str, Part] | None = None,
        images: bool | None = None,
        outputs: Kind | None = None,
    ) -> Generator:
        """A generator from a TorchScript module, or from a file of `torch.jit.save`."""
        from gentest.generators.torchscript import scripted

        made = cls(
            scripted(model), latent=latent, output_range=output_range, noise=noise, images=images, outputs=outputs
        )
        check_numbers(made.base, "a TorchScript module")
        return made

    @classmethod
    def from_exported(
        cls,
        model: str | os.PathLike[str] | ExportedProgram,
        *,
        latent: Space,
        output_range: tuple[float, float] | None = None,
        noise: Mapping[str, Part] | None = None,
        images: bool | None = None,
        outputs: Kind | None = None,
    ) -> Generator:
        """A generator from a program of `torch.export.export`, or from a .pt2 file of `torch.export.save`.

        The program stays in the mode of its export: call `.eval()` before exporting. A program of one batch size is
        called as often as needed. gentest runs no pickle in the file, but a program is code: load files that you trust.
        """
        from gentest.generators.torchscript import exported

        made = cls(
            exported(model), latent=latent, output_range=output_range, noise=noise, images=images, outputs=outputs
        )
        check_numbers(made.base, "a program of torch.export")
        return made

    @classmethod
    def from_onnx(
        cls,
        model: str | os.PathLike[str] | bytes,
        *,
        latent: Space,
        output: str | None = None,
        providers: Sequence[str | tuple[str, Mapping[str, Any]]] | None = None,
        sess_options: Any = None,
        output_range: tuple[float, float] | None = None,
        noise: Mapping[str, Part] | None = None,
        images: bool | None = None,
        outputs: Kind | None = None,
    ) -> Generator:
        """A generator from an ONNX file or its bytes, run by onnxruntime (`pip install 'pytest-gentest[onnx]'`).

        The graph's inputs are the parts of the latent space and the noise, by name; a space of one part is the
        remaining input. `output` names the output to judge, the first by default. `providers` are onnxruntime's
        backends, names or pairs (name, options); `sess_options` is an `onnxruntime.SessionOptions`. Wrap
        `gentest.generators.onnx.OnnxModel` to convert inputs.
        """
        from gentest.generators.onnx import OnnxModel

        function = OnnxModel(model, output=output, providers=providers, sess_options=sess_options)
        made = cls(function, latent=latent, output_range=output_range, noise=noise, images=images, outputs=outputs)
        function.check(made.base, made.noise)
        return made

    @classmethod
    def from_diffusers(
        cls,
        pipeline: Any,
        *,
        latent: Space | None = None,
        steps: int | None = None,
        output_range: tuple[float, float] | None = (0.0, 1.0),
        images: bool | None = None,
        outputs: Kind | None = None,
        identity: str = "",
        rounding: float = 0.0,
        **call_arguments: Any,
    ) -> Generator:
        """A diffusers pipeline as a function of its initial noise (`pip install 'pytest-gentest[diffusers]'`).

        `latent` is the space of that noise, by default normal with the shape in the denoiser's config. In a `Joint` the
        noise is the part `latents`, and the other parts are passed by name (`prompt`, `class_labels`). One call makes a
        whole batch, with a prompt for each sample; an argument that a pipeline takes once a call (`guidance_scale`)
        splits it into a call for each distinct value. `steps` is the number of denoising steps; `call_arguments` are
        further arguments of the pipeline's call.

        Noise that a scheduler draws later belongs to the probe's seed, as the noise input `scheduler_noise`. The safety
        checker does not replace outputs: `gentest.flagged(pipeline)` asks it.
        """
        from gentest.generators.diffusers import SCHEDULER_NOISE, SEED_SPACE, Pipeline, check_noise, initial_noise

        function = Pipeline(pipeline, steps, call_arguments)
        space = initial_noise(pipeline) if latent is None else latent
        made = cls(
            function,
            latent=space,
            output_range=output_range,
            images=images,
            outputs=outputs,
            identity=identity,
            rounding=rounding,
        )
        check_noise(made.base)
        function.check_parts(made.base)
        if function.later_noise(made.base):
            made = made._with(noise=MappingProxyType({SCHEDULER_NOISE: SEED_SPACE}))
        return made

    @classmethod
    def from_autoencoder(
        cls,
        decoder: Any,
        *,
        data: Any,
        encoder: Any = None,
        batch_size: int = 64,
        output_range: tuple[float, float] | None = None,
        images: bool | None = None,
        outputs: Kind | None = None,
    ) -> Generator:
        """An autoencoder's decoder, on an `Empirical` bank of `data` as its encoder encodes them.

        `data` are images [M, C, H, W] as the encoder takes them, or batches of them from a data loader. If the encoder
        returns a distribution (`.latent_dist`, (mu, logvar), or one of torch), the bank holds its mean. Without
        `encoder`, `decoder` is the whole autoencoder, with methods `encode` and `decode`. A tokenizer's encoder returns
        whole numbers: the space is then `gentest.Codes.from_bank` of them.
        """
        from gentest.generators.autoencoder import autoencoder

        made = autoencoder(decoder, encoder, data, batch_size)
        return cls(made.decode, latent=made.bank, output_range=output_range, images=images, outputs=outputs)

    @classmethod
    def round_trip(
        cls,
        encode: Callable[..., Any],
        decode: Callable[..., Any],
        *,
        data: Any = None,
        latent: Space | None = None,
        output_range: tuple[float, float] | None = None,
        images: bool | None = None,
        outputs: Kind | None = None,
    ) -> Pair:
        """The pair of what comes back from an encoder and a decoder, and what went in.

        With `data`, images [M, C, H, W] in `output_range` as the encoder takes them, the candidate is
        decode(encode(x)) and the reference x. With `latent`, a space, the candidate is encode(decode(z)) and the
        reference z: `gentest.agrees` then names the values of z that do not come back. An encoder may return a
        distribution, whose mean counts.

        >>> import gentest
        >>> pair = gentest.Generator.round_trip(lambda x: x / 2, lambda z: 2 * z, latent=gentest.Normal(4))
        >>> gentest.agrees(within=1e-6).check(pair).verdict.value
        'no_counterexample'
        """
        for name, function in (("encode", encode), ("decode", decode)):
            if not callable(function) or isinstance(function, type):
                raise InvalidArgument.expected("an nn.Module or a callable", name, function)
        if (data is None) == (latent is None):
            raise InvalidArgument("Expected either data=, images to encode, or latent=, a space to decode from")
        if latent is not None:
            made = cls(Reencoding(encode, decode), latent=latent, outputs=Arrays())
        else:
            made = cls(
                Reconstruction(encode, decode),
                latent=Empirical(data),
                output_range=output_range,
                images=images,
                outputs=outputs,
            )
        return made.against(same)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _with(self, **values: Any) -> Generator:
        other = object.__new__(Generator)
        other._set(**{**vars(self), **values})
        return other

    def __getstate__(self) -> dict[str, Any]:
        """The state without the cached modules, which belong to this f and not to a copy of it."""
        return {name: value for name, value in vars(self).items() if name != "modules"}

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        return f"Generator({name}, latent={self.latent!r})"

    @property
    def latent(self) -> Space:
        """The space of latents: the prior, with truncation and fixed parts applied."""
        space = Joint(**{**self.base.parts, **self.fixed}) if self.fixed else self.base
        return space if self.psi == 1.0 else space.truncated(self.psi)

    @property
    def images(self) -> bool:
        """Whether outputs are images."""
        return isinstance(self.kind, Images)

    @property
    def limits(self) -> tuple[float, float] | None:
        """The interval in which outputs lie once they are read; None without a range."""
        return self.kind.limits(self.output_range)

    def truncated(self, psi: float) -> Generator:
        """The same f with every latent pulled toward the space's mean: mean + psi (z - mean), psi in (0, 1].

        (Marchesi 2017, arXiv:1706.00082; Karras et al. 2019, arXiv:1812.04948.)
        """
        return self._with(psi=self.psi * check_psi(psi))

    def given(self, **values: Any) -> Generator:
        """The same f with some parts of a `Joint` fixed: a label, a value that somebody wrote, or a latent [*shape].

        A fixed part stays as it is given, along paths and under truncation. Raises `InvalidArgument` for an unknown
        part, and for a value that its prior does not have: it names near ones.

        >>> import gentest
        >>> space = gentest.Joint(z=gentest.Normal(2), prompt=gentest.OneOf("a red coat", "a blue hat"))
        >>> g = gentest.Generator(lambda z, prompt: z[:, :, None], latent=space)
        >>> g.given(prompt="a blue hat").latent
        Joint(z=Normal(2), prompt=Fixed(value='a blue hat'))
        >>> g.given(z=[0.0, 1.0]).given(prompt="a blue coat")
        Traceback (most recent call last):
        gentest.errors.InvalidArgument: Expected one of the 2 values in OneOf, since the prior has no other but got \
prompt='a blue coat' (type=str); near ones are 'a blue hat', 'a red coat'
        """
        if not isinstance(self.base, Joint):
            raise InvalidArgument(f"{self.base!r} has no named parts: .given() needs gentest.Joint(z=..., label=...)")
        parts = self.base.given(values).parts
        return self._with(fixed=MappingProxyType({**self.fixed, **{name: parts[name] for name in values}}))

    def with_part(self, name: str, part: Part) -> Generator:
        """The same f on another space, with `part` in place of the part called `name`."""
        return self._with(base=Joint(**{**self.base.parts, name: part}) if name else part)

    def under(self, prior: Space) -> Generator:
        """The same f under another prior of the same shape; truncation and fixed parts stay.

        A condition of the other prior has the same values, perhaps with other weights.
        """
        if not isinstance(prior, Space):
            raise InvalidArgument.expected("a latent space such as gentest.Uniform(128)", "prior", prior)
        ours = {name: part.takes for name, part in self.base.parts.items()}
        theirs = {name: part.takes for name, part in prior.parts.items()}
        if ours != theirs:
            raise InvalidArgument(f"Expected a prior of the shape of {self.base!r} but got prior={prior!r}")
        if isinstance(prior, Joint):  # probes draw for parts in the order of this space
            prior = Joint(**{name: prior.parts[name] for name in self.base.parts})
        return self._with(base=prior)

    def before(self, transform: Callable[..., Any]) -> Generator:
        """The generator with its latents transformed first: z to f(transform(z)), a tensor [B, *shape] of that shape.

        In a `Joint` space the transform takes and returns a dict of all parts by name: tensors [B, *shape], labels
        int64 [B], and lists of B values for prompts and other choices. The prior stays the same. A pair compares two
        values of a part in this way, since both of its sides see the same latents:

        >>> import gentest, torch
        >>> space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(3))
        >>> g = gentest.Generator(lambda z, label: z + 0 * label[:, None], latent=space, images=False)
        >>> pair = g.against(g.before(lambda latents: {**latents, "label": (latents["label"] + 1) % 3}))
        >>> gentest.differs(gentest.pixels(), at_least=0.01).check(pair).verdict.value  # it ignores its label
        'violated'

        >>> import gentest, torch
        >>> g = gentest.Generator(lambda z: z[:, None], latent=gentest.Normal(4), images=False)
        >>> flipped = g.before(lambda z: z.flip(1)).against(g.then(lambda x: x.flip(2)))
        >>> gentest.agrees(within=0.0).check(flipped).verdict.value
        'no_counterexample'
        """
        if not callable(transform):
            raise InvalidArgument.expected("a callable on latents", "transform", transform)
        parts = tuple(self.base.parts) if isinstance(self.base, Joint) else ()
        return self._derived(Before(self.function, transform, parts), self.output_range)

    def then(self, transform: Callable[[Tensor], Tensor]) -> Generator:
        """The generator with its outputs transformed: images [B, C, H, W] in [0, 1] to images in [0, 1].

        Outputs of another kind are [B, ...], within their limits if an output range is declared, else in their units.
        """
        if not callable(transform):
            raise InvalidArgument.expected("a callable on outputs", "transform", transform)
        after = After(self.function, transform, self.output_range, self.kind)
        return self._derived(after, self.limits, self.kind.as_read)

    def _derived(
        self, function: Callable[..., Any], output_range: tuple[float, float] | None, kind: Kind | None = None
    ) -> Generator:
        made = Generator(
            function,
            latent=self.base,
            output_range=output_range,
            noise=self.noise,
            outputs=kind or self.kind,
            identity=self.identity,
            rounding=self.rounding,
        )
        return made._with(psi=self.psi, fixed=self.fixed, device=self.device, batch_size=self.batch_size)

    def on(self, device: str | torch.device | None = None, *, batch_size: int | None = None) -> Generator:
        """The generator on a device and with a batch size of its own, whatever the run's are.

        In a pair, each side may have its own: a candidate in half precision on a GPU beside a reference on the CPU.
        Raises `InvalidArgument` for a device that is not here.
        """
        if batch_size is not None and not is_whole(batch_size, 1):
            raise InvalidArgument.expected("a whole number >= 1", "batch_size", batch_size)
        where = None if device is None else resolve_device(str(device))
        return self._with(device=where, batch_size=batch_size)

    def against(self, reference: Generator | Callable[..., Any] | ReferenceSource) -> Pair:
        """This generator as a candidate beside a reference: a generator, or a function of the same inputs.

        Both sides get the same latents, choices and noise. `gentest.blessed(path)` stands for outputs that a baseline
        keeps. Raises `InvalidArgument`, with the name of the part that differs, unless both have the same latent space
        and the same noise, and both make the same kind of outputs.
        """
        if isinstance(reference, ReferenceSource):
            function, output_range = reference.beside(self)
            reference = self._derived(function, output_range, self.kind.as_read)
            reference = reference._with(identity="", device=None, batch_size=None)
        elif not isinstance(reference, Generator):
            if not callable(reference) or isinstance(reference, type):
                what = "a gentest.Generator, or a callable on the same inputs as the candidate"
                raise InvalidArgument.expected(what, "reference", reference)
            reference = self._derived(reference, self.output_range)._with(identity="")
        candidate, reference = self._taking_noise_of(reference), reference._taking_noise_of(self)
        for what, own, other in (
            ("latent spaces", candidate.latent.parts, reference.latent.parts),
            ("noise inputs", candidate.noise, reference.noise),
        ):
            if difference := _difference(own, other):
                advice = _to_set_apart(own, other)
                raise InvalidArgument(f"the {what} of candidate and reference differ: {difference}{advice}")
        if self.kind.as_read != reference.kind.as_read:
            raise InvalidArgument(
                f"the candidate makes {self.kind!r} and the reference {reference.kind!r}: give both the same outputs="
            )
        return Pair(candidate, reference)

    def _taking_noise_of(self, other: Generator) -> Generator:
        """The generator with the noise inputs of another one that it takes if they are given."""
        optional: Mapping[str, Part] = self.function.optional_noise if isinstance(self.function, Holder) else {}
        more = {name: part for name, part in other.noise.items() if name in optional and name not in self.noise}
        return self._with(noise=MappingProxyType({**self.noise, **more})) if more else self

    @functools.cached_property
    def modules(self) -> tuple[nn.Module, ...]:
        """The modules that f is or holds."""
        return tuple(modules_of(self.function))

    def to(self, device: torch.device) -> None:
        """Puts f's modules in eval mode and on the device.

        Modules that accelerate places stay where they are. Raises `GeneratorError`, with the name of the part, if a
        module cannot be moved and is not on the device already.
        """
        for module in self.modules:
            place(to_eval_mode(module), self.device or device)

    def fingerprint(self) -> str:
        """16 hexadecimal digits of the identity of f: its weights, its code, and the values that it refers to.

        The fingerprint does not depend on how weights are stored or loaded, nor on the process; it does depend on the
        version of Python. It is computed anew at each call, since all of that can change in place. A generator with a
        part that cannot be read, and without an `identity`, has another fingerprint at each call.

        >>> import gentest, torch
        >>> net = torch.nn.Linear(8, 8)
        >>> one, other = (gentest.Generator(net, latent=gentest.Normal(8), images=False) for _ in range(2))
        >>> one.fingerprint() == other.fingerprint()
        True
        """
        return identify(self.function, name=self.identity).digest[:16]

    def outputs(self, latents: Inputs, noise: Inputs | None = None, *, chance: int = 0) -> Tensor:
        """The outputs of f for a batch: float32 [B, C, H, W] with `output_range` mapped to [0, 1], not clamped.

        `latents` are what f receives, by part: tensors [B, *shape], and lists of B values that somebody wrote. Outputs
        of another kind are [B, ...], mapped to `limits` if they have a range. `chance` seeds the random numbers that
        f draws by itself from torch, NumPy or `random`; the global states are restored after the call. f receives
        copies of the latents, which it may change. Raises `GeneratorError`, with the cause, if f raises or returns
        anything but B outputs.
        """
        sizes = {name or "z": size_of(z) for name, z in latents.items()}
        n, device = next(iter(sizes.values()))[0], self._device_of(latents)
        inputs = [latents[""]] if list(latents) == [""] else []
        named = {**({} if inputs else latents), **(noise or {})}

        def call(dtype: torch.dtype | None) -> Any:
            own = [_copy(z, dtype) for z in inputs]
            own_named = {name: _copy(z, dtype) for name, z in named.items()}
            with pinned_rng(device, chance):
                return self.function(*own, **own_named)

        try:
            raw = call_in_own_dtype(call, self.modules)
        except GeneratorError:
            raise
        except Exception as error:
            if out_of_memory(error):  # the caller may retry with a smaller batch
                raise
            raise generator_error(error, self.function, self.latent, sizes, inputs, named, self.modules) from error
        return self.kind.read(raw, n, sizes, self.output_range)

    def _device_of(self, latents: Inputs) -> torch.device:
        """The device of some latents; of f's first weight if they are all lists."""
        on = (z.device for z in latents.values() if isinstance(z, Tensor))
        weights = (weight.device for module in self.modules for weight in module.parameters())
        return next(on, None) or next(weights, torch.device("cpu"))


@dataclass(frozen=True)
class Pair:
    """A candidate and its reference, evaluated on the same probes: `candidate.against(reference)` makes one.

    A decorated test returns a pair instead of a generator, and `gentest.agrees` and `gentest.differs` check it.
    `.truncated(psi)`, `.given(label=3)` and `.under(prior)` apply to both sides.

    >>> import gentest
    >>> double = gentest.Generator(lambda z: 2 * z, latent=gentest.Normal(3), images=False)
    >>> pair = double.against(lambda z: z + z)
    >>> gentest.agrees(within=1e-6).check(pair).verdict.value
    'no_counterexample'
    """

    candidate: Generator
    reference: Generator

    def __repr__(self) -> str:
        return f"{self.candidate!r}.against({self.reference!r})"

    @property
    def latent(self) -> Space:
        """The space of latents, which both sides share."""
        return self.candidate.latent

    @property
    def images(self) -> bool:
        """Whether both sides make images."""
        return self.candidate.images

    @property
    def kind(self) -> Kind:
        """The kind of outputs of both sides."""
        return self.candidate.kind

    def truncated(self, psi: float) -> Pair:
        """Both sides with every latent pulled toward the space's mean."""
        return Pair(self.candidate.truncated(psi), self.reference.truncated(psi))

    def given(self, **values: Any) -> Pair:
        """Both sides with some parts fixed."""
        return Pair(self.candidate.given(**values), self.reference.given(**values))

    def under(self, prior: Space) -> Pair:
        """Both sides under another prior of the same shape."""
        return Pair(self.candidate.under(prior), self.reference.under(prior))

    def to(self, device: torch.device) -> None:
        """Puts the modules of both sides in eval mode and on the device."""
        self.candidate.to(device)
        self.reference.to(device)


class ReferenceSource(ABC):
    """Something that is not a generator itself, and knows a reference for one."""

    @abstractmethod
    def beside(self, candidate: Generator) -> tuple[Callable[..., Any], tuple[float, float] | None]:
        """The reference's function on the candidate's inputs, and its output range. Raises `InvalidArgument`."""


def _difference(own: Mapping[str, Part], other: Mapping[str, Part]) -> str:
    """The first part that differs between candidate and reference, in words; empty if none does."""
    for name in dict.fromkeys([*own, *other]):
        label = name or "z"
        if name not in own or name not in other:
            missing = "candidate" if name not in own else "reference"
            return f"the {missing} has no part {label!r}"
        if repr(own[name]) != repr(other[name]):
            return f"{label!r} is {own[name]!r} in the candidate and {other[name]!r} in the reference"
    return ""


def _to_set_apart(own: Mapping[str, Part], other: Mapping[str, Part]) -> str:
    """The code that gives the reference another value of a part than the candidate; empty if that is not the matter."""
    for name, part in own.items():
        theirs = other.get(name)
        if repr(part) == repr(theirs):
            continue
        if not isinstance(part, Fixed) or not isinstance(theirs, Fixed) or part.takes != theirs.takes:
            return ""
        values = theirs.values_of(theirs.latent[None]).reshape(-1)  # as f receives them
        value = repr(values.tolist()[0]) if len(values) == 1 and values.dtype.kind in "ifO" else "VALUE"
        like = f'latents["{name}"]'
        value = f"[{value}] * len({like})" if values.dtype.kind == "O" else f"torch.full_like({like}, {value})"
        return (
            ". Both sides of a pair see the same latents: give the reference the candidate's, and let a transform "
            f'change them, reference.before(lambda latents: {{**latents, "{name}": {value}}})'
        )
    return ""


def check_generator(value: object) -> Generator:
    """The value. Raises `InvalidArgument` unless it is a generator."""
    if not isinstance(value, Generator):
        raise InvalidArgument.expected("a gentest.Generator", "generator", value)
    return value


def check_generator_or_pair(value: object) -> Generator | Pair:
    """The value. Raises `InvalidArgument` unless it is a generator or a pair."""
    if not isinstance(value, (Generator, Pair)):
        what = "a gentest.Generator, or a pair such as candidate.against(reference)"
        raise InvalidArgument.expected(what, "generator", value)
    return value


def _copy(z: Tensor | list[Any], dtype: torch.dtype | None) -> Tensor | list[Any]:
    """A copy of an input that f may change, in `dtype` if one is given; integers and lists of values stay."""
    if isinstance(z, list):
        return list(z)
    return z.clone() if dtype is None or not z.is_floating_point() else z.to(dtype, copy=True)


def _checked_range(output_range: object) -> tuple[float, float]:
    try:
        low, high = (float(v) for v in output_range)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        low = high = 0.0
    if not (isfinite(low) and isfinite(high) and low < high):
        raise InvalidArgument.expected("a range (low, high) with low < high", "output_range", output_range)
    return low, high
