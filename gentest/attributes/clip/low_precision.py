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
"""Numbers to a scale; the least that onnxruntime has fast code for."""
ACTIVATIONS_IN_INT8 = 4
TRACE = "torch.__trace"
"""A logger of torch's that `logging.disable` does not reach, and that pytest listens to."""
SHARE = 0.5
"""Of a module's weights, in 8 bits: with fewer there is little to gain."""
SCHEME = f"int8 in blocks of {BLOCK}"
"""What tells these rows from those of another int8, such as a cache may hold."""


class Blocks(NamedTuple):
    """A matrix [K, N] in 8 bits, as `MatMulNBits` stores it."""

    values: NDArray[np.uint8]  # [N, ceil(K / BLOCK), BLOCK], 128 more than they mean
    scales: NDArray[np.float32]  # [N, ceil(K / BLOCK)]


def check_packages() -> None:
    """Raises `InvalidArgument`, which names the extra, where a package that int8 needs is not installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InvalidArgument(f"precision int8 needs {' and '.join(missing)}: pip install 'pytest-gentest[int8]'")


class Int8Module:
    """A module in evaluation mode, its products in 8 bits: float32 tensors [B, ...] to float32 tensors [B, ...].

    `example` is an input of a batch of two; any batch will do afterwards. Of several outputs the first is given. It
    runs with as many threads as torch has when it is made, and gives no gradients.

    Raises `InvalidArgument` where less than half of the weights are in products, as in a convolutional network, and
    whatever torch's exporter or onnxruntime raises for a module, or on a processor, that they cannot take.
    """

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        check_packages()
        import onnxruntime

        model = _exported(module, example)
        lowered, total = _lower(model.graph), sum(parameter.numel() for parameter in module.parameters())
        if lowered < SHARE * total:
            raise InvalidArgument(
                f"precision int8 is for matrix products, which hold {lowered / max(total, 1):.0%} of the weights here "
                "(convolutions hold others): take precision bf16"
            )
        model.opset_import.add(domain="com.microsoft", version=1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # only what is fatal: the rest is raised
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name
        self(example)  # onnxruntime finds only now that it has no code for this processor

    def __call__(self, batch: Tensor) -> Tensor:
        array = np.ascontiguousarray(batch.detach().numpy(), dtype=np.float32)
        (made,) = self._session.run([self._output], {self._input: array})
        return torch.from_numpy(made)


def in_blocks(matrix: NDArray[np.float32]) -> Blocks:
    """A matrix [K, N], each 32 numbers of a column rounded to whole multiples of a scale, from -127 to 127.

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
    """The module as an ONNX model, for any size of batch."""
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
    """Puts `MatMulNBits` in the place of each product with constant weights; how many weights these are."""
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
    """Whether a node is x @ weights, or x @ weights + bias."""
    if node.op_type == "MatMul":
        return True
    given = {item.name: item for item in node.attribute}
    plain = all(given[name].f == 1.0 for name in ("alpha", "beta") if name in given)
    return node.op_type == "Gemm" and plain and not ("transA" in given and given["transA"].i)


def _drop_unused(graph: Any) -> None:
    """Forgets the weights that no node reads any more: they are what is large."""
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps torch's exporter from warning of itself, from logging and from printing: what matters is raised."""
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
    """An image tower in a lower precision, called with the inputs [B, 3, H, W] that the tower takes, in float32.

    `inputs` are an example of these. Raises `ClipError` where that precision cannot be had.
    """
    if precision == "bf16":
        return _Halved(visual)
    if device.type != "cpu":
        raise ClipError(f"precision='int8' screens on a CPU alone, and the device is {device}: say 'bf16'")
    try:
        return Int8Module(visual, inputs.detach()[:1].expand(2, -1, -1, -1).contiguous())
    except GentestError as error:
        raise ClipError(str(error)) from error
    except Exception as error:  # torch's exporter and onnxruntime raise what they like
        why = error_summary(error.__cause__ or error)  # the exporter's own first line says only at which step it failed
        raise ClipError(f"the image tower cannot be had in int8: {why}; say 'bf16'") from error


class _Halved:
    def __init__(self, visual: nn.Module) -> None:
        self._tower = copy.deepcopy(visual).to(torch.bfloat16)

    def __call__(self, inputs: Tensor) -> Any:
        return self._tower(inputs.to(torch.bfloat16))
