"""Recalled outputs: a function that gives back outputs that were kept, instead of computing any.

It knows the latents of the first independent probes of a seed, and no others. So a pair can compare a candidate with a
checkpoint whose weights are gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gentest._support.printable import counted
from gentest.errors import GeneratorError
from gentest.results.comparison import KeptReference
from gentest.spaces.one_of import shown_value


class Recalled:
    """The outputs float32 [N, *shape] of N latents, by those latents.

    `inputs` are the latents and the noise of the N probes by name, each [N, ...], as a generator receives them; a space
    of one part has the name "". `restored(rows)` gives the outputs of some rows, and `span` is the range of 16 samples
    of a generator whose outputs have no range.
    """

    def __init__(
        self,
        record: KeptReference,
        inputs: Mapping[str, Any],
        restored: Callable[[NDArray[np.int64]], NDArray[np.float32]],
        *,
        span: float,
    ) -> None:
        self.record = record
        self.span = span
        self.gentest_identity = f"outputs {record.digest}"
        """What stands for this function in `gentest.generators.identity`."""
        self._restored = restored
        keys = _keys(inputs)
        self._rows = {key: row for row, key in reversed(list(enumerate(keys)))}

    @property
    def n(self) -> int:
        """Number of probes whose outputs are known."""
        return self.record.n

    @property
    def rounding(self) -> float:
        """The largest difference that rounding in the file can make to a value of an output: twice the largest error.

        It covers the error itself, and what float32 adds to it on another machine.
        """
        return 2.0 * self.record.rounding

    def __call__(self, *latents: Tensor | list[Any], **named: Tensor | list[Any]) -> Tensor:
        keys = _keys({**({"": latents[0]} if latents else {}), **named})
        if unknown := sum(key not in self._rows for key in keys):
            raise GeneratorError(
                f"{unknown} of {counted(len(keys), 'latent is', 'latents are')} none of the {self.n} whose outputs "
                f"{self.record.file} keeps"
            )
        return torch.from_numpy(self._restored(np.array([self._rows[key] for key in keys])))


def _keys(inputs: Mapping[str, Any]) -> list[bytes]:
    """A key for each of N rows of the inputs."""
    joined = (b"".join(row) for row in zip(*(_texts(inputs[name]) for name in sorted(inputs)), strict=True))
    return [hashlib.blake2b(one, digest_size=16).digest() for one in joined]


def _texts(values: Any) -> list[bytes]:
    """Each of N rows of one input as bytes: its numbers, or the name of the value that somebody wrote."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    if isinstance(values, list) or values.dtype == object:
        return [repr(shown_value("a value", value)).encode("utf-8", "surrogatepass") for value in values]
    return [row.tobytes() for row in np.ascontiguousarray(values).reshape(len(values), -1)]
