"""The options of a run: their declarations, and their values, read once from the command line and ini files.

The plugin imports this module in every run of pytest, so it loads nothing heavy.
"""

from __future__ import annotations

import shlex
from argparse import SUPPRESS
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gentest._support.printable import short_repr
from gentest.errors import InvalidArgument
from gentest.integrations.sources import Fetched, fetch, is_address
from gentest.plugin.checkpoints import Checkpoint, find, named
from gentest.results.settings import (
    FLAG,
    FOLDER,
    SETTINGS,
    OnDrift,
    OnUndecided,
    Option,
    ValueKind,
    Values,
    free_text,
    one_of,
    option,
    options_of,
    settings,
    whole,
)

if TYPE_CHECKING:
    from gentest.probes.probe import Probe

SELECTING = ("-k", "-m", "--deselect", "--lf", "--last-failed", "--sw", "--stepwise")
"""Options of pytest that select some of the tests."""


@dataclass(frozen=True)
class Replay:
    """A replay string: the property's label within its test, and the probe to evaluate."""

    label: str
    probe: Probe

    @classmethod
    def parse(cls, text: str) -> Replay:
        """Read a replay string, or the file that holds it. Raises `ValueError`."""
        from gentest.probes.probe import Probe

        with suppress(OSError, ValueError):  # a replay string may be too long for the name of a file
            if Path(text).is_file():
                text = Path(text).read_text(encoding="utf-8").strip()
        label, _, probe = text.rpartition(":")
        if not label or not probe:
            raise ValueError
        return cls(label, Probe.parse(probe))


def _output(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError
    return path


CHECKPOINTS = ValueKind("PATH", "a file or folder that exists, or a pattern that matches some", find, path_after="")
INPUT = ValueKind("FILE", "a file", Path, path_after="")
OUTPUT = ValueKind("FILE", "a file in a folder that exists", _output, path_after="")
TRACKER = ValueKind(
    "mlflow|wandb|tensorboard:DIR",
    "the name of a tracker, and after a colon its folder, experiment or project",
    str,
    path_after="tensorboard:",
)
SHARE = ValueKind("T", "a number above 0 and below 1", float, lambda value: 0.0 < value < 1.0)
REPLAY = ValueKind("STRING", "PROPERTY:PROBE, as a failing test prints it, or a file that holds it", Replay.parse)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The value of every option of a run. Its fields declare the options that are not settings."""

    checkpoint: tuple[str, ...] = option(
        CHECKPOINTS,
        "what the fixture gentest_checkpoint gives: a path, or models:/NAME@ALIAS of MLflow, or "
        "hf://ORG/NAME@REVISION/FILE of the Hugging Face Hub; with several, or a pattern, each test runs once for each",
        default=(),
        many=True,
    )
    profile: str | None = option(
        free_text("NAME"),
        "settings profile: default, ci, quick, thorough, or one that a conftest.py registers",
        in_replay=True,
    )
    prompts: Path | None = option(INPUT, "text embeddings of CLIP prompts, instead of the text tower", in_replay=True)
    update_prompts: bool = option(
        FLAG, "write the text embeddings that this run needs to the file of --gentest-prompts", default=False
    )
    replay: Replay | None = option(REPLAY, "evaluate only this probe: the string that a failing test prints, or a file")
    report: Path | None = option(
        OUTPUT, "write the results as one HTML page with pictures, or as Markdown to a file that ends in .md"
    )
    images: str | None = option(FOLDER, "write the outputs of counterexamples to this folder, as PNG files")
    json: Path | None = option(OUTPUT, "write the results as JSON")
    log: tuple[str, ...] = option(
        TRACKER,
        "log the figures of the run to an experiment tracker, and its report; the option may come several times",
        default=(),
        many=True,
    )
    outcomes: bool = option(
        FLAG, "keep the outcome of each of the baseline's probes in the JSON, for `gentest gate`", default=False
    )
    baseline: Path | None = option(
        INPUT, "compare with this baseline, on its probes: held, regressed or undecided", in_replay=True
    )
    save_baseline: Path | None = option(OUTPUT, "bless the checkpoint: write a baseline of it", in_ini=False)
    baseline_probes: int | None = option(
        whole(32),
        "independent probes that a baseline keeps of each property (default: 2048, more for a rate below 0.93; 256 in "
        "a quick gate)",
    )
    quick: bool = option(
        FLAG,
        "with --gentest-save-baseline, bless for a quick gate: levels of 256 outputs and outcomes of single latents "
        "(slow images are always blessed so)",
        default=False,
        in_ini=False,
    )
    keep_outputs: int | None = option(
        whole(0),
        "with --gentest-save-baseline, keep outputs of this many probes beside the baseline, for gentest.blessed "
        "(default: as many as the baseline that is replaced)",
    )
    tolerance: float = option(SHARE, "how far a rate may fall below the baseline's", default=0.05)
    undecided: OnUndecided = option(
        one_of({word.value: word for word in OnUndecided}),
        "what an undecided rate or gate does to its test",
        default=OnUndecided.FAIL,
    )
    drift: OnDrift = option(
        one_of({word.value: word for word in OnDrift}),
        "what the run does if levels or distributions of outputs drift from the baseline's; levels of a quick gate "
        "refuse unless it is off",
        default=OnDrift.WARN,
    )
    forecast: bool = option(
        FLAG, "print how many images each property is going to take, and run nothing", default=False, in_ini=False
    )
    github: bool = option(
        one_of({"on": True, "off": False}),
        "on GitHub Actions, annotate failing tests and add a page to the job's summary",
        default=True,
    )
    suggest: Path | None = option(INPUT, "", in_ini=False)
    """`gentest suggest` asks for measurements in this file, instead of checks."""

    checkpoints: tuple[Checkpoint, ...]
    """The checkpoints that `checkpoint` names."""
    from_command_line: settings
    from_ini: settings
    on_command_line: frozenset[str]
    """The names of the options that the command line gives."""
    replay_words: tuple[str, ...]
    """The words of the command line that the command of a replay repeats."""
    selects: bool
    """The command line selects some of the tests. A selection by an ini file does not count."""
    verbosity: int
    captures: bool
    """pytest captures what tests print."""
    collects_only: bool
    dist: str
    """How pytest-xdist distributes tests among workers; `no` without workers, and in a worker."""
    is_worker: bool
    """This process is a worker of pytest-xdist."""

    @classmethod
    def read(cls, config: pytest.Config) -> RunOptions:
        """Read and validate every option. Raises `pytest.UsageError`."""
        values = {o.name: value for o in OPTIONS if (value := value_of(config, o.name)) is not None}
        typed = frozenset(o.name for o in OPTIONS if config.getoption(o.flag) is not None)
        own = {o.name: values[o.name] for o in RUN_OPTIONS if o.name in values}
        if own.get("update_prompts") and "prompts" not in own:
            raise pytest.UsageError("--gentest-update-prompts needs --gentest-prompts FILE")
        if "keep_outputs" in typed and "save_baseline" not in own:
            raise pytest.UsageError("--gentest-keep-outputs needs --gentest-save-baseline FILE")
        if "cache_outputs" in typed and "cache" not in values and settings.default().cache is None:
            raise pytest.UsageError("--gentest-cache-outputs needs --gentest-cache DIR")
        if "quick" in typed and "save_baseline" not in own:
            raise pytest.UsageError("--gentest-quick needs --gentest-save-baseline FILE")
        if "save_baseline" in own and "baseline" not in typed:
            own.pop("baseline", None)  # the baseline of an ini file is the one to replace
        checkpoints = checkpoints_of(config)
        pinned = {text: fetched.pinned for text, fetched in config.stash[FETCHED].items()}
        own["checkpoint"] = tuple(pinned.get(text, text) for text in own.get("checkpoint", ()))
        chosen = {o.name: values[o.name] for o in SETTINGS if o.name in values}
        return cls(
            **own,
            checkpoints=checkpoints,
            from_command_line=settings(**{name: value for name, value in chosen.items() if name in typed}),
            from_ini=settings(**{name: value for name, value in chosen.items() if name not in typed}),
            on_command_line=typed,
            replay_words=_replay_words(config),
            selects=_selects(config),
            verbosity=config.getoption("verbose", 0),
            captures=config.getoption("capture", "no") != "no",
            collects_only=bool(config.getoption("collectonly")) or bool(own.get("forecast")),
            dist=config.getoption("dist", "no"),
            is_worker=hasattr(config, "workerinput"),
        )

    @property
    def has_workers(self) -> bool:
        """True in the controller of pytest-xdist's workers."""
        return self.dist != "no"

    @property
    def trackers(self) -> tuple[str, ...]:
        """The trackers to log the run to. A replay is not a run that a team wants to see, unless the option says so."""
        return () if self.replay is not None and "log" not in self.on_command_line else self.log

    def values(self, of_test: settings | None = None) -> Values:
        """The settings in force for a test, or for one without settings of its own."""
        values = self.from_ini.over(settings.default())
        if of_test is not None:
            values = of_test.over(values)
        return self.from_command_line.over(values)


RUN_OPTIONS = options_of(RunOptions)
OPTIONS = tuple(o for o in (*SETTINGS, *RUN_OPTIONS) if o.on_command_line)
BY_NAME = {o.name: o for o in OPTIONS}
BY_FLAG = {o.flag: o for o in OPTIONS}
WRITING = {BY_NAME[name].flag for name in ("report", "images", "json", "log", "outcomes", "save_baseline")}
"""Options that write files, and decide nothing."""
_RUN = pytest.StashKey[RunOptions]()
_CHECKPOINTS = pytest.StashKey[tuple[Checkpoint, ...]]()
FETCHED = pytest.StashKey[dict[str, Fetched]]()
"""The checkpoints from elsewhere, by the text that names them."""
FETCHED_INPUT = "gentest_fetched"
"""The key in an xdist worker's input for the paths and the pinned addresses of the checkpoints from elsewhere."""


def declare(parser: pytest.Parser) -> None:
    """Tell pytest about every option."""
    group = parser.getgroup("gentest", "property-based testing for generative models")
    group.addoption("--gentest", action="store_true", default=None, help="check what gentest's properties decorate")
    parser.addini("gentest", "check gentest's tests, as --gentest does", type="bool", default=False)
    for o in OPTIONS:
        text = SUPPRESS if not o.help else o.described.replace("%", "%%")
        if not o.kind.metavar:
            group.addoption(o.flag, action="store_true", default=None, help=text)
            parser.addini(o.ini, f"default of {o.flag}", type="bool", default=False)
            continue
        action = "append" if o.many else "store"
        group.addoption(o.flag, metavar=o.kind.metavar, action=action, default=None, help=text)
        if o.in_ini:
            parser.addini(o.ini, f"default of {o.flag}: {o.described}", default="")


def enabled(config: pytest.Config) -> bool:
    """True for a run that checks gentest's tests."""
    return bool(config.getoption("--gentest") or config.getini("gentest"))


def of_run(config: pytest.Config) -> RunOptions:
    """The options of a run under `--gentest`. Raises `pytest.UsageError` if one is wrong."""
    if _RUN not in config.stash:
        config.stash[_RUN] = RunOptions.read(config)
    return config.stash[_RUN]


def value_of(config: pytest.Config, name: str) -> Any:
    """The value of one option, with or without `--gentest`; None if nobody gives it. Raises `pytest.UsageError`."""
    option = BY_NAME[name]
    given = _given(config, option)
    if given is None or not option.kind.metavar:
        return given
    if option.many and option.name != "checkpoint":  # one text may name several checkpoints: see `checkpoints_of`
        return tuple(_read(config, option, text) for text in given)
    return tuple(given) if option.many else _read(config, option, given)


def checkpoints_of(config: pytest.Config) -> tuple[Checkpoint, ...]:
    """The checkpoints of a run, with or without `--gentest`. Raises `pytest.UsageError` if there is no such file."""
    if _CHECKPOINTS not in config.stash:
        o = BY_NAME["checkpoint"]
        texts = _given(config, o) or ()
        fetched = config.stash[FETCHED] = {t: _fetched(config, t) for t in texts if is_address(t)}
        config.stash[_CHECKPOINTS] = named(
            one for text in texts for one in ([fetched[text]] if text in fetched else _read(config, o, text))
        )
    return config.stash[_CHECKPOINTS]


def _fetched(config: pytest.Config, address: str) -> Fetched:
    """The checkpoint at an address. A worker has that of its controller, which an alias may name no longer."""
    path, pinned = getattr(config, "workerinput", {}).get(FETCHED_INPUT, {}).get(address, ("", address))
    if path and Path(path).exists():
        return Fetched(Path(path), pinned)
    try:
        return fetch(pinned)
    except InvalidArgument as error:
        raise pytest.UsageError(f"{BY_NAME['checkpoint'].flag}: {error}") from None


def refuse_without_gentest(config: pytest.Config) -> None:
    """Raise `pytest.UsageError` if the command line gives an option that does nothing without `--gentest`."""
    given = [o.flag for o in OPTIONS if o.name != "checkpoint" and config.getoption(o.flag) is not None]
    if given:
        raise pytest.UsageError(f"{', '.join(given)}: needs --gentest")
    if config.getoption(BY_NAME["checkpoint"].flag) is not None:  # other tests may ask for the checkpoint
        checkpoints_of(config)


def _given(config: pytest.Config, option: Option) -> Any:
    """An option as the command line or an ini file gives it: a text, several, or a flag; None if neither does."""
    typed = config.getoption(option.flag)
    if typed is not None or not option.in_ini:
        return typed
    written = config.getini(option.ini)
    if option.many:
        written = [line for line in written.splitlines() if line]
    return written or None


def _read(config: pytest.Config, option: Option, text: str) -> Any:
    """The value of a text. A path in an ini file is relative to that file, another to where pytest was started."""
    from_ini = config.getoption(option.flag) is None
    where = f"ini option {option.ini}" if from_ini else option.flag
    if not text.strip():
        raise pytest.UsageError(f"{where}: expected {option.kind.metavar} but got {short_repr(text)}")
    prefix = option.kind.path_after
    folder = config.inipath.parent if from_ini and config.inipath else config.invocation_params.dir
    if prefix == "" or (prefix and from_ini and text.startswith(prefix)):
        text = f"{prefix}{folder / Path(text.removeprefix(prefix)).expanduser()}"
    try:
        return option.kind.read(text)
    except InvalidArgument as error:
        raise pytest.UsageError(f"{where}: {error}") from None
    except OSError as error:  # a name that no file system takes
        expected = f"expected {option.kind.metavar} but got {short_repr(text)}"
        raise pytest.UsageError(f"{where}: {expected}: {error.strerror}") from None
    except ValueError as error:
        raise pytest.UsageError(f"{where}: expected {error} but got {short_repr(text)}") from None


def _replay_words(config: pytest.Config) -> tuple[str, ...]:
    flags = {"-c": config.getoption("inifilename"), "--rootdir": config.getoption("rootdir")}
    flags |= {o.flag: config.getoption(o.flag) for o in OPTIONS if o.in_replay}
    return tuple(str(word) for flag, given in flags.items() if given for word in (flag, given))


def check_command(config: pytest.Config, seed: int) -> str:
    """The command of this run as it was typed, with its seed and pinned checkpoints, without what only writes files."""
    pinned = {address: fetched.pinned for address, fetched in config.stash[FETCHED].items()}
    words, given = ["pytest"], iter(map(str, config.invocation_params.args))
    for word in given:
        flag, equals, value = word.partition("=")
        if flag in WRITING:
            if BY_FLAG[flag].kind.metavar and not equals:
                next(given, None)
        elif flag == BY_NAME["checkpoint"].flag and value in pinned:
            words.append(f"{flag}={pinned[value]}")
        else:
            words.append(pinned.get(word, word))
    words += [] if "--gentest" in words else ["--gentest"]
    typed = config.getoption(BY_NAME["seed"].flag) is not None or config.getoption(BY_NAME["baseline"].flag) is not None
    return shlex.join(words if typed else [*words, BY_NAME["seed"].flag, str(seed)])


def _selects(config: pytest.Config) -> bool:
    typed = [str(argument) for argument in config.invocation_params.args]
    paths = [argument.partition("::")[0] for argument in typed if not argument.startswith("-")]
    nodes = any("::" in argument for argument in typed) or any(path.endswith(".py") for path in paths)
    return nodes or any(argument.startswith(SELECTING) for argument in typed)
