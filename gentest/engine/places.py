"""The places in an output that a report names and marks: where an attribute has its score, or where two outputs differ.

The kind of the outputs has the words for a place: a frame, a time, a position, a column.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gentest.attributes.attribute import describe
from gentest.attributes.of_kind import Locating
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.outputs import SLACK
from gentest.engine.evidence.subject import measure_of
from gentest.outputs import Kind


@dataclass(frozen=True)
class Place:
    """A stretch of one output of a probe, along the axis of places of its kind."""

    output: int
    """The output of the probe, counted from 0."""
    start: int
    stop: int
    """The first place after it."""
    text: str
    """Its name, and what is there."""


def places(evidence: Observed) -> tuple[Place, ...]:
    """The places that explain the margin of the evidence's only probe; empty for outputs whose places have no names.

    They come from the measures that the margin asked for, from a pair's largest difference, and from values that no
    output of the kind may have.
    """
    kind = evidence.kind
    if kind.place_axis is None:  # makes no output of a kind without places
        return ()
    outputs = evidence.outputs[0]  # [P, ...]
    found: list[Place] = []
    for of_all, words in ((~outputs.isfinite(), "not finite"), (kind.excess(outputs, evidence.limits) > SLACK, "")):
        if bool(of_all.any()):
            at, start = _largest(kind, of_all.float())
            text = _text(kind, outputs, at, start, start + 1)
            found.append(Place(at, start, start + 1, f"{words}: {text}" if words else text))
            break
    if not bool(outputs.isfinite().all()):
        return tuple(found)
    if evidence.compared is not None and evidence.compared.outputs.shape == evidence.outputs.shape:
        difference = kind.differences(outputs, evidence.compared.outputs[0])
        if bool((difference > 0).any()):
            at, start = _largest(kind, difference)
            word = "first" if int((difference == difference.max()).sum()) > 1 else "largest"
            text = _text(kind, outputs, at, start, start + 1)
            found.append(Place(at, start, start + 1, f"the {word} difference is in {text}"))
    for name, attribute in evidence.attributes.items():
        found += _of_attribute(evidence, name, attribute, outputs)
    return tuple(found)


def _of_attribute(evidence: Observed, name: str, attribute: object, outputs: Tensor) -> list[Place]:
    """The place of an attribute's score, in the output where it is furthest from the others."""
    measure = measure_of(evidence.bound(attribute), evidence.measurements.subject.generator, outputs.shape[1:])
    if not isinstance(measure, Locating):
        return []
    scores = evidence.scores(evidence.attributes[name])[0]  # [P]
    at = int((scores - scores.median()).abs().argmax()) if len(scores) > 2 else 0
    with torch.no_grad():
        start, stop = (int(end) for end in measure.locate(outputs[at : at + 1])[0])
    if start < 0:
        return []
    place = _text(evidence.kind, outputs, at, start, stop)
    return [Place(at, start, stop, f"{describe(attribute)} has its score in {place}")]


def _text(kind: Kind, outputs: Tensor, at: int, start: int, stop: int) -> str:
    """A place in words, with the number of its output among several."""
    place = kind.place(outputs[at], start, stop)
    return place if len(outputs) == 1 else f"output {at + 1}, {place}"


def _largest(kind: Kind, values: Tensor) -> tuple[int, int]:
    """The output and the place of the largest of some values [P, ...]."""
    assert kind.place_axis is not None
    axis = kind.place_axis + 1 if kind.place_axis >= 0 else values.ndim + kind.place_axis
    profile = values.movedim(axis, 1).flatten(2).amax(2) if values.ndim > 2 else values  # [P, places]
    at, start = divmod(int(profile.argmax()), profile.shape[1])
    return at, start
