"""What there is to say of one probe, evaluated alone: the record that reports show and replays compare with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from gentest.attributes import Distance, Feature
from gentest.engine.evidence.observed import Observed
from gentest.engine.judge import Judge
from gentest.probes.ends import rounded, shifted_groups
from gentest.probes.probe import FULL_MASK, Probe, active_groups
from gentest.probes.shifts import to_scores
from gentest.results.result import Counterexample, Moved
from gentest.spaces import AtRadius, Empirical, Part, Truncated

READABLE = 16
"""A feature of one output is shown whole where it has no more numbers."""


def explain(judge: Judge, probe: Probe, label: str, evidence: Observed) -> Counterexample:
    """A probe's margin, scores, coordinate groups, typicality and replay string; `label` names the property in it.

    `evidence` is what was `observed` of it.
    """
    under = judge.weakest(probe)
    space = judge.subject.generator.latent
    groups = space.groups
    active = range(len(groups)) if probe.mask == FULL_MASK else active_groups(probe, len(groups))
    return Counterexample(
        probe=probe.to_json(),
        margin=judge.alone(probe),
        scores=_curves(evidence),
        t=tuple(float(t) for t in evidence.t[0]),
        groups=tuple(str(groups[g]) for g in active),
        n_groups=len(groups),
        n_coordinates=sum(part.dim for part in space.parts.values() if part.n_groups),
        typicality=_typicality(evidence),
        replay=f"{label}:{probe}",
        under=under.name,
        moved=_moved(judge, probe, label) if probe.shift else None,
        choices={name: int(evidence.placed[name].flat[0]) for name, part in space.parts.items() if part.n_choices},
        note=_note(judge, evidence),
    )


def _note(judge: Judge, evidence: Observed) -> str:
    """What explains a margin beyond its figures; empty where nothing does."""
    own = "" if judge.definition.note is None else judge.definition.note(evidence)
    return "; ".join(filter(None, (own, _drawn_twice(evidence))))


def _drawn_twice(evidence: Observed) -> str:
    """Which latents of a probe are one entry of a bank; empty where no two are, or other parts tell them apart."""
    parts = evidence.space.parts
    rows = np.concatenate([evidence.placed[name][0].reshape(evidence.shape[1], -1) for name in parts], axis=1)
    places: dict[bytes, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.tobytes(), []).append(place)
    same = next((found for found in places.values() if len(found) > 1), None)
    name, part = next(((name, part) for name, part in parts.items() if _size_of_bank(part)), ("", None))
    if same is None or part is None:
        return ""
    size = _size_of_bank(part)
    middles = (np.arange(size)[:, None] + 0.5) / size
    is_it = (rounded(part.from_uniforms(middles)) == evidence.placed[name][0, same[0]]).reshape(size, -1).all(axis=1)
    entry, bank = int(is_it.argmax()), f"the bank {name!r}" if name else "the bank"
    first, second = (place + 1 for place in same[:2])
    return f"entry {entry} of {bank} of {size:,} was drawn twice: samples {first} and {second} are one latent"


def _size_of_bank(part: Part) -> int:
    """How many entries a part draws from, truncated or pulled to a radius too; 0 where it is no bank."""
    while isinstance(part, (Truncated, AtRadius)):
        part = part.part
    return len(part.bank) if isinstance(part, Empirical) else 0


def _moved(judge: Judge, probe: Probe, label: str) -> Moved:
    """How far an attack moved a probe: 1 is the root mean square difference of two independent samples, sqrt(2)."""
    space, n_ends = judge.subject.generator.latent, len(judge.definition.probes.streams)
    by, start = to_scores(probe.shift), replace(probe, shift=b"")
    groups = tuple(str(space.groups[g]) for g in shifted_groups(space, n_ends, probe))
    moving = sum(part.dim for part in space.parts.values() if part.n_groups) * n_ends
    distance = float(np.sqrt(np.square(by).sum() / moving / 2))
    return Moved(distance, groups, f"{label}:{start}", judge.alone(start))


def observed(judge: Judge, probe: Probe) -> Observed:
    """The evidence of a probe alone, under the prior where it holds least, once the margin has measured in it."""
    evidence = judge.evidence([probe], judge.weakest(probe), alone=True)
    with torch.no_grad():
        judge.definition.margin(evidence)
    return evidence


def _curves(evidence: Observed) -> dict[str, tuple[float, ...]]:
    """What was measured along one probe: each attribute, and the steps of features and distances between neighbours."""
    curves = {
        name: tuple(float(v) for v in evidence.scores(attribute)[0]) for name, attribute in evidence.attributes.items()
    }
    last = evidence.shape[1] - 1
    if not last:
        for name, feature in evidence.named_features.items():
            curves |= _components(name, feature, evidence.features(feature)[0, 0].tolist())
        return curves
    walked: dict[str, Feature | Distance] = {**evidence.named_features, **evidence.named_distances}
    for name, thing in walked.items():
        steps = evidence.distances(thing, range(last), range(1, last + 1))[0]
        curves[f"step in {name}"] = tuple(float(v) for v in steps)
    return curves


def _components(name: str, feature: Feature, row: list[float]) -> dict[str, tuple[float, ...]]:
    """A feature of one output, number by number, by the names that it gives them: where they are few enough to read."""
    if len(row) > READABLE:
        return {}
    given = getattr(feature, "names", ())
    names = given if len(given) == len(row) else [f"{name}[{k}]" for k in range(len(row))]
    return {str(key): (value,) for key, value in zip(names, row, strict=True)}


def _typicality(evidence: Observed) -> float | None:
    """The prior's quantile of the latent that lies furthest from typical; None where the prior cannot tell."""
    quantiles = [part.typicality(evidence.placed[name][0]) for name, part in evidence.space.parts.items()]
    known = np.concatenate(quantiles)
    known = known[np.isfinite(known)]
    return float(known[np.abs(known - 0.5).argmax()]) if known.size else None
