"""A quick gate errs as seldom as it says; `quick_gate.py` runs every case 2,000 times."""

from __future__ import annotations

import numpy as np
import pytest

from gentest.results.comparison import Standing
from tests.audit.quick_gate import CASES, N_KEPT, OVERHEAD, Case, run

UNCHANGED, FALLEN = CASES[1], CASES[3]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_is_decided_rightly(case: Case) -> None:
    """In ten runs of each, none is wrong."""
    counted = run(case, 10, 11)
    assert counted.standings[case.right] + counted.standings[Standing.UNDECIDED] == 10
    assert counted.share(case.right) >= 0.8
    assert max(counted.images) <= N_KEPT + OVERHEAD


@pytest.mark.slow
def test_an_unchanged_candidate_takes_64_images_and_a_fallen_one_is_refused() -> None:
    """Of 2,000 gates of eight levels and a rate, at most 1 % are wrong each way, and 99 % of falls are refused.

    The guide to costs has the figures of this seed.
    """
    unchanged, fallen = (run(case, 2000, 3) for case in (UNCHANGED, FALLEN))
    assert np.median(unchanged.images) <= 64
    assert unchanged.share(Standing.REGRESSED) <= 0.01
    assert fallen.share(Standing.HELD) <= 0.01
    assert fallen.share(Standing.REGRESSED) >= 0.99
    assert np.quantile(unchanged.images, 0.95) <= 96
    assert (unchanged.standings[Standing.REGRESSED], fallen.standings[Standing.REGRESSED]) == (0, 2000)
