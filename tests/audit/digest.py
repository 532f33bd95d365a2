"""What must be the same on every machine, as a digest: `python -m tests.audit.digest` compares it with `digest.json`.

Each environment of the compatibility matrix runs it, so that latents, rates and findings are compared across releases
of Python, torch, NumPy, SciPy and Hypothesis. Three parts, by what may change them:

- `latents`: the latents of a probe, for ever: to the last bit of float32, whatever is installed;
- `rates`: verdicts, counts and bounds of rates, whose probes are the seed's own: whatever is installed;
- `searches`: plans, and what was found of them, which are Hypothesis's: one record for each release of it that was run.

Margins are compared to four digits, verdicts, counts and counterexamples as they are. `--write` records what is found;
what is recorded of `latents` and `rates` is never to change.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gentest
from gentest import settings
from gentest.probes.families import Probes, neighbours, points, segments, steps
from gentest.probes.probe import independent
from gentest.probes.strategies import plan
from gentest.results.result import Counterexample, Result
from gentest.spaces import Space
from tests.helpers import zoo

RECORDED = Path(__file__).with_name("digest.json")
BANK = np.arange(12.0).reshape(6, 2)
SPACES: tuple[Space, ...] = (
    gentest.Normal(33),
    gentest.Normal((2, 3, 5)).truncated(0.5),
    gentest.Uniform(33),
    gentest.TruncatedNormal(33),
    gentest.Sphere((3, 11)),
    gentest.Empirical(BANK),
    gentest.Joint(z=gentest.Normal(17), label=gentest.Categorical(10), w=gentest.Empirical(BANK)),
)
FAMILIES: tuple[Probes, ...] = (points(), segments(9), neighbours(0.1, 3), steps(), steps(1e-3, at="ends"))
N_LATENTS, N_PLANNED, SEED = 64, 60, 3

between = gentest.between(gentest.brightness(), tolerance=0.05)
SEARCHES = {
    "a fold": (between, zoo.generator(zoo.fold)),
    "a jump": (gentest.continuous(tolerance=0.3), zoo.generator(zoo.jump)),
    "a ridge": (gentest.monotone(gentest.brightness(), tolerance=0.1), zoo.generator(zoo.planted(3))),
    "a normal space": (between, zoo.generator(lambda z: z[:, 0].sigmoid(), gentest.Normal(16))),
    "other priors": (
        gentest.prior_invariant(between, priors=[gentest.Normal(8)]),
        zoo.generator(lambda z: (z[:, 0] * z[:, 1]).tanh().abs()),
    ),
    "a label": (
        gentest.follows_label(zoo.by_level(10)),
        gentest.Generator(
            zoo.Labelled(wrong=4),
            latent=gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(10)),
            output_range=zoo.UNIT,
        ),
    ),
}
RATES = {
    "a fold": (between.at_rate(0.6), zoo.generator(zoo.fold)),
    "a ridge": (gentest.monotone(gentest.brightness(), tolerance=0.1).at_rate(0.9), zoo.generator(zoo.planted(3))),
    "deviations": (
        gentest.between(gentest.brightness(), tolerance=gentest.sd(1)).at_rate(0.9),
        zoo.generator(lambda z: (z[:, 0] * 1.7).sin() * 0.5 + 0.5, gentest.Normal(16)),
    ),
    "other priors": (
        gentest.prior_invariant(between, priors=[gentest.Normal(8)]).at_rate(0.7),
        zoo.generator(lambda z: (z[:, 0] * z[:, 1]).tanh().abs()),
    ),
}


def latents() -> dict[str, str]:
    """A digest of the latents of some probes, by space and family."""
    probes = independent(7, 0, N_LATENTS)
    found = {}
    for space in SPACES:
        for family in FAMILIES:
            told = hashlib.sha256()
            for name, z in family.place(space, probes).items():
                told.update(name.encode() + z.astype(z.dtype.newbyteorder(">")).tobytes())
            found[f"{str(space)[:40]} {family!r}"] = told.hexdigest()[:16]
    return found


def rates(batch_size: int = 64, *names: str) -> dict[str, Any]:
    """What each rate came to, or those of these names."""
    values = settings(examples=8, budget=512, seed=SEED, batch_size=batch_size)
    asked = {name: RATES[name] for name in names or RATES}
    return {name: _rate(one.check(generator, settings=values)) for name, (one, generator) in asked.items()}


def plans() -> dict[str, str]:
    """A digest of the probes that Hypothesis draws from each space."""
    drawn = {str(space)[:40]: [str(probe) for probe in plan(space, N_PLANNED, SEED)] for space in SPACES}
    return {name: _digest(probes) for name, probes in drawn.items()}


def searches(batch_size: int = 64, *names: str) -> dict[str, Any]:
    """What each search came to, or those of these names."""
    values = settings(examples=N_PLANNED, seed=SEED, batch_size=batch_size)
    asked = {name: SEARCHES[name] for name in names or SEARCHES}
    return {name: _search(one.check(generator, settings=values)) for name, (one, generator) in asked.items()}


def _rate(result: Result) -> dict[str, Any]:
    rate = result.rate
    if rate is None:
        return {"error": result.message}
    arms = {arm.arm: [arm.passes, arm.probes] for arm in rate.arms}
    bounds = [f"{value:.4g}" for value in (rate.low, rate.high, rate.log_holds, rate.log_violated)]
    return {"verdict": result.verdict.value, "passes": rate.passes, "probes": rate.probes, "bounds": bounds} | arms


def _search(result: Result) -> dict[str, Any]:
    return {
        "verdict": result.verdict.value + result.message,
        "violations": result.violations,
        "least": f"{result.margin.min:.4g}" if result.margin is not None else "",
        "minimal": _counterexample(result.counterexample),
        "worst": _counterexample(result.worst),
    }


def _counterexample(found: Counterexample | None) -> list[str]:
    return [] if found is None else [found.replay, f"{found.margin:.4g}", *found.groups]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def found() -> dict[str, Any]:
    """All of it, as the file has it."""
    return {
        "latents": latents(),
        "rates": rates(),
        "searches": {version("hypothesis"): {"plans": plans(), "found": searches()}},
    }


def differences(here: Any, recorded: Any, at: str = "") -> list[str]:
    """Where what was found is not what is recorded, a line each."""
    if isinstance(here, dict) and isinstance(recorded, dict):
        keys = {**here, **recorded}
        return [line for key in keys for line in differences(here.get(key), recorded.get(key), f"{at} / {key}")]
    return [] if here == recorded else [f"{at.removeprefix(' / ')}: {here!r}, recorded {recorded!r}"]


def main(*arguments: str) -> int:
    names = ("torch", "numpy", "scipy", "hypothesis", "pytest")
    torch.set_num_threads(1)
    here, recorded = found(), json.loads(RECORDED.read_text("utf-8")) if RECORDED.exists() else {}
    print(f"python {platform.python_version()},", ", ".join(f"{name} {version(name)}" for name in names))  # noqa: T201
    release = version("hypothesis")
    known = release in recorded.get("searches", {})
    if "--write" in arguments:
        here["searches"] = recorded.get("searches", {}) | here["searches"]
        RECORDED.write_text(json.dumps(here, indent=1, ensure_ascii=False) + "\n", "utf-8")
        return 0
    expected = recorded | {"searches": {release: recorded["searches"].get(release, here["searches"][release])}}
    lines = differences(here, expected)
    said = "as recorded" if known else f"no record of Hypothesis {release}: its plans were not compared"
    print("\n".join(lines) or said)  # noqa: T201
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
