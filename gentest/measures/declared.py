"""Attributes of a user's own: a name for a callable, the values that it sees, or a model that is loaded late.

`attribute` is the one way to declare them. A model is loaded when a check measures the first output, on the device of
the run, in eval mode and in float32. Its weights are part of what a baseline and the cache know of the attribute.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from gentest.attributes.attribute import Named, Setup, describe
from gentest.errors import AttributeFailed, InvalidArgument
from gentest.generators.identity import identify
from gentest.measures.models import Prepare, loaded

MOST_LOADED = 8
"""Models that are kept for further declarations."""
Source: TypeAlias = "Callable[..., Any] | str | os.PathLike[str]"


@dataclass(frozen=True, repr=False)
class OwnAttribute(Named):
    """An attribute of a user's own, which reports call by its name."""

    function: Callable[..., Any]
    name: str

    def __call__(self, outputs: Tensor) -> Tensor:
        result: Tensor = self.function(outputs)
        return result

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, repr=False)
class SeeingAttribute(OwnAttribute):
    """An attribute that sees the condition: a `gentest.attributes.conditional.Conditional`."""

    sees: tuple[str, ...]
    fingerprint: str = ""
    """The weights behind it; empty if it has none."""

    def given(self, values: Mapping[str, Any], options: Mapping[str, Sequence[Any]]) -> GivenAttribute:
        return GivenAttribute(self, values)

    def __call__(self, outputs: Tensor) -> Tensor:
        raise AttributeFailed(f"{self.name} sees {', '.join(self.sees)}, and gentest gives it outputs alone here")

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, repr=False, eq=False)
class GivenAttribute(Named):
    """An attribute with the values of some outputs."""

    declared: SeeingAttribute
    values: Mapping[str, Any]

    def __call__(self, outputs: Tensor) -> Tensor:
        result: Tensor = self.declared.function(outputs, **self.values)
        return result

    def __repr__(self) -> str:
        return repr(self.declared)


@dataclass(frozen=True, repr=False)
class LoadedAttribute(OwnAttribute):
    """A model that is loaded. `function` holds it, so that its weights are a part of the attribute's identity."""

    fingerprint: str
    """16 hexadecimal digits: its weights, and how its result is read."""

    @property
    def address(self) -> str:
        """A name on disk for what it measures."""
        return f"{self.name} {self.fingerprint}" if self.fingerprint else ""

    def __repr__(self) -> str:
        return self.name


_loaded: dict[Hashable, LoadedAttribute | SeeingAttribute] = {}
"""Models that functions loaded, the oldest first: declarations of one function share its model."""


@dataclass(frozen=True, repr=False)
class ModelAttribute(Named):
    """A model as a measure, which is loaded when it is bound to a device."""

    source: Source
    name: str
    sees: tuple[str, ...]
    input: Prepare | tuple[int, int] | None
    label: str | int | None

    def bind(self, setup: Setup) -> LoadedAttribute | SeeingAttribute:
        """The attribute with its model on the session's device. Raises `InvalidArgument` if it cannot be loaded."""
        key = self._key(setup.device)
        if key is not None and key in _loaded:
            return _loaded[key]
        model = loaded(self.source, setup.device, self.name, input=self.input, label=self.label)
        function = partial(model.run, self.name)
        fingerprint = (
            model.fingerprint
            and hashlib.sha256(
                repr((model.fingerprint, self.label, None if callable(self.input) else self.input)).encode()
            ).hexdigest()[:16]
        )
        bound: LoadedAttribute | SeeingAttribute = LoadedAttribute(function, self.name, fingerprint)
        if self.sees:
            bound = SeeingAttribute(function, self.name, self.sees, fingerprint)
        if key is not None:
            for oldest in list(_loaded)[: len(_loaded) + 1 - MOST_LOADED]:
                del _loaded[oldest]
            _loaded[key] = bound
        return bound

    def _key(self, device: torch.device) -> Hashable | None:
        """What the result of a load function depends on; None if nobody can tell, and for a module or a file."""
        if isinstance(self.source, (str, os.PathLike, nn.Module)):
            return None
        found = identify((self.source, self.input))
        return None if found.unknown else (found.digest, self.name, self.sees, self.label, device)

    def __call__(self, outputs: Tensor) -> Tensor:
        return self.bind(Setup(outputs.device))(outputs)

    def __repr__(self) -> str:
        return self.name


def attribute(
    source: Source,
    *,
    name: str | None = None,
    sees: Sequence[str] = (),
    input: Callable[[Tensor], Any] | int | tuple[int, int] | None = None,
    label: str | int | None = None,
) -> OwnAttribute | ModelAttribute:
    """An attribute of your own: float outputs [B, ...] to scores [B], or a feature that gives rows [B, D].

    `source` is one of

    - a callable on outputs;
    - a function that loads a model: it has no parameters but optional ones, and perhaps one that is called `device`. It
      returns a torch module, another callable on outputs, or one of the paths below;
    - a torch module;
    - the path of an ONNX file (`pip install 'pytest-gentest[onnx]'`);
    - a folder with an image classifier or a detector of Hugging Face (`pip install 'pytest-gentest[transformers]'`), as
      `save_pretrained` writes it, with its weights as safetensors.

    A model is loaded at the first check that needs it, on the run's device, in eval mode and in float32. A module of
    yours is copied if it would have to change for that. The weights count for the cache and for a baseline: a gate
    refuses a measure that has changed. Scores are in the model's own units.

    `name` is how reports call it, by default the name of the function, file or folder. `sees` names parts of the
    generator's space: gentest calls `source(outputs, prompt=...)` with one value of each part for each output, a tensor
    [B, *shape] for numbers, else a list of B values.

    `input` makes the model's input from outputs: a function, or the height and width to which images are resized. By
    default a model gets the outputs as they are, images in [0, 1], and a model of Hugging Face what its
    `preprocessor_config.json` says.

    `label` says which score of several: the number of a column of [B, K], or for a model of Hugging Face a label by its
    name. The score of a classifier's label is its log-odds against all other labels. That of a detector's label is the
    probability of the best box, from 0 to 1.

    Raises `InvalidArgument` for arguments of other types. A check reports a model that cannot be loaded, a label that
    it does not have, and a part that the space does not have.

    >>> import gentest, torch
    >>> def redness(images, prompt):
    ...     wanted = torch.tensor(["red" in text for text in prompt])
    ...     return torch.where(wanted, 1.0, -1.0) * (images[:, 0] - images[:, 2]).mean((1, 2))
    >>> as_asked = gentest.attribute(redness, name="redness as asked", sees=["prompt"])
    >>> space = gentest.Joint(z=gentest.Normal(3), prompt=gentest.Prompts("a red coat", "a blue coat"))
    >>> def paint(z, prompt):
    ...     color = torch.tensor([[1.0, 0.0, 0.0] if "red" in text else [0.0, 0.0, 1.0] for text in prompt])
    ...     return color[:, :, None, None].expand(-1, 3, 2, 2)
    >>> g = gentest.Generator(paint, latent=space, output_range=(0, 1))
    >>> @gentest.property(probes=gentest.points())
    ... def is_as_asked(evidence):
    ...     return evidence.scores(as_asked)[:, 0] - 0.5
    >>> is_as_asked().check(g).verdict.value
    'no_counterexample'

    A model that is loaded late, and the second of its two scores:

    >>> def load():
    ...     return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2))
    >>> smile = gentest.attribute(load, name="smile", input=4, label=1)
    >>> smile(torch.rand(5, 3, 8, 8)).shape
    torch.Size([5])
    """
    is_path = isinstance(source, (str, os.PathLike))
    if not is_path and (not callable(source) or isinstance(source, type)):
        what = "a callable on outputs [B, ...], a function that loads a model, a torch module, or a path"
        raise InvalidArgument.expected(what, "source", source)
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise InvalidArgument.expected("a text", "name", name)
    names = () if isinstance(sees, str) else tuple(sees)
    if isinstance(sees, str) or not all(isinstance(one, str) for one in names):
        raise InvalidArgument.expected('names of parts of the space, such as ["prompt"]', "sees", sees)
    if label is not None and (isinstance(label, bool) or not isinstance(label, (str, int)) or label == ""):
        raise InvalidArgument.expected("the name of a label, or the number of a column", "label", label)
    prepare = _checked_input(input)
    if name is None:
        name = Path(source).name if isinstance(source, (str, os.PathLike)) else describe(source)
        name = name if label is None else f"{name}: {label}"
    if is_path or isinstance(source, nn.Module) or _loads(source):
        return ModelAttribute(source, name, names, prepare, label)
    if prepare is not None or label is not None:
        return ModelAttribute(partial(_itself, source), name, names, prepare, label)
    assert callable(source)
    return SeeingAttribute(source, name, names) if names else OwnAttribute(source, name)


def _checked_input(given: object) -> Any:
    """The `input` of an attribute: a function, a height and a width, or None."""
    if given is None or (callable(given) and not isinstance(given, type)):
        return given
    size = (given, given) if isinstance(given, int) else given
    if not isinstance(size, tuple) or len(size) != 2 or any(type(n) is not int or n < 1 for n in size):
        raise InvalidArgument.expected("a function of outputs, or a size such as 224 or (224, 224)", "input", given)
    return size


def _loads(source: object) -> bool:
    """Whether a function loads a model: it can be called without outputs, perhaps with a device."""
    try:
        parameters = inspect.signature(source).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    optional = (p.kind is p.VAR_KEYWORD or p.default is not p.empty or p.name == "device" for p in parameters)
    return all(p.kind is not p.VAR_POSITIONAL for p in parameters) and all(optional)


def _itself(source: Any) -> Any:
    """A callable as what a load function returns."""
    return source
