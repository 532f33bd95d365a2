"""Token sequences: ids and texts that are understood, the end of a sequence, distances, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import gentest
from gentest.errors import InvalidArgument, WrongOutputs

SIZES = {"z": (2, 4)}
IDS = torch.tensor([[5, 6, 7, 2, 0], [8, 2, 0, 0, 0]])
PLAIN = gentest.Tokens()


def test_ids_are_read_as_they_are() -> None:
    """Integers, whole floats and lists of one length."""
    for raw in (IDS, IDS.double(), IDS.tolist(), {"sequences": IDS}):
        assert torch.equal(PLAIN.read(raw, 2, SIZES, None), IDS.float())


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (gentest.Tokens(end=2), IDS),
        (gentest.Tokens(pad=0, longest=5), IDS),
        (gentest.Tokens(longest=5), [[5, 6, 7, 2], [8, 2]]),
        (gentest.Tokens(longest=5), (IDS, [4, 2])),
        (gentest.Tokens(longest=5), {"sequences": IDS, "attention_mask": (IDS > 0).long()}),
    ],
)
def test_padding_is_minus_one(kind: gentest.Tokens, raw: Any) -> None:
    """An end token, a padding token, lengths and a mask all say where a sequence ends."""
    assert kind.read(raw, 2, SIZES, None).tolist() == [[5, 6, 7, 2, -1], [8, 2, -1, -1, -1]]


def test_a_sequence_is_shown_as_its_text() -> None:
    """`show` gets the ids up to the end; texts are themselves; without either the ids are shown."""
    made = gentest.Tokens(end=2).read(IDS, 2, SIZES, None)
    words = gentest.Tokens(show=lambda ids: " ".join(f"w{i}" for i in ids))
    assert words.items(made) == ["w5 w6 w7 w2", "w8 w2"]
    assert words.pieces(made[1]) == ["w8", "w2"]
    assert PLAIN.items(made) == [[5, 6, 7, 2], [8, 2]]
    text = gentest.Tokens(text=True, longest=8)
    assert text.items(text.read(["CCO", "N"], 2, SIZES, None)) == ["CCO", "N"]
    assert text.items(text.read({"texts": ["CCO", ""]}, 2, SIZES, None)) == ["CCO", ""]


def test_a_place_after_the_last_token_is_the_end() -> None:
    """Where a parser wants more."""
    text = gentest.Tokens(text=True, longest=8)
    row = text.read(["[1"], 1, {"z": (1, 1)}, None)[0]
    assert text.place(row, 2, 3) == "the end, after 2 characters"
    assert text.place(row, 0, 2) == "characters 1 to 2 of 2"


def test_distance_is_the_share_of_positions_that_differ() -> None:
    """One of 16 tokens is about 1/4 apart whatever its ids, neighbours or not; equal sequences are not apart."""
    one = torch.zeros(1, 16)
    for other_id in (1.0, 2.0, 900.0, 50_000.0):
        other = one.clone()
        other[0, 3] = other_id
        distance = torch.dist(PLAIN.rows(one), PLAIN.rows(other)).item()
        assert 0.12 < distance < 0.4
    assert torch.equal(PLAIN.rows(one), PLAIN.rows(one.clone()))


def test_another_id_is_a_whole_unit() -> None:
    """Neighbouring ids are other tokens, so a difference of 1 in a vocabulary of 50,000 is not small."""
    flaky = iter(range(10_000))
    vocabulary = gentest.Generator(
        lambda z: 50_000 + (z * 0).long() + next(flaky) % 2, latent=gentest.Normal(8), outputs=PLAIN
    )
    assert gentest.reproducible().check(vocabulary).verdict is gentest.Verdict.VIOLATED


def test_contrast_is_the_share_beside_the_most_common_token() -> None:
    """A sequence of one token repeated is blank, padding aside."""
    rows = torch.tensor([[4.0, 4.0, 4.0, -1.0], [4.0, 5.0, 6.0, 7.0], [-1.0, -1.0, -1.0, -1.0]])
    assert PLAIN.contrast(rows).tolist() == [0.0, 0.75, 0.0]


@pytest.mark.parametrize(
    ("kind", "raw", "said"),
    [
        (PLAIN, ["CC", "O"], r"returned texts: say outputs=gentest.Tokens\(text=True, longest="),
        (PLAIN, [[1, 2], [3]], r"several lengths, 1 to 2: say outputs=gentest.Tokens\(longest="),
        (PLAIN, torch.randn(2, 5, 9), r"may be logits; expected ids \[2, L\]: return x.argmax\(-1\)"),
        (PLAIN, torch.randn(2, 5), "values that are not whole"),
        (PLAIN, -2 * torch.ones(2, 5), "with ids from -2 to -2"),
        (gentest.Tokens(text=True, longest=2), ["CCO", "C"], "an output of length 3, and the longest is declared as 2"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_line_to_write(kind: gentest.Tokens, raw: Any, said: str) -> None:
    """Texts, several lengths, logits, fractions, and sequences that are too long."""
    with pytest.raises(WrongOutputs, match=said):
        kind.read(raw, 2, SIZES, None)


def test_wrong_arguments_are_refused() -> None:
    """Lengths and ids are whole numbers, and texts have a longest."""
    for wrong in ({"longest": 0}, {"pad": -1}, {"end": 1.5}, {"show": "decode"}, {"text": True}):
        with pytest.raises(InvalidArgument):
            gentest.Tokens(**wrong)
