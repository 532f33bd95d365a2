"""Audio: units, channels and lengths that are understood, the mask of padding, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gentest
from gentest.errors import InvalidArgument, WrongOutputs

N, T = 3, 50
SIZES = {"z": (N, 4)}
WHOLE = torch.randint(-(2**15), 2**15, (N, T), generator=torch.Generator().manual_seed(0), dtype=torch.int16)
WAVES = WHOLE.float() / 2**15
ONE = gentest.Audio(rate=8000)
MANY = gentest.Audio(rate=8000, longest=64)
ENDS = (50, 20, 1)

FORMS: dict[str, Any] = {
    "one channel": WAVES,
    "with an axis of channels": WAVES[:, None],
    "channels last": WAVES[:, :, None].numpy(),
    "16 bits": WHOLE.numpy(),
    "32 bits": WHOLE.int() * 2**16,
    "a list": [wave.tolist() for wave in WAVES],
    "a model output": {"waveform": WAVES, "hidden": None},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_sound_is_read_in_any_form(form: str) -> None:
    """Every form gives the same waveforms in full-scale units."""
    torch.testing.assert_close(ONE.read(FORMS[form], N, SIZES, None), WAVES[:, None])


def test_floats_keep_their_units_and_a_range_is_mapped() -> None:
    """2 stays 2 without a range. A declared range is mapped to (-1, 1), and values have limits then."""
    assert ONE.read(2 * WAVES, N, SIZES, None).abs().max() > 1.9
    torch.testing.assert_close(ONE.read(2 * WAVES, N, SIZES, (-2, 2)), WAVES[:, None])
    assert ONE.limits(None) is None
    assert ONE.limits((-2, 2)) == (-1.0, 1.0)
    assert ONE.unit((-2, 2)) == 2.0


RAGGED: dict[str, Any] = {
    "a list of tensors": [wave[:end] for wave, end in zip(WAVES, ENDS, strict=True)],
    "a list of lists": [wave[:end].tolist() for wave, end in zip(WAVES, ENDS, strict=True)],
    "lengths beside them": {"waveform": WAVES[:, None], "sequence_lengths": torch.tensor(ENDS)},
    "a mask beside them": {"audio": WAVES, "attention_mask": np.arange(T) < np.array(ENDS)[:, None]},
    "a pair": (WAVES, torch.tensor(ENDS)),
}


@pytest.mark.parametrize("form", RAGGED)
def test_several_lengths_are_padded_with_a_mask(form: str) -> None:
    """The last channel is 1 up to the end of each sound, and the waveform is 0 after it."""
    made = MANY.read(RAGGED[form], N, SIZES, None)
    assert made.shape == (N, 2, 64)
    sound = MANY.sound(made)
    assert sound.mask.sum(1).tolist() == list(ENDS)
    for row, wave, end in zip(sound.wave, WAVES, ENDS, strict=True):
        assert torch.equal(row[0, :end], wave[:end])
        assert not row[0, end:].any()
    assert [item.shape[1] for item in MANY.items(made)] == list(ENDS)


@pytest.mark.parametrize(
    ("kind", "raw", "said"),
    [
        (ONE, RAGGED["a list of tensors"], r"several lengths, 1 to 50: say outputs=gentest.Audio\(rate=8000, longest="),
        (
            gentest.Audio(8000, longest=30),
            RAGGED["a pair"],
            "an output of length 50, and the longest is declared as 30",
        ),
        (ONE, torch.zeros(N, 2, 3, 4), r"expected waveforms \[3, T\] or \[3, C, T\]"),
        (ONE, torch.zeros(N, T, dtype=torch.int64), "have no known full scale"),
        (MANY, (WAVES, torch.tensor([60, 1, 1])), "lengths from 1 to 60"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_line_to_write(kind: gentest.Audio, raw: Any, said: str) -> None:
    """Several lengths without `longest`, too long a sound, other shapes, and whole numbers of no known scale."""
    with pytest.raises(WrongOutputs, match=said):
        kind.read(raw, N, SIZES, None)


def test_wrong_arguments_are_refused() -> None:
    """A rate and a length are above 0."""
    for wrong in ({"rate": 0}, {"rate": 8000, "longest": 0}, {"rate": 8000, "longest": 1.5}):
        with pytest.raises(InvalidArgument):
            gentest.Audio(**wrong)  # type: ignore[arg-type]


def test_padding_neither_moves_nor_counts_as_contrast() -> None:
    """Rounding moves samples of the sound alone, and a constant sound is blank however it is padded."""
    made = MANY.read(RAGGED["a pair"], N, SIZES, None)
    moves = MANY.moves(made)
    assert moves is not None
    assert moves.sum((1, 2)).tolist() == list(ENDS)
    flat = MANY.read([torch.full((20,), 0.5)] * N, N, SIZES, None)
    assert MANY.contrast(flat).max().item() < 1e-6


def test_what_was_read_is_read_again() -> None:
    """A transform of outputs gives back waveforms with their mask."""
    g = gentest.Generator(
        lambda z: [row[:4] for row in z], latent=gentest.Normal(8), outputs=gentest.Audio(8, longest=8)
    )
    quiet = g.then(lambda x: torch.cat([x[:, :-1] / 2, x[:, -1:]], 1))
    z = {"": torch.ones(2, 8)}
    assert torch.equal(quiet.outputs(z)[:, 0], g.outputs(z)[:, 0] / 2)
    assert torch.equal(quiet.outputs(z)[:, 1], g.outputs(z)[:, 1])
