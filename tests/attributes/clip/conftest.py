"""Fixtures of a tiny random CLIP."""

from __future__ import annotations

from tests.helpers.tiny_clip import copy, open_clip, tiny

__all__ = ["copy", "open_clip", "tiny"]
