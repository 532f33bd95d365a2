"""Notes of a piano: in tune, as loud as the piano's own, without clipping or clicks.

The piano's own notes have a loudness from -32 to -11 dB, at most 12 % of silence, no clipping, and clicks of at most
0.8 (`train.py` prints this). Limits leave 3 dB, and some room, around these.
"""

from __future__ import annotations

from tuner import tuner

import gentest


@gentest.well_formed()
@gentest.reproducible()
def test_notes_are_a_function_of_latent_and_key(piano: gentest.Generator) -> gentest.Generator:
    return piano


@gentest.follows_label(tuner)
def test_notes_are_in_tune(piano: gentest.Generator) -> gentest.Generator:
    return piano


@gentest.limits(gentest.loudness(), at_least=-35, at_most=-8)
@gentest.limits(gentest.silence(), at_most=0.5)
def test_notes_are_as_loud_as_the_piano(piano: gentest.Generator) -> gentest.Generator:
    return piano


@gentest.limits(gentest.clipping(), at_most=0.001)
def test_notes_do_not_clip(piano: gentest.Generator) -> gentest.Generator:
    return piano


@gentest.limits(gentest.clicks(), at_most=1)
def test_notes_do_not_click(piano: gentest.Generator) -> gentest.Generator:
    return piano


@gentest.responsive(gentest.mel(), at_least=1, moves=["z"]).at_rate(0.9)
def test_latents_have_notes_of_their_own(piano: gentest.Generator) -> gentest.Generator:
    return piano


@gentest.between(gentest.loudness(), tolerance=3, moves=["z"])
def test_loudness_is_between(piano: gentest.Generator) -> gentest.Generator:
    return piano
