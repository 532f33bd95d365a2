"""Many claims at once: which of them may be believed, when the more one looks at the more one finds.

Holm 1979, "A simple sequentially rejective multiple test procedure": the chance that any true null among m is
rejected is at most alpha, however the claims depend on one another. An e-process gives the p-value 1/sup E (Vovk and
Wang 2021, "E-values: calibration, combination and applications"), which only falls as probes are added, so that what
was rejected stays rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gentest.errors import InvalidArgument


@dataclass(frozen=True)
class Holm:
    """Which claims are rejected, in the order they were given, and the p-value that each needs, or needed.

    `needed` is the largest p-value at which a claim is rejected, given which of those ranked before it are.
    """

    rejected: tuple[bool, ...]
    needed: tuple[float, ...]


def holm(p_values: Sequence[float], alpha: float, *, claims: int | None = None) -> Holm:
    """Holm's procedure at level `alpha`; `claims` is how many there are in all, those not given having p = 1.

    >>> holm([0.04, 0.004, 0.03], 0.05)
    Holm(rejected=(False, True, False), needed=(0.025, 0.016666666666666666, 0.025))
    >>> holm([0.004], 0.05, claims=20).rejected
    (False,)
    """
    if not 0.0 < alpha < 1.0:
        raise InvalidArgument.expected("a probability in (0, 1)", "alpha", alpha)
    for p in p_values:
        if not 0.0 <= p <= 1.0:
            raise InvalidArgument.expected("p-values in [0, 1]", "p_values", p_values)
    m = len(p_values) if claims is None else claims
    if m < len(p_values):
        raise InvalidArgument.expected(f"at least the {len(p_values)} p-values given", "claims", claims)
    rejected, needed = [False] * len(p_values), [0.0] * len(p_values)
    left = m
    for i in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        needed[i] = alpha / left
        if p_values[i] <= needed[i]:  # once one is not, none after it is: they have no lower p, and need the same
            rejected[i] = True
            left -= 1
    return Holm(tuple(rejected), tuple(needed))
