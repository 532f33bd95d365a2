"""Noise that nobody declared is an error that names it, and rounding is none: some cases; `noise.py` runs hundreds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import gentest
from gentest.engine import cost
from gentest.engine.evidence.audit import DRAWN, DRAWN_SLOW
from gentest.results.result import Result, Verdict
from tests.audit.noise import (
    DRAWS,
    PLACES,
    SIZES,
    Noise,
    Rounding,
    differences,
    drawn_noise,
    drawn_rounding,
    names_noise,
)
from tests.helpers.law import tried_on

WEAK = Noise(
    sd=2e-4,
    draws="torch normal",
    place="one value",
    images=False,
    spread=0.3,
    limit=0.0,
    rate=None,
    size=128,
    seed=3,
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- undeclared noise


@tried_on(25)
@given(st.integers(0, 2**32))
def test_drawn_noise_is_named(seed: int) -> None:
    noise = drawn_noise(random.Random(seed))
    assert names_noise(noise.result), noise


@tried_on(8)
@given(st.integers(0, 2**32))
def test_declared_noise_is_no_error(seed: int) -> None:
    noise = replace(drawn_noise(random.Random(seed)), declared=True)
    assert noise.result.verdict is not Verdict.ERROR, noise


@pytest.mark.parametrize("limit", [-1.5, -1.0, -2 / 3, 0.0])
@pytest.mark.parametrize("sd", [0.003, 0.0002])
def test_noise_is_named_at_every_limit(limit: float, sd: float) -> None:
    """The rate over the noise is 7 % to 50 % and 95 % is asked: an error, whatever share of one draw would pass."""
    assert names_noise(replace(WEAK, sd=sd, spread=0.0, limit=limit, rate=0.95).result)


@pytest.mark.parametrize("size", [pytest.param(size, marks=[pytest.mark.slow] if size != 16 else []) for size in SIZES])
@pytest.mark.parametrize("draws", DRAWS)
@pytest.mark.parametrize("place", PLACES)
def test_weak_noise_is_named_whatever_draws_it(draws: str, place: str, size: int) -> None:
    """Of .02 % of the range, in one value or in all, from any state that random numbers have."""
    result = replace(WEAK, draws=draws, place=place, size=size).result
    assert names_noise(result), result


@pytest.mark.parametrize("seed", range(8))
def test_weak_noise_of_slow_images_is_named(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Two samples, alone and together, show it, or else the rows that the judge and the audit make again."""
    monkeypatch.setattr(cost, "SLOW", -1.0)
    torch.manual_seed(seed)
    result = replace(WEAK, draws="of its own", seed=seed).result
    assert names_noise(result), result


def test_four_images_miss_weak_noise_once_in_a_thousand() -> None:
    """Four pairs of draws of one value all lie within half of the threshold with a probability below 1e-3."""
    pairs = 2e-4 * torch.randn(2, 1_000_000, 4, generator=torch.Generator().manual_seed(1))
    assert (pairs[0] - pairs[1]).abs().amax(1).le(DRAWN_SLOW).double().mean() < 6e-4
    pairs = 2e-4 * torch.randn(2, 100_000, 16, generator=torch.Generator().manual_seed(1))
    assert not (pairs[0] - pairs[1]).abs().amax(1).le(DRAWN).any()


@pytest.mark.parametrize(("sd", "size"), [*((2e-4, size) for size in SIZES), (4e-5, 16), (4e-5, 128)])
@pytest.mark.parametrize("rate", [None, 0.5])
def test_noise_that_no_examined_sample_has_is_named_where_it_decides(sd: float, size: int, rate: float | None) -> None:
    """Where no sample that is examined has noise, and margins lie about zero, it is seen later.

    Weaker noise too, unless each batch is a latent: then no two of the check's calls show a difference.
    """

    def outputs(z: Tensor) -> Tensor:
        rare = z[:, 0] > 0.6
        noise = sd * torch.randn(len(z))
        return torch.stack([0.5 + torch.where(rare, noise, -0.1), torch.sigmoid(z[:, 1])], 1)

    examined = gentest.Generator(outputs, latent=gentest.Normal(2), images=False, output_range=(0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gentest.engine.check.examine", lambda context, subject: None)
        patch.setattr("gentest.engine.check.examine_again", lambda context, subject: None)
        result = checked(examined, rate, size)
    assert names_noise(result), result


@pytest.mark.parametrize("size", SIZES)
def test_what_is_drawn_and_moves_no_margin_is_no_error(size: int) -> None:
    """Random numbers that a generator draws in vain, and rounding from call to call, decide nothing."""

    def outputs(z: Tensor) -> Tensor:
        torch.randn(len(z))
        rounding = 1e-6 * torch.randn(len(z)) * (torch.rand(len(z)) < 0.3)
        return torch.stack([0.5 + 1e-5 * torch.tanh(z[:, 0]) + rounding, torch.sigmoid(z[:, 1])], 1)

    generator = gentest.Generator(outputs, latent=gentest.Normal(2), images=False, output_range=(0, 1))
    for rate in (None, 0.5):
        assert checked(generator, rate, size).verdict is not Verdict.ERROR


def checked(generator: gentest.Generator, rate: float | None, size: int) -> Result:
    """Whether the first value is at most .5."""

    @gentest.property(probes=gentest.points())
    def quiet(evidence: gentest.Evidence) -> Tensor:
        return 0.5 - evidence.outputs.flatten(1)[:, 0].double()

    asked = quiet() if rate is None else quiet().at_rate(rate)
    return asked.check(generator, settings=gentest.settings(batch_size=size, seed=1, examples=100, device="cpu"))


# --- rounding


@pytest.mark.slow
@tried_on(6)
@given(st.integers(0, 2**32))
def test_drawn_rounding_decides_nothing(seed: int) -> None:
    case = replace(drawn_rounding(random.Random(seed)), examples=40, budget=128)
    assert differences(case) == [], case


DENSE = Rounding(
    network=False,
    size=1e-6,
    share=0.05,
    is_normal=True,
    of_each_value=True,
    of_each_call=False,
    images=False,
    spread=1e-5,
    quantile=0.9,
    kind="first",
    rate=0.9,
    seed=5,
    examples=40,
    budget=128,
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["first", "dark", "short"])
@pytest.mark.parametrize("rate", [None, 0.9])
@pytest.mark.parametrize("of_each_call", [False, True])
def test_rounding_of_one_row_in_twenty_decides_nothing(kind: str, rate: float | None, *, of_each_call: bool) -> None:
    """Margins lie as densely about zero as such rounding is large: no verdict, pass or counterexample follows it."""
    assert differences(replace(DENSE, kind=kind, rate=rate, of_each_call=of_each_call)) == []


def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the floor of the band, rows that were not measured decide by their rounding."""
    monkeypatch.setattr("gentest.engine.evaluation.MOVE_FACTOR", 0.0)
    assert any(differences(replace(DENSE, budget=256, seed=seed)) for seed in range(6))
