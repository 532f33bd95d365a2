"""TorchScript modules and programs of `torch.export`, from files or in memory.

A TorchScript module is an `nn.Module` like any other. A program of `torch.export` has no train and eval modes: it stays
as it was exported, and takes the batch size that it was exported with unless that was declared dynamic.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from gentest._support.files import tensors_only
from gentest._support.printable import first_line
from gentest.errors import InvalidArgument
from gentest.generators.calling import in_batches_of
from gentest.generators.modules import Holder

POSITIONAL = "positional"
"""The name under which a latent without a name is split into batches."""


def _is_path(value: object) -> bool:
    """True for the path of a file."""
    return isinstance(value, (str, os.PathLike))


def scripted(model: object) -> nn.Module:
    """The TorchScript module in a file, or the one given."""
    if _is_path(model):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # newer torch says that TorchScript is deprecated
                model = torch.jit.load(model, map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            raise InvalidArgument.expected(
                "a file of torch.jit.save", "model", model, hint=first_line(error)
            ) from error
    if not isinstance(model, torch.jit.ScriptModule):
        hint = "; use Generator.from_exported" if isinstance(model, ExportedProgram) else ""
        raise InvalidArgument(
            f"Expected a TorchScript module or the path of one but got a {type(model).__name__}{hint}"
        )
    return model


@dataclass(frozen=True, eq=False)
class Exported(Holder):
    """A program of `torch.export` as a callable on batches of any size."""

    module: nn.Module
    size: int | None
    """The batch size that it takes; None if that is dynamic."""
    program: ExportedProgram

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the program and its present weights, since the module that runs it cannot be copied."""
        torch.export.save(self.program, into := io.BytesIO())
        return _rebuilt, (into.getvalue(), self.module.state_dict())

    @property
    def modules(self) -> Sequence[nn.Module]:
        return (self.module,)

    @property
    def content(self) -> Sequence[object]:
        return (self.module,)

    @property
    def is_positional(self) -> bool:
        """True if the program was exported with positional arguments alone, and so takes no names."""
        spec = self.program.call_spec.in_spec
        if spec is None:
            return False
        by_name = spec.child(1) if hasattr(spec, "child") else spec.children_specs[1]  # before torch 2.9
        return not by_name.num_children

    def __call__(self, *latents: Tensor, **named: Tensor) -> Any:
        if not latents and self.is_positional:
            names = input_names(self.program)
            if set(names) == set(named):
                latents, named = tuple(named[name] for name in names), {}

        def call(inputs: dict[str, Tensor]) -> Any:
            given = [inputs.pop(f"{POSITIONAL} {at}") for at in range(len(latents))]
            return self.module(*given, **inputs)

        return in_batches_of(self.size, call, {**{f"{POSITIONAL} {at}": z for at, z in enumerate(latents)}, **named})


def exported(model: object) -> Exported:
    """The program of `torch.export` in a file, or the one given, as a callable."""
    if _is_path(model):
        try:
            with tensors_only():  # torch itself would unpickle the example inputs
                model = torch.export.load(model)  # type: ignore[arg-type]
        except Exception as error:  # another kind of file may make torch raise anything
            hint = f"{first_line(error)}; torch.export.save writes one, and its name ends in .pt2"
            raise InvalidArgument.expected("a file of torch.export.save", "model", model, hint=hint) from error
    if not isinstance(model, ExportedProgram):
        what = "a program of torch.export.export or the path of one"
        raise InvalidArgument(f"Expected {what} but got a {type(model).__name__}")
    return Exported(model.module(), _batch_size(model), model)


def _rebuilt(program: bytes, weights: dict[str, Any]) -> Exported:
    made = exported(torch.export.load(io.BytesIO(program)))
    made.module.load_state_dict(weights)
    return made


def input_names(program: ExportedProgram) -> list[str]:
    """The names of a program's input tensors, in order."""
    names = set(program.graph_signature.user_inputs)
    return [
        node.name
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in names and isinstance(node.meta.get("val"), Tensor)
    ]


def inputs_of(program: ExportedProgram) -> list[Tensor]:
    """A stand-in for each input tensor of a program: its shape, with symbols for dynamic sizes."""
    names = set(program.graph_signature.user_inputs)
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    return [value for value in values if isinstance(value, Tensor)]


def _batch_size(program: ExportedProgram) -> int | None:
    """The batch size that a program was exported for; None if it takes any."""
    sizes = {size for v in inputs_of(program) if v.ndim and isinstance(size := v.shape[0], int)}
    return sizes.pop() if len(sizes) == 1 else None
