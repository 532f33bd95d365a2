"""What the tests want of pytest: pytester, which runs pytest within the tests of the plugin; `--slow`; a core for each
worker; no limit of time for what Hypothesis draws, since a busy machine is no fault."""

from __future__ import annotations

import os
import sys

import hypothesis
import pytest

pytest_plugins = ["pytester"]

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported, and for the processes that tests start
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# processes that tests start do not compile gentest anew, a third of their time; here, where a test may write a file
# anew within a second and as long as before, bytecode of the old one would be taken for it
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = True

hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that are marked slow too")


def pytest_configure(config: pytest.Config) -> None:
    # laws are tried on fewer examples unless the run may take its time
    os.environ.setdefault("GENTEST_LAWS", "1" if config.getoption("--slow") else "0.3")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow") is not None:
                item.add_marker(pytest.mark.skip(reason="slow: run it with --slow"))
