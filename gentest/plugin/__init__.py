"""The pytest plugin: its hooks and its fixtures.

pytest loads this module in every run where gentest is installed, so it imports nothing heavy. `gentest.plugin.runner`,
which a run under `--gentest` needs, is imported only then.
"""

from __future__ import annotations

from collections.abc import Generator as Iteration
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gentest.plugin import checkpoints, hooks, options
from gentest.plugin.items import declared_by

if TYPE_CHECKING:
    import torch


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.declare(parser)


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Iteration[None, Any, Any]:
    request = options.value_of(config, "suggest")
    if request is not None:
        from gentest.plugin import suggest_run

        suggest_run.begin(config, request)
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gentest: checked by gentest's engine under --gentest (added by its decorators)")
    if not options.enabled(config):
        options.refuse_without_gentest(config)
        return
    from gentest.plugin.runner import Runner

    config.pluginmanager.register(Runner(config), "gentest-runner")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    enabled = options.enabled(config)
    for item in items:
        if declared_by(item) is not None:
            item.add_marker("gentest")
            if not enabled:
                item.add_marker(pytest.mark.skip(reason="needs --gentest"), append=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if checkpoints.FIXTURE in metafunc.fixturenames:
        checkpoints.parametrize(metafunc, options.checkpoints_of(metafunc.config))


@pytest.fixture(scope="session")
def gentest_checkpoint(request: pytest.FixtureRequest) -> Path | None:
    """The absolute path that --gentest-checkpoint gives, or None. With several, the one that this test runs for."""
    given = options.checkpoints_of(request.config)
    one: checkpoints.Checkpoint | None = getattr(request, "param", given[0] if given else None)
    return None if one is None else one.path


@pytest.fixture(scope="session")
def gentest_device(pytestconfig: pytest.Config) -> torch.device:
    """The torch device that gentest uses: --gentest-device, or else CUDA if available, or else the CPU."""
    from gentest.generators.modules import resolve_device

    return resolve_device(options.value_of(pytestconfig, "device"))
