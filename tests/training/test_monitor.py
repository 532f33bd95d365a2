"""Monitors: an alarm soon after a collapse, hardly ever a false one, and no trace in the run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch

import gentest
from gentest.engine.check import Question
from gentest.results.comparison import Sample
from gentest.results.records import pack
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values
from tests.helpers import small_training

LIT = gentest.not_blank(at_least=0.5)


def lit(share: float) -> gentest.Generator:
    """Images that are not blank for a share of latents."""

    def f(z: torch.Tensor) -> torch.Tensor:
        contrast = (z[:, :1] < share).float()
        return torch.cat([contrast, torch.zeros_like(contrast)], 1)[:, None, None, :]

    return gentest.Generator(f, latent=gentest.Uniform(1, low=0.0, high=1.0), output_range=(0, 1))


@pytest.mark.slow
def test_a_collapse_at_step_3000_of_5000_rings_within_300_steps() -> None:
    """The run collapses by itself from step 3,000 on, and up to the alarm it is the run that nobody watched."""
    watched = small_training.Run(collapse_at=3000, monitor=gentest.Monitor(small_training.SUITE))
    watched.train(5000)
    assert watched.alarm is not None
    assert 3000 < watched.alarm <= 3300
    state = torch.get_rng_state()
    alone = small_training.Run(collapse_at=3000)
    alone.train(watched.alarm)
    assert torch.equal(state, torch.get_rng_state())
    for one, other in zip(watched.net.state_dict().values(), alone.net.state_dict().values(), strict=True):
        assert one.tolist() == other.tolist()


class Drawn:
    """A suite whose probes hold with chances that a test gives, so that many runs take no images."""

    def __init__(self, rng: np.random.Generator, chances: Sequence[float]) -> None:
        self.chances, self.rng = chances, rng

    def __call__(
        self, generator: gentest.Generator, values: Values, question: Callable[[int], Question]
    ) -> Iterator[Result]:
        for index, chance in enumerate(self.chances):
            asked = question(index)
            margins = pack(np.where(self.rng.random(asked.n_sampled) < chance, 1.0, -1.0).tolist())
            sample = Sample(values.seed, "", "", margins)
            yield Result("suite", str(asked.definition), Verdict.NO_COUNTEREXAMPLE, sample=sample)


@pytest.mark.slow
def test_two_hundred_healthy_runs_ring_at_most_two_false_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run has a property exactly at its rate, and two whose rate stays where the reference has it."""
    rng, generator, false = np.random.default_rng(0), lit(1.0), 0
    suite = gentest.Suite(LIT.at_rate(0.9), LIT, gentest.well_formed())
    monkeypatch.setattr(suite, "ask", lambda *args: list(Drawn(rng, (0.9, 0.8, 0.99))(*args)))
    for _ in range(200):
        monitor = gentest.Monitor(suite, drop=0.0)
        for step in range(25):
            monitor.check(generator, step)
        false += bool(monitor.alarms)
    assert false <= 2


def test_a_rate_and_a_reference_ring_when_they_fall() -> None:
    """A property at a rate is watched from the first check; one without has a reference first."""
    monitor = gentest.Monitor(gentest.Suite(LIT.at_rate(0.8), LIT), reference=2)
    checks = [monitor.check(lit(0.9), step) for step in (10, 20, 30)]
    assert not any(check.alarms for check in checks)
    assert [check.watched[0].least for check in checks] == [0.8] * 3
    assert [check.watched[1].least is None for check in checks] == [True, True, False]
    assert 0.6 < checks[2].watched[1].least < 0.85
    fallen = monitor.check(lit(0.3), 40)
    assert [watched.property for watched in fallen.alarms] == [
        "not_blank(at_least=0.5).at_rate(0.8)",
        "not_blank(at_least=0.5)",
    ]
    assert set(monitor.alarms.values()) == {40}
    assert len(monitor.check(lit(1.0), 50).alarms) == 2, "an alarm stays"
    assert str(fallen).startswith("step 40: alarm\n  ! not_blank(at_least=0.5).at_rate(0.8): ")
    figures = fallen.figures()
    assert figures["suite/not_blank/rate"] == fallen.watched[0].passes / 64
    assert figures["suite/not_blank.2/log_evidence"] == fallen.watched[1].log_evidence
    assert figures["gentest/alarms"] == 2


def test_probes_are_fresh_at_each_step_and_the_same_in_each_run() -> None:
    def latents(step: int) -> list[list[float]]:
        seen: list[list[float]] = []

        def f(z: torch.Tensor) -> torch.Tensor:
            seen.extend(z.tolist())
            return z[:, None, None, :].tanh()

        gentest.Monitor(gentest.Suite(LIT)).check(gentest.Generator(f, latent=gentest.Normal(2)), step)
        return seen

    first, again, other = latents(1), latents(1), latents(2)
    assert first == again
    one, two = ({tuple(z) for z in seen} for seen in (first, other))
    # what examines the generator is the same at each step, and no evidence of a rate
    assert len(one - two) >= 64
    assert len(two - one) >= 64


def test_a_later_error_is_an_alarm_and_a_first_one_raises() -> None:
    """A model that no longer gives numbers rings; a property that never worked is a mistake."""
    broken = gentest.Generator(lambda z: z[:, :, None, None] * float("nan"), latent=gentest.Normal(3))
    works = gentest.Generator(lambda z: z[:, :, None, None].tanh(), latent=gentest.Normal(3))
    suite = gentest.Suite(gentest.responsive(at_least=1e-4), gentest.well_formed())
    with pytest.raises(gentest.GentestError, match="at the first check of a monitor"):
        gentest.Monitor(suite).check(broken, 1)
    monitor = gentest.Monitor(suite, reference=1)
    assert not monitor.check(works, 1).alarms
    checked = monitor.check(broken, 2)
    assert [watched.message != "" for watched in checked.watched] == [True, False]
    assert len(checked.alarms) == 2, "well_formed counts probes that are not finite"
    assert "cannot be checked any more" in str(checked)
    assert "suite/responsive/rate" not in checked.figures()


def test_its_memory_survives_a_restart() -> None:
    """A monitor that goes on from JSON gives the same figures, and refuses steps that it has seen."""
    suite = gentest.Suite(LIT.at_rate(0.8), LIT)
    one, other = gentest.Monitor(suite, reference=1), gentest.Monitor(suite, reference=1)
    for step in (1, 2):
        one.check(lit(0.7), step)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert other.check(lit(0.7), 3).watched == one.check(lit(0.7), 3).watched
    with pytest.raises(gentest.InvalidArgument, match="a whole number above 3, the last one but got step=3"):
        other.check(lit(0.7), 3)
    with pytest.raises(gentest.InvalidArgument, match="other properties"):
        gentest.Monitor(gentest.Suite(LIT)).load_state_dict(one.state_dict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 1.0}, "alpha"),
        ({"probes": 0}, "probes=0"),
        ({"reference": 0}, "reference=0"),
        ({"drop": 1.0}, "drop=1.0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(gentest.InvalidArgument, match=message):
        gentest.Monitor(gentest.Suite(LIT), **arguments)  # type: ignore[arg-type]


def test_properties_without_one_rate_are_refused() -> None:
    """Pairs, distributions, and the rates of several priors or labels."""
    for property, message in (
        (gentest.agrees(within=0.1), "cannot watch it"),
        (gentest.matches(np.random.default_rng(0).random((256, 1, 2, 2), dtype=np.float32)), "cannot watch it"),
        (LIT.at_rate(0.9, each="label"), "several rates"),
        (gentest.prior_invariant(LIT, priors=[gentest.Uniform(1)]).at_rate(0.9), "several rates"),
    ):
        with pytest.raises(gentest.InvalidArgument, match=message):
            gentest.Monitor(gentest.Suite(property))
