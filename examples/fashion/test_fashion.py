"""Properties of a small conditional GAN of garments.

    pytest --gentest examples/fashion
    pytest --gentest examples/fashion --gentest-checkpoint examples/fashion/checkpoints/finetune_regressed.safetensors

Tolerances are about twice the worst of 1,500 random probes of the good checkpoint. Three properties hold at a rate: no
step is twice as long as the mean step, no two of sixteen garments are alike, and CLIP recognises a garment by its label
(77 % of 500 shirts, and 82 % or more of any other label). The regressed checkpoint was fine-tuned until it drew one
garment per label, whatever z is. CLIP recognises none of its dresses, and 3 % of its sneakers.
"""

from __future__ import annotations

import pytest
import torch
from model import CLASSES

import gentest

bright = gentest.clip("a photo of a bright shirt", against="a photo of a dark shirt")
garment = gentest.clip_classes("a photo of a {}", CLASSES)


@gentest.well_formed()
@gentest.reproducible()
def test_is_a_function(generator: gentest.Generator) -> gentest.Generator:
    return generator


@gentest.responsive(at_least=0.05)
def test_every_latent_has_a_garment_of_its_own(generator: gentest.Generator) -> gentest.Generator:
    return generator


@gentest.diverse(at_least=0.05).at_rate(0.95)
def test_no_garment_comes_twice(generator: gentest.Generator) -> gentest.Generator:
    return generator


@gentest.follows_label(garment).at_rate(0.7, each="label")
def test_labels_are_followed(generator: gentest.Generator) -> gentest.Generator:
    return generator


@gentest.continuous(ratio=5)
@gentest.continuous(ratio=2).at_rate(0.9)
def test_nothing_jumps(generator: gentest.Generator) -> gentest.Generator:
    return generator


@gentest.between(gentest.brightness(), tolerance=0.2)
@gentest.between(bright, tolerance=gentest.sd(2))
def test_brightness_is_between(generator: gentest.Generator) -> gentest.Generator:
    return generator


box = gentest.Joint(z=gentest.Uniform(64), label=gentest.Categorical(10))


@gentest.prior_invariant(gentest.between(gentest.brightness(), tolerance=0.2), priors=[box])
def test_brightness_is_between_in_a_box(generator: gentest.Generator) -> gentest.Generator:
    return generator


@gentest.property(probes=gentest.segments(points=9))
def stays(evidence: gentest.Evidence, attribute: gentest.Attribute, *, above: float) -> torch.Tensor:
    """A property of our own: an attribute stays above a level all along a path."""
    return evidence.scores(attribute).amin(1) - above


@pytest.mark.parametrize("label", [CLASSES.index("sneaker"), CLASSES.index("ankle boot")], ids=lambda n: CLASSES[n])
@stays(gentest.clip("a photo of a sneaker", against="a photo of a trouser"), above=0.0)
def test_shoes_stay_shoes(generator: gentest.Generator, label: int) -> gentest.Generator:
    return generator.given(label=label)
