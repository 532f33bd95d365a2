"""The modules that a callable is or holds, in eval mode and on the device of a run."""

from __future__ import annotations

import functools
import inspect
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from gentest._support.printable import error_summary
from gentest.errors import GeneratorError, InvalidArgument, out_of_memory
from gentest.spaces import Part

LEAVES = (str, bytes, int, float, type, ModuleType, torch.device, torch.dtype, Tensor, np.ndarray)
"""Values that refer to no module."""
MAX_STEPS, MAX_OBJECTS = 6, 10_000
"""The search goes this many references deep, through this many objects."""
PLACED = ("_hf_hook", "_diffusers_hook", "hf_device_map", "is_loaded_in_8bit", "is_loaded_in_4bit", "hf_quantizer")
"""Attributes that mark a module whose weights somebody else places: accelerate, a device map, group offloading of
diffusers, or a quantizer, whose modules refuse to move."""


class Holder(ABC):
    """An f that lists what it computes with, because its fields hide it or change by themselves."""

    @property
    @abstractmethod
    def modules(self) -> Sequence[nn.Module]:
        """The modules that it calls."""

    @property
    @abstractmethod
    def content(self) -> Sequence[object]:
        """Everything that decides what it computes, for `gentest.generators.identity`."""

    @property
    def optional_noise(self) -> Mapping[str, Part]:
        """Noise inputs that it takes if they are given, so that it can be compared with a generator that has them."""
        return {}


def modules_of(function: object) -> list[nn.Module]:
    """The modules that a callable is or holds.

    The search follows methods, partials, closures, globals that code names, fields, lists and dictionaries. It does not
    look inside modules, and asks a `Holder` for its modules.
    """
    modules: list[nn.Module] = []
    seen: set[int] = set()
    level: list[object] = [function]
    for _ in range(MAX_STEPS):
        if len(seen) > MAX_OBJECTS:
            break
        fresh = [thing for thing in level if id(thing) not in seen and not isinstance(thing, LEAVES)]
        seen.update(map(id, level))
        level = []
        for thing in {id(thing): thing for thing in fresh}.values():
            if isinstance(thing, Holder):
                modules += thing.modules
            elif isinstance(thing, nn.Module):
                modules.append(thing)
            else:
                level += _references(thing)
    return modules


def to_eval_mode(module: nn.Module) -> nn.Module:
    """The module in eval mode. A program of `torch.export` inside it has no modes and stays as it was exported."""
    try:
        module.eval()
    except NotImplementedError:
        for part in module.modules():
            part.training = False
    return module


def place(module: nn.Module, device: torch.device) -> None:
    """Moves a module to a device, unless somebody else places its parts: offloading, a device map, a quantizer.

    A module that refuses to move is left alone if it is on the device already. Raises `GeneratorError`, with the name
    of the part and a remedy, if a part is on meta, or on another device and cannot be moved.
    """
    parts = dict(module.named_modules())
    if any(getattr(part, mark, None) for part in parts.values() for mark in PLACED):
        return
    tensors = [*module.named_parameters(), *module.named_buffers()]
    kind = type(module).__name__
    if on_meta := next((name for name, tensor in tensors if tensor.is_meta), None):
        raise GeneratorError(
            f"{kind} cannot be called: its {on_meta!r} is on the meta device, which holds no values; "
            "load its weights first, as in load_state_dict(state, assign=True)"
        )
    try:
        module.to(device)
    except Exception as error:  # a user's .to may raise anything
        if out_of_memory(error):
            raise
        if away := next((name for name, tensor in tensors if not _is_on(tensor.device, device)), None):
            there = dict(tensors)[away].device
            raise GeneratorError(
                f"{kind} cannot be moved to {device} ({error_summary(error)}), and its {away!r} is on {there}: "
                f"load it on {device}, or check it with --gentest-device {there}"
            ) from error


def _is_on(there: torch.device, device: torch.device) -> bool:
    """True if a tensor is on a device; a device without an index stands for all of its type."""
    return there.type == device.type and (device.index is None or there.index in (None, device.index))


def _references(thing: object) -> list[object]:
    """The objects that an object refers to directly."""
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


@functools.cache
def device_name(device: torch.device) -> str:
    """A device with the model of its hardware, or with the kind of machine.

    >>> device_name(torch.device("cpu")).startswith("cpu (")
    True
    """
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({platform.machine()})"


def resolve_device(name: str | None) -> torch.device:
    """The torch device of that name, checked to exist; None takes CUDA if available. Raises `InvalidArgument`."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InvalidArgument.expected("a torch device that is here", "device", name, hint=reason) from error
    return device
