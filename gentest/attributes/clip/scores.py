"""CLIP scores: how much more an image looks like one text than like another.

The score is the model's own logit difference, logit scale x (cos(image, text) - cos(image, against)). It is a log-odds,
which does not saturate as a probability does. `clip_classes` gives a logit for each of several texts, as a zero-shot
classifier. Source: Radford et al., "Learning transferable visual models from natural language supervision", 2021.

All scores and classes of one model are read out of one embedding of each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from gentest.attributes.attribute import Setup
from gentest.attributes.clip.low_precision import SCHEME
from gentest.attributes.clip.model import ClipModel, load_clip
from gentest.errors import ClipError, InvalidArgument
from gentest.results.settings import Precision

NEUTRAL = "a photo"
NEUTRAL_WORD = "thing"


@dataclass(frozen=True, repr=False)
class ClipEmbedding:
    """The image embedding of a CLIP, as a value: see `clip_embedding`."""

    model: str | None = None

    def bind(self, setup: Setup) -> BoundEmbedding:
        """With the model loaded on the session's device, once for the whole process."""
        return BoundEmbedding(load_chosen(self.model, setup, text=False), self)

    def __call__(self, images: Tensor) -> Tensor:
        return self.bind(Setup(images.device))(images)

    def __repr__(self) -> str:
        return f"clip_embedding({self.model!r})" if self.model else "clip_embedding()"


@dataclass(frozen=True, repr=False)
class BoundEmbedding:
    """The image embedding of a loaded CLIP. Those of the same model on the same device are equal."""

    model: ClipModel
    declared: ClipEmbedding = field(compare=False)

    @property
    def fingerprint(self) -> str:
        """That of the model's image tower."""
        return self.model.fingerprint

    @property
    def address(self) -> str:
        """What tells its rows from any other's: weights and preprocessing."""
        return f"clip {self.model.fingerprint} {self.model.preprocess!r}"

    def lowered(self, precision: Precision) -> LoweredEmbedding:
        """The same embedding in a lower precision, to screen with."""
        return LoweredEmbedding(self.model, precision, self.declared)

    def __call__(self, images: Tensor) -> Tensor:
        return self.model.embed(images)

    def __repr__(self) -> str:
        return repr(self.declared)


@dataclass(frozen=True, repr=False)
class LoweredEmbedding:
    """The image embedding of a loaded CLIP in a lower precision."""

    model: ClipModel
    precision: Precision
    declared: ClipEmbedding = field(compare=False)

    @property
    def address(self) -> str:
        """What tells its rows from any other's: weights, preprocessing, and how they are lowered."""
        how = SCHEME if self.precision == "int8" else self.precision
        return f"clip {self.model.fingerprint} {self.model.preprocess!r} {how}"

    def __call__(self, images: Tensor) -> Tensor:
        return self.model.embed(images, self.precision)

    def __repr__(self) -> str:
        return repr(self.declared)


@dataclass(frozen=True, repr=False)
class ClipAttribute:
    """A score read out of CLIP, as a value: see `clip`."""

    text: str
    against: str | None = None
    templates: tuple[str, ...] = ()
    model: str | None = None
    probability: bool = False

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt whose embedding is needed: those of the text, then those of what it is measured against."""
        against = self.against or (NEUTRAL_WORD if self.templates else NEUTRAL)
        return tuple(template.replace("{}", text) for text in (self.text, against) for template in self._templates)

    @property
    def _templates(self) -> tuple[str, ...]:
        return self.templates or ("{}",)

    def bind(self, setup: Setup) -> BoundClip:
        """With the model loaded on the session's device and its prompts embedded. Raises `ClipError`."""
        model = load_chosen(self.model, setup, text=setup.prompts is None)
        vectors = model.text_vectors(self.prompts, setup.prompts)
        text, against = (ensemble(half) for half in vectors.chunk(2))
        return BoundClip(self, BoundEmbedding(model, ClipEmbedding(self.model)), model.logit_scale * (text - against))

    def __call__(self, images: Tensor) -> Tensor:
        return self.bind(Setup(images.device))(images)

    def __repr__(self) -> str:
        parts = [repr(self.text)] + ([repr(self.against)] if self.against else [])
        defaults = {"templates": (), "model": None, "probability": False}
        parts += [f"{name}={value!r}" for name, was in defaults.items() if (value := getattr(self, name)) != was]
        return f"clip({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class BoundClip:
    """A CLIP score that is ready to run: one dot product with an image embedding."""

    declared: ClipAttribute
    feature: BoundEmbedding
    direction: Tensor = field(compare=False)  # [D], logit scale included

    def read(self, embedding: Tensor) -> Tensor:
        """Log-odds [B] (or probabilities) of image embeddings [B, D]."""
        log_odds = embedding.float() @ self.direction.to(embedding.device)
        return log_odds.sigmoid() if self.declared.probability else log_odds

    def __call__(self, images: Tensor) -> Tensor:
        return self.read(self.feature(images))

    def __repr__(self) -> str:
        return repr(self.declared)


def clip(
    text: str,
    against: str | None = None,
    *,
    templates: Sequence[str] = (),
    model: str | None = None,
    probability: bool = False,
) -> ClipAttribute:
    """How much more an image looks like `text` than like `against`: log-odds [B], positive for `text`.

    A difference of 1 multiplies the odds of the text by 2.7. `against` is "a photo" by default, which makes 0
    arbitrary: compare scores, or give the opposite. With `templates`, such as "a photo of a {}", both texts are
    put into each, and their embeddings averaged, normalised before and after (Radford et al. 2021, section
    3.1.4); `against` is then "thing" by default.

    `model` is an open_clip `MODEL:PRETRAINED` ("ViT-B-32:laion2b_s34b_b79k"), `MODEL:FILE`, `local-dir:DIR`
    or `hf-hub:ORG/REPO`; the session's by default. `probability` gives sigmoid(log-odds), in [0, 1].

    Raises `InvalidArgument` for a template without "{}", and `ClipError` when it is bound, if the model cannot be had.

    >>> smiling = clip("a photo of a smiling person", "a photo of a frowning person")
    >>> smiling
    clip('a photo of a smiling person', 'a photo of a frowning person')
    >>> clip("cat", templates=["a photo of a {}", "a drawing of a {}"]).prompts
    ('a photo of a cat', 'a drawing of a cat', 'a photo of a thing', 'a drawing of a thing')
    """
    check_text("text", text)
    if against is not None:
        check_text("against", against)
    if isinstance(templates, str):
        raise InvalidArgument.expected("a list of templates", "templates", templates)
    for template in templates:
        if not isinstance(template, str) or "{}" not in template:
            raise InvalidArgument.expected("a text with {} where the prompt goes", "template", template)
    if model is not None:
        check_text("model", model)
    attribute = ClipAttribute(text, against, tuple(templates), model, probability)
    if set(attribute.prompts[: len(attribute.prompts) // 2]) == set(attribute.prompts[len(attribute.prompts) // 2 :]):
        raise InvalidArgument.expected("another text than the one it is measured against", "text", text)
    return attribute


def clip_embedding(model: str | None = None) -> ClipEmbedding:
    """CLIP's image embedding as a feature: rows [B, D] of unit length, so that a dot product is a cosine.

    `model` as for `clip`; the session's by default.

    >>> clip_embedding("ViT-B-32:laion2b_s34b_b79k")
    clip_embedding('ViT-B-32:laion2b_s34b_b79k')
    """
    if model is not None:
        check_text("model", model)
    return ClipEmbedding(model)


def check_text(name: str, value: object) -> None:
    """A text that says something, checked."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidArgument.expected("a text", name, value)


def load_chosen(model: str | None, setup: Setup, *, text: bool) -> ClipModel:
    """The CLIP of that name, or the session's where it has none. Raises `ClipError`."""
    spec = model or setup.clip
    if spec is None:
        raise ClipError(
            "No CLIP was chosen: give --gentest-clip MODEL:PRETRAINED, gentest_clip in the ini file, "
            "settings(clip=...), or model=... to clip() itself"
        )
    return load_clip(spec, setup.device, text=text)


def ensemble(vectors: Tensor) -> Tensor:
    """One text embedding [D] of unit length, from those of its templates [n, D]."""
    return F.normalize(vectors.mean(0), dim=0)


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
