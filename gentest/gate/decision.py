"""The gate's decision: a candidate's results against a baseline, claim by claim, and all claims weighed together.

For each property, two e-processes compare the outcomes on the same probes: one tests "no worse", the other "worse by
the tolerance" (`gentest.stats.paired`). Levels of outputs are compared on the same latents, embeddings as two
independent samples. Everything that would refuse a candidate is a claim. Holm's procedure on the evidence of all claims
bounds the probability of refusing a candidate that is no worse by alpha. HELD needs no correction, since all properties
have to hold (Berger 1982). A new counterexample to a property without a rate fails the run by itself, outside of these
claims.

The gate reads results and baselines only, so it decides in the run as it does later from files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil, comb, exp, log

import numpy as np

from gentest.errors import InvalidArgument
from gentest.gate import quick
from gentest.gate.baseline import Baseline, Blessing, Entry, keyed
from gentest.gate.looks import check_look, look_key, merge_looks, unpacked
from gentest.gate.paired_samples import compare_outcomes, incomparable, outcomes
from gentest.gate.quick import DriftClaim
from gentest.results.comparison import (
    Compared,
    Comparison,
    Differing,
    Drift,
    Embedded,
    Gate,
    Look,
    Sample,
    Standing,
    Terms,
)
from gentest.results.records import unpack
from gentest.results.result import Distribution, Level, Result, Verdict
from gentest.results.settings import OnDrift
from gentest.stats.drift import drift_between, level_drift
from gentest.stats.paired import compare, difference_bounds, holm
from gentest.stats.two_sample import least_p_further, mmd_test

PERMUTATIONS = 9_999
EMBEDDINGS = {"sketch": "random sums of the values"}
"""What some embeddings of a summary are, for a reader."""
NOT_THERE = "not in the baseline: it is gated once the baseline is blessed again"


def n_claims(baseline: Baseline, *, drift: bool, checkpoints: int = 1) -> int:
    """The number of claims that could refuse a candidate: each property, and with `drift` each level and embedding."""
    n_looks = 0
    if drift:
        declared = quick.claimed_levels([entry.sample for entry in baseline.entries.values()])
        for key, look in baseline.looks.items():
            n_looks += len(look.levels.keys() - declared.get(key, set())) + len(look.embeddings)
    return checkpoints * (len(baseline.entries) + n_looks)


def _distribution_in(name: str) -> str:
    """What drifts, by the name of an embedding."""
    return f"distribution in {EMBEDDINGS.get(name, name)}"


def check_reach(baseline: Baseline, terms: Terms) -> None:
    """Raise `InvalidArgument` for a claim that could not refuse even the worst candidate.

    The number of probes or outputs that a baseline keeps bounds the p-value of each claim from below. A claim whose
    bound is above alpha / claims would let anything pass.
    """
    needed = terms.alpha / terms.claims
    for key, entry in baseline.entries.items():
        n, p = _least_p(entry.sample, terms)
        _check_reach(key, n, p, needed, terms)
    for look in baseline.looks.values() if terms.drift != OnDrift.OFF else ():
        for name, level in look.levels.items():
            n = len(unpack(level, name))
            _check_reach(f"the level of {name}", n, level_drift(np.full(n, np.inf)).p, needed, terms)
        for name, embedded in look.embeddings.items():
            n = _n_rows(embedded)
            _check_reach(f"the {_distribution_in(name)}", n, 1.0 / comb(2 * n, n), needed, terms)


def _check_reach(what: str, n: int, p: float, needed: float, terms: Terms) -> None:
    """Check that a claim on `n` probes can be certain. Without probes nothing is claimed."""
    if n and p > needed:
        raise InvalidArgument(
            f"{what}: {n} probes or outputs cannot show a regression among {terms.claims} claims: p is {p:.2g} at the "
            f"least, and {needed:.2g} is needed; bless again with more (--gentest-baseline-probes, or n= of matches)"
        )


def _least_p(sample: Sample, terms: Terms) -> tuple[int, float]:
    """The number of probes, or outputs of a distribution, that a baseline has, and their smallest possible p-value."""
    before = outcomes(sample)
    if n := len(before):
        worst = np.zeros(n, dtype=bool)
        lost = compare(~worst, worst, tolerance=terms.tolerance, alpha=terms.alpha, claims=terms.claims)
        return n, exp(-min(lost.log_regressed, 700.0))
    embeddings = {} if sample.look is None else sample.look.embeddings
    n = min(map(_n_rows, embeddings.values()), default=0)
    return n, least_p_further(n, n) if n else 1.0


def _n_rows(embedded: Embedded) -> int:
    return len(unpacked(embedded)[0])


def weigh(result: Result, entry: Entry | None, terms: Terms) -> Gate:
    """Compare one property of a candidate with the baseline. Raises `InvalidArgument` if they cannot be compared."""
    if entry is None:
        return Gate(Standing.UNDECIDED, NOT_THERE, new=True)
    known = Gate(Standing.UNDECIDED, baseline_verdict=entry.verdict)
    if result.verdict is Verdict.ERROR:
        return replace(known, message="the check of the candidate failed")
    if result.sample is None:
        return replace(known, message="the results have no outcomes: make them with --gentest-outcomes")
    if wrong := incomparable(entry.sample, result.sample):
        raise InvalidArgument(f"{result.test} {result.property}: {wrong}; or bless the checkpoint again")
    if result.distribution is not None:
        return _weigh_distribution(result, result.distribution, known, terms)
    if result.level is not None:
        return _weigh_level(result, result.level, known, terms)
    if result.estimate is not None:
        return _weigh_estimate(result, known, terms)
    if entry.sample.limits is not None:
        return quick.weigh_level(result, entry.sample, result.sample, entry.sample.limits, known, terms)
    gate = _weigh_outcomes(entry.sample, result.sample, known, terms)
    return quick.left_to_verdict(result, gate) if entry.sample.quick or result.sample.quick else gate


def _weigh_outcomes(baseline: Sample, candidate: Sample, known: Gate, terms: Terms) -> Gate:
    """The standing of a property by its outcomes on the same probes."""
    stored, made = (unpack(sample.margins, "margins") for sample in (baseline, candidate))
    both, paired = compare_outcomes(stored, made[: len(stored)], terms)
    before, now, n = both.baseline, both.candidate, paired.probes
    low, high = difference_bounds(paired.wins, paired.losses, paired.ties, terms.alpha)
    standing = {"regressed": Standing.REGRESSED, "held": Standing.HELD}.get(paired.fired, Standing.UNDECIDED)
    return replace(
        known,
        standing=standing,
        baseline_passes=int(before[:n].sum()),
        candidate_passes=int(now[:n].sum()),
        wins=paired.wins,
        losses=paired.losses,
        probes=n,
        stored=len(before),
        log_regressed=paired.log_regressed,
        log_held=paired.log_held,
        needed=log(terms.claims / terms.alpha),
        low=low,
        high=high,
        needed_held=log(terms.checkpoints / terms.alpha),
        each_end=1.0 - terms.alpha,
        final=False,
    )


def _weigh_distribution(result: Result, found: Distribution, known: Gate, terms: Terms) -> Gate:
    """Decide whether outputs are further from a reference than the baseline's.

    A candidate that is not found further passes, although nothing certifies that it is not. If the property declares a
    tolerance, the candidate passes only if that closeness is certified.
    """
    if found.p_further is None or found.further is None:
        missing = "nothing says how far the baseline's outputs are from the reference: check with --gentest-baseline"
        return replace(known, message=missing)
    p = found.p_further
    needed = log(terms.claims / terms.alpha)
    standing = Standing.REGRESSED if -log(p) >= needed else Standing.HELD
    if standing is Standing.HELD and found.tolerance is not None and result.verdict is not Verdict.HOLDS:
        standing = Standing.UNDECIDED
    moved = f"MMD^2 to the reference {found.further:+.3g} against the baseline's"
    message = f"{moved}, p = {p:.2g} of being no further, needs {terms.alpha / terms.claims:.2g}"
    return replace(known, standing=standing, message=message, log_regressed=-log(p), needed=needed, certified=False)


def _weigh_estimate(result: Result, known: Gate, terms: Terms) -> Gate:
    """The standing of a figure of all outputs: its own verdict, unless the baseline shares it.

    It is no claim that Holm's procedure weighs: its test has an alpha by itself.
    """
    return _by_own_verdict("figure", result, known, terms)


def _weigh_level(result: Result, level: Level, known: Gate, terms: Terms) -> Gate:
    """The standing of a pair whose level compares with its reference: its own verdict, unless the baseline shares it.

    The reference is in the pair, so the baseline's verdict is the only thing to compare with.
    """
    own = _by_own_verdict("level", result, known, terms)
    return replace(
        own,
        log_regressed=0.0 if own.standing is Standing.HELD else max(0.0, level.log_beyond - log(2.0)),
        log_held=level.log_within,
        needed_held=level.needed_within,
    )


def _by_own_verdict(what: str, result: Result, known: Gate, terms: Terms) -> Gate:
    """The standing that the verdict on `what` gives a property by itself; HELD if the baseline shares a violation."""
    standings = {Verdict.HOLDS: Standing.HELD, Verdict.VIOLATED: Standing.REGRESSED}
    standing, certified = standings.get(result.verdict, Standing.UNDECIDED), True
    message = f"the {what} is {result.verdict.value}"
    if known.baseline_verdict is not None:
        message += f", and was {known.baseline_verdict.value} when the baseline was blessed"
    if replace(result, gate=known).known:
        standing, certified = Standing.HELD, False
    needed = log(terms.claims / terms.alpha)
    return replace(known, standing=standing, message=message, needed=needed, certified=certified)


def made_with(results: Sequence[Result], versions: Mapping[str, str]) -> dict[str, str]:
    """What computed the outputs of some results: versions by name, and the device."""
    devices = sorted({result.provenance.device for result in results if result.provenance.device})
    return {**versions, **({"device": ", ".join(devices)} if devices else {})}


def decide(
    results: Sequence[Result],
    baseline: Baseline,
    terms: Terms,
    *,
    checkpoints: Sequence[str] = (),
    file: str = "",
    versions: Mapping[str, str] | None = None,
    digest_of: Callable[[str], str] = lambda name: "",
    selects: bool = False,
) -> Comparison:
    """Compare a whole run with a baseline: each property, each drift, and Holm's procedure over all of them.

    A property that has held stays held, since the first e-process to fire decides. One that agrees with kept outputs is
    left to its own verdict, which compares with a blessed checkpoint already. `checkpoints` names the checkpoints of a
    run of several, so that one without results counts as missing; `file` names the only checkpoint. `versions` are
    those of the run, by name. `digest_of` gives the digest of a checkpoint by its name, or nothing. If the run
    `selects` tests, it need not check the others.
    """
    results = [result for result in results if result.kept is None]
    compared: list[Compared] = []
    drifts: list[DriftClaim] = []
    missing: dict[str, None] = {}
    uncompared: dict[str, None] = {}
    unchanged: list[str] = []
    names = dict.fromkeys([*checkpoints, *(result.checkpoint for result in results)]) or [""]
    groups = {name: keyed([result for result in results if result.checkpoint == name]) for name in names}
    # tests that do not ask for the checkpoint run once for all of them
    shared = groups.get("", {})
    for checkpoint, own in groups.items():
        on = f" on {checkpoint}" if checkpoint else ""
        for key, result in own.items():
            gate = weigh(result, baseline.entries.get(key), terms)
            compared.append(Compared(result.test, result.property, checkpoint, gate))
        if checkpoint or len(groups) == 1:
            missing.update((key + on, None) for key in baseline.entries if key not in own and key not in shared)
        if _is_blessed(own, baseline):
            unchanged.append(checkpoint or file)
        if terms.drift != OnDrift.OFF:
            found, unseen = _drifts(own, baseline, terms)
            drifts += [replace(d, drift=replace(d.drift, checkpoint=checkpoint)) for d in found]
            uncompared.update((what + on, None) for what in unseen)
    # a property that the baseline lacks is no claim: its p-value of 1 would only demand more of the others
    claims = [exp(-min(c.gate.log_regressed, 700.0)) for c in compared if not c.gate.new]
    n_properties = len(claims)
    claims += [d.p for d in drifts]
    weighed = holm(claims, terms.alpha, claims=max(terms.claims, len(claims)))
    needed = [-log(p) for p in weighed.needed]
    standing = iter(zip(weighed.rejected[:n_properties], needed[:n_properties], strict=True))
    drifting = zip(drifts, weighed.rejected[n_properties:], needed[n_properties:], strict=True)
    return Comparison(
        baseline=baseline.name,
        blessed=baseline.blessed,
        terms=terms,
        properties=tuple(c if c.gate.new else _final(c, *next(standing)) for c in compared),
        drifts=tuple(
            replace(d.drift, drifted=rejected and not d.drift.held, needed=need) for d, rejected, need in drifting
        ),
        missing=() if selects else tuple(missing),
        uncompared=tuple(uncompared),
        unchanged=tuple(unchanged),
        blessed_file=baseline.blessings[0].checkpoint,
        differing=_differing(baseline.blessings[0].made_with, made_with(results, versions or {})),
        ignored=tuple(name for name in unchanged if name and _is_other(name, digest_of, baseline.blessings[0])),
        unselected=tuple(missing) if selects else (),
    )


def _is_other(name: str, digest_of: Callable[[str], str], blessing: Blessing) -> bool:
    """True if a checkpoint is another file than the blessed one: by content if both are known, else by name."""
    if blessing.checkpoint_digest and (digest := digest_of(name)):
        return digest != blessing.checkpoint_digest
    return name != blessing.checkpoint


def _differing(blessed: Mapping[str, str], now: Mapping[str, str]) -> tuple[Differing, ...]:
    return tuple(Differing(name, was, now[name]) for name, was in blessed.items() if name in now and now[name] != was)


def _is_blessed(candidate: Mapping[str, Result], baseline: Baseline) -> bool:
    """True if every generator has the fingerprint that was blessed."""
    pairs = {
        (entry.sample.generator, result.generator)
        for key, result in candidate.items()
        if (entry := baseline.entries.get(key)) is not None
    }
    return bool(pairs) and all(theirs and theirs == ours for theirs, ours in pairs)


def applied(results: Sequence[Result], comparison: Comparison) -> list[Result]:
    """The results with the standings that follow from all claims together."""
    gates: dict[tuple[str, str, str], list[Gate]] = {}
    for c in comparison.properties:
        gates.setdefault((c.checkpoint, c.test, c.property), []).append(c.gate)
    return [
        r if r.kept is not None else replace(r, gate=gates[r.checkpoint, r.test, r.property].pop(0)) for r in results
    ]


def _final(compared: Compared, rejected: bool, needed: float) -> Compared:  # noqa: FBT001 - two columns of Holm's
    """A property's standing after Holm's procedure: claims that were rejected before lower what it needs."""
    gate = replace(compared.gate, needed=needed, final=True)
    if rejected and not (gate.standing is Standing.HELD and gate.certified):
        gate = replace(gate, standing=Standing.REGRESSED)
    return replace(compared, gate=gate)


def _drifts(candidate: Mapping[str, Result], baseline: Baseline, terms: Terms) -> tuple[list[DriftClaim], list[str]]:
    """The drift of each level and embedding that both sides have, and the names of those that the candidate lacks."""
    pairs: dict[tuple[str, str], list[str]] = {}
    compared = {key: result for key, result in candidate.items() if result.verdict is not Verdict.ERROR}
    samples = [result.sample for result in compared.values() if result.sample is not None]
    quick_looks = {look_key(sample) for sample in samples if sample.quick}
    declared = quick.claimed_levels(samples)
    unseen: list[str] = []
    for key, result in compared.items():
        entry = baseline.entries.get(key)
        if entry is not None and result.sample is not None:
            pairs.setdefault((look_key(entry.sample), look_key(result.sample)), []).append(result.test)
            was, seen = entry.sample.look or Look({}, {}), result.sample.look or Look({}, {})
            unseen += [f"level of {name}" for name in was.levels if name not in seen.levels]
            if not result.sample.quick:  # its outputs are too few for a two-sample test
                unseen += [_distribution_in(name) for name in was.embeddings if name not in seen.embeddings]
    before, now = baseline.looks, merge_looks(samples)
    found: dict[tuple[str, str], list[DriftClaim]] = {}
    for (theirs, ours), tests in pairs.items():
        if theirs in before and ours in now:
            names = tuple(dict.fromkeys(tests))
            looks = sum(1 for other, seen in pairs if other == theirs and seen in now)
            seen, claims = check_look(now[ours], ours), list[DriftClaim]()
            free = {name: seen.levels[name] for name in seen.levels.keys() - declared.get(ours, set())}
            if ours in quick_looks:
                claims, free = quick.compare_levels(before[theirs], replace(seen, levels=free), names, terms), {}
            for claim in [*claims, *_between(before[theirs], replace(seen, levels=free), names, terms, looks)]:
                found.setdefault((theirs, claim.drift.what), []).append(claim)
    return [_clearest(claims) for claims in found.values()], unseen


def _clearest(claims: list[DriftClaim]) -> DriftClaim:
    """The clearest of several claims about one level, if several candidates stand for one generator (Bonferroni)."""
    best = min(claims, key=lambda claim: claim.p)
    if len(claims) == 1:
        return best
    evidence = max(0.0, best.drift.log_evidence - log(len(claims)))
    return DriftClaim(replace(best.drift, log_evidence=evidence), min(1.0, best.p * len(claims)))


def _between(before: Look, now: Look, tests: tuple[str, ...], terms: Terms, looks: int) -> list[DriftClaim]:
    """The drift of each level and embedding. `looks` candidates of one generator share each claim."""
    permutations = ceil(2 * looks * terms.claims / terms.alpha)
    found: list[DriftClaim] = []
    for name in sorted(before.levels.keys() & now.levels.keys()):
        levels = [np.array(unpack(look.levels[name], name)) for look in (before, now)]
        level = drift_between(*levels, log_needed=log(2 * terms.claims / terms.alpha))
        drift = _drift(f"level of {name}", tests, level.log_evidence, level.probes)
        found.append(DriftClaim(replace(drift, mean=level.mean, certain_at=level.certain_at), level.p))
    for name in sorted(before.embeddings.keys() & now.embeddings.keys()):
        theirs, ours = before.embeddings[name], now.embeddings[name]
        x, y = unpacked(theirs, ours)
        same = x.shape == y.shape and bool((x == y).all())
        p = 1.0 if same else mmd_test(x, y, permutations=PERMUTATIONS, most=permutations).p
        found.append(DriftClaim(_drift(_distribution_in(name), tests, -log(p), len(x)), p))
    return found


def _drift(what: str, tests: tuple[str, ...], log_evidence: float, probes: int) -> Drift:
    """A drift before all claims are weighed together."""
    return Drift(what, tests, drifted=False, log_evidence=log_evidence, needed=0.0, probes=probes)
