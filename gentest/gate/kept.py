"""The file of outputs that a baseline keeps: images or other outputs of the first probes of its seed.

Values are whole numbers of 8 bits if that loses nothing (for models that return PIL images or uint8), else of 16 bits
over the outputs' range; outputs without a range have that of the kept ones. The file is a compressed `.npz`. It is
data, read within the sizes that the baseline states, and only if its digest is the baseline's.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gentest._support.files import open_without_waiting, write_whole
from gentest._support.printable import in_one_line
from gentest.errors import InvalidArgument
from gentest.results.comparison import MOST_KEPT_BYTES, KeptFile, KeptOutputs

EXACT = 1e-6
"""The largest error of values of 8 bits, as a share of the range: that of float32 arithmetic around them."""
HEADER = 1 << 16
"""The most bytes of an array's header."""
CHUNK = 1 << 20
"""Bytes that are hashed at a time."""
BLESS_AGAIN = "bless the checkpoint again with --keep-outputs"


@dataclass(frozen=True)
class Quantized:
    """Outputs as whole numbers: uint8 or uint16 [N, *shape], from `low` to `high`."""

    values: NDArray[Any]
    low: float
    high: float

    @classmethod
    def of(cls, outputs: NDArray[np.float32], *, bounded: bool) -> Quantized:
        """Finite outputs [N, *shape] in 8 bits if that loses nothing, else in 16.

        `bounded` says that they lie in [0, 1]; others are written over their own range.

        >>> one = Quantized.of(np.array([[0.0, 51 / 255, 1.0]], dtype=np.float32), bounded=True)
        >>> one.bits, one.values.tolist(), one.largest_error(np.array([[0.0, 51 / 255, 1.0]], dtype=np.float32))
        (8, [[0, 51, 255]], 0.0)
        """
        if outputs.size * 2 > MOST_KEPT_BYTES:
            gib = outputs.size * 2 / 2**30
            raise InvalidArgument(f"{len(outputs)} outputs take {gib:.3g} GiB, at most 2 can be kept: keep fewer")
        low, high = (0.0, 1.0) if bounded else (float(outputs.min()), float(outputs.max()))
        width = high - low or 1.0
        eight = cls(_whole(outputs, low, width, np.dtype(np.uint8)), low, high)
        if eight.largest_error(outputs) <= EXACT * width:
            return eight
        return cls(_whole(outputs, low, width, np.dtype(np.uint16)), low, high)

    @property
    def bits(self) -> int:
        """Bits of a value."""
        return 8 * self.values.dtype.itemsize

    def restored(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The outputs of some rows, float32 [len(rows), *shape]."""
        top = np.iinfo(self.values.dtype).max
        if (self.low, self.high) == (0.0, 1.0):  # a pixel k of 255 is k / 255 bit for bit
            pixels: NDArray[np.float32] = np.divide(self.values[rows], np.float32(top), dtype=np.float32)
            return pixels
        shares = np.divide(self.values[rows], top, dtype=np.float64)
        outputs: NDArray[np.float32] = (self.low + (self.high - self.low) * shares).astype(np.float32)
        return outputs

    def largest_error(self, outputs: NDArray[np.float32]) -> float:
        """The largest difference between the outputs and what comes back."""
        errors = (np.abs(self.restored(np.array([row])) - outputs[row]).max() for row in range(len(outputs)))
        return float(max(errors))


def _whole(outputs: NDArray[np.float32], low: float, width: float, kind: np.dtype[Any]) -> NDArray[Any]:
    top = np.iinfo(kind).max
    whole = np.empty(outputs.shape, dtype=kind)
    for row, output in enumerate(outputs):  # float64 takes much memory
        whole[row] = np.clip(np.rint((output.astype(np.float64) - low) / width * top), 0, top)
    return whole


def outputs_path(baseline: Path) -> Path:
    """The file of outputs beside a baseline.

    >>> outputs_path(Path("models/blessed.json")).name
    'blessed.outputs.npz'
    """
    return baseline.with_name(f"{baseline.stem}.outputs.npz")


def packed(outputs: Sequence[Quantized]) -> bytes:
    """The bytes of a file with the outputs of some generators."""
    arrays: dict[str, Any] = {_name(i): quantized.values for i, quantized in enumerate(outputs)}
    np.savez_compressed(buffer := io.BytesIO(), **arrays)
    return buffer.getvalue()


def save(path: Path, outputs: Sequence[tuple[KeptOutputs, Quantized]]) -> KeptFile:
    """Write the file, whole or not at all. Raises `OSError`."""
    data = packed([quantized for _, quantized in outputs])
    write_whole(path, data)
    return KeptFile(path.name, hashlib.sha256(data).hexdigest(), tuple(kept for kept, _ in outputs))


def load(baseline: Path, kept: KeptFile, index: int) -> Quantized:
    """The outputs of one generator. Raises `InvalidArgument`, in one line, unless the file is the baseline's."""
    path, wanted = baseline.with_name(kept.file), kept.outputs[index]
    try:
        with open(path, "rb", opener=open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidArgument(f"{path}: not a regular file; {BLESS_AGAIN}")
            if _sha256(file) != kept.digest:
                raise InvalidArgument(
                    f"{path}: not the outputs that {baseline.name} was blessed with, by its digest; {BLESS_AGAIN}"
                )
            with zipfile.ZipFile(file) as archive:
                values = _array(archive, _name(index), wanted)
    except OSError as error:
        raise InvalidArgument(
            f"{path}: {error.strerror}, though {baseline.name} keeps outputs there; commit both files, or {BLESS_AGAIN}"
        ) from error
    except (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(f"{path}: not as gentest writes outputs ({in_one_line(str(error))})") from error
    return Quantized(values, wanted.low, wanted.high)


def _array(archive: zipfile.ZipFile, name: str, wanted: KeptOutputs) -> NDArray[Any]:
    """One array of an archive, read only if it has the size that the baseline states."""
    size, dtype = archive.getinfo(f"{name}.npy").file_size, np.dtype(f"uint{wanted.bits}")
    if not wanted.n_bytes <= size <= wanted.n_bytes + HEADER:
        raise ValueError(f"{name} has {size:,} bytes instead of {wanted.n_bytes:,}")
    with archive.open(f"{name}.npy") as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name} is no array of version 1.0")
        form = np.lib.format.read_array_header_1_0(file)
        if form != ((wanted.n, *wanted.shape), False, dtype):
            raise ValueError(f"{name} is {form[2]} {list(form[0])}")
        data = file.read(wanted.n_bytes)
    return np.frombuffer(data, dtype=dtype).reshape(wanted.n, *wanted.shape)


def _name(index: int) -> str:
    return f"outputs_{index}"


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def described(kept: KeptFile, n_bytes: int) -> str:
    """The number of probes, the file, its size, and the bits and the largest error of each generator's outputs."""
    forms: dict[str, list[str]] = {}
    for one in kept.outputs:
        error = "bit for bit" if not one.rounding else f"largest error {one.rounding:.2g} of {_width(one)}"
        forms.setdefault(f"{one.bits} bit, {error}", []).append(one.tests[0])
    n = kept.outputs[0].n
    size = f"{n_bytes / 2**20:.3g} MiB" if n_bytes >= 2**20 else f"{n_bytes / 2**10:.3g} KiB"
    texts = [form if len(forms) == 1 else f"{form} ({', '.join(tests)})" for form, tests in forms.items()]
    return f"outputs of {n:,} {'probe' if n == 1 else 'probes'} in {kept.file}, {size}: {'; '.join(texts)}"


def _width(one: KeptOutputs) -> str:
    """The range that an error is compared with."""
    return "the output range" if one.bounded else f"the range {one.low:.4g} to {one.high:.4g}"
