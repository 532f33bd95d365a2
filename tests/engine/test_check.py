"""A whole check: verdicts of the zoo, calls, independence of the batch, replay, errors that lose nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest import Probe, Property, settings
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.probes import strategies
from gentest.results.result import Verdict
from gentest.results.settings import Values
from tests.helpers import zoo

level = gentest.brightness()

HOLDS, VIOLATED, ERROR = Verdict.NO_COUNTEREXAMPLE, Verdict.VIOLATED, Verdict.ERROR


def wobble(z: Tensor) -> Tensor:
    """A slope with a ripple of 0.05 that runs twice over the box."""
    return 0.5 + 0.1 * z[:, 0] + 0.05 * torch.sin(z[:, 0] * math.pi * 2 / 3**0.5)


VERDICTS = [
    (gentest.between(level, tolerance=1e-4), {"linear": HOLDS, "fold": VIOLATED, "jump": VIOLATED, "collapsed": HOLDS}),
    (gentest.between(level, tolerance=0.25), {"linear": HOLDS, "fold": HOLDS, "jump": HOLDS}),
    (
        gentest.monotone(level, tolerance=1e-4),
        {"linear": HOLDS, "fold": VIOLATED, "jump": VIOLATED, "wobble": VIOLATED},
    ),
    (gentest.monotone(level, tolerance=0.25), {"linear": HOLDS, "fold": HOLDS, "wobble": HOLDS}),
    (gentest.continuous(tolerance=0.2), {"linear": HOLDS, "fold": HOLDS, "jump": VIOLATED, "collapsed": HOLDS}),
    (gentest.continuous(ratio=3), {"linear": HOLDS, "fold": HOLDS, "jump": VIOLATED, "collapsed": HOLDS}),
    (gentest.responsive(at_least=1e-5), {"linear": HOLDS, "fold": HOLDS, "collapsed": VIOLATED}),
    (gentest.responsive(at_least=1e-6, step=0.05), {"linear": HOLDS, "collapsed": VIOLATED}),
    (gentest.well_formed(), {"linear": HOLDS, "fold": HOLDS}),
    (gentest.reproducible(), {"linear": HOLDS, "jump": HOLDS}),
]


@pytest.mark.parametrize(
    ("property", "name", "verdict"),
    [(p, name, verdict) for p, row in VERDICTS for name, verdict in row.items()],
    ids=lambda value: value.value if isinstance(value, Verdict) else str(value),
)
def test_each_property_gives_the_right_verdict_on_the_zoo(property: Property, name: str, verdict: Verdict) -> None:
    """On generators whose truth is known, every property finds what is there and nothing else."""
    levels = {**vars(zoo), "wobble": wobble}
    result = property.check(zoo.generator(levels[name]), settings=settings(examples=100))
    assert result.verdict is verdict, result
    assert result.examples == 100


def test_a_map_may_hold_under_one_prior_only() -> None:
    """`prior_invariant` finds a property that holds in the box and fails outside it, where the normal reaches."""

    def level_of(z: Tensor) -> Tensor:
        return 0.5 + 0.05 * z[:, 0] + 0.3 * (z[:, 0].abs() > 1.8)

    inner = gentest.between(level, tolerance=0.1)
    box, normal = gentest.Uniform(4), gentest.Normal(4)
    assert inner.check(zoo.generator(level_of, box)).verdict is HOLDS
    assert gentest.prior_invariant(inner, priors=[normal]).check(zoo.generator(level_of, box)).verdict is VIOLATED
    assert gentest.prior_invariant(inner, priors=[normal]).check(zoo.generator(zoo.linear, box)).verdict is HOLDS


@pytest.mark.parametrize("batch_size", [1, 7, 64, 128, 5000])
def test_a_search_fills_its_batches(batch_size: int) -> None:
    """300 paths of 9 points cost ceil(2700 / batch) calls, besides two examinations and single confirmations."""
    generator = zoo.generator(zoo.linear)
    result = gentest.between(level, tolerance=0.5).check(generator, settings=settings(batch_size=batch_size))
    assert result.verdict is HOLDS
    batches = generator.function.batches
    examination, confirmations = 2 * math.ceil(16 / batch_size) + 2, 4 + 9 * min(batch_size, 4)
    assert result.audit is not None
    assert len(batches) - examination - confirmations - result.audit.images == math.ceil(2700 / batch_size)
    assert sum(batches) == 2 * 16 + 2 + confirmations + result.audit.images + 2700
    assert 16 <= result.audit.images <= 16 + 8
    assert (result.generator_calls, result.images) == (len(batches), sum(batches))


def test_hypothesis_generates_once_where_nothing_is_violated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a violation Hypothesis is asked for one plan, and not again."""
    runs: list[int] = []
    find = strategies.find
    monkeypatch.setattr(strategies, "find", lambda *args, **kwargs: (runs.append(1), find(*args, **kwargs))[1])
    gentest.between(level, tolerance=0.5).check(zoo.generator(zoo.linear))
    assert len(runs) == 1


@pytest.mark.parametrize("planted", [3, 200])
def test_verdict_and_counterexample_do_not_depend_on_the_batch(planted: int) -> None:
    """At batch sizes 1, 7 and 64 the same seed ends on the same minimal and the same worst probe."""
    results = []
    for batch_size in (1, 7, 64):
        generator = zoo.generator(zoo.planted(planted), gentest.Normal(256))
        check = gentest.between(level, tolerance=0.1).check
        results.append(check(generator, settings=settings(examples=100, batch_size=batch_size)))
    assert all(result.verdict is VIOLATED for result in results)
    assert len({(str(r.counterexample), str(r.worst), r.violations) for r in results}) == 1


def test_a_convolutional_generator_gives_the_same_counterexample_at_any_batch() -> None:
    """Also where rounding differs from batch to batch, as it does in real networks."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.ConvTranspose2d(16, 32, 4), torch.nn.ReLU(), torch.nn.ConvTranspose2d(32, 3, 4, 2, 1), torch.nn.Tanh()
    )
    found = set()
    for batch_size in (1, 7, 64):
        generator = gentest.Generator(model, latent=gentest.Normal((16, 1, 1)))
        check = gentest.between(level, tolerance=0.001).check
        result = check(generator, settings=settings(examples=60, batch_size=batch_size))
        assert result.counterexample is not None
        assert result.worst is not None
        found.add((result.counterexample.replay, result.worst.replay, f"{result.counterexample.margin:.6f}"))
    assert len(found) == 1


def test_a_counterexample_replays_to_the_same_margin() -> None:
    """The replay string alone brings the same probe, margin and scores back."""
    generator = zoo.generator(zoo.fold)
    property = gentest.between(level, tolerance=0.01)
    found = property.check(generator).counterexample
    assert found is not None
    again = property.replay(generator, found.replay)
    assert again.verdict is VIOLATED
    assert again.counterexample == found


def test_a_fixed_generator_passes_the_replay() -> None:
    """The probe of a counterexample holds on a generator without the defect."""
    property = gentest.between(level, tolerance=0.01)
    found = property.check(zoo.generator(zoo.fold)).counterexample
    assert found is not None
    assert property.replay(zoo.generator(zoo.linear), found.replay).verdict is HOLDS


def test_the_worst_is_at_least_as_bad_as_the_minimal() -> None:
    """The two counterexamples are different things: the worst violates most, the minimal needs least."""
    result = gentest.between(level, tolerance=0.1).check(zoo.generator(zoo.planted(3), gentest.Normal(64)))
    assert result.worst is not None
    assert result.counterexample is not None
    assert result.worst.margin <= result.counterexample.margin < 0
    assert len(result.counterexample.groups) < len(result.worst.groups) == 64


def test_an_empirical_space_looks_at_real_paths_only() -> None:
    """A path from an entry of a bank to itself is no example."""
    bank = gentest.Empirical(np.random.default_rng(0).uniform(-1, 1, (3, 4)))
    result = gentest.continuous(ratio=2).check(zoo.generator(zoo.linear, bank), settings=settings(examples=90))
    assert result.verdict is HOLDS
    assert 40 <= result.examples <= 75  # two thirds of the pairs are real


def test_a_space_in_which_nothing_moves_is_said() -> None:
    """A path property on a choice alone is an error, not a pass of no examples."""
    generator = gentest.Generator(
        lambda label: zoo.images(label / 10.0),
        latent=gentest.Joint(label=gentest.Categorical(10)),
        output_range=zoo.UNIT,
    )
    result = gentest.continuous(ratio=2).check(generator)
    assert result.verdict is ERROR
    assert "nothing moves in Joint" in result.message
    assert gentest.well_formed().check(generator).verdict is HOLDS


def test_a_label_that_breaks_a_property_is_found_and_kept() -> None:
    """With a conditional generator the counterexample names the lowest label that fails."""

    def function(z: Tensor, label: Tensor) -> Tensor:
        return zoo.images(torch.where(label >= 7, zoo.fold(z), zoo.linear(z)))

    space = gentest.Joint(z=gentest.Uniform(8), label=gentest.Categorical(10))
    generator = gentest.Generator(function, latent=space, output_range=zoo.UNIT)
    property = gentest.between(level, tolerance=0.01)
    result = property.check(generator)
    assert result.verdict is VIOLATED
    assert result.counterexample is not None
    assert result.counterexample.probe["choices"] == [7]
    assert property.check(generator.given(label=2)).verdict is HOLDS
    assert property.check(generator.given(label=8)).verdict is VIOLATED


def test_noise_inputs_belong_to_the_probe() -> None:
    """A stochastic generator whose noise is declared is a function: the same along a path, and reproducible."""

    def function(z: Tensor, noise: Tensor) -> Tensor:
        return zoo.images(zoo.linear(z) + 0.05 * noise[:, 0])

    noisy = gentest.Generator(
        function, latent=gentest.Uniform(8), noise={"noise": gentest.Normal(1)}, output_range=(-1, 2)
    )
    assert gentest.between(level, tolerance=1e-4).check(noisy).verdict is HOLDS
    assert gentest.reproducible().check(noisy, settings=settings(examples=20)).verdict is HOLDS


def raising(z: Tensor) -> Tensor:
    raise RuntimeError("no such layer")


BROKEN: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "raises": (raising, "the generator raised RuntimeError: no such layer"),
    "nan": (lambda z: zoo.images(z[:, 0] * float("nan")), "not finite"),
    "shape": (lambda z: z, "returned shape"),
    "batch": (lambda z: zoo.images(z[:1, 0]), "returned shape"),
    "range": (lambda z: zoo.images(z[:, 0] * 100), "outside the declared output_range"),
    "type": (lambda z: None, "returned a NoneType"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_generator_is_one_clear_line(name: str) -> None:
    """Whatever the generator does wrong ends as an error that says what, with the fingerprint and time kept."""
    function, words = BROKEN[name]
    generator = gentest.Generator(function, latent=gentest.Normal(4), output_range=zoo.UNIT)
    result = gentest.between(level, tolerance=0.5).check(generator)
    assert result.verdict is ERROR
    assert words in result.message
    assert "\n" not in result.message
    assert result.generator


def test_a_space_that_does_not_fit_names_both() -> None:
    """A wrong latent size is said with the shape that was given."""
    generator = gentest.Generator(torch.nn.Linear(100, 12), latent=gentest.Normal(128))
    result = gentest.well_formed().check(generator)
    assert result.verdict is ERROR
    assert "'z': (1, 128)" in result.message
    assert "Normal(128)" in result.message


def test_a_check_leaves_random_state_and_weights_as_they_were() -> None:
    """Neither torch's nor NumPy's global random state, nor the weights, change in a check."""
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Unflatten(1, (1, 2, 2)))
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), model.state_dict()["0.weight"].clone()  # noqa: NPY002
    gentest.between(level, tolerance=0.0).check(gentest.Generator(model, latent=gentest.Normal(4)))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[2], model.state_dict()["0.weight"])


def test_a_property_that_asks_for_a_change_keeps_all_coordinates() -> None:
    """To move fewer coordinates is no fair test of `responsive`: its counterexample is not reduced to one group."""
    result = gentest.responsive(at_least=1e-3).check(zoo.generator(zoo.collapsed))
    assert result.counterexample is not None
    assert len(result.counterexample.groups) == 8


def test_every_counterexample_violates_alone() -> None:
    """A rare dependence on the batch, which no examination sees, is an error and never a counterexample that holds."""

    def gated(z: Tensor) -> Tensor:
        return zoo.linear(z) + 0.05 * (z[:, 0] > 1) * torch.rand(len(z), generator=torch.Generator().manual_seed(0))

    for batch_size in (7, 64, 128):
        generator = zoo.generator(gated, gentest.Normal(8))
        property = gentest.between(level, tolerance=0.02)
        result = property.check(generator, settings=settings(batch_size=batch_size))
        if result.verdict is VIOLATED:
            assert result.counterexample is not None
            assert result.worst is not None
            assert max(result.counterexample.margin, result.worst.margin) < 0
        else:
            assert result.verdict is ERROR
            assert "depend" in result.message


def test_a_margin_that_writes_in_its_evidence_changes_no_other() -> None:
    """What a property does to the tensors it is given does not reach the next property of the session."""

    @gentest.property(probes=gentest.segments(points=9))
    def careless(evidence: gentest.Evidence) -> Tensor:
        for tensor in (evidence.scores(level), evidence.images, evidence.outputs, evidence.features(gentest.pixels())):
            tensor.fill_(0.5)
        return torch.ones(len(evidence.t))

    generator, values = zoo.generator(zoo.fold), Values(examples=50)
    context = Context(values)
    assert check(Question(careless().definition), generator, context, values).verdict is HOLDS
    after = check(Question(gentest.between(level, tolerance=0.01).definition), generator, context, values)
    assert after.verdict is VIOLATED


def test_a_ratio_that_nothing_can_exceed_is_refused() -> None:
    """The longest of P - 1 steps is at most P - 1 times their mean: such a ratio would be a test that cannot fail."""
    with pytest.raises(gentest.InvalidArgument, match="which no path of 9 points exceeds"):
        gentest.continuous(ratio=8).check(zoo.generator(zoo.jump))


def test_a_failure_of_the_run_before_is_reported_alike() -> None:
    """Stored counterexamples that still violate are reported as they were; a mended one is searched anew."""
    values = Values(examples=60)
    definition = gentest.between(level, tolerance=0.1).definition
    generator = zoo.generator(zoo.planted(3), gentest.Normal(64))
    first = check(Question(definition), generator, Context(values), values)
    assert first.counterexample is not None
    assert first.worst is not None
    stored = tuple(Probe.from_json(c.probe) for c in (first.counterexample, first.worst))
    again = check(Question(definition, stored=stored), generator, Context(values), values)
    assert (again.counterexample, again.worst, again.replayed) == (first.counterexample, first.worst, True)
    swapped = check(Question(definition, stored=stored[::-1]), generator, Context(values), values)
    assert (swapped.counterexample, swapped.worst) == (first.worst, first.counterexample)  # whichever violates more
    mended = zoo.generator(zoo.linear, gentest.Normal(64))
    assert check(Question(definition, stored=stored), mended, Context(values), values).examples == 60


def test_a_prior_of_reordered_parts_is_the_same_prior() -> None:
    """Parts go by their names: the order in which a prior names them changes no probe."""

    def function(z: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return zoo.images(zoo.linear(z) + 0.001 * a + 0.01 * b)

    a, b, z = gentest.Categorical(2), gentest.Categorical(5), gentest.Uniform(8)
    generator = gentest.Generator(function, latent=gentest.Joint(z=z, a=a, b=b), output_range=zoo.UNIT)
    property = gentest.between(level, tolerance=1e-4)
    wide = gentest.Uniform(8, low=-2, high=2)
    ordered, reordered = (
        gentest.prior_invariant(property, priors=[prior]).check(generator)
        for prior in (gentest.Joint(z=wide, a=a, b=b), gentest.Joint(b=b, a=a, z=wide))
    )
    assert reordered.verdict is HOLDS
    assert reordered.margin == ordered.margin
    own = gentest.prior_invariant(property, priors=[gentest.Joint(b=b, a=a, z=z)]).check(generator)
    assert own.verdict is ERROR
    assert "a prior other than the generator's own" in own.message


def test_whatever_goes_wrong_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw ends as an error and not as a traceback."""

    def unforeseen(*args: object) -> None:
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(Context, "subject", unforeseen)
    result = gentest.well_formed().check(zoo.generator(zoo.linear))
    assert result.verdict is ERROR
    assert "ValueError: nobody foresaw this" in result.message


def test_weights_that_are_not_there_yet_are_no_traceback() -> None:
    """A lazy module has no weights until it is called: it shares nothing, and is checked."""
    lazy = torch.nn.Sequential(torch.nn.LazyLinear(12), torch.nn.Tanh(), torch.nn.Unflatten(1, (3, 2, 2)))
    result = gentest.well_formed().check(gentest.Generator(lazy, latent=gentest.Normal(4)))
    assert result.verdict is HOLDS
