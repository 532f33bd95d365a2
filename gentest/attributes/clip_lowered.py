"""CLIP's image tower in a lower precision: to screen with, never to decide.

`bf16` is a copy of the tower in bfloat16, weights and activations alike. On a CPU with AVX512_BF16 that takes half the
time of float32, where autocast gains a fifth and `torch.compile` nothing (ViT-B/32, two cores).

`int8` is ONNX Runtime's dynamic quantisation, on a CPU alone: a third of the time of float32, after some ten seconds to
export and quantise the tower once a process. Its error is larger.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from gentest._settings import Precision
from gentest.errors import ClipError

NEEDED = "precision='int8' needs ONNX Runtime and an exporter: pip install 'pytest-gentest[int8]'"


def lowered(visual: nn.Module, precision: Precision, device: torch.device, inputs: Tensor) -> Callable[[Tensor], Any]:
    """An image tower in a lower precision, called with the inputs [B, 3, H, W] that the tower takes, in float32.

    `inputs` are an example of these. Raises `ClipError` where that precision cannot be had.
    """
    if precision == "bf16":
        return _Halved(visual)
    if device.type != "cpu":
        raise ClipError(f"precision='int8' screens on a CPU alone, and the device is {device}: say 'bf16'")
    return _Quantised(visual, inputs)


class _Halved:
    def __init__(self, visual: nn.Module) -> None:
        self._tower = copy.deepcopy(visual).to(torch.bfloat16)

    def __call__(self, inputs: Tensor) -> Any:
        return self._tower(inputs.to(torch.bfloat16))


class _Quantised:
    def __init__(self, visual: nn.Module, inputs: Tensor) -> None:
        try:
            import onnxruntime
            import onnxscript  # noqa: F401 - torch's exporter needs it
            from onnxruntime.quantization import QuantType, quantize_dynamic
        except ImportError as error:
            raise ClipError(NEEDED) from error
        example = inputs[:1].expand(2, -1, -1, -1).contiguous()
        with TemporaryDirectory() as folder, _quietly():
            whole, small = Path(folder, "whole.onnx"), Path(folder, "small.onnx")
            shapes = ({0: torch.export.Dim("batch", min=1, max=1 << 16)},)
            torch.onnx.export(
                copy.deepcopy(visual), (example,), whole, dynamo=True, dynamic_shapes=shapes, input_names=["images"],
                verbose=False,
            )  # fmt: skip
            quantize_dynamic(whole, small, weight_type=QuantType.QInt8, per_channel=True)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            options.log_severity_level = 3
            self._session = onnxruntime.InferenceSession(small.read_bytes(), options, ["CPUExecutionProvider"])

    def __call__(self, inputs: Tensor) -> Tensor:
        (rows, *_) = self._session.run(None, {"images": inputs.detach().contiguous().numpy()})
        return torch.from_numpy(rows)


@contextmanager
def _quietly() -> Iterator[None]:
    """Exporters and quantisers print, warn and log."""
    loggers = [logging.getLogger(name) for name in ("", "torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        silence = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
