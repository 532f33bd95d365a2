"""CLIP as a measure of images: scores, classes and embeddings, read out of one image tower."""

from gentest.attributes.clip.scores import (
    ClipAttribute,
    ClipClasses,
    ClipEmbedding,
    clip,
    clip_classes,
    clip_embedding,
)

__all__ = ["ClipAttribute", "ClipClasses", "ClipEmbedding", "clip", "clip_classes", "clip_embedding"]
