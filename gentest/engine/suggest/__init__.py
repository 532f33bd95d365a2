"""Measured tolerances to start from, and the test file that holds them: what `gentest suggest` prints."""

from gentest.engine.suggest.suggestion import Suggestion, suggest

__all__ = ["Suggestion", "suggest"]
