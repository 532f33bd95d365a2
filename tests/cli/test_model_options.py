"""What a user says of a model: each option is read, or refused in one line."""

from __future__ import annotations

import argparse
import json

import pytest

import gentest
from gentest.cli.model_options import (
    Given,
    NamedKind,
    add_model_options,
    given_by,
    read_choice,
    read_latent,
    read_outputs,
    read_range,
    read_texts,
    read_tolerance,
)
from gentest.errors import InvalidArgument

NOT_LATENTS = [
    "", "normal", "normal:", "normal:0", "normal:3,", "normal:-3", "normal:3:1", "uniform:3:1", "uniform:3:1:-1",
    "truncated:3:0", "sphere:3:1", "normal:3.5", "uniform:3:nan:1",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_LATENTS)
def test_a_text_that_is_no_space_is_refused(text: str) -> None:
    """The error shows what a space looks like."""
    with pytest.raises(InvalidArgument, match="normal:128"):
        read_latent(text)


@pytest.mark.parametrize("text", ["normal:3", "uniform:3,4:0:1", "sphere:8", "truncated:3:2", "uniform: 3"])
def test_a_space_is_its_code(text: str) -> None:
    """The code of a space makes it."""
    assert isinstance(eval(read_latent(text).code, {"gentest": gentest}), gentest.Space)


@pytest.mark.parametrize("text", ["", "1", "1,0", "a,b", "0,inf", "0,1,2", "nan,1"])
def test_a_text_that_is_no_range_is_refused(text: str) -> None:
    """The error shows what a range looks like."""
    assert read_range("-1,1") == (-1.0, 1.0)
    with pytest.raises(InvalidArgument, match="such as -1,1"):
        read_range(text)


@pytest.mark.parametrize("text", ["", "label", "label=", "=3", "1a=3"])
def test_a_text_that_is_no_choice_is_refused(text: str) -> None:
    """The error shows what a choice looks like."""
    assert read_choice("label=3") == ("label", 3)
    with pytest.raises(InvalidArgument, match="such as label=3"):
        read_choice(text)


@pytest.mark.parametrize("text", ["", "|", "a|", "a|b|c", "a|a"])
def test_texts_of_clip_are_one_or_two(text: str) -> None:
    """Two texts are two different ones."""
    assert read_texts("a|b") == ("a", "b")
    with pytest.raises(InvalidArgument, match="a text"):
        read_texts(text)


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    return parser.parse_args(words)


def test_what_is_given_survives_json() -> None:
    """The child that calls the model gets what the command read."""
    given = given_by(parsed("--latent", "uniform:3:0:1", "--labels", "4", "--range=-2,2", "--no-images"))
    assert given == Given(read_latent("uniform:3:0:1"), 4, output_range=(-2.0, 2.0), outputs=NamedKind("Arrays"))
    assert Given.from_json(json.loads(json.dumps(given.to_json()))) == given
    with pytest.raises(InvalidArgument, match="--labels=1"):
        given_by(parsed("--labels", "1"))


@pytest.mark.parametrize(
    "text", ["", "audio", "audio:0", "audio:1.5", "video:x", "text", "rows", "rows:a,", "tokens:1:2"]
)
def test_a_kind_of_outputs_that_cannot_be_read_is_refused(text: str) -> None:
    """With the words that are understood."""
    with pytest.raises(InvalidArgument, match="Expected images, arrays, video:FPS, audio:RATE"):
        read_outputs(text)


def test_the_kind_of_outputs_survives_json() -> None:
    """`--outputs` and `--no-images` say one thing, or contradict each other."""
    given = given_by(parsed("--outputs", "audio:16000:32000"))
    assert Given.from_json(json.loads(json.dumps(given.to_json()))) == given
    assert given.outputs == NamedKind("Audio", {"rate": 16000, "longest": 32000})
    assert given_by(parsed("--outputs", "arrays", "--no-images")) == given_by(parsed("--no-images"))
    with pytest.raises(InvalidArgument, match="contradict each other"):
        given_by(parsed("--outputs", "tokens", "--no-images"))


@pytest.mark.parametrize("text", ["", "x", "-1", "1/0", "inf", "nan", "1/2/3"])
def test_a_tolerance_is_a_fraction_or_a_number(text: str) -> None:
    """Text that is no finite number >= 0 is named."""
    assert (read_tolerance("1/4"), read_tolerance("0.25"), read_tolerance("0")) == (0.25, 0.25, 0.0)
    with pytest.raises(InvalidArgument, match="--within"):
        read_tolerance(text)
