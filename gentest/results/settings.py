"""Settings of a check, and how any option is declared.

`Values` declares each setting once. Its field gives the keyword of `gentest.settings`, the command-line flag, the ini
option, `--help` and a row of the table in examples/guides/options.md. Options of a run are declared the same way, in
`gentest.plugin.options.RunOptions`.

For each setting a run takes the first of: the command line, the test's `@gentest.settings`, the ini file, the profile.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from math import inf
from pathlib import Path
from typing import Any, ClassVar, Concatenate, Literal, ParamSpec, TypeAlias, TypeVar, get_args

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument

ATTRIBUTE = "_gentest_settings"
"""The attribute of a test that holds the settings that decorate it."""
DECLARED = "_gentest_declared"
"""The attribute of a test that holds the properties that decorate it. The plugin reads it without importing torch."""
Precision: TypeAlias = Literal["full", "bf16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([MGTmgt])(?:i?[Bb])?")
_F = TypeVar("_F", bound=Callable[..., Any])
_P = ParamSpec("_P")


class OnUndecided(str, Enum):
    """How a run treats a rate or a gate that is undecided."""

    FAIL = "fail"
    WARN = "warn"


class OnDrift(str, Enum):
    """How a run treats levels or distributions of outputs that drift from the baseline's."""

    WARN = "warn"
    FAIL = "fail"
    OFF = "off"
    """The gate does not look at them."""


@dataclass(frozen=True)
class ValueKind:
    """A kind of values that an option accepts, and how to read one from text."""

    metavar: str
    """The placeholder for a value in `--help`; empty for a flag, which has none."""
    expected: str
    """Completes "Expected ... but got": `a whole number >= 1`."""
    convert: Callable[[str], Any]
    """Turns text into a value. Raises `ValueError` or `OSError` for text that is not one."""
    accepts: Callable[[Any], bool] = lambda value: True
    path_after: str | None = None
    """The prefix after which text is a path; empty if all of it is, None if none is."""
    none: str = ""
    """The word for None, if there is one."""

    def read(self, text: str) -> Any:
        """The value that a text stands for. Raises `ValueError`, which says what is expected, or `OSError`."""
        if self.none and text == self.none:
            return None
        expected = self.expected + (f", or {self.none}" if self.none else "")
        try:
            value = self.convert(text)
        except InvalidArgument:  # it already says more
            raise
        except ValueError:
            raise ValueError(expected) from None
        if not self.accepts(value):
            raise ValueError(expected)
        return value


def whole(low: int, high: int | None = None, *, metavar: str = "N") -> ValueKind:
    """Whole numbers from `low` to `high`, both included."""
    top = "" if high is None else f" and <= {high}"
    return ValueKind(metavar, f"a whole number >= {low}{top}", int, lambda value: is_whole(value, low, high))


def one_of(words: Mapping[str, Any]) -> ValueKind:
    """One of several words, each with the value that it stands for."""

    def convert(text: str) -> Any:
        if text not in words:
            raise ValueError
        return words[text]

    return ValueKind("|".join(words), " or ".join(words), convert, lambda value: value in words.values())


def free_text(metavar: str, *, path_after: str | None = None) -> ValueKind:
    """Text that is not empty."""
    return ValueKind(metavar, "text", str, _is_text, path_after)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _folder(text: str) -> str:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise ValueError
    return str(path.absolute())


def size_in_bytes(text: str) -> int:
    """The bytes that a size stands for. Raises `ValueError`.

    >>> size_in_bytes("1.5G")
    1610612736
    """
    found = _SIZE.fullmatch(text)
    n_bytes = int(float(found[1]) * (1 << 10 * (2 + "MGT".index(found[2].upper())))) if found else 0
    if not 1 << 20 <= n_bytes < 1 << 60:
        raise ValueError
    return n_bytes


def _is_size(value: object) -> bool:
    try:
        return isinstance(value, str) and size_in_bytes(value) > 0
    except ValueError:
        return False


FLAG = ValueKind("", "True or False", bool, lambda value: isinstance(value, bool))
FOLDER = ValueKind("DIR", "a folder, or a name for one", _folder, _is_text, path_after="")
SECONDS = ValueKind("SECONDS", "a number of seconds >= 0", float, lambda value: 0.0 <= as_number(value) < inf)
MINUTES = ValueKind("MINUTES", "a number of minutes > 0", float, lambda value: 0.0 < as_number(value) < inf)
SIZE = ValueKind("SIZE", "a size of at least 1M, with its unit, such as 500M, 2G or 1T", str, _is_size)
BATCH_SIZE = replace(whole(1, metavar="N|auto"), none="auto")


@dataclass(frozen=True)
class Option:
    """The declaration of a setting or of an option of a run."""

    name: str
    default: Any
    kind: ValueKind
    help: str
    """Neither `--help` nor the documentation mentions an option without it."""
    on_command_line: bool = True
    in_ini: bool = True
    many: bool = False
    """The command line may repeat it, and an ini file may give several lines."""
    in_replay: bool = False
    """The command that replays a counterexample repeats it."""

    @property
    def flag(self) -> str:
        return f"--gentest-{self.name.replace('_', '-')}"

    @property
    def ini(self) -> str:
        return f"gentest_{self.name}"

    @property
    def described(self) -> str:
        """The help text with the default, unless that is None, off or empty."""
        default = self.default.value if isinstance(self.default, Enum) else self.default
        if default is None or default is False or default == ():
            return self.help
        word = "on" if default is True else default if isinstance(default, str) else f"{default:g}"
        return f"{self.help} (default: {word})"

    def check(self, value: object) -> None:
        """Raise `InvalidArgument` for a value that this option does not accept."""
        if value is None and self.default is None:
            return
        if not self.kind.accepts(value):
            expected = self.kind.expected + (" or None" if self.default is None else "")
            raise InvalidArgument.expected(expected, self.name, value)


def option(kind: ValueKind, help: str, *, default: Any = None, **how: bool) -> Any:
    """A dataclass field that declares an option. `how` sets further fields of `Option`."""
    return field(default=default, metadata={"option": {"kind": kind, "help": help, **how}})


def options_of(record: type) -> tuple[Option, ...]:
    """The options that the fields of a dataclass declare, in their order."""
    declared = [f for f in fields(record) if "option" in f.metadata]
    return tuple(Option(f.name, f.default, **f.metadata["option"]) for f in declared)


@dataclass(frozen=True, kw_only=True)
class Values:
    """A value for every setting, checked. `gentest.settings` makes them."""

    examples: int = option(whole(1), "distinct probes that a search evaluates", default=300)
    budget: int = option(whole(1), "independent probes that a rate may use until it is decided", default=4096)
    seed: int = option(whole(0, 2**63 - 1), "the run's seed; the same seed draws the same probes", default=0)
    attack: int = option(
        whole(0, metavar="IMAGES"),
        "outputs for an attack on each property that search and rate do not refute",
        default=0,
    )
    exhaustive: bool = option(
        FLAG,
        "try each input of a finite latent space once, in order, instead of a search: the entries of banks, the values "
        "of labels and their combinations, up to 100,000",
        default=False,
    )
    stop_after: int | None = option(
        whole(1),
        "violations after which a search stops (default: 1 if an image takes over half a second, else no limit)",
    )
    max_images: int | None = option(
        whole(1), "images that the run may make; what is not decided by then is undecided, the cheapest comes first"
    )
    max_minutes: float | None = option(
        MINUTES, "minutes that the run may take; what is not decided by then is undecided, the cheapest comes first"
    )
    device: str | None = option(
        free_text("DEVICE"), "torch device, such as cuda:0 (default: CUDA, else the CPU)", in_replay=True
    )
    clip: str | None = option(
        free_text("MODEL[:PRETRAINED]", path_after="local-dir:"),
        "CLIP of attributes that name none: MODEL:PRETRAINED as open_clip lists them, MODEL:FILE or local-dir:DIR",
        in_replay=True,
    )
    batch_size: int | None = option(
        BATCH_SIZE, "latents in one call of the generator (default: auto); no verdict depends on it"
    )
    precision: Precision = option(
        one_of({word: word for word in PRECISIONS}),
        "precision in which CLIP screens images; a margin that it could mistake is evaluated in full",
        default="full",
    )
    memory: int = option(
        whole(0, metavar="MIB"), "MiB of outputs and measurements to keep for later properties of the run", default=1024
    )
    cache: str | None = option(
        FOLDER, "keep measurements in this folder, so that a run of a known checkpoint reuses them"
    )
    cache_outputs: str | None = option(
        SIZE,
        "with a cache, keep outputs there too, in at most so much space, so that a new attribute of a known checkpoint "
        "makes no images: in 8 bits if that loses nothing, else in 16; what was not used for longest goes first",
    )
    time_limit: float = option(
        SECONDS, "limit for one call of the generator, an attribute or a feature; 0 for none", default=3600.0
    )
    ray: str | None = option(
        free_text("ADDRESS|local"), "share the probes of each property among the actors of a Ray cluster"
    )
    reduce: int = option(
        whole(0),
        "probes to reduce a counterexample to the coordinate groups it needs, and again to simplify its structure",
        default=256,
        on_command_line=False,
    )
    replay_failures: bool = option(
        FLAG, "first evaluate the probes that failed in the previous run", default=True, on_command_line=False
    )

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            setting.check(getattr(self, setting.name))


SETTINGS = options_of(Values)


def _with_keywords_of(
    values: Callable[_P, Values],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, _P], None]]:
    """Give a constructor the keywords of `Values`, for type checkers, editors and `help`."""

    def decorate(constructor: Callable[..., None]) -> Callable[Concatenate[Any, _P], None]:
        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        signature = inspect.Signature([own, *inspect.signature(values).parameters.values()])
        constructor.__signature__ = signature  # type: ignore[attr-defined]
        return constructor

    return decorate


class settings:
    """Settings for one test, for one `.check()` or, as a profile, for a whole run.

    Every keyword is optional and checked at once; examples/guides/options.md explains them. A keyword that is not
    given, or is None, keeps its value from the profile in force.

    The profiles are `default` (300 examples), `quick` (50), `thorough` (2,000) and `ci`, which is in force if the
    environment sets CI and nothing names another. All have seed 0. `ci` differs from `default` in one setting: it does
    not try the failures of earlier runs first, so its verdict depends on the sources alone.

    >>> @settings(examples=1000)
    ... def test_smile(generator): ...
    >>> settings(examples=0)
    Traceback (most recent call last):
    gentest.errors.InvalidArgument: Expected a whole number >= 1 but got examples=0 (type=int)
    """

    _profiles: ClassVar[dict[str, settings]] = {}
    _current: ClassVar[str | None] = None

    @_with_keywords_of(Values)
    def __init__(self, **given: Any) -> None:
        self.given: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        Values(**self.given)

    def __repr__(self) -> str:
        return f"settings({', '.join(f'{name}={value!r}' for name, value in self.given.items())})"

    def __call__(self, test: _F) -> _F:
        """Apply the settings to a test function. If several are stacked, the upper one wins for each keyword."""
        if isinstance(test, (staticmethod, classmethod)):
            self(test.__func__)
            return test
        if not callable(test) or isinstance(test, type):
            hint = "decorate the tests of a class one by one"
            raise InvalidArgument.expected("a test function", "test", test, hint=hint)
        below: settings | None = getattr(test, ATTRIBUTE, None)
        setattr(test, ATTRIBUTE, self if below is None else settings(**{**below.given, **self.given}))
        return test

    def over(self, values: Values) -> Values:
        """The values that these settings give, and those of `values` for every other setting."""
        return replace(values, **self.given)

    @classmethod
    def register_profile(cls, name: str, profile: settings) -> None:
        """Register settings under a name, for `load_profile` and `--gentest-profile`."""
        if not isinstance(name, str) or not name:
            raise InvalidArgument.expected("a name", "name", name)
        if not isinstance(profile, settings):
            raise InvalidArgument.expected("gentest.settings(...)", "profile", profile)
        cls._profiles[name] = profile

    @classmethod
    def get_profile(cls, name: str) -> settings:
        """The profile with this name. Raises `InvalidArgument` if nobody registered one."""
        if not isinstance(name, str) or name not in cls._profiles:
            raise InvalidArgument.expected(f"one of {', '.join(sorted(cls._profiles))}", "profile", name)
        return cls._profiles[name]

    @classmethod
    def load_profile(cls, name: str) -> None:
        """Put a profile in force, for this process."""
        cls.get_profile(name)
        cls._current = name

    @classmethod
    def current_profile(cls) -> str:
        """The name of the profile in force."""
        in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")
        return cls._current or ("ci" if in_ci else "default")

    @classmethod
    def default(cls) -> Values:
        """The values of the profile in force."""
        return cls.get_profile(cls.current_profile()).over(Values())


def in_force(given: object) -> Values:
    """The values for a call that was given these settings, or None. Raises `InvalidArgument` for anything else."""
    if given is not None and not isinstance(given, settings):
        raise InvalidArgument.expected("gentest.settings(...)", "settings", given)
    return settings.default() if given is None else given.over(settings.default())


settings.register_profile("default", settings())
settings.register_profile("ci", settings(replay_failures=False))
settings.register_profile("quick", settings(examples=50))
settings.register_profile("thorough", settings(examples=2000))
