"""Models that were exported for one size of batch: called as often as that takes, the last batch filled up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def in_batches_of(size: int | None, call: Callable[[dict[str, Tensor]], Any], inputs: Mapping[str, Tensor]) -> Any:
    """What `call` gives for inputs [B, ...], in batches of exactly `size`; at once where that is None.

    The last batch is filled with copies of its last row, whose outputs are dropped. Of a tuple, list or dictionary each
    tensor of `size` rows is joined. What is no batch of `size` outputs is returned as it came, for the generator to
    refuse.
    """
    n = len(next(iter(inputs.values())))
    if size is None or size == n:
        return call(dict(inputs))
    made = []
    for start in range(0, n, size):
        rows = torch.arange(start, start + size).clamp(max=n - 1)
        chunk = call({name: value[rows.to(value.device)] for name, value in inputs.items()})
        if isinstance(chunk, Tensor) and not _is_batch(chunk, size):
            return chunk
        made.append(chunk)
    return _joined(made, size, n)


def _joined(chunks: Sequence[Any], size: int, n: int) -> Any:
    """Outputs of `n` inputs: of several calls, each tensor joined in the container that it came in."""
    first = chunks[0]
    if isinstance(first, Mapping):
        return {key: _joined([chunk[key] for chunk in chunks], size, n) for key in first}
    if isinstance(first, (tuple, list)):
        return tuple(_joined(items, size, n) for items in zip(*chunks, strict=False))
    if isinstance(first, Tensor) and all(_is_batch(chunk, size) for chunk in chunks):
        return torch.cat(list(chunks))[:n]
    return first


def _is_batch(made: Any, size: int) -> bool:
    return isinstance(made, Tensor) and made.ndim > 0 and len(made) == size
