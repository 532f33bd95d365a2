"""CLIP as a classifier: which of several texts an image looks like, without a label ever trained on.

Zero-shot classification of Radford et al., "Learning transferable visual models from natural language supervision",
2021, section 3.1. It reads the image embedding that the CLIP attributes of the same model read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gentest.attributes.attribute import Setup
from gentest.attributes.clip import BoundEmbedding, ClipEmbedding, check_text, ensemble, load_chosen
from gentest.errors import InvalidArgument


@dataclass(frozen=True, repr=False)
class ClipClasses:
    """A classifier read out of CLIP, as a value: see `clip_classes`."""

    templates: tuple[str, ...]
    names: tuple[str, ...]
    model: str | None = None

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt whose embedding is needed: those of the first class, then those of the second, ..."""
        return tuple(template.replace("{}", name) for name in self.names for template in self.templates)

    def bind(self, setup: Setup) -> BoundClasses:
        """With the model loaded on the session's device and its prompts embedded. Raises `ClipError`."""
        model = load_chosen(self.model, setup, text=setup.prompts is None)
        vectors = model.text_vectors(self.prompts, setup.prompts)
        rows = torch.stack([ensemble(texts) for texts in vectors.chunk(len(self.names))])
        return BoundClasses(self, BoundEmbedding(model, ClipEmbedding(self.model)), model.logit_scale * rows)

    def __call__(self, images: Tensor) -> Tensor:
        return self.bind(Setup(images.device))(images)

    def __repr__(self) -> str:
        template = repr(self.templates[0]) if len(self.templates) == 1 else repr(list(self.templates))
        model = f", model={self.model!r}" if self.model else ""
        return f"clip_classes({template}, {list(self.names)!r}{model})"


@dataclass(frozen=True, repr=False)
class BoundClasses:
    """A CLIP classifier that is ready to run: a dot product for each class with an image embedding."""

    declared: ClipClasses
    feature: BoundEmbedding
    texts: Tensor = field(compare=False)  # [K, D], logit scale included

    def read(self, embedding: Tensor) -> Tensor:
        """Logits [B, K] of image embeddings [B, D]."""
        return embedding.float() @ self.texts.to(embedding.device).T

    def __call__(self, images: Tensor) -> Tensor:
        return self.read(self.feature(images))

    def __repr__(self) -> str:
        return repr(self.declared)


def clip_classes(template: str | Sequence[str], names: Sequence[str], *, model: str | None = None) -> ClipClasses:
    """CLIP's logit for each of `names`, put into a template such as "a photo of a {}": a classifier [B, K].

    The difference of two logits is the log-odds of the two classes; a softmax of the row gives CLIP's probabilities. Of
    several templates, a class's embeddings are averaged, normalised before and after. `model` as for `gentest.clip`;
    the session's by default.

    Raises `InvalidArgument` for a template without "{}", fewer than two names or a name given twice, and `ClipError`
    when it is bound, if the model cannot be had.

    >>> clip_classes(["a photo of a {}", "a drawing of a {}"], ["cat", "dog"]).prompts
    ('a photo of a cat', 'a drawing of a cat', 'a photo of a dog', 'a drawing of a dog')
    """
    templates = (template,) if isinstance(template, str) else template
    if not isinstance(templates, (list, tuple)) or not templates:
        raise InvalidArgument.expected("a template, or a list of them", "template", template)
    for text in templates:
        if not isinstance(text, str) or "{}" not in text:
            raise InvalidArgument.expected("a text with {} where the name goes", "template", text)
    if not isinstance(names, (list, tuple)) or len(names) < 2:
        raise InvalidArgument.expected("a list of two names or more", "names", names)
    for name in names:
        check_text("name", name)
    if len(set(names)) < len(names):
        raise InvalidArgument.expected("names that differ", "names", names)
    if model is not None:
        check_text("model", model)
    return ClipClasses(tuple(templates), tuple(names), model)
