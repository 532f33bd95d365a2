"""Drawings of outputs that are not images: a line for a row of values, a heat map for a grid, figures for all else.

An axis of size 1 does not count, so a sound [1, 16000] is a line. All outputs of a drawing have one scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gentest.engine.evidence.context import Context
from gentest.engine.evidence.outputs import Outputs
from gentest.engine.evidence.subject import Subject
from gentest.engine.pictures import MAGENTA, ROOM, drawn_places, heat, small_pictures, uncounted
from gentest.probes.families import points
from gentest.probes.probe import independent
from gentest.results.drawings import SAMPLES, SIDE, ArrayOutput, ArrayStrip

MAX_POINTS = 160
"""The most values of a line."""
SHORTEST = 4
"""The fewest values of a line."""

Values = NDArray[np.float64]


def array_strip(outputs: Sequence[tuple[str, Tensor]], alike: Sequence[int] = ()) -> ArrayStrip:
    """Named outputs, each [...] of one shape, as a report draws them; those that are `alike` are marked.

    >>> import torch
    >>> strip = array_strip([("1", torch.tensor([0.0, 1.0, 2.0, 1.0]))])
    >>> strip.outputs[0].line, strip.outputs[0].mean, strip.maps
    ((0.0, 1.0, 2.0, 1.0), 1.0, ())
    """
    places = drawn_places(len(outputs), alike)
    names = [outputs[place][0] for place in places]
    arrays: list[Values] = [outputs[place][1].detach().double().cpu().numpy() for place in places]
    shape = arrays[0].shape
    sizes = tuple(size for size in shape if size > 1)
    is_line, is_grid = len(sizes) == 1 and sizes[0] >= SHORTEST, len(sizes) == 2
    drawn = tuple(
        replace(_output(name, array, is_line=is_line), alike=place in alike)
        for place, name, array in zip(places, names, arrays, strict=True)
    )
    strip = ArrayStrip(shape, drawn, len(outputs))
    if not is_grid:
        return strip
    low, high = min(output.least for output in drawn), max(output.largest for output in drawn)
    pictures = small_pictures([_map(array.reshape(sizes), low, high) for array in arrays], ROOM)
    return ArrayStrip(shape, drawn, len(outputs), pictures.frames, pictures.width, pictures.height)


def in_own_units(subject: Subject, outputs: Tensor) -> Tensor:
    """Outputs in the units in which f returned them, without the mapping of a declared range."""
    declared, limits = subject.generator.output_range, subject.generator.limits
    if declared is None or limits is None:
        return outputs
    return declared[0] + (outputs - limits[0]) / (limits[1] - limits[0]) * (declared[1] - declared[0])


def sample_arrays(context: Context, subject: Subject, seed: int) -> ArrayStrip | None:
    """The outputs of a seed's first latents; None for images, or after an attempt that failed."""
    key = (subject.key, seed, "arrays")
    if key not in context.pictures:
        context.pictures[key] = None
        if subject.generator.kind.drawn_by_shape:
            with uncounted(context):
                outputs = Outputs(context.maker, subject, points(), independent(seed, 0, SAMPLES), alone=True)
                values = in_own_units(subject, outputs.values[:, 0])
                named = [(str(i + 1), output) for i, output in enumerate(values)]
                context.pictures[key] = array_strip(named)
    strip: ArrayStrip | None = context.pictures[key]
    return strip


def _output(name: str, array: Values, *, is_line: bool) -> ArrayOutput:
    finite = array[np.isfinite(array)]
    least, mean, largest, sd = (float(f(finite)) if finite.size else 0.0 for f in (np.min, np.mean, np.max, np.std))
    line, gaps = _line(array.reshape(-1)) if is_line else ((), ())
    return ArrayOutput(name, least, mean, largest, sd, array.size - finite.size, line, gaps)


def _line(values: Values) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """At most `MAX_POINTS` values of a line, extremes included, and the places near values that are not finite."""
    blocks = np.array_split(values, MAX_POINTS // 2) if len(values) > MAX_POINTS else list(values[:, None])
    line: list[float] = []
    gaps: list[int] = []
    for block in blocks:
        finite = block[np.isfinite(block)]
        size = min(len(block), 2)
        ends = finite[np.sort([finite.argmin(), finite.argmax()])] if finite.size else np.zeros(2)
        if len(finite) < len(block):
            gaps += range(len(line), len(line) + size)
        line += map(float, ends[:size])
    return tuple(line), tuple(gaps)


def _map(array: Values, low: float, high: float) -> NDArray[np.uint8]:
    """A grid as a heat map: black for the lowest value of all outputs, pale yellow for the highest, magenta for NaN."""
    rows, columns = (-(-size // (2 * SIDE)) for size in array.shape)
    thinned = array[::rows, ::columns]
    finite = np.isfinite(thinned)
    picture: NDArray[np.uint8] = heat((np.where(finite, thinned, low) - low) / ((high - low) or 1.0))
    picture[~finite] = MAGENTA
    return picture
