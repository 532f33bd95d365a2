"""Property-based testing for generative models, inside pytest.

The author of a GAN, VAE or diffusion decoder declares what must hold in its latent space, and gentest checks it:
Hypothesis searches for a counterexample, which is shrunk, explained and replayed.

    @gentest.between(gentest.brightness(), tolerance=0.05)
    def test_brightness_is_between(generator):
        return generator

Run it with `pytest --gentest`. Public names are imported on first use: importing gentest imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gentest._support import __version__ as __version__

if TYPE_CHECKING:
    from gentest.attributes import Attribute as Attribute
    from gentest.attributes import Feature as Feature
    from gentest.attributes.clip import clip as clip
    from gentest.attributes.clip import clip_classes as clip_classes
    from gentest.attributes.clip import clip_embedding as clip_embedding
    from gentest.attributes.distances import Distance as Distance
    from gentest.attributes.distances import distance as distance
    from gentest.attributes.distances import lpips as lpips
    from gentest.attributes.pixels import brightness as brightness
    from gentest.attributes.pixels import colorfulness as colorfulness
    from gentest.attributes.pixels import contrast as contrast
    from gentest.attributes.pixels import pixels as pixels
    from gentest.attributes.pixels import saturation as saturation
    from gentest.attributes.pixels import sharpness as sharpness
    from gentest.decorators import Property as Property
    from gentest.decorators import between as between
    from gentest.decorators import continuous as continuous
    from gentest.decorators import diverse as diverse
    from gentest.decorators import follows_label as follows_label
    from gentest.decorators import holds_within as holds_within
    from gentest.decorators import matches as matches
    from gentest.decorators import monotone as monotone
    from gentest.decorators import path_length as path_length
    from gentest.decorators import prior_invariant as prior_invariant
    from gentest.decorators import property as property
    from gentest.decorators import reproducible as reproducible
    from gentest.decorators import responsive as responsive
    from gentest.decorators import steers as steers
    from gentest.decorators import well_formed as well_formed
    from gentest.engine.suggest import Suggestion as Suggestion
    from gentest.engine.suggest import suggest as suggest
    from gentest.engine.suggest.direction_finding import find_direction as find_direction
    from gentest.engine.suggest.path_length import PathLength as PathLength
    from gentest.engine.suggest.path_length import perceptual_path_length as perceptual_path_length
    from gentest.errors import AttributeFailed as AttributeFailed
    from gentest.errors import ClipError as ClipError
    from gentest.errors import GeneratorError as GeneratorError
    from gentest.errors import GentestError as GentestError
    from gentest.errors import InvalidArgument as InvalidArgument
    from gentest.errors import NotChecked as NotChecked
    from gentest.errors import PropertyFailed as PropertyFailed
    from gentest.errors import Violation as Violation
    from gentest.generators.generator import Generator as Generator
    from gentest.probes import strategies as strategies
    from gentest.probes.families import Probes as Probes
    from gentest.probes.families import along as along
    from gentest.probes.families import neighbours as neighbours
    from gentest.probes.families import points as points
    from gentest.probes.families import segments as segments
    from gentest.probes.families import steps as steps
    from gentest.probes.probe import Probe as Probe
    from gentest.properties.definition import Evidence as Evidence
    from gentest.properties.definition import Tolerance as Tolerance
    from gentest.properties.definition import sd as sd
    from gentest.results.result import Counterexample as Counterexample
    from gentest.results.result import Result as Result
    from gentest.results.result import Verdict as Verdict
    from gentest.results.settings import settings as settings
    from gentest.spaces import Categorical as Categorical
    from gentest.spaces import Direction as Direction
    from gentest.spaces import Empirical as Empirical
    from gentest.spaces import Joint as Joint
    from gentest.spaces import Mapped as Mapped
    from gentest.spaces import Normal as Normal
    from gentest.spaces import Space as Space
    from gentest.spaces import Sphere as Sphere
    from gentest.spaces import TruncatedNormal as TruncatedNormal
    from gentest.spaces import Uniform as Uniform

_ROOMS = {
    "results.settings": ("settings",),
    "attributes": ("Attribute", "Feature"),
    "attributes.clip": ("clip", "clip_classes", "clip_embedding"),
    "attributes.distances": ("Distance", "distance", "lpips"),
    "attributes.pixels": ("brightness", "colorfulness", "contrast", "pixels", "saturation", "sharpness"),
    "decorators": (
        "Property", "between", "continuous", "diverse", "follows_label", "holds_within", "matches", "monotone",
        "path_length", "prior_invariant", "property", "reproducible", "responsive", "steers", "well_formed",
    ),
    "engine.suggest.path_length": ("PathLength", "perceptual_path_length"),
    "engine.suggest": ("Suggestion", "suggest"),
    "engine.suggest.direction_finding": ("find_direction",),
    "errors": (
        "AttributeFailed", "ClipError", "GeneratorError", "GentestError", "InvalidArgument", "NotChecked",
        "PropertyFailed", "Violation",
    ),
    "generators.generator": ("Generator",),
    "probes.families": ("Probes", "along", "neighbours", "points", "segments", "steps"),
    "probes.probe": ("Probe",),
    "properties.definition": ("Evidence", "Tolerance", "sd"),
    "results.result": ("Counterexample", "Result", "Verdict"),
    "spaces": (
        "Categorical", "Direction", "Empirical", "Joint", "Mapped", "Normal", "Space", "Sphere", "TruncatedNormal",
        "Uniform",
    ),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = ["__version__", "strategies", *sorted(_ROOM_OF)]


def _public(name: str) -> Any:
    if name == "strategies":
        value = importlib.import_module("gentest.probes.strategies")
    elif name in _ROOM_OF:
        value = getattr(importlib.import_module(f"gentest.{_ROOM_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'gentest' has no attribute {name!r}")
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # a type checker knows the names above, and no others
    __getattr__ = _public


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
