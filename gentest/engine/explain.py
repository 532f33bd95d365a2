"""The record of one probe, evaluated alone, that reports show and replays compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch

from gentest.attributes import Distance, Feature
from gentest.attributes.attribute import describe
from gentest.engine.evidence.observed import Observed
from gentest.engine.judge import Judge
from gentest.engine.neighbours import changing_neighbour
from gentest.engine.places import places
from gentest.errors import InvalidOutput
from gentest.probes.ends import code_spans, shifted_groups
from gentest.probes.enumeration import entry_of
from gentest.probes.families import points
from gentest.probes.probe import FULL_MASK, Probe, active_groups, recorded
from gentest.probes.shifts import to_scores
from gentest.properties.definition import AnyDefinition, Apart, Definition
from gentest.results.counterexample import Alike, Counterexample, KeptCodes, Moved, shown_choice
from gentest.results.result import BrokenOutput
from gentest.spaces import Choice, Codes, Space
from gentest.spaces.space import Group, Shown

MAX_COMPONENTS = 16
"""The most components of one output's feature that are shown."""
MAX_COORDINATES = 3
"""The most coordinates whose values are shown."""
MAX_PLACES = 16
"""The most positions of a grid of codes that are named."""


@dataclass(frozen=True)
class Explained:
    """The record of a probe, and the evidence that it was read from."""

    record: Counterexample
    evidence: Observed


def observed(judge: Judge, probe: Probe) -> Observed:
    """The evidence of a probe alone, with what the margin measures, under the prior where the margin is smallest."""
    evidence = judge.evidence([probe], judge.weakest(probe), alone=True)
    with torch.no_grad():
        judge.definition.margin(evidence)
        if judge.scope is not None:
            judge.scope.definition.margin(evidence)
    return evidence


def explain(judge: Judge, probe: Probe, label: str) -> Explained:
    """The margin, scores, coordinate groups, typicality and replay string of a probe; `label` names the property."""
    evidence = observed(judge, probe)
    space = judge.subject.generator.latent
    groups, grids = space.groups, code_spans(space)
    moving = [name for name in judge.definition.probes.moving(space) if name not in grids]
    n_ends = len(judge.definition.probes.streams)
    kept_groups = range(len(groups)) if probe.mask == FULL_MASK else active_groups(probe, len(groups))
    active = [g for g in kept_groups if groups[g].part in moving]
    repeats = "" if probe.blanks else _note_on_repeats(evidence)
    own = "" if judge.definition.note is None else judge.definition.note(evidence)
    notes = (own, repeats, changing_neighbour(judge, probe), *(place.text for place in places(evidence)))
    kept = recorded(space, probe, evidence.placed)
    record = Counterexample(
        probe=kept.to_json(),
        margin=judge.alone(probe),
        scores=_curves(evidence),
        t=tuple(float(t) for t in evidence.t[0]),
        groups=tuple(str(groups[g]) for g in active),
        n_groups=sum(group.part in moving for group in groups),
        n_coordinates=sum(space.parts[name].dim for name in moving if space.parts[name].n_groups),
        typicality=_typicality(evidence),
        replay=f"{label}:{kept}",
        under=judge.weakest(probe).name,
        moved=_moved(judge, probe, kept, label) if probe.shift else None,
        choices=shown_choices(space, evidence.placed),
        note="; ".join(filter(None, notes)),
        entries={} if probe.blanks else _entries(evidence),
        codes=_kept_codes(space, probe, evidence.placed),
        reducible=judge.definition.reducible,
        alike=_alike(evidence, judge.definition.apart),
        coordinates=_coordinates(
            evidence, [groups[g] for g in (shifted_groups(space, n_ends, probe) if probe.shift else active)]
        ),
    )
    return Explained(record, evidence)


def _coordinates(evidence: Observed, groups: Sequence[Group]) -> dict[str, tuple[float, ...]]:
    """The values of single coordinates at a point, or at both ends of a path; empty if they are too many.

    Empty, too, under a prior whose latents do not have a number for each coordinate, as a bank's.
    """
    parts, t = evidence.space.parts, evidence.t[0].tolist()
    single = all(g.high == g.low + 1 and parts[g.part].coordinatewise for g in groups)
    if not single or len(groups) > MAX_COORDINATES or (np.diff(t) <= 0).any():
        return {}
    ends = [0] if len(t) == 1 else [0, -1]
    return {str(g): tuple(float(evidence.placed[g.part][0, end].flat[g.low]) for end in ends) for g in groups}


def _note_on_repeats(evidence: Observed) -> str:
    """The two latents of a probe that are the same entry of a bank, in words; "" if all differ."""
    parts = evidence.space.parts
    rows = np.concatenate([evidence.placed[name][0].reshape(evidence.shape[1], -1) for name in parts], axis=1)
    places: dict[bytes, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.tobytes(), []).append(place)
    repeated = next((same for same in places.values() if len(same) > 1), None)
    name, part = next(((name, part) for name, part in parts.items() if part.n_entries), ("", None))
    if repeated is None or part is None:
        return ""
    size = part.n_entries
    entry = entry_of(part, evidence.placed[name][0, repeated[0]])
    bank = f"the bank {name!r}" if name else "the bank"
    first, second = (place + 1 for place in repeated[:2])
    return f"samples {first} and {second} are the same latent: both drew entry {entry} of {bank} of {size:,}"


def _entries(evidence: Observed) -> dict[str, int]:
    """The entry of each bank that a single latent is, by the name of its part; empty for several latents."""
    if evidence.shape[1] > 1:
        return {}
    parts = {name: part for name, part in evidence.space.parts.items() if part.n_entries}
    return {name: entry_of(part, evidence.placed[name][0, 0]) for name, part in parts.items()}


def _kept_codes(space: Space, probe: Probe, latents: Mapping[str, np.ndarray[Any, Any]]) -> tuple[KeptCodes, ...]:
    """The positions of each grid of codes that a probe leaves as drawn, with the codes of its last latent there."""
    blank = {position for low, high in probe.blanks for position in range(low, high)}
    records = []
    for name, span in code_spans(space).items():
        part = space.parts[name]
        assert isinstance(part, Codes)
        kept = [position - span.start for position in span if position not in blank]
        codes = latents[name][0, -1].reshape(-1)
        records.append(
            KeptCodes(
                part=name,
                kept=len(kept),
                positions=len(span),
                blank=part.blank,
                places=tuple(str(list(map(int, np.unravel_index(p, part.shape)))) for p in kept[:MAX_PLACES]),
                codes=tuple(int(codes[p]) for p in kept[:MAX_PLACES]),
            )
        )
    return tuple(records)


def shown_choices(space: Space, latents: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Shown]:
    """The value of each discrete part, by its name, at the first of some latents [N, P, *shape]."""
    return {
        name: part.shown(latents[name][0, 0].reshape(-1).tolist())
        for name, part in space.parts.items()
        if isinstance(part, Choice) and part.slots
    }


def values_at(space: Space, probe: object) -> str:
    """The values that somebody wrote at a probe, in words; empty if the space has none, or without a probe."""
    if not isinstance(probe, Probe) or not any(part.has_values for part in space.parts.values()):
        return ""
    choices = shown_choices(space, points().place(space, [replace(probe, shift=b"")]))
    return ", ".join(shown_choice(name, value) for name, value in choices.items() if space.parts[name].has_values)


def explain_broken(
    error: InvalidOutput, space: Space, definition: AnyDefinition, *, test: str, label: str
) -> BrokenOutput | None:
    """The record of an invalid output that a property met, with the replay string; None if the probe is unknown."""
    if not isinstance(error.probe, Probe):
        return None
    kept = recorded(space, error.probe, points().place(space, [replace(error.probe, shift=b"")]))
    return BrokenOutput(
        test=test,
        property=str(definition),
        probe=str(kept),
        replay=f"{label or definition.name}:{kept}" if isinstance(definition, Definition) else "",
        place=error.place,
        n_places=error.n_places,
        n_values=error.n_values,
        not_finite=error.not_finite,
        excess=error.excess,
        subject=error.subject,
    )


def _moved(judge: Judge, probe: Probe, kept: Probe, label: str) -> Moved:
    """How far an attack moved a probe; 1 is the root mean square distance of two independent samples."""
    space, n_ends = judge.subject.generator.latent, len(judge.definition.probes.streams)
    start = replace(probe, shift=b"")
    groups = tuple(str(space.groups[g]) for g in shifted_groups(space, n_ends, probe))
    n_moving = sum(part.dim for part in space.parts.values() if part.n_groups) * n_ends
    distance = float(np.sqrt(np.square(to_scores(probe.shift)).sum() / n_moving / 2))
    replay = f"{label}:{replace(kept, shift=b'')}"
    return Moved(distance, groups, replay, judge.alone(start))


def _curves(evidence: Observed) -> dict[str, tuple[float, ...]]:
    """The measurements along a probe: attributes, and the steps of features and distances between neighbours.

    Latents in no order have no steps.
    """
    curves = {
        name: tuple(float(v) for v in evidence.scores(attribute)[0]) for name, attribute in evidence.attributes.items()
    }
    last = evidence.shape[1] - 1
    if not last:
        for name, feature in evidence.named_features.items():
            curves |= _components(name, feature, evidence.features(feature)[0, 0].tolist())
        return curves
    if not evidence.measurements.family.is_ordered:
        return curves
    steps: dict[str, Feature | Distance] = {**evidence.named_features, **evidence.named_distances}
    for name, thing in steps.items():
        distances = evidence.distances(thing, range(last), range(1, last + 1))[0]
        curves[f"step in {name}"] = tuple(float(v) for v in distances)
    return curves


def _components(name: str, feature: Feature, row: list[float]) -> dict[str, tuple[float, ...]]:
    """The components of one output's feature, by the names that the feature gives them; none if there are too many."""
    if len(row) > MAX_COMPONENTS:
        return {}
    given = getattr(feature, "names", ())
    names = given if len(given) == len(row) else [f"{name}[{k}]" for k in range(len(row))]
    return {str(key): (value,) for key, value in zip(names, row, strict=True)}


def _alike(evidence: Observed, apart: Apart | None) -> Alike | None:
    """The outputs of the evidence's only probe that are alike; None without such a demand, or if it is met."""
    if apart is None:
        return None
    n = apart.among
    with torch.no_grad():
        values = apart.distances(evidence)[0].tolist()
    distances = dict(zip(combinations(range(n), 2), values, strict=True))
    n_pairs = sum(value < apart.at_least for value in values)
    if not n_pairs:
        return None
    outputs = _group(distances, n, apart.at_least)
    within = [distances[pair] for pair in combinations(sorted(outputs), 2)]
    return Alike(describe(apart.measure), outputs, n, min(within), max(within), n_pairs)


def _group(distances: Mapping[tuple[int, int], float], n: int, at_least: float) -> tuple[int, ...]:
    """The nearest two of `n` outputs, then those that are too near to all before, from near to far.

    >>> _group({(0, 1): 0.5, (0, 2): 0.2, (0, 3): 0.3, (1, 2): 0.9, (1, 3): 0.9, (2, 3): 0.1}, 4, 0.35)
    (2, 3, 0)
    """

    def distance(one: int, other: int) -> float:
        return distances[min(one, other), max(one, other)]

    nearest = min(distances, key=distances.__getitem__)
    group = list(nearest)
    others = (output for output in range(n) if output not in nearest)
    for output in sorted(others, key=lambda output: max(distance(output, one) for one in nearest)):
        if all(distance(output, one) < at_least for one in group):
            group.append(output)
    return tuple(group)


def _typicality(evidence: Observed) -> float | None:
    """The prior's quantile of the least typical latent; None if the prior cannot tell."""
    quantiles = [part.typicality(evidence.placed[name][0]) for name, part in evidence.space.parts.items()]
    known = np.concatenate(quantiles)
    known = known[np.isfinite(known)]
    return float(known[np.abs(known - 0.5).argmax()]) if known.size else None
