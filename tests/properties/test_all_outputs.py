"""Figures of all outputs: how they are written, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

import gentest
from gentest.errors import InvalidArgument

level = gentest.brightness()


@gentest.statistic(n=64)
def middle(outputs: Tensor, share: float, *, scale: float = 1.0) -> Tensor:
    return scale * outputs.quantile(share)


def test_they_are_written_as_they_were_declared() -> None:
    asked = gentest.share(level, at_least=0.5, between=(0.3, 1), each="label").where(level, at_most=0.9)
    written = "share(brightness(), between=[0.3, 1.0], at_least=0.5, each='label').where(brightness(), at_most=0.9)"
    assert str(asked) == written
    assert str(gentest.uses_codes(level, k=8, at_least=1)) == "uses_codes(encoder=brightness(), k=8, at_least=1)"
    assert str(middle(0.5, at_most=0.3)) == "middle(share=0.5, at_most=0.3)"


@pytest.mark.parametrize(
    ("property", "message"),
    [
        (lambda: gentest.share(level, between=0.5), r"two shares \(low, high\)"),  # type: ignore[arg-type]
        (lambda: gentest.share(level, between=(0.5, 0.4)), "low < high"),
        (lambda: gentest.share(level, between=(0, 1)), "not all of it"),
        (lambda: gentest.share("level", between=(0.1, 1)), "attribute"),  # type: ignore[arg-type]
        (lambda: gentest.share(level, between=(0.1, 1), at_least=2, at_most=1), "at_least=2"),
        (lambda: gentest.share(level, between=(0.1, 1), each=3), "each"),  # type: ignore[arg-type]
        (lambda: gentest.share(level, between=(0.1, 1)).at_rate(0.9), "it has no rate"),
        (lambda: gentest.share(level, between=(0.1, 1)).where(level, at_least=1).where(level, at_least=1), "where"),
        (lambda: gentest.prior_invariant(gentest.share(level, between=(0.1, 1)), priors=[gentest.Normal(2)]), "speaks"),
        (lambda: gentest.uses_codes(k=0, at_least=0.5), "codes >= 1"),
        (lambda: gentest.uses_codes(k=4, at_least=1.5), "at_least"),
        (lambda: gentest.uses_codes(k=4, at_least=0.5, rarely=0), "rarely"),
        (lambda: gentest.uses_codes("encoder", k=4, at_least=0.5), "encoder"),  # type: ignore[arg-type]
        (lambda: middle(0.5), "at_least=, at_most= or both"),
        (lambda: middle(0.5, at_least=2, at_most=1), "at_least=2"),
        (lambda: middle(0.5, at_least=float("inf")), "a finite number"),
    ],
)
def test_misuse_is_kept_until_the_check(property: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        _ = property().definition


def test_a_statistic_that_cannot_be_made_is_refused_at_once() -> None:
    with pytest.raises(InvalidArgument, match="outputs >= 64"):
        gentest.statistic(n=32)
    with pytest.raises(InvalidArgument, match="of"):
        gentest.statistic(of="brightness")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="a parameter at_least"):
        gentest.statistic()(lambda rows, at_least: 0.0)
    with pytest.raises(InvalidArgument, match="first parameter"):
        gentest.statistic()(lambda: 0.0)  # type: ignore[arg-type, misc]
    with pytest.raises(TypeError, match="share"):
        middle(at_least=0.5)
