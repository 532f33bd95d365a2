"""Kinds of output: how gentest reads, checks, compares and shows what a generator makes."""

from gentest.outputs.kind import Arrays, Images, Kind

__all__ = ["Arrays", "Images", "Kind"]
