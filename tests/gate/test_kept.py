"""Kept outputs: pixels come back bit for bit, other values within half a step, and no other file is taken for one."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gentest.errors import InvalidArgument
from gentest.gate import kept
from gentest.gate.baseline import Baseline
from gentest.gate.kept import Quantized
from gentest.results.comparison import KeptFile, KeptOutputs
from gentest.results.records import pack, read_record
from tests.helpers import handmade

N, SHAPE = 5, (3, 4, 4)


def pixels(seed: int = 0) -> NDArray[np.float32]:
    """Outputs [N, 3, 4, 4] as a pipeline makes them: multiples of 1/255."""
    whole = np.random.default_rng(seed).integers(0, 256, (N, *SHAPE))
    return (whole.astype(np.float32) / np.float32(255)).astype(np.float32)


def form(quantized: Quantized, outputs: NDArray[np.float32], **changed: Any) -> KeptOutputs:
    """The record of some outputs."""
    values = {
        "tests": ("test_a.py::test_a",),
        "generator": "gan",
        "space": "Normal(8)",
        "noise": {},
        "seed": 3,
        "latents": pack([0.5] * len(outputs)),
        "images": True,
        "bounded": True,
        "shape": outputs.shape[1:],
        "bits": quantized.bits,
        "low": quantized.low,
        "high": quantized.high,
        "rounding": quantized.largest_error(outputs),
        "span": 1.0,
    }
    return KeptOutputs(**{**values, **changed})


def saved(folder: Path, *outputs: NDArray[np.float32]) -> tuple[Path, KeptFile]:
    """A baseline's path, and the record of the outputs beside it."""
    baseline = folder / "blessed.json"
    several = [(Quantized.of(x, bounded=True), x) for x in outputs]
    return baseline, kept.save(kept.outputs_path(baseline), [(form(q, x), q) for q, x in several])


def rows(n: int = N) -> NDArray[np.int64]:
    return np.arange(n)


def test_pixels_come_back_bit_for_bit(tmp_path: Path) -> None:
    """8 bits lose nothing of what a pipeline makes, through the file."""
    outputs = pixels()
    baseline, file = saved(tmp_path, outputs)
    assert (file.file, file.outputs[0].bits, file.outputs[0].rounding) == ("blessed.outputs.npz", 8, 0.0)
    assert (kept.load(baseline, file, 0).restored(rows()) == outputs).all()


def test_every_pixel_value_is_exact() -> None:
    """All 256 values, as a PIL image is read."""
    outputs = (np.arange(256, dtype=np.float32) / np.float32(255)).reshape(1, -1)
    quantized = Quantized.of(outputs, bounded=True)
    assert quantized.bits == 8
    assert quantized.largest_error(outputs) == 0.0


@pytest.mark.parametrize(("bounded", "low", "width"), [(True, 0.0, 1.0), (False, -30.0, 1e4), (False, 5.0, 1.0)])
def test_other_values_are_within_half_a_step_of_16_bits(bounded: bool, low: float, width: float) -> None:  # noqa: FBT001
    """Outputs in a range are written over it, others over their own."""
    outputs = (low + width * np.random.default_rng(0).random((N, 1000))).astype(np.float32)
    quantized = Quantized.of(outputs, bounded=bounded)
    span = 1.0 if bounded else float(outputs.max() - outputs.min())
    half = span / 65535 / 2
    assert quantized.bits == 16
    assert 0.9 * half < quantized.largest_error(outputs) < half + 2e-7 * (abs(low) + width)


def test_outputs_that_are_all_equal_are_kept() -> None:
    """Without a range, their own has no width."""
    outputs = np.full((N, 2), -3.25, dtype=np.float32)
    quantized = Quantized.of(outputs, bounded=False)
    assert (quantized.restored(rows()) == outputs).all()


def test_the_size_is_bounded_by_the_values(tmp_path: Path) -> None:
    """Noise of 8 bits takes a byte a value and smooth images much less, and two generators share a file."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 3, 32, 32)).astype(np.float32) / np.float32(255)
    smooth = np.broadcast_to(np.linspace(0, 1, 32, dtype=np.float32), (64, 3, 32, 32))
    baseline, file = saved(tmp_path, noise, smooth)
    size = kept.outputs_path(baseline).stat().st_size
    assert 64 * 3 * 32 * 32 < size < 64 * 3 * 32 * 32 * 1.1
    assert kept.load(baseline, file, 1).bits == 16
    assert kept.described(file, size) == (
        f"outputs of 64 probes in blessed.outputs.npz, {size / 1024:.3g} KiB: 8 bit, bit for bit "
        f"(test_a.py::test_a); 16 bit, largest error {file.outputs[1].rounding:.2g} of the output range "
        "(test_a.py::test_a)"
    )


def test_more_than_fits_in_memory_is_refused() -> None:
    """The message says how much it is, before anything is written."""
    huge = np.broadcast_to(np.float32(0.5), (1 << 11, 1 << 20))
    with pytest.raises(InvalidArgument, match="2048 outputs take 4 GiB, at most 2 can be kept: keep fewer"):
        Quantized.of(huge, bounded=True)


def test_a_baseline_names_the_file_and_comes_back(tmp_path: Path) -> None:
    """The record of the outputs is part of the baseline, under its digest; without outputs there is none."""
    _, file = saved(tmp_path, pixels())
    plain = handmade.baseline(handmade.result(handmade.outcomes(64)))
    path = handmade.written(tmp_path / "blessed.json", replace(plain, kept=file))
    assert Baseline.load(path).kept == file
    handmade.written(path, plain)
    assert Baseline.load(path).kept is None


class Runs:
    """A pickle that leaves a folder behind where it is read as one."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def archive(name: str, data: bytes, *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", compression) as made:
        made.writestr(name, data)
    return buffer.getvalue()


def array(values: NDArray[Any]) -> bytes:
    np.save(buffer := io.BytesIO(), values, allow_pickle=True)
    return buffer.getvalue()


def header(shape: tuple[int, ...], size: int) -> bytes:
    """An array whose header claims a shape, padded to a number of bytes."""
    np.lib.format.write_array_header_1_0(
        buffer := io.BytesIO(), {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue().ljust(size, b"\0")


SIZE = N * 48
HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "not a zip": lambda mark: b"\x93NUMPY" * 50,
    "empty": lambda mark: b"",
    "another name": lambda mark: archive("outputs_1.npy", array(np.zeros((N, *SHAPE), np.uint8))),
    "another type": lambda mark: archive("outputs_0.npy", array(np.zeros((N, *SHAPE), np.int8))),
    "another shape": lambda mark: archive("outputs_0.npy", array(np.zeros((N, 48), np.uint8))),
    "a claim of terabytes": lambda mark: archive("outputs_0.npy", header((1 << 20, 1 << 20), SIZE + 128)),
    "a bomb": lambda mark: archive("outputs_0.npy", bytes(1 << 28)),
    "too short": lambda mark: archive("outputs_0.npy", header((N, *SHAPE), SIZE + 10)),
    "a pickle": lambda mark: archive("outputs_0.npy", array(np.array([Runs(mark)] * SIZE, dtype=object))),
    "a bare pickle": lambda mark: archive("outputs_0.npy", pickle.dumps(Runs(mark)).ljust(SIZE + 128)),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_one_line_and_runs_nothing(make: Callable[[Path], bytes], tmp_path: Path) -> None:
    """With a digest that fits, since anybody can compute one: it is read within the sizes that the baseline states."""
    baseline, file = saved(tmp_path, pixels())
    path, mark = kept.outputs_path(baseline), tmp_path / "ran"
    path.write_bytes(data := make(mark))
    with pytest.raises(InvalidArgument) as caught:
        kept.load(baseline, replace(file, digest=hashlib.sha256(data).hexdigest()), 0)
    assert str(caught.value).startswith(f"{path}: not as gentest writes outputs (")
    assert str(caught.value).isprintable()
    assert not mark.exists()


def test_an_edited_a_foreign_and_a_missing_file_are_named(tmp_path: Path) -> None:
    """One line each says what is wrong and what to do; a pipe is not waited for."""
    baseline, file = saved(tmp_path, pixels())
    path = kept.outputs_path(baseline)
    saved(tmp_path, pixels(seed=1))
    with pytest.raises(InvalidArgument, match=r"not the outputs that blessed\.json was blessed with, by its digest"):
        kept.load(baseline, file, 0)
    path.unlink()
    with pytest.raises(InvalidArgument, match=r"No such file or directory, though .* commit both files"):
        kept.load(baseline, file, 0)
    os.mkfifo(path)
    with pytest.raises(InvalidArgument, match="not a regular file"):
        kept.load(baseline, file, 0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bits": 12}, "12 bits"),
        ({"shape": (1 << 20, 1 << 20)}, "GiB of outputs; at most 2"),
        ({"shape": (-1, 4)}, "outputs .-1, 4."),
        ({"rounding": -1.0}, "rounding -1.0"),
        ({"low": 2.0}, "values from 2.0 to 1.0"),
        ({"latents": "x"}, "latents are not base64"),
        ({"tests": ()}, "0 tests"),
    ],
    ids=str,
)
def test_a_record_that_gentest_does_not_write_is_refused(changed: dict[str, Any], said: str) -> None:
    """Each is refused as it is read, before it can cost memory."""
    outputs = pixels()
    good = vars(form(Quantized.of(outputs, bounded=True), outputs))
    assert read_record(KeptOutputs, good).n == N
    with pytest.raises(InvalidArgument, match=said):
        read_record(KeptOutputs, {**good, **changed})


@pytest.mark.parametrize("name", ["../x.npz", "/etc/passwd", "a/b.npz", "", "a\\b"])
def test_outputs_stay_beside_their_baseline(name: str) -> None:
    """A baseline cannot name a file elsewhere."""
    with pytest.raises(InvalidArgument, match="not the name of a file"):
        read_record(KeptFile, {"file": name, "digest": "", "outputs": []})
