"""Outputs that are not images, on the page: lines as inline SVG, heat maps as pictures, and a table of figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from gentest._support.printable import counted
from gentest.report.within_counterexample import named
from gentest.results.drawings import ArrayOutput, ArrayStrip

WIDTH, HEIGHT = 196, 72
"""Pixels of a line."""
EDGE = 4
LARGEST = 224
"""The longer side of a heat map in pixels of the page."""
LEAST = 44
"""The shorter side of a heat map that is enlarged."""


@dataclass(frozen=True)
class ArrayView:
    """Outputs as the page shows them: what is drawn, what the drawing means, and figures of each output."""

    drawn: Markup
    caption: str
    rows: tuple[tuple[str, ...], ...]
    """The name, the smallest value, the mean, the largest value, the standard deviation, and values not finite."""
    alike: tuple[int, ...] = ()
    """The rows of outputs that are alike."""


def view_of(strip: ArrayStrip) -> ArrayView:
    """The view of some outputs."""
    rows = tuple(
        (_name(o), f"{o.least:.4g}", f"{o.mean:.4g}", f"{o.largest:.4g}", f"{o.sd:.3g}", f"{o.not_finite:,}")
        for o in strip.outputs
    )
    alike = tuple(row for row, output in enumerate(strip.outputs) if output.alike)
    return ArrayView(Markup("").join(_figures(strip)), _caption(strip), rows, alike)


def _name(output: ArrayOutput) -> str:
    return named(output.name, is_alike=output.alike)


def _caption(strip: ArrayStrip) -> str:
    """What the drawing shows, and its scale."""
    low, high = _scale(strip.outputs)
    shape = f"{list(strip.shape)} of values"
    left_out = f", {len(strip.outputs)} of {strip.n} outputs" if len(strip.outputs) < strip.n else ""
    if strip.maps:
        return f"{shape}{left_out}, from {low:.4g} (black) to {high:.4g} (pale yellow); magenta: not finite"
    if any(output.line for output in strip.outputs):
        return f"{shape}{left_out}, drawn from {low:.4g} to {high:.4g}; red: not finite"
    return f"{shape}{left_out}: figures of each output"


def _figures(strip: ArrayStrip) -> Iterator[Markup]:
    """A figure for each output that is drawn."""
    scale = _scale(strip.outputs)
    for output, picture in zip(strip.outputs, strip.maps, strict=False):
        yield _figure(output, _picture(strip, picture, output.name))
    for output in strip.outputs:
        if output.line:
            yield _figure(output, _line(output, scale))


def _figure(output: ArrayOutput, drawn: Markup) -> Markup:
    kind = Markup(' class="alike"') if output.alike else ""
    return Markup("<figure{}>{}<figcaption>{}</figcaption></figure>").format(kind, drawn, _name(output))


def _scale(outputs: Sequence[ArrayOutput]) -> tuple[float, float]:
    """The smallest and the largest value of all outputs."""
    return min(output.least for output in outputs), max(output.largest for output in outputs)


def _picture(strip: ArrayStrip, picture: str, name: str) -> Markup:
    longer = max(strip.width, strip.height)
    scale = max(1.0, LEAST / max(min(strip.width, strip.height), 1))
    scale = min(scale, LARGEST / longer)
    text = '<img class="pixelated" src="data:image/webp;base64,{}" width="{}" height="{}" alt="output {}">'
    return Markup(text).format(picture, round(strip.width * scale), round(strip.height * scale), name)


def _line(output: ArrayOutput, scale: tuple[float, float]) -> Markup:
    """The values from left to right. A gap is a bar over the whole height."""
    low, high = scale
    n = max(len(output.line) - 1, 1)

    def at(place: int) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * place / n

    def y(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE)

    drawn = Markup("")
    for start, stop in pairwise((-1, *output.gaps, len(output.line))):
        points = " ".join(f"{at(i):.1f},{y(output.line[i]):.1f}" for i in range(start + 1, stop))
        drawn += Markup('<polyline class="line" points="{}"/>').format(points) if points else ""
    for place in output.gaps:
        drawn += Markup('<line class="gap" x1="{0:.1f}" y1="0" x2="{0:.1f}" y2="{1}"/>').format(at(place), HEIGHT)
    label = f"output {output.name}, from {output.least:.3g} to {output.largest:.3g}"
    label += f", {counted(output.not_finite, 'value')} not finite" if output.not_finite else ""
    svg = (
        '<svg class="array" width="{}" height="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        "<title>{}</title>{}</svg>"
    )
    return Markup(svg).format(WIDTH, HEIGHT, WIDTH, HEIGHT, label, label, drawn)
