"""Models that were exported for one size of batch: called as often as that takes, the last batch filled up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def in_batches_of(
    size: int | None, call: Callable[[dict[str, Tensor]], Tensor], inputs: Mapping[str, Tensor]
) -> Tensor:
    """What `call` gives for inputs [B, ...], in batches of exactly `size`; at once where that is None.

    The last batch is filled with copies of its last row, whose outputs are dropped. What is no batch of `size` outputs
    is returned as it came, for the generator to refuse.
    """
    n = len(next(iter(inputs.values())))
    if size is None or size == n:
        return call(dict(inputs))
    made = []
    for start in range(0, n, size):
        rows = torch.arange(start, start + size).clamp(max=n - 1)
        chunk = call({name: value[rows.to(value.device)] for name, value in inputs.items()})
        if chunk.ndim < 1 or len(chunk) != size:
            return chunk
        made.append(chunk)
    return torch.cat(made)[:n]
