"""`flagged` asks a pipeline's safety checker, and images stay what the pipeline made of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import gentest
from gentest import Generator
from gentest.errors import InvalidArgument
from tests.helpers import tiny_pipelines


class Checker(torch.nn.Module):
    """Flags images that are brighter than .5, and blacks them out."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, images: Any, clip_input: torch.Tensor) -> Any:
        self.asked += len(images)
        flags = [bool(x.mean() > 0.5) for x in clip_input]
        for image, flag in zip(images, flags, strict=True):
            if flag:
                image[:] = 0.0
        return images, flags


def extract(arrays: Any, return_tensors: str) -> Any:
    pixels = [torch.as_tensor(array) / 255 for array in arrays]
    return SimpleNamespace(pixel_values=torch.stack(pixels).permute(0, 3, 1, 2))


def test_a_flag_is_read_and_the_image_stays() -> None:
    checker = Checker()
    measure = gentest.flagged(SimpleNamespace(safety_checker=checker, feature_extractor=extract))
    images = torch.stack([torch.full((3, 4, 4), level) for level in (0.2, 0.8, 0.6)])
    before = images.clone()
    assert measure(images).tolist() == [0.0, 1.0, 1.0]
    assert torch.equal(images, before)
    assert repr(measure) == "flagged()"
    assert checker.asked == 3
    with pytest.raises(InvalidArgument, match="a pipeline with a safety_checker"):
        gentest.flagged(SimpleNamespace(safety_checker=None, feature_extractor=None))


@pytest.mark.slow
def test_a_pipeline_does_not_black_out_what_it_flags() -> None:
    """The outputs are those of the pipeline without a checker, which is asked by the property, and put back."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    torch.manual_seed(0)
    tiny = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**tiny, "image_size": 8, "patch_size": 4, "projection_dim": 8}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8)).eval()
    checker.concept_embeds_weights.data.fill_(-1.0)  # flags everything
    extractor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    pipeline = tiny_pipelines.stable_diffusion(safety_checker=checker, feature_extractor=extractor)
    start = gentest.Normal((4, tiny_pipelines.SIZE, tiny_pipelines.SIZE))
    z = torch.randn(2, 4, tiny_pipelines.SIZE, tiny_pipelines.SIZE)
    made = Generator.from_diffusers(pipeline, latent=start, steps=1, prompt="a cat").outputs({"": z})
    plain = Generator.from_diffusers(tiny_pipelines.stable_diffusion(), latent=start, steps=1, prompt="a cat")
    torch.testing.assert_close(made, plain.outputs({"": z}))
    assert made.abs().amax() > 0
    assert pipeline.safety_checker is checker
    assert gentest.flagged(pipeline)(made).tolist() == [1.0, 1.0]
    checker.concept_embeds_weights.data.fill_(2.0)
    checker.special_care_embeds_weights.data.fill_(2.0)
    assert gentest.flagged(pipeline)(made).tolist() == [0.0, 0.0]
