"""The kind of a generator's outputs: which one an argument names, and what follows from it."""

from __future__ import annotations

import pytest
import torch

import gentest
from gentest.errors import InvalidArgument
from gentest.generators.generator import Generator
from gentest.outputs.kind import kind_of

NORMAL = gentest.Normal((1, 4, 4))


def test_images_is_short_for_a_kind() -> None:
    """Without arguments outputs are images, and `images=False` is the same as `Arrays()`."""
    assert kind_of(None, None) == kind_of(None, images=True) == gentest.Images()
    assert kind_of(None, images=False) == kind_of(gentest.Arrays(), None) == kind_of(gentest.Arrays(), images=False)


@pytest.mark.parametrize(
    ("outputs", "images", "said"),
    [
        ("video", None, r"Expected a kind of output such as .* but got outputs='video'"),
        (gentest.Arrays, None, r"call it: gentest.Arrays\(...\)"),
        (None, "no", "Expected True, or False for outputs that are not images"),
        (gentest.Arrays(), True, r"outputs=Arrays\(\) says what f makes: leave out images=True"),
    ],
)
def test_a_wrong_kind_is_refused(outputs: object, images: object, said: str) -> None:
    """Anything but a kind, and two arguments that contradict each other, is an error that says what to write."""
    with pytest.raises(InvalidArgument, match=said):
        kind_of(outputs, images)


def test_both_spellings_are_one_generator() -> None:
    """Generators with `images=False` and with `Arrays()` have equal keys, so that they share evidence."""
    from gentest.engine.evidence.subject import Subject

    old, new = (
        Generator(torch.tanh, latent=NORMAL, **{name: value})  # type: ignore[arg-type]
        for name, value in (("images", False), ("outputs", gentest.Arrays()))
    )
    assert Subject.of(old).key == Subject.of(new).key
    assert Subject.of(old).key != Subject.of(Generator(torch.tanh, latent=NORMAL)).key


def test_a_derived_generator_keeps_its_kind() -> None:
    """A transform before, a transform after and a reference have the kind of the generator."""
    arrays = Generator(torch.tanh, latent=NORMAL, outputs=gentest.Arrays())
    derived = arrays.before(torch.neg).then(torch.neg)
    assert derived.kind == arrays.kind == arrays.against(torch.tanh).kind
    with pytest.raises(InvalidArgument, match=r"makes Arrays\(\) and the reference Images\(\)"):
        arrays.against(Generator(torch.tanh, latent=NORMAL))


@pytest.mark.parametrize(
    "kind",
    [
        gentest.Images(),
        gentest.Arrays(),
        gentest.Video(fps=8),
        gentest.Audio(rate=8000),
        gentest.Tokens(text=True, longest=8),
        gentest.Rows({"age": range(0, 121)}),
    ],
    ids=lambda kind: type(kind).__name__,
)
def test_a_report_draws_each_kind_in_one_way(kind: gentest.Kind) -> None:
    """As pictures, by shape, or with its places: never in two ways, and never in none."""
    assert [kind.has_pixels, kind.drawn_by_shape, kind.place_axis is not None].count(True) == 1
