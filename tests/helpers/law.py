"""The number of examples that a law is tried on: all of them with `--slow`, a third without.

GENTEST_LAWS=100 pytest tests/laws    a hundred times as many
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = float(os.environ.get("GENTEST_LAWS", "1"))
FEWEST = 3
"""A law is tried on this many examples at least."""


def tried_on(n: int) -> settings:
    """Settings for `n` examples with `--slow`, without a limit of time, and with checks drawn inside an example."""
    no_mistake = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.nested_given]
    n_tried = max(min(n, FEWEST), round(n * TIMES))
    return settings(max_examples=n_tried, deadline=None, suppress_health_check=no_mistake)
