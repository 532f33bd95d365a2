"""Attributes that see the condition: measured with the values of each row, at any batch size, and shared."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

import gentest
from gentest import Evidence, Generator
from gentest.errors import AttributeFailed, InvalidArgument

COLORS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}
SPACE = gentest.Joint(
    z=gentest.Normal(3),
    prompt=gentest.Template("a {size} {color} {thing}", size=["", "big"], color=list(COLORS), thing=["coat", "hat"]),
)
calls: list[int] = []


def color_of(prompt: str) -> str:
    return next(word for word in prompt.split() if word in COLORS)


def painted(z: Tensor, prompt: list[str], ignored: str = "") -> Tensor:
    """Images of the color that the prompt names, or gray for one that is ignored."""
    colors = [(0.5,) * 3 if color_of(text) == ignored else COLORS[color_of(text)] for text in prompt]
    return (0.8 * torch.tensor(colors) + 0.02 * z.sigmoid())[:, :, None, None].expand(-1, 3, 4, 4)


def generator(ignored: str = "") -> Generator:
    return Generator(lambda z, prompt: painted(z, prompt, ignored), latent=SPACE, output_range=(0, 1))


def own_color(images: Tensor, prompt: list[str]) -> Tensor:
    """How much the color of the prompt exceeds the others."""
    assert len(images) == len(prompt)
    calls.append(len(prompt))
    level = images.mean((2, 3))
    own = torch.tensor([[list(COLORS).index(color_of(text))] for text in prompt])
    return level.gather(1, own)[:, 0] - level.scatter(1, own, -1.0).amax(1)


OWN = gentest.attribute(own_color, name="own color", sees=["prompt"])


@gentest.property(probes=gentest.points())
def colored(evidence: Evidence) -> Tensor:
    return evidence.scores(OWN)[:, 0] - 0.1


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_an_ignored_word_is_found_and_shown(batch_size: int) -> None:
    """Reduced to the word alone, in words, and found again from the string; nothing is found without the defect."""
    conditions = gentest.settings(device="cpu", examples=40, batch_size=batch_size)
    result = colored().check(generator("green"), settings=conditions)
    assert result.verdict is gentest.Verdict.VIOLATED, result.message
    minimal = result.counterexample
    assert minimal is not None
    assert dict(minimal.choices) == {"prompt": "a green coat"}
    assert minimal.groups == ()
    again = colored().replay(generator("green"), minimal.replay, settings=conditions)
    assert again.verdict is gentest.Verdict.VIOLATED, again.message
    clean = colored().check(generator(), settings=conditions)
    assert clean.verdict is gentest.Verdict.NO_COUNTEREXAMPLE, clean.message


def test_a_fixed_prompt_is_seen_too() -> None:
    """`.given(prompt=...)` leaves one value, which the attribute sees."""
    conditions = gentest.settings(device="cpu", examples=8)
    for prompt, verdict in (("a green hat", "violated"), ("a red hat", "no_counterexample")):
        result = colored().check(generator("green").given(prompt=prompt), settings=conditions)
        assert result.verdict.value == verdict, result.message


def test_measured_once_for_all_properties() -> None:
    """Equal attributes share their rows, like any other attribute."""

    @gentest.property(probes=gentest.points())
    def not_too_colored(evidence: Evidence) -> Tensor:
        return 2.0 - evidence.scores(gentest.attribute(own_color, name="own color", sees=["prompt"]))[:, 0]

    conditions, counts = gentest.settings(device="cpu", examples=16), []
    alone, together = colored().definition, not_too_colored().definition
    for properties in ((alone,), (alone, together)):
        calls.clear()

        @gentest.property(probes=gentest.points())
        def all_of(evidence: Evidence, properties: Any = properties) -> Tensor:
            return torch.stack([one.margin(evidence) for one in properties]).amin(0)

        result = all_of().check(generator(), settings=conditions)
        assert result.verdict is gentest.Verdict.NO_COUNTEREXAMPLE, result.message
        counts.append(sum(calls))
    assert counts[0] == counts[1]


def test_a_part_that_the_space_lacks_is_told() -> None:
    """The check names the attribute, the part, and the parts that there are."""
    wrong = gentest.attribute(own_color, name="own color", sees=["promt"])

    @gentest.property(probes=gentest.points())
    def never(evidence: Evidence) -> Tensor:
        return evidence.scores(wrong)[:, 0]

    result = never().check(generator(), settings=gentest.settings(device="cpu", examples=4))
    assert result.verdict is gentest.Verdict.ERROR
    assert "own color sees 'promt', and the space has 'z', 'prompt'" in result.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": 3}, "or a path but got source=3"),
        ({"source": own_color, "name": " "}, "a text but got name=' '"),
        ({"source": own_color, "sees": "prompt"}, "names of parts of the space"),
        ({"source": own_color, "sees": [3]}, "names of parts of the space"),
    ],
)
def test_misuse_is_told(arguments: dict[str, Any], message: str) -> None:
    """When the attribute is made; without its values it cannot be called."""
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        gentest.attribute(**arguments)
    with pytest.raises(AttributeFailed, match="own color sees prompt"):
        OWN(torch.zeros(1, 3, 4, 4))
    plain = gentest.attribute(lambda images: images.mean((1, 2, 3)), name="mean")
    assert repr(plain) == "mean"
    assert plain(torch.ones(2, 3, 4, 4)).tolist() == [1.0, 1.0]
