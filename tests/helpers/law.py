"""On how many examples a law is tried: a few in the suite, `GENTEST_LAWS` times as many in a long run.

GENTEST_LAWS=100 pytest tests/laws
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("GENTEST_LAWS", "1"))


def tried_on(n: int) -> settings:
    """So many examples, or so many times as many; however long one takes, and a check draws within one."""
    no_mistake = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.nested_given]
    return settings(max_examples=n * TIMES, deadline=None, suppress_health_check=no_mistake)
