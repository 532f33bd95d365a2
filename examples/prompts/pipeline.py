"""The painter as a pipeline of diffusers, which costs what a large one does.

A real pipeline takes seconds for an image. This one takes milliseconds, and sleeps the rest away.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from painter import GUIDANCE, STEPS, Painter, load_into, paint
from scenes import SIZE
from torch import Tensor

WEIGHTS = Path(__file__).with_name("painter.safetensors")


class PainterPipeline(DiffusionPipeline):
    """Text to images [B, 3, 32, 32] in [0, 1]. Each image takes `seconds` more than the network does."""

    def __init__(self, painter: Painter, seconds: float = 0.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.register_modules(painter=painter)  # type: ignore[attr-defined]
        self._seconds = seconds

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        num_inference_steps: int = STEPS,
        guidance_scale: float = GUIDANCE,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,  # noqa: FBT001, FBT002
    ) -> ImagePipelineOutput | tuple[Any]:
        """Paint each prompt `num_images_per_prompt` times, from `latents` [B, 3, 32, 32] or from noise of its own."""
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        prompts = [text for text in prompts for _ in range(num_images_per_prompt)]
        if latents is None:
            drawn = generator if isinstance(generator, list) else [generator] * len(prompts)
            latents = torch.stack([torch.randn(3, SIZE, SIZE, generator=one) for one in drawn])
        time.sleep(self._seconds * len(prompts))
        painter = self.components["painter"]  # type: ignore[attr-defined]
        images = paint(painter, latents, prompts, guidance_scale, num_inference_steps) / 2 + 0.5
        if output_type == "pil":
            images = self.numpy_to_pil(images.permute(0, 2, 3, 1).numpy())  # type: ignore[attr-defined]
        return ImagePipelineOutput(images) if return_dict else (images,)  # type: ignore[arg-type]


def load(path: Path = WEIGHTS, *, seconds: float = 0.0) -> PainterPipeline:
    """The pipeline with the weights of a file."""
    return PainterPipeline(load_into(Painter(), path), seconds)
