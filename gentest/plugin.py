"""The pytest plugin: options, fixtures, and what happens to decorated tests with and without `--gentest`.

Loaded in every run of pytest where gentest is installed, so it imports nothing heavy: what `--gentest` needs is in
`gentest.runner`, which is imported only then.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch

DECLARED = "_gentest_declared"
"""The attribute by which `gentest.decorators` marks a test (named here too, since that imports torch)."""

GROUP = "gentest"


@dataclass(frozen=True)
class Option:
    """One command-line option and the ini option beside it."""

    name: str
    metavar: str
    help: str
    read: Callable[[str], Any]

    @property
    def flag(self) -> str:
        return f"--gentest-{self.name}"

    @property
    def ini(self) -> str:
        return f"gentest_{self.name.replace('-', '_')}"


def _number(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.strip().lstrip("-").isdigit() or int(text) < low:
            raise ValueError(f"a whole number >= {low}")
        return int(text)

    return read


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return _number(1)(text)
    except ValueError:
        raise ValueError("auto, or a whole number >= 1") from None


def _existing(text: str) -> Path:
    if not Path(text).exists():
        raise ValueError("a file or folder that exists")
    return Path(text)


def _writable(text: str) -> Path:
    if Path(text).is_dir() or not Path(text).absolute().parent.is_dir():
        raise ValueError("a file in a folder that exists")
    return Path(text)


def _replay(text: str) -> tuple[str, str]:
    label, _, probe = text.rpartition(":")
    if not label or not probe:
        raise ValueError("PROPERTY:PROBE, as a failing test prints it")
    return label, probe


OPTIONS = (
    Option("checkpoint", "PATH", "the checkpoint that the fixture gentest_checkpoint gives", _existing),
    Option("device", "DEVICE", "torch device, such as cuda:0 or cpu (default: CUDA where there is one)", str),
    Option(
        "clip", "MODEL[:PRETRAINED]", "the CLIP of attributes that name none: as open_clip lists, or local-dir:DIR", str
    ),
    Option("prompts", "FILE", "text embeddings of CLIP prompts, instead of the text tower", Path),
    Option("examples", "N", "distinct probes that a search looks at (default: 300)", _number(1)),
    Option("seed", "N", "the run's seed (default: 0)", _number(0)),
    Option(
        "profile", "NAME", "settings profile: default, ci, quick, thorough, or one that a conftest.py registered", str
    ),
    Option(
        "batch-size",
        "N|auto",
        "latents to the generator at once (default: auto); no verdict depends on it",
        _batch_size,
    ),
    Option("json", "FILE", "write the results as JSON", _writable),
)
REPLAY = Option("replay", "STRING", "evaluate one probe only, as a failing test prints it", _replay)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup(GROUP, "property-based testing for generative models")
    group.addoption("--gentest", action="store_true", default=None, help="check what gentest's properties decorate")
    parser.addini("gentest", "check gentest's tests without being asked (as --gentest)", type="bool", default=False)
    for option in (*OPTIONS, REPLAY):
        group.addoption(option.flag, metavar=option.metavar, default=None, help=option.help)
        parser.addini(option.ini, f"default of {option.flag}: {option.help}", default="")
    group.addoption(
        "--gentest-update-prompts",
        action="store_true",
        default=None,
        help="write the text embeddings that this run needs to the file of --gentest-prompts",
    )
    parser.addini("gentest_update_prompts", "default of --gentest-update-prompts", type="bool", default=False)


def enabled(config: pytest.Config) -> bool:
    """Whether this run checks gentest's tests."""
    return bool(config.getoption("--gentest") or config.getini("gentest"))


def option(config: pytest.Config, which: Option) -> tuple[Any, bool]:
    """An option's value, None where it is not given, and whether it comes from the command line.

    A path in an ini file is relative to that file, one on the command line to where pytest was started.
    """
    given, from_ini = config.getoption(which.flag), config.getini(which.ini)
    text = given if given is not None else from_ini
    if not text and given is None:
        return None, False
    if given is None and which.metavar in ("PATH", "FILE") and config.inipath is not None:
        text = str(config.inipath.parent / text)
    try:
        return which.read(text), given is not None
    except ValueError as error:
        where = which.flag if given is not None else f"ini option {which.ini}"
        raise pytest.UsageError(f"{where}: expected {error} but got {text!r}") from None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gentest: checked by gentest's engine under --gentest (added by its decorators)")
    if enabled(config):
        from gentest.runner import Runner

        config.pluginmanager.register(Runner(config), "gentest-runner")
        return
    flags = [o.flag for o in (*OPTIONS, REPLAY) if config.getoption(o.flag) is not None and o.name != "checkpoint"]
    if flags:
        raise pytest.UsageError(f"{', '.join(flags)}: needs --gentest")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    on = enabled(config)
    for item in items:
        if getattr(getattr(item, "obj", None), DECLARED, None) is not None:
            item.add_marker("gentest")
            if not on:
                item.add_marker(pytest.mark.skip(reason="needs --gentest"), append=False)


@pytest.fixture(scope="session")
def gentest_checkpoint(pytestconfig: pytest.Config) -> Path | None:
    """The path given with --gentest-checkpoint, absolute, or None."""
    path, _ = option(pytestconfig, OPTIONS[0])
    return None if path is None else Path(os.path.abspath(path))


@pytest.fixture(scope="session")
def gentest_device(pytestconfig: pytest.Config) -> torch.device:
    """The torch device that gentest uses: --gentest-device, else CUDA where there is one, else the CPU."""
    from gentest.engine.context import resolve_device

    return resolve_device(option(pytestconfig, OPTIONS[1])[0])
