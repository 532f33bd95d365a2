"""How thoroughly and on what gentest looks: `gentest.settings`, which works as Hypothesis's own `settings` does.

A value of `settings` is a full set; as a decorator it applies to one test; profiles name a set. What a run uses is
decided in this order: an option on the command line, the test's `@gentest.settings`, an ini option, the profile.

The module has an underscore, as Hypothesis's has, because `gentest.settings` is the class.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, get_args

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument

ATTRIBUTE = "_gentest_settings"
Precision: TypeAlias = Literal["full", "bf16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
_F = TypeVar("_F", bound=Callable[..., Any])


def _whole(name: str, value: object, *, low: int, high: int | None = None) -> None:
    if not is_whole(value, low, high):
        top = "" if high is None else f" and <= {high}"
        raise InvalidArgument.expected(f"a whole number >= {low}{top}", name, value)


@dataclass(frozen=True)
class Values:
    """A full set of settings; `gentest.settings` makes them."""

    examples: int = 300
    """Distinct probes that a search looks at."""
    budget: int = 4096
    """Independent probes that a rate may use before it is undecided."""
    seed: int = 0
    """The run's seed: the same seed, sources and versions look at the same probes."""
    device: str | None = None
    """A torch device such as "cuda:0"; None takes CUDA where there is one."""
    batch_size: int | None = None
    """Latents to the generator at once; None chooses by device. No verdict depends on it."""
    clip: str | None = None
    """The CLIP of attributes that name none: `MODEL:PRETRAINED` as open_clip lists them, or `local-dir:FOLDER`."""
    reduce: int = 256
    """Probes that may be evaluated to reduce a counterexample to its coordinate groups, and again to its structure."""
    attack: int = 0
    """Outputs that an attack may make, where a search finds nothing and no rate is refuted; 0 makes none."""
    replay_failures: bool = True
    """Look first at the probes that failed in the run before."""
    precision: Precision = "full"
    """In what CLIP screens images: `full` is float32. Margins that a lower one could mistake are decided in full."""
    memory: int = 1024
    """MiB of outputs and measurements that are kept for further properties of a session. No verdict depends on it."""
    cache: str | None = None
    """A folder where measurements are kept for further sessions; None keeps none."""
    ray: str | None = None
    """A Ray cluster whose actors share the work: its address, or `local` for one on this machine; None uses none."""
    time_limit: float = 3600.0
    """Seconds that one call of the generator, or of what measures its outputs, may take; 0 for as many as it likes."""

    def __post_init__(self) -> None:
        _whole("examples", self.examples, low=1)
        _whole("budget", self.budget, low=1)
        _whole("seed", self.seed, low=0, high=2**63 - 1)
        _whole("reduce", self.reduce, low=0)
        _whole("attack", self.attack, low=0)
        if self.batch_size is not None:
            _whole("batch_size", self.batch_size, low=1)
        _whole("memory", self.memory, low=0)
        if not 0 <= as_number(self.time_limit) < inf:
            raise InvalidArgument.expected("a number of seconds >= 0", "time_limit", self.time_limit)
        if self.precision not in PRECISIONS:
            raise InvalidArgument.expected(" or ".join(PRECISIONS), "precision", self.precision)
        for name in ("device", "clip", "cache", "ray"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise InvalidArgument.expected("text or None", name, value)
        if not isinstance(self.replay_failures, bool):
            raise InvalidArgument.expected("True or False", "replay_failures", self.replay_failures)


FIELDS = tuple(f.name for f in fields(Values))


class settings:
    """Settings for one test, one `.check()` or, as a profile, a whole run.

    Keywords that are not given are left to the profile in force: `default` (300 examples), `quick` (50), `thorough`
    (2,000) and `ci`, which is chosen where the environment has CI set and no other was named. Every profile has a
    fixed seed; `ci` differs from `default` only in that it does not look at the failures of earlier runs, so that its
    verdict comes from the sources alone.

    >>> @settings(examples=1000)
    ... def test_smile(generator): ...
    >>> settings(examples=0)
    Traceback (most recent call last):
    gentest.errors.InvalidArgument: Expected a whole number >= 1 but got examples=0 (type=int)
    """

    _profiles: ClassVar[dict[str, settings]] = {}
    _current: ClassVar[str | None] = None

    def __init__(
        self,
        *,
        examples: int | None = None,
        budget: int | None = None,
        seed: int | None = None,
        device: str | None = None,
        batch_size: int | None = None,
        clip: str | None = None,
        reduce: int | None = None,
        attack: int | None = None,
        replay_failures: bool | None = None,
        precision: Precision | None = None,
        memory: int | None = None,
        cache: str | None = None,
        ray: str | None = None,
        time_limit: float | None = None,
    ) -> None:
        given = {
            "examples": examples,
            "budget": budget,
            "seed": seed,
            "device": device,
            "batch_size": batch_size,
            "clip": clip,
            "reduce": reduce,
            "attack": attack,
            "replay_failures": replay_failures,
            "precision": precision,
            "memory": memory,
            "cache": cache,
            "ray": ray,
            "time_limit": time_limit,
        }
        self.given: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        Values(**self.given)

    def __repr__(self) -> str:
        return f"settings({', '.join(f'{name}={value!r}' for name, value in self.given.items())})"

    def __call__(self, test: _F) -> _F:
        """Apply to a test function; where several are stacked, the upper one wins keyword by keyword."""
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
        """These settings, with what they leave open taken from `values`."""
        return replace(values, **self.given)

    @classmethod
    def register_profile(cls, name: str, profile: settings) -> None:
        """Name a set of settings, for `load_profile` and `--gentest-profile`."""
        if not isinstance(name, str) or not name:
            raise InvalidArgument.expected("a name", "name", name)
        if not isinstance(profile, settings):
            raise InvalidArgument.expected("gentest.settings(...)", "profile", profile)
        cls._profiles[name] = profile

    @classmethod
    def get_profile(cls, name: str) -> settings:
        """The profile of that name. Raises `InvalidArgument` where there is none."""
        if not isinstance(name, str) or name not in cls._profiles:
            raise InvalidArgument.expected(f"one of {', '.join(sorted(cls._profiles))}", "profile", name)
        return cls._profiles[name]

    @classmethod
    def load_profile(cls, name: str) -> None:
        """Make a profile the one in force, for this process."""
        cls.get_profile(name)
        cls._current = name

    @classmethod
    def current_profile(cls) -> str:
        """The name of the profile in force."""
        in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")
        return cls._current or ("ci" if in_ci else "default")

    @classmethod
    def default(cls) -> Values:
        """The values in force where nothing else is said."""
        return cls.get_profile(cls.current_profile()).over(Values())


def in_force(given: object) -> Values:
    """The settings that a call was given, over the profile in force; None is none. Raises `InvalidArgument`."""
    if given is not None and not isinstance(given, settings):
        raise InvalidArgument.expected("gentest.settings(...)", "settings", given)
    return settings.default() if given is None else given.over(settings.default())


settings.register_profile("default", settings())
settings.register_profile("ci", settings(replay_failures=False))
settings.register_profile("quick", settings(examples=50))
settings.register_profile("thorough", settings(examples=2000))
