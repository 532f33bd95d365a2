"""Measures of videos: any attribute over frames, flicker and motion.

Videos are [B, T, C, H, W] in [0, 1]. Gradients flow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from gentest.attributes.attribute import Attribute, Bindable, Named, Setup, describe, score
from gentest.attributes.conditional import Conditional
from gentest.attributes.of_kind import wrong_kind
from gentest.errors import AttributeFailed, InvalidArgument
from gentest.outputs import Kind, Video

OverTime: TypeAlias = Literal["mean", "max", "min", "range"]
"""How the scores of frames become one: their mean, largest or smallest, or the largest minus the smallest."""
AT_ONCE = 128
"""Frames that are measured in one call."""


def _aggregated(scores: Tensor, how: OverTime) -> Tensor:
    """Scores [B, T] as [B]."""
    if how == "mean":
        return scores.mean(1)
    if how == "range":
        return scores.amax(1) - scores.amin(1)
    return scores.amax(1) if how == "max" else scores.amin(1)


def _places(scores: Tensor, how: OverTime, width: int) -> Tensor:
    """The frames with the score, as places [B, 2]: the largest, the smallest, or the one furthest from the mean."""
    if how == "min":
        at = scores.argmin(1)
    else:
        at = scores.argmax(1) if how == "max" else (scores - scores.mean(1, keepdim=True)).abs().argmax(1)
    return torch.stack([at, at + width], 1).cpu()


@dataclass(frozen=True, repr=False)
class OverFrames(Named):
    """The value of `over_frames`."""

    attribute: Any
    how: OverTime

    def bind(self, setup: Setup) -> OverFrames:
        """The same measure of the bound attribute."""
        return replace(self, attribute=self.attribute.bind(setup)) if isinstance(self.attribute, Bindable) else self

    def of_kind(self, kind: Kind) -> OverFrames:
        if not isinstance(kind, Video):
            raise wrong_kind(self, kind, "videos")
        return self

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the attribute's model; empty without one."""
        found = getattr(getattr(self.attribute, "feature", self.attribute), "fingerprint", "")
        return found if isinstance(found, str) else ""

    @property
    def address(self) -> str:
        """The key of its measurements in the cache."""
        inner = getattr(self.attribute, "address", "")
        return f"{self!r} {inner}" if isinstance(inner, str) and inner else ""

    def __call__(self, videos: Tensor) -> Tensor:
        return _aggregated(self._scores(videos), self.how)

    def locate(self, videos: Tensor) -> Tensor:
        """The frame with the score."""
        return _places(self._scores(videos), self.how, 1)

    def _scores(self, videos: Tensor) -> Tensor:
        """The attribute of each frame, [B, T]."""
        frames = videos.flatten(0, 1)
        parts = [score(self.attribute, part) for part in torch.split(frames, AT_ONCE)]
        return torch.cat(parts).reshape(videos.shape[:2])

    def __repr__(self) -> str:
        return f"over_frames({describe(self.attribute)}, {self.how!r})"


def over_frames(attribute: Attribute, how: OverTime = "mean") -> OverFrames:
    """An attribute of images as one of videos [B]: its mean, largest, smallest or range over frames.

    Any attribute of images will do: pixels, CLIP, a callable of your own on [B, C, H, W]. Its units stay. Reports name
    the frame with the score. Raises `InvalidArgument` for anything but a callable, for an attribute that sees the
    condition, and for another word than "mean", "max", "min" or "range".

    >>> import torch
    >>> from gentest.attributes import brightness
    >>> fade = torch.linspace(0, 1, 5).reshape(1, 5, 1, 1, 1).expand(1, 5, 3, 4, 4)
    >>> over_frames(brightness(), "range")(fade)
    tensor([1.])
    """
    if not callable(attribute) or isinstance(attribute, type):
        raise InvalidArgument.expected("an attribute of images", "attribute", attribute)
    if isinstance(attribute, Conditional) and attribute.sees:
        raise InvalidArgument.expected("an attribute that does not see the condition", "attribute", attribute)
    if how not in get_args(OverTime):
        raise InvalidArgument.expected(f"one of {', '.join(map(repr, get_args(OverTime)))}", "how", how)
    return OverFrames(attribute, how)


@dataclass(frozen=True, repr=False)
class Flicker(Named):
    """The value of `flicker`."""

    address = "flicker"

    def of_kind(self, kind: Kind) -> Flicker:
        if not isinstance(kind, Video):
            raise wrong_kind(self, kind, "videos")
        return self

    def __call__(self, videos: Tensor) -> Tensor:
        changes = self._changes(videos)
        return changes.amax(1) - changes.median(1).values

    def locate(self, videos: Tensor) -> Tensor:
        """The two frames between which brightness changes most."""
        return _places(self._changes(videos), "max", 2)

    def _changes(self, videos: Tensor) -> Tensor:
        """The change of brightness between neighbouring frames, [B, T - 1]."""
        if videos.ndim != 5 or videos.shape[1] < 3:
            raise AttributeFailed(f"{self!r} needs videos of at least 3 frames but got {list(videos.shape[1:])}")
        return videos.mean((2, 3, 4)).diff(dim=1).abs()

    def __repr__(self) -> str:
        return "flicker()"


def flicker() -> Flicker:
    """Flicker [B] in [0, 1]: the largest change of brightness between two neighbouring frames, less the median one.

    0 is a video whose brightness stays or changes steadily, as in a fade. A step of brightness, such as one between
    two chunks of frames that were made apart, counts in full. It needs at least 3 frames.

    >>> import torch
    >>> step = torch.tensor([0.2, 0.2, 0.2, 0.5, 0.5]).reshape(1, 5, 1, 1, 1).expand(1, 5, 3, 4, 4)
    >>> flicker()(step)
    tensor([0.3000])
    """
    return Flicker()


@dataclass(frozen=True, repr=False)
class Motion(Named):
    """The value of `motion`."""

    how: OverTime

    @property
    def address(self) -> str:
        """The key of its measurements in the cache."""
        return repr(self)

    def of_kind(self, kind: Kind) -> Motion:
        if not isinstance(kind, Video):
            raise wrong_kind(self, kind, "videos")
        return self

    def __call__(self, videos: Tensor) -> Tensor:
        return _aggregated(self._changes(videos), self.how)

    def locate(self, videos: Tensor) -> Tensor:
        """The two frames with the score."""
        return _places(self._changes(videos), self.how, 2)

    def _changes(self, videos: Tensor) -> Tensor:
        """The mean absolute change of a value between neighbouring frames, [B, T - 1]."""
        if videos.ndim != 5 or videos.shape[1] < 2:
            raise AttributeFailed(f"{self!r} needs videos of at least 2 frames but got {list(videos.shape[1:])}")
        return videos.diff(dim=1).abs().mean((2, 3, 4))

    def __repr__(self) -> str:
        return "motion()" if self.how == "mean" else f"motion({self.how!r})"


def motion(how: OverTime = "mean") -> Motion:
    """Motion [B] in [0, 1]: the mean absolute change of a value between two neighbouring frames.

    `how` says which of these changes counts: their "mean", "max", "min" or "range". A smallest change of 0 is a frame
    that is repeated. It needs at least 2 frames. Raises `InvalidArgument` for another word.

    >>> import torch
    >>> frames = torch.tensor([0.0, 0.1, 0.1, 0.2]).reshape(1, 4, 1, 1, 1).expand(1, 4, 3, 4, 4)
    >>> motion()(frames), motion("min")(frames)
    (tensor([0.0667]), tensor([0.]))
    """
    if how not in get_args(OverTime):
        raise InvalidArgument.expected(f"one of {', '.join(map(repr, get_args(OverTime)))}", "how", how)
    return Motion(how)
