"""The pytest plugin: options, fixtures, and what happens to decorated tests with and without `--gentest`.

Loaded in every run of pytest where gentest is installed, so it imports nothing heavy: what `--gentest` needs is in
`gentest.plugin.runner`, which is imported only then.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gentest._support.printable import short_repr
from gentest.plugin import checkpoints
from gentest.results.settings import PRECISIONS

if TYPE_CHECKING:
    import torch

DECLARED = "_gentest_declared"
"""The attribute by which `gentest.decorators` marks a test (named here too, since that imports torch)."""

GROUP = "gentest"
LOCAL_DIR = "local-dir:"


@dataclass(frozen=True)
class Option:
    """One command-line option and the ini option beside it."""

    name: str
    metavar: str
    help: str
    read: Callable[[str], Any]
    in_ini: bool = True
    """Whether an ini file may say it; what only one run is to do stands on its command line."""
    many: bool = False
    """Whether it may be given several times."""

    @property
    def flag(self) -> str:
        return f"--gentest-{self.name}"

    @property
    def ini(self) -> str:
        return f"gentest_{self.name.replace('-', '_')}"


def _number(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise ValueError(f"a whole number >= {low}")
        return value

    return read


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return _number(1)(text)
    except ValueError:
        raise ValueError("auto, or a whole number >= 1") from None


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(" or ".join(words))
        return text

    return read


def _share(text: str) -> float:
    with suppress(ValueError):
        if 0.0 < float(text) < 1.0:
            return float(text)
    raise ValueError("a number above 0 and below 1")


def _writable(text: str) -> Path:
    if Path(text).is_dir() or not Path(text).absolute().parent.is_dir():
        raise ValueError("a file in a folder that exists")
    return Path(text)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0.0 <= float(text) < inf:
            return float(text)
    raise ValueError("a number of seconds >= 0")


def _folder(text: str) -> str:
    if Path(text).exists() and not Path(text).is_dir():
        raise ValueError("a folder, or a name for one")
    return str(Path(text).absolute())


def _replay(text: str) -> tuple[str, str]:
    with suppress(OSError, ValueError):  # a string may be longer than any name of a file
        if Path(text).is_file():
            text = Path(text).read_text(encoding="utf-8").strip()
    label, _, probe = text.rpartition(":")
    if not label or not probe:
        raise ValueError("PROPERTY:PROBE, as a failing test prints it, or a file that holds it")
    return label, probe


CHECKPOINT = Option(
    "checkpoint",
    "PATH",
    "the checkpoint that the fixture gentest_checkpoint gives; several, or a pattern, run each test for each",
    str,
    many=True,
)
DEVICE = Option("device", "DEVICE", "torch device, such as cuda:0 or cpu (default: CUDA where there is one)", str)
BASELINE = Option("baseline", "FILE", "compare with this baseline, on its probes: held, regressed or undecided", Path)
GITHUB = Option(
    "github",
    "on|off",
    "on GitHub Actions, annotate tests that fail and add a page to the job's summary (default: on)",
    _one_of("on", "off"),
)
OPTIONS = (
    DEVICE,
    Option(
        "clip", "MODEL[:PRETRAINED]", "the CLIP of attributes that name none: as open_clip lists, or local-dir:DIR", str
    ),
    Option("prompts", "FILE", "text embeddings of CLIP prompts, instead of the text tower", Path),
    Option("examples", "N", "distinct probes that a search looks at (default: 300)", _number(1)),
    Option("budget", "N", "independent probes that a rate may use before it is undecided (default: 4096)", _number(1)),
    Option("seed", "N", "the run's seed (default: 0)", _number(0)),
    Option(
        "attack",
        "IMAGES",
        "attack what a search finds nothing against, with so many outputs a property (default: 0, no attack)",
        _number(0),
    ),
    Option(
        "profile", "NAME", "settings profile: default, ci, quick, thorough, or one that a conftest.py registered", str
    ),
    Option(
        "batch-size",
        "N|auto",
        "latents to the generator at once (default: auto); no verdict depends on it",
        _batch_size,
    ),
    Option(
        "precision",
        "|".join(PRECISIONS),
        "in what CLIP screens images (default: full); what a lower one could mistake is decided in full",
        _one_of(*PRECISIONS),
    ),
    Option(
        "memory", "MIB", "outputs and measurements kept for further properties of the run (default: 1024)", _number(0)
    ),
    Option("cache", "DIR", "keep measurements in this folder, so that a run of a known checkpoint makes none", _folder),
    Option("ray", "ADDRESS|local", "share the work among the actors of a Ray cluster", str),
    Option(
        "time-limit",
        "SECONDS",
        "what one call of the generator, or of what measures its outputs, may take; 0 for no limit (default: 3600)",
        _seconds,
    ),
    Option("json", "FILE", "write the results as JSON", _writable),
    Option("report", "FILE", "write the results as one HTML page, with pictures", _writable),
    Option("images", "DIR", "write the outputs of counterexamples as PNG files in this folder", _folder),
    BASELINE,
    Option("save-baseline", "FILE", "bless what is checked: write a baseline of it", _writable, in_ini=False),
    Option(
        "baseline-probes",
        "N",
        "independent probes that a baseline keeps of each property (default: 2048; more for a rate below 0.93)",
        _number(32),
    ),
    Option("tolerance", "T", "how far a rate may fall below the baseline's (default: 0.05)", _share),
    Option(
        "undecided", "fail|warn", "what a rate or gate does that is undecided (default: fail)", _one_of("fail", "warn")
    ),
    Option(
        "drift",
        "warn|fail|off",
        "what levels or distributions of outputs do that drift from the baseline's (default: warn)",
        _one_of("warn", "fail", "off"),
    ),
    GITHUB,
)
REPLAY = Option("replay", "STRING", "evaluate one probe only, as a failing test prints it", _replay)
FLAGS = (
    ("update-prompts", "write the text embeddings that this run needs to the file of --gentest-prompts"),
    ("outcomes", "keep the outcome of each of the baseline's probes in the JSON, for `gentest gate`"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup(GROUP, "property-based testing for generative models")
    group.addoption("--gentest", action="store_true", default=None, help="check what gentest's properties decorate")
    parser.addini("gentest", "check gentest's tests without being asked (as --gentest)", type="bool", default=False)
    for option in (CHECKPOINT, *OPTIONS, REPLAY):
        action = "append" if option.many else "store"
        group.addoption(option.flag, metavar=option.metavar, action=action, default=None, help=option.help)
        if option.in_ini:
            parser.addini(option.ini, f"default of {option.flag}: {option.help}", default="")
    for name, text in FLAGS:
        group.addoption(f"--gentest-{name}", action="store_true", default=None, help=text)
        ini = f"gentest_{name.replace('-', '_')}"
        parser.addini(ini, f"default of --gentest-{name}", type="bool", default=False)


def enabled(config: pytest.Config) -> bool:
    """Whether this run checks gentest's tests."""
    return bool(config.getoption("--gentest") or config.getini("gentest"))


def flag(config: pytest.Config, name: str) -> bool:
    """Whether a flag of `FLAGS` is given, on the command line or in an ini file."""
    given = config.getoption(f"--gentest-{name}")
    return bool(given if given is not None else config.getini(f"gentest_{name.replace('-', '_')}"))


def checkpoint_paths(config: pytest.Config) -> list[Path]:
    """The checkpoints of the run, absolute: those that the command line names, or else those of the ini file."""
    given = config.getoption(CHECKPOINT.flag)
    texts = given if given is not None else [line for line in config.getini(CHECKPOINT.ini).splitlines() if line]
    from_ini = given is None and config.inipath is not None
    folder = config.inipath.parent if from_ini and config.inipath else config.invocation_params.dir
    where = CHECKPOINT.flag if given is not None else f"ini option {CHECKPOINT.ini}"
    found: dict[Path, None] = {}
    for text in texts:
        try:
            if not text.strip():
                raise ValueError(CHECKPOINT.metavar)
            found.update((Path(os.path.abspath(path)), None) for path in checkpoints.find(text, folder))
        except ValueError as error:
            raise pytest.UsageError(f"{where}: expected {error} but got {short_repr(text)}") from None
    return list(found)


def option(config: pytest.Config, which: Option) -> tuple[Any, bool]:
    """An option's value, None where it is not given, and whether it comes from the command line.

    A path in an ini file is relative to that file, one on the command line to where pytest was started.
    """
    given, from_ini = config.getoption(which.flag), config.getini(which.ini) if which.in_ini else ""
    text = given if given is not None else from_ini
    if not text and given is None:
        return None, False
    where = which.flag if given is not None else f"ini option {which.ini}"
    if not text.strip():
        raise pytest.UsageError(f"{where}: expected {which.metavar} but got {short_repr(text)}")
    folder = config.inipath.parent if given is None and config.inipath else config.invocation_params.dir
    if which.metavar in ("PATH", "FILE", "DIR"):
        text = str(folder / text)
    elif given is None and which.name == "clip" and text.startswith(LOCAL_DIR):
        text = f"{LOCAL_DIR}{folder / Path(text.removeprefix(LOCAL_DIR)).expanduser()}"
    try:
        return which.read(text), given is not None
    except OSError as error:  # of a name that no file system takes
        said = f"expected {which.metavar} but got {short_repr(text)}: {error.strerror}"
        raise pytest.UsageError(f"{where}: {said}") from None
    except ValueError as error:
        raise pytest.UsageError(f"{where}: expected {error} but got {short_repr(text)}") from None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gentest: checked by gentest's engine under --gentest (added by its decorators)")
    if enabled(config):
        from gentest.plugin.runner import Runner

        config.pluginmanager.register(Runner(config), "gentest-runner")
        return
    flags = [o.flag for o in (*OPTIONS, REPLAY)] + [f"--gentest-{name}" for name, _ in FLAGS]
    if given := [flag for flag in flags if config.getoption(flag) is not None]:
        raise pytest.UsageError(f"{', '.join(given)}: needs --gentest")
    if config.getoption(CHECKPOINT.flag) is not None:  # other tests may ask for the checkpoint
        checkpoint_paths(config)


def function_of(item: pytest.Item) -> Any:
    """The function that a test item calls, which carries what decorators say of it; None where it calls none."""
    function = getattr(item, "obj", None)
    while isinstance(function, functools.partial):
        function = function.func
    return function


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    on = enabled(config)
    for item in items:
        if getattr(function_of(item), DECLARED, None) is not None:
            item.add_marker("gentest")
            if not on:
                item.add_marker(pytest.mark.skip(reason="needs --gentest"), append=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if checkpoints.FIXTURE in metafunc.fixturenames:
        checkpoints.parametrize(metafunc, checkpoint_paths(metafunc.config))


@pytest.fixture(scope="session")
def gentest_checkpoint(request: pytest.FixtureRequest) -> Path | None:
    """The path given with --gentest-checkpoint, absolute, or None; of several, the one that this test is run for."""
    one: Path | None = getattr(request, "param", None)
    return one if one is not None else next(iter(checkpoint_paths(request.config)), None)


@pytest.fixture(scope="session")
def gentest_device(pytestconfig: pytest.Config) -> torch.device:
    """The torch device that gentest uses: --gentest-device, else CUDA where there is one, else the CPU."""
    from gentest.engine.evidence.maker import resolve_device

    return resolve_device(option(pytestconfig, DEVICE)[0])
