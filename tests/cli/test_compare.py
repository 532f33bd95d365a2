"""`gentest compare`: the figures and the verdict on two models, without test code, and misuse in one line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gentest.cli import child, compare_run
from gentest.cli.compare import SHARES, Differences
from tests.helpers.commands import called, misuse

Run = Callable[..., tuple[int, str, str]]

MODELS = """
import torch
from torch import nn

import gentest


def net(change=0.0, size=6, channels=3):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(size, channels * 16), nn.Tanh(), nn.Unflatten(1, (channels, 4, 4)))
    with torch.no_grad():
        layers[0].weight += change * torch.randn_like(layers[0].weight)
    return layers


def near():
    return net(1e-3)


def far():
    return net(0.1)


def wide():
    return net(size=7)


def grey():
    return net(channels=1)


def generator():
    return gentest.Generator(net(), latent=gentest.Normal(6))


def seven():
    return gentest.Generator(net(size=7), latent=gentest.Normal(7))


def rows():
    return lambda z: 40.0 * z


def noisy():
    layers = net()
    return lambda z: (layers(z) + 0.01 * torch.randn(len(z), 3, 4, 4)).clamp(-1, 1)


def labelled():
    layers = net()
    return lambda z, label: layers(z) * (label[:, None, None, None] == 1)


def brighter_label():
    layers = net()
    return lambda z, label: layers(z) * (label[:, None, None, None] > 0)


class Groups(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(4, 6)
        self.layers = net()

    def forward(self, z, groups):
        return self.layers(z + self.embedding(groups))


def groups_net():
    torch.manual_seed(3)
    return Groups()


def groups_function():
    state = groups_net().state_dict()
    weight, bias, codes = (state[name] for name in ("layers.0.weight", "layers.0.bias", "embedding.weight"))
    return lambda z, groups: ((z + codes[groups]) @ weight.T + bias).tanh().unflatten(1, (3, 4, 4))


def sometimes_nan():
    layers = net()
    return lambda z: torch.where(z[:, 2, None, None, None] > 1.2, torch.tensor(float("nan")), layers(z))


def needs(width):
    return net()


def number():
    return 3


def quits():
    raise SystemExit("bye")
"""
FEW = ("--examples", "40")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in a folder that has `models.py` alone: exit status, output on one line, error."""
    monkeypatch.chdir(tmp_path)
    Path("models.py").write_text(MODELS)

    def command(*arguments: str) -> tuple[int, str, str]:
        status, out, err = called(["compare", *arguments], capfd)
        return status, " ".join(out.split()), err

    return command


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compares in this process, which is faster than a child that imports torch."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "models", raising=False)

    def call(function: str, question: dict[str, Any], *, seconds: float) -> child.Reply:
        assert function == "gentest.cli.compare_run:compare"
        return child.Reply(json.loads(json.dumps(compare_run.compare(json.loads(json.dumps(question))))), "")

    monkeypatch.setattr(child, "call", call)
    yield
    sys.modules.pop("models", None)


def write_onnx(name: str, scale: float) -> None:
    """A graph of tanh(scale z) as images [b, 3, 4, 4], for latents of that shape."""
    onnx: Any = pytest.importorskip("onnx", reason="needs onnx to write graphs")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime to run graphs")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(end, kind, ["b", 3, 4, 4]) for end in ("z", "x")]
    nodes = [helper.make_node("Mul", ["z", "scale"], ["y"]), helper.make_node("Tanh", ["y"], ["x"])]
    factor = onnx.numpy_helper.from_array(np.array(scale, dtype=np.float32), "scale")
    graph = helper.make_graph(nodes, "gan", [ends[0]], [ends[1]], [factor])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), name)


def test_two_onnx_files_are_compared(run: Run) -> None:
    """The latent space, the shape and the range of outputs come from the files."""
    write_onnx("one.onnx", 1.0)
    write_onnx("other.onnx", 1.001)
    status, out, err = run("one.onnx", "other.onnx", *FEW)
    assert (status, err) == (0, "")
    assert "Compared other.onnx with one.onnx on 40 independent latents of Normal((3, 4, 4))." in out
    assert "Outputs are images [3, 4, 4] in [-1, 1]." in out
    assert "all 40 latents differ by at most 0.000" in out
    assert "mean brightness() 0." in out
    assert "mean contrast() 0." in out
    assert "outputs a side and" in out


def test_models_that_agree_have_status_0_and_a_page(run: Run) -> None:
    """With `--within`, a pair without a disagreement passes; the page is there."""
    arguments = ("models:generator", "models:near", *FEW, "--within", "4/255", "--report", "out.html")
    status, out, err = run(*arguments)
    assert (status, err) == (0, "")
    assert (
        "They agree within 4/255: none of 40 independent latents and 40 latents of the search differs by more." in out
    )
    # 1 - 0.01 ** (1 / 40) = 0.1088
    assert "Fewer than 10.9 % of latents disagree (99 %)." in out
    assert re.search(r"the mean brightness\(\) differs by -\d\S* to \+\d\S* sd of the reference \(99 %\)", out)
    assert out.endswith("report: out.html")
    page = Path("out.html").read_text(encoding="utf-8")
    assert "models:near against models:generator" in page
    assert "no counterexample" in page


@pytest.mark.usefixtures("in_process")
def test_folders_of_pipelines_are_compared(run: Run) -> None:
    """The noise, the steps and the range come from the folders; a folder that does not tell its noise is one line."""
    diffusers: Any = pytest.importorskip("diffusers", reason="needs diffusers to build pipelines")
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",), "add_attention": False}
    shape = {"in_channels": 3, "out_channels": 3, "layers_per_block": 1, "block_out_channels": (8,)}
    unet = diffusers.UNet2DModel(sample_size=4, norm_num_groups=4, **blocks, **shape)
    scheduler = diffusers.DDIMScheduler(num_train_timesteps=10)
    diffusers.DDIMPipeline(unet, scheduler).save_pretrained("blessed")
    diffusers.DDIMPipeline(unet, scheduler).save_pretrained("again")
    with torch.no_grad():
        unet.conv_out.bias += 0.5
    diffusers.DDIMPipeline(unet, scheduler).save_pretrained("moved")
    few = ("--examples", "20", "--within", "1/255", "--steps", "3")
    status, out, err = run("blessed", "again", *few)
    assert status == 0, err
    assert "on 20 independent latents of Normal((3, 4, 4)). " in out
    assert "Outputs are images [3, 4, 4] in [0, 1], after 3 denoising steps." in out
    status, out, _ = run("blessed", "moved", *few)
    assert status == 1
    assert "the mean brightness() differs by" in out
    unet.register_to_config(sample_size=None)
    diffusers.DDIMPipeline(unet, scheduler).save_pretrained("untold")
    misuse(
        run("untold", "untold"),
        "untold: ",
        "its config does not tell the shape of its initial noise",
        "give --latent normal:",
    )


def test_models_that_disagree_have_status_1(run: Run) -> None:
    """The output names the worst latent, its replay string, and the values that differ most."""
    status, out, err = run("models:net", "models:far", *FEW, "--within", "0.01", "--report", "out.html")
    assert (status, err) == (1, "")
    assert "They disagree: 40 of 40 independent latents differ by more than 0.01." in out
    (command,) = (line for line in out.split(" replay: ")[1:])
    assert command.startswith("gentest check models:far --against models:net --within 0.01 --replay agrees:")
    assert "of 48 values differ by more, the most at [" in out
    assert "of latents disagree" not in out
    assert "gentest.agrees(within=0.01).replay(pair, &#39;agrees:" in Path("out.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("in_process")
def test_without_a_tolerance_the_status_is_0(run: Run) -> None:
    """Models that are far apart are measured, and the rate is about the largest difference."""
    status, out, err = run("models:net", "models:far", *FEW, "--attack", "200")
    assert (status, err) == (0, "")
    assert "Fewer than 10.9 % of latents differ by more than 0." in out
    assert "The attack reached a difference of " in out
    assert "agree" not in out.partition("replay: ")[0]


@pytest.mark.usefixtures("in_process")
def test_equal_models_are_said_to_be_equal(run: Run) -> None:
    """Two models with the same weights have a largest difference of 0."""
    status, out, _ = run("models:net", "models:generator", *FEW)
    assert status == 0
    assert "all 40 latents differ by at most 0 " in out
    assert "Both give the same outputs on all of these latents." in out


@pytest.mark.usefixtures("in_process")
def test_outputs_that_are_not_images_have_no_levels(run: Run) -> None:
    """Differences are then shares of the range of the reference's samples."""
    status, out, _ = run("models:rows", "models:rows", *FEW, "--latent", "uniform:5")
    assert status == 0
    assert "latents of Uniform(5)" in out
    assert "Outputs are values [5]." in out
    assert "share of the range of 16 samples of the reference" in out
    assert "mean" not in out


@pytest.mark.usefixtures("in_process")
def test_labels_are_drawn_and_named(run: Run) -> None:
    """`--labels` compares models of z and a label, and the worst latent names its label."""
    arguments = ("--latent", "normal:6", "--labels", "3", "--within", "0.1")
    status, out, _ = run("models:labelled", "models:brighter_label", *FEW, *arguments)
    assert status == 1
    assert "Joint(z=Normal(6), label=Categorical(3))" in out
    assert "The worst latent (label=2) differs by " in out


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("swapped", [False, True])
def test_a_model_takes_the_space_that_the_other_side_tells(swapped: bool, run: Run) -> None:  # noqa: FBT001
    """A function of two inputs of any name tells nothing; a module beside it tells its embedding."""
    models = ("models:groups_net", "models:groups_function")
    status, out, _ = run(*(models[::-1] if swapped else models), *FEW, "--within", "0.1")
    assert status == 0
    assert "Joint(z=Normal(6), groups=Categorical(4))" in out
    status, _, err = run("models:groups_function", "models:groups_function", *FEW)
    assert status == 2
    assert "if groups is a label, give --labels N" in err


@pytest.mark.usefixtures("in_process")
def test_noise_leaves_a_check_undecided(run: Run) -> None:
    """An error while judging is status 3 and one line."""
    status, out, err = run("models:net", "models:noisy", *FEW, "--within", "0.5")
    assert (status, out) == (3, "")
    assert err.startswith("gentest: undecided: undeclared noise")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("options", [["--within", "0.5"], []])
def test_a_candidate_that_fails_where_the_reference_does_not_has_status_1(options: list[str], run: Run) -> None:
    """At any tolerance: the output counts the latents, names the coordinate, and its replay lines fail in `check`."""
    status, out, err = run("models:net", "models:sometimes_nan()", "--latent", "normal:6", *FEW, *options)
    assert (status, err) == (1, "")
    assert re.search(r"They disagree: on \d+ of 40 independent latents, the candidate's output is not finite", out)
    assert "all 40 latents differ by at most not valid" in out
    assert "The worst latent has no valid output" in out
    assert "There, 48 of 48 values are not finite." in out
    assert "Reduced to what matters: coordinate 2 = " in out
    assert "Fewer than" not in out
    assert "inf" not in out
    assert out.count("--replay well_formed:") == 2
    assert "--against models:net" in out


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("candidate", "says"), [("net", "in the reference, "), ("sometimes_nan()", "both models give")]
)
def test_a_reference_that_fails_leaves_a_check_undecided(candidate: str, says: str, run: Run) -> None:
    """Alone or on the latents of the candidate: status 3, and one line that names the sides."""
    given = ["--latent", "normal:6", *FEW, "--within", "0.5"]
    status, out, err = run("models:sometimes_nan()", f"models:{candidate}", *given)
    assert (status, out) == (3, "")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), child.ChildFailed("no answer within 1 second")], ids=repr)
def test_an_unfinished_comparison_is_undecided(error: BaseException, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt and the time limit are status 3."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(child, "call", fail)
    status, out, err = run("models:net", "models:near", "--within", "0.5")
    assert (status, out) == (3, "")
    assert err.startswith("gentest: undecided: ")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["models:generator", "models:seven"], ["'z' is Normal(7) in the candidate and Normal(6) in the reference"]),
        (["models:net", "models:wide"], ["'z' is Normal(7) in the candidate and Normal(6) in the reference"]),
        (["models:net", "models:grey"], ["the candidate makes outputs [1, 4, 4] and the reference [3, 4, 4]"]),
        (["nothing:net", "models:net"], ["REFERENCE nothing:net: no module 'nothing'"]),
        (["models:net", "nothing:net"], ["CANDIDATE nothing:net: no module 'nothing'"]),
        (["models:net", "models:nothing"], ["models:nothing: ", "has no attribute 'nothing'"]),
        (["models:net", "models:needs"], ["models:needs: ", "'width'"]),
        (["models:net", "models:quits"], ["models:quits: SystemExit: bye"]),
        (["models:net", "models:number"], ["models:number: gave a int"]),
        (["models:rows", "models:rows"], ["models:rows: it does not tell its latent space: give --latent"]),
        (["models:net", "none.onnx"], ["CANDIDATE='none.onnx'"]),
        (["models:net", "models.py"], ["CANDIDATE='models.py'"]),
        (["models:net", "models:near", "--within", "-1"], ["--within='-1'"]),
        (["models:net", "models:near", "--labels", "1"], ["--labels=1"]),
        (["models:net", "models:near", "--labels", "3"], ["--labels 3: it takes one input", "and no label"]),
        (["models:net", "models:near", "--latent", "normal:0"], ["--latent='normal:0'"]),
        (["models:net", "models:near", "--examples", "0"], ["examples=0"]),
        (["models:net", "models:near", "--device", "none"], ["device='none'"]),
        (["models:net", "models:near", "--report", "no/page.html"], ["--report='no/page.html'"]),
        (["models:generator", "models:near", "--no-images"], ["leave out --outputs and --no-images"]),
        (["models:generator", "models:near", "--latent", "uniform:6"], ["--latent says Uniform(6)"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_misuse_is_one_line_and_status_2(arguments: list[str], words: list[str], run: Run) -> None:
    """Spaces or shapes that differ, models that are not there, and wrong options are named in one line."""
    misuse(run(*arguments), *words)


def test_differences_survive_json() -> None:
    """The record that the child sends is the record that the command prints."""
    worst = {"difference": 0.1, "source": "the search", "replay": "agrees:1f", "choices": "", "note": ""}
    level = {"attribute": "brightness()", "reference": 0.5, "candidate": 0.5, "shift": None, "low": None, "high": None}
    value: dict[str, Any] = {"space": "Normal(3)", "outputs": "images", "unit": "", "n": 4, "searched": 4}
    value |= {"quantiles": [0.0] * len(SHARES), "levels": [level], "worst": worst, "attack": "", "disagreeing": 0}
    read = Differences.from_json({**value, "agrees": True, "images": 9, "seconds": 0.1})
    assert read.worst.replay == "agrees:1f"
    assert read.levels[0].shift is None
    assert read.quantiles == (0.0,) * len(SHARES)
