"""What the tests want of pytest: pytester, which runs pytest within the tests of the plugin; a core for each worker."""

from __future__ import annotations

import os

pytest_plugins = ["pytester"]

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported, and for the processes that tests start
    os.environ.setdefault("OMP_NUM_THREADS", "1")
