"""A function of NumPy arrays as one of tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gentest.errors import WrongOutputs


@dataclass(frozen=True)
class OnArrays:
    """A NumPy function that takes tensors. It may return whatever `gentest.generators.returned` reads."""

    function: Callable[..., Any]

    def __call__(self, *latents: Tensor, **named: Tensor) -> Any:
        arrays = [z.cpu().numpy() for z in latents]
        return self.function(*arrays, **{name: z.cpu().numpy() for name, z in named.items()})


def as_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """An array as a tensor; a copy where torch takes no view (reversed axes, bytes) or warns of one (read-only)."""
    if not (array.flags.carray and array.dtype.isnative):
        array = array.astype(array.dtype.newbyteorder("="), order="C")
    try:
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise WrongOutputs(f"the generator returned an array of {array.dtype}; expected numbers") from error
