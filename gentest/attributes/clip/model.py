"""A CLIP on a device: embeddings of images, and embeddings of prompts from a file or from its text tower."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gentest.attributes.attribute import weights_fingerprint
from gentest.attributes.clip.loading import ClipSource, find_source, load_towers
from gentest.attributes.clip.low_precision import lowered
from gentest.attributes.prompts import PromptCache, Vector
from gentest.errors import ClipError
from gentest.results.settings import Precision

LAYOUTS = {"cuda": torch.channels_last}
"""The memory format of the image tower and its inputs, by the kind of device; contiguous elsewhere."""
CPU_AT_ONCE = 32
"""The largest batch on a CPU. A larger one leaves the cache: a ViT-B-32 does 18.5 images/s at 32, and 16.7 at 128."""


class ClipModel:
    """A CLIP on a device, in float32 and eval mode. `load_clip` makes one for the whole process."""

    name: str
    """The name that the user gave; only the last part of a folder or file."""
    fingerprint: str
    """16 hex digits of the SHA-256 of the image tower: each tensor's name, shape and float32 values."""
    logit_scale: float
    """The factor that turns a cosine into a logit, about 100."""

    def __init__(self, source: ClipSource, device: torch.device, *, text: bool) -> None:
        self._source, self._device = source, device
        towers = load_towers(source, text=text)
        self.name, self.logit_scale = source.name, towers.logit_scale
        self.preprocess = towers.preprocess
        self.fingerprint = weights_fingerprint(towers.visual)
        self._layout = LAYOUTS.get(device.type, torch.contiguous_format)
        self._visual = towers.visual.to(device).to(memory_format=self._layout)
        self._lowered: dict[Precision, Callable[[Tensor], Any]] = {}
        self._text = towers.text
        self._vectors: dict[str, Vector] = {}
        self._warned = False

    def __repr__(self) -> str:
        return f"ClipModel({self.name!r}, {self._device})"

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_lowered": {}}  # onnxruntime's sessions cannot be pickled

    def embed(self, images: Tensor, precision: Precision = "full") -> Tensor:
        """Image embeddings [B, D], float32, of unit length, of float images [B, 1 or 3, H, W] in [0, 1].

        A lower precision gives nearby rows, without a promise of gradients.
        """
        if self._device.type == "cpu" and len(images) > CPU_AT_ONCE:
            return torch.cat([self.embed(some, precision) for some in torch.split(images, CPU_AT_ONCE)])
        inputs = self.preprocess(images).contiguous(memory_format=self._layout)
        if precision == "full":
            output = self._visual(inputs)
        else:
            if precision not in self._lowered:
                self._lowered[precision] = lowered(self._visual, precision, self._device, inputs)
            output = self._lowered[precision](inputs)
        pooled = output[0] if isinstance(output, tuple) else output  # some towers return their tokens too
        return F.normalize(pooled.float(), dim=-1)

    def text_vectors(self, prompts: Sequence[str], cache: PromptCache | None = None) -> Tensor:
        """Text embeddings [n, D], float32, of unit length, on the model's device.

        They come from the cache if there is one. Without one, or to update it, the text tower runs once a prompt in the
        life of the process. Raises `ClipError` for a prompt that is missing from a cache that is not updated.
        """
        if cache is not None:
            self._check(cache, prompts)
        vectors = {prompt: self._vector(prompt, cache) for prompt in prompts}
        if cache is not None and any(cache.get(self.fingerprint, prompt) is None for prompt in prompts):
            for prompt, vector in vectors.items():
                cache.put(self.fingerprint, prompt, vector, name=self.name, logit_scale=self.logit_scale)
            cache.save()
        return torch.from_numpy(np.stack([vectors[prompt] for prompt in prompts])).to(self._device)

    def drop_text_tower(self) -> None:
        """Free the text tower's memory. Another prompt loads it again."""
        self._text = None

    def _check(self, cache: PromptCache, prompts: Sequence[str]) -> None:
        stored = cache.logit_scale(self.fingerprint)
        if stored is not None and abs(stored / self.logit_scale - 1.0) > 1e-3:
            raise ClipError(
                f"{cache.path}: another text tower made the prompts of {self.name}: their logit scale is {stored:.5g}, "
                f"and the model's is {self.logit_scale:.5g}; delete them and run with --gentest-update-prompts"
            )
        missing = [prompt for prompt in prompts if cache.get(self.fingerprint, prompt) is None]
        if missing and not cache.update:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ClipError(
                f"{cache.path}: no embedding of {missing[0]!r}{more} by {self.name} (image tower {self.fingerprint}); "
                f"run once with --gentest-update-prompts"
            )

    def _vector(self, prompt: str, cache: PromptCache | None) -> Vector:
        stored = None if cache is None else cache.get(self.fingerprint, prompt)
        if stored is not None:
            return stored
        if prompt not in self._vectors:
            self._vectors[prompt] = self._encode(prompt)
        return self._vectors[prompt]

    def _encode(self, prompt: str) -> Vector:
        """The embedding of one prompt, alone and on the CPU: independent of other prompts and of the device."""
        if self._text is None:
            self._text = load_towers(self._source, text=True).text
        assert self._text is not None
        with torch.inference_mode():
            tokens = self._text.tokenizer([prompt])
            self._warn_if_cut(prompt, tokens.shape[1])
            row = self._text.model.encode_text(tokens)
            vector: Vector = F.normalize(row.float(), dim=-1)[0].numpy()
        if not np.isfinite(vector).all():
            raise ClipError(f"CLIP {self.name}: the text tower's embedding of {prompt!r} is not finite")
        return vector

    def _warn_if_cut(self, prompt: str, context: int) -> None:
        """Warns once that the text tower does not read the end of a prompt."""
        if self._warned or self._text is None:
            return
        one_more = [self._text.tokenizer([text], context_length=context + 1)[0, -1].item() for text in (prompt, "")]
        if one_more[0] != one_more[1]:  # a token where an empty text has padding
            self._warned = True
            warnings.warn(
                f"CLIP {self.name} reads {context} tokens, and a prompt has more: it ignores the end of {prompt!r} "
                "(said once)",
                stacklevel=2,
            )


_models: dict[tuple[str, torch.device], ClipModel] = {}
_loading = RLock()


def load_clip(spec: str, device: torch.device, *, text: bool = True) -> ClipModel:
    """The model of `MODEL:PRETRAINED`, `MODEL:FILE`, `local-dir:DIR` or `hf-hub:ORG/REPO`: one a process and device.

    Without `text`, the text tower is loaded only when a prompt needs it. Raises `ClipError`, which says what to do, for
    a model or tag that open_clip does not know, and for weights that are missing, unreachable or broken.
    """
    with _loading:
        source = find_source(spec)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
        key = (source.key, device)
        if key not in _models:
            _models[key] = ClipModel(source, device, text=text)
        return _models[key]
