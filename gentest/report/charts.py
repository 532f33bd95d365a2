"""Charts as inline SVG. Colours are CSS classes, so that the page chooses between light and dark.

Coordinates are pixels. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup

from gentest._support.printable import noun
from gentest.report import facts
from gentest.report.numbers import at_least, at_most, below, observed, percent, threshold
from gentest.results.drawings import Histogram, Rays, Trace
from gentest.results.result import Rate, Verdict

WIDTH, HEIGHT = 440, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 22, 30
CURVE = 58
"""The height of a curve under a strip of pictures."""
MARGIN = 9
TICKS = 4
LEAST_SPAN = 1e-300
"""An axis that is shorter has one figure: floats near the smallest cannot be divided into steps."""
FEW = 12
"""A rate with as few looks has a dot for each."""
ROW = 20
NAME = 26
"""Characters of an arm's name for which there is room."""


@dataclass(frozen=True)
class Axes:
    """The ranges of a chart: x from `x0` to `x1`, y from `y0` at the bottom to `y1` at the top."""

    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        """Pixels from the left, clipped to the chart."""
        share = (value - self.x0) / ((self.x1 - self.x0) or 1.0)
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top, clipped to the chart."""
        share = (value - self.y0) / ((self.y1 - self.y0) or 1.0)
        return HEIGHT - BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM)

    def frame(self, *, percents: bool, whole: bool = False) -> Markup:
        """Grid lines and figures along both axes. With `whole` the y axis has whole numbers only."""
        out = Markup("")
        for value in [v for v in ticks(self.y0, self.y1) if not whole or v == int(v)]:
            out += _line(LEFT, self.y(value), WIDTH - RIGHT, self.y(value), "grid")
            out += _text(LEFT - 6, self.y(value) + 4, percent(value) if percents else f"{value:g}", "end")
        for value in ticks(self.x0, self.x1):
            out += _text(self.x(value), HEIGHT - BOTTOM + 16, f"{value:g}", "middle")
        return out


def ticks(low: float, high: float) -> list[float]:
    """A few round numbers from `low` to `high`.

    >>> ticks(0.0, 1.0), ticks(-0.3, 0.35)
    ([0.0, 0.5, 1.0], [-0.2, 0.0, 0.2])
    """
    span = high - low
    if not span > LEAST_SPAN:
        return [low]
    power = 10.0 ** floor(log10(span / TICKS))
    step = next(power * k for k in (1, 2, 5, 10, 20) if span / (power * k) <= TICKS)
    places = max(0, 1 - floor(log10(step)))
    return [round(k * step, places) + 0.0 for k in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def curve(values: Sequence[float], columns: Sequence[float], *, width: int, cell: int, gap: int, path: bool) -> Markup:
    """Scores under a strip of frames, which are `cell` wide and `gap` apart. A column may lie between two frames.

    Each score has a dot, and the extremes have figures. On a `path`, a band marks what lies between the scores of its
    two ends, and dots outside of it stand out.
    """
    at = [column * (cell + gap) + cell / 2 for column in columns]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    top, bottom = MARGIN + 6, CURVE - MARGIN - 6

    def y(value: float) -> float:
        return bottom - (value - low) / span * (bottom - top) if high > low else (top + bottom) / 2

    ends = sorted((values[0], values[-1]))
    out = Markup("")
    if path:
        out += Markup('<rect class="band" x="0" y="{:.1f}" width="{}" height="{:.1f}"/>').format(
            y(ends[1]), width, max(y(ends[0]) - y(ends[1]), 1.0)
        )
    points = " ".join(f"{x:.1f},{y(v):.1f}" for x, v in zip(at, values, strict=True))
    out += Markup('<polyline class="line" points="{}"/>').format(points)
    for x, value in zip(at, values, strict=True):
        outside = path and not ends[0] <= value <= ends[1]
        out += Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(
            "dot out" if outside else "dot", x, y(value), 3.5 if outside else 2.5
        )
    for value, dy in ((high, -6), (low, 14)) if high > low else ((high, -6),):
        x = at[list(values).index(value)]
        anchor = "start" if x < 30 else "end" if x > width - 30 else "middle"
        out += _text(x, y(value) + dy, f"{value:.3g}", anchor)
    label = f"from {values[0]:.3g} to {values[-1]:.3g}, between {low:.3g} and {high:.3g}"
    return _svg(width, CURVE, label, out, "curve")


def rate(trace: Trace, *, p0: float, certified: float, verdict: Verdict) -> Markup:
    """A rate and its bounds as probes came in, beside the rate that was asked for.

    `certified` is the rate that HOLDS certifies. The chart calls it certified only if the verdict is HOLDS.
    """
    probes, lows, highs = (0, *trace.probes), (0.0, *trace.low), (1.0, *trace.high)
    shares = [k / n for k, n in zip(trace.passes, trace.probes, strict=True)]
    settled = [low for low, n in zip(lows, probes, strict=True) if 4 * n >= probes[-1] and len(probes) > 4]
    least = min([*(settled or [0.0]), certified, shares[-1]])
    axes = Axes(0, probes[-1], max(0.0, least - 0.05), 1.0)
    up = [f"{axes.x(n):.1f},{axes.y(v):.1f}" for n, v in zip(probes, highs, strict=True)]
    down = [f"{axes.x(n):.1f},{axes.y(v):.1f}" for n, v in zip(probes, lows, strict=True)]
    places = [(axes.x(n), axes.y(v)) for n, v in zip(trace.probes, shares, strict=True)]
    line = [f"{x:.1f},{y:.1f}" for x, y in places]
    out = axes.frame(percents=True)
    out += Markup('<polygon class="band" points="{}"/>').format(" ".join([*up, *reversed(down)]))
    out += _level(axes, p0, f"asked {threshold(p0)}", "refute", above=True)
    if certified < p0:
        word = "certified at" if verdict is Verdict.HOLDS else "less slack"
        out += _level(axes, certified, f"{word} {threshold(certified)}", "certify", above=False)
    out += Markup('<polyline class="line" points="{}"/>').format(" ".join(line))
    for x, y in places if len(places) <= FEW else places[-1:]:
        out += Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(x, y)
    seen = observed(trace.passes[-1], trace.probes[-1], up=verdict is Verdict.VIOLATED)
    label = f"after {probes[-1]} {noun(probes[-1], 'probe')} {seen}, {at_least(lows[-1])} to {at_most(highs[-1])}"
    return _svg(WIDTH, HEIGHT, label, out, "chart")


def arms(rates: Sequence[Rate]) -> Markup:
    """Several rates with their bounds, one below the other, beside the rate that was asked for."""
    height = 30 + ROW * len(rates)
    axes, left = Axes(0.0, 1.0, 0.0, 1.0), LEFT + 100
    p0, certified = rates[0].p0, rates[0].p0 - rates[0].slack

    def x(share: float) -> float:
        return left + share * (WIDTH - 2 * RIGHT - left)

    out = Markup("")
    for value in ticks(axes.x0, axes.x1):
        out += _line(x(value), 8, x(value), height - 22, "grid") + _text(x(value), height - 6, percent(value), "middle")
    for value, kind in ((p0, "refute"), (certified, "certify")):
        out += _line(x(value), 4, x(value), height - 22, kind)
    for row, rate in enumerate(rates):
        y = 16 + row * ROW
        kind = {Verdict.VIOLATED: "dot out"}.get(rate.verdict, "dot")
        out += _text(left - 8, y + 4, rate.arm if len(rate.arm) <= NAME else f"{rate.arm[: NAME - 1]}…", "end")
        out += Markup('<line class="range" x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}"/>').format(
            x(rate.low), y, x(rate.high), y
        )
        out += Markup('<circle class="{}" cx="{:.1f}" cy="{}" r="4"/>').format(
            kind, x(rate.passes / max(rate.probes, 1)), y
        )
    label = "; ".join(f"{rate.arm} {facts.share(rate)}" for rate in rates)
    return _svg(WIDTH, height, label, out, "chart")


def histogram(margins: Histogram, behind: Histogram | None = None) -> Markup:
    """The distribution of margins, with those below 0 in another colour; `behind` is an outline over the same bins."""
    both = (margins, behind) if behind is not None else (margins,)
    most = max(max(h.counts) for h in both)
    axes = Axes(margins.low, margins.high, 0, most)
    out = axes.frame(percents=False, whole=True)
    width = (margins.high - margins.low) / len(margins.counts)
    for i, count in enumerate(margins.counts):
        if count:
            low, high = axes.x(margins.low + i * width), axes.x(margins.low + (i + 1) * width)
            kind = "bar below" if margins.low + (i + 0.5) * width < 0 else "bar"
            out += Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                kind, low + 0.5, axes.y(count), max(high - low - 1, 0.5), max(HEIGHT - BOTTOM - axes.y(count), 1)
            )
    if behind is not None:
        path = [f"{axes.x(behind.low):.1f},{axes.y(0):.1f}"]
        for i, count in enumerate(behind.counts):
            y = axes.y(count)
            path += [f"{axes.x(behind.low + k * width):.1f},{y:.1f}" for k in (i, i + 1)]
        out += Markup('<polyline class="outline" points="{}"/>').format(" ".join(path))
    if margins.low <= 0 <= margins.high:
        out += _line(axes.x(0), TOP, axes.x(0), HEIGHT - BOTTOM, "zero")
    below = sum(n for i, n in enumerate(margins.counts) if margins.low + (i + 0.5) * width < 0)
    return _svg(WIDTH, HEIGHT, f"{sum(margins.counts)} margins, {below} of them below 0", out, "chart")


def radius(rays: Rays, *, p0: float, reached: float, confirmed: bool) -> Markup:
    """The share of rays that hold up to each radius, and the radius that enough of them reach.

    The chart calls that radius certified only if fresh probes `confirmed` it.
    """
    axes = Axes(0, rays.radii[-1], 0, 1)
    places = [(0.0, 1.0), *zip(rays.radii, rays.held, strict=True)]
    out = axes.frame(percents=True) + _level(axes, p0, f"asked {threshold(p0)}", "refute", above=False)
    points = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in places)
    out += Markup('<polyline class="line" points="{}"/>').format(points)
    word = "certified" if confirmed else "rays reach"
    if reached:
        x = axes.x(reached)
        out += _line(x, TOP, x, HEIGHT - BOTTOM, "certify")
        side = "end" if x > WIDTH / 2 else "start"
        out += _text(x + (-6 if side == "end" else 6), HEIGHT - BOTTOM - 8, f"{word} {below(reached, 3)}", side)
    held = f"{at_least(rays.held[-1])} of {rays.n} rays hold at {rays.radii[-1]:.3g}"
    label = f"{word} radius {below(reached, 3)}; {held}" if reached else f"certified at no radius; {held}"
    return _svg(WIDTH, HEIGHT, label, out, "chart")


def difference(low: float, high: float, observed_difference: float, *, tolerance: float, fell: bool) -> Markup:
    """How much more often a property holds than in the baseline, with bounds, beside how far it may fall.

    The difference is rounded up if the property `fell`, that is, regressed, and else down.
    """
    reach = max(abs(low), abs(high), 1.5 * tolerance, 0.02)
    reach = min(reach, max(0.3, 4 * tolerance, 1.5 * abs(observed_difference)), 1.0)
    axes, height, y = Axes(-reach, reach, 0, 1), 74, 28
    out = _line(LEFT, y, WIDTH - RIGHT, y, "grid")
    out += _line(axes.x(0), 8, axes.x(0), 48, "zero") + _line(axes.x(-tolerance), 8, axes.x(-tolerance), 48, "refute")
    out += Markup('<line class="range" x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}"/>').format(
        axes.x(low), y, axes.x(high), y
    )
    out += Markup('<circle class="dot" cx="{:.1f}" cy="{}" r="5"/>').format(axes.x(observed_difference), y)
    out += _text(axes.x(0), 64, "as often", "middle" if axes.x(0) - axes.x(-tolerance) > 130 else "start")
    out += _text(axes.x(-tolerance), 64, f"{threshold(tolerance)} less", "end")
    more = at_most(observed_difference) if fell else at_least(observed_difference)
    label = f"{more} more often than the baseline, between {at_least(low)} and {at_most(high)}"
    return _svg(WIDTH, height, label, out, "chart")


def shares(counts: Sequence[tuple[str, int]]) -> Markup:
    """A bar divided in proportion to the count of each CSS class."""
    total, x, out = sum(n for _, n in counts) or 1, 0.0, Markup("")
    for kind, n in counts:
        width = 1000 * n / total
        out += Markup('<rect class="{}" x="{:.1f}" y="0" width="{:.1f}" height="10"/>').format(
            kind, x, max(width - 2, 0)
        )
        x += width
    label = ", ".join(f"{n} {kind}" for kind, n in counts if n)
    text = Markup(
        '<svg class="shares" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    )
    return text.format(label, out)


def _level(axes: Axes, value: float, label: str, kind: str, *, above: bool) -> Markup:
    y = axes.y(value)
    line = _line(LEFT, y, WIDTH - RIGHT, y, kind)
    return line + _text(WIDTH - RIGHT - 2, y - 5 if above else y + 13, label, "end")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    text = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return text.format(kind, x1, y1, x2, y2)


def _text(x: float, y: float, label: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, label)


def _svg(width: float, height: float, label: str, inside: Markup, kind: str) -> Markup:
    text = Markup(
        '<svg class="{}" width="{}" height="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        "<title>{}</title>{}</svg>"
    )
    return text.format(kind, width, height, width, height, label, label, inside)
