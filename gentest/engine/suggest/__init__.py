"""Tolerances measured on a generator, directions of attributes, and the perceptual path length."""

from gentest.engine.suggest.suggestion import Suggestion, suggest

__all__ = ["Suggestion", "suggest"]
