"""What the tests want of pytest: pytester, which runs pytest within the tests of the plugin; a core for each worker;
no limit of time for what Hypothesis draws, since a busy machine is no fault."""

from __future__ import annotations

import os

import hypothesis

pytest_plugins = ["pytester"]

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported, and for the processes that tests start
    os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")
