"""Kinds of output: how gentest reads, checks, compares and shows what a generator makes."""

from gentest.outputs.audio import Audio
from gentest.outputs.kind import Arrays, Images, Kind
from gentest.outputs.rows import Rows
from gentest.outputs.tokens import Tokens
from gentest.outputs.video import Video

__all__ = ["Arrays", "Audio", "Images", "Kind", "Rows", "Tokens", "Video"]
