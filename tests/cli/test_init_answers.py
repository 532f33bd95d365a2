"""Answers of `gentest init`: latents as they are read from text."""

from __future__ import annotations

import pytest

import gentest
from gentest.cli.model_options import read_latent
from gentest.errors import InvalidArgument

NO_LATENTS = ["", "normal", "normal:", "normal:0", "normal:3,", "normal:-3", "normal:3:1", "uniform:3:1"]


@pytest.mark.parametrize("text", NO_LATENTS)
def test_a_latent_that_is_none_is_refused(text: str) -> None:
    """Shapes, bounds and names are checked."""
    with pytest.raises(InvalidArgument, match="--latent"):
        read_latent(text)


@pytest.mark.parametrize(
    "text", ["normal:3", "normal:3,4,4", "uniform:3", "uniform:3:-1:1", "sphere:3", "truncated:3:1.5"]
)
def test_a_latent_that_is_read_is_a_space(text: str) -> None:
    """What is written for each is a space of gentest's."""
    assert isinstance(eval(read_latent(text).code, {"gentest": gentest}), gentest.Space)
