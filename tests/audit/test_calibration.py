"""Claims are wrong as seldom as they say: a few runs of each part; `calibration.py` runs thousands."""

from __future__ import annotations

import pytest

from tests.audit.calibration import PARTS, Count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "n"), [("drift", 200), ("engine", 20), ("gate", 10), ("levels", 60), ("pairs", 400), ("where", 100)]
)
def test_claims_are_seldom_wrong(part: str, n: int) -> None:
    """No case has more wrong runs than chance explains."""
    counts = list(PARTS[part](n, 11))
    assert counts
    assert [count for count in counts if count.is_off] == []


def test_a_share_beyond_chance_is_noticed() -> None:
    """Of 2,000 runs 20 are what 1 % allows, and 60 are not; the bounds are Clopper and Pearson's."""
    assert not Count("as many as there may be", 20, 2000).is_off
    assert Count("thrice as many", 60, 2000).is_off
    assert Count("none", 0, 2000).bounds == pytest.approx((0.0, 1 - 0.01 ** (1 / 2000)))
