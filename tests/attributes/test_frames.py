"""Measures of videos: over frames, flicker and motion, their places and their gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import gentest
from gentest.attributes import Setup, bind
from gentest.errors import AttributeFailed, InvalidArgument
from tests.helpers.tiny_clip import CPU
from tests.helpers.tiny_clip import open_clip as open_clip
from tests.helpers.tiny_clip import tiny as tiny

LEVELS = torch.tensor([[0.1, 0.2, 0.3, 0.8, 0.9], [0.5, 0.5, 0.5, 0.5, 0.5]])


def videos(levels: torch.Tensor) -> torch.Tensor:
    """Videos [B, T, 3, 4, 4] of flat frames."""
    return levels[:, :, None, None, None].expand(-1, -1, 3, 4, 4)


@pytest.mark.parametrize(("how", "wanted"), [("mean", 0.46), ("max", 0.9), ("min", 0.1), ("range", 0.8)])
def test_an_attribute_over_frames(how: Any, wanted: float) -> None:
    """The scores of frames become one as asked."""
    measure = gentest.over_frames(gentest.brightness(), how)
    assert measure(videos(LEVELS))[0].item() == pytest.approx(wanted)


def test_a_callable_of_ones_own_is_measured_over_frames() -> None:
    """It gets images [B * T, C, H, W]."""
    measure = gentest.over_frames(lambda images: images.amax((1, 2, 3)), "max")
    torch.testing.assert_close(measure(videos(LEVELS)), torch.tensor([0.9, 0.5]))


def test_clip_is_measured_over_frames() -> None:
    """An attribute that waits for the session is bound first."""

    class Waiting:
        def bind(self, setup: object) -> Any:
            return lambda images: images.mean((1, 2, 3))

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            raise AssertionError("it is not bound")

    g = gentest.Generator(
        lambda z: videos(z.tanh()[:, :5]), latent=gentest.Normal(5), outputs=gentest.Video(fps=1, layout="BTCHW")
    )
    result = gentest.limits(gentest.over_frames(Waiting(), "max"), at_most=1).check(g)
    assert result.outcome.value == "passed", result.message


def test_flicker_is_a_step_and_not_a_fade() -> None:
    """A steady change has none; the places are the frames around the step."""
    torch.testing.assert_close(gentest.flicker()(videos(LEVELS)), torch.tensor([0.4, 0.0]))
    assert gentest.flicker().locate(videos(LEVELS))[0].tolist() == [2, 4]


def test_motion_finds_a_frame_that_is_repeated() -> None:
    """Its smallest change is 0, between the frame and its copy."""
    still = videos(torch.tensor([[0.1, 0.2, 0.2, 0.4]]))
    assert gentest.motion("min")(still).item() == 0.0
    assert gentest.motion("min").locate(still).tolist() == [[1, 3]]
    assert gentest.motion("max").locate(still).tolist() == [[2, 4]]


@pytest.mark.parametrize(
    "measure", [gentest.flicker(), gentest.motion(), gentest.over_frames(gentest.contrast(), "max")]
)
def test_gradients_flow(measure: Any) -> None:
    """An attack follows them to the pixels."""
    x = torch.rand(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    measure(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_wrong_arguments_and_short_videos_are_refused() -> None:
    """With the name of the measure."""
    with pytest.raises(InvalidArgument, match="'mean', 'max', 'min', 'range'"):
        gentest.over_frames(gentest.brightness(), "sum")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        gentest.motion("sum")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="does not see the condition"):
        gentest.over_frames(gentest.attribute(lambda x, prompt: x, sees=["prompt"]))
    with pytest.raises(AttributeFailed, match=r"flicker\(\) needs videos of at least 3 frames"):
        gentest.flicker()(videos(LEVELS[:, :2]))


def test_an_attribute_of_clip_is_that_of_its_frames(tiny: Path) -> None:
    """CLIP sees each frame as an image."""
    setup = Setup(CPU, clip=f"local-dir:{tiny}")
    frames = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    cat = gentest.clip("a cat", "a dog")
    measure = gentest.over_frames(cat, "max").bind(setup)
    bound: Any = bind(cat, setup)
    with torch.no_grad():
        of_frames = torch.stack([bound(video) for video in frames])
        torch.testing.assert_close(measure(frames), of_frames.amax(1))
        assert measure.locate(frames)[:, 0].tolist() == of_frames.argmax(1).tolist()
