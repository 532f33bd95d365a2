"""Results and baselines written by hand, with known comparisons, for tests of baselines, the gate and the commands."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gentest.gate.baseline import Baseline, Blessing, _digest
from gentest.results.comparison import Embedded, Gate, Look, Sample, Standing
from gentest.results.document import Document, Session
from gentest.results.estimate import Bounding, OverallEstimate
from gentest.results.records import pack, pack_bytes
from gentest.results.result import Level, Margins, Provenance, Result, Search, Verdict

BLESSING = Blessing("ann", "2026-11-24", 3, "gan.pt")
SESSION = Session(None, None, None, "cpu", 3, {})
GATE = Gate(
    Standing.HELD,
    baseline_passes=158,
    candidate_passes=160,
    wins=2,
    losses=0,
    probes=160,
    stored=256,
    log_held=math.log(120),
    needed=math.log(300),
    low=-0.01,
    high=0.03,
    needed_held=math.log(100),
    each_end=0.99,
)
"""A gate that its candidate passes."""
WORSE = replace(GATE, standing=Standing.REGRESSED, log_regressed=math.log(340), probes=256, baseline_passes=256)
"""One that its candidate fails."""


def level(name: str = "brightness()", *, sd: float | None = 0.2, low: float = -0.0123) -> Level:
    """The level of an attribute on 40 latents of a pair, 0.02 above the reference's."""
    evidence = (4.7, 0.2, math.log(100), math.log(200))
    return Level(name, 0.06, 0.52, 0.5, 0.02, low, 0.0512, 0.99, 40, 4096, *evidence, 0.01, sd)


def estimate() -> OverallEstimate:
    """A share of 40 of 80 outputs that lies between 30 and 70 %, of 100 that were made."""
    shown = (0.5, 0.319, 0.681, 0.99, 80, 4096, 0.01, Bounding.ANY_TIME, 0.3, 0.7, 40, 80, 100)
    return OverallEstimate(Verdict.HOLDS, "share with lit >= 0.5", *shown)


def outcomes(n: int, *, lost: int = 0, passes: float = 1.0) -> list[float]:
    """Margins of `n` probes. The first `lost` fail, and so does a share of 1 - `passes` at the end."""
    margins = [0.5] * round(n * passes) + [-0.5] * (n - round(n * passes))
    return [-0.25] * lost + margins[lost:]


def look(seed: int = 0, *, level: float = 0.0, shift: float = 0.0, dim: int = 4, n: int = 64) -> Look:
    """Normal levels of one attribute and normal embeddings, each shifted by a number of standard deviations."""
    rng = np.random.default_rng(seed)
    levels = 0.5 + 0.1 * (rng.normal(size=n) + level)
    rows: NDArray[np.float64] = rng.normal(size=(n, dim)) + shift
    packed = pack_bytes(np.clip(np.round(rows * 20), -127, 127).astype(np.int8).tobytes())
    return Look({"brightness()": pack(levels.tolist())}, {"pixels()": Embedded(packed, dim, 0.05)})


def sample(margins: Sequence[float], *, seen: Look | None = None, **changed: Any) -> Sample:
    """The outcomes of a property on the probes of seed 3."""
    values = {"seed": 3, "generator": "gan", "space": "Normal(8)", "measures": {"brightness()": ""}, **changed}
    return Sample(margins=pack(margins), look=seen, **values)


def result(
    margins: Sequence[float] | None,
    *,
    test: str = "test_a.py::test_a",
    property: str = "between(brightness(), tolerance=0.1)",
    verdict: Verdict = Verdict.NO_COUNTEREXAMPLE,
    checkpoint: str = "",
    seen: Look | None = None,
    **changed: Any,
) -> Result:
    """A property's result, with the outcomes of its probes unless `margins` is None."""
    kept = None if margins is None else sample(margins, seen=seen, **changed)
    search, provenance = Search(20, margin=Margins(0.1, 0.5)), Provenance(checkpoint=checkpoint)
    return Result(test, property, verdict, search=search, sample=kept, provenance=provenance)


def baseline(*results: Result, blessing: Blessing = BLESSING, before: Baseline | None = None) -> Baseline:
    """The baseline of these results."""
    return Baseline.of(results, blessing, before=before, version="0")


def written(path: Path, value: Baseline | Sequence[Result]) -> Path:
    """A file of a baseline, or of results."""
    if isinstance(value, Baseline):
        value.save(path)
    else:
        path.write_text(json.dumps(Document(SESSION, tuple(value)).to_json()), encoding="utf-8")
    return path


def signed(body: dict[str, Any]) -> str:
    """The text of a baseline file with this body and the matching digest."""
    body = {key: value for key, value in body.items() if key != "digest"}
    return json.dumps({**body, "digest": _digest(body)})


def plain(look: Look) -> dict[str, Any]:
    """A look as JSON stores it."""
    return asdict(look)


def checked(checkpoint: str, test: str, violations: int, median: float = 0.1, verdict: Verdict | None = None) -> Result:
    """A property of which so many of 100 probes violate."""
    verdict = verdict or (Verdict.VIOLATED if violations else Verdict.NO_COUNTEREXAMPLE)
    search, provenance = Search(100, violations, Margins(-1.0, median)), Provenance(checkpoint=checkpoint)
    return Result(test, "p", verdict, search=search, provenance=provenance)
