"""CLIP scores: how much more an image looks like one text than like another.

The score is the model's own logit difference, logit scale x (cos(image, text) - cos(image, against)). It is a log-odds,
which does not saturate as a probability does. `clip_classes` gives a logit for each of several texts, as a zero-shot
classifier. Source: Radford et al., "Learning transferable visual models from natural language supervision", 2021.

All scores and classes of one model are read out of one embedding of each image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gentest.attributes.attribute import Named, Setup
from gentest.attributes.clip.low_precision import SCHEME
from gentest.attributes.clip.model import ClipModel, load_clip
from gentest.attributes.prompts import PromptCache
from gentest.errors import ClipError, InvalidArgument
from gentest.results.settings import Precision

NEUTRAL = "a photo"
NEUTRAL_WORD = "thing"


class _CallableValue(Named, ABC):
    """A value that binds itself to the device of the images when it is called without a session."""

    @abstractmethod
    def bind(self, setup: Setup) -> Callable[[Tensor], Tensor]: ...

    def __call__(self, images: Tensor) -> Tensor:
        return self.bind(Setup(images.device))(images)


@dataclass(frozen=True, repr=False)
class ClipEmbedding(_CallableValue):
    """The value of `clip_embedding`."""

    model: str | None = None

    def bind(self, setup: Setup) -> BoundEmbedding:
        """The embedding with its model, loaded once a process and device. Raises `ClipError`."""
        return BoundEmbedding(_load_chosen(self.model, setup, text=False), self)

    def __repr__(self) -> str:
        return f"clip_embedding({self.model!r})" if self.model else "clip_embedding()"


@dataclass(frozen=True, repr=False)
class BoundEmbedding(Named):
    """The image embedding of a loaded CLIP, in some precision; equal for the same model on the same device."""

    model: ClipModel
    declared: ClipEmbedding = field(compare=False)
    precision: Precision = "full"

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the model's image tower."""
        return self.model.fingerprint

    @property
    def address(self) -> str:
        """The key of its rows in the cache: weights, preprocessing and precision."""
        lowered = {"full": "", "int8": f" {SCHEME}"}.get(self.precision, f" {self.precision}")
        return f"clip {self.model.fingerprint} {self.model.preprocess!r}{lowered}"

    def lowered(self, precision: Precision) -> BoundEmbedding:
        """The same embedding in a lower precision, for screening."""
        return replace(self, precision=precision)

    def __call__(self, images: Tensor) -> Tensor:
        return self.model.embed(images, self.precision)

    def __repr__(self) -> str:
        return repr(self.declared)


@dataclass(frozen=True, repr=False)
class BoundReadout(Named):
    """A CLIP score or classifier that is ready to run: one matrix product with an image embedding."""

    declared: ClipAttribute | ClipClasses
    feature: BoundEmbedding
    texts: Tensor = field(compare=False)  # [D] or [D, K], logit scale included
    probability: bool = False

    def read(self, embedding: Tensor) -> Tensor:
        """Log-odds (or probabilities) [B], or logits [B, K], from image embeddings [B, D]."""
        logits = embedding.float() @ self.texts.to(embedding.device)
        return logits.sigmoid() if self.probability else logits

    def __call__(self, images: Tensor) -> Tensor:
        return self.read(self.feature(images))

    def __repr__(self) -> str:
        return repr(self.declared)


@dataclass(frozen=True, repr=False)
class ClipAttribute(_CallableValue):
    """The value of `clip`."""

    text: str
    against: str | None = None
    templates: tuple[str, ...] = ()
    model: str | None = None
    probability: bool = False

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts to embed: those of the text, then as many of the text that it is measured against."""
        against = self.against or (NEUTRAL_WORD if self.templates else NEUTRAL)
        return _fill(self.templates or ("{}",), (self.text, against))

    def bind(self, setup: Setup) -> BoundReadout:
        """The attribute with its model loaded and its prompts embedded. Raises `ClipError`."""
        feature, (text, against) = _embed_texts(self, 2, setup)
        return BoundReadout(self, feature, feature.model.logit_scale * (text - against), self.probability)

    def __repr__(self) -> str:
        parts = [repr(self.text)] + ([repr(self.against)] if self.against else [])
        defaults = {"templates": (), "model": None, "probability": False}
        parts += [f"{name}={value!r}" for name, was in defaults.items() if (value := getattr(self, name)) != was]
        return f"clip({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class ClipClasses(_CallableValue):
    """The value of `clip_classes`."""

    templates: tuple[str, ...]
    names: tuple[str, ...]
    model: str | None = None

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts to embed, class by class."""
        return _fill(self.templates, self.names)

    def bind(self, setup: Setup) -> BoundReadout:
        """The classifier with its model loaded and its prompts embedded. Raises `ClipError`."""
        feature, names = _embed_texts(self, len(self.names), setup)
        return BoundReadout(self, feature, (feature.model.logit_scale * names).T)

    def __repr__(self) -> str:
        template = repr(self.templates[0]) if len(self.templates) == 1 else repr(list(self.templates))
        model = f", model={self.model!r}" if self.model else ""
        return f"clip_classes({template}, {list(self.names)!r}{model})"


@dataclass(frozen=True, repr=False)
class PromptMatch(Named):
    """The value of `prompt_match`."""

    part: str
    against: str | None = None
    model: str | None = None

    def bind(self, setup: Setup) -> BoundPromptMatch:
        """The attribute with its model loaded. Raises `ClipError`."""
        model = _load_chosen(self.model, setup, text=setup.prompts is None)
        return BoundPromptMatch(self, BoundEmbedding(model, ClipEmbedding(self.model)), setup.prompts)

    def __call__(self, images: Tensor) -> Tensor:
        raise InvalidArgument(f"{self!r} needs the prompts of the images: ask evidence.scores({self!r})")

    def __repr__(self) -> str:
        words = [repr(self.part)] + [
            f"{name}={value!r}" for name in ("against", "model") if (value := getattr(self, name)) is not None
        ]
        return f"prompt_match({', '.join(words)})"


@dataclass(frozen=True, repr=False)
class BoundPromptMatch(Named):
    """A `prompt_match` with its model: a readout of the image embedding, once it knows the prompts."""

    declared: PromptMatch
    feature: BoundEmbedding
    prompts: PromptCache | None = field(compare=False)

    @property
    def sees(self) -> tuple[str, ...]:
        """The part of the space that is the prompt."""
        return (self.declared.part,)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the model's image tower."""
        return self.feature.fingerprint

    def lowered(self, precision: Precision) -> BoundPromptMatch:
        """The same attribute from an embedding in a lower precision, for screening."""
        return replace(self, feature=self.feature.lowered(precision))

    def given(self, values: Mapping[str, Any], options: Mapping[str, Sequence[Any]]) -> GivenPromptMatch:
        """The readout for images of these prompts. Raises `InvalidArgument` for a prompt that is not a text."""
        own = list(values[self.declared.part])
        among = [] if self.declared.against else list(options[self.declared.part])
        for prompt in (*own, *among):
            if not isinstance(prompt, str) or not prompt.strip():
                raise InvalidArgument.expected("a text in every prompt", self.declared.part, prompt)
        others = among if len(among) > 1 else [self.declared.against or NEUTRAL]
        names = list(dict.fromkeys([*own, *others]))
        model = self.feature.model
        texts = model.logit_scale * model.text_vectors(names, self.prompts)  # [T, D]
        place = {name: at for at, name in enumerate(names)}
        rows = torch.tensor([place[prompt] for prompt in own])
        rivals = torch.tensor([[name in others and name != prompt for name in names] for prompt in own])  # [B, T]
        return GivenPromptMatch(self, texts, rows, rivals)

    def __call__(self, images: Tensor) -> Tensor:
        return self.declared(images)

    def __repr__(self) -> str:
        return repr(self.declared)


@dataclass(frozen=True, repr=False, eq=False)
class GivenPromptMatch(Named):
    """A `prompt_match` for the images of some prompts."""

    bound: BoundPromptMatch
    texts: Tensor  # [T, D], logit scale included
    rows: Tensor
    """The text of each image's own prompt, [B]."""
    rivals: Tensor
    """True for the texts that the prompt is measured against, [B, T]."""

    @property
    def feature(self) -> BoundEmbedding:
        """The image embedding."""
        return self.bound.feature

    def read(self, embedding: Tensor) -> Tensor:
        """Log-odds [B] from image embeddings [B, D]."""
        logits = embedding.float() @ self.texts.to(embedding.device).T  # [B, T]
        own = logits.gather(1, self.rows.to(logits.device)[:, None])[:, 0]
        others = logits.masked_fill(~self.rivals.to(logits.device), -torch.inf).amax(1)
        return torch.where(others == -torch.inf, torch.zeros_like(own), own - others)  # the neutral text itself

    def __call__(self, images: Tensor) -> Tensor:
        return self.read(self.feature(images))

    def __repr__(self) -> str:
        return repr(self.bound)


def prompt_match(part: str = "prompt", *, against: str | None = None, model: str | None = None) -> PromptMatch:
    """How much more an image looks like its own prompt than like another text: log-odds [B] by CLIP.

    The prompt is the value of the named part of the space. The other text is the space's other prompt that the image
    looks most like, so a score above 0 means that CLIP picks the right prompt. A space of more than 64 prompts, or of
    one, is measured against "a photo". `against` is a text to measure all images against. `model` is
    as for `clip`. A warning says once if prompts are longer than CLIP's text tower reads.

    Raises `InvalidArgument` for an empty text; binding raises `ClipError` if the model is unavailable.

    >>> prompt_match(against="a photo of nothing")
    prompt_match('prompt', against='a photo of nothing')
    """
    _check_text("part", part)
    _check_text("against", against, optional=True)
    _check_text("model", model, optional=True)
    return PromptMatch(part, against, model)


def clip(
    text: str,
    against: str | None = None,
    *,
    templates: Sequence[str] = (),
    model: str | None = None,
    probability: bool = False,
) -> ClipAttribute:
    """How much more an image looks like `text` than like `against`: log-odds [B], positive for `text`.

    A difference of 1 multiplies the odds of the text by 2.7. `against` is "a photo" by default, so that 0 means nothing
    in particular: compare scores, or give the opposite. With `templates`, such as "a photo of a {}", both texts go into
    each template and the embeddings are averaged, normalised before and after (Radford et al. 2021, section 3.1.4);
    `against` is then "thing" by default.

    `model` is an open_clip `MODEL:PRETRAINED` ("ViT-B-32:laion2b_s34b_b79k"), `MODEL:FILE`, `local-dir:DIR` or
    `hf-hub:ORG/REPO`; by default the session's. `probability` gives sigmoid(log-odds), in [0, 1].

    Raises `InvalidArgument` for an empty text, for a template without "{}" and for equal texts. Binding raises
    `ClipError` if the model is unavailable.

    >>> smiling = clip("a photo of a smiling person", "a photo of a frowning person")
    >>> smiling
    clip('a photo of a smiling person', 'a photo of a frowning person')
    >>> clip("cat", templates=["a photo of a {}", "a drawing of a {}"]).prompts
    ('a photo of a cat', 'a drawing of a cat', 'a photo of a thing', 'a drawing of a thing')
    """
    _check_text("text", text)
    _check_text("against", against, optional=True)
    if isinstance(templates, str):
        raise InvalidArgument.expected("a list of templates", "templates", templates)
    _check_templates(templates)
    _check_text("model", model, optional=True)
    attribute = ClipAttribute(text, against, tuple(templates), model, probability)
    half = len(attribute.prompts) // 2
    if set(attribute.prompts[:half]) == set(attribute.prompts[half:]):
        raise InvalidArgument.expected("another text than the one it is measured against", "text", text)
    return attribute


def clip_embedding(model: str | None = None) -> ClipEmbedding:
    """CLIP's image embedding as a feature: rows [B, D] of unit length, so that a dot product is a cosine.

    `model` is as for `clip`. Raises `InvalidArgument` for an empty one; binding raises `ClipError` if it is
    unavailable.

    >>> clip_embedding("ViT-B-32:laion2b_s34b_b79k")
    clip_embedding('ViT-B-32:laion2b_s34b_b79k')
    """
    _check_text("model", model, optional=True)
    return ClipEmbedding(model)


def clip_classes(template: str | Sequence[str], names: Sequence[str], *, model: str | None = None) -> ClipClasses:
    """CLIP as a classifier [B, K]: its logit for each of `names`, put into a template such as "a photo of a {}".

    The difference of two logits is the log-odds of the two classes, and a softmax over a row gives CLIP's
    probabilities. With several templates, the embeddings of a class are averaged, normalised before and after (Radford
    et al. 2021, section 3.1). `model` is as for `gentest.clip`.

    Raises `InvalidArgument` for a template without "{}", fewer than two names or a repeated name. Binding raises
    `ClipError` if the model is unavailable.

    >>> clip_classes(["a photo of a {}", "a drawing of a {}"], ["cat", "dog"]).prompts
    ('a photo of a cat', 'a drawing of a cat', 'a photo of a dog', 'a drawing of a dog')
    """
    templates = (template,) if isinstance(template, str) else template
    if not isinstance(templates, (list, tuple)) or not templates:
        raise InvalidArgument.expected("a template, or a list of them", "template", template)
    _check_templates(templates)
    if not isinstance(names, (list, tuple)) or len(names) < 2:
        raise InvalidArgument.expected("a list of two names or more", "names", names)
    for name in names:
        _check_text("name", name)
    if len(set(names)) < len(names):
        raise InvalidArgument.expected("names that differ", "names", names)
    _check_text("model", model, optional=True)
    return ClipClasses(tuple(templates), tuple(names), model)


def _check_text(name: str, value: object, *, optional: bool = False) -> None:
    """Raises `InvalidArgument` for anything but a text that is not blank, or None if it is optional."""
    if not (optional and value is None) and (not isinstance(value, str) or not value.strip()):
        raise InvalidArgument.expected("a text", name, value)


def _check_templates(templates: Sequence[object]) -> None:
    """Raises `InvalidArgument` for anything but a text with {} in it."""
    for template in templates:
        if not isinstance(template, str) or "{}" not in template:
            raise InvalidArgument.expected("a text with {} where the prompt goes", "template", template)


def _fill(templates: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    """Each text put into each template, text by text."""
    return tuple(template.replace("{}", text) for text in texts for template in templates)


def _load_chosen(model: str | None, setup: Setup, *, text: bool) -> ClipModel:
    """The named CLIP, or the session's if there is no name. Raises `ClipError`."""
    spec = model or setup.clip
    if spec is None:
        raise ClipError(
            "No CLIP was chosen: give --gentest-clip MODEL:PRETRAINED, gentest_clip in the ini file, "
            "settings(clip=...), or model=... to clip() itself"
        )
    return load_clip(spec, setup.device, text=text)


def _embed_texts(declared: ClipAttribute | ClipClasses, n: int, setup: Setup) -> tuple[BoundEmbedding, Tensor]:
    """The image embedding of a value's model, and the embeddings [n, D] of its n texts, averaged over the templates."""
    model = _load_chosen(declared.model, setup, text=setup.prompts is None)
    vectors = model.text_vectors(declared.prompts, setup.prompts)
    texts = torch.stack([F.normalize(vectors_of_text.mean(0), dim=0) for vectors_of_text in vectors.chunk(n)])
    return BoundEmbedding(model, ClipEmbedding(declared.model)), texts
