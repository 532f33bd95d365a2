"""Kinds of output: each fault of a video, a sound, a text or a row is found, reduced and named; clean ones pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import gentest
from gentest import settings
from tests.helpers import kinds

FEW = settings(examples=80, device="cpu")
VIDEO, SOUND = gentest.Video(fps=8), gentest.Audio(rate=kinds.RATE)
SPEECH = gentest.Audio(rate=kinds.RATE, longest=kinds.SAMPLES)
TEXT = gentest.Tokens(text=True, longest=32)

FLICKER = gentest.limits(gentest.flicker(), at_most=0.05)
MOTION = gentest.limits(gentest.motion("min"), at_least=1e-4)
BRIGHT = gentest.limits(gentest.over_frames(gentest.brightness(), "max"), at_most=0.5)
SILENCE = gentest.limits(gentest.silence(), at_most=0.5)
LOUDNESS = gentest.limits(gentest.loudness(), at_least=-40, at_most=-3.0)
CLICKS = gentest.limits(gentest.clicks(), at_most=0.1)
CLIPPING = gentest.limits(gentest.clipping(), at_most=0.001)
PITCH = gentest.limits(gentest.spectral_centroid(), at_least=100, at_most=600)
PARSES = gentest.limits(gentest.valid(kinds.parse), at_least=1)
LENGTH = gentest.limits(gentest.per_output(len, name="length"), at_most=32)
AGE = gentest.limits(gentest.column("age"), at_least=0, at_most=120)
WELL_FORMED, REPRODUCIBLE = gentest.well_formed(), gentest.reproducible()
RESPONSIVE, DIVERSE = gentest.responsive(at_least=1e-4), gentest.diverse(at_least=1e-5, among=4)
CONTINUOUS, NOT_BLANK = gentest.continuous(tolerance=0.5), gentest.not_blank(at_least=0.02)
SMOOTH = gentest.continuous(gentest.mel(), tolerance=20)
ALL = (WELL_FORMED, REPRODUCIBLE, RESPONSIVE, DIVERSE, CONTINUOUS)

CLEAN: dict[str, tuple[Callable[..., Any], gentest.Kind, tuple[gentest.Property, ...]]] = {
    "videos": (kinds.videos, VIDEO, (*ALL, NOT_BLANK, FLICKER, MOTION, BRIGHT)),
    "sounds": (kinds.sounds, SOUND, (*ALL[:4], SMOOTH, NOT_BLANK, SILENCE, LOUDNESS, CLICKS, CLIPPING, PITCH)),
    "speech": (kinds.spoken, SPEECH, (*ALL[:4], SMOOTH, NOT_BLANK, SILENCE, LOUDNESS, CLICKS, CLIPPING, PITCH)),
    "texts": (
        kinds.molecules,
        TEXT,
        (
            WELL_FORMED,
            REPRODUCIBLE,
            RESPONSIVE.at_rate(0.5),
            gentest.continuous(tolerance=1.5),
            NOT_BLANK,
            PARSES,
            LENGTH,
        ),
    ),
    "rows": (kinds.people, kinds.TABLE, (*ALL[:4], gentest.continuous(tolerance=0.9), AGE)),
}


@pytest.mark.parametrize("name", CLEAN)
def test_nothing_is_found_in_a_clean_generator(name: str) -> None:
    """No property of a kind finds a counterexample in a generator without a fault."""
    function, kind, properties = CLEAN[name]
    clean = kinds.generator(function, kind)
    results = {str(one): one.check(clean, settings=FEW) for one in properties}
    assert {name: result.message for name, result in results.items() if result.outcome.value != "passed"} == {}


class Fault(NamedTuple):
    """A generator with a fault, the property that finds it, and the words in which a report names its place."""

    function: Callable[..., Any]
    kind: gentest.Kind
    finder: gentest.Property
    place: str
    groups: tuple[str, ...] = ("2",)


FAULTS = {
    "a step of brightness between chunks": Fault(
        kinds.stepping, VIDEO, FLICKER, "flicker() has its score in frames 8 to 9 of 16, at 0.875 s"
    ),
    "a frame that is repeated": Fault(
        kinds.repeating, VIDEO, MOTION, "motion('min') has its score in frames 9 to 10 of 16, at 1 s"
    ),
    "a silent sound": Fault(kinds.silent, SOUND, SILENCE, "silence() has its score in 0 to 0.1 s"),
    "a sample that is lost": Fault(kinds.losing, SOUND, CLICKS, "clicks() has its score in sample "),
    "clipping at loud latents": Fault(kinds.loud, SOUND, CLIPPING, "clipping() has its score in "),
    "a text that does not parse": Fault(kinds.unclosed, TEXT, PARSES, "valid(parse) has its score in character "),
    "a number out of its domain": Fault(
        kinds.too_old, kinds.TABLE, WELL_FORMED, ", which is not a whole number from 0 to 120"
    ),
    "a value that is none of a column's": Fault(
        kinds.unknown_word, kinds.TABLE, WELL_FORMED, "column 'smokes' = None, which is not one of 'no', 'yes'"
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_reduced_and_named(name: str) -> None:
    """The counterexample keeps the coordinates that make the fault, and says where in the output it is."""
    fault = FAULTS[name]
    result = fault.finder.check(kinds.generator(fault.function, fault.kind), settings=FEW)
    assert result.verdict is gentest.Verdict.VIOLATED, result.message
    assert result.counterexample is not None
    assert fault.place in result.counterexample.note
    assert set(result.counterexample.groups) == set(fault.groups)
    replayed = fault.finder.replay(
        kinds.generator(fault.function, fault.kind), result.counterexample.replay, settings=FEW
    )
    assert replayed.verdict is gentest.Verdict.VIOLATED


def test_a_decoder_that_depends_on_padding_is_found() -> None:
    """A sound that changes with the longest of its batch is not reproducible, and every other property says so."""
    broken = kinds.generator(kinds.padding_counts, SPEECH)
    result = REPRODUCIBLE.check(broken, settings=FEW)
    assert result.verdict is gentest.Verdict.VIOLATED
    assert result.counterexample is not None
    other = CLICKS.check(broken, settings=FEW)
    assert other.verdict is gentest.Verdict.ERROR
    assert "depends on the rest of its batch" in other.message


def test_a_pair_names_the_place_of_its_largest_difference() -> None:
    """`agrees` says in which frame a candidate differs from its reference."""
    clean = kinds.generator(kinds.videos, VIDEO)
    result = gentest.agrees(within=0.01).check(kinds.generator(kinds.repeating, VIDEO).against(clean), settings=FEW)
    assert result.counterexample is not None
    assert "the largest difference is in frame 10 of 16, at 1.125 s" in result.counterexample.note


def test_a_measure_of_another_kind_says_what_to_do() -> None:
    """Pixels of a video, a video's measure of a sound, and a column that is missing, are errors with the next step."""
    cases = (
        (
            gentest.limits(gentest.brightness(), at_most=1),
            kinds.videos,
            VIDEO,
            "measure frames with gentest.over_frames",
        ),
        (FLICKER, kinds.sounds, SOUND, "flicker() measures videos, and these outputs are sounds"),
        (gentest.limits(gentest.column("size"), at_most=1), kinds.people, kinds.TABLE, "'age', 'income', 'smokes'"),
    )
    for finder, function, kind, said in cases:
        result = finder.check(kinds.generator(function, kind), settings=FEW)
        assert result.verdict is gentest.Verdict.ERROR
        assert said in result.message
