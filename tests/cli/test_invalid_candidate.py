"""`gentest compare` where an output is invalid: of the candidate alone, of the reference, or of both."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite, isinf, nan

import numpy as np
import pytest
import torch

import gentest
from gentest.cli.compare import SHARES
from gentest.cli.compare_run import Comparing
from gentest.cli.invalid_candidate import CandidateInvalid, JudgingFailed
from gentest.engine.evidence.context import Context
from gentest.results.result import Verdict
from gentest.results.settings import Values


def broken_where(
    candidate: Callable[[torch.Tensor], torch.Tensor], reference: Callable[[torch.Tensor], torch.Tensor], value: float
) -> Comparing:
    """Both sides give tanh of the latents, and `value` at the latents that each side's condition [B] is true of."""

    def side(is_broken: Callable[[torch.Tensor], torch.Tensor]) -> gentest.Generator:
        def make(z: torch.Tensor) -> torch.Tensor:
            return torch.where(is_broken(z)[:, None], torch.full_like(z, value), z.tanh())

        return gentest.Generator(make, latent=gentest.Normal(6), outputs=gentest.Arrays(), output_range=(-1, 1))

    values = Values(examples=100, device="cpu")
    pair = side(candidate).against(side(reference))
    return Comparing(pair, Context(values), values, lambda done, total: None)


def independent_latents(context: Context, subject: gentest.Generator | gentest.Pair) -> torch.Tensor:
    """The first 100 of seed 0, [100, 6]."""
    evidence = context.samples(context.subject(subject), 0, 0, 100)
    return torch.from_numpy(np.concatenate([each.placed[""][:, 0] for each in evidence]))


def low(z: torch.Tensor) -> torch.Tensor:
    return z[:, 3] < -1.7


def never(z: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(z), dtype=torch.bool)


@pytest.mark.parametrize("value", [nan, inf, 1.5])
@pytest.mark.parametrize("within", [None, 0.5])
def test_an_invalid_candidate_disagrees_at_any_tolerance(value: float, within: float | None) -> None:
    """Where the reference is valid, NaN, infinity and a value out of range are counted, reduced and replayed."""
    comparing = broken_where(low, never, value)
    differences, result = comparing.run(within)
    assert (result.verdict, differences.agrees) == (Verdict.VIOLATED, False)
    latents = independent_latents(comparing.context, comparing.pair)
    assert differences.invalid == int(low(latents).sum()) > 0
    assert differences.disagreeing == (differences.invalid if within else 0)
    expected = np.quantile(low(latents).numpy().astype(float), SHARES, method="higher") > 0
    assert list(map(isinf, differences.quantiles)) == list(expected)
    assert differences.matters.startswith("coordinate 3 = -")
    for replay in (differences.worst.replay, differences.reduced):
        assert gentest.well_formed().replay(comparing.pair.candidate, replay).verdict is Verdict.VIOLATED
        assert gentest.well_formed().replay(comparing.pair.reference, replay).passed


def test_an_invalid_latent_that_the_sample_lacks_is_found_by_the_search() -> None:
    """The verdict counts it, although no independent latent is invalid."""

    def rare(z: torch.Tensor) -> torch.Tensor:
        return (z[:, 0] < -0.5) & (z[:, 1] < -0.5) & (z[:, 2] < -0.5) & ~torch.isin(z[:, 0], known)

    known = torch.empty(0)
    probing = broken_where(rare, never, nan)
    known = independent_latents(probing.context, probing.pair)[:, 0]
    differences, result = broken_where(rare, never, nan).run(0.1)
    assert (result.verdict, differences.invalid, differences.disagreeing) == (Verdict.VIOLATED, 0, 0)
    assert all(map(isfinite, differences.quantiles))


def test_an_invalid_reference_decides_nothing() -> None:
    """The reference alone, or both sides on the same latent: the error says which."""
    with pytest.raises(JudgingFailed, match=r"^in the reference, the generator returned values that are not finite"):
        broken_where(never, low, nan).run(0.1)
    with pytest.raises(JudgingFailed, match="both models give an output that is not finite or not in range") as both:
        broken_where(low, low, nan).run(0.1)
    assert not isinstance(both.value, CandidateInvalid)
