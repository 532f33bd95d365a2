"""Three properties of our own: a path keeps its garment, garments are centred, and another z gives another shade.

    pytest --gentest examples/own_property

`test_garments_are_centred` fails: the light of most sandals, sneakers and ankle boots lies to the right.
"""

from __future__ import annotations

import torch

import gentest


@gentest.property(probes=gentest.segments(points=9))
def keeps_identity(evidence: gentest.Evidence, *, encoder: gentest.Feature, floor: float) -> torch.Tensor:
    """Every output of a path resembles the first: the cosine of their embeddings stays above a floor."""
    e = evidence.features(encoder)  # [N, 9, D]
    return torch.cosine_similarity(e, e[:, :1], dim=-1).amin(1) - floor  # [N]: >= 0 where it holds


@keeps_identity(encoder=gentest.clip_embedding(), floor=0.4).at_rate(0.9)
def test_a_path_keeps_its_garment(generator: gentest.Generator) -> gentest.Generator:
    return generator


def lean(images: torch.Tensor) -> torch.Tensor:
    """Centre of the light of images [B, C, H, W]: [B], right of the middle, as a share of their width."""
    columns = images.mean((1, 2))  # [B, W]
    place = torch.linspace(-0.5, 0.5, columns.shape[1], device=columns.device)
    return (columns * place).sum(1) / columns.sum(1).clamp(min=1e-6)


@gentest.property(probes=gentest.points())
def centred(evidence: gentest.Evidence, attribute: gentest.Attribute, *, tolerance: float) -> torch.Tensor:
    """An attribute of every output is zero, within a tolerance."""
    return tolerance - evidence.scores(attribute)[:, 0].abs()


@centred(lean, tolerance=0.05)
def test_garments_are_centred(generator: gentest.Generator) -> gentest.Generator:
    return generator


@gentest.property(probes=gentest.neighbours(step=0.5))
def shades(evidence: gentest.Evidence, attribute: gentest.Attribute, *, at_least: gentest.Tolerance) -> torch.Tensor:
    """Half of the way to another sample, an attribute has changed; `at_least` may be `gentest.sd(x)`."""
    a = evidence.scores(attribute)  # [N, 2]: the sample and its neighbour
    return (a[:, 1] - a[:, 0]).abs() - evidence.in_units(at_least, attribute)


@shades(gentest.brightness(), at_least=gentest.sd(0.01)).at_rate(0.9)
def test_a_step_gives_another_shade(generator: gentest.Generator) -> gentest.Generator:
    return generator
