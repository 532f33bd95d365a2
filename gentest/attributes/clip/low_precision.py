"""CLIP's image tower in a lower precision: it screens probes and never decides.

`bf16` is a copy of the tower in bfloat16, for CPUs with instructions for it (AVX512_BF16). `int8` runs the tower's
matrix products in 8 bits with onnxruntime, on a CPU only; the export takes some seconds once a process.

In int8 every 32 numbers have their own scale, in the weights and in the rows that they multiply. Image towers need this
because a few of their channels are far larger than the others (Dettmers et al. 2022, "LLM.int8()", arXiv:2208.07339).
onnxruntime's dynamic quantisation has one scale for all activations of a batch: too coarse, and an image's row depends
on its batch. So gentest takes torch's own ONNX export and replaces each product with constant weights by `MatMulNBits`
at `accuracy_level` 4 (both sides in 8 bits, wider sums). onnxruntime's quantiser does the same, but importing it gives
the root logger a handler.

The table was measured with OpenAI's ViT-B/16 on 200 faces of a GAN and 400 pairs of texts, on two busy cores. The error
is that of a CLIP score in standard deviations over the faces: root mean square on the median pair, and the largest of
all. The time is processor time an image, in batches of 32. The last column is the share of images that full precision
must look at again if 5 % violate and the engine's band is four times the largest error on 16.

| | error | largest | time | again |
|---|---|---|---|---|
| float32 | | | 0.58 s | |
| bf16 | 0.053 | 0.41 | 0.29 s | 11 % |
| int8, a scale for 32 numbers | 0.068 | 0.51 | 0.31 s | 13 % |
| onnxruntime's dynamic quantisation, by channel | 0.73 | 4.0 | 0.19 s | 100 % |

Dynamic quantisation is useless for screening, though its error with random weights is small: the rest of the batch
moved one image's score by 1.9, and without the MLP's second products its error is still 0.52. With a scale for 128
numbers, int8 has an error of 0.12 (64 faces) and takes a sixth less time than with one for 32.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gentest._support.printable import error_summary
from gentest.errors import ClipError, GentestError, InvalidArgument
from gentest.results.settings import Precision

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
BLOCK = 32
"""The numbers that share a scale: the fewest for which onnxruntime has fast code."""
ACTIVATIONS_IN_INT8 = 4
TRACE = "torch.__trace"
"""A logger of torch that pytest captures and `logging.disable` does not reach."""
LEAST_SHARE = 0.5
"""The smallest share of a module's weights in products: with less there is little to gain."""
SCHEME = f"int8 in blocks of {BLOCK}"
"""The name of this scheme in cache keys, so that another int8 scheme never shares its rows."""


class Blocks(NamedTuple):
    """A matrix [K, N] in 8 bits, as `MatMulNBits` stores it."""

    values: NDArray[np.uint8]  # [N, ceil(K / BLOCK), BLOCK], offset by 128
    scales: NDArray[np.float32]  # [N, ceil(K / BLOCK)]


def check_packages() -> None:
    """Raises `InvalidArgument`, which names the extra, if a package for int8 is not installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InvalidArgument(f"precision int8 needs {' and '.join(missing)}: pip install 'pytest-gentest[int8]'")


class Int8Module:
    """A module in eval mode with its matrix products in 8 bits: float32 tensors [B, ...] to float32 tensors [B, ...].

    `example` is an input with a batch of two; later batches may have any size. It returns the first of several outputs,
    gives no gradients, and uses the number of threads that torch has when it is made.

    Raises `InvalidArgument` if less than half of the weights are in products, as in a convolutional network. torch's
    exporter and onnxruntime raise their own errors for modules and processors that they do not support.
    """

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        check_packages()
        import onnxruntime

        model = _exported(module, example)
        lowered, total = _lower(model.graph), sum(parameter.numel() for parameter in module.parameters())
        if lowered < LEAST_SHARE * total:
            raise InvalidArgument(
                f"precision int8 is for matrix products, which hold {lowered / max(total, 1):.0%} of the weights here "
                "(convolutions hold others): use precision bf16"
            )
        model.opset_import.add(domain="com.microsoft", version=1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # only fatal messages: errors are raised anyway
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name
        self(example)  # a processor without the instructions fails only here

    def __call__(self, batch: Tensor) -> Tensor:
        array = np.ascontiguousarray(batch.detach().numpy(), dtype=np.float32)
        (output,) = self._session.run([self._output], {self._input: array})
        return torch.from_numpy(output)


def in_blocks(matrix: NDArray[np.float32]) -> Blocks:
    """The matrix [K, N] in blocks: each 32 numbers of a column become multiples of their scale, from -127 to 127.

    >>> blocks = in_blocks(np.array([[1.27], [-0.634]], np.float32))
    >>> blocks.values[0, 0, :3] - 128.0, blocks.scales.round(4)
    (array([127., -63.,   0.]), array([[0.01]], dtype=float32))
    """
    rows, columns = matrix.shape
    padded = np.zeros((-rows % BLOCK + rows, columns), np.float32)
    padded[:rows] = matrix
    blocks = padded.T.reshape(columns, -1, BLOCK)
    scales = np.abs(blocks).max(-1) / np.float32(127)
    steps = np.rint(blocks / np.where(scales > 0, scales, 1)[..., None])
    return Blocks((steps + 128).astype(np.uint8), scales)


def _exported(module: nn.Module, example: Tensor) -> Any:
    """The module as an ONNX model for any batch size."""
    with _quietly(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _lower(graph: Any) -> int:
    """Replace each product with constant weights by `MatMulNBits`; returns the number of these weights."""
    from onnx import helper, numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes, lowered = [], 0
    for number, node in enumerate(graph.node):
        weights = stored.get(node.input[1]) if _is_product(node) else None
        if weights is None or len(weights.dims) != 2 or weights.data_type != 1:  # float32
            nodes.append(node)
            continue
        matrix = numpy_helper.to_array(weights)
        if any(item.name == "transB" and item.i for item in node.attribute):
            matrix = matrix.T
        lowered += matrix.size
        blocks, name = in_blocks(matrix), f"int8_{number}"
        graph.initializer.append(numpy_helper.from_array(blocks.values, f"{name}_values"))
        graph.initializer.append(numpy_helper.from_array(blocks.scales.reshape(-1), f"{name}_scales"))
        bias = node.input[2] if len(node.input) > 2 else ""
        sizes = {"K": matrix.shape[0], "N": matrix.shape[1], "bits": 8, "block_size": BLOCK}
        product = f"{name}_product" if bias else node.output[0]
        nodes.append(
            helper.make_node(
                "MatMulNBits",
                [node.input[0], f"{name}_values", f"{name}_scales"],
                [product],
                domain="com.microsoft",
                accuracy_level=ACTIVATIONS_IN_INT8,
                **sizes,
            )
        )
        if bias:
            nodes.append(helper.make_node("Add", [product, bias], list(node.output)))
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused(graph)
    return lowered


def _is_product(node: Any) -> bool:
    """True for a node x @ weights, or x @ weights + bias."""
    if node.op_type == "MatMul":
        return True
    given = {item.name: item for item in node.attribute}
    plain = all(given[name].f == 1.0 for name in ("alpha", "beta") if name in given)
    return node.op_type == "Gemm" and plain and not ("transA" in given and given["transA"].i)


def _drop_unused(graph: Any) -> None:
    """Remove weights that no node reads any more; they are most of the graph's size."""
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the warnings, logs and prints of torch's exporter; it raises anything that matters."""
    trace, before = logging.getLogger(TRACE), logging.root.manager.disable
    disabled, trace.disabled = trace.disabled, True
    logging.disable(logging.CRITICAL)
    try:
        silence = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        trace.disabled = disabled


def lowered(visual: nn.Module, precision: Precision, device: torch.device, inputs: Tensor) -> Callable[[Tensor], Any]:
    """An image tower in a lower precision, as a function of the tower's float32 inputs [B, 3, H, W].

    `inputs` are an example. Raises `ClipError` if this precision is unavailable.
    """
    if precision == "bf16":
        tower = copy.deepcopy(visual).to(torch.bfloat16)
        return lambda inputs: tower(inputs.to(torch.bfloat16))
    if device.type != "cpu":
        raise ClipError(f"precision='int8' works only on a CPU, and the device is {device}: use 'bf16'")
    try:
        return Int8Module(visual, inputs.detach()[:1].expand(2, -1, -1, -1).contiguous())
    except GentestError as error:
        raise ClipError(str(error)) from error
    except Exception as error:  # torch's exporter and onnxruntime raise all kinds of errors
        reason = error_summary(error.__cause__ or error)  # the exporter's own first line only names the failed step
        raise ClipError(f"the image tower does not work in int8: {reason}; use 'bf16'") from error
