"""The gate through pytest's own entry, on pairs of generators whose rates and discordance are known.

A probe is three uniforms. The blessed generator fails where the first is small. A candidate fails where the same one
is small with probability `rho`, and where another one is otherwise: outcomes of equal rates that correlate by `rho`.
Every run has a seed of its own, so that its probes are fresh. GENTEST_GATES says how many runs of each there are: the
guide's figures are of 200.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from itertools import count
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest
from scipy.stats import binom

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

RUNS = int(os.environ.get("GENTEST_GATES", "50"))
ALPHA = 0.01
RATE = 0.95
MODEL = """
import json
import pytest, torch
import gentest

@pytest.fixture(scope="session")
def generator(gentest_checkpoint):
    rate, rho = json.loads(gentest_checkpoint.read_text())

    def draw(z):
        u = torch.where(z[:, 1] < rho, z[:, 0], z[:, 2])
        return (u > 1 - rate).float()[:, None, None, None].expand(-1, 1, 2, 2)

    return gentest.Generator(draw, latent=gentest.Uniform(3, low=0, high=1), output_range=(0, 1))
"""
TEST = """
@gentest.property(probes=gentest.points())
def lit(evidence):
    return evidence.scores(gentest.brightness())[:, 0] - 0.5

@gentest.settings(reduce=0)
@lit().at_rate(0.5)
def test_lit(generator):
    return generator
"""


def gates(
    repository: Repository, candidates: dict[str, tuple[float, float]], *, blessed: float = RATE, p0: float = 0.5
) -> dict[str, list[dict[str, Any]]]:
    """What the gate says of each candidate, a rate and rho, in as many runs of pytest, each on fresh probes.

    Baselines that do not hold at `p0` are no runs; "ret" is the exit status of each.
    """
    repository.pytester.makeconftest(MODEL)
    repository.write(TEST.replace("at_rate(0.5)", f"at_rate({p0})"))
    for name, values in {"good": (blessed, 1.0), **candidates}.items():
        (repository.path / f"{name}.json").write_text(json.dumps(values))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in candidates}
    for seed in count():
        if all(len(runs) == RUNS for runs in found.values()):
            return found
        (repository.path / "blessed").unlink(missing_ok=True)
        common = ("-q", "--gentest", "--gentest-examples", "2", "--gentest-seed", str(seed), "--gentest-drift", "off")
        bless = ("--gentest-save-baseline", "blessed", "--gentest-checkpoint", "good.json")
        if repository.run(*common, *bless).ret != 0:
            continue
        for name in candidates:
            gate = ("--gentest-baseline", "blessed", "--gentest-checkpoint", f"{name}.json")
            run = repository.run(*common, *gate, "--gentest-json", "results")
            found[name].append({**repository.document("results")["results"][0]["gate"], "ret": int(run.ret)})
    raise AssertionError("no end of seeds")


@pytest.mark.slow
def test_the_gate_refuses_what_is_worse_and_nothing_else(repository: Repository) -> None:
    """Of equally good candidates no more are refused than alpha allows, and few left undecided; of one 5 points worse,
    at least 95 % are refused."""
    candidates = {"equal": (RATE, 0.0), "alike": (RATE, 0.9), "worse": (RATE - 0.05, 0.0)}
    found = gates(repository, candidates)
    standings = {name: Counter(gate["standing"] for gate in gates) for name, gates in found.items()}
    for name, gates_of in found.items():
        mean = fmean(gate["probes"] for gate in gates_of)
        print(f"CALIBRATION {name}: {dict(standings[name])}, {mean:.0f} probes in the mean")  # noqa: T201
    most = binom.ppf(0.99, RUNS, ALPHA)
    for name in ("equal", "alike"):
        assert standings[name]["regressed"] <= most
        assert standings[name]["undecided"] < 0.05 * RUNS
        n = sum(g["probes"] for g in found[name])
        p = 2 * RATE * (1 - RATE) * (1 - candidates[name][1])
        low, high = binom.interval(0.9999, n, p)
        assert low <= sum(g["wins"] + g["losses"] for g in found[name]) <= high
    assert standings["worse"]["regressed"] >= 0.95 * RUNS
    assert standings["worse"]["held"] <= most


@pytest.mark.slow
def test_an_equal_candidate_passes_where_the_rate_is_a_little_below_what_was_asked(repository: Repository) -> None:
    """Of baselines that hold at .95 and have a true rate of .94, an equal candidate passes 95 % of runs.

    By its own rate it would be refuted, or undecided, in most; one that fell by 10 points fails in all but alpha.
    """
    found = gates(repository, {"equal": (0.94, 0.0), "fallen": (0.84, 0.0)}, blessed=0.94, p0=0.95)
    passed = {name: sum(run["ret"] == 0 for run in runs) for name, runs in found.items()}
    assert passed["equal"] >= binom.ppf(0.01, RUNS, 0.95)
    assert passed["fallen"] <= binom.ppf(0.99, RUNS, ALPHA)
