"""Results with everything that a report draws, written by hand for tests of the page."""

from __future__ import annotations

import base64
import math
import os
from dataclasses import replace
from io import BytesIO

from PIL import Image

from gentest.results.comparison import Compared, Comparison, Drift, Gate, Standing, Terms
from gentest.results.document import Document, Session
from gentest.results.drawings import Change, Difference, Drawings, Histogram, Rays, Strip, Trace
from gentest.results.result import (
    Cost,
    Counterexample,
    Distribution,
    Margins,
    Provenance,
    Radius,
    Rate,
    Result,
    Search,
    Verdict,
)
from tests.helpers import handmade

SESSION = Session("gan.pt", "0123456789abcdef", "ViT-B-32:openai", "cpu", 3, {"python": "3.11"})
AT = "2026-11-25 12:00 UTC"


def frame(side: int = 8, *, noise: bool = False) -> str:
    """A picture in base64: one colour, or noise that does not compress."""
    out = BytesIO()
    data = os.urandom(side * side * 3) if noise else bytes((90, 120, 150)) * side * side
    Image.frombytes("RGB", (side, side), data).save(out, "WEBP", quality=80)
    return base64.b64encode(out.getvalue()).decode()


def strip(n: int = 9, side: int = 8, *, noise: bool = False) -> Strip:
    """A strip of `n` pictures."""
    return Strip(tuple(frame(side, noise=noise) for _ in range(n)), side, side, tuple(range(n)), n)


def difference(side: int = 8, *, noise: bool = False) -> Difference:
    """Both sides of a pair, which differ most in row 1 and column 6."""
    return Difference(strip(3, side, noise=noise), 0.25, -0.25, 0.01, row=1, column=6, height=8, width=8)


def counterexample(name: str = "brightness()", *, points: int = 9, margin: float = -0.25) -> Counterexample:
    """A path whose score leaves the range of its ends."""
    scores = {name: tuple(0.2 + 0.5 * (i == 4) for i in range(points))}
    t = tuple(i / (points - 1) for i in range(points))
    return Counterexample({"seed": "1f"}, margin, scores, t, ("0..7",), 8, 64, 0.5, "between:1f-m1")


NEEDED = (math.log(100), math.log(100), 0.99)
"""The log odds that a rate of one arm needs to hold and to be violated, and the confidence of its bounds."""
RATE = Rate(Verdict.VIOLATED, 0.95, 0.02, 0.99, 40, 64, 4096, 0.4, 0.8, -3.0, 6.0, *NEEDED)
TRACE = Trace("", (16, 32, 64), (11, 20, 40), (0.3, 0.35, 0.4), (0.95, 0.9, 0.8))
HISTOGRAM = Histogram("probes of the search", -0.3, 0.1, (3, 0, 7, 40))
GATE = Gate(
    Standing.REGRESSED,
    baseline_passes=60,
    candidate_passes=40,
    losses=20,
    probes=64,
    stored=256,
    log_regressed=9.0,
    needed=5.0,
    low=-0.5,
    high=-0.1,
)


def found(minimal: Counterexample, worst: Counterexample) -> Search:
    """A search that found counterexamples."""
    return Search(300, 50, Margins(-0.3, 0.01), minimal, worst)


def failed(
    test: str = "test_a.py::test_a",
    property: str = "between(brightness(), tolerance=0.05)",
    *,
    search: Search | None = None,
    **changed: object,
) -> Result:
    """A property that is refuted in every way, with everything that a report can draw."""
    shown = Drawings(
        worst=strip(),
        minimal=strip(),
        change=Change(strip(3), ("near end", "far end"), 0.5, 0.1),
        samples=strip(6),
        baseline=strip(6),
        traces=(TRACE,),
        histograms=(HISTOGRAM, replace(HISTOGRAM, of="baseline"), replace(HISTOGRAM, of="candidate")),
        rays=Rays((0.5, 1.0), (0.99, 0.5), 256),
        command="pytest --gentest test_a.py::test_a --gentest-replay between:1f-m1",
    )
    result = Result(
        test,
        property,
        Verdict.VIOLATED,
        search=search or found(counterexample(), counterexample(margin=-0.3)),
        cost=Cost(images=2700, seconds=1.5),
        rate=RATE,
        radius=Radius(1.0, 0.5, 256, None),
        gate=GATE,
        drawings=shown,
    )
    return replace(result, **changed)


def every_kind(name: str = "x") -> Document:
    """A run with a result of each outcome and each kind, all called `name`."""
    arms = tuple(replace(RATE, arm=f"{name}={i}") for i in range(3))
    rated = Result(name, f"{name}.at_rate(0.9)", Verdict.VIOLATED, rate=replace(arms[0], arms=arms, overall=0.6))
    results = (
        failed(name, name),
        rated,
        Result(name, name, Verdict.ERROR, name, traceback=name, provenance=Provenance(checkpoint=name)),
        Result(name, f"{name}!", Verdict.UNDECIDED, rate=replace(RATE, verdict=Verdict.UNDECIDED, arm=name)),
        Result(name, name, Verdict.NO_COUNTEREXAMPLE, search=Search(3)),
        Result(name, name, Verdict.HOLDS, distribution=Distribution(name, 0.1, 0.5, 0.2, 0.01, 512, 400, 0.3)),
        Result(name, name, Verdict.UNDECIDED, level=handmade.level(name)),
        failed(
            name,
            name,
            search=found(counterexample(name), counterexample(margin=-0.3)),
            drawings=Drawings(missing=name, command=name),
        ),
    )
    compared = tuple(Compared(name, name, name, GATE) for _ in range(2))
    drift = Drift(name, (name,), drifted=True, log_evidence=9.0, needed=5.0, probes=512, mean=1.0, checkpoint=name)
    gate = Comparison(name, name, Terms(), compared, (drift,), (name,), (name,))
    session = Session(name, name, name, name, 3, {name: name}, (name, name))
    return Document(session, results, gate, gentest=name)


def many(n: int, *, side: int = 112, noise: bool = True) -> Document:
    """A run of `n` failed properties, with pictures as large as the engine makes them."""
    whole = strip(9, side, noise=noise)
    shown = Drawings(
        worst=whole,
        minimal=strip(9, side, noise=noise),
        change=Change(strip(3, side, noise=noise), ("near end", "far end"), 0.5, 0.1),
        samples=strip(6, side, noise=noise),
        baseline=strip(6, side, noise=noise),
    )
    one = failed()
    assert one.drawings is not None
    full = replace(
        one.drawings, **{name: getattr(shown, name) for name in ("worst", "minimal", "change", "samples", "baseline")}
    )
    return Document(
        SESSION, tuple(replace(one, test=f"test_{i}.py::test_it", drawings=full) for i in range(n)), gentest="0"
    )
