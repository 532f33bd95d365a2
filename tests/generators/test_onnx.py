"""ONNX graphs: inputs by name and dtype, fixed batches, fingerprints, and what is refused."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional as F

import gentest
from gentest import Generator
from gentest.errors import GeneratorError, InvalidArgument
from gentest.generators.onnx import OnnxModel
from tests.helpers import planted

if TYPE_CHECKING:
    from tests.helpers.whole_check import Checked

FLOAT, DOUBLE, HALF, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT64
NORMAL = gentest.Normal(3)
LABELLED = gentest.Joint(z=NORMAL, label=gentest.Categorical(4))
WEIGHTS = np.random.default_rng(0).normal(size=(3, 4))
TABLE = np.random.default_rng(1).normal(size=(4, 3))


def numpy_of(kind: int) -> Any:
    return helper.tensor_dtype_to_np_dtype(kind)


def graph(
    *,
    batch: str | int = "n",
    kind: int = FLOAT,
    label: int | None = None,
    noise: bool = False,
    weights: Any = WEIGHTS,
) -> onnx.ModelProto:
    """tanh(z' W) as images [B, 1, 2, 2], with z' the latent, a row of a table by the label, and noise added up."""
    nodes, inputs = [], [helper.make_tensor_value_info("z", kind, [batch, 3])]
    held = [
        numpy_helper.from_array(weights.astype(numpy_of(kind)), "w"),
        numpy_helper.from_array(np.array([-1, 1, 2, 2]), "s"),
    ]
    last = "z"
    if label is not None:
        shape = [batch] if label == INT64 else [batch, 4]
        inputs.append(helper.make_tensor_value_info("label", label, shape))
        held.append(numpy_helper.from_array(TABLE.astype(numpy_of(kind)), "table"))
        look_up = ("Gather", ["table", "label"]) if label == INT64 else ("MatMul", ["label", "table"])
        nodes += [helper.make_node(*look_up, ["row"]), helper.make_node("Add", [last, "row"], ["labelled"])]
        last = "labelled"
    if noise:
        inputs.append(helper.make_tensor_value_info("eps", kind, [batch, 3]))
        nodes.append(helper.make_node("Add", [last, "eps"], ["noisy"]))
        last = "noisy"
    nodes += [
        helper.make_node("MatMul", [last, "w"], ["a"]),
        helper.make_node("Tanh", ["a"], ["flat"]),
        helper.make_node("Reshape", ["flat", "s"], ["x"]),
    ]
    outputs = [helper.make_tensor_value_info("x", kind, [batch, 1, 2, 2])]
    outputs.append(helper.make_tensor_value_info("flat", kind, [batch, 4]))
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, held), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.checker.check_model(model)
    return model


def content(**options: Any) -> bytes:
    made: bytes = graph(**options).SerializeToString()
    return made


def expected(z: torch.Tensor) -> torch.Tensor:
    return ((z.double() @ torch.from_numpy(WEIGHTS)).tanh().reshape(-1, 1, 2, 2).float() + 1) / 2


Z = torch.linspace(-1, 1, 15).reshape(5, 3)


@pytest.mark.parametrize("batch", ["n", 1, 4, 64])
@pytest.mark.parametrize(
    ("kind", "close"), [(FLOAT, 1e-6), (DOUBLE, 1e-6), (HALF, 2e-3)], ids=["float", "double", "half"]
)
def test_a_graph_gives_what_it_computes(batch: str | int, kind: int, close: float) -> None:
    """Of any declared dtype and of a fixed batch size, smaller or larger than what is asked, outputs are right."""
    g = Generator.from_onnx(content(batch=batch, kind=kind), latent=NORMAL)
    made = g.outputs({"": Z})
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, expected(Z), atol=close, rtol=0)


@pytest.mark.parametrize("batch", ["n", 4])
def test_a_file_is_checked_whole(batch: str | int, tmp_path: Path, checked: Checked) -> None:
    """A .onnx file is checked like the function it computes: the same verdict and the same counterexample."""
    path = tmp_path / "gan.onnx"
    path.write_bytes(content(batch=batch))
    weights = torch.from_numpy(WEIGHTS).float()
    plain = Generator(lambda z: (z @ weights).tanh().reshape(-1, 1, 2, 2), latent=NORMAL)
    result, same = checked(Generator.from_onnx(path, latent=NORMAL)), checked(plain)
    assert result.counterexample is not None
    assert same.counterexample is not None
    assert result.counterexample.replay == same.counterexample.replay


@pytest.mark.parametrize("batch", ["n", 2])
def test_a_conditional_graph_takes_its_label_and_noise(batch: str | int, checked: Checked) -> None:
    """Parts of a joint space and declared noise are inputs by name, the label as int64."""
    g = Generator.from_onnx(
        content(batch=batch, label=INT64, noise=True), latent=LABELLED, noise={"eps": gentest.Normal(3)}
    )
    label, eps = torch.tensor([0, 3, 2, 1, 1]), torch.ones(5, 3)
    made = g.outputs({"z": Z, "label": label}, {"eps": eps})
    torch.testing.assert_close(made, expected(Z + torch.from_numpy(TABLE)[label] + eps), atol=1e-6, rtol=0)
    checked(g)


def test_a_graph_with_noise_and_one_latent_needs_no_name() -> None:
    """A space of one part is the input that the noise leaves."""
    g = Generator.from_onnx(content(noise=True), latent=NORMAL, noise={"eps": gentest.Normal(3)})
    made = g.outputs({"": Z}, {"eps": torch.ones(5, 3)})
    torch.testing.assert_close(made, expected(Z + 1), atol=1e-6, rtol=0)


def test_a_wrapped_graph_takes_one_hot_labels(checked: Checked) -> None:
    """A lambda over the model gives it one-hot labels; the model is found in it, and cast to what it declares."""
    model = OnnxModel(content(label=FLOAT))
    g = Generator(lambda z, label: model(z=z, label=F.one_hot(label, 4)), latent=LABELLED)
    label = torch.tensor([0, 3, 2, 1, 1])
    made = g.outputs({"z": Z, "label": label})
    torch.testing.assert_close(made, expected(Z + torch.from_numpy(TABLE)[label]), atol=1e-6, rtol=0)
    other = OnnxModel(content(label=FLOAT, weights=WEIGHTS + 1))
    assert g.fingerprint() != Generator(lambda z, label: other(z=z, label=label), latent=LABELLED).fingerprint()
    checked(g)


def test_an_output_is_chosen_by_name() -> None:
    """The first output unless another is named; the name is part of what the generator is."""
    model = content()
    first, named = (Generator.from_onnx(model, latent=NORMAL, output=name) for name in (None, "x"))
    flat = Generator.from_onnx(model, latent=NORMAL, output="flat", images=False)
    assert flat.outputs({"": Z}).shape == (5, 4)
    assert first.fingerprint() == named.fingerprint() != flat.fingerprint()
    with pytest.raises(InvalidArgument, match="one of the model's outputs, x, flat but got output='y'"):
        Generator.from_onnx(model, latent=NORMAL, output="y")


def test_a_model_can_be_copied() -> None:
    """A pickled model is opened anew, with the output and the providers that were chosen."""
    model = OnnxModel(content(), output="flat", providers=["CPUExecutionProvider"])
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(Z), model(Z))
    assert (again.output, again.digest) == ("flat", model.digest)


def test_a_fingerprint_is_of_the_weights(tmp_path: Path) -> None:
    """A path and its bytes are the same model; one other weight is another."""
    path = tmp_path / "gan.onnx"
    path.write_bytes(content())
    one = Generator.from_onnx(path, latent=NORMAL).fingerprint()
    assert one == Generator.from_onnx(content(), latent=NORMAL).fingerprint()
    weights = WEIGHTS.copy()
    weights[0, 0] += 1e-3
    assert one != Generator.from_onnx(content(weights=weights), latent=NORMAL).fingerprint()


def test_a_fingerprint_sees_weights_in_files_beside_the_model(tmp_path: Path) -> None:
    """External data belongs to the model: other weights there are another model, another file there is not."""
    prints = []
    for at, weights in enumerate((WEIGHTS, WEIGHTS, WEIGHTS + 1)):
        folder = tmp_path / str(at)
        folder.mkdir()
        onnx.save(
            graph(weights=weights),
            folder / "gan.onnx",
            save_as_external_data=True,
            location="weights.bin",
            size_threshold=70,  # not the shape of a Reshape, which is needed to load it
        )
        (folder / "z").write_text(str(at))  # an input's name too
        assert (folder / "weights.bin").stat().st_size > 0
        prints.append(Generator.from_onnx(folder / "gan.onnx", latent=NORMAL).fingerprint())
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({}, {"latent": gentest.Normal(4)}, r"takes 'z' \(float32 \[\?, 3\]\), and Normal\(4\) gives \[\?, 4\]"),
        ({}, {"latent": gentest.Normal((3, 1))}, r"and Normal\(\(3, 1\)\) gives \[\?, 3, 1\]"),
        ({"label": FLOAT}, {"latent": LABELLED}, r"Categorical\(4\) gives \[\?\]; to convert it, wrap"),
        ({}, {"latent": LABELLED}, r"takes 'z' \(float32 \[\?, 3\]\) but gets Joint"),
        ({"label": INT64}, {"latent": NORMAL}, r"name each input, as in gentest.Joint\(z=..., label=...\)"),
        ({}, {"latent": NORMAL, "noise": {"eps": NORMAL}}, "but gets Normal.3. and noise 'eps'"),
        ({}, {"latent": NORMAL, "noise": {"z": NORMAL}}, "but gets"),
        ({"noise": True}, {"latent": NORMAL}, "'eps'"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(options: Any, arguments: Any, message: str) -> None:
    """A space or noise that the inputs do not take is told where the generator is made."""
    with pytest.raises(InvalidArgument, match=message) as caught:
        Generator.from_onnx(content(**options), **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "providers",
    ["CPUExecutionProvider", ["Nope"], [3], [("Nope", {})], [("CPUExecutionProvider", 3)], [("CPUExecutionProvider",)]],
)
def test_providers_that_are_not_there_are_refused(providers: Any) -> None:
    """What onnxruntime cannot run on is an error, where onnxruntime itself would take the CPU."""
    with pytest.raises(InvalidArgument, match=r"a list of .*CPUExecutionProvider.* but got providers="):
        Generator.from_onnx(content(), latent=NORMAL, providers=providers)
    named = Generator.from_onnx(content(), latent=NORMAL, providers=["CPUExecutionProvider"])
    torch.testing.assert_close(named.outputs({"": Z}), expected(Z), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "providers",
    [[("CPUExecutionProvider", {})], [["CPUExecutionProvider", {"use_arena": "0"}]], ["CPUExecutionProvider"]],
)
def test_providers_are_taken_as_onnxruntime_takes_them(providers: Any) -> None:
    """Names, or pairs of a name and its options."""
    made = Generator.from_onnx(content(), latent=NORMAL, providers=providers)
    torch.testing.assert_close(made.outputs({"": Z}), expected(Z), atol=1e-6, rtol=0)


def test_session_options_reach_onnxruntime(tmp_path: Path) -> None:
    """The options are those of the session; what is no such thing is refused, and they do not travel."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    model = OnnxModel(content(), sess_options=options)
    assert Path(options.optimized_model_filepath).is_file()
    torch.testing.assert_close((model(Z) + 1) / 2, expected(Z), atol=1e-6, rtol=0)
    made = Generator.from_onnx(content(), latent=NORMAL, sess_options=onnxruntime.SessionOptions())
    torch.testing.assert_close(made.outputs({"": Z}), expected(Z), atol=1e-6, rtol=0)
    with pytest.raises(InvalidArgument, match=r"an onnxruntime.SessionOptions but got sess_options={}"):
        Generator.from_onnx(content(), latent=NORMAL, sess_options={})
    with pytest.raises(TypeError, match="sess_options cannot be copied to another process"):
        pickle.dumps(model)


@pytest.mark.parametrize("model", ["missing.onnx", b"junk", b"", 3, None, Path("missing.onnx")])
def test_what_is_no_model_is_refused(model: Any) -> None:
    """A missing file, bytes of something else and other values are told on one line."""
    with pytest.raises(InvalidArgument) as caught:
        Generator.from_onnx(model, latent=NORMAL)
    assert "\n" not in str(caught.value)


def test_without_onnxruntime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where onnxruntime is missing, the error says what to install."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InvalidArgument, match=r"pip install 'pytest-gentest\[onnx\]'"):
        Generator.from_onnx(content(), latent=NORMAL)


def test_wrong_calls_of_the_model_are_told() -> None:
    """Inputs that are missing, too many, of another name, or no whole numbers where those are declared."""
    model = OnnxModel(content(label=INT64))
    label = torch.zeros(5, dtype=torch.int64)
    for call in (lambda: model(Z), lambda: model(Z, label), lambda: model(z=Z, other=label), lambda: model()):
        with pytest.raises(GeneratorError, match=r"the model takes 'z' .*, 'label' .* but was given"):
            call()
    with pytest.raises(GeneratorError, match=r"'label' \(int64 \[\?\]\) but was given float32 values"):
        model(z=Z, label=label.float())
    assert model(z=Z, label=label.int()).shape == (5, 1, 2, 2)


def test_one_weight_of_three_bits_is_found_and_its_coordinate_named() -> None:
    """An export with the weight of the second number rounded: the counterexample needs that number alone."""
    step, weights = 2.0**-2, WEIGHTS.copy()
    weights[1, 2] = np.round(weights[1, 2] / step) * step
    original = Generator(expected, latent=NORMAL, output_range=(0, 1))
    exported = Generator.from_onnx(graph(weights=weights).SerializeToString(), latent=NORMAL)
    result, minimal = planted.found(gentest.agrees(within=0.02), exported.against(original))
    assert 1 <= result.violations <= 60, "where the second number is large"
    assert minimal.groups == ("1",)
    assert minimal.note.startswith("1 of 4 values differ by more, the most at [0, 1, 0] by ")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_graph_agrees_with_the_torch_function_that_it_is_of(seed: int) -> None:
    """In float32 to 1e-3, whatever the latents; a graph whose weights have three bits does not."""
    settings = gentest.settings(device="cpu", seed=seed)
    original = Generator(expected, latent=NORMAL, output_range=(0, 1))
    exported = Generator.from_onnx(graph().SerializeToString(), latent=NORMAL)
    agrees = gentest.agrees(within=1e-3)
    assert agrees.check(exported.against(original), settings=settings).verdict is gentest.Verdict.NO_COUNTEREXAMPLE
    step = 2.0**-2
    rounded = graph(weights=np.round(WEIGHTS / step) * step)
    coarse = Generator.from_onnx(rounded.SerializeToString(), latent=NORMAL)
    assert agrees.check(coarse.against(original), settings=settings).verdict is gentest.Verdict.VIOLATED
