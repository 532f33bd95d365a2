"""Many claims: Holm's procedure is the closed test of Bonferroni's, and says what each claim needs."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentest.errors import InvalidArgument
from gentest.stats.multiplicity import Holm, holm

p_values = st.lists(st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.05 / k for k in range(1, 7)])), max_size=5)


def closed_bonferroni(p: list[float], alpha: float) -> tuple[bool, ...]:
    """A claim is rejected where Bonferroni rejects every intersection that it is part of (Marcus et al. 1976)."""
    subsets = [s for size in range(1, len(p) + 1) for s in combinations(range(len(p)), size)]
    rejects = {s: min(p[i] for i in s) <= alpha / len(s) for s in subsets}
    return tuple(all(rejects[s] for s in subsets if i in s) for i in range(len(p)))


@given(p_values, st.integers(0, 3))
def test_holm_is_the_closed_test(p: list[float], others: int) -> None:
    """What is rejected is what the closed test rejects, claims that were not given counting as p = 1."""
    got = holm(p, 0.05, claims=len(p) + others)
    assert got.rejected == closed_bonferroni(p + [1.0] * others, 0.05)[: len(p)]


@given(p_values, st.integers(0, 3))
def test_needed_is_what_would_be_rejected(p: list[float], others: int) -> None:
    """A claim is rejected exactly at or below the p-value it needs: moved there it would be, and just above not."""
    claims = len(p) + others
    got = holm(p, 0.05, claims=claims)
    for i, (rejected, needed) in enumerate(zip(got.rejected, got.needed, strict=True)):
        assert rejected == (p[i] <= needed)
        assert holm([*p[:i], needed, *p[i + 1 :]], 0.05, claims=claims).rejected[i]
        if not rejected:
            assert not holm([*p[:i], needed * 1.0001, *p[i + 1 :]], 0.05, claims=claims).rejected[i]


def test_claims_not_given_make_it_harder() -> None:
    """A claim that would be rejected alone is not among twenty, and what it needs says so."""
    assert holm([0.004], 0.05) == Holm((True,), (0.05,))
    assert holm([0.004], 0.05, claims=20) == Holm((False,), (0.0025,))


def test_each_rejection_makes_the_next_easier() -> None:
    """The least p-value needs alpha / m, the next alpha / (m - 1), and so on in the order of p, not as given."""
    got = holm([0.012, 0.001, 0.02, 0.9], 0.05)
    assert got.rejected == (True, True, True, False)
    assert got.needed == (0.05 / 3, 0.05 / 4, 0.05 / 2, 0.05)


def test_true_nulls_are_seldom_rejected() -> None:
    """Of 4,000 families of six true nulls, independent or all the same, at most alpha (4 sd more) lose one."""
    uniform = np.random.default_rng(1).random((4000, 6))
    for family in (uniform, np.repeat(uniform[:, :1], 6, axis=1)):
        wrong = sum(any(holm(list(map(float, p)), 0.05).rejected) for p in family)
        assert wrong <= 4000 * 0.05 + 4 * (4000 * 0.05 * 0.95) ** 0.5


def test_no_claims_reject_nothing() -> None:
    """Without p-values there is nothing to reject."""
    assert holm([], 0.05) == holm([], 0.05, claims=3) == Holm((), ())


@pytest.mark.parametrize(
    ("p", "alpha", "claims", "said"),
    [
        ([0.1, 1.1], 0.05, None, "p-values in [0, 1] but got p_values=[0.1, 1.1]"),
        ([-0.1], 0.05, None, "p-values in [0, 1] but got p_values=[-0.1]"),
        ([float("nan")], 0.05, None, "p-values in [0, 1] but got p_values=[nan]"),
        ([0.1], 0.0, None, "a probability in (0, 1) but got alpha=0.0"),
        ([0.1], 1.0, None, "a probability in (0, 1) but got alpha=1.0"),
        ([0.1, 0.2], 0.05, 1, "at least the 2 p-values given but got claims=1"),
    ],
)
def test_what_makes_no_sense_is_refused(p: list[float], alpha: float, claims: int | None, said: str) -> None:
    """A p-value, alpha or number of claims out of its range is misuse, and the message says what it may be."""
    with pytest.raises(InvalidArgument, match=f"^Expected {re.escape(said)}"):
        holm(p, alpha, claims=claims)
