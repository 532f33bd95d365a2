"""Modules that gentest borrows in the middle of a training run, and gives back bit for bit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gentest.errors import InvalidArgument


@contextmanager
def borrowed(*modules: nn.Module) -> Iterator[None]:
    """Inside, modules may be evaluated, moved, converted or hooked. Afterwards they are bit for bit as they were lent.

    That holds for the mode of every submodule, for device, dtype and values of parameters, buffers and other tensors
    in a module's fields, for gradients and `requires_grad`, for hooks and the fields themselves; and for the random
    state of torch (CPU, CUDA, MPS), NumPy's global one and `random`. It also holds if the body raises. Parameters stay
    the same objects, so an optimizer keeps working.

    It takes a copy of all tensors, with gradients, in the memory of the CPU. It does not restore what is outside of
    the modules: global settings of torch, files, counters in other objects, or the inside of lists in lists. Modules
    whose parameters are spread over processes (FSDP, tensor parallelism) cannot be borrowed by one process alone.

    Raises `InvalidArgument` for anything but modules, and for a lazy module that has not seen its first batch.

    >>> import gentest, torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout()).train()
    >>> with gentest.borrowed(net):
    ...     _ = net.eval().half()
    >>> net.training, net[0].weight.dtype
    (True, torch.float32)
    """
    for module in modules:
        if not isinstance(module, nn.Module):
            raise InvalidArgument.expected("a torch.nn.Module", "module", module)
    restores = [_random_state(), *map(_state_of, modules)]
    try:
        yield
    finally:
        for restore in reversed(restores):
            restore()


Restore = Callable[[], None]


def _state_of(module: nn.Module) -> Restore:
    """A function that gives a module the state that it has now."""
    parts = [_Part.of(part) for part in module.modules()]
    named = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    named |= {id(tensor): tensor for part in parts for tensor in part.tensors}
    if any(is_lazy(tensor) for tensor in named.values()):
        raise InvalidArgument(f"{type(module).__name__} has parameters without a shape: call it on a batch first")
    tensors = [_Lent.of(tensor) for tensor in named.values()]

    def restore() -> None:
        for part in parts:
            part.restore()
        with torch.no_grad():
            for tensor in tensors:
                tensor.restore()

    return restore


@dataclass(frozen=True)
class _Part:
    """One module's own fields, and the contents of those that are containers."""

    module: nn.Module
    kind: type
    """Its class, which a parametrization replaces."""
    training: bool
    fields: dict[str, Any]
    contents: tuple[tuple[Any, Any], ...]
    """Dictionaries, lists and sets of the module, each with a copy of what it holds."""

    @classmethod
    def of(cls, module: nn.Module) -> _Part:
        fields = dict(vars(module))
        held = [value for value in fields.values() if isinstance(value, (dict, list, set))]
        return cls(module, type(module), module.training, fields, tuple((value, value.copy()) for value in held))

    @property
    def tensors(self) -> list[Tensor]:
        """Tensors in the module's fields that are neither parameters nor buffers."""
        return [value for value in self.fields.values() if isinstance(value, Tensor)]

    def restore(self) -> None:
        if type(self.module) is not self.kind:
            self.module.__class__ = self.kind
        # in place: a hook's handle knows the dictionary that the hook is in
        for container, content in self.contents:
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)
        fields = vars(self.module)
        for name in fields.keys() - self.fields.keys():
            del fields[name]
        fields.update(self.fields)
        self.module.training = self.training


@dataclass(frozen=True)
class _Lent:
    """A tensor with its storage, a copy of its values, and its gradient."""

    tensor: Tensor
    storage: Tensor
    values: Tensor
    requires_grad: bool
    grad: _Lent | None

    @classmethod
    def of(cls, tensor: Tensor) -> _Lent:
        storage = tensor.data
        grad = None if not tensor.is_leaf or tensor.grad is None else cls.of(tensor.grad)
        return cls(tensor, storage, _copy(storage), tensor.requires_grad, grad)

    def restore(self) -> None:
        leaf = self.tensor.is_leaf
        if leaf:
            self.tensor.grad = None  # which would refuse another dtype or device
        self.tensor.data = self.storage
        if not _same_bits(self.storage, self.values):
            self.storage.copy_(self.values)
        if leaf:
            self.tensor.requires_grad_(self.requires_grad)
        if self.grad is not None:
            self.grad.restore()
            self.tensor.grad = self.grad.tensor


def _copy(tensor: Tensor) -> Tensor:
    """A copy in the memory of the CPU; of a tensor on meta, which has no values, on meta."""
    return tensor.clone() if tensor.is_meta or tensor.device.type == "cpu" else tensor.cpu()


def _same_bits(tensor: Tensor, copy: Tensor) -> bool:
    """True if a tensor on the CPU holds the bits of its copy. On other devices a comparison costs as much as a copy."""
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided or tensor.is_quantized:
        return tensor.is_meta
    one, other = (value.contiguous().reshape(-1).view(torch.uint8) for value in (tensor, copy))
    return torch.equal(one, other)


def _random_state() -> Restore:
    """A function that gives the global generators of random numbers the state that they have now."""
    torch_state, numpy_state, plain_state = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def restore() -> None:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(plain_state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)

    return restore
