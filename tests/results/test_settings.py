"""Settings: validation, stacking, profiles, and the profile that CI gets."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentest.errors import InvalidArgument
from gentest.results.settings import ATTRIBUTE, SETTINGS, Values, settings

GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "examples": st.integers(1, 10**6),
        "budget": st.integers(1, 10**7),
        "seed": st.integers(0, 2**63 - 1),
        "device": st.sampled_from(["cpu", "cuda:1"]),
        "batch_size": st.integers(1, 4096),
        "clip": st.sampled_from(["ViT-B-32:openai", "local-dir:clip"]),
        "reduce": st.integers(0, 1000),
        "attack": st.integers(0, 100_000),
        "replay_failures": st.booleans(),
    },
)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles and the one in force are put back."""
    monkeypatch.setattr(settings, "_profiles", dict(settings._profiles))
    monkeypatch.setattr(settings, "_current", None)


@given(GIVEN, GIVEN)
def test_what_is_given_wins_keyword_by_keyword(below: dict[str, Any], above: dict[str, Any]) -> None:
    """`over` takes what was given, and leaves every other value as it was."""
    values = settings(**above).over(settings(**below).over(Values()))
    for name in (setting.name for setting in SETTINGS):
        assert getattr(values, name) == above.get(name, below.get(name, getattr(Values(), name)))


@given(GIVEN, GIVEN)
def test_stacked_decorators_add_up_and_the_upper_wins(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    """Two decorators on a test are one with the keywords of both, the upper one's where both say."""

    @settings(**upper)
    @settings(**lower)
    def test_it() -> None: ...

    assert getattr(test_it, ATTRIBUTE).given == {**lower, **upper}


def test_a_decorated_test_is_the_test() -> None:
    """The decorator returns the function that it was given."""

    def test_it() -> None: ...

    assert settings(examples=3)(test_it) is test_it


def test_every_setting_can_be_given() -> None:
    """`settings` takes each field of `Values`, and shows what was given, only that."""
    every: dict[str, Any] = {
        "examples": 7,
        "budget": 64,
        "seed": 3,
        "device": "cpu",
        "batch_size": 2,
        "clip": "a:b",
        "reduce": 1,
        "attack": 1,
        "exhaustive": True,
        "replay_failures": False,
        "precision": "bf16",
        "memory": 5,
        "cache": "a",
        "cache_outputs": "2G",
        "ray": "local",
        "time_limit": 2.5,
        "stop_after": 2,
        "max_images": 3,
        "max_minutes": 0.5,
    }
    assert set(every) == {setting.name for setting in SETTINGS}
    assert settings(**every).over(Values()) == Values(**every)
    assert repr(settings(examples=7, device="cpu")) == "settings(examples=7, device='cpu')"


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("examples", 0, "a whole number >= 1 but got examples=0"),
        ("examples", 2.0, "examples=2.0"),
        ("examples", True, "examples=True"),
        ("examples", "300", "examples='300'"),
        ("seed", -1, "a whole number >= 0 and <= 9223372036854775807 but got seed=-1"),
        ("seed", 2**63, "seed=9223372036854775808"),
        ("batch_size", 0, "a whole number >= 1 or None but got batch_size=0"),
        ("reduce", -1, "a whole number >= 0 but got reduce=-1"),
        ("attack", -1, "a whole number >= 0 but got attack=-1"),
        ("device", "", "text or None but got device=''"),
        ("device", 0, "device=0"),
        ("clip", 3, "text or None but got clip=3"),
        ("replay_failures", "no", "True or False but got replay_failures='no'"),
    ],
)
def test_a_wrong_value_is_refused(keyword: str, value: Any, message: str) -> None:
    """A setting that cannot be is refused where it is written, with its name, value and type."""
    with pytest.raises(InvalidArgument, match=message):
        settings(**{keyword: value})


def test_editors_see_every_keyword() -> None:
    """The signature of `settings` has each setting with its type and default, as keywords only."""
    parameters = inspect.signature(settings).parameters.values()
    assert [(p.name, p.default) for p in parameters] == [(setting.name, setting.default) for setting in SETTINGS]
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    assert {p.name: p.annotation for p in parameters} == {f.name: f.type for f in fields(Values)}


def test_an_unknown_setting_is_refused() -> None:
    """A keyword that is no setting is a `TypeError`, as in any function."""
    with pytest.raises(TypeError, match="max_examples"):
        settings(max_examples=3)  # type: ignore[call-arg]


def test_profiles_are_those_that_are_documented() -> None:
    """`default` looks at 300 examples, `quick` at 50, `thorough` at 2,000; `ci` is `default` without old failures."""
    made = {name: settings.get_profile(name).over(Values()) for name in ("default", "quick", "thorough", "ci")}
    assert made["default"] == Values()
    assert {name: values.examples for name, values in made.items()} == {
        "default": 300,
        "quick": 50,
        "thorough": 2000,
        "ci": 300,
    }
    assert made["ci"] == Values(replay_failures=False)
    assert {values.seed for values in made.values()} == {0}


def test_a_registered_profile_can_be_loaded() -> None:
    """A profile of one's own is in force once it is loaded, not before, and a later one of its name takes its place."""
    settings.register_profile("mine", settings(examples=7))
    assert settings.default().examples == 300
    settings.load_profile("mine")
    assert (settings.current_profile(), settings.default().examples) == ("mine", 7)
    settings.register_profile("mine", settings(examples=8))
    assert settings.default().examples == 8


@pytest.mark.parametrize(("ci", "profile"), [("true", "ci"), ("1", "ci"), ("", "default"), (None, "default")])
def test_ci_gets_its_own_profile(ci: str | None, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment has CI set and no profile was named, `ci` is in force."""
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    assert settings.current_profile() == profile
    assert settings.default().replay_failures == (profile == "default")


def test_a_named_profile_wins_over_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that was loaded stays in force on CI."""
    monkeypatch.setenv("CI", "true")
    settings.load_profile("quick")
    assert settings.current_profile() == "quick"
    assert settings.default().replay_failures


@pytest.mark.parametrize("name", ["none", "", None, ["default"]])
def test_an_unknown_profile_is_refused(name: Any) -> None:
    """A profile that was not registered is refused with the names there are, and the one in force stays."""
    for ask in (settings.get_profile, settings.load_profile):
        with pytest.raises(InvalidArgument, match="one of ci, default, quick, thorough but got profile="):
            ask(name)
    assert settings.current_profile() == "default"


def test_only_settings_under_a_name_are_registered() -> None:
    """A profile is `settings(...)` under a name that is text."""
    with pytest.raises(InvalidArgument, match=r"gentest.settings\(...\) but got profile=3"):
        settings.register_profile("mine", 3)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="a name but got name=''"):
        settings.register_profile("", settings())
