"""Reads Fashion-MNIST from gzipped idx files.

The data set is Zalando's Fashion-MNIST (MIT licence). Debian carries it:
``apt-get install dataset-fashion-mnist`` puts the four files into
``/usr/share/datasets/fashion-mnist``; any folder with the same file names does.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def read_idx(path: Path) -> Tensor:
    """One gzipped idx file of unsigned bytes, as a uint8 tensor of the shape in its header."""
    raw = gzip.decompress(path.read_bytes())
    kind, rank = raw[2], raw[3]
    if raw[:2] != b"\0\0" or kind != 8:
        raise ValueError(f"{path.name} is not an idx file of unsigned bytes")
    shape = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
    array = np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape)
    return torch.from_numpy(array.copy())


def read_split(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images [N, 1, 28, 28] (uint8) and labels [N] (int64) of ``split``, which is "train" or "t10k"."""
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz").unsqueeze(1)  # [N, 1, 28, 28]
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz").long()  # [N]
    return images, labels
