"""Settings of every test: pytester for tests that run pytest, `--slow`, one thread for each worker, and no deadline for
Hypothesis, because a busy machine is not a failure."""

from __future__ import annotations

import os
import sys

import hypothesis
import pytest

pytest_plugins = ["pytester"]

# set before torch is imported; processes that tests start inherit it
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A CI service changes gentest's profile and what it prints. A test that wants one says so itself.
for name in [name for name in os.environ if name == "CI" or name.startswith("GITHUB_")]:
    del os.environ[name]

# Processes that tests start may reuse bytecode: compiling gentest takes a third of their time. This process writes
# none: a test that rewrites a file within a second, with the same length, would run the bytecode of the old one.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = True

hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that are marked slow")


def pytest_configure(config: pytest.Config) -> None:
    # without --slow, laws are tried on a third of their examples
    os.environ.setdefault("GENTEST_LAWS", "1" if config.getoption("--slow") else "0.3")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow") is not None:
                item.add_marker(pytest.mark.skip(reason="slow: run it with --slow"))
